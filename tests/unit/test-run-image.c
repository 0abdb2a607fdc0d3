/* SPDX-License-Identifier: Apache-2.0 */
/* `run` of an image: what its configuration and docker's options become. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/image-changes.h"
#include "cli/run-env.h"
#include "cli/run-options.h"
#include "cli/run-ports.h"
#include "cli/run-request.h"
#include "cli/run-restart.h"
#include "cli/run-seccomp.h"
#include "cli/run-words.h"
#include "host/network-options.h"
#include "runtime-spec/spec.h"
#include "tests/unit/test.h"

#define WORDS_MAX 32

struct parsed {
	struct run_options options;
	struct options_result result;
};

static void parsed_done(struct parsed *parsed)
{
	options_done(run_option_table, &parsed->options);
	free(parsed->result.args);
}

/* words: separated by blanks; they must outlive *parsed. */
static int parse(char *words, struct parsed *parsed, struct error **ret_error)
{
	char *argv[WORDS_MAX], *rest;
	size_t n = 0;

	for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[n++] = word;
	argv[n] = NULL;
	*parsed = (struct parsed){ 0 };
	return options_parse(run_option_table, true, argv, &parsed->options, &parsed->result,
			     ret_error);
}

static int request_of(const char *words, const char *config, struct run_request **ret_request,
		      struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(words);
	_cleanup_(parsed_done) struct parsed parsed;
	_cleanup_(run_words_done) struct run_words lines = { 0 };
	struct run_options options;
	struct stored_image image = { .name = (char *)"docker.io/library/x:latest",
				      .config_json = (char *)config };

	if (parse(copy, &parsed, ret_error) < 0)
		return -1;
	CHECK(parsed.result.n_args > 0);
	options = parsed.options;
	if (run_words_read(&options, &lines, ret_error) < 0 ||
	    run_request_check(&options, ret_error) < 0)
		return -1;
	return run_request_new(&options, &image, parsed.result.args + 1, "0123456789ab",
			       ret_request, ret_error);
}

/* The config.json, as the task server reads it. */
static struct spec *spec_of(const char *words, const char *config)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(run_request_freep) struct run_request *request = NULL;
	_cleanup_free_ char *text = NULL;
	struct spec *spec = NULL;

	CHECK_OK(request_of(words, config, &request, &error), &error);
	run_mounts_place(request, "/store/volumes");
	text = run_spec_json(request);
	CHECK_OK(spec_parse(text, strlen(text), &spec, &error), &error);
	CHECK(!spec->warnings && !spec->process.warnings);
	return spec;
}

#define IMAGE                                                                                      \
	"{\"config\":{\"Env\":[\"A=1\",\"B=2\"],\"Entrypoint\":[\"/"                               \
	"entry\",\"-x\"],\"Cmd\":[\"c\","                                                          \
	"\"d\"],\"User\":\"7:8\",\"WorkingDir\":\"/srv\",\"StopSignal\":\"SIGQUIT\"}}"

static void check_joined(char *const *words, const char *wanted)
{
	_cleanup_free_ char *joined = strv_join(words, " ");

	CHECK_STRING(joined, wanted);
}

/* image-spec config.md, and docker's ways where it says nothing. */
static void test_args(void)
{
	static const struct {
		const char *words, *config, *args;
	} cases[] = {
		{ "x", IMAGE, "/entry -x c d" },
		{ "x -e a", IMAGE, "/entry -x -e a" },
		{ "--entrypoint sh x", IMAGE, "sh" },
		{ "--entrypoint sh x -c ls", IMAGE, "sh -c ls" },
		{ "--entrypoint= x ls", IMAGE, "ls" },
		{ "x", "{\"config\":{\"Cmd\":[\"c\"]}}", "c" },
		{ "x a", "{\"config\":{\"Cmd\":[\"c\"]}}", "a" },
		{ "x a", "{}", "a" },
		{ "-it x", "{\"config\":{\"Entrypoint\":[\"e\"]}}", "e" },
	};
	_cleanup_error_ struct error *error = NULL;
	struct run_request *request;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(spec_freep) struct spec *spec = spec_of(cases[i].words, cases[i].config);

		check_joined(spec->process.args, cases[i].args);
	}
	CHECK_ERROR(request_of("x", "{}", &request, &error), &error, "no command");
	CHECK_ERROR(request_of("--entrypoint= x", IMAGE, &request, &error), &error, "no command");
}

