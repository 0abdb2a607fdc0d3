/* SPDX-License-Identifier: Apache-2.0 */
/* Users of a root file system: see named-user.h. */
#include "runtime-spec/named-user.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define ID_MAX 0x7fffffffU
#define FIELDS_MAX 7 /* of a line of passwd */

struct line {
	char *text; /* with NUL for ':' */
	char *fields[FIELDS_MAX];
	size_t n_fields;
};

/* The next line at *at, split; false: there is none. */
static bool next_line(const char **at, struct line *line)
{
	const size_t size = strcspn(*at, "\n");

	free(line->text);
	*line = (struct line){ 0 };
	if (**at == '\0')
		return false;
	line->text = xstrndup(*at, size);
	*at += size + ((*at)[size] == '\n');
	for (char *field = line->text; field && line->n_fields < FIELDS_MAX;) {
		line->fields[line->n_fields++] = field;
		field = strchr(field, ':');
		if (field)
			*field++ = '\0';
	}
	return true;
}

static bool parse_id(const char *word, uint32_t *ret_id)
{
	uint64_t id = 0;

	if (word[0] == '\0')
		return false;
	for (; *word; word++) {
		if (*word < '0' || *word > '9')
			return false;
		id = id * 10 + (uint64_t)(*word - '0');
		if (id > ID_MAX)
			return false;
	}
	*ret_id = (uint32_t)id;
	return true;
}

static bool is_number(const char *word)
{
	return word[0] != '\0' && word[strspn(word, "0123456789")] == '\0';
}

static int no_entry(const char *kind, const char *word, const char *file, struct error **ret_error)
{
	if (is_number(word))
		return error_set(ret_error, EINVAL, "%s %s: only 0 to %u are possible", kind, word,
				 ID_MAX);
	return error_set(ret_error, ENOENT, "unable to find %s %s: no matching entries in %s file",
			 kind, word, file);
}

/* name: set to the entry's, if there is one. */
static int find_user(const char *word, const char *passwd, struct named_user *user, char **ret_name,
		     struct error **ret_error)
{
	struct line line = { 0 };
	uint32_t id = 0, uid, gid;
	const bool number = parse_id(word, &id);

	while (passwd && next_line(&passwd, &line)) {
		if (line.n_fields < 4 || !parse_id(line.fields[2], &uid) ||
		    !parse_id(line.fields[3], &gid) ||
		    (strcmp(line.fields[0], word) != 0 && !(number && uid == id)))
			continue;
		user->uid = uid;
		user->gid = gid;
		*ret_name = xstrdup(line.fields[0]);
		if (line.n_fields > 5 && line.fields[5][0] != '\0')
			user->home = xstrdup(line.fields[5]);
		free(line.text);
		return 0;
	}
	if (!number)
		return no_entry("user", word, "passwd", ret_error);
	user->uid = id;
	return 0;
}

static int find_group(const char *word, const char *group, struct named_user *user,
		      struct error **ret_error)
{
	struct line line = { 0 };
	uint32_t id = 0, gid;
	const bool number = parse_id(word, &id);

	while (group && next_line(&group, &line)) {
		if (line.n_fields < 3 || !parse_id(line.fields[2], &gid) ||
		    (strcmp(line.fields[0], word) != 0 && !(number && gid == id)))
			continue;
		user->gid = gid;
		free(line.text);
		return 0;
	}
	if (!number)
		return no_entry("group", word, "group", ret_error);
	user->gid = id;
	return 0;
}

static bool lists(const char *members, const char *name)
{
	const size_t size = strlen(name);

	while (*members) {
		const size_t n = strcspn(members, ",");

		if (n == size && memcmp(members, name, n) == 0)
			return true;
		members += n + (members[n] == ',');
	}
	return false;
}

static void find_groups(const char *name, const char *group, struct named_user *user)
{
	struct line line = { 0 };
	uint32_t gid;

	while (group && next_line(&group, &line)) {
		if (line.n_fields < 4 || !parse_id(line.fields[2], &gid) || gid == user->gid ||
		    !lists(line.fields[3], name) || user->n_groups == NAMED_GROUPS_MAX)
			continue;
		user->groups =
		    xreallocarray(user->groups, user->n_groups + 1, sizeof(*user->groups));
		user->groups[user->n_groups++] = gid;
	}
	free(line.text);
}

void named_user_done(struct named_user *user)
{
	free(user->home);
	free(user->groups);
}

int named_user_find(const char *words, const char *passwd, const char *group,
		    struct named_user *ret_user, struct error **ret_error)
{
	const char *colon = strchr(words, ':');
	_cleanup_free_ char *word =
	    xstrndup(words, colon ? (size_t)(colon - words) : strlen(words));
	_cleanup_free_ char *name = NULL;
	struct named_user user = { 0 };

	if (find_user(word[0] ? word : "0", passwd, &user, &name, ret_error) < 0)
		return -1;
	if (colon && colon[1] && find_group(colon + 1, group, &user, ret_error) < 0) {
		named_user_done(&user);
		return -1;
	}
	if (name && !(colon && colon[1]))
		find_groups(name, group, &user);
	*ret_user = user;
	return 0;
}
