/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the verbs that need no container: options, words, sizes, conversions. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/container-words.h"
#include "cli/detach-keys.h"
#include "cli/options.h"
#include "cli/stats.h"
#include "cli/table.h"
#include "cli/update-resources.h"
#include "client/caller.h"
#include "client/exec-process.h"
#include "runtime-spec/machine-options.h"
#include "runtime-spec/spec.h"
#include "tests/unit/test.h"

struct values {
	bool flag;
	const char *text;
	const char **list;
	uint64_t count;
};

static const struct option_def table[] = {
	{ "flag", 'f', OPTION_FLAG, offsetof(struct values, flag), "a flag" },
	{ "text", 't', OPTION_STRING, offsetof(struct values, text), "a text" },
	{ "list", 'l', OPTION_STRINGS, offsetof(struct values, list), "a list" },
	{ "count", 0, OPTION_COUNT, offsetof(struct values, count), "a count" },
	{ "old", 0, OPTION_IGNORED_FLAG, 0, "of old" },
	{ "older", 0, OPTION_IGNORED_VALUE, 0, "of old" },
	OPTION_END
};

/* words: separated by blanks. */
static int parse(const char *words, bool stop, struct values *values, struct options_result *result,
		 struct error **ret_error)
{
	static char copy[256];
	static char *argv[32];
	size_t n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", words);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[n++] = word;
	argv[n] = NULL;
	*values = (struct values){ 0 };
	*result = (struct options_result){ 0 };
	return options_parse(table, stop, argv, values, result, ret_error);
}

static void test_options(void)
{
	_cleanup_error_ struct error *error = NULL;
	struct options_result result;
	struct values values;

	CHECK_OK(parse("-f --text x -text=y -l 1 --list=2 --count 7 -old -older z ID", false,
		       &values, &result, &error),
		 &error);
	CHECK(values.flag && !result.help);
	CHECK_STRING(values.text, "y");
	CHECK_STRING(values.list[0], "1");
	CHECK_STRING(values.list[1], "2");
	CHECK(!values.list[2]);
	CHECK_INT(values.count, 7);
	CHECK_INT(result.n_args, 1);
	CHECK_STRING(result.args[0], "ID");
	options_done(table, &values);
	free(result.args);

	CHECK_OK(parse("ID -f -t x -9 KILL -- -f", false, &values, &result, &error), &error);
	CHECK(values.flag);
	CHECK_STRING(values.text, "x");
	CHECK_INT(result.n_args, 4);
	CHECK_STRING(result.args[1], "-9");
	CHECK_STRING(result.args[3], "-f");
	free(result.args);

	CHECK_OK(parse("-f=false ID ls -f -x", true, &values, &result, &error), &error);
	CHECK(!values.flag);
	CHECK_INT(result.n_args, 4);
	CHECK_STRING(result.args[2], "-f");
	free(result.args);

	CHECK_OK(parse("-h", false, &values, &result, &error), &error);
	CHECK(result.help);
	free(result.args);
	CHECK_OK(parse("-", false, &values, &result, &error), &error);
	CHECK_INT(result.n_args, 1);
	free(result.args);
}

static void test_bad_options(void)
{
	static const struct {
		const char *words, *complaint;
	} bad[] = {
		{ "--bogus x", "flag provided but not defined: -bogus" },
		{ "-x=1", "flag provided but not defined: -x" },
		{ "--text", "flag needs an argument: -text" },
		{ "ID -t", "flag needs an argument: -t" },
		{ "--flag=maybe", "invalid boolean value \"maybe\" for -flag: parse error" },
		{ "--count x", "invalid value \"x\" for flag -count: parse error" },
		{ "--count -1", "invalid value \"-1\" for flag -count: parse error" },
		{ "--count 99999999999999999999", "invalid value" },
		{ "--count=", "invalid value \"\"" },
		{ "--textual x", "not defined: -textual" },
		{ "---text x", "not defined: --text" },
	};
	_cleanup_error_ struct error *error = NULL;
	struct options_result result;
	struct values values;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_ERROR(parse(bad[i].words, false, &values, &result, &error), &error,
			    bad[i].complaint);
}

