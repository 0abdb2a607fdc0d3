/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor: see qmp.h.
 *
 * One JSON object a line, each way.  Commands are answered in order, so a count
 * of those under way is all the state there is.  Before the greeting nothing is
 * sent; the first command is always qmp_capabilities.
 */
#include "vmm/qemu/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/log.h"

#define QMP_LINE_MAX (64 << 10)
#define QMP_WAITING_MAX 100

struct qmp {
	int socket;
	struct qmp_events events;
	struct source *source; /* NULL: lost */
	struct buffer input;
	bool greeted;
	unsigned under_way;		/* commands sent and not answered */
	char *waiting[QMP_WAITING_MAX]; /* lines for the greeting */
	unsigned n_waiting;
};

static void lose(struct qmp *qmp, const char *reason)
{
	if (!qmp->source)
		return;
	source_clear(&qmp->source);
	qmp->events.lost(qmp->events.data, reason);
}

/* A line is far smaller than a socket's buffer, and QEMU reads as it goes: one
 * that does not fit at once means that it is stuck. */
static void send_line(struct qmp *qmp, const char *line, int fd)
{
	log_debug("qmp: %.*s", (int)strcspn(line, "\n"), line);
	qmp->under_way++;
	if (send_with_fds(qmp->socket, line, strlen(line), &fd, fd < 0 ? 0 : 1) !=
	    (ssize_t)strlen(line))
		lose(qmp, "QEMU does not read its monitor");
}

static char *command_line(const char *command, const char *arguments)
{
	if (!arguments)
		return xasprintf("{\"execute\":\"%s\"}\n", command);
	return xasprintf("{\"execute\":\"%s\",\"arguments\":%s}\n", command, arguments);
}

void qmp_send(struct qmp *qmp, const char *command, const char *arguments)
{
	_cleanup_free_ char *line = command_line(command, arguments);

	if (!qmp->source)
		return;
	if (qmp->greeted)
		send_line(qmp, line, -1);
	else if (qmp->n_waiting < QMP_WAITING_MAX)
		qmp->waiting[qmp->n_waiting++] = TAKE_PTR(line);
	else
		lose(qmp, "QEMU's monitor sent no greeting");
}

void qmp_send_fd(struct qmp *qmp, const char *command, const char *arguments, int fd)
{
	_cleanup_free_ char *line = command_line(command, arguments);

	if (qmp->source)
		send_line(qmp, line, fd);
}

static void forget_waiting(struct qmp *qmp)
{
	while (qmp->n_waiting > 0)
		free(qmp->waiting[--qmp->n_waiting]);
}

static void greeted(struct qmp *qmp)
{
	qmp->greeted = true;
	qmp_send(qmp, "qmp_capabilities", NULL);
	for (unsigned i = 0; i < qmp->n_waiting && qmp->source; i++)
		send_line(qmp, qmp->waiting[i], -1);
	forget_waiting(qmp);
}

static int refused(const struct json_at *failure, struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;

	if (json_get_string(failure, "desc", JSON_REQUIRED, &text, ret_error) < 0)
		return -1;
	return error_set(ret_error, EIO, "QEMU refused a command: %s", text);
}

static int answered(struct qmp *qmp, struct error **ret_error)
{
	if (qmp->under_way == 0)
		return error_set(ret_error, EPROTO, "unexpected reply from QEMU's monitor");
	if (--qmp->under_way == 0)
		qmp->events.idle(qmp->events.data);
	return 0;
}

static int handle_message(struct qmp *qmp, const struct json_at *root, struct error **ret_error)
{
	_cleanup_free_ char *event = NULL;
	struct json_at greeting, failure, result, details;

	if (json_object(root, "QMP", JSON_OPTIONAL, &greeting, ret_error) < 0 ||
	    json_object(root, "error", JSON_OPTIONAL, &failure, ret_error) < 0 ||
	    json_member(root, "return", JSON_OPTIONAL, &result, ret_error) < 0 ||
	    json_get_string(root, "event", JSON_OPTIONAL, &event, ret_error) < 0 ||
	    json_object(root, "data", JSON_OPTIONAL, &details, ret_error) < 0)
		return -1;
	if (json_present(&failure))
		return refused(&failure, ret_error);
	if (json_present(&result))
		return answered(qmp, ret_error);
	if (event)
		qmp->events.event(qmp->events.data, event, &details);
	else if (json_present(&greeting) && !qmp->greeted)
		greeted(qmp);
	return 0;
}

static void handle_line(struct qmp *qmp, const char *line, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(line, size, "QEMU's monitor", &value, &error) < 0) {
		lose(qmp, error->message);
		return;
	}
	root = json_root(value);
	if (handle_message(qmp, &root, &error) < 0)
		lose(qmp, error->message);
}

static void handle_lines(struct qmp *qmp)
{
	while (qmp->source) {
		size_t length = buffer_length(&qmp->input);
		const char *start = (const char *)buffer_data(&qmp->input);
		const char *end = length > 0 ? memchr(start, '\n', length) : NULL;

		if (!end) {
			if (length > QMP_LINE_MAX)
				lose(qmp, "QEMU's monitor sent too long a line");
			return;
		}
		handle_line(qmp, start, (size_t)(end - start));
		buffer_consume(&qmp->input, (size_t)(end - start) + 1);
	}
}

static void on_socket(void *data, uint32_t events)
{
	struct qmp *qmp = data;
	ssize_t n;

	(void)events;
	n = recv(qmp->socket, buffer_reserve(&qmp->input, 4096), 4096, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(qmp, "QEMU closed its monitor");
		return;
	}
	buffer_commit(&qmp->input, (size_t)n);
	handle_lines(qmp);
}

int qmp_new(int socket, struct loop *loop, const struct qmp_events *events, struct qmp **ret_qmp,
	    struct error **ret_error)
{
	_cleanup_(qmp_freep) struct qmp *qmp = xcalloc(1, sizeof(*qmp));

	qmp->socket = socket;
	qmp->events = *events;
	if (set_nonblocking(socket, true) < 0)
		return error_set_errno(ret_error, errno, "QEMU's monitor");
	if (loop_add_io(loop, socket, EPOLLIN, "qmp", on_socket, qmp, &qmp->source, ret_error) < 0)
		return -1;
	*ret_qmp = TAKE_PTR(qmp);
	return 0;
}

void qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return;
	source_remove(qmp->source);
	forget_waiting(qmp);
	buffer_done(&qmp->input);
	close_fdp(&qmp->socket);
	free(qmp);
}
