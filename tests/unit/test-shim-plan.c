/* SPDX-License-Identifier: Apache-2.0 */
/* The task server's plan: kernel, shape, command line, layers, refusals. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/kernel.h"
#include "host/settings.h"
#include "protocol/agent.h"
#include "runtime-spec/machine-options.h"
#include "sandbox/plan/container-plan.h"
#include "sandbox/plan/machine-plan.h"
#include "tests/unit/test.h"

struct fixture {
	char *directory;
	char *layer, *kernel, *initramfs;
};

static char *put(const struct fixture *f, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", f->directory, name);
	_cleanup_free_ char *directory = xstrdup(path);
	struct error *error = NULL;

	*strrchr(directory, '/') = '\0';
	CHECK_OK(make_directories(directory, 0700, &error), &error);
	CHECK_OK(write_file_atomic(path, text, strlen(text), 0600, &error), &error);
	return path;
}

static void fixture_init(struct fixture *f)
{
	char template[] = "/tmp/shim-plan.XXXXXX";

	CHECK(mkdtemp(template));
	f->directory = xstrdup(template);
	f->layer = put(f, "layer", "l");
	f->kernel = put(f, "boot/vmlinux", "k");
	f->initramfs = put(f, "initramfs.cpio", "i");
	CHECK(setenv("SUPERMACHINE_CACHE", template, 1) == 0);
	CHECK(unsetenv("SUPERMACHINE_KERNEL") == 0);
}

static void fixture_done(struct fixture *f)
{
	struct error *error = NULL;

	CHECK_OK(remove_tree(f->directory, &error), &error);
	free(f->directory);
	free(f->layer);
	free(f->kernel);
	free(f->initramfs);
}

/* What differs from a plain request. */
struct wishes {
	const char *kernel;
	uint32_t vcpus;
	uint64_t memory_mib;
	Task__Mount **rootfs;
	size_t n_rootfs;
	pid_t sandbox_pid;
	bool cache_by_name, debug;
	const char *network, *publish;
	const struct allow *allow;
	bool no_kernel; /* of the request's */
};

/* The two that a Create makes; no machine where the container joins one. */
struct plans {
	struct container_plan *container;
	struct machine_plan *machine;
};

static void plans_free(struct plans *plans)
{
	container_plan_free(plans->container);
	machine_plan_free(plans->machine);
	free(plans);
}

/* A plan for this configuration; `more` are further members of config.json. */
static int plan_for(const struct fixture *f, const char *more, const struct wishes *wishes,
		    const struct settings *settings, struct plans **ret_plan,
		    struct error **ret_error)
{
	_cleanup_free_ char *text = xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},"
					      "\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"}%s}",
					      more ? more : "");
	_cleanup_(spec_freep) struct spec *spec = NULL;
	const struct settings none = { 0 };
	Task__Mount layer = TASK__MOUNT__INIT;
	Task__Mount *layers[] = { &layer };
	const struct wishes wish = wishes ? *wishes : (struct wishes){ 0 };
	struct container_plan_request container = { .stage = "box",
						    .bundle = f->directory,
						    .allow = wish.allow,
						    .rootfs = wish.rootfs,
						    .n_rootfs = wish.n_rootfs,
						    .sandbox_pid = wish.sandbox_pid,
						    .cache_by_name = wish.cache_by_name };
	struct machine_plan_request machine = { .settings = settings ? settings : &none,
						.allow = wish.allow,
						.kernel = wish.no_kernel ? NULL
							  : wish.kernel	 ? wish.kernel
									 : f->kernel,
						.vcpus = wish.vcpus,
						.memory_mib = wish.memory_mib,
						.network = wish.network,
						.publish = &wish.publish,
						.n_publish = wish.publish ? 1 : 0,
						.initramfs = f->initramfs,
						.debug = wish.debug };
	struct plans *plans;

	CHECK_OK(spec_parse(text, strlen(text), &spec, ret_error), ret_error);
	layer.type = (char *)"squashfs";
	layer.source = f->layer;
	container.spec = machine.spec = spec;
	if (!container.rootfs) {
		container.rootfs = layers;
		container.n_rootfs = 1;
	}
	plans = xcalloc(1, sizeof(*plans));
	if (container_plan_new(&container, &plans->container, ret_error) < 0) {
		plans_free(plans);
		return -1;
	}
	machine.container = plans->container;
	if (!wish.sandbox_pid && machine_plan_new(&machine, &plans->machine, ret_error) < 0) {
		plans_free(plans);
		return -1;
	}
	*ret_plan = plans;
	return 0;
}

