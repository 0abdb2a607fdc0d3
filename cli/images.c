/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of images share: see images.h. */
#include "cli/images.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/log.h"

#define SHORT_ID 12

int image_verb_open(const struct command *command, struct image_store **ret_store,
		    struct error **ret_error)
{
	return image_store_open(command->globals->image_store, ret_store, ret_error);
}

char *images_id(const struct stored_image *image, bool is_whole)
{
	return is_whole ? xstrdup(image->config_digest)
			: xstrndup(digest_hex(image->config_digest), SHORT_ID);
}

/* Docker's form: units of 1000, three digits. */
char *images_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 999.5 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1000;
		unit++;
	}
	return xasprintf("%.3g%s", value, units[unit]);
}

void images_tidy(struct image_store *store)
{
	_cleanup_error_ struct error *error = NULL;
	uint64_t bytes;

	if (image_store_collect(store, false, false, &bytes, &error) < 0)
		log_debug("%s: what is not used any more stays for now", error->message);
}
