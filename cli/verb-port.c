/* SPDX-License-Identifier: Apache-2.0 */
/* `port`: which ports of the host lead to a container of an image. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/run-again.h"
#include "client/handle.h"
#include "host/network-options.h"

static const struct option_def port_options[] = { OPTION_END };

/* "80" or "80/udp"; a port alone is TCP's. */
static int parse_port(const char *word, unsigned *ret_port, bool *ret_udp, struct error **ret_error)
{
	char *end;
	const unsigned long port = strtoul(word, &end, 10);

	*ret_udp = strcmp(end, "/udp") == 0;
	if (word[0] < '0' || word[0] > '9' || port == 0 || port > 65535 ||
	    (*end && !*ret_udp && strcmp(end, "/tcp") != 0))
		return error_set(ret_error, EINVAL, "\"%s\" is not PORT[/tcp|/udp]", word);
	*ret_port = (unsigned)port;
	return 0;
}

static void print_line(bool whole, const struct publish *publish, unsigned i, const char *address)
{
	const bool v6 = strchr(address, ':') != NULL;

	if (whole)
		printf("%u/%s -> ", publish->guest_port + i, publish->udp ? "udp" : "tcp");
	printf("%s%s%s:%u\n", v6 ? "[" : "", address, v6 ? "]" : "", publish->host_port + i);
}

static void print_one(bool whole, const struct publish *publish, unsigned i)
{
	if (publish->address[0]) {
		print_line(whole, publish, i, publish->address);
		return;
	}
	if (publish->family != AF_INET6)
		print_line(whole, publish, i, "0.0.0.0");
	if (publish->family != AF_INET)
		print_line(whole, publish, i, "::");
}

/* wanted: of the container, or 0, all of them.  How many there are. */
static size_t print_ports(const struct network_options *network, unsigned wanted, bool udp)
{
	size_t n = 0;

	for (size_t k = 0; k < network->n_published; k++) {
		const struct publish *publish = &network->published[k];

		for (unsigned i = 0; i < publish->n_ports; i++) {
			if (wanted && (publish->guest_port + i != wanted || publish->udp != udp))
				continue;
			print_one(!wanted, publish, i);
			n++;
		}
	}
	return n;
}

static int run_port(const struct command *command, struct error **ret_error)
{
	const struct client *client = &command->globals->client;
	const char *id = command->args[0], *word = command->args[1];
	_cleanup_network_options_ struct network_options network = { 0 };
	_cleanup_(handle_freep) struct handle *handle = NULL;
	_cleanup_error_ struct error *error = NULL;
	unsigned port = 0;
	bool udp = false;

	if ((word && parse_port(word, &port, &udp, ret_error) < 0) ||
	    handle_open(client->root, id, &handle, ret_error) < 0)
		return -1;
	if (run_again_network(client, id, &network, &error) < 0 && error->code != ENOENT) {
		*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (print_ports(&network, port, udp) == 0 && word)
		return error_set(ret_error, ENOENT, "no public port '%s' published for %s", word,
				 id);
	return 0;
}

const struct verb verb_port = {
	.name = "port",
	.arguments = "<container-id> [port[/protocol]]",
	.summary = "show which ports of the host lead to a container of an image",
	.options = port_options,
	.options_size = 1,
	.min_args = 1,
	.max_args = 2,
	.run = run_port,
};
