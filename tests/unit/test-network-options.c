/* SPDX-License-Identifier: Apache-2.0 */
/* --network and --publish: what is taken, and what is said about the rest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/network-options.h"
#include "tests/unit/test.h"

static int read_one(const char *network, const char *publish, struct network_options *ret_options,
		    struct error **ret_error)
{
	return network_options_read(network, &publish, publish ? 1 : 0, ret_options, ret_error);
}

static void test_modes(void)
{
	static const struct {
		const char *word;
		enum network_mode mode;
		const char *path;
	} cases[] = {
		{ NULL, NETWORK_BUNDLE, NULL },
		{ "", NETWORK_BUNDLE, NULL },
		{ "none", NETWORK_NONE, NULL },
		{ "passt", NETWORK_PASST, NULL },
		{ "ns:/proc/self/ns/net", NETWORK_NAMESPACE, "/proc/self/ns/net" },
	};
	struct network_options options;
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_OK(read_one(cases[i].word, NULL, &options, &error), &error);
		CHECK_INT(options.mode, cases[i].mode);
		CHECK(!options.path == !cases[i].path);
		if (options.path)
			CHECK_STRING(options.path, cases[i].path);
		CHECK_INT(options.n_published, 0);
		network_options_done(&options);
	}
}

static void test_bad_modes(void)
{
	static const struct {
		const char *word, *message;
	} cases[] = {
		{ "host", "--network: must be none, ns:PATH or passt, not \"host\"" },
		{ "None", "must be none, ns:PATH or passt, not \"None\"" },
		{ "passt:", "must be none, ns:PATH or passt, not \"passt:\"" },
		{ "ns", "must be none, ns:PATH or passt, not \"ns\"" },
		{ "ns:", "--network: ns:: give the absolute path of a network namespace" },
		{ "ns:blue", "ns:blue: give the absolute path of a network namespace, such as "
			     "ns:/run/netns/NAME" },
		{ "ns:/none/such", "--network: cannot open the network namespace /none/such: No "
				   "such file or directory" },
		{ "ns:/proc/self/status",
		  "/proc/self/status is not a network namespace: name one" },
		{ "ns:/dev/null", "/dev/null is not a network namespace" },
		{ "ns:/proc/self/ns/mnt", "--network: /proc/self/ns/mnt is a namespace of another "
					  "kind: name a network namespace" },
	};
	struct network_options options;
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_ERROR(read_one(cases[i].word, NULL, &options, &error), &error,
			    cases[i].message);
}

/* Looking at it must not wait for a writer. */
static void test_fifo(void)
{
	char directory[] = "/tmp/test-network.XXXXXX";
	_cleanup_free_ char *path = NULL, *word = NULL;
	struct network_options options;
	struct error *error = NULL;

	CHECK(mkdtemp(directory));
	path = xasprintf("%s/fifo", directory);
	word = xasprintf("ns:%s", path);
	CHECK(mkfifo(path, 0600) == 0);
	CHECK_ERROR(read_one(word, NULL, &options, &error), &error, "is not a network namespace");
	CHECK(unlink(path) == 0 && rmdir(directory) == 0);
}

static void test_publish(void)
{
	static const struct {
		const char *word, *address;
		int family;
		bool udp;
		unsigned host, guest, n;
	} cases[] = {
		{ "8080:80", "", AF_UNSPEC, false, 8080, 80, 1 },
		{ "8080:80/tcp", "", AF_UNSPEC, false, 8080, 80, 1 },
		{ "53:53/udp", "", AF_UNSPEC, true, 53, 53, 1 },
		{ "1:65535", "", AF_UNSPEC, false, 1, 65535, 1 },
		{ "8000-8009:80-89", "", AF_UNSPEC, false, 8000, 80, 10 },
		{ "8000-8000:80", "", AF_UNSPEC, false, 8000, 80, 1 },
		{ "64512-65535:1-1024", "", AF_UNSPEC, false, 64512, 1, 1024 },
		{ "127.0.0.1:8080:80", "127.0.0.1", AF_INET, false, 8080, 80, 1 },
		{ "127.0.0.1:8080-8081:80-81/udp", "127.0.0.1", AF_INET, true, 8080, 80, 2 },
		{ "0.0.0.0:8080:80", "0.0.0.0", AF_INET, false, 8080, 80, 1 },
		{ "[::1]:8080:80", "::1", AF_INET6, false, 8080, 80, 1 },
		{ "[2001:db8:0:0::0001]:8080:80/udp", "2001:db8::1", AF_INET6, true, 8080, 80, 1 },
	};
	struct network_options options;
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct publish *publish;

		CHECK_OK(read_one("passt", cases[i].word, &options, &error), &error);
		CHECK_INT(options.n_published, 1);
		publish = &options.published[0];
		CHECK_STRING(publish->address, cases[i].address);
		CHECK_INT(publish->family, cases[i].family);
		CHECK_INT(publish->udp, cases[i].udp);
		CHECK_INT(publish->host_port, cases[i].host);
		CHECK_INT(publish->guest_port, cases[i].guest);
		CHECK_INT(publish->n_ports, cases[i].n);
		network_options_done(&options);
	}
}

