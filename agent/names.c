/* SPDX-License-Identifier: Apache-2.0 */
/* Questions for names: see names.h. */
#include "agent/names.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/names-program.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/doorman.h"
#include "base/io.h"
#include "base/listener.h"
#include "base/netns.h"

#define DNS_PORT 53
#define LENGTH_SIZE 2 /* in front of each message, as over TCP */
#define MESSAGE_MAX 65535
#define PORTS_MAX 16 /* of UDP of which the same of TCP is taken */
#define QUESTIONS_AT_A_TIME 16

/* One that came by UDP. */
struct question {
	struct names *names;
	struct sockaddr_in from;
	int host_fd;
	uint16_t answer_max; /* bytes that may come by UDP */
	struct source *source, *timer;
	struct buffer out, in;
	struct question *next;
};

struct names {
	struct agent *agent;
	int udp_fd;
	struct source *udp;
	struct listener *tcp;
	struct doorman *doorman; /* of those who ask by TCP */
	struct question *questions;
	size_t n_questions;
};

/* Its handshake is the connection to the host. */
struct asker {
	struct visitor visitor;
	int host_fd;
};

/* ---- by UDP ---- */

static void question_free(struct question *question)
{
	source_remove(question->source);
	source_remove(question->timer);
	buffer_done(&question->out);
	buffer_done(&question->in);
	close_fdp(&question->host_fd);
	free(question);
}

static void question_end(void *data)
{
	struct question *question = data;
	struct names *names = question->names;
	struct question **link = &names->questions;

	while (*link != question)
		link = &(*link)->next;
	*link = question->next;
	names->n_questions--;
	question_free(question);
}

/* What is asked fits an empty buffer, or there is nobody to ask. */
static bool ask(struct question *question)
{
	const size_t size = buffer_length(&question->out);
	const bool asked = socket_is_connected(question->host_fd) &&
			   send(question->host_fd, buffer_data(&question->out), size,
				MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;

	buffer_consume(&question->out, size);
	if (asked)
		source_set_events(question->source, EPOLLIN);
	return asked;
}

/* What an asker takes by UDP: 512 bytes, or what it says (RFC 1035, 4.2.1; RFC 6891, 6.2.3). */
static uint16_t answer_max(const uint8_t *bytes, size_t size)
{
	uint16_t max = NS_PACKETSZ;
	ns_msg message;
	ns_rr record;

	if (ns_initparse(bytes, (int)size, &message) < 0)
		return max;
	for (int i = 0; i < ns_msg_count(message, ns_s_ar); i++)
		if (ns_parserr(&message, ns_s_ar, i, &record) == 0 &&
		    ns_rr_type(record) == ns_t_opt && ns_rr_class(record) > max)
			max = ns_rr_class(record);
	return max;
}

/* One that is too large becomes its header and question, which say so: the asker asks again by TCP.
 * Returns the size. */
static size_t cut(uint8_t *answer, size_t size)
{
	HEADER header;
	int name;

	if (size < sizeof(header))
		return 0;
	memcpy(&header, answer, sizeof(header));
	name =
	    header.qdcount == htons(1) ? dn_skipname(answer + sizeof(header), answer + size) : -1;
	size = name < 0 ? sizeof(header) : MIN(size, sizeof(header) + (size_t)name + NS_QFIXEDSZ);
	header.tc = 1;
	header.qdcount = htons(name < 0 ? 0 : 1);
	header.ancount = header.nscount = header.arcount = 0;
	memcpy(answer, &header, sizeof(header));
	return size;
}

static void reply(const struct question *question, uint8_t *answer, size_t size)
{
	if (size > question->answer_max)
		size = cut(answer, size);
	(void)sendto(question->names->udp_fd, answer, size, MSG_DONTWAIT,
		     (const struct sockaddr *)&question->from, sizeof(question->from));
}

/* The answer goes back once it is whole: true as long as it is not, and may be. */
static bool listen_on(struct question *question)
{
	struct buffer *in = &question->in;
	ssize_t n =
	    recv(question->host_fd, buffer_reserve(in, MESSAGE_MAX), MESSAGE_MAX, MSG_DONTWAIT);
	uint8_t length[LENGTH_SIZE];
	size_t size;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	buffer_commit(in, (size_t)n);
	if (buffer_length(in) < LENGTH_SIZE)
		return true;
	memcpy(length, buffer_data(in), sizeof(length));
	size = (size_t)length[0] << 8 | length[1];
	if (buffer_length(in) - LENGTH_SIZE < size)
		return true;
	reply(question, (uint8_t *)buffer_data(in) + LENGTH_SIZE, size);
	return false;
}

static void question_ready(void *data, uint32_t events)
{
	struct question *question = data;

	(void)events;
	if (!(buffer_length(&question->out) > 0 ? ask(question) : listen_on(question)))
		question_end(question);
}

static void question_new(struct names *names, const struct sockaddr_in *from, const uint8_t *bytes,
			 size_t size)
{
	const struct agent *agent = names->agent;
	const uint8_t length[LENGTH_SIZE] = { (uint8_t)(size >> 8), (uint8_t)size };
	struct question *question;

	if (names->n_questions == NAMES_QUESTIONS_MAX)
		return;
	question = xcalloc(1, sizeof(*question));
	question->names = names;
	question->from = *from;
	question->answer_max = answer_max(bytes, size);
	buffer_append(&question->out, length, sizeof(length));
	buffer_append(&question->out, bytes, size);
	question->host_fd = agent->dial(agent->dial_data, AGENT_NAMES_PORT);
	if (question->host_fd < 0 ||
	    loop_add_io(agent->loop, question->host_fd, EPOLLOUT, "question", question_ready,
			question, &question->source, NULL) < 0) {
		question_free(question);
		return;
	}
	question->timer =
	    loop_add_timer(agent->loop, NAMES_TIMEOUT_MS, "question", question_end, question);
	question->next = names->questions;
	names->questions = question;
	names->n_questions++;
}

static void udp_ready(void *data, uint32_t events)
{
	struct names *names = data;
	uint8_t bytes[MESSAGE_MAX];

	(void)events;
	for (unsigned i = 0; i < QUESTIONS_AT_A_TIME; i++) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(names->udp_fd, bytes, sizeof(bytes), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &size);

		if (n < 0)
			break;
		question_new(names, &from, bytes, (size_t)n);
	}
}