static void test_process(void)
{
	_cleanup_(spec_freep) struct spec *spec = spec_of("-t -e B=3 -e C= x", IMAGE);
	_cleanup_(spec_freep) struct spec *other =
	    spec_of("-u 0 -w /a/b --hostname box --stop-signal 10 --read-only -e A x", IMAGE);

	check_joined(spec->process.env,
		     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
		     "HOSTNAME=0123456789ab TERM=xterm A=1 B=3 C=");
	CHECK(spec->process.terminal && !spec->root_readonly);
	CHECK_INT(spec->process.user.uid, 7);
	CHECK_INT(spec->process.user.gid, 8);
	CHECK_INT(spec->process.capabilities.effective, 0);
	CHECK_INT(spec->process.capabilities.bounding, 0xa80425fb);
	CHECK_STRING(spec->process.cwd, "/srv");
	CHECK_STRING(spec->hostname, "0123456789ab");
	CHECK_STRING(spec_annotation(spec, "org.opencontainers.image.stopSignal"), "SIGQUIT");
	CHECK_STRING(spec_annotation(spec, "org.opencontainers.image.ref.name"),
		     "docker.io/library/x:latest");
	CHECK(spec->linux_.masked_paths && spec->linux_.readonly_paths);
	CHECK(!spec->linux_.resources.memory.limit && !spec->linux_.resources.cpu.quota);

	CHECK(!other->process.terminal && other->root_readonly);
	CHECK_INT(other->process.user.uid, 0);
	CHECK_INT(other->process.capabilities.effective, 0xa80425fb);
	CHECK_STRING(other->process.cwd, "/a/b");
	CHECK_STRING(other->hostname, "box");
	CHECK_STRING(spec_annotation(other, "org.opencontainers.image.stopSignal"), "10");
	/* Our own environment has no A. */
	check_joined(other->process.env,
		     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
		     "HOSTNAME=box B=2");
}

static void test_limits(void)
{
	_cleanup_(spec_freep) struct spec *spec = spec_of(
	    "-m 1g --cpus .75 --pids-limit 9 --ulimit nofile=10:20 --ulimit core=-1 --sysctl "
	    "a.b=c=d -l k=v -l k=w -l bare --annotation x.y=z --shm-size 1m x",
	    IMAGE);
	const struct spec_resources *resources = &spec->linux_.resources;

	CHECK_INT(*resources->memory.limit, 1 << 30);
	CHECK_INT(*resources->cpu.quota, 75000);
	CHECK_INT(*resources->cpu.period, 100000);
	CHECK_INT(*resources->pids_limit, 9);
	CHECK_STRING(spec->process.rlimits[0].type, "RLIMIT_NOFILE");
	CHECK_INT(spec->process.rlimits[0].soft, 10);
	CHECK_INT(spec->process.rlimits[0].hard, 20);
	CHECK(spec->process.rlimits[1].soft == UINT64_MAX);
	CHECK_INT(spec->linux_.n_sysctl, 3);
	CHECK_STRING(spec->linux_.sysctl[0].key, "net.ipv4.ip_unprivileged_port_start");
	CHECK_STRING(spec->linux_.sysctl[0].value, "0");
	CHECK_STRING(spec->linux_.sysctl[2].value, "c=d");
	CHECK_STRING(spec_annotation(spec, "label.k"), "w");
	CHECK_STRING(spec_annotation(spec, "label.bare"), "");
	CHECK_STRING(spec_annotation(spec, "x.y"), "z");
}

static void test_fractions(void)
{
	_cleanup_(spec_freep) struct spec *spec = spec_of(
	    "-m 1.5g --cpus .5 --shm-size 0.25MiB --security-opt no-new-privileges x", IMAGE);
	_cleanup_(spec_freep) struct spec *other =
	    spec_of("-m 99.9999999999m --security-opt no-new-privileges:false --security-opt "
		    "systempaths=unconfined --security-opt seccomp=unconfined x",
		    IMAGE);

	CHECK(*spec->linux_.resources.memory.limit == INT64_C(3) << 29);
	CHECK_INT(*spec->linux_.resources.cpu.quota, 50000);
	CHECK(spec->process.no_new_privileges && spec->linux_.masked_paths);
	CHECK_INT(*other->linux_.resources.memory.limit, 104857599);
	CHECK(!other->process.no_new_privileges && !other->linux_.masked_paths);
}

