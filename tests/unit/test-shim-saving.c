/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints by the task server, of a fake machine: what comes in between. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/criu-stats.pb-c.h"
#include "sandbox/checkpoint-manifest.h"
#include "tests/unit/shim-rig.h"
#include "ttrpc/any.h"

/* A call on a thread of its own, for what else is to be done meanwhile. */
struct asking {
	struct rig *rig;
	const char *method;
	char *path; /* the image's; of Checkpoint alone, as are these: */
	const char *parent_path, *work_path, *copy_from, *copy_to;
	bool pre_dump;
	int result;
	struct error *error;
	pthread_t thread;
};

static void *ask(void *data)
{
	struct asking *asking = data;
	Task__CheckpointTaskRequest request = TASK__CHECKPOINT_TASK_REQUEST__INIT;
	Sandbox__CheckpointOptions options = SANDBOX__CHECKPOINT_OPTIONS__INIT;
	Sandbox__Copy copy = SANDBOX__COPY__INIT;
	Sandbox__Copy *copies[] = { &copy };
	Task__Any any = TASK__ANY__INIT;
	ProtobufCMessage *answer;

	if (!asking->path) {
		asking->result = rig_simple(asking->rig, asking->method, &asking->error);
		return NULL;
	}
	request.id = (char *)RIG_ID;
	request.path = asking->path;
	options.pre_dump = asking->pre_dump;
	if (asking->parent_path)
		options.parent_path = (char *)asking->parent_path;
	if (asking->work_path)
		options.work_path = (char *)asking->work_path;
	if (asking->copy_from) {
		copy.source = (char *)asking->copy_from;
		copy.target = (char *)asking->copy_to;
		options.copies = copies;
		options.n_copies = 1;
	}
	any_pack(&any, "supermachine.v1.CheckpointOptions", &options.base);
	request.options = &any;
	answer = rig_call(asking->rig, "Checkpoint", &request.base, &task__empty__descriptor, NULL,
			  0, &asking->error);
	asking->result = answer ? 0 : -1;
	any_done(&any);
	rig_free(answer);
	return NULL;
}

static void begin(struct asking *asking)
{
	CHECK(pthread_create(&asking->thread, NULL, ask, asking) == 0);
}

/* Its result. */
static int finish(struct asking *asking)
{
	struct timespec until;

	CHECK(clock_gettime(CLOCK_REALTIME, &until) == 0);
	until.tv_sec += 20;
	CHECK_INT(pthread_timedjoin_np(asking->thread, NULL, &until), 0);
	free(asking->path);
	return asking->result;
}

/* Its program has begun: the fake freezer may stop it. more: members of config.json, NULL: none. */
static uint32_t run_saved_with(struct rig *rig, const char *fake, const char *more)
{
	const struct rig_config config = { .args = "[\"sh\",\"-c\",\"echo; exec sleep 1000\"]",
					   .fake = fake,
					   .more = more };
	_cleanup_free_ char *root = NULL;
	int out[2], fds[3] = { -1, -1, -1 };
	uint32_t pid;
	char c;

	CHECK(pipe2(out, O_CLOEXEC) == 0);
	fds[1] = out[1];
	rig_init(rig);
	root = xasprintf("%s/rootfs", rig->bundle);
	CHECK(mkdir(root, 0700) == 0);
	rig->own_root = true;
	rig->network = "none";
	rig_start(rig);
	pid = rig_run(rig, &config, fds);
	CHECK(read(out[0], &c, 1) == 1);
	(void)close(out[0]);
	(void)close(out[1]);
	return pid;
}

static uint32_t run_saved(struct rig *rig, const char *fake)
{
	return run_saved_with(rig, fake, NULL);
}

static void wait_for_file(const char *path)
{
	struct stat st = { 0 };

	for (int i = 0; i < 1000 && st.st_size == 0; i++) {
		(void)usleep(10000);
		(void)stat(path, &st);
	}
	CHECK(st.st_size > 0);
}

