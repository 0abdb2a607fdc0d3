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
static void check_beside(const struct machine_plan *plan, struct spec_resources *given,
			 uint64_t others, const char *json, const char *message)
{
	_cleanup_(spec_resources_freep) struct spec_resources *wanted = parse(json);
	struct error *error = NULL;

	if (message) {
		CHECK_ERROR(plan_update_check(plan, given, wanted, others, &error), &error,
			    message);
		return;
	}
	CHECK_OK(plan_update_check(plan, given, wanted, others, &error), &error);
	plan_update_note(given, wanted);
}

static void check(const struct machine_plan *plan, struct spec_resources *given, const char *json,
		  const char *message)
{
	check_beside(plan, given, 0, json, message);
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

#define MIB (UINT64_C(1) << 20)

/* A machine whose memory can grow by 1 GiB. */
static void test_growth(void)
{
	struct vm_config *config = vm_config_new();
	struct machine_plan plan = { .config = config, .cgroup.room.memory = 1000 * MIB };
	_cleanup_(spec_resources_freep) struct spec_resources *none = parse("{}");

	vm_config_add(config, VM_DEVICE_MEM)->mem.max_mib = 1024;
	CHECK_INT(plan_room_mib(&plan), 1024);
	/* 256 MiB, of which the guest needs 64. */
	CHECK_INT(plan_growth_mib(&plan, 0), 0);
	CHECK_INT(plan_growth_mib(&plan, 192 * MIB), 0);
	CHECK_INT(plan_growth_mib(&plan, 192 * MIB + 1), 2);
	/* A page in 64 describes them. */
	CHECK_INT(plan_growth_mib(&plan, 512 * MIB), 320 + 5 + 1);
	CHECK_INT(plan_growth_mib(&plan, 512 * MIB + 1), 328);
	CHECK_INT(plan_growth_mib(&plan, INT64_MAX), 1024);
	CHECK(plan_memory_suffices(&plan, 1200 * MIB) && !plan_memory_suffices(&plan, 1201 * MIB));
	check(&plan, none, "{\"memory\":{\"limit\":536870912}}", NULL);
	check(&plan, none, "{\"memory\":{\"limit\":1258291200}}", NULL);
	check(&plan, none, "{\"memory\":{\"limit\":1259339776}}",
	      "the machine can have 1280 MiB of memory, and a container 1200 of them at most: it "
	      "cannot have 1259339776 bytes");
	check_beside(&plan, none, 100 * MIB, "{\"memory\":{\"limit\":1153433600}}", NULL);
	check_beside(&plan, none, 100 * MIB, "{\"memory\":{\"limit\":1154482176}}",
		     "and a container 1100 of them at most");
	check_beside(&plan, none, INT64_MAX, "{\"memory\":{\"limit\":9223372036854775807}}",
		     "a container 0 of them");
	/* The cgroup on the host has room for what has come, and no more for what has gone. */
	plan_note_growth(&plan, 256);
	CHECK_INT(plan.cgroup.room.memory, 1257 * MIB);
	plan_note_growth(&plan, 512);
	CHECK_INT(plan.cgroup.room.memory, 1514 * MIB);
	plan_note_growth(&plan, 0);
	CHECK_INT(plan.cgroup.room.memory, 1000 * MIB);
	vm_config_free(config);
}

static void test_quota(void)
{
	const uint32_t n_host = plan_host_cpus();
	struct vm_config config = { .vcpus = 1, .memory_mib = 256 };
	const struct machine_plan plan = { .config = &config };
	_cleanup_(spec_resources_freep) struct spec_resources *none = parse("{}");
	_cleanup_(spec_resources_freep) struct spec_resources *two =
	    parse("{\"cpu\":{\"quota\":200000}}");

	if (n_host < 2)
		test_skip("one processor");
	check(&plan, none, "{\"cpu\":{\"quota\":100000}}", NULL);
	check(&plan, none, "{\"cpu\":{\"quota\":100001}}",
	      "a quota of 100001 us is for 2 CPUs, and the machine has 1 at most");
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
	config.vcpus = n_host;
	check(&plan, none, "{\"cpu\":{\"quota\":90000000}}", NULL);
	/* Some may come. */
	config.vcpus = 1;
	config.max_vcpus = n_host;
	check(&plan, two, "{\"cpu\":{\"quota\":90000000}}", NULL);
}

static void check_used(const char *given, const char *instead, uint64_t thousandths)
{
	_cleanup_(spec_resources_freep) struct spec_resources *has = parse(given);
	_cleanup_(spec_resources_freep) struct spec_resources *gets = parse(instead);

	CHECK_INT(plan_used_cpus(has, gets), thousandths);
	plan_update_note(has, gets);
	CHECK_INT(plan_used_cpus(has, NULL), thousandths);
}

/* What a container may use at once is bounded by its quota and by its cpuset. */
static void test_used(void)
{
	check_used("{}", "{}", 0);
	check_used("{\"cpu\":{\"quota\":-1,\"shares\":2}}", "{}", 0);
	check_used("{\"cpu\":{\"quota\":150000}}", "{}", 1500);
	check_used("{\"cpu\":{\"quota\":1,\"period\":1000000}}", "{}", 1);
	check_used("{\"cpu\":{\"cpus\":\"0-3,7\"}}", "{}", 5000);
	check_used("{\"cpu\":{\"cpus\":\"5\",\"quota\":400000}}", "{}", 1000);
	check_used("{\"cpu\":{\"cpus\":\"5\",\"quota\":400000}}", "{\"cpu\":{\"cpus\":\"5-7\"}}",
		   3000);
	check_used("{\"cpu\":{\"cpus\":\"5\"}}", "{\"cpu\":{\"cpus\":\"\"}}", 1000);
	check_used("{\"cpu\":{\"quota\":100000}}", "{\"cpu\":{\"period\":50000}}", 2000);
	check_used("{\"cpu\":{\"quota\":100000}}", "{\"cpu\":{\"quota\":-1}}", 0);
	check_used("{}", "{\"cpu\":{\"quota\":9223372036854775807}}", VM_VCPUS_MAX * 1000);
}

static uint32_t most(uint32_t set, uint32_t vcpus, enum vm_accel accel)
{
	const struct settings settings = { .max_vcpus = set };
	struct vm_config config = { .vcpus = vcpus, .accel = accel };

	plan_max_vcpus(&settings, &config);
	return config.max_vcpus;
}

/* Those that may come: as many as the host has, but not too many, or as the settings say. */
static void test_to_come(void)
{
	const uint32_t n_host = plan_host_cpus();

	CHECK_INT(most(0, 1, VM_ACCEL_KVM), n_host < 2 ? 0 : n_host < 4 ? n_host : 4);
	CHECK_INT(most(0, 3, VM_ACCEL_KVM), n_host < 4 ? 0 : n_host < 6 ? n_host : 6);
	CHECK_INT(most(0, n_host, VM_ACCEL_KVM), 0);
	CHECK_INT(most(0, 64, VM_ACCEL_KVM), 0);
	CHECK_INT(most(5, 4, VM_ACCEL_KVM), 5);
	CHECK_INT(most(5, 5, VM_ACCEL_KVM), 0);
	CHECK_INT(most(5, 6, VM_ACCEL_KVM), 0);
	CHECK_INT(most(5, 1, VM_ACCEL_TCG), 0);
}

static const struct test_case cases[] = {
	{ "memory", test_memory }, { "growth", test_growth },	{ "quota", test_quota },
	{ "used", test_used },	   { "to come", test_to_come },
};
TEST_MAIN(cases)
