/* SPDX-License-Identifier: Apache-2.0 */
/* What config.json asks for, as a container's programs find it. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "protocol/sandbox.pb-c.h"
#include "protocol/task.pb-c.h"
#include "tests/unit/agent-rig.h"

#define EXEC_SH(script)                                                                            \
	"{\"args\":[\"sh\",\"-c\",\"" script "\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0},"   \
	"\"env\":[\"PATH=/bin\"]}"

static void check_output(struct rig *rig, const struct rig_config *config, const char *script,
			 const char *wanted)
{
	_cleanup_free_ char *out = rig_shell(rig, config, script);

	if (strcmp(out, wanted) != 0)
		test_fail(__FILE__, __LINE__, "\"%s\" printed \"%s\", not \"%s\"", script, out,
			  wanted);
}

static void check_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		test_fail(__FILE__, __LINE__, "\"%s\" does not contain \"%s\"", text, part);
}

static void __attribute__((format(printf, 2, 3))) append(char **text, const char *format, ...)
{
	_cleanup_free_ char *before = *text;
	_cleanup_free_ char *more = NULL;
	va_list args;

	va_start(args, format);
	more = xvasprintf(format, args);
	va_end(args);
	*text = xasprintf("%s%s", before, more);
}

static void test_mount_options(void)
{
	struct rig_config config = {
		.mounts =
		    "{\"destination\":\"/t1\",\"type\":\"tmpfs\",\"source\":\"one\",\"options\":"
		    "[\"ro\",\"nosuid\",\"nodev\",\"noexec\",\"noatime\",\"size=64k\",\"mode=711\"]"
		    "},"
		    "{\"destination\":\"/t1/in/side\",\"type\":\"tmpfs\",\"source\":\"two\","
		    "\"options\":[\"nodiratime\",\"sync\",\"dirsync\"]},"
		    "{\"destination\":\"/t3\",\"type\":\"tmpfs\",\"source\":\"three\",\"options\":"
		    "[\"rro\",\"rnosuid\",\"rnoatime\",\"rshared\",\"strictatime\"]}",
	};
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	rig_start(&rig);
	out = rig_shell(&rig, &config,
			"grep -E ' /t[0-9]' /proc/self/mountinfo; stat -c %a /t1; "
			"touch /t1/x 2>&1 || echo refused; touch /t1/in/side/x && echo written");
	check_contains(out, " /t1 ro,nosuid,nodev,noexec,noatime - tmpfs one rw,size=64k,mode=711");
	check_contains(out, " /t1/in/side rw,nodiratime,relatime - tmpfs two rw,sync,dirsync");
	check_contains(out, " /t3 ro,nosuid,noatime shared:");
	check_contains(out, "\n711\n");
	check_contains(out, "refused");
	check_contains(out, "written");
	rig_stop(&rig);
}

/* Links of the image stay inside the root. */
static void test_mounts_stay_inside(void)
{
	struct rig_config config = {
		.mounts =
		    "{\"destination\":\"/escape\",\"type\":\"tmpfs\",\"source\":\"a\"},"
		    "{\"destination\":\"/dangling/deep\",\"type\":\"tmpfs\",\"source\":\"b\"},"
		    "{\"destination\":\"/../../x/../y\",\"type\":\"tmpfs\",\"source\":\"c\"}",
	};
	struct rig_config magic = {
		.args = "[\"true\"]",
		.mounts = "{\"destination\":\"/magic/etc\",\"type\":\"tmpfs\",\"source\":\"a\"}",
	};
	struct rig_config inside_proc = {
		.args = "[\"true\"]",
		.mounts = "{\"destination\":\"/to-proc/fs\",\"type\":\"ramfs\",\"source\":\"a\"}",
	};
	struct rig_config over_proc = {
		.args = "[\"true\"]",
		.mounts = "{\"destination\":\"/to-proc\",\"type\":\"tmpfs\",\"source\":\"a\"}",
	};
	struct rig_config proc = {
		.args = "[\"true\"]",
		.mounts = "{\"destination\":\"/escape\",\"type\":\"proc\",\"source\":\"proc\"}",
	};
	struct error *error = NULL;
	struct rig rig;

	rig_start(&rig);
	check_output(&rig, &config,
		     "awk '$(NF-2) == \"tmpfs\" && $(NF-1) ~ /^[abc]$/ { print $5, $(NF-1) }' "
		     "/proc/self/mountinfo | sort",
		     "/made/later/deep b\n/real a\n/y c\n");
	CHECK_ERROR(rig_create(&rig, "c", &proc, NULL, &error), &error,
		    "must be mounted on ordinary directory");
	CHECK_ERROR(rig_create(&rig, "c", &inside_proc, NULL, &error), &error,
		    "\"/proc/fs\" cannot be mounted because it is inside /proc");
	CHECK_ERROR(rig_create(&rig, "c", &over_proc, NULL, &error), &error,
		    "\"/proc\" cannot be mounted because it is not of type proc");
	CHECK(rig_create(&rig, "c", &magic, NULL, &error) < 0);
	error_free(error);
	rig_stop(&rig);
}