static void end(struct rig *rig)
{
	struct error *error = NULL;

	CHECK_OK(rig_kill(rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(rig, "", &error), 137);
	CHECK_INT(rig_delete(rig, "", &error), 137);
	rig_done(rig);
}

/* As CRIU's callers read them. */
static void check_stats(const char *directory)
{
	_cleanup_free_ char *path = xasprintf("%s/stats-dump", directory), *bytes = NULL;
	CriuStats__Stats *stats;
	struct error *error = NULL;
	uint32_t head[3];
	size_t size;

	CHECK_OK(read_file(path, 4096, &bytes, &size, &error), &error);
	CHECK(size > sizeof(head));
	(void)memcpy(head, bytes, sizeof(head));
	CHECK(head[0] == 0x55105940 && head[1] == 0x57093306);
	CHECK_INT(head[2], size - sizeof(head));
	stats = criu_stats__stats__unpack(NULL, head[2], (const uint8_t *)bytes + sizeof(head));
	CHECK(stats && stats->dump && !stats->restore);
	CHECK(stats->dump->freezing_time > 0 &&
	      stats->dump->frozen_time >= stats->dump->memdump_time);
	CHECK(stats->dump->pages_scanned == (256 << 20) / 4096);
	criu_stats__stats__free_unpacked(stats, NULL);
}

static void test_saved(void)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid = run_saved(&rig, "");
	struct asking saving = { .rig = &rig,
				 .path = xasprintf("%s/image", rig.directory),
				 .work_path = rig.directory };
	_cleanup_free_ char *manifest = xasprintf("%s/manifest", saving.path);

	CHECK(pid > 0);
	begin(&saving);
	CHECK_OK(finish(&saving), &saving.error);
	CHECK(access(manifest, F_OK) == 0);
	check_stats(rig.directory);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	/* Whether it runs, too. */
	CHECK_OK(rig_simple(&rig, "Pause", &error), &error);
	CHECK_OK(rig_simple(&rig, "Resume", &error), &error);
	end(&rig);
}

/* The memory alone, which leaves the container as it is, and then what has changed since. */
static void test_parent(void)
{
	static const struct {
		const char *image, *parent, *message;
	} refused[] = {
		{ "image", "/tmp", "the parent path /tmp is not relative to the image path" },
		{ "image", "../none", "/image/../none: No such file or directory" },
		{ "image", "..", "is not a checkpoint: it has no file \"manifest\"" },
		{ "before", ".", "would be replaced, and is needed as a parent" },
		{ "before", "../image", "would be replaced, and is needed as a parent" },
	};
	struct rig rig;
	uint32_t pid = run_saved(&rig, "");
	struct asking before = { .rig = &rig,
				 .path = xasprintf("%s/before", rig.directory),
				 .pre_dump = true };
	struct asking after = { .rig = &rig,
				.path = xasprintf("%s/image", rig.directory),
				.parent_path = "../before",
				.pre_dump = true };
	_cleanup_free_ char *manifest = xasprintf("%s/manifest", after.path);
	_cleanup_free_ char *state = xasprintf("%s/state", before.path);
	struct stat st;

	CHECK(pid > 0);
	begin(&before);
	CHECK_OK(finish(&before), &before.error);
	CHECK(stat(state, &st) < 0);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	begin(&after);
	CHECK_OK(finish(&after), &after.error);
	CHECK(stat(manifest, &st) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct asking asking = { .rig = &rig,
					 .path =
					     xasprintf("%s/%s", rig.directory, refused[i].image),
					 .parent_path = refused[i].parent };

		begin(&asking);
		CHECK_ERROR(finish(&asking), &asking.error, refused[i].message);
	}
	CHECK(stat(manifest, &st) == 0);
	end(&rig);
}

/* While the machine stands still. If it cannot be made, there is no checkpoint, and the container
 * runs on. */