/* ---- by TCP ---- */

static void asker_leaves(struct visitor *visitor)
{
	close_fdp(&((struct asker *)visitor)->host_fd);
}

static void dialled(struct visitor *visitor)
{
	struct asker *asker = (struct asker *)visitor;

	if (socket_is_connected(asker->host_fd))
		visitor_join(visitor, TAKE_FD(asker->host_fd));
	else
		visitor_refuse(visitor);
}

static void dial(struct visitor *visitor)
{
	struct asker *asker = (struct asker *)visitor;
	const struct names *names = doorman_data(visitor->doorman);

	asker->host_fd = names->agent->dial(names->agent->dial_data, AGENT_NAMES_PORT);
	if (asker->host_fd < 0)
		visitor_refuse(visitor);
	else
		visitor_watch(visitor, asker->host_fd, EPOLLOUT, dialled);
}

static void accepted(void *data, int fd)
{
	doorman_admit(((struct names *)data)->doorman, fd, NULL);
}

/* ---- both ---- */

struct ends {
	int udp_fd, tcp_fd;
	struct names_ports ports;
};

static int bind_to(int type, const struct sockaddr_in *address)
{
	_cleanup_close_ int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, NAMES_QUESTIONS_MAX) < 0))
		return -1;
	return TAKE_FD(fd);
}

/* In the namespace: one port for both. */
static int open_ends(void *data, struct error **ret_error)
{
	struct ends *ends = data;

	for (unsigned i = 0; i < PORTS_MAX && ends->tcp_fd < 0; i++) {
		struct sockaddr_in address = { .sin_family = AF_INET,
					       .sin_addr = ends->ports.address };
		socklen_t size = sizeof(address);

		close_fdp(&ends->udp_fd);
		ends->udp_fd = bind_to(SOCK_DGRAM, &address);
		if (ends->udp_fd < 0 ||
		    getsockname(ends->udp_fd, (struct sockaddr *)&address, &size) < 0)
			break;
		ends->ports.other = address.sin_port;
		ends->tcp_fd = bind_to(SOCK_STREAM, &address);
	}
	if (ends->tcp_fd < 0)
		return error_set_errno(ret_error, errno,
				       "cannot listen on " AGENT_NAMES_ADDRESS " for names");
	return 0;
}

static int open_in(pid_t pid, struct ends *ends, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", (int)pid);
	_cleanup_close_ int ns_fd = open(path, O_RDONLY | O_CLOEXEC);

	if (ns_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the network namespace");
	return netns_run(ns_fd, open_ends, ends, ret_error);
}

int names_new(struct agent *agent, pid_t pid, const struct cgroup *cgroup, struct names **ret_names,
	      struct error **ret_error)
{
	_cleanup_(names_freep) struct names *names = xcalloc(1, sizeof(*names));
	const struct doorman_setup setup = { .visitor_size = sizeof(struct asker),
					     .came = dial,
					     .leaves = asker_leaves,
					     .data = names };
	struct ends ends = { .udp_fd = -1, .tcp_fd = -1, .ports.asked = htons(DNS_PORT) };

	(void)inet_pton(AF_INET, AGENT_NAMES_ADDRESS, &ends.ports.address);
	names->agent = agent;
	names->doorman = doorman_new(agent->loop, &setup);
	names->udp_fd = -1;
	if (open_in(pid, &ends, ret_error) < 0) {
		close_fdp(&ends.udp_fd);
		return -1;
	}
	names->udp_fd = ends.udp_fd;
	if (listener_new(agent->loop, ends.tcp_fd, "names", accepted, names, &names->tcp,
			 ret_error) < 0 ||
	    loop_add_io(agent->loop, names->udp_fd, EPOLLIN, "names", udp_ready, names, &names->udp,
			ret_error) < 0 ||
	    names_program_attach(cgroup->fd, &ends.ports, ret_error) < 0)
		return -1;
	*ret_names = TAKE_PTR(names);
	return 0;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	while (names->questions)
		question_end(names->questions);
	source_remove(names->udp);
	close_fdp(&names->udp_fd);
	listener_free(names->tcp);
	doorman_free(names->doorman);
	free(names);
}
