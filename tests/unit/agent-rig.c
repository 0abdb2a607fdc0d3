/* SPDX-License-Identifier: Apache-2.0 */
/* The agent under test: what both ways share, and its client. See agent-rig.h. */
#include "tests/unit/agent-rig.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/alloc.h"
#include "base/io.h"

#define OUTPUT_MAX (1u << 20)
#define CALL_TIMEOUT_MS 60000

void rig_command(const char *command)
{
	int status = system(command);

	if (status != 0)
		test_fail(__FILE__, __LINE__, "\"%s\" ended with status %d", command, status);
}

/* Beside the test itself. */
static char *helper_program(const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	CHECK(n > 0);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	return xasprintf("%s/%s", path, name);
}

static void make_image(const char *directory)
{
	_cleanup_free_ char *client = helper_program("unix-socket");
	_cleanup_free_ char *calls = helper_program("raw-calls");
	_cleanup_free_ char *command = xasprintf(
	    "set -e; cd '%s'; mkdir -p r/bin r/etc r/dev r/proc r/sys r/tmp r/home/user r/real "
	    "block stage agent-share; cp /bin/busybox '%s' '%s' r/bin/; "
	    "for n in $(/bin/busybox --list); do [ $n = busybox ] || ln -s busybox r/bin/$n; done; "
	    "printf 'root:x:0:0:root:/root:/bin/sh\\nuser:x:1000:1000::/home/user:/bin/sh\\n' "
	    ">r/etc/passwd; chmod 1777 r/tmp; echo data >r/etc/plain; chmod 644 r/etc/plain; "
	    "printf '#!/no/such/interpreter\\n' >r/bin/badscript; chmod 755 r/bin/badscript; "
	    "printf junk >r/bin/junk; chmod 755 r/bin/junk; "
	    "ln -s /etc/../../../../../real r/escape; ln -s /made/later r/dangling; ln -s /proc "
	    "r/to-proc; "
	    "ln -s /proc/self/root/../.. r/magic; mkdir r/filled; echo kept >r/filled/file; "
	    "chown 1000:1000 r/filled/file; chmod 604 r/filled/file; ln -s file r/filled/link; "
	    "mkdir r/odd; chown 1000:100 r/odd r/home/user; chmod 2751 r/odd; "
	    "chmod 1750 r/home/user; "
	    "mksquashfs r image -quiet -no-progress -comp gzip >/dev/null",
	    directory, client, calls);

	rig_command(command);
}

/* The rig of this process, for a test that fails on its way. */
static struct rig *current;
static pid_t owner;

/* The guest's agent dials anew for every test: the one before has closed. */
static void greet(struct rig *rig)
{
	Agent__HelloRequest hello = AGENT__HELLO_REQUEST__INIT;
	struct error *error = NULL;

	if (rig->machine)
		rig_machine_connect(rig);
	hello.version = AGENT_PROTOCOL_VERSION;
	CHECK_OK(rig_call(rig, "Hello", &hello, &agent__hello_response__descriptor, NULL, &error),
		 &error);
}

static void end_agent(struct rig *rig, bool orderly)
{
	int status = 0;

	close_fdp(&rig->feed_fd);
	rig->feed_fd = -1;
	if (rig->pid > 0) {
		if (!orderly || rig->machine)
			(void)kill(rig->pid, SIGKILL);
		(void)waitpid(rig->pid, &status, 0);
	}
	rig->pid = 0;
	close_fdp(&rig->disk_fd);
	rig->disk_fd = -1;
	if (orderly && !rig->machine && status != 0)
		test_fail(__FILE__, __LINE__, "the agent ended with status %#x",
			  (unsigned int)status);
}

/* A guest that is told to, powers off: the VMM then ends with 0. */
static void shut_down(struct rig *rig)
{
	Agent__Empty request = AGENT__EMPTY__INIT;
	struct error *error = NULL;
	int status;

	greet(rig);
	CHECK_OK(rig_call(rig, "Shutdown", &request, NULL, NULL, &error), &error);
	CHECK(waitpid(rig->pid, &status, 0) == rig->pid);
	rig->pid = 0;
	CHECK_INT(status, 0);
}

static void clean_up_at_exit(void)
{
	_cleanup_free_ char *command = NULL;

	if (!current || getpid() != owner)
		return;
	end_agent(current, false);
	if (current->machine)
		rig_machine_show(current);
	command = xasprintf("rm -rf '%s'; [ -z '%s' ] || rmdir '%s'/* '%s' 2>/dev/null",
			    current->directory, current->cgroup ? current->cgroup : "",
			    current->cgroup, current->cgroup);
	(void)!system(command);
}

/* The guest that all cases of the program share. */
static struct rig *shared;

static void start(struct rig *rig)
{
	char template[] = "/tmp/supermachine-agent-test.XXXXXX";
	const char *kernel = getenv("RIG_KERNEL");

	*rig = (struct rig){
		.disk_fd = -1, .feed_fd = -1, .call_fd = -1, .listen_fd = -1, .next_port = 5000
	};
	if (geteuid() != 0)
		test_skip("needs root");
	if (access("/bin/busybox", X_OK) < 0 || access("/usr/bin/mksquashfs", X_OK) < 0)
		test_skip("needs busybox-static and squashfs-tools");
	rig->machine = kernel != NULL;
	CHECK(mkdtemp(template) != NULL);
	rig->directory = xstrdup(template);
	current = rig;
	owner = getpid();
	CHECK(atexit(clean_up_at_exit) == 0);
	make_image(rig->directory);
	if (rig->machine)
		rig_start_machine(rig, kernel);
	else
		rig_start_process(rig);
}

