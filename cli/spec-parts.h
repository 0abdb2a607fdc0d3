/* SPDX-License-Identifier: Apache-2.0 */
/* What every config.json that we write has: that of `spec` and those of images. */
#pragma once

#include <stdbool.h>

#include "base/json.h"

/* An array of strings; words ends with NULL. */
void spec_put_words(struct json_writer *writer, const char *key, const char *const *words);
/* One element of "mounts"; options ends with NULL, and may be NULL. */
void spec_put_mount(struct json_writer *writer, const char *destination, const char *type,
		    const char *source, const char *const *options);
/* /proc, /dev and what is below them, and /sys, as elements of "mounts".  shm_size: the option of
 * /dev/shm; one_user: no other user or group is named. */
#define SPEC_SHM_SIZE "size=65536k"
void spec_put_usual_mounts(struct json_writer *writer, const char *shm_size, bool writable_sys,
			   bool one_user);
/* "devices", a member of "resources": the usual ones are added to none, or to all. */
void spec_put_devices(struct json_writer *writer, bool all);
/* "namespaces"; has_user: a user namespace as well. */
void spec_put_namespaces(struct json_writer *writer, bool has_user);
/* "maskedPaths" and "readonlyPaths". */
void spec_put_hidden_paths(struct json_writer *writer);
