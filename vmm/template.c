/* SPDX-License-Identifier: Apache-2.0 */
/* Templates on disk: see template.h. */
#include "vmm/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/fnv.h"
#include "base/io.h"
#include "vmm/ram.h"

#define TEMPLATES_MAX 16
#define KEY_SIZE_MAX 65536
#define DRAFT "draft"

struct template_store {
	char *path, *key;
	char name[17];
	int dir_fd, lock_fd;
	int draft_fd; /* the directory of what is being made */
};

void template_close(struct template *template)
{
	close_fdp(&template->ram_fd);
	close_fdp(&template->state_fd);
	close_fdp(&template->written_fd);
	*template = TEMPLATE_NONE;
}

/* A user who could write here could put words into every container. */
static int check_owner(const struct template_store *store, struct error **ret_error)
{
	struct stat st;

	if (fstat(store->dir_fd, &st) < 0)
		return error_set_errno(ret_error, errno, "%s", store->path);
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return error_set(ret_error, EPERM, "%s can be written by others", store->path);
	return 0;
}

int template_store_new(const char *directory, const char *key, struct template_store **ret_store,
		       struct error **ret_error)
{
	_cleanup_(template_store_freep) struct template_store *store = xcalloc(1, sizeof(*store));

	store->path = xstrdup(directory);
	store->key = xstrdup(key);
	store->dir_fd = store->lock_fd = store->draft_fd = -1;
	/* Names differ where keys do, or the key in the file tells. */
	(void)snprintf(store->name, sizeof(store->name), "%016llx",
		       (unsigned long long)fnv1a(key, strlen(key)));
	if (make_directories(directory, 0700, ret_error) < 0)
		return -1;
	store->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0)
		return error_set_errno(ret_error, errno, "cannot open %s", directory);
	if (check_owner(store, ret_error) < 0)
		return -1;
	*ret_store = TAKE_PTR(store);
	return 0;
}

static void remove_named(const struct template_store *store, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", store->path, name);

	(void)remove_tree(path, NULL);
}

void template_store_free(struct template_store *store)
{
	if (!store)
		return;
	if (store->draft_fd >= 0)
		remove_named(store, DRAFT);
	close_fdp(&store->draft_fd);
	close_fdp(&store->lock_fd);
	close_fdp(&store->dir_fd);
	free(store->path);
	free(store->key);
	free(store);
}

/* ---- finding ---- */