static void test_copies(void)
{
	struct rig rig;
	uint32_t pid = run_saved(&rig, "");
	_cleanup_free_ char *from = xasprintf("%s/from", rig.directory), *file = NULL,
			    *again = NULL;
	_cleanup_free_ char *to = xasprintf("%s/to", rig.directory), *copied = NULL;
	const struct {
		const char *from, *to, *message;
	} refused[] = {
		{ from, to, "/to: File exists" },
		{ "from", to, "\"from\" of a copy is not an absolute path" },
		{ "/none/such", "/none/other", "cannot copy /none/such: no mount of it" },
	};
	struct asking saving = { .rig = &rig,
				 .path = xasprintf("%s/image", rig.directory),
				 .copy_from = from,
				 .copy_to = to };
	struct error *error = NULL;
	struct stat was, is;

	CHECK(pid > 0 && mkdir(from, 0750) == 0);
	file = xasprintf("%s/file", from);
	copied = xasprintf("%s/file", to);
	again = xasprintf("%s/again", rig.directory);
	CHECK_OK(write_file_atomic(file, "text", 4, 0640, &error), &error);
	begin(&saving);
	CHECK_OK(finish(&saving), &saving.error);
	CHECK(stat(file, &was) == 0 && stat(copied, &is) == 0);
	CHECK(was.st_size == is.st_size && was.st_mode == is.st_mode &&
	      was.st_mtim.tv_sec == is.st_mtim.tv_sec &&
	      was.st_mtim.tv_nsec == is.st_mtim.tv_nsec && was.st_ino != is.st_ino);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct asking asking = { .rig = &rig,
					 .path = xstrdup(again),
					 .copy_from = refused[i].from,
					 .copy_to = refused[i].to };

		begin(&asking);
		CHECK_ERROR(finish(&asking), &asking.error, refused[i].message);
		CHECK(access(again, F_OK) < 0 && errno == ENOENT);
		CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
	}
	end(&rig);
}

/* It runs meanwhile, and may end. */
static void test_ends_meanwhile(void)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid = run_saved(&rig, "fake.mute=save");
	struct asking saving = { .rig = &rig,
				 .path = xasprintf("%s/image", rig.directory),
				 .pre_dump = true };
	_cleanup_free_ char *image = xstrdup(saving.path);
	_cleanup_free_ char *ram = xasprintf("%s/.ram.new", saving.path);

	CHECK(pid > 0);
	begin(&saving);
	wait_for_file(ram);
	CHECK_OK(rig_kill(&rig, "", SIGKILL, &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	CHECK(finish(&saving) < 0);
	error_free(saving.error);
	CHECK(access(image, F_OK) < 0 && errno == ENOENT);
	rig_done(&rig);
}

/* Its control socket and its process end as one, as seen from a busy server. */
static void test_machine_dies(void)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid = run_saved(&rig, "fake.mute=save");
	struct asking saving = { .rig = &rig, .path = xasprintf("%s/image", rig.directory) };
	_cleanup_free_ char *image = xstrdup(saving.path);
	_cleanup_free_ char *ram = xasprintf("%s/.ram.new", saving.path);

	begin(&saving);
	wait_for_file(ram);
	CHECK(kill(rig.server, SIGSTOP) == 0);
	CHECK(kill((pid_t)pid, SIGKILL) == 0);
	CHECK_INT(rig_reap((pid_t)pid), SIGKILL);
	CHECK(kill(rig.server, SIGCONT) == 0);
	CHECK_ERROR(finish(&saving), &saving.error, "the VMM does not answer");
	CHECK(access(image, F_OK) < 0 && errno == ENOENT);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

/* What answers "note" is not taken for what answers "pause". */
static void test_note_in_between(void)
{
	struct rig rig;
	uint32_t pid = run_saved(&rig, "fake.late=note");
	struct asking saving = { .rig = &rig, .path = xasprintf("%s/image", rig.directory) };

	CHECK(pid > 0);
	begin(&saving);
	CHECK_OK(finish(&saving), &saving.error);
	end(&rig);
}

/* The state of the guest's process: 'T' is a stopped one's. */
static char state_of_child(pid_t parent)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/children", parent, parent);
	_cleanup_free_ char *text = NULL, *stat_path = NULL, *line = NULL;
	struct error *error = NULL;

	CHECK_OK(read_file(path, 4096, &text, NULL, &error), &error);
	stat_path = xasprintf("/proc/%d/stat", atoi(text));
	CHECK_OK(read_file(stat_path, 4096, &line, NULL, &error), &error);
	return strrchr(line, ')')[2];
}

