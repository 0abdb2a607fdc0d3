/* The agent without a machine: see agent-rig.h. */
#include "tests/unit/agent-rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/stdio.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"

#define SERVE_PORT UINT32_MAX /* on the feed: a connection to serve, no stream */
#define OUTPUT_MAX (1u << 20)
#define CALL_TIMEOUT_MS 20000

/* ---- the agent's side ---- */

struct host {
	struct agent *agent;
	struct ttrpc_service service;
	struct ttrpc_server *server;
	int feed_fd;
};

/* false: nothing more has come. */
static bool take_from_feed(struct host *host)
{
	int fds[FD_PASS_MAX];
	size_t n_fds = 0;
	uint32_t port;
	ssize_t n = recv_with_fds(host->feed_fd, &port, sizeof(port), fds, &n_fds);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n != sizeof(port) || n_fds != 1)
		_exit(0);
	if (port != SERVE_PORT)
		stdio_table_add(host->agent->stdio, port, fds[0]);
	else if (ttrpc_server_serve(host->server, fds[0], NULL, NULL, NULL) < 0)
		abort();
	return true;
}

static void drain_feed(void *data)
{
	while (take_from_feed(data))
		;
}

static void on_feed(void *data, uint32_t events)
{
	(void)events;
	drain_feed(data);
}

static void __attribute__((noreturn)) run_agent(const struct rig *rig, int feed_fd)
{
	_cleanup_free_ char *block_dir = xasprintf("%s/block", rig->directory);
	_cleanup_free_ char *stage_dir = xasprintf("%s/stage", rig->directory);
	struct agent_config config = {
		.cgroup_root = rig->cgroup,
		.block_dir = block_dir,
		.stage_dir = stage_dir,
	};
	struct host host = { .feed_fd = feed_fd };
	struct source *source;
	struct loop *loop;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(0);
	log_set_level(getenv("RIG_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0 || loop_new(&loop, NULL) < 0 ||
	    agent_new(loop, &config, &host.agent, NULL) < 0 ||
	    loop_add_io(loop, feed_fd, EPOLLIN, "feed", on_feed, &host, &source, NULL) < 0)
		abort();
	(void)set_nonblocking(feed_fd, true);
	stdio_table_set_refill(host.agent->stdio, drain_feed, &host);
	agent_service_init(host.agent, &host.service);
	host.server = ttrpc_server_new(loop, &host.service, 1);
	loop_run(loop);
	abort();
}

/* ---- the common root file system ---- */

static void run(const char *command)
{
	int status = system(command);

	if (status != 0)
		test_fail(__FILE__, __LINE__, "\"%s\" ended with status %d", command, status);
}

static void make_image(const char *directory)
{
	_cleanup_free_ char *command = xasprintf(
	    "set -e; cd '%s'; mkdir -p r/bin r/etc r/dev r/proc r/sys r/tmp r/home/user r/real "
	    "block stage; cp /bin/busybox r/bin/; "
	    "for n in $(/bin/busybox --list); do [ $n = busybox ] || ln -s busybox r/bin/$n; done; "
	    "printf 'root:x:0:0:root:/root:/bin/sh\\nuser:x:1000:1000::/home/user:/bin/sh\\n' "
	    ">r/etc/passwd; chmod 1777 r/tmp; echo data >r/etc/plain; chmod 644 r/etc/plain; "
	    "printf '#!/no/such/interpreter\\n' >r/bin/badscript; chmod 755 r/bin/badscript; "
	    "printf junk >r/bin/junk; chmod 755 r/bin/junk; "
	    "ln -s /etc/../../../../../real r/escape; ln -s /made/later r/dangling; "
	    "ln -s /proc/self/root/../.. r/magic; mkdir r/filled; echo kept >r/filled/file; "
	    "chown 1000:1000 r/filled/file; chmod 600 r/filled/file; ln -s file r/filled/link; "
	    "mksquashfs r image -quiet -no-progress -comp gzip >/dev/null",
	    directory);

	run(command);
}

/* The image on a loop device, which goes when it is no longer used. */
static void make_disk(struct rig *rig)
{
	_cleanup_free_ char *image = xasprintf("%s/image", rig->directory);
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int image_fd = open(image, O_RDONLY | O_CLOEXEC);
	struct loop_config config = {
		.fd = (uint32_t)image_fd,
		.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
	};
	_cleanup_free_ char *serial_directory = NULL;
	_cleanup_free_ char *command = NULL;

	/* Another program may take the free one first. */
	for (int i = 0; i < 50 && rig->disk_fd < 0; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		_cleanup_free_ char *path = xasprintf("/dev/loop%d", number);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0)
			continue;
		rig->disk_fd = TAKE_FD(fd);
		rig->disk_name = xstrdup(path + strlen("/dev/"));
	}
	if (rig->disk_fd < 0)
		test_skip("no loop device to be had");
	command = xasprintf("mkdir '%s/block/%s' && echo test-layer >'%s/block/%s/serial'",
			    rig->directory, rig->disk_name, rig->directory, rig->disk_name);
	run(command);
}

