/* SPDX-License-Identifier: Apache-2.0 */
/* The features object: see features.h. */
#include "runtime-spec/features.h"

#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

#include "base/alloc.h"
#include "base/json.h"
#include "runtime-spec/machine-options.h"
#include "runtime-spec/mount-options.h"
#include "runtime-spec/spec.h"
#include "runtime-spec/spec-words.h"

static void put_list(struct json_writer *writer, const char *key, const char *const *words)
{
	json_put_strv(writer, key, (char *const *)words);
}

static void put_mount_options(struct json_writer *writer)
{
	const char *name;

	json_put_key(writer, "mountOptions");
	json_begin_array(writer);
	for (size_t i = 0; (name = mount_option_name(i)); i++)
		json_put_string(writer, NULL, name);
	json_end_array(writer);
}

static void put_enabled(struct json_writer *writer, const char *key, bool enabled)
{
	json_put_key(writer, key);
	json_begin_object(writer);
	json_put_bool(writer, "enabled", enabled);
	json_end_object(writer);
}

static void put_capabilities(struct json_writer *writer)
{
	json_put_key(writer, "capabilities");
	json_begin_array(writer);
	for (cap_value_t i = 0; i <= CAP_LAST_CAP; i++) {
		char *name = cap_to_name(i);

		for (char *p = name; p && *p; p++)
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		if (name)
			json_put_string(writer, NULL, name);
		(void)cap_free(name);
	}
	json_end_array(writer);
}

#ifdef HAVE_SECCOMP
/* User notification is refused: its listener would be in the guest. */
static void put_seccomp_actions(struct json_writer *writer)
{
	json_put_key(writer, "actions");
	json_begin_array(writer);
	for (size_t i = 0; spec_seccomp_actions[i]; i++)
		if (strcmp(spec_seccomp_actions[i], SPEC_SECCOMP_NOTIFY) != 0)
			json_put_string(writer, NULL, spec_seccomp_actions[i]);
	json_end_array(writer);
}
#endif

static void put_seccomp(struct json_writer *writer)
{
#ifdef HAVE_SECCOMP
	json_put_key(writer, "seccomp");
	json_begin_object(writer);
	json_put_bool(writer, "enabled", true);
	put_seccomp_actions(writer);
	put_list(writer, "operators", spec_seccomp_operators);
	put_list(writer, "archs", spec_seccomp_architectures);
	put_list(writer, "knownFlags", spec_seccomp_flags);
	put_list(writer, "supportedFlags", spec_seccomp_flags);
	json_end_object(writer);
#else
	put_enabled(writer, "seccomp", false);
#endif
}

/* Of the guest: its kernel is ours, with cgroup v2 alone. */
static void put_linux(struct json_writer *writer)
{
	static const char *const namespaces[] = { "cgroup", "ipc",  "mount", "network", "pid",
						  "time",   "user", "uts",   NULL };
	static const struct {
		const char *name;
		bool supported;
	} cgroup[] = { { "v1", false },
		       { "v2", true },
		       { "systemd", false },
		       { "systemdUser", false },
		       { "rdma", false } };

	json_put_key(writer, "linux");
	json_begin_object(writer);
	put_list(writer, "namespaces", namespaces);
	put_capabilities(writer);
	json_put_key(writer, "cgroup");
	json_begin_object(writer);
	for (size_t i = 0; i < ARRAY_SIZE(cgroup); i++)
		json_put_bool(writer, cgroup[i].name, cgroup[i].supported);
	json_end_object(writer);
	put_seccomp(writer);
	put_enabled(writer, "apparmor", false);
	put_enabled(writer, "selinux", false);
	put_enabled(writer, "intelRdt", false);
	put_enabled(writer, "netDevices", false);
	json_put_key(writer, "mountExtensions");
	json_begin_object(writer);
	put_enabled(writer, "idmap", true);
	json_end_object(writer);
	json_end_object(writer);
}

char *features_json(bool pretty)
{
	static const char *const hooks[] = { "prestart",
					     "createRuntime",
					     "createContainer",
					     "startContainer",
					     "poststart",
					     "poststop",
					     NULL };
	static const char *const unsafe[] = { ANNOTATION_ACCEL, ANNOTATION_KERNEL,
					      ANNOTATION_VOLUME, NULL };
	struct json_writer *writer = json_writer_new(pretty);

	json_begin_object(writer);
	json_put_string(writer, "ociVersionMin", "1.0.0");
	json_put_string(writer, "ociVersionMax", SPEC_VERSION);
	put_list(writer, "hooks", hooks);
	put_mount_options(writer);
	put_linux(writer);
	json_put_key(writer, "annotations");
	json_begin_object(writer);
	json_put_string(writer, "io.supermachine.version", PACKAGE_VERSION);
	json_put_string(writer, "org.opencontainers.runc.checkpoint.enabled", "true");
	json_end_object(writer);
	put_list(writer, "potentiallyUnsafeConfigAnnotations", unsafe);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}