static void test_default(void)
{
	struct error *error = NULL;
	const struct vm_config *config;
	struct vm_config *parsed;
	struct plans *plan;
	struct fixture f;
	char *text;

	fixture_init(&f);
	CHECK_OK(plan_for(&f, NULL, NULL, NULL, &plan, &error), &error);
	config = plan->machine->config;
	CHECK_INT(config->vcpus, 1);
	CHECK_INT(config->memory_mib, 256);
	CHECK_STRING(config->kernel.path, f.kernel);
	CHECK_INT(config->n_initramfs, 1);
	CHECK_STRING(config->initramfs[0].path, f.initramfs);
	CHECK(strstr(config->cmdline, "console=hvc0") && strstr(config->cmdline, " quiet"));
	CHECK_INT(config->n_devices, 5);
	/* What a template has comes first. */
	CHECK_INT(config->devices[0].type, VM_DEVICE_CONSOLE);
	CHECK_STRING(config->devices[1].blk.id, "layer0");
	CHECK(config->devices[1].blk.readonly);
	CHECK_STRING(config->devices[1].blk.file.path, f.layer);
	CHECK_INT(config->devices[2].type, VM_DEVICE_VSOCK);
	CHECK_STRING(plan->container->layers[0].type, "squashfs");
	CHECK_INT(plan->machine->network, PLAN_NETWORK_HOST);
	/* What is written is what the VMM reads. */
	text = vm_config_write(config);
	CHECK_OK(vm_config_parse(text, strlen(text), &parsed, &error), &error);
	CHECK_STRING(parsed->cmdline, config->cmdline);
	CHECK_INT(parsed->n_devices, 5);
	vm_config_free(parsed);
	free(text);
	plans_free(plan);
	fixture_done(&f);
}

static void check_shape(const struct fixture *f, const char *more, const struct wishes *wishes,
			const struct settings *settings, uint32_t vcpus, uint64_t memory_mib)
{
	struct error *error = NULL;
	struct plans *plan;

	CHECK_OK(plan_for(f, more, wishes, settings, &plan, &error), &error);
	CHECK_INT(plan->machine->config->vcpus, vcpus);
	CHECK_INT(plan->machine->config->memory_mib, memory_mib);
	plans_free(plan);
}

#define ANNOTATED                                                                                  \
	",\"annotations\":{\"io.supermachine.vcpus\":\"4\",\"io.supermachine.memory\":\"700M\"}"
#define CPU(members) ",\"linux\":{\"resources\":{\"cpu\":{" members "}}}"
#define LIMIT(bytes) ",\"linux\":{\"resources\":{\"memory\":{\"limit\":" bytes "}}}"

static void test_shape(void)
{
	const struct settings settings = { .vcpus = 2, .memory_mib = 300 };
	const struct wishes wishes = { .vcpus = 8, .memory_mib = 900 };
	struct fixture f;

	fixture_init(&f);
	check_shape(&f, NULL, NULL, &settings, 2, 300);
	check_shape(&f, ANNOTATED, NULL, &settings, 4, 700);
	check_shape(&f, ANNOTATED LIMIT("2147483648"), NULL, &settings, 4, 700);
	check_shape(&f, ANNOTATED, &wishes, &settings, 8, 900);
	check_shape(&f, LIMIT("104857600"), NULL, NULL, 1, 256);
	check_shape(&f, LIMIT("268435457"), NULL, NULL, 1, 257 + PLAN_OVERHEAD_MIB);
	check_shape(&f, LIMIT("-1"), NULL, NULL, 1, 256);
	/* No more than the host has. */
	check_shape(&f, LIMIT("9223372036854775807"), NULL, NULL, 1,
		    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20);
	fixture_done(&f);
}

static void refused(const struct fixture *f, const char *more, const struct wishes *wishes,
		    const char *message)
{
	struct error *error = NULL;
	struct plans *plan = NULL;

	CHECK_ERROR(plan_for(f, more, wishes, NULL, &plan, &error), &error, message);
	CHECK(!plan);
}

