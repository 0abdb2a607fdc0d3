/* SPDX-License-Identifier: Apache-2.0 */
/* The format of tar streams: see tar.h. */
#include "base/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#define EXTENDED_MAX (1u << 20) /* of a pax header's records */
#define XATTR_PREFIX "SCHILY.xattr."
#define NS 1000000000L

/* POSIX.1-2017 pax, "ustar Interchange Format". */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
	    magic[8], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a block");

void tar_entry_done(struct tar_entry *entry)
{
	free(entry->path);
	free(entry->link);
	for (size_t i = 0; i < entry->n_xattrs; i++) {
		free(entry->xattrs[i].name);
		free(entry->xattrs[i].value);
	}
	free(entry->xattrs);
	*entry = (struct tar_entry){ 0 };
}

void tar_entry_add_xattr(struct tar_entry *entry, const char *name, const void *value, size_t size)
{
	entry->xattrs = xreallocarray(entry->xattrs, entry->n_xattrs + 1, sizeof(*entry->xattrs));
	entry->xattrs[entry->n_xattrs++] = (struct tar_xattr){ .name = xstrdup(name),
							       .value = xmemdup(value, size),
							       .size = size };
}

size_t tar_padding(uint64_t size)
{
	return (size_t)(align_up(size % TAR_BLOCK, TAR_BLOCK) - size % TAR_BLOCK);
}

/* ---- writing ---- */

static void put_zeros(struct buffer *to, size_t n)
{
	memset(buffer_reserve(to, n), 0, n);
	buffer_commit(to, n);
}

/* Octal digits, and a NUL; what does not fit is in a record. */
static void set_number(char *field, size_t size, uint64_t value)
{
	char digits[24];
	const int n =
	    snprintf(digits, sizeof(digits), "%0*llo", (int)size - 1, (unsigned long long)value);

	memcpy(field, (size_t)n < size ? digits : "0", (size_t)n < size ? size : 2);
}
static bool number_fits(size_t size, uint64_t value)
{
	return value >> (3 * (size - 1)) == 0;
}

/* "LENGTH KEY=VALUE\n", where the length counts its own digits. */
static void put_record(struct buffer *to, const char *key, const void *value, size_t size)
{
	const size_t rest = strlen(key) + size + 3;
	size_t length = rest + 1;
	char digits[32];

	while (rest + (size_t)snprintf(digits, sizeof(digits), "%zu", length) != length)
		length++;
	buffer_append(to, digits, strlen(digits));
	buffer_append(to, " ", 1);
	buffer_append(to, key, strlen(key));
	buffer_append(to, "=", 1);
	buffer_append(to, value, size);
	buffer_append(to, "\n", 1);
}

static void put_text_record(struct buffer *to, const char *key, const char *value)
{
	put_record(to, key, value, strlen(value));
}

static void put_number_record(struct buffer *to, const char *key, uint64_t value)
{
	_cleanup_free_ char *text = xasprintf("%llu", (unsigned long long)value);

	put_text_record(to, key, text);
}

static void put_time_record(struct buffer *to, const struct timespec *time)
{
	_cleanup_free_ char *text = xasprintf("%lld.%09ld", (long long)time->tv_sec, time->tv_nsec);

	put_text_record(to, "mtime", text);
}

static void put_records(struct buffer *to, const struct tar_entry *entry, const char *path)
{
	if (strlen(path) > sizeof(((struct header *)NULL)->name))
		put_text_record(to, "path", path);
	if (entry->link && strlen(entry->link) > sizeof(((struct header *)NULL)->link))
		put_text_record(to, "linkpath", entry->link);
	if (!number_fits(12, entry->size))
		put_number_record(to, "size", entry->size);
	if (!number_fits(8, entry->uid))
		put_number_record(to, "uid", entry->uid);
	if (!number_fits(8, entry->gid))
		put_number_record(to, "gid", entry->gid);
	if (entry->mtime.tv_nsec || entry->mtime.tv_sec < 0)
		put_time_record(to, &entry->mtime);
	for (size_t i = 0; i < entry->n_xattrs; i++) {
		_cleanup_free_ char *key = xasprintf(XATTR_PREFIX "%s", entry->xattrs[i].name);

		put_record(to, key, entry->xattrs[i].value, entry->xattrs[i].size);
	}
}

static void put_header(struct buffer *to, struct header *header)
{
	unsigned sum = 0;

	memcpy(header->magic, "ustar\00000", 8);
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += ((const unsigned char *)header)[i];
	(void)snprintf(header->checksum, sizeof(header->checksum), "%06o", sum & 0777777);
	buffer_append(to, header, sizeof(*header));
}

