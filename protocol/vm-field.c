/* SPDX-License-Identifier: Apache-2.0 */
/* Members of the VMM's document: see vm-field.h. */
#include "protocol/vm-field.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static void *value_in(void *object, const struct vm_field *field)
{
	return (char *)object + field->offset;
}

static const void *value_of(const void *object, const struct vm_field *field)
{
	return (const char *)object + field->offset;
}

/* ---- reading ---- */

/* The document is ours on both sides: a member nobody knows is a typing error. */
static int check_members(const struct json_at *object, const struct vm_field *fields,
			 struct error **ret_error)
{
	if (json_as_object(object, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(object); i++) {
		struct json_at member = json_member_at(object, i);
		const struct vm_field *field = fields;

		while (field->name && strcmp(field->name, member.key) != 0)
			field++;
		if (!field->name)
			return json_error(&member, ret_error, "unknown member");
	}
	return 0;
}

static int read_string(const struct json_at *at, const struct vm_field *field, void *value,
		       struct error **ret_error)
{
	char **string = value;

	if (json_as_string(at, string, ret_error) < 0)
		return -1;
	if (strlen(*string) < field->min || (field->max && strlen(*string) > field->max))
		return json_error(at, ret_error, "must be %u to %u bytes long",
				  (unsigned)field->min, (unsigned)field->max);
	return 0;
}

static int read_bool(const struct json_at *at, const struct vm_field *field, void *value,
		     struct error **ret_error)
{
	(void)field;
	return json_as_bool(at, value, ret_error);
}

static int read_uint64(const struct json_at *at, const struct vm_field *field, void *value,
		       struct error **ret_error)
{
	int64_t number;

	if (json_as_int64(at, (int64_t)field->min, (int64_t)field->max, &number, ret_error) < 0)
		return -1;
	*(uint64_t *)value = (uint64_t)number;
	return 0;
}

static int read_uint32(const struct json_at *at, const struct vm_field *field, void *value,
		       struct error **ret_error)
{
	uint64_t number;

	if (read_uint64(at, field, &number, ret_error) < 0)
		return -1;
	*(uint32_t *)value = (uint32_t)number;
	return 0;
}

bool vm_choice_parse(const char *const *names, const char *name, unsigned *ret_choice)
{
	for (unsigned i = 0; names[i]; i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret_choice = i;
		return true;
	}
	return false;
}

static int read_choice(const struct json_at *at, const struct vm_field *field, void *value,
		       struct error **ret_error)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_free_ char *all = NULL;

	if (json_as_string(at, &name, ret_error) < 0)
		return -1;
	if (vm_choice_parse(field->names, name, value))
		return 0;
	all = strv_join((char *const *)field->names, ", ");
	return json_error(at, ret_error, "\"%s\" is not one of %s", name, all);
}

/* Six bytes in hexadecimal digits, two for each, and nothing else. */
static bool parse_mac(const char *text, struct vm_mac *ret_mac)
{
	static const char form[] = "xx:xx:xx:xx:xx:xx";
	static const uint8_t none[sizeof(ret_mac->bytes)];

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != form[i])
			return false;
	for (size_t i = 0; i < sizeof(ret_mac->bytes); i++)
		ret_mac->bytes[i] = (uint8_t)strtoul(text + 3 * i, NULL, 16);
	return !(ret_mac->bytes[0] & 1) && memcmp(ret_mac->bytes, none, sizeof(none)) != 0;
}

static int read_mac(const struct json_at *at, const struct vm_field *field, void *value,
		    struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;

	(void)field;
	if (json_as_string(at, &text, ret_error) < 0)
		return -1;
	if (!parse_mac(text, value))
		return json_error(at, ret_error, "\"%s\" is not the MAC address of one interface",
				  text);
	return 0;
}

static int read_fd(const struct json_at *at, const struct vm_field *field, void *value,
		   struct error **ret_error)
{
	int64_t fd;

	(void)field;
	if (json_as_int64(at, 0, INT_MAX, &fd, ret_error) < 0)
		return -1;
	*(int *)value = (int)fd;
	return 0;
}

static int read_fd_object(const struct json_at *at, const struct vm_field *field, void *value,
			  struct error **ret_error)
{
	static const struct vm_field members[] = {
		{ "fd", VM_FIELD_FD, .required = true },
		{ 0 },
	};

	(void)field;
	return vm_fields_read(at, members, value, ret_error);
}

static int read_fds(const struct json_at *at, const struct vm_field *field, void *value,
		    struct error **ret_error)
{
	struct vm_fd_list *list = value;

	if (!YAJL_IS_ARRAY(at->value) || json_length(at) > VM_FD_LIST_MAX)
		return json_error(at, ret_error, "must be an array of at most %u descriptors",
				  VM_FD_LIST_MAX);
	for (size_t i = 0; i < json_length(at); i++) {
		struct json_at element = json_element(at, i);

		if (read_fd(&element, field, &list->fds[i], ret_error) < 0)
			return -1;
		list->n = i + 1;
	}
	return 0;
}

