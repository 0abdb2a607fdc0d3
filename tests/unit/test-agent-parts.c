/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the agent that need no container: limits, device rules, options, streams. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/cpuset.h"
#include "agent/device-program.h"
#include "agent/files.h"
#include "agent/identity.h"
#include "agent/inroot.h"
#include "agent/program.h"
#include "agent/stdio.h"
#include "agent/timer.h"
#include "base/alloc.h"
#include "base/io.h"
#include "runtime-spec/mount-options.h"
#include "tests/unit/streams.h"
#include "tests/unit/test.h"
#include "virtio/vsock.h"

static void check_path(const char *cgroups_path, const char *wanted)
{
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;

	CHECK_OK(cgroup_path("/cg", cgroups_path, "id", &path, &error), &error);
	CHECK_STRING(path, wanted);
}

static void test_cgroup_path(void)
{
	static const char *const bad[] = { "/..", "a/../b",	 "..",	  "/",
					   "",	  "///",	 "/.",	  "/a/..",
					   "./.", "/x\nmade /y", "/\x7f", "a.slice:b:c\td" };
	_cleanup_free_ char *path = NULL;
	struct error *error = NULL;

	check_path(NULL, "/cg/id");
	check_path("/a/b", "/cg/a/b");
	check_path("a/b", "/cg/a/b");
	check_path("//a..b/..c", "/cg/a..b/..c");
	/* As runc has it (filepath.Clean). */
	check_path("/a//./b/.", "/cg/a/b");
	check_path("./a/...//", "/cg/a/...");
	check_path("system.slice:docker:abc", "/cg/system.slice/docker-abc.scope");
	check_path(":docker:abc", "/cg/system.slice/docker-abc.scope");
	check_path("a-b-c.slice:cri:x", "/cg/a.slice/a-b.slice/a-b-c.slice/cri-x.scope");
	check_path("-.slice:cri:x", "/cg/cri-x.scope");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_ERROR(cgroup_path("/cg", bad[i], "id", &path, &error), &error,
			    "linux.cgroupsPath");
	CHECK(!path);
}

/* A directory with files in place of a cgroup. */
static char directory[] = "/tmp/supermachine-agent-parts.XXXXXX";

static void remove_directory(void)
{
	(void)remove_tree(directory, NULL);
}

static struct cgroup *fake_cgroup(const char *const *files)
{
	struct cgroup *cgroup = xcalloc(1, sizeof(*cgroup));

