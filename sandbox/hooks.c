/* SPDX-License-Identifier: Apache-2.0 */
/* Running hooks: see hooks.h. */
#include "sandbox/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/child.h"
#include "base/io.h"
#include "base/log.h"

/* What of each output a message quotes; the rest is read and dropped. */
#define HOOK_OUTPUT_MAX 4096

struct output {
	struct hooks *hooks;
	int fd;
	struct source *source;
	struct buffer text;
};

struct hooks {
	struct loop *loop;
	const char *kind;
	const struct spec_hook_list *list;
	char *state, *directory;
	int netns_fd;
	bool keep_going;
	hooks_fn function;
	void *data;
	size_t index; /* the hook that runs, or runs next */
	/* of the hook that runs */
	pid_t pid; /* 0: none */
	int pidfd, stdin_fd;
	size_t written; /* of state */
	bool timed_out;
	struct output out, err;
	struct source *pid_source, *stdin_source, *timer;
};

static void output_close(struct output *output)
{
	source_clear(&output->source);
	close_fdp(&output->fd);
	output->fd = -1;
}

static void close_hook(struct hooks *hooks)
{
	source_clear(&hooks->pid_source);
	source_clear(&hooks->stdin_source);
	source_clear(&hooks->timer);
	close_fdp(&hooks->pidfd);
	close_fdp(&hooks->stdin_fd);
	hooks->pidfd = hooks->stdin_fd = -1;
	output_close(&hooks->out);
	output_close(&hooks->err);
	buffer_done(&hooks->out.text);
	buffer_done(&hooks->err.text);
	hooks->pid = 0;
}

/* The hook leads a session of its own, so what it started goes with it. */
static void kill_hook(const struct hooks *hooks)
{
	(void)kill(hooks->pid, SIGKILL);
	(void)kill(-hooks->pid, SIGKILL);
}