static char type_of(const struct tar_entry *entry)
{
	if (entry->is_hard_link)
		return '1';
	switch (entry->mode & S_IFMT) {
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	default:
		return '0';
	}
}

/* (A field that is full has no NUL.) */
static void set_text(char *field, size_t size, const char *text)
{
	memcpy(field, text, MIN(strlen(text), size));
}

void tar_put_entry(struct buffer *to, const struct tar_entry *entry)
{
	_cleanup_free_ char *path = xasprintf("%s%s", entry->path, S_ISDIR(entry->mode) ? "/" : "");
	_cleanup_(buffer_done) struct buffer records = { 0 };
	struct header header = { .type = type_of(entry) }, extended = { .type = 'x' };

	put_records(&records, entry, path);
	if (buffer_length(&records) > 0) {
		set_text(extended.name, sizeof(extended.name), "PaxHeaders/entry");
		set_number(extended.mode, sizeof(extended.mode), 0644);
		set_number(extended.size, sizeof(extended.size), buffer_length(&records));
		put_header(to, &extended);
		buffer_append(to, buffer_data(&records), buffer_length(&records));
		put_zeros(to, tar_padding(buffer_length(&records)));
	}
	set_text(header.name, sizeof(header.name), path);
	if (entry->link)
		set_text(header.link, sizeof(header.link), entry->link);
	set_number(header.mode, sizeof(header.mode), entry->mode & 07777);
	set_number(header.uid, sizeof(header.uid), entry->uid);
	set_number(header.gid, sizeof(header.gid), entry->gid);
	set_number(header.size, sizeof(header.size), entry->size);
	set_number(header.mtime, sizeof(header.mtime), (uint64_t)MAX(entry->mtime.tv_sec, 0));
	if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode)) {
		set_number(header.major, sizeof(header.major), major(entry->device));
		set_number(header.minor, sizeof(header.minor), minor(entry->device));
	}
	put_header(to, &header);
}

void tar_put_end(struct buffer *to)
{
	put_zeros(to, 2 * (size_t)TAR_BLOCK);
}

/* ---- reading ---- */

static int read_bytes(struct tar_reader *reader, void *bytes, size_t size, struct error **ret_error)
{
	const ssize_t n = read_all(reader->fd, bytes, size);

	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read the archive");
	return (size_t)n < size ? error_set(ret_error, EPROTO, "the archive ends too early") : 0;
}

ssize_t tar_read(struct tar_reader *reader, void *bytes, size_t size, struct error **ret_error)
{
	const size_t n = (size_t)MIN((uint64_t)size, reader->left);

	if (n > 0 && read_bytes(reader, bytes, n, ret_error) < 0)
		return -1;
	reader->left -= n;
	return (ssize_t)n;
}

static int skip(struct tar_reader *reader, struct error **ret_error)
{
	char bytes[65536];
	ssize_t n;

	while ((n = tar_read(reader, bytes, sizeof(bytes), ret_error)) > 0)
		;
	if (n < 0 ||
	    (reader->padding > 0 && read_bytes(reader, bytes, reader->padding, ret_error) < 0))
		return -1;
	reader->padding = 0;
	return 0;
}

/* Octal digits between blanks and NULs, or GNU's: a set bit, then bytes. */
static int get_number(const char *field, size_t size, uint64_t *ret_value)
{
	size_t i = 0;

	*ret_value = 0;
	if (field[0] & 0x80) {
		for (i = 1; i < size; i++) {
			if (*ret_value >> 55)
				return -1;
			*ret_value = *ret_value << 8 | (unsigned char)field[i];
		}
		return field[0] & 0x40 ? -1 : 0;
	}
	while (i < size && (field[i] == ' ' || field[i] == '\0'))
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		*ret_value = *ret_value << 3 | (uint64_t)(field[i] - '0');
	return i < size && field[i] != ' ' && field[i] != '\0' ? -1 : 0;
}

static bool is_zero(const struct header *header)
{
	for (size_t i = 0; i < sizeof(*header); i++)
		if (((const char *)header)[i])
			return false;
	return true;
}

static bool checksum_fits(struct header *header)
{
	uint64_t wanted;
	unsigned sum = 0;

	if (get_number(header->checksum, sizeof(header->checksum), &wanted) < 0)
		return false;
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += ((const unsigned char *)header)[i];
	return sum == wanted;
}

/* What an extended header says of the next entry, or (global) of all that follow. */
struct extension {
	char *path, *link;
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t size, uid, gid;
	struct timespec mtime;
	struct tar_entry xattrs; /* those alone */
};

static void extension_done(struct extension *extension)
{
	free(extension->path);
	free(extension->link);
	tar_entry_done(&extension->xattrs);
}

