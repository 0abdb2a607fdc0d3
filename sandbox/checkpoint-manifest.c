/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a checkpoint: see checkpoint-manifest.h. */
#include "sandbox/checkpoint-manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fnv.h"
#include "base/hex.h"
#include "base/json.h"
#include "protocol/vm-config.h"
#include "runtime-spec/state.h"

#define MAGIC "supermachine-checkpoint"
#define FORMAT 5
/* "MAGIC version size checksum\n" */
#define HEAD_MAX 96

struct checkpoint_manifest *checkpoint_manifest_new(void)
{
	return xcalloc(1, sizeof(struct checkpoint_manifest));
}

void checkpoint_manifest_free(struct checkpoint_manifest *manifest)
{
	if (!manifest)
		return;
	for (size_t i = 0; i < manifest->n_processes; i++) {
		free(manifest->processes[i].exec_id);
		stdio_saved_done(&manifest->processes[i].streams);
	}
	free(manifest->processes);
	for (size_t i = 0; i < manifest->n_layers; i++)
		free(manifest->layers[i].type);
	free(manifest->layers);
	strv_free(manifest->publish);
	free(manifest->name);
	free(manifest->parent);
	free(manifest->parent_name);
	free(manifest->id);
	free(manifest->config);
	free(manifest->stage);
	free(manifest->kernel);
	free(manifest->network);
	free(manifest);
}

struct checkpoint_process *checkpoint_manifest_add_process(struct checkpoint_manifest *manifest)
{
	struct checkpoint_process *process;

	manifest->processes = xreallocarray(manifest->processes, manifest->n_processes + 1,
					    sizeof(manifest->processes[0]));
	process = &manifest->processes[manifest->n_processes++];
	*process = (struct checkpoint_process){ 0 };
	return process;
}

/* ---- writing ---- */

static void write_process(struct json_writer *writer, const struct checkpoint_process *process)
{
	const struct stdio_saved *streams = &process->streams;
	_cleanup_free_ char *pending = hex_encode(streams->pending, streams->n_pending);

	json_begin_object(writer);
	json_put_string(writer, "exec_id", process->exec_id);
	json_put_bool(writer, "terminal", process->terminal);
	json_put_uint64(writer, "stdin", streams->ports[STDIO_IN]);
	json_put_uint64(writer, "stdout", streams->ports[STDIO_OUT]);
	json_put_uint64(writer, "stderr", streams->ports[STDIO_ERR]);
	json_put_bool(writer, "input_ended", streams->input_ended);
	json_put_string(writer, "pending", pending);
	json_end_object(writer);
}

static void write_publish(struct json_writer *writer, char *const *publish)
{
	json_put_key(writer, "publish");
	json_begin_array(writer);
	for (; publish && *publish; publish++)
		json_put_string(writer, NULL, *publish);
	json_end_array(writer);
}

static void put_sum(struct json_writer *writer, const char *key, uint64_t sum)
{
	_cleanup_free_ char *text = xasprintf("%016" PRIx64, sum);

	json_put_string(writer, key, text);
}

static void write_layers(struct json_writer *writer, const struct checkpoint_manifest *manifest)
{
	json_put_key(writer, "layers");
	json_begin_array(writer);
	for (size_t i = 0; i < manifest->n_layers; i++) {
		const struct checkpoint_layer *layer = &manifest->layers[i];

		json_begin_object(writer);
		json_put_string(writer, "type", layer->type);
		json_put_uint64(writer, "size", layer->size);
		put_sum(writer, "head", layer->head);
		json_end_object(writer);
	}
	json_end_array(writer);
}

static void write_volumes(struct json_writer *writer, const struct checkpoint_manifest *manifest)
{
	json_put_key(writer, "volumes");
	json_begin_array(writer);
	for (size_t i = 0; i < manifest->n_volumes; i++) {
		const struct checkpoint_volume *volume = &manifest->volumes[i];

		json_begin_object(writer);
		json_put_bool(writer, "readonly", volume->readonly);
		json_put_uint64(writer, "size", volume->size);
		put_sum(writer, "head", volume->head);
		json_put_uint64(writer, "mtime", volume->mtime);
		json_end_object(writer);
	}
	json_end_array(writer);
}