	CHECK(mkdtemp(directory) != NULL);
	CHECK(atexit(remove_directory) == 0);
	cgroup->path = xstrdup(directory);
	cgroup->program_fd = -1;
	cgroup->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; files[i]; i++)
		(void)close(openat(cgroup->fd, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	return cgroup;
}

static int set(struct cgroup *cgroup, const char *json, struct error **ret_error)
{
	_cleanup_(spec_resources_freep) struct spec_resources *resources = NULL;

	CHECK_OK(spec_parse_resources(json, strlen(json), &resources, ret_error), ret_error);
	return cgroup_set_limits(cgroup, resources, ret_error);
}

/* Sets json, then expects value in file, which is emptied first. */
static void check_limit(struct cgroup *cgroup, const char *json, const char *file,
			const char *value)
{
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	int fd = openat(cgroup->fd, file, O_WRONLY | O_TRUNC | O_CLOEXEC);

	CHECK(fd >= 0);
	(void)close(fd);
	CHECK_OK(set(cgroup, json, &error), &error);
	text = cgroup_read(cgroup, file);
	if (!text || strcmp(text, value) != 0)
		test_fail(__FILE__, __LINE__, "%s: %s is \"%s\", not \"%s\"", json, file, text,
			  value);
}

static void test_limits(void)
{
	static const char *const files[] = {
		"memory.max",	   "memory.swap.max", "memory.low",  "cpu.weight", "cpu.max",
		"cpu.max.burst",   "cpu.idle",	      "cpuset.cpus", "pids.max",   "io.weight",
		"hugetlb.2MB.max", "memory.high",     "cpuset.mems", NULL
	};
	_cleanup_(cgroup_freep) struct cgroup *cgroup = fake_cgroup(files);
	struct error *error = NULL;

	check_limit(cgroup, "{\"memory\":{\"limit\":1000}}", "memory.max", "1000");
	check_limit(cgroup, "{\"memory\":{\"limit\":-1}}", "memory.max", "max");
	check_limit(cgroup, "{\"memory\":{\"limit\":-1}}", "memory.swap.max", "max");
	check_limit(cgroup, "{\"memory\":{\"limit\":1000,\"swap\":1500}}", "memory.swap.max",
		    "500");
	check_limit(cgroup, "{\"memory\":{\"limit\":1000,\"swap\":1000}}", "memory.swap.max", "0");
	check_limit(cgroup, "{\"memory\":{\"limit\":1000,\"swap\":-1}}", "memory.swap.max", "max");
	check_limit(cgroup, "{\"memory\":{\"limit\":1000}}", "memory.swap.max", "");
	check_limit(cgroup, "{\"memory\":{\"reservation\":7}}", "memory.low", "7");
	CHECK_ERROR(set(cgroup, "{\"memory\":{\"limit\":1000,\"swap\":999}}", &error), &error,
		    "memory+swap limit should be >= memory limit");
	check_limit(cgroup, "{\"cpu\":{\"shares\":2}}", "cpu.weight", "1");
	check_limit(cgroup, "{\"cpu\":{\"shares\":1024}}", "cpu.weight", "100");
	check_limit(cgroup, "{\"cpu\":{\"shares\":262144}}", "cpu.weight", "10000");
	check_limit(cgroup, "{\"cpu\":{\"shares\":0}}", "cpu.weight", "");
	check_limit(cgroup, "{\"cpu\":{\"quota\":5000}}", "cpu.max", "5000 100000");
	check_limit(cgroup, "{\"cpu\":{\"quota\":-1,\"period\":20000}}", "cpu.max", "max 20000");
	check_limit(cgroup, "{\"cpu\":{\"period\":20000}}", "cpu.max", "max 20000");
	check_limit(cgroup, "{\"cpu\":{\"burst\":9}}", "cpu.max.burst", "9");
	check_limit(cgroup, "{\"cpu\":{\"idle\":1,\"shares\":5}}", "cpu.weight", "");
	check_limit(cgroup, "{\"cpu\":{\"cpus\":\"7\"}}", "cpuset.cpus", "0");
	check_limit(cgroup, "{\"cpu\":{\"cpus\":\"\"}}", "cpuset.cpus", "");
	check_limit(cgroup, "{\"cpu\":{\"mems\":\"0-1\"}}", "cpuset.mems", "0");
	check_limit(cgroup, "{\"unified\":{\"cpuset.cpus\":\"5\"}}", "cpuset.cpus", "0");
	check_limit(cgroup, "{\"unified\":{\"cpuset.mems\":\"1,2\"}}", "cpuset.mems", "0");
	check_limit(cgroup, "{\"pids\":{\"limit\":3}}", "pids.max", "3");
	check_limit(cgroup, "{\"pids\":{\"limit\":-1}}", "pids.max", "max");
	check_limit(cgroup, "{\"pids\":{\"limit\":0}}", "pids.max", "");
	check_limit(cgroup, "{\"blockIO\":{\"weight\":10}}", "io.weight", "1");
	check_limit(cgroup, "{\"blockIO\":{\"weight\":1000}}", "io.weight", "10000");
	check_limit(cgroup, "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4}]}",
		    "hugetlb.2MB.max", "4");
	check_limit(cgroup, "{\"unified\":{\"memory.high\":\"12\"}}", "memory.high", "12");
	CHECK_ERROR(set(cgroup, "{\"unified\":{\"../x\":\"1\"}}", &error), &error, "no slashes");
	CHECK_ERROR(set(cgroup, "{\"unified\":{\"cgroup.kill\":\"1\"}}", &error), &error,
		    "unified");
	CHECK_ERROR(set(cgroup, "{\"cpu\":{\"cpus\":\"0-x\"}}", &error), &error,
		    "linux.resources.cpu.cpus: \"0-x\" is not a list");
	CHECK_ERROR(set(cgroup, "{\"cpu\":{\"mems\":\"node\"}}", &error), &error,
		    "linux.resources.cpu.mems: \"node\" is not a list");
	CHECK_ERROR(set(cgroup, "{\"unified\":{\"cpuset.cpus\":\"-\"}}", &error), &error,
		    "\"cpuset.cpus\" can't be set: cpuset.cpus: \"-\" is not a list");
	CHECK(unlinkat(cgroup->fd, "cpuset.mems", 0) == 0);
	CHECK_ERROR(set(cgroup, "{\"cpu\":{\"mems\":\"0\"}}", &error), &error,
		    "no such controller");
}

static void test_cpuset(void)
{
	static const struct {
		const char *list;
		unsigned int n;
		const char *wanted;
	} lists[] = {
		{ "0", 1, "0" },       { "9", 4, "0" },		 { "2-3", 4, "0-1" },
		{ "2-3", 1, "0" },     { "0-3,7", 8, "0-4" },	 { "0-3,7", 4, "0-3" },
		{ "7,0-3", 5, "0-4" }, { "1,1,1", 4, "0" },	 { "0-2,1-3,2", 8, "0-3" },
		{ "5-5", 4, "0" },     { "0-8191", 64, "0-63" }, { "8191", 2, "0" },
		{ "00,08", 4, "0-1" }, { " 1,\t3\n", 4, "0-1" }, { ",1,,2,", 4, "0-1" },
	};
	static const char *const bad[] = {
		",",
		"-1",
		"1-",
		"1--2",
		"3-1",
		"0-3-5",
		"a",
		"0x1",
		"1 -2",
		"1- 2",
		"+1",
		"1.5",
		"0;1",
		"0-3:1/2",
		"8192",
		"0-8192",
		"99999999999999999999999",
	};
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_free_ char *mapped = NULL;

		CHECK_OK(cpuset_map(lists[i].list, lists[i].n, "x", &mapped, &error), &error);
		CHECK_STRING(mapped, lists[i].wanted);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *mapped = NULL;

		CHECK_ERROR(cpuset_map(bad[i], 4, "x.y", &mapped, &error), &error, "x.y: \"");
		CHECK(!mapped);
	}
}