static int read_text(struct tar_reader *reader, uint64_t size, char **ret_text,
		     struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;

	if (size > EXTENDED_MAX)
		return error_set(ret_error, EPROTO, "the archive has a header of %llu bytes",
				 (unsigned long long)size);
	text = xcalloc(1, (size_t)size + 1);
	if (read_bytes(reader, text, (size_t)size, ret_error) < 0)
		return -1;
	reader->left = 0;
	if (skip(reader, ret_error) < 0)
		return -1;
	*ret_text = TAKE_PTR(text);
	return 0;
}

static bool take_number(const char *value, bool *ret_has, uint64_t *ret_value)
{
	*ret_has = true;
	return parse_number(value, ret_value) == 0;
}

/* "-12.5": seconds, and at most nine digits that count behind the dot. */
static bool take_time(const char *value, struct extension *extension)
{
	char *end;
	const long long seconds = strtoll(value, &end, 10);
	long unit = NS / 10;

	extension->has_mtime = true;
	extension->mtime = (struct timespec){ .tv_sec = (time_t)seconds };
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++, unit /= 10)
			extension->mtime.tv_nsec += (*end - '0') * unit;
	if (value[0] == '-' && extension->mtime.tv_nsec > 0) {
		extension->mtime.tv_sec--;
		extension->mtime.tv_nsec = NS - extension->mtime.tv_nsec;
	}
	return end != value && *end == '\0';
}

static void take_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

static bool take_record(const char *key, const char *value, size_t size,
			struct extension *extension)
{
	if (strncmp(key, XATTR_PREFIX, strlen(XATTR_PREFIX)) == 0) {
		if (extension->xattrs.n_xattrs == TAR_XATTRS_MAX)
			return false;
		tar_entry_add_xattr(&extension->xattrs, key + strlen(XATTR_PREFIX), value, size);
		return true;
	}
	if (strncmp(key, "GNU.sparse.", strlen("GNU.sparse.")) == 0 || memchr(value, '\0', size))
		return false;
	if (strcmp(key, "path") == 0)
		take_text(&extension->path, value);
	else if (strcmp(key, "linkpath") == 0)
		take_text(&extension->link, value);
	else if (strcmp(key, "size") == 0)
		return take_number(value, &extension->has_size, &extension->size);
	else if (strcmp(key, "uid") == 0)
		return take_number(value, &extension->has_uid, &extension->uid);
	else if (strcmp(key, "gid") == 0)
		return take_number(value, &extension->has_gid, &extension->gid);
	else if (strcmp(key, "mtime") == 0)
		return take_time(value, extension);
	return true;
}

static int take_records(char *text, size_t size, struct extension *extension,
			struct error **ret_error)
{
	char *at = text, *const end = text + size;

	while (at < end) {
		char *blank, *equals;
		const unsigned long length = strtoul(at, &blank, 10);

		if (*blank != ' ' || length < 5 || length > (size_t)(end - at) ||
		    at[length - 1] != '\n')
			break;
		at[length - 1] = '\0';
		equals = memchr(blank, '=', (size_t)(at + length - 1 - blank));
		if (!equals)
			break;
		*equals++ = '\0';
		if (!take_record(blank + 1, equals, (size_t)(at + length - 1 - equals), extension))
			return error_set(ret_error, EPROTO,
					 "the archive has a header that is not understood: %s",
					 blank + 1);
		at += length;
	}
	return at == end ? 0 : error_set(ret_error, EPROTO, "the archive has a broken header");
}

static int set_type(char type, struct tar_entry *entry)
{
	static const struct {
		char type;
		mode_t mode;
	} types[] = { { '0', S_IFREG }, { '\0', S_IFREG }, { '7', S_IFREG },
		      { '1', S_IFREG }, { '2', S_IFLNK },  { '3', S_IFCHR },
		      { '4', S_IFBLK }, { '5', S_IFDIR },  { '6', S_IFIFO } };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (types[i].type != type)
			continue;
		entry->mode |= types[i].mode;
		entry->is_hard_link = type == '1';
		return 0;
	}
	return -1;
}

static int fill_numbers(const struct header *header, const struct extension *extension,
			struct tar_entry *entry)
{
	uint64_t mode, uid, gid, time, high = 0, low = 0;

