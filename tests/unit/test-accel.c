/* SPDX-License-Identifier: Apache-2.0 */
/* What runs the guest: who asks for what, the decision, and what is remembered. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/accel.h"
#include "host/settings.h"
#include "protocol/probe.h"
#include "runtime-spec/spec.h"
#include "tests/unit/test.h"

/* ---- who asks ---- */

static struct spec *spec_with(const char *accel)
{
	_cleanup_free_ char *text = xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},"
					      "\"annotations\":{\"a\":\"b\"%s%s%s}}",
					      accel ? ",\"io.supermachine.accel\":\"" : "",
					      accel ? accel : "", accel ? "\"" : "");
	struct error *error = NULL;
	struct spec *spec;

	CHECK_OK(spec_parse(text, strlen(text), &spec, &error), &error);
	return spec;
}

struct asked {
	const char *flag, *annotation, *environment;
	enum accel_wish settings;
};

static int ask(const struct asked *asked, enum accel_wish *ret_wish, const char **ret_source,
	       struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *spec = spec_with(asked->annotation);
	const struct settings settings = { .accel = asked->settings };
	const struct accel_request request = { .flag = asked->flag,
					       .spec = spec,
					       .settings = &settings };

	if (asked->environment)
		CHECK(setenv("SUPERMACHINE_ACCEL", asked->environment, 1) == 0);
	else
		CHECK(unsetenv("SUPERMACHINE_ACCEL") == 0);
	return accel_asked(&request, ret_wish, ret_source, ret_error);
}

static void test_asked(void)
{
	static const struct {
		struct asked asked;
		enum accel_wish wish;
		const char *source;
	} cases[] = {
		{ { NULL, NULL, NULL, ACCEL_AUTO }, ACCEL_AUTO, "the configuration file" },
		{ { NULL, NULL, NULL, ACCEL_TCG }, ACCEL_TCG, "the configuration file" },
		{ { NULL, NULL, "kvm", ACCEL_TCG }, ACCEL_KVM, "$SUPERMACHINE_ACCEL" },
		{ { NULL, "tcg", "kvm", ACCEL_AUTO },
		  ACCEL_TCG,
		  "annotations[\"io.supermachine.accel\"]" },
		{ { "auto", "tcg", "kvm", ACCEL_TCG }, ACCEL_AUTO, "--accel" },
		/* Empty is not said. */
		{ { "", "", "", ACCEL_KVM }, ACCEL_KVM, "the configuration file" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *error = NULL;
		const char *source = NULL;
		enum accel_wish wish;

		CHECK_OK(ask(&cases[i].asked, &wish, &source, &error), &error);
		CHECK_INT(wish, cases[i].wish);
		CHECK_STRING(source, cases[i].source);
	}
}

static void test_asked_wrongly(void)
{
	static const struct {
		struct asked asked;
		const char *message;
	} cases[] = {
		{ { "KVM", NULL, NULL, ACCEL_AUTO },
		  "--accel: must be auto, kvm or tcg, not \"KVM\"" },
		{ { NULL, "hvf", NULL, ACCEL_AUTO },
		  "annotations[\"io.supermachine.accel\"]: must be auto, kvm or tcg, not \"hvf\"" },
		{ { NULL, NULL, "tcg ", ACCEL_AUTO },
		  "$SUPERMACHINE_ACCEL: must be auto, kvm or tcg, not \"tcg \"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error *error = NULL;
		const char *source;
		enum accel_wish wish;

		CHECK_ERROR(ask(&cases[i].asked, &wish, &source, &error), &error, cases[i].message);
	}
	/* A wrong word that another overrides is not looked at. */
	{
		const struct asked asked = { "tcg", "hvf", "hvf", ACCEL_AUTO };
		struct error *error = NULL;
		const char *source;
		enum accel_wish wish;

		CHECK_OK(ask(&asked, &wish, &source, &error), &error);
		CHECK_INT(wish, ACCEL_TCG);
	}
}

/* ---- the decision ---- */

static void decide(enum accel_wish wish, const char *verdict, enum vm_accel accel, bool has_reason)
{
	_cleanup_(kvm_answer_freep) struct kvm_answer *answer =
	    kvm_answer_new(verdict, "because of it");
	_cleanup_free_ char *reason = NULL;
	struct error *error = NULL;
	enum vm_accel decided;

	CHECK_OK(accel_decide(wish, "--accel", answer, &decided, &reason, &error), &error);
	CHECK_INT(decided, accel);
	CHECK_INT(reason != NULL, has_reason);
	CHECK(!reason || strcmp(reason, "because of it") == 0);
}

static void cannot(enum accel_wish wish, const char *part)
{
	_cleanup_(kvm_answer_freep) struct kvm_answer *answer =
	    kvm_answer_new(PROBE_REFUSED, "no permission");
	struct error *error = NULL;
	enum vm_accel decided;
	char *reason = NULL;

	CHECK_ERROR(accel_decide(wish, "--accel", answer, &decided, &reason, &error), &error, part);
	CHECK(!reason);
}

static void test_decide(void)
{
	CHECK(setenv("SUPERMACHINE_QEMU", "/bin/true", 1) == 0);
	decide(ACCEL_AUTO, PROBE_USABLE, VM_ACCEL_KVM, false);
	decide(ACCEL_KVM, PROBE_USABLE, VM_ACCEL_KVM, false);
	decide(ACCEL_TCG, PROBE_USABLE, VM_ACCEL_TCG, false);
	decide(ACCEL_AUTO, PROBE_SLOW, VM_ACCEL_TCG, true);
	decide(ACCEL_AUTO, PROBE_MISSING, VM_ACCEL_TCG, true);
	decide(ACCEL_TCG, PROBE_MISSING, VM_ACCEL_TCG, false);
	cannot(ACCEL_KVM,
	       "accel=kvm (--accel): KVM is not usable: no permission; accel=auto or tcg");
	CHECK(setenv("SUPERMACHINE_QEMU", "/no/qemu", 1) == 0);
	decide(ACCEL_AUTO, PROBE_USABLE, VM_ACCEL_KVM, false);
	cannot(ACCEL_AUTO, "KVM is not usable (no permission), so QEMU is needed: ");
	cannot(ACCEL_TCG, "accel=tcg (--accel): QEMU not found: SUPERMACHINE_QEMU=/no/qemu");
	CHECK(unsetenv("SUPERMACHINE_QEMU") == 0);
}

/* ---- what is remembered ---- */

struct fixture {
	char directory[32];
	char *file;
};

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){ .directory = "/tmp/test-accel.XXXXXX" };
	CHECK(mkdtemp(f->directory));
	f->file = xasprintf("%s/@kvm.json", f->directory);
}

