/* SPDX-License-Identifier: Apache-2.0 */
/* Tables on the terminal: see table.h. */
#include "cli/table.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/checked.h"

#define WIDTH_MIN 12
#define PADDING 3

void table_add(struct table *table, const char *text)
{
	table->cells = xreallocarray(table->cells, table->n_cells + 1, sizeof(*table->cells));
	table->cells[table->n_cells++] = xstrdup(text);
}

/* Of text in UTF-8: its bytes but for those that go on with a character. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = WIDTH_MIN;

	for (size_t i = column; i < table->n_cells; i += table->n_columns)
		width = MAX(width, text_width(table->cells[i]) + PADDING);
	return width;
}

void table_print(const struct table *table, FILE *stream)
{
	for (size_t i = 0; i < table->n_cells; i++) {
		const size_t column = i % table->n_columns;
		const char *cell = table->cells[i];

		if (column + 1 == table->n_columns)
			(void)fprintf(stream, "%s\n", cell);
		else
			(void)fprintf(stream, "%s%*s", cell,
				      (int)(column_width(table, column) - text_width(cell)), "");
	}
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
}
