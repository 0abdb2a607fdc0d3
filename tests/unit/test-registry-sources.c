/* SPDX-License-Identifier: Apache-2.0 */
/* Where images are fetched from: TOML, registries.conf and what it means. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "rootfs/registry/sources.h"
#include "rootfs/registry/toml.h"
#include "tests/unit/test.h"

/* ---- TOML ---- */

static void test_toml(void)
{
	static const struct {
		const char *toml, *json;
	} all[] = {
		{ "", "{}" },
		{ "# nothing\r\n\n  \t# else", "{}" },
		{ "a = 1\nb.c = true\nb.d=false # x\n",
		  "{\"a\":\"1\",\"b\":{\"c\":true,\"d\":false}}" },
		{ "\"a b\" = 'c\\d'\n'e' = \"\"", "{\"a b\":\"c\\\\d\",\"e\":\"\"}" },
		{ "a = \"q\\\"\\\\\\t\\u00e4\\U0001F600\"",
		  "{\"a\":\"q\\\"\\\\\\t\xc3\xa4\xf0\x9f\x98\x80\"}" },
		{ "a = \"\"\"\nx\ny\\\n   \n  z\"\"\"\"\n", "{\"a\":\"x\\nyz\\\"\"}" },
		{ "a = '''\\x\n''y'''\n", "{\"a\":\"\\\\x\\n''y\"}" },
		{ "a = [ 'x', # one\n\n 'y' , ]\nb = [[], [1979-05-27T07:32:00Z]]",
		  "{\"a\":[\"x\",\"y\"],\"b\":[[],[\"1979-05-27T07:32:00Z\"]]}" },
		{ "a = { b = 1, c.d = { } }", "{\"a\":{\"b\":\"1\",\"c\":{\"d\":{}}}}" },
		{ "[a]\nx = 1\n[b . \"c\"]\ny = 2\n[a.z]\nq = 3",
		  "{\"a\":{\"x\":\"1\",\"z\":{\"q\":\"3\"}},\"b\":{\"c\":{\"y\":\"2\"}}}" },
		{ "[[r]]\nx = 1\n[[r.m]]\ny = 2\n[[r.m]]\ny = 3\n[[r]]\n[r.t]\nz = 4",
		  "{\"r\":[{\"x\":\"1\",\"m\":[{\"y\":\"2\"},{\"y\":\"3\"}]},{\"t\":{\"z\":\"4\"}}]"
		  "}" },
		{ "[a.b]\nx = 1\n[a]\ny = 2", "{\"a\":{\"b\":{\"x\":\"1\"},\"y\":\"2\"}}" },
	};
	struct error *error = NULL;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		_cleanup_free_ char *json = NULL;

		CHECK_OK(toml_to_json(all[i].toml, strlen(all[i].toml), "conf", &json, &error),
			 &error);
		CHECK_STRING(json, all[i].json);
	}
}

static void test_bad_toml(void)
{
	static const struct {
		const char *toml, *error;
	} all[] = {
		{ "a", "conf: line 1: no \"=\"" },
		{ "\n\na = ", "conf: line 3: no value" },
		{ "a = 1\na = 2", "conf: line 2: a key is there already" },
		{ "a = 1 b = 2", "conf: line 1: something stands behind" },
		{ "a = \"x\n\"", "a string has no end" },
		{ "a = '''x", "a string has no end" },
		{ "a = \"\\x\"", "a backslash" },
		{ "a = \"\\ud800\"", "a backslash" },
		{ "a = \"\\u12\"", "a backslash" },
		{ "a = [1 2]", "no \",\" or \"]\"" },
		{ "a = [1", "no \",\" or \"]\"" },
		{ "a = {b = 1", "no \",\" or \"}\"" },
		{ "a = {b = 1,}", "no key" },
		{ "[a]\n[a]", "a table is there already" },
		{ "[a", "no \"]\" behind a header" },
		{ "[[a]", "no \"]]\" behind a header" },
		{ "a = 1\n[a]", "a key is not a table" },
		{ "a = {}\n[a.b]", "a key is not a table" },
		{ "a = []\n[[a]]", "not an array of tables" },
		{ "[a]\n[[a]]", "not an array of tables" },
		{ "= 1", "no key" },
		{ "a. = 1", "no key" },
	};
	_cleanup_free_ char *deep = xmalloc(20000);
	_cleanup_free_ char *dotted = xmalloc(20000);
	struct error *error = NULL;
	char *json;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		CHECK_ERROR(toml_to_json(all[i].toml, strlen(all[i].toml), "conf", &json, &error),
			    &error, all[i].error);
	memset(deep, '[', 19999);
	deep[19999] = '\0';
	memcpy(deep, "a =", 3);
	CHECK_ERROR(toml_to_json(deep, 19999, "conf", &json, &error), &error,
		    "too many values within each other");
	for (size_t i = 0; i < 19999; i++)
		dotted[i] = i % 2 ? '.' : 'a';
	dotted[19999] = '\0';
	CHECK_ERROR(toml_to_json(dotted, 19999, "conf", &json, &error), &error,
		    "too many tables within each other");
	CHECK_ERROR(toml_to_json("a\0b", 3, "conf", &json, &error), &error, "a NUL byte");
}

