/* SPDX-License-Identifier: Apache-2.0 */
/* Users' names and passwords: see credentials.h. */
#include "rootfs/registry/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/paths.h"
#include "rootfs/image/conversation.h"
#include "rootfs/image/reference.h"

#define FILE_SIZE_MAX (1u << 20)
#define ANSWER_MAX (64u << 10)
#define SECRET_MAX (16u << 10)
#define DOCKER_HUB_KEY "https://index.docker.io/v1/"

void credentials_done(struct credentials *credentials)
{
	free(credentials->user);
	free(credentials->password);
	free(credentials->identity_token);
	*credentials = (struct credentials){ 0 };
}

/* ---- base64 ---- */

static char *encode(const char *user, const char *password)
{
	_cleanup_free_ char *both = xasprintf("%s:%s", user, password);
	const size_t size = strlen(both);
	char *text = xmalloc((size + 2) / 3 * 4 + 1);

	(void)EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)both, (int)size);
	return text;
}

char *credentials_basic(const char *user, const char *password)
{
	_cleanup_free_ char *encoded = encode(user, password);

	return xasprintf("Authorization: Basic %s", encoded);
}

static int decode(const char *text, struct credentials *credentials, struct error **ret_error)
{
	const size_t size = strlen(text);
	_cleanup_free_ char *bytes = xcalloc(size + 4, 1);
	char *colon;

	if (size > SECRET_MAX ||
	    EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)size) < 0 ||
	    !(colon = strchr(bytes, ':')))
		return error_set(ret_error, EINVAL, "auth: not \"USER:PASSWORD\" in base64");
	*colon = '\0';
	credentials->user = xstrdup(bytes);
	credentials->password = xstrdup(colon + 1);
	return 0;
}

/* ---- helpers: docker-credential-NAME ---- */

static int run_helper(const char *name, const char *action, const char *input, char **ret_output,
		      struct error **ret_error)
{
	_cleanup_free_ char *program = xasprintf("docker-credential-%s", name);
	_cleanup_free_ char *path = strchr(name, '/') ? NULL : paths_search(program);
	char *argv[] = { path, (char *)action, NULL };
	_cleanup_free_ char *output = NULL;
	int status;

	if (!path)
		return error_set(ret_error, ENOENT, "%s is not in PATH", program);
	if (converse(argv, input, ANSWER_MAX, &output, &status, ret_error) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		output[strcspn(output, "\n")] = '\0';
		/* docker's helpers say so, and no other way. */
		return error_set(ret_error, strstr(output, "not found") ? ENOENT : EIO,
				 "%s %s: %.200s", program, action, output);
	}
	*ret_output = TAKE_PTR(output);
	return 0;
}

