/* SPDX-License-Identifier: Apache-2.0 */
/* A container's files that come from the host: shares, binds, stand-ins for sockets;
 * here the share is a plain directory. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/unit/agent-rig.h"

#define BIND(destination, options)                                                                 \
	"{\"destination\":\"" destination "\",\"type\":\"bind\",\"source\":\"/host" destination    \
	"\","                                                                                      \
	"\"options\":[" options "]}"

/* rig_start() with a share of a directory and a file. */
static char *start(struct rig *rig)
{
	_cleanup_free_ char *command = NULL;
	char *share;

	rig_start(rig);
	if (rig->machine)
		test_skip("the share is a directory of this machine");
	share = xasprintf("%s/share", rig->directory);
	command = xasprintf("mkdir -p '%s/c/dir/sub' && cd '%s/c' && echo one >file && "
			    "echo in >dir/in && chown 1000:1000 dir/in && cp -a '%s/r' root",
			    share, share, rig->directory);
	rig_command(command);
	return share;
}

static void check_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		test_fail(__FILE__, __LINE__, "\"%s\" does not contain \"%s\"", text, part);
}

static void check_host(const char *share, const char *script)
{
	_cleanup_free_ char *command = xasprintf("cd '%s/c' && %s", share, script);

	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "not true on the host: %s", script);
}

static void test_root(void)
{
	struct rig_config config = { .root_share = "c/root" };
	_cleanup_free_ char *share = NULL;
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	share = start(&rig);
	config.share = share;
	out = rig_shell(&rig, &config,
			"echo new >/written; rm /etc/plain; "
			"ls -d /share /stage 2>&1 | grep -c No");
	CHECK_STRING(out, "2\n");
	check_host(share, "[ \"$(cat root/written)\" = new ] && "
			  "[ \"$(stat -c %u:%g root/written)\" = 0:0 ] && [ ! -e root/etc/plain ]");
	free(out);
	config.readonly = true;
	out = rig_shell(&rig, &config,
			"touch /x 2>/dev/null || echo refused; touch /dev/shm-x; "
			"grep ' / / ' /proc/self/mountinfo | cut -d ' ' -f 6");
	check_contains(out, "refused\n");
	rig_stop(&rig);
}

/* Directories and files, options, missing mount points, one below another. */
static void test_binds(void)
{
	static const char *const sources[] = { "c/dir", "c/file", "c/dir/sub", "c/file", NULL };
	struct rig_config config = {
		.mounts = BIND("/new/place", "\"rbind\",\"nosuid\",\"nodev\",\"noexec\"") "," BIND(
		    "/etc/made",
		    "\"bind\",\"ro\"") "," BIND("/new/place/sub",
						"\"bind\",\"rw\",\"noatime\"") "," BIND("/dangling/"
											"file",
											"\"bind\""),
		.sources = sources,
	};
	_cleanup_free_ char *share = NULL;
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	share = start(&rig);
	config.share = share;
	out = rig_shell(&rig, &config,
			"grep -E ' /(new|etc|made)' /proc/self/mountinfo | cut -d ' ' -f 5,6; "
			"cat /new/place/in /etc/made /made/later/file; stat -c %u /new/place/in; "
			"echo x 2>/dev/null >/etc/made || echo refused; "
			"echo two >/new/place/sub/two; echo three >>/made/later/file; "
			"cp /bin/busybox /new/place/sh; /new/place/sh true 2>&1 | grep -c denied");
	check_contains(out, "/new/place rw,nosuid,nodev,noexec,");
	check_contains(out, "/etc/made ro,");
	check_contains(out, "/new/place/sub rw,noatime");
	check_contains(out, "\nin\none\none\n1000\nrefused\n1\n");
	check_host(share, "[ \"$(cat dir/sub/two)\" = two ] && "
			  "[ \"$(cat file)\" = \"$(printf 'one\\nthree')\" ]");
	rig_stop(&rig);
}