/* A container's CPUs, in whole ones, as far as the host has them. */
static void test_cpus(void)
{
	const uint32_t n_host = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), two = n_host < 2 ? 1 : 2;
	const struct settings settings = { .vcpus = 2 };
	const struct wishes wishes = { .vcpus = 1 };
	const struct {
		const char *more;
		uint32_t vcpus;
	} cases[] = {
		{ CPU("\"quota\":100000"), 1 },
		{ CPU("\"quota\":100001"), two },
		{ CPU("\"quota\":50000,\"period\":25000"), two },
		{ CPU("\"quota\":50000,\"period\":0"), 1 },
		{ CPU("\"quota\":-1,\"period\":1"), 1 },
		{ CPU("\"quota\":9223372036854775807,\"period\":1"), n_host },
		{ CPU("\"cpus\":\"0\""), 1 },
		{ n_host < 2 ? NULL : CPU("\"cpus\":\"0-1\""), two },
		{ n_host < 2 ? NULL : CPU("\"cpus\":\"0,1\",\"quota\":1000"), 1 },
	};
	struct error *error = NULL;
	struct plans *plan;
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_shape(&f, cases[i].more, NULL, NULL, cases[i].vcpus, 256);
	/* Asked for is asked for; the settings are the least. */
	check_shape(&f, CPU("\"quota\":400000"), &wishes, NULL, 1, 256);
	check_shape(&f, CPU("\"quota\":1000"), NULL, &settings, 2, 256);
	CHECK_OK(plan_for(&f, CPU("\"cpus\":\"0\""), NULL, NULL, &plan, &error), &error);
	CHECK_STRING(plan->machine->cpus, "0");
	plans_free(plan);
	refused(&f, CPU("\"cpus\":\"0-8191\""), NULL,
		"linux.resources.cpu.cpus: \"0-8191\": the host has no CPU");
	refused(&f, CPU("\"cpus\":\"some\""), NULL, "\"some\" is not a list such as 0-3,7");
	fixture_done(&f);
}

static void test_refusals(void)
{
	Task__Mount layer = TASK__MOUNT__INIT;
	Task__Mount *layers[PLAN_LAYERS_MAX + 1];
	struct wishes wishes = { .vcpus = 65 };
	struct fixture f;

	fixture_init(&f);
	refused(&f, NULL, &wishes, "65 vCPUs are too many");
	wishes = (struct wishes){ .memory_mib = 16 };
	refused(&f, NULL, &wishes, "16 MiB of memory");
	refused(&f, ",\"annotations\":{\"io.supermachine.vcpus\":\"many\"}", NULL,
		"annotation io.supermachine.vcpus: \"many\" is not a number of CPUs");
	refused(&f, ",\"annotations\":{\"io.supermachine.memory\":\"-1\"}", NULL,
		"annotation io.supermachine.memory: invalid size");
	refused(
	    &f, ",\"annotations\":{\"io.supermachine.memory\":\"512\"}", NULL,
	    "annotation io.supermachine.memory: 512 bytes are less than 1 MiB (units: K, M, G)");
	refused(&f, ",\"linux\":{\"namespaces\":[{\"type\":\"user\"}]}", NULL,
		"no user namespace mappings found");
	refused(&f, ",\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]}",
		NULL, "no user namespace in linux.namespaces");
	refused(&f, ",\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"}]}",
		NULL, "cannot join the pid namespace /proc/1/ns/pid");
	refused(&f, ",\"linux\":{\"netDevices\":{\"eth0\":{}}}", NULL, "linux.netDevices");
	refused(&f, ",\"linux\":{\"memoryPolicy\":{\"mode\":\"MPOL_BIND\"}}", NULL,
		"linux.memoryPolicy");
	refused(&f, ",\"vm\":{\"hwConfig\":{\"irqs\":[1]}}", NULL, "vm.hwConfig.irqs");
	refused(&f, ",\"vm\":{\"kernel\":{\"path\":\"/k\",\"initrd\":\"/i\"}}", NULL,
		"vm.kernel.initrd");
	refused(&f, ",\"vm\":{\"hypervisor\":{\"path\":\"/qemu\"},\"kernel\":{\"path\":\"/k\"}}",
		NULL, "vm.hypervisor.path");
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		layers[i] = &layer;
	layer.type = (char *)"overlay";
	layer.source = (char *)"/x";
	wishes = (struct wishes){ .rootfs = layers, .n_rootfs = 1 };
	refused(&f, NULL, &wishes, "type \"overlay\" (/x) is not supported yet");
	layer.type = (char *)"squashfs";
	refused(&f, NULL, &wishes, "cannot read the layer /x");
	wishes.n_rootfs = ARRAY_SIZE(layers);
	refused(&f, NULL, &wishes, "129 layers are too many: at most 128");
	layer.source = (char *)"/dev/null";
	wishes.n_rootfs = 11;
	refused(&f, NULL, &wishes,
		"11 layers are too many: at most 10, as not all of them are files");
	refused(&f, ",\"annotations\":{\"io.supermachine.cache\":\"never\"}", NULL,
		"annotations[\"io.supermachine.cache\"]: unknown cache mode \"never\"");
	refused(&f, ",\"annotations\":{\"io.supermachine.rootfs\":\"disk\"}", NULL,
		"annotation io.supermachine.rootfs: \"disk\" is neither");
	wishes.n_rootfs = 0;
	refused(&f, ",\"annotations\":{\"io.supermachine.rootfs\":\"layer\"}", &wishes,
		"the caller gave no image");
	refused(&f, NULL, &wishes, "invalid rootfs");
	fixture_done(&f);
}