/* What is added stays, whatever is dropped. */
static void test_capabilities(void)
{
	static const struct {
		const char *words;
		uint64_t set;
	} cases[] = {
		{ "x", 0xa80425fb },
		{ "--cap-drop ALL x", 0 },
		{ "--cap-drop all --cap-add chown x", 1 },
		{ "--cap-add CAP_NET_ADMIN --cap-drop Chown x", 0xa80435fa },
		{ "--cap-add ALL --cap-drop CAP_CHOWN x", 0x1fffffffffe },
		{ "--privileged --cap-drop ALL x", 0x1ffffffffff },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *words = xasprintf("-u 0 %s", cases[i].words);
		_cleanup_(spec_freep) struct spec *spec = spec_of(words, IMAGE);

		CHECK_INT(spec->process.capabilities.effective, cases[i].set);
		CHECK_INT(spec->process.capabilities.permitted, cases[i].set);
		CHECK_INT(spec->process.capabilities.inheritable, 0);
	}
}

/* One below another comes after it. */
static void test_mounts(void)
{
	_cleanup_(spec_freep) struct spec *spec = spec_of(
	    "-v /tmp:/a/b/c:ro -v /:/d --mount type=tmpfs,dst=/a,tmpfs-size=1m,tmpfs-mode=1777 "
	    "--tmpfs /e:size=2m --mount type=bind,src=/usr,target=/a/b,readonly -v "
	    "/tmp/.:/f:Z,slave x",
	    IMAGE);
	static const struct {
		const char *destination, *type, *source, *options;
	} wanted[] = {
		{ "/e", "tmpfs", "tmpfs", "noexec nosuid nodev size=2m" },
		{ "/d", "bind", "/", "rbind rprivate" },
		{ "/f", "bind", "/tmp", "rbind slave" },
		{ "/a", "tmpfs", "tmpfs", "noexec nosuid nodev size=1048576 mode=1777" },
		{ "/a/b", "bind", "/usr", "rbind ro rprivate" },
		{ "/a/b/c", "bind", "/tmp", "rbind ro rprivate" },
	};
	const size_t n = sizeof(wanted) / sizeof(wanted[0]);

	CHECK_INT(spec->n_mounts, 7 + n);
	for (size_t i = 0; i < n; i++) {
		const struct spec_mount *mount = &spec->mounts[7 + i];

		CHECK_STRING(mount->destination, wanted[i].destination);
		CHECK_STRING(mount->type, wanted[i].type);
		CHECK_STRING(mount->source, wanted[i].source);
		check_joined(mount->options, wanted[i].options);
	}
}

#define RANDOM_NAME 64 /* digits */

/* Binds of the store's directories, the image's own among them unless something else is there. */
static void test_volumes(void)
{
	_cleanup_(spec_freep) struct spec *spec =
	    spec_of("-v data:/a -v data:/b:ro --mount src=data,dst=/c,volume-nocopy -v /d --mount "
		    "dst=/e --tmpfs /f x",
		    "{\"config\":{\"Cmd\":[\"c\"],\"Volumes\":{\"/a/\":{},\"/f\":{},\"/g\":{}}}}");
	static const struct {
		const char *destination, *source, *options;
	} wanted[] = {
		{ "/f", "tmpfs", "noexec nosuid nodev" },
		{ "/a", "/store/volumes/data/_data", "rbind rprivate copyup" },
		{ "/b", "/store/volumes/data/_data", "rbind ro rprivate" },
		{ "/d", NULL, "rbind rprivate copyup" },
		{ "/c", "/store/volumes/data/_data", "rbind rprivate" },
		{ "/e", NULL, "rbind rprivate copyup" },
		{ "/g", NULL, "rbind rprivate copyup" },
	};
	const size_t n = sizeof(wanted) / sizeof(wanted[0]);

	CHECK_INT(spec->n_mounts, 7 + n);
	for (size_t i = 0; i < n; i++) {
		const struct spec_mount *mount = &spec->mounts[7 + i];

		CHECK_STRING(mount->destination, wanted[i].destination);
		if (wanted[i].source)
			CHECK_STRING(mount->source, wanted[i].source);
		else
			CHECK_INT(
			    strspn(mount->source + strlen("/store/volumes/"), "0123456789abcdef"),
			    RANDOM_NAME);
		check_joined(mount->options, wanted[i].options);
	}
}

