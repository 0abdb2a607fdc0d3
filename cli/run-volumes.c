/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of an image's container: see run-volumes.h. */
#include "cli/run-volumes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "client/create.h"
#include "host/volumes.h"
#include "runtime-spec/state.h"

char *run_volumes_directory(const struct image_store *store)
{
	return xasprintf("%s/volumes", image_store_path(store));
}

char *run_volumes_marks(const struct client *client, const char *id)
{
	return state_path(client->root, id, CREATE_IMAGE_BUNDLE "/volumes");
}

static int compare(const void *a, const void *b)
{
	return strcmp((*(const struct run_volume *const *)a)->name,
		      (*(const struct run_volume *const *)b)->name);
}

int run_volumes_take(const char *directory, const char *marks, const struct run_volume *volumes,
		     size_t n, int cancel_fd, struct run_fills *fills, struct error **ret_error)
{
	_cleanup_free_ const struct run_volume **sorted = xcalloc(n + 1, sizeof(*sorted));

	fills->fds = xcalloc(n + 1, sizeof(*fills->fds));
	for (size_t i = 0; i < n; i++)
		sorted[i] = &volumes[i];
	/* All wait for each other in one order, and nobody for itself. */
	qsort(sorted, n, sizeof(*sorted), compare);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			continue;
		if (volumes_take(directory, sorted[i]->name, sorted[i]->anonymous, marks, cancel_fd,
				 &fills->fds[fills->n], ret_error) < 0)
			return -1;
		fills->n++;
	}
	return 0;
}

void run_fills_finish(struct run_fills *fills)
{
	for (size_t i = 0; i < fills->n; i++)
		volumes_filled(fills->fds[i]);
	free(fills->fds);
	*fills = (struct run_fills){ 0 };
}

void run_fills_done(struct run_fills *fills)
{
	for (size_t i = 0; i < fills->n; i++)
		close_fdp(&fills->fds[i]);
	free(fills->fds);
	*fills = (struct run_fills){ 0 };
}

static int drop(const char *directory, const char *name, struct error **ret_error)
{
	_cleanup_(volumes_entry_freep) struct volumes_entry *entry = NULL;

	if (volumes_find(directory, name, &entry, ret_error) < 0)
		return -1;
	return entry->anonymous ? volumes_remove(directory, name, ret_error) : 0;
}

void run_volumes_drop(const char *directory, char *const *names)
{
	for (; names && *names; names++) {
		_cleanup_error_ struct error *error = NULL;

		if (drop(directory, *names, &error) == 0 || error->code == ENOENT)
			continue;
		/* Another container uses it, too. */
		if (error->code == EBUSY)
			log_debug("%s", error->message);
		else
			log_warning("%s", error->message);
	}
}