int vm_file_read(const struct json_at *at, struct vm_file *file, struct error **ret_error)
{
	static const struct vm_field members[] = {
		{ "path", VM_FIELD_STRING, .offset = VM_MEMBER(struct vm_file, path, char *) },
		{ "fd", VM_FIELD_FD, .offset = VM_MEMBER(struct vm_file, fd, int) },
		{ 0 },
	};

	if (vm_fields_read(at, members, file, ret_error) < 0)
		return -1;
	if ((file->path != NULL) == (file->fd >= 0))
		return json_error(at, ret_error, "needs either \"path\" or \"fd\"");
	if (file->path && !file->path[0])
		return json_error(at, ret_error, "the path is empty");
	return 0;
}

static int read_file_field(const struct json_at *at, const struct vm_field *field, void *value,
			   struct error **ret_error)
{
	(void)field;
	return vm_file_read(at, value, ret_error);
}

static int read_paths(const struct json_at *at, const struct vm_field *field, void *value,
		      struct error **ret_error)
{
	char ***paths = value;

	if (!YAJL_IS_ARRAY(at->value) || json_length(at) > field->max)
		return json_error(at, ret_error, "must be an array of at most %u paths",
				  (unsigned)field->max);
	for (size_t i = 0; i < json_length(at); i++) {
		struct json_at element = json_element(at, i);
		_cleanup_free_ char *path = NULL;

		if (json_as_string(&element, &path, ret_error) < 0)
			return -1;
		if (!path[0])
			return json_error(&element, ret_error, "the path is empty");
		strv_append(paths, path);
	}
	return 0;
}

/* ---- writing ---- */

static void write_string(struct json_writer *writer, const struct vm_field *field,
			 const void *value)
{
	const char *string = *(char *const *)value;

	if (string)
		json_put_string(writer, field->name, string);
}

static void write_bool(struct json_writer *writer, const struct vm_field *field, const void *value)
{
	json_put_bool(writer, field->name, *(const bool *)value);
}

static void write_uint64(struct json_writer *writer, const struct vm_field *field,
			 const void *value)
{
	const uint64_t number = *(const uint64_t *)value;

	if (number >= field->min)
		json_put_uint64(writer, field->name, number);
}

static void write_uint32(struct json_writer *writer, const struct vm_field *field,
			 const void *value)
{
	const uint64_t number = *(const uint32_t *)value;

	write_uint64(writer, field, &number);
}

static void write_choice(struct json_writer *writer, const struct vm_field *field,
			 const void *value)
{
	json_put_string(writer, field->name, field->names[*(const unsigned *)value]);
}

static char *mac_text(const struct vm_mac *mac)
{
	const uint8_t *bytes = mac->bytes;

	return xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
			 bytes[4], bytes[5]);
}

static void write_mac(struct json_writer *writer, const struct vm_field *field, const void *value)
{
	static const struct vm_mac none;
	_cleanup_free_ char *text = mac_text(value);

	if (memcmp(value, &none, sizeof(none)) != 0)
		json_put_string(writer, field->name, text);
}

static void write_fd(struct json_writer *writer, const struct vm_field *field, const void *value)
{
	const int fd = *(const int *)value;

	if (fd >= 0)
		json_put_int64(writer, field->name, fd);
}

static void write_fd_object(struct json_writer *writer, const struct vm_field *field,
			    const void *value)
{
	const struct vm_file file = { .fd = *(const int *)value };

	vm_file_write(writer, field->name, &file);
}

static void write_fds(struct json_writer *writer, const struct vm_field *field, const void *value)
{
	const struct vm_fd_list *list = value;

	if (list->n == 0)
		return;
	json_put_key(writer, field->name);
	json_begin_array(writer);
	for (size_t i = 0; i < list->n; i++)
		json_put_int64(writer, NULL, list->fds[i]);
	json_end_array(writer);
}

void vm_file_write(struct json_writer *writer, const char *key, const struct vm_file *file)
{
	if (!file->path && file->fd < 0)
		return;
	if (key)
		json_put_key(writer, key);
	json_begin_object(writer);
	if (file->path)
		json_put_string(writer, "path", file->path);
	else
		json_put_int64(writer, "fd", file->fd);
	json_end_object(writer);
}

static void write_file_field(struct json_writer *writer, const struct vm_field *field,
			     const void *value)
{
	vm_file_write(writer, field->name, value);
}

static void write_paths(struct json_writer *writer, const struct vm_field *field, const void *value)
{
	char *const *paths = *(char **const *)value;

	if (paths)
		json_put_strv(writer, field->name, paths);
}

/* ---- the kinds ---- */