static char *find_cgroup2(void)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/mounts", "re");
	char line[4096];

	while (file && fgets(line, sizeof(line), file)) {
		char path[1024], type[64];

		if (sscanf(line, "%*s %1023s %63s", path, type) == 2 &&
		    strcmp(type, "cgroup2") == 0)
			return xstrdup(path);
	}
	return NULL;
}

static void check_abilities(struct rig *rig)
{
	_cleanup_free_ char *hierarchy = NULL;

	if (geteuid() != 0)
		test_skip("needs root");
	if (access("/bin/busybox", X_OK) < 0 || access("/usr/bin/mksquashfs", X_OK) < 0)
		test_skip("needs busybox-static and squashfs-tools");
	if (access("/dev/loop-control", R_OK) < 0)
		test_skip("needs loop devices");
	hierarchy = find_cgroup2();
	if (!hierarchy)
		test_skip("needs a cgroup v2 hierarchy");
	rig->cgroup = xasprintf("%s/supermachine-test-%d", hierarchy, (int)getpid());
	if (mkdir(rig->cgroup, 0755) < 0)
		test_skip("cannot make cgroups here");
}

/* ---- the host's side ---- */

static void feed(struct rig *rig, uint32_t port, int fd)
{
	CHECK(send_with_fds(rig->feed_fd, &port, sizeof(port), &fd, 1) == sizeof(port));
	(void)close(fd);
}

static int connected(struct rig *rig, uint32_t port)
{
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	feed(rig, port, fds[1]);
	return fds[0];
}

int rig_stream(struct rig *rig, uint32_t *ret_port)
{
	*ret_port = rig->next_port++;
	return connected(rig, *ret_port);
}

int rig_connect(struct rig *rig)
{
	return connected(rig, SERVE_PORT);
}

/* The rig of this process, for a test that fails on its way. */
static struct rig *current;

static void end_agent(struct rig *rig)
{
	if (rig->pid > 0) {
		(void)kill(rig->pid, SIGKILL);
		(void)waitpid(rig->pid, NULL, 0);
	}
	rig->pid = 0;
	close_fdp(&rig->disk_fd);
	rig->disk_fd = -1;
}

static void clean_up_at_exit(void)
{
	_cleanup_free_ char *command = NULL;

	if (!current)
		return;
	end_agent(current);
	command = xasprintf("rm -rf '%s'; rmdir '%s'/* '%s' 2>/dev/null", current->directory,
			    current->cgroup, current->cgroup);
	(void)!system(command);
}

void rig_start(struct rig *rig)
{
	char template[] = "/tmp/supermachine-agent-test.XXXXXX";
	Agent__HelloRequest hello = AGENT__HELLO_REQUEST__INIT;
	struct error *error = NULL;
	int feed_fds[2];

	*rig = (struct rig){ .disk_fd = -1, .next_port = 5000 };
	check_abilities(rig);
	CHECK(mkdtemp(template) != NULL);
	rig->directory = xstrdup(template);
	current = rig;
	CHECK(atexit(clean_up_at_exit) == 0);
	make_image(rig->directory);
	make_disk(rig);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, feed_fds) == 0);
	(void)fflush(NULL);
	rig->pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (rig->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(feed_fds[0]);
		run_agent(rig, feed_fds[1]);
	}
	CHECK(rig->pid > 0);
	(void)close(feed_fds[1]);
	rig->feed_fd = feed_fds[0];
	rig->call_fd = rig_connect(rig);
	hello.version = AGENT_PROTOCOL_VERSION;
	CHECK_OK(rig_call(rig, "Hello", &hello, &agent__hello_response__descriptor, NULL, &error),
		 &error);
}

