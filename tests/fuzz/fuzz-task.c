/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task server between three peers that do as the input likes: clients (whole
 * requests of every method in any order, or any bytes), the agent in the guest and
 * the machine (task-guest.h), and containerd as the receiver of events.  Whatever
 * they do, a Shutdown ends the server, every call has had one answer by then, and no
 * descriptor is left.
 *
 * Input: one byte (enum flag), then a row of operations, each a byte (see operate()) and
 * its arguments.
 *
 * Requests may name any file of the host and any program, so inputs run as "nobody"
 * where the target is started as root, and no program is run at all.
 */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/events.pb-c.h"
#include "protocol/sandbox.pb-c.h"
#include "protocol/task.pb-c.h"
#include "shim/events.h"
#include "shim/server.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/task-guest.h"
#include "ttrpc/frame.h"
#include "ttrpc/message.h"

#define NOBODY 65534
#define DRAIN_MS 10
#define END_MS 30000
#define ROUNDS 3
#define UNANSWERED_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum flag { FLAG_OBLIGING = 1, FLAG_EVENTS = 2, FLAG_CONTAINERD = 4 };

struct fuzz {
	struct loop *loop;
	struct server *server;
	struct guest *guest;
	struct ttrpc_client *client; /* NULL: its connection has ended */
	struct events *events;
	struct ttrpc_server *sink; /* NULL: containerd is away */
	int32_t sink_code;	   /* what it says to an event; 0: it takes it */
	bool sink_silent;
	struct ttrpc_call *unanswered[UNANSWERED_MAX];
	size_t n_unanswered;
	struct input input;
	unsigned rounds; /* of the loop, until the next operation */
	bool ending;
	int raw; /* a client's connection for bytes, and descriptors */
	uint32_t raw_stream;
	unsigned n_called, n_answered;
};

/* Made once; where everything of this target's is. */
static char *home, *socket_path, *sink_path;

static const uint8_t *take_bytes(struct input *input, size_t *size)
{
	const uint8_t *bytes = input->at;

	*size = MIN((size_t)take(input), input->left);
	bytes = input->at;
	input->at += *size;
	input->left -= *size;
	return bytes;
}

/* ---- the host ---- */

static void put_file(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", home, name);
	char *slash = strrchr(path, '/');

	*slash = '\0';
	check(make_directories(path, 0755, NULL) == 0);
	*slash = '/';
	check(write_file_atomic(path, text, strlen(text), 0644, NULL) == 0);
}

static void put_bundle(const char *name, const char *more)
{
	_cleanup_free_ char *path = xasprintf("%s/config.json", name);
	_cleanup_free_ char *inside = xasprintf("%s/rootfs/file", name);
	_cleanup_free_ char *text =
	    xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"process\":{"
		      "\"args\":[\"a\"],"
		      "\"cwd\":\"/\"%s},\"vm\":{\"kernel\":{\"path\":\"%s/kernel\"}}%s}",
		      strcmp(name, "tty") == 0 ? ",\"terminal\":true" : "", home, more);

	put_file(path, text);
	put_file(inside, "");
}

static void refuse_programs(void)
{
#ifdef HAVE_SECCOMP
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	check(filter && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execve), 0) == 0 &&
	      seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execveat), 0) == 0 &&
	      seccomp_load(filter) == 0);
	seccomp_release(filter);
#endif
}

/* Nobody while the input runs; the reader and writer of inputs stays who it is.  (Not seteuid(3):
 * it wakes every other thread.) */
static void become(uid_t uid)
{
	const gid_t gid = uid;

	if (getuid() != 0)
		return;
	check((uid == 0 || syscall(SYS_setresgid, -1, gid, -1) == 0) &&
	      syscall(SYS_setresuid, -1, uid, -1) == 0 &&
	      (uid != 0 || syscall(SYS_setresgid, -1, gid, -1) == 0));
	/* For /proc/self/fd, and for the leak detector. */
	(void)prctl(PR_SET_DUMPABLE, 1);
}

static void remove_home(void)
{
	(void)remove_tree(home, NULL);
	free(home);
	free(socket_path);
	free(sink_path);
}