char *checkpoint_manifest_write(const struct checkpoint_manifest *manifest, size_t *ret_size)
{
	struct json_writer *writer = json_writer_new(true);
	_cleanup_free_ char *body = NULL;
	char *text;
	size_t size;

	json_begin_object(writer);
	json_put_string(writer, "program", PACKAGE_VERSION);
	json_put_string(writer, "name", manifest->name);
	json_put_string(writer, "parent", manifest->parent ? manifest->parent : "");
	json_put_string(writer, "parent_name", manifest->parent_name ? manifest->parent_name : "");
	json_put_bool(writer, "memory_only", manifest->memory_only);
	json_put_string(writer, "id", manifest->id);
	json_put_string(writer, "stage", manifest->stage);
	json_put_string(writer, "kernel", manifest->kernel);
	json_put_string(writer, "network", manifest->network);
	write_publish(writer, manifest->publish);
	write_layers(writer, manifest);
	write_volumes(writer, manifest);
	json_put_uint64(writer, "vcpus", manifest->vcpus);
	json_put_uint64(writer, "vcpus_now", manifest->vcpus_now);
	json_put_uint64(writer, "max_vcpus", manifest->max_vcpus);
	json_put_uint64(writer, "memory_mib", manifest->memory_mib);
	json_put_int64(writer, "memory_limit", manifest->memory_limit);
	json_put_uint64(writer, "room_mib", manifest->room_mib);
	json_put_uint64(writer, "grown_mib", manifest->grown_mib);
	json_put_uint64(writer, "interfaces", manifest->interfaces);
	json_put_uint64(writer, "oom_kills", manifest->oom_kills);
	json_put_key(writer, "processes");
	json_begin_array(writer);
	for (size_t i = 0; i < manifest->n_processes; i++)
		write_process(writer, &manifest->processes[i]);
	json_end_array(writer);
	json_put_string(writer, "config", manifest->config);
	json_end_object(writer);
	body = json_writer_finish(writer, &size);
	text = xasprintf(MAGIC " %d %zu %016" PRIx64 "\n%s", FORMAT, size, fnv1a(body, size), body);
	*ret_size = strlen(text);
	return text;
}

/* ---- reading ---- */

/* *ret_body is in text. */
static int check_head(const char *text, size_t size, const char **ret_body, size_t *ret_size,
		      struct error **ret_error)
{
	const char *end = memchr(text, '\n', size < HEAD_MAX ? size : HEAD_MAX);
	char head[HEAD_MAX + 1] = "";
	size_t body_size = 0;
	uint64_t wanted = 0;
	int version = 0;

	if (!end || strncmp(text, MAGIC " ", strlen(MAGIC " ")) != 0)
		return error_set(ret_error, EINVAL, "it is not a checkpoint of supermachine's");
	(void)memcpy(head, text, (size_t)(end - text));
	if (sscanf(head, MAGIC " %d", &version) == 1 && version != FORMAT)
		return error_set(ret_error, EPROTONOSUPPORT,
				 "the checkpoint has format %d, this program reads format %d",
				 version, FORMAT);
	if (sscanf(head, MAGIC " %d %zu %16" SCNx64, &version, &body_size, &wanted) != 3)
		return error_set(ret_error, EINVAL, "it is not a checkpoint of supermachine's");
	end++;
	if (body_size != size - (size_t)(end - text))
		return error_set(ret_error, EINVAL, "the manifest is cut short");
	if (fnv1a(end, body_size) != wanted)
		return error_set(ret_error, EINVAL,
				 "the manifest was altered: its checksum is wrong");
	*ret_body = end;
	*ret_size = body_size;
	return 0;
}

static int read_pending(const struct json_at *at, struct stdio_saved *streams,
			struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (json_get_string(at, "pending", JSON_REQUIRED, &text, ret_error) < 0)
		return -1;
	size = strlen(text);
	if (size % 2 || size / 2 > STDIO_PENDING_MAX)
		return json_error(at, ret_error, "\"pending\" has %zu digits", size);
	streams->pending = size > 0 ? xmalloc(size / 2) : NULL;
	for (size_t i = 0; i < size / 2; i++) {
		const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return json_error(at, ret_error, "\"pending\" is not hexadecimal");
		streams->pending[i] = (uint8_t)(high << 4 | low);
	}
	streams->n_pending = size / 2;
	return 0;
}

static int read_process(const struct json_at *at, struct checkpoint_manifest *manifest,
			struct error **ret_error)
{
	struct checkpoint_process *process = checkpoint_manifest_add_process(manifest);
	struct stdio_saved *streams = &process->streams;