static void fixture_done(struct fixture *f)
{
	struct error *error = NULL;

	CHECK_OK(remove_tree(f->directory, &error), &error);
	free(f->file);
}

static void save(const struct fixture *f, const char *key, const char *verdict)
{
	_cleanup_(kvm_answer_freep) struct kvm_answer *answer = kvm_answer_new(verdict, "why");

	kvm_memory_save(f->directory, key, answer);
}

static bool remembers(const struct fixture *f, const char *key, const char *verdict)
{
	_cleanup_(kvm_answer_freep) struct kvm_answer *answer = kvm_memory_load(f->directory, key);

	CHECK(!answer || strcmp(answer->verdict, verdict) == 0);
	CHECK(!answer || strcmp(answer->message, "why") == 0);
	return answer != NULL;
}

static void test_memory(void)
{
	struct fixture f;
	struct stat st;

	fixture_init(&f);
	CHECK(!remembers(&f, "k", ""));
	save(&f, "k", PROBE_EMULATED);
	CHECK(remembers(&f, "k", PROBE_EMULATED));
	CHECK(stat(f.file, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	/* Another boot, another device. */
	CHECK(!remembers(&f, "k2", ""));
	save(&f, "k2", PROBE_USABLE);
	CHECK(remembers(&f, "k2", PROBE_USABLE));
	CHECK(!remembers(&f, "k", ""));
	/* Nothing else is left in the directory. */
	CHECK(unlink(f.file) == 0 && rmdir(f.directory) == 0);
	/* It is made, its owner's alone. */
	save(&f, "k", PROBE_USABLE);
	CHECK(stat(f.directory, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	CHECK(remembers(&f, "k", PROBE_USABLE));
	fixture_done(&f);
}

static void test_memory_key(void)
{
	_cleanup_free_ char *key = kvm_memory_key("/bin/true");
	_cleanup_free_ char *same = kvm_memory_key("/bin/true");
	_cleanup_free_ char *other = kvm_memory_key("/bin/false");
	_cleanup_free_ char *none = kvm_memory_key("/no/such/program");
	_cleanup_free_ char *boot = NULL;
	struct error *error = NULL;

	CHECK_OK(read_file("/proc/sys/kernel/random/boot_id", 64, &boot, NULL, &error), &error);
	boot[strcspn(boot, "\n")] = '\0';
	CHECK_STRING(key, same);
	CHECK(strstr(key, boot) && strstr(key, PACKAGE_VERSION));
	CHECK(strcmp(key, other) != 0 && strcmp(key, none) != 0);
}

static void test_memory_garbage(void)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"null",
		"{\"key\":\"k\"}",
		"{\"key\":\"k\",\"verdict\":\"usable\"}",
		"{\"key\":\"k\",\"verdict\":\"perfect\",\"message\":\"\"}",
		"{\"key\":\"k\",\"verdict\":1,\"message\":\"\"}",
		"{\"key\":[\"k\"],\"verdict\":\"usable\",\"message\":\"\"}",
		"{\"key\":\"k\",\"verdict\":\"usable\",\"message\":\"\"",
	};
	_cleanup_free_ char *large = xcalloc(20001, 1);
	struct error *error = NULL;
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CHECK_OK(write_file_atomic(f.file, texts[i], strlen(texts[i]), 0600, &error),
			 &error);
		CHECK(!remembers(&f, "k", ""));
	}
	memset(large, ' ', 20000);
	CHECK_OK(write_file_atomic(f.file, large, 20000, 0600, &error), &error);
	CHECK(!remembers(&f, "k", ""));
	/* It is not an obstacle. */
	save(&f, "k", PROBE_USABLE);
	CHECK(remembers(&f, "k", PROBE_USABLE));
	fixture_done(&f);
}

/* What another could have put there, or could change. */
static void test_memory_distrust(void)
{
	_cleanup_free_ char *aside = NULL;
	struct fixture f;

	fixture_init(&f);
	aside = xasprintf("%s/aside", f.directory);
	save(&f, "k", PROBE_USABLE);
	CHECK(chmod(f.file, 0620) == 0);
	CHECK(!remembers(&f, "k", ""));
	CHECK(chmod(f.file, 0602) == 0);
	CHECK(!remembers(&f, "k", ""));
	CHECK(chmod(f.file, 0644) == 0);
	CHECK(remembers(&f, "k", PROBE_USABLE));
	CHECK(chmod(f.directory, 0770) == 0);
	CHECK(!remembers(&f, "k", ""));
	save(&f, "other", PROBE_USABLE);
	CHECK(chmod(f.directory, 0700) == 0);
	CHECK(remembers(&f, "k", PROBE_USABLE)); /* and nothing was written there */
	/* A link, a FIFO (which must not hang), a directory. */
	CHECK(rename(f.file, aside) == 0 && symlink("aside", f.file) == 0);
	CHECK(!remembers(&f, "k", ""));
	CHECK(unlink(f.file) == 0 && mkfifo(f.file, 0600) == 0);
	CHECK(!remembers(&f, "k", ""));
	CHECK(unlink(f.file) == 0 && mkdir(f.file, 0700) == 0);
	CHECK(!remembers(&f, "k", ""));
	save(&f, "k", PROBE_USABLE);
	CHECK(!remembers(&f, "k", ""));
	CHECK(rmdir(f.file) == 0 && rename(aside, f.file) == 0);
	if (geteuid() == 0) {
		CHECK(chown(f.file, 12345, (gid_t)-1) == 0);
		CHECK(!remembers(&f, "k", ""));
		CHECK(chown(f.file, 0, (gid_t)-1) == 0 &&
		      chown(f.directory, 12345, (gid_t)-1) == 0);
		CHECK(!remembers(&f, "k", ""));
		CHECK(chown(f.directory, 0, (gid_t)-1) == 0);
	}
	CHECK(remembers(&f, "k", PROBE_USABLE));
	fixture_done(&f);
}

/* A directory behind a link is another's choice. */
static void test_memory_linked_directory(void)
{
	_cleanup_free_ char *linked = NULL;
	struct fixture f;

	fixture_init(&f);
	save(&f, "k", PROBE_USABLE);
	linked = xasprintf("%s.link", f.directory);
	CHECK(symlink(f.directory, linked) == 0);
	CHECK(!kvm_memory_load(linked, "k"));
	CHECK(unlink(linked) == 0);
	fixture_done(&f);
}

#define WRITERS 4
#define ROUNDS 200

/* A reader, while others write, finds nothing or one whole answer. */
static void test_memory_race(void)
{
	pid_t pids[WRITERS];
	struct fixture f;
	int status;

	fixture_init(&f);
	(void)fflush(NULL);
	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (pids[i] > 0)
			continue;
		for (int round = 0; round < ROUNDS; round++) {
			_cleanup_free_ char *key = xasprintf("key %d", i);

			save(&f, key, PROBE_EMULATED);
			(void)remembers(&f, key, PROBE_EMULATED);
		}
		_exit(0);
	}
	for (int i = 0; i < WRITERS; i++) {
		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK_INT(status, 0);
	}
	save(&f, "k", PROBE_USABLE);
	CHECK(remembers(&f, "k", PROBE_USABLE));
	CHECK(unlink(f.file) == 0 && rmdir(f.directory) == 0); /* no temporary file is left */
	free(f.file);
}