/* Files are one disk, each behind the one below it. */
static void test_layers(void)
{
	Task__Mount layer = TASK__MOUNT__INIT;
	Task__Mount *layers[20];
	const struct wishes wishes = { .rootfs = layers, .n_rootfs = ARRAY_SIZE(layers) };
	struct error *error = NULL;
	struct plans *plan;
	struct fixture f;

	fixture_init(&f);
	CHECK(truncate(f.layer, 5120) == 0);
	layer.type = (char *)"squashfs";
	layer.source = f.layer;
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		layers[i] = &layer;
	CHECK_OK(plan_for(&f, NULL, &wishes, NULL, &plan, &error), &error);
	CHECK_INT(strv_length(plan->machine->config->devices[1].blk.more), ARRAY_SIZE(layers) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		CHECK_INT(plan->container->layers[i].offset, i * 8192);
	CHECK_INT(plan->container->layers[19].size, 5120);
	plans_free(plan);
	CHECK(truncate(f.layer, 0) == 0);
	refused(&f, NULL, &wishes, "no such size is possible");
	fixture_done(&f);
}

/* As runc 1.1.5 does, which lets a tmpfs and a few others onto directories of /proc. */
static void test_mounts_inside_proc(void)
{
	static const char not_proc[] = "cannot be mounted because it is not of type proc";
	static const char inside[] = "cannot be mounted because it is inside /proc";
	static const struct {
		const char *destination, *type, *message; /* NULL: none */
	} mounts[] = {
		{ "/proc/foo", "bind", inside },
		{ "/proc/version", "bind", inside },
		{ "/proc/sys/crypto/fips_enabled", "bind", inside },
		{ "/proc/cpuinfo/", "bind", NULL },
		{ "/proc/net/dev", "bind", NULL },
		{ "/proc/sys/kernel/ns_last_pid", "bind", NULL },
		{ "/proc/sys/kernel", "bind", inside },
		{ "/procx", "bind", NULL },
		{ "/a/../proc/./foo", "bind", inside },
		{ "/../proc//x/..", "bind", not_proc },
		{ "proc/foo", "bind", inside },
		{ "/proc/fs", "ramfs", inside },
		{ "/proc/fs", "cgroup", inside },
		{ "/proc/fs", "tmpfs", NULL },
		{ "/proc/fs", "mqueue", NULL },
		{ "/proc", "bind", not_proc },
		{ "/proc/", "tmpfs", not_proc },
		{ "/proc", "sysfs", not_proc },
		{ "/proc", "proc", NULL },
	};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		_cleanup_free_ char *more =
		    xasprintf(",\"mounts\":[{\"destination\":\"%s\",\"type\":\"%s\","
			      "\"source\":\"/etc\"}]",
			      mounts[i].destination, mounts[i].type);
		struct error *error = NULL;
		struct plans *plan;

		if (mounts[i].message) {
			refused(&f, more, NULL, mounts[i].message);
			continue;
		}
		CHECK_OK(plan_for(&f, more, NULL, NULL, &plan, &error), &error);
		plans_free(plan);
	}
	refused(&f,
		",\"mounts\":[{\"destination\":\"/proc/v\",\"type\":\"bind\",\"source\":\"/etc\"}]",
		NULL, "error mounting \"/etc\" to rootfs at \"/proc/v\": \"/proc/v\" cannot");
	refused(&f, ",\"annotations\":{\"io.supermachine.volume.v\":\"/v:/proc/v:size=1M\"}", NULL,
		inside);
	fixture_done(&f);
}