	if (get_number(header->mode, sizeof(header->mode), &mode) < 0 ||
	    get_number(header->uid, sizeof(header->uid), &uid) < 0 ||
	    get_number(header->gid, sizeof(header->gid), &gid) < 0 ||
	    get_number(header->size, sizeof(header->size), &entry->size) < 0 ||
	    get_number(header->mtime, sizeof(header->mtime), &time) < 0)
		return -1;
	if ((header->type == '3' || header->type == '4') &&
	    (get_number(header->major, sizeof(header->major), &high) < 0 ||
	     get_number(header->minor, sizeof(header->minor), &low) < 0))
		return -1;
	if (extension->has_uid)
		uid = extension->uid;
	if (extension->has_gid)
		gid = extension->gid;
	if (extension->has_size)
		entry->size = extension->size;
	if (uid >= UINT32_MAX || gid >= UINT32_MAX || entry->size > INT64_MAX || time > INT64_MAX)
		return -1;
	entry->mode = (mode_t)mode & 07777;
	entry->uid = (uid_t)uid;
	entry->gid = (gid_t)gid;
	entry->mtime =
	    extension->has_mtime ? extension->mtime : (struct timespec){ .tv_sec = (time_t)time };
	entry->device = makedev((unsigned)high, (unsigned)low);
	return 0;
}

static char *path_of(const struct header *header)
{
	const bool has_prefix = memcmp(header->magic, "ustar\0", 6) == 0 && header->prefix[0];
	_cleanup_free_ char *name = xstrndup(header->name, sizeof(header->name));
	_cleanup_free_ char *prefix = xstrndup(header->prefix, sizeof(header->prefix));

	return has_prefix ? xasprintf("%s/%s", prefix, name) : TAKE_PTR(name);
}

static int fill(struct header *header, struct extension *extension, struct tar_entry *entry,
		struct error **ret_error)
{
	if (fill_numbers(header, extension, entry) < 0)
		return error_set(ret_error, EPROTO, "the archive has a broken header");
	if (set_type(header->type, entry) < 0)
		return error_set(ret_error, EPROTO,
				 "the archive has an entry of type '%c', which is not understood",
				 header->type >= ' ' && header->type <= '~' ? header->type : '?');
	entry->path = extension->path ? TAKE_PTR(extension->path) : path_of(header);
	if (header->type == '1' || header->type == '2')
		entry->link = extension->link ? TAKE_PTR(extension->link)
					      : xstrndup(header->link, sizeof(header->link));
	/* (Of old, a directory is a file whose name ends so.) */
	if (S_ISREG(entry->mode) && !entry->is_hard_link && entry->path[0] &&
	    entry->path[strlen(entry->path) - 1] == '/')
		entry->mode = (entry->mode & ~(mode_t)S_IFMT) | S_IFDIR;
	while (strlen(entry->path) > 1 && entry->path[strlen(entry->path) - 1] == '/')
		entry->path[strlen(entry->path) - 1] = '\0';
	if (!entry->path[0] || strlen(entry->path) >= TAR_PATH_MAX ||
	    (entry->link && strlen(entry->link) >= TAR_PATH_MAX))
		return error_set(ret_error, EPROTO, "the archive has a name that is too long");
	entry->xattrs = extension->xattrs.xattrs;
	entry->n_xattrs = extension->xattrs.n_xattrs;
	extension->xattrs = (struct tar_entry){ 0 };
	return 0;
}

/* 1: a header of its own; 0: it was about the next one. */
static int take_header(struct tar_reader *reader, struct header *header,
		       struct extension *extension, struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;
	uint64_t size;

	if (!checksum_fits(header) || get_number(header->size, sizeof(header->size), &size) < 0)
		return error_set(ret_error, EPROTO, "this is not a tar archive");
	if (!strchr("xgLK", header->type) || header->type == '\0')
		return 1;
	reader->left = size;
	reader->padding = tar_padding(size);
	if (read_text(reader, size, &text, ret_error) < 0)
		return -1;
	if (header->type == 'x')
		return take_records(text, (size_t)size, extension, ret_error);
	if (header->type == 'L')
		take_text(&extension->path, text);
	else if (header->type == 'K')
		take_text(&extension->link, text);
	return 0;
}

int tar_next(struct tar_reader *reader, struct tar_entry *ret_entry, struct error **ret_error)
{
	_cleanup_(extension_done) struct extension extension = { 0 };
	struct tar_entry entry = { 0 };
	struct header header;
	int result = 0;

	while (result == 0) {
		if (skip(reader, ret_error) < 0 ||
		    read_bytes(reader, &header, sizeof(header), ret_error) < 0)
			return -1;
		if (is_zero(&header))
			return 0;
		result = take_header(reader, &header, &extension, ret_error);
	}
	if (result < 0)
		return -1;
	if (fill(&header, &extension, &entry, ret_error) < 0) {
		tar_entry_done(&entry);
		return -1;
	}
	if (!S_ISREG(entry.mode) || entry.is_hard_link)
		entry.size = 0;
	reader->left = entry.size;
	reader->padding = tar_padding(entry.size);
	*ret_entry = entry;
	return 1;
}
