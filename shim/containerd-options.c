/* SPDX-License-Identifier: Apache-2.0 */
/* What containerd writes to a shim's stdin: see containerd.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "shim/containerd.h"
#include "ttrpc/any.h"
#include "ttrpc/message.h"

/* Bytes of an Any may read as BootstrapParams too: it must name this container. */
static bool is_ours(const struct containerd *containerd, const Shim__BootstrapParams *bootstrap)
{
	return containerd->id && containerd->namespace &&
	       strcmp(bootstrap->instance_id, containerd->id) == 0 &&
	       strcmp(bootstrap->namespace_, containerd->namespace) == 0;
}

int shim_input_read(const struct containerd *containerd, struct shim_input *ret_input,
		    struct error **ret_error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	*ret_input = (struct shim_input){ 0 };
	if (read_file_fd(STDIN_FILENO, "the options on stdin", TTRPC_MESSAGE_MAX, &bytes, &size,
			 ret_error) < 0)
		return -1;
	if (size == 0)
		return 0;
	ret_input->bootstrap = (Shim__BootstrapParams *)message_unpack(
	    &shim__bootstrap_params__descriptor, (uint8_t *)bytes, size, NULL);
	if (ret_input->bootstrap && is_ours(containerd, ret_input->bootstrap))
		return 0;
	if (ret_input->bootstrap)
		shim__bootstrap_params__free_unpacked(TAKE_PTR(ret_input->bootstrap), NULL);
	ret_input->any =
	    (Task__Any *)message_unpack(&task__any__descriptor, (uint8_t *)bytes, size, NULL);
	if (!ret_input->any)
		return error_set(ret_error, EINVAL,
				 "the options on stdin are not a google.protobuf.Any");
	return 0;
}

void shim_input_done(struct shim_input *input)
{
	if (input->bootstrap)
		shim__bootstrap_params__free_unpacked(input->bootstrap, NULL);
	if (input->any)
		task__any__free_unpacked(input->any, NULL);
}

const Task__Any *shim_input_options(const struct shim_input *input)
{
	static const char *const types[] = { RUNC_OPTIONS, RUNC_CREATE_OPTIONS, RUNTIME_OPTIONS };

	if (!input->bootstrap)
		return input->any;
	for (size_t i = 0; i < input->bootstrap->n_extensions; i++)
		for (size_t k = 0; k < ARRAY_SIZE(types); k++)
			if (any_is(input->bootstrap->extensions[i]->value, types[k]))
				return input->bootstrap->extensions[i]->value;
	return NULL;
}
