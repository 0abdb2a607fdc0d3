/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of an image's configuration: see image-changes.h. */
#include "cli/image-changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/run-env.h"
#include "rootfs/image/image-config.h"

struct changed {
	struct image_config *config;
	char **labels; /* KEY=VALUE */
	bool has_cmd;  /* a change says so */
};

static void changed_done(struct changed *changed)
{
	image_config_free(changed->config);
	strv_free(changed->labels);
}

/* A JSON array, or one word for each blank; shell: what a shell is to run. */
static int read_words(const char *text, bool shell, char ***ret_words, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_strv_ char **words = NULL;
	struct json_at root;

	if (text[0] == '[') {
		if (json_parse(text, strlen(text), "words", &value, ret_error) < 0)
			return -1;
		root = json_root(value);
		for (size_t i = 0; i < json_length(&root); i++) {
			const struct json_at at = json_element(&root, i);
			_cleanup_free_ char *word = NULL;

			if (json_as_string(&at, &word, ret_error) < 0)
				return -1;
			strv_append(&words, word);
		}
	} else if (shell) {
		strv_append(&words, "/bin/sh");
		strv_append(&words, "-c");
		strv_append(&words, text);
	} else {
		_cleanup_free_ char *copy = xstrdup(text);
		char *rest;

		for (char *word = strtok_r(copy, " \t", &rest); word;
		     word = strtok_r(NULL, " \t", &rest))
			strv_append(&words, word);
	}
	*ret_words = TAKE_PTR(words);
	return 0;
}

/* "K=V", "K=\"V\"" or "K V". */
static int put_pair(char ***pairs, const char *text, struct error **ret_error)
{
	const size_t key = strcspn(text, "= \t");
	const char *value = text + key + (text[key] != '\0');
	size_t length = strlen(value);
	_cleanup_free_ char *pair = NULL;

	if (key == 0 || text[key] == '\0')
		return error_set(ret_error, EINVAL, "must have a name and a value");
	if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
		value++;
		length -= 2;
	}
	pair = xasprintf("%.*s=%.*s", (int)key, text, (int)length, value);
	env_put(pairs, pair);
	return 0;
}

/* Adds what is not there yet. */
static void add_all(char ***set, char *const *words, const char *suffix)
{
	for (; words && *words; words++) {
		_cleanup_free_ char *word =
		    xasprintf("%s%s", *words, strchr(*words, '/') ? "" : suffix);
		bool is_there = false;

		for (char **old = *set; old && *old; old++)
			is_there = is_there || strcmp(*old, word) == 0;
		if (!is_there)
			strv_append(set, word);
	}
}

static void set_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

static int set_words(char ***words, const char *value, struct error **ret_error)
{
	char **read;

	if (read_words(value, true, &read, ret_error) < 0)
		return -1;
	strv_free(*words);
	*words = read;
	return 0;
}

static int apply(struct changed *changed, const char *word, const char *value,
		 struct error **ret_error)
{
	struct image_config *config = changed->config;
	_cleanup_strv_ char **words = NULL;

	if (strcasecmp(word, "CMD") == 0) {
		changed->has_cmd = true;
		return set_words(&config->cmd, value, ret_error);
	}
	if (strcasecmp(word, "ENTRYPOINT") == 0) {
		/* It was for the other entry point. */
		if (!changed->has_cmd) {
			strv_free(config->cmd);
			config->cmd = NULL;
		}
		return set_words(&config->entrypoint, value, ret_error);
	}
	if (strcasecmp(word, "ENV") == 0)
		return put_pair(&config->env, value, ret_error);
	if (strcasecmp(word, "LABEL") == 0)
		return put_pair(&changed->labels, value, ret_error);
	if (strcasecmp(word, "EXPOSE") != 0 && strcasecmp(word, "VOLUME") != 0) {
		if (strcasecmp(word, "USER") == 0)
			set_text(&config->user, value);
		else if (strcasecmp(word, "WORKDIR") == 0)
			set_text(&config->working_dir, value);
		else if (strcasecmp(word, "STOPSIGNAL") == 0)
			set_text(&config->stop_signal, value);
		else
			return error_set(ret_error, EINVAL, "%s is not a valid change command",
					 word);
		return 0;
	}
	if (read_words(value, false, &words, ret_error) < 0)
		return -1;
	if (strcasecmp(word, "EXPOSE") == 0)
		add_all(&config->exposed_ports, words, "/tcp");
	else
		add_all(&config->volumes, words, "");
	return 0;
}

