/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate, and where users' passwords are kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/registry/challenge.h"
#include "rootfs/registry/credentials.h"
#include "tests/unit/test.h"

static void test_challenges(void)
{
	static const struct {
		const char *header, *said; /* SCHEME[|realm|service|scope], … */
	} cases[] = {
		{ "", "" },
		{ "Basic", "basic|||;" },
		{ "Basic realm=\"x\"", "basic|x||;" },
		{ "BEARER Realm = \"https://a/b?c=d,e\" , service=s,scope=\"a:b:c,d e:f:g\"",
		  "bearer|https://a/b?c=d,e|s|a:b:c,d e:f:g;" },
		{ "Basic realm=\"a\\\"b\\\\\", charset=\"UTF-8\"", "basic|a\"b\\||;" },
		{ "Negotiate, NTLM, Basic realm=x", "negotiate|||;ntlm|||;basic|x||;" },
		{ "Negotiate YII+/a==, Bearer realm=\"r\"", "negotiate|||;bearer|r||;" },
		{ "Bearer realm=r Basic", "bearer|r||;basic|||;" },
		{ "Bearer realm=\"not closed", "bearer|||;" },
		{ "Bearer realm=\"a\",realm=\"b\"", "bearer|a||;" },
		{ "Bearer realm=\"a\tb\x1b\"", "bearer|a b?||;" },
		{ ",,, ,Basic realm=\"x\",,", "basic|x||;" },
		{ "=", "" },
		{ "a=b", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(challenges_freep) struct challenge *got =
		    challenges_parse(cases[i].header);
		_cleanup_free_ char *said = xstrdup("");

		for (const struct challenge *at = got; at->scheme; at++) {
			char *longer = xasprintf(
			    "%s%s|%s|%s|%s;", said, at->scheme, at->realm ? at->realm : "",
			    at->service ? at->service : "", at->scope ? at->scope : "");

			free(said);
			said = longer;
		}
		CHECK_STRING(said, cases[i].said);
	}
}

static char directory[] = "/tmp/test-registry-auth.XXXXXX";

static char *in_directory(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static void begin(void)
{
	_cleanup_free_ char *docker = NULL, *path = NULL;

	(void)strcpy(directory + strlen(directory) - 6, "XXXXXX");
	CHECK(mkdtemp(directory));
	docker = in_directory("docker");
	path = xasprintf("%s:/usr/bin:/bin", directory);
	CHECK(setenv("HOME", directory, 1) == 0 && setenv("DOCKER_CONFIG", docker, 1) == 0 &&
	      setenv("PATH", path, 1) == 0);
	CHECK(unsetenv("XDG_RUNTIME_DIR") == 0 && unsetenv("REGISTRY_AUTH_FILE") == 0);
}

static void end(void)
{
	CHECK(remove_tree(directory, NULL) == 0);
}

static void put(const char *name, const char *text, mode_t mode)
{
	_cleanup_free_ char *path = in_directory(name);
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, strlen(text), mode, &error), &error);
}

/* "USER:PASSWORD", or the identity token, or "". */
static void finds(const char *file, const char *host, const char *repository, const char *wanted)
{
	_cleanup_(credentials_done) struct credentials got = { 0 };
	_cleanup_free_ char *said = NULL;
	struct error *error = NULL;

	CHECK_OK(credentials_find(file, host, repository, &got, &error), &error);
	if (got.identity_token)
		said = xstrdup(got.identity_token);
	else
		said = got.user ? xasprintf("%s:%s", got.user, got.password) : xstrdup("");
	CHECK_STRING(said, wanted);
}