/* CPU time in ns for n keys. */
static uint64_t work_of(size_t n)
{
	_cleanup_free_ char *text = xmalloc(n * 32 + 1), *json = NULL;
	struct error *error = NULL;
	struct timespec before, after;
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += (size_t)sprintf(text + size, "k%zu = \"v\"\n", i);
	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before) == 0);
	CHECK_OK(toml_to_json(text, size, "conf", &json, &error), &error);
	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after) == 0);
	return (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000U + (uint64_t)after.tv_nsec -
	       (uint64_t)before.tv_nsec;
}

/* Ten times the keys: not a hundred times the work. */
static void test_many_keys(void)
{
	(void)work_of(1000);
	CHECK(work_of(100000) < 40 * work_of(10000));
}

/* ---- registries.conf ---- */

static char home[] = "/tmp/test-sources-XXXXXX";

/* Below the home's .config. */
static void write_config(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/.config/%s", home, name);
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct error *error = NULL;

	CHECK_OK(make_directories(directory, 0755, &error), &error);
	CHECK_OK(write_file_atomic(path, text, strlen(text), 0644, &error), &error);
}

static void write_conf(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("containers/%s", name);

	write_config(path, text);
}

/* "NAME[!]…", where ! stands for insecure. */
static char *find(const char *name, struct error **ret_error)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	char *text = xstrdup("");
	struct source *sources;
	size_t n;

	CHECK_OK(reference_parse(name, &reference, ret_error), ret_error);
	if (sources_find(reference, &sources, &n, ret_error) < 0) {
		free(text);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *before = text;

		text = xasprintf("%s%s%s%s", before, i ? " " : "", sources[i].reference->name,
				 sources[i].insecure ? "!" : "");
	}
	sources_free(sources, n);
	return text;
}

#define DIGEST "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_sources(void)
{
	static const char conf[] =
	    "unqualified-search-registries = ['docker.io']\n"
	    "[[registry]]\nlocation = 'docker.io'\n"
	    "[[registry.mirror]]\nlocation = 'mirror.test:5000/hub'\ninsecure = true\n"
	    "[[registry.mirror]]\nlocation = 'second.test'\npull-from-mirror = 'digest-only'\n"
	    "[[registry.mirror]]\nlocation = 'third.test'\npull-from-mirror = 'tag-only'\n"
	    "[[registry]]\nprefix = 'docker.io/bad'\nblocked = true\n"
	    "[[registry]]\nprefix = 'a.test/x'\nlocation = 'b.test/y/z'\ninsecure = true\n"
	    "[[registry]]\nprefix = '*.wild.test'\nlocation = 'tame.test'\n"
	    "[[registry]]\nprefix = '*.bare.test'\ninsecure = true\n"
	    "[[registry]]\nlocation = 'slash.test/a/'\n"
	    "[[registry.mirror]]\nlocation = 'm.test/b//'\n"
	    "[[registry]]\nprefix = 'slash.test/bad/'\nblocked = true\n"
	    "[[registry]]\nlocation = 'over.test'\nblocked = true\n";
	static const struct {
		const char *name, *sources;
	} all[] = {
		{ "alpine", "mirror.test:5000/hub/library/alpine:latest! "
			    "third.test/library/alpine:latest docker.io/library/alpine:latest" },
		{ "x/y@" DIGEST, "mirror.test:5000/hub/x/y@" DIGEST "! second.test/x/y@" DIGEST
				 " docker.io/x/y@" DIGEST },
		{ "a.test/x/q:v", "b.test/y/z/q:v!" },
		{ "a.test/x:v", "b.test/y/z:v!" },
		{ "a.test/xx:v", "a.test/xx:v" },
		{ "one.wild.test:8/q:v", "tame.test:8/q:v" },
		{ "wild.test/q:v", "wild.test/q:v" },
		{ "two.bare.test/q:v", "two.bare.test/q:v!" },
		{ "slash.test/a/q:v", "m.test/b/q:v slash.test/a/q:v" },
		{ "over.test/q:v", "over.test/q:v!" },
		{ "other.test/q:v", "other.test/q:v" },
	};
	struct error *error = NULL;

	write_conf("registries.conf", conf);
	write_conf("registries.conf.d/10.conf",
		   "[[registry]]\nprefix='over.test'\ninsecure=true\n");
	write_conf("registries.conf.d/20.conf.bak", "not TOML");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		_cleanup_free_ char *text = find(all[i].name, &error);

		CHECK_OK(text ? 0 : -1, &error);
		CHECK_STRING(text, all[i].sources);
	}
	CHECK_ERROR(find("docker.io/bad/q", &error) ? 0 : -1, &error,
		    "registry docker.io/bad is blocked in ");
	CHECK_ERROR(find("slash.test/bad/q", &error) ? 0 : -1, &error,
		    "registry slash.test/bad is blocked in ");
}

