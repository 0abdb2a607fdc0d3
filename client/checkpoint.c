/* SPDX-License-Identifier: Apache-2.0 */
/* Saving a container: see checkpoint.h. */
#include "client/checkpoint.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "protocol/sandbox.pb-c.h"
#include "ttrpc/any.h"

/* Into the message, which keeps only pointers; caller frees. */
static Sandbox__Copy *fill_copies(char *const *names, Sandbox__CheckpointOptions *options)
{
	const size_t n = strv_length(names) / 2;
	Sandbox__Copy *copies = xcalloc(n + 1, sizeof(*copies) + sizeof(Sandbox__Copy *));

	options->copies = (Sandbox__Copy **)&copies[n + 1];
	for (size_t i = 0; i < n; i++) {
		sandbox__copy__init(&copies[i]);
		copies[i].source = names[2 * i];
		copies[i].target = names[2 * i + 1];
		options->copies[i] = &copies[i];
	}
	options->n_copies = n;
	return copies;
}

int checkpoint_container(const struct handle *handle, const struct checkpoint_request *request,
			 struct error **ret_error)
{
	Task__CheckpointTaskRequest call = TASK__CHECKPOINT_TASK_REQUEST__INIT;
	Sandbox__CheckpointOptions options = SANDBOX__CHECKPOINT_OPTIONS__INIT;
	Sandbox__Copy *copies = fill_copies(request->copies, &options);
	Task__Any any = TASK__ANY__INIT;
	int result;

	options.exit = !request->leave_running;
	options.pre_dump = request->memory_only;
	if (request->parent_path)
		options.parent_path = (char *)request->parent_path;
	if (request->work_path)
		options.work_path = (char *)request->work_path;
	any_pack(&any, "supermachine.v1.CheckpointOptions", &options.base);
	call.id = handle->id;
	call.path = (char *)request->directory;
	call.options = &any;
	result = handle_call(handle, "Checkpoint", &call.base, &task__empty__descriptor, 0, NULL,
			     ret_error);
	any_done(&any);
	free(copies);
	return result;
}
