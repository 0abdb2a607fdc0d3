/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's network, whole: see network.h.
 *
 * The whole job is done in the container's network namespace (base/netns.h), where the netlink
 * socket and /proc/sys/net are, while the agent waits.
 */
#include "agent/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/kernel-settings.h"
#include "agent/network-links.h"
#include "agent/network-objects.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/netns.h"

#define SETTING_PATH_MAX 256
#define SETTING_VALUE_MAX 4096

/* What a namespace has from the host. */
struct network {
	uint64_t cookie; /* of the namespace */
	char *id;	 /* the container that it was last asked for */
	bool lasting;	 /* the machine's, the guest's: it outlives every container */
	struct network_links links;
	struct network_objects objects;
	struct network *next;
};

struct networks {
	int machine_fd; /* -1: not needed so far */
	uint64_t machine_cookie;
	struct network *list;
};

static void network_free(struct network *network)
{
	network_objects_done(&network->objects);
	free(network->id);
	free(network);
}

struct networks *networks_new(void)
{
	struct networks *networks = xcalloc(1, sizeof(*networks));

	networks->machine_fd = -1;
	return networks;
}

void networks_free(struct networks *networks)
{
	if (!networks)
		return;
	while (networks->list) {
		struct network *network = networks->list;

		networks->list = network->next;
		network_free(network);
	}
	close_fdp(&networks->machine_fd);
	free(networks);
}

void networks_forget(struct networks *networks, const char *id)
{
	struct network **link = &networks->list;

	while (*link) {
		struct network *network = *link;

		if (network->lasting || strcmp(network->id, id) != 0) {
			link = &network->next;
			continue;
		}
		*link = network->next;
		network_free(network);
	}
}

static struct network *find_network(struct networks *networks, uint64_t cookie, const char *id)
{
	struct network *network = networks->list;

	while (network && network->cookie != cookie)
		network = network->next;
	if (!network) {
		network = xcalloc(1, sizeof(*network));
		network->cookie = cookie;
		network->next = networks->list;
		networks->list = network;
	}
	free(network->id);
	network->id = xstrdup(id);
	return network;
}

/* ---- the machine's namespace ---- */

static int open_made(void *data, struct error **ret_error)
{
	struct networks *networks = data;
	_cleanup_(netlink_freep) struct netlink *netlink = NULL;
	int fd;

	if (netlink_open(&netlink, ret_error) < 0 ||
	    netlink_namespace(netlink, &networks->machine_cookie, ret_error) < 0)
		return -1;
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the network namespace");
	networks->machine_fd = fd;
	return 0;
}

int networks_machine_fd(struct networks *networks, int *ret_fd, struct error **ret_error)
{
	if (networks->machine_fd < 0 && netns_run(-1, open_made, networks, ret_error) < 0)
		return -1;
	*ret_fd = networks->machine_fd;
	return 0;
}

/* ---- a request ---- */

