/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a checkpointed container: see checkpoint-layers.h. */
#include "sandbox/checkpoint-layers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fnv.h"
#include "base/io.h"

int checkpoint_image_identify(int fd, uint64_t *ret_size, uint64_t *ret_head)
{
	char head[MANIFEST_LAYER_HEAD];
	const off_t size = lseek(fd, 0, SEEK_END);
	const ssize_t n = size < 0 ? -1 : pread(fd, head, sizeof(head), 0);

	if (n < 0)
		return -1;
	*ret_size = (uint64_t)size;
	*ret_head = fnv1a(head, (size_t)n);
	return 0;
}

static int identify(const struct plan_layer *layer, struct checkpoint_layer *ret_layer,
		    struct error **ret_error)
{
	_cleanup_close_ int fd = open(layer->path, O_RDONLY | O_CLOEXEC);
	struct checkpoint_layer found = { 0 };

	if (fd < 0)
		return error_set_errno(ret_error, errno, "the layer %s", layer->path);
	if (checkpoint_image_identify(fd, &found.size, &found.head) < 0)
		return error_set_errno(ret_error, errno, "cannot read the layer %s", layer->path);
	found.type = xstrdup(layer->type);
	*ret_layer = found;
	return 0;
}

int checkpoint_layers_note(const struct container_plan *plan, struct checkpoint_manifest *manifest,
			   struct error **ret_error)
{
	manifest->layers = xcalloc(plan->n_layers + 1, sizeof(manifest->layers[0]));
	for (; manifest->n_layers < plan->n_layers; manifest->n_layers++)
		if (identify(&plan->layers[manifest->n_layers],
			     &manifest->layers[manifest->n_layers], ret_error) < 0)
			return -1;
	return 0;
}

static int check_layer(const struct checkpoint_layer *saved, const struct plan_layer *layer,
		       struct error **ret_error)
{
	struct checkpoint_layer found;
	bool is_same;

	if (identify(layer, &found, ret_error) < 0)
		return -1;
	is_same = strcmp(found.type, saved->type) == 0 && found.size == saved->size &&
		  found.head == saved->head;
	free(found.type);
	if (!is_same)
		return error_set(ret_error, EINVAL,
				 "the root file system: the layer %s is not the one that the "
				 "container had",
				 layer->path);
	return 0;
}

int checkpoint_layers_check(const struct checkpoint_manifest *manifest,
			    const struct container_plan *plan, struct error **ret_error)
{
	if (manifest->n_layers != plan->n_layers)
		return error_set(ret_error, EINVAL,
				 "the root file system: it has %zu layers that are images, and had "
				 "%zu",
				 plan->n_layers, manifest->n_layers);
	for (size_t i = 0; i < plan->n_layers; i++)
		if (check_layer(&manifest->layers[i], &plan->layers[i], ret_error) < 0)
			return -1;
	return 0;
}
