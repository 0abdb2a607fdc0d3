/* Starting a container's task server: see server.h. */
#include "runtime-spec/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/paths.h"

#define SERVER_PROGRAM "containerd-shim-supermachine-v1"
#define LISTEN_FD 3
#define LAST_WORDS_MAX 600

struct server_fds {
	int listen, log, report;
};

static const char **server_arguments(const struct container *container,
				     const struct globals *globals, const char *log)
{
	const char *const words[] = { SERVER_PROGRAM,  "serve", "--root",
				      container->root, "--id",	container->id };
	const char **argv = xcalloc(ARRAY_SIZE(words) + 6, sizeof(*argv));
	size_t n = 0;

	for (; n < ARRAY_SIZE(words); n++)
		argv[n] = words[n];
	if (globals->debug)
		argv[n++] = "--debug";
	if (log) {
		argv[n++] = "--log";
		argv[n++] = log;
	}
	if (globals->log_format) {
		argv[n++] = "--log-format";
		argv[n++] = globals->log_format;
	}
	return argv;
}

/* Every descriptor goes above its final places first: a source may sit in one. */
static int place_fds(const struct server_fds *fds)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int wanted[] = { null, null, fds->log, fds->listen };
	int high[ARRAY_SIZE(wanted)];

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		high[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, 16);
		if (high[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (dup2(high[i], (int)i) < 0)
			return -1;
	return 0;
}

static void __attribute__((noreturn))
run_server(const char *program, const char **argv, const char *bundle, const struct server_fds *fds)
{
	const int report = fcntl(fds->report, F_DUPFD_CLOEXEC, 32);
	sigset_t none;
	int code;

	(void)setsid();
	(void)sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(bundle) == 0 && place_fds(fds) == 0) {
		/* Nothing of the caller's stays open in a process that lives on. */
		(void)close_range(LISTEN_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
		(void)execv(program, (char *const *)argv);
	}
	code = errno;
	(void)!write(report, &code, sizeof(code));
	_exit(127);
}

static int spawn(struct container *container, const char *program, const char **argv, int listen,
		 struct error **ret_error)
{
	_cleanup_free_ char *log_path = state_path(container->root, container->id, "server.log");
	_cleanup_close_ int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	_cleanup_close_ int report_in = -1, report_out = -1;
	int report[2], code = 0;
	pid_t pid;

	if (log < 0)
		return error_set_errno(ret_error, errno, "cannot make %s", log_path);
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_set_errno(ret_error, errno, "cannot make a pipe");
	report_in = report[0];
	report_out = report[1];
	pid = fork();
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot start the task server");
	if (pid == 0) {
		const struct server_fds fds = { listen, log, report_out };

		run_server(program, argv, container->state->bundle, &fds);
	}
	close_fdp(&report_out);
	report_out = -1;
	/* End of file: the exec has closed it. */
	if (read_all(report_in, &code, sizeof(code)) == (ssize_t)sizeof(code)) {
		(void)waitpid(pid, NULL, 0);
		return error_set_errno(ret_error, code, "cannot run %s", program);
	}
	container->state->server_pid = pid;
	container->state->server_start = process_start_time(pid);
	return 0;
}

int server_start(struct container *container, const struct globals *globals,
		 struct error **ret_error)
{
	_cleanup_free_ char *socket_path = state_path(container->root, container->id, "task.sock");
	_cleanup_free_ char *log = globals->log ? realpath(globals->log, NULL) : NULL;
	_cleanup_free_ const char **argv = NULL;
	_cleanup_free_ char *program = NULL;
	_cleanup_close_ int listen = -1;

	if (paths_find_program(SERVER_PROGRAM, &program, ret_error) < 0)
		return -1;
	listen = unix_listen(socket_path, 0600, ret_error);
	if (listen < 0)
		return -1;
	argv = server_arguments(container, globals, log);
	if (spawn(container, program, argv, listen, ret_error) < 0)
		return -1;
	/* From here on only the server listens: if it dies, the call fails. */
	container->server_fd = container_connect(container, ret_error);
	return container->server_fd < 0 ? -1 : 0;
}

char *server_last_words(const struct container *container)
{
	_cleanup_free_ char *path = state_path(container->root, container->id, "server.log");
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[LAST_WORDS_MAX + 1];
	char *words = text, *newline;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size > LAST_WORDS_MAX)
		(void)lseek(fd, -LAST_WORDS_MAX, SEEK_END);
	n = read_all(fd, text, LAST_WORDS_MAX);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	/* Not the rest of a line whose beginning was cut off. */
	newline = strchr(text, '\n');
	if (st.st_size > LAST_WORDS_MAX && newline)
		words = newline + 1;
	return xstrdup(words);
}