static void test_cache(void)
{
	static const char *const names[] = {
		[VM_FS_CACHE_AUTO] = "auto",
		[VM_FS_CACHE_ALWAYS] = "always",
		[VM_FS_CACHE_NONE] = "none",
	};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *more =
		    xasprintf(",\"mounts\":[{\"destination\":\"/m\",\"type\":\"bind\","
			      "\"source\":\"/\",\"options\":[\"bind\"]}],"
			      "\"annotations\":{\"io.supermachine.cache\":\"%s\"}",
			      names[i]);
		struct error *error = NULL;
		struct plans *plan;

		CHECK_OK(plan_for(&f, more, NULL, NULL, &plan, &error), &error);
		CHECK_INT(plan->machine->config->devices[2].type, VM_DEVICE_FS);
		CHECK_INT(plan->machine->config->devices[2].fs.cache, i);
		CHECK(!plan->machine->config->devices[2].fs.cache_by_name);
		plans_free(plan);
	}
	fixture_done(&f);
}

#define ONE_BIND                                                                                   \
	",\"mounts\":[{\"destination\":\"/m\",\"type\":\"bind\",\"source\":\"/\","                 \
	"\"options\":[\"bind\"]}],\"annotations\":{"
#define CACHE(value) "\"io.supermachine.cache\":\"" value "\""
#define POD "\"io.kubernetes.cri.container-type\":\"sandbox\""

static void test_cache_by_name(void)
{
	static const struct {
		const char *more;
		enum vm_fs_cache cache;
		bool by_name;
		const char *share;
	} cases[] = {
		{ ONE_BIND CACHE("/m=always") "}", VM_FS_CACHE_AUTO, true, "box/0@always" },
		{ ONE_BIND CACHE("none,/m=auto") "}", VM_FS_CACHE_NONE, true, "box/0@auto" },
		/* It is the machine's anyway. */
		{ ONE_BIND CACHE("none,/m=none") "}", VM_FS_CACHE_NONE, false, "box/0" },
		/* Others will come. */
		{ ONE_BIND POD "}", VM_FS_CACHE_AUTO, true, "box/0" },
		{ ONE_BIND POD "," CACHE("always") "}", VM_FS_CACHE_ALWAYS, true, "box/0" },
	};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *error = NULL;
		struct plans *plan;

		CHECK_OK(plan_for(&f, cases[i].more, NULL, NULL, &plan, &error), &error);
		CHECK_INT(plan->machine->config->devices[2].type, VM_DEVICE_FS);
		CHECK_INT(plan->machine->config->devices[2].fs.cache, cases[i].cache);
		CHECK_INT(plan->machine->config->devices[2].fs.cache_by_name, cases[i].by_name);
		CHECK_STRING(plan->container->files.shares[0].path, cases[i].share);
		plans_free(plan);
	}
	fixture_done(&f);
}

/* A container that joins a machine has its say where that has more than one mode.  What that
 * machine's own mode is, it does not know: what it asks for is always in the name. */
