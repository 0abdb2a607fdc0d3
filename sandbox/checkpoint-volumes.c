/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of a checkpointed container: see checkpoint-volumes.h. */
#include "sandbox/checkpoint-volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/clone-file.h"
#include "base/io.h"
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

/* ---- copies ---- */

struct checkpoint_copy {
	pid_t pid;
	int pidfd, errors; /* a pipe: why it failed */
	struct source *source;
	const char *name; /* the plan's */
	checkpoint_copy_fn *function;
	void *data;
};

/* It has nothing of the server's but the two files and what it says. */
static void __attribute__((noreturn)) run_copy(int source_fd, int target_fd, int errors)
{
	enum { FIRST = 3 };
	const int wanted[] = { source_fd, target_fd, errors };
	_cleanup_error_ struct error *error = NULL;
	int fds[ARRAY_SIZE(wanted)];

	child_reset_signals();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		fds[i] = fcntl(wanted[i], F_DUPFD, FIRST + (int)ARRAY_SIZE(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (dup2(fds[i], FIRST + (int)i) < 0)
			_exit(EXIT_FAILURE);
	(void)close_range(FIRST + ARRAY_SIZE(wanted), ~0U, 0);
	if (clone_file(FIRST, FIRST + 1, &error) == 0)
		_exit(EXIT_SUCCESS);
	(void)write_all(FIRST + 2, error->message, strlen(error->message));
	_exit(error->code > 0 && error->code < 256 ? error->code : EIO);
}

void checkpoint_copy_free(struct checkpoint_copy *copy)
{
	if (!copy)
		return;
	source_clear(&copy->source);
	if (copy->pid > 0) {
		(void)pidfd_send_signal(copy->pidfd, SIGKILL, NULL, 0);
		while (waitpid(copy->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close_fdp(&copy->pidfd);
	close_fdp(&copy->errors);
	free(copy);
}

static void copy_ended(void *data, uint32_t events)
{
	struct checkpoint_copy *copy = data;
	checkpoint_copy_fn *function = copy->function;
	void *function_data = copy->data;
	_cleanup_error_ struct error *error = NULL;
	char text[512] = "";
	int status = 0;

	(void)events;
	while (waitpid(copy->pid, &status, 0) < 0 && errno == EINTR)
		;
	copy->pid = 0;
	(void)!read(copy->errors, text, sizeof(text) - 1);
	if (status != 0)
		(void)error_set(&error, WIFEXITED(status) ? WEXITSTATUS(status) : EIO,
				"cannot copy the volume %s: %s", copy->name,
				text[0] ? text : "the process that copied it was killed");
	checkpoint_copy_free(copy);
	function(function_data, error);
}

static int watch(struct checkpoint_copy *copy, struct loop *loop, struct error **ret_error)
{
	copy->pidfd = pidfd_open(copy->pid, 0);
	if (copy->pidfd < 0)
		return error_set_errno(ret_error, errno, "cannot watch a process: pidfd_open");
	return loop_add_io(loop, copy->pidfd, EPOLLIN, "copy of a volume", copy_ended, copy,
			   &copy->source, ret_error);
}

int checkpoint_copy_start(const struct sandbox *sandbox, size_t i, int target_fd,
			  checkpoint_copy_fn *function, void *data,
			  struct checkpoint_copy **ret_copy, struct error **ret_error)
{
	const struct machine_plan *plan = sandbox->plan;
	struct checkpoint_copy *copy;
	struct stat st;
	_cleanup_close_ int source_fd =
	    open_volume(plan, i, vmm_volume(sandbox->vmm, i), &st, ret_error);

	if (source_fd < 0)
		return -1;
	copy = xcalloc(1, sizeof(*copy));
	*copy = (struct checkpoint_copy){ .pidfd = -1,
					  .errors = -1,
					  .name = plan->volumes[i].volume.source,
					  .function = function,
					  .data = data };
	copy->pid = child_fork(&copy->errors, ret_error);
	if (copy->pid == 0)
		run_copy(source_fd, target_fd, copy->errors);
	if (copy->pid > 0 && watch(copy, sandbox->loop, ret_error) == 0) {
		*ret_copy = copy;
		return 0;
	}
	if (copy->pid > 0)
		(void)kill(copy->pid, SIGKILL);
	checkpoint_copy_free(copy);
	return -1;
}
