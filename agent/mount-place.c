/* SPDX-License-Identifier: Apache-2.0 */
/* Places of mounts: see mount-place.h. */
#include "agent/mount-place.h"

#include <stdlib.h>

#include "agent/inroot.h"
#include "base/alloc.h"
#include "base/go-error.h"
#include "runtime-spec/proc-mount.h"

int mount_place_check(const struct spec_mount *mount, int root_fd, int fd, struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;

	if (inroot_path(root_fd, fd, &path, ret_error) < 0)
		return error_wrap(ret_error, "mount %s", mount->destination);
	return proc_mount_check(mount, path, ret_error);
}

int mount_place_error(const struct spec_mount *mount, int code, struct error **ret_error)
{
	return error_set_go(ret_error, code, "error mounting \"%s\" to rootfs at \"%s\"",
			    mount->source ? mount->source : mount->type, mount->destination);
}
