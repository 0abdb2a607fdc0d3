/* SPDX-License-Identifier: Apache-2.0 */
/* What `inspect` says of a container, under docker's names. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "client/client.h"

/* One object.  ENOENT: there is no such container, and nothing was written. */
int inspect_container(struct json_writer *writer, const struct client *client, const char *id,
		      struct error **ret_error);
