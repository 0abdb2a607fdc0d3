/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's template, found or made: what the engines have in common.
 *
 * Making one takes as long as a boot.  The machine boots to where its agent waits for devices
 * (agent/template.h), which it says on its console, and is stopped there.
 */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/loop.h"
#include "protocol/vm-config.h"
#include "vmm/image.h"
#include "vmm/template.h"

/* A machine that takes longer is given up by the process that waits for this one, most likely. */
#define TEMPLATE_TIMEOUT_MS 600000

struct template_recipe {
	const struct vm_config *config; /* config->templates is set */
	const struct images *images;
	/* Lines of the key ("NAME VALUE\n"): what else the engine makes the machine of; NULL: it
	 * cannot be told. */
	const char *engine;
	/* Boots such a machine, with every privilege, and publishes its files.  EOPNOTSUPP: there
	 * can be no template, and nobody need try.  *ret_rebooted: another attempt may succeed. */
	int (*make)(const struct template_recipe *recipe, struct template_store *store,
		    bool *ret_rebooted, struct error **ret_error);
	const void *data;
};

/* Before there is a thread.  An error means that there is none, and the guest is to boot:
 * EOPNOTSUPP is one of a kind of machine that can have none, or of config->template_failed. */
int template_get(const struct template_recipe *recipe, struct template *ret_template,
		 struct error **ret_error);

/* Its files have turned out to be of no use: the next machine of the kind makes others. */
void template_discard(const struct template_recipe *recipe);

/* ---- what the machine says on its console ---- */

struct template_console;
struct template_console_events {
	void (*idle)(void *data); /* now it can be stopped; once */
	void (*refused)(void *data, const char *reason);
	void *data;
};
/* *ret_output: where the console's output is to go, a stream socket; becomes the caller's. */
int template_console_new(struct loop *loop, const struct template_console_events *events,
			 int *ret_output, struct template_console **ret_console,
			 struct error **ret_error);
void template_console_free(struct template_console *console);
DEFINE_CLEANUP(struct template_console, template_console_free)

/* Appends what has come of a non-blocking descriptor; false: nothing, for now; *ret_ended:
 * nothing more will. */
bool template_receive(int fd, struct buffer *buffer, bool *ret_ended);
