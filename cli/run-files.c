/* SPDX-License-Identifier: Apache-2.0 */
/* The files by which a container of an image knows names: see run-request.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/io.h"
#include "cli/run-request.h"
#include "host/hosts-file.h"
#include "host/network-options.h"
#include "host/passt.h"

/* The task server makes these for passt's network, as far as nothing is mounted there. */
static bool makes_hosts(const struct run_options *options, const char *network)
{
	return options->add_hosts || !network_is_passt(network);
}

static bool is_address(const char *text)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

/* "NAME:ADDRESS"; the address, or NULL. */
static const char *address_of(const char *word)
{
	const char *colon = strchr(word, ':');

	if (!colon || colon == word || word[strcspn(word, " \t\n#")] || !is_address(colon + 1))
		return NULL;
	return colon + 1;
}

int run_files_check(const struct run_options *options, struct error **ret_error)
{
	for (const char *const *word = options->dns; word && *word; word++)
		if (!is_address(*word))
			return error_set(ret_error, EINVAL, "--dns %s: must be an address", *word);
	for (const char *const *word = options->add_hosts; word && *word; word++)
		if (!address_of(*word))
			return error_set(ret_error, EINVAL, "--add-host %s: write NAME:ADDRESS",
					 *word);
	return 0;
}

void run_files_plan(const struct run_options *options, const char *network,
		    struct run_request *request)
{
	if (makes_hosts(options, network)) {
		run_mount_add(request, "/etc/hosts", "bind", "hosts", "bind,rprivate");
		run_mount_add(request, "/etc/hostname", "bind", "hostname", "bind,rprivate");
	}
	if (options->dns)
		run_mount_add(request, "/etc/resolv.conf", "bind", "resolv.conf", "bind,rprivate");
}

static int write_text(const char *bundle, const char *name, const struct buffer *text,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", bundle, name);

	return write_file_atomic(path, buffer_data(text), buffer_length(text), 0644, ret_error);
}

/* hosts(5) */
static int write_hosts(const struct run_options *options, const char *network,
		       const struct run_request *request, const char *bundle,
		       struct error **ret_error)
{
	_cleanup_(buffer_done) struct buffer text = { 0 };
	const unsigned families = network_is_passt(network) ? passt_families() : 0;

	hosts_put_local(&text);
	for (const char *const *word = options->add_hosts; word && *word; word++) {
		const char *address = address_of(*word);
		_cleanup_free_ char *name = xstrndup(*word, (size_t)(address - 1 - *word));

		hosts_put_line(&text, address, "\t", name);
	}
	hosts_put_guest(&text, families, request->hostname);
	if (!families)
		hosts_put_line(&text, "127.0.1.1", "\t", request->hostname);
	return write_text(bundle, "hosts", &text, ret_error);
}

int run_files_write(const struct run_options *options, const char *network,
		    const struct run_request *request, const char *bundle, struct error **ret_error)
{
	_cleanup_(buffer_done) struct buffer name = { 0 };
	_cleanup_(buffer_done) struct buffer servers = { 0 };

	hosts_put_line(&name, request->hostname, "", "");
	if (makes_hosts(options, network) &&
	    (write_hosts(options, network, request, bundle, ret_error) < 0 ||
	     write_text(bundle, "hostname", &name, ret_error) < 0))
		return -1;
	for (const char *const *word = options->dns; word && *word; word++)
		hosts_put_line(&servers, "nameserver", " ", *word);
	return options->dns ? write_text(bundle, "resolv.conf", &servers, ret_error) : 0;
}