static const struct {
	int (*read)(const struct json_at *at, const struct vm_field *field, void *value,
		    struct error **ret_error);
	void (*write)(struct json_writer *writer, const struct vm_field *field, const void *value);
} kinds[] = {
	[VM_FIELD_STRING] = { read_string, write_string },
	[VM_FIELD_BOOL] = { read_bool, write_bool },
	[VM_FIELD_UINT32] = { read_uint32, write_uint32 },
	[VM_FIELD_UINT64] = { read_uint64, write_uint64 },
	[VM_FIELD_CHOICE] = { read_choice, write_choice },
	[VM_FIELD_FD] = { read_fd, write_fd },
	[VM_FIELD_FD_OBJECT] = { read_fd_object, write_fd_object },
	[VM_FIELD_FDS] = { read_fds, write_fds },
	[VM_FIELD_MAC] = { read_mac, write_mac },
	[VM_FIELD_FILE] = { read_file_field, write_file_field },
	[VM_FIELD_PATHS] = { read_paths, write_paths },
	[VM_FIELD_APART] = { NULL, NULL },
};

void vm_fields_init(const struct vm_field *fields, void *object)
{
	for (; fields->name; fields++) {
		void *value = value_in(object, fields);

		if (fields->kind == VM_FIELD_UINT32)
			*(uint32_t *)value = (uint32_t)fields->standard;
		else if (fields->kind == VM_FIELD_UINT64)
			*(uint64_t *)value = fields->standard;
		else if (fields->kind == VM_FIELD_FD || fields->kind == VM_FIELD_FD_OBJECT)
			*(int *)value = -1;
		else if (fields->kind == VM_FIELD_FILE)
			((struct vm_file *)value)->fd = -1;
	}
}

void vm_fields_done(const struct vm_field *fields, void *object)
{
	for (; fields->name; fields++) {
		void *value = value_in(object, fields);

		if (fields->kind == VM_FIELD_STRING)
			free(*(char **)value);
		else if (fields->kind == VM_FIELD_FILE)
			free(((struct vm_file *)value)->path);
		else if (fields->kind == VM_FIELD_PATHS)
			strv_free(*(char ***)value);
	}
}

int vm_fields_read(const struct json_at *at, const struct vm_field *fields, void *object,
		   struct error **ret_error)
{
	if (check_members(at, fields, ret_error) < 0)
		return -1;
	for (; fields->name; fields++) {
		struct json_at member;

		if (fields->kind == VM_FIELD_APART)
			continue;
		if (json_member(at, fields->name, fields->required ? JSON_REQUIRED : JSON_OPTIONAL,
				&member, ret_error) < 0)
			return -1;
		if (json_present(&member) &&
		    kinds[fields->kind].read(&member, fields, value_in(object, fields), ret_error) <
			0)
			return -1;
	}
	return 0;
}

void vm_fields_write(struct json_writer *writer, const struct vm_field *fields, const void *object)
{
	for (; fields->name; fields++)
		if (fields->kind != VM_FIELD_APART)
			kinds[fields->kind].write(writer, fields, value_of(object, fields));
}

bool vm_field_same(const struct vm_field *field, const void *object, const void *other)
{
	const void *one = value_of(object, field), *two = value_of(other, field);

	if (field->kind == VM_FIELD_MAC)
		return memcmp(one, two, sizeof(struct vm_mac)) == 0;
	return strcmp(*(char *const *)one, *(char *const *)two) == 0;
}

char *vm_field_text(const struct vm_field *field, const void *object)
{
	const void *value = value_of(object, field);

	return field->kind == VM_FIELD_MAC ? mac_text(value) : xstrdup(*(char *const *)value);
}

/* What the field names, up to VM_FD_LIST_MAX; returns how many. */
static size_t places_of(const struct vm_field *field, void *value, int **ret_first)
{
	struct vm_fd_list *list = value;

	switch (field->kind) {
	case VM_FIELD_FDS:
		*ret_first = list->fds;
		return list->n;
	case VM_FIELD_FD:
	case VM_FIELD_FD_OBJECT:
		*ret_first = value;
		break;
	case VM_FIELD_FILE:
		*ret_first = &((struct vm_file *)value)->fd;
		break;
	default:
		return 0;
	}
	return **ret_first >= 0;
}

int vm_fields_take_fds(const struct vm_field *fields, void *object, int *fds, size_t n_fds,
		       struct error **ret_error)
{
	for (; fields->name; fields++) {
		int *places;
		const size_t n = places_of(fields, value_in(object, fields), &places);

		for (size_t i = 0; i < n; i++) {
			const size_t index = (size_t)places[i];

			if (index >= n_fds || fds[index] < 0)
				return error_set(ret_error, ERANGE,
						 "%s: there is no descriptor %zu", fields->name,
						 index);
			places[i] = TAKE_FD(fds[index]);
		}
	}
	return 0;
}

size_t vm_fields_fds(const struct vm_field *fields, const void *object, const char *prefix,
		     struct vm_named_fd *ret_fds)
{
	size_t n = 0;

	for (; fields->name; fields++) {
		int *fds = NULL;
		const size_t n_fds = places_of(fields, (void *)value_of(object, fields), &fds);

		for (size_t i = 0; i < n_fds; i++, n++) {
			ret_fds[n] = (struct vm_named_fd){ .number = fds[i], .kind = fields->fd };
			(void)snprintf(ret_fds[n].place, sizeof(ret_fds[n].place), "%s%s", prefix,
				       fields->name);
		}
	}
	return n;
}