void hooks_free(struct hooks *hooks)
{
	if (!hooks)
		return;
	if (hooks->pid > 0) {
		kill_hook(hooks);
		while (waitpid(hooks->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close_hook(hooks);
	close_fdp(&hooks->netns_fd);
	free(hooks->state);
	free(hooks->directory);
	free(hooks);
}

static void finish(struct hooks *hooks, const struct error *error)
{
	hooks_fn function = hooks->function;
	void *data = hooks->data;

	hooks_free(hooks);
	function(data, error);
}

static void run_next(void *data);

/* The hook at index has ended, with an error or without; goes on from the loop. */
static void hook_ended(struct hooks *hooks, struct error *failure)
{
	_cleanup_error_ struct error *error = failure;

	close_hook(hooks);
	if (error) {
		(void)error_wrap(&error, "%s hooks: error running hook #%zu", hooks->kind,
				 hooks->index);
		if (!hooks->keep_going) {
			finish(hooks, error);
			return;
		}
		log_warning("%s", error->message);
	}
	hooks->index++;
	hooks->timer = loop_add_timer(hooks->loop, 0, "next hook", run_next, hooks);
}

static void read_output(struct output *output)
{
	char bytes[HOOK_OUTPUT_MAX];
	ssize_t n;

	while ((n = read(output->fd, bytes, sizeof(bytes))) > 0) {
		size_t room = HOOK_OUTPUT_MAX - buffer_length(&output->text);

		buffer_append(&output->text, bytes, (size_t)n < room ? (size_t)n : room);
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		output_close(output);
}

static void output_ready(void *data, uint32_t events)
{
	(void)events;
	read_output(data);
}

static char *output_text(struct output *output)
{
	size_t length;

	if (output->fd >= 0)
		read_output(output);
	length = buffer_length(&output->text);
	while (length > 0 && buffer_data(&output->text)[length - 1] == '\n')
		length--;
	return length > 0 ? xstrndup((char *)buffer_data(&output->text), length) : xstrdup("");
}

static void process_ended(void *data, uint32_t events)
{
	struct hooks *hooks = data;
	const struct spec_hook *hook = &hooks->list->hooks[hooks->index];
	_cleanup_free_ char *out = output_text(&hooks->out);
	_cleanup_free_ char *err = output_text(&hooks->err);
	_cleanup_free_ char *end = NULL;
	struct error *error = NULL;
	int status = 0;

	(void)events;
	if (waitpid(hooks->pid, &status, WNOHANG) == 0)
		return;
	end = child_end_text(status);
	if (hooks->timed_out)
		(void)error_set(&error, ETIMEDOUT, "hook ran past specified timeout of %u.0s",
				hook->timeout_seconds);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		(void)error_set(&error, EIO, "%s, stdout: %s, stderr: %s", end, out, err);
	hook_ended(hooks, error);
}

static void hook_overdue(void *data)
{
	struct hooks *hooks = data;

	hooks->timer = NULL;
	hooks->timed_out = true;
	kill_hook(hooks);
}

static void stdin_ready(void *data, uint32_t events)
{
	struct hooks *hooks = data;
	size_t left = strlen(hooks->state) - hooks->written;
	ssize_t n = write(hooks->stdin_fd, hooks->state + hooks->written, left);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A hook that does not care for its state may close its stdin. */
	if (n >= 0 && (size_t)n < left) {
		hooks->written += (size_t)n;
		return;
	}
	source_clear(&hooks->stdin_source);
	(void)close(hooks->stdin_fd);
	hooks->stdin_fd = -1;
}

static void __attribute__((noreturn))
run_child(const struct hooks *hooks, const struct spec_hook *hook, const int *fds)
{
	char *only_path[] = { hook->path, NULL };

	(void)setsid();
	child_reset_signals();
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(127);
	(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	if (hooks->netns_fd >= 0 && setns(hooks->netns_fd, CLONE_NEWNET) < 0) {
		dprintf(STDERR_FILENO, "cannot enter the network namespace: %s", strerror(errno));
		_exit(127);
	}
	if (chdir(hooks->directory) < 0) {
		dprintf(STDERR_FILENO, "cannot change to %s: %s", hooks->directory,
			strerror(errno));
		_exit(127);
	}
	(void)execve(hook->path, hook->args && hook->args[0] ? hook->args : only_path,
		     hook->env ? hook->env : environ);
	dprintf(STDERR_FILENO, "cannot run %s: %s", hook->path, strerror(errno));
	_exit(127);
}

static int watch_output(struct hooks *hooks, struct output *output, int *fd,
			struct error **ret_error)
{
	output->hooks = hooks;
	output->fd = TAKE_FD(*fd);
	(void)set_nonblocking(output->fd, true);
	return loop_add_io(hooks->loop, output->fd, EPOLLIN, "hook output", output_ready, output,
			   &output->source, ret_error);
}

struct pipes {
	int ends[3][2]; /* of stdin, stdout, stderr; [0] is read */
};

static void close_pipes(struct pipes *pipes)
{
	for (int i = 0; i < 3; i++) {
		close_fdp(&pipes->ends[i][0]);
		close_fdp(&pipes->ends[i][1]);
	}
}

static int start_hook(struct hooks *hooks, const struct spec_hook *hook, struct error **ret_error)
{
	_cleanup_(close_pipes) struct pipes pipes = { { { -1, -1 }, { -1, -1 }, { -1, -1 } } };

	for (int i = 0; i < 3; i++)
		if (pipe_open(&pipes.ends[i][0], &pipes.ends[i][1], ret_error) < 0)
			return -1;
	(void)fflush(NULL);
	hooks->pid = fork();
	if (hooks->pid == 0) {
		const int fds[] = { pipes.ends[0][0], pipes.ends[1][1], pipes.ends[2][1] };

		run_child(hooks, hook, fds);
	}
	if (hooks->pid < 0) {
		hooks->pid = 0;
		return error_set_errno(ret_error, errno, "cannot start a process");
	}
	hooks->pidfd = pidfd_open(hooks->pid, 0);
	if (hooks->pidfd < 0)
		return error_set_errno(ret_error, errno, "cannot watch process %d", hooks->pid);
	hooks->stdin_fd = TAKE_FD(pipes.ends[0][1]);
	(void)set_nonblocking(hooks->stdin_fd, true);
	if (watch_output(hooks, &hooks->out, &pipes.ends[1][0], ret_error) < 0 ||
	    watch_output(hooks, &hooks->err, &pipes.ends[2][0], ret_error) < 0 ||
	    loop_add_io(hooks->loop, hooks->stdin_fd, EPOLLOUT, "hook stdin", stdin_ready, hooks,
			&hooks->stdin_source, ret_error) < 0)
		return -1;
	return loop_add_io(hooks->loop, hooks->pidfd, EPOLLIN, "hook process", process_ended, hooks,
			   &hooks->pid_source, ret_error);
}

static void run_next(void *data)
{
	struct hooks *hooks = data;
	const struct spec_hook *hook;
	struct error *error = NULL;

	hooks->timer = NULL;
	if (hooks->index == hooks->list->n_hooks) {
		finish(hooks, NULL);
		return;
	}
	hook = &hooks->list->hooks[hooks->index];
	hooks->timed_out = false;
	hooks->written = 0;
	log_debug("running the %s hook %s", hooks->kind, hook->path);
	if (start_hook(hooks, hook, &error) < 0) {
		if (hooks->pid > 0) {
			kill_hook(hooks);
			(void)waitpid(hooks->pid, NULL, 0);
		}
		hook_ended(hooks, error);
		return;
	}
	if (hook->timeout_seconds > 0)
		hooks->timer = loop_add_timer(hooks->loop, hook->timeout_seconds * UINT64_C(1000),
					      "hook timeout", hook_overdue, hooks);
}

struct hooks *hooks_run(struct loop *loop, const struct hooks_setup *setup, hooks_fn function,
			void *data)
{
	struct hooks *hooks = xcalloc(1, sizeof(*hooks));

	hooks->loop = loop;
	hooks->kind = setup->kind;
	hooks->list = setup->list;
	hooks->state = xstrdup(setup->state);
	hooks->directory = xstrdup(setup->directory);
	hooks->netns_fd = setup->netns_fd;
	hooks->keep_going = setup->keep_going;
	hooks->function = function;
	hooks->data = data;
	hooks->pidfd = hooks->stdin_fd = hooks->out.fd = hooks->err.fd = -1;
	hooks->timer = loop_add_timer(loop, 0, "first hook", run_next, hooks);
	return hooks;
}
