/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces for the tests of the agent's network: the host's, which ip(8) fills and the
 * kernel dumps, the guest's initial one, which is the test's own, and the container's.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "protocol/agent.pb-c.h"

#define WISH_OBJECTS_MAX 512
#define WISH_ITEMS_MAX 8

/* The test enters a network namespace of its own; skips where that is not possible. */
void network_rig_start(void);
/* A process in a new network namespace, which is there until the test ends. */
pid_t network_namespace_new(void);
void network_namespace_end(pid_t pid);

/* sh -c in the process's namespace (0: ours), which must succeed. */
void network_shell(pid_t pid, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What it prints; caller frees. */
char *network_output(pid_t pid, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A device in the initial namespace with the hardware address 02:00:00:00:00:NUMBER, up to date as
 * to its carrier. */
void network_device_new(unsigned number);

/* A request in the making. */
struct wish {
	Agent__NetworkRequest request;
	Agent__Interface interfaces[WISH_ITEMS_MAX], *interface_pointers[WISH_ITEMS_MAX];
	Agent__NetworkSetting settings[WISH_ITEMS_MAX], *setting_pointers[WISH_ITEMS_MAX];
	uint8_t bytes[WISH_ITEMS_MAX][2][6];
	ProtobufCBinaryData objects[WISH_OBJECTS_MAX];
};
void wish_init(struct wish *wish, const char *id);
void wish_done(struct wish *wish);
/* An interface for the device of this number (0: the loopback device). */
Agent__Interface *wish_add(struct wish *wish, unsigned number, const char *name, uint32_t index);
/* The same, as the process's namespace has it. */
Agent__Interface *wish_add_link(struct wish *wish, unsigned number, pid_t host, const char *name);
void wish_add_setting(struct wish *wish, const char *path, const char *value);
void wish_add_object(struct wish *wish, const void *bytes, size_t size);
/* All that the kernel dumps of a namespace: RTM_GETADDR, …; family AF_INET, …. */
void wish_add_dump(struct wish *wish, pid_t host, int type, int family);
void wish_add_all(struct wish *wish, pid_t host);