/* As under runc: a directory of the image gives its mode, and no owner, to a tmpfs over
 * it; one made for the tmpfs gives nothing. */
static void test_tmpfs_modes(void)
{
	static const struct {
		const char *destination, *options, *wanted;
	} mounts[] = {
		{ "/odd", "", "2751 0:0" },
		{ "/filled", "\"tmpcopyup\"", "755 0:0" },
		{ "/home/user", "\"tmpcopyup\",\"uid=7\",\"gid=8\"", "1750 7:8" },
		{ "/tmp", "\"mode=700\"", "700 0:0" },
		{ "/new/deep", "", "1777 0:0" },
		{ "/new/deep/er", "\"size=64k\"", "1777 0:0" },
		{ "/made", "\"mode=711\",\"uid=5\"", "711 5:0" },
		{ "/copied", "\"tmpcopyup\"", "1777 0:0" },
		{ "/dangling", "", "1777 0:0" },
	};
	_cleanup_free_ char *list = xstrdup("");
	_cleanup_free_ char *script = xstrdup("stat -c '%a %u:%g' /new");
	_cleanup_free_ char *wanted = xstrdup("755 0:0\n");
	struct rig_config config = { 0 };
	struct rig rig;

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		append(&list,
		       "%s{\"destination\":\"%s\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
		       "\"options\":[%s]}",
		       i ? "," : "", mounts[i].destination, mounts[i].options);
		append(&script, "; stat -L -c '%%a %%u:%%g' %s", mounts[i].destination);
		append(&wanted, "%s\n", mounts[i].wanted);
	}
	config.mounts = list;
	rig_start(&rig);
	check_output(&rig, &config, script, wanted);
	rig_stop(&rig);
}

static void test_tmpcopyup(void)
{
	struct rig_config config = {
		.mounts = "{\"destination\":\"/filled\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
			  "\"options\":[\"tmpcopyup\",\"ro\"]}",
	};
	struct rig rig;

	rig_start(&rig);
	check_output(&rig, &config,
		     "cat /filled/link; stat -c '%a %u %g' /filled/file; stat -f -c %T /filled; "
		     "touch /filled/x 2>/dev/null || echo ro",
		     "kept\n604 1000 1000\ntmpfs\nro\n");
	rig_stop(&rig);
}

static void test_root(void)
{
	struct rig_config readonly = { .readonly = true, .cwd = "/new/cwd" };
	struct rig_config propagation = { .linux_ = "\"rootfsPropagation\":\"shared\"" };
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	rig_start(&rig);
	check_output(&rig, NULL,
		     "touch /x && mv /filled /moved && cat /moved/file; ls -d /stage "
		     "2>/dev/null; stat -c %a /; hostname",
		     "kept\n755\nbox\n");
	check_output(&rig, &readonly,
		     "pwd; touch /x 2>/dev/null || echo ro; touch /dev/shm 2>&1; "
		     "touch /dev/x && echo rw",
		     "/new/cwd\nro\nrw\n");
	out = rig_shell(&rig, &propagation, "grep ' / / ' /proc/self/mountinfo");
	check_contains(out, "shared:");
	rig_stop(&rig);
}

