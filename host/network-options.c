/* SPDX-License-Identifier: Apache-2.0 */
/* What --network and --publish say: see network-options.h. */
#include "host/network-options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"

#define NS_PREFIX "ns:"

void network_options_done(struct network_options *options)
{
	free(options->path);
	free(options->published);
}

/* ---- --network ---- */

/* Opening may not have effects of its own, as that of a FIFO or a device has: so first
 * only the name. */
static int check_namespace(const char *path, struct error **ret_error)
{
	_cleanup_close_ int name = open(path, O_PATH | O_CLOEXEC), fd = -1;
	char link[32];
	struct statfs file_system;

	if (name < 0)
		return error_set_errno(ret_error, errno,
				       "--network: cannot open the network namespace %s", path);
	if (fstatfs(name, &file_system) < 0)
		return error_set_errno(ret_error, errno, "--network: cannot statfs %s", path);
	if (file_system.f_type != NSFS_MAGIC)
		return error_set(ret_error, EINVAL,
				 "--network: %s is not a network namespace: name one, such as "
				 "/run/netns/NAME or /proc/PID/ns/net",
				 path);
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", name);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(ret_error, errno,
				       "--network: cannot open the network namespace %s", path);
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return error_set(ret_error, EINVAL,
				 "--network: %s is a namespace of another kind: name a network "
				 "namespace, such as /run/netns/NAME or /proc/PID/ns/net",
				 path);
	return 0;
}

bool network_is_passt(const char *network)
{
	return network && strcmp(network, "passt") == 0;
}

bool network_is_namespace(const char *network)
{
	return network && strncmp(network, NS_PREFIX, strlen(NS_PREFIX)) == 0;
}

static int read_mode(const char *network, struct network_options *options, struct error **ret_error)
{
	const char *path = network ? network + strlen(NS_PREFIX) : NULL;

	if (!network || network[0] == '\0') {
		options->mode = NETWORK_BUNDLE;
	} else if (strcmp(network, "none") == 0) {
		options->mode = NETWORK_NONE;
	} else if (network_is_passt(network)) {
		options->mode = NETWORK_PASST;
	} else if (network_is_namespace(network)) {
		if (path[0] != '/')
			return error_set(ret_error, EINVAL,
					 "--network: %s: give the absolute path of a network "
					 "namespace, such as ns:/run/netns/NAME",
					 network);
		if (check_namespace(path, ret_error) < 0)
			return -1;
		options->mode = NETWORK_NAMESPACE;
		options->path = xstrdup(path);
	} else {
		return error_set(ret_error, EINVAL,
				 "--network: must be none, ns:PATH or passt, not \"%s\"", network);
	}
	return 0;
}

/* ---- --publish ---- */

/* A range of ports. */
struct range {
	unsigned first, last;
};

static int __attribute__((format(printf, 3, 4)))
refuse(const char *argument, struct error **ret_error, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = xvasprintf(format, arguments);
	va_end(arguments);
	return error_set(ret_error, EINVAL, "--publish %s: %s", argument, text);
}

static int read_port(const char *argument, const char *word, unsigned *ret_port,
		     struct error **ret_error)
{
	const size_t length = strspn(word, "0123456789");
	unsigned long port;

	if (length == 0 || word[length] != '\0')
		return refuse(argument, ret_error, "\"%s\" is not a port number", word);
	/* Too long a number is ULONG_MAX. */
	port = strtoul(word, NULL, 10);
	if (port < 1 || port > UINT16_MAX)
		return refuse(argument, ret_error, "port %s is out of range (1 to %d)", word,
			      UINT16_MAX);
	*ret_port = (unsigned)port;
	return 0;
}

/* Of "80" and "80-90"; takes word apart. */
static int read_range(const char *argument, char *word, struct range *ret_range,
		      struct error **ret_error)
{
	char *dash = strchr(word, '-');
	struct range range;

	if (dash)
		*dash = '\0';
	if (read_port(argument, word, &range.first, ret_error) < 0)
		return -1;
	range.last = range.first;
	if (dash && read_port(argument, dash + 1, &range.last, ret_error) < 0)
		return -1;
	if (range.last < range.first)
		return refuse(argument, ret_error,
			      "the range %u-%u ends before it begins: write %u-%u", range.first,
			      range.last, range.last, range.first);
	*ret_range = range;
	return 0;
}

static int read_address(const char *argument, const char *word, int family, struct publish *publish,
			struct error **ret_error)
{
	struct in6_addr address;

	if (inet_pton(family, word, &address) != 1)
		return refuse(argument, ret_error, "\"%s\" is not an IPv%d address of the host%s",
			      word, family == AF_INET ? 4 : 6,
			      family == AF_INET ? " (IPv6: [::1]:8080:80)" : "");
	publish->family = family;
	(void)inet_ntop(family, &address, publish->address, sizeof(publish->address));
	return 0;
}

