/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `checkpoint` and `restore` that runc has for CRIU: what they ask for either
 * happens anyway or means nothing for a machine.  Those that would mean something are refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"

struct criu_options {
	const char *work_path;
	/* without effect */
	bool tcp_established, ext_unix_sk, shell_job, file_locks, auto_dedup;
	const char *manage_cgroups_mode, *empty_ns;
	/* refused */
	bool lazy_pages;
	const char *status_fd, *page_server, *lsm_profile, *lsm_mount_context;
};

/* clang-format off */
/* base: the offset of the struct criu_options in the verb's struct. */
#define CRIU_FIELD(base, name) ((base) + offsetof(struct criu_options, name))
#define CRIU_OPTIONS(base)                                                                         \
	{ "work-path", 0, OPTION_STRING, CRIU_FIELD(base, work_path),                              \
	  "directory for figures of what it has cost, as CRIU writes them" },                        \
	{ "tcp-established", 0, OPTION_FLAG, CRIU_FIELD(base, tcp_established),                    \
	  "allow open TCP connections: they are always kept" },                                    \
	{ "ext-unix-sk", 0, OPTION_FLAG, CRIU_FIELD(base, ext_unix_sk),                            \
	  "allow external unix sockets: no effect" },                                              \
	{ "shell-job", 0, OPTION_FLAG, CRIU_FIELD(base, shell_job),                                \
	  "allow shell jobs: they always are" },                                                   \
	{ "file-locks", 0, OPTION_FLAG, CRIU_FIELD(base, file_locks),                              \
	  "handle file locks: they are always kept" },                                             \
	{ "manage-cgroups-mode", 0, OPTION_STRING, CRIU_FIELD(base, manage_cgroups_mode),          \
	  "soft, full or strict: no effect" },                                                     \
	{ "empty-ns", 0, OPTION_STRING, CRIU_FIELD(base, empty_ns),                                \
	  "namespace to leave empty: no effect" },                                                 \
	{ "auto-dedup", 0, OPTION_FLAG, CRIU_FIELD(base, auto_dedup),                              \
	  "deduplicate memory images: no effect" },                                                \
	{ "lazy-pages", 0, OPTION_FLAG, CRIU_FIELD(base, lazy_pages),                              \
	  "restore memory lazily: not supported" }
/* clang-format on */

/* Notes at debug level what has no effect; ENOTSUP: one that is refused, by its name.  table is the
 * verb's, values its struct. */
int criu_options_check(const struct option_def *table, const void *values,
		       const struct criu_options *criu, struct error **ret_error);
/* The image path, absolute (runc's default: ./checkpoint); caller frees. */
int criu_image_path(const char *asked, char **ret_path, struct error **ret_error);
/* The work path, absolute; *ret_path: caller frees, NULL: none was given. */
int criu_work_path(const struct criu_options *criu, char **ret_path, struct error **ret_error);
