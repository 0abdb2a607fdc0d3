# SPDX-License-Identifier: Apache-2.0
# Link order: ttrpc/libttrpc.a protocol/libproto.a base/libbase.a, then protobuf-c.
noinst_LIBRARIES += ttrpc/libttrpc.a
ttrpc_libttrpc_a_SOURCES = \
	ttrpc/any.c ttrpc/any.h \
	ttrpc/call.c \
	ttrpc/client.c \
	ttrpc/codes.c \
	ttrpc/connection.c ttrpc/connection.h \
	ttrpc/frame.c ttrpc/frame.h \
	ttrpc/message.c ttrpc/message.h \
	ttrpc/server.c ttrpc/server.h \
	ttrpc/sync.c \
	ttrpc/ttrpc.h
