/* SPDX-License-Identifier: Apache-2.0 */
/* sysctl, oom_score_adj and the loopback interface: see kernel-settings.h. */
#include "agent/kernel-settings.h"

#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

/* "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/forwarding" are both usual:
 * the first separator tells which (sysctl.d(5)). */
static char *sysctl_path(const char *key)
{
	char *path = xasprintf("/proc/sys/%s", key);
	char first = key[strcspn(key, "./")];

	if (first == '.')
		for (char *p = path + strlen("/proc/sys/"); *p; p++)
			*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	return path;
}

static bool is_of_interface(const char *path)
{
	return fnmatch("/proc/sys/net/*/conf/*/*", path, FNM_PATHNAME) == 0 ||
	       fnmatch("/proc/sys/net/*/neigh/*/*", path, FNM_PATHNAME) == 0;
}

static bool has_directory(const char *path)
{
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	return access(directory, F_OK) == 0;
}

static int set_one(const struct spec_key_value *sysctl, const char *path, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;

	if (strstr(path, "/../"))
		return error_set(ret_error, EINVAL, "sysctl \"%s\" is not a name", sysctl->key);
	if (write_file(path, sysctl->value, &error) == 0 ||
	    (error->code == ENOENT && is_of_interface(path) && !has_directory(path)))
		return 0;
	*ret_error = TAKE_PTR(error);
	return error_wrap(ret_error, "sysctl %s", sysctl->key);
}

static int set_all(const struct spec_key_value *sysctl, size_t n, bool of_interfaces,
		   struct error **ret_error)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = sysctl_path(sysctl[i].key);

		if (of_interfaces && !is_of_interface(path))
			continue;
		if (set_one(&sysctl[i], path, ret_error) < 0)
			return -1;
	}
	return 0;
}

int sysctl_set(const struct spec_key_value *sysctl, size_t n, struct error **ret_error)
{
	return set_all(sysctl, n, false, ret_error);
}

int sysctl_set_interfaces(const struct spec_key_value *sysctl, size_t n, struct error **ret_error)
{
	return set_all(sysctl, n, true, ret_error);
}

bool sysctl_has(const struct spec_key_value *sysctl, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *one = sysctl_path(sysctl[i].key);

		if (strcmp(one, path) == 0)
			return true;
	}
	return false;
}

int oom_score_adj_set(int value, struct error **ret_error)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", value);
	return write_file("/proc/self/oom_score_adj", text, ret_error);
}

int loopback_up(struct error **ret_error)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return error_set_errno(ret_error, errno, "cannot find the interface lo");
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_set_errno(ret_error, errno, "cannot bring the interface lo up");
	return 0;
}
