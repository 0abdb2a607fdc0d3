/* SPDX-License-Identifier: Apache-2.0 */
/* protocol/vm-config: every complaint names its place; what is written is read back. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "protocol/vm-config.h"
#include "tests/unit/test.h"

#define HEAD "{\"version\": 1, \"kernel\": {\"path\": \"/k\"}"
#define DEVICES HEAD ", \"devices\": ["

static struct vm_config *parse(const char *text)
{
	struct vm_config *config = NULL;
	struct error *error = NULL;

	CHECK_OK(vm_config_parse(text, strlen(text), &config, &error), &error);
	return config;
}

static void refuse(const char *text, const char *part)
{
	struct vm_config *config = NULL;
	struct error *error = NULL;

	CHECK_ERROR(vm_config_parse(text, strlen(text), &config, &error), &error, part);
	CHECK(!config);
}

static void test_defaults(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = parse(HEAD "}");

	CHECK_STRING(config->kernel.path, "/k");
	CHECK_INT(config->kernel.fd, -1);
	CHECK_INT(config->n_initramfs, 0);
	CHECK(!config->cmdline);
	CHECK_INT(config->vcpus, 1);
	CHECK_INT(config->memory_mib, 256);
	CHECK_INT(config->accel, VM_ACCEL_KVM);
	CHECK(!config->templates && !config->template_failed && !config->pooled);
	CHECK(!vm_file_is_set(&config->state) && !vm_file_is_set(&config->state_ram));
	CHECK_INT(config->control_fd, -1);
	CHECK_INT(config->log_fd, -1);
	CHECK_INT(config->serial_fd, -1);
	CHECK(!config->log_level);
	CHECK_INT(config->log_keep_kib, 0);
	CHECK_INT(config->n_devices, 0);
}

static const char whole[] =
    "{\"version\": 1, \"kernel\": {\"fd\": 5},"
    " \"initramfs\": [{\"path\": \"a\"}, {\"fd\": 6}],"
    " \"cmdline\": \"console=hvc0 \\\"x\\\"\", \"vcpus\": 64, \"max_vcpus\": 64, \"memory_mib\": "
    "4194304,"
    " \"accel\": \"tcg\", \"templates\": \"/t\", \"template_failed\": true,"
    " \"control\": {\"fd\": 3}, \"log\": {\"fd\": 2, \"level\": \"debug\", \"keep_kib\": 4},"
    " \"serial\": {\"fd\": 1}, \"root\": {\"fd\": 10},"
    " \"devices\": ["
    "  {\"type\": \"blk\", \"id\": \"12345678901234567890\", \"file\": {\"path\": \"/img\"},"
    "   \"more\": [\"/b\", \"/c\"], \"readonly\": true, \"queues\": 16},"
    "  {\"type\": \"blk\", \"file\": {\"fd\": 9}},"
    "  {\"type\": \"vsock\", \"cid\": 4294967294, \"path\": \"/run/v\", \"fd\": 8},"
    "  {\"type\": \"rng\"},"
    "  {\"type\": \"console\", \"output\": {\"fd\": 0}},"
    "  {\"type\": \"fs\", \"tag\": \"123456789012345678901234567890123456\","
    "   \"root\": {\"path\": \"/\"}, \"readonly\": true, \"cache\": \"always\"},"
    "  {\"type\": \"fs\", \"tag\": \"b\", \"root\": {\"fd\": 7}},"
    "  {\"type\": \"fs\", \"tag\": \"c\", \"root\": {\"fd\": 7}, \"cache\": \"none\","
    "   \"staging\": true, \"cache_by_name\": true, \"host_locks\": true},"
    "  {\"type\": \"net\", \"mac\": \"02:00:0a:00:00:01\"},"
    "  {\"type\": \"net\", \"mac\": \"FE:FF:ff:ff:ff:ff\", \"backend\": \"stream\","
    "   \"fd\": 11, \"vhost\": 12, \"mtu\": 65535, \"pairs\": 8,"
    "   \"more\": [13, 14], \"more_vhosts\": [15]}]}";

static void check_nets(const struct vm_device *one, const struct vm_device *other)
{
	CHECK_INT(one->type, VM_DEVICE_NET);
	CHECK(memcmp(&one->net.mac, "\x02\0\x0a\0\0\x01", 6) == 0);
	CHECK_INT(one->net.fd, -1);
	CHECK_INT(one->net.vhost_fd, -1);
	CHECK_INT(one->net.backend, VM_NET_TAP);
	CHECK_INT(one->net.mtu, 0);
	CHECK(memcmp(&other->net.mac, "\xfe\xff\xff\xff\xff\xff", 6) == 0);
	CHECK_INT(other->net.fd, 11);
	CHECK_INT(other->net.vhost_fd, 12);
	CHECK_INT(one->net.pairs, 1);
	CHECK_INT(one->net.more.n + one->net.more_vhosts.n, 0);
	CHECK_INT(other->net.pairs, 8);
	CHECK_INT(other->net.more.n, 2);
	CHECK_INT(other->net.more.fds[1], 14);
	CHECK_INT(other->net.more_vhosts.n, 1);
	CHECK_INT(other->net.more_vhosts.fds[0], 15);
	CHECK_INT(other->net.backend, VM_NET_STREAM);
	CHECK_INT(other->net.mtu, 65535);
}

static void check_whole(const struct vm_config *config)
{
	CHECK_INT(config->kernel.fd, 5);
	CHECK(!config->kernel.path);
	CHECK_INT(config->n_initramfs, 2);
	CHECK_STRING(config->initramfs[0].path, "a");
	CHECK_INT(config->initramfs[1].fd, 6);
	CHECK_STRING(config->cmdline, "console=hvc0 \"x\"");
	CHECK_INT(config->vcpus, 64);
	CHECK_INT(config->max_vcpus, 64);
	CHECK_STRING(config->templates, "/t");
	CHECK(config->template_failed);
	CHECK_INT(config->memory_mib, VM_MEMORY_MIB_MAX);
	CHECK_INT(config->accel, VM_ACCEL_TCG);
	CHECK_INT(config->control_fd, 3);
	CHECK_INT(config->log_fd, 2);
	CHECK_STRING(config->log_level, "debug");
	CHECK_INT(config->log_keep_kib, 4);
	CHECK_INT(config->serial_fd, 1);
	CHECK_INT(config->root_fd, 10);
	CHECK_INT(config->n_devices, 10);
	CHECK_INT(config->devices[0].type, VM_DEVICE_BLK);
	CHECK_STRING(config->devices[0].blk.id, "12345678901234567890");
	CHECK_STRING(config->devices[0].blk.file.path, "/img");
	CHECK_STRING(config->devices[0].blk.more[0], "/b");
	CHECK_STRING(config->devices[0].blk.more[1], "/c");
	CHECK(!config->devices[0].blk.more[2] && !config->devices[1].blk.more);
	CHECK(config->devices[0].blk.readonly);
	CHECK_INT(config->devices[0].blk.queues, 16);
	CHECK(!config->devices[1].blk.id);
	CHECK_INT(config->devices[1].blk.file.fd, 9);
	CHECK(!config->devices[1].blk.readonly);
	CHECK_INT(config->devices[1].blk.queues, 1);
	CHECK_INT(config->devices[2].vsock.cid, 4294967294);
	CHECK_STRING(config->devices[2].vsock.path, "/run/v");
	CHECK_INT(config->devices[2].vsock.fd, 8);
	CHECK_INT(config->devices[3].type, VM_DEVICE_RNG);
	CHECK_INT(config->devices[4].type, VM_DEVICE_CONSOLE);
	CHECK_INT(config->devices[4].console.output.fd, 0);
	CHECK_INT(config->devices[5].type, VM_DEVICE_FS);
	CHECK_STRING(config->devices[5].fs.tag, "123456789012345678901234567890123456");
	CHECK_STRING(config->devices[5].fs.root.path, "/");
	CHECK(config->devices[5].fs.readonly);
	CHECK_INT(config->devices[5].fs.cache, VM_FS_CACHE_ALWAYS);
	CHECK_INT(config->devices[6].fs.root.fd, 7);
	CHECK(!config->devices[6].fs.readonly);
	CHECK_INT(config->devices[6].fs.cache, VM_FS_CACHE_AUTO);
	CHECK_INT(config->devices[7].fs.cache, VM_FS_CACHE_NONE);
	CHECK(config->devices[7].fs.host_locks && !config->devices[6].fs.host_locks);
	CHECK(config->devices[7].fs.staging && !config->devices[6].fs.staging);
	CHECK(config->devices[7].fs.cache_by_name && !config->devices[6].fs.cache_by_name);
	check_nets(&config->devices[8], &config->devices[9]);
}

static void test_whole(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = parse(whole);

	check_whole(config);
}

static void test_cache_names(void)
{
	static const struct {
		const char *share, *mode;
	} cases[] = {
		{ "rootfs", NULL },	   { "3@always", "always" }, { "3@auto", "auto" },
		{ "rootfs@none", "none" }, { "3@never", NULL },	     { "3@", NULL },
		{ "3@none@auto", "auto" }, { "always", NULL },	     { "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum vm_fs_cache cache;
		bool named = vm_fs_cache_of(cases[i].share, &cache);

		CHECK_INT(named, cases[i].mode != NULL);
		if (named)
			CHECK_STRING(vm_fs_cache_name(cache), cases[i].mode);
	}
}

/* A console without a place of its own is the log's. */
static void test_console_of_the_log(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config =
	    parse(DEVICES "{\"type\": \"console\"}]}");
	_cleanup_(vm_config_freep) struct vm_config *again = NULL;
	_cleanup_free_ char *text = vm_config_write(config);

	again = parse(text);
	CHECK_INT(again->n_devices, 1);
	CHECK_INT(again->devices[0].type, VM_DEVICE_CONSOLE);
	CHECK_INT(again->devices[0].console.output.fd, -1);
	CHECK(!again->devices[0].console.output.path);
}

