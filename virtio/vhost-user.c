/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user transport: see vhost-user.h.  Here are the requests; messages
 * are read in vhost-wire.c, memory is mapped in vhost-ram.c, and rings run in
 * vhost-rings.c.
 *
 * A request is answered in one of three ways ("REPLY_ACK"): with a reply of its
 * own; where the front-end asked for it, with 0 or, when it is refused, 1; or not
 * at all.  A refusal that cannot be told ends the connection: a front-end that
 * went on would believe what is not so.
 */
#include "virtio/vhost-user.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "virtio/transport.h"
#include "virtio/vhost-rings.h"
#include "virtio/vhost-wire.h"

/* A round: other sources of the loop get their turn. */
#define MESSAGES_MAX 64

struct vhost_user {
	struct vhost_rings rings;
	struct virtio_device *device; /* the rings' */
	int socket;
	struct source *source;
	struct vhost_message message; /* the one being read */
	uint64_t protocol_features;   /* accepted */
	int backend_fd;		      /* the channel for our own requests; -1: none */
	int config_fd;		      /* any thread: the configuration has changed */
	struct source *config_source;
	struct ratelimit refusals;
	vhost_user_lost_fn lost;
	void *data;
	vhost_user_changed_fn changed; /* NULL: nobody asked to be told */
	void *changed_data;
};

/* A request's payload when it came, and the reply's: size bytes of it. */
typedef int (*handler_fn)(struct vhost_user *transport, struct vhost_message *message,
			  uint32_t *ret_reply_size, struct error **ret_error);

static bool accepted(const struct vhost_user *transport, enum vhost_protocol_feature feature)
{
	return transport->protocol_features & 1ULL << feature;
}

/* ---- features ---- */

static int get_features(struct vhost_user *transport, struct vhost_message *message,
			uint32_t *ret_reply_size, struct error **ret_error)
{
	(void)ret_error;
	message->payload.u64 =
	    transport_features(transport->device) | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES;
	*ret_reply_size = sizeof(message->payload.u64);
	return 0;
}

static int set_features(struct vhost_user *transport, struct vhost_message *message,
			uint32_t *ret_reply_size, struct error **ret_error)
{
	(void)ret_reply_size;
	return vhost_rings_set_features(&transport->rings, message->payload.u64, ret_error);
}

static uint64_t offered_protocol_features(const struct vhost_user *transport)
{
	const struct virtio_device *device = transport->device;
	uint64_t features = 1ULL << VHOST_PROTOCOL_F_MQ | 1ULL << VHOST_PROTOCOL_F_REPLY_ACK |
			    1ULL << VHOST_PROTOCOL_F_RESET_DEVICE;

	/* Being offered another configuration than its own, QEMU 7.2 crashes. */
	if (device->config_size > 0 && !device->config_apart)
		features |= 1ULL << VHOST_PROTOCOL_F_CONFIG | 1ULL << VHOST_PROTOCOL_F_BACKEND_REQ;
	return features;
}

static int get_protocol_features(struct vhost_user *transport, struct vhost_message *message,
				 uint32_t *ret_reply_size, struct error **ret_error)
{
	(void)ret_error;
	message->payload.u64 = offered_protocol_features(transport);
	*ret_reply_size = sizeof(message->payload.u64);
	return 0;
}

static int set_protocol_features(struct vhost_user *transport, struct vhost_message *message,
				 uint32_t *ret_reply_size, struct error **ret_error)
{
	uint64_t unknown = message->payload.u64 & ~offered_protocol_features(transport);

	(void)ret_reply_size;
	if (unknown)
		return error_set(ret_error, EOPNOTSUPP, "protocol features 0x%llx were not offered",
				 (unsigned long long)unknown);
	transport->protocol_features = message->payload.u64;
	return 0;
}

static int get_queue_num(struct vhost_user *transport, struct vhost_message *message,
			 uint32_t *ret_reply_size, struct error **ret_error)
{
	const struct virtio_device *device = transport->device;

	(void)ret_error;
	message->payload.u64 = device->n_vhost_queues ? device->n_vhost_queues : device->n_queues;
	*ret_reply_size = sizeof(message->payload.u64);
	return 0;
}