static int ask_helper(const char *name, const char *key, struct credentials *credentials,
		      struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *output = NULL, *user = NULL, *secret = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (run_helper(name, "get", key, &output, &error) < 0) {
		if (error->code == ENOENT)
			return 0;
		if (ret_error)
			*ret_error = TAKE_PTR(error);
		return -1;
	}
	if (json_parse(output, strlen(output), name, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_get_string(&root, "Username", JSON_REQUIRED, &user, ret_error) < 0 ||
	    json_get_string(&root, "Secret", JSON_REQUIRED, &secret, ret_error) < 0)
		return -1;
	if (strcmp(user, "<token>") == 0) {
		credentials->identity_token = TAKE_PTR(secret);
	} else {
		credentials->user = TAKE_PTR(user);
		credentials->password = TAKE_PTR(secret);
	}
	return 0;
}

/* ---- one file ---- */

static const char *key_of(const char *host)
{
	return strcmp(host, REFERENCE_HOST_DEFAULT) == 0 ? DOCKER_HUB_KEY : host;
}

/* What comes before "://", and after the host if it is docker's "/v1/": not part of the key. */
static bool key_matches(const char *key, const char *place)
{
	const char *scheme = strstr(key, "://");
	size_t length;

	if (strcmp(key, DOCKER_HUB_KEY) == 0)
		return strcmp(place, REFERENCE_HOST_DEFAULT) == 0;
	if (!scheme)
		return strcmp(key, place) == 0;
	key = scheme + 3;
	length = strcspn(key, "/");
	return strlen(place) == length && strncmp(key, place, length) == 0;
}

static int find_auth(const struct json_at *auths, const char *place,
		     struct credentials *credentials, struct error **ret_error)
{
	for (size_t i = 0; i < json_length(auths); i++) {
		struct json_at at = json_member_at(auths, i);
		_cleanup_free_ char *auth = NULL;

		if (!key_matches(at.key, place))
			continue;
		if (json_as_object(&at, ret_error) < 0 ||
		    json_get_string(&at, "identitytoken", JSON_OPTIONAL,
				    &credentials->identity_token, ret_error) < 0 ||
		    json_get_string(&at, "auth", JSON_OPTIONAL, &auth, ret_error) < 0)
			return -1;
		if (auth && auth[0] && !credentials->identity_token)
			return decode(auth, credentials, ret_error);
		return 0;
	}
	return 0;
}

static bool is_found(const struct credentials *credentials)
{
	return credentials->user || credentials->identity_token;
}

/* HOST/A/B, HOST/A, HOST */
static int find_longest(const struct json_at *auths, const char *host, const char *repository,
			struct credentials *credentials, struct error **ret_error)
{
	_cleanup_free_ char *place = xasprintf("%s/%s", host, repository);

	for (;;) {
		char *slash;

		if (find_auth(auths, place, credentials, ret_error) < 0)
			return -1;
		slash = strrchr(place, '/');
		if (is_found(credentials) || !slash)
			return 0;
		*slash = '\0';
	}
}

static int parse(const char *path, char **ret_text, yajl_val *ret_value, struct error **ret_error)
{
	struct json_at root;
	size_t size;

	if (access(path, F_OK) < 0)
		return 0;
	if (read_file(path, FILE_SIZE_MAX, ret_text, &size, ret_error) < 0 ||
	    json_parse(*ret_text, size, path, ret_value, ret_error) < 0)
		return -1;
	root = json_root(*ret_value);
	return json_as_object(&root, ret_error) < 0 ? error_wrap(ret_error, "%s", path) : 0;
}

static int find_in(const struct json_at *root, const char *host, const char *repository,
		   struct credentials *credentials, struct error **ret_error)
{
	_cleanup_free_ char *helper = NULL, *store = NULL;
	struct json_at helpers, auths;

	if (json_object(root, "credHelpers", JSON_OPTIONAL, &helpers, ret_error) < 0 ||
	    json_object(root, "auths", JSON_OPTIONAL, &auths, ret_error) < 0 ||
	    json_get_string(root, "credsStore", JSON_OPTIONAL, &store, ret_error) < 0)
		return -1;
	if (json_present(&helpers) &&
	    json_get_string(&helpers, host, JSON_OPTIONAL, &helper, ret_error) < 0)
		return -1;
	if (helper)
		return ask_helper(helper, key_of(host), credentials, ret_error);
	if (json_present(&auths) &&
	    find_longest(&auths, host, repository, credentials, ret_error) < 0)
		return -1;
	if (!is_found(credentials) && store && store[0])
		return ask_helper(store, key_of(host), credentials, ret_error);
	return 0;
}

/* ---- all files ---- */

static char *below(const char *variable, const char *rest)
{
	const char *directory = getenv(variable);

	return directory && directory[0] == '/' ? xasprintf("%s/%s", directory, rest) : NULL;
}

static char *docker_file(void)
{
	char *path = below("DOCKER_CONFIG", "config.json");

	return path ? path : below("HOME", ".docker/config.json");
}

/* What names one file stands for all. */
static char *named_file(const char *file)
{
	const char *set = getenv("REGISTRY_AUTH_FILE");

	return file ? xstrdup(file) : set && set[0] ? xstrdup(set) : NULL;
}

int credentials_find(const char *file, const char *host, const char *repository,
		     struct credentials *ret_credentials, struct error **ret_error)
{
	_cleanup_free_ char *named = named_file(file), *docker = docker_file();
	_cleanup_free_ char *runtime = below("XDG_RUNTIME_DIR", "containers/auth.json");
	_cleanup_free_ char *config = below("HOME", ".config/containers/auth.json");
	const char *const paths[] = { named, named ? NULL : runtime, named ? NULL : config,
				      named ? NULL : docker };

	for (size_t i = 0; i < ARRAY_SIZE(paths) && !is_found(ret_credentials); i++) {
		_cleanup_json_ yajl_val value = NULL;
		_cleanup_free_ char *text = NULL;
		struct json_at root;

		if (!paths[i])
			continue;
		if (parse(paths[i], &text, &value, ret_error) < 0)
			return -1;
		if (!value)
			continue;
		root = json_root(value);
		if (find_in(&root, host, repository, ret_credentials, ret_error) < 0)
			return error_wrap(ret_error, "%s", paths[i]);
	}
	return 0;
}

/* ---- writing ---- */

/* The members of the file as they are, and in "auths" all but this host's. */
static void copy_members(struct json_writer *writer, const struct json_at *root)
{
	for (size_t i = 0; i < json_length(root); i++) {
		struct json_at at = json_member_at(root, i);

		if (strcmp(at.key, "auths") != 0)
			json_put_value(writer, at.key, at.value);
	}
}

static bool copy_auths(struct json_writer *writer, const struct json_at *auths, const char *host)
{
	bool is_there = false;

	for (size_t i = 0; i < json_length(auths); i++) {
		struct json_at at = json_member_at(auths, i);

		if (key_matches(at.key, host))
			is_there = true;
		else
			json_put_value(writer, at.key, at.value);
	}
	return is_there;
}

static int write_file_private(const char *path, const char *text, size_t size,
			      struct error **ret_error)
{
	_cleanup_free_ char *directory = xstrdup(path), *real = NULL;
	char *slash = strrchr(directory, '/');

	if (slash && slash != directory) {
		*slash = '\0';
		if (make_directories(directory, 0700, ret_error) < 0)
			return -1;
	}
	/* Of a link, what it leads to: many keep their settings elsewhere. */
	real = realpath(path, NULL);
	return write_file_synced(real ? real : path, text, size, 0600, ret_error);
}

/* auth NULL: the host's goes. */
static int rewrite(const char *path, const struct json_at *root, const char *host, const char *auth,
		   struct error **ret_error)
{
	struct json_writer *writer = json_writer_new(true);
	struct json_at auths = { 0 };
	_cleanup_free_ char *text = NULL;
	bool was_there;
	size_t size;

	if (root)
		(void)json_object(root, "auths", JSON_OPTIONAL, &auths, NULL);
	json_begin_object(writer);
	if (root)
		copy_members(writer, root);
	json_put_key(writer, "auths");
	json_begin_object(writer);
	was_there = copy_auths(writer, &auths, host);
	if (auth) {
		json_put_key(writer, key_of(host));
		json_begin_object(writer);
		json_put_string(writer, "auth", auth);
		json_end_object(writer);
	}
	json_end_object(writer);
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	if (!auth && !was_there)
		return error_set(ret_error, ENOENT, "not logged in to %s (%s)", host, path);
	return write_file_private(path, text, size, ret_error);
}

/* The name of the helper that the file gives for this host, or NULL. */
static char *helper_of(const struct json_at *root, const char *host)
{
	struct json_at helpers;
	char *name = NULL;

	if (json_object(root, "credHelpers", JSON_OPTIONAL, &helpers, NULL) == 0 &&
	    json_present(&helpers))
		(void)json_get_string(&helpers, host, JSON_OPTIONAL, &name, NULL);
	if (!name)
		(void)json_get_string(root, "credsStore", JSON_OPTIONAL, &name, NULL);
	return name;
}

static int change(const char *file, const char *host, const char *user, const char *password,
		  struct error **ret_error)
{
	_cleanup_free_ char *named = named_file(file), *docker = docker_file();
	const char *path = named ? named : docker;
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *text = NULL, *helper = NULL, *auth = NULL, *output = NULL;
	struct json_at root = { 0 };

	if (!path)
		return error_set(ret_error, ENOENT, "nowhere to keep a password: HOME is not set");
	if (parse(path, &text, &value, ret_error) < 0)
		return -1;
	if (value) {
		root = json_root(value);
		helper = helper_of(&root, host);
	}
	if (helper && helper[0]) {
		struct json_writer *writer = json_writer_new(false);
		_cleanup_free_ char *input = NULL;

		json_begin_object(writer);
		json_put_string(writer, "ServerURL", key_of(host));
		json_put_string(writer, "Username", user);
		json_put_string(writer, "Secret", password);
		json_end_object(writer);
		input = json_writer_finish(writer, NULL);
		return run_helper(helper, user ? "store" : "erase", user ? input : key_of(host),
				  &output, ret_error);
	}
	auth = user ? encode(user, password) : NULL;
	return rewrite(path, value ? &root : NULL, host, auth, ret_error);
}

int credentials_keep(const char *file, const char *host, const char *user, const char *password,
		     struct error **ret_error)
{
	if (strchr(user, ':') || strlen(user) + strlen(password) > SECRET_MAX / 2)
		return error_set(
		    ret_error, EINVAL,
		    "a user name cannot contain a colon, and a password has at most 8000 bytes");
	return change(file, host, user, password, ret_error);
}

int credentials_forget(const char *file, const char *host, struct error **ret_error)
{
	return change(file, host, NULL, NULL, ret_error);
}
