/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of mount options: runc's libcontainer/specconv knows the same
 * words (runtime-spec config.md "Linux mount options").  What is not in the
 * table goes to the file system as data.
 */
#include "runtime-spec/mount-options.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "base/alloc.h"
#include "runtime-spec/spec.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1 << 25)
#endif

enum option_kind {
	OPTION_SET,
	OPTION_CLEAR,
	OPTION_PROPAGATION,
	OPTION_RECURSIVE_SET,
	OPTION_RECURSIVE_CLEAR,
	OPTION_BIND,
	OPTION_TMPCOPYUP,
	OPTION_COPYUP,
	OPTION_IDMAP,
};

struct option {
	const char *name;
	enum option_kind kind;
	uint64_t value;
};

static const struct option options_table[] = {
	{ "acl", OPTION_SET, MS_POSIXACL },
	{ "async", OPTION_CLEAR, MS_SYNCHRONOUS },
	{ "atime", OPTION_CLEAR, MS_NOATIME },
	{ "bind", OPTION_BIND, MS_BIND },
	{ "copyup", OPTION_COPYUP, 0 },
	{ "defaults", OPTION_SET, 0 },
	{ "dev", OPTION_CLEAR, MS_NODEV },
	{ "diratime", OPTION_CLEAR, MS_NODIRATIME },
	{ "dirsync", OPTION_SET, MS_DIRSYNC },
	{ "exec", OPTION_CLEAR, MS_NOEXEC },
	{ "idmap", OPTION_IDMAP, 0 },
	{ "iversion", OPTION_SET, MS_I_VERSION },
	{ "lazytime", OPTION_SET, MS_LAZYTIME },
	{ "loud", OPTION_CLEAR, MS_SILENT },
	{ "mand", OPTION_SET, MS_MANDLOCK },
	{ "noacl", OPTION_CLEAR, MS_POSIXACL },
	{ "noatime", OPTION_SET, MS_NOATIME },
	{ "nodev", OPTION_SET, MS_NODEV },
	{ "nodiratime", OPTION_SET, MS_NODIRATIME },
	{ "noexec", OPTION_SET, MS_NOEXEC },
	{ "noiversion", OPTION_CLEAR, MS_I_VERSION },
	{ "nolazytime", OPTION_CLEAR, MS_LAZYTIME },
	{ "nomand", OPTION_CLEAR, MS_MANDLOCK },
	{ "norelatime", OPTION_CLEAR, MS_RELATIME },
	{ "nostrictatime", OPTION_CLEAR, MS_STRICTATIME },
	{ "nosuid", OPTION_SET, MS_NOSUID },
	{ "nosymfollow", OPTION_SET, MS_NOSYMFOLLOW },
	{ "private", OPTION_PROPAGATION, MS_PRIVATE },
	{ "ratime", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_NOATIME },
	{ "rbind", OPTION_BIND, MS_BIND | MS_REC },
	{ "rdev", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_NODEV },
	{ "rdiratime", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "relatime", OPTION_SET, MS_RELATIME },
	{ "remount", OPTION_SET, MS_REMOUNT },
	{ "rexec", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "ridmap", OPTION_IDMAP, MS_REC },
	{ "rnoatime", OPTION_RECURSIVE_SET, MOUNT_ATTR_NOATIME },
	{ "rnodev", OPTION_RECURSIVE_SET, MOUNT_ATTR_NODEV },
	{ "rnodiratime", OPTION_RECURSIVE_SET, MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", OPTION_RECURSIVE_SET, MOUNT_ATTR_NOEXEC },
	{ "rnorelatime", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_RELATIME },
	{ "rnostrictatime", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_STRICTATIME },
	{ "rnosuid", OPTION_RECURSIVE_SET, MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", OPTION_RECURSIVE_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", OPTION_SET, MS_RDONLY },
	{ "rprivate", OPTION_PROPAGATION, MS_PRIVATE | MS_REC },
	{ "rrelatime", OPTION_RECURSIVE_SET, MOUNT_ATTR_RELATIME },
	{ "rro", OPTION_RECURSIVE_SET, MOUNT_ATTR_RDONLY },
	{ "rrw", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_RDONLY },
	{ "rshared", OPTION_PROPAGATION, MS_SHARED | MS_REC },
	{ "rslave", OPTION_PROPAGATION, MS_SLAVE | MS_REC },
	{ "rstrictatime", OPTION_RECURSIVE_SET, MOUNT_ATTR_STRICTATIME },
	{ "rsuid", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", OPTION_RECURSIVE_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", OPTION_PROPAGATION, MS_UNBINDABLE | MS_REC },
	{ "rw", OPTION_CLEAR, MS_RDONLY },
	{ "shared", OPTION_PROPAGATION, MS_SHARED },
	{ "silent", OPTION_SET, MS_SILENT },
	{ "slave", OPTION_PROPAGATION, MS_SLAVE },
	{ "strictatime", OPTION_SET, MS_STRICTATIME },
	{ "suid", OPTION_CLEAR, MS_NOSUID },
	{ "symfollow", OPTION_CLEAR, MS_NOSYMFOLLOW },
	{ "sync", OPTION_SET, MS_SYNCHRONOUS },
	{ "tmpcopyup", OPTION_TMPCOPYUP, 0 },
	{ "unbindable", OPTION_PROPAGATION, MS_UNBINDABLE },
};

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(options_table); i++)
		if (strcmp(options_table[i].name, name) == 0)
			return &options_table[i];
	return NULL;
}

