/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network: see network.h. */
#include "sandbox/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/alloc.h"
#include "base/log.h"
#include "host/network.h"
#include "host/passt.h"
#include "protocol/agent.h"
#include "protocol/agent.pb-c.h"
#include "sandbox/sandbox.h"
#include "sandbox/sockets/host-names.h"

struct sandbox_network {
	struct sandbox *sandbox;
	struct network *network; /* NULL: passt's */
	struct source *events, *timer;
	struct host_names *names;	  /* NULL: not needed so far */
	bool unplugged[NETWORK_TAPS_MAX]; /* by slot: as the VMM was told last */
	/* What the agent was told last, for which container. */
	uint8_t *told;
	size_t told_size;
};

void sandbox_network_free(struct sandbox_network *network)
{
	if (!network)
		return;
	source_remove(network->events);
	source_remove(network->timer);
	network_free(network->network);
	host_names_free(network->names);
	free(network->told);
	free(network);
}

/* ---- the request ---- */

/* Points into the view. */
struct request {
	Agent__NetworkRequest message;
	Agent__Interface *interfaces, **interface_pointers;
	Agent__NetworkSetting *settings, **setting_pointers;
	struct vm_mac *slots;
};

static void request_done(struct request *request)
{
	free(request->interfaces);
	free(request->interface_pointers);
	free(request->settings);
	free(request->setting_pointers);
	free(request->message.objects);
	free(request->slots);
}

static void fill_interface(const struct network_interface *from, struct vm_mac *slot,
			   Agent__Interface *ret_interface)
{
	agent__interface__init(ret_interface);
	if (from->slot >= 0) {
		*slot = plan_slot_address((unsigned)from->slot);
		ret_interface->slot = (ProtobufCBinaryData){ sizeof(slot->bytes), slot->bytes };
		ret_interface->address =
		    (ProtobufCBinaryData){ NETWORK_ADDRESS_SIZE, (uint8_t *)from->address };
	}
	ret_interface->index = from->index;
	ret_interface->name = (char *)from->name;
	ret_interface->mtu = from->mtu;
	ret_interface->flags = from->flags;
	ret_interface->queue_length = from->queue_length;
}

static void fill_request(const struct network_view *view, const char *id, struct request *request)
{
	Agent__NetworkRequest *message = &request->message;

	agent__network_request__init(message);
	message->id = (char *)id;
	request->interfaces = xcalloc(view->n_interfaces, sizeof(*request->interfaces));
	request->interface_pointers = xcalloc(view->n_interfaces, sizeof(void *));
	request->slots = xcalloc(view->n_interfaces, sizeof(*request->slots));
	for (size_t i = 0; i < view->n_interfaces; i++) {
		fill_interface(&view->interfaces[i], &request->slots[i], &request->interfaces[i]);
		request->interface_pointers[i] = &request->interfaces[i];
	}
	message->interfaces = request->interface_pointers;
	message->n_interfaces = view->n_interfaces;
	request->settings = xcalloc(view->n_settings, sizeof(*request->settings));
	request->setting_pointers = xcalloc(view->n_settings, sizeof(void *));
	for (size_t i = 0; i < view->n_settings; i++) {
		agent__network_setting__init(&request->settings[i]);
		request->settings[i].path = view->settings[i].path;
		request->settings[i].value = view->settings[i].value;
		request->setting_pointers[i] = &request->settings[i];
	}
	message->settings = request->setting_pointers;
	message->n_settings = view->n_settings;
	message->objects = xcalloc(view->n_objects, sizeof(*message->objects));
	for (size_t i = 0; i < view->n_objects; i++)
		message->objects[i] =
		    (ProtobufCBinaryData){ view->objects[i].size, view->objects[i].bytes };
	message->n_objects = view->n_objects;
}

/* ---- telling the VMM ---- */

/* What is nobody's has its cable, for the next interface. */
static void tell_links(struct sandbox_network *network, const struct network_view *view)
{
	bool unplugged[NETWORK_TAPS_MAX] = { false };

	for (size_t i = 0; i < view->n_interfaces; i++)
		if (view->interfaces[i].slot >= 0)
			unplugged[view->interfaces[i].slot] = view->interfaces[i].no_carrier;
	for (size_t slot = 0; slot < NETWORK_TAPS_MAX; slot++)
		if (unplugged[slot] != network->unplugged[slot])
			vmm_set_link(network->sandbox->vmm, slot, !unplugged[slot]);
	memcpy(network->unplugged, unplugged, sizeof(unplugged));
}

/* ---- telling the agent ---- */

struct telling {
	struct sandbox *sandbox;
	char *id;
	bool names; /* a resolver of the namespace's own is wanted, and the way to it is there */
	unsigned attempts;
	sandbox_network_fn function;
	void *data;
};

static void forget_told(struct sandbox_network *network)
{
	free(network->told);
	network->told = NULL;
	network->told_size = 0;
}

static void finish(struct telling *telling, const struct error *error)
{
	telling->function(telling->data, error);
	free(telling->id);
	free(telling);
}

/* True: it is what was told last. */
static bool keep_told(struct sandbox_network *network, const Agent__NetworkRequest *message)
{
	size_t size = agent__network_request__get_packed_size(message);
	uint8_t *bytes = xmalloc(size + 1);
	bool same;

	(void)agent__network_request__pack(message, bytes);
	same =
	    network->told && size == network->told_size && memcmp(network->told, bytes, size) == 0;
	forget_told(network);
	network->told = bytes;
	network->told_size = size;
	return same;
}

