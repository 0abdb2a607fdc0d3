/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE server's hash tables: see fuse-parts.h.  They hold what the guest
 * makes them hold, so they give memory back when it lets go. */
#include <stdlib.h>

#include "base/alloc.h"
#include "rootfs/share/fuse-parts.h"

#define BUCKETS_MIN 64

/* Knuth's multiplicative hashing: consecutive numbers spread well. */
static size_t bucket_of(const struct fuse_table *table, uint64_t hash)
{
	return (size_t)((hash * 0x9e3779b97f4a7c15ULL) >> 32) & (table->n_buckets - 1);
}

static void resize(struct fuse_table *table, size_t n_buckets)
{
	struct fuse_table bigger = { .n_buckets = n_buckets, .count = table->count };

	bigger.buckets = xcalloc(n_buckets, sizeof(struct fuse_link *));
	for (size_t i = 0; i < table->n_buckets; i++) {
		while (table->buckets[i]) {
			struct fuse_link *link = table->buckets[i];
			size_t at = bucket_of(&bigger, link->hash);

			table->buckets[i] = link->next;
			link->next = bigger.buckets[at];
			bigger.buckets[at] = link;
		}
	}
	free(table->buckets);
	*table = bigger;
}

void fuse_table_add(struct fuse_table *table, struct fuse_link *link, uint64_t hash)
{
	size_t at;

	if (table->count >= table->n_buckets)
		resize(table, table->n_buckets == 0 ? BUCKETS_MIN : table->n_buckets * 2);
	at = bucket_of(table, hash);
	link->hash = hash;
	link->next = table->buckets[at];
	table->buckets[at] = link;
	table->count++;
}

void fuse_table_remove(struct fuse_table *table, struct fuse_link *link)
{
	struct fuse_link **at = &table->buckets[bucket_of(table, link->hash)];

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	table->count--;
	if (table->n_buckets > BUCKETS_MIN && table->count < table->n_buckets / 4)
		resize(table, table->n_buckets / 2);
}

struct fuse_link *fuse_table_first(const struct fuse_table *table, uint64_t hash)
{
	struct fuse_link *link;

	if (table->n_buckets == 0)
		return NULL;
	link = table->buckets[bucket_of(table, hash)];
	return link && link->hash != hash ? fuse_table_next_of(link, hash) : link;
}

struct fuse_link *fuse_table_next_of(const struct fuse_link *link, uint64_t hash)
{
	struct fuse_link *next = link->next;

	while (next && next->hash != hash)
		next = next->next;
	return next;
}

struct fuse_link *fuse_table_each(const struct fuse_table *table, const struct fuse_link *link)
{
	size_t at = link ? bucket_of(table, link->hash) + 1 : 0;

	if (link && link->next)
		return link->next;
	while (at < table->n_buckets && !table->buckets[at])
		at++;
	return at < table->n_buckets ? table->buckets[at] : NULL;
}

struct fuse_link *fuse_table_take(struct fuse_table *table)
{
	struct fuse_link *all = NULL;

	for (size_t i = 0; i < table->n_buckets; i++) {
		while (table->buckets[i]) {
			struct fuse_link *link = table->buckets[i];

			table->buckets[i] = link->next;
			link->next = all;
			all = link;
		}
	}
	free(table->buckets);
	*table = (struct fuse_table){ 0 };
	return all;
}
