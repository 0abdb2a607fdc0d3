/* SPDX-License-Identifier: Apache-2.0 */
/* From a bundle to a container: see container-plan.h. */
#include "sandbox/plan/container-plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "runtime-spec/machine-options.h"

void container_plan_free(struct container_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n_layers; i++) {
		free(plan->layers[i].type);
		free(plan->layers[i].path);
	}
	plan_files_done(&plan->files);
	free(plan);
}

static int plan_layer(const Task__Mount *mount, struct container_plan *plan,
		      struct error **ret_error)
{
	static const char *const types[] = { "squashfs", "erofs", "ext4" };
	struct plan_layer *layer = &plan->layers[plan->n_layers];
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		known = known || strcmp(mount->type, types[i]) == 0;
	if (!known)
		return error_set(
		    ret_error, ENOTSUP,
		    "a root file system of type \"%s\" (%s) is not supported yet: only "
		    "squashfs, erofs and ext4 images are",
		    mount->type, mount->source);
	if (access(mount->source, R_OK) < 0)
		return error_set_errno(ret_error, errno, "cannot read the layer %s", mount->source);
	layer->type = xstrdup(mount->type);
	layer->path = xstrdup(mount->source);
	plan->n_layers++;
	return 0;
}

/* Several files are one disk: each disk costs the guest a part of its start, and there are not
 * places for many (decision 023).  A file that changes meanwhile is at a place where the guest does
 * not find its file system. */
static int join_layers(struct container_plan *plan, struct error **ret_error)
{
	uint64_t end = 0;
	struct stat st;

	for (size_t i = 0; i < plan->n_layers; i++) {
		struct plan_layer *layer = &plan->layers[i];

		if (stat(layer->path, &st) < 0)
			return error_set_errno(ret_error, errno, "the layer %s", layer->path);
		if (!S_ISREG(st.st_mode))
			return 0;
		layer->offset = align_up(end, VM_BLK_FILE_ALIGN);
		layer->size = (uint64_t)st.st_size;
		if (layer->size == 0 || end > INT64_MAX - VM_BLK_FILE_ALIGN ||
		    checked_add(layer->offset, layer->size, &end) || end > INT64_MAX)
			return error_set(ret_error, EINVAL,
					 "the layer %s: no such size is possible", layer->path);
	}
	plan->joined_layers = true;
	return 0;
}

static int number_layers(struct container_plan *plan, struct error **ret_error)
{
	if (plan->n_layers > 1 && join_layers(plan, ret_error) < 0)
		return -1;
	if (!plan->joined_layers && plan->n_layers > PLAN_LAYER_DISKS_MAX)
		return error_set(ret_error, E2BIG,
				 "%zu layers are too many: at most %d, as not all "
				 "of them are files",
				 plan->n_layers, PLAN_LAYER_DISKS_MAX);
	for (size_t i = 0; i < plan->n_layers; i++) {
		struct plan_layer *layer = &plan->layers[i];

		if (!plan->joined_layers)
			layer->offset = layer->size = 0;
		(void)snprintf(layer->serial, sizeof(layer->serial), "layer%u",
			       plan->joined_layers ? 0 : (uint8_t)i);
	}
	return 0;
}

/* A share, unless layers came with the request. */
static int plan_root(const struct container_plan_request *request, struct container_plan *plan,
		     struct error **ret_error)
{
	/* The other flags concern the machine alone. */
	const struct machine_flags flags = {
		.rootfs = request->root && request->root[0] ? request->root : NULL,
	};
	struct machine_options asked;

	if (machine_options_find(&flags, request->spec, &asked, ret_error) < 0)
		return -1;
	if (strcmp(asked.rootfs, ROOTFS_LAYER) == 0 && request->n_rootfs == 0)
		return error_set(ret_error, ENOTSUP,
				 "annotations[\"" ANNOTATION_ROOTFS
				 "\"]: the caller gave no image: "
				 "\"" ROOTFS_LAYER "\" is for supermachine's own command line");
	if (request->n_rootfs > PLAN_LAYERS_MAX)
		return error_set(ret_error, E2BIG, "%zu layers are too many: at most %d",
				 request->n_rootfs, PLAN_LAYERS_MAX);
	for (size_t i = 0; i < request->n_rootfs; i++)
		if (plan_layer(request->rootfs[i], plan, ret_error) < 0)
			return -1;
	return number_layers(plan, ret_error);
}

static int plan_files(const struct container_plan_request *request, struct container_plan *plan,
		      struct error **ret_error)
{
	const struct plan_files_request files = { .spec = request->spec,
						  .stage = request->stage,
						  .bundle = request->bundle,
						  .allow = request->allow,
						  .socket_port = request->socket_port,
						  .sandbox_pid = request->sandbox_pid,
						  .root_share = request->n_rootfs == 0,
						  .restored = request->restored };

	return plan_files_read(&files, &plan->files, ret_error);
}

/* A disk cannot appear in a machine that runs. */
static int check_no_disks(const struct container_plan *plan,
			  const struct container_plan_request *request, struct error **ret_error)
{
	if (request->n_rootfs > 0)
		return error_set(ret_error, ENOTSUP,
				 "the root file system of a sandbox's later container cannot be an "
				 "image (%s)",
				 request->rootfs[0]->source);
	if (plan->files.n_volumes > 0)
		return error_set(ret_error, ENOTSUP,
				 "a sandbox's later container cannot have disks (%s): only the "
				 "first can",
				 plan->files.volumes[0].volume.source);
	return 0;
}

/* What the machine that it joins cannot give it. */
static int check_joins(const struct container_plan *plan,
		       const struct container_plan_request *request, struct error **ret_error)
{
	if (check_no_disks(plan, request, ret_error) < 0)
		return -1;
	if (!plan->files.cache_by_name || request->cache_by_name)
		return 0;
	return error_set(ret_error, ENOTSUP,
			 "annotations[\"" ANNOTATION_CACHE
			 "\"]: the sandbox's machine has one cache mode: its first container was "
			 "not annotated as a pod's");
}

int container_plan_new(const struct container_plan_request *request,
		       struct container_plan **ret_plan, struct error **ret_error)
{
	_cleanup_(container_plan_freep) struct container_plan *plan = xcalloc(1, sizeof(*plan));

	if (allow_check(request->allow, request->spec, ret_error) < 0 ||
	    plan_check(request->spec, ret_error) < 0 ||
	    plan_shared(request, plan->shared, ret_error) < 0 ||
	    plan_root(request, plan, ret_error) < 0 || plan_files(request, plan, ret_error) < 0)
		return -1;
	if (request->sandbox_pid && check_joins(plan, request, ret_error) < 0)
		return -1;
	*ret_plan = TAKE_PTR(plan);
	return 0;
}