static void test_refusals(void)
{
	static const struct {
		const char *words, *error;
	} cases[] = {
		{ "-v da/ta:/x x",
		  "--volume da/ta:/x: \"da/ta\" includes invalid characters for a local volume" },
		{ "-v d:/x x", "volume name is too short" },
		{ "-v :/x x", "--volume :/x: empty section between colons" },
		{ "-v x x", "\"x\" is not an absolute path in the container" },
		{ "-v /tmp:/x:nocopy x", "unknown option in \"nocopy\"" },
		{ "-v /tmp:x x", "\"x\" is not an absolute path in the container" },
		{ "-v /tmp:/ x", "\"/\" is not an absolute path in the container, and below /" },
		{ "-v /tmp:/x:shared x", "unknown option in \"shared\"" },
		{ "-v /nowhere/at/all:/x x", "/nowhere/at/all: No such file or directory" },
		{ "--mount type=npipe,target=/x x",
		  "type=npipe is not supported: only bind, volume and tmpfs are" },
		{ "--mount source=data,target=/x,bind-propagation=slave x",
		  "a volume has nothing of bind" },
		{ "--mount source=data,target=/x,tmpfs-size=1 x", "a volume has nothing of tmpfs" },
		{ "--mount type=bind,src=/tmp,dst=/x,volume-nocopy x",
		  "a bind has nothing of volume" },
		{ "--mount type=bind,target=/x x", "a bind has a source" },
		{ "--mount type=tmpfs x", "target is missing" },
		{ "--mount type=tmpfs,target=/x,odd=1 x", "unknown word \"odd\"" },
		{ "--mount type=bind,src=/tmp,dst=/x,readonly=yes x",
		  "readonly must be true or false, not \"yes\"" },
		{ "--mount type=tmpfs,dst=/x,ro= x", "ro must be true or false, not \"\"" },
		{ "-v /tmp:/x:ro,rw x", "\"ro,rw\" has both ro and rw" },
		{ "--tmpfs x x", "\"x\" is not an absolute path" },
		{ "--cap-add FLY x", "--cap-add: there is no capability \"FLY\"" },
		{ "--cap-drop 3 x", "there is no capability \"3\"" },
		{ "--ulimit nofile x", "write NAME=SOFT[:HARD]" },
		{ "--ulimit nofile=2:1 x", "the soft limit is above the hard one" },
		{ "--ulimit nofile=much x", "\"much\" is not a limit" },
		{ "--sysctl a x", "--sysctl a: write NAME=VALUE" },
		{ "--label =v x", "--label =v: write NAME=VALUE" },
		{ "-m 1k x", "--memory 1k: must be at least" },
		{ "-m much x", "--memory: invalid size" },
		{ "--cpus 0 x", "--cpus 0: must be a number" },
		{ "--cpus nan x", "--cpus nan: must be a number" },
		{ "--cpus 1e9 x", "--cpus 1e9: must be a number" },
		{ "-w here x", "--workdir here: must be an absolute path" },
		{ "--cpus . x", "--cpus .: must be a number" },
		{ "-m 1.g x", "--memory: invalid size" },
		{ "-m .5g x", "--memory: invalid size" },
		{ "--security-opt seccomp=mine.json x",
		  "opening seccomp profile (mine.json) failed" },
		{ "--security-opt no-new-privileges=perhaps x", "is not supported" },
		{ "-u nobody x", "unable to find user nobody" },
		{ "--stop-signal NOPE x", "--stop-signal" },
		{ "-e =x x", "--env: invalid environment variable" },
		{ "--env-file /nowhere x", "--env-file" },
		{ "--device /dev/sda x", "--device /dev/sda is not supported" },
		{ "--device /dev/null:/dev/x:rq x", "--device /dev/null:/dev/x:rq: write" },
		{ "--device /dev/null:/a:r:w x", "write DEVICE" },
		{ "--disk much x", "--disk: invalid size: 'much'" },
		{ "--disk 1m x", "--disk 1m: must be at least 8388608 bytes" },
		{ "--expose web x", "--expose: \"web\" is not PORT" },
		{ "--dns here x", "--dns here: must be an address" },
		{ "--add-host there x", "--add-host there: write NAME:ADDRESS" },
		{ "--userns=host x", "--userns is not supported" },
		{ "-dx x", "flag provided but not defined: -dx" },
		{ "-de", "flag needs an argument: -e" },
	};
	_cleanup_error_ struct error *error = NULL;
	struct run_request *request;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_ERROR(request_of(cases[i].words, IMAGE, &request, &error), &error,
			    cases[i].error);
}

/* Letters in one word, a value behind them; nothing is taken behind the image. */
static void test_letters(void)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(parsed_done) struct parsed parsed;
	char words[] = "-itd -p80:80 -eA=b -iw /x -m=1g --rm=false image -it -p 1:1 --rm -- x";

	CHECK_OK(parse(words, &parsed, &error), &error);
	CHECK(parsed.options.interactive && parsed.options.tty && parsed.options.create.detach);
	CHECK(!parsed.options.rm);
	CHECK_STRING(parsed.options.create.publish[0], "80:80");
	CHECK_STRING(parsed.options.env[0], "A=b");
	CHECK_STRING(parsed.options.workdir, "/x");
	CHECK_STRING(parsed.options.create.memory, "1g");
	check_joined((char *const *)parsed.result.args, "image -it -p 1:1 --rm -- x");
}

