/* Asking KVM through the VMM's probe: see kvm-answer.h. */
#include "runtime-spec/kvm-answer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/paths.h"
#include "vmm/probe.h"

/* The probe bounds itself to less than a second; a kernel that does not come back
 * from an ioctl is all that could exceed this. */
#define PROBE_LIMIT_NS 10000000000ULL
#define OUTPUT_MAX 2048

extern char **environ;

struct kvm_answer *kvm_answer_new(const char *verdict, const char *message)
{
	struct kvm_answer *answer = xcalloc(1, sizeof(*answer));

	answer->verdict = xstrdup(verdict);
	answer->message = xstrdup(message);
	return answer;
}

void kvm_answer_free(struct kvm_answer *answer)
{
	if (!answer)
		return;
	free(answer->verdict);
	free(answer->message);
	free(answer);
}

bool kvm_answer_usable(const struct kvm_answer *answer)
{
	return strcmp(answer->verdict, PROBE_USABLE) == 0;
}

/* The program with its standard output on `output`, nothing else of ours, and the
 * signals as a new program expects them. */
static int spawn(const char *vmm, int output, pid_t *ret_pid, struct error **ret_error)
{
	char *argv[] = { (char *)"supermachine-vmm", (char *)"--probe", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int code;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	code = posix_spawn(ret_pid, vmm, &actions, &attributes, argv, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot run %s", vmm);
	return 0;
}

/* What comes until the end of the file; false where that does not come in time. */
static bool read_output(int fd, char ret_text[OUTPUT_MAX + 1])
{
	const uint64_t end = clock_monotonic_ns() + PROBE_LIMIT_NS;
	char dropped[256];
	size_t length = 0;

	for (;;) {
		const uint64_t now = clock_monotonic_ns();
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (now >= end)
			return false;
		if (poll(&poll_fd, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		if (length < OUTPUT_MAX)
			n = read(fd, ret_text + length, OUTPUT_MAX - length);
		else
			n = read(fd, dropped, sizeof(dropped));
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		if (n > 0 && length < OUTPUT_MAX)
			length += (size_t)n;
	}
	ret_text[length] = '\0';
	return true;
}

/* "VERDICT" or "VERDICT: MESSAGE", one line. */
static struct kvm_answer *parse_output(char *text)
{
	char *colon;

	text[strcspn(text, "\n")] = '\0';
	colon = strstr(text, ": ");
	if (colon)
		*colon = '\0';
	if (!probe_is_verdict(text))
		return NULL;
	return kvm_answer_new(text, colon ? colon + 2 : "");
}

static struct kvm_answer *run(const char *vmm, struct error **ret_error)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	char text[OUTPUT_MAX + 1];
	struct kvm_answer *answer;
	int pipe_fds[2], status = 0;
	bool in_time;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		(void)error_set_errno(ret_error, errno, "cannot make a pipe");
		return NULL;
	}
	ours = pipe_fds[0];
	theirs = pipe_fds[1];
	if (spawn(vmm, theirs, &pid, ret_error) < 0)
		return NULL;
	close_fdp(&theirs);
	theirs = -1;
	in_time = read_output(ours, text);
	if (!in_time)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!in_time)
		return kvm_answer_new(PROBE_FAILED, "its probe did not end within 10 s");
	answer = WIFEXITED(status) ? parse_output(text) : NULL;
	if (!answer) {
		_cleanup_free_ char *why =
		    xasprintf("its probe (%s --probe) ended with %s %d and no answer", vmm,
			      WIFSIGNALED(status) ? "signal" : "status",
			      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));

		answer = kvm_answer_new(PROBE_FAILED, why);
	}
	return answer;
}

static bool lasts(const struct kvm_answer *answer)
{
	return strcmp(answer->verdict, PROBE_BUSY) != 0 &&
	       strcmp(answer->verdict, PROBE_FAILED) != 0;
}

static int ask(const char *vmm, const char *directory, const char *key,
	       struct kvm_answer **ret_answer, struct error **ret_error)
{
	struct kvm_answer *answer = run(vmm, ret_error);

	if (!answer)
		return -1;
	log_debug("KVM: %s%s%s", answer->verdict, answer->message[0] ? ": " : "", answer->message);
	if (key && lasts(answer))
		kvm_memory_save(directory, key, answer);
	*ret_answer = answer;
	return 0;
}

static int answer_from(const char *vmm, bool remembered, struct kvm_answer **ret_answer,
		       struct error **ret_error)
{
	_cleanup_free_ char *directory = paths_runtime();
	_cleanup_free_ char *found = NULL;
	_cleanup_free_ char *key = NULL;
	struct kvm_answer *answer;

	if (!vmm && paths_find_program("supermachine-vmm", &found, ret_error) < 0)
		return -1;
	key = kvm_memory_key(vmm ? vmm : found);
	answer = remembered && key ? kvm_memory_load(directory, key) : NULL;
	if (!answer)
		return ask(vmm ? vmm : found, directory, key, ret_answer, ret_error);
	*ret_answer = answer;
	return 0;
}

int kvm_answer_get(const char *vmm, struct kvm_answer **ret_answer, struct error **ret_error)
{
	return answer_from(vmm, true, ret_answer, ret_error);
}

int kvm_answer_ask(const char *vmm, struct kvm_answer **ret_answer, struct error **ret_error)
{
	return answer_from(vmm, false, ret_answer, ret_error);
}
