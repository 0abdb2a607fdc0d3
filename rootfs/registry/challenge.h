/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate: what a registry wants to see (RFC 9110 §11.6.1). */
#pragma once

#include <stddef.h>

#define CHALLENGES_MAX 8

struct challenge {
	char *scheme;			       /* lower case */
	char *realm, *service, *scope, *error; /* NULL: not said; no control characters */
};

/* The challenges of one header, at most CHALLENGES_MAX; the list ends with one without a scheme.
 * Where it stops being well-formed, the rest is left out. */
struct challenge *challenges_parse(const char *header);
void challenges_free(struct challenge *challenges);
static inline void challenges_freep(struct challenge **challenges)
{
	challenges_free(*challenges);
}
