/* SPDX-License-Identifier: Apache-2.0 */
/* Images: their names, manifests, indexes and configurations. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rootfs/image/digest.h"
#include "rootfs/image/manifest.h"
#include "rootfs/image/reference.h"
#include "tests/unit/test.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void test_references(void)
{
	static const struct {
		const char *text, *name, *wanted;
	} good[] = {
		{ "alpine", "docker.io/library/alpine:latest", "latest" },
		{ "alpine:3.20", "docker.io/library/alpine:3.20", "3.20" },
		{ "user/app", "docker.io/user/app:latest", "latest" },
		{ "docker.io/alpine", "docker.io/library/alpine:latest", "latest" },
		{ "index.docker.io/a/b:1", "docker.io/a/b:1", "1" },
		{ "localhost/a", "localhost/a:latest", "latest" },
		{ "localhost:5000/a", "localhost:5000/a:latest", "latest" },
		{ "quay.io/x/y/z:V_1.2-3", "quay.io/x/y/z:V_1.2-3", "V_1.2-3" },
		{ "[::1]:5000/a:b", "[::1]:5000/a:b", "b" },
		{ "[fe80::1]/a", "[fe80::1]/a:latest", "latest" },
		{ "a.b/c__d/e--f/g.h_i", "a.b/c__d/e--f/g.h_i:latest", "latest" },
		{ "EXAMPLE.com/a", "EXAMPLE.com/a:latest", "latest" },
		{ "a@sha256:" A64, "docker.io/library/a@sha256:" A64, "sha256:" A64 },
		{ "a:t@sha256:" A64, "docker.io/library/a:t@sha256:" A64, "sha256:" A64 },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		_cleanup_(reference_freep) struct reference *reference = NULL;
		_cleanup_error_ struct error *error = NULL;

		CHECK_OK(reference_parse(good[i].text, &reference, &error), &error);
		CHECK_STRING(reference->name, good[i].name);
		CHECK_STRING(reference_wanted(reference), good[i].wanted);
	}
}

static void test_bad_references(void)
{
	static const char *const bad[] = {
		"",
		"/",
		"a/",
		"/a",
		"A",
		"a//b",
		"a b",
		"a..b",
		"a___b",
		"-a",
		"a-",
		"a:",
		"a:-x",
		"a:b:c",
		"a@sha256:123",
		"a@md5:" A64,
		"host:0/a",
		"host:65536/a",
		"host:1x/a",
		"-h.x/a",
		"h..x/a",
		"h./a",
		".h/a",
		"[::1/a",
		"[]/a",
		"[::1]x/a",
		"a.b:/c",
		"a/../b",
		"https://a.b/c",
		"a?b",
		"a#b",
		"a.b/c%2fd",
		"user@host/a",
		"a:b/c",
		"a\nb",
		"a.b/",
		"a.b/c:d\x7f",
		"docker.io/",
		"a@sha256:" A64 "a",
	};
	_cleanup_free_ char *long_path = xmalloc(300), *long_tag = xmalloc(300);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reference *reference = NULL;
		struct error *error = NULL;

		CHECK_ERROR(reference_parse(bad[i], &reference, &error), &error, "image name");
		CHECK(!reference);
	}
	memset(long_path, 'a', 299);
	long_path[299] = '\0';
	memset(long_tag, 'b', 299);
	memcpy(long_tag, "a:", 2);
	long_tag[2 + 129] = '\0';
	for (size_t i = 0; i < 2; i++) {
		struct reference *reference;
		struct error *error = NULL;

		CHECK_ERROR(reference_parse(i ? long_tag : long_path, &reference, &error), &error,
			    i ? "128" : "255");
	}
}

static void test_digests(void)
{
	struct error *error = NULL;
	char digest[DIGEST_SIZE];

	CHECK_OK(digest_of("abc", 3, digest, &error), &error);
	CHECK_STRING(digest,
		     "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	CHECK(digest_valid(digest) && !digest_valid("sha256:abc") && !digest_valid(""));
	CHECK(
	    !digest_valid("sha256:../../../../../../../../../../../../../../../../../../etc/pas"));
}

#define CONFIG(d) "{\"digest\":\"" d "\",\"size\":10}"

static void test_manifests(void)
{
	static const char good[] = "{\"schemaVersion\":2,\"config\":" CONFIG(
	    "sha256:" A64) ",\"layers\":[" CONFIG("sha256:" B64) "," CONFIG("sha256:" B64) "]}";
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{\"schemaVersion\":1,\"config\":" CONFIG("sha256:" A64) ",\"layers\":[]}",
		"{\"layers\":[]}",
		"{\"config\":" CONFIG("sha256:" A64) "}",
		"{\"config\":" CONFIG("sha256:../x") ",\"layers\":[]}",
		"{\"config\":" CONFIG("sha256:" A64) ",\"layers\":[1]}",
		"{\"config\":" CONFIG("sha256:" A64) ",\"layers\":[{}]}",
		"{\"config\":{\"digest\":\"sha256:" A64 "\",\"size\":-1},\"layers\":[]}",
		"{\"config\":{\"digest\":\"sha256:" A64 "\",\"size\":99999999},\"layers\":[]}",
	};
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	struct error *error = NULL;

	CHECK_OK(manifest_parse(good, strlen(good), &manifest, &error), &error);
	CHECK_INT(manifest->n_layers, 2);
	CHECK_STRING(manifest->config.digest, "sha256:" A64);
	CHECK_INT(manifest->layers[1].size, 10);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct manifest *none = NULL;

		CHECK_ERROR(manifest_parse(bad[i], strlen(bad[i]), &none, &error), &error,
			    "manifest");
		CHECK(!none);
	}
}

#define PLATFORM(os, arch, more)                                                                   \
	",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}}"
#define ENTRY(letter, more) "{\"digest\":\"sha256:" letter "\",\"size\":10" more

static void choose(const char *index, const char *platform, const char *wanted, const char *problem)
{
	_cleanup_(platform_done) struct platform parsed = { 0 };
	_cleanup_(descriptor_done) struct descriptor chosen = { 0 };
	struct error *error = NULL;

	CHECK_OK(platform_parse(platform, &parsed, &error), &error);
	CHECK(manifest_is_index(index, strlen(index), NULL));
	if (problem) {
		CHECK_ERROR(index_choose(index, strlen(index), &parsed, &chosen, &error), &error,
			    problem);
		return;
	}
	CHECK_OK(index_choose(index, strlen(index), &parsed, &chosen, &error), &error);
	CHECK_STRING(chosen.digest, wanted);
}

static void test_platforms(void)
{
	static const char index[] =
	    "{\"manifests\":[" ENTRY(A64, PLATFORM("unknown", "unknown", "")) "," ENTRY(
		A64, PLATFORM("linux", "arm",
			      ",\"variant\":\"v6\"")) "," ENTRY(B64, PLATFORM("linux", "arm",
									      ",\"variant\":"
									      "\"v7\"")) "]}";
	static const char single[] = "{\"manifests\":[" ENTRY(A64, "}") "]}";
	struct platform platform;
	struct error *error = NULL;

	choose(index, "linux/arm/v7", "sha256:" B64, NULL);
	choose(index, "arm", "sha256:" A64, NULL);
	choose(index, "linux/amd64", NULL,
	       "no image for the platform linux/amd64 (there is: linux/arm/v6, linux/arm/v7)");
	choose(single, NULL, "sha256:" A64, NULL);
	CHECK_OK(platform_parse("x86_64", &platform, &error), &error);
	CHECK_STRING(platform.os, "linux");
	CHECK_STRING(platform.architecture, "amd64");
	platform_done(&platform);
	CHECK_ERROR(platform_parse("linux/", &platform, &error), &error, "invalid platform");
	CHECK_ERROR(platform_parse("linux/a/b/c", &platform, &error), &error, "invalid platform");
}

static void test_configurations(void)
{
	static const char good[] = "{\"os\":\"linux\",\"architecture\":\"arm64\",\"rootfs\":"
				   "{\"type\":\"layers\",\"diff_ids\":[\"sha256:" A64 "\"]}}";
	_cleanup_strv_ char **diff_ids = NULL;
	_cleanup_(platform_done) struct platform platform = { 0 };
	struct error *error = NULL;

	CHECK_OK(config_diff_ids(good, strlen(good), 1, &diff_ids, &error), &error);
	CHECK_STRING(diff_ids[0], "sha256:" A64);
	CHECK_ERROR(config_diff_ids(good, strlen(good), 2, &diff_ids, &error), &error,
		    "1 layers, and 2 in the manifest");
	CHECK_ERROR(config_diff_ids("{}", 2, 0, &diff_ids, &error), &error, "rootfs");
	CHECK_OK(platform_parse("arm64", &platform, &error), &error);
	CHECK_OK(config_check_platform(good, strlen(good), &platform, &error), &error);
	platform_done(&platform);
	CHECK_OK(platform_parse("amd64", &platform, &error), &error);
	CHECK_ERROR(config_check_platform(good, strlen(good), &platform, &error), &error,
		    "there is: linux/arm64");
}

static const struct test_case cases[] = {
	{ "references", test_references }, { "bad references", test_bad_references },
	{ "digests", test_digests },	   { "manifests", test_manifests },
	{ "platforms", test_platforms },   { "configurations", test_configurations },
};
TEST_MAIN(cases)
