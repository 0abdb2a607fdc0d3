/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about one process of the guest that a loop makes, on a connection of their own. */
#pragma once

#include <stdint.h>
#include <sys/ioctl.h>

#include "base/loop.h"
#include "client/handle.h"
#include "ttrpc/ttrpc.h"

struct task_calls {
	const struct handle *handle;
	const char *exec_id; /* "": init */
	struct ttrpc_client *client;
};

/* The handle and the id must outlive the calls. */
int task_calls_open(const struct handle *handle, const char *exec_id, struct loop *loop,
		    struct task_calls *ret_calls, struct error **ret_error);
/* Before the loop goes.  No function is called any more. */
void task_calls_close(struct task_calls *calls);
/* function gets the Task__WaitResponse, once the process has ended. */
void task_calls_wait(const struct task_calls *calls, ttrpc_reply_fn function, void *data);
/* What fails is only logged. */
void task_calls_kill(const struct task_calls *calls, uint32_t signal);
void task_calls_resize(const struct task_calls *calls, const struct winsize *size);
