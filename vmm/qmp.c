/*
 * QEMU's monitor: see qmp.h.
 *
 * One JSON object a line, each way.  Commands are answered in order, so a count
 * of those under way is all the state there is.  Before the greeting nothing is
 * sent; the first command is always qmp_capabilities.
 */
#include "vmm/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/log.h"

#define QMP_LINE_MAX (64 << 10)
#define QMP_WAITING_MAX 8

struct qmp {
	int socket;
	struct qmp_events events;
	struct source *source; /* NULL: lost */
	struct buffer input;
	bool greeted;
	unsigned under_way;		      /* commands sent and not answered */
	const char *waiting[QMP_WAITING_MAX]; /* for the greeting */
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
static void send_command(struct qmp *qmp, const char *command)
{
	_cleanup_free_ char *line = xasprintf("{\"execute\":\"%s\"}\n", command);

	log_debug("qmp: %s", command);
	qmp->under_way++;
	if (send(qmp->socket, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)strlen(line))
		lose(qmp, "QEMU does not read its monitor");
}

void qmp_send(struct qmp *qmp, const char *command)
{
	if (!qmp->source)
		return;
	if (qmp->greeted)
		send_command(qmp, command);
	else if (qmp->n_waiting < QMP_WAITING_MAX)
		qmp->waiting[qmp->n_waiting++] = command;
	else
		lose(qmp, "QEMU's monitor does not greet");
}

static void greeted(struct qmp *qmp)
{
	qmp->greeted = true;
	send_command(qmp, "qmp_capabilities");
	for (unsigned i = 0; i < qmp->n_waiting; i++)
		qmp_send(qmp, qmp->waiting[i]);
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
		return error_set(ret_error, EPROTO, "QEMU's monitor answered what was not asked");
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
	buffer_done(&qmp->input);
	close_fdp(&qmp->socket);
	free(qmp);
}