void rig_stop(struct rig *rig)
{
	_cleanup_free_ char *command = NULL;
	bool clean;

	end_agent(rig);
	clean = rmdir(rig->cgroup) == 0;
	if (!clean)
		test_fail(__FILE__, __LINE__, "%s is not empty", rig->cgroup);
	(void)close(rig->feed_fd);
	(void)close(rig->call_fd);
	command = xasprintf("rm -rf '%s'", rig->directory);
	run(command);
	current = NULL;
	free(rig->directory);
	free(rig->cgroup);
	free(rig->disk_name);
}

int rig_call(struct rig *rig, const char *method, const void *request,
	     const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **ret_response,
	     struct error **ret_error)
{
	ProtobufCMessage *response = NULL;

	if (ttrpc_call_sync(rig->call_fd, "supermachine.v1.Agent", method, request, NULL, 0,
			    response_type ? response_type : &agent__empty__descriptor,
			    CALL_TIMEOUT_MS, &response, ret_error) < 0)
		return -1;
	if (ret_response)
		*ret_response = response;
	else
		protobuf_c_message_free_unpacked(response, NULL);
	return 0;
}

#define DEFAULT_NAMESPACES                                                                         \
	"[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"        \
	"{\"type\":\"mount\"},{\"type\":\"cgroup\"}]"
