/* SPDX-License-Identifier: Apache-2.0 */
/* --device: nodes of devices that a guest's kernel has by itself; see run-request.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/run-request.h"

/* Linux' admin-guide/devices.txt; all are character devices. */
static const struct {
	const char *path;
	unsigned major, minor;
} known[] = { { "/dev/null", 1, 3 },	       { "/dev/zero", 1, 5 },
	      { "/dev/full", 1, 7 },	       { "/dev/random", 1, 8 },
	      { "/dev/urandom", 1, 9 },	       { "/dev/tty", 5, 0 },
	      { "/dev/net/tun", 10, 200 },     { "/dev/fuse", 10, 229 },
	      { "/dev/loop-control", 10, 237 } };

static int find(const char *path, struct run_device *device, struct error **ret_error)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(path, known[i].path) == 0) {
			device->major = known[i].major;
			device->minor = known[i].minor;
			return 0;
		}
	return error_set(ret_error, ENOTSUP,
			 "--device %s is not supported: a machine has no devices of the host's, "
			 "only /dev/fuse, /dev/net/tun, /dev/loop-control and those of memory",
			 path);
}

/* HOST[:PATH][:PERMISSIONS], as docker tells them apart. */
static int read_device(const char *word, struct run_device *device, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(word);
	char *rest = copy;
	const char *host = strsep(&rest, ":"), *second = strsep(&rest, ":"),
		   *third = strsep(&rest, ":");
	const char *path = second && second[0] == '/' ? second : host;
	const char *access = third ? third : second && second[0] != '/' ? second : "rwm";

	if (find(host, device, ret_error) < 0)
		return -1;
	if (rest || path[0] != '/' || !access[0] || access[strspn(access, "rwm")])
		return error_set(ret_error, EINVAL,
				 "--device %s: write DEVICE[:PATH][:PERMISSIONS], of which the "
				 "latter are r, w and m",
				 word);
	device->path = xstrdup(path);
	device->access = xstrdup(access);
	return 0;
}

int run_devices_read(const struct run_options *options, struct run_request *request,
		     struct error **ret_error)
{
	for (const char *const *word = options->devices; word && *word; word++) {
		struct run_device device = { 0 };

		if (read_device(*word, &device, ret_error) < 0)
			return -1;
		request->devices = xreallocarray(request->devices, request->n_devices + 1,
						 sizeof(*request->devices));
		request->devices[request->n_devices++] = device;
	}
	return 0;
}
