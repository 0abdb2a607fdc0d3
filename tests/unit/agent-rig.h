/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent under test, in one of two ways.
 *
 * Without a machine: as PID 1 of a pid namespace of its own, with unix sockets
 * for vsock, a loop device for the layer's disk, and a directory of the host's
 * cgroup v2 hierarchy. Needs root; skips where something is missing.
 *
 * In a real guest, for the lab: RIG_KERNEL names a kernel directory, LAB_BUILD
 * the build tree with the VMM and the initramfs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/agent.pb-c.h"
#include "tests/unit/test.h"

struct rig {
	bool machine;
	pid_t pid;   /* of the agent, or of the VMM */
	int call_fd; /* a connection to its service, greeted */
	char *directory;
	int listen_fd; /* where the guest's agent dials, again after every test */
	/* without a machine */
	int feed_fd; /* descriptors for the agent */
	int disk_fd; /* the loop device */
	char *cgroup;
	char *disk_name;
	uint32_t next_port;
};

/* In place of test_main(): a guest is booted once, for all cases. */
int rig_main(int argc, char **argv, const struct test_case *cases, size_t n_cases);
#define RIG_MAIN(cases)                                                                            \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return rig_main(argc, argv, (cases), sizeof(cases) / sizeof((cases)[0]));          \
	}

/* Starts an agent whose root file system is the common one: busybox, /etc/passwd
 * with root and user (1000), and a few oddities (see agent-rig.c). */
void rig_start(struct rig *rig);
/* Ends it; fails the test if it left a cgroup behind. */
void rig_stop(struct rig *rig);

/* A connected stream for a port that *ret_port names. */
int rig_stream(struct rig *rig, uint32_t *ret_port);

/* The two ways. */
void rig_start_process(struct rig *rig);
int rig_process_stream(struct rig *rig, uint32_t *ret_port);
void rig_start_machine(struct rig *rig, const char *kernel);
void rig_machine_connect(struct rig *rig);
int rig_machine_stream(struct rig *rig, uint32_t *ret_port);
/* Shows what the guest said, for a test that fails. */
void rig_machine_show(const struct rig *rig);
/* system(3), which must succeed. */
void rig_command(const char *command);

/* config.json: NULL members mean nothing to add. */
struct rig_config {
	const char *env;	/* JSON array; default a PATH */
	const char *args;	/* JSON array */
	const char *process;	/* more members of process: "\"terminal\": true" */
	const char *linux_;	/* more members of linux */
	const char *top;	/* more members at the top */
	const char *mounts;	/* more mounts */
	const char *cwd;	/* default "/" */
	const char *user;	/* JSON object; default root */
	const char *namespaces; /* JSON array */
	const char *hostname;	/* default "box"; "": none */
	const char *joins[5];	/* types of those that are the container "main"'s */
	bool readonly;
	/* Without a machine: a host directory as the share; the root in it (NULL: the
	 * common layer); and for the first of `mounts`, in order, its place in the share or,
	 * where that is "", a forwarded socket of port RIG_SOCKET_PORT + its index. */
	const char *share, *root_share;
	const char *const *sources; /* NULL-terminated */
	const char *published;	    /* path of a published socket */
};
#define RIG_SOURCES_MAX 8
#define RIG_SOCKET_PORT 1100
#define RIG_SOCKET_KEY "secret"
/* Where the agent's connection to a port of the host arrives (without a machine): a
 * path to listen on; caller frees. */
char *rig_port_path(const struct rig *rig, uint32_t port);
/* A connection of the host's to the agent's port for published sockets (without a
 * machine). */
int rig_published(struct rig *rig);
char *rig_config_json(const struct rig_config *config);

struct rig_result {
	char *out, *err; /* what came, NUL-terminated */
	size_t out_size;
	uint32_t code, signal;
};
void rig_result_done(struct rig_result *result);

/* One call; response NULL if it does not matter. */
int rig_call(struct rig *rig, const char *method, const void *request,
	     const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **ret_response,
	     struct error **ret_error);
/* A container made from config with streams for stdio, stdin (NULL: none). */
struct rig_io {
	int in, out, err; /* -1: none */
};
int rig_create(struct rig *rig, const char *id, const struct rig_config *config,
	       struct rig_io *ret_io, struct error **ret_error);
int rig_start_container(struct rig *rig, const char *id, struct error **ret_error);
void rig_wait(struct rig *rig, const char *id, const char *exec_id, struct rig_result *result);
int rig_delete(struct rig *rig, const char *id, struct error **ret_error);
int rig_signal(struct rig *rig, const char *id, uint32_t signal, bool all,
	       struct error **ret_error);
/* Reads to the end, at most 1 MiB. */
char *rig_read(int fd, size_t *ret_size);
/* create, start, read everything, wait, delete; every failure is the test's. */
void rig_run(struct rig *rig, const struct rig_config *config, struct rig_result *ret_result);
/* rig_run() of sh -c SCRIPT in a default container; the output, which must come
 * with exit code 0. Caller frees. */
char *rig_shell(struct rig *rig, const struct rig_config *config, const char *script);
/* The same as an exec in a running container. process: as in rig_config. */
int rig_exec(struct rig *rig, const char *id, const char *exec_id, const char *process_json,
	     struct rig_io *ret_io, struct error **ret_error);