/* SET_OWNER, which says nothing new on a connection with one front-end, and
 * RESET_OWNER, deprecated and best ignored. */
static int ignore(struct vhost_user *transport, struct vhost_message *message,
		  uint32_t *ret_reply_size, struct error **ret_error)
{
	(void)transport, (void)message, (void)ret_reply_size, (void)ret_error;
	return 0;
}

/* ---- memory ---- */

static int set_mem_table(struct vhost_user *transport, struct vhost_message *message,
			 uint32_t *ret_reply_size, struct error **ret_error)
{
	const struct vhost_mem_table *table = &message->payload.mem_table;
	struct vhost_ram ram;

	(void)ret_reply_size;
	if (table->n_regions > MEM_REGIONS_MAX ||
	    message->header.size != offsetof(struct vhost_mem_table, regions[table->n_regions]) ||
	    message->n_fds != table->n_regions)
		return error_set(ret_error, EPROTO,
				 "%u memory regions in %u bytes with %zu descriptors",
				 table->n_regions, message->header.size, message->n_fds);
	if (vhost_ram_map(table->regions, message->fds, table->n_regions, &ram, ret_error) < 0)
		return -1;
	vhost_rings_set_ram(&transport->rings, &ram);
	return 0;
}

/* ---- rings ---- */

static int set_vring_num(struct vhost_user *transport, struct vhost_message *message,
			 uint32_t *ret_reply_size, struct error **ret_error)
{
	const struct vhost_vring_state *state = &message->payload.state;

	(void)ret_reply_size;
	return vhost_rings_set_size(&transport->rings, state->index, state->num, ret_error);
}

static int set_vring_addr(struct vhost_user *transport, struct vhost_message *message,
			  uint32_t *ret_reply_size, struct error **ret_error)
{
	(void)ret_reply_size;
	return vhost_rings_set_addresses(&transport->rings, &message->payload.addr, ret_error);
}

static int set_vring_base(struct vhost_user *transport, struct vhost_message *message,
			  uint32_t *ret_reply_size, struct error **ret_error)
{
	const struct vhost_vring_state *state = &message->payload.state;

	(void)ret_reply_size;
	return vhost_rings_set_base(&transport->rings, state->index, state->num, ret_error);
}

static int get_vring_base(struct vhost_user *transport, struct vhost_message *message,
			  uint32_t *ret_reply_size, struct error **ret_error)
{
	struct vhost_vring_state *state = &message->payload.state;

	*ret_reply_size = sizeof(*state);
	return vhost_rings_get_base(&transport->rings, state->index, &state->num, ret_error);
}

static int set_vring_enable(struct vhost_user *transport, struct vhost_message *message,
			    uint32_t *ret_reply_size, struct error **ret_error)
{
	const struct vhost_vring_state *state = &message->payload.state;

	(void)ret_reply_size;
	return vhost_rings_enable(&transport->rings, state->index, state->num, ret_error);
}

static int set_vring_fd(struct vhost_user *transport, struct vhost_message *message,
			uint32_t *ret_reply_size, struct error **ret_error)
{
	static int (*const setters[VHOST_REQUESTS])(struct vhost_rings *, uint32_t, int,
						    struct error **) = {
		[VHOST_SET_VRING_KICK] = vhost_rings_set_kick,
		[VHOST_SET_VRING_CALL] = vhost_rings_set_call,
		[VHOST_SET_VRING_ERR] = vhost_rings_set_err,
	};
	uint64_t value = message->payload.u64;
	size_t n_fds = value & VHOST_VRING_NO_FD ? 0 : 1;

	(void)ret_reply_size;
	if (value & ~(uint64_t)(VHOST_VRING_INDEX_MASK | VHOST_VRING_NO_FD) ||
	    message->n_fds != n_fds)
		return error_set(ret_error, EPROTO, "ring descriptor 0x%llx with %zu descriptors",
				 (unsigned long long)value, message->n_fds);
	return setters[message->header.request](&transport->rings,
						(uint32_t)(value & VHOST_VRING_INDEX_MASK),
						n_fds > 0 ? message->fds[0] : -1, ret_error);
}

