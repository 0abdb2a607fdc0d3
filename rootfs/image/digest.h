/* SPDX-License-Identifier: Apache-2.0 */
/* Content digests, "sha256:" and 64 hexadecimal digits: image-spec descriptor.md "Digests". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_SIZE 72 /* of the text with its NUL */
#define DIGEST_HEX 64

/* Its form, nothing else: sha256 only, lower case. */
bool digest_valid(const char *text);
/* The hexadecimal digits of a valid one. */
const char *digest_hex(const char *digest);
/* Of some bytes. */
int digest_of(const void *bytes, size_t size, char ret_digest[DIGEST_SIZE],
	      struct error **ret_error);

/* Of a stream.  digest_end() frees it; so does digest_free(). */
struct digest;
int digest_begin(struct digest **ret_digest, struct error **ret_error);
int digest_add(struct digest *digest, const void *bytes, size_t size, struct error **ret_error);
int digest_end(struct digest *digest, char ret_text[DIGEST_SIZE], struct error **ret_error);
void digest_free(struct digest *digest);
DEFINE_CLEANUP(struct digest, digest_free)