#define DEFAULT_MOUNTS                                                                             \
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"                       \
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":"           \
	"[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"                              \
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":"     \
	"[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"      \
	"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":"  \
	"[\"nosuid\",\"noexec\",\"nodev\"]},"                                                      \
	"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":"           \
	"[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"                                               \
	"{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\","           \
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}"

static const char *comma(const char *text)
{
	return text ? "," : "";
}

static const char *given(const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

char *rig_config_json(const struct rig_config *config)
{
	return xasprintf(
	    "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":%s},"
	    "\"process\":{\"args\":%s,\"cwd\":\"%s\",\"user\":%s,"
	    "\"env\":[\"PATH=/usr/bin:/bin\"]%s%s},\"hostname\":\"box\",\"mounts\":[%s%s%s],"
	    "\"linux\":{\"namespaces\":%s%s%s}%s%s}",
	    config->readonly ? "true" : "false", config->args, given(config->cwd, "/"),
	    given(config->user, "{\"uid\":0,\"gid\":0}"), comma(config->process),
	    given(config->process, ""), DEFAULT_MOUNTS, comma(config->mounts),
	    given(config->mounts, ""), given(config->namespaces, DEFAULT_NAMESPACES),
	    comma(config->linux_), given(config->linux_, ""), comma(config->top),
	    given(config->top, ""));
}

static void close_io(struct rig_io *io)
{
	close_fdp(&io->in);
	close_fdp(&io->out);
	close_fdp(&io->err);
	*io = (struct rig_io){ -1, -1, -1 };
}

int rig_create(struct rig *rig, const char *id, const struct rig_config *config,
	       struct rig_io *ret_io, struct error **ret_error)
{
	_cleanup_free_ char *json = rig_config_json(config);
	Agent__CreateRequest request = AGENT__CREATE_REQUEST__INIT;
	Agent__Layer layer = AGENT__LAYER__INIT;
	Agent__Layer *layers[] = { &layer };
	struct rig_io io = { -1, -1, -1 };
	bool terminal = config->process && strstr(config->process, "\"terminal\":true");

	layer.serial = (char *)"test-layer";
	layer.type = (char *)"squashfs";
	layer.readonly = true;
	request.id = (char *)id;
	request.bundle = (char *)"/bundle";
	request.config.data = (uint8_t *)json;
	request.config.len = strlen(json);
	request.layers = layers;
	request.n_layers = 1;
	request.width = 80;
	request.height = 25;
	if (ret_io) {
		io.out = rig_stream(rig, &request.stdout_port);
		if (!terminal) {
			io.in = rig_stream(rig, &request.stdin_port);
			io.err = rig_stream(rig, &request.stderr_port);
		}
	}
	if (rig_call(rig, "Create", &request, &agent__create_response__descriptor, NULL,
		     ret_error) < 0) {
		close_io(&io);
		return -1;
	}
	if (ret_io)
		*ret_io = io;
	return 0;
}

int rig_exec(struct rig *rig, const char *id, const char *exec_id, const char *process_json,
	     struct rig_io *ret_io, struct error **ret_error)
{
	Agent__ExecRequest request = AGENT__EXEC_REQUEST__INIT;
	struct rig_io io = { -1, -1, -1 };
	bool terminal = strstr(process_json, "\"terminal\":true");

	request.id = (char *)id;
	request.exec_id = (char *)exec_id;
	request.process.data = (uint8_t *)process_json;
	request.process.len = strlen(process_json);
	request.width = 100;
	request.height = 50;
	if (ret_io) {
		io.out = rig_stream(rig, &request.stdout_port);
		if (!terminal) {
			io.in = rig_stream(rig, &request.stdin_port);
			io.err = rig_stream(rig, &request.stderr_port);
		}
	}
	if (rig_call(rig, "Exec", &request, &agent__exec_response__descriptor, NULL, ret_error) <
	    0) {
		close_io(&io);
		return -1;
	}
	if (ret_io)
		*ret_io = io;
	return 0;
}

int rig_start_container(struct rig *rig, const char *id, struct error **ret_error)
{
	Agent__StartRequest request = AGENT__START_REQUEST__INIT;

	request.id = (char *)id;
	return rig_call(rig, "Start", &request, NULL, NULL, ret_error);
}

void rig_wait(struct rig *rig, const char *id, const char *exec_id, struct rig_result *result)
{
	Agent__WaitRequest request = AGENT__WAIT_REQUEST__INIT;
	Agent__WaitResponse *response = NULL;
	struct error *error = NULL;

	request.id = (char *)id;
	request.exec_id = (char *)exec_id;
	CHECK_OK(rig_call(rig, "Wait", &request, &agent__wait_response__descriptor,
			  (ProtobufCMessage **)&response, &error),
		 &error);
	result->code = response->code;
	result->signal = response->signal;
	protobuf_c_message_free_unpacked(&response->base, NULL);
}

int rig_delete(struct rig *rig, const char *id, struct error **ret_error)
{
	Agent__DeleteRequest request = AGENT__DELETE_REQUEST__INIT;

	request.id = (char *)id;
	return rig_call(rig, "Delete", &request, NULL, NULL, ret_error);
}

int rig_signal(struct rig *rig, const char *id, uint32_t signal, bool all, struct error **ret_error)
{
	Agent__SignalRequest request = AGENT__SIGNAL_REQUEST__INIT;

	request.id = (char *)id;
	request.signal = signal;
	request.all = all;
	return rig_call(rig, "Signal", &request, NULL, NULL, ret_error);
}

char *rig_read(int fd, size_t *ret_size)
{
	char *text = xmalloc(OUTPUT_MAX + 1);
	size_t size = 0;

	while (fd >= 0 && size < OUTPUT_MAX) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&poll_fd, 1, CALL_TIMEOUT_MS) <= 0)
			test_fail(__FILE__, __LINE__, "no end of the output after \"%.*s\"",
				  (int)size, text);
		n = read(fd, text + size, OUTPUT_MAX - size);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	text[size] = '\0';
	if (ret_size)
		*ret_size = size;
	return text;
}

void rig_result_done(struct rig_result *result)
{
	free(result->out);
	free(result->err);
	*result = (struct rig_result){ 0 };
}

void rig_run(struct rig *rig, const struct rig_config *config, struct rig_result *ret_result)
{
	struct error *error = NULL;
	struct rig_io io;

	CHECK_OK(rig_create(rig, "run", config, &io, &error), &error);
	CHECK_OK(rig_start_container(rig, "run", &error), &error);
	close_fdp(&io.in);
	io.in = -1;
	ret_result->out = rig_read(io.out, &ret_result->out_size);
	ret_result->err = rig_read(io.err, NULL);
	rig_wait(rig, "run", "", ret_result);
	CHECK_OK(rig_delete(rig, "run", &error), &error);
	close_io(&io);
}

static char *json_quote(const char *text)
{
	char *result = xmalloc(strlen(text) * 2 + 3), *p = result;

	*p++ = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*p++ = '\\';
		*p++ = *text == '\n' ? ';' : *text;
	}
	*p++ = '"';
	*p = '\0';
	return result;
}

char *rig_shell(struct rig *rig, const struct rig_config *config, const char *script)
{
	_cleanup_free_ char *quoted = json_quote(script);
	_cleanup_free_ char *args = xasprintf("[\"sh\",\"-c\",%s]", quoted);
	struct rig_config copy = config ? *config : (struct rig_config){ 0 };
	struct rig_result result = { 0 };
	char *out;

	copy.args = args;
	rig_run(rig, &copy, &result);
	if (result.code != 0)
		test_fail(__FILE__, __LINE__, "\"%s\" ended with %u: %s%s", script, result.code,
			  result.out, result.err);
	out = TAKE_PTR(result.out);
	rig_result_done(&result);
	return out;
}