#define MKNOD                                                                                      \
	"\"capabilities\":{\"bounding\":[\"CAP_MKNOD\"],\"permitted\":[\"CAP_MKNOD\"],"            \
	"\"effective\":[\"CAP_MKNOD\"]}"

static void test_devices(void)
{
	struct rig_config config = {
		.process = MKNOD,
		.linux_ =
		    "\"devices\":[{\"path\":\"/dev/sub/mine\",\"type\":\"c\",\"major\":1,"
		    "\"minor\":3,\"fileMode\":384,\"uid\":5,\"gid\":6},{\"path\":\"/dev/pipe\","
		    "\"type\":\"p\"}],\"resources\":{\"devices\":[{\"allow\":false,\"access\":"
		    "\"rwm\"}]}",
	};
	struct rig_config allowed = {
		.process = MKNOD,
		.linux_ =
		    "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
		    "{\"allow\":true,\"type\":\"c\",\"major\":240,\"minor\":7,\"access\":\"r\"}]}",
	};
	/* what is there stays as it is */
	struct rig_config existing = {
		.linux_ =
		    "\"devices\":[{\"path\":\"/etc/plain\",\"type\":\"c\",\"major\":1,\"minor\":3,"
		    "\"fileMode\":384,\"uid\":5},"
		    "{\"path\":\"/dev/"
		    "twice\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":384},"
		    "{\"path\":\"/dev/twice\",\"type\":\"c\",\"major\":1,\"minor\":3,\"uid\":5}]",
	};
	/* of a number that nobody has: to be allowed is to hear of it */
	const char *script = "mknod /dev/probe c 240 7 2>&1; cat /dev/probe 2>&1 | sed 's/.*: //'; "
			     "sh -c 'echo x >/dev/probe' 2>&1 | sed 's/.*: //'";
	struct rig rig;

	rig_start(&rig);
	check_output(
	    &rig, &config,
	    "cd /dev; for n in null zero full random urandom tty sub/mine; do "
	    "stat -c '%n %a %F %t:%T' $n; done; stat -c '%u:%g' sub/mine; stat -c %F pipe; "
	    "for l in fd stdin stdout stderr ptmx; do readlink $l; done; echo x >null && head -c 3 "
	    "zero | wc -c",
	    "null 666 character special file 1:3\nzero 666 character special file 1:5\n"
	    "full 666 character special file 1:7\nrandom 666 character special file 1:8\n"
	    "urandom 666 character special file 1:9\ntty 666 character special file 5:0\n"
	    "sub/mine 600 character special file 1:3\n5:6\nfifo\n"
	    "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n3\n");
	check_output(&rig, &existing, "stat -c '%n %a %F %u' /etc/plain /dev/twice",
		     "/etc/plain 644 regular file 0\n/dev/twice 600 character special file 0\n");
	check_output(&rig, &config, script, "Operation not permitted\nOperation not permitted\n");
	check_output(&rig, &allowed, script,
		     "No such device or address\nOperation not permitted\n");
	rig_stop(&rig);
}

static void test_masked_and_readonly_paths(void)
{
	struct rig_config config = {
		.linux_ =
		    "\"maskedPaths\":[\"/etc/plain\",\"/filled\",\"/no/such\",\"/etc/plain/x\"],"
		    "\"readonlyPaths\":[\"/home\",\"/proc/sys\",\"/none\"]",
	};
	struct rig rig;

	rig_start(&rig);
	check_output(&rig, &config,
		     "cat /etc/plain; ls /filled; touch /filled/x 2>/dev/null || echo masked; "
		     "touch /home/x 2>/dev/null || echo ro; touch /etc/y && echo rw; "
		     "echo 1 2>/dev/null >/proc/sys/kernel/sysrq || echo sysro",
		     "masked\nro\nrw\nsysro\n");
	rig_stop(&rig);
}