static void told(void *data, const ProtobufCMessage *response, const struct error *error);

/* refused: why the agent could not do what it was told last; NULL: it could, or was told nothing.
 */
static void tell_once(struct sandbox_network *network, struct telling *telling,
		      const struct error *refused)
{
	_cleanup_(network_view_done) struct network_view view = { 0 };
	_cleanup_(request_done) struct request request = { 0 };
	_cleanup_error_ struct error *error = NULL;

	if (!network->network) {
		passt_view(&view);
	} else if (network_scan(network->network, &view, &error) < 0) {
		if (refused)
			forget_told(network);
		finish(telling, error);
		return;
	}
	tell_links(network, &view);
	fill_request(&view, telling->id, &request);
	request.message.names = telling->names;
	if (keep_told(network, &request.message)) {
		if (refused)
			forget_told(network);
		finish(telling, refused);
		return;
	}
	telling->attempts++;
	agent_client_call(network->sandbox->agent, "Network", &request.message.base,
			  &agent__empty__descriptor, AGENT_TIMEOUT_MS, told, telling);
}

/* The kernel lists one kind of things after the other: what changed meanwhile may not go together.
 * So what the agent refuses is worth another look. */
static void told(void *data, const ProtobufCMessage *response, const struct error *error)
{
	struct telling *telling = data;
	struct sandbox_network *network = telling->sandbox->network;

	(void)response;
	if (error && network && telling->attempts < NETWORK_TELL_MAX &&
	    sandbox_is_up(telling->sandbox)) {
		tell_once(network, telling, error);
		return;
	}
	if (error && network)
		forget_told(network);
	finish(telling, error);
}

/* Docker's resolver, which the container's resolv.conf names; that may change while it runs. */
static bool has_names(struct sandbox_network *network, const struct container *container)
{
	const struct sandbox *sandbox = network->sandbox;
	_cleanup_error_ struct error *error = NULL;

	if (!network->network || !host_names_are_wanted(container->spec))
		return false;
	if (!network->names &&
	    host_names_new(sandbox->loop, sandbox->options.directory,
			   network_namespace(network->network), &network->names, &error) < 0)
		log_warning("no names from " AGENT_NAMES_ADDRESS ": %s", error->message);
	return network->names;
}

/* As sandbox_network_tell(), for that container. */
static void tell(struct sandbox_network *network, const struct container *container,
		 sandbox_network_fn function, void *data)
{
	struct telling *telling = xcalloc(1, sizeof(*telling));

	*telling = (struct telling){ .sandbox = network->sandbox,
				     .id = xstrdup(container->guest_id),
				     .names = has_names(network, container),
				     .function = function,
				     .data = data };
	tell_once(network, telling, NULL);
}

/* ---- following ---- */

/* The container that the machine is made for may have a network that its bundle does not
 * ask for (--network). */
static bool has_network(const struct container *container)
{
	return container->sandbox->plan->network != PLAN_NETWORK_HOST &&
	       (container->main || (container->spec->has_linux &&
				    container->spec->linux_.namespaces[SPEC_NS_NETWORK].present));
}

/* Told from its start on: what changes while that goes on must not be missed. */
static bool is_told(const struct container *container)
{
	const enum task_state state = container->init->state;

	return has_network(container) &&
	       (state == TASK_STARTING || state == TASK_RUNNING || state == TASK_PAUSED);
}

/* (Of a machine that has ended something else tells.) */
static void followed(void *data, const struct error *error)
{
	(void)data;
	if (error && error->code != ECONNRESET)
		log_warning("the guest's network is not as the host's: %.*s", AGENT_TEXT_MAX,
			    agent_client_text(error));
}

static void follow(void *data)
{
	struct sandbox_network *network = data;
	const struct container *container = network->sandbox->containers;

	network->timer = NULL;
	while (container && !is_told(container))
		container = container->next;
	if (container && sandbox_is_up(network->sandbox))
		tell(network, container, followed, NULL);
}

static void changed(void *data, uint32_t events)
{
	struct sandbox_network *network = data;

	(void)events;
	network_drain(network->network);
	if (!network->timer)
		network->timer = loop_add_timer(network->sandbox->loop, NETWORK_SETTLE_MS,
						"network", follow, network);
}

static int begin(struct sandbox *sandbox, struct error **ret_error)
{
	struct sandbox_network *network;

	if (sandbox->network)
		return 0;
	network = xcalloc(1, sizeof(*network));
	network->sandbox = sandbox;
	/* passt's never changes. */
	if (sandbox->plan->network == PLAN_NETWORK_PASST) {
		sandbox->network = network;
		return 0;
	}
	if (vmm_network(sandbox->vmm, &network->network, ret_error) < 0 ||
	    loop_add_io(sandbox->loop, network_fd(network->network), EPOLLIN, "network", changed,
			network, &network->events, ret_error) < 0) {
		sandbox_network_free(network);
		return -1;
	}
	sandbox->network = network;
	return 0;
}

void sandbox_network_tell(struct container *container, sandbox_network_fn function, void *data)
{
	struct sandbox *sandbox = container->sandbox;
	_cleanup_error_ struct error *error = NULL;

	if (!has_network(container))
		function(data, NULL);
	else if (begin(sandbox, &error) < 0)
		function(data, error);
	else
		tell(sandbox->network, container, function, data);
}