/* A Pause, or a Resume, that is on its way to the guest when a checkpoint begins. */
static void test_pause_in_between(void)
{
	static const char *const methods[] = { "Pause", "Resume" };
	struct rig rig;
	uint32_t pid = run_saved(&rig, "");

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct asking other = { .rig = &rig, .method = methods[i] };
		struct asking saving = { .rig = &rig,
					 .path = xasprintf("%s/image", rig.directory) };

		CHECK(kill((pid_t)pid, SIGSTOP) == 0);
		begin(&other);
		(void)usleep(200000);
		begin(&saving);
		(void)usleep(200000);
		CHECK(kill((pid_t)pid, SIGCONT) == 0);
		CHECK_OK(finish(&other), &other.error);
		CHECK_OK(finish(&saving), &saving.error);
		CHECK_INT(rig_status(&rig, ""),
			  i == 0 ? TASK__STATUS__PAUSED : TASK__STATUS__RUNNING);
		CHECK((state_of_child((pid_t)pid) == 'T') == (i == 0));
	}
	end(&rig);
}

/* One that stays frozen is one that is paused: it can be resumed. */
static void test_stays_frozen(void)
{
	struct rig rig;
	uint32_t pid = run_saved(&rig, "fake.refuse=resume");
	struct asking saving = { .rig = &rig, .path = xasprintf("%s/image", rig.directory) };

	CHECK(pid > 0);
	begin(&saving);
	CHECK_OK(finish(&saving), &saving.error);
	CHECK_INT(rig_status(&rig, ""), TASK__STATUS__PAUSED);
	end(&rig);
}

/* A machine that stays as it was saved is of no use: the caller is told, and it ends. */
static void test_machine_stays_paused(void)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid = run_saved(&rig, "fake.stuck=machine");
	struct asking saving = { .rig = &rig, .path = xasprintf("%s/image", rig.directory) };
	_cleanup_free_ char *manifest = xasprintf("%s/manifest", saving.path);

	CHECK(pid > 0);
	begin(&saving);
	CHECK_ERROR(finish(&saving), &saving.error,
		    "the checkpoint was made, but the machine does not go on");
	CHECK(access(manifest, F_OK) == 0);
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

/* text with the word in the place of the mark, if it has it; caller frees. */
static char *replace(const char *text, const char *mark, const char *word)
{
	const char *found = strstr(text, mark);

	return found ? xasprintf("%.*s%s%s", (int)(found - text), text, word, found + strlen(mark))
		     : xstrdup(text);
}

/* What the files would not have, or a restored machine not find again, by its name; and the
 * container runs on. */
