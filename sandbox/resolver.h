/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in a container whose network is passt's: nobody else gives it an /etc/resolv.conf, an
 * /etc/hosts and an /etc/hostname.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "runtime-spec/spec.h"

struct resolver_request {
	const char *directory; /* where the files are made */
	const char *bundle;
	const struct spec *spec;
};

/* Each of the three, unless its mounts have that place already: writes DIRECTORY/NAME and adds a
 * bind mount of it to config.json's text, which is replaced.  resolv.conf has passt's name servers
 * and the host's search domains and options.  The other two have the container's hostname, and stay
 * as they are if the root file system has something in them. */
int resolver_add(const struct resolver_request *request, char **config, size_t *config_size,
		 struct error **ret_error);
