/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of a checkpointed container: see checkpoint-volumes.h. */
#include "sandbox/checkpoint-volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "host/beneath.h"
#include "sandbox/checkpoint-layers.h"
#include "sandbox/sandbox.h"

/* ---- what they are ---- */

/* file: the one that it must be; NULL: any. */
static int open_volume(const struct machine_plan *plan, size_t i, const struct vmm_file *file,
		       struct stat *ret_stat, struct error **ret_error)
{
	const struct plan_volume *volume = &plan->volumes[i];
	_cleanup_close_ int fd =
	    beneath_open(machine_plan_within(plan, volume), volume->volume.source,
			 O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);

	if (fd < 0 || fstat(fd, ret_stat) < 0)
		return error_set_errno(ret_error, errno, "cannot open the volume %s",
				       volume->volume.source);
	if (file && (ret_stat->st_dev != file->device || ret_stat->st_ino != file->inode))
		return error_set(ret_error, ESTALE,
				 "the volume %s is another file than the container has open",
				 volume->volume.source);
	return TAKE_FD(fd);
}

int checkpoint_volumes_check(const struct sandbox *sandbox, struct error **ret_error)
{
	const struct machine_plan *plan = sandbox->plan;

	for (size_t i = 0; i < plan->n_volumes; i++) {
		struct stat st;
		_cleanup_close_ int fd =
		    open_volume(plan, i, vmm_volume(sandbox->vmm, i), &st, ret_error);

		if (fd < 0)
			return -1;
		if (!plan->volumes[i].volume.readonly && !S_ISREG(st.st_mode))
			return error_set(ret_error, ENOTSUP,
					 "a container that writes to a block device (%s) cannot be "
					 "checkpointed: of a file a copy is kept, of a device not",
					 plan->volumes[i].volume.source);
	}
	return 0;
}

/* At the moment. */
static int identify(const struct machine_plan *plan, size_t i, const struct vmm_file *file,
		    struct checkpoint_volume *ret_volume, struct error **ret_error)
{
	const bool readonly = plan->volumes[i].volume.readonly;
	struct stat st;
	_cleanup_close_ int fd = open_volume(plan, i, file, &st, ret_error);

	if (fd < 0)
		return -1;
	*ret_volume =
	    (struct checkpoint_volume){ .readonly = readonly,
					.size = (uint64_t)st.st_size,
					.mtime = readonly ? 0 : timespec_ns(&st.st_mtim) };
	if (readonly && checkpoint_image_identify(fd, &ret_volume->size, &ret_volume->head) < 0)
		return error_set_errno(ret_error, errno, "cannot read the volume %s",
				       plan->volumes[i].volume.source);
	return 0;
}

int checkpoint_volumes_note(const struct sandbox *sandbox, struct checkpoint_manifest *manifest,
			    struct error **ret_error)
{
	for (size_t i = 0; i < sandbox->plan->n_volumes; i++)
		if (identify(sandbox->plan, i, vmm_volume(sandbox->vmm, i),
			     &manifest->volumes[manifest->n_volumes++], ret_error) < 0)
			return -1;
	return 0;
}

int checkpoint_volumes_compare(const struct checkpoint_manifest *manifest,
			       const struct machine_plan *plan, struct error **ret_error)
{
	if (plan->n_volumes != manifest->n_volumes)
		return error_set(ret_error, EINVAL, "volumes: there are %zu, and were %zu",
				 plan->n_volumes, manifest->n_volumes);
	for (size_t i = 0; i < plan->n_volumes; i++) {
		const struct checkpoint_volume *saved = &manifest->volumes[i];
		const struct volume *volume = &plan->volumes[i].volume;
		struct checkpoint_volume found;

		if (volume->readonly != saved->readonly)
			return error_set(ret_error, EINVAL, "the volume %s is %s, and was %s",
					 volume->source,
					 volume->readonly ? "read-only" : "written to",
					 saved->readonly ? "read-only" : "written to");
		if (!volume->readonly)
			continue;
		if (identify(plan, i, NULL, &found, ret_error) < 0)
			return -1;
		if (found.size != saved->size || found.head != saved->head)
			return error_set(ret_error, EINVAL,
					 "the volume %s is not the one that the container had",
					 volume->source);
	}
	return 0;
}

int checkpoint_volumes_copy(const struct sandbox *sandbox, size_t i, int target_fd,
			    checkpoint_copy_fn *function, void *data,
			    struct checkpoint_copy **ret_copy, struct error **ret_error)
{
	const struct machine_plan *plan = sandbox->plan;
	struct stat st;
	_cleanup_close_ int source_fd =
	    open_volume(plan, i, vmm_volume(sandbox->vmm, i), &st, ret_error);

	if (source_fd < 0)
		return -1;
	return checkpoint_copy_file(sandbox->loop, plan->volumes[i].volume.source, source_fd,
				    target_fd, function, data, ret_copy, ret_error);
}
