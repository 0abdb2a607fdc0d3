/* SPDX-License-Identifier: Apache-2.0 */
/* protocol/vm-fds: the numbers in the document are those under which the VMM has them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "protocol/vm-fds.h"
#include "tests/unit/test.h"

#define FILES 6

/* Files that can be told apart. */
static int files[FILES];

static void open_files(void)
{
	for (int i = 0; i < FILES; i++) {
		files[i] = memfd_create("file", MFD_CLOEXEC);
		CHECK(files[i] > STDERR_FILENO && ftruncate(files[i], i + 1) == 0);
	}
}

static bool is_file(int fd, int index)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == index + 1;
}

static bool stays_open(int fd)
{
	const int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* Runs in a child, which gives its descriptors away; its status is the problem's line. */
static int in_child(int (*run)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run());
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

static int place_whole(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = vm_config_new();
	struct vm_device *vsock = vm_config_add(config, VM_DEVICE_VSOCK);
	struct vm_device *disk = vm_config_add(config, VM_DEVICE_BLK);
	const int standard[] = { files[0], files[1], files[1] };
	int other = files[5], document = -1;
	struct vm_fds fds = { .n = 0 };

	vm_fds_add(&fds, &config->control_fd, files[2]);
	vm_fds_add(&fds, &vsock->vsock.fd, files[3]);
	vm_fds_add(&fds, &disk->blk.file.fd, -1);
	vm_fds_add(&fds, &document, files[4]);
	vm_fds_set(&fds, &disk->blk.file.fd, files[0]);
	EXPECT(vm_fds_place(&fds, standard, &other, NULL) == 0);
	EXPECT(is_file(STDIN_FILENO, 0) && is_file(STDOUT_FILENO, 1) && is_file(STDERR_FILENO, 1));
	EXPECT(is_file(config->control_fd, 2) && stays_open(config->control_fd));
	EXPECT(is_file(vsock->vsock.fd, 3) && stays_open(vsock->vsock.fd));
	EXPECT(is_file(disk->blk.file.fd, 0) && stays_open(disk->blk.file.fd));
	EXPECT(is_file(document, 4) && stays_open(document));
	EXPECT(config->control_fd == VM_FD_FIRST && document == VM_FD_FIRST + 3);
	EXPECT(is_file(other, 5) && !stays_open(other));
	for (int fd = document + 1; fd < 256; fd++)
		EXPECT(!stays_open(fd));
	return 0;
}

static void test_whole(void)
{
	CHECK_INT(in_child(place_whole), 0);
}

/* Each source has a number that another gets. */
static int place_around(void)
{
	const int first = files[0], standard[] = { first, first, first };
	struct vm_fds fds = { .n = 0 };
	int numbers[FILES], other = first;

	/* The files have the numbers that are given, each the one behind its own. */
	for (int i = 0; i < FILES; i++)
		EXPECT(dup2(files[i], 100 + i) == 100 + i);
	for (int i = 0; i < FILES; i++)
		EXPECT(dup2(100 + (i + 1) % FILES, VM_FD_FIRST + i) == VM_FD_FIRST + i);
	for (int i = 0; i < FILES; i++)
		vm_fds_add(&fds, &numbers[i], VM_FD_FIRST + (i + FILES - 1) % FILES);
	EXPECT(vm_fds_place(&fds, standard, &other, NULL) == 0);
	for (int i = 0; i < FILES; i++)
		EXPECT(is_file(numbers[i], i));
	return 0;
}

static void test_around(void)
{
	CHECK_INT(in_child(place_around), 0);
}

static int place_without(void)
{
	_cleanup_error_ struct error *error = NULL;
	const int standard[] = { files[0], files[0], files[0] };
	struct vm_fds fds = { .n = 0 };
	int numbers[2], other = files[1];

	vm_fds_add(&fds, &numbers[0], files[2]);
	vm_fds_add(&fds, &numbers[1], -1);
	EXPECT(vm_fds_place(&fds, standard, &other, &error) < 0);
	EXPECT(error->code == EBADF && strstr(error->message, "its descriptor 4"));
	EXPECT(is_file(other, 1)); /* to say so */
	return 0;
}

static void test_without(void)
{
	CHECK_INT(in_child(place_without), 0);
}

/* As many as a document can name, and the document. */
static int place_most(void)
{
	const int standard[] = { files[0], files[0], files[0] };
	static int numbers[VM_FDS_MAX + 1];
	struct vm_fds fds = { .n = 0 };
	int other = files[1];

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		vm_fds_add(&fds, &numbers[i], files[i % FILES]);
	EXPECT(vm_fds_place(&fds, standard, &other, NULL) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		EXPECT(is_file(numbers[i], (int)(i % FILES)));
	return 0;
}

static void test_most(void)
{
	CHECK_INT(in_child(place_most), 0);
}

static const struct test_case cases[] = {
	{ "a document's", test_whole },
	{ "sources among the numbers", test_around },
	{ "one that was not opened", test_without },
	{ "as many as there can be", test_most },
};

int main(int argc, char **argv)
{
	open_files();
	return test_main(argc, argv, cases, ARRAY_SIZE(cases));
}
