/* SPDX-License-Identifier: Apache-2.0 */
/* What every config.json that we write has: see spec-parts.h. */
#include "cli/spec-parts.h"

#include <string.h>

#include "base/cleanup.h"

void spec_put_words(struct json_writer *writer, const char *key, const char *const *words)
{
	json_put_strv(writer, key, (char *const *)words);
}

void spec_put_mount(struct json_writer *writer, const char *destination, const char *type,
		    const char *source, const char *const *options)
{
	json_begin_object(writer);
	json_put_string(writer, "destination", destination);
	json_put_string(writer, "type", type);
	json_put_string(writer, "source", source);
	if (options && options[0])
		spec_put_words(writer, "options", options);
	json_end_object(writer);
}

#define MOUNT_OPTIONS_MAX 6
struct usual_mount {
	const char *destination, *type, *source;
	const char *options[MOUNT_OPTIONS_MAX + 1];
};

void spec_put_usual_mounts(struct json_writer *writer, const char *shm_size, bool writable_sys,
			   bool one_user)
{
	/* "ro" is the last option of those that can be without it. */
	const struct usual_mount mounts[] = {
		{ "/proc", "proc", "proc", { NULL } },
		{ "/dev",
		  "tmpfs",
		  "tmpfs",
		  { "nosuid", "strictatime", "mode=755", "size=65536k" } },
		{ "/dev/pts",
		  "devpts",
		  "devpts",
		  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
		    one_user ? NULL : "gid=5" } },
		{ "/dev/shm",
		  "tmpfs",
		  "shm",
		  { "nosuid", "noexec", "nodev", "mode=1777", shm_size } },
		{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
		{ "/sys",
		  "sysfs",
		  "sysfs",
		  { "nosuid", "noexec", "nodev", writable_sys ? NULL : "ro" } },
		{ "/sys/fs/cgroup",
		  "cgroup",
		  "cgroup",
		  { "nosuid", "noexec", "nodev", "relatime", writable_sys ? NULL : "ro" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		spec_put_mount(writer, mounts[i].destination, mounts[i].type, mounts[i].source,
			       mounts[i].options);
}

void spec_put_devices(struct json_writer *writer, bool all)
{
	json_put_key(writer, "devices");
	json_begin_array(writer);
	json_begin_object(writer);
	json_put_bool(writer, "allow", all);
	json_put_string(writer, "access", "rwm");
	json_end_object(writer);
	json_end_array(writer);
}

void spec_put_namespaces(struct json_writer *writer, bool has_user)
{
	static const char *const names[] = { "pid",    "ipc",	  "uts", "mount",
					     "cgroup", "network", "user" };

	json_put_key(writer, "namespaces");
	json_begin_array(writer);
	for (size_t i = 0; i < ARRAY_SIZE(names) - (has_user ? 0 : 1); i++) {
		json_begin_object(writer);
		json_put_string(writer, "type", names[i]);
		json_end_object(writer);
	}
	json_end_array(writer);
}

void spec_put_hidden_paths(struct json_writer *writer)
{
	static const char *const masked[] = { "/proc/acpi",
					      "/proc/asound",
					      "/proc/kcore",
					      "/proc/keys",
					      "/proc/latency_stats",
					      "/proc/timer_list",
					      "/proc/timer_stats",
					      "/proc/sched_debug",
					      "/sys/firmware",
					      "/proc/scsi",
					      NULL };
	static const char *const read_only[] = { "/proc/bus",		"/proc/fs",
						 "/proc/irq",		"/proc/sys",
						 "/proc/sysrq-trigger", NULL };

	spec_put_words(writer, "maskedPaths", masked);
	spec_put_words(writer, "readonlyPaths", read_only);
}
