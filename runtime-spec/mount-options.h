/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount options of config.json, in mount(2)'s and mount_setattr(2)'s terms: what
 * the agent mounts by, and the host plans by.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spec_mount;

#define MOUNT_PROPAGATIONS_MAX 8

struct mount_options {
	unsigned long flags; /* MS_… without propagation */
	/* MS_SHARED and the like, with MS_REC or not, in the order given */
	unsigned long propagations[MOUNT_PROPAGATIONS_MAX];
	size_t n_propagations;
	/* rro, rnosuid, …: MOUNT_ATTR_… for the whole tree */
	uint64_t recursive_set, recursive_clear;
	bool bind;
	bool tmpcopyup; /* runc: fill the tmpfs with what it covers */
	bool copyup;	/* ours, of a bind: fill an empty directory with what it covers */
	bool idmap;	/* owners are mapped (struct spec_mount), */
	bool ridmap;	/* and of what is below it */
	char *data;	/* the file system's own options, comma-separated; may be NULL */
};

/* options is a NULL-terminated vector or NULL. */
int mount_options_parse(char *const *options, struct mount_options *ret_options,
			struct error **ret_error);
void mount_options_done(struct mount_options *options);

/* The MS_… value of a propagation word ("rslave"), or 0. */
unsigned long mount_propagation(const char *word);

/* Whether it is a bind mount, by its type or its options. */
bool mount_is_bind(const struct spec_mount *mount);
/* Whether it is an overlay, whose directories are the host's. */
bool mount_is_overlay(const struct spec_mount *mount);
/* MS_… flags of one mount as MOUNT_ATTR_…: those that a bind mount can have of its
 * own.  *ret_clear is what has to be cleared first (the access-time settings are
 * one enumeration). */
uint64_t mount_attributes(unsigned long flags, uint64_t *ret_clear);

/* Every option that mount_options_parse() knows, NULL-terminated: for `features`
 * and tests. */
const char *mount_option_name(size_t index);