static void test_cache_joined(void)
{
	static const struct {
		const char *more, *root, *share;
	} cases[] = {
		{ ONE_BIND "}", "box/rootfs", "box/0" },
		{ ONE_BIND CACHE("none") "}", "box/rootfs@none", "box/0@none" },
		{ ONE_BIND CACHE("auto") "}", "box/rootfs@auto", "box/0@auto" },
		{ ONE_BIND CACHE("/m=none") "}", "box/rootfs", "box/0@none" },
		{ ONE_BIND CACHE("/m=auto") "}", "box/rootfs", "box/0@auto" },
	};
	Task__Mount *no_layers[1];
	struct wishes wishes = { .sandbox_pid = getpid(), .rootfs = no_layers };
	struct fixture f;

	fixture_init(&f);
	free(put(&f, "r/file", "x"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *error = NULL;
		struct plans *plan;

		wishes.cache_by_name = false;
		if (strchr(cases[i].share, '@'))
			refused(&f, cases[i].more, &wishes,
				"the sandbox's machine has one cache mode");
		wishes.cache_by_name = strchr(cases[i].share, '@');
		CHECK_OK(plan_for(&f, cases[i].more, &wishes, NULL, &plan, &error), &error);
		CHECK(!plan->machine);
		CHECK_STRING(plan->container->files.root_share, cases[i].root);
		CHECK_STRING(plan->container->files.shares[0].path, cases[i].share);
		plans_free(plan);
	}
	fixture_done(&f);
}

static void test_network(void)
{
	struct error *error = NULL;
	struct plans *plan;
	struct fixture f;

	fixture_init(&f);
	CHECK_OK(plan_for(&f, ",\"linux\":{\"namespaces\":[{\"type\":\"network\"}]}", NULL, NULL,
			  &plan, &error),
		 &error);
	CHECK_INT(plan->machine->network, PLAN_NETWORK_NEW);
	plans_free(plan);
	CHECK_OK(plan_for(&f,
			  ",\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/n\"}]}",
			  NULL, NULL, &plan, &error),
		 &error);
	CHECK_INT(plan->machine->network, PLAN_NETWORK_JOIN);
	CHECK_STRING(plan->machine->network_path, "/n");
	plans_free(plan);
	fixture_done(&f);
}

#define SPEC_NETWORK(more) ",\"linux\":{\"namespaces\":[{\"type\":\"network\"" more "}]}"

/* The request decides, whatever config.json says. */
static void test_network_asked(void)
{
	static const char *const specs[] = { NULL, SPEC_NETWORK(""),
					     SPEC_NETWORK(",\"path\":\"/n\"") };
	const struct wishes none = { .network = "none" },
			    join = { .network = "ns:/proc/self/ns/net", .vcpus = 9 },
			    passt = { .network = "passt", .publish = "8080-8081:80-81/udp" },
			    bad = { .network = "passt", .publish = "80" };
	struct error *error = NULL;
	struct plans *plan;
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		CHECK_OK(plan_for(&f, specs[i], &none, NULL, &plan, &error), &error);
		CHECK_INT(plan->machine->network, PLAN_NETWORK_NEW);
		CHECK(plan->machine->network_isolated && !plan->machine->network_path);
		plans_free(plan);
		CHECK_OK(plan_for(&f, specs[i], &join, NULL, &plan, &error), &error);
		CHECK_INT(plan->machine->network, PLAN_NETWORK_JOIN);
		CHECK_STRING(plan->machine->network_path, "/proc/self/ns/net");
		CHECK(!plan->machine->network_isolated && plan->machine->n_pairs == 8);
		plans_free(plan);
		CHECK_OK(plan_for(&f, specs[i], &passt, NULL, &plan, &error), &error);
		CHECK_INT(plan->machine->network, PLAN_NETWORK_PASST);
		CHECK_INT(plan->machine->network_isolated, specs[i] != NULL);
		CHECK(!plan->machine->network_path);
		CHECK_INT(plan->machine->passt.n_published, 1);
		CHECK_INT(plan->machine->passt.published[0].host_port, 8080);
		CHECK_INT(plan->machine->passt.published[0].n_ports, 2);
		plans_free(plan);
	}
	CHECK_ERROR(plan_for(&f, NULL, &bad, NULL, &plan, &error), &error,
		    "--publish 80: one port is missing");
	fixture_done(&f);
}

/* Of this process and its children alone. */
static void set_host_name(const char *name)
{
	if (unshare(CLONE_NEWUTS) < 0)
		test_skip("no right to make a UTS namespace");
	CHECK(sethostname(name, strlen(name)) == 0);
}

static void test_cmdline(void)
{
	const struct settings settings = { .cmdline = (char *)"from=settings" };
	const struct wishes wishes = { .debug = true };
	_cleanup_free_ char *more = NULL;
	struct error *error = NULL;
	struct plans *plan;
	struct fixture f;

	fixture_init(&f);
	set_host_name("host-1.example");
	more = xasprintf(",\"vm\":{\"kernel\":{\"path\":\"%s\",\"parameters\":[\"a=1\",\"b\"]}}",
			 f.kernel);
	CHECK_OK(plan_for(&f, more, &wishes, &settings, &plan, &error), &error);
	CHECK(strstr(plan->machine->config->cmdline, "ignore_loglevel from=settings a=1 b"));
	CHECK_STRING(plan->machine->hostname, "host-1.example");
	CHECK(!strstr(plan->machine->config->cmdline, "quiet"));
	CHECK_STRING(plan->machine->config->log_level, "debug");
	plans_free(plan);
	CHECK_OK(plan_for(&f, ",\"linux\":{\"namespaces\":[{\"type\":\"uts\"}]}", &wishes,
			  &settings, &plan, &error),
		 &error);
	CHECK_STRING(plan->machine->hostname, "host-1.example");
	plans_free(plan);
	CHECK_OK(plan_for(&f,
			  ",\"hostname\":\"own\",\"linux\":{\"namespaces\":[{\"type\":\"uts\"}]}",
			  &wishes, &settings, &plan, &error),
		 &error);
	CHECK(!plan->machine->hostname);
	plans_free(plan);
	fixture_done(&f);
}