static int apply_change(struct changed *changed, const char *change, struct error **ret_error)
{
	const char *begin = change + strspn(change, " \t");
	const size_t size = strcspn(begin, " \t");
	_cleanup_free_ char *word = xstrndup(begin, size);
	const char *value = begin + size + strspn(begin + size, " \t");

	if (value[0] == '\0')
		return error_set(ret_error, EINVAL, "--change \"%s\": has no value", change);
	if (apply(changed, word, value, ret_error) < 0)
		return error_wrap(ret_error, "--change \"%s\"", change);
	return 0;
}

static void put_set(struct json_writer *writer, const char *key, char *const *words)
{
	if (!words)
		return;
	json_put_key(writer, key);
	json_begin_object(writer);
	for (; *words; words++) {
		json_put_key(writer, *words);
		json_begin_object(writer);
		json_end_object(writer);
	}
	json_end_object(writer);
}

static void put_labels(struct json_writer *writer, char *const *labels)
{
	if (!labels)
		return;
	json_put_key(writer, "Labels");
	json_begin_object(writer);
	for (; *labels; labels++) {
		const size_t key = strcspn(*labels, "=");
		_cleanup_free_ char *name = xstrndup(*labels, key);

		json_put_string(writer, name, *labels + key + 1);
	}
	json_end_object(writer);
}

static void put_own(struct json_writer *writer, const struct changed *changed)
{
	const struct image_config *config = changed->config;
	const struct {
		const char *key;
		char *const *words;
	} lists[] = { { "Env", config->env },
		      { "Entrypoint", config->entrypoint },
		      { "Cmd", config->cmd } };
	const struct {
		const char *key, *text;
	} texts[] = { { "User", config->user },
		      { "WorkingDir", config->working_dir },
		      { "StopSignal", config->stop_signal } };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].text)
			json_put_string(writer, texts[i].key, texts[i].text);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (lists[i].words)
			json_put_strv(writer, lists[i].key, lists[i].words);
	put_set(writer, "Volumes", config->volumes);
	put_set(writer, "ExposedPorts", config->exposed_ports);
	put_labels(writer, changed->labels);
}

static bool is_own(const char *key)
{
	static const char *const own[] = { "Env",     "Entrypoint",   "Cmd",
					   "User",    "WorkingDir",   "StopSignal",
					   "Volumes", "ExposedPorts", "Labels" };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (strcmp(key, own[i]) == 0)
			return true;
	return false;
}

static int read_labels(const struct json_at *config, struct changed *changed,
		       struct error **ret_error)
{
	struct json_at labels = { 0 };

	if (json_object(config, "Labels", JSON_OPTIONAL, &labels, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&labels); i++) {
		const struct json_at at = json_member_at(&labels, i);
		_cleanup_free_ char *value = NULL, *label = NULL;

		if (json_as_string(&at, &value, ret_error) < 0)
			return -1;
		label = xasprintf("%s=%s", at.key, value);
		strv_append(&changed->labels, label);
	}
	return 0;
}

int image_changes_apply(const char *image, const char *const *changes, char **ret_config,
			struct error **ret_error)
{
	const char *text = image ? image : "{}";
	_cleanup_(changed_done) struct changed changed = { 0 };
	_cleanup_json_ yajl_val value = NULL;
	struct json_writer *writer;
	struct json_at root, config = { 0 };

	if (image_config_parse(text, strlen(text), &changed.config, ret_error) < 0 ||
	    json_parse(text, strlen(text), "image configuration", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_object(&root, "config", JSON_OPTIONAL, &config, ret_error) < 0 ||
	    (json_present(&config) && read_labels(&config, &changed, ret_error) < 0))
		return -1;
	for (; changes && *changes; changes++)
		if (apply_change(&changed, *changes, ret_error) < 0)
			return -1;
	writer = json_writer_new(false);
	json_begin_object(writer);
	for (size_t i = 0; i < json_length(&config); i++) {
		const struct json_at member = json_member_at(&config, i);

		if (!is_own(member.key))
			json_put_value(writer, member.key, member.value);
	}
	put_own(writer, &changed);
	json_end_object(writer);
	*ret_config = json_writer_finish(writer, NULL);
	return 0;
}
