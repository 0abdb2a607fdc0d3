/* SPDX-License-Identifier: Apache-2.0 */
/* `check`: what the host allows. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/landlock.h"
#include "base/paths.h"
#include "cli/check.h"
#include "host/own-namespaces.h"
#include "host/tap.h"

static bool has_capability(cap_value_t capability)
{
	cap_flag_value_t value = CAP_CLEAR;
	cap_t set = cap_get_proc();

	(void)cap_get_flag(set, capability, CAP_EFFECTIVE, &value);
	(void)cap_free(set);
	return value == CAP_SET;
}

/* NULL, or why an ordinary user can have no namespaces. */
static char *lack_of_namespaces(void)
{
	_cleanup_error_ struct error *error = NULL;

	if (!own_namespaces_are_needed() || own_namespaces_try(&error) == 0)
		return NULL;
	return xstrdup(error->message);
}

void check_permissions(struct check *check)
{
	const bool admin = has_capability(CAP_SYS_ADMIN);
	_cleanup_free_ char *lack = lack_of_namespaces();

	if (admin && has_capability(CAP_NET_ADMIN))
		check_add(check, "permissions", LEVEL_OK,
			  xasprintf("user %u with CAP_SYS_ADMIN and CAP_NET_ADMIN", geteuid()),
			  NULL);
	else if (!admin && !lack)
		check_add(check, "permissions", LEVEL_OK,
			  xasprintf("user %u, with user, mount and network namespaces of its own; "
				    "files of other users stay theirs",
				    geteuid()),
			  NULL);
	else
		check_add(
		    check, "permissions", LEVEL_NOTE,
		    xasprintf("user %u without %s: %s", geteuid(),
			      admin ? "CAP_NET_ADMIN" : "CAP_SYS_ADMIN",
			      lack ? lack : "no network namespaces"),
		    xstrdup(lack
				? "run as root, or let this user make user namespaces; without, "
				  "only containers of images run, without -v and namespaces of the "
				  "network"
				: "run as root, or leave network namespaces out of config.json"));
}

/* What of doc/security.md is not in force here.  It is a note: the processor's bounds are. */
void check_jail(struct check *check)
{
	_cleanup_free_ char *lack = lack_of_namespaces();
	const bool files = landlock_is_usable();
#ifdef HAVE_SECCOMP
	const bool filters = prctl(PR_GET_SECCOMP) >= 0;
#else
	const bool filters = false;
#endif

	if (!lack && files && filters)
		check_add(check, "jail", LEVEL_OK,
			  xasprintf("namespaces, system call filters and Landlock for the VMM%s",
				    geteuid() == 0 ? ", a user of its own for QEMU" : ""),
			  NULL);
	else
		check_add(
		    check, "jail", LEVEL_NOTE,
		    xasprintf("missing for the VMM:%s%s%s",
			      lack ? " namespaces and a root of its own;" : "",
			      filters ? "" : " system call filters;", files ? "" : " Landlock;"),
		    xstrdup(lack ? "run as root"
			    : filters
				? "boot Linux 5.19 or later with \"landlock\" in its lsm= list"
				: "build with libseccomp"));
}

/* Machines that share files have a mount namespace. */
void check_root(struct check *check)
{
	if (root_is_mount_point())
		check_add(check, "root directory", LEVEL_OK, xstrdup("a mount point"), NULL);
	else
		check_add(check, "root directory", geteuid() == 0 ? LEVEL_FAIL : LEVEL_NOTE,
			  xstrdup("not a mount point: no mount namespaces"),
			  xstrdup("bind-mount it onto itself and enter it with pivot_root "
				  "instead of chroot"));
}

/* The directory, or what exists of the way to it, can be written to. */
static void check_directory(struct check *check, const char *name, const char *directory,
			    const char *option)
{
	_cleanup_free_ char *existing = xstrdup(directory);
	struct stat st;
	char *slash;

	while (stat(existing, &st) < 0 && (slash = strrchr(existing, '/')) && slash > existing)
		*slash = '\0';
	if (stat(existing, &st) < 0)
		existing[1] = '\0'; /* "/" */
	if (stat(existing, &st) == 0 && S_ISDIR(st.st_mode) && access(existing, W_OK | X_OK) == 0)
		check_add(check, name, LEVEL_OK, xstrdup(directory), NULL);
	else
		check_add(check, name, LEVEL_FAIL,
			  xasprintf("%s: cannot write to %s", directory, existing),
			  xasprintf("run as root%s, or name another directory with %s",
				    strcmp(option, "--root") == 0 ? ", set XDG_RUNTIME_DIR" : "",
				    option));
}

void check_directories(struct check *check)
{
	_cleanup_free_ char *cache = paths_cache();

	check_directory(check, "state directory", check->host->state, "--root");
	check_directory(check, "cache directory", cache, "--cache or SUPERMACHINE_CACHE");
}

void check_cgroup(struct check *check)
{
	_cleanup_free_ char *controllers =
	    xasprintf("%s/sys/fs/cgroup/cgroup.controllers", check->host->system);

	if (access(controllers, F_OK) == 0)
		check_add(check, "cgroup v2", LEVEL_OK, xstrdup("/sys/fs/cgroup"), NULL);
	else
		check_add(check, "cgroup v2", LEVEL_NOTE,
			  xstrdup("not mounted on /sys/fs/cgroup; containers have the guest's own"),
			  xstrdup("boot this machine with systemd.unified_cgroup_hierarchy=1"));
}

/* Opening it makes nothing yet.  lack: what comes of it if it cannot be opened. */
static void check_network_device(struct check *check, const char *name, const char *device,
				 const char *module, const char *lack)
{
	_cleanup_free_ char *path = xasprintf("%s%s", check->host->system, device);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	const int code = errno;

	if (fd >= 0)
		check_add(check, name, LEVEL_OK, xstrdup(device), NULL);
	else if (code == ENOENT)
		check_add(check, name, LEVEL_NOTE, xasprintf("there is no %s: %s", device, lack),
			  xasprintf("modprobe %s", module));
	else
		check_add(check, name, LEVEL_NOTE,
			  xasprintf("cannot open %s (%s): %s", device, strerror(code), lack),
			  code == EACCES || code == EPERM
			      ? xstrdup("allow this user, or this machine's container, its use")
			      : xasprintf("modprobe %s", module));
}

void check_network(struct check *check)
{
	char *passt = paths_search("passt");

	check_network_device(check, "tun", "/dev/net/tun", "tun",
			     "the interfaces of a network namespace cannot reach a guest");
	check_network_device(check, "vhost-net", VHOST_NET_DEVICE, "vhost_net",
			     "the VMM moves a guest's frames, which is slower");
	if (passt)
		check_add(check, "passt", LEVEL_OK, passt, NULL);
	else
		check_add(check, "passt", LEVEL_NOTE,
			  xstrdup("not found: --network passt needs it"),
			  xstrdup("apt-get install passt"));
}
