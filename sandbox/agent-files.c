/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's files for the agent: see agent-files.h. */
#include "sandbox/agent-files.h"

#include <stdlib.h>

#include "base/alloc.h"

struct agent_files {
	Agent__Layer layers[PLAN_LAYERS_MAX], *layer_pointers[PLAN_LAYERS_MAX];
	Agent__Volume volumes[PLAN_VOLUMES_MAX], *volume_pointers[PLAN_VOLUMES_MAX];
	Agent__Socket sockets[PLAN_SOCKETS_MAX];
	Agent__Source *sources, **source_pointers;
	char **published;
};

static void fill_layers(struct agent_files *files, struct container_plan *plan,
			Agent__CreateRequest *request)
{
	for (size_t i = 0; i < plan->n_layers; i++) {
		Agent__Layer *layer = files->layer_pointers[i] = &files->layers[i];

		agent__layer__init(layer);
		layer->serial = plan->layers[i].serial;
		layer->type = plan->layers[i].type;
		layer->readonly = true;
		layer->offset = plan->layers[i].offset;
		layer->size = plan->layers[i].size;
	}
	request->layers = files->layer_pointers;
	request->n_layers = plan->n_layers;
}

static Agent__Source *next_source(struct agent_files *files, Agent__CreateRequest *request,
				  size_t mount)
{
	Agent__Source *source = &files->sources[request->n_sources];

	agent__source__init(source);
	source->mount = (uint32_t)mount;
	files->source_pointers[request->n_sources++] = source;
	return source;
}

static void fill_sources(struct agent_files *files, struct plan_files *plan,
			 Agent__CreateRequest *request)
{
	for (size_t i = 0; i < plan->n_shares; i++) {
		Agent__Source *source = next_source(files, request, plan->shares[i].mount);

		source->share = plan->shares[i].path;
		source->attributes = plan->shares[i].attributes;
		source->host_readonly = plan->shares[i].host_readonly;
	}
	for (size_t i = 0; i < plan->n_sockets; i++) {
		struct plan_socket *planned = &plan->sockets[i];
		Agent__Socket *socket = &files->sockets[i];

		agent__socket__init(socket);
		socket->port = planned->port;
		socket->key = (ProtobufCBinaryData){ sizeof(planned->key), planned->key };
		socket->mode = planned->mode;
		socket->uid = planned->uid;
		socket->gid = planned->gid;
		next_source(files, request, planned->mount)->socket = socket;
	}
}

static void fill_volumes(struct agent_files *files, struct plan_files *plan,
			 Agent__CreateRequest *request)
{
	for (size_t i = 0; i < plan->n_volumes; i++) {
		struct plan_volume *planned = &plan->volumes[i];
		Agent__Volume *volume = &files->volumes[request->n_volumes];

		if (planned->mount >= 0) {
			next_source(files, request, (size_t)planned->mount)->disk = planned->serial;
			continue;
		}
		agent__volume__init(volume);
		volume->serial = planned->serial;
		volume->destination = planned->destination;
		volume->readonly = planned->volume.readonly;
		files->volume_pointers[request->n_volumes++] = volume;
	}
	request->volumes = files->volume_pointers;
}

struct agent_files *agent_files_new(struct container_plan *plan, bool share,
				    Agent__CreateRequest *request)
{
	const size_t n_sources =
	    plan->files.n_shares + plan->files.n_sockets + plan->files.n_volumes + 1;
	struct agent_files *files = xcalloc(1, sizeof(*files));

	files->sources = xcalloc(n_sources, sizeof(files->sources[0]));
	files->source_pointers = xcalloc(n_sources, sizeof(Agent__Source *));
	request->sources = files->source_pointers;
	fill_layers(files, plan, request);
	fill_sources(files, &plan->files, request);
	fill_volumes(files, &plan->files, request);
	if (plan->files.root_share) {
		request->root_share = plan->files.root_share;
		request->root_attributes = plan->files.root_attributes;
	}
	files->published = xcalloc(plan->files.n_published + 1, sizeof(char *));
	for (size_t i = 0; i < plan->files.n_published; i++)
		files->published[i] = plan->files.published[i].path;
	request->published = files->published;
	request->n_published = plan->files.n_published;
	if (share)
		request->share_tag = (char *)PLAN_SHARE_TAG;
	return files;
}

void agent_files_free(struct agent_files *files)
{
	free(files->sources);
	free(files->source_pointers);
	free(files->published);
	free(files);
}