static void test_capabilities_and_user(void)
{
	struct rig_config config = {
		.user = "{\"uid\":1000,\"gid\":100,\"additionalGids\":[5,7],\"umask\":63}",
		.process =
		    "\"noNewPrivileges\":true,\"capabilities\":{\"bounding\":[\"CAP_CHOWN\","
		    "\"CAP_KILL\",\"CAP_SETUID\"],\"permitted\":[\"CAP_CHOWN\",\"CAP_KILL\"],"
		    "\"effective\":[\"CAP_CHOWN\"],\"inheritable\":[\"CAP_KILL\"],\"ambient\":["
		    "\"CAP_KILL\"]}",
	};
	struct rig_config root = {
		.process = "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\"],\"permitted\":["
			   "\"CAP_CHOWN\"],\"effective\":[\"CAP_CHOWN\"]}",
	};
	struct rig rig;

	rig_start(&rig);
	/* execve() of an ordinary program keeps the ambient set only */
	check_output(&rig, &config,
		     "grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp:)' /proc/self/status; umask",
		     "Uid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\nGroups:\t5 7 \n"
		     "CapInh:\t0000000000000020\nCapPrm:\t0000000000000020\n"
		     "CapEff:\t0000000000000020\nCapBnd:\t00000000000000a1\n"
		     "CapAmb:\t0000000000000020\nNoNewPrivs:\t1\nSeccomp:\t0\n0077\n");
	check_output(&rig, &root, "grep -E '^Cap' /proc/self/status",
		     "CapInh:\t0000000000000000\nCapPrm:\t0000000000000001\n"
		     "CapEff:\t0000000000000001\nCapBnd:\t0000000000000001\n"
		     "CapAmb:\t0000000000000000\n");
	check_output(&rig, NULL, "grep -E '^CapBnd|NoNew' /proc/self/status",
		     "CapBnd:\t0000000000000000\nNoNewPrivs:\t0\n");
	rig_stop(&rig);
}

static void test_limits_and_settings(void)
{
	struct rig_config config = {
		.process = "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":77,\"hard\":88},"
			   "{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":0}],\"oomScoreAdj\":123",
		.linux_ = "\"sysctl\":{\"kernel.msgmax\":\"4711\",\"net.ipv4.ip_forward\":\"1\"},"
			  "\"personality\":{\"domain\":\"LINUX32\"}",
		.top = "\"domainname\":\"realm\"",
	};
	struct rig rig;

	rig_start(&rig);
	check_output(&rig, &config,
		     "ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj "
		     "/proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward "
		     "/proc/sys/kernel/domainname; uname -m",
		     "77\n88\n0\n123\n4711\n1\nrealm\ni686\n");
	check_output(&rig, NULL,
		     "cat /proc/self/oom_score_adj; ulimit -Sn; ip -o link show lo | "
		     "grep -c LOWER_UP",
		     "0\n1024\n1\n");
	rig_stop(&rig);
}

static void test_environment(void)
{
	struct rig_config config = {
		.env = "[\"PATH=/none\",\"A=1\",\"B=x\",\"A=2\",\"PATH=/bin\",\"HOME=\"]",
		.args = "[\"env\"]",
	};
	struct rig_result result = { 0 };
	struct rig rig;

	rig_start(&rig);
	rig_run(&rig, &config, &result);
	CHECK_STRING(result.out, "PATH=/bin\nA=2\nB=x\nHOME=/root\n");
	rig_result_done(&result);
	rig_stop(&rig);
}

#define SECCOMP(rules, nnp)                                                                        \
	{                                                                                          \
		.process = "\"noNewPrivileges\":" nnp ",\"capabilities\":{\"bounding\":["          \
			   "\"CAP_SYS_ADMIN\"],\"permitted\":[\"CAP_SYS_ADMIN\"],\"effective\":["  \
			   "\"CAP_SYS_ADMIN\"]}",                                                  \
		.linux_ = "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":["  \
			  "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],\"syscalls\":[" rules "]}"      \
	}