void rig_start(struct rig *rig)
{
	if (shared)
		*rig = *shared;
	else
		start(rig);
	greet(rig);
}

int rig_main(int argc, char **argv, const struct test_case *cases, size_t n_cases)
{
	struct rig rig;
	int result;

	if (!getenv("RIG_KERNEL"))
		return test_main(argc, argv, cases, n_cases);
	start(&rig);
	shared = &rig;
	result = test_main(argc, argv, cases, n_cases);
	shared = NULL;
	shut_down(&rig);
	rig_stop(&rig);
	return result;
}

int rig_stream(struct rig *rig, uint32_t *ret_port)
{
	return rig->machine ? rig_machine_stream(rig, ret_port) : rig_process_stream(rig, ret_port);
}

void rig_stop(struct rig *rig)
{
	_cleanup_free_ char *command = NULL;

	if (shared)
		return;
	end_agent(rig, true);
	if (rig->cgroup && rmdir(rig->cgroup) < 0)
		test_fail(__FILE__, __LINE__, "%s is not empty", rig->cgroup);
	close_fdp(&rig->call_fd);
	close_fdp(&rig->listen_fd);
	command = xasprintf("rm -rf '%s'", rig->directory);
	rig_command(command);
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
	const struct ttrpc_request call = { .service = "supermachine.v1.Agent",
					    .method = method,
					    .message = request,
					    .response = response_type ? response_type
								      : &agent__empty__descriptor,
					    .timeout_ms = CALL_TIMEOUT_MS };

	if (ttrpc_call_sync(rig->call_fd, -1, &call, &response, ret_error) < 0)
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

#define N_DEFAULT_MOUNTS 6

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
	const char *name = given(config->hostname, "box");
	_cleanup_free_ char *hostname =
	    name[0] ? xasprintf("\"hostname\":\"%s\",", name) : xstrdup("");

	return xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":%s},"
			 "\"process\":{\"args\":%s,\"cwd\":\"%s\",\"user\":%s,"
			 "\"env\":%s%s%s},%s\"mounts\":[%s%s%s],"
			 "\"linux\":{\"namespaces\":%s%s%s}%s%s}",
			 config->readonly ? "true" : "false", config->args, given(config->cwd, "/"),
			 given(config->user, "{\"uid\":0,\"gid\":0}"),
			 given(config->env, "[\"PATH=/usr/bin:/bin\"]"), comma(config->process),
			 given(config->process, ""), hostname, DEFAULT_MOUNTS,
			 comma(config->mounts), given(config->mounts, ""),
			 given(config->namespaces, DEFAULT_NAMESPACES), comma(config->linux_),
			 given(config->linux_, ""), comma(config->top), given(config->top, ""));
}

static void close_io(struct rig_io *io)
{
	close_fdp(&io->in);
	close_fdp(&io->out);
	close_fdp(&io->err);
	*io = (struct rig_io){ -1, -1, -1 };
}

struct rig_sources {
	Agent__Source sources[RIG_SOURCES_MAX], *pointers[RIG_SOURCES_MAX];
	Agent__Socket sockets[RIG_SOURCES_MAX];
	char *published[1];
};

static void fill_sources(const struct rig_config *config, struct rig_sources *sources,
			 Agent__CreateRequest *request)
{
	for (uint32_t i = 0; config->sources && config->sources[i]; i++) {
		Agent__Source *source = sources->pointers[i] = &sources->sources[i];
		Agent__Socket *socket = &sources->sockets[i];

		CHECK(i < RIG_SOURCES_MAX);
		agent__source__init(source);
		agent__socket__init(socket);
		source->mount = N_DEFAULT_MOUNTS + i;
		if (config->sources[i][0]) {
			source->share = (char *)config->sources[i];
		} else {
			socket->port = RIG_SOCKET_PORT + i;
			socket->key.data = (uint8_t *)RIG_SOCKET_KEY;
			socket->key.len = strlen(RIG_SOCKET_KEY);
			socket->mode = 0620;
			socket->uid = socket->gid = 1000;
			source->socket = socket;
		}
		request->n_sources++;
	}
	request->sources = sources->pointers;
	sources->published[0] = (char *)config->published;
	request->published = sources->published;
	request->n_published = config->published ? 1 : 0;
	if (config->share)
		request->share_tag = (char *)config->share;
	if (config->root_share) {
		request->root_share = (char *)config->root_share;
		request->n_layers = 0;
	}
}

int rig_create(struct rig *rig, const char *id, const struct rig_config *config,
	       struct rig_io *ret_io, struct error **ret_error)
{
	_cleanup_free_ char *json = rig_config_json(config);
	Agent__CreateRequest request = AGENT__CREATE_REQUEST__INIT;
	Agent__Layer layer = AGENT__LAYER__INIT;
	Agent__Layer *layers[] = { &layer };
	Agent__Join joins[ARRAY_SIZE(config->joins)];
	Agent__Join *join_pointers[ARRAY_SIZE(config->joins)];
	struct rig_sources sources;
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
	fill_sources(config, &sources, &request);
	request.joins = join_pointers;
	for (size_t i = 0; i < ARRAY_SIZE(joins) && config->joins[i]; i++) {
		agent__join__init(&joins[i]);
		joins[i].type = (char *)config->joins[i];
		joins[i].id = (char *)"main";
		join_pointers[request.n_joins++] = &joins[i];
	}
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
	request.terminal = terminal;
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