/* Below /proc/sys/net, and nowhere else. */
static bool is_setting(const char *path)
{
	if (path[0] == '\0' || path[0] == '/' || strlen(path) > SETTING_PATH_MAX)
		return false;
	for (const char *part = path; part; part = strchr(part, '/')) {
		size_t length;

		if (*part == '/')
			part++;
		length = strcspn(part, "/");
		if (length == 0 || (length == 1 && part[0] == '.') ||
		    (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
	}
	return true;
}

static int check_settings(const Agent__NetworkRequest *request, struct error **ret_error)
{
	if (request->n_settings > NETWORK_SETTINGS_MAX)
		return error_set(ret_error, EINVAL, "more than %d network settings",
				 NETWORK_SETTINGS_MAX);
	for (size_t i = 0; i < request->n_settings; i++) {
		if (!is_setting(request->settings[i]->path))
			return error_set(ret_error, EINVAL, "\"%.64s\" is not a network setting",
					 request->settings[i]->path);
		if (strlen(request->settings[i]->value) > SETTING_VALUE_MAX)
			return error_set(ret_error, EINVAL, "the value of %s is too long",
					 request->settings[i]->path);
	}
	return 0;
}

/* All objects as the guest is to have them. */
static int rebuild(const Agent__NetworkRequest *request, const struct network_map *map,
		   struct network_objects *ret_objects, struct error **ret_error)
{
	if (request->n_objects > NETWORK_OBJECTS_MAX)
		return error_set(ret_error, EINVAL, "more than %d network objects",
				 NETWORK_OBJECTS_MAX);
	for (size_t i = 0; i < request->n_objects; i++) {
		const ProtobufCBinaryData *bytes = &request->objects[i];
		struct network_object *object;

		if (network_object_rebuild(bytes->data, bytes->len, map, &object, ret_error) < 0)
			return -1;
		if (object)
			network_objects_add(ret_objects, object);
	}
	return 0;
}

static int check(const Agent__NetworkRequest *request, struct error **ret_error)
{
	static const struct network_map nothing = { 0 };
	_cleanup_(network_objects_done) struct network_objects objects = { 0 };

	if (network_links_check(request->interfaces, request->n_interfaces, ret_error) < 0 ||
	    check_settings(request, ret_error) < 0)
		return -1;
	return rebuild(request, &nothing, &objects, ret_error);
}

/* One that the guest's kernel does not have is none that the container could miss; what config.json
 * says goes before what the namespace has. */
static int apply_settings(const Agent__NetworkRequest *request, const struct spec *spec,
			  struct error **ret_error)
{
	for (size_t i = 0; i < request->n_settings; i++) {
		_cleanup_free_ char *path =
		    xasprintf("/proc/sys/net/%s", request->settings[i]->path);
		_cleanup_error_ struct error *error = NULL;

		if (sysctl_has(spec->linux_.sysctl, spec->linux_.n_sysctl, path) ||
		    write_file(path, request->settings[i]->value, &error) == 0)
			continue;
		if (error->code != ENOENT)
			return error_set(ret_error, error->code, "network setting %s",
					 error->message);
		log_warning("network: the guest's kernel does not have %s", path);
	}
	return 0;
}

static void fill_map(const struct network_links *links, struct network_index *indices,
		     struct network_map *ret_map)
{
	for (size_t i = 0; i < links->n_links; i++)
		indices[i] = (struct network_index){ .host = links->links[i].wanted->index,
						     .guest = links->links[i].index,
						     .name = links->links[i].wanted->name };
	*ret_map = (struct network_map){ .indices = indices, .n_indices = links->n_links };
}

static int apply_in(const struct network_place *place, struct network *network,
		    const Agent__NetworkRequest *request, const struct spec *spec,
		    struct error **ret_error)
{
	_cleanup_(network_objects_done) struct network_objects wanted = { 0 };
	struct network_index indices[NETWORK_INTERFACES_MAX];
	struct network_map map;

	if (network_links_apply(place, &network->links, request->interfaces, request->n_interfaces,
				ret_error) < 0 ||
	    apply_settings(request, spec, ret_error) < 0 ||
	    network_links_up(place, &network->links, ret_error) < 0)
		return -1;
	fill_map(&network->links, indices, &map);
	if (rebuild(request, &map, &wanted, ret_error) < 0 ||
	    network_objects_remove_others(place->target, &network->objects, &wanted, &map,
					  ret_error) < 0)
		return -1;
	return network_objects_apply(place->target, &network->objects, &wanted, &map, ret_error);
}

struct job {
	struct networks *networks;
	const Agent__NetworkRequest *request;
	const struct spec *spec;
	int initial_fd, target_fd;
	struct netlink *initial;
};

/* In the container's namespace. */
static int apply(void *data, struct error **ret_error)
{
	const struct job *job = data;
	_cleanup_(netlink_freep) struct netlink *target = NULL;
	struct network_place place = { .initial = job->initial,
				       .initial_fd = job->initial_fd,
				       .target_fd = job->target_fd };
	uint64_t cookie, initial_cookie;
	struct network *network;
	int result;

	if (netlink_open(&target, ret_error) < 0 ||
	    netlink_namespace(target, &cookie, ret_error) < 0 ||
	    netlink_namespace(job->initial, &initial_cookie, ret_error) < 0)
		return -1;
	place.target = target;
	place.is_initial = cookie == initial_cookie;
	network = find_network(job->networks, cookie, job->request->id);
	network->lasting = place.is_initial || cookie == job->networks->machine_cookie;
	result = apply_in(&place, network, job->request, job->spec, ret_error);
	if (result == 0)
		result = sysctl_set_interfaces(job->spec->linux_.sysctl, job->spec->linux_.n_sysctl,
					       ret_error);
	/* The request is not ours to keep. */
	for (size_t i = 0; i < network->links.n_links; i++)
		network->links.links[i].wanted = NULL;
	return result;
}

int networks_apply(struct networks *networks, pid_t pid, const struct spec *spec,
		   const Agent__NetworkRequest *request, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", (int)pid);
	_cleanup_close_ int initial_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int target_fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(netlink_freep) struct netlink *initial = NULL;
	struct job job = { .networks = networks,
			   .request = request,
			   .spec = spec,
			   .initial_fd = initial_fd,
			   .target_fd = target_fd };

	/* (Its process is a zombie, which has no namespaces, or gone.) */
	if (target_fd < 0 && (errno == ENOENT || errno == ESRCH))
		return error_set(ret_error, EBUSY, "container not running");
	if (initial_fd < 0 || target_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open the network namespace");
	if (check(request, ret_error) < 0 || netlink_open(&initial, ret_error) < 0)
		return -1;
	job.initial = initial;
	return netns_run(target_fd, apply, &job, ret_error);
}
