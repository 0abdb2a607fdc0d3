/* SPDX-License-Identifier: Apache-2.0 */
/* `spec`: a config.json to start from. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "cli/spec-parts.h"
#include "cli/verb.h"
#include "runtime-spec/spec.h"

struct spec_options {
	const char *bundle;
	bool rootless;
};

static const struct option_def options[] = {
	{ "bundle", 'b', OPTION_STRING, offsetof(struct spec_options, bundle),
	  "directory to write it to (default: the current one)" },
	{ "rootless", 0, OPTION_FLAG, offsetof(struct spec_options, rootless),
	  "a configuration for users other than root" },
	OPTION_END
};

static void put_process(struct json_writer *writer)
{
	static const char *const args[] = { "sh", NULL };
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm",
		NULL
	};
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	static const char *const capabilities[] = { "CAP_AUDIT_WRITE", "CAP_KILL",
						    "CAP_NET_BIND_SERVICE", NULL };

	json_put_key(writer, "process");
	json_begin_object(writer);
	json_put_bool(writer, "terminal", true);
	json_put_key(writer, "user");
	json_begin_object(writer);
	json_put_uint64(writer, "uid", 0);
	json_put_uint64(writer, "gid", 0);
	json_end_object(writer);
	spec_put_words(writer, "args", args);
	spec_put_words(writer, "env", env);
	json_put_string(writer, "cwd", "/");
	json_put_key(writer, "capabilities");
	json_begin_object(writer);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		spec_put_words(writer, sets[i], capabilities);
	json_end_object(writer);
	json_put_key(writer, "rlimits");
	json_begin_array(writer);
	json_begin_object(writer);
	json_put_string(writer, "type", "RLIMIT_NOFILE");
	json_put_uint64(writer, "hard", 1024);
	json_put_uint64(writer, "soft", 1024);
	json_end_object(writer);
	json_end_array(writer);
	json_put_bool(writer, "noNewPrivileges", true);
	json_end_object(writer);
}

static void put_id_mapping(struct json_writer *writer, const char *key, uint32_t host_id)
{
	json_put_key(writer, key);
	json_begin_array(writer);
	json_begin_object(writer);
	json_put_uint64(writer, "containerID", 0);
	json_put_uint64(writer, "hostID", host_id);
	json_put_uint64(writer, "size", 1);
	json_end_object(writer);
	json_end_array(writer);
}

static void put_linux(struct json_writer *writer, bool rootless)
{
	json_put_key(writer, "linux");
	json_begin_object(writer);
	if (rootless) {
		put_id_mapping(writer, "uidMappings", geteuid());
		put_id_mapping(writer, "gidMappings", getegid());
	} else {
		json_put_key(writer, "resources");
		json_begin_object(writer);
		spec_put_devices(writer, false);
		json_end_object(writer);
	}
	spec_put_namespaces(writer, rootless);
	spec_put_hidden_paths(writer);
	json_end_object(writer);
}

static char *default_config(bool rootless, size_t *ret_size)
{
	struct json_writer *writer = json_writer_new(true);

	json_begin_object(writer);
	json_put_string(writer, "ociVersion", SPEC_VERSION);
	put_process(writer);
	json_put_key(writer, "root");
	json_begin_object(writer);
	json_put_string(writer, "path", "rootfs");
	json_put_bool(writer, "readonly", true);
	json_end_object(writer);
	json_put_string(writer, "hostname", PACKAGE_NAME);
	json_put_key(writer, "mounts");
	json_begin_array(writer);
	spec_put_usual_mounts(writer, SPEC_SHM_SIZE, false, rootless);
	json_end_array(writer);
	put_linux(writer, rootless);
	json_end_object(writer);
	return json_writer_finish(writer, ret_size);
}

static int run(const struct command *command, struct error **ret_error)
{
	const struct spec_options *values = command->options;
	_cleanup_free_ char *path =
	    xasprintf("%s/config.json", values->bundle ? values->bundle : ".");
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (access(path, F_OK) == 0)
		return error_set(ret_error, EEXIST, "File config.json exists. Remove it first");
	text = default_config(values->rootless, &size);
	return write_file_atomic(path, text, size, 0644, ret_error);
}

const struct verb verb_spec = {
	.name = "spec",
	.arguments = "",
	.summary = "create a new specification file",
	.description =
	    "Writes a config.json to start from: a shell on a terminal, with the root file system\n"
	    "   in rootfs/.",
	.options = options,
	.options_size = sizeof(struct spec_options),
	.max_args = VERB_ARGS_ANY,
	.run = run,
};
