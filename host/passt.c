/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting passt: see passt.h.
 *
 * passt goes to the background by itself once all is set up: then the child that was
 * started ends with 0.  Any other end has a reason on its standard error.  It binds what
 * it can of a range and is silent about the rest; so each port is an option of its own,
 * and bound here before for the sake of the error.
 */
#include "host/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/route.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/io.h"
#include "base/paths.h"

#define PASST_FD 3
#define START_TIMEOUT_MS 10000
#define ROUTES_SIZE_MAX (16U << 20)

/* ---- the host's default routes ---- */

static bool is_default4(const char *line)
{
	unsigned destination, gateway, flags, mask;

	return sscanf(line, "%*s %x %x %x %*d %*d %*d %x", &destination, &gateway, &flags, &mask) ==
		   4 &&
	       destination == 0 && mask == 0 && (flags & (RTF_UP | RTF_REJECT)) == RTF_UP;
}

static bool is_default6(const char *line)
{
	unsigned length, flags;

	return sscanf(line, "%*s %x %*s %*x %*s %*x %*x %*x %x", &length, &flags) == 2 &&
	       length == 0 && (flags & (RTF_UP | RTF_REJECT)) == RTF_UP;
}

static bool has_route(const char *path, bool (*is_default)(const char *line))
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;
	size_t size;

	if (read_file(path, ROUTES_SIZE_MAX, &text, &size, NULL) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (is_default(line))
			return true;
	return false;
}

static unsigned default_routes(void)
{
	unsigned families = 0;

	if (has_route("/proc/self/net/route", is_default4))
		families |= PASST_IPV4;
	if (has_route("/proc/self/net/ipv6_route", is_default6))
		families |= PASST_IPV6;
	return families;
}

unsigned passt_families(void)
{
	const unsigned families = default_routes();

	return families ? families : PASST_IPV4;
}

bool passt_is_usable(void)
{
	_cleanup_free_ char *program = paths_search("passt");

	return program && default_routes() != 0;
}

/* ---- ports ---- */

