/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of old dockers: see docker-v1.h. */
#include "rootfs/registry/docker-v1.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "rootfs/image/manifest.h"

#define ID_LENGTH 64

/* One layer's json. */
struct step {
	char *id, *parent, *text;
	yajl_val value;
};

struct steps {
	struct step all[IMAGE_LAYERS_MAX]; /* the topmost first */
	size_t n;
	size_t size; /* of all texts, which are in memory together: as much as one configuration */
};

static void steps_done(struct steps *steps)
{
	for (size_t i = 0; i < steps->n; i++) {
		json_free(steps->all[i].value);
		free(steps->all[i].id);
		free(steps->all[i].parent);
		free(steps->all[i].text);
	}
}

static int read_step(struct layout *layout, const char *id, struct steps *steps,
		     struct error **ret_error)
{
	struct step *step = &steps->all[steps->n++];
	_cleanup_free_ char *name = xasprintf("%.*s/json", ID_LENGTH, id);
	struct json_at root;
	size_t size;

	if (strlen(id) != ID_LENGTH || strspn(id, "0123456789abcdef") != ID_LENGTH)
		return error_set(ret_error, EBADMSG, "\"%.100s\" is not a layer's id", id);
	if (layout_read_file(layout, name, IMAGE_CONFIG_SIZE_MAX - steps->size, &step->text, &size,
			     ret_error) < 0)
		return -1;
	steps->size += size;
	if (json_parse(step->text, size, name, &step->value, ret_error) < 0)
		return -1;
	step->id = xstrdup(id);
	root = json_root(step->value);
	if (json_as_object(&root, ret_error) < 0 ||
	    json_get_string(&root, "parent", JSON_OPTIONAL, &step->parent, ret_error) < 0)
		return error_wrap(ret_error, "%s", name);
	return 0;
}

static int read_steps(struct layout *layout, const char *id, struct steps *steps,
		      struct error **ret_error)
{
	do {
		if (steps->n == IMAGE_LAYERS_MAX)
			return error_set(ret_error, EBADMSG, "more than %d layers, or a circle",
					 IMAGE_LAYERS_MAX);
		if (read_step(layout, id, steps, ret_error) < 0)
			return -1;
		id = steps->all[steps->n - 1].parent;
	} while (id && id[0]);
	return 0;
}

/* These archives are not compressed, so an archive's digest is the layer's. */
static int find_layers(struct layout *layout, const struct steps *steps, char ***files,
		       char ***diff_ids, struct error **ret_error)
{
	for (size_t i = steps->n; i > 0; i--) {
		_cleanup_free_ char *name = xasprintf("%s/layer.tar", steps->all[i - 1].id);
		char digest[DIGEST_SIZE];

		if (layout_digest_file(layout, name, digest, ret_error) < 0)
			return -1;
		strv_append(files, name);
		strv_append(diff_ids, digest);
	}
	return 0;
}

static void copy_member(struct json_writer *writer, const struct json_at *from, const char *key)
{
	struct json_at at;

	if (json_member(from, key, JSON_OPTIONAL, &at, NULL) == 0 && json_present(&at))
		json_put_value(writer, key, at.value);
}

/* What has made it, as `history` of a configuration. */
static void put_history(struct json_writer *writer, const struct step *step)
{
	const struct json_at root = json_root(step->value);
	_cleanup_strv_ char **words = NULL;
	struct json_at made_by;

	json_begin_object(writer);
	copy_member(writer, &root, "created");
	copy_member(writer, &root, "author");
	copy_member(writer, &root, "comment");
	if (json_object(&root, "container_config", JSON_OPTIONAL, &made_by, NULL) == 0 &&
	    json_present(&made_by) &&
	    json_get_strv(&made_by, "Cmd", JSON_OPTIONAL, &words, NULL) == 0 && words) {
		_cleanup_free_ char *command = strv_join(words, " ");

		json_put_string(writer, "created_by", command);
	}
	json_end_object(writer);
}

/* The topmost layer's json, without what it says of itself as a layer. */
static char *write_config(const struct steps *steps, char *const *diff_ids, size_t *ret_size)
{
	static const char *const kept[] = { "architecture", "author",	  "config", "created",
					    "os",	    "os.version", "variant" };
	const struct json_at root = json_root(steps->all[0].value);
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		copy_member(writer, &root, kept[i]);
	json_put_key(writer, "history");
	json_begin_array(writer);
	for (size_t i = steps->n; i > 0; i--)
		put_history(writer, &steps->all[i - 1]);
	json_end_array(writer);
	config_put_diff_ids(writer, diff_ids);
	json_end_object(writer);
	return json_writer_finish(writer, ret_size);
}

int docker_v1_image(struct layout *layout, const char *id, char **ret_config, size_t *ret_size,
		    char ***ret_files, struct error **ret_error)
{
	_cleanup_(steps_done) struct steps steps = { .n = 0 };
	_cleanup_strv_ char **files = NULL, **diff_ids = NULL;

	if (read_steps(layout, id, &steps, ret_error) < 0 ||
	    find_layers(layout, &steps, &files, &diff_ids, ret_error) < 0)
		return -1;
	*ret_config = write_config(&steps, diff_ids, ret_size);
	*ret_files = TAKE_PTR(files);
	return 0;
}
