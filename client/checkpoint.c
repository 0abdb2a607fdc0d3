/* SPDX-License-Identifier: Apache-2.0 */
/* Saving a container: see checkpoint.h. */
#include "client/checkpoint.h"

#include "protocol/sandbox.pb-c.h"
#include "ttrpc/any.h"

int checkpoint_container(const struct handle *handle, const char *directory, bool leave_running,
			 struct error **ret_error)
{
	Task__CheckpointTaskRequest request = TASK__CHECKPOINT_TASK_REQUEST__INIT;
	Sandbox__CheckpointOptions options = SANDBOX__CHECKPOINT_OPTIONS__INIT;
	Task__Any any = TASK__ANY__INIT;
	int result;

	options.exit = !leave_running;
	any_pack(&any, "supermachine.v1.CheckpointOptions", &options.base);
	request.id = handle->id;
	request.path = (char *)directory;
	request.options = &any;
	result = handle_call(handle, "Checkpoint", &request.base, &task__empty__descriptor, 0, NULL,
			     ret_error);
	any_done(&any);
	return result;
}
