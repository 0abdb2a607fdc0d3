/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --restart: starting a detached container again when it has ended.
 *
 * A process of its own waits for the container, as long as that is there, is not asked to end by
 * `stop` and its policy wants it to run.  ROOT/ID/bundle/restart.lock is that process's.
 * ROOT/ID/bundle/stopped: `stop` was the last that was asked for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "client/client.h"
#include "runtime-spec/state.h"

#define STOP_SECONDS_MAX 3600 /* that `stop` waits */

enum restart_when { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };
struct restart_policy {
	enum restart_when when;
	uint64_t retries; /* on failure: the most in a row; 0: any number */
};

/* Docker's words: no, always, unless-stopped, on-failure, on-failure:N. NULL: no. */
int restart_policy_parse(const char *word, struct restart_policy *ret_policy,
			 struct error **ret_error);
/* Whether what ended with this status is to start again, of which `retries` came before it. */
bool restart_policy_wants(const struct restart_policy *policy, uint32_t status, uint64_t retries);
/* Milliseconds until then: docker's, twice as long each time from 100 on, and at most a minute.
 * ran_ms: how long it ran; after ten seconds it begins anew.  *delay: the last one, 0 at first. */
void restart_delay(uint64_t ran_ms, uint64_t *delay);

/* The container that a watcher starts again: not another one of its name. */
struct restart_again {
	const struct client *client;
	const char *image_store, *id;
	uint64_t created_ns;
};
/* ECANCELED: `stop` has been asked for, or the container is another one. Its lock is held. */
int restart_check(const struct restart_again *again, const struct state *state,
		  struct error **ret_error);

bool restart_is_stopped(const struct client *client, const char *id);
/* Whether its process will start it again if it has ended. */
bool restart_is_watched(const struct client *client, const char *id);
/* Notes that the container is to stay as it is once it has ended, or is not. */
int restart_set_stopped(const struct client *client, const char *id, bool stopped,
			struct error **ret_error);

/* Starts the process, unless the policy is never; the container runs. `function` starts it once
 * more, if restart_check() lets it. */
typedef int (*restart_fn)(const struct restart_again *again, struct error **ret_error);
int restart_watch(const struct client *client, const char *image_store, const char *id,
		  const struct restart_policy *policy, restart_fn function,
		  struct error **ret_error);
