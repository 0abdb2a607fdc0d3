/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rig of the task server's tests: a server in a process of its own, the fake
 * VMM (fake-vmm.c) as its machine, and a client's calls.
 *
 * The test's process is a child subreaper, so that it gets the VMM's status as
 * conmon would.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/sandbox.pb-c.h"
#include "protocol/task.pb-c.h"
#include "tests/unit/test.h"
#include "ttrpc/ttrpc.h"

#define RIG_ID "box"

struct rig {
	char *directory; /* of everything; removed by rig_done() */
	char *bundle;
	char *socket;
	pid_t server;
	int connection;				    /* of calls that answer at once */
	uint64_t boot_timeout_ms, drain_timeout_ms; /* set before rig_start(), as is: */
	uint64_t idle_timeout_ms;
	const char *namespace; /* of containerd; NULL: CLI mode */
	const char *network;   /* of CreateOptions; NULL: not asked for */
	bool own_root;	       /* a directory, not an image */
	const char *events; /* where they go; in CLI mode, of the namespace "unit"; NULL: nowhere */
	const char *oom_file; /* of CreateOptions; NULL: not asked for */
};

/* What config.json says; members are JSON texts, NULL for a default. */
struct rig_config {
	const char *args; /* ["sh","-c","…"] */
	const char *fake; /* words for the fake VMM */
	const char *more; /* further members, ", \"hooks\": …" */
	bool terminal;
};

void rig_init(struct rig *rig);
void rig_start(struct rig *rig);
void rig_write_config(struct rig *rig, const struct rig_config *config);
/* Shutdown; the server must end with status 0 and leave only vmm.log behind. */
void rig_done(struct rig *rig);
/* The files alone, after a server that has ended otherwise. */
void rig_remove(struct rig *rig);

/* One call on a fresh connection: the reply, freed with rig_free(), or NULL with
 * *ret_error. */
ProtobufCMessage *rig_call(struct rig *rig, const char *method, const ProtobufCMessage *request,
			   const ProtobufCMessageDescriptor *response, const int *fds, size_t n_fds,
			   struct error **ret_error);
/* Of a service that is named, without descriptors. */
#define RIG_SANDBOX_API "containerd.runtime.sandbox.v1.Sandbox"
ProtobufCMessage *rig_call_service(struct rig *rig, const char *service, const char *method,
				   const ProtobufCMessage *request,
				   const ProtobufCMessageDescriptor *response,
				   struct error **ret_error);
void rig_free(void *message);

/* Create with these host descriptors as fd:0…2 (-1: null I/O). */
uint32_t rig_create(struct rig *rig, const int fds[3], bool terminal, struct error **ret_error);
int rig_start_task(struct rig *rig, const char *exec_id, struct error **ret_error);
int rig_kill(struct rig *rig, const char *exec_id, uint32_t signal, struct error **ret_error);
/* The exit status, or -1. */
int rig_wait(struct rig *rig, const char *exec_id, struct error **ret_error);
int rig_delete(struct rig *rig, const char *exec_id, struct error **ret_error);
int rig_exec(struct rig *rig, const char *exec_id, const char *args, const int fds[3],
	     bool terminal, struct error **ret_error);
Task__Status rig_status(struct rig *rig, const char *exec_id);
/* Calls of no arguments but the id. */
int rig_simple(struct rig *rig, const char *method, struct error **ret_error);

/* Everything up to a running container. */
uint32_t rig_run(struct rig *rig, const struct rig_config *config, const int fds[3]);
/* waitpid() of the VMM, by the process that reaps orphans: its wait status. */
int rig_reap(pid_t pid);
/* Everything from fd to its end, NUL-terminated. */
char *rig_read(int fd);
