/* SPDX-License-Identifier: Apache-2.0 */
/* Tables on the terminal, as Go's tabwriter lays runc's out. */
#pragma once

#include <stddef.h>
#include <stdio.h>

struct table {
	size_t n_columns;
	char **cells; /* row by row */
	size_t n_cells;
};

/* The next cell, a copy. */
void table_add(struct table *table, const char *text);
/* Columns at least 12 wide, 3 apart; the last one as it is. */
void table_print(const struct table *table, FILE *stream);
void table_done(struct table *table);
