/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the command line: see parse.h. */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/cleanup.h"

static bool number(const char *text, uint64_t *ret_value, const char **ret_end)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*ret_value = strtoull(text, &end, 10);
	*ret_end = end;
	return errno == 0;
}

int parse_number(const char *text, uint64_t *ret_value)
{
	const char *end;

	return number(text, ret_value, &end) && *end == '\0' ? 0 : -1;
}

int parse_bool(const char *text, bool *ret_bool)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		const bool value = strcmp(text, yes[i]) == 0;

		if (value || strcmp(text, no[i]) == 0) {
			*ret_bool = value;
			return 0;
		}
	}
	return -1;
}

/* "RTMIN", "RTMIN+3", "RTMAX-1". */
static bool realtime_signal(const char *name, int *ret_signal)
{
	const bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
	const char *end;
	uint64_t offset = 0;

	if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
		return false;
	if (name[5] != '\0' &&
	    (name[5] != (from_min ? '+' : '-') || !number(name + 6, &offset, &end) || *end != '\0'))
		return false;
	/* As programs see them: below SIGRTMIN libc keeps some for itself. */
	if (offset > (uint64_t)(SIGRTMAX - SIGRTMIN))
		return false;
	*ret_signal = from_min ? SIGRTMIN + (int)offset : SIGRTMAX - (int)offset;
	return true;
}

int parse_signal(const char *text, int *ret_signal, struct error **ret_error)
{
	static const struct {
		const char *name;
		int signal;
	} aliases[] = { { "IOT", SIGIOT }, { "POLL", SIGPOLL }, { "CLD", SIGCHLD } };
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	const char *end;
	uint64_t value;

	if (number(text, &value, &end) && *end == '\0' && value <= (uint64_t)SIGRTMAX) {
		*ret_signal = (int)value;
		return 0;
	}
	for (int i = 1; i < SIGRTMIN; i++) {
		const char *known = sigabbrev_np(i);

		if (known && strcasecmp(known, name) == 0) {
			*ret_signal = i;
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcasecmp(aliases[i].name, name) == 0) {
			*ret_signal = aliases[i].signal;
			return 0;
		}
	if (realtime_signal(name, ret_signal))
		return 0;
	return error_set(ret_error, EINVAL, "unknown signal \"%s\"", text);
}

/* What is behind a decimal point, as a fraction of 10^9; digits beyond those count for nothing. */
#define FRACTION 1000000000u
static uint64_t fraction(const char **at)
{
	uint64_t value = 0, unit = FRACTION;

	for (; isdigit((unsigned char)**at); ++*at) {
		unit /= 10;
		value += unit * (uint64_t)(**at - '0');
	}
	return value;
}

/* "", "k", "KB", "MiB"; 0: none of them. */
static uint64_t size_unit(const char *text)
{
	static const char units[] = "kmgtp";
	const char *unit = *text ? strchr(units, tolower((unsigned char)*text)) : NULL;

	if (unit) {
		text++;
		if (*text == 'i' && text[1] != '\0')
			text++;
	}
	if (tolower((unsigned char)*text) == 'b')
		text++;
	if (*text != '\0')
		return 0;
	return unit ? UINT64_C(1) << (10 * (unit - units + 1)) : 1;
}

int parse_size(const char *text, uint64_t *ret_bytes, struct error **ret_error)
{
	uint64_t value, factor = 0, part = 0;
	const char *end;

	if (number(text, &value, &end)) {
		if (*end == '.' && isdigit((unsigned char)end[1])) {
			end++;
			part = fraction(&end);
		}
		factor = size_unit(end);
	}
	/* The part is less than factor; this order of operations has no room to overflow. */
	part = factor / FRACTION * part + factor % FRACTION * part / FRACTION;
	if (factor == 0 || checked_mul(value, factor, &value) || checked_add(value, part, &value))
		return error_set(ret_error, EINVAL, "invalid size: '%s'", text);
	*ret_bytes = value;
	return 0;
}

static bool duration_part(const char **text, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	const char *end;
	uint64_t value;

	if (!number(*text, &value, &end))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		const size_t length = strlen(units[i].name);

		if (strspn(end, "hms") == length && strncmp(units[i].name, end, length) == 0) {
			*text = end + length;
			return !checked_mul(value, units[i].ms, ret_ms);
		}
	}
	return false;
}

int parse_duration(const char *text, uint64_t *ret_ms, struct error **ret_error)
{
	const char *p = text;
	uint64_t total = 0, part;

	do {
		if (!duration_part(&p, &part) || checked_add(total, part, &total))
			total = 0;
	} while (*p != '\0' && total > 0);
	if (total == 0)
		return error_set(ret_error, EINVAL, "invalid duration \"%s\"", text);
	*ret_ms = total;
	return 0;
}