/* From pipes, which give what they have once. */
static char *pipe_of(const char *text)
{
	int fds[2];

	CHECK(pipe(fds) == 0 && write_all(fds[1], text, strlen(text)) == 0 && close(fds[1]) == 0);
	return xasprintf("/proc/self/fd/%d", fds[0]);
}

static void test_files_of_words(void)
{
	_cleanup_free_ char *env = pipe_of("# comment\n\n  X=1 2\r\nY\nZ\nX=3\nQ='v'\n");
	_cleanup_free_ char *labels = pipe_of("a=file\nb\n"), *bad = pipe_of("A B=1\n");
	_cleanup_free_ char *words =
	    xasprintf("--env-file %s -e Q=w --label-file %s --label a=word x c", env, labels);
	_cleanup_free_ char *bad_words = xasprintf("--env-file %s x c", bad);
	_cleanup_(run_request_freep) struct run_request *request = NULL;
	_cleanup_error_ struct error *error = NULL;

	CHECK(setenv("Y", "ours", 1) == 0 && unsetenv("Z") == 0);
	CHECK_OK(request_of(words, "{\"config\": {\"Env\": [\"Z=image\"]}}", &request, &error),
		 &error);
	check_joined(request->env + 2, "Y=ours X=3 Q=w");
	check_joined(request->labels, "a=word b=");
	CHECK_ERROR(request_of(bad_words, IMAGE, &request, &error), &error,
		    "a name cannot contain blanks");
}

static void test_restart(void)
{
	static const struct {
		const char *word, *error;
		uint64_t status, retries;
		bool wanted;
	} cases[] = {
		{ NULL, NULL, 1, 0, false },
		{ "no", NULL, 1, 0, false },
		{ "always", NULL, 0, 99, true },
		{ "unless-stopped", NULL, 0, 0, true },
		{ "on-failure", NULL, 0, 0, false },
		{ "on-failure", NULL, 1, 99, true },
		{ "on-failure:2", NULL, 1, 1, true },
		{ "on-failure:2", NULL, 1, 2, false },
		{ "always:2", "maximum retry count can only be used with 'on-failure'", 0, 0, 0 },
		{ "on-failure:x", "maximum retry count must be an integer", 0, 0, 0 },
		{ "on-failure:-1", "maximum retry count must be an integer", 0, 0, 0 },
		{ "sometimes", "unknown policy 'sometimes'; use one of 'no', 'always'", 0, 0, 0 },
	};
	static const uint64_t delays[] = { 100, 200, 400, 800, 1600, 3200, 6400 };
	struct restart_policy policy;
	struct error *error = NULL;
	uint64_t delay = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].error) {
			CHECK_ERROR(restart_policy_parse(cases[i].word, &policy, &error), &error,
				    cases[i].error);
			continue;
		}
		CHECK_OK(restart_policy_parse(cases[i].word, &policy, &error), &error);
		CHECK(restart_policy_wants(&policy, (uint32_t)cases[i].status, cases[i].retries) ==
		      cases[i].wanted);
	}
	for (size_t i = 0; i < ARRAY_SIZE(delays); i++) {
		restart_delay(0, &delay);
		CHECK_INT(delay, delays[i]);
	}
	for (size_t i = 0; i < 10; i++)
		restart_delay(9999, &delay);
	CHECK_INT(delay, 60000);
	restart_delay(10000, &delay);
	CHECK_INT(delay, 100);
}

/* A bundle is never taken for an image, nor the other way round. */
static void test_forms(void)
{
	static const struct {
		const char *words;
		bool here, is_bundle; /* here: a config.json in the current directory */
	} cases[] = {
		{ "id", false, false },
		{ "id", true, true },
		{ "id sh", true, false },
		{ "--bundle b id", false, true },
		{ "-b nowhere id", false, true },
		{ "id --bundle b", false, true },
		{ "id -d", true, true },
		{ "id -b nowhere", false, false },
		{ "sort -b file", true, false },
		{ "id --no-such", true, false },
		{ "-d id", true, true },
		{ "-e A=1 id", true, true },
		{ "image:tag", true, false },
		{ "path/image", true, false },
		{ "-b b path/image", true, true },
	};
	_cleanup_error_ struct error *error = NULL;
	char directory[] = "/tmp/test-run-image.XXXXXX";

	CHECK(mkdtemp(directory) && chdir(directory) == 0 && mkdir("b", 0700) == 0);
	CHECK_OK(write_file_atomic("b/config.json", "{}", 2, 0600, &error), &error);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *copy = xstrdup(cases[i].words);
		_cleanup_(parsed_done) struct parsed parsed;

		CHECK((cases[i].here ? link("b/config.json", "config.json") : 0) == 0);
		CHECK_OK(parse(copy, &parsed, &error), &error);
		if (run_is_bundle(&parsed.options, parsed.result.args) != cases[i].is_bundle)
			test_fail(__FILE__, __LINE__, "%s", cases[i].words);
		(void)unlink("config.json");
	}
	CHECK(chdir("/") == 0);
	CHECK_OK(remove_tree(directory, &error), &error);
}

