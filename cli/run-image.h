/* SPDX-License-Identifier: Apache-2.0 */
/* `run` of an image: finding or pulling it, and a bundle of its own. */
#pragma once

#include "cli/verb.h"

/* Where its image and stop signal are kept, as others keep them (image-spec annotations.md). */
#define ANNOTATION_IMAGE "org.opencontainers.image.ref.name"
/* Of the annotations that are labels. */
#define RUN_LABEL_PREFIX "label."
#define ANNOTATION_STOP_SIGNAL "org.opencontainers.image.stopSignal"
/* --stop-timeout, in seconds. */
#define ANNOTATION_STOP_TIMEOUT "stop.timeout"

/* command->options is a struct run_options; args are the image and the command.  The exit status,
 * or -1. */
int run_image(const struct command *command, struct error **ret_error);