static void test_signals(void)
{
	static const struct {
		const char *text;
		int signal;
	} good[] = { { "9", SIGKILL },	     { "KILL", SIGKILL }, { "SIGKILL", SIGKILL },
		     { "sigterm", SIGTERM }, { "hup", SIGHUP },	  { "0", 0 },
		     { "64", 64 },	     { "CHLD", SIGCHLD }, { "WINCH", SIGWINCH },
		     { "IOT", SIGABRT },     { "POLL", SIGIO },	  { "USR1", SIGUSR1 } };
	static const char *const bad[] = { "",	    "SIG", "BOGUS",  "65",	 "-9",	   "9x",
					   "KILLX", "KIL", "RTMIN+", "RTMIN+99", "RTMAX+1" };
	_cleanup_error_ struct error *error = NULL;
	int signal;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK_OK(parse_signal(good[i].text, &signal, &error), &error);
		CHECK_INT(signal, good[i].signal);
	}
	CHECK_OK(parse_signal("SIGRTMIN+3", &signal, &error), &error);
	CHECK_INT(signal, SIGRTMIN + 3);
	CHECK_OK(parse_signal("RTMAX-1", &signal, &error), &error);
	CHECK_INT(signal, SIGRTMAX - 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_ERROR(parse_signal(bad[i], &signal, &error), &error, "unknown signal \"");
}

static void test_booleans(void)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	static const char *const bad[] = { "", "2", "yes", "tRUE", "truex", "10" };
	bool value;

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		value = false;
		CHECK(parse_bool(yes[i], &value) == 0 && value);
		CHECK(parse_bool(no[i], &value) == 0 && !value);
	}
	value = true;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(parse_bool(bad[i], &value) < 0 && value);
}

static void test_sizes(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = { { "0", 0 },
		     { "1", 1 },
		     { "512M", 512 << 20 },
		     { "1g", 1 << 30 },
		     { "64MiB", 64 << 20 },
		     { "100kb", 100 << 10 },
		     { "7b", 7 },
		     { "1.5G", UINT64_C(3) << 29 },
		     { "0.5", 0 },
		     { "16383P", UINT64_C(16383) << 50 },
		     { "2T", UINT64_C(2) << 40 } };
	static const char *const bad[] = {
		"",	  "M",	  "-1",	 "1.G", "1X",	  ".5G", "1.",
		"1.5.5G", "1.5X", "1MM", "1Mi", "16384P", "1 M", "99999999999999999999"
	};
	static const char *const bad_durations[] = { "",   "0s",  "5",	 "s",
						     "5x", "-5s", "5ss", "99999999999999999999s",
						     "1s2" };
	_cleanup_error_ struct error *error = NULL;
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK_OK(parse_size(good[i].text, &value, &error), &error);
		CHECK_INT(value, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_ERROR(parse_size(bad[i], &value, &error), &error, "invalid size");
	CHECK_OK(parse_duration("1m30s", &value, &error), &error);
	CHECK_INT(value, 90000);
	CHECK_OK(parse_duration("250ms", &value, &error), &error);
	CHECK_INT(value, 250);
	for (size_t i = 0; i < ARRAY_SIZE(bad_durations); i++)
		CHECK_ERROR(parse_duration(bad_durations[i], &value, &error), &error,
			    "invalid duration");
}

static struct spec *spec_of(const char *members)
{
	_cleanup_free_ char *text =
	    xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"}%s}", members);
	struct error *error = NULL;
	struct spec *spec;

	CHECK_OK(spec_parse(text, strlen(text), &spec, &error), &error);
	return spec;
}