static int reset_device(struct vhost_user *transport, struct vhost_message *message,
			uint32_t *ret_reply_size, struct error **ret_error)
{
	(void)message, (void)ret_reply_size, (void)ret_error;
	vhost_rings_reset(&transport->rings);
	return 0;
}

/* ---- configuration space ---- */

static bool config_is_whole(const struct vhost_message *message)
{
	const struct vhost_config *config = &message->payload.config;

	return config->size <= VHOST_CONFIG_MAX &&
	       message->header.size == VHOST_CONFIG_HEADER + config->size &&
	       config->offset <= VHOST_CONFIG_MAX - config->size;
}

/* A front-end may know a longer configuration space than we do, with fields of
 * features that are not offered: those read as 0. */
static int get_config(struct vhost_user *transport, struct vhost_message *message,
		      uint32_t *ret_reply_size, struct error **ret_error)
{
	struct virtio_device *device = transport->device;
	struct vhost_config *config = &message->payload.config;

	if (!config_is_whole(message))
		return error_set(ret_error, EPROTO, "configuration 0x%x+0x%x in %u bytes",
				 config->offset, config->size, message->header.size);
	memset(config->bytes, 0, config->size);
	(void)pthread_mutex_lock(&device->lock);
	if (config->size > 0 && config->offset < device->config_size)
		virtio_device_config_read(device, config->offset, config->bytes,
					  MIN(config->size, device->config_size - config->offset));
	(void)pthread_mutex_unlock(&device->lock);
	*ret_reply_size = message->header.size;
	return 0;
}

static int set_config(struct vhost_user *transport, struct vhost_message *message,
		      uint32_t *ret_reply_size, struct error **ret_error)
{
	struct virtio_device *device = transport->device;
	const struct vhost_config *config = &message->payload.config;

	(void)ret_reply_size;
	if (!config_is_whole(message))
		return error_set(ret_error, EPROTO, "configuration 0x%x+0x%x in %u bytes",
				 config->offset, config->size, message->header.size);
	if (config->flags != 0)
		return error_set(ret_error, EOPNOTSUPP, "flags 0x%x (migration?)", config->flags);
	if (!device->ops->config_write)
		return error_set(ret_error, EROFS, "the configuration is read-only");
	(void)pthread_mutex_lock(&device->lock);
	virtio_device_config_write(device, config->offset, config->bytes, config->size);
	(void)pthread_mutex_unlock(&device->lock);
	return 0;
}

static int set_backend_req_fd(struct vhost_user *transport, struct vhost_message *message,
			      uint32_t *ret_reply_size, struct error **ret_error)
{
	(void)ret_reply_size;
	if (message->n_fds != 1)
		return error_set(ret_error, EPROTO, "back-end channel with %zu descriptors",
				 message->n_fds);
	close_fdp(&transport->backend_fd);
	transport->backend_fd = TAKE_FD(message->fds[0]);
	return 0;
}

static void on_config_change(void *data, uint32_t events)
{
	struct vhost_user *transport = data;
	const struct vhost_header header = { .request = VHOST_BACKEND_CONFIG_CHANGE_MSG,
					     .flags = VHOST_FLAG_VERSION };
	_cleanup_error_ struct error *error = NULL;

	(void)events; /* edge-triggered */
	if (transport->changed)
		transport->changed(transport->changed_data);
	if (transport->backend_fd >= 0 &&
	    vhost_message_send(transport->backend_fd, &header, NULL, &error) < 0) {
		log_debug("%s: %s", transport->device->name, error->message);
		close_fdp(&transport->backend_fd);
		transport->backend_fd = -1;
	}
}

/* ---- dispatch ---- */

/* Whether a request comes with descriptors is for its handler to check if it may
 * have some. */