bool mount_is_overlay(const struct spec_mount *mount)
{
	return mount->type && strcmp(mount->type, "overlay") == 0 && !mount_is_bind(mount);
}

bool mount_is_bind(const struct spec_mount *mount)
{
	if (mount->type && strcmp(mount->type, "bind") == 0)
		return true;
	for (char **word = mount->options; word && *word; word++) {
		const struct option *option = find_option(*word);

		if (option && option->kind == OPTION_BIND)
			return true;
	}
	return false;
}

uint64_t mount_attributes(unsigned long flags, uint64_t *ret_clear)
{
	static const struct {
		unsigned long flag;
		uint64_t attribute;
	} table[] = {
		{ MS_RDONLY, MOUNT_ATTR_RDONLY },
		{ MS_NOSUID, MOUNT_ATTR_NOSUID },
		{ MS_NODEV, MOUNT_ATTR_NODEV },
		{ MS_NOEXEC, MOUNT_ATTR_NOEXEC },
		{ MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
		{ MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
		{ MS_NOATIME, MOUNT_ATTR_NOATIME },
		{ MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
	};
	uint64_t attributes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (flags & table[i].flag)
			attributes |= table[i].attribute;
	/* Two of one enumeration make no third: noatime wins, as in mount(2). */
	if (attributes & MOUNT_ATTR_NOATIME)
		attributes &= ~(uint64_t)MOUNT_ATTR_STRICTATIME;
	*ret_clear =
	    flags & (MS_NOATIME | MS_STRICTATIME | MS_RELATIME) ? (uint64_t)MOUNT_ATTR__ATIME : 0;
	return attributes;
}

const char *mount_option_name(size_t index)
{
	return index < ARRAY_SIZE(options_table) ? options_table[index].name : NULL;
}

unsigned long mount_propagation(const char *word)
{
	const struct option *option = find_option(word);

	return option && option->kind == OPTION_PROPAGATION ? option->value : 0;
}

/* mount_setattr(2): the access-time settings are one enumeration, which is
 * cleared as a whole and then set; a "clear" of one is a set of relatime. */
static void set_recursive(struct mount_options *options, uint64_t value, bool set)
{
	if ((value & ~(uint64_t)MOUNT_ATTR__ATIME) == 0) {
		options->recursive_clear |= MOUNT_ATTR__ATIME;
		options->recursive_set &= ~(uint64_t)MOUNT_ATTR__ATIME;
		options->recursive_set |= set ? value : MOUNT_ATTR_RELATIME;
	} else if (set) {
		options->recursive_set |= value;
		options->recursive_clear &= ~value;
	} else {
		options->recursive_clear |= value;
		options->recursive_set &= ~value;
	}
}

static int apply_option(const struct option *option, struct mount_options *options,
			struct error **ret_error)
{
	switch (option->kind) {
	case OPTION_SET:
		options->flags |= option->value;
		break;
	case OPTION_CLEAR:
		options->flags &= ~option->value;
		break;
	case OPTION_PROPAGATION:
		if (options->n_propagations == MOUNT_PROPAGATIONS_MAX)
			return error_set(ret_error, EINVAL, "too many propagation options");
		options->propagations[options->n_propagations++] = option->value;
		break;
	case OPTION_RECURSIVE_SET:
	case OPTION_RECURSIVE_CLEAR:
		set_recursive(options, option->value, option->kind == OPTION_RECURSIVE_SET);
		break;
	case OPTION_BIND:
		options->bind = true;
		options->flags |= option->value;
		break;
	case OPTION_TMPCOPYUP:
		options->tmpcopyup = true;
		break;
	case OPTION_COPYUP:
		options->copyup = true;
		break;
	case OPTION_IDMAP:
		options->idmap = true;
		options->ridmap = option->value & MS_REC;
		break;
	}
	return 0;
}

int mount_options_parse(char *const *strv, struct mount_options *ret_options,
			struct error **ret_error)
{
	struct mount_options options = { 0 };

	for (size_t i = 0; strv && strv[i]; i++) {
		const struct option *option = find_option(strv[i]);

		if (!option) {
			char *data = options.data ? xasprintf("%s,%s", options.data, strv[i])
						  : xstrdup(strv[i]);

			free(options.data);
			options.data = data;
		} else if (apply_option(option, &options, ret_error) < 0) {
			mount_options_done(&options);
			return -1;
		}
	}
	*ret_options = options;
	return 0;
}

void mount_options_done(struct mount_options *options)
{
	free(options->data);
	options->data = NULL;
}