	if (json_get_string(at, "exec_id", JSON_REQUIRED, &process->exec_id, ret_error) < 0 ||
	    json_get_bool(at, "terminal", JSON_REQUIRED, &process->terminal, ret_error) < 0 ||
	    json_get_uint32(at, "stdin", JSON_REQUIRED, &streams->ports[STDIO_IN], ret_error) < 0 ||
	    json_get_uint32(at, "stdout", JSON_REQUIRED, &streams->ports[STDIO_OUT], ret_error) <
		0 ||
	    json_get_uint32(at, "stderr", JSON_REQUIRED, &streams->ports[STDIO_ERR], ret_error) <
		0 ||
	    json_get_bool(at, "input_ended", JSON_REQUIRED, &streams->input_ended, ret_error) < 0 ||
	    read_pending(at, streams, ret_error) < 0)
		return -1;
	if ((manifest->n_processes == 1) != (process->exec_id[0] == '\0'))
		return json_error(at, ret_error, "the first process, and no other, is init");
	for (size_t i = 0; i + 1 < manifest->n_processes; i++)
		if (strcmp(manifest->processes[i].exec_id, process->exec_id) == 0)
			return json_error(at, ret_error, "\"%s\" comes twice", process->exec_id);
	return process->exec_id[0] ? state_check_id(process->exec_id, ret_error) : 0;
}

static int read_processes(const struct json_at *root, struct checkpoint_manifest *manifest,
			  struct error **ret_error)
{
	struct json_at array;

