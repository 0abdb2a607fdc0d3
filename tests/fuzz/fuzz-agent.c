/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent answers (sandbox/agent-client.h): frames of any kind, replies of any content, to
 * Hello and to calls of every shape that are open; each call is answered once, and errors are plain
 * text.
 *
 * Input: rows of a byte: below 0x20 a call; below 0x80 a reply (which stream, a byte; status or
 * message; length, a byte; the bytes); else how many raw bytes follow.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/agent.pb-c.h"
#include "sandbox/agent-client.h"
#include "tests/fuzz/input.h"
#include "ttrpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct agent_client *agent;
	unsigned called, answered, greeted;
	bool closed;
};

static void on_greeted(void *data, const struct error *error)
{
	struct run *run = data;

	check(++run->greeted == 1 && !run->closed);
	check(!error || error->message);
}

static void on_closed(void *data)
{
	struct run *run = data;

	check(!run->closed && run->answered == run->called);
	run->closed = true;
}

static void on_reply(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct run *run = data;

	check(!response == !!error);
	run->answered++;
	for (const char *p = error ? agent_client_text(error) : ""; *p; p++)
		check(*p == '\t' || *p == '\n' || (unsigned char)*p >= ' ');
}

static void call(struct run *run, uint8_t which)
{
	static const struct {
		const char *method;
		const ProtobufCMessageDescriptor *response;
	} methods[] = {
		{ "Create", &agent__create_response__descriptor },
		{ "Wait", &agent__wait_response__descriptor },
		{ "Stats", &agent__stats_response__descriptor },
		{ "Processes", &agent__processes_response__descriptor },
		{ "Start", &agent__empty__descriptor },
	};
	const size_t i = which % ARRAY_SIZE(methods);
	Agent__Empty empty = AGENT__EMPTY__INIT;

	if (run->closed)
		return;
	run->called++;
	agent_client_call(run->agent, methods[i].method, &empty.base, methods[i].response, 0,
			  on_reply, run);
}

static void send_bytes(int fd, struct input *input, size_t n)
{
	n = MIN(n, input->left);
	(void)send(fd, input->at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	input->at += n;
	input->left -= n;
}

/* A frame whose head fits, with a response of these bytes as its payload or its status. */
static void reply(int fd, struct input *input, uint8_t what)
{
	uint8_t bytes[FRAME_HEADER_SIZE + 3 + 255];
	size_t n, at = FRAME_HEADER_SIZE;
	struct frame_header header = { .type = what & 0x40 ? what & 7 : FRAME_RESPONSE };

	header.stream = 1 + 2U * take(input);
	n = MIN((size_t)take(input), input->left);
	n = MIN(n, 127U);
	if (!(what & 8)) {
		bytes[at++] = what & 1 ? 0x0a : 0x12; /* ttrpc.Response: status or payload */
		bytes[at++] = (uint8_t)n;
	}
	memcpy(bytes + at, input->at, n);
	input->at += n;
	input->left -= n;
	at += n;
	header.length = (uint32_t)(at - FRAME_HEADER_SIZE);
	frame_header_encode(&header, bytes);
	(void)send(fd, bytes, at, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void step(struct loop *loop, int fd)
{
	uint8_t bytes[4096];

	for (int i = 0; i < 3; i++)
		loop_step(loop, 0);
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	struct input input = { data, size };
	struct run run = { 0 };
	const struct agent_client_events events = { on_greeted, on_closed, &run };
	int ours, theirs;

	log_set_level(LOG_LEVEL_ERROR);
	check((loop || loop_new(&loop, NULL) == 0) && unix_pair(&ours, &theirs, NULL) == 0 &&
	      set_nonblocking(theirs, true) == 0 &&
	      agent_client_new(loop, theirs, "name", &events, &run.agent, NULL) == 0);
	while (input.left > 0) {
		uint8_t what = take(&input);

		if (what < 0x20)
			call(&run, what);
		else if (what < 0x80)
			reply(ours, &input, what);
		else
			send_bytes(ours, &input, what - 0x80U);
		step(loop, ours);
	}
	(void)close(ours);
	for (int i = 0; i < 100 && !run.closed; i++)
		loop_step(loop, 0);
	check(run.closed && run.greeted == 1);
	agent_client_free(run.agent);
	return 0;
}
