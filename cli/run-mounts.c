/* SPDX-License-Identifier: Apache-2.0 */
/* --volume, --mount and --tmpfs: see run-request.h. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "cli/run-request.h"
#include "host/volumes.h"

#define NO_COPY "nocopy" /* of a volume */
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

/* A volume of the store; name NULL: an anonymous one. */
static int add_named(struct run_request *request, const char *name, const char *destination,
		     const char *options, struct error **ret_error)
{
	_cleanup_free_ char *own = xstrdup(name);
	struct run_volume *volume;

	if (check_destination(destination, ret_error) < 0 ||
	    (name ? volumes_check_name(name, ret_error) : volumes_random_name(&own, ret_error)) < 0)
		return -1;
	run_mount_add(request, destination, RUN_MOUNT_VOLUME, own, options);
	request->volumes =
	    xreallocarray(request->volumes, request->n_volumes + 1, sizeof(*request->volumes));
	volume = &request->volumes[request->n_volumes++];
	*volume = (struct run_volume){ .name = TAKE_PTR(own), .anonymous = !name };
	return 0;
}

static int add_bind(struct run_request *request, const char *host, const char *destination,
		    const char *options, struct error **ret_error)
{
	_cleanup_free_ char *source = NULL;

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

static bool is_among(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

/* Those of SELinux and of other file systems mean nothing here. */
static int collect_options(char *const *given, bool is_named, char **options)
{
	static const char *const known[] = { "ro",	"rw",	    "nosuid", "nodev", "noexec",
					     "private", "rprivate", "slave",  "rslave" };
	static const char *const ignored[] = { "z", "Z", "cached", "delegated", "consistent" };

	for (; given && *given; given++) {
		char *longer;

		if (is_among(*given, ignored, ARRAY_SIZE(ignored)) ||
		    (is_named && strcmp(*given, NO_COPY) == 0))
			continue;
		if (!is_among(*given, known, ARRAY_SIZE(known)))
			return -1;
		longer = xasprintf("%s,%s", *options, *given);
		free(*options);
		*options = longer;
	}
	return 0;
}

/* Of --volume: the bind's.  A volume that can be written is filled with what it covers. */
static int volume_options(const char *words, bool is_named, char **ret_options,
			  struct error **ret_error)
{
	_cleanup_strv_ char **given = NULL;
	_cleanup_free_ char *options = xstrdup("rbind");
	bool is_private, copies;

	split(&given, words);
	if (collect_options(given, is_named, &options) < 0)
		return error_set(ret_error, EINVAL, "unknown option in \"%s\"", words);
	if (has_word(given, "ro") && has_word(given, "rw"))
		return error_set(ret_error, EINVAL, "\"%s\" has both ro and rw", words);
	is_private = !strstr(options, "private") && !strstr(options, "slave");
	copies = is_named && !has_word(given, NO_COPY) && !has_word(given, "ro");
	*ret_options =
	    xasprintf("%s%s%s", options, is_private ? ",rprivate" : "", copies ? ",copyup" : "");
	return 0;
}

static int add_volume(struct run_request *request, const char *text, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(text), *options = NULL;
	char *destination = strchr(copy, ':'), *words = NULL;
	const bool is_named = !destination || (copy[0] != '/' && copy[0] != '.');

	if (destination == copy)
		return error_set(ret_error, EINVAL, "empty section between colons");
	if (destination) {
		*destination++ = '\0';
		words = strchr(destination, ':');
	}
	if (words)
		*words++ = '\0';
	if (volume_options(words ? words : "", is_named, &options, ret_error) < 0)
		return -1;
	if (!is_named)
		return add_bind(request, copy, destination, options, ret_error);
	return add_named(request, destination ? copy : NULL, destination ? destination : copy,
			 options, ret_error);
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
	bool read_only, no_copy;
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
	if (strcmp(word, "volume-nocopy") == 0)
		return parse_yes(word, value, &words->no_copy, ret_error);
	if (strcmp(word, "readonly") != 0 && strcmp(word, "ro") != 0)
		return error_set(ret_error, EINVAL, "unknown word \"%s\"", word);
	return parse_yes(word, value, &words->read_only, ret_error);
}

static int mount_tmpfs(struct run_request *request, const struct mount_words *words,
		       struct error **ret_error)
{
	_cleanup_free_ char *size = xstrdup(""), *options = NULL;
	uint64_t bytes;

	if (words->source || words->propagation || words->no_copy)
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

/* A bind of the host's, or a volume. */
static int mount_directory(struct run_request *request, const struct mount_words *words,
			   struct error **ret_error)
{
	const bool is_named = strcmp(words->type, RUN_MOUNT_VOLUME) == 0;
	_cleanup_free_ char *given = NULL, *options = NULL;

	if (words->size || words->mode || (!is_named && !words->source))
		return error_set(ret_error, EINVAL, "a %s has %snothing of tmpfs", words->type,
				 is_named ? "" : "a source, and ");
	if (is_named ? words->propagation != NULL : words->no_copy)
		return error_set(ret_error, EINVAL, "a %s has nothing of %s", words->type,
				 is_named ? "bind" : RUN_MOUNT_VOLUME);
	given = xasprintf("%s,%s,%s", words->read_only ? "ro" : "", words->no_copy ? NO_COPY : "",
			  words->propagation ? words->propagation : "");
	if (volume_options(given, is_named, &options, ret_error) < 0)
		return -1;
	return is_named ? add_named(request, words->source, words->target, options, ret_error)
			: add_bind(request, words->source, words->target, options, ret_error);
}

static int add_mount(struct run_request *request, const char *text, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(text);
	struct mount_words words = { .type = RUN_MOUNT_VOLUME };
	char *rest = copy, *word;

	while ((word = strsep(&rest, ",")))
		if (take_word(&words, word, ret_error) < 0)
			return -1;
	if (!words.target)
		return error_set(ret_error, EINVAL, "target is missing");
	if (strcmp(words.type, "tmpfs") == 0)
		return mount_tmpfs(request, &words, ret_error);
	if (strcmp(words.type, "bind") != 0 && strcmp(words.type, RUN_MOUNT_VOLUME) != 0)
		return error_set(ret_error, ENOTSUP,
				 "type=%s is not supported: only bind, volume and tmpfs are",
				 words.type);
	return mount_directory(request, &words, ret_error);
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

static bool is_mounted_at(const struct run_request *request, const char *path)
{
	const size_t length = strlen(path) - (path[1] && path[strlen(path) - 1] == '/');

	for (size_t i = 0; i < request->n_mounts; i++)
		if (strncmp(request->mounts[i].destination, path, length) == 0 &&
		    request->mounts[i].destination[length] == '\0')
			return true;
	return false;
}

int run_mounts_of_image(char *const *volumes, struct run_request *request, struct error **ret_error)
{
	_cleanup_free_ char *options = NULL;

	if (volume_options("", true, &options, ret_error) < 0)
		return -1;
	for (; volumes && *volumes; volumes++)
		if (!is_mounted_at(request, *volumes) &&
		    add_named(request, NULL, *volumes, options, ret_error) < 0)
			return error_wrap(ret_error, "image configuration: config.Volumes");
	sort(request);
	return 0;
}

void run_mounts_place(struct run_request *request, const char *directory)
{
	for (size_t i = 0; i < request->n_mounts; i++) {
		struct run_mount *mount = &request->mounts[i];
		char *path;

		if (strcmp(mount->type, RUN_MOUNT_VOLUME) != 0)
			continue;
		path = volumes_path(directory, mount->source);
		free(mount->source);
		mount->source = path;
		free(mount->type);
		mount->type = xstrdup("bind");
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