static const struct settings none;

static void find(const char *const *named, size_t n, const char *image, const char *modules)
{
	struct error *error = NULL;
	struct kernel *kernel;

	CHECK_OK(kernel_find(named, n, &none, &kernel, &error), &error);
	CHECK_STRING(kernel->image, image);
	CHECK_STRING(kernel->modules, modules);
	kernel_free(kernel);
}

static void test_kernel(void)
{
	const char *named[] = { NULL, "", NULL };
	_cleanup_free_ char *cloud = NULL;
	_cleanup_free_ char *modules = NULL;
	_cleanup_free_ char *small = NULL;
	_cleanup_free_ char *directory = NULL;
	struct error *error = NULL;
	struct kernel *kernel;
	struct fixture f;

	fixture_init(&f);
	CHECK_ERROR(kernel_find(named, 3, &none, &kernel, &error), &error, "make cloud-kernel");
	cloud = put(&f, "kernel/cloud/vmlinuz", "k");
	modules = put(&f, "kernel/cloud/modules.cpio", "m");
	find(named, 3, cloud, modules);
	small = put(&f, "kernel/small/vmlinux", "k");
	find(named, 3, small, NULL);
	/* By directory, by image, and with the modules beside it. */
	directory = xasprintf("%s/kernel/cloud", f.directory);
	named[2] = directory;
	find(named, 3, cloud, modules);
	named[2] = cloud;
	find(named, 3, cloud, modules);
	named[1] = f.kernel;
	find(named, 3, f.kernel, NULL);
	/* What is named must be there: no falling back. */
	named[0] = "/nonexistent";
	CHECK_ERROR(kernel_find(named, 3, &none, &kernel, &error), &error,
		    "kernel not found: /nonexistent");
	named[0] = f.directory;
	CHECK_ERROR(kernel_find(named, 3, &none, &kernel, &error), &error, "kernel not found");
	fixture_done(&f);
}

/* The modules that a modular kernel may ask for are shared, read-only, with all that is. */
static void test_modules(void)
{
	_cleanup_free_ char *kernel = NULL, *cpio = NULL, *table = NULL, *in_root = NULL;
	_cleanup_free_ char *tree = NULL;
	Task__Mount *nothing[] = { NULL };
	struct wishes wishes = { .rootfs = nothing };
	const struct stage_bind *bind;
	struct error *error = NULL;
	struct plans *plan;
	struct fixture f;

	fixture_init(&f);
	in_root = put(&f, "r/file", "");
	kernel = put(&f, "k/vmlinux", "k");
	table = put(&f, "k/lib/modules/6.1/modules.dep", "");
	tree = xasprintf("%s/k/lib/modules", f.directory);
	wishes.kernel = kernel;
	/* One that has no modules from the start has none later. */
	CHECK_OK(plan_for(&f, NULL, &wishes, NULL, &plan, &error), &error);
	CHECK_INT(plan->machine->stage.n_binds, 1);
	plans_free(plan);
	cpio = put(&f, "k/modules.cpio", "m");
	CHECK_OK(plan_for(&f, NULL, &wishes, NULL, &plan, &error), &error);
	CHECK_INT(plan->machine->stage.n_binds, 2);
	bind = &plan->machine->stage.binds[1];
	CHECK_STRING(bind->name, AGENT_MODULES_SHARE);
	CHECK_STRING(bind->source, tree);
	CHECK(bind->readonly && plan->machine->share);
	plans_free(plan);
	/* No share is made for them alone, if the container is an ordinary one. */
	wishes.rootfs = NULL;
	CHECK_OK(plan_for(&f, NULL, &wishes, NULL, &plan, &error), &error);
	CHECK(!plan->machine->share);
	plans_free(plan);
	fixture_done(&f);
}

