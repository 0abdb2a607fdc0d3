# SPDX-License-Identifier: Apache-2.0
# A client of the task server: what the verbs have in common.
noinst_LIBRARIES += client/libclient.a
client_libclient_a_SOURCES = \
	client/client.h \
	client/caller.c client/caller.h \
	client/checkpoint.c client/checkpoint.h \
	client/create.c client/create.h \
	client/delete.c client/delete.h \
	client/exec-process.c client/exec-process.h \
	client/handle.c client/handle.h \
	client/interrupt.c client/interrupt.h \
	client/join.c client/join.h \
	client/pty.c client/pty.h \
	client/server.c client/server.h