static void test_refused(void)
{
	static const struct {
		const char *more, *message;
	} refused[] = {
		{ ",\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\"}",
		  "a container of a pod, or one that others have joined, cannot be checkpointed: "
		  "the machine is "
		  "saved as a whole" },
		{ ",\"annotations\":{\"io.containerd.runc.v2.group\":\"pod\"}",
		  "a container of a pod, or one that others have joined, cannot be checkpointed: "
		  "the machine is "
		  "saved as a whole" },
		{ ",\"annotations\":{\"io.supermachine.socket.api\":\"/run/api.sock\"}",
		  "a container that publishes a unix socket cannot be checkpointed: programs of "
		  "the host" },
		{ ",\"mounts\":[{\"destination\":\"/sock\",\"type\":\"bind\",\"source\":\"%s\","
		  "\"options\":[\"bind\"]}]",
		  "a container with a unix socket of the host cannot be checkpointed: the program "
		  "behind it" },
	};
	char directory[] = "/tmp/test-shim-saving.XXXXXX";
	_cleanup_free_ char *socket = NULL;
	struct error *error = NULL;
	int listener;

	CHECK(mkdtemp(directory));
	socket = xasprintf("%s/s", directory);
	listener = unix_listen(socket, 0600, &error);
	CHECK_OK(listener, &error);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_free_ char *more = replace(refused[i].more, "%s", socket);
		struct rig rig;
		uint32_t pid = run_saved_with(&rig, "", more);
		struct asking saving = { .rig = &rig,
					 .path = xasprintf("%s/image", rig.directory) };
		_cleanup_free_ char *image = xstrdup(saving.path);

		CHECK(pid > 0);
		begin(&saving);
		CHECK_ERROR(finish(&saving), &saving.error, refused[i].message);
		CHECK(access(image, F_OK) < 0 && errno == ENOENT);
		CHECK_INT(rig_status(&rig, ""), TASK__STATUS__RUNNING);
		end(&rig);
	}
	CHECK(close(listener) == 0 && remove_tree(directory, NULL) == 0);
}

/* Of a checkpoint that cannot be named nothing is left. */
static void test_not_named(void)
{
	static const char *const names[] = { "state", "manifest", ".state.new", ".ram.new",
					     ".manifest.new" };
	struct rig rig;
	uint32_t pid = run_saved(&rig, "");
	struct asking saving = { .rig = &rig, .path = xasprintf("%s/image", rig.directory) };
	_cleanup_free_ char *image = xstrdup(saving.path), *ram = xasprintf("%s/ram", image);
	struct error *error = NULL;

	CHECK(pid > 0);
	CHECK_OK(make_directories(ram, 0700, &error), &error);
	begin(&saving);
	CHECK_ERROR(finish(&saving), &saving.error, "/image/ram is a directory");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", image, names[i]);

		CHECK(access(path, F_OK) < 0 && errno == ENOENT);
	}
	end(&rig);
}

static char *write_image(const struct rig *rig, const char *network, const char *kernel)
{
	static const char *const others[] = { "state", "ram" };
	struct checkpoint_manifest *manifest = checkpoint_manifest_new();
	_cleanup_free_ char *config = xasprintf("%s/config.json", rig->bundle);
	char *image = xasprintf("%s/image", rig->directory);
	_cleanup_free_ char *path = xasprintf("%s/manifest", image), *text = NULL;
	struct error *error = NULL;
	size_t size;

	CHECK_OK(make_directories(image, 0700, &error), &error);
	CHECK_OK(read_file(config, 1 << 20, &manifest->config, &manifest->config_size, &error),
		 &error);
	manifest->name = xstrdup("0123456789abcdef0123456789abcdef");
	manifest->id = xstrdup(RIG_ID);
	manifest->stage = xstrdup("0");
	manifest->network = xstrdup(network);
	manifest->kernel = xstrdup(kernel);
	manifest->vcpus = manifest->vcpus_now = 1;
	manifest->memory_mib = 256;
	manifest->room_mib = 1024;
	checkpoint_manifest_add_process(manifest)->exec_id = xstrdup("");
	manifest->processes[0].streams.ports[STDIO_OUT] = 7;
	checkpoint_manifest_add_process(manifest)->exec_id = xstrdup("e1");
	manifest->processes[1].streams.ports[STDIO_OUT] = 8;
	text = checkpoint_manifest_write(manifest, &size);
	CHECK_OK(write_file_atomic(path, text, size, 0600, &error), &error);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_free_ char *other = xasprintf("%s/%s", image, others[i]);

		CHECK_OK(write_file_atomic(other, "x", 1, 0600, &error), &error);
	}
	checkpoint_manifest_free(manifest);
	return image;
}