/* An update of one of quota and period leaves the other. */
static void test_cpu_update(void)
{
	static const char *const files[] = { "cpu.max", NULL };
	_cleanup_(cgroup_freep) struct cgroup *cgroup = fake_cgroup(files);
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;

	CHECK_OK(cgroup_write(cgroup, "cpu.max", "5000 20000\n", &error), &error);
	CHECK_OK(set(cgroup, "{\"cpu\":{\"period\":40000}}", &error), &error);
	CHECK_OK(set(cgroup, "{\"cpu\":{\"quota\":6000}}", &error), &error);
	text = cgroup_read(cgroup, "cpu.max");
	CHECK(strncmp(text, "6000 40000", 10) == 0);
}

/* ---- the device program, run by an interpreter of the few instructions it has ---- */

static uint64_t operand(const struct bpf_insn *insn, const uint64_t *r)
{
	return BPF_SRC(insn->code) == BPF_X ? r[insn->src_reg] : (uint64_t)(int64_t)insn->imm;
}

static bool interpret(const struct bpf_insn *program, size_t n,
		      const struct bpf_cgroup_dev_ctx *context)
{
	uint64_t r[11] = { [1] = (uintptr_t)context };

	for (size_t pc = 0; pc < n; pc++) {
		const struct bpf_insn *i = &program[pc];
		uint64_t value = operand(i, r);

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			CHECK(i->src_reg == 1 && i->off >= 0 && (size_t)i->off < sizeof(*context));
			r[i->dst_reg] = ((const uint32_t *)(const void *)context)[i->off / 4];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
		case BPF_ALU64 | BPF_MOV | BPF_X:
			r[i->dst_reg] = value;
			break;
		case BPF_ALU64 | BPF_RSH | BPF_K:
			r[i->dst_reg] >>= value;
			break;
		case BPF_ALU64 | BPF_AND | BPF_K:
			r[i->dst_reg] &= value;
			break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			pc += (uint32_t)r[i->dst_reg] != (uint32_t)value ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			pc += r[i->dst_reg] != value ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += r[i->dst_reg] == value ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return r[0] != 0;
		default:
			test_fail(__FILE__, __LINE__, "instruction %#x at %zu", i->code, pc);
		}
	}
	test_fail(__FILE__, __LINE__, "the program has no end");
}

