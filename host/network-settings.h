/* SPDX-License-Identifier: Apache-2.0 */
/* The sysctls of a network namespace as a whole, for network.c; those of an interface come with it
 * (network-links.h). */
#pragma once

#include "base/error.h"
#include "host/network.h"

/* Adds to the view those that somebody has given another value than a new namespace has, as CNI's
 * tuning does.  Only such as every kernel takes.  Needs CAP_SYS_ADMIN. */
int network_settings_read(int ns_fd, struct network_view *view, struct error **ret_error);