static void test_remount(void)
{
	static const char *const sources[] = { "c/dir", NULL };
	struct rig_config config = {
		.mounts = BIND("/m", "\"bind\"") ","
						 "{\"destination\":\"/"
						 "m\",\"options\":[\"bind\",\"remount\",\"ro\"]}",
		.sources = sources,
	};
	_cleanup_free_ char *share = NULL;
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	share = start(&rig);
	config.share = share;
	out = rig_shell(&rig, &config, "cat /m/in; touch /m/x 2>/dev/null || echo refused");
	CHECK_STRING(out, "in\nrefused\n");
	rig_stop(&rig);
}

static void test_errors(void)
{
	static const char *const directory[] = { "c/dir", NULL };
	static const char *const file[] = { "c/file", NULL };
	static const char *const gone[] = { "c/gone", NULL };
	static const char *const outside[] = { "c/../../x", NULL };
	static const struct {
		const char *const *sources;
		const char *mounts, *error;
	} cases[] = {
		{ directory, BIND("/etc/plain", "\"bind\""),
		  "error mounting \"/host/etc/plain\" to rootfs at \"/etc/plain\"" },
		{ directory, BIND("/etc/plain", "\"bind\""), "not a directory" },
		{ file, BIND("/etc", "\"bind\""),
		  "error mounting \"/host/etc\" to rootfs at \"/etc\": not a directory" },
		{ file, BIND("/etc/plain/x", "\"bind\""), "not a directory" },
		{ gone, BIND("/m", "\"bind\""),
		  "error mounting \"/host/m\" to rootfs at \"/m\": no such file or directory" },
		{ outside, BIND("/m", "\"bind\""), "is not a path below a share" },
		{ file, "", "no such mount" },
	};
	_cleanup_free_ char *share = NULL;
	struct error *error = NULL;
	struct rig rig;

	share = start(&rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig_config config = { .args = "[\"true\"]",
					     .share = share,
					     .mounts = cases[i].mounts[0] ? cases[i].mounts : NULL,
					     .sources = cases[i].sources };

		CHECK_ERROR(rig_create(&rig, "c", &config, NULL, &error), &error, cases[i].error);
	}
	rig_stop(&rig);
}

/* The host's /dev is taken as it is. */
static void test_bound_dev(void)
{
	static const char *const sources[] = { "c/dir", NULL };
	struct rig_config config = { .mounts = BIND("/dev", "\"rbind\""), .sources = sources };
	_cleanup_free_ char *share = NULL;
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	share = start(&rig);
	config.share = share;
	out = rig_shell(&rig, &config, "echo /dev/*");
	CHECK_STRING(out, "/dev/in /dev/sub\n");
	rig_stop(&rig);
}

static int accept_one(int listen_fd)
{
	struct pollfd poll_fd = { .fd = listen_fd, .events = POLLIN };

	CHECK(poll(&poll_fd, 1, 20000) == 1);
	return accept(listen_fd, NULL, NULL);
}

/* What the container's program writes arrives behind the key, and the answer at it;
 * each side's end is passed on alone. */
static void test_socket(void)
{
	static const char *const sources[] = { "", NULL };
	struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"stat -c '%F %a %u %g' /run/its.sock; "
			"printf hello | unix-socket connect /run/its.sock\"]",
		.user = "{\"uid\":1000,\"gid\":1000}", /* without DAC_OVERRIDE, root may not */
		.mounts = BIND("/run/its.sock", "\"bind\""),
		.sources = sources,
	};
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *out = NULL;
	_cleanup_free_ char *share = NULL;
	_cleanup_free_ char *got = NULL;
	struct error *error = NULL;
	struct rig_result result = { 0 };
	struct rig_io io;
	struct rig rig;
	int listen_fd, fd;

	share = start(&rig);
	path = rig_port_path(&rig, RIG_SOCKET_PORT);
	listen_fd = unix_listen(path, 0600, &error);
	CHECK_OK(listen_fd, &error);
	CHECK_OK(rig_create(&rig, "s", &config, &io, &error), &error);
	CHECK_OK(rig_start_container(&rig, "s", &error), &error);
	fd = accept_one(listen_fd);
	got = rig_read(fd, NULL); /* to the half-close */
	CHECK_STRING(got, RIG_SOCKET_KEY "hello");
	CHECK(write_all(fd, "answer\n", 7) == 0);
	(void)close(fd);
	(void)close(io.in);
	out = rig_read(io.out, NULL);
	CHECK_STRING(out, "socket 620 1000 1000\nanswer\n");
	rig_wait(&rig, "s", "", &result);
	CHECK_INT(result.code, 0);
	CHECK_OK(rig_delete(&rig, "s", &error), &error);
	(void)close(io.out);
	(void)close(io.err);
	(void)close(listen_fd);
	rig_stop(&rig);
}

