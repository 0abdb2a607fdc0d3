/* SPDX-License-Identifier: Apache-2.0 */
/* --publish-all: see run-ports.h. */
#include "cli/run-ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "host/network-options.h"

struct exposed {
	unsigned first, last;
	bool udp;
};

static int read_exposed(const char *what, const char *word, struct exposed *ret_exposed,
			struct error **ret_error)
{
	char *end;

	ret_exposed->first = ret_exposed->last = (unsigned)strtoul(word, &end, 10);
	if (*end == '-')
		ret_exposed->last = (unsigned)strtoul(end + 1, &end, 10);
	ret_exposed->udp = strcmp(end, "/udp") == 0;
	if (word[0] < '0' || word[0] > '9' || ret_exposed->first == 0 ||
	    ret_exposed->last < ret_exposed->first || ret_exposed->last > 65535 ||
	    (*end && !ret_exposed->udp && strcmp(end, "/tcp") != 0))
		return error_set(ret_error, EINVAL,
				 "%s: \"%s\" is not PORT[-PORT][/tcp|/udp] that can be published",
				 what, word);
	return 0;
}

/* The kernel's choice. */
static int find_free(bool udp, unsigned *ret_port, struct error **ret_error)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	_cleanup_close_ int fd =
	    socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return error_set_errno(ret_error, errno, "cannot find a free port");
	*ret_port = ntohs(address.sin_port);
	return 0;
}

static bool is_published(const struct network_options *network, unsigned port, bool udp,
			 unsigned host_port)
{
	for (size_t i = 0; i < network->n_published; i++) {
		const struct publish *publish = &network->published[i];

		if (publish->udp == udp &&
		    ((port >= publish->guest_port &&
		      port < (unsigned)publish->guest_port + publish->n_ports) ||
		     (host_port >= publish->host_port &&
		      host_port < (unsigned)publish->host_port + publish->n_ports)))
			return true;
	}
	return false;
}

static int publish_one(unsigned port, bool udp, char ***publish, struct error **ret_error)
{
	_cleanup_network_options_ struct network_options network = { 0 };
	_cleanup_free_ char *word = NULL;
	unsigned host_port = 0;

	if (network_options_read("passt", (const char *const *)*publish, strv_length(*publish),
				 &network, ret_error) < 0)
		return -1;
	if (is_published(&network, port, udp, 0))
		return 0;
	do
		if (find_free(udp, &host_port, ret_error) < 0)
			return -1;
	while (is_published(&network, 0, udp, host_port));
	word = xasprintf("%u:%u/%s", host_port, port, udp ? "udp" : "tcp");
	strv_append(publish, word);
	return 0;
}

int run_ports_publish(const char *what, char *const *exposed, char ***publish,
		      struct error **ret_error)
{
	for (; exposed && *exposed; exposed++) {
		struct exposed ports;

		if (read_exposed(what, *exposed, &ports, ret_error) < 0)
			return -1;
		for (unsigned port = ports.first; port <= ports.last; port++)
			if (publish_one(port, ports.udp, publish, ret_error) < 0)
				return -1;
	}
	return 0;
}

int run_ports_check(const char *what, const char *const *exposed, struct error **ret_error)
{
	struct exposed ports;

	for (; exposed && *exposed; exposed++)
		if (read_exposed(what, *exposed, &ports, ret_error) < 0)
			return -1;
	return 0;
}
