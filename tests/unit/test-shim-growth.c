/* SPDX-License-Identifier: Apache-2.0 */
/* Updates that the machine's memory follows: what the guest is offered, and what comes of it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/shim-rig.h"
#include "tests/unit/test.h"

/* One container in a machine under KVM, of 256 MiB. */
static void begin(struct rig *rig, const char *fake)
{
	CHECK(setenv("SUPERMACHINE_ACCEL", "kvm", 1) == 0);
	rig_init(rig);
	rig_start(rig);
	(void)rig_run(rig, &(struct rig_config){ .args = "[\"sleep\",\"100\"]", .fake = fake },
		      NULL);
}

static void end(struct rig *rig)
{
	struct error *error = NULL;

	CHECK_OK(rig_kill(rig, "", 9, &error), &error);
	CHECK_INT(rig_wait(rig, "", &error), 137);
	CHECK_INT(rig_delete(rig, "", &error), 137);
	rig_done(rig);
}

static int update(struct rig *rig, long long mib, struct error **ret_error)
{
	_cleanup_free_ char *text = xasprintf("{\"memory\":{\"limit\":%lld}}", mib << 20);
	Task__UpdateTaskRequest request = TASK__UPDATE_TASK_REQUEST__INIT;
	Task__Any resources = TASK__ANY__INIT;

	resources.value.data = (uint8_t *)text;
	resources.value.len = strlen(text);
	request.id = (char *)RIG_ID;
	request.resources = &resources;
	rig_free(
	    rig_call(rig, "Update", &request.base, &task__empty__descriptor, NULL, 0, ret_error));
	return *ret_error ? -1 : 0;
}

/* "N MiB more", one after the other, as the fake guest has been offered. */
static void check_offers(const struct rig *rig, const char *wanted)
{
	_cleanup_free_ char *path = xasprintf("%s/" RIG_ID "/vmm.log", rig->directory);
	_cleanup_free_ char *log = NULL;
	struct error *error = NULL;
	char offers[256] = "";

	for (int i = 0; i < 100 && strcmp(offers, wanted) != 0; i++) {
		const char *at;

		free(log);
		log = NULL;
		CHECK_OK(read_file(path, 1 << 20, &log, NULL, &error), &error);
		offers[0] = '\0';
		for (at = log; (at = strstr(at, "fake vmm: ")); at++) {
			unsigned long long mib;
			char end_of_it;

			if (sscanf(at, "fake vmm: %llu MiB mor%c", &mib, &end_of_it) == 2)
				(void)snprintf(offers + strlen(offers),
					       sizeof(offers) - strlen(offers), "%llu ", mib);
		}
		(void)usleep(10000);
	}
	CHECK_STRING(offers, wanted);
}

static void test_follows(void)
{
	struct error *error = NULL;
	struct rig rig;

	begin(&rig, "");
	/* It has as much. */
	CHECK_OK(update(&rig, 192, &error), &error);
	check_offers(&rig, "");
	CHECK_OK(update(&rig, 512, &error), &error);
	check_offers(&rig, "326 ");
	CHECK_OK(update(&rig, 512, &error), &error);
	CHECK_OK(update(&rig, 640, &error), &error);
	check_offers(&rig, "326 456 ");
	/* It is to give back what nobody wants any more. */
	CHECK_OK(update(&rig, 100, &error), &error);
	check_offers(&rig, "326 456 0 ");
	CHECK_ERROR(update(&rig, 1 << 30, &error), &error, "the machine can have");
	check_offers(&rig, "326 456 0 ");
	end(&rig);
}

static void test_refuses(void)
{
	struct error *error = NULL;
	struct rig rig;

	begin(&rig, "fake.small=memory");
	CHECK_ERROR(update(&rig, 512, &error), &error,
		    "linux.resources.memory.limit: the guest has taken 100 of 326 MiB of memory "
		    "beside its 256");
	end(&rig);
}

static const struct test_case cases[] = {
	{ "follows", test_follows },
	{ "refuses", test_refuses },
};

TEST_MAIN(cases)
