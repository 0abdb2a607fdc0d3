/* SPDX-License-Identifier: Apache-2.0 */
/* --volume, --mount and --tmpfs: see run-request.h. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "cli/run-request.h"

#define TMPFS_OPTIONS "noexec,nosuid,nodev"

static void split(char ***words, const char *text)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *rest = copy, *word;

	while ((word = strsep(&rest, ",")))
		if (word[0])
			strv_append(words, word);
}

void run_mount_add(struct run_request *request, const char *destination, const char *type,
		   const char *source, const char *options)
{
	struct run_mount *mount;

	request->mounts =
	    xreallocarray(request->mounts, request->n_mounts + 1, sizeof(*request->mounts));
	mount = &request->mounts[request->n_mounts++];
	*mount = (struct run_mount){ .destination = xstrdup(destination),
				     .type = xstrdup(type),
				     .source = xstrdup(source) };
	split(&mount->options, options);
}

static int check_destination(const char *path, struct error **ret_error)
{
	if (path[0] == '/' && path[strspn(path, "/")])
		return 0;
	return error_set(ret_error, EINVAL,
			 "\"%s\" is not an absolute path in the container, and below /", path);
}

static int add_bind(struct run_request *request, const char *host, const char *destination,
		    const char *options, struct error **ret_error)
{
	_cleanup_free_ char *source = NULL;

	if (host[0] != '/' && host[0] != '.')
		return error_set(ret_error, ENOTSUP,
				 "named volumes are not supported (%s): give a directory of the "
				 "host, as /… or ./…",
				 host[0] ? host : "no name");
	if (check_destination(destination, ret_error) < 0)
		return -1;
	source = realpath(host, NULL);
	if (!source)
		return error_set_errno(ret_error, errno, "%s", host);
	run_mount_add(request, destination, "bind", source, options);
	return 0;
}

static bool has_word(char *const *words, const char *word)
{
	for (; words && *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

/* Of --volume; those of SELinux and of other file systems mean nothing here. */
static int volume_options(const char *words, char **ret_options, struct error **ret_error)
{
	static const char *const known[] = { "ro",	"rw",	    "nosuid", "nodev", "noexec",
					     "private", "rprivate", "slave",  "rslave" };
	static const char *const ignored[] = { "z", "Z", "cached", "delegated", "consistent" };
	_cleanup_strv_ char **given = NULL;
	char *options = xstrdup("rbind");
	bool found = true;

	split(&given, words);
	for (size_t k = 0; found && given && given[k]; k++) {
		char *longer;

		found = false;
		for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
			found = found || strcmp(given[k], ignored[i]) == 0;
		if (found)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			found = found || strcmp(given[k], known[i]) == 0;
		longer = xasprintf("%s,%s", options, given[k]);
		free(options);
		options = longer;
	}
	if (!found) {
		free(options);
		return error_set(ret_error, EINVAL, "unknown option in \"%s\"", words);
	}
	if (has_word(given, "ro") && has_word(given, "rw")) {
		free(options);
		return error_set(ret_error, EINVAL, "\"%s\" has both ro and rw", words);
	}
	if (strstr(options, "private") || strstr(options, "slave")) {
		*ret_options = options;
		return 0;
	}
	*ret_options = xasprintf("%s,rprivate", options);
	free(options);
	return 0;
}

static int add_volume(struct run_request *request, const char *text, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(text), *options = NULL;
	char *destination = strchr(copy, ':'), *words;

	if (!destination)
		return error_set(ret_error, ENOTSUP,
				 "anonymous volumes are not supported: write HOST:GUEST[:OPTIONS]");
	*destination++ = '\0';
	words = strchr(destination, ':');
	if (words)
		*words++ = '\0';
	if (volume_options(words ? words : "", &options, ret_error) < 0)
		return -1;
	return add_bind(request, copy, destination, options, ret_error);
}

static int add_tmpfs(struct run_request *request, const char *text, struct error **ret_error)
{
	_cleanup_free_ char *destination = xstrndup(text, strcspn(text, ":"));
	const char *words = text + strlen(destination);
	_cleanup_free_ char *options =
	    xasprintf(TMPFS_OPTIONS "%s%s", *words ? "," : "", *words ? words + 1 : "");

	if (check_destination(destination, ret_error) < 0)
		return -1;
	run_mount_add(request, destination, "tmpfs", "tmpfs", options);
	return 0;
}

/* ---- --mount ---- */

struct mount_words {
	const char *type, *source, *target, *propagation, *size, *mode;
	bool read_only;
};