static const struct request {
	const char *name;
	handler_fn handle;
	uint32_t size_min, size_max; /* of the payload */
	bool has_fds;
	bool has_reply;
} requests[VHOST_REQUESTS] = {
#define U64 sizeof(uint64_t), sizeof(uint64_t)
#define STATE sizeof(struct vhost_vring_state), sizeof(struct vhost_vring_state)
#define ADDR sizeof(struct vhost_vring_addr), sizeof(struct vhost_vring_addr)
#define TABLE offsetof(struct vhost_mem_table, regions), sizeof(struct vhost_mem_table)
#define CONFIG VHOST_CONFIG_HEADER, sizeof(struct vhost_config)
	[VHOST_GET_FEATURES] = { "GET_FEATURES", get_features, 0, 0, false, true },
	[VHOST_SET_FEATURES] = { "SET_FEATURES", set_features, U64, false, false },
	[VHOST_SET_OWNER] = { "SET_OWNER", ignore, 0, 0, false, false },
	[VHOST_RESET_OWNER] = { "RESET_OWNER", ignore, 0, 0, false, false },
	[VHOST_SET_MEM_TABLE] = { "SET_MEM_TABLE", set_mem_table, TABLE, true, false },
	[VHOST_SET_VRING_NUM] = { "SET_VRING_NUM", set_vring_num, STATE, false, false },
	[VHOST_SET_VRING_ADDR] = { "SET_VRING_ADDR", set_vring_addr, ADDR, false, false },
	[VHOST_SET_VRING_BASE] = { "SET_VRING_BASE", set_vring_base, STATE, false, false },
	[VHOST_GET_VRING_BASE] = { "GET_VRING_BASE", get_vring_base, STATE, false, true },
	[VHOST_SET_VRING_KICK] = { "SET_VRING_KICK", set_vring_fd, U64, true, false },
	[VHOST_SET_VRING_CALL] = { "SET_VRING_CALL", set_vring_fd, U64, true, false },
	[VHOST_SET_VRING_ERR] = { "SET_VRING_ERR", set_vring_fd, U64, true, false },
	[VHOST_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", get_protocol_features, 0, 0,
					  false, true },
	[VHOST_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", set_protocol_features, U64,
					  false, false },
	[VHOST_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", get_queue_num, 0, 0, false, true },
	[VHOST_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", set_vring_enable, STATE, false, false },
	[VHOST_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", set_backend_req_fd, 0, 0, true,
				       false },
	[VHOST_GET_CONFIG] = { "GET_CONFIG", get_config, CONFIG, false, true },
	[VHOST_SET_CONFIG] = { "SET_CONFIG", set_config, CONFIG, false, false },
	[VHOST_RESET_DEVICE] = { "RESET_DEVICE", reset_device, 0, 0, false, false },
#undef U64
#undef STATE
#undef ADDR
#undef TABLE
#undef CONFIG
};

static const struct request *find_request(const struct vhost_message *message,
					  struct error **ret_error)
{
	const struct vhost_header *header = &message->header;
	const struct request *request =
	    header->request < VHOST_REQUESTS ? &requests[header->request] : NULL;

	if (!request || !request->handle) {
		(void)error_set(ret_error, EOPNOTSUPP, "request %u is not supported",
				header->request);
		return NULL;
	}
	if (header->size < request->size_min || header->size > request->size_max ||
	    (message->n_fds > 0 && !request->has_fds)) {
		(void)error_set(ret_error, EPROTO, "%s of %u bytes with %zu descriptors",
				request->name, header->size, message->n_fds);
		return NULL;
	}
	return request;
}

static int reply(const struct vhost_user *transport, const struct vhost_message *message,
		 uint32_t size, struct error **ret_error)
{
	const struct vhost_header header = {
		.request = message->header.request,
		.flags = VHOST_FLAG_VERSION | VHOST_FLAG_REPLY,
		.size = size,
	};

	return vhost_message_send(transport->socket, &header, &message->payload, ret_error);
}

/* Answers a refusal if the front-end waits for an answer; else it is passed on. */
static int refuse(struct vhost_user *transport, struct vhost_message *message, struct error **error)
{
	uint32_t suppressed;

	if (!accepted(transport, VHOST_PROTOCOL_F_REPLY_ACK) ||
	    !(message->header.flags & VHOST_FLAG_NEED_REPLY))
		return -1;
	if (ratelimit_pass(&transport->refusals, &suppressed))
		log_warning("%s: front-end: %s", transport->device->name, (*error)->message);
	error_free(TAKE_PTR(*error));
	message->payload.u64 = 1;
	return reply(transport, message, sizeof(message->payload.u64), error);
}

static int handle(struct vhost_user *transport, struct vhost_message *message,
		  struct error **ret_error)
{
	const struct request *request = find_request(message, ret_error);
	uint32_t reply_size = 0;

	if (!request)
		return refuse(transport, message, ret_error);
	log_debug("%s: %s", transport->device->name, request->name);
	if (request->handle(transport, message, &reply_size, ret_error) < 0) {
		(void)error_wrap(ret_error, "%s", request->name);
		return request->has_reply ? -1 : refuse(transport, message, ret_error);
	}
	if (!request->has_reply && accepted(transport, VHOST_PROTOCOL_F_REPLY_ACK) &&
	    message->header.flags & VHOST_FLAG_NEED_REPLY) {
		message->payload.u64 = 0;
		reply_size = sizeof(message->payload.u64);
	}
	return reply_size > 0 ? reply(transport, message, reply_size, ret_error) : 0;
}

/* ---- the transport ---- */

static void lose(struct vhost_user *transport, const struct error *error)
{
	source_clear(&transport->source);
	vhost_rings_reset(&transport->rings);
	/* The last thing: it may free the transport. */
	transport->lost(transport->data, error->message);
}

static void on_message(void *data, uint32_t events)
{
	struct vhost_user *transport = data;
	struct vhost_message *message = &transport->message;
	_cleanup_error_ struct error *error = NULL;
	int r = 0;

	(void)events;
	for (unsigned i = 0; i < MESSAGES_MAX; i++) {
		r = vhost_message_receive(message, transport->socket, &error);
		if (r == 0)
			break;
		if (r > 0)
			r = handle(transport, message, &error);
		vhost_message_clear(message);
		if (r < 0)
			break;
	}
	if (r < 0)
		lose(transport, error);
}

static void interrupt(struct virtio_device *device, unsigned queue)
{
	struct vhost_user *transport = device->transport;

	vhost_rings_interrupt(&transport->rings, queue);
}

static void config_interrupt(struct virtio_device *device)
{
	const struct vhost_user *transport = device->transport;

	eventfd_signal(transport->config_fd);
}

static void needs_reset(struct virtio_device *device)
{
	struct vhost_user *transport = device->transport;

	vhost_rings_fault(&transport->rings);
}

static int watch(struct vhost_user *transport, struct loop *loop, struct error **ret_error)
{
	if (set_nonblocking(transport->socket, true) < 0)
		return error_set_errno(ret_error, errno, "socket of the front-end");
	if (eventfd_new(&transport->config_fd, ret_error) < 0 ||
	    loop_add_io(loop, transport->config_fd, EPOLLIN | EPOLLET, "vhost-user-config",
			on_config_change, transport, &transport->config_source, ret_error) < 0)
		return -1;
	return loop_add_io(loop, transport->socket, EPOLLIN, "vhost-user", on_message, transport,
			   &transport->source, ret_error);
}

int vhost_user_new(struct virtio_device *device, int socket, struct loop *loop,
		   vhost_user_lost_fn lost, void *data, struct vhost_user **ret_transport,
		   struct error **ret_error)
{
	_cleanup_(vhost_user_freep) struct vhost_user *transport = xcalloc(1, sizeof(*transport));

	transport->device = device;
	transport->socket = socket;
	transport->backend_fd = transport->config_fd = -1;
	transport->lost = lost;
	transport->data = data;
	device->interrupt = interrupt;
	device->config_interrupt = config_interrupt;
	device->needs_reset = needs_reset;
	device->transport = transport;
	if (vhost_rings_init(&transport->rings, device, loop, ret_error) < 0 ||
	    watch(transport, loop, ret_error) < 0)
		return error_wrap(ret_error, "device %s", device->name);
	*ret_transport = TAKE_PTR(transport);
	return 0;
}

void vhost_user_on_change(struct vhost_user *transport, vhost_user_changed_fn changed, void *data)
{
	transport->changed = changed;
	transport->changed_data = data;
}

void vhost_user_free(struct vhost_user *transport)
{
	if (!transport)
		return;
	source_remove(transport->source);
	source_remove(transport->config_source);
	vhost_rings_done(&transport->rings);
	vhost_message_clear(&transport->message);
	close_fdp(&transport->socket);
	close_fdp(&transport->backend_fd);
	close_fdp(&transport->config_fd);
	free(transport);
}
