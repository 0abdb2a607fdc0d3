/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool (sandbox/machine-pool.h) and the task server that takes machines from it, against a fake
 * VMM and agent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "host/pool.h"
#include "sandbox/machine-pool.h"
#include "sandbox/plan/machine-plan.h"
#include "tests/unit/shim-rig.h"

#define LOOKS 1000
#define LOOK_US 10000

struct bed {
	struct rig rig;
	pid_t pool;
};

/* ---- the pool's process ---- */

static void terminated(void *data, const struct signalfd_siginfo *info)
{
	(void)info;
	loop_quit(data);
}

static void __attribute__((noreturn)) run_pool(size_t wanted)
{
	_cleanup_free_ char *directory = pool_directory();
	const struct machine_pool_options options = {
		.wanted = wanted, .directory = directory, .settle_ms = 10, .start_timeout_ms = 20000
	};
	struct error *error = NULL;
	struct source *source;
	struct loop *loop;
	struct machine_pool *pool;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)signal(SIGCHLD, SIG_IGN); /* nobody stays a zombie */
	if (getenv("SHIM_RIG_DEBUG"))
		log_set_level(LOG_LEVEL_DEBUG);
	CHECK_OK(loop_new(&loop, &error), &error);
	CHECK_OK(loop_add_signal(loop, SIGTERM, "terminate", terminated, loop, &source, &error),
		 &error);
	CHECK_OK(machine_pool_new(loop, &options, &pool, &error), &error);
	loop_run(loop);
	machine_pool_free(pool);
	loop_free(loop);
	free(directory);
	_exit(0);
}

static struct pool_status status(void)
{
	struct pool_status status = { 0 };
	struct error *error = NULL;

	CHECK_OK(pool_ask_status(&status, &error), &error);
	return status;
}

static void start_pool(struct bed *bed, size_t wanted)
{
	struct pool_status status;
	struct error *error = NULL;
	int looks = 0;

	bed->pool = fork();
	if (bed->pool == 0)
		run_pool(wanted);
	for (; pool_ask_status(&status, &error) < 0 && looks < LOOKS; looks++) {
		error_free(TAKE_PTR(error));
		(void)usleep(LOOK_US);
	}
	CHECK(looks < LOOKS);
	CHECK_INT(status.wanted, wanted);
}