/* A word alone means yes; what is neither yes nor no must not make a mount writable. */
static int parse_yes(const char *name, const char *value, bool *ret_yes, struct error **ret_error)
{
	const bool yes = !value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0;

	if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
		return error_set(ret_error, EINVAL, "%s must be true or false, not \"%s\"", name,
				 value);
	*ret_yes = yes;
	return 0;
}

static int take_word(struct mount_words *words, char *word, struct error **ret_error)
{
	char *value = strchr(word, '=');
	const struct {
		const char *name;
		const char **field;
	} texts[] = {
		{ "type", &words->type },
		{ "source", &words->source },
		{ "src", &words->source },
		{ "target", &words->target },
		{ "destination", &words->target },
		{ "dst", &words->target },
		{ "bind-propagation", &words->propagation },
		{ "tmpfs-size", &words->size },
		{ "tmpfs-mode", &words->mode },
	};

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(word, texts[i].name) != 0)
			continue;
		if (!value || !value[0])
			return error_set(ret_error, EINVAL, "%s needs a value", word);
		*texts[i].field = value;
		return 0;
	}
	if (strcmp(word, "readonly") != 0 && strcmp(word, "ro") != 0)
		return error_set(ret_error, EINVAL, "unknown word \"%s\"", word);
	return parse_yes(word, value, &words->read_only, ret_error);
}

static int mount_tmpfs(struct run_request *request, const struct mount_words *words,
		       struct error **ret_error)
{
	_cleanup_free_ char *size = xstrdup(""), *options = NULL;
	uint64_t bytes;

	if (words->source || words->propagation)
		return error_set(ret_error, EINVAL, "a tmpfs has no source");
	if (words->size) {
		if (parse_size(words->size, &bytes, ret_error) < 0)
			return -1;
		free(size);
		size = xasprintf(",size=%llu", (unsigned long long)bytes);
	}
	options = xasprintf(TMPFS_OPTIONS "%s%s%s%s", size, words->mode ? ",mode=" : "",
			    words->mode ? words->mode : "", words->read_only ? ",ro" : "");
	if (check_destination(words->target, ret_error) < 0)
		return -1;
	run_mount_add(request, words->target, "tmpfs", "tmpfs", options);
	return 0;
}

static int add_mount(struct run_request *request, const char *text, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(text), *given = NULL, *options = NULL;
	struct mount_words words = { .type = "volume" };
	char *rest = copy, *word;

	while ((word = strsep(&rest, ",")))
		if (take_word(&words, word, ret_error) < 0)
			return -1;
	if (!words.target)
		return error_set(ret_error, EINVAL, "target is missing");
	if (strcmp(words.type, "tmpfs") == 0)
		return mount_tmpfs(request, &words, ret_error);
	if (strcmp(words.type, "bind") != 0)
		return error_set(ret_error, ENOTSUP,
				 "type=%s is not supported: only bind and tmpfs are", words.type);
	if (!words.source || words.size || words.mode)
		return error_set(ret_error, EINVAL,
				 "a bind needs a source, and takes no options of a tmpfs");
	given = xasprintf("%s%s%s", words.read_only ? "ro" : "", words.propagation ? "," : "",
			  words.propagation ? words.propagation : "");
	if (volume_options(given, &options, ret_error) < 0)
		return -1;
	return add_bind(request, words.source, words.target, options, ret_error);
}

/* ---- all of them ---- */

static size_t depth_of(const char *path)
{
	size_t depth = 0;

	for (; *path; path++)
		depth += path[0] == '/' && path[1] != '/' && path[1] != '\0';
	return depth;
}

/* One below another is mounted after it, in whatever order they were given. */
static void sort(struct run_request *request)
{
	for (size_t i = 1; i < request->n_mounts; i++) {
		const struct run_mount mount = request->mounts[i];
		size_t k = i;

		for (; k > 0 &&
		       depth_of(request->mounts[k - 1].destination) > depth_of(mount.destination);
		     k--)
			request->mounts[k] = request->mounts[k - 1];
		request->mounts[k] = mount;
	}
}

int run_mounts_read(const struct run_options *options, struct run_request *request,
		    struct error **ret_error)
{
	const struct {
		const char *name, *const *words;
		int (*add)(struct run_request *request, const char *text, struct error **ret_error);
	} kinds[] = {
		{ "tmpfs", options->tmpfs, add_tmpfs },
		{ "volume", options->volumes, add_volume },
		{ "mount", options->mounts, add_mount },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (const char *const *word = kinds[i].words; word && *word; word++)
			if (kinds[i].add(request, *word, ret_error) < 0)
				return error_wrap(ret_error, "--%s %s", kinds[i].name, *word);
	sort(request);
	return 0;
}
