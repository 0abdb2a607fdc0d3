/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent as a whole: what every part of it needs to know.
 *
 * One thread, one loop.  Nothing here waits: a container is set up by a child
 * of its own (setup.h), and a timer polls what the kernel takes its time for (a
 * cgroup that freezes or empties).  A network namespace alone needs a thread in it,
 * for as long as the kernel takes to answer (network.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "protocol/agent.h"
#include "ttrpc/ttrpc.h"

/* Where things are; the tests have them elsewhere. */
struct agent_config {
	const char *cgroup_root; /* a cgroup v2 directory, ours */
	const char *block_dir;	 /* DISK/serial below it */
	const char *cpu_dir;	 /* cpuN/online below it */
	const char *stage_dir;	 /* an empty directory: roots are assembled on it */
	const char *socket_dir;	 /* for the sockets that stand for the host's; made if missing */
	const char *share_dir;	 /* an empty directory: the share is mounted there */
	/* How it is mounted by its tag: mount(2)'s type and flags. */
	const char *share_type;
	unsigned long share_flags;
};

struct agent_container;
struct doorman;
struct forgotten;
struct networks;
struct processors;
struct stdio_table;

struct agent {
	struct loop *loop;
	struct agent_config config;
	struct stdio_table *stdio;
	struct doorman *published; /* published.h */
	struct agent_container *containers;
	size_t n_containers;
	char *share_tag; /* share.h; NULL: not mounted */
	struct forgotten *forgotten;
	struct networks *networks;  /* network.h */
	struct memory_wait *memory; /* memory.h */
	struct processors *processors;
	struct source *child_source;
	bool greeted; /* Hello was the connection's first call */
	/* A connection to this port of the host, not blocking and maybe not made
	 * yet; -1 with errno. */
	int (*dial)(void *data, uint32_t port);
	void *dial_data;
	void (*power_off)(void *data); /* what Shutdown does after its answer */
	void *power_off_data;
};

/* Starts reaping; config's strings must outlive the agent. */
int agent_new(struct loop *loop, const struct agent_config *config, struct agent **ret_agent,
	      struct error **ret_error);
/* Containers must have been removed before. */
void agent_free(struct agent *agent);
DEFINE_CLEANUP(struct agent, agent_free)

/* The connection has ended: calls that wait are answered (to nobody), and the
 * next connection starts with Hello. */
void agent_connection_closed(struct agent *agent);

/* The ttrpc service; data of every handler is the agent.  One for each agent:
 * fill *ret_service, which the server then refers to. */
void agent_service_init(struct agent *agent, struct ttrpc_service *ret_service);
