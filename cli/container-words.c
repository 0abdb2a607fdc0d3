/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's words about containers: see container-words.h. */
#include "cli/container-words.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/clock.h"

#define MINUTE 60u
#define HOUR (60u * MINUTE)
#define DAY (24u * HOUR)
#define WEEK (7u * DAY)
#define MONTH (30u * DAY)
#define YEAR (365u * DAY)

/* Docker's limits: each unit serves until the next one counts two, minutes and hours apart. */
char *words_of_duration(uint64_t seconds)
{
	static const struct {
		uint64_t below, unit;
		const char *name;
	} units[] = {
		{ MINUTE, 1, "seconds" },      { HOUR, MINUTE, "minutes" },
		{ 2 * DAY, HOUR, "hours" },    { 2 * WEEK, DAY, "days" },
		{ 2 * MONTH, WEEK, "weeks" },  { 2 * YEAR, MONTH, "months" },
		{ UINT64_MAX, YEAR, "years" },
	};
	const uint64_t hours = (seconds + HOUR / 2) / HOUR; /* rounded, as docker's are */
	size_t i = 0;

	if (seconds < 2)
		return xstrdup(seconds ? "1 second" : "Less than a second");
	if (seconds / MINUTE == 1)
		return xstrdup("About a minute");
	if (seconds >= HOUR && hours == 1)
		return xstrdup("About an hour");
	if (seconds >= HOUR)
		seconds = hours * HOUR;
	while (seconds >= units[i].below)
		i++;
	return xasprintf("%llu %s", (unsigned long long)(seconds / units[i].unit), units[i].name);
}

/* How long the process that stands for the container has been there. */
static uint64_t age_of(const struct handle *handle)
{
	const long ticks = sysconf(_SC_CLK_TCK);
	struct timespec now;
	uint64_t start;

	if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) < 0)
		return 0;
	start = handle->state->pid_start / (uint64_t)ticks;
	return (uint64_t)now.tv_sec > start ? (uint64_t)now.tv_sec - start : 0;
}

/* " 5 seconds ago"; "": it is not known when. */
static char *ago(uint64_t ended_s)
{
	const uint64_t now = clock_realtime_ns() / NS_PER_SECOND;
	_cleanup_free_ char *duration = words_of_duration(now > ended_s ? now - ended_s : 0);

	return ended_s ? xasprintf(" %s ago", duration) : xstrdup("");
}

static char *words_of_end(const struct handle *handle, const char *word)
{
	_cleanup_free_ char *when = NULL;
	uint64_t ended_s;
	uint32_t status;

	/* (Wait answers at once.) */
	if (handle_wait(handle, &status, &ended_s, NULL) < 0)
		return xstrdup(word);
	when = ago(ended_s);
	return xasprintf("%s (%u)%s", word, status, when);
}

char *words_of_status(const struct handle *handle, enum container_status status, bool restarting,
		      const char *health)
{
	_cleanup_free_ char *age = NULL;

	if (restarting)
		return status == STATUS_STOPPED ? words_of_end(handle, "Restarting")
						: xstrdup("Restarting");
	switch (status) {
	case STATUS_CREATING:
	case STATUS_CREATED:
		return xstrdup("Created");
	case STATUS_STOPPED:
		return words_of_end(handle, "Exited");
	case STATUS_RUNNING:
	case STATUS_PAUSED:
		break;
	}
	age = words_of_duration(age_of(handle));
	if (status == STATUS_PAUSED)
		health = "Paused";
	return health ? xasprintf("Up %s (%s)", age, health) : xasprintf("Up %s", age);
}

/* "80", or "80-89" of a range. */
static char *words_of_range(unsigned first, unsigned n)
{
	return n > 1 ? xasprintf("%u-%u", first, first + n - 1) : xasprintf("%u", first);
}

static void add_ports(char **text, const struct publish *publish, const char *address)
{
	_cleanup_free_ char *host = words_of_range(publish->host_port, publish->n_ports);
	_cleanup_free_ char *guest = words_of_range(publish->guest_port, publish->n_ports);
	_cleanup_free_ char *before = *text;
	const bool v6 = strchr(address, ':') != NULL;

	*text = xasprintf("%s%s%s%s%s:%s->%s/%s", before ? before : "", before ? ", " : "",
			  v6 ? "[" : "", address, v6 ? "]" : "", host, guest,
			  publish->udp ? "udp" : "tcp");
}

char *words_of_ports(const struct network_options *network)
{
	char *text = NULL;

	for (size_t i = 0; i < network->n_published; i++) {
		const struct publish *publish = &network->published[i];

		if (publish->address[0]) {
			add_ports(&text, publish, publish->address);
			continue;
		}
		if (publish->family != AF_INET6)
			add_ports(&text, publish, "0.0.0.0");
		if (publish->family != AF_INET)
			add_ports(&text, publish, "::");
	}
	return text ? text : xstrdup("");
}