static void test_bad_publish(void)
{
	static const struct {
		const char *word, *message;
	} cases[] = {
		{ "", "--publish : one port is missing: write HOST-PORT:GUEST-PORT, such as" },
		{ "80", "--publish 80: one port is missing" },
		{ "80/udp", "--publish 80/udp: one port is missing" },
		{ "127.0.0.1:80", "\"127.0.0.1\" is not a port number" },
		{ "80:", "\"\" is not a port number" },
		{ ":80", "\"\" is not a port number" },
		{ "http:80", "--publish http:80: \"http\" is not a port number" },
		{ "80:+80", "\"+80\" is not a port number" },
		{ "80: 80", "\" 80\" is not a port number" },
		{ "80:-80", "\"\" is not a port number" },
		{ "80-:80", "\"\" is not a port number" },
		{ "80-90-95:80-95", "\"90-95\" is not a port number" },
		{ "0:80", "--publish 0:80: port 0 is out of range (1 to 65535)" },
		{ "80:0", "port 0 is out of range (1 to 65535)" },
		{ "80:65536", "port 65536 is out of range (1 to 65535)" },
		{ "65530-65536:1-7", "port 65536 is out of range" },
		{ "99999999999999999999999:80", "port 99999999999999999999999 is out of range" },
		{ "90-80:80-90", "the range 90-80 ends before it begins: write 80-90" },
		{ "80-90:90-80", "the range 90-80 ends before it begins" },
		{ "80-90:80", "11 ports of the host and 1 of the guest: their number must be the "
			      "same" },
		{ "80-90:80-89", "11 ports of the host and 10 of the guest" },
		{ "1-1025:1-1025", "too many ports: at most 1024 can be published" },
		{ "80:80/sctp", "unknown protocol \"sctp\": write /tcp or /udp" },
		{ "80:80/", "unknown protocol \"\": write /tcp or /udp" },
		{ "80:80/tcp/udp", "unknown protocol \"tcp/udp\"" },
		{ "localhost:80:80", "\"localhost\" is not an IPv4 address of the host (IPv6: "
				     "[::1]:8080:80)" },
		{ "127.1:80:80", "\"127.1\" is not an IPv4 address" },
		{ ":80:80", "\"\" is not an IPv4 address" },
		{ "::1:80:80", "too many colons: an IPv6 address is written as in [::1]:8080:80" },
		{ "[::1:80:80", "an IPv6 address is written as in [::1]:8080:80" },
		{ "[::1]80:80", "an IPv6 address is written as in [::1]:8080:80" },
		{ "[::1]", "an IPv6 address is written as in [::1]:8080:80" },
		{ "[::1]:80", "one port is missing" },
		{ "[::1]:80:80:80", "\"80:80\" is not a port number" },
		{ "[127.0.0.1]:80:80", "\"127.0.0.1\" is not an IPv6 address of the host" },
		{ "[fe80::1%eth0]:80:80", "\"fe80::1%eth0\" is not an IPv6 address" },
	};
	struct network_options options;
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_ERROR(read_one("passt", cases[i].word, &options, &error), &error,
			    cases[i].message);
}

static void test_without_passt(void)
{
	static const char *const modes[] = { NULL, "", "none", "ns:/proc/self/ns/net" };
	struct network_options options;
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		CHECK_ERROR(read_one(modes[i], "8080:80", &options, &error), &error,
			    "--publish 8080:80: only the network passt publishes ports: add "
			    "--network passt");
}

static void test_together(void)
{
	static const struct {
		const char *words[4], *message;
	} cases[] = {
		{ { "80:80", "80:80/udp", "81:80" }, NULL },
		{ { "127.0.0.1:80:80", "81-90:80-89" }, NULL },
		{ { "80:80", "80:81" }, "--publish 80:81: port 80/tcp of the host is published" },
		{ { "127.0.0.1:80:80", "127.0.0.2:80:80" },
		  "port 80/tcp of the host is published" },
		{ { "80-90:80-90", "85:1" }, "port 85/tcp of the host is published already" },
		{ { "85:1", "80-90:80-90" }, "--publish 80-90:80-90: port 85/tcp of the host" },
		{ { "80-90:1-11/udp", "90-95:1-6/udp" }, "port 90/udp of the host" },
		{ { "1-1000:1-1000", "1001-1024:1-24", "1025:1" },
		  "--publish 1025:1: too many ports: at most 1024 can be published" },
	};
	struct network_options options;
	struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = 0;

		while (n < 4 && cases[i].words[n])
			n++;
		if (cases[i].message) {
			CHECK_ERROR(
			    network_options_read("passt", cases[i].words, n, &options, &error),
			    &error, cases[i].message);
			continue;
		}
		CHECK_OK(network_options_read("passt", cases[i].words, n, &options, &error),
			 &error);
		CHECK_INT(options.n_published, n);
		network_options_done(&options);
	}
}

static const struct test_case cases[] = {
	{ "modes", test_modes },
	{ "bad modes", test_bad_modes },
	{ "a FIFO", test_fifo },
	{ "publish", test_publish },
	{ "bad publish", test_bad_publish },
	{ "publish without passt", test_without_passt },
	{ "publish together", test_together },
};
TEST_MAIN(cases)