static void test_changes(void)
{
	static const char image[] =
	    "{\"config\":{\"Env\":[\"A=1\",\"B=2\"],\"Cmd\":[\"old\"],"
	    "\"Labels\":{\"k\":\"v\"},\"Healthcheck\":{\"Test\":[\"NONE\"]}}}";
	const char *const changes[] = { "ENV A=\"new\"",    "entrypoint [\"/bin/e\", \"x y\"]",
					"EXPOSE 80 53/udp", "LABEL other=one",
					"USER app",	    NULL };
	const char *const shell[] = { "CMD echo $A", NULL };
	const char *const wrong[] = { "ONBUILD RUN x", NULL };
	_cleanup_free_ char *text = NULL, *empty = NULL;
	struct error *error = NULL;

	CHECK_OK(image_changes_apply(image, changes, &text, &error), &error);
	/* (Another entry point has no use for the old one's command.) */
	CHECK_STRING(text, "{\"Healthcheck\":{\"Test\":[\"NONE\"]},\"User\":\"app\","
			   "\"Env\":[\"B=2\",\"A=new\"],\"Entrypoint\":[\"/bin/e\",\"x y\"],"
			   "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},"
			   "\"Labels\":{\"k\":\"v\",\"other\":\"one\"}}");
	CHECK_OK(image_changes_apply(NULL, shell, &empty, &error), &error);
	CHECK_STRING(empty, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $A\"]}");
	CHECK_ERROR(image_changes_apply(image, wrong, &text, &error), &error,
		    "ONBUILD is not a valid change command");
}

static void test_seccomp(void)
{
	static const char profile[] = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":[{"
				      "\"architecture\":\"SCMP_ARCH_X86_64\","
				      "\"subArchitectures\":[\"SCMP_ARCH_X86\"]}],\"syscalls\":["
				      "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},"
				      "{\"names\":[\"reboot\"],\"action\":\"SCMP_ACT_ALLOW\","
				      "\"includes\":{\"caps\":[\"CAP_SYS_BOOT\"]}},"
				      "{\"names\":[\"iopl\"],\"action\":\"SCMP_ACT_ALLOW\","
				      "\"includes\":{\"arches\":[\"s390x\"]}},"
				      "{\"names\":[\"chroot\"],\"action\":\"SCMP_ACT_ALLOW\","
				      "\"excludes\":{\"caps\":[\"CAP_CHOWN\"]}}]}";
	char path[] = "/tmp/test-run-image.XXXXXX";
	_cleanup_free_ char *usual = run_seccomp_usual(0), *all = run_seccomp_usual(UINT64_MAX);
	_cleanup_free_ char *read = NULL;
	_cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
	_cleanup_error_ struct error *error = NULL;

	CHECK(strstr(usual, "\"mount\"") && strstr(usual, "\"keyctl\"") && strstr(usual, "clone3"));
	CHECK(!strstr(all, "\"mount\"") && strstr(all, "\"keyctl\"") && !strstr(all, "clone3"));
	CHECK(write_all(fd, profile, strlen(profile)) == 0);
	CHECK_OK(run_seccomp_read(path, 1, &read, &error), &error);
	CHECK(unlink(path) == 0);
	CHECK(strstr(read, "\"read\"") && strstr(read, "SCMP_ARCH_X86\""));
	CHECK(!strstr(read, "reboot") && !strstr(read, "iopl") && !strstr(read, "chroot"));
	CHECK(!strstr(read, "archMap"));
}