static void test_bad_sources(void)
{
	static const struct {
		const char *conf, *error;
	} all[] = {
		{ "[[registry]]\n", "no prefix and no location" },
		{ "[[registry]]\nlocation = true\n", "registry[0].location" },
		{ "[[registry]]\nlocation='x.test'\n[[registry.mirror]]\n", "location" },
		{ "[[registry]]\nlocation='x.test'\n[[registry.mirror]]\nlocation='m'\n"
		  "pull-from-mirror='odd'\n",
		  "must be all, digest-only or tag-only" },
		{ "[[registry]]\nprefix='x.test'\nlocation='UPPER/'\n", "location \"UPPER\"" },
		{ "registry = 1\n", "registry" },
		{ "[[registry]\n", "line 1: no \"]]\"" },
	};
	struct error *error = NULL;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		write_conf("registries.conf", all[i].conf);
		CHECK_ERROR(find("x.test/y", &error) ? 0 : -1, &error, all[i].error);
	}
	/* Another file, and none of them. */
	CHECK(setenv("CONTAINERS_REGISTRIES_CONF", "/nonexistent/file", 1) == 0);
	{
		_cleanup_free_ char *text = find("x.test/y:z", &error);

		CHECK_OK(text ? 0 : -1, &error);
		CHECK_STRING(text, "x.test/y:z");
	}
	CHECK(unsetenv("CONTAINERS_REGISTRIES_CONF") == 0);
}

/* ---- hosts.toml ---- */

static void join(char **text, const char *before, const char *word)
{
	_cleanup_free_ char *so_far = *text;

	*text = xasprintf("%s%s%s", so_far, before, word);
}

/* "URL API[ mirror][ unverified][ ca=FILE…][ cert=FILE key=FILE][ header…];…" */
static char *find_hosts(const char *name, struct error **ret_error)
{
	_cleanup_(reference_freep) struct reference *reference = NULL;
	char *text = xstrdup("");
	struct source *sources;
	size_t n;

	CHECK_OK(reference_parse(name, &reference, ret_error), ret_error);
	if (sources_find(reference, &sources, &n, ret_error) < 0) {
		free(text);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		const struct endpoint *endpoint = sources[i].endpoint;

		CHECK_STRING(sources[i].reference->name, reference->name);
		if (!endpoint) {
			join(&text, sources[i].reference->host, ";");
			continue;
		}
		join(&text, "", endpoint->url);
		join(&text, " ", endpoint->api);
		join(&text, "", endpoint->is_mirror ? " mirror" : "");
		join(&text, "", endpoint->skip_verify ? " unverified" : "");
		for (size_t j = 0; endpoint->ca_files && endpoint->ca_files[j]; j++)
			join(&text, " ca=", strrchr(endpoint->ca_files[j], '/') + 1);
		if (endpoint->client_cert) {
			join(&text, " cert=", endpoint->client_cert);
			join(&text, " key=", strrchr(endpoint->client_key, '/') + 1);
		}
		for (size_t j = 0; endpoint->headers && endpoint->headers[j]; j++)
			join(&text, " ", endpoint->headers[j]);
		join(&text, ";", "");
	}
	sources_free(sources, n);
	return text;
}

static void check_hosts(const char *name, const char *wanted)
{
	struct error *error = NULL;
	_cleanup_free_ char *text = find_hosts(name, &error);

	CHECK_OK(text ? 0 : -1, &error);
	CHECK_STRING(text, wanted);
}

