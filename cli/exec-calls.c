/* SPDX-License-Identifier: Apache-2.0 */
/* Execs: see exec-calls.h. */
#include "cli/exec-calls.h"

#include <string.h>

#include "protocol/task.pb-c.h"
#include "ttrpc/ttrpc.h"

int exec_call_new(const struct handle *handle, const struct exec_call *exec,
		  struct error **ret_error)
{
	Task__ExecProcessRequest request = TASK__EXEC_PROCESS_REQUEST__INIT;
	Task__Any spec = TASK__ANY__INIT;
	ProtobufCMessage *response = NULL;
	const struct ttrpc_request call = { .service = TASK_SERVICE,
					    .method = "Exec",
					    .message = &request.base,
					    .response = &task__empty__descriptor,
					    .timeout_ms = CALL_TIMEOUT_MS,
					    .fds = exec->fds,
					    .n_fds = exec->n_fds };

	spec.type_url = (char *)"types.containerd.io/opencontainers/runtime-spec/1/Process";
	spec.value.data = (uint8_t *)exec->process;
	spec.value.len = strlen(exec->process);
	request.id = handle->id;
	request.exec_id = (char *)exec->id;
	request.terminal = exec->terminal;
	request.spec = &spec;
	if (exec->in)
		request.stdin = (char *)exec->in;
	if (exec->out)
		request.stdout = (char *)exec->out;
	if (exec->error)
		request.stderr = (char *)exec->error;
	if (ttrpc_call_sync(handle->server_fd, handle->cancel_fd, &call, &response, ret_error) < 0)
		return -1;
	protobuf_c_message_free_unpacked(response, NULL);
	return 0;
}

int exec_call_start(const struct handle *handle, const char *id, unsigned timeout_ms,
		    struct error **ret_error)
{
	Task__StartRequest request = TASK__START_REQUEST__INIT;

	request.id = handle->id;
	request.exec_id = (char *)id;
	return handle_call(handle, "Start", &request.base, &task__start_response__descriptor,
			   timeout_ms, NULL, ret_error);
}

int exec_call_delete(const struct handle *handle, const char *id, struct error **ret_error)
{
	Task__DeleteRequest request = TASK__DELETE_REQUEST__INIT;

	request.id = handle->id;
	request.exec_id = (char *)id;
	return handle_call(handle, "Delete", &request.base, &task__delete_response__descriptor,
			   CALL_TIMEOUT_MS, NULL, ret_error);
}