static void test_machine_options(void)
{
	_cleanup_(spec_freep) struct spec *bare = spec_of("");
	_cleanup_(spec_freep) struct spec *vm =
	    spec_of(",\"vm\":{\"kernel\":{\"path\":\"/"
		    "vm\"},\"hwConfig\":{\"vcpus\":3,\"memory\":1048577}}");
	_cleanup_(spec_freep) struct spec *both = spec_of(
	    ",\"vm\":{\"kernel\":{\"path\":\"/vm\"},\"hwConfig\":{\"vcpus\":3,\"memory\":1048577}},"
	    "\"annotations\":{\"io.supermachine.kernel\":\"/a\",\"io.supermachine.vcpus\":\"2\","
	    "\"io.supermachine.memory\":\"300M\"}");
	_cleanup_(spec_freep) struct spec *bad =
	    spec_of(",\"annotations\":{\"io.supermachine.vcpus\":\"two\"}");
	_cleanup_(spec_freep) struct spec *layered =
	    spec_of(",\"annotations\":{\"io.supermachine.rootfs\":\"layer\"}");
	_cleanup_error_ struct error *error = NULL;
	struct machine_options options;

	CHECK_OK(machine_options_find(&(struct machine_flags){ 0 }, bare, &options, &error),
		 &error);
	CHECK(!options.kernel && options.vcpus == 0 && options.memory_mib == 0);
	CHECK_STRING(options.rootfs, "share");
	CHECK_OK(machine_options_find(&(struct machine_flags){ 0 }, layered, &options, &error),
		 &error);
	CHECK_STRING(options.rootfs, "layer");
	CHECK_OK(machine_options_find(&(struct machine_flags){ .rootfs = "share" }, layered,
				      &options, &error),
		 &error);
	CHECK_STRING(options.rootfs, "share");
	CHECK_ERROR(machine_options_find(&(struct machine_flags){ .rootfs = "copy" }, layered,
					 &options, &error),
		    &error, "--rootfs: \"copy\" is neither \"share\" nor \"layer\"");
	CHECK_OK(machine_options_find(&(struct machine_flags){ 0 }, vm, &options, &error), &error);
	CHECK_STRING(options.kernel, "/vm");
	CHECK_INT(options.vcpus, 3);
	CHECK_INT(options.memory_mib, 2);
	CHECK_OK(machine_options_find(&(struct machine_flags){ 0 }, both, &options, &error),
		 &error);
	CHECK_STRING(options.kernel, "/a");
	CHECK_INT(options.vcpus, 2);
	CHECK_INT(options.memory_mib, 300);
	CHECK_OK(machine_options_find(
		     &(struct machine_flags){
			 .kernel = "/f", .memory = "1G", .rootfs = "layer", .vcpus = 8 },
		     both, &options, &error),
		 &error);
	CHECK_STRING(options.kernel, "/f");
	CHECK_INT(options.vcpus, 8);
	CHECK_INT(options.memory_mib, 1024);
	CHECK_ERROR(machine_options_find(&(struct machine_flags){ 0 }, bad, &options, &error),
		    &error, "annotation io.supermachine.vcpus: \"two\" is not a number of CPUs");
	CHECK_ERROR(machine_options_find(&(struct machine_flags){ .memory = "512" }, bare, &options,
					 &error),
		    &error, "--memory: 512 bytes are less than 1 MiB");
	CHECK_ERROR(machine_options_find(&(struct machine_flags){ .memory = "much" }, bare,
					 &options, &error),
		    &error, "--memory: invalid size");
	CHECK_ERROR(
	    machine_options_find(&(struct machine_flags){ .vcpus = 5000 }, bare, &options, &error),
	    &error, "5000 vcpus");
}

