/* SPDX-License-Identifier: Apache-2.0 */
/* Getting images by another program: see pull.h. */
#include "rootfs/image/pull.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/paths.h"
#include "rootfs/image/conversation.h"

#define ANSWER_MAX (1u << 20)

static void put_text(struct json_writer *writer, const char *key, const char *text)
{
	if (text)
		json_put_string(writer, key, text);
}

static char *request_json(const struct image_store *store, const struct images_request *request)
{
	const struct pull_options *options = &request->options;
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_string(writer, "do", request->action);
	json_put_string(writer, "store", image_store_path(store));
	put_text(writer, "reference", request->reference);
	put_text(writer, "file", request->file);
	put_text(writer, "message", request->message);
	put_text(writer, "author", request->author);
	put_text(writer, "config", request->config);
	put_text(writer, "base", request->base);
	if (request->references)
		json_put_strv(writer, "references", (char *const *)request->references);
	put_text(writer, "platform", options->platform);
	put_text(writer, "authfile", options->authfile);
	put_text(writer, "cert_dir", options->cert_dir);
	put_text(writer, "user", options->user);
	put_text(writer, "password", options->password);
	json_put_bool(writer, "insecure", options->insecure);
	json_put_bool(writer, "quiet", options->quiet);
	json_put_bool(writer, "keep_blobs", options->keep_blobs);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}

static int take_answer(const char *text, char ***ret_names, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *problem = NULL;
	struct json_at root;
	uint64_t code = 0;

	if (json_parse(text, strlen(text), IMAGES_PROGRAM, &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_as_object(&root, ret_error) < 0 ||
	    json_get_string(&root, "error", JSON_OPTIONAL, &problem, ret_error) < 0 ||
	    json_get_uint64(&root, "code", JSON_OPTIONAL, 4095, &code, ret_error) < 0)
		return -1;
	if (problem)
		return error_set(ret_error, code ? (int)code : EIO, "%s", problem);
	return ret_names ? json_get_strv(&root, "names", JSON_REQUIRED, ret_names, ret_error) : 0;
}

int images_do(struct image_store *store, const struct images_request *request, char ***ret_names,
	      struct error **ret_error)
{
	_cleanup_free_ char *program = NULL, *input = request_json(store, request), *output = NULL;
	char *argv[] = { NULL, NULL };
	int status;

#ifndef HAVE_IMAGES
	return error_set(
	    ret_error, ENOTSUP,
	    "cannot %s: this " PACKAGE_NAME " was built without libcurl and libarchive "
	    "(install libcurl4-openssl-dev and libarchive-dev, run configure and make)",
	    request->action);
#endif
	if (paths_find_program(IMAGES_PROGRAM, &program, ret_error) < 0)
		return -1;
	argv[0] = program;
	if (converse(argv, input, ANSWER_MAX, &output, &status, ret_error) < 0)
		return -1;
	if (WIFSIGNALED(status))
		return error_set(ret_error, EINTR, "%s was killed by signal %d", program,
				 WTERMSIG(status));
	return take_answer(output, ret_names, ret_error);
}

int image_pull(struct image_store *store, const char *reference, const struct pull_options *options,
	       struct stored_image **ret_image, struct error **ret_error)
{
	struct images_request request = { .action = "pull", .reference = reference };
	_cleanup_strv_ char **names = NULL;

	if (options)
		request.options = *options;
	if (images_do(store, &request, &names, ret_error) < 0)
		return -1;
	return ret_image
		   ? image_store_find(store, names ? names[0] : reference, ret_image, ret_error)
		   : 0;
}