	if (json_array(root, "processes", JSON_REQUIRED, &array, ret_error) < 0)
		return -1;
	if (json_length(&array) == 0 || json_length(&array) > MANIFEST_PROCESSES_MAX)
		return json_error(&array, ret_error, "%zu processes", json_length(&array));
	for (size_t i = 0; i < json_length(&array); i++) {
		const struct json_at at = json_element(&array, i);

		if (read_process(&at, manifest, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int get_sum(const struct json_at *at, const char *key, uint64_t *ret_sum,
		   struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;

	if (json_get_string(at, key, JSON_REQUIRED, &text, ret_error) < 0)
		return -1;
	if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return json_error(at, ret_error, "\"%s\" is not a checksum", key);
	*ret_sum = strtoull(text, NULL, 16);
	return 0;
}

static int read_layer(const struct json_at *at, struct checkpoint_layer *layer,
		      struct error **ret_error)
{
	if (json_get_string(at, "type", JSON_REQUIRED, &layer->type, ret_error) < 0 ||
	    json_get_uint64(at, "size", JSON_REQUIRED, INT64_MAX, &layer->size, ret_error) < 0)
		return -1;
	return get_sum(at, "head", &layer->head, ret_error);
}

static int read_layers(const struct json_at *root, struct checkpoint_manifest *manifest,
		       struct error **ret_error)
{
	struct json_at array;
	size_t n;

	if (json_array(root, "layers", JSON_REQUIRED, &array, ret_error) < 0)
		return -1;
	n = json_length(&array);
	if (n > MANIFEST_LAYERS_MAX)
		return json_error(&array, ret_error, "%zu layers", n);
	manifest->layers = xcalloc(n + 1, sizeof(manifest->layers[0]));
	while (manifest->n_layers < n) {
		const struct json_at at = json_element(&array, manifest->n_layers);

		if (read_layer(&at, &manifest->layers[manifest->n_layers++], ret_error) < 0)
			return -1;
	}
	return 0;
}

static int read_volume(const struct json_at *at, struct checkpoint_volume *volume,
		       struct error **ret_error)
{
	if (json_get_bool(at, "readonly", JSON_REQUIRED, &volume->readonly, ret_error) < 0 ||
	    json_get_uint64(at, "size", JSON_REQUIRED, INT64_MAX, &volume->size, ret_error) < 0 ||
	    get_sum(at, "head", &volume->head, ret_error) < 0)
		return -1;
	return json_get_uint64(at, "mtime", JSON_REQUIRED, INT64_MAX, &volume->mtime, ret_error);
}

static int read_volumes(const struct json_at *root, struct checkpoint_manifest *manifest,
			struct error **ret_error)
{
	struct json_at array;
	size_t n;

	if (json_array(root, "volumes", JSON_REQUIRED, &array, ret_error) < 0)
		return -1;
	n = json_length(&array);
	if (n > PLAN_VOLUMES_MAX)
		return json_error(&array, ret_error, "%zu volumes", n);
	while (manifest->n_volumes < n) {
		const struct json_at at = json_element(&array, manifest->n_volumes);

		if (read_volume(&at, &manifest->volumes[manifest->n_volumes++], ret_error) < 0)
			return -1;
	}
	return 0;
}

static int read_publish(const struct json_at *root, struct checkpoint_manifest *manifest,
			struct error **ret_error)
{
	if (json_get_strv(root, "publish", JSON_REQUIRED, &manifest->publish, ret_error) < 0)
		return -1;
	if (strv_length(manifest->publish) > MANIFEST_PUBLISH_MAX)
		return json_error(root, ret_error, "\"publish\" has %zu entries",
				  strv_length(manifest->publish));
	return 0;
}

/* A name without anything that is special in a path. */
static int check_stage(const char *stage, struct error **ret_error)
{
	const size_t length = strlen(stage);

	if (length == 0 || length > 64 || strspn(stage, "0123456789abcdef") != length)
		return error_set(ret_error, EINVAL, "stage: \"%.64s\" is not a staging name",
				 stage);
	return 0;
}

static bool is_name(const char *text)
{
	return strlen(text) == MANIFEST_NAME_DIGITS &&
	       strspn(text, "0123456789abcdef") == MANIFEST_NAME_DIGITS;
}

static int read_parent(const struct json_at *root, struct checkpoint_manifest *manifest,
		       struct error **ret_error)
{
	if (json_get_string(root, "name", JSON_REQUIRED, &manifest->name, ret_error) < 0 ||
	    json_get_string(root, "parent", JSON_REQUIRED, &manifest->parent, ret_error) < 0 ||
	    json_get_string(root, "parent_name", JSON_REQUIRED, &manifest->parent_name, ret_error) <
		0 ||
	    json_get_bool(root, "memory_only", JSON_REQUIRED, &manifest->memory_only, ret_error) <
		0)
		return -1;
	if (!is_name(manifest->name) ||
	    (manifest->parent[0] ? !is_name(manifest->parent_name) : manifest->parent_name[0] != 0))
		return json_error(root, ret_error, "\"name\" or \"parent_name\" is not a name");
	if (manifest->parent[0] == '/')
		return json_error(root, ret_error, "\"parent\" is not a relative path");
	return 0;
}

static int read_body(const struct json_at *root, struct checkpoint_manifest *manifest,
		     struct error **ret_error)
{
	uint64_t vcpus = 0, now = 0, max_vcpus = 0, interfaces = 0;
	_cleanup_free_ char *program = NULL;

	if (json_get_string(root, "program", JSON_REQUIRED, &program, ret_error) < 0)
		return -1;
	if (strcmp(program, PACKAGE_VERSION) != 0)
		return error_set(ret_error, EPROTONOSUPPORT,
				 "the checkpoint was made by version %.64s of this program, not "
				 "%s",
				 program, PACKAGE_VERSION);
	if (read_parent(root, manifest, ret_error) < 0 ||
	    json_get_string(root, "id", JSON_REQUIRED, &manifest->id, ret_error) < 0 ||
	    state_check_id(manifest->id, ret_error) < 0 ||
	    json_get_string(root, "stage", JSON_REQUIRED, &manifest->stage, ret_error) < 0 ||
	    check_stage(manifest->stage, ret_error) < 0 ||
	    json_get_string(root, "kernel", JSON_REQUIRED, &manifest->kernel, ret_error) < 0 ||
	    json_get_string(root, "network", JSON_REQUIRED, &manifest->network, ret_error) < 0 ||
	    read_publish(root, manifest, ret_error) < 0 ||
	    read_layers(root, manifest, ret_error) < 0 ||
	    read_volumes(root, manifest, ret_error) < 0 ||
	    json_get_uint64(root, "vcpus", JSON_REQUIRED, VM_VCPUS_MAX, &vcpus, ret_error) < 0 ||
	    json_get_uint64(root, "vcpus_now", JSON_REQUIRED, VM_VCPUS_MAX, &now, ret_error) < 0 ||
	    json_get_uint64(root, "max_vcpus", JSON_REQUIRED, VM_VCPUS_MAX, &max_vcpus, ret_error) <
		0 ||
	    json_get_uint64(root, "memory_mib", JSON_REQUIRED, VM_MEMORY_MIB_MAX,
			    &manifest->memory_mib, ret_error) < 0 ||
	    json_get_int64(root, "memory_limit", JSON_REQUIRED, INT64_MIN, INT64_MAX,
			   &manifest->memory_limit, ret_error) < 0 ||
	    json_get_uint64(root, "room_mib", JSON_REQUIRED, VM_MEM_MIB_MAX, &manifest->room_mib,
			    ret_error) < 0 ||
	    json_get_uint64(root, "grown_mib", JSON_REQUIRED, manifest->room_mib,
			    &manifest->grown_mib, ret_error) < 0 ||
	    json_get_uint64(root, "interfaces", JSON_REQUIRED, VM_DEVICES_MAX, &interfaces,
			    ret_error) < 0 ||
	    json_get_uint64(root, "oom_kills", JSON_REQUIRED, UINT64_MAX, &manifest->oom_kills,
			    ret_error) < 0 ||
	    json_get_string(root, "config", JSON_REQUIRED, &manifest->config, ret_error) < 0)
		return -1;
	if (vcpus == 0 || now == 0 || manifest->memory_mib < VM_MEMORY_MIB_MIN)
		return error_set(ret_error, EINVAL, "the machine has no vCPU, or no memory");
	if (manifest->room_mib < VM_MEM_MIB_MIN || manifest->room_mib % 2 != 0)
		return error_set(ret_error, EINVAL,
				 "the machine's memory cannot grow by %" PRIu64 " MiB",
				 manifest->room_mib);
	manifest->vcpus = (uint32_t)vcpus;
	manifest->vcpus_now = (uint32_t)now;
	manifest->max_vcpus = (uint32_t)max_vcpus;
	manifest->interfaces = (uint32_t)interfaces;
	manifest->config_size = strlen(manifest->config);
	return read_processes(root, manifest, ret_error);
}

int checkpoint_manifest_parse(const char *text, size_t size,
			      struct checkpoint_manifest **ret_manifest, struct error **ret_error)
{
	_cleanup_(checkpoint_manifest_freep) struct checkpoint_manifest *manifest =
	    checkpoint_manifest_new();
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;
	const char *body = NULL;
	size_t body_size = 0;

	if (check_head(text, size, &body, &body_size, ret_error) < 0 ||
	    json_parse(body, body_size, "the manifest", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (read_body(&root, manifest, ret_error) < 0)
		return error_wrap(ret_error, "the manifest");
	*ret_manifest = TAKE_PTR(manifest);
	return 0;
}

/* ---- the bundle ---- */

static bool is_same(const char *one, const char *other)
{
	return strcmp(one ? one : "", other ? other : "") == 0;
}

/* In the order that they had: a share's name is its number. podman brings its own in any. */
static int arrange_mounts(const struct spec *saved, struct spec *spec, struct error **ret_error)
{
	if (saved->n_mounts != spec->n_mounts)
		return error_set(ret_error, EINVAL, "mounts: there are %zu, and were %zu",
				 spec->n_mounts, saved->n_mounts);
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *wanted = &saved->mounts[i];
		struct spec_mount found;
		size_t at = i;

		while (at < spec->n_mounts &&
		       (!is_same(wanted->destination, spec->mounts[at].destination) ||
			!is_same(wanted->type, spec->mounts[at].type)))
			at++;
		if (at == spec->n_mounts)
			return error_set(ret_error, EINVAL,
					 "mounts: %s at %s was there, and is not",
					 wanted->type ? wanted->type : "bind", wanted->destination);
		found = spec->mounts[at];
		(void)memmove(&spec->mounts[i + 1], &spec->mounts[i],
			      (at - i) * sizeof(spec->mounts[0]));
		spec->mounts[i] = found;
	}
	return 0;
}

int checkpoint_manifest_check_spec(const struct checkpoint_manifest *manifest, struct spec *spec,
				   struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *saved = NULL;
	int r = 0;

	if (spec_parse(manifest->config, manifest->config_size, &saved, ret_error) < 0)
		return error_wrap(ret_error, "the manifest's config.json");
	if (saved->process.terminal != spec->process.terminal)
		r = error_set(ret_error, EINVAL, "process.terminal: it is %s, and was %s",
			      spec->process.terminal ? "true" : "false",
			      saved->process.terminal ? "true" : "false");
	else if (saved->root_readonly != spec->root_readonly)
		r = error_set(ret_error, EINVAL, "root.readonly: it is %s, and was %s",
			      spec->root_readonly ? "true" : "false",
			      saved->root_readonly ? "true" : "false");
	else
		r = arrange_mounts(saved, spec, ret_error);
	for (size_t i = 0; r == 0 && i < SPEC_NS_COUNT; i++)
		if (saved->linux_.namespaces[i].present != spec->linux_.namespaces[i].present)
			r = error_set(ret_error, EINVAL,
				      "linux.namespaces: \"%s\" is %sthere, and was%s",
				      spec_namespace_name((enum spec_namespace_type)i),
				      spec->linux_.namespaces[i].present ? "" : "not ",
				      spec->linux_.namespaces[i].present ? " not" : "");
	return r < 0 ? error_wrap(ret_error, "the bundle is not that of the checkpoint") : 0;
}