static void test_exec_process(void)
{
	static const char config[] =
	    "{\"process\":{\"terminal\":true,\"consoleSize\":{\"width\":1,\"height\":1},"
	    "\"user\":{\"uid\":5,\"gid\":6,\"umask\":18,\"additionalGids\":[7]},\"args\":[\"sh\"],"
	    "\"env\":[\"A=1\"],\"cwd\":\"/w\",\"capabilities\":{\"bounding\":[\"CAP_KILL\"],"
	    "\"ambient\":[\"CAP_CHOWN\"]},\"oomScoreAdj\":3,\"unknown\":{\"x\":[1]}}}";
	static const char *const args[] = { "ls", "-l", NULL }, *const env[] = { "B=2", NULL },
				 *const gids[] = { "8", NULL },
				 *const caps[] = { "CAP_NET_RAW", NULL };
	struct exec_overrides overrides = { .args = args };
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *plain = NULL, *full = NULL;
	char *none;

	CHECK_OK(exec_process_json(config, &overrides, &plain, &error), &error);
	CHECK_STRING(plain, "{\"args\":[\"ls\",\"-l\"],\"terminal\":false,\"cwd\":\"/w\","
			    "\"oomScoreAdj\":3,\"unknown\":{\"x\":[1]},"
			    "\"user\":{\"uid\":5,\"gid\":6,\"umask\":18,\"additionalGids\":[7]},"
			    "\"env\":[\"A=1\"],\"capabilities\":{\"bounding\":[\"CAP_KILL\"],"
			    "\"effective\":[],\"permitted\":[],\"inheritable\":[],"
			    "\"ambient\":[\"CAP_CHOWN\"]}}");
	overrides = (struct exec_overrides){ .args = args,
					     .env = env,
					     .cwd = "/x",
					     .user = "1000:1001",
					     .apparmor = "prof",
					     .process_label = "label",
					     .additional_gids = gids,
					     .capabilities = caps,
					     .terminal = true,
					     .no_new_privileges = true };
	CHECK_OK(exec_process_json(config, &overrides, &full, &error), &error);
	CHECK(strstr(full, "\"terminal\":true,\"cwd\":\"/x\",\"apparmorProfile\":\"prof\","
			   "\"selinuxLabel\":\"label\",\"noNewPrivileges\":true"));
	CHECK(strstr(full, "\"uid\":1000,\"gid\":1001,\"umask\":18,\"additionalGids\":[7,8]"));
	CHECK(strstr(full, "\"env\":[\"A=1\",\"B=2\"]"));
	CHECK(strstr(full, "\"bounding\":[\"CAP_KILL\",\"CAP_NET_RAW\"],"
			   "\"effective\":[\"CAP_NET_RAW\"],\"permitted\":[\"CAP_NET_RAW\"]"));
	overrides.user = "root";
	CHECK_ERROR(exec_process_json(config, &overrides, &none, &error), &error,
		    "--user root: \"root\" is not a numeric id");
	overrides.user = "1:x";
	CHECK_ERROR(exec_process_json(config, &overrides, &none, &error), &error, "--user 1:x");
	overrides.user = "4294967296";
	CHECK_ERROR(exec_process_json(config, &overrides, &none, &error), &error, "numeric id");
	CHECK_ERROR(exec_process_json("{}", &overrides, &none, &error), &error, "process: missing");
}

static void test_update(void)
{
	struct update_options options = { .memory = "64M",
					  .memory_swap = "-1",
					  .cpu_share = "512",
					  .cpuset_cpus = "0-1",
					  .pids_limit = "-1",
					  .blkio_weight = "10" };
	_cleanup_(spec_resources_freep) struct spec_resources *resources = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *json = NULL;
	char *none;

	CHECK_OK(update_resources_json(&options, &json, &error), &error);
	CHECK_STRING(json, "{\"memory\":{\"limit\":67108864,\"swap\":-1},"
			   "\"cpu\":{\"shares\":512,\"cpus\":\"0-1\"},\"pids\":{\"limit\":-1},"
			   "\"blockIO\":{\"weight\":10}}");
	CHECK_OK(spec_parse_resources(json, strlen(json), &resources, &error), &error);
	options = (struct update_options){ .memory = "lots" };
	CHECK_ERROR(update_resources_json(&options, &none, &error), &error,
		    "invalid value for memory");
	options = (struct update_options){ .cpu_quota = "1k" };
	CHECK_ERROR(update_resources_json(&options, &none, &error), &error,
		    "invalid value for cpu-quota: \"1k\" is not a number");
}

static uint64_t number_at(yajl_val root, const char *const *path)
{
	yajl_val value = yajl_tree_get(root, (const char **)path, yajl_t_number);

	CHECK(value != NULL);
	return strtoull(YAJL_GET_NUMBER(value), NULL, 10);
}
#define NUMBER_AT(root, ...) number_at(root, (const char *const[]){ __VA_ARGS__, NULL })