/* A saved machine, and what has changed in its memory since. */
static void test_changes(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config =
	    parse(HEAD ", \"state\": {\"fd\": 7}, \"state_ram\": {\"fd\": 8},"
		       " \"state_changes\": [{\"fd\": 9}, {\"path\": \"/c\"}]}");
	_cleanup_(vm_config_freep) struct vm_config *again = NULL;
	_cleanup_free_ char *text = vm_config_write(config);
	struct vm_named_fd fds[VM_FDS_MAX];
	size_t n;

	again = parse(text);
	CHECK_INT(again->n_state_changes, 2);
	CHECK_INT(again->state_changes[0].fd, 9);
	CHECK_STRING(again->state_changes[1].path, "/c");
	n = vm_config_fds(again, fds);
	CHECK(n > 0);
	CHECK_INT(fds[n - 1].number, 9);
	CHECK_STRING(fds[n - 1].place, "state_changes[0]");
}

static void test_round_trip(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = parse(whole);
	_cleanup_(vm_config_freep) struct vm_config *again = NULL;
	_cleanup_(vm_config_freep) struct vm_config *empty = NULL;
	_cleanup_free_ char *text = vm_config_write(config);
	_cleanup_free_ char *text_again = NULL, *text_empty = NULL;

	again = parse(text);
	check_whole(again);
	text_again = vm_config_write(again);
	CHECK_STRING(text_again, text);
	empty = parse(HEAD "}");
	text_empty = vm_config_write(empty);
	vm_config_free(parse(text_empty));
}

