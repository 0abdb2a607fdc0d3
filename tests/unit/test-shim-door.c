/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's front door: the shim's own program, called as containerd calls it,
 * and the bytes it answers with.  Its sockets are in a scratch directory
 * (BootstrapParams.socket_dir); no container is created.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/process.h"
#include "protocol/shim.pb-c.h"
#include "protocol/task.pb-c.h"
#include "shim/containerd.h"
#include "shim/flags.h"
#include "tests/unit/test.h"
#include "ttrpc/any.h"
#include "ttrpc/message.h"
#include "ttrpc/ttrpc.h"

#define PROGRAM "containerd-shim-supermachine-v1"
#define OUTPUT_MAX (1 << 20)
#define ARGS_MAX 16

struct door {
	char *directory, *sockets;
	char *program;
};

/* What one call of the program gave. */
struct result {
	int status;
	char *out, *err;
	size_t out_size, err_size;
};

static void door_init(struct door *door)
{
	char template[] = "/tmp/shim-door.XXXXXX";

	CHECK(mkdtemp(template));
	/* Task servers that it leaves come to us. */
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	door->directory = xstrdup(template);
	door->sockets = xasprintf("%s/s", template);
	door->program = realpath(PROGRAM, NULL);
	if (!door->program)
		test_skip("no " PROGRAM " here");
}

/* Nothing of ours may run any more. */
static void door_done(struct door *door)
{
	struct error *error = NULL;

	for (int i = 0; i < 1000 && waitpid(-1, NULL, WNOHANG) >= 0; i++)
		(void)usleep(10000);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0);
	CHECK_OK(remove_tree(door->directory, &error), &error);
	free(door->directory);
	free(door->sockets);
	free(door->program);
}

static char *make_bundle(const struct door *door, const char *name, const char *annotations)
{
	char *bundle = xasprintf("%s/%s", door->directory, name);
	_cleanup_free_ char *config = xasprintf("%s/config.json", bundle);
	_cleanup_free_ char *log = xasprintf("%s/log", bundle);
	_cleanup_free_ char *text = xasprintf("{\"annotations\":{%s}}", annotations);
	struct error *error = NULL;

	CHECK_OK(make_directories(bundle, 0700, &error), &error);
	CHECK_OK(write_file_atomic(config, text, strlen(text), 0600, &error), &error);
	CHECK(mkfifo(log, 0600) == 0);
	return bundle;
}

