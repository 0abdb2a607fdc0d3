/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine from the pool instead of one that is started.
 *
 * It waits, paused and jailed, with an agent that has dialled and was told nothing.  Taking it is
 * to give it what it could not have before it was known for whom:
 *
 *   cgroup		it is moved there, with all of its threads
 *   files		are mounted in its staging area, as those of a pod's later container
 *   network, process	another process stands for the container there (stand-in.h): a VMM without
 *			privileges cannot enter a namespace, and needs only the taps' descriptors
 *   sockets, log	are renamed into the sandbox's directory, which it enters
 *   devices		of the network are plugged
 *
 * and to resume it.  Then the agent hears Hello, as on any machine: clock, random numbers, name.
 * Whatever fails until the agent has answered, another machine is started in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "host/pool.h"
#include "sandbox/vmm-parts.h"

#define SCORE_MAX 16

/* What it has is renamed. */
static bool is_beside_pool(int dir_fd)
{
	_cleanup_free_ char *pool = pool_directory();
	struct stat mine, its;

	return fstat(dir_fd, &mine) == 0 && stat(pool, &its) == 0 && mine.st_dev == its.st_dev;
}

static int take_files(const struct vmm *vmm, const struct pool_machine *machine,
		      struct error **ret_error)
{
	static const char *const names[] = { VMM_LOG, PLAN_VSOCK_PATH };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (renameat(machine->directory, names[i], vmm->dir_fd, names[i]) < 0)
			return error_set_errno(ret_error, errno, "cannot move its %s to %s",
					       names[i], vmm->directory);
	return 0;
}

/* As that of a process of ours would be. */
static int take_oom_score(pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/oom_score_adj", (int)pid);
	_cleanup_free_ char *score = NULL;

	if (read_file("/proc/self/oom_score_adj", SCORE_MAX, &score, NULL, ret_error) < 0)
		return -1;
	return write_file(path, score, ret_error);
}

/* Of those that are adopted with it none may be refused: control_answer() in vmm.c. */
static int tell(struct vmm *vmm, const char *line, const int *fds, size_t n_fds,
		struct error **ret_error)
{
	const ssize_t size = (ssize_t)strlen(line);

	if (send_with_fds(vmm->control, line, (size_t)size, fds, n_fds) != size)
		return error_set(ret_error, EPIPE, "its VMM does not listen");
	vmm->n_adopting++;
	return 0;
}

static int enter_directory(struct vmm *vmm, struct error **ret_error)
{
	_cleanup_close_ int fd = vmm_open_directory(vmm->directory, ret_error);

	return fd < 0 ? -1 : tell(vmm, "{\"op\":\"enter\"}\n", &fd, 1, ret_error);
}

/* The device's descriptors, by their places in fds. */
struct plug {
	struct vm_device device;
	int fds[VM_DEVICE_FDS_MAX];
	size_t n_fds;
};

static int plug_fd(struct plug *plug, int fd)
{
	plug->fds[plug->n_fds] = fd;
	return (int)plug->n_fds++;
}

static void plug_queues(struct plug *plug, int *first, struct vm_fd_list *more, const int *queues,
			size_t n)
{
	*first = plug_fd(plug, queues[0]);
	for (more->n = 0; more->n < n - 1; more->n++)
		more->fds[more->n] = plug_fd(plug, queues[more->n + 1]);
}

static int plug(struct vmm *vmm, const struct vm_device *planned, size_t slot, int passt_fd,
		struct error **ret_error)
{
	const struct network_place *place = &vmm->place;
	struct plug plug = { .device = *planned };
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *text = NULL, *line = NULL;

