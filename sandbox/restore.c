/* SPDX-License-Identifier: Apache-2.0 */
/* Making a container of a checkpoint: see restore.h. */
#include "sandbox/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "runtime-spec/machine-options.h"
#include "sandbox/checkpoint-volumes.h"
#include "sandbox/sandbox.h"

void restore_close_disks(struct restore *restore)
{
	for (size_t i = 0; i < PLAN_VOLUMES_MAX; i++) {
		close_fdp(&restore->volumes[i].fd);
		restore->volumes[i].fd = -1;
	}
}

/* They are nobody's: the container was not made. */
static void drop_execs(struct restore *restore)
{
	while (restore->execs) {
		struct task *task = restore->execs;

		restore->execs = task->next;
		task->container = NULL;
		task_unref(task);
	}
}

void restore_free(struct restore *restore)
{
	if (!restore)
		return;
	checkpoint_manifest_free(restore->manifest);
	close_fdp(&restore->state_fd);
	checkpoint_memory_close(&restore->memory);
	restore_close_disks(restore);
	drop_execs(restore);
	checkpoint_stats_done(&restore->stats);
	free(restore);
}

static int open_disks(struct restore *restore, int dir_fd, const char *path,
		      struct error **ret_error)
{
	for (size_t i = 0; i < restore->manifest->n_volumes; i++) {
		const struct checkpoint_volume *saved = &restore->manifest->volumes[i];
		struct volume_past *past = &restore->volumes[i];
		_cleanup_free_ char *name = xasprintf(MANIFEST_DISK, i);
		struct stat st;

		if (saved->readonly)
			continue;
		if (checkpoint_open_part(dir_fd, path, name, &past->fd, ret_error) < 0)
			return -1;
		if (fstat(past->fd, &st) < 0 || (uint64_t)st.st_size != saved->size)
			return error_set(ret_error, EINVAL, "%s/%s has not the size of the volume",
					 path, name);
		past->size = saved->size;
		past->mtime = saved->mtime;
	}
	return 0;
}

static int open_parts(struct restore *restore, int dir_fd, const char *path,
		      struct error **ret_error)
{
	if (checkpoint_open_manifest(dir_fd, path, &restore->manifest, ret_error) < 0)
		return -1;
	if (restore->manifest->memory_only)
		return error_set(ret_error, EINVAL,
				 "%s has memory alone (--pre-dump): it can be the parent of a "
				 "checkpoint, and not be restored",
				 path);
	if (checkpoint_open_part(dir_fd, path, MANIFEST_STATE, &restore->state_fd, ret_error) < 0 ||
	    checkpoint_memory_open(dir_fd, path, restore->manifest, -1, &restore->memory,
				   ret_error) < 0)
		return -1;
	return open_disks(restore, dir_fd, path, ret_error);
}

int restore_open(const char *path, const char *work_path, struct restore **ret_restore,
		 struct error **ret_error)
{
	_cleanup_(restore_freep) struct restore *restore = xcalloc(1, sizeof(*restore));
	_cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	restore->state_fd = restore->stats.work_fd = -1;
	for (size_t i = 0; i < PLAN_VOLUMES_MAX; i++)
		restore->volumes[i].fd = -1;
	if (dir_fd < 0)
		return error_set_errno(ret_error, errno, "the image path %s", path);
	if (open_parts(restore, dir_fd, path, ret_error) < 0 ||
	    checkpoint_stats_begin(work_path, &restore->stats, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < restore->memory.n; i++)
		restore->n_pages += checkpoint_stats_pages(restore->memory.fds[i]);
	*ret_restore = TAKE_PTR(restore);
	return 0;
}

/* Who asks for a network says all of it. */
static void choose_network(const struct checkpoint_manifest *manifest,
			   const Sandbox__CreateOptions *asked, Sandbox__CreateOptions *ret_options)
{
	const bool is_asked = asked && asked->network[0];

	ret_options->network = is_asked ? asked->network : manifest->network;
	if (asked && (is_asked || asked->n_publish > 0)) {
		ret_options->publish = asked->publish;
		ret_options->n_publish = asked->n_publish;
	} else if (!asked || !asked->unpublished) {
		ret_options->publish = manifest->publish;
		ret_options->n_publish = strv_length(manifest->publish);
	}
}

void restore_options(const struct restore *restore, const Sandbox__CreateOptions *asked,
		     Sandbox__CreateOptions *ret_options)
{
	const struct checkpoint_manifest *manifest = restore->manifest;

	sandbox__create_options__init(ret_options);
	if (asked) {
		ret_options->accel = asked->accel;
		ret_options->terminal_owner = asked->terminal_owner;
	}
	choose_network(manifest, asked, ret_options);
	ret_options->kernel = manifest->kernel;
	ret_options->vcpus = manifest->vcpus;
	ret_options->memory_mib = manifest->memory_mib;
	ret_options->root = (char *)(manifest->n_layers > 0 ? ROOTFS_LAYER : ROOTFS_SHARE);
}

int restore_machine(struct restore *restore, const struct spec *spec, struct machine_plan *plan,
		    struct error **ret_error)
{
	if (plan->config->accel != VM_ACCEL_KVM)
		return error_set(ret_error, ENOTSUP,
				 "a checkpoint is restored by KVM, and this machine would be "
				 "emulated");
	if (checkpoint_volumes_compare(restore->manifest, plan, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < plan->n_volumes; i++)
		if (!plan->volumes[i].volume.readonly)
			plan->volumes[i].volume.past = &restore->volumes[i];
	plan->config->vcpus = restore->manifest->vcpus_now;
	plan->config->max_vcpus = restore->manifest->max_vcpus;
	plan_set_room(plan, restore->manifest->room_mib);
	plan_note_growth(plan, restore->manifest->grown_mib);
	if (plan_cgroup_fit(spec, plan, ret_error) < 0)
		return -1;
	plan->state_fd = TAKE_FD(restore->state_fd);
	plan->n_ram = restore->memory.n;
	(void)memcpy(plan->ram_fds, restore->memory.fds, sizeof(restore->memory.fds));
	restore->memory.n = 0;
	free(plan->config->templates);
	plan->config->templates = NULL;
	return 0;
}
