/* SPDX-License-Identifier: Apache-2.0 */
/* The directory that is the container's root: config.json's root.path. */
#pragma once

#include "base/error.h"
#include "runtime-spec/spec.h"

/*
 * Its absolute path, without any symbolic link; caller frees.  Refuses, as runc does and in
 * its words, a root.path that leads through a symbolic link, of which the bundle's own path
 * may have some: a user who could plant one would choose the directory.
 */
int root_find(const struct spec *spec, const char *bundle, char **ret_path,
	      struct error **ret_error);