static int bind_port(int family, const char *address, bool udp, uint16_t port)
{
	const int type = (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, one = 1;
	_cleanup_close_ int fd = socket(family, type, 0);
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const bool is4 = family == AF_INET;

	if (fd < 0)
		return -1;
	if (address[0] != '\0')
		(void)inet_pton(family, address,
				is4 ? (void *)&in4.sin_addr : (void *)&in6.sin6_addr);
	if ((!udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) ||
	    (!is4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    bind(fd, is4 ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6,
		 is4 ? sizeof(in4) : sizeof(in6)) < 0)
		return -1;
	return udp ? 0 : listen(fd, 1);
}

static const char *what_to_do(int code)
{
	switch (code) {
	case EADDRINUSE:
		return " (find its user with ss -lnp, or publish another port)";
	case EADDRNOTAVAIL:
		return " (it must be an address of this host)";
	case EACCES:
		return " (only root may bind ports below net.ipv4.ip_unprivileged_port_start)";
	default:
		return "";
	}
}

static int check_port(const struct publish *publish, int family, uint16_t port,
		      struct error **ret_error)
{
	const char *at = publish->address[0] != '\0' ? publish->address : "every address";
	int code;

	if (bind_port(family, publish->address, publish->udp, port) == 0)
		return 0;
	code = errno;
	return error_set(ret_error, code, "cannot publish port %u/%s of %s: bind: %s%s", port,
			 publish->udp ? "udp" : "tcp", at, strerror(code), what_to_do(code));
}

static int check_publish(const struct publish *publish, unsigned families, struct error **ret_error)
{
	const int both[] = { AF_INET, AF_INET6 };
	const unsigned bits[] = { PASST_IPV4, PASST_IPV6 };

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		if (publish->family != AF_UNSPEC && publish->family != both[i])
			continue;
		if (!(families & bits[i])) {
			if (publish->family == AF_UNSPEC)
				continue;
			return error_set(ret_error, ENETUNREACH,
					 "cannot publish ports of %s: the guest has no IPv%d, as "
					 "the host has no default route for it",
					 publish->address, i == 0 ? 4 : 6);
		}
		for (uint16_t n = 0; n < publish->n_ports; n++)
			if (check_port(publish, both[i], (uint16_t)(publish->host_port + n),
				       ret_error) < 0)
				return -1;
	}
	return 0;
}

/* ---- its command line ---- */

static void append(char ***argv, const char *option, const char *value)
{
	strv_append(argv, option);
	strv_append(argv, value);
}

static void append_publish(char ***argv, const struct publish *publish)
{
	for (unsigned n = 0; n < publish->n_ports; n++) {
		_cleanup_free_ char *ports =
		    xasprintf("%s%s%u:%u", publish->address, publish->address[0] ? "/" : "",
			      publish->host_port + n, publish->guest_port + n);

		append(argv, publish->udp ? "-u" : "-t", ports);
	}
}

static char **make_argv(const struct passt_options *options, unsigned families)
{
	static const char *const always[] = { "passt",	     "--quiet",
					      "--no-map-gw", "--no-dhcp",
					      "--no-ra",     "--no-dhcpv6",
					      "--mac-addr",  PASST_HARDWARE_ADDRESS };
	_cleanup_free_ char *fd = xasprintf("%d", PASST_FD), *mask = xasprintf("%d", PASST_PREFIX);
	char **argv = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		strv_append(&argv, always[i]);
	append(&argv, "--fd", fd);
	if (families & PASST_IPV4) {
		append(&argv, "--address", PASST_GUEST_ADDRESS);
		append(&argv, "--netmask", mask);
		append(&argv, "--gateway", PASST_GATEWAY);
		append(&argv, "--dns-forward", PASST_DNS);
	} else {
		strv_append(&argv, "--ipv6-only");
	}
	if (families & PASST_IPV6) {
		append(&argv, "--address", PASST_GUEST_ADDRESS6);
		append(&argv, "--gateway", PASST_GATEWAY6);
		append(&argv, "--dns-forward", PASST_DNS6);
	} else {
		strv_append(&argv, "--ipv4-only");
	}
	for (size_t i = 0; i < options->n_published; i++)
		append_publish(&argv, &options->published[i]);
	return argv;
}

/* ---- the process ---- */

static void __attribute__((noreturn))
run_passt(const char *path, char *const *argv, const struct passt_options *options, int socket,
	  int errors)
{
	struct error *error = NULL;
	static char *const no_environment[] = { NULL };
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Above the numbers that they shall have. */
	const int high_socket = fcntl(socket, F_DUPFD_CLOEXEC, PASST_FD + 1);
	const int high_errors = fcntl(errors, F_DUPFD_CLOEXEC, PASST_FD + 1);
	const int high_null = fcntl(null, F_DUPFD_CLOEXEC, PASST_FD + 1);

	(void)setsid();
	child_reset_signals();
	if (options->cgroup && cgroup_place_enter(options->cgroup, &error) < 0) {
		dprintf(errors, "%s\n", error->message);
		_exit(127);
	}
	if (chdir("/") == 0 && dup2(high_null, STDIN_FILENO) >= 0 &&
	    dup2(high_null, STDOUT_FILENO) >= 0 && dup2(high_errors, STDERR_FILENO) >= 0 &&
	    dup2(high_socket, PASST_FD) >= 0 && close_range(PASST_FD + 1, ~0u, 0) == 0)
		(void)execve(path, argv, no_environment);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", path, strerror(errno));
	_exit(127);
}

/* What it says on its way, up to a fixed size; -1 with errno if it takes too long. */
static int read_words(int pidfd, int errors, char *text, size_t size)
{
	struct pollfd files[] = { { .fd = errors, .events = POLLIN },
				  { .fd = pidfd, .events = POLLIN } };
	char scrap[256];
	size_t used = 0;
	ssize_t n;
	int ready;

	for (;;) {
		ready = poll(files, 2, START_TIMEOUT_MS);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0) {
			errno = ready == 0 ? ETIMEDOUT : errno;
			return -1;
		}
		if (!files[0].revents)
			break;
		n = used < size - 1 ? read(errors, text + used, size - 1 - used)
				    : read(errors, scrap, sizeof(scrap));
		if (n <= 0)
			files[0].fd = -1;
		else if (used < size - 1)
			used += (size_t)n;
	}
	text[used] = '\0';
	return 0;
}

