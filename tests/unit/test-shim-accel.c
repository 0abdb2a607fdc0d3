/* SPDX-License-Identifier: Apache-2.0 */
/* What runs the guest, as the task server decides it where its caller did not: what
 * the VMM is told, what is logged, what is refused. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/shim-rig.h"

#define ANNOTATED(accel) ",\"annotations\":{\"io.supermachine.accel\":\"" accel "\"}"

/* A server whose log is a file. */
static void start(struct rig *rig, const char *probe)
{
	_cleanup_free_ char *path = xasprintf("%s/log", rig->directory);
	int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int log;

	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CHECK(log >= 0 && saved >= 0);
	CHECK(setenv("FAKE_VMM_PROBE", probe, 1) == 0);
	CHECK(setenv("SUPERMACHINE_QEMU", "/bin/true", 1) == 0);
	CHECK(unsetenv("SUPERMACHINE_ACCEL") == 0);
	CHECK(dup2(log, STDERR_FILENO) >= 0);
	rig_start(rig);
	CHECK(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	(void)close(log);
}

static int count(const struct rig *rig, const char *name, const char *words)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", rig->directory, name);
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	int n = 0;

	CHECK_OK(read_file(path, 1 << 20, &text, NULL, &error), &error);
	for (const char *at = text; (at = strstr(at, words)); at++)
		n++;
	return n;
}

static void runs(const char *probe, const char *more, const char *accel, int warnings)
{
	_cleanup_free_ char *told = xasprintf("fake vmm: accel %s\n", accel);
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	start(&rig, probe);
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"true\"]", .more = more }, NULL);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	CHECK_INT(count(&rig, RIG_ID "/vmm.log", told), 1);
	CHECK_INT(count(&rig, "log", "level=warning"), warnings);
	CHECK_INT(count(&rig, "log", "running emulated, which is slower"), warnings);
	rig_done(&rig);
}

static void test_decides(void)
{
	runs("usable", NULL, "kvm", 0);
	runs("usable", ANNOTATED("kvm"), "kvm", 0);
	runs("usable", ANNOTATED("tcg"), "tcg", 0);
	runs("slow: very", NULL, "tcg", 1);
	runs("slow: very", ANNOTATED("auto"), "tcg", 1);
	runs("slow: very", ANNOTATED("tcg"), "tcg", 0);
}

/* Create fails with this, and the server goes on. */
static void refuses(const char *more, const char *message)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	start(&rig, "slow: very");
	rig_write_config(&rig, &(struct rig_config){ .more = more });
	CHECK_ERROR(rig_create(&rig, NULL, false, &error) ? 0 : -1, &error, message);
	(void)rig_run(&rig, &(struct rig_config){ .args = "[\"true\"]" }, NULL);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	rig_done(&rig);
}

static void test_refuses(void)
{
	refuses(ANNOTATED("kvm"), "accel=kvm (annotations[\"io.supermachine.accel\"]): KVM is not "
				  "usable: very; accel=auto or tcg runs");
	refuses(ANNOTATED("KVM"),
		"annotations[\"io.supermachine.accel\"]: must be auto, kvm or tcg, not \"KVM\"");
}

/* A guest that reboots before its agent calls, as often as this. */
static void reboot(struct rig *rig, int times, const char *more)
{
	_cleanup_free_ char *path = NULL;
	int fd;

	rig_init(rig);
	path = xasprintf("%s/reboots", rig->directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, times) == 0 && close(fd) == 0);
	CHECK(setenv("FAKE_VMM_REBOOTS", path, 1) == 0);
	start(rig, "usable");
	CHECK(unsetenv("FAKE_VMM_REBOOTS") == 0);
	rig_write_config(rig, &(struct rig_config){ .args = "[\"true\"]", .more = more });
}

static int reboots_left(const struct rig *rig)
{
	_cleanup_free_ char *path = xasprintf("%s/reboots", rig->directory);
	struct stat st;

	CHECK(stat(path, &st) == 0);
	return (int)st.st_size;
}

#define AGAIN "rebooted before its agent called: starting it again"

/* Emulated, its kernel may have found out how fast its timer is, and been wrong. */
static void test_reboots_emulated(void)
{
	struct error *error = NULL;
	struct rig rig;
	uint32_t pid;

	reboot(&rig, 3, ANNOTATED("tcg"));
	pid = rig_create(&rig, NULL, false, &error);
	CHECK_OK(pid ? 0 : -1, &error);
	/* The one that lives. */
	CHECK(kill((pid_t)pid, 0) == 0);
	CHECK_OK(rig_start_task(&rig, "", &error), &error);
	CHECK_INT(rig_wait(&rig, "", &error), 0);
	CHECK_INT(rig_delete(&rig, "", &error), 0);
	CHECK_INT(count(&rig, "log", AGAIN), 3);
	CHECK_INT(reboots_left(&rig), 0);
	rig_done(&rig);
}

/* Neither for ever, nor where it can be no such thing. */
static void gives_up(const char *more, int starts)
{
	struct error *error = NULL;
	struct rig rig;

	reboot(&rig, 100, more);
	CHECK_ERROR(rig_create(&rig, NULL, false, &error) ? 0 : -1, &error,
		    "the guest ended (reboot) while the container was being created");
	CHECK_INT(100 - reboots_left(&rig), starts);
	CHECK_INT(count(&rig, "log", AGAIN), starts - 1);
	rig_done(&rig);
}

static void test_reboots_for_ever(void)
{
	gives_up(ANNOTATED("tcg"), 12);
	gives_up(ANNOTATED("kvm"), 1);
}

/* A guest that breaks down before its agent calls may do so for its template: it has one more
 * chance, to boot. */
static void breaks_down(const char *more, int starts)
{
	struct error *error = NULL;
	struct rig rig;

	rig_init(&rig);
	start(&rig, "usable");
	rig_write_config(
	    &rig, &(struct rig_config){ .more = more, .fake = "fake.stopped=boot fake.mute=boot" });
	CHECK_ERROR(rig_create(&rig, NULL, false, &error) ? 0 : -1, &error,
		    "the guest ended (panic: VFS ) while the container was being created");
	CHECK_INT(count(&rig, "log", "did not resume from its template: booting it"), starts - 1);
	CHECK_INT(count(&rig, RIG_ID "/vmm.log", "fake vmm: accel"), starts);
	CHECK_INT(count(&rig, RIG_ID "/vmm.log", "fake vmm: without a template"), starts - 1);
	rig_done(&rig);
}

static void test_bad_template(void)
{
	breaks_down(ANNOTATED("tcg"), 2);
	breaks_down(ANNOTATED("kvm"), 2);
}

static const struct test_case cases[] = {
	{ "reboots emulated", test_reboots_emulated },
	{ "reboots for ever", test_reboots_for_ever },
	{ "bad template", test_bad_template },
	{ "decides", test_decides },
	{ "refuses", test_refuses },
};

TEST_MAIN(cases)