static void set_up(void)
{
	char template[] = "/dev/shm/fuzz-task.XXXXXX"; /* no disk */
	_cleanup_free_ char *fifo = NULL;
	_cleanup_free_ char *settings = NULL;

	if (home)
		return;
	log_set_level(LOG_LEVEL_DEBUG);
	if (!getenv("FUZZ_TASK_DEBUG"))
		check(log_open("/dev/null", NULL) == 0);
	(void)signal(SIGPIPE, SIG_IGN);
	refuse_programs();
	check(getuid() != 0 || setgroups(0, NULL) == 0);
	become(NOBODY);
	check(mkdtemp(template) != NULL);
	home = xstrdup(template);
	socket_path = xasprintf("%s/task.sock", home);
	sink_path = xasprintf("%s/events.sock", home);
	(void)atexit(remove_home);
	fifo = xasprintf("%s/fifo", home);
	check(mkfifo(fifo, 0600) == 0);
	settings = xasprintf("%s/settings.json", home);
	put_file("settings.json", "{}");
	put_file("home/kept", "");
	put_file("kernel", "kernel");
	put_file("initramfs", "initramfs");
	put_file("layer", "layer");
	put_bundle("plain", "");
	put_bundle("tty", "");
	put_bundle("pod", ",\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\","
			  "\"io.kubernetes.cri.sandbox-id\":\"box\"}");
	put_bundle("member", ",\"annotations\":{\"io.kubernetes.cri.container-type\":\"container\","
			     "\"io.kubernetes.cri.sandbox-id\":\"box\"}");
	put_bundle("hooks", ",\"hooks\":{\"poststart\":[{\"path\":\"/bin/true\"}],"
			    "\"poststop\":[{\"path\":\"/bin/true\"}]}");
	check(setenv("SUPERMACHINE_CONFIG", settings, 1) == 0 &&
	      setenv("SUPERMACHINE_ACCEL", "tcg", 1) == 0 &&
	      setenv("SUPERMACHINE_QEMU", "/bin/true", 1) == 0);
}

static unsigned count_fds(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	check(dir);
	while (readdir(dir))
		n++;
	return n;
}

/* ---- clients ---- */

static void on_reply(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct fuzz *fuzz = data;

	check(!response == !!error);
	fuzz->n_answered++;
}

static void on_close(void *data)
{
	struct fuzz *fuzz = data;

	ttrpc_client_free(TAKE_PTR(fuzz->client));
}

struct method {
	const char *name;
	const ProtobufCMessageDescriptor *request, *response;
};

#define TASK(name, request, response)                                                              \
	{                                                                                          \
		name, &task__##request##__descriptor, &task__##response##__descriptor              \
	}
static const struct method methods[] = {
	TASK("Create", create_task_request, create_task_response),
	TASK("Start", start_request, start_response),
	TASK("Kill", kill_request, empty),
	TASK("Wait", wait_request, wait_response),
	TASK("Delete", delete_request, delete_response),
	TASK("Exec", exec_process_request, empty),
	TASK("State", state_request, state_response),
	TASK("Pids", pids_request, pids_response),
	TASK("Pause", pause_request, empty),
	TASK("Resume", resume_request, empty),
	TASK("Checkpoint", checkpoint_task_request, empty),
	TASK("ResizePty", resize_pty_request, empty),
	TASK("CloseIO", close_iorequest, empty),
	TASK("Update", update_task_request, empty),
	TASK("Stats", stats_request, stats_response),
	TASK("Connect", connect_request, connect_response),
	TASK("Shutdown", shutdown_request, empty),
	{ "Processes", &sandbox__processes_request__descriptor,
	  &sandbox__processes_response__descriptor },
	{ "WaitOom", &sandbox__wait_oom_request__descriptor,
	  &sandbox__wait_oom_response__descriptor },
};
#define N_TASK_METHODS 17 /* the others are the sandbox's */

static const char *choose(struct input *input, const char *const *texts, size_t n)
{
	return texts[take(input) % n];
}

static char *choose_stdio(struct input *input)
{
	static const char *const forms[] = {
		"",	"%s/fifo", "file://%s/out",	    "%s/kernel", "fd:0",
		"fd:1", "%s",	   "binary://%s/kernel?a=b"
	};
	const char *form = choose(input, forms, ARRAY_SIZE(forms));
	const char *hole = strstr(form, "%s");

	if (!hole)
		return xstrdup(form);
	return xasprintf("%.*s%s%s", (int)(hole - form), form, home, hole + 2);
}

static const char *choose_id(struct input *input)
{
	static const char *const ids[] = { "box", "c2", "c3", "", "../x" };

	return choose(input, ids, ARRAY_SIZE(ids));
}

static const char *choose_exec_id(struct input *input)
{
	static const char *const ids[] = { "", "e1", "e2", "../x" };

	return choose(input, ids, ARRAY_SIZE(ids));
}