	if (passt_fd >= 0)
		plug.device.net.fd = plug_fd(&plug, passt_fd);
	else if (slot < place->n_taps)
		plug_queues(&plug, &plug.device.net.fd, &plug.device.net.more, place->tap_fds[slot],
			    place->n_queues);
	if (passt_fd < 0 && slot < place->n_vhosts)
		plug_queues(&plug, &plug.device.net.vhost_fd, &plug.device.net.more_vhosts,
			    place->vhost_fds[slot], place->n_queues);
	json_begin_object(writer);
	json_put_string(writer, "op", "plug");
	json_put_key(writer, "device");
	vm_device_write(writer, &plug.device);
	json_end_object(writer);
	text = json_writer_finish(writer, NULL);
	line = xasprintf("%s\n", text);
	return tell(vmm, line, plug.fds, plug.n_fds, ret_error);
}

/* The document's order, in which the other devices are there. */
static int plug_network(struct vmm *vmm, const struct vm_config *config, int passt_fd,
			struct error **ret_error)
{
	size_t slot = 0;

	for (size_t i = 0; i < config->n_devices && slot < NETWORK_TAPS_MAX; i++) {
		if (config->devices[i].type != VM_DEVICE_NET)
			continue;
		if (plug(vmm, &config->devices[i], slot, passt_fd, ret_error) < 0)
			return -1;
		vmm->net_devices[slot++] = i;
	}
	return 0;
}

static int equip(struct vmm *vmm, const struct machine_plan *plan, int passt_fd,
		 struct error **ret_error)
{
	const struct stand_in_setup setup = { .cgroup = vmm->cgroup.place,
					      .netns_fd = vmm->place.ns_fd,
					      .stage = &plan->stage,
					      .vmm = vmm->process.pid,
					      .stage_fd = vmm->process.stage_fd };

	if (take_oom_score(vmm->process.pid, ret_error) < 0 ||
	    cgroup_place_move(vmm->cgroup.place, vmm->process.pid, ret_error) < 0 ||
	    stand_in_start(&setup, &vmm->stand_in, ret_error) < 0 ||
	    enter_directory(vmm, ret_error) < 0 ||
	    plug_network(vmm, plan->config, passt_fd, ret_error) < 0)
		return -1;
	return tell(vmm, "{\"op\":\"resume\"}\n", NULL, 0, ret_error);
}

static void give_up(struct vmm *vmm)
{
	stand_in_done(&vmm->stand_in);
	(void)pidfd_send_signal(vmm->process.pidfd, SIGKILL, NULL, 0);
	close_fdp(&vmm->process.pidfd);
	close_fdp(&vmm->process.stage_fd);
	close_fdp(&vmm->control);
	close_fdp(&vmm->agent_fd);
	vmm->process = (struct vmm_process){ .pidfd = -1, .stage_fd = -1 };
	vmm->control = vmm->agent_fd = -1;
	vmm->n_adopting = 0;
}

bool vmm_adopt(struct vmm *vmm, const struct vmm_setup *setup, int passt_fd)
{
	_cleanup_free_ char *kind =
	    setup->pool ? plan_pool_kind(setup->plan, setup->program) : NULL;
	_cleanup_(pool_machine_done) struct pool_machine machine = POOL_MACHINE_NONE;
	_cleanup_error_ struct error *error = NULL;

	/* Without a cgroup of the sandbox's own it would stay in the pool's. */
	if (!kind || vmm->cgroup.place->n_directories == 0 || !is_beside_pool(vmm->dir_fd))
		return false;
	if (pool_take(kind, &machine, &error) < 0) {
		log_debug("no machine is taken from the pool: %s", error->message);
		return false;
	}
	vmm->process = (struct vmm_process){ .pid = machine.pid,
					     .pidfd = TAKE_FD(machine.pidfd),
					     .stage_fd = TAKE_FD(machine.stage) };
	vmm->control = TAKE_FD(machine.control);
	vmm->agent_fd = TAKE_FD(machine.agent);
	if (take_files(vmm, &machine, &error) == 0 &&
	    equip(vmm, setup->plan, passt_fd, &error) == 0)
		return true;
	log_warning("a machine of the pool cannot be used: %s", error->message);
	give_up(vmm);
	return false;
}