static void test_seccomp(void)
{
	struct rig_config by_errno =
	    SECCOMP("{\"names\":[\"mkdir\",\"no_such_call\"],\"action\":\"SCMP_ACT_ERRNO\","
		    "\"errnoRet\":28}",
		    "true");
	/* without no_new_privs it is loaded before the capabilities go */
	struct rig_config default_errno =
	    SECCOMP("{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_ERRNO\"}", "false");
	struct rig_config by_argument =
	    SECCOMP("{\"names\":[\"kill\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":13,\"args\":["
		    "{\"index\":1,\"value\":10,\"op\":\"SCMP_CMP_EQ\"},"
		    "{\"index\":1,\"value\":12,\"op\":\"SCMP_CMP_EQ\"}]}",
		    "true");
	struct rig_config killing =
	    SECCOMP("{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"}", "true");
	struct rig rig;

#ifndef HAVE_SECCOMP
	test_skip("built with --disable-seccomp");
#endif
	rig_start(&rig);
	check_output(&rig, &by_errno, "mkdir /x 2>&1; grep Seccomp: /proc/self/status",
		     "mkdir: can't create directory '/x': No space left on device\nSeccomp:\t2\n");
	check_output(&rig, &default_errno, "mkdir /x 2>&1; true",
		     "mkdir: can't create directory '/x': Operation not permitted\n");
	check_output(&rig, &by_argument,
		     "trap 'echo got' HUP; for s in 10 12 1; do kill -$s $$ 2>/dev/null || echo no "
		     "$s; done",
		     "no 10\nno 12\ngot\n");
	check_output(&rig, &killing, "(mkdir /x) 2>/dev/null; echo $?", "159\n");
	rig_stop(&rig);
}

static void test_namespaces(void)
{
	struct rig_config shared = {
		.namespaces = "[{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"network\","
			      "\"path\":\"/run/netns/x\"}]",
	};
	struct rig_config user = {
		.namespaces = "[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},"
			      "{\"type\":\"uts\"},{\"type\":\"mount\"},{\"type\":\"user\"}]",
		.linux_ = "\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1000},"
			  "{\"containerID\":1000,\"hostID\":501000,\"size\":1}],\"gidMappings\":["
			  "{\"containerID\":0,\"hostID\":0,\"size\":1000}]",
	};
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	rig_start(&rig);
	check_output(&rig, NULL,
		     "echo $$; echo /proc/[0-9]*; cat /proc/self/cgroup | "
		     "grep ^0; ip -o link | wc -l",
		     "1\n/proc/1\n0::/\n1\n");
	out = rig_shell(&rig, &shared, "echo $$; ip -o link show lo | grep -c LOWER_UP");
	CHECK(strncmp(out, "1\n", 2) != 0);
	check_contains(out, "\n1\n");
	check_output(&rig, &user,
		     "echo $$; tr -s ' ' </proc/self/uid_map; echo x >/dev/null && hostname; "
		     "id -u; touch /tmp/x; stat -c %u /tmp/x",
		     "1\n 0 0 1000\n 1000 501000 1\nbox\n0\n0\n");
	rig_stop(&rig);
}

static void start(struct rig *rig, const char *id, const struct rig_config *config)
{
	struct error *error = NULL;

	CHECK_OK(rig_create(rig, id, config, NULL, &error), &error);
	CHECK_OK(rig_start_container(rig, id, &error), &error);
}

static void finish(struct rig *rig, const char *id)
{
	struct rig_result result = { 0 };
	struct error *error = NULL;

	CHECK_OK(rig_signal(rig, id, SIGKILL, false, &error), &error);
	rig_wait(rig, id, "", &result);
	CHECK_INT(result.signal, SIGKILL);
	CHECK_OK(rig_delete(rig, id, &error), &error);
}

