/* SPDX-License-Identifier: Apache-2.0 */
/* OOM kills of a container, by its memory.events: see container.h. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/container.h"
#include "base/io.h"
#include "base/log.h"

uint64_t oom_count(const struct agent_container *container)
{
	_cleanup_free_ char *text =
	    container->cgroup ? cgroup_read(container->cgroup, "memory.events") : NULL;

	return text ? cgroup_key(text, "oom_kill") : 0;
}

void oom_check(struct agent_container *container)
{
	Agent__OomResponse response = AGENT__OOM_RESPONSE__INIT;

	response.count = oom_count(container);
	if (response.count <= container->oom_count)
		return;
	container->oom_count = response.count;
	calls_reply(&container->oom_waiters, &response.base);
}

static void on_event(void *data, uint32_t events)
{
	struct agent_container *container = data;
	char byte[1024];

	(void)events;
	/* Reading this descriptor is what takes its event back (kernfs). */
	if (lseek(container->oom_fd, 0, SEEK_SET) < 0 ||
	    read(container->oom_fd, byte, sizeof(byte)) < 0) {
		oom_unwatch(container);
		return;
	}
	oom_check(container);
}

void oom_watch(struct agent_container *container)
{
	_cleanup_error_ struct error *error = NULL;
	char byte[1024];

	container->oom_fd = openat(container->cgroup->fd, "memory.events", O_RDONLY | O_CLOEXEC);
	if (container->oom_fd < 0)
		return; /* no memory controller: nothing is killed by it */
	(void)!read(container->oom_fd, byte, sizeof(byte));
	container->oom_count = oom_count(container);
	if (loop_add_io(container->agent->loop, container->oom_fd, EPOLLPRI, "memory.events",
			on_event, container, &container->oom_source, &error) < 0)
		log_warning("%s: %s", container->id, error->message);
}

void oom_wait(struct agent_container *container, uint64_t seen, struct ttrpc_call *call)
{
	Agent__OomResponse response = AGENT__OOM_RESPONSE__INIT;

	response.count = container->oom_count;
	if (container->oom_count > seen)
		ttrpc_call_reply(call, &response.base);
	else
		calls_add(&container->oom_waiters, call);
}

void oom_unwatch(struct agent_container *container)
{
	source_clear(&container->oom_source);
	close_fdp(&container->oom_fd);
	container->oom_fd = -1;
}
