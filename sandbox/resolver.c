/* SPDX-License-Identifier: Apache-2.0 */
/* Names, in three files: see resolver.h. */
#include "sandbox/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "base/json.h"
#include "host/hosts-file.h"
#include "host/passt.h"

#define HOST_FILE "/etc/resolv.conf"
#define HOST_FILE_MAX (64u << 10)

struct name_file {
	const char *destination, *name;
	bool is_kept; /* if the root file system has one with something in it */
	/* families: passt_families(). */
	void (*write)(const struct spec *spec, unsigned families, struct buffer *text);
};

/* On it, or on a directory above it. */
static bool is_mounted(const struct spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const char *destination = spec->mounts[i].destination;

		if (strcmp(destination, path) == 0 || strcmp(destination, "/etc") == 0 ||
		    strcmp(destination, "/etc/") == 0)
			return true;
	}
	return false;
}

static bool is_written(const char *bundle, const struct spec *spec, const char *path)
{
	_cleanup_free_ char *root = spec->root_path[0] == '/'
					? xstrdup(spec->root_path)
					: xasprintf("%s/%s", bundle, spec->root_path);
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	_cleanup_close_ int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd =
	    root_fd < 0 ? -1 : (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0;
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
			buffer_append_line(text, line);
}

static void write_resolv_conf(const struct spec *spec, unsigned families, struct buffer *text)
{
	(void)spec;
	add_host_lines(text);
	if (families & PASST_IPV4)
		buffer_append_line(text, "nameserver " PASST_DNS);
	if (families & PASST_IPV6)
		buffer_append_line(text, "nameserver " PASST_DNS6);
}

static void write_hosts(const struct spec *spec, unsigned families, struct buffer *text)
{
	hosts_put_local(text);
	if (spec->hostname)
		hosts_put_guest(text, families, spec->hostname);
}

static void write_hostname(const struct spec *spec, unsigned families, struct buffer *text)
{
	(void)families;
	if (spec->hostname)
		buffer_append_line(text, spec->hostname);
}

static const struct name_file files[] = {
	{ "/etc/resolv.conf", "resolv.conf", false, write_resolv_conf },
	{ "/etc/hosts", "hosts", true, write_hosts },
	{ "/etc/hostname", "hostname", true, write_hostname },
};

/* *ret_path: it is to be mounted from there (caller frees); NULL: it is not. */
static int make_file(const struct resolver_request *request, const struct name_file *file,
		     unsigned families, char **ret_path, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", request->directory, file->name);
	_cleanup_(buffer_done) struct buffer text = { 0 };

	*ret_path = NULL;
	if (is_mounted(request->spec, file->destination) ||
	    (file->is_kept && is_written(request->bundle, request->spec, file->destination)))
		return 0;
	file->write(request->spec, families, &text);
	if (buffer_length(&text) == 0)
		return 0;
	if (write_file_atomic(path, buffer_data(&text), buffer_length(&text), 0644, ret_error) < 0)
		return -1;
	/* Always the same time: by that and its size a restored guest's file is known again. */
	if (utimensat(AT_FDCWD, path, (struct timespec[2]){ 0 }, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set the times of %s", path);
	*ret_path = TAKE_PTR(path);
	return 0;
}

static void put_mount(struct json_writer *writer, const char *destination, const char *path)
{
	json_begin_object(writer);
	json_put_string(writer, "destination", destination);
	json_put_string(writer, "type", "bind");
	json_put_string(writer, "source", path);
	json_put_key(writer, "options");
	json_begin_array(writer);
	json_put_string(writer, NULL, "bind");
	json_end_array(writer);
	json_end_object(writer);
}

/* The mounts there are, and ours behind them: paths[i] for files[i]. */
static void put_mounts(const struct json_at *mounts, char *const *paths, struct json_writer *writer)
{
	json_put_key(writer, "mounts");
	json_begin_array(writer);
	for (size_t i = 0; i < json_length(mounts); i++)
		json_put_value(writer, NULL, json_element(mounts, i).value);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (paths[i])
			put_mount(writer, files[i].destination, paths[i]);
	json_end_array(writer);
}

static int add_mounts(char *const *paths, char **config, size_t *config_size,
		      struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root, mounts;
	struct json_writer *writer;

	if (json_parse(*config, *config_size, "config.json", &value, ret_error) < 0)
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
	put_mounts(&mounts, paths, writer);
	json_end_object(writer);
	free(*config);
	*config = json_writer_finish(writer, config_size);
	return 0;
}

int resolver_add(const struct resolver_request *request, char **config, size_t *config_size,
		 struct error **ret_error)
{
	const unsigned families = passt_families();
	char *paths[ARRAY_SIZE(files)] = { NULL };
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files) && result == 0; i++)
		result = make_file(request, &files[i], families, &paths[i], ret_error);
	if (result == 0)
		result = add_mounts(paths, config, config_size, ret_error);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		free(paths[i]);
	return result;
}
