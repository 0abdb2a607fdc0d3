/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a container of an image again after it has ended.
 *
 * ROOT/ID/bundle/run.json keeps what config.json does not say: layers, network, ports and what the
 * machine is to be.
 */
#pragma once

#include "cli/log-reader.h"
#include "cli/run-log.h"
#include "cli/run-restart.h"
#include "cli/verb.h"
#include "client/create.h"
#include "host/network-options.h"

/* For run_again(); bundle: that of the container. layers end with NULL. restart: --restart's word,
 * or NULL. store: the image store's path. log: where its output goes. changes: run_changes()'. */
int run_again_save(const char *bundle, const struct create_options *options, char *const *layers,
		   const char *restart, const char *store, const struct run_log *log,
		   char *const *changes, struct error **ret_error);
#define RUN_AGAIN_FILE "run.json"
/* The same for a container of a checkpoint, with what from's bundle notes, but for the options'
 * network and ports; and nothing starts it again by itself. */
int run_again_copy(const char *from, const char *bundle, const struct create_options *options,
		   const char *store, const struct run_log *log, struct error **ret_error);
/* Those of a container; *ret_changes: NULL, if it is of a bundle. */
int run_again_changes(const struct client *client, const char *id, char ***ret_changes,
		      struct error **ret_error);
/* Where the output of a container goes whose bundle this is. */
int run_again_log(const char *bundle, const char *root, const char *id, struct run_log *ret_log,
		  struct error **ret_error);
/* That log, to be read from its beginning on; ret_path: its path, caller frees; NULL: of no
 * interest.  ENOENT: the container keeps no output, which the error says. */
int run_again_reader(const struct client *client, const char *id, char **ret_path,
		     struct log_reader **ret_reader, struct error **ret_error);
/* The path of the image store that has its volumes and its disk; NULL: it is not noted.  ENOENT: as
 * run_again_network(). */
int run_again_store(const struct client *client, const char *id, char **ret_path,
		    struct error **ret_error);
/* ENOENT: the container was not made by run_again_save()'s caller.  The ports that lead to it
 * (network_options_done()). */
int run_again_network(const struct client *client, const char *id,
		      struct network_options *ret_network, struct error **ret_error);

/* Starts a container of an image that has stopped; what it writes goes behind what it has written.
 * For a watcher (run-restart.h), unless restart_check() says no.  EBUSY: it has not stopped, or is
 * not of an image. */
int run_again(const struct restart_again *watcher, struct error **ret_error);
/* The same because somebody asks for it: what --restart said holds again. */
int run_again_asked(const struct client *client, const char *image_store, const char *id,
		    struct error **ret_error);
/* Of a container of an image that has stopped, and is locked: a machine with its files, its disk
 * and its volumes, whose first process waits for a start that does not come, without a network.
 * idle_end() ends it; ret_handle is locked. */
int run_again_idle(const struct client *client, const struct handle *stopped,
		   struct handle **ret_handle, struct error **ret_error);