/* *word ends on the ports; takes it apart. */
static int split_address(const char *argument, char **word, struct publish *publish,
			 struct error **ret_error)
{
	const bool bracket = (*word)[0] == '[';
	char *first = *word + bracket;
	char *end = strchr(first, bracket ? ']' : ':');
	char *colon = bracket && end ? end + 1 : end;

	if (bracket && (!end || *colon != ':'))
		return refuse(argument, ret_error,
			      "an IPv6 address is written as in [::1]:8080:80");
	/* Two ports alone. */
	if (!bracket && (!colon || !strchr(colon + 1, ':')))
		return 0;
	if (!bracket && strchr(strchr(colon + 1, ':') + 1, ':'))
		return refuse(argument, ret_error,
			      "too many colons: an IPv6 address is written as in [::1]:8080:80");
	*end = '\0';
	*word = colon + 1;
	return read_address(argument, first, bracket ? AF_INET6 : AF_INET, publish, ret_error);
}

static int split_protocol(const char *argument, char *word, struct publish *publish,
			  struct error **ret_error)
{
	char *slash = strchr(word, '/');

	if (!slash)
		return 0;
	*slash = '\0';
	publish->udp = strcmp(slash + 1, "udp") == 0;
	if (!publish->udp && strcmp(slash + 1, "tcp") != 0)
		return refuse(argument, ret_error, "unknown protocol \"%s\": write /tcp or /udp",
			      slash + 1);
	return 0;
}

static int read_publish(const char *argument, struct publish *ret_publish, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(argument);
	struct publish publish = { .family = AF_UNSPEC };
	struct range host, guest;
	char *word = copy, *colon;

	if (split_protocol(argument, word, &publish, ret_error) < 0 ||
	    split_address(argument, &word, &publish, ret_error) < 0)
		return -1;
	colon = strchr(word, ':');
	if (!colon)
		return refuse(argument, ret_error,
			      "one port is missing: write HOST-PORT:GUEST-PORT, such as 8080:80");
	*colon = '\0';
	if (read_range(argument, word, &host, ret_error) < 0 ||
	    read_range(argument, colon + 1, &guest, ret_error) < 0)
		return -1;
	if (host.last - host.first != guest.last - guest.first)
		return refuse(
		    argument, ret_error,
		    "%u ports of the host and %u of the guest: their number must be the same",
		    host.last - host.first + 1, guest.last - guest.first + 1);
	if (host.last - host.first >= PUBLISH_PORTS_MAX)
		return refuse(argument, ret_error, "too many ports: at most %d can be published",
			      PUBLISH_PORTS_MAX);
	publish.host_port = (uint16_t)host.first;
	publish.guest_port = (uint16_t)guest.first;
	publish.n_ports = (uint16_t)(host.last - host.first + 1);
	*ret_publish = publish;
	return 0;
}

static int check_overlap(const char *argument, const struct publish *one,
			 const struct network_options *options, struct error **ret_error)
{
	for (size_t i = 0; i < options->n_published; i++) {
		const struct publish *other = &options->published[i];
		const uint16_t first =
		    one->host_port > other->host_port ? one->host_port : other->host_port;

		if (one->udp == other->udp && first - one->host_port < one->n_ports &&
		    first - other->host_port < other->n_ports)
			return refuse(argument, ret_error,
				      "port %u/%s of the host is published already: give each one "
				      "once, whatever its address",
				      first, one->udp ? "udp" : "tcp");
	}
	return 0;
}

static int add_publish(const char *argument, struct network_options *options, size_t *n_ports,
		       struct error **ret_error)
{
	struct publish publish;

	if (options->mode != NETWORK_PASST)
		return refuse(argument, ret_error,
			      "only the network passt publishes ports: add --network passt");
	if (read_publish(argument, &publish, ret_error) < 0 ||
	    check_overlap(argument, &publish, options, ret_error) < 0)
		return -1;
	*n_ports += publish.n_ports;
	if (*n_ports > PUBLISH_PORTS_MAX)
		return refuse(argument, ret_error, "too many ports: at most %d can be published",
			      PUBLISH_PORTS_MAX);
	options->published = xreallocarray(options->published, options->n_published + 1,
					   sizeof(*options->published));
	options->published[options->n_published++] = publish;
	return 0;
}

int network_options_read(const char *network, const char *const *publish, size_t n_publish,
			 struct network_options *ret_options, struct error **ret_error)
{
	struct network_options options = { .mode = NETWORK_BUNDLE };
	size_t n_ports = 0, i = 0;
	int result = read_mode(network, &options, ret_error);

	while (result == 0 && i < n_publish)
		result = add_publish(publish[i++], &options, &n_ports, ret_error);
	if (result < 0) {
		network_options_done(&options);
		return -1;
	}
	*ret_options = options;
	return 0;
}