/* stdin: a file with these bytes. */
static int make_input(const void *bytes, size_t size)
{
	int fd = memfd_create("stdin", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* Both ends of output must close: a server that held one would hang containerd. */
static void call(const struct door *door, const char *bundle, int stdin_fd, const char *const *args,
		 struct result *ret_result)
{
	const char *argv[ARGS_MAX] = { PROGRAM };
	int out[2], err[2], status;
	struct error *error = NULL;
	pid_t pid;

	for (size_t i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		if (dup2(stdin_fd, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0 ||
		    chdir(bundle) < 0)
			_exit(99);
		(void)execv(door->program, (char *const *)argv);
		_exit(98);
	}
	CHECK(pid > 0);
	(void)close(stdin_fd);
	(void)close(out[1]);
	(void)close(err[1]);
	CHECK_OK(read_file_fd(out[0], "stdout", OUTPUT_MAX, &ret_result->out, &ret_result->out_size,
			      &error),
		 &error);
	CHECK_OK(read_file_fd(err[0], "stderr", OUTPUT_MAX, &ret_result->err, &ret_result->err_size,
			      &error),
		 &error);
	(void)close(out[0]);
	(void)close(err[0]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	ret_result->status = WEXITSTATUS(status);
}

static void result_done(struct result *result)
{
	free(result->out);
	free(result->err);
}

/* The options, if not NULL, are the one extension. */
static int bootstrap(const struct door *door, const char *id, Task__Any *options)
{
	Shim__BootstrapParams params = SHIM__BOOTSTRAP_PARAMS__INIT;
	Shim__Extension extension = SHIM__EXTENSION__INIT;
	Shim__Extension *extensions[] = { &extension };
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;

	extension.value = options;
	params.extensions = extensions;
	params.n_extensions = options ? 1 : 0;

	params.instance_id = (char *)id;
	params.namespace_ = (char *)"unit";
	params.socket_dir = door->sockets;
	bytes = message_pack(&params.base, &size);
	return make_input(bytes, size);
}

/* "start" as containerd calls it; the address, caller frees. */
static char *start(const struct door *door, const char *bundle, const char *id)
{
	const char *const args[] = { "-namespace",	"unit",	      "-address", "/run/c.sock",
				     "-publish-binary", "containerd", "-id",	  id,
				     "start",		NULL };
	_cleanup_(result_done) struct result result;
	_cleanup_free_ char *path = xasprintf("%s/address", bundle);
	_cleanup_free_ char *noted = NULL, *answer = NULL;
	struct error *error = NULL;

	call(door, bundle, bootstrap(door, id, NULL), args, &result);
	CHECK_STRING(result.err, "");
	CHECK_INT(result.status, 0);
	CHECK_OK(read_file(path, 4096, &noted, NULL, &error), &error);
	CHECK(strncmp(noted, ADDRESS_SCHEME "/", strlen(ADDRESS_SCHEME "/")) == 0);
	CHECK(!strpbrk(noted, " \r\n\t"));
	/* What a caller with BootstrapParams reads, and not one byte more. */
	answer = xasprintf("{\"version\":3,\"address\":\"%s\",\"protocol\":\"ttrpc\"}", noted);
	CHECK_INT(strlen(answer), result.out_size);
	CHECK_STRING(result.out, answer);
	return TAKE_PTR(noted);
}

static pid_t server_of(const char *address)
{
	_cleanup_free_ char *note = xasprintf("%s.d/shim.pid", address + strlen(ADDRESS_SCHEME));
	pid_t pid = process_noted(note, NULL);

	CHECK(pid > 1);
	return pid;
}

static void check_gone(const char *address)
{
	const char *socket = address + strlen(ADDRESS_SCHEME);
	_cleanup_free_ char *directory = xasprintf("%s.d", socket);

	for (int i = 0; i < 500 && access(directory, F_OK) == 0; i++)
		(void)usleep(10000);
	CHECK(access(directory, F_OK) < 0 && access(socket, F_OK) < 0);
}

/* "delete": the answer must be a DeleteResponse with 137. */
static void delete (const struct door *door, const char *bundle, const char *id)
{
	const char *const args[] = { "-namespace", "unit",    "-address", "/run/c.sock", "-id",
				     id,	   "-bundle", bundle,	  "delete",	 NULL };
	_cleanup_(result_done) struct result result;
	Task__DeleteResponse *response;

	call(door, "/", make_input("", 0), args, &result);
	CHECK_STRING(result.err, "");
	CHECK_INT(result.status, 0);
	response = (Task__DeleteResponse *)message_unpack(
	    &task__delete_response__descriptor, (uint8_t *)result.out, result.out_size, NULL);
	CHECK(response);
	CHECK_INT(response->exit_status, 137);
	CHECK(response->exited_at && response->exited_at->seconds > 1600000000);
	task__delete_response__free_unpacked(response, NULL);
}

/* ---- flags ---- */

static void test_flags(void)
{
	static const struct {
		const char *argv[6];
		int words;
		const char *text;
		bool on;
		const char *error;
	} cases[] = {
		{ { "start" }, 0, NULL, false, NULL },
		{ { "-text", "a", "start" }, 2, "a", false, NULL },
		{ { "--text", "a", "-on" }, 3, "a", true, NULL },
		{ { "-text=a=b", "--on=F" }, 2, "a=b", false, NULL },
		{ { "-text=" }, 1, "", false, NULL },
		{ { "-text", "-on" }, 2, "-on", false, NULL },
		{ { "-on=true", "--", "-text" }, 2, NULL, true, NULL },
		{ { "-", "-on" }, 0, NULL, false, NULL },
		{ { "-text", "a", "-text", "b" }, 4, "b", false, NULL },
		{ { "-text" }, -1, NULL, false, "flag needs an argument: -text" },
		{ { "-tex", "a" }, -1, NULL, false, "flag provided but not defined: -tex" },
		{ { "-texts=a" }, -1, NULL, false, "flag provided but not defined: -texts" },
		{ { "---text" }, -1, NULL, false, "bad flag syntax: ---text" },
		{ { "-=a" }, -1, NULL, false, "bad flag syntax: -=a" },
		{ { "-on=maybe" }, -1, NULL, false, "invalid boolean value \"maybe\" for -on" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *text = NULL;
		bool on = false;
		const struct flag flags[] = { { "text", &text, NULL }, { "on", NULL, &on } };
		struct error *error = NULL;
		int words =
		    flags_parse((char *const *)cases[i].argv, flags, ARRAY_SIZE(flags), &error);

		if (cases[i].error) {
			CHECK_ERROR(words, &error, cases[i].error);
			continue;
		}
		CHECK_OK(words, &error);
		CHECK_INT(words, cases[i].words);
		CHECK_INT(on, cases[i].on);
		CHECK(!text == !cases[i].text);
		if (text)
			CHECK_STRING(text, cases[i].text);
	}
}

/* ---- -v, -info ---- */

static void test_version(void)
{
	static const char wanted[] = PROGRAM ":\n  Version:  " PACKAGE_VERSION "\n";
	struct door door;

	door_init(&door);
	for (size_t i = 0; i < 2; i++) {
		const char *const args[] = { i ? "--version" : "-v", NULL };
		_cleanup_(result_done) struct result result;

		call(&door, "/", make_input("", 0), args, &result);
		CHECK_STRING(result.out, wanted);
		CHECK_STRING(result.err, "");
		CHECK_INT(result.status, 0);
	}
	door_done(&door);
}

static void check_info(const struct result *result, const char *options)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, linux_;
	struct error *error = NULL;
	Shim__RuntimeInfo *info;

	CHECK_STRING(result->err, "");
	CHECK_INT(result->status, 0);
	info = (Shim__RuntimeInfo *)message_unpack(&shim__runtime_info__descriptor,
						   (uint8_t *)result->out, result->out_size, NULL);
	CHECK(info && info->version && info->features);
	CHECK_STRING(info->name, "io.supermachine.v1");
	CHECK_STRING(info->version->version, PACKAGE_VERSION);
	CHECK_STRING(info->features->type_url,
		     "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
	CHECK_OK(json_parse((char *)info->features->value.data, info->features->value.len,
			    "features", &value, &error),
		 &error);
	root = json_root(value);
	CHECK_OK(json_object(&root, "linux", JSON_REQUIRED, &linux_, &error), &error);
	CHECK_INT(info->n_annotations, 1);
	CHECK_STRING(info->annotations[0]->key, "containerd.io/runtime-allow-mounts");
	CHECK_STRING(info->annotations[0]->value, "erofs");
	CHECK(!options == !info->options);
	if (options)
		CHECK_STRING(info->options->type_url, options);
	shim__runtime_info__free_unpacked(info, NULL);
}

static void test_info(void)
{
	static const char *const args[] = { "-info", NULL };
	Task__Any any = TASK__ANY__INIT;
	_cleanup_free_ uint8_t *bytes = NULL;
	struct result result;
	struct door door;
	size_t size;

	door_init(&door);
	call(&door, "/", make_input("", 0), args, &result);
	check_info(&result, NULL);
	result_done(&result);
	any.type_url = (char *)RUNC_OPTIONS;
	bytes = message_pack(&any.base, &size);
	call(&door, "/", make_input(bytes, size), args, &result);
	check_info(&result, RUNC_OPTIONS);
	result_done(&result);
	call(&door, "/", make_input("\xff\xff\xff", 3), args, &result);
	CHECK_STRING(result.out, "");
	CHECK_STRING(result.err, PROGRAM ": the options on stdin are not a google.protobuf.Any\n");
	CHECK_INT(result.status, 1);
	result_done(&result);
	door_done(&door);
}

/* ---- start, delete ---- */

static void test_start(void)
{
	struct door door;
	_cleanup_free_ char *bundle = NULL;
	_cleanup_free_ char *address = NULL;
	_cleanup_free_ char *again = NULL;
	_cleanup_free_ char *directory = NULL;
	const char *socket;
	struct stat st;
	pid_t server;

	door_init(&door);
	bundle = make_bundle(&door, "one", "");
	/* As the shim of runc makes it. */
	CHECK(mkdir(door.sockets, 0600) == 0);
	address = start(&door, bundle, "one");
	socket = address + strlen(ADDRESS_SCHEME);
	CHECK(strncmp(socket, door.sockets, strlen(door.sockets)) == 0);
	CHECK(strlen(strrchr(socket, '/') + 1) == 64);
	CHECK(stat(socket, &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 07777, 0600);
	directory = home_directory(socket);
	CHECK(stat(directory, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	CHECK(stat(door.sockets, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	/* Where one runs already, that one; its own socket's place is kept (the file
	 * `address`), whatever is asked for. */
	server = server_of(address);
	again = start(&door, bundle, "one");
	CHECK_STRING(again, address);
	CHECK_INT(server_of(again), server);
	/* One that was killed leaves a socket that nobody listens on. */
	CHECK(kill(server, SIGKILL) == 0 && waitpid(server, NULL, 0) == server);
	free(again);
	again = start(&door, bundle, "one");
	CHECK_STRING(again, address);
	CHECK(server_of(again) != server);
	delete (&door, bundle, "one");
	check_gone(address);
	/* Once more, with nothing there. */
	delete (&door, bundle, "one");
	check_gone(address);
	door_done(&door);
}

static void test_groups(void)
{
	static const char *const annotations[] = {
		"\"io.containerd.runc.v2.group\":\"g\"",
		"\"io.kubernetes.cri.sandbox-id\":\"other\",\"io.containerd.runc.v2.group\":\"g\"",
		"\"io.kubernetes.cri.sandbox-id\":\"g\"",
		"",
		"\"io.containerd.runc.v2.group\":\"\"",
	};
	char *addresses[ARRAY_SIZE(annotations)], *bundles[ARRAY_SIZE(annotations)];
	struct door door;

	door_init(&door);
	for (size_t i = 0; i < ARRAY_SIZE(annotations); i++) {
		_cleanup_free_ char *id = xasprintf("c%zu", i);

		bundles[i] = make_bundle(&door, id, annotations[i]);
		addresses[i] = start(&door, bundles[i], id);
	}
	for (size_t i = 1; i < ARRAY_SIZE(annotations); i++) {
		bool same = i < 3;

		CHECK((strcmp(addresses[i], addresses[0]) == 0) == same);
		CHECK((server_of(addresses[i]) == server_of(addresses[0])) == same);
	}
	CHECK(strcmp(addresses[3], addresses[4]) != 0);
	for (size_t i = 0; i < ARRAY_SIZE(annotations); i++) {
		_cleanup_free_ char *id = xasprintf("c%zu", i);

		delete (&door, bundles[i], id);
		check_gone(addresses[i]);
		free(addresses[i]);
		free(bundles[i]);
	}
	door_done(&door);
}

/* Several at once: one server, and everybody gets its address. */
static void test_together(void)
{
	enum { N = 8 };
	struct door door;
	char *bundles[N];
	pid_t pids[N];
	pid_t server = 0;

	door_init(&door);
	for (size_t i = 0; i < N; i++) {
		_cleanup_free_ char *name = xasprintf("b%zu", i);

		bundles[i] = make_bundle(&door, name, "\"io.containerd.runc.v2.group\":\"g\"");
	}
	(void)fflush(NULL);
	for (size_t i = 0; i < N; i++) {
		_cleanup_free_ char *id = xasprintf("c%zu", i);

		pids[i] = fork();
		if (pids[i] == 0) {
			free(start(&door, bundles[i], id));
			_exit(0);
		}
	}
	for (size_t i = 0; i < N; i++) {
		int status;

		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK_INT(status, 0);
	}
	for (size_t i = 0; i < N; i++) {
		_cleanup_free_ char *id = xasprintf("c%zu", i);
		_cleanup_free_ char *address = start(&door, bundles[i], id);

		CHECK(server == 0 || server == server_of(address));
		server = server_of(address);
	}
	for (size_t i = 0; i < N; i++) {
		delete (&door, bundles[i], "c0");
		free(bundles[i]);
	}
	door_done(&door);
}

static void test_oom_score(void)
{
	struct door door;
	_cleanup_free_ char *bundle = NULL;
	_cleanup_free_ char *address = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;

	door_init(&door);
	CHECK_OK(write_file("/proc/self/oom_score_adj", "500", &error), &error);
	bundle = make_bundle(&door, "one", "");
	address = start(&door, bundle, "one");
	path = xasprintf("/proc/%d/oom_score_adj", server_of(address));
	CHECK_OK(read_file(path, 64, &text, NULL, &error), &error);
	CHECK_STRING(text, "501\n");
	delete (&door, bundle, "one");
	door_done(&door);
}

/* ---- wrong calls ---- */

static void test_refused(void)
{
	static const struct {
		const char *args[9];
		int status;
		const char *error;
	} cases[] = {
		{ { "-nonsense", "start" }, 2, "flag provided but not defined: -nonsense" },
		{ { "-id", "x", "-address", "/a", "start" }, 1, "shim namespace cannot be empty" },
		{ { "-namespace", "n", "-address", "/a", "start" }, 1, "-id is needed" },
		{ { "-namespace", "n", "-id", "x", "start" }, 1, "-address" },
		{ { "-namespace", "../n", "-id", "x", "-address", "/a", "start" },
		  1,
		  "-namespace" },
		{ { "-namespace", "n", "-id", "a/b", "-address", "/a", "start" }, 1, "-id a/b: " },
		{ { "-namespace", "n", "-id", "x", "-address", "/a", "stop" },
		  1,
		  "unknown command \"stop\"" },
		{ { "-namespace", "n", "-id", "x", "-address", "/a", NULL }, 1, "no command" },
	};
	static const char *const deleting[] = { "-namespace", "n",  "-id",     "x",
						"-address",   "/a", "-bundle", "/nx",
						"delete",     NULL };
	static const char *const starting[] = { "-namespace", "n",  "-id",   "x",
						"-address",   "/a", "start", NULL };
	struct result result;
	struct door door;

	door_init(&door);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		call(&door, door.directory, make_input("", 0), cases[i].args, &result);
		CHECK_INT(result.status, cases[i].status);
		CHECK_STRING(result.out, "");
		CHECK(strstr(result.err, cases[i].error));
		result_done(&result);
	}
	call(&door, "/", make_input("", 0), deleting, &result);
	CHECK_INT(result.status, 1);
	CHECK_STRING(result.out, "");
	CHECK(strstr(result.err, "the bundle /nx"));
	result_done(&result);
	call(&door, door.directory, make_input("\xff\xff\xff", 3), starting, &result);
	CHECK_INT(result.status, 1);
	CHECK_STRING(result.out, "");
	CHECK(strstr(result.err, "options on stdin"));
	result_done(&result);
	door_done(&door);
}

/* The option comes in two types; no cgroup of that name is there. */
static void test_cgroup(void)
{
	static const char *const args[] = {
		"-namespace", "unit", "-id", "x", "-address", "/a", "start", NULL,
	};
	Shim__RuncOptions runc = SHIM__RUNC_OPTIONS__INIT;
	Shim__RuncCreateOptions create = SHIM__RUNC_CREATE_OPTIONS__INIT;
	struct {
		const char *type;
		const ProtobufCMessage *message;
	} const ways[] = {
		{ RUNC_OPTIONS, &runc.base },
		{ RUNC_CREATE_OPTIONS, &create.base },
	};
	struct door door;

	runc.shim_cgroup = create.shim_cgroup = (char *)"supermachine/not/there";
	door_init(&door);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		_cleanup_free_ char *bundle = make_bundle(&door, "b", "{}");
		struct error *error = NULL;
		struct result result;
		Task__Any any;

		any_pack(&any, ways[i].type, ways[i].message);
		call(&door, bundle, bootstrap(&door, "x", &any), args, &result);
		any_done(&any);
		CHECK_INT(result.status, 1);
		CHECK_STRING(result.out, "");
		CHECK(strstr(result.err,
			     "ShimCgroup supermachine/not/there: there is no such cgroup"));
		result_done(&result);
		CHECK_OK(remove_tree(bundle, &error), &error);
	}
	door_done(&door);
}

static const struct test_case cases[] = {
	{ "flags", test_flags },	 { "version", test_version }, { "info", test_info },
	{ "start", test_start },	 { "groups", test_groups },   { "together", test_together },
	{ "oom score", test_oom_score }, { "refused", test_refused }, { "cgroup", test_cgroup },
};

TEST_MAIN(cases)
