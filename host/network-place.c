/* SPDX-License-Identifier: Apache-2.0 */
/* Where a machine lives: struct network_place of network.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/netns.h"
#include "host/network.h"
#include "host/tap.h"

bool network_is_own(int ns_fd)
{
	struct stat own, other;

	return stat("/proc/self/ns/net", &own) == 0 && fstat(ns_fd, &other) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

struct visit {
	const struct network_needs *needs;
	struct network_place *place;
};

static int make_taps(void *data, struct error **ret_error)
{
	const struct visit *visit = data;
	struct network_place *place = visit->place;
	_cleanup_error_ struct error *no_tap = NULL;

	if (place->ns_fd < 0)
		place->ns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (place->ns_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the network namespace");
	while (place->n_taps < visit->needs->n_taps &&
	       tap_new(place->n_queues, place->tap_fds[place->n_taps], &place->taps[place->n_taps],
		       &no_tap) == 0)
		place->n_taps++;
	if (no_tap)
		log_debug("%s", no_tap->message);
	return 0;
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		close_fdp(&fds[i]);
		fds[i] = -1;
	}
}

/* For each queue, or for none. */
static int open_vhost(size_t n, int *fds, struct error **ret_error)
{
	for (size_t i = 0; i < n; i++)
		if (vhost_net_open(&fds[i], ret_error) < 0) {
			close_all(fds, i);
			return -1;
		}
	return 0;
}

static void open_vhosts(struct network_place *place)
{
	_cleanup_error_ struct error *none = NULL;

	while (place->n_vhosts < place->n_taps &&
	       open_vhost(place->n_queues, place->vhost_fds[place->n_vhosts], &none) == 0)
		place->n_vhosts++;
	if (none)
		log_debug("%s: the VMM moves the frames", none->message);
}

/* The namespace at path, of which it is not known yet whether it is one. */
static int open_place(const char *path, struct network_place *place, struct error **ret_error)
{
	place->ns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (place->ns_fd < 0)
		return error_set_errno(ret_error, errno, "cannot join the network namespace %s",
				       path);
	place->own = network_is_own(place->ns_fd);
	if (place->own)
		log_warning("the network namespace %s is the host's own: a machine has no part in "
			    "its network",
			    path);
	return 0;
}

static int fill_place(const char *path, const struct network_needs *needs,
		      struct network_place *place, struct error **ret_error)
{
	struct visit visit = { .needs = needs, .place = place };
	_cleanup_error_ struct error *error = NULL;

	if (path && open_place(path, place, ret_error) < 0)
		return -1;
	if (place->own)
		return 0;
	if (!path)
		return netns_run(-1, make_taps, &visit, ret_error);
	if (netns_run(place->ns_fd, make_taps, &visit, &error) < 0)
		return error_set_errno(ret_error, error->code,
				       "cannot join the network namespace %s", path);
	return 0;
}

int network_place_open(const char *path, const struct network_needs *needs,
		       struct network_place *ret_place, struct error **ret_error)
{
	struct network_place place = NETWORK_PLACE_NONE;

	place.n_queues = needs->n_queues;
	if (fill_place(path, needs, &place, ret_error) < 0) {
		network_place_done(&place);
		return -1;
	}
	if (needs->vhost)
		open_vhosts(&place);
	*ret_place = place;
	return 0;
}

void network_place_close_taps(struct network_place *place)
{
	for (size_t i = 0; i < place->n_taps; i++)
		close_all(place->tap_fds[i], place->n_queues);
	for (; place->n_vhosts > 0; place->n_vhosts--)
		close_all(place->vhost_fds[place->n_vhosts - 1], place->n_queues);
}

void network_place_done(struct network_place *place)
{
	network_place_close_taps(place);
	place->n_taps = 0;
	close_fdp(&place->ns_fd);
	place->ns_fd = -1;
}