/* The last line with a reason: it also tells that it cannot reach the system's log. */
static const char *reason(char *text)
{
	const char *last = "it says nothing";
	char *rest, *line;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (!strstr(line, "to syslog") && !strstr(line, "Don't run as root"))
			last = line;
	return last;
}

static int fail(int status, char *text, struct error **ret_error)
{
	if (strstr(text, "External interface not usable") || strstr(text, "No routable interface"))
		return error_set(ret_error, ENETUNREACH,
				 "passt needs a default route, and this host has none: add one "
				 "(ip route add default via ADDRESS), or use --network none");
	if (WIFEXITED(status))
		return error_set(ret_error, EIO, "passt ended with status %d: %s",
				 WEXITSTATUS(status), reason(text));
	return error_set(ret_error, EIO, "passt was ended by signal %d: %s", WTERMSIG(status),
			 reason(text));
}

static int wait_for(pid_t pid, int errors, struct error **ret_error)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	char text[4096] = "";
	int status = 0, code = 0;

	if (pidfd < 0 || read_words(pidfd, errors, text, sizeof(text)) < 0) {
		code = errno;
		(void)kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (code)
		return error_set_errno(ret_error, code, "cannot wait for passt");
	return status == 0 ? 0 : fail(status, text, ret_error);
}

/* passt learns the guest's hardware address from its frames, and until then sends to one that is
 * nobody's: no client of a published port could be the first to speak (findings/passt-guest.sh).
 * This is an empty frame of RARP's type, as of a machine that has moved; nobody answers it. */
static int introduce_guest(int fd, struct error **ret_error)
{
	static const uint8_t guest[ETH_ALEN] = PASST_GUEST_HARDWARE_ADDRESS;
	struct {
		uint32_t size;
		struct ether_header ether;
		uint8_t padding[ETH_ZLEN - sizeof(struct ether_header)];
	} __attribute__((packed))
	frame = { .size = htonl(ETH_ZLEN), .ether.ether_type = htons(ETHERTYPE_REVARP) };

	memset(frame.ether.ether_dhost, 0xff, ETH_ALEN);
	memcpy(frame.ether.ether_shost, guest, ETH_ALEN);
	if (write_all(fd, &frame, sizeof(frame)) < 0)
		return error_set_errno(ret_error, errno, "cannot tell passt of the guest");
	return 0;
}

int passt_start(const struct passt_options *options, int *ret_socket, struct error **ret_error)
{
	_cleanup_free_ char *path = paths_search("passt");
	_cleanup_close_ int ours = -1, theirs = -1, errors = -1, errors_end = -1;
	const unsigned families = passt_families();
	_cleanup_strv_ char **argv = NULL;
	pid_t pid;

	if (!path)
		return error_set(ret_error, ENOENT,
				 "--network passt: there is no program passt in PATH: install the "
				 "package passt (apt-get install passt)");
	for (size_t i = 0; i < options->n_published; i++)
		if (check_publish(&options->published[i], families, ret_error) < 0)
			return -1;
	if (unix_pair(&ours, &theirs, ret_error) < 0 ||
	    pipe_open(&errors, &errors_end, ret_error) < 0)
		return -1;
	argv = make_argv(options, families);
	pid = fork();
	if (pid == 0)
		run_passt(path, argv, options, theirs, errors_end);
	if (pid < 0)
		return error_set_errno(ret_error, errno, "cannot fork for passt");
	close_fdp(&errors_end);
	errors_end = -1;
	close_fdp(&theirs);
	theirs = -1;
	if (wait_for(pid, errors, ret_error) < 0 || introduce_guest(ours, ret_error) < 0)
		return -1;
	*ret_socket = TAKE_FD(ours);
	return 0;
}
