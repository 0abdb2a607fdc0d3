/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: machines with an idle agent, kept in files, from which clones start.
 *
 * A directory holds one for each key (a text that names all that a machine was made of):
 *
 *   lock            held while one is made
 *   NAME/key        NAME is a hash of the key
 *   NAME/ram        guest memory; where it was zero, a hole
 *   NAME/state      the rest of the machine, as its engine wrote it
 *   NAME/written    which pages of ram a start writes (ram_note_written()); empty until a clone
 *                   has noted it.  The guest of that clone has a hand in what it says
 *   NAME/clones     a byte for each clone
 *   NAME/refused    instead of both: why there can be none
 *
 * A key begins with the identity of this program and this boot of the host.  Templates of
 * other programs or boots are useless and are removed when one is made.  One that is a week old, or
 * has had many clones, is found no more, and another takes its place: what the guest's kernel drew
 * at its start, its addresses above all, is not the same for ever.  The files are trusted as the
 * programs are: the directory must belong to the caller, and only the caller may write to it.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* Of the file: as much as a pipe takes without privileges. */
#define TEMPLATE_STATE_MAX (1u << 20)

/* For how long, and for how many clones, one serves. */
#define TEMPLATE_AGE_MAX_S (7 * 24 * 60 * 60)
#define TEMPLATE_CLONES_MAX 10000

struct template
{
	int ram_fd, state_fd; /* -1: none */
	int written_fd;	      /* for reading and writing; -1: none */
};
#define TEMPLATE_NONE ((struct template){ -1, -1, -1 })
void template_close(struct template *template);
#define _cleanup_template_ _cleanup_(template_close)

/* The store in one directory, for one key. */
struct template_store;
/* Makes the directory if need be. */
int template_store_new(const char *directory, const char *key, struct template_store **ret_store,
		       struct error **ret_error);
void template_store_free(struct template_store *store);
DEFINE_CLEANUP(struct template_store, template_store_free)

/* The template, memory and state read-only.  ENOENT: there is none; EOPNOTSUPP: it was refused, and
 * why. */
int template_find(struct template_store *store, struct template *ret_template,
		  struct error **ret_error);

/* Waits until nobody else makes any, and until template_store_free() nobody will.  EAGAIN:
 * meanwhile somebody gave it up. */
int template_lock(struct template_store *store, struct error **ret_error);
/* Locked: a process that waits need not try for itself. */
void template_give_up(struct template_store *store);
/* Locked: empty files to be filled.  What was begun and not published goes with the store. */
int template_begin(struct template_store *store, struct template *ret_template,
		   struct error **ret_error);
/* Locked, begun: its clones are to note what they write. */
int template_add_written(struct template_store *store, struct error **ret_error);
/* They are the template; the oldest of too many goes, and those of earlier boots. */
int template_publish(struct template_store *store, struct error **ret_error);
/* Locked: there is none any more. */
void template_remove(struct template_store *store);
/* There is none, and nobody need try. */
int template_refuse(struct template_store *store, const char *reason, struct error **ret_error);

/* What an engine wrote of the rest of the machine.  EFBIG: more than TEMPLATE_STATE_MAX. */
int template_save_state(const struct buffer *state, int target_fd, struct error **ret_error);
/* Guest memory from one file to another, without the pages that hold zeroes.  The
 * target holds nothing but zeroes, and is as large. */
int template_save_ram(int ram_fd, int target_fd, struct error **ret_error);
int template_load_ram(int source_fd, int ram_fd, struct error **ret_error);

/* What a key begins with: this program and this boot; caller frees.  NULL: it cannot be told. */
char *template_key_head(void);
/* A line for a key: which file this is, as far as stat(2) tells; caller frees.  NULL: it does not.
 */
char *template_key_file(const char *what, int fd);
