/* SPDX-License-Identifier: Apache-2.0 */
/* Where a machine lives: struct network_place of network.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "host/network.h"
#include "host/tap.h"

struct visit {
	const char *path; /* NULL: a new namespace */
	size_t n_taps;
	struct network_place *place;
	int result;
	struct error *error;
};

bool network_is_own(int ns_fd)
{
	struct stat own, other;

	return stat("/proc/self/ns/net", &own) == 0 && fstat(ns_fd, &other) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

static int enter(const struct visit *visit, struct error **ret_error)
{
	struct network_place *place = visit->place;

	if (!visit->path && unshare(CLONE_NEWNET) < 0)
		return error_set_errno(ret_error, errno, "cannot make a network namespace");
	place->ns_fd =
	    open(visit->path ? visit->path : "/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (place->ns_fd < 0 || (visit->path && setns(place->ns_fd, CLONE_NEWNET) < 0))
		return error_set_errno(ret_error, errno, "cannot join the network namespace %s",
				       visit->path ? visit->path : "that was made");
	place->own = visit->path && network_is_own(place->ns_fd);
	if (place->own)
		log_warning("the network namespace %s is the host's own: a machine has no part in "
			    "its network",
			    visit->path);
	return 0;
}

/* A thread may be in another network namespace than its process. */
static void *be_there(void *data)
{
	struct visit *visit = data;
	struct network_place *place = visit->place;
	_cleanup_error_ struct error *no_tap = NULL;

	visit->result = enter(visit, &visit->error);
	while (visit->result == 0 && !place->own && place->n_taps < visit->n_taps &&
	       tap_new(&place->tap_fds[place->n_taps], &place->taps[place->n_taps], &no_tap) == 0)
		place->n_taps++;
	if (no_tap)
		log_debug("%s", no_tap->message);
	return NULL;
}

int network_place_open(const char *path, size_t n_taps, struct network_place *ret_place,
		       struct error **ret_error)
{
	struct network_place place = NETWORK_PLACE_NONE;
	struct visit visit = { .path = path, .n_taps = n_taps, .place = &place };
	pthread_t thread;
	int code = pthread_create(&thread, NULL, be_there, &visit);

	if (code != 0)
		return error_set_errno(ret_error, code, "cannot start a thread");
	(void)pthread_join(thread, NULL);
	if (visit.result < 0) {
		network_place_done(&place);
		*ret_error = visit.error;
		return -1;
	}
	*ret_place = place;
	return 0;
}

void network_place_close_taps(struct network_place *place)
{
	for (size_t i = 0; i < place->n_taps; i++) {
		close_fdp(&place->tap_fds[i]);
		place->tap_fds[i] = -1;
	}
}

void network_place_done(struct network_place *place)
{
	network_place_close_taps(place);
	place->n_taps = 0;
	close_fdp(&place->ns_fd);
	place->ns_fd = -1;
}
