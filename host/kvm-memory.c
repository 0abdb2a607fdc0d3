/* SPDX-License-Identifier: Apache-2.0 */
/* The remembered answer about KVM: see kvm-answer.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "host/kvm-answer.h"
#include "host/runtime-file.h"
#include "protocol/probe.h"

#define MEMORY_FILE "@kvm.json"
#define MEMORY_SIZE_MAX 8192
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
	_cleanup_free_ char *boot = boot_id();

	/* Without a boot to tie it to, no answer is ever the right one. */
	if (!boot)
		return NULL;
	return xasprintf("boot %s, version " PACKAGE_VERSION ", user %u, device %s, modules %s, "
			 "program %s",
			 boot, geteuid(), device, loaded, program);
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
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (runtime_file_load(directory, MEMORY_FILE, MEMORY_SIZE_MAX, &text, &size) < 0)
		return NULL;
	return parse(text, size, key);
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
	if (runtime_file_save(directory, MEMORY_FILE, text, size, &error) < 0)
		log_debug("the answer about KVM is not remembered: %s", error->message);
}

void kvm_memory_forget(const char *directory)
{
	runtime_file_remove(directory, MEMORY_FILE);
}
