/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/resolv.conf: see resolver.h. */
#include "sandbox/resolver.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/json.h"
#include "host/passt.h"

#define HOST_FILE "/etc/resolv.conf"
#define HOST_FILE_MAX (64u << 10)
#define DESTINATION "/etc/resolv.conf"

/* On it, or on a directory above it. */
static bool is_mounted(const struct spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const char *destination = spec->mounts[i].destination;

		if (strcmp(destination, DESTINATION) == 0 || strcmp(destination, "/etc") == 0 ||
		    strcmp(destination, "/etc/") == 0)
			return true;
	}
	return false;
}

static void add_line(struct buffer *text, const char *line)
{
	buffer_append(text, line, strlen(line));
	buffer_append(text, "\n", 1);
}

/* resolv.conf(5): the lines that are not about name servers. */
static void add_host_lines(struct buffer *text)
{
	_cleanup_free_ char *host = NULL;
	char *rest, *line;

	if (read_file(HOST_FILE, HOST_FILE_MAX, &host, NULL, NULL) < 0)
		return;
	for (line = strtok_r(host, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (strncmp(line, "search", 6) == 0 || strncmp(line, "domain", 6) == 0 ||
		    strncmp(line, "options", 7) == 0)
			add_line(text, line);
}

static int write_resolv_conf(const char *path, struct error **ret_error)
{
	const unsigned families = passt_families();
	_cleanup_(buffer_done) struct buffer text = { 0 };

	add_host_lines(&text);
	if (families & PASST_IPV4)
		add_line(&text, "nameserver " PASST_DNS);
	if (families & PASST_IPV6)
		add_line(&text, "nameserver " PASST_DNS6);
	return write_file_atomic(path, buffer_data(&text), buffer_length(&text), 0644, ret_error);
}

static void put_mount(struct json_writer *writer, const char *path)
{
	json_begin_object(writer);
	json_put_string(writer, "destination", DESTINATION);
	json_put_string(writer, "type", "bind");
	json_put_string(writer, "source", path);
	json_put_key(writer, "options");
	json_begin_array(writer);
	json_put_string(writer, NULL, "bind");
	json_end_array(writer);
	json_end_object(writer);
}

/* The mounts there are, and this one behind them. */
static void put_mounts(struct json_writer *writer, const struct json_at *mounts, const char *path)
{
	json_put_key(writer, "mounts");
	json_begin_array(writer);
	for (size_t i = 0; i < json_length(mounts); i++)
		json_put_value(writer, NULL, json_element(mounts, i).value);
	put_mount(writer, path);
	json_end_array(writer);
}

int resolver_add(const char *directory, const struct spec *spec, char **config, size_t *config_size,
		 struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/resolv.conf", directory);
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, mounts;
	struct json_writer *writer;

	if (is_mounted(spec))
		return 0;
	if (write_resolv_conf(path, ret_error) < 0 ||
	    json_parse(*config, *config_size, "config.json", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_array(&root, "mounts", JSON_OPTIONAL, &mounts, ret_error) < 0)
		return -1;
	writer = json_writer_new(false);
	json_begin_object(writer);
	for (size_t i = 0; i < json_length(&root); i++) {
		struct json_at member = json_member_at(&root, i);

		if (strcmp(member.key, "mounts") != 0)
			json_put_value(writer, member.key, member.value);
	}
	put_mounts(writer, &mounts, path);
	json_end_object(writer);
	free(*config);
	*config = json_writer_finish(writer, config_size);
	return 0;
}
