/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/inherited: the VMM takes no descriptor for what it is not, and keeps no other. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/test.h"
#include "vmm/inherited.h"

/* One of each kind, and the number of one that is not open. */
static struct {
	int file, written, directory, null, reading, writing, stream, unconnected, listener;
	int datagram, path, null_read, closed;
} fds;

static void open_all(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX };
	int ends[2];

	fds.file = memfd_create("file", MFD_CLOEXEC);
	fds.written = open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	fds.directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fds.path = open("/bin/sh", O_PATH | O_CLOEXEC);
	fds.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds.null_read = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	fds.reading = ends[0];
	fds.writing = ends[1];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	fds.stream = ends[0];
	fds.unconnected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fds.datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* An address without a name: the kernel chooses one. */
	fds.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(fds.listener, (const struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	CHECK(listen(fds.listener, 1) == 0);
	fds.closed = fcntl(fds.null, F_DUPFD_CLOEXEC, 0);
	CHECK(fds.closed > 2 && close(fds.closed) == 0);
}

static struct vm_config *new_config(void)
{
	struct vm_config *config = vm_config_new();

	config->kernel.path = xstrdup("/k");
	vm_config_add(config, VM_DEVICE_BLK)->blk.file.path = xstrdup("/f");
	(void)vm_config_add(config, VM_DEVICE_VSOCK);
	(void)vm_config_add(config, VM_DEVICE_CONSOLE);
	vm_config_add(config, VM_DEVICE_FS)->fs.root.path = xstrdup("/");
	(void)vm_config_add(config, VM_DEVICE_NET);
	return config;
}

/* By its place in the document. */
static int *field_of(struct vm_config *config, const char *place)
{
	const struct {
		const char *place;
		int *field;
	} fields[] = {
		{ "kernel", &config->kernel.fd },
		{ "control", &config->control_fd },
		{ "serial", &config->serial_fd },
		{ "root", &config->root_fd },
		{ "log.fd", &config->log_fd },
		{ "devices[0].file", &config->devices[0].blk.file.fd },
		{ "devices[1].fd", &config->devices[1].vsock.fd },
		{ "devices[2].output", &config->devices[2].console.output.fd },
		{ "devices[3].root", &config->devices[3].fs.root.fd },
		{ "devices[4].fd", &config->devices[4].net.fd },
		{ "devices[4].vhost", &config->devices[4].net.vhost_fd },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (strcmp(fields[i].place, place) == 0)
			return fields[i].field;
	config->n_initramfs = 2;
	config->initramfs[0].path = xstrdup("/i");
	CHECK_STRING(place, "initramfs[1]");
	return &config->initramfs[1].fd;
}

/* problem: NULL for none. */
static void expect(const char *place, int fd, const char *problem)
{
	_cleanup_(vm_config_freep) struct vm_config *config = new_config();
	_cleanup_free_ char *part = problem ? xasprintf("%s: %s", place, problem) : xstrdup("");
	struct error *error = NULL;
	struct vm_named_fd named[VM_FDS_MAX];

	*field_of(config, place) = fd;
	CHECK_INT(vm_config_fds(config, named), 1);
	CHECK_INT(named[0].number, fd);
	CHECK_STRING(named[0].place, place);
	if (problem)
		CHECK_ERROR(inherited_check(config, &error), &error, part);
	else
		CHECK_OK(inherited_check(config, &error), &error);
}

static void test_files(void)
{
	static const char *const places[] = { "kernel", "initramfs[1]", "devices[0].file" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		expect(places[i], fds.file, NULL);
		expect(places[i], fds.closed, "cannot use descriptor");
		expect(places[i], fds.directory, "descriptor");
		expect(places[i], fds.stream, "descriptor");
		expect(places[i], fds.null, "descriptor");
		expect(places[i], fds.written, "descriptor");
	}
}

static void test_messages(void)
{
	static const struct {
		const char *place;
		const int *fd;
		const char *problem;
	} cases[] = {
		{ "kernel", &fds.null, "%d is not a regular file" },
		{ "kernel", &fds.written, "%d is not open for reading" },
		{ "kernel", &fds.path, "%d is not open for reading" },
		{ "control", &fds.file, "%d is not a connected stream socket" },
		{ "control", &fds.unconnected, "%d is not a connected stream socket" },
		{ "control", &fds.datagram, "%d is not a connected stream socket" },
		{ "control", &fds.listener, "%d is not a connected stream socket" },
		{ "serial", &fds.reading, "%d is not open for writing" },
		{ "serial", &fds.directory, "%d is not something to write to" },
		{ "log.fd", &fds.path, "%d is not open for writing" },
		{ "root", &fds.file, "%d is not a directory" },
		{ "devices[0].file", &fds.null, "%d is not a regular file or a block device" },
		{ "devices[1].fd", &fds.stream, "%d is not a listening unix stream socket" },
		{ "devices[1].fd", &fds.unconnected, "%d is not a listening unix stream socket" },
		{ "devices[1].fd", &fds.reading, "%d is not a listening unix stream socket" },
		{ "devices[2].output", &fds.reading, "%d is not open for writing" },
		{ "devices[3].root", &fds.file, "%d is not a directory" },
		{ "devices[4].fd", &fds.file, "%d is not a character device or a connected unix" },
		{ "devices[4].fd", &fds.unconnected, "%d is not a character device or" },
		{ "devices[4].fd", &fds.datagram, "%d is not a character device or" },
		{ "devices[4].fd", &fds.listener, "%d is not a character device or" },
		{ "devices[4].fd", &fds.null_read, "%d is not open for writing" },
		{ "devices[4].vhost", &fds.stream, "%d is not a character device" },
		{ "devices[4].vhost", &fds.null_read, "%d is not open for writing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *problem =
		    xasprintf("descriptor %d%s", *cases[i].fd, cases[i].problem + strlen("%d"));

		expect(cases[i].place, *cases[i].fd, problem);
	}
}

static void test_others_that_are_fine(void)
{
	expect("control", fds.stream, NULL);
	expect("serial", fds.writing, NULL);
	expect("serial", fds.stream, NULL);
	expect("serial", fds.null, NULL);
	expect("log.fd", fds.written, NULL);
	expect("root", fds.directory, NULL);
	expect("devices[1].fd", fds.listener, NULL);
	expect("devices[2].output", fds.null, NULL);
	expect("devices[3].root", fds.directory, NULL);
	expect("devices[4].fd", fds.null, NULL);
	expect("devices[4].vhost", fds.null, NULL);
	expect("devices[4].fd", fds.stream, NULL);
}

static void test_twice(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = new_config();
	struct error *error = NULL;

	config->log_fd = config->serial_fd = config->devices[2].console.output.fd = fds.null;
	CHECK_OK(inherited_check(config, &error), &error);
	config->root_fd = config->devices[3].fs.root.fd = fds.directory;
	CHECK_ERROR(inherited_check(config, &error), &error, "is that of root already");
}

static void test_others_are_closed(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = new_config();
	const int kept[] = { fds.file, fds.stream, fds.listener, fds.directory };
	int status = -1;
	pid_t pid;

	config->kernel.fd = fds.file;
	config->control_fd = fds.stream;
	config->devices[1].vsock.fd = fds.listener;
	config->devices[3].fs.root.fd = fds.directory;
	config->log_fd = STDERR_FILENO;
	pid = fork();
	if (pid == 0) {
		inherited_close_others(config);
		for (int fd = 0; fd < 256; fd++) {
			bool open = fcntl(fd, F_GETFD) >= 0, keep = false;

			for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
				keep = keep || fd == kept[i];
			if (fd > STDERR_FILENO && open != keep)
				_exit(1);
		}
		_exit(0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

/* The program itself, and where its complaint goes. */
static void test_vmm(void)
{
	_cleanup_free_ char *text =
	    xasprintf("{\"version\": 1, \"kernel\": {\"fd\": 0}, \"log\": {\"fd\": %d}}", 77);
	char output[512] = "";
	int config = memfd_create("config", 0), ends[2], status = -1;
	pid_t pid;

	CHECK(config >= 0 && write_all(config, text, strlen(text)) == 0);
	CHECK(lseek(config, 0, SEEK_SET) == 0 && pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		_cleanup_free_ char *number = xasprintf("%d", config);

		if (dup2(fds.file, STDIN_FILENO) == STDIN_FILENO &&
		    dup2(ends[1], STDERR_FILENO) == STDERR_FILENO)
			(void)execl("supermachine-vmm", "supermachine-vmm", "--config-fd", number,
				    NULL);
		_exit(127);
	}
	(void)close(ends[1]);
	CHECK(read_all(ends[0], output, sizeof(output) - 1) > 0);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	CHECK(strstr(output, "log.fd: cannot use descriptor 77: Bad file descriptor"));
	(void)close(ends[0]);
	(void)close(config);
}

static const struct test_case cases[] = {
	{ "files", test_files },
	{ "messages", test_messages },
	{ "others that are fine", test_others_that_are_fine },
	{ "twice", test_twice },
	{ "others are closed", test_others_are_closed },
	{ "the VMM says so", test_vmm },
};

int main(int argc, char **argv)
{
	open_all();
	return test_main(argc, argv, cases, ARRAY_SIZE(cases));
}