static void test_stats(void)
{
	Task__Metrics metrics = TASK__METRICS__INIT;
	Task__CPUStat cpu = TASK__CPUSTAT__INIT;
	Task__MemoryStat memory = TASK__MEMORY_STAT__INIT;
	Task__PidsStat pids = TASK__PIDS_STAT__INIT;
	Task__IOEntry entry = TASK__IOENTRY__INIT;
	Task__IOEntry *entries[] = { &entry };
	Task__IOStat io = TASK__IOSTAT__INIT;
	_cleanup_free_ char *empty = stats_event("c1", &metrics);
	_cleanup_free_ char *text = NULL, *oom = stats_oom_event("c1");
	_cleanup_json_ yajl_val value = NULL, none = NULL;
	_cleanup_error_ struct error *error = NULL;

	cpu.usage_usec = 3;
	cpu.user_usec = 1;
	cpu.system_usec = 2;
	cpu.throttled_usec = 9;
	memory.file = 11;
	memory.usage = 12;
	memory.usage_limit = UINT64_MAX;
	memory.inactive_file = 13;
	pids.current = 4;
	entry.major = 8;
	entry.rbytes = 100;
	entry.wios = 5;
	io.usage = entries;
	io.n_usage = 1;
	metrics.cpu = &cpu;
	metrics.memory = &memory;
	metrics.pids = &pids;
	metrics.io = &io;
	text = stats_event("c1", &metrics);
	CHECK(!strchr(text, '\n'));
	CHECK_OK(json_parse(text, strlen(text), "event", &value, &error), &error);
	CHECK_INT(NUMBER_AT(value, "data", "cpu", "usage", "total"), 3000);
	CHECK_INT(NUMBER_AT(value, "data", "cpu", "usage", "kernel"), 2000);
	CHECK_INT(NUMBER_AT(value, "data", "cpu", "throttling", "throttledTime"), 9000);
	CHECK_INT(NUMBER_AT(value, "data", "memory", "cache"), 11);
	CHECK_INT(NUMBER_AT(value, "data", "memory", "usage", "usage"), 12);
	CHECK(NUMBER_AT(value, "data", "memory", "usage", "limit") == UINT64_MAX);
	CHECK_INT(NUMBER_AT(value, "data", "memory", "raw", "inactive_file"), 13);
	CHECK_INT(NUMBER_AT(value, "data", "pids", "current"), 4);
	CHECK(strstr(text, "{\"major\":8,\"minor\":0,\"op\":\"Read\",\"value\":100}"));
	CHECK(strstr(text, "\"ioServicedRecursive\":[{\"major\":8,\"minor\":0,\"op\":\"Read\","
			   "\"value\":0},{\"major\":8,\"minor\":0,\"op\":\"Write\",\"value\":5}]"));
	CHECK(strstr(text, "{\"type\":\"stats\",\"id\":\"c1\",\"data\":{") == text);
	CHECK_STRING(oom, "{\"type\":\"oom\",\"id\":\"c1\"}");
	/* A server that says nothing is zeroes. */
	CHECK_OK(json_parse(empty, strlen(empty), "event", &none, &error), &error);
	CHECK_INT(NUMBER_AT(none, "data", "memory", "usage", "usage"), 0);
}

static void test_table(void)
{
	struct table t = { .n_columns = 3 };
	static const char *const cells[] = { "ID", "PID", "LAST", "a-long-identifier", "1", "x" };
	char text[256] = "";
	FILE *stream = fmemopen(text, sizeof(text), "w");

	for (size_t i = 0; i < ARRAY_SIZE(cells); i++)
		table_add(&t, cells[i]);
	table_print(&t, stream);
	(void)fclose(stream);
	table_done(&t);
	CHECK_STRING(text, "ID                  PID         LAST\n"
			   "a-long-identifier   1           x\n");
}

static void test_detach_keys(void)
{
	struct detach_keys keys;
	struct error *error = NULL;
	char out[32];
	bool detached;
	size_t n;

	CHECK_OK(detach_keys_read(NULL, &keys, &error), &error);
	/* What only begins like them goes through, later. */
	CHECK_INT(detach_keys_pass(&keys, "a\020", 2, out, &detached), 1);
	n = detach_keys_pass(&keys, "b\020\020", 3, out, &detached);
	CHECK(n == 3 && memcmp(out, "\020b\020", 3) == 0 && !detached);
	CHECK_INT(detach_keys_pass(&keys, "\021x", 2, out, &detached), 0);
	CHECK(detached);
	CHECK_OK(detach_keys_read("ctrl-[,q", &keys, &error), &error);
	CHECK(keys.n == 2 && memcmp(keys.keys, "\033q", 2) == 0);
	CHECK_ERROR(detach_keys_read("ctrl-1", &keys, &error), &error,
		    "Invalid detach keys (ctrl-1) provided");
	CHECK_ERROR(detach_keys_read("a,,b", &keys, &error), &error, "Invalid detach keys");
}