static char *exec_output(struct rig *rig, const char *id, const char *process, uint32_t code)
{
	static unsigned int count;
	_cleanup_free_ char *exec_id = xasprintf("x%u", count++);
	Agent__DeleteRequest request = AGENT__DELETE_REQUEST__INIT;
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig_io io;
	char *out;

	CHECK_OK(rig_exec(rig, id, exec_id, process, &io, &error), &error);
	if (io.in >= 0)
		CHECK(shutdown(io.in, SHUT_WR) == 0);
	out = rig_read(io.out, NULL);
	rig_wait(rig, id, exec_id, &result);
	CHECK_INT(result.code, code);
	request.id = (char *)id;
	request.exec_id = exec_id;
	CHECK_OK(rig_call(rig, "Delete", &request, NULL, NULL, &error), &error);
	return out;
}

/* An exec is filtered as the container is, where filters are built in. */
#ifdef HAVE_SECCOMP
#define EXEC_FILTERED "filtered\n"
#else
#define EXEC_FILTERED ""
#endif

static void test_exec(void)
{
	struct rig_config config = {
		.args = "[\"sleep\",\"1000\"]",
		.process = "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"permitted\":["
			   "\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"]}",
#ifdef HAVE_SECCOMP
		.linux_ = "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
			  "\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
#endif
	};
	_cleanup_free_ char *joined = NULL;
	_cleanup_free_ char *terminal = NULL;
	_cleanup_free_ char *fds = NULL;
	struct error *error = NULL;
	struct rig rig;

	rig_start(&rig);
	start(&rig, "c", &config);
	joined = exec_output(&rig, "c",
			     EXEC_SH("hostname; cat /proc/1/cmdline | tr '\\\\0' ' '; echo; "
				     "for n in pid net ipc uts mnt cgroup; do "
				     "[ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] "
				     "|| echo other $n; done; grep CapEff /proc/self/status; "
				     "cat /proc/self/cgroup | grep ^0; "
				     "mkdir /y 2>/dev/null || echo filtered; exit 3"),
			     3);
	CHECK_STRING(joined, "box\nsleep 1000 \nCapEff:\t0000000000000020\n0::/\n" EXEC_FILTERED);
	terminal = exec_output(&rig, "c",
			       "{\"terminal\":true,\"args\":[\"sh\",\"-c\",\"tty; stty size\"],"
			       "\"cwd\":\"/\",\"user\":{\"uid\":1000,\"gid\":1000},\"env\":["
			       "\"PATH=/bin\"]}",
			       0);
	CHECK_STRING(terminal, "/dev/pts/0\r\n50 100\r\n");
	/* nothing of the agent's is open in it */
	fds = exec_output(&rig, "c",
			  "{\"args\":[\"ls\",\"/proc/self/fd\"],\"cwd\":\"/\",\"env\":[\"PATH=/"
			  "bin\"],\"user\":{\"uid\":0,\"gid\":0}}",
			  0);
	CHECK_STRING(fds, "0\n1\n2\n3\n"); /* 3: ls' own */
	CHECK_ERROR(rig_exec(&rig, "c", "bad", EXEC_SH("x") "]", NULL, &error), &error, "");
	CHECK_ERROR(rig_exec(&rig, "c", "none",
			     "{\"args\":[\"none\"],\"cwd\":\"/\",\"env\":["
			     "\"PATH=/bin\"],\"user\":{\"uid\":0,\"gid\":0}}",
			     NULL, &error),
		    &error, "exec: \"none\": executable file not found in $PATH");
	CHECK_ERROR(rig_exec(&rig, "c", "cwd",
			     "{\"args\":[\"true\"],\"cwd\":\"/x\",\"env\":["
			     "\"PATH=/bin\"],\"user\":{\"uid\":0,\"gid\":0}}",
			     NULL, &error),
		    &error,
		    "chdir to cwd (\"/x\") set in config.json failed: no such file or directory");
	finish(&rig, "c");
	rig_stop(&rig);
}

