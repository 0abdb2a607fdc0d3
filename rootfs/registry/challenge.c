/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate: see challenge.h. */
#include "rootfs/registry/challenge.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/plain.h"

#define TOKEN "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
/* token68 has these beside. */
#define TOKEN68 TOKEN "/="

static void skip(const char **at, const char *what)
{
	*at += strspn(*at, what);
}

/* A quoted string or a token; NULL: neither. */
static char *take_value(const char **at)
{
	char *value, *to;

	if (**at != '"') {
		const size_t length = strspn(*at, TOKEN "/:");

		value = length ? xstrndup(*at, length) : NULL;
		*at += length;
		return value;
	}
	++*at;
	to = value = xmalloc(strlen(*at) + 1);
	while (**at && **at != '"') {
		if (**at == '\\' && (*at)[1])
			++*at;
		*to++ = *(*at)++;
	}
	*to = '\0';
	if (**at != '"') {
		free(value);
		return NULL;
	}
	++*at;
	return value;
}

static void keep(struct challenge *challenge, const char *name, size_t length, char *value)
{
	char **const members[] = { &challenge->realm, &challenge->service, &challenge->scope,
				   &challenge->error };
	static const char *const names[] = { "realm", "service", "scope", "error" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == length && strncasecmp(names[i], name, length) == 0 &&
		    !*members[i]) {
			plain_text(value);
			*members[i] = value;
			return;
		}
	}
	free(value);
}

/* "name = value" at *at; false, and *at as it was: what is here is a scheme, or nothing. */
static bool take_parameter(const char **at, struct challenge *challenge)
{
	const char *here = *at, *name = here;
	const size_t length = strspn(here, TOKEN);
	char *value;

	here += length;
	skip(&here, " \t");
	if (length == 0 || *here != '=')
		return false;
	here++;
	skip(&here, " \t");
	value = take_value(&here);
	if (!value)
		return false;
	keep(challenge, name, length, value);
	*at = here;
	return true;
}

static bool take_challenge(const char **at, struct challenge *challenge)
{
	const size_t length = strspn(*at, TOKEN);
	const char *after;

	if (length == 0 || ((*at)[length] && !strchr(" \t,", (*at)[length])))
		return false;
	challenge->scheme = xstrndup(*at, length);
	for (char *c = challenge->scheme; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	*at += length;
	skip(at, " \t");
	if (!take_parameter(at, challenge)) {
		/* Negotiate's and others' token68. */
		after = *at + strspn(*at, TOKEN68);
		if (*after == '\0' || *after == ',')
			*at = after;
		skip(at, " \t,");
		return true;
	}
	for (;;) {
		const char *here = *at;

		skip(&here, " \t");
		if (*here != ',')
			break;
		skip(&here, " \t,");
		*at = here;
		if (!take_parameter(at, challenge))
			break;
	}
	skip(at, " \t,");
	return true;
}

struct challenge *challenges_parse(const char *header)
{
	struct challenge *challenges = xcalloc(CHALLENGES_MAX + 1, sizeof(*challenges));

	skip(&header, " \t,");
	for (size_t i = 0; i < CHALLENGES_MAX && *header; i++)
		if (!take_challenge(&header, &challenges[i]))
			break;
	return challenges;
}

void challenges_free(struct challenge *challenges)
{
	for (size_t i = 0; challenges && challenges[i].scheme; i++) {
		free(challenges[i].scheme);
		free(challenges[i].realm);
		free(challenges[i].service);
		free(challenges[i].scope);
		free(challenges[i].error);
	}
	free(challenges);
}
