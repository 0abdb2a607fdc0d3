/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named volumes: directories in which containers keep files that outlive them.
 *
 *   DIRECTORY/NAME/_data        what containers see
 *   DIRECTORY/NAME/volume.json  {"created", "anonymous", "labels"}
 *   DIRECTORY/NAME/users/N      a link to MARKS/NAME of a container that uses it
 *   DIRECTORY/NAME/filling      it is being filled, or was when that was interrupted
 *   DIRECTORY/.lock             shared: a container begins to use one; exclusive: one goes
 *   MARKS/NAME                  a link to DIRECTORY/NAME.  MARKS is in the container's directory,
 *                               and a container is a user of the volume as long as this is there
 *
 * A volume is made under another name and renamed, so one that has its name is whole.  Any number
 * of processes and of containers use one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct volumes_entry {
	char *name, *path; /* path: of _data */
	uint64_t created;  /* seconds since 1970 */
	bool anonymous;	   /* made by a container without a name for it */
	char **labels;	   /* KEY=VALUE; NULL: none */
};
void volumes_entry_free(struct volumes_entry *entry);
DEFINE_CLEANUP(struct volumes_entry, volumes_entry_free)

/* Docker's rule for names. EINVAL. */
int volumes_check_name(const char *name, struct error **ret_error);
/* A name for an anonymous one: 64 random digits; caller frees. */
int volumes_random_name(char **ret_name, struct error **ret_error);
/* DIRECTORY/NAME/_data; caller frees. */
char *volumes_path(const char *directory, const char *name);

/* Makes one, and its directory; one that exists stays as it is. labels may be NULL. */
int volumes_make(const char *directory, const char *name, bool anonymous, char *const *labels,
		 struct error **ret_error);
/* ENOENT: "no such volume". */
int volumes_find(const char *directory, const char *name, struct volumes_entry **ret_entry,
		 struct error **ret_error);
/* Their names, in order (strv_free()); NULL: there are none. */
int volumes_names(const char *directory, char ***ret_names, struct error **ret_error);

/* From now on the container of `marks`, a directory that is made if it is missing, uses the volume,
 * which exists.  Waits while another container fills it, until cancel_fd (-1: none) can be read:
 * ECANCELED.  *ret_fill: -1, or that the volume is
 * empty, to be filled by the container's creation: nobody else uses it until this descriptor is
 * given to volumes_filled() or closed, which undoes what was filled. */
int volumes_use(const char *directory, const char *name, const char *marks, int cancel_fd,
		int *ret_fill, struct error **ret_error);
/* The same of one that is made if it does not exist. */
int volumes_take(const char *directory, const char *name, bool anonymous, const char *marks,
		 int cancel_fd, int *ret_fill, struct error **ret_error);
/* It has been filled; closes the descriptor. */
void volumes_filled(int fill);
/* The container of `marks` has been created, and is about to write to its volumes: what they have
 * is filled, even if the process that created it was killed before it said so. */
int volumes_keep(const char *marks, struct error **ret_error);
/* The names of the volumes that the container of `marks` uses, as volumes_names(). */
int volumes_used(const char *marks, char ***ret_names, struct error **ret_error);

/* EBUSY: "volume is in use", by a container that is there. ENOENT. */
int volumes_remove(const char *directory, const char *name, struct error **ret_error);
/* What its files take on disk, in bytes. */
uint64_t volumes_size(const char *directory, const char *name);
/* Removes those that no container uses: the anonymous ones, or all; *ret_bytes grows by what they
 * took. removed (may be NULL) is called for each that is gone. What cannot be removed is logged,
 * and stays. */
typedef void (*volumes_removed_fn)(void *data, const char *name);
int volumes_prune(const char *directory, bool all, volumes_removed_fn removed, void *data,
		  uint64_t *bytes, struct error **ret_error);
/* Removes what was interrupted in making or removing volumes has left. */
void volumes_tidy(const char *directory);
