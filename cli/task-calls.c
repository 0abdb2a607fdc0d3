/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about one process of the guest: see task-calls.h. */
#include "cli/task-calls.h"

#include "base/log.h"

int task_calls_open(const struct handle *handle, const char *exec_id, struct loop *loop,
		    struct task_calls *ret_calls, struct error **ret_error)
{
	/* The synchronous one's streams are numbered apart. */
	const int fd = handle_connect(handle, ret_error);

	*ret_calls = (struct task_calls){ .handle = handle, .exec_id = exec_id };
	return fd < 0 ? -1 : ttrpc_client_new(loop, fd, NULL, NULL, &ret_calls->client, ret_error);
}

void task_calls_close(struct task_calls *calls)
{
	ttrpc_client_free(calls->client);
	calls->client = NULL;
}

void task_calls_wait(const struct task_calls *calls, ttrpc_reply_fn function, void *data)
{
	Task__WaitRequest message = TASK__WAIT_REQUEST__INIT;
	const struct ttrpc_request request = { .service = TASK_SERVICE,
					       .method = "Wait",
					       .message = &message.base,
					       .response = &task__wait_response__descriptor };

	message.id = calls->handle->id;
	message.exec_id = (char *)calls->exec_id;
	ttrpc_client_call(calls->client, &request, function, data);
}

static void on_done(void *data, const ProtobufCMessage *response, const struct error *error)
{
	const char *what = data;

	(void)response;
	if (error)
		log_debug("%s: %s", what, error->message);
}

static void call(const struct task_calls *calls, const char *method,
		 const ProtobufCMessage *message)
{
	const struct ttrpc_request request = { .service = TASK_SERVICE,
					       .method = method,
					       .message = message,
					       .response = &task__empty__descriptor,
					       .timeout_ms = CALL_TIMEOUT_MS };

	ttrpc_client_call(calls->client, &request, on_done, (char *)method);
}

void task_calls_kill(const struct task_calls *calls, uint32_t signal)
{
	Task__KillRequest message = TASK__KILL_REQUEST__INIT;

	message.id = calls->handle->id;
	message.exec_id = (char *)calls->exec_id;
	message.signal = signal;
	call(calls, "Kill", &message.base);
}

void task_calls_resize(const struct task_calls *calls, const struct winsize *size)
{
	Task__ResizePtyRequest message = TASK__RESIZE_PTY_REQUEST__INIT;

	message.id = calls->handle->id;
	message.exec_id = (char *)calls->exec_id;
	message.width = size->ws_col;
	message.height = size->ws_row;
	call(calls, "ResizePty", &message.base);
}