/* Request, annotation, vm section, environment, settings. */
static void test_kernel_order(void)
{
	_cleanup_free_ char *annotated = NULL, *in_spec = NULL, *set = NULL, *text = NULL;
	_cleanup_free_ char *in_environment = NULL;
	struct settings settings = { 0 };
	struct wishes wishes = { .kernel = "" };
	struct error *error = NULL;
	struct plans *plan;
	struct fixture f;

	fixture_init(&f);
	annotated = put(&f, "a/vmlinux", "k");
	in_spec = put(&f, "s/vmlinux", "k");
	in_environment = put(&f, "e/vmlinux", "k");
	set = put(&f, "t/vmlinux", "k");
	settings.kernel = set;
	CHECK_OK(plan_for(&f, NULL, &wishes, &settings, &plan, &error), &error);
	CHECK_STRING(plan->machine->config->kernel.path, set);
	plans_free(plan);
	CHECK(setenv("SUPERMACHINE_KERNEL", in_environment, 1) == 0);
	CHECK_OK(plan_for(&f, NULL, &wishes, &settings, &plan, &error), &error);
	CHECK_STRING(plan->machine->config->kernel.path, in_environment);
	plans_free(plan);
	text = xasprintf(",\"vm\":{\"kernel\":{\"path\":\"%s\"}}", in_spec);
	CHECK_OK(plan_for(&f, text, &wishes, &settings, &plan, &error), &error);
	CHECK_STRING(plan->machine->config->kernel.path, in_spec);
	plans_free(plan);
	free(text);
	text = xasprintf(",\"vm\":{\"kernel\":{\"path\":\"%s\"}},"
			 "\"annotations\":{\"io.supermachine.kernel\":\"%s\"}",
			 in_spec, annotated);
	CHECK_OK(plan_for(&f, text, &wishes, &settings, &plan, &error), &error);
	CHECK_STRING(plan->machine->config->kernel.path, annotated);
	plans_free(plan);
	wishes.kernel = f.kernel;
	CHECK_OK(plan_for(&f, text, &wishes, &settings, &plan, &error), &error);
	CHECK_STRING(plan->machine->config->kernel.path, f.kernel);
	plans_free(plan);
	fixture_done(&f);
}

/* One that others asked for is opened when the machine is started, below these directories. */
static void test_confined_kernel(void)
{
	struct fixture f;
	struct allow allow = { .has_options = true, .options = 1U << MACHINE_KERNEL };
	const struct wishes wishes = { .allow = &allow, .no_kernel = true };
	_cleanup_free_ char *command = NULL, *inside = NULL, *outside = NULL, *link = NULL;
	_cleanup_free_ char *linked = NULL, *directory = NULL;
	struct error *error = NULL;
	struct plans *plan;

	fixture_init(&f);
	command = xasprintf("cd '%s' && mkdir -p k/good k/bad && touch k/good/vmlinux "
			    "k/bad/vmlinux secret && "
			    "ln -s ../../secret k/bad/modules.cpio && ln -s '%s' k/link",
			    f.directory, f.kernel);
	CHECK(system(command) == 0);
	inside =
	    xasprintf(",\"annotations\":{\"io.supermachine.kernel\":\"%s/k/good\"}", f.directory);
	outside = xasprintf(",\"annotations\":{\"io.supermachine.kernel\":\"%s\"}", f.kernel);
	link =
	    xasprintf(",\"annotations\":{\"io.supermachine.kernel\":\"%s/k/link\"}", f.directory);
	linked =
	    xasprintf(",\"annotations\":{\"io.supermachine.kernel\":\"%s/k/bad\"}", f.directory);
	refused(&f, inside, &wishes, "does not lie below a directory of allow.paths");
	directory = xasprintf("%s/k", f.directory);
	strv_append(&allow.paths, directory);
	CHECK_OK(plan_for(&f, inside, &wishes, NULL, &plan, &error), &error);
	CHECK(!plan->machine->config->kernel.path && plan->machine->kernel);
	CHECK(strstr(plan->machine->kernel->image, "/k/good/vmlinux"));
	CHECK_STRING(plan->machine->within[0], allow.paths[0]);
	plans_free(plan);
	refused(&f, outside, &wishes, "annotations[\"io.supermachine.kernel\"]: ");
	refused(&f, link, &wishes, "/k/link does not lie below");
	refused(&f, linked, &wishes, "/k/bad/modules.cpio does not lie below");
	allow_done(&allow);
	fixture_done(&f);
}

static const struct test_case cases[] = {
	{ "default", test_default },
	{ "shape", test_shape },
	{ "cpus", test_cpus },
	{ "refusals", test_refusals },
	{ "layers", test_layers },
	{ "mounts inside /proc", test_mounts_inside_proc },
	{ "cache", test_cache },
	{ "cache by name", test_cache_by_name },
	{ "cache joined", test_cache_joined },
	{ "network", test_network },
	{ "network asked for", test_network_asked },
	{ "cmdline", test_cmdline },
	{ "kernel", test_kernel },
	{ "kernel order", test_kernel_order },
	{ "modules", test_modules },
	{ "confined kernel", test_confined_kernel },
};

TEST_MAIN(cases)
