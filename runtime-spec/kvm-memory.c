/* The remembered answer about KVM: see kvm-answer.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime-spec/kvm-answer.h"
#include "vmm/probe.h"

#define MEMORY_FILE "@kvm.json"
#define MEMORY_SIZE_MAX 8192
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define MODULES "/sys/module"

static int is_kvm_module(const struct dirent *entry)
{
	return strncmp(entry->d_name, "kvm", 3) == 0;
}

/* "kvm:1234 kvm_amd:1250": the directory of a module that was loaded again has
 * another inode number. */
static char *modules(void)
{
	struct dirent **entries = NULL;
	char *text = xstrdup("");
	int n = scandir(MODULES, &entries, is_kvm_module, alphasort);

	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *shorter = text;

		text = xasprintf("%s%s%s:%llu", shorter, shorter[0] ? " " : "", entries[i]->d_name,
				 (unsigned long long)entries[i]->d_ino);
		free(entries[i]);
	}
	free(entries);
	return text;
}

static char *identity(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return xasprintf("none (%d)", errno);
	return xasprintf("%llx:%llu %x:%x %o %u:%u %lld %lld.%09ld %lld.%09ld",
			 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
			 major(st.st_rdev), minor(st.st_rdev), st.st_mode, st.st_uid, st.st_gid,
			 (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
			 (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

char *kvm_memory_key(const char *vmm)
{
	_cleanup_free_ char *device = identity("/dev/kvm");
	_cleanup_free_ char *program = identity(vmm);
	_cleanup_free_ char *loaded = modules();
	_cleanup_free_ char *boot = NULL;

	/* Without a boot to tie it to, no answer is ever the right one. */
	if (read_file(BOOT_ID, 64, &boot, NULL, NULL) < 0)
		return NULL;
	boot[strcspn(boot, "\n")] = '\0';
	return xasprintf("boot %s, version " PACKAGE_VERSION ", user %u, device %s, modules %s, "
			 "program %s",
			 boot, geteuid(), device, loaded, program);
}

/* This user's own, and nobody else can write to it. */
static bool is_trusted(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() &&
	       (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_directory(const char *directory)
{
	_cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && is_trusted(fd, S_IFDIR) ? TAKE_FD(fd) : -1;
}

static struct kvm_answer *parse(const char *text, size_t size, const char *key)
{
	_cleanup_free_ char *known_key = NULL, *verdict = NULL, *message = NULL;
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, MEMORY_FILE, &value, NULL) < 0)
		return NULL;
	root = json_root(value);
	if (json_get_string(&root, "key", JSON_REQUIRED, &known_key, NULL) < 0 ||
	    json_get_string(&root, "verdict", JSON_REQUIRED, &verdict, NULL) < 0 ||
	    json_get_string(&root, "message", JSON_REQUIRED, &message, NULL) < 0 ||
	    strcmp(known_key, key) != 0 || !probe_is_verdict(verdict))
		return NULL;
	return kvm_answer_new(verdict, message);
}

struct kvm_answer *kvm_memory_load(const char *directory, const char *key)
{
	_cleanup_close_ int dir_fd = open_directory(directory);
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (dir_fd < 0)
		return NULL;
	/* O_NONBLOCK: a FIFO there must not make us wait. */
	fd = openat(dir_fd, MEMORY_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || !is_trusted(fd, S_IFREG) ||
	    read_file_fd(fd, MEMORY_FILE, MEMORY_SIZE_MAX, &text, &size, NULL) < 0)
		return NULL;
	return parse(text, size, key);
}

static int save(const char *directory, const char *text, size_t size, struct error **ret_error)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dir_fd = -1;

	if (make_directories(directory, 0700, ret_error) < 0)
		return -1;
	dir_fd = open_directory(directory);
	if (dir_fd < 0)
		return error_set(ret_error, EPERM, "%s is not this user's own", directory);
	/* Through the descriptor: what was looked at is what is written to. */
	path = xasprintf("/proc/self/fd/%d/" MEMORY_FILE, dir_fd);
	return write_file_atomic(path, text, size, 0600, ret_error);
}

void kvm_memory_save(const char *directory, const char *key, const struct kvm_answer *answer)
{
	struct json_writer *writer = json_writer_new(true);
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;

	json_begin_object(writer);
	json_put_string(writer, "verdict", answer->verdict);
	json_put_string(writer, "message", answer->message);
	json_put_string(writer, "key", key);
	json_end_object(writer);
	text = json_writer_finish(writer, &size);
	if (save(directory, text, size, &error) < 0)
		log_debug("the answer about KVM is not remembered: %s", error->message);
}

void kvm_memory_forget(const char *directory)
{
	_cleanup_close_ int dir_fd = open_directory(directory);

	if (dir_fd >= 0)
		(void)unlinkat(dir_fd, MEMORY_FILE, 0);
}
