/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's part of the log: see qemu-output.h. */
#include "vmm/qemu/qemu-output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"

#define CHUNK_SIZE 16384
/* As many chunks as a pipe has room for: what a QEMU that writes on adds meanwhile can wait. */
#define CHUNKS_MAX 4

/* false: there is nothing, for now. */
static bool take_chunk(struct qemu_output *output)
{
	char bytes[CHUNK_SIZE];
	ssize_t n = read(output->fd, bytes, sizeof(bytes));

	if (n > 0)
		log_put(bytes, (size_t)n);
	/* Its end: epoll would tell of it again and again. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		source_clear(&output->source);
	return n > 0;
}

static void on_output(void *data, uint32_t events)
{
	(void)events;
	(void)take_chunk(data);
}

int qemu_output_open(struct qemu_output *output, struct loop *loop, int *ret_fd,
		     struct error **ret_error)
{
	_cleanup_close_ int writing = -1;

	if (pipe_open(&output->fd, &writing, ret_error) < 0)
		return -1;
	if (set_nonblocking(output->fd, true) < 0)
		return error_set_errno(ret_error, errno, "cannot set up a pipe");
	if (loop_add_io(loop, output->fd, EPOLLIN, "qemu output", on_output, output,
			&output->source, ret_error) < 0)
		return -1;
	*ret_fd = TAKE_FD(writing);
	return 0;
}

void qemu_output_drain(struct qemu_output *output)
{
	for (int i = 0; output->fd >= 0 && i < CHUNKS_MAX && take_chunk(output); i++)
		;
}

void qemu_output_close(struct qemu_output *output)
{
	qemu_output_drain(output);
	source_clear(&output->source);
	close_fdp(&output->fd);
	*output = QEMU_OUTPUT_NONE;
}
