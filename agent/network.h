/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network namespaces of the containers: what the host says that they have (NetworkRequest in
 * protocol/agent.proto), and the one of the machine's own.
 *
 * The agent itself stays in the guest's initial network namespace, where the devices wait that
 * stand for nothing yet.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/agent.pb-c.h"
#include "runtime-spec/spec.h"

#define NETWORK_OBJECTS_MAX 4096
#define NETWORK_SETTINGS_MAX 4096

/* What each namespace has been given. */
struct networks;

struct networks *networks_new(void);
void networks_free(struct networks *networks);

/* The namespace where all containers are whose own has a path: made when it is first asked for.
 * The descriptor stays the callee's. */
int networks_machine_fd(struct networks *networks, int *ret_fd, struct error **ret_error);

/* Gives the network namespace of the process, init of the container request->id, what the request
 * says and then what the container's spec has as sysctls of the interfaces, and takes from it what
 * an earlier request said and this one does not. A request that is wrong
 * changes nothing; after another failure, the next one goes on from what is there. */
int networks_apply(struct networks *networks, pid_t pid, const struct spec *spec,
		   const Agent__NetworkRequest *request, struct error **ret_error);
/* The container has gone. */
void networks_forget(struct networks *networks, const char *id);