#define NET "{\"type\": \"net\", \"mac\": "

static void test_net_refused(void)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{ DEVICES "{\"type\": \"net\"}]}", "devices[0].mac: missing" },
		{ DEVICES NET "1}]}", "devices[0].mac: must be a string" },
		{ DEVICES NET "\"\"}]}", "devices[0].mac: \"\" is not the MAC address" },
		{ DEVICES NET "\"02:00:00:00:00:0\"}]}",
		  "is not the MAC address of one interface" },
		{ DEVICES NET "\"02:00:00:00:00:0g\"}]}", "is not the MAC" },
		{ DEVICES NET "\"02:00:00:00:00:000\"}]}", "is not the MAC" },
		{ DEVICES NET "\"02-00-00-00-00-01\"}]}", "is not the MAC" },
		{ DEVICES NET "\" 2:00:00:00:00:01\"}]}", "is not the MAC" },
		{ DEVICES NET "\"03:00:00:00:00:01\"}]}", "is not the MAC" },
		{ DEVICES NET "\"00:00:00:00:00:00\"}]}", "is not the MAC" },
		{ DEVICES NET "\"02:00:00:00:00:0a\"}, " NET "\"02:00:00:00:00:0A\"}]}",
		  "devices[1]: the mac \"02:00:00:00:00:0a\" is another device's" },
		{ DEVICES NET "\"02:00:00:00:00:01\", \"mtu\": 67}]}", "devices[0].mtu: 67" },
		{ DEVICES NET "\"02:00:00:00:00:01\", \"mtu\": 65536}]}", "devices[0].mtu: 65536" },
		{ DEVICES NET "\"02:00:00:00:00:01\", \"fd\": -1}]}", "devices[0].fd: -1" },
		{ DEVICES NET "\"02:00:00:00:00:01\", \"backend\": \"udp\"}]}",
		  "devices[0].backend: \"udp\" is not one of tap, stream" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse(cases[i].text, cases[i].part);
}