/* As docker has them. */
static void test_durations(void)
{
	static const struct {
		uint64_t seconds;
		const char *words;
	} all[] = {
		{ 0, "Less than a second" },  { 1, "1 second" },
		{ 59, "59 seconds" },	      { 60, "About a minute" },
		{ 119, "About a minute" },    { 120, "2 minutes" },
		{ 3599, "59 minutes" },	      { 3600, "About an hour" },
		{ 5399, "About an hour" },    { 5400, "2 hours" },
		{ 47 * 3600, "47 hours" },    { 48 * 3600, "2 days" },
		{ 13 * 86400, "13 days" },    { 14 * 86400, "2 weeks" },
		{ 59 * 86400, "8 weeks" },    { 60 * 86400, "2 months" },
		{ 729 * 86400, "24 months" }, { 730 * 86400, "2 years" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_free_ char *words = words_of_duration(all[i].seconds);

		CHECK_STRING(words, all[i].words);
	}
}

static void test_ports(void)
{
	static const struct {
		const char *publish[3], *words;
	} all[] = {
		{ { NULL }, "" },
		{ { "8080:80" }, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp" },
		{ { "127.0.0.1:53:53/udp" }, "127.0.0.1:53->53/udp" },
		{ { "[::1]:8000-8009:80-89" }, "[::1]:8000-8009->80-89/tcp" },
		{ { "127.0.0.1:1:2", "127.0.0.1:3:4" }, "127.0.0.1:1->2/tcp, 127.0.0.1:3->4/tcp" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_network_options_ struct network_options network = { 0 };
		_cleanup_free_ char *words = NULL;
		size_t n = 0;

		while (all[i].publish[n])
			n++;
		CHECK_INT(network_options_read("passt", all[i].publish, n, &network, NULL), 0);
		words = words_of_ports(&network);
		CHECK_STRING(words, all[i].words);
	}
}

/* Whose file, and whose events: a caller's environment says it, and how it calls. */
static void test_oom_callers(void)
{
	static const struct {
		const char *root, *bundle, *namespace;
	} all[] = {
		{ "/var/run/docker/runtime-x/moby", "/run/containerd/task/moby/c1", "moby" },
		{ "/run/containerd/runc/k8s.io", "/k8s.io/c1", "k8s.io" },
		{ "/run/containerd/runc/k8s.io", "/run/task/other/c1", NULL },
		{ "/run/containerd/runc/k8s.io", "/run/task/not.k8s.io/c1", NULL },
		{ "/run/containerd/runc/k8s.io", "/c1", NULL },
		{ "/", "//c1", NULL },
	};
	_cleanup_free_ char *file = NULL;

	CHECK(unsetenv("_OCI_SYNCPIPE") == 0 && unsetenv("TTRPC_ADDRESS") == 0);
	CHECK(!caller_oom_file("/b") && !caller_oom_namespace(all[0].root, all[0].bundle));
	CHECK(setenv("_OCI_SYNCPIPE", "3", 1) == 0 &&
	      setenv("TTRPC_ADDRESS", "/run/containerd/containerd.sock.ttrpc", 1) == 0);
	CHECK_STRING(file = caller_oom_file("/b"), "/b/oom");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_free_ char *namespace = caller_oom_namespace(all[i].root, all[i].bundle);

		CHECK_STRING(namespace ? namespace : "(none)",
			     all[i].namespace ? all[i].namespace : "(none)");
	}
	CHECK(unsetenv("_OCI_SYNCPIPE") == 0 && unsetenv("TTRPC_ADDRESS") == 0);
}

static const struct test_case cases[] = {
	{ "detach_keys", test_detach_keys },
	{ "options", test_options },
	{ "bad options", test_bad_options },
	{ "signals", test_signals },
	{ "booleans", test_booleans },
	{ "sizes", test_sizes },
	{ "machine options", test_machine_options },
	{ "exec process", test_exec_process },
	{ "update", test_update },
	{ "stats", test_stats },
	{ "table", test_table },
	{ "durations", test_durations },
	{ "ports", test_ports },
	{ "oom_callers", test_oom_callers },
};
TEST_MAIN(cases)
