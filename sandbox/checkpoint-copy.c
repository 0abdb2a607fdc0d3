/* SPDX-License-Identifier: Apache-2.0 */
/* Copies by a process of their own: see checkpoint-copy.h. */
#include "sandbox/checkpoint-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/clone-file.h"
#include "base/io.h"

struct checkpoint_copy {
	pid_t pid;
	int pidfd, errors; /* a pipe: why it failed */
	struct source *source;
	const char *name; /* the caller's */
	checkpoint_copy_fn *function;
	void *data;
};

/* ---- the process ---- */

/* It has nothing of the server's but these, from descriptor `first` on. */
static void keep_only(const int *fds, int first, size_t n)
{
	int moved[4];

	child_reset_signals();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < n; i++)
		moved[i] = fcntl(fds[i], F_DUPFD, first + (int)n);
	for (size_t i = 0; i < n; i++)
		if (dup2(moved[i], first + (int)i) < 0)
			_exit(EXIT_FAILURE);
	(void)close_range((unsigned)first + (unsigned)n, ~0U, 0);
}

static void __attribute__((noreturn)) run_file(int source_fd, int target_fd, int errors)
{
	enum { FIRST = 3 };
	_cleanup_error_ struct error *error = NULL;

	keep_only((const int[]){ source_fd, target_fd, errors }, FIRST, 3);
	if (clone_file(FIRST, FIRST + 1, &error) == 0)
		_exit(EXIT_SUCCESS);
	(void)write_all(FIRST + 2, error->message, strlen(error->message));
	_exit(error->code > 0 && error->code < 256 ? error->code : EIO);
}

/* A clone of its mounts.  Those who write to it meanwhile, other machines among them, may put a
 * link where a directory was: cp goes by paths, and would follow it to any file of the host. */
static int open_without_links(const char *source, struct error **ret_error)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSYMFOLLOW | MOUNT_ATTR_NODEV |
					       MOUNT_ATTR_RDONLY };
	_cleanup_close_ int fd =
	    open_tree(AT_FDCWD, source,
		      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return error_set_errno(ret_error, errno, "no mount of it without links");
	return TAKE_FD(fd);
}

/* cp(1): there is nothing about a tree that it does not know. */
static void __attribute__((noreturn)) run_tree(const char *source, const char *target, int errors)
{
	static const char tree[] = "/proc/self/fd/3", missing[] = "cannot run cp";
	const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_error_ struct error *error = NULL;
	const int fd = open_without_links(source, &error);

	if (fd < 0) {
		(void)write_all(errors, error->message, strlen(error->message));
		_exit(EXIT_FAILURE);
	}
	if (null_fd < 0)
		_exit(EXIT_FAILURE);
	keep_only((const int[]){ null_fd, null_fd, errors, fd }, STDIN_FILENO, 4);
	(void)umask(0);
	/* -H: of its arguments, the link in /proc is what it leads to. */
	(void)execlp("cp", "cp", "-a", "-H", "--reflink=auto", "-x", "-T", "--", tree, target,
		     (char *)NULL);
	(void)write_all(STDERR_FILENO, missing, strlen(missing));
	_exit(EXIT_FAILURE);
}

/* ---- its parent ---- */

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
	text[strcspn(text, "\n")] = '\0';
	if (status != 0)
		(void)error_set(&error, WIFEXITED(status) ? WEXITSTATUS(status) : EIO,
				"cannot copy %s: %s", copy->name,
				text[0] ? text : "the process that copied it was killed");
	checkpoint_copy_free(copy);
	function(function_data, error);
}

static int watch(struct checkpoint_copy *copy, struct loop *loop, struct error **ret_error)
{
	copy->pidfd = pidfd_open(copy->pid, 0);
	if (copy->pidfd < 0)
		return error_set_errno(ret_error, errno, "cannot watch a process: pidfd_open");
	return loop_add_io(loop, copy->pidfd, EPOLLIN, "copy", copy_ended, copy, &copy->source,
			   ret_error);
}

static struct checkpoint_copy *copy_new(const char *name, checkpoint_copy_fn *function, void *data)
{
	struct checkpoint_copy *copy = xcalloc(1, sizeof(*copy));

	*copy = (struct checkpoint_copy){
		.pidfd = -1, .errors = -1, .name = name, .function = function, .data = data
	};
	return copy;
}

/* Its process has been forked, or not. */
static int begin(struct checkpoint_copy *copy, struct loop *loop, struct checkpoint_copy **ret_copy,
		 struct error **ret_error)
{
	if (copy->pid > 0 && watch(copy, loop, ret_error) == 0) {
		*ret_copy = copy;
		return 0;
	}
	if (copy->pid > 0)
		(void)kill(copy->pid, SIGKILL);
	checkpoint_copy_free(copy);
	return -1;
}

int checkpoint_copy_file(struct loop *loop, const char *name, int source_fd, int target_fd,
			 checkpoint_copy_fn *function, void *data,
			 struct checkpoint_copy **ret_copy, struct error **ret_error)
{
	struct checkpoint_copy *copy = copy_new(name, function, data);

	copy->pid = child_fork(&copy->errors, ret_error);
	if (copy->pid == 0)
		run_file(source_fd, target_fd, copy->errors);
	return begin(copy, loop, ret_copy, ret_error);
}

int checkpoint_copy_tree(struct loop *loop, const char *source, const char *target,
			 checkpoint_copy_fn *function, void *data,
			 struct checkpoint_copy **ret_copy, struct error **ret_error)
{
	struct checkpoint_copy *copy;
	struct stat st;

	/* (cp would write into it.) */
	if (lstat(target, &st) == 0)
		return error_set_errno(ret_error, EEXIST, "cannot copy %s to %s", source, target);
	copy = copy_new(source, function, data);
	copy->pid = child_fork(&copy->errors, ret_error);
	if (copy->pid == 0)
		run_tree(source, target, copy->errors);
	return begin(copy, loop, ret_copy, ret_error);
}
