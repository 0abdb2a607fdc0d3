/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUs, by sysfs: see processors.h.
 *
 * The directory of a CPU that comes is made by a kernel thread: nothing tells of it, so it is
 * looked for until it is there.  Writing to its "online" lasts until the CPU runs, some
 * milliseconds, or until Linux gives it up.
 */
#include "agent/processors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/calls.h"
#include "agent/container.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/agent.pb-c.h"

#define LOOK_MS 2
#define LOOKS_MAX 5000

struct processors {
	struct agent *agent;
	uint32_t count; /* that are wanted */
	unsigned looks;
	struct source *timer; /* one of them is still to come */
	struct calls waiting;
};

struct processors *processors_new(struct agent *agent)
{
	struct processors *processors = xcalloc(1, sizeof(*processors));

	processors->agent = agent;
	return processors;
}

void processors_forget(struct processors *processors)
{
	source_clear(&processors->timer);
	calls_fail(&processors->waiting, TTRPC_UNAVAILABLE, "the connection has ended");
}

void processors_free(struct processors *processors)
{
	if (!processors)
		return;
	processors_forget(processors);
	free(processors);
}

static char *path_of(const struct processors *processors, uint32_t index)
{
	return xasprintf("%s/cpu%u/online", processors->agent->config.cpu_dir, index);
}

/* ENOENT: the CPU is not there. */
static int is_online(const struct processors *processors, uint32_t index, bool *ret_online,
		     struct error **ret_error)
{
	_cleanup_free_ char *path = path_of(processors, index);
	_cleanup_free_ char *text = NULL;

	if (read_file(path, 16, &text, NULL, ret_error) < 0)
		return -1;
	*ret_online = text[0] == '1';
	return 0;
}

static int set_online(const struct processors *processors, uint32_t index, bool online,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = path_of(processors, index);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, online ? "1" : "0", 1) != 1)
		return error_set_errno(ret_error, errno, "cannot bring CPU %u %s", index,
				       online ? "online" : "offline");
	return 0;
}

/* Those that are wanted.  1: one is still to come. */
static int bring_online(const struct processors *processors, struct error **ret_error)
{
	/* (The first one cannot go.) */
	for (uint32_t i = 1; i < processors->count; i++) {
		_cleanup_error_ struct error *error = NULL;
		bool online;

		if (is_online(processors, i, &online, &error) < 0)
			return 1;
		if (!online && set_online(processors, i, true, ret_error) < 0)
			return -1;
	}
	return 0;
}

static void take_offline(const struct processors *processors)
{
	bool online;

	for (uint32_t i = processors->count; i > 0 && is_online(processors, i, &online, NULL) == 0;
	     i++) {
		_cleanup_error_ struct error *error = NULL;

		if (online && set_online(processors, i, false, &error) < 0)
			log_warning("%s", error->message);
	}
}

/* A limit of the container's on CPUs is what it was; only their numbers change. */
static void map_cpusets(const struct processors *processors)
{
	for (struct agent_container *c = processors->agent->containers; c; c = c->next) {
		_cleanup_error_ struct error *error = NULL;

		if (!c->removing && cgroup_renew_cpuset(c->cgroup, c->cpuset, &error) < 0)
			log_warning("container %s: %s", c->id, error->message);
	}
}

static void look(void *data)
{
	const Agent__Empty empty = AGENT__EMPTY__INIT;
	_cleanup_error_ struct error *error = NULL;
	struct processors *processors = data;
	int r = bring_online(processors, &error);

	processors->timer = NULL;
	if (r > 0 && ++processors->looks < LOOKS_MAX) {
		processors->timer = loop_add_timer(processors->agent->loop, LOOK_MS, "processors",
						   look, processors);
		return;
	}
	take_offline(processors);
	map_cpusets(processors);
	if (r == 0)
		calls_reply(&processors->waiting, &empty.base);
	else
		calls_fail(&processors->waiting, TTRPC_UNAVAILABLE,
			   r < 0 ? error->message : "the guest's kernel does not see its new CPUs");
}

void processors_set(struct processors *processors, uint32_t count, struct ttrpc_call *call)
{
	source_clear(&processors->timer);
	processors->count = count;
	processors->looks = 0;
	calls_add(&processors->waiting, call);
	look(processors);
}