static uint32_t count_processes(struct rig *rig, const char *id, const char *command)
{
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;
	Agent__ProcessesResponse *response = NULL;
	Sandbox__ProcessesResponse *list;
	struct error *error = NULL;
	uint32_t n = 0;

	request.id = (char *)id;
	CHECK_OK(rig_call(rig, "Processes", &request, &agent__processes_response__descriptor,
			  (ProtobufCMessage **)&response, &error),
		 &error);
	list = sandbox__processes_response__unpack(NULL, response->processes.len,
						   response->processes.data);
	CHECK(list != NULL);
	for (size_t i = 0; i < list->n_processes; i++)
		n += strcmp(list->processes[i]->command, command) == 0;
	sandbox__processes_response__free_unpacked(list, NULL);
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return n;
}

static void test_pause_and_processes(void)
{
	struct rig_config config = { .args = "[\"sh\",\"-c\",\"sleep 1000 & sleep 1000 & wait\"]" };
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;
	struct error *error = NULL;
	struct rig rig;

	rig_start(&rig);
	start(&rig, "c", &config);
	for (int i = 0; i < 100 && count_processes(&rig, "c", "sleep 1000") < 2; i++)
		usleep(20000);
	CHECK_INT(count_processes(&rig, "c", "sleep 1000"), 2);
	request.id = (char *)"c";
	CHECK_ERROR(rig_call(&rig, "Resume", &request, NULL, NULL, &error), &error, "not paused");
	CHECK_OK(rig_call(&rig, "Pause", &request, NULL, NULL, &error), &error);
	CHECK_ERROR(rig_exec(&rig, "c", "x", EXEC_SH("true"), NULL, &error), &error, "paused");
	CHECK_OK(rig_call(&rig, "Resume", &request, NULL, NULL, &error), &error);
	CHECK_OK(rig_call(&rig, "Pause", &request, NULL, NULL, &error), &error);
	/* a paused container can be killed */
	finish(&rig, "c");
	rig_stop(&rig);
}

static void test_signal_all(void)
{
	/* without a pid namespace nothing but the cgroup holds them together */
	struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"trap '' TERM; sleep 1000 & sleep 1000 & wait\"]",
		.namespaces = "[{\"type\":\"mount\"},{\"type\":\"uts\"}]",
	};
	struct rig_result result = { 0 };
	struct error *error = NULL;
	struct rig rig;

	rig_start(&rig);
	start(&rig, "c", &config);
	for (int i = 0; i < 100 && count_processes(&rig, "c", "sleep 1000") < 2; i++)
		usleep(20000);
	CHECK_OK(rig_signal(&rig, "c", SIGHUP, true, &error), &error);
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.signal, SIGHUP);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	/* what outlives init is gone with the container */
	config.args = "[\"sh\",\"-c\",\"sleep 1000 & exit 5\"]";
	start(&rig, "d", &config);
	rig_wait(&rig, "d", "", &result);
	CHECK_INT(result.code, 5);
	CHECK_OK(rig_delete(&rig, "d", &error), &error);
	rig_stop(&rig);
}

