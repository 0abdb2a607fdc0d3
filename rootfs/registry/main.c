/* SPDX-License-Identifier: Apache-2.0 */
/* supermachine-images: one request on the standard input, one answer on the standard output. See
 * rootfs/image/pull.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "rootfs/registry/actions.h"

#define REQUEST_MAX (1u << 20)

/* The request's strings, all owned. */
struct strings {
	char *action, *store, *reference, *file, *message, *author, *config, *base, *platform,
	    *authfile, *cert_dir, *user, *password;
	char **references;
};

static void strings_done(struct strings *strings)
{
	free(strings->action);
	free(strings->store);
	free(strings->reference);
	free(strings->file);
	free(strings->message);
	free(strings->author);
	free(strings->config);
	free(strings->base);
	free(strings->platform);
	free(strings->authfile);
	free(strings->cert_dir);
	free(strings->user);
	free(strings->password);
	strv_free(strings->references);
}

static int read_strings(const struct json_at *root, struct strings *strings,
			struct error **ret_error)
{
	const struct {
		const char *key;
		enum json_need need;
		char **to;
	} members[] = {
		{ "do", JSON_REQUIRED, &strings->action },
		{ "store", JSON_REQUIRED, &strings->store },
		{ "reference", JSON_OPTIONAL, &strings->reference },
		{ "file", JSON_OPTIONAL, &strings->file },
		{ "message", JSON_OPTIONAL, &strings->message },
		{ "author", JSON_OPTIONAL, &strings->author },
		{ "config", JSON_OPTIONAL, &strings->config },
		{ "base", JSON_OPTIONAL, &strings->base },
		{ "platform", JSON_OPTIONAL, &strings->platform },
		{ "authfile", JSON_OPTIONAL, &strings->authfile },
		{ "cert_dir", JSON_OPTIONAL, &strings->cert_dir },
		{ "user", JSON_OPTIONAL, &strings->user },
		{ "password", JSON_OPTIONAL, &strings->password },
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (json_get_string(root, members[i].key, members[i].need, members[i].to,
				    ret_error) < 0)
			return -1;
	return json_get_strv(root, "references", JSON_OPTIONAL, &strings->references, ret_error);
}

static int read_request(const struct json_at *root, struct strings *strings,
			struct images_request *request, struct error **ret_error)
{
	struct pull_options *options = &request->options;

	if (json_as_object(root, ret_error) < 0 || read_strings(root, strings, ret_error) < 0 ||
	    json_get_bool(root, "insecure", JSON_OPTIONAL, &options->insecure, ret_error) < 0 ||
	    json_get_bool(root, "quiet", JSON_OPTIONAL, &options->quiet, ret_error) < 0 ||
	    json_get_bool(root, "keep_blobs", JSON_OPTIONAL, &options->keep_blobs, ret_error) < 0)
		return -1;
	request->action = strings->action;
	request->reference = strings->reference;
	request->file = strings->file;
	request->message = strings->message;
	request->author = strings->author;
	request->config = strings->config;
	request->base = strings->base;
	request->references = (const char *const *)strings->references;
	options->platform = strings->platform;
	options->authfile = strings->authfile;
	options->cert_dir = strings->cert_dir;
	options->user = strings->user;
	options->password = strings->password;
	return 0;
}

static int act(const struct images_request *request, const char *directory, char ***names,
	       struct error **ret_error)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	const char *action = request->action;

	if (strcmp(action, "load") != 0 && strcmp(action, "save") != 0 &&
	    strcmp(action, "import") != 0 && !request->reference)
		return error_set(ret_error, EINVAL, "%s: no reference", action);
	if (strcmp(action, "login") == 0)
		return action_login(request, names, ret_error);
	if (strcmp(action, "logout") == 0)
		return action_logout(request, names, ret_error);
	if (image_store_open(directory, &store, ret_error) < 0)
		return -1;
	if (strcmp(action, "pull") == 0)
		return action_pull(store, request, names, ret_error);
	if (strcmp(action, "load") == 0)
		return action_load(store, request, names, ret_error);
	if (strcmp(action, "save") == 0)
		return action_save(store, request, names, ret_error);
	if (strcmp(action, "import") == 0)
		return action_import(store, request, names, ret_error);
	return error_set(ret_error, EINVAL, "unknown request: %s", action);
}

static int answer_request(char ***names, struct error **ret_error)
{
	_cleanup_(strings_done) struct strings strings = { 0 };
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct images_request request = { 0 };
	struct json_at root;
	size_t size;

	if (read_file_fd(STDIN_FILENO, "request", REQUEST_MAX, &text, &size, ret_error) < 0 ||
	    json_parse(text, size, "request", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (read_request(&root, &strings, &request, ret_error) < 0)
		return -1;
	return act(&request, strings.store, names, ret_error);
}

/* Nobody wants the answer of one whose caller was killed, and it has the store locked.  False: the
 * caller is gone already. */
static bool follow_caller(void)
{
	struct pollfd answer = { .fd = STDOUT_FILENO };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return poll(&answer, 1, 0) <= 0 || !(answer.revents & POLLERR);
}

int main(void)
{
	struct json_writer *writer;
	_cleanup_strv_ char **names = NULL;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *text = NULL;
	static char *const none[] = { NULL };
	size_t size;

	(void)signal(SIGPIPE, SIG_IGN);
	if (!follow_caller())
		return 1;
	(void)answer_request(&names, &error);
	writer = json_writer_new(false);
	json_begin_object(writer);
	if (error) {
		json_put_string(writer, "error", error->message);
		json_put_uint64(writer, "code", (uint64_t)error->code);
	} else {
		json_put_strv(writer, "names", names ? names : none);
	}
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	return write_all(STDOUT_FILENO, text, size) < 0;
}
