/* SPDX-License-Identifier: Apache-2.0 */
/* Tables on the terminal: see table.h. */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"

#define WIDTH_MIN 12
#define PADDING 3

void table_add(struct table *table, const char *text)
{
	table->cells = xreallocarray(table->cells, table->n_cells + 1, sizeof(*table->cells));
	table->cells[table->n_cells++] = xstrdup(text);
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = WIDTH_MIN;

	for (size_t i = column; i < table->n_cells; i += table->n_columns)
		width = MAX(width, strlen(table->cells[i]) + PADDING);
	return width;
}

void table_print(const struct table *table, FILE *stream)
{
	for (size_t i = 0; i < table->n_cells; i++) {
		const size_t column = i % table->n_columns;

		if (column + 1 == table->n_columns)
			(void)fprintf(stream, "%s\n", table->cells[i]);
		else
			(void)fprintf(stream, "%-*s", (int)column_width(table, column),
				      table->cells[i]);
	}
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
}