static void test_reading(void)
{
	_cleanup_free_ char *file = NULL, *bad = NULL;
	struct credentials none = { 0 };
	struct error *error = NULL;

	begin();
	file = in_directory("auth.json");
	bad = in_directory("bad.json");
	put("auth.json",
	    "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"aDp1Yg==\"},"
	    "\"quay.io\":{\"auth\":\"YTpi\"},\"quay.io/x\":{\"auth\":\"YTp4\"},"
	    "\"https://r.io/v2/\":{\"auth\":\"cjppbw==\"},\"e.io\":{},"
	    "\"t.io\":{\"auth\":\"YTpi\",\"identitytoken\":\"tok\"}},"
	    "\"credHelpers\":{\"h.io\":\"test\",\"n.io\":\"missing\"}}",
	    0600);
	put("docker-credential-test",
	    "#!/bin/sh\nread h\n[ $h = h.io ] || { echo credentials not found; exit 1; }\n"
	    "echo '{\"Username\":\"u\",\"Secret\":\"s\"}'\n",
	    0755);
	finds(file, "docker.io", "library/a", "h:ub");
	finds(file, "quay.io", "y/z", "a:b");
	finds(file, "quay.io", "x/z", "a:x");
	finds(file, "quay.io", "xx/z", "a:b");
	finds(file, "r.io", "a", "r:io");
	finds(file, "e.io", "a", "");
	finds(file, "t.io", "a", "tok");
	finds(file, "h.io", "a", "u:s");
	finds(file, "n.io", "a", "");
	finds(file, "other.io", "a", "");
	finds("/dev/null/none", "quay.io", "a", "");
	put("bad.json", "{\"auths\":{\"quay.io\":{\"auth\":\"???\"}}}", 0600);
	CHECK_ERROR(credentials_find(bad, "quay.io", "a", &none, &error), &error, "auth: not");
	put("bad.json", "[]", 0600);
	CHECK_ERROR(credentials_find(bad, "quay.io", "a", &none, &error), &error, "bad.json");
	end();
}

static void test_writing(void)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	struct error *error = NULL;
	struct stat st;

	begin();
	path = in_directory("docker/config.json");
	CHECK_OK(credentials_keep(NULL, "quay.io", "a", "b", &error), &error);
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 0777, 0600);
	finds(NULL, "quay.io", "x", "a:b");
	put("docker/config.json",
	    "{\"psFormat\":\"x\",\"auths\":{\"quay.io\":{\"auth\":\"YTpi\"},\"r.io\":{}}}", 0600);
	CHECK_OK(credentials_keep(NULL, "docker.io", "h", "p", &error), &error);
	CHECK_OK(credentials_forget(NULL, "quay.io", &error), &error);
	finds(NULL, "quay.io", "x", "");
	finds(NULL, "docker.io", "x", "h:p");
	CHECK_OK(read_file(path, 10000, &text, NULL, &error), &error);
	CHECK(strstr(text, "psFormat") && strstr(text, "r.io") && !strstr(text, "quay.io"));
	CHECK_ERROR(credentials_forget(NULL, "quay.io", &error), &error, "not logged in");
	CHECK_ERROR(credentials_keep(NULL, "quay.io", "a:b", "c", &error), &error,
		    "cannot contain a colon");
	end();
}

/* A file that is kept elsewhere stays there. */
static void test_writing_to_link(void)
{
	_cleanup_free_ char *path = NULL, *elsewhere = NULL;
	struct error *error = NULL;
	struct stat st;

	begin();
	path = in_directory("docker/config.json");
	elsewhere = in_directory("elsewhere.json");
	CHECK_OK(credentials_keep(NULL, "quay.io", "a", "b", &error), &error);
	CHECK(rename(path, elsewhere) == 0 && symlink("../elsewhere.json", path) == 0);
	CHECK_OK(credentials_keep(NULL, "r.io", "c", "d", &error), &error);
	CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
	finds(elsewhere, "quay.io", "x", "a:b");
	finds(elsewhere, "r.io", "x", "c:d");
	end();
}

static const struct test_case cases[] = {
	{ "challenges", test_challenges },
	{ "reading", test_reading },
	{ "writing", test_writing },
	{ "writing to a link", test_writing_to_link },
};
TEST_MAIN(cases)
