/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of an object in the VMM's document, as a table.  One entry is the reader and
 * the writer of one member, and says which descriptors the object names: the tables are in
 * vm-config.c, for the machine, and in vm-device.c, for each type of device.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

/* A file by path, or an inherited descriptor by number (path NULL). */
struct vm_file {
	char *path;
	int fd; /* -1 when path is set */
};

static inline bool vm_file_is_set(const struct vm_file *file)
{
	return file->path || file->fd >= 0;
}

/* More of them, for what has several. */
#define VM_FD_LIST_MAX 7
struct vm_fd_list {
	int fds[VM_FD_LIST_MAX];
	size_t n;
};

/* The address of an Ethernet interface: of one, not of a group. */
struct vm_mac {
	uint8_t bytes[6];
};

enum vm_field_kind {
	VM_FIELD_STRING,    /* char *; NULL: absent */
	VM_FIELD_BOOL,	    /* bool */
	VM_FIELD_UINT32,    /* uint32_t; below min: absent */
	VM_FIELD_UINT64,    /* uint64_t; below min: absent */
	VM_FIELD_CHOICE,    /* an enum: one of `names` */
	VM_FIELD_FD,	    /* int, as N; -1: absent */
	VM_FIELD_FD_OBJECT, /* int, as {"fd": N}; -1: absent */
	VM_FIELD_FDS,	    /* struct vm_fd_list, as [N, …]; none: absent */
	VM_FIELD_MAC,	    /* struct vm_mac, as "02:00:00:00:00:01"; 0: absent */
	VM_FIELD_FILE,	    /* struct vm_file, as {"path": …} or {"fd": N}; neither: absent */
	VM_FIELD_PATHS,	    /* char **, an array of names, at most max; NULL: absent */
	VM_FIELD_APART,	    /* read and written by the table's owner */
};

/* What a descriptor that the document names must be. */
enum vm_fd_kind {
	VM_FD_FILE = 1,	 /* a regular file, open for reading */
	VM_FD_DISK,	 /* a regular file or a block device, open for reading */
	VM_FD_DIRECTORY, /* O_PATH is enough */
	VM_FD_OUTPUT,	 /* open for writing */
	VM_FD_STREAM,	 /* a connected stream socket */
	VM_FD_LISTENER,	 /* a unix stream socket that listens */
	VM_FD_LINK,	 /* a character device, or a connected unix stream socket */
	VM_FD_CHARACTER, /* a character device */
};

/* One that it names. */
#define VM_FD_PLACE_MAX 64
struct vm_named_fd {
	int number;
	enum vm_fd_kind kind;
	char place[VM_FD_PLACE_MAX]; /* in the document: "devices[2].file" */
};

struct vm_field {
	const char *name; /* NULL: behind the last */
	enum vm_field_kind kind;
	size_t offset;	    /* VM_MEMBER() */
	enum vm_fd_kind fd; /* FD, FD_OBJECT, FDS, FILE: what the descriptor must be */
	bool required;
	bool unique;		  /* a string or MAC that no other device of the type has */
	uint64_t min, max;	  /* of a number; of a string's bytes, max 0: any */
	uint64_t standard;	  /* a number that is absent */
	const char *const *names; /* of a choice, in the enum's order; NULL at the end */
};

/* Where a member is; the compiler warns if it is not of that type. */
#define VM_MEMBER(structure, member, type)                                                         \
	(offsetof(structure, member) + 0 * sizeof(&((structure *)0)->member == (type *)0))

/* What object holds when all is absent; the rest of it is zero. */
void vm_fields_init(const struct vm_field *fields, void *object);
/* Of an object that was initialised, also when reading it failed. */
void vm_fields_done(const struct vm_field *fields, void *object);
/* Into an initialised object.  A member of another name is refused. */
int vm_fields_read(const struct json_at *at, const struct vm_field *fields, void *object,
		   struct error **ret_error);
/* Members only: the caller has begun the object. */
void vm_fields_write(struct json_writer *writer, const struct vm_field *fields, const void *object);

/* Two objects' members that are set, STRING or MAC: are they the same?  And for people. */
bool vm_field_same(const struct vm_field *field, const void *object, const void *other);
char *vm_field_text(const struct vm_field *field, const void *object); /* caller frees */

/* The descriptors that the object names: up to one for each field, or VM_FD_LIST_MAX; returns how
 * many. prefix: the object's place in the document, "" or with a point behind. */
size_t vm_fields_fds(const struct vm_field *fields, const void *object, const char *prefix,
		     struct vm_named_fd *ret_fds);

/* Of an object whose descriptors are indices of fds: each becomes what stands there, and -1 stands
 * there then.  ERANGE: there is none (left). */
int vm_fields_take_fds(const struct vm_field *fields, void *object, int *fds, size_t n_fds,
		       struct error **ret_error);

/* The elements of an array of files, which are no members. */
int vm_file_read(const struct json_at *at, struct vm_file *file, struct error **ret_error);
void vm_file_write(struct json_writer *writer, const char *key, const struct vm_file *file);

/* By its name; false: there is none of that name. */
bool vm_choice_parse(const char *const *names, const char *name, unsigned *ret_choice);