static void test_publish_all(void)
{
	char *const exposed[] = { (char *)"80", (char *)"53/udp", (char *)"90-91/tcp", NULL };
	char *const wrong[] = { (char *)"80/sctp", NULL };
	_cleanup_strv_ char **publish = NULL;
	_cleanup_network_options_ struct network_options network = { 0 };
	struct error *error = NULL;

	strv_append(&publish, "127.0.0.1:8080:80");
	CHECK_OK(run_ports_publish("image", exposed, &publish, &error), &error);
	/* Of those that are published, none again; and each has a port of its own. */
	CHECK_INT(strv_length(publish), 4);
	CHECK_OK(network_options_read("passt", (const char *const *)publish, 4, &network, &error),
		 &error);
	CHECK_INT(network.published[1].guest_port, 53);
	CHECK(network.published[1].udp && network.published[1].host_port >= 1024);
	CHECK_INT(network.published[3].guest_port, 91);
	CHECK_ERROR(run_ports_publish("image", wrong, &publish, &error), &error,
		    "image: \"80/sctp\" is not PORT");
}

/* ---- health checks ---- */

#define HEALTH_IMAGE                                                                               \
	"{\"config\":{\"Cmd\":[\"c\"],\"Shell\":[\"/bin/bash\",\"-ec\"],\"Healthcheck\":{"         \
	"\"Test\":[\"CMD-SHELL\",\"test -e /ok\"],\"Interval\":5000000000,\"Timeout\":1,"          \
	"\"StartPeriod\":null,\"Retries\":7}}}"

/* "ARGS|interval timeout start period start interval retries" */
static char *check_words(const char *words, const char *config, struct error **ret_error)
{
	_cleanup_(run_request_freep) struct run_request *request = NULL;
	_cleanup_free_ char *args = NULL;
	const struct health_check *check;

	if (request_of(words, config, &request, ret_error) < 0)
		return NULL;
	check = &request->health;
	args = check->args ? strv_join(check->args, " ") : xstrdup("none");
	return xasprintf(
	    "%s|%llu %llu %llu %llu %llu", args, (unsigned long long)check->interval_ms,
	    (unsigned long long)check->timeout_ms, (unsigned long long)check->start_period_ms,
	    (unsigned long long)check->start_interval_ms, (unsigned long long)check->retries);
}

static void test_health_found(void)
{
	static const struct {
		const char *words, *config, *wanted;
	} good[] = {
		{ "x", HEALTH_IMAGE, "/bin/bash -ec test -e /ok|5000 1 0 5000 7" },
		{ "--health-cmd true --health-interval 1m30s x", HEALTH_IMAGE,
		  "/bin/bash -ec true|90000 1 0 5000 7" },
		{ "--health-cmd true x", IMAGE, "/bin/sh -c true|30000 30000 0 5000 3" },
		{ "--health-timeout 2s --health-start-period 1m --health-start-interval 250ms "
		  "--health-retries 1 --health-interval 0s x",
		  HEALTH_IMAGE, "/bin/bash -ec test -e /ok|5000 2000 60000 250 1" },
		{ "--no-healthcheck x", HEALTH_IMAGE, "none|0 0 0 0 0" },
		{ "x",
		  "{\"config\":{\"Cmd\":[\"c\"],\"Healthcheck\":{\"Test\":[\"CMD\",\"/"
		  "a\",\"b\"]}}}",
		  "/a b|30000 30000 0 5000 3" },
		{ "x", "{\"config\":{\"Cmd\":[\"c\"],\"Healthcheck\":{\"Test\":[\"NONE\"]}}}",
		  "none|30000 30000 0 5000 3" },
		{ "x", "{\"config\":{\"Cmd\":[\"c\"],\"Healthcheck\":{\"Test\":[]}}}",
		  "none|30000 30000 0 5000 3" },
	};
	static const struct {
		const char *words, *config, *error;
	} bad[] = {
		{ "--no-healthcheck --health-cmd true x", IMAGE, "conflicts with --health-*" },
		{ "--health-interval 5 x", HEALTH_IMAGE, "--health-interval: invalid duration" },
		{ "--health-timeout 9999999h x", HEALTH_IMAGE,
		  "--health-timeout 9999999h: too long" },
		{ "x", "{\"config\":{\"Cmd\":[\"c\"],\"Healthcheck\":{\"Test\":[\"CMD\"]}}}",
		  "health check: must be CMD" },
		{ "x", "{\"config\":{\"Cmd\":[\"c\"],\"Healthcheck\":{\"Test\":[\"odd\",\"x\"]}}}",
		  "not \"odd\"" },
		{ "x", "{\"config\":{\"Cmd\":[\"c\"],\"Healthcheck\":{\"Interval\":-1}}}",
		  "Interval" },
	};
	struct error *error = NULL;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		_cleanup_free_ char *words = check_words(good[i].words, good[i].config, &error);

		CHECK_OK(words ? 0 : -1, &error);
		CHECK_STRING(words, good[i].wanted);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_ERROR(check_words(bad[i].words, bad[i].config, &error) ? 0 : -1, &error,
			    bad[i].error);
}

