/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scope of systemd's: see cgroup-scope.h.
 *
 * One connection for one call (dbus-specification, "Message Protocol"): SASL's EXTERNAL, which is
 * the socket's own word for who we are, then a message, then its answer.  Signals that come
 * between are passed over.
 */
#include "host/cgroup-scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/checked.h"
#include "base/hex.h"
#include "base/io.h"

#define TIMEOUT_S 10
#define MESSAGE_MAX (1u << 20)
#define SYSTEM_SOCKET "/run/systemd/private"

/* "Message Format" */
enum { DBUS_CALL = 1, DBUS_RETURN = 2, DBUS_ERROR = 3 };
enum {
	DBUS_PATH = 1,
	DBUS_INTERFACE = 2,
	DBUS_MEMBER = 3,
	DBUS_DESTINATION = 6,
	DBUS_SIGNATURE = 8
};
#define HEADER_SIZE 16
#define FIELDS_LENGTH_AT 12

bool cgroup_scope_available(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

char *cgroup_scope_socket(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		return xstrdup(SYSTEM_SOCKET);
	return runtime ? xasprintf("%s/systemd/private", runtime) : NULL;
}

/* ---- writing ---- */

static void align(struct buffer *out, size_t to)
{
	static const uint8_t zeroes[8];

	buffer_append(out, zeroes, (to - buffer_length(out) % to) % to);
}

static void put_u8(struct buffer *out, uint8_t value)
{
	buffer_append(out, &value, sizeof(value));
}

static void put_u32(struct buffer *out, uint32_t value)
{
	align(out, 4);
	buffer_append(out, &value, sizeof(value));
}

static void put_u64(struct buffer *out, uint64_t value)
{
	align(out, 8);
	buffer_append(out, &value, sizeof(value));
}

static void put_string(struct buffer *out, const char *text)
{
	put_u32(out, (uint32_t)strlen(text));
	buffer_append(out, text, strlen(text) + 1);
}

static void put_signature(struct buffer *out, const char *signature)
{
	put_u8(out, (uint8_t)strlen(signature));
	buffer_append(out, signature, strlen(signature) + 1);
}

/* An array's length is known at its end; align: of its elements. */
static size_t begin_array(struct buffer *out, size_t to)
{
	put_u32(out, 0);
	align(out, to);
	return buffer_length(out);
}

static void end_array(struct buffer *out, size_t begin, size_t length_at)
{
	const uint32_t length = (uint32_t)(buffer_length(out) - begin);

	memcpy(buffer_data(out) + length_at, &length, sizeof(length));
}

/* (sv), up to the value. */
static void put_name(struct buffer *out, const char *name, const char *signature)
{
	align(out, 8);
	put_string(out, name);
	put_signature(out, signature);
}

static void put_bool(struct buffer *out, const char *name, bool value)
{
	put_name(out, name, "b");
	put_u32(out, value);
}

static void put_number(struct buffer *out, const char *name, uint64_t value)
{
	if (value == 0)
		return;
	put_name(out, name, "t");
	put_u64(out, value);
}

static void put_text(struct buffer *out, const char *name, const char *value)
{
	put_name(out, name, "s");
	put_string(out, value);
}

static void put_limits(struct buffer *out, const struct cgroup_scope *scope)
{
	put_number(out, "MemoryMax", scope->memory_max);
	put_number(out, "TasksMax", scope->tasks_max);
	put_number(out, "CPUWeight", scope->cpu_weight);
	put_number(out, "CPUQuotaPerSecUSec", scope->cpu_us_per_s);
	put_number(out, "CPUQuotaPeriodUSec", scope->period_us);
}

static void put_properties(struct buffer *out, const struct cgroup_scope *scope)
{
	const char *slice = scope->slice[0]  ? scope->slice
			    : geteuid() == 0 ? "system.slice"
					     : "user.slice";
	_cleanup_free_ char *description = xasprintf("supermachine %s", scope->name);

	put_text(out, "Description", description);
	put_text(out, "Slice", slice);
	/* One that was killed leaves no name behind (systemd 236). */
	put_text(out, "CollectMode", "inactive-or-failed");
	put_bool(out, "Delegate", true);
	put_bool(out, "DefaultDependencies", false);
	put_bool(out, "MemoryAccounting", true);
	put_bool(out, "CPUAccounting", true);
	put_bool(out, "TasksAccounting", true);
	put_bool(out, "IOAccounting", true);
	put_limits(out, scope);
	put_name(out, "PIDs", "au");
	put_u32(out, sizeof(uint32_t));
	put_u32(out, (uint32_t)scope->pid);
}

/* StartTransientUnit(name, mode, properties, auxiliary units): "ssa(sv)a(sa(sv))" */
static void put_unit(struct buffer *out, const struct cgroup_scope *scope)
{
	size_t length_at, begin;

	put_string(out, scope->name);
	put_string(out, "fail");
	align(out, 4);
	length_at = buffer_length(out);
	begin = begin_array(out, 8);
	put_properties(out, scope);
	end_array(out, begin, length_at);
	(void)begin_array(out, 8);
}

/* SetUnitProperties(name, runtime, properties): "sba(sv)" */
static void put_change(struct buffer *out, const struct cgroup_scope *scope)
{
	size_t length_at, begin;

	put_string(out, scope->name);
	align(out, 4);
	put_u32(out, true); /* as long as it lives */
	length_at = buffer_length(out);
	begin = begin_array(out, 8);
	put_limits(out, scope);
	end_array(out, begin, length_at);
}

static void put_field(struct buffer *out, uint8_t code, const char *signature, const char *value)
{
	align(out, 8);
	put_u8(out, code);
	put_signature(out, signature);
	if (signature[0] == 'g')
		put_signature(out, value);
	else
		put_string(out, value);
}

static void put_call(struct buffer *out, const char *member, const char *signature,
		     struct buffer *body)
{
	size_t begin;

	put_u8(out, 'l');
	put_u8(out, DBUS_CALL);
	put_u8(out, 0);
	put_u8(out, 1); /* the protocol's version */
	put_u32(out, (uint32_t)buffer_length(body));
	put_u32(out, 1); /* the call's number */
	begin = begin_array(out, 8);
	put_field(out, DBUS_PATH, "o", "/org/freedesktop/systemd1");
	put_field(out, DBUS_DESTINATION, "s", "org.freedesktop.systemd1");
	put_field(out, DBUS_INTERFACE, "s", "org.freedesktop.systemd1.Manager");
	put_field(out, DBUS_MEMBER, "s", member);
	put_field(out, DBUS_SIGNATURE, "g", signature);
	end_array(out, begin, FIELDS_LENGTH_AT);
	align(out, 8);
	buffer_append(out, buffer_data(body), buffer_length(body));
}

/* ---- the conversation ---- */

/* The line that follows is the last one before messages. */
static int authenticate(int fd, struct error **ret_error)
{
	_cleanup_free_ char *user = xasprintf("%u", geteuid());
	_cleanup_free_ char *hex = hex_encode((const uint8_t *)user, strlen(user));
	_cleanup_free_ char *words = xasprintf("AUTH EXTERNAL %s\r\n", hex);
	char line[256];
	size_t n = 0;

	/* (A byte of zero comes first: credentials travelled with it once.) */
	if (write_all(fd, "", 1) < 0 || write_all(fd, words, strlen(words)) < 0)
		return error_set_errno(ret_error, errno, "cannot speak to systemd");
	while (n < sizeof(line) - 1 && (n == 0 || line[n - 1] != '\n')) {
		if (read_all(fd, line + n, 1) != 1)
			return error_set_errno(ret_error, errno ? errno : EPIPE,
					       "systemd does not answer");
		n++;
	}
	line[n] = '\0';
	if (strncmp(line, "OK ", 3) != 0)
		return error_set(ret_error, EACCES, "systemd does not take us for user %s", user);
	if (write_all(fd, "BEGIN\r\n", strlen("BEGIN\r\n")) < 0)
		return error_set_errno(ret_error, errno, "cannot speak to systemd");
	return 0;
}

static uint32_t get_u32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* An error's body begins with words for people, its name is in the header. */
static int refused(const uint8_t *fields, size_t fields_size, const uint8_t *body, size_t size,
		   struct error **ret_error)
{
	static const char exists[] = "org.freedesktop.systemd1.UnitExists";
	const size_t length = size >= 4 ? MIN(get_u32(body), size - 4) : 0;
	const bool taken = memmem(fields, fields_size, exists, sizeof(exists) - 1);

	return error_set(ret_error, taken ? EEXIST : EIO, "systemd refuses the scope: %.*s",
			 (int)length, length ? (const char *)body + 4 : "");
}

/* One message; *ret_type: DBUS_…, of a signal another one. */
static int read_message(int fd, uint8_t *ret_type, struct error **ret_error)
{
	uint8_t header[HEADER_SIZE];
	_cleanup_free_ uint8_t *rest = NULL;
	uint32_t body, fields;

	errno = 0;
	if (read_all(fd, header, sizeof(header)) != sizeof(header))
		return error_set_errno(ret_error, errno ? errno : EPIPE, "systemd does not answer");
	body = get_u32(header + 4);
	fields = get_u32(header + FIELDS_LENGTH_AT);
	if (header[0] != 'l' || body > MESSAGE_MAX || fields > MESSAGE_MAX)
		return error_set(ret_error, EPROTO, "unexpected message from systemd");
	fields = (fields + 7) & ~7u;
	rest = xmalloc((size_t)fields + body + 1);
	if (read_all(fd, rest, (size_t)fields + body) != (ssize_t)fields + body)
		return error_set_errno(ret_error, errno ? errno : EPIPE, "systemd does not answer");
	*ret_type = header[1];
	return header[1] == DBUS_ERROR ? refused(rest, fields, rest + fields, body, ret_error) : 0;
}

static int call(const char *socket, const char *member, const char *signature, struct buffer *body,
		struct error **ret_error)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_S };
	_cleanup_close_ int fd = unix_connect(socket, ret_error);
	struct buffer message = { 0 };
	uint8_t type = 0;
	int result = -1;

	if (fd < 0)
		return error_wrap(ret_error, "cannot ask systemd for a scope");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	put_call(&message, member, signature, body);
	if (authenticate(fd, ret_error) == 0) {
		if (write_all(fd, buffer_data(&message), buffer_length(&message)) < 0)
			result = error_set_errno(ret_error, errno, "cannot speak to systemd");
		else
			do
				result = read_message(fd, &type, ret_error);
			while (result == 0 && type != DBUS_RETURN);
	}
	buffer_done(&message);
	return result;
}

int cgroup_scope_start(const char *socket, const struct cgroup_scope *scope,
		       struct error **ret_error)
{
	struct buffer body = { 0 };
	int result;

	put_unit(&body, scope);
	result = call(socket, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body, ret_error);
	buffer_done(&body);
	return result;
}

int cgroup_scope_set(const char *socket, const struct cgroup_scope *scope, struct error **ret_error)
{
	struct buffer body = { 0 };
	int result;

	put_change(&body, scope);
	result = call(socket, "SetUnitProperties", "sba(sv)", &body, ret_error);
	buffer_done(&body);
	return result;
}
