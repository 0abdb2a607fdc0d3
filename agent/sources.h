/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts whose source is the host's: shares, disks, unix sockets (files.h). */
#pragma once

#include "agent/agent.h"
#include "agent/files.h"
#include "base/error.h"
#include "runtime-spec/mount-options.h"
#include "runtime-spec/spec.h"

/* Mounts it where config.json says, inside the root; a destination that is missing is
 * made, a directory or an empty file, as the source is. */
int source_mount(const struct agent_config *config, const struct mount_source *source,
		 const struct spec_mount *mount, const struct mount_options *options, int root_fd,
		 struct error **ret_error);
/* Volumes, before config.json's own mounts. */
int source_mount_volumes(const struct agent_config *config, const struct files *files, int root_fd,
			 struct error **ret_error);
