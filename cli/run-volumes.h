/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The named and anonymous volumes of an image's container: directories of the image store
 * (host/volumes.h), which it sees as binds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "client/client.h"
#include "rootfs/image/store.h"

struct run_volume {
	char *name;
	bool anonymous;
};

/* Where the store has them; caller frees. */
char *run_volumes_directory(const struct image_store *store);
/* What the container of ROOT/ID is a user of them by (volumes.h: MARKS); caller frees. */
char *run_volumes_marks(const struct client *client, const char *id);

/* Those that its creation is to fill. */
struct run_fills {
	int *fds;
	size_t n;
};
/* Makes those that are missing, and notes that the container uses them.  Waits for others that are
 * filling them, until cancel_fd can be read (ECANCELED).  Failed: *fills is the caller's to free
 * all the same. */
int run_volumes_take(const char *directory, const char *marks, const struct run_volume *volumes,
		     size_t n, int cancel_fd, struct run_fills *fills, struct error **ret_error);
/* The container is made, and they are filled. */
void run_fills_finish(struct run_fills *fills);
/* Those that are not finished are not filled. */
void run_fills_done(struct run_fills *fills);

/* Of these, removes the anonymous ones that nobody uses any more; what fails is logged. */
void run_volumes_drop(const char *directory, char *const *names);
