/* SPDX-License-Identifier: Apache-2.0 */
/* Content digests: see digest.h. */
#include "rootfs/image/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hex.h"

struct digest {
	EVP_MD_CTX *context;
};

bool digest_valid(const char *text)
{
	return strlen(text) == strlen(DIGEST_PREFIX) + DIGEST_HEX &&
	       strncmp(text, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) == 0 &&
	       strspn(text + strlen(DIGEST_PREFIX), "0123456789abcdef") == DIGEST_HEX;
}

const char *digest_hex(const char *digest)
{
	return digest + strlen(DIGEST_PREFIX);
}

static int failed(struct error **ret_error)
{
	return error_set(ret_error, EIO, "cannot compute a SHA-256 digest");
}

int digest_begin(struct digest **ret_digest, struct error **ret_error)
{
	_cleanup_(digest_freep) struct digest *digest = xcalloc(1, sizeof(*digest));

	digest->context = EVP_MD_CTX_new();
	if (!digest->context || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1)
		return failed(ret_error);
	*ret_digest = TAKE_PTR(digest);
	return 0;
}

int digest_add(struct digest *digest, const void *bytes, size_t size, struct error **ret_error)
{
	return EVP_DigestUpdate(digest->context, bytes, size) == 1 ? 0 : failed(ret_error);
}

int digest_end(struct digest *digest, char ret_text[DIGEST_SIZE], struct error **ret_error)
{
	_cleanup_free_ char *hex = NULL;
	unsigned char bytes[DIGEST_HEX / 2];
	const bool is_done = EVP_DigestFinal_ex(digest->context, bytes, NULL) == 1;

	digest_free(digest);
	if (!is_done)
		return failed(ret_error);
	hex = hex_encode(bytes, sizeof(bytes));
	(void)snprintf(ret_text, DIGEST_SIZE, DIGEST_PREFIX "%s", hex);
	return 0;
}

void digest_free(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->context);
	free(digest);
}

int digest_of(const void *bytes, size_t size, char ret_digest[DIGEST_SIZE],
	      struct error **ret_error)
{
	_cleanup_(digest_freep) struct digest *digest = NULL;

	if (digest_begin(&digest, ret_error) < 0 || digest_add(digest, bytes, size, ret_error) < 0)
		return -1;
	return digest_end(TAKE_PTR(digest), ret_digest, ret_error);
}