/* ---- asking ---- */

static void answers(bool anew, const char *verdict, const char *message)
{
	_cleanup_(kvm_answer_freep) struct kvm_answer *answer = NULL;
	static char path[4096];
	struct error *error = NULL;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);

	CHECK(n > 0);
	path[n] = '\0';
	(void)strcpy(strrchr(path, '/'), "/fake-vmm");
	CHECK_OK(anew ? kvm_answer_ask(path, &answer, &error)
		      : kvm_answer_get(path, &answer, &error),
		 &error);
	CHECK_STRING(answer->verdict, verdict);
	CHECK_STRING(answer->message, message);
	CHECK_INT(kvm_answer_usable(answer), strcmp(verdict, PROBE_USABLE) == 0);
}

static void test_ask(void)
{
	struct kvm_answer *answer = NULL;
	struct error *error = NULL;
	struct fixture f;

	fixture_init(&f);
	CHECK(setenv("SUPERMACHINE_RUNTIME", f.directory, 1) == 0);
	CHECK(setenv("FAKE_VMM_PROBE", "busy: for now: it is", 1) == 0);
	answers(false, PROBE_BUSY, "for now: it is");
	CHECK(setenv("FAKE_VMM_PROBE", "emulated: no clac", 1) == 0);
	answers(false, PROBE_EMULATED, "no clac");
	CHECK(setenv("FAKE_VMM_PROBE", "usable", 1) == 0);
	answers(false, PROBE_EMULATED, "no clac");
	answers(true, PROBE_USABLE, "");
	CHECK(setenv("FAKE_VMM_PROBE", "slow: very", 1) == 0);
	answers(false, PROBE_USABLE, "");
	/* Asked anew, and only for now: what was remembered is not true any more. */
	CHECK(setenv("FAKE_VMM_PROBE", "failed: no memory", 1) == 0);
	answers(true, PROBE_FAILED, "no memory");
	CHECK(setenv("FAKE_VMM_PROBE", "slow: very", 1) == 0);
	answers(false, PROBE_SLOW, "very");
	CHECK(unsetenv("FAKE_VMM_PROBE") == 0);
	CHECK_ERROR(kvm_answer_get("/no/such/vmm", &answer, &error), &error,
		    "cannot run /no/such/vmm");
	CHECK(!answer);
	fixture_done(&f);
	CHECK(unsetenv("SUPERMACHINE_RUNTIME") == 0);
}

static const struct test_case cases[] = {
	{ "asked", test_asked },
	{ "asked wrongly", test_asked_wrongly },
	{ "decide", test_decide },
	{ "memory", test_memory },
	{ "memory key", test_memory_key },
	{ "memory garbage", test_memory_garbage },
	{ "memory distrust", test_memory_distrust },
	{ "memory linked directory", test_memory_linked_directory },
	{ "memory race", test_memory_race },
	{ "ask", test_ask },
};

TEST_MAIN(cases)
