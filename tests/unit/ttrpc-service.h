/* SPDX-License-Identifier: Apache-2.0 */
/* A small service for the ttrpc tests, and a server of it on its own thread. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/loop.h"
#include "protocol/task.pb-c.h"
#include "ttrpc/ttrpc.h"

#define TEST_SERVICE "test.Service"

/*
 * Methods, all with task.ExecProcessRequest:
 *	Echo	answers task.StateResponse with id, stdin and the metadata "key"
 *		as bundle
 *	Hold	waits until Release
 *	Release	answers every held call with its id and stdin, the last first, then
 *		itself
 *	Fail	fails with the code in id, and the message in stdin and a stray byte
 *	Fds	takes those descriptors that stdin lists, e.g. "02", reads from each
 *		one byte and answers them as stdout
 *	Big	answers with as many bytes of stdout as id says
 *	Free	frees the server, then answers
 */
struct held_call {
	struct ttrpc_call *call;
	const Task__ExecProcessRequest *request;
};
struct test_service {
	struct ttrpc_service service;
	struct ttrpc_server *server; /* NULL: freed */
	struct held_call held[4096];
	size_t n_held;
};
void test_service_release(struct test_service *service);

/* Makes service->server on the loop. */
void test_service_start(struct test_service *service, struct loop *loop);

/* Open descriptors of this process. */
size_t test_count_fds(void);

/* A server on a thread of its own. */
struct test_server {
	struct test_service service;
	struct loop *loop;
	pthread_t thread;
	atomic_int n_closed; /* connections of test_server_connect() */
};
void test_server_start(struct test_server *server);
/* A connected socket to it. */
int test_server_connect(struct test_server *server);
void test_server_stop(struct test_server *server);
