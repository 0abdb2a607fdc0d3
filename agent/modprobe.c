/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules that the guest's kernel asks for: see modprobe.h.
 *
 * Debian has no static library of kmod's.  What the kernel needs of it is small: two text files,
 * whose formats are those of modules.dep(5).
 */
#include "agent/modprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/boot.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/agent.h"

#define HELPER_SETTING "/proc/sys/kernel/modprobe"
#define PROGRAM "/init"
#define TABLE_MAX (4u << 20)
/* MODULE_NAME_LEN of Linux, and room for it to grow. */
#define NAME_MAX_LENGTH 128

/* '-' and '_' are the same in names (modprobe(8)), but not in a pattern's [a-z]. */
static void normalize(char *text)
{
	bool in_set = false;

	for (; *text; text++) {
		if (*text == '[' || *text == ']')
			in_set = *text == '[';
		else if (*text == '-' && !in_set)
			*text = '_';
	}
}

/* Of "kernel/net/sched/act_mirred.ko"; caller frees. */
static char *module_name(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *name = xstrdup(slash ? slash + 1 : file);

	name[strcspn(name, ".")] = '\0';
	normalize(name);
	return name;
}

static int read_table(const char *directory, const char *name, char **ret_text,
		      struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	return read_file(path, TABLE_MAX, ret_text, NULL, ret_error);
}

/* "FILE: FILE…", each needed by those on its left. */
static void add_files(char *line, char ***files)
{
	_cleanup_strv_ char **names = NULL;
	char *rest, *file;

	for (file = strtok_r(line, ": ", &rest); file; file = strtok_r(NULL, ": ", &rest))
		strv_append(&names, file);
	for (size_t n = strv_length(names); n > 0; n--)
		strv_append(files, names[n - 1]);
}

/* Adds the module of this very name, with those it needs; false: there is none. */
static bool add_module(const char *table, const char *name, char ***files)
{
	_cleanup_free_ char *copy = xstrdup(table);
	char *rest, *line;

	for (line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		_cleanup_free_ char *file = xstrndup(line, strcspn(line, ":"));
		_cleanup_free_ char *found = module_name(file);

		if (strcmp(found, name) != 0)
			continue;
		add_files(line, files);
		return true;
	}
	return false;
}

/* "alias PATTERN MODULE", each that fits. */
static void add_aliases(char *aliases, const char *table, const char *name, char ***files)
{
	char *rest, *line;

	for (line = strtok_r(aliases, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *rest_of_line;
		const char *word = strtok_r(line, " ", &rest_of_line);
		char *pattern = strtok_r(NULL, " ", &rest_of_line);
		char *module = strtok_r(NULL, " ", &rest_of_line);

		if (!word || strcmp(word, "alias") != 0 || !pattern || !module)
			continue;
		normalize(pattern);
		if (fnmatch(pattern, name, 0) != 0)
			continue;
		normalize(module);
		(void)add_module(table, module, files);
	}
}

int modprobe_find(const char *directory, const char *name, char ***ret_files,
		  struct error **ret_error)
{
	_cleanup_free_ char *wanted = xstrndup(name, NAME_MAX_LENGTH);
	_cleanup_free_ char *table = NULL;
	_cleanup_free_ char *aliases = NULL;
	_cleanup_strv_ char **files = NULL;

	if (read_table(directory, "modules.dep", &table, ret_error) < 0)
		return -1;
	normalize(wanted);
	if (!add_module(table, wanted, &files)) {
		if (read_table(directory, "modules.alias", &aliases, ret_error) < 0)
			return -1;
		add_aliases(aliases, table, wanted, &files);
	}
	if (!files)
		return error_set(ret_error, ENOENT, "no module \"%.*s\"", NAME_MAX_LENGTH, name);
	*ret_files = TAKE_PTR(files);
	return 0;
}

void modprobe_offer(void)
{
	_cleanup_error_ struct error *error = NULL;

	if (write_file(HELPER_SETTING, PROGRAM, &error) < 0 && error->code != ENOENT)
		log_warning("no modules on demand: %s", error->message);
}

/* Its words are "modprobe -q -- NAME" (Linux, kernel/module/kmod.c). */
bool modprobe_is_asked_for(int argc, char *const *argv)
{
	return argc == 4 && strcmp(argv[1], "-q") == 0 && strcmp(argv[2], "--") == 0;
}

static int load(const char *directory, const char *file, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, file);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if ((fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0) && errno != EEXIST)
		return error_set_errno(ret_error, errno, "cannot load the module %s", file);
	return 0;
}

static int load_all(const char *name, struct error **ret_error)
{
	_cleanup_free_ char *directory = NULL;
	_cleanup_strv_ char **files = NULL;
	_cleanup_error_ struct error *first = NULL;
	struct utsname system;

	if (uname(&system) < 0)
		return error_set_errno(ret_error, errno, "uname");
	directory = xasprintf(BOOT_SHARE_DIR "/" AGENT_MODULES_SHARE "/%s", system.release);
	if (modprobe_find(directory, name, &files, ret_error) < 0)
		return -1;
	/* As modprobe(8): of several modules of one alias, some may want another processor
	 * (ENODEV). */
	for (size_t i = 0; files[i]; i++) {
		_cleanup_error_ struct error *error = NULL;

		if (load(directory, files[i], &error) < 0 && !first)
			first = TAKE_PTR(error);
	}
	return first ? error_set(ret_error, first->code, "%s", first->message) : 0;
}

int modprobe_run(const char *name)
{
	_cleanup_error_ struct error *error = NULL;

	if (load_all(name, &error) == 0)
		return 0;
	/* (A machine without a share, a kernel directory without modules, and modules for other
	 * hardware are fine.) */
	if (error->code != ENOENT && error->code != ENODEV)
		boot_tell(error->message);
	return 1;
}