/* A host that is not there, or goes: the program's connection ends, nothing else. */
static void test_socket_refused(void)
{
	static const char *const sources[] = { "", NULL };
	struct rig_config config = { .mounts = BIND("/run/its.sock", "\"bind\""),
				     .sources = sources };
	_cleanup_free_ char *share = NULL;
	_cleanup_free_ char *out = NULL;
	struct rig rig;

	share = start(&rig);
	out = rig_shell(&rig, &config, "echo x | unix-socket connect /run/its.sock; echo over");
	check_contains(out, "over\n");
	rig_stop(&rig);
}

static void ask(struct rig *rig, const char *line, const char *answer)
{
	_cleanup_free_ char *got = NULL;
	int fd = rig_published(rig);

	CHECK(write_all(fd, line, strlen(line)) == 0);
	(void)shutdown(fd, SHUT_WR);
	got = rig_read(fd, NULL);
	CHECK_STRING(got, answer);
	(void)close(fd);
}

/* The host reaches the socket that the container has there, and nothing else. */
static void test_published(void)
{
	struct rig_config config = {
		.args = "[\"sh\",\"-c\",\"ln -s /../../tmp/s /tmp/link; "
			"(until [ -S /tmp/s ]; do sleep 0.1; done; sleep 0.2; echo) & "
			"exec unix-socket echo /tmp/s\"]",
		.published = "/tmp/link",
	};
	_cleanup_free_ char *share = NULL;
	struct error *error = NULL;
	struct rig_result result = { 0 };
	struct rig_io io;
	struct rig rig;
	char byte[1];

	share = start(&rig);
	ask(&rig, "0 s\nhello", "");
	CHECK_OK(rig_create(&rig, "s", &config, &io, &error), &error);
	ask(&rig, "0 s\nhello", ""); /* nothing listens */
	CHECK_OK(rig_start_container(&rig, "s", &error), &error);
	/* It says so when the socket is there. */
	CHECK(read(io.out, byte, 1) == 1);
	ask(&rig, "0 s\nhello", "echo: hello");
	ask(&rig, "1 s\nhello", "");
	ask(&rig, "0 t\nhello", "");
	ask(&rig, "-1 s\nhello", "");
	ask(&rig, " 0 s\nhello", "");
	ask(&rig, "0s\n", "");
	ask(&rig, "0 s", "");
	CHECK_OK(rig_signal(&rig, "s", 9, false, &error), &error);
	rig_wait(&rig, "s", "", &result);
	ask(&rig, "0 s\nhello", "");
	CHECK_OK(rig_delete(&rig, "s", &error), &error);
	(void)close(io.in);
	(void)close(io.out);
	(void)close(io.err);
	rig_stop(&rig);
}

static const struct test_case cases[] = {
	{ "root", test_root },
	{ "binds", test_binds },
	{ "remount", test_remount },
	{ "errors", test_errors },
	{ "bound /dev", test_bound_dev },
	{ "socket", test_socket },
	{ "socket refused", test_socket_refused },
	{ "published", test_published },
};

RIG_MAIN(cases)