/* Every string, number and flag of the message from the input, by its name. */
static void fill_fields(ProtobufCMessage *message, struct input *input, char **texts,
			size_t *n_texts)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;

	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		void *member = (uint8_t *)message + field->offset;

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		if (strcmp(field->name, "id") == 0)
			*(const char **)member = choose_id(input);
		else if (strcmp(field->name, "exec_id") == 0)
			*(const char **)member = choose_exec_id(input);
		else if (strncmp(field->name, "std", 3) == 0 &&
			 field->type == PROTOBUF_C_TYPE_STRING)
			*(char **)member = texts[(*n_texts)++] = choose_stdio(input);
		else if (field->type == PROTOBUF_C_TYPE_BOOL)
			*(protobuf_c_boolean *)member = take(input) % 2;
		else if (field->type == PROTOBUF_C_TYPE_UINT32)
			*(uint32_t *)member = take(input);
		else if (field->type == PROTOBUF_C_TYPE_UINT64)
			*(uint64_t *)member = take(input);
	}
}

/* What only one kind of request has. */
struct parts {
	Task__Any any;
	Task__Mount mount, *mounts;
	char *source, *bundle;
};

static void fill_create(Task__CreateTaskRequest *request, struct input *input, struct parts *parts)
{
	static const char *const bundles[] = { "plain", "tty", "pod", "member", "hooks", "none" };
	static const char *const types[] = { "", "squashfs", "erofs", "bind", "overlay", "odd" };
	const char *type = choose(input, types, ARRAY_SIZE(types));

	request->bundle = parts->bundle =
	    xasprintf("%s/%s", home, choose(input, bundles, ARRAY_SIZE(bundles)));
	/* Restores are refused, and not much else happens. */
	if (request->checkpoint && take(input) < 250)
		request->checkpoint = (char *)"";
	if (!type[0])
		return;
	task__mount__init(&parts->mount);
	parts->mounts = &parts->mount;
	parts->mount.type = (char *)type;
	parts->mount.source = parts->source = xasprintf("%s/layer", home);
	request->rootfs = &parts->mounts;
	request->n_rootfs = 1;
}

