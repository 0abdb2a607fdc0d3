/* SPDX-License-Identifier: Apache-2.0 */
/* --change of `commit` and `import`: instructions of a Dockerfile about an image's configuration.
 */
#pragma once

#include "base/error.h"

/* The `config` of an image's configuration, as text: that of image (its configuration's text; NULL:
 * an empty one) with the changes, which end with NULL (NULL: none).  Known are CMD, ENTRYPOINT,
 * ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR.  Caller frees. */
int image_changes_apply(const char *image, const char *const *changes, char **ret_config,
			struct error **ret_error);
