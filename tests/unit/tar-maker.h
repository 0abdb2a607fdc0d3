/* SPDX-License-Identifier: Apache-2.0 */
/* Archives as no tar program makes them: entry by entry, byte by byte. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tar {
	uint8_t *bytes;
	size_t size;
	char *pax; /* records for the next entry */
	size_t pax_size;
};

/* type: '0' a file, '1' a hard link, '2' a symbolic link, '3' and '4' devices, '5' a directory, '6'
 * a FIFO; target for links, contents for files. mtime is 1000, owner 0. */
void tar_put(struct tar *tar, char type, const char *name, const char *target, unsigned mode,
	     const void *contents, size_t size);
/* A PAX record of the next entry. */
void tar_put_pax(struct tar *tar, const char *key, const void *value, size_t size);
/* Two blocks of zeros. */
void tar_end(struct tar *tar);
/* As a file, open for reading; frees the archive. */
int tar_open(struct tar *tar);