/* Only a guest has the controllers: on the host they belong to somebody else. */
static void test_resources(void)
{
	struct rig_config config = {
		.args = "[\"sleep\",\"1000\"]",
		.linux_ =
		    "\"cgroupsPath\":\"/one/two\",\"resources\":{\"memory\":{\"limit\":33554432,"
		    "\"reservation\":16777216},\"cpu\":{\"shares\":512,\"quota\":50000,"
		    "\"period\":100000,\"cpus\":\"0\"},\"pids\":{\"limit\":20},\"unified\":{"
		    "\"memory.high\":\"30000000\"}}",
	};
	static const char resources[] =
	    "{\"memory\":{\"limit\":67108864},\"cpu\":{\"quota\":20000},\"pids\":{\"limit\":-1}}";
	Agent__UpdateRequest update = AGENT__UPDATE_REQUEST__INIT;
	_cleanup_free_ char *out = NULL;
	_cleanup_free_ char *updated = NULL;
	struct error *error = NULL;
	struct rig rig;
	const char *files = "cd /sys/fs/cgroup; for f in memory.max memory.low cpu.weight cpu.max "
			    "cpuset.cpus pids.max memory.high; do cat $f; done";
	_cleanup_free_ char *process = xasprintf(EXEC_SH("%s"), files);

	rig_start(&rig);
	if (!rig.machine)
		test_skip("the cgroup controllers are the host's");
	start(&rig, "c", &config);
	out = exec_output(&rig, "c", process, 0);
	CHECK_STRING(out, "33554432\n16777216\n59\n50000 100000\n0\n20\n29999104\n");
	update.id = (char *)"c";
	update.resources.data = (uint8_t *)resources;
	update.resources.len = strlen(resources);
	CHECK_OK(rig_call(&rig, "Update", &update, NULL, NULL, &error), &error);
	updated = exec_output(&rig, "c", process, 0);
	CHECK_STRING(updated, "67108864\n16777216\n59\n20000 100000\n0\nmax\n29999104\n");
	finish(&rig, "c");
	rig_stop(&rig);
}

static void test_oom(void)
{
	struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"tail /dev/zero\"]",
		.linux_ = "\"resources\":{\"memory\":{\"limit\":8388608}}",
	};
	Agent__ContainerRequest request = AGENT__CONTAINER_REQUEST__INIT;
	Agent__OomRequest oom_request = AGENT__OOM_REQUEST__INIT;
	Agent__StatsResponse *response = NULL;
	Agent__OomResponse *oom = NULL;
	struct rig_result result = { 0 };
	struct error *error = NULL;
	Task__Metrics *metrics;
	struct rig rig;

	rig_start(&rig);
	if (!rig.machine)
		test_skip("the memory controller is the host's");
	start(&rig, "c", &config);
	rig_wait(&rig, "c", "", &result);
	CHECK_INT(result.code, 137);
	request.id = (char *)"c";
	CHECK_OK(rig_call(&rig, "Stats", &request, &agent__stats_response__descriptor,
			  (ProtobufCMessage **)&response, &error),
		 &error);
	metrics = task__metrics__unpack(NULL, response->metrics.len, response->metrics.data);
	CHECK(metrics != NULL);
	CHECK_INT(metrics->memory->usage_limit, 8388608);
	CHECK(metrics->memory_events->oom_kill >= 1);
	CHECK(metrics->cpu->usage_usec > 0);
	/* Also told to a caller that asks after it has happened. */
	oom_request.id = (char *)"c";
	CHECK_OK(rig_call(&rig, "WaitOom", &oom_request, &agent__oom_response__descriptor,
			  (ProtobufCMessage **)&oom, &error),
		 &error);
	CHECK_INT(oom->count, metrics->memory_events->oom_kill);
	agent__oom_response__free_unpacked(oom, NULL);
	CHECK_OK(rig_delete(&rig, "c", &error), &error);
	rig_stop(&rig);
}

static const struct test_case cases[] = {
	{ "mount options", test_mount_options },
	{ "mounts stay inside", test_mounts_stay_inside },
	{ "tmpfs modes", test_tmpfs_modes },
	{ "tmpcopyup", test_tmpcopyup },
	{ "root", test_root },
	{ "devices", test_devices },
	{ "masked and read-only paths", test_masked_and_readonly_paths },
	{ "capabilities and user", test_capabilities_and_user },
	{ "limits and settings", test_limits_and_settings },
	{ "environment", test_environment },
	{ "seccomp", test_seccomp },
	{ "namespaces", test_namespaces },
	{ "exec", test_exec },
	{ "pause and processes", test_pause_and_processes },
	{ "signal all", test_signal_all },
	{ "resources", test_resources },
	{ "oom", test_oom },
};
RIG_MAIN(cases)