static void test_hosts(void)
{
	struct error *error = NULL;

	write_conf("registries.conf", "[[registry]]\nprefix='x.test/blocked'\nblocked=true\n");
	write_config("containerd/certs.d/docker.io/hosts.toml",
		     "server = 'https://registry-1.docker.io'\n"
		     "skip_verify = true\n"
		     "[host.'https://one.test:5000']\n"
		     "  capabilities = ['pull', 'resolve', 'push']\n"
		     "  ca = ['a.crt', '/b.crt']\n"
		     "  client = [['/c.cert', 'c.key']]\n"
		     "  dial_timeout = '3s'\n"
		     "  [host.'https://one.test:5000'.header]\n"
		     "    x-one = '1'\n"
		     "    x-two = ['2', '3']\n"
		     "[host.'http://two.test/some/path/']\n"
		     "  client = '/both.pem'\n"
		     "[host.'three.test/own']\n"
		     "  override_path = true\n"
		     "[host.'localhost:5000/v2']\n"
		     "[host.'127.evil.example']\n"
		     "[host.'https://four.test']\n"
		     "  capabilities = ['pull']\n"
		     "[host.'https://five.test']\n"
		     "  capabilities = ['push']\n");
	check_hosts("alpine", "https://one.test:5000 /v2 mirror ca=a.crt ca=b.crt cert=/c.cert "
			      "key=c.key x-one: 1 x-two: 2 x-two: 3;"
			      "http://two.test /some/path/v2 mirror cert=/both.pem key=both.pem;"
			      "https://three.test /own mirror;"
			      "http://localhost:5000 /v2 mirror;"
			      "https://127.evil.example /v2 mirror;"
			      "https://registry-1.docker.io /v2 unverified;");
	{
		_cleanup_free_ char *text = find_hosts("alpine@" DIGEST, &error);

		CHECK_OK(text ? 0 : -1, &error);
		CHECK(strstr(text, ";https://four.test /v2 mirror;"));
		CHECK(!strstr(text, "five.test"));
	}
	check_hosts("y.test/q", "y.test;");
	write_config("containerd/certs.d/_default/hosts.toml", "[host.'https://all.test']\n");
	check_hosts("y.test:80/q", "https://all.test /v2 mirror;https://y.test:80 /v2;");
	write_config("containerd/certs.d/y.test_80_/hosts.toml", "[host.'https://own.test']\n");
	check_hosts("y.test:80/q", "https://own.test /v2 mirror;https://y.test:80 /v2;");
	/* registries.conf goes first. */
	CHECK_ERROR(find_hosts("x.test/blocked/q", &error) ? 0 : -1, &error, "is blocked in ");
	write_conf("registries.conf", "[[registry]]\nlocation='y.test:80'\n");
	check_hosts("y.test:80/q", "y.test:80;");
	write_conf("registries.conf", "");
}

static void test_bad_hosts(void)
{
	static const struct {
		const char *toml, *error;
	} all[] = {
		{ "server = 1\nx", "hosts.toml: line 2: no \"=\"" },
		{ "host = 'x'", "host" },
		{ "[host]\nx = 'y'", "host.x" },
		{ "server = ''", "is not a host's URL" },
		{ "server = 'https://user@h.test'", "is not a host's URL" },
		{ "server = 'https://h.test/x?y'", "is not a host's URL" },
		{ "server = 'ftp://h.test'", "is not a host's URL" },
		{ "server = \"https://h.test/x\\ny\"", "is not a host's URL" },
		{ "capabilities = ['fly']", "unknown: fly" },
		{ "capabilities = ['push']", "no host gives b.test/q:latest" },
		{ "ca = [[]]", "ca[0]" },
		{ "client = []", "must be a file, or a pair of two" },
		{ "client = [[]]", "must be a file, or a pair of two" },
		{ "[header]\nx = \"1\\r\\ny: 2\"", "has a line end" },
	};
	struct error *error = NULL;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		write_config("containerd/certs.d/b.test/hosts.toml", all[i].toml);
		CHECK_ERROR(find_hosts("b.test/q", &error) ? 0 : -1, &error, all[i].error);
	}
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{ "toml", test_toml },
		{ "bad toml", test_bad_toml },
		{ "many keys", test_many_keys },
		{ "sources", test_sources },
		{ "bad sources", test_bad_sources },
		{ "hosts", test_hosts },
		{ "bad hosts", test_bad_hosts },
	};
	int result;

	(void)unsetenv("CONTAINERS_REGISTRIES_CONF");
	if (!mkdtemp(home) || setenv("HOME", home, 1) < 0)
		return 1;
	result = test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	(void)remove_tree(home, NULL);
	return result;
}
