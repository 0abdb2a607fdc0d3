/* SPDX-License-Identifier: Apache-2.0 */
/* Other network namespaces: see netns.h. */
#include "base/netns.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

struct job {
	int ns_fd;
	int (*run)(void *data, struct error **ret_error);
	void *data;
	int result;
	struct error *error;
};

static int enter_and_run(const struct job *job, struct error **ret_error)
{
	if (job->ns_fd < 0 && unshare(CLONE_NEWNET) < 0)
		return error_set_errno(ret_error, errno, "cannot make a network namespace");
	if (job->ns_fd >= 0 && setns(job->ns_fd, CLONE_NEWNET) < 0)
		return error_set_errno(ret_error, errno, "cannot enter the network namespace");
	return job->run(job->data, ret_error);
}

static void *work(void *data)
{
	struct job *job = data;

	job->result = enter_and_run(job, &job->error);
	return NULL;
}

int netns_run(int ns_fd, int (*run)(void *data, struct error **ret_error), void *data,
	      struct error **ret_error)
{
	struct job job = { .ns_fd = ns_fd, .run = run, .data = data };
	pthread_t thread;
	int code = pthread_create(&thread, NULL, work, &job);

	if (code != 0)
		return error_set_errno(ret_error, code, "cannot start a thread");
	(void)pthread_join(thread, NULL);
	if (ret_error)
		*ret_error = job.error;
	else
		error_free(job.error);
	return job.result;
}
