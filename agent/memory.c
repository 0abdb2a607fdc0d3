/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that comes and goes: see memory.h.
 *
 * The device is in the last slot (vmm/device.h), which nobody looks into at a start; its driver is
 * a module that is not loaded there either, unless the kernel has it built in.
 *
 * New memory is the kernel's own as long as there is little of it, so that what the kernel needs
 * for the rest (a page in 64 for its description) finds a place; three quarters of all are for
 * programs and files alone (ZONE_MOVABLE), and can be given back.  Linux calls that policy
 * auto-movable.
 */
#include "agent/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/boot.h"
#include "agent/template.h"
#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/agent.pb-c.h"

#define DRIVER "virtio_mem"
#define DRIVER_DIR "/sys/bus/virtio/drivers/" DRIVER
#define MEMINFO "/proc/meminfo"
#define MEMINFO_MAX 16384
#define LOOK_FIRST_MS 1
#define LOOK_LAST_MS 64
/* Without any progress.  What the driver cannot take back now it tries again much later. */
#define GROW_PATIENCE_NS UINT64_C(10000000000)
#define SHRINK_PATIENCE_NS UINT64_C(1000000000)

static uint64_t kib_at_start;

struct memory_wait {
	struct agent *agent;
	struct memory_wait *next;
	struct ttrpc_call *call;
	struct source *timer;
	uint64_t wanted_kib, grown_kib; /* more than at the start */
	uint64_t pause_ms, progress_ns;
};

static uint64_t read_total_kib(void)
{
	static const char key[] = "MemTotal:";
	_cleanup_free_ char *text = NULL;
	const char *at;

	if (read_file(MEMINFO, MEMINFO_MAX, &text, NULL, NULL) < 0)
		return 0;
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

void memory_note(void)
{
	kib_at_start = read_total_kib();
}

static uint64_t grown_kib(void)
{
	const uint64_t total = read_total_kib();

	return total > kib_at_start ? total - kib_at_start : 0;
}

/* ---- the driver ---- */

/* A kernel that has no such policy decides by itself. */
static void set_policy(void)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		{ "/sys/module/memory_hotplug/parameters/online_policy", "auto-movable" },
		{ "/sys/devices/system/memory/auto_online_blocks", "online" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		_cleanup_error_ struct error *error = NULL;

		if (write_file(settings[i].path, settings[i].value, &error) < 0)
			log_info("%s", error->message);
	}
}

static int start_driver(struct error **ret_error)
{
	set_policy();
	boot_load_module(DRIVER);
	if (access(DRIVER_DIR, F_OK) < 0)
		return error_set(ret_error, ENOTSUP,
				 "the guest's kernel has no driver for memory that grows "
				 "(CONFIG_VIRTIO_MEM)");
	template_bind_last();
	return 0;
}

/* ---- waiting ---- */

static void forget(struct memory_wait *wait)
{
	struct memory_wait **at = &wait->agent->memory;

	while (*at != wait)
		at = &(*at)->next;
	*at = wait->next;
	source_remove(wait->timer);
	free(wait);
}

static void finish(struct memory_wait *wait)
{
	Agent__MemoryResponse response = AGENT__MEMORY_RESPONSE__INIT;

	response.mib = wait->grown_kib / 1024;
	ttrpc_call_reply(wait->call, &response.base);
	forget(wait);
}

static bool is_over(const struct memory_wait *wait)
{
	const bool grows = wait->grown_kib < wait->wanted_kib;

	return wait->grown_kib == wait->wanted_kib ||
	       clock_monotonic_ns() - wait->progress_ns >
		   (grows ? GROW_PATIENCE_NS : SHRINK_PATIENCE_NS);
}

static void look(void *data)
{
	struct memory_wait *wait = data;
	const uint64_t before = wait->grown_kib;

	wait->timer = NULL;
	wait->grown_kib = grown_kib();
	if (wait->grown_kib != before)
		wait->progress_ns = clock_monotonic_ns();
	if (is_over(wait)) {
		finish(wait);
		return;
	}
	wait->pause_ms = MIN(2 * wait->pause_ms, (uint64_t)LOOK_LAST_MS);
	wait->timer = loop_add_timer(wait->agent->loop, wait->pause_ms, "memory", look, wait);
}

void memory_await(struct agent *agent, uint64_t mib, struct ttrpc_call *call)
{
	_cleanup_error_ struct error *error = NULL;
	struct memory_wait *wait;

	if (mib > UINT32_MAX) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "%" PRIu64 " MiB are too much", mib);
		return;
	}
	if (start_driver(&error) < 0) {
		ttrpc_call_fail_error(call, error);
		return;
	}
	wait = xcalloc(1, sizeof(*wait));
	wait->agent = agent;
	wait->call = call;
	wait->wanted_kib = mib * 1024;
	wait->grown_kib = grown_kib();
	wait->progress_ns = clock_monotonic_ns();
	wait->pause_ms = LOOK_FIRST_MS;
	wait->next = agent->memory;
	agent->memory = wait;
	look(wait);
}

void memory_give_up(struct agent *agent)
{
	while (agent->memory) {
		ttrpc_call_fail(agent->memory->call, TTRPC_UNAVAILABLE, "the connection has ended");
		forget(agent->memory);
	}
}