static void test_refused(void)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{ "", "not valid JSON" },
		{ "[]", "must be an object" },
		{ "{}", "version: missing" },
		{ "{\"version\": 2, \"new\": 1}", "version 2 is not supported" },
		{ "{\"version\": 1}", "kernel: missing" },
		{ "{\"version\": 1, \"kernel\": 5}", "kernel: must be an object" },
		{ "{\"version\": 1, \"kernel\": {}}", "kernel: needs either" },
		{ "{\"version\": 1, \"kernel\": {\"path\": \"a\", \"fd\": 3}}",
		  "kernel: needs either" },
		{ "{\"version\": 1, \"kernel\": {\"path\": \"\"}}", "kernel: the path is empty" },
		{ "{\"version\": 1, \"kernel\": {\"fd\": -1}}", "kernel.fd: -1 is out of range" },
		{ "{\"version\": 1, \"kernel\": {\"path\": \"a\", \"mode\": 1}}",
		  "kernel.mode: unknown member" },
		{ HEAD ", \"vcpu\": 1}", "vcpu: unknown member" },
		{ HEAD ", \"vcpus\": 0}", "vcpus: 0 is out of range (1 to 64)" },
		{ HEAD ", \"vcpus\": 65}", "vcpus: 65" },
		{ HEAD ", \"vcpus\": \"1\"}", "vcpus: must be a whole number" },
		{ HEAD ", \"max_vcpus\": 65}", "max_vcpus: 65" },
		{ HEAD ", \"vcpus\": 3, \"max_vcpus\": 2}",
		  "max_vcpus: 2 are fewer than the 3 vcpus" },
		{ HEAD ", \"accel\": \"tcg\", \"max_vcpus\": 2}",
		  "max_vcpus: an emulated machine gets no more" },
		{ HEAD ", \"memory_mib\": 31}", "memory_mib: 31" },
		{ HEAD ", \"templates\": \"t\"}", "templates: \"t\" is not an absolute path" },
		{ HEAD ", \"state\": {\"fd\": 7}}", "state and state_ram go together" },
		{ HEAD ", \"state_ram\": {\"fd\": 7}}", "state and state_ram go together" },
		{ HEAD ", \"state_changes\": [{\"fd\": 7}]}", "state_changes need a state" },
		{ HEAD ", \"state_changes\": [{}]}", "state_changes[0]" },
		{ HEAD ", \"accel\": \"tcg\", \"state\": {\"fd\": 7}, \"state_ram\": {\"fd\": 8}}",
		  "state: an emulated machine has none" },
		{ HEAD ", \"memory_mib\": 4194305}", "memory_mib: 4194305" },
		{ HEAD ", \"memory_mib\": 1.5}", "memory_mib: must be a whole number" },
		{ HEAD ", \"accel\": \"auto\"}", "accel: \"auto\" is not one of kvm, tcg" },
		{ HEAD ", \"accel\": true}", "accel: must be a string" },
		{ HEAD ", \"cmdline\": 1}", "cmdline: must be a string" },
		{ HEAD ", \"initramfs\": {}}", "initramfs: must be an array" },
		{ HEAD ", \"initramfs\": [{\"fd\": 1}, {}]}", "initramfs[1]: needs either" },
		{ HEAD ", \"initramfs\": [{\"fd\": 1}, {\"fd\": 1}, {\"fd\": 1}, {\"fd\": 1},"
		       " {\"fd\": 1}]}",
		  "initramfs: more than 4" },
		{ HEAD ", \"control\": 3}", "control: must be an object" },
		{ HEAD ", \"control\": {}}", "control.fd: missing" },
		{ HEAD ", \"serial\": {\"path\": \"x\"}}", "serial.path: unknown member" },
		{ HEAD ", \"log\": {\"level\": \"loud\"}}", "log: there is no log level" },
		{ HEAD ", \"log\": {\"keep_kib\": 3}}", "log.keep_kib: 3 is out of range" },
		{ HEAD ", \"devices\": {}}", "devices: must be an array" },
		{ DEVICES "5]}", "devices[0]: must be an object" },
		{ DEVICES "{}]}", "devices[0].type: missing" },
		{ DEVICES "{\"type\": \"gpu\"}]}", "devices[0]: there is no device type \"gpu\"" },
		{ DEVICES "{\"type\": \"rng\"}, {\"type\": \"rng\", \"x\": 1}]}",
		  "devices[1].x: unknown member" },
		{ DEVICES "{\"type\": \"blk\"}]}", "devices[0].file: missing" },
		{ DEVICES "{\"type\": \"blk\", \"file\": {\"fd\": 1}, \"queues\": 0}]}",
		  "devices[0].queues: 0" },
		{ DEVICES "{\"type\": \"blk\", \"file\": {\"fd\": 1}, \"queues\": 17}]}",
		  "devices[0].queues: 17" },
		{ DEVICES "{\"type\": \"blk\", \"file\": {\"fd\": 1}, \"readonly\": 1}]}",
		  "devices[0].readonly: must be true or false" },
		{ DEVICES "{\"type\": \"blk\", \"file\": {\"fd\": 1},"
			  " \"id\": \"123456789012345678901\"}]}",
		  "devices[0].id: must be 0 to 20 bytes long" },
		{ DEVICES "{\"type\": \"blk\", \"file\": {\"fd\": 1}, \"more\": [\"/b\"]}]}",
		  "devices[0]: a disk of several files must be read-only" },
		{ DEVICES "{\"type\": \"blk\", \"file\": {\"fd\": 1}, \"more\": [\"\"]}]}",
		  "devices[0].more[0]: the path is empty" },
		{ DEVICES "{\"type\": \"blk\", \"file\": {\"fd\": 1}, \"more\": \"/b\"}]}",
		  "devices[0].more: must be an array of at most 127 paths" },
		{ DEVICES "{\"type\": \"vsock\", \"path\": \"p\"}]}", "devices[0].cid: missing" },
		{ DEVICES "{\"type\": \"vsock\", \"path\": \"p\", \"cid\": 2}]}",
		  "devices[0].cid: 2 is out of range" },
		{ DEVICES "{\"type\": \"vsock\", \"path\": \"p\", \"cid\": 4294967295}]}",
		  "devices[0].cid: 4294967295 is out of range" },
		{ DEVICES "{\"type\": \"vsock\", \"cid\": 3}]}", "devices[0].path: missing" },
		{ DEVICES "{\"type\": \"vsock\", \"cid\": 3, \"path\": \"\"}]}",
		  "devices[0].path: must be 1 to 4000 bytes long" },
		{ DEVICES "{\"type\": \"vsock\", \"cid\": 3, \"path\": \"p\"},"
			  " {\"type\": \"vsock\", \"cid\": 4, \"path\": \"q\"}]}",
		  "devices[1]: a machine has one vsock" },
		{ DEVICES "{\"type\": \"console\", \"output\": 2}]}",
		  "devices[0].output: must be an object" },
		{ DEVICES "{\"type\": \"console\", \"output\": {}}]}",
		  "devices[0].output: needs either" },
		{ DEVICES "{\"type\": \"fs\", \"root\": {\"fd\": 1}}]}",
		  "devices[0].tag: missing" },
		{ DEVICES "{\"type\": \"fs\", \"tag\": \"a\"}]}", "devices[0].root: missing" },
		{ DEVICES "{\"type\": \"fs\", \"tag\": \"\", \"root\": {\"fd\": 1}}]}",
		  "devices[0].tag: must be 1 to 36 bytes long" },
		{ DEVICES "{\"type\": \"fs\", \"tag\": \"1234567890123456789012345678901234567\","
			  " \"root\": {\"fd\": 1}}]}",
		  "devices[0].tag: must be 1 to 36 bytes long" },
		{ DEVICES "{\"type\": \"fs\", \"tag\": \"a\", \"root\": {\"fd\": 1},"
			  " \"cache\": \"never\"}]}",
		  "devices[0].cache: \"never\" is not one of auto, always, none" },
		{ DEVICES "{\"type\": \"fs\", \"tag\": \"a\", \"root\": {\"fd\": 1}},"
			  " {\"type\": \"fs\", \"tag\": \"a\", \"root\": {\"fd\": 2}}]}",
		  "devices[1]: the tag \"a\" is another device's" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		refuse(cases[i].text, cases[i].part);
}

static void test_too_many_devices(void)
{
	char text[1024] = DEVICES "{\"type\": \"rng\"}";
	_cleanup_(vm_config_freep) struct vm_config *config = NULL;

	for (int i = 1; i < VM_DEVICES_MAX; i++)
		(void)strcat(text, ",{\"type\": \"rng\"}");
	(void)strcat(text, "]}");
	config = parse(text);
	CHECK_INT(config->n_devices, VM_DEVICES_MAX);
	text[strlen(text) - 2] = '\0';
	(void)strcat(text, ",{\"type\": \"rng\"}]}");
	refuse(text, "devices: more than 32 devices");
}

static const struct test_case cases[] = {
	{ "defaults", test_defaults },
	{ "everything", test_whole },
	{ "cache names", test_cache_names },
	{ "changes", test_changes },
	{ "round trip", test_round_trip },
	{ "console of the log", test_console_of_the_log },
	{ "refused", test_refused },
	{ "network devices refused", test_net_refused },
	{ "too many devices", test_too_many_devices },
};

TEST_MAIN(cases)
