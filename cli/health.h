/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health checks of containers of images, as docker has them: what is run, how often, and what its
 * exit statuses mean.  health-watch.h runs it.
 *
 *              exit 0                        `retries` failures in a row
 *   starting ─────────► healthy ◄──────► unhealthy
 *       └──────────────────────────────────────►
 *
 * A failure within the start period, while it has not been healthy yet, does not count.
 *
 * ROOT/ID/bundle/HEALTH_CHECK_FILE: what is run; ROOT/ID/HEALTH_FILE: how it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/run-options.h"
#include "rootfs/image/image-config.h"

#define HEALTH_CHECK_FILE "health-check.json"
#define HEALTH_FILE "health.json"
#define HEALTH_LOG_MAX 5 /* results that are kept, as docker keeps them */
#define HEALTH_OUTPUT_MAX 4096
#define HEALTH_TEXT_MAX (1u << 20) /* of either file */

struct health_check {
	char **args; /* NULL: there is no check */
	uint64_t interval_ms, timeout_ms, start_period_ms, start_interval_ms, retries;
};
void health_check_done(struct health_check *check);
/* The options in place of what the image says, one by one. */
int health_check_find(const struct run_options *options, const struct image_config *config,
		      struct health_check *ret_check, struct error **ret_error);
/* Into a bundle; nothing is written for a container that has no check. */
int health_check_save(const struct health_check *check, const char *bundle,
		      struct error **ret_error);
/* ENOENT: the container has none. */
int health_check_load(const char *bundle, struct health_check *ret_check, struct error **ret_error);

enum health_status { HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };
const char *health_status_name(enum health_status status);

struct health_result {
	uint64_t start_ns, end_ns; /* realtime */
	int exit_code;		   /* -1: it did not end in time, or could not be run */
	char *output;
};
struct health {
	enum health_status status;
	uint64_t streak;			  /* failures in a row */
	struct health_result log[HEALTH_LOG_MAX]; /* the oldest first */
	size_t n_log;
};
void health_done(struct health *health);
/* running_ms: how long the container had run when the check began.  result->output: taken over. */
void health_note(struct health *health, const struct health_check *check, uint64_t running_ms,
		 const struct health_result *result);
/* How long to wait for the next one. */
uint64_t health_delay_ms(const struct health *health, const struct health_check *check,
			 uint64_t running_ms);
/* What a check has written, as text: valid UTF-8 without control characters, line ends apart.  The
 * caller frees it. */
char *health_output(const char *bytes, size_t size);
/* Docker's State.Health; caller frees. */
char *health_json(const struct health *health, size_t *ret_size);
/* The status in ROOT/ID/HEALTH_FILE, or NULL: none is known. */
const char *health_look(const char *root, const char *id);