static void fill_any(Task__Any **ret_any, struct parts *parts, const char *type, const char *text)
{
	task__any__init(&parts->any);
	parts->any.type_url = (char *)type;
	parts->any.value = (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
	*ret_any = &parts->any;
}

static void fill_parts(ProtobufCMessage *message, struct input *input, struct parts *parts)
{
	static const char *const processes[] = {
		"{\"args\":[\"a\"],\"cwd\":\"/\"}",
		"{\"args\":[\"a\"],\"cwd\":\"/\",\"terminal\":true}",
		"{\"args\":[]}",
		"",
	};
	static const char *const resources[] = { "{}", "{\"pids\":{\"limit\":9}}", "[", "" };

	if (message->descriptor == &task__create_task_request__descriptor)
		fill_create((Task__CreateTaskRequest *)message, input, parts);
	else if (message->descriptor == &task__exec_process_request__descriptor)
		fill_any(&((Task__ExecProcessRequest *)message)->spec, parts, "Process",
			 choose(input, processes, ARRAY_SIZE(processes)));
	else if (message->descriptor == &task__update_task_request__descriptor)
		fill_any(&((Task__UpdateTaskRequest *)message)->resources, parts, "LinuxResources",
			 choose(input, resources, ARRAY_SIZE(resources)));
}

static void send_raw(struct fuzz *fuzz, const char *service, const struct method *method,
		     const ProtobufCMessage *request)
{
	const int fds[] = { STDERR_FILENO, fuzz->raw };
	const struct ttrpc_request call = { .service = service,
					    .method = method->name,
					    .message = request };
	struct frame_header header = { .stream = fuzz->raw_stream, .type = FRAME_REQUEST };
	_cleanup_free_ uint8_t *bytes = NULL;
	uint8_t head[FRAME_HEADER_SIZE];
	size_t size;

	check(message_pack_request(&call, NULL, &bytes, &size, NULL) == 0);
	header.length = (uint32_t)size;
	frame_header_encode(&header, head);
	fuzz->raw_stream += 2;
	(void)send_with_fds(fuzz->raw, head, sizeof(head), fds, ARRAY_SIZE(fds));
	(void)send(fuzz->raw, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One call, by the client that counts answers, or with descriptors by the other. */
static void call(struct fuzz *fuzz, struct input *input)
{
	uint8_t what = take(input);
	size_t index = (what & 0x1f) % ARRAY_SIZE(methods);
	const struct method *method = &methods[index];
	const char *service = index >= N_TASK_METHODS ? "supermachine.v1.Sandbox"
			      : what & 0x20	      ? "containerd.task.v3.Task"
						      : "containerd.task.v2.Task";
	_Alignas(max_align_t) uint8_t storage[512];
	ProtobufCMessage *request = (ProtobufCMessage *)storage;
	struct parts parts = { 0 };
	char *texts[3];
	size_t n_texts = 0;

	check(method->request->sizeof_message <= sizeof(storage));
	method->request->message_init(request);
	fill_fields(request, input, texts, &n_texts);
	fill_parts(request, input, &parts);
	if (what & 0x80) {
		send_raw(fuzz, service, method, request);
	} else if (fuzz->client) {
		fuzz->n_called++;
		ttrpc_client_call(fuzz->client,
				  &(struct ttrpc_request){ .service = service,
							   .method = method->name,
							   .message = request,
							   .response = method->response },
				  on_reply, fuzz);
	}
	while (n_texts > 0)
		free(texts[--n_texts]);
	free(parts.source);
	free(parts.bundle);
}

static void drain_raw(const struct fuzz *fuzz)
{
	static uint8_t bytes[1 << 16];

	while (recv(fuzz->raw, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void connect_raw(struct fuzz *fuzz)
{
	close_fdp(&fuzz->raw);
	fuzz->raw = unix_connect_nonblocking(socket_path, NULL);
	fuzz->raw_stream = 1;
	check(fuzz->raw >= 0);
}

/* ---- containerd ---- */

static void on_forward(struct ttrpc_call *call, const ProtobufCMessage *message, void *data)
{
	const Events__ForwardRequest *request = (const Events__ForwardRequest *)message;
	Task__Empty empty = TASK__EMPTY__INIT;
	struct fuzz *fuzz = data;

	check(request->envelope && request->envelope->event && request->envelope->timestamp);
	check(strncmp(request->envelope->topic, "/tasks/", 7) == 0);
	if (fuzz->sink_silent && fuzz->n_unanswered < UNANSWERED_MAX)
		fuzz->unanswered[fuzz->n_unanswered++] = call;
	else if (fuzz->sink_code)
		ttrpc_call_fail(call, (enum ttrpc_code)fuzz->sink_code, "no");
	else
		ttrpc_call_reply(call, &empty.base);
}

static void sink_open(struct fuzz *fuzz)
{
	static const struct ttrpc_method sink_methods[] = {
		{ "Forward", &events__forward_request__descriptor, on_forward },
	};
	static struct ttrpc_service service = {
		.name = "containerd.services.events.ttrpc.v1.Events",
		.methods = sink_methods,
		.n_methods = 1,
	};

	service.data = fuzz;
	fuzz->sink = ttrpc_server_new(fuzz->loop, &service, 1);
	check(ttrpc_server_listen(fuzz->sink, unix_listen(sink_path, 0600, NULL), NULL) == 0);
}

static void fail_unanswered(struct fuzz *fuzz)
{
	while (fuzz->n_unanswered > 0)
		ttrpc_call_fail(fuzz->unanswered[--fuzz->n_unanswered], TTRPC_UNAVAILABLE, "late");
}

static void sink_close(struct fuzz *fuzz)
{
	ttrpc_server_free(TAKE_PTR(fuzz->sink));
	(void)unlink(sink_path);
	fail_unanswered(fuzz);
}

static void disturb_events(struct fuzz *fuzz, uint8_t how)
{
	fuzz->sink_code = how & 0x80 ? how & 15 : 0;
	fuzz->sink_silent = how & 0x40;
	if (!(how & 0x20))
		return;
	if (fuzz->sink)
		sink_close(fuzz);
	else
		sink_open(fuzz);
}

/* ---- the run ---- */

static void do_guest(struct fuzz *fuzz, struct input *input, uint8_t what)
{
	struct guest *guest = fuzz->guest;
	const uint8_t *bytes;
	size_t size, which;

	switch (what % 10) {
	case 0:
		guest_set_obliging(guest, take(input) % 2);
		break;
	case 1:
		guest_dial(guest);
		break;
	case 2:
		which = take(input);
		guest_answer(guest, which, take(input));
		break;
	case 3:
		which = take(input);
		guest_refuse(guest, which, 1 + take(input) % 16);
		break;
	case 4:
		bytes = take_bytes(input, &size);
		guest_babble(guest, bytes, size);
		break;
	case 5:
		guest_hang_up(guest);
		break;
	case 6:
		which = take(input);
		bytes = take_bytes(input, &size);
		guest_write(guest, which, bytes, size);
		break;
	case 7:
		guest_close_stream(guest, take(input));
		break;
	case 8:
		guest_set_stream_answer(guest, take(input) % N_STREAM_ANSWERS);
		break;
	default:
		if (take(input) % 2)
			guest_stop(guest);
		else
			guest_die(guest);
	}
}

static void do_client(struct fuzz *fuzz, struct input *input, uint8_t what)
{
	const uint8_t *bytes;
	size_t size;

	switch (what % 4) {
	case 0:
		bytes = take_bytes(input, &size);
		(void)send(fuzz->raw, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case 1:
		drain_raw(fuzz);
		break;
	case 2:
		connect_raw(fuzz);
		break;
	default:
		(void)shutdown(fuzz->raw, SHUT_WR);
	}
}

static void operate(struct fuzz *fuzz, struct input *input)
{
	uint8_t what = take(input);

	if (what < 0x80)
		call(fuzz, input);
	else if (what < 0xc0)
		do_guest(fuzz, input, what - 0x80);
	else if (what < 0xe0)
		do_client(fuzz, input, what);
	else if (fuzz->events)
		disturb_events(fuzz, take(input));
	/* An odd number: the next comes before anybody has looked. */
	fuzz->rounds = what % 2 ? 0 : ROUNDS;
}

static void stuck(void *data)
{
	(void)data;
	abort();
}

/* Everybody obeys: the server quits the loop, whatever state it is in. */
static void end(struct fuzz *fuzz)
{
	fuzz->ending = true;
	fuzz->sink_code = 0;
	fuzz->sink_silent = false;
	fail_unanswered(fuzz);
	if (fuzz->events && !fuzz->sink)
		sink_open(fuzz);
	guest_give_in(fuzz->guest);
	server_terminate(fuzz->server);
	(void)loop_add_timer(fuzz->loop, END_MS, "stuck", stuck, NULL);
}

static void next(void *data)
{
	struct fuzz *fuzz = data;

	if (fuzz->ending)
		return;
	if (fuzz->rounds > 0)
		fuzz->rounds--;
	else if (fuzz->input.left > 0)
		operate(fuzz, &fuzz->input);
	else
		end(fuzz);
	loop_call(fuzz->loop, next, fuzz);
}

static void start(struct fuzz *fuzz, uint8_t flags)
{
	_cleanup_free_ char *directory = xasprintf("%s/home", home);
	_cleanup_free_ char *initramfs = xasprintf("%s/initramfs", home);
	static struct sandbox_options options; /* outlive the server */
	static char kept[2][256];
	int fd;

	check(loop_new(&fuzz->loop, NULL) == 0);
	(void)snprintf(kept[0], sizeof(kept[0]), "%s", directory);
	(void)snprintf(kept[1], sizeof(kept[1]), "%s", initramfs);
	options = (struct sandbox_options){ .id = "box",
					    .namespace = flags & FLAG_CONTAINERD ? "fuzz" : NULL,
					    .directory = kept[0],
					    .initramfs = kept[1],
					    .vmm = "/bin/true",
					    .boot_timeout_ms = END_MS,
					    .drain_timeout_ms = DRAIN_MS };
	if (flags & FLAG_EVENTS) {
		sink_open(fuzz);
		fuzz->events = events_new(fuzz->loop, sink_path, "fuzz");
	}
	fuzz->guest = guest_new(fuzz->loop, flags & FLAG_OBLIGING);
	check(server_new(fuzz->loop, unix_listen(socket_path, 0600, NULL), &options, fuzz->events,
			 &fuzz->server, NULL) == 0);
	connect_raw(fuzz);
	fd = unix_connect_nonblocking(socket_path, NULL);
	check(fd >= 0 &&
	      ttrpc_client_new(fuzz->loop, fd, on_close, fuzz, &fuzz->client, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz fuzz = { .input = { data, size }, .raw = -1 };
	unsigned n_fds;

	set_up();
	become(NOBODY);
	n_fds = count_fds();
	start(&fuzz, take(&fuzz.input));
	loop_call(fuzz.loop, next, &fuzz);
	loop_run(fuzz.loop);
	fuzz.ending = true;
	server_free(fuzz.server);
	/* Its connection closes: what was not answered fails now. */
	while (fuzz.client)
		loop_step(fuzz.loop, 1000);
	check(fuzz.n_answered == fuzz.n_called);
	close_fdp(&fuzz.raw);
	guest_free(fuzz.guest);
	events_free(fuzz.events);
	if (fuzz.sink)
		sink_close(&fuzz);
	loop_free(fuzz.loop);
	check(unlink(socket_path) == 0);
	check(count_fds() == n_fds);
	become(0);
	return 0;
}
