/* SPDX-License-Identifier: Apache-2.0 */
/* Running a container: see run-container.h. */
#include "cli/run-container.h"

#include <errno.h>

#include "base/log.h"
#include "cli/attach.h"
#include "cli/health-watch.h"
#include "cli/start-notice.h"
#include "client/delete.h"

/* A signal came before the answer.  A program that runs (poststart hooks are waited for)
 * gets it; else it ends the verb. */
static bool has_started(struct handle *handle)
{
	enum container_status status = STATUS_CREATED;

	handle_reconnect(handle);
	return handle_status(handle, &status, NULL) == 0 && status != STATUS_CREATED;
}

int run_start(struct handle *handle, struct error **ret_error)
{
	Task__StartRequest request = TASK__START_REQUEST__INIT;
	_cleanup_error_ struct error *error = NULL;

	request.id = handle->id;
	if (handle_call(handle, "Start", &request.base, &task__start_response__descriptor, 0, NULL,
			ret_error) < 0) {
		if ((*ret_error)->code != ECANCELED || !has_started(handle))
			return -1;
		error_free(TAKE_PTR(*ret_error));
	}
	handle->cancel_fd = -1;
	/* `kill`, `exec` and the others come while it runs. */
	close_fdp(&handle->lock_fd);
	handle->lock_fd = -1;
	/* It runs all the same. */
	if (health_watch(handle, &error) < 0)
		log_warning("container %s: no health checks: %s", handle->id, error->message);
	return 0;
}

static int start(void *data, struct error **ret_error)
{
	return run_start(data, ret_error);
}

static int run_attached(struct created *created, unsigned *ret_status, struct error **ret_error)
{
	const struct attachment attachment = { .handle = created->handle,
					       .exec_id = "",
					       .master = TAKE_FD(created->pty.master),
					       .slave = -1,
					       .start = start,
					       .data = created->handle };

	return attach_run(&attachment, ret_status, ret_error);
}

int run_container(const struct client *client, const struct create_options *options, const char *id,
		  struct error **ret_error)
{
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_error_ struct error *error = NULL;
	struct start_notice *notice = start_notice_begin();
	struct created created;
	unsigned status = 0;
	int result;

	result = create_container(client, options, id, &created, ret_error);
	start_notice_end(notice);
	if (result < 0)
		return -1;
	handle = created.handle;
	if (options->detach)
		result = run_start(handle, ret_error);
	else
		result = run_attached(&created, &status, ret_error);
	pty_close(&created.pty);
	if (result == 0 && options->detach)
		close_fdp(&created.interrupts.fd);
	if (result == 0 && (options->detach || options->keep))
		return (int)status;
	close_fdp(&handle->lock_fd);
	handle->lock_fd = -1;
	/* Another's `delete` may have been first. */
	if (delete_container(client->root, id, true, &error) < 0)
		log_warning("cannot delete container %s: %s", id, error->message);
	if (result == 0)
		return (int)status;
	interrupts_let_through(&created.interrupts);
	return -1;
}