/* The rules read as config-linux.md puts them: one access bit at a time, the
 * last rule that speaks of it decides. */
static bool model(const struct spec_device_cgroup *rules, size_t n, char type, uint32_t major,
		  uint32_t minor, uint32_t access)
{
	for (uint32_t bit = 1; bit <= 4; bit <<= 1) {
		bool allowed = false;

		for (size_t i = 0; i < n && (access & bit); i++) {
			const struct spec_device_cgroup *r = &rules[i];
			bool speaks = bit == BPF_DEVCG_ACC_MKNOD  ? r->mknod
				      : bit == BPF_DEVCG_ACC_READ ? r->read
								  : r->write;

			if (speaks &&
			    (r->type == 'a' ||
			     (r->type == type && (r->major < 0 || r->major == (int64_t)major) &&
			      (r->minor < 0 || r->minor == (int64_t)minor))))
				allowed = r->allow;
		}
		if ((access & bit) && !allowed)
			return false;
	}
	return true;
}

static void test_device_program(void)
{
	struct spec_device_cgroup rules[12];
	struct error *error = NULL;

	srandom(4711);
	for (int round = 0; round < 3000; round++) {
		_cleanup_free_ struct bpf_insn *program = NULL;
		size_t n_rules = (size_t)random() % (ARRAY_SIZE(rules) + 1), n;

		for (size_t i = 0; i < n_rules; i++)
			rules[i] = (struct spec_device_cgroup){
				.allow = random() & 1,
				.type = "abccbcbc"[random() % 8],
				.major = random() % 4 - 1,
				.minor = random() % 4 - 1,
				.read = random() & 1,
				.write = random() & 1,
				.mknod = random() & 1,
			};
		CHECK_OK(device_program_compile(rules, n_rules, &program, &n, &error), &error);
		for (uint32_t probe = 0; probe < 2 * 3 * 3 * 8; probe++) {
			uint32_t access = probe & 7, major = probe / 8 % 3, minor = probe / 24 % 3;
			bool block = probe / 72;
			struct bpf_cgroup_dev_ctx context = {
				.access_type = access << 16 |
					       (block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
				.major = major,
				.minor = minor,
			};

			if (access != 0)
				CHECK(
				    interpret(program, n, &context) ==
				    model(rules, n_rules, block ? 'b' : 'c', major, minor, access));
		}
	}
	CHECK_ERROR(device_program_compile(rules, DEVICE_RULES_MAX + 1, NULL, NULL, &error), &error,
		    "device rules");
}

static void test_mount_options(void)
{
	char *const options[] = { (char *)"ro",	    (char *)"nosuid",	 (char *)"suid",
				  (char *)"size=1", (char *)"rshared",	 (char *)"rro",
				  (char *)"rrw",    (char *)"rnoatime",	 (char *)"ratime",
				  (char *)"mode=7", (char *)"tmpcopyup", NULL };
	char *many[] = { (char *)"shared", (char *)"shared",
			 (char *)"shared", (char *)"shared",
			 (char *)"shared", (char *)"shared",
			 (char *)"shared", (char *)"shared",
			 (char *)"shared", NULL };
	struct mount_options parsed;
	struct error *error = NULL;
	const char *previous = "";

	CHECK_OK(mount_options_parse(options, &parsed, &error), &error);
	CHECK_INT(parsed.flags, MS_RDONLY);
	CHECK_STRING(parsed.data, "size=1,mode=7");
	CHECK_INT(parsed.n_propagations, 1);
	CHECK_INT(parsed.propagations[0], MS_SHARED | MS_REC);
	CHECK_INT(parsed.recursive_set, 0);
	CHECK_INT(parsed.recursive_clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME);
	CHECK(parsed.tmpcopyup && !parsed.copyup && !parsed.bind);
	mount_options_done(&parsed);
	CHECK_ERROR(mount_options_parse(many, &parsed, &error), &error, "too many");
	for (size_t i = 0; mount_option_name(i); i++) {
		CHECK(strcmp(previous, mount_option_name(i)) < 0); /* in order, none twice */
		previous = mount_option_name(i);
	}
}

static void test_directories_in_root(void)
{
	struct error *error = NULL;
	struct stat st;
	int root_fd, fd;

	CHECK(mkdtemp(directory) != NULL);
	CHECK(atexit(remove_directory) == 0);
	CHECK(chdir(directory) == 0 && mkdir("root", 0755) == 0);
	root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(symlinkat("../../../up", root_fd, "upward") == 0);
	CHECK(symlinkat("/abs/olute", root_fd, "abs-link") == 0);
	CHECK(symlinkat("loop", root_fd, "loop") == 0);
	CHECK(symlinkat("b", root_fd, "a") == 0 && symlinkat("a", root_fd, "b") == 0);
	CHECK(mknodat(root_fd, "file", S_IFREG | 0600, 0) == 0);
	CHECK_OK(inroot_make_directories(root_fd, "/upward/x", 0755, &fd, &error), &error);
	CHECK(stat("root/up/x", &st) == 0 && stat("up", &st) < 0);

	CHECK_OK(inroot_make_directories(root_fd, "abs-link/../z/./y//", 0700, &fd, &error),
		 &error);
	CHECK(stat("root/abs/z/y", &st) == 0);
	CHECK_ERROR(inroot_make_directories(root_fd, "/loop/x", 0755, &fd, &error), &error,
		    "symbolic links");
	CHECK_ERROR(inroot_make_directories(root_fd, "a/x", 0755, &fd, &error), &error,
		    "symbolic links");
	CHECK_ERROR(inroot_make_directories(root_fd, "file/x", 0755, &fd, &error), &error,
		    "not a directory");
}

static void test_environment(void)
{
	char *const env[] = { (char *)"A=1",   (char *)"AB=2",	  (char *)"broken",
			      (char *)"A=3=4", (char *)"HOME=/h", NULL };
	_cleanup_strv_ char **result = program_environment(env, 0);

	CHECK_INT(strv_length(result), 3);
	CHECK_STRING(result[0], "A=3=4");
	CHECK_STRING(environment_get(result, "AB"), "2");
	CHECK(!environment_get(result, "B"));
}

static void test_stdio_table(void)
{
	struct stdio_table *table = stdio_table_new();
	struct error *error = NULL;
	int fds[2], fd;

	CHECK_INT(STDIO_WAITING_MAX, VSOCK_CONNS_MAX);
	CHECK_ERROR(stdio_table_claim(table, 1, &error), &error, "no stdio connection from port 1");
	make_sockets(fds);
	stdio_table_add(table, 1, fds[1]);
	for (uint32_t port = 2; port < STDIO_WAITING_MAX + 2; port++)
		stdio_table_add(table, port, dup(fds[0]));
	/* bounded: the oldest has made room */
	CHECK_ERROR(stdio_table_claim(table, 1, &error), &error, "port 1");
	fd = stdio_table_claim(table, 2, &error);
	CHECK(fd >= 0 && close(fd) == 0);
	CHECK_ERROR(stdio_table_claim(table, 2, &error), &error, "port 2");
	stdio_table_free(table);
}

/* With a descriptor missing for one direction there is no terminal, and no half of one. */
static void terminal_with_fds(size_t n)
{
	struct stdio_table *table = stdio_table_new();
	const struct stdio_ports ports = { .in = 1, .out = 1 };
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct streams *streams;
	struct error *error = NULL;
	int host[2], child_fds[3], master;

	make_sockets(host);
	CHECK_OK(loop_new(&loop, &error), &error);
	stdio_table_add(table, 1, host[1]);
	CHECK_OK(streams_new(loop, table, &ports, true, &streams, child_fds, &error), &error);
	CHECK((master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) >= 0);
	test_leave_fds(n);
	CHECK_ERROR(streams_set_terminal(streams, master, &error), &error,
		    "cannot duplicate the terminal");
	streams_free(streams);
	stdio_table_free(table);
	/* What was open for it is closed. */
	loop_step(loop, 0);
	CHECK(read(host[0], &n, sizeof(n)) == 0);
}

static void test_no_descriptor_for_terminal(void)
{
	terminal_with_fds(0);
}

static void test_no_descriptor_for_input(void)
{
	terminal_with_fds(1);
}

static void test_no_descriptor_for_socket(void)
{
	terminal_with_fds(2);
}

/* As Linux prints them; what stands before is not the tick device. */
#define TIMER_LIST(mult)                                                                           \
	"Timer List Version: v0.9\nTick Device: mode:     1\nBroadcast device\n"                   \
	"Clock Event Device: <NULL>\n\nTick Device: mode:     1\nPer CPU device: 0\n"              \
	"Clock Event Device: lapic\n max_delta_ns:   134217594\n min_delta_ns:   1000\n"           \
	" mult:           " mult "\n shift:          32\n mode:           3\n"

static void check_timer(const char *cmdline, const char *timer_list, const char *message)
{
	char proc[] = "/tmp/supermachine-agent-timer.XXXXXX";
	_cleanup_free_ char *cmdline_path = NULL;
	_cleanup_free_ char *list_path = NULL;
	struct error *error = NULL;

	CHECK(mkdtemp(proc) != NULL);
	cmdline_path = xasprintf("%s/cmdline", proc);
	list_path = xasprintf("%s/timer_list", proc);
	CHECK_OK(write_file_atomic(cmdline_path, cmdline, strlen(cmdline), 0600, &error), &error);
	CHECK_OK(write_file_atomic(list_path, timer_list, strlen(timer_list), 0600, &error),
		 &error);
	if (message) {
		CHECK(timer_check(proc, &error) < 0 && error->code == ERANGE);
		CHECK_ERROR(-1, &error, message);
	} else {
		CHECK_OK(timer_check(proc, &error), &error);
	}
	CHECK_OK(remove_tree(proc, &error), &error);
}

static void test_timer(void)
{
	const char *line = "console=hvc0 quiet supermachine.timer_khz=62500\n";

	check_timer(line, TIMER_LIST("268435456"), NULL);
	check_timer(line, TIMER_LIST("134217728"), NULL);
	check_timer(line, TIMER_LIST("402653184"), NULL);
	check_timer(line, TIMER_LIST("134000000"), "as 31199 kHz, not 62500");
	check_timer(line, TIMER_LIST("402700000"), "as 93760 kHz, not 62500");
	check_timer(line, TIMER_LIST("4294967295"), "not 62500");
	check_timer(line, TIMER_LIST("99999999999999999999"), "as 0 kHz");
	/* Far too slow, and the kernel gave it up: as it shows that, or might. */
	check_timer(line, TIMER_LIST("0"), "as 0 kHz");
	check_timer(line, "Clock Event Device: <NULL>\n", "as 0 kHz");
	check_timer(line, "Clock Event Device: lapic\n", "as 0 kHz");
	check_timer(line, "", "as 0 kHz");
	/* A template's clones would all have the error. */
	line = "console=hvc0 supermachine.timer_khz=62500 nr_cpus=1 supermachine.template\n";
	check_timer(line, TIMER_LIST("268435456"), NULL);
	check_timer(line, TIMER_LIST("285000000"), NULL);
	check_timer(line, TIMER_LIST("251800000"), NULL);
	check_timer(line, TIMER_LIST("285400000"), "as 66449 kHz, not 62500");
	check_timer(line, TIMER_LIST("251500000"), "as 58556 kHz, not 62500");
	/* Under KVM nothing is said, and nothing measured. */
	check_timer("console=hvc0 quiet\n", "", NULL);
	check_timer("supermachine.timer_khz=\n", "", NULL);
}

/* A failure is told: a clone must not go on with the random numbers of another. */
static void check_refusals(void)
{
	static const uint8_t entropy[64] = { 1 };
	struct error *error = NULL;

	if (geteuid() == 0)
		CHECK(setresuid(65534, 65534, 65534) == 0);
	CHECK_ERROR(identity_add_entropy(entropy, sizeof(entropy), &error), &error,
		    "cannot add entropy: ");
	CHECK_ERROR(identity_set_clock(UINT64_MAX, &error), &error, "cannot set the clock: ");
	CHECK_OK(identity_add_entropy(NULL, 0, &error), &error);
	CHECK_OK(identity_set_clock(0, &error), &error);
	_exit(0);
}

static void test_identity(void)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		check_refusals();
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

/* What the host says of parts of a disk is checked when it is read. */
static void test_layer_parts(void)
{
	static const struct {
		uint64_t offset, size;
		bool is_possible;
	} cases[] = {
		{ 0, 0, true },
		{ 0, 512, true },
		{ 4096, 1024, true },
		{ 4096, 0, false },
		{ 100, 512, false },
		{ 0, 513, false },
		{ INT64_MAX - 511, 512, false },
		{ UINT64_MAX - 511, 512, false },
		{ 512, UINT64_MAX - 511, false },
	};
	Agent__CreateRequest request = AGENT__CREATE_REQUEST__INIT;
	Agent__Layer layer = AGENT__LAYER__INIT, *layers[] = { &layer };
	_cleanup_error_ struct error *error = NULL;

	request.layers = layers;
	request.n_layers = 1;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct files *files = NULL;

		layer.offset = cases[i].offset;
		layer.size = cases[i].size;
		if (cases[i].is_possible)
			CHECK_OK(files_new(&request, 0, &files, &error), &error);
		else
			CHECK_ERROR(files_new(&request, 0, &files, &error), &error,
				    "layer 0: no part of a disk");
		files_free(files);
	}
}

static const struct test_case cases[] = {
	{ "cgroup path", test_cgroup_path },
	{ "limits", test_limits },
	{ "cpuset", test_cpuset },
	{ "cpu update", test_cpu_update },
	{ "device program", test_device_program },
	{ "mount options", test_mount_options },
	{ "directories in root", test_directories_in_root },
	{ "environment", test_environment },
	{ "stdio table", test_stdio_table },
	{ "no descriptor for terminal", test_no_descriptor_for_terminal },
	{ "no descriptor for input", test_no_descriptor_for_input },
	{ "no descriptor for socket", test_no_descriptor_for_socket },
	{ "timer", test_timer },
	{ "identity", test_identity },
	{ "layer parts", test_layer_parts },
};
TEST_MAIN(cases)
