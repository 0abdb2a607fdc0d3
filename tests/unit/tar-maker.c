/* SPDX-License-Identifier: Apache-2.0 */
/* See tar-maker.h. */
#include "tests/unit/tar-maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/test.h"

#define BLOCK 512U

static uint8_t *grow(struct tar *tar, size_t size)
{
	uint8_t *at;

	size = (size + BLOCK - 1) / BLOCK * BLOCK;
	tar->bytes = xreallocarray(tar->bytes, tar->size + size, 1);
	at = tar->bytes + tar->size;
	memset(at, 0, size);
	tar->size += size;
	return at;
}

void tar_put(struct tar *tar, char type, const char *name, const char *target, unsigned mode,
	     const void *contents, size_t size)
{
	_cleanup_free_ char *pax = TAKE_PTR(tar->pax);
	char *header;
	unsigned sum = 0;

	if (pax)
		tar_put(tar, 'x', "pax", "", 0644, pax, tar->pax_size);
	tar->pax_size = 0;
	header = (char *)grow(tar, BLOCK);

	(void)strncpy(header, name, 100);
	(void)snprintf(header + 100, 8, "%07o", mode);
	(void)snprintf(header + 108, 8, "%07o", 0);
	(void)snprintf(header + 116, 8, "%07o", 0);
	(void)snprintf(header + 124, 12, "%011zo", size);
	(void)snprintf(header + 136, 12, "%011o", 1000);
	header[156] = type;
	(void)strncpy(header + 157, target, 100);
	memcpy(header + 257, "ustar\00000", 8);
	(void)snprintf(header + 329, 8, "%07o", 0);
	(void)snprintf(header + 337, 8, "%07o", 0);
	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (uint8_t)header[i];
	(void)snprintf(header + 148, 8, "%06o", sum);
	if (size > 0)
		memcpy(grow(tar, size), contents, size);
}

void tar_put_pax(struct tar *tar, const char *key, const void *value, size_t size)
{
	size_t length = strlen(key) + size + 3, digits = 1;
	char *record;
	char number[24];

	/* "LENGTH KEY=VALUE\n", its own length included. */
	while (snprintf(number, sizeof(number), "%zu", length + digits) != (int)digits)
		digits++;
	length += digits;
	tar->pax = xreallocarray(tar->pax, tar->pax_size + length + 1, 1);
	record = tar->pax + tar->pax_size;
	(void)sprintf(record, "%zu %s=", length, key);
	memcpy(record + length - size - 1, value, size);
	record[length - 1] = '\n';
	tar->pax_size += length;
}

void tar_end(struct tar *tar)
{
	(void)grow(tar, 2 * (size_t)BLOCK);
}

int tar_open(struct tar *tar)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);

	CHECK(fd >= 0 && write_all(fd, tar->bytes, tar->size) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	free(tar->bytes);
	*tar = (struct tar){ 0 };
	return fd;
}