static void check_pool_is_gone(const char *what)
{
	_cleanup_free_ char *directory = pool_directory();
	DIR *dir = opendir(directory);
	struct dirent *entry;

	CHECK(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			test_fail(__FILE__, __LINE__, "%s: %s was left behind", what,
				  entry->d_name);
	(void)closedir(dir);
}

static void stop_pool(const struct bed *bed)
{
	int code;

	CHECK(kill(bed->pool, SIGTERM) == 0);
	CHECK(waitpid(bed->pool, &code, 0) == bed->pool);
	CHECK_INT(code, 0);
	check_pool_is_gone("stopped");
}

/* The first of those that wait, when there are n. */
static pid_t wait_for(size_t n)
{
	for (int i = 0; i < LOOKS; i++) {
		const struct pool_status now = status();

		if (now.n_pids == n)
			return now.pids[0];
		(void)usleep(LOOK_US);
	}
	test_fail(__FILE__, __LINE__, "%zu machines wait, not %zu", status().n_pids, n);
	return 0;
}

static void wait_for_end(pid_t pid)
{
	for (int i = 0; i < LOOKS && kill(pid, 0) == 0; i++)
		(void)usleep(LOOK_US);
	CHECK(kill(pid, 0) < 0);
}

/* ---- kinds ---- */

static char *path_of(const struct bed *bed, const char *name)
{
	return xasprintf("%s/%s", bed->rig.directory, name);
}

/* What a task server of the rig would ask for. */
static char *kind_of(const struct bed *bed, const char *words)
{
	_cleanup_(machine_plan_freep) struct machine_plan *plan = machine_plan_begin();
	_cleanup_free_ char *program = path_of(bed, "vmm");
	struct vm_config *config = plan->config;
	char *kind;

	config->kernel.path = path_of(bed, "kernel");
	config->initramfs[config->n_initramfs++].path = path_of(bed, "initramfs");
	config->cmdline = xstrdup(words);
	config->templates = xstrdup("/nowhere");
	plan->share = plan->pool = true;
	kind = plan_pool_kind(plan, program);
	CHECK(kind);
	return kind;
}

static void expect_none(const char *kind, const char *part)
{
	struct pool_machine machine;
	struct error *error = NULL;

	CHECK_ERROR(pool_take(kind, &machine, &error), &error, part);
}

static struct pool_machine expect_one(const char *kind)
{
	struct pool_machine machine;
	struct error *error = NULL;

	CHECK_OK(pool_take(kind, &machine, &error), &error);
	return machine;
}

static void begin(struct bed *bed, size_t wanted)
{
	_cleanup_free_ char *link = NULL, *config = NULL, *cache = NULL;
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	struct error *error = NULL;

	CHECK(n > 0);
	path[n] = '\0';
	rig_init(&bed->rig);
	link = path_of(bed, "vmm");
	*strrchr(path, '/') = '\0';
	(void)strcat(path, "/fake-vmm");
	CHECK(symlink(path, link) == 0);
	config = path_of(bed, "config.json");
	cache = path_of(bed, "cache");
	CHECK_OK(write_file_atomic(config, "{\"pool\":1}", 10, 0600, &error), &error);
	CHECK(setenv("SUPERMACHINE_CONFIG", config, 1) == 0);
	CHECK(setenv("SUPERMACHINE_CACHE", cache, 1) == 0);
	CHECK(setenv("SUPERMACHINE_ACCEL", "kvm", 1) == 0);
	start_pool(bed, wanted);
}

static void end(struct bed *bed)
{
	stop_pool(bed);
	rig_remove(&bed->rig);
}

/* ---- the pool alone ---- */

/* What is asked for is held: first nothing, then one of the kind, once. */
static void test_held(void)
{
	struct bed bed;
	_cleanup_free_ char *kind = NULL, *other = NULL;
	struct pool_machine machine;
	pid_t first;

	begin(&bed, 1);
	kind = kind_of(&bed, "one");
	other = kind_of(&bed, "other");
	expect_none(kind, "no machine of this kind waits");
	first = wait_for(1);
	expect_none(other, "no machine of this kind waits");
	/* The last request is what counts. */
	wait_for_end(first);
	(void)wait_for(1);
	machine = expect_one(other);
	expect_none(other, "no machine of this kind waits");
	CHECK(kill(machine.pid, 0) == 0);
	CHECK(faccessat(machine.directory, "vmm.log", F_OK, 0) == 0);
	CHECK(faccessat(machine.directory, "vsock.sock", F_OK, 0) == 0);
	first = machine.pid;
	pool_machine_done(&machine);
	wait_for_end(first);
	end(&bed);
}

/* Of two that ask at once, each machine is one's. */
static void test_taken_once(void)
{
	struct pool_machine machines[2];
	struct bed bed;
	_cleanup_free_ char *kind = NULL;

	begin(&bed, 2);
	kind = kind_of(&bed, "");
	expect_none(kind, "no machine of this kind waits");
	(void)wait_for(2);
	machines[0] = expect_one(kind);
	machines[1] = expect_one(kind);
	CHECK(machines[0].pid != machines[1].pid);
	expect_none(kind, "no machine of this kind waits");
	pool_machine_done(&machines[0]);
	pool_machine_done(&machines[1]);
	(void)wait_for(2);
	end(&bed);
}

/* What a machine was started from has changed: nobody gets it, and it ends. */
static void test_stale(void)
{
	struct bed bed;
	_cleanup_free_ char *kind = NULL, *now = NULL, *kernel = NULL;
	struct error *error = NULL;
	pid_t old;

	begin(&bed, 1);
	kind = kind_of(&bed, "");
	kernel = path_of(&bed, "kernel");
	expect_none(kind, "no machine of this kind waits");
	old = wait_for(1);
	CHECK(plan_pool_is_current(kind));
	CHECK_OK(write_file_atomic(kernel, "kernel", 6, 0600, &error), &error);
	CHECK(!plan_pool_is_current(kind));
	now = kind_of(&bed, "");
	CHECK(strcmp(now, kind) != 0);
	expect_none(now, "no machine of this kind waits");
	wait_for_end(old);
	CHECK(wait_for(1) != old);
	end(&bed);
}

/* Templates that go take along what waits. */
static void test_template_gone(void)
{
	struct bed bed;
	_cleanup_(machine_plan_freep) struct machine_plan *plan = NULL;
	_cleanup_free_ char *kind = NULL, *templates = NULL, *draft = NULL, *one = NULL,
			    *program = NULL;
	pid_t first;

	begin(&bed, 1);
	templates = path_of(&bed, "templates");
	draft = path_of(&bed, "templates/draft");
	one = path_of(&bed, "templates/one");
	program = path_of(&bed, "vmm");
	CHECK(mkdir(templates, 0700) == 0 && mkdir(one, 0700) == 0 && mkdir(draft, 0700) == 0);
	plan = machine_plan_begin();
	plan->config->kernel.path = path_of(&bed, "kernel");
	plan->config->cmdline = xstrdup("");
	plan->config->templates = xstrdup(templates);
	plan->share = plan->pool = true;
	kind = plan_pool_kind(plan, program);
	expect_none(kind, "no machine of this kind waits");
	first = wait_for(1);
	CHECK(rmdir(draft) == 0);
	CHECK_INT(wait_for(1), first);
	CHECK(rmdir(one) == 0);
	wait_for_end(first);
	(void)wait_for(1);
	end(&bed);
}

/* The pool refills after a machine that was killed; those that wait end with it, and the next pool
 * cleans up. */
static void test_killed(void)
{
	struct bed bed;
	_cleanup_free_ char *kind = NULL;
	struct pool_machine machine;
	pid_t first, second;
	int code;

	begin(&bed, 1);
	kind = kind_of(&bed, "");
	expect_none(kind, "no machine of this kind waits");
	first = wait_for(1);
	CHECK(kill(first, SIGKILL) == 0);
	wait_for_end(first);
	second = wait_for(1);
	CHECK(second != first);
	machine = expect_one(kind);
	(void)wait_for(1);
	first = status().pids[0];
	CHECK(kill(bed.pool, SIGKILL) == 0);
	CHECK(waitpid(bed.pool, &code, 0) == bed.pool);
	/* What waited has ended with it, what was taken has not. (Its orphans are ours.) */
	while (waitpid(first, NULL, WNOHANG) == 0)
		(void)usleep(LOOK_US);
	CHECK(kill(machine.pid, 0) == 0);
	pool_machine_done(&machine);
	expect_none(kind, "cannot connect");
	start_pool(&bed, 1);
	end(&bed);
}

/* One that cannot be started is not tried without end. */
static void test_not_started(void)
{
	struct bed bed;
	_cleanup_free_ char *kind = NULL;

	begin(&bed, 1);
	kind = kind_of(&bed, "fake.die=boot");
	expect_none(kind, "no machine of this kind waits");
	(void)usleep(300000);
	CHECK_INT(status().n_pids, 0);
	end(&bed);
}

static void say(const char *text, const char *part)
{
	_cleanup_free_ char *path = pool_socket(), *answer = xcalloc(1, 4096);
	struct error *error = NULL;
	_cleanup_close_ int fd = unix_connect(path, &error);

	CHECK_OK(fd, &error);
	(void)write_all(fd, text, strlen(text));
	(void)shutdown(fd, SHUT_WR);
	CHECK(read_all(fd, answer, 4095) >= 0 || errno == ECONNRESET);
	if (!strstr(answer, part))
		test_fail(__FILE__, __LINE__, "\"%s\" to \"%.40s\", not \"%s\"", answer, text,
			  part);
}

static void test_nonsense(void)
{
	struct bed bed;
	_cleanup_free_ char *large = xcalloc(1, 2 * POOL_LINE_MAX);

	begin(&bed, 1);
	say("\n", "error");
	say("nonsense\n", "error");
	say("{\"op\":\"take\",\"version\":\"0\",\"kind\":\"{}\"}\n", "restart it");
	say("{\"op\":\"take\",\"version\":\"" PACKAGE_VERSION "\"}\n", "no such operation");
	say("{\"op\":\"end\",\"version\":\"" PACKAGE_VERSION "\"}\n", "no such operation");
	/* A kind that is none is asked for, and never held. */
	say("{\"op\":\"take\",\"version\":\"" PACKAGE_VERSION "\",\"kind\":\"{}\"}\n",
	    "no machine");
	(void)memset(large, 'x', 2 * POOL_LINE_MAX - 1);
	say(large, "");
	(void)usleep(100000);
	CHECK_INT(status().n_pids, 0);
	end(&bed);
}

static void test_one_only(void)
{
	struct bed bed;
	struct machine_pool_options options = { .wanted = 1 };
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_free_ char *directory = NULL;
	struct error *error = NULL;
	struct machine_pool *pool;

	begin(&bed, 1);
	directory = pool_directory();
	options.directory = directory;
	CHECK_OK(loop_new(&loop, &error), &error);
	CHECK_ERROR(machine_pool_new(loop, &options, &pool, &error), &error, "a pool runs already");
	(void)status();
	end(&bed);
}

/* ---- what fits ---- */

static void expect_unfit(struct machine_plan *plan, bool *no)
{
	*no = !*no;
	CHECK(!plan_pool_kind(plan, "/vmm"));
	*no = !*no;
}

static void test_fits(void)
{
	_cleanup_(machine_plan_freep) struct machine_plan *plan = machine_plan_begin();
	_cleanup_(machine_plan_freep) struct machine_plan *waits = NULL;
	_cleanup_free_ char *kind = NULL, *program = NULL, *again = NULL;
	struct error *error = NULL;

	plan->config->kernel.path = xstrdup("/kernel");
	plan->config->initramfs[plan->config->n_initramfs++].path = xstrdup("/initramfs");
	plan->config->cmdline = xstrdup("a \"b\"");
	plan->config->vcpus = 2;
	plan->config->templates = xstrdup("/templates");
	plan->share = plan->pool = plan->cache_by_name = true;
	machine_plan_devices(NULL, plan);
	kind = plan_pool_kind(plan, "/vmm");
	CHECK(kind);
	expect_unfit(plan, &plan->pool);
	expect_unfit(plan, &plan->share);
	expect_unfit(plan, &plan->config->template_failed);
	plan->config->accel = VM_ACCEL_TCG;
	CHECK(!plan_pool_kind(plan, "/vmm"));
	plan->config->accel = VM_ACCEL_KVM;
	plan->cpus = xstrdup("0");
	CHECK(!plan_pool_kind(plan, "/vmm"));
	free(TAKE_PTR(plan->cpus));
	/* A machine of the kind is one for which another of the kind could be taken. */
	CHECK_OK(plan_pool_machine(kind, &waits, &program, &error), &error);
	CHECK_STRING(program, "/vmm");
	CHECK(waits->config->pooled && waits->cgroup.disabled && waits->network_isolated);
	CHECK_INT(waits->config->n_devices, plan->config->n_devices);
	waits->pool = true;
	again = plan_pool_kind(waits, "/vmm");
	CHECK_STRING(again, kind);
	/* A disk is there from the start. */
	(void)vm_config_add(plan->config, VM_DEVICE_BLK);
	CHECK(!plan_pool_kind(plan, "/vmm"));
}

/* ---- a task server ---- */

static pid_t noted(const struct bed *bed)
{
	_cleanup_free_ char *path = path_of(bed, RIG_ID "/vmm.pid");

	return process_noted(path, NULL);
}

/* The container's cgroup, and a root that is a mount point, are this machine's to have. */
static bool was_adopted(const struct bed *bed, uint32_t pid, pid_t waited)
{
	return (pid_t)pid != noted(bed) && noted(bed) == waited;
}

/* It waits for its start. */
static uint32_t create_one(struct bed *bed, const char *args, const char *fake)
{
	const struct rig_config config = { .args = args, .fake = fake };
	const int fds[] = { -1, -1, -1 };
	struct error *error = NULL;
	uint32_t pid;

	rig_start(&bed->rig);
	rig_write_config(&bed->rig, &config);
	pid = rig_create(&bed->rig, fds, false, &error);
	CHECK_OK(pid ? 0 : -1, &error);
	return pid;
}

static void start_one(struct bed *bed)
{
	struct error *error = NULL;

	CHECK_OK(rig_start_task(&bed->rig, "", &error), &error);
}

static void end_one(struct bed *bed)
{
	struct error *error = NULL;
	Task__ShutdownRequest request = TASK__SHUTDOWN_REQUEST__INIT;
	int code;

	CHECK(rig_wait(&bed->rig, "", &error) >= 0);
	CHECK_OK(rig_delete(&bed->rig, "", &error), &error);
	request.id = (char *)RIG_ID;
	request.now = true;
	rig_free(rig_call(&bed->rig, "Shutdown", &request.base, &task__empty__descriptor, NULL, 0,
			  &error));
	CHECK_OK(error ? -1 : 0, &error);
	CHECK(waitpid(bed->rig.server, &code, 0) == bed->rig.server);
}

static void prepare_root(struct bed *bed)
{
	_cleanup_free_ char *rootfs = path_of(bed, "bundle/rootfs");

	CHECK(mkdir(rootfs, 0755) == 0);
	bed->rig.own_root = true;
}

/* The container's process is another than the VMM, and ends as the container does. */
static void test_adopted(void)
{
	struct error *error = NULL;
	struct bed bed;
	uint32_t pid;
	pid_t waited;
	int code;

	begin(&bed, 1);
	prepare_root(&bed);
	(void)create_one(&bed, "[\"true\"]", "");
	start_one(&bed);
	end_one(&bed);
	waited = wait_for(1);
	pid = create_one(&bed, "[\"sh\",\"-c\",\"exit 7\"]", "");
	if (!was_adopted(&bed, pid, waited))
		test_skip("no cgroup can be made here");
	start_one(&bed);
	code = rig_reap((pid_t)pid);
	CHECK(WIFEXITED(code) && WEXITSTATUS(code) == 7);
	CHECK_INT(rig_wait(&bed.rig, "", &error), 7);
	end_one(&bed);
	wait_for_end(waited);
	end(&bed);
}

/* One of the two processes is killed: so is the other one, and the container has ended. */
static void test_adopted_killed(void)
{
	struct error *error = NULL;
	struct bed bed;

	begin(&bed, 1);
	prepare_root(&bed);
	(void)create_one(&bed, "[\"true\"]", "");
	start_one(&bed);
	end_one(&bed);
	for (int i = 0; i < 2; i++) {
		const pid_t waited = wait_for(1);
		const uint32_t pid = create_one(&bed, NULL, "");
		int code;

		if (!was_adopted(&bed, pid, waited))
			test_skip("no cgroup can be made here");
		start_one(&bed);
		CHECK(kill(i == 0 ? (pid_t)pid : waited, SIGKILL) == 0);
		CHECK_INT(rig_wait(&bed.rig, "", &error), 137);
		code = rig_reap((pid_t)pid);
		CHECK(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
		wait_for_end(waited);
		end_one(&bed);
	}
	end(&bed);
}

/* A machine that does not do what it must is one that is not taken. */
static void test_adopted_in_vain(void)
{
	struct error *error = NULL;
	struct bed bed;
	uint32_t pid;

	begin(&bed, 1);
	prepare_root(&bed);
	bed.rig.network = "none";
	(void)create_one(&bed, "[\"true\"]", "fake.refuse=go-on");
	start_one(&bed);
	end_one(&bed);
	(void)wait_for(1);
	pid = create_one(&bed, "[\"sh\",\"-c\",\"exit 3\"]", "fake.refuse=go-on");
	CHECK_INT(noted(&bed), (pid_t)pid);
	start_one(&bed);
	CHECK_INT(rig_wait(&bed.rig, "", &error), 3);
	end_one(&bed);
	end(&bed);
}

static const struct test_case cases[] = {
	{ "held", test_held },
	{ "taken once", test_taken_once },
	{ "stale", test_stale },
	{ "template gone", test_template_gone },
	{ "killed", test_killed },
	{ "not started", test_not_started },
	{ "nonsense", test_nonsense },
	{ "one only", test_one_only },
	{ "fits", test_fits },
	{ "adopted", test_adopted },
	{ "adopted, killed", test_adopted_killed },
	{ "adopted in vain", test_adopted_in_vain },
};

TEST_MAIN(cases)
