/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as a vhost-user front-end hands it over: files to map, each with
 * its guest physical address and with the address it has in the front-end, by
 * which the rings are named.
 *
 * Nothing about a table is trusted.  Touching a page that its file does not have
 * would be a SIGBUS, so a file must be long enough and sealed against shrinking
 * (memfd_create(2), F_SEAL_SHRINK; the seal is set here where that is still
 * possible): memory from anywhere else is refused.  One thing stays
 * trusted: that a page is available when it is touched.  For huge pages, the front-end
 * must not punch holes into a file while no other huge page is free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "virtio/memory.h"
#include "virtio/vhost-wire.h"

struct vhost_mapping {
	struct vhost_region region;
	void *at; /* of the whole mapping, which is made of whole pages of its file */
	size_t size;
};

/* A zeroed one is empty. */
struct vhost_ram {
	struct guest_memory memory; /* what devices see */
	struct vhost_mapping mappings[MEM_REGIONS_MAX];
	size_t n_mappings;
};

/* Maps n regions, the i-th from fds[i], which stay the caller's and may be
 * closed after.  Refuses regions that are empty, wrap, overlap (in either kind of
 * address), or lie outside their file; and files as said above. */
int vhost_ram_map(const struct vhost_region *regions, const int *fds, size_t n,
		  struct vhost_ram *ret_ram, struct error **ret_error);
/* Nothing may use it any more. */
void vhost_ram_unmap(struct vhost_ram *ram);

/* Where the byte that the front-end has at user_address is in the guest; false
 * when it is in no region. */
bool vhost_ram_gpa(const struct vhost_ram *ram, uint64_t user_address, gpa_t *ret_gpa);
