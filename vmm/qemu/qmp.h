/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of QEMU's monitor protocol (QMP; docs/interop/qmp-spec.rst of QEMU),
 * of which only a handful of commands is used: no results come in.
 *
 * QEMU is next to a hostile guest: what it says is a message that is checked, no
 * more.  Loop thread only.
 */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"

struct qmp_events {
	/* An event; data is its "data" member, which may be absent. */
	void (*event)(void *data, const char *name, const struct json_at *details);
	/* The commands sent so far have all succeeded. */
	void (*idle)(void *data);
	/* Once: QEMU closed the socket, refused a command or broke the protocol.
	 * Nothing comes after it. */
	void (*lost)(void *data, const char *reason);
	void *data;
};

/* For "migrate-set-capabilities", at both ends: memory that is a file of ours stays where
 * it is, and what becomes of a migration is told by events. */
#define QMP_MIGRATION_CAPABILITIES                                                                 \
	"{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true},"                  \
	"{\"capability\":\"events\",\"state\":true}]}"

struct qmp;
/* socket: a connected stream socket, becomes the client's.  The handshake begins
 * with QEMU's greeting, whenever that comes; commands wait for it. */
int qmp_new(int socket, struct loop *loop, const struct qmp_events *events, struct qmp **ret_qmp,
	    struct error **ret_error);
void qmp_free(struct qmp *qmp);
DEFINE_CLEANUP(struct qmp, qmp_free)

/* Sends a command; arguments is the text of a JSON object, or NULL.  idle() answers. */
void qmp_send(struct qmp *qmp, const char *command, const char *arguments);
/* The same with a descriptor ("getfd"), which stays the caller's: only once QEMU has
 * answered a command. */
void qmp_send_fd(struct qmp *qmp, const char *command, const char *arguments, int fd);