/* What is written down is what is read. */
static void test_health_kept(void)
{
	char *words[] = { (char *)"a b", (char *)"", NULL };
	const struct health_check check = { words, 1, 2, 3, 4, 5 };
	_cleanup_(health_check_done) struct health_check again = { 0 };
	const struct health_check none = { 0 };
	char directory[] = "/tmp/test-health-XXXXXX";
	struct error *error = NULL;

	CHECK(mkdtemp(directory));
	CHECK_OK(health_check_save(&none, directory, &error), &error);
	CHECK_ERROR(health_check_load(directory, &again, &error), &error, HEALTH_CHECK_FILE);
	CHECK_OK(health_check_save(&check, directory, &error), &error);
	CHECK_OK(health_check_load(directory, &again, &error), &error);
	CHECK(strv_length(again.args) == 2 && strcmp(again.args[0], "a b") == 0 &&
	      again.interval_ms == 1 && again.timeout_ms == 2 && again.start_period_ms == 3 &&
	      again.start_interval_ms == 4 && again.retries == 5);
	CHECK_OK(remove_tree(directory, &error), &error);
}

static void note_exit(struct health *health, const struct health_check *check, uint64_t running_ms,
		      int exit_code)
{
	const struct health_result result = { .exit_code = exit_code, .output = xstrdup("") };

	health_note(health, check, running_ms, &result);
}

/* Docker's: what counts, and how often it is looked. */
static void test_health_states(void)
{
	const struct health_check check = { .interval_ms = 30000,
					    .start_period_ms = 10000,
					    .start_interval_ms = 500,
					    .retries = 2 };
	_cleanup_(health_done) struct health health = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t size;

	CHECK_INT(health_delay_ms(&health, &check, 0), 500);
	note_exit(&health, &check, 500, 1);
	note_exit(&health, &check, 9999, 1);
	CHECK(health.status == HEALTH_STARTING && health.streak == 0);
	CHECK_INT(health_delay_ms(&health, &check, 10000), 30000);
	note_exit(&health, &check, 10000, 1);
	CHECK(health.status == HEALTH_STARTING && health.streak == 1);
	note_exit(&health, &check, 10500, -1);
	CHECK(health.status == HEALTH_UNHEALTHY && health.streak == 2);
	note_exit(&health, &check, 11000, 0);
	CHECK(health.status == HEALTH_HEALTHY && health.streak == 0);
	note_exit(&health, &check, 12000, 1);
	CHECK(health.status == HEALTH_HEALTHY && health.streak == 1 &&
	      health.n_log == HEALTH_LOG_MAX && health.log[0].exit_code == 1 &&
	      health.log[4].exit_code == 1);
	text = health_json(&health, &size);
	CHECK(strstr(text, "\"Status\": \"healthy\"") && strstr(text, "\"FailingStreak\": 1") &&
	      strstr(text, "\"ExitCode\": -1"));
	/* Once it has been healthy, the start period is over. */
	health.status = HEALTH_HEALTHY;
	health.streak = 0;
	CHECK_INT(health_delay_ms(&health, &check, 1), 30000);
	note_exit(&health, &check, 1, 1);
	CHECK_INT(health.streak, 1);
}

static void test_health_output(void)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *text;
	} all[] = {
		{ "a\n\tb", 4, "a\n\tb" },
		{ "a\0b\033[m\r", 7, "a?b?[m?" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9,
		  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xc3", 1, "?" },
		{ "\xc0\xaf\xed\xa0\x80\xff", 6, "??????" },
		{ "\xc2\x9b", 2, "?" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		_cleanup_free_ char *text = health_output(all[i].bytes, all[i].size);

		CHECK_STRING(text, all[i].text);
	}
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{ "publish_all", test_publish_all },
		{ "seccomp", test_seccomp },
		{ "changes", test_changes },
		{ "args", test_args },
		{ "process", test_process },
		{ "limits", test_limits },
		{ "capabilities", test_capabilities },
		{ "mounts", test_mounts },
		{ "refusals", test_refusals },
		{ "letters", test_letters },
		{ "files_of_words", test_files_of_words },
		{ "forms", test_forms },
		{ "volumes", test_volumes },
		{ "restart", test_restart },
		{ "fractions", test_fractions },
		{ "health found", test_health_found },
		{ "health kept", test_health_kept },
		{ "health states", test_health_states },
		{ "health output", test_health_output },
	};

	(void)unsetenv("A");
	return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