/* containerd's containers have the network and the kernel that it gives them: the author of the
 * files is not asked. */
static void test_manifest_of_others(void)
{
	static const struct {
		const char *network, *kernel;
	} others[] = { { "ns:/proc/1/ns/net", "" }, { "", "/etc/passwd" } };
	_cleanup_free_ char *root = NULL;
	struct rig rig;

	rig_init(&rig);
	root = xasprintf("%s/rootfs", rig.bundle);
	CHECK(mkdir(root, 0700) == 0);
	rig.namespace = "k8s.io";
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_free_ char *image = write_image(&rig, others[i].network, others[i].kernel);
		Task__CreateTaskRequest request = TASK__CREATE_TASK_REQUEST__INIT;
		struct error *error = NULL;

		request.id = (char *)RIG_ID;
		request.bundle = rig.bundle;
		request.checkpoint = image;
		CHECK_ERROR(rig_call(&rig, "Create", &request.base,
				     &task__create_task_response__descriptor, NULL, 0, &error)
				? 0
				: -1,
			    &error, "a network or a kernel of its own");
	}
	rig_done(&rig);
}

/* The machine does not keep what nobody takes up, however long a hook takes. */
static void test_taken_up(void)
{
	_cleanup_free_ char *root = NULL, *hooks = NULL, *image = NULL, *log_path = NULL,
			    *log = NULL;
	Task__CreateTaskRequest request = TASK__CREATE_TASK_REQUEST__INIT;
	struct error *error = NULL;
	ProtobufCMessage *answer;
	struct rig rig;

	rig_init(&rig);
	root = xasprintf("%s/rootfs", rig.bundle);
	CHECK(mkdir(root, 0700) == 0);
	hooks = xasprintf(",\"hooks\":{\"prestart\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\","
			  "\"-c\",\"cd %s/" RIG_ID " && grep -q 'RESUME 7 1025' vmm.log && "
			  "grep -q 'RESUME 8 1025' vmm.log\"]}]}",
			  rig.directory);
	rig_start(&rig);
	rig_write_config(&rig, &(struct rig_config){ .more = hooks });
	image = write_image(&rig, "none", "");
	request.id = (char *)RIG_ID;
	request.bundle = rig.bundle;
	request.checkpoint = image;
	answer = rig_call(&rig, "Create", &request.base, &task__create_task_response__descriptor,
			  NULL, 0, &error);
	CHECK_OK(answer ? 0 : -1, &error);
	rig_free(answer);
	/* Its device may have been asked for another size when it was saved. */
	log_path = xasprintf("%s/" RIG_ID "/vmm.log", rig.directory);
	for (int i = 0; i < 100 && !(log && strstr(log, "told of its memory")); i++) {
		free(log);
		log = NULL;
		CHECK_OK(read_file(log_path, 1 << 20, &log, NULL, &error), &error);
		(void)usleep(10000);
	}
	CHECK(strstr(log, "told of its memory") != NULL);
	/* (The fake guest has no such container.) */
	CHECK_INT(rig_wait(&rig, "", &error), 137);
	CHECK_INT(rig_delete(&rig, "", &error), 137);
	rig_done(&rig);
}

static const struct test_case cases[] = {
	{ "saved", test_saved },
	{ "parent", test_parent },
	{ "copies", test_copies },
	{ "ends meanwhile", test_ends_meanwhile },
	{ "machine dies", test_machine_dies },
	{ "note in between", test_note_in_between },
	{ "pause in between", test_pause_in_between },
	{ "stays frozen", test_stays_frozen },
	{ "machine stays paused", test_machine_stays_paused },
	{ "refused", test_refused },
	{ "not named", test_not_named },
	{ "manifest of others", test_manifest_of_others },
	{ "taken up", test_taken_up },
};

TEST_MAIN(cases)
