/* SPDX-License-Identifier: Apache-2.0 */
/* What supermachine-images does: rootfs/image/pull.h has the requests and answers. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"
#include "rootfs/image/pull.h"

/* A regular file, a pipe or a directory, for reading; "-": the caller's standard input, as ours is
 * the request. */
int action_open_input(const char *name, int *ret_fd, struct stat *ret_st, struct error **ret_error);

/* Each adds to *names (strv_free()) what it has made. */
int action_pull(struct image_store *store, const struct images_request *request, char ***names,
		struct error **ret_error);
int action_login(const struct images_request *request, char ***names, struct error **ret_error);
int action_logout(const struct images_request *request, char ***names, struct error **ret_error);
/* From an OCI layout (a directory, or a tar of one) or a docker archive. */
int action_load(struct image_store *store, const struct images_request *request, char ***names,
		struct error **ret_error);
/* From the archive of a root file system: a regular file or a pipe. */
int action_import(struct image_store *store, const struct images_request *request, char ***names,
		  struct error **ret_error);
/* To a tar file that is an OCI layout and a docker archive. */
int action_save(struct image_store *store, const struct images_request *request, char ***names,
		struct error **ret_error);