static int open_in(int dir_fd, const char *name)
{
	return openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* The text in the file; NULL: there is none. */
static char *read_in(int dir_fd, const char *name)
{
	_cleanup_close_ int fd = open_in(dir_fd, name);
	char *text = NULL;

	if (fd < 0 || read_file_fd(fd, name, KEY_SIZE_MAX, &text, NULL, NULL) < 0)
		return NULL;
	return text;
}

/* One more clone, if there may be one. */
static bool take_turn(int dir_fd, const struct stat *state)
{
	_cleanup_close_ int fd =
	    openat(dir_fd, "clones", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat clones;

	if (time(NULL) - state->st_mtim.tv_sec >= TEMPLATE_AGE_MAX_S)
		return false;
	/* A disk that is full does not keep a guest from its start. */
	if (fd < 0 || fstat(fd, &clones) < 0 || write(fd, "", 1) != 1)
		return true;
	return clones.st_size < TEMPLATE_CLONES_MAX;
}

int template_find(struct template_store *store, struct template *ret_template,
		  struct error **ret_error)
{
	_cleanup_close_ int fd =
	    openat(store->dir_fd, store->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_template_ struct template template = TEMPLATE_NONE;
	_cleanup_free_ char *key = fd < 0 ? NULL : read_in(fd, "key");
	_cleanup_free_ char *refused = fd < 0 ? NULL : read_in(fd, "refused");
	struct stat st;

	if (!key || strcmp(key, store->key) != 0)
		return error_set(ret_error, ENOENT, "there is no such template");
	if (refused)
		return error_set(ret_error, EOPNOTSUPP, "%s", refused);
	template.ram_fd = open_in(fd, "ram");
	template.state_fd = open_in(fd, "state");
	if (template.ram_fd < 0 || template.state_fd < 0 || fstat(template.state_fd, &st) < 0 ||
	    st.st_size == 0)
		return error_set(ret_error, ENOENT, "there is no such template");
	if (!take_turn(fd, &st))
		return error_set(ret_error, ENOENT, "the template has served its time");
	template.written_fd = openat(fd, "written", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	/* Which are used is which are kept. */
	(void)futimens(fd, NULL);
	*ret_template = template;
	template = TEMPLATE_NONE;
	return 0;
}

/* ---- making ---- */

static bool is_before(const struct timespec *one, const struct timespec *other)
{
	return one->tv_sec < other->tv_sec ||
	       (one->tv_sec == other->tv_sec && one->tv_nsec < other->tv_nsec);
}

/* (Giving up changes the lock's time.) */
int template_lock(struct template_store *store, struct error **ret_error)
{
	struct stat before, after;

	store->lock_fd =
	    openat(store->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->lock_fd < 0 || fstat(store->lock_fd, &before) < 0)
		return error_set_errno(ret_error, errno, "cannot open %s/lock", store->path);
	if (lock_file(store->lock_fd, LOCK_EX) < 0)
		return error_set_errno(ret_error, errno, "cannot lock %s", store->path);
	if (fstat(store->lock_fd, &after) == 0 && is_before(&before.st_mtim, &after.st_mtim))
		return error_set(ret_error, EAGAIN, "another process could not make it");
	return 0;
}

void template_give_up(struct template_store *store)
{
	(void)futimens(store->lock_fd, NULL);
}

static int make_in(const struct template_store *store, const char *name, int *ret_fd,
		   struct error **ret_error)
{
	*ret_fd = openat(store->draft_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make %s/" DRAFT "/%s", store->path,
				       name);
	return 0;
}

static int write_in(const struct template_store *store, const char *name, const char *text,
		    struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	if (make_in(store, name, &fd, ret_error) < 0)
		return -1;
	if (write_all(fd, text, strlen(text)) < 0)
		return error_set_errno(ret_error, errno, "cannot write %s/" DRAFT "/%s",
				       store->path, name);
	return 0;
}

/* A draft that is there already is of somebody who was killed. */
static int begin(struct template_store *store, struct error **ret_error)
{
	remove_named(store, DRAFT);
	if (mkdirat(store->dir_fd, DRAFT, 0700) == 0)
		store->draft_fd = openat(store->dir_fd, DRAFT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->draft_fd < 0)
		return error_set_errno(ret_error, errno, "cannot make %s/" DRAFT, store->path);
	return write_in(store, "key", store->key, ret_error);
}

int template_begin(struct template_store *store, struct template *ret_template,
		   struct error **ret_error)
{
	_cleanup_template_ struct template template = TEMPLATE_NONE;

	if (begin(store, ret_error) < 0 || make_in(store, "ram", &template.ram_fd, ret_error) < 0 ||
	    make_in(store, "state", &template.state_fd, ret_error) < 0)
		return -1;
	*ret_template = template;
	template = TEMPLATE_NONE;
	return 0;
}

int template_add_written(struct template_store *store, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	return make_in(store, "written", &fd, ret_error);
}

/* Of another boot of this host, or of another program: of no use to anybody. */
static bool is_stale(int dir_fd)
{
	_cleanup_free_ char *key = read_in(dir_fd, "key");
	_cleanup_free_ char *head = template_key_head();

	return !key || (head && strncmp(key, head, strlen(head)) != 0);
}

/* The stale ones go; of the others *ret_oldest is the one not used for longest (caller
 * frees).  Returns how many they are. */
static size_t sweep(const struct template_store *store, char **ret_oldest)
{
	DIR *dir = opendir(store->path);
	struct timespec oldest = { 0 };
	struct dirent *entry;
	size_t n = 0;

	*ret_oldest = NULL;
	while (dir && (entry = readdir(dir))) {
		_cleanup_close_ int fd = -1;
		struct stat st;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, DRAFT) == 0)
			continue;
		fd = openat(store->dir_fd, entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || fstat(fd, &st) < 0)
			continue;
		if (is_stale(fd)) {
			remove_named(store, entry->d_name);
			continue;
		}
		n++;
		if (*ret_oldest && !is_before(&st.st_mtim, &oldest))
			continue;
		oldest = st.st_mtim;
		free(*ret_oldest);
		*ret_oldest = xstrdup(entry->d_name);
	}
	if (dir)
		(void)closedir(dir);
	return n;
}

int template_publish(struct template_store *store, struct error **ret_error)
{
	_cleanup_free_ char *oldest = NULL;

	if (sweep(store, &oldest) >= TEMPLATES_MAX)
		remove_named(store, oldest);
	remove_named(store, store->name);
	if (renameat(store->dir_fd, DRAFT, store->dir_fd, store->name) < 0)
		return error_set_errno(ret_error, errno, "cannot make %s/%s", store->path,
				       store->name);
	close_fdp(&store->draft_fd);
	store->draft_fd = -1;
	return 0;
}

void template_remove(struct template_store *store)
{
	remove_named(store, store->name);
}

int template_refuse(struct template_store *store, const char *reason, struct error **ret_error)
{
	if (begin(store, ret_error) < 0 || write_in(store, "refused", reason, ret_error) < 0)
		return -1;
	return template_publish(store, ret_error);
}

/* ---- state, and memory ---- */

int template_save_state(const struct buffer *state, int target_fd, struct error **ret_error)
{
	if (buffer_length(state) > TEMPLATE_STATE_MAX)
		return error_set(ret_error, EFBIG, "the machine's state is too large");
	if (write_all(target_fd, buffer_data(state), buffer_length(state)) < 0)
		return error_set_errno(ret_error, errno, "cannot write the machine's state");
	return 0;
}

/* Runs of pages that are not zero. */
static int save_chunk(const uint8_t *bytes, size_t size, int target_fd, off_t offset)
{
	size_t start, end = 0;

	for (;;) {
		for (start = end; start < size && ram_is_zero(bytes + start);
		     start += RAM_PAGE_SIZE)
			;
		for (end = start; end < size && !ram_is_zero(bytes + end); end += RAM_PAGE_SIZE)
			;
		if (start == end)
			return 0;
		if (lseek(target_fd, offset + (off_t)start, SEEK_SET) < 0 ||
		    write_all(target_fd, bytes + start, end - start) < 0)
			return -1;
	}
}

/* The next stretch of data at or behind *start, up to *ret_end; false: there is none. */
static bool next_data(int fd, off_t *start, off_t *ret_end)
{
	*start = lseek(fd, *start, SEEK_DATA);
	*ret_end = *start < 0 ? -1 : lseek(fd, *start, SEEK_HOLE);
	return *ret_end > *start;
}

int template_save_ram(int ram_fd, int target_fd, struct error **ret_error)
{
	_cleanup_free_ uint8_t *chunk = xmalloc(RAM_CHUNK_SIZE);
	struct stat st;
	off_t end = 0;

	if (fstat(ram_fd, &st) < 0 || ftruncate(target_fd, st.st_size) < 0)
		return error_set_errno(ret_error, errno, "cannot write the guest's memory");
	for (off_t start = 0; next_data(ram_fd, &start, &end);)
		while (start < end) {
			size_t size = (size_t)MIN(end - start, (off_t)RAM_CHUNK_SIZE);

			if (pread(ram_fd, chunk, size, start) != (ssize_t)size ||
			    save_chunk(chunk, size, target_fd, start) < 0)
				return error_set_errno(ret_error, errno,
						       "cannot write the guest's memory");
			start += (off_t)size;
		}
	return 0;
}

int template_load_ram(int source_fd, int ram_fd, struct error **ret_error)
{
	struct stat source, ram;
	off_t end = 0;

	if (fstat(source_fd, &source) < 0 || fstat(ram_fd, &ram) < 0)
		return error_set_errno(ret_error, errno, "cannot fill the guest's memory");
	if (source.st_size != ram.st_size)
		return error_set(ret_error, EINVAL,
				 "the template's memory is %lld bytes large, not %lld",
				 (long long)source.st_size, (long long)ram.st_size);
	for (off_t start = 0; next_data(source_fd, &start, &end);) {
		if (lseek(ram_fd, start, SEEK_SET) < 0 ||
		    copy_bytes(source_fd, &start, ram_fd, (size_t)(end - start)) < 0)
			return error_set_errno(ret_error, errno, "cannot fill the guest's memory");
		if (start < end)
			return error_set(ret_error, EIO, "the template's memory shrank");
	}
	return 0;
}

/* ---- keys ---- */

char *template_key_head(void)
{
	_cleanup_close_ int self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	_cleanup_free_ char *program = template_key_file("vmm", self);
	_cleanup_free_ char *boot = NULL;

	if (!program || read_file("/proc/sys/kernel/random/boot_id", 64, &boot, NULL, NULL) < 0)
		return NULL;
	return xasprintf("boot %s%s", boot, program);
}

char *template_key_file(const char *what, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	return xasprintf("%s %llx:%llx %lld %lld.%09ld\n", what, (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino, (long long)st.st_size,
			 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}
