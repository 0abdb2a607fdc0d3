/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a container that runs, held against its machine. */
#include <string.h>

#include "sandbox/plan/machine-plan.h"
#include "tests/unit/test.h"

static struct spec_resources *parse(const char *json)
{
	struct spec_resources *resources = NULL;
	struct error *error = NULL;

	CHECK_OK(spec_parse_resources(json, strlen(json), &resources, &error), &error);
	return resources;
}

/* message: why it is refused; NULL: it is not. */
static void check(const struct machine_plan *plan, struct spec_resources *given, const char *json,
		  const char *message)
{
	_cleanup_(spec_resources_freep) struct spec_resources *wanted = parse(json);
	struct error *error = NULL;

	if (message) {
		CHECK_ERROR(plan_update_check(plan, given, wanted, &error), &error, message);
		return;
	}
	CHECK_OK(plan_update_check(plan, given, wanted, &error), &error);
	plan_update_note(given, wanted);
}

static void test_memory(void)
{
	struct vm_config config = { .vcpus = 1, .memory_mib = 256 };
	const struct machine_plan plan = { .config = &config };
	_cleanup_(spec_resources_freep) struct spec_resources *none = parse("{}");
	/* A machine for which somebody has asked for less. */
	_cleanup_(spec_resources_freep) struct spec_resources *more =
	    parse("{\"memory\":{\"limit\":300000000}}");

	check(&plan, none, "{\"memory\":{\"limit\":201326592}}", NULL);
	check(&plan, none, "{\"memory\":{\"limit\":201326593}}",
	      "the machine has 256 MiB of memory, and a container 192 of them at most");
	check(&plan, none, "{\"memory\":{\"limit\":-1}}", NULL);
	check(&plan, none, "{\"memory\":{\"limit\":9223372036854775807}}", "at most");
	check(&plan, more, "{\"memory\":{\"limit\":300000000}}", NULL);
	check(&plan, more, "{\"memory\":{\"limit\":300000001}}", "at most");
	check(&plan, more, "{\"memory\":{\"limit\":1000000}}", NULL);
	check(&plan, more, "{\"memory\":{\"limit\":300000000}}", NULL);
}

static void test_quota(void)
{
	struct vm_config config = { .vcpus = 1, .memory_mib = 256 };
	const struct machine_plan plan = { .config = &config };
	_cleanup_(spec_resources_freep) struct spec_resources *none = parse("{}");
	_cleanup_(spec_resources_freep) struct spec_resources *two =
	    parse("{\"cpu\":{\"quota\":200000}}");

	if (plan_host_cpus() < 2)
		test_skip("one processor");
	check(&plan, none, "{\"cpu\":{\"quota\":100000}}", NULL);
	check(&plan, none, "{\"cpu\":{\"quota\":100001}}",
	      "a quota of 100001 us is for 2 CPUs, and the machine has 1");
	check(&plan, none, "{\"cpu\":{\"quota\":100001,\"period\":200000}}", NULL);
	/* In the period that it has by now. */
	check(&plan, none, "{\"cpu\":{\"quota\":200000}}", NULL);
	check(&plan, none, "{\"cpu\":{\"period\":100000}}", "is for 2 CPUs");
	check(&plan, none, "{\"cpu\":{\"quota\":-1}}", NULL);
	check(&plan, two, "{\"cpu\":{\"quota\":200000,\"period\":100000}}", NULL);
	check(&plan, two, "{\"cpu\":{\"quota\":200001}}", "is for 3 CPUs");
	/* A cpuset says where, not how much. */
	check(&plan, none, "{\"cpu\":{\"cpus\":\"0-63\"}}", NULL);
	/* More than the host has is what a start gives no machine, either. */
	config.vcpus = plan_host_cpus();
	check(&plan, none, "{\"cpu\":{\"quota\":90000000}}", NULL);
}

static const struct test_case cases[] = { { "memory", test_memory }, { "quota", test_quota } };
TEST_MAIN(cases)
