/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line: a microvm that executes instructions and has interrupt
 * controllers, memory, a console and an entropy device of its own; every other
 * device is ours, behind a vhost-user socket.
 *
 * QEMU opens nothing by name but its own firmware: kernel, initramfs and console
 * are descriptors that it inherits; a console of the log's is the pipe that QEMU's
 * own words take (qemu-output.h).
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "protocol/vm-config.h"
#include "vmm/image.h"

/* kernel, initramfs, serial port, monitor, log, memory, state, and one for each device */
#define QEMU_FDS_MAX (7 + VM_DEVICES_MAX)

struct qemu_command {
	char **arguments;      /* arguments[0] is the program's path */
	int fds[QEMU_FDS_MAX]; /* inherited under these numbers; the command's to close */
	size_t n_fds;
	int log_fd; /* one of them: QEMU's stdout and stderr */
};

enum qemu_beginning {
	QEMU_BOOTS,	     /* the kernel, with all devices */
	QEMU_BOOTS_TEMPLATE, /* the kernel, with QEMU's own devices and places for the others */
	QEMU_RESUMES,	     /* memory and state of a template, with all devices */
};

struct qemu_machine {
	const char *program;
	const struct vm_config *config;
	enum qemu_beginning beginning;
	const struct images *images; /* those of config; QEMU_RESUMES: not used */
	int monitor;		     /* a connected stream socket; becomes the command's */
	int log_fd;		     /* of qemu_output_open(); becomes the command's */
	int ram_fd;		     /* ram_file_new(); stays the caller's */
};

/* The options that do not depend on devices. */
int qemu_command_new(const struct qemu_machine *machine, struct qemu_command **ret_command,
		     struct error **ret_error);
/* The index-th device of the configuration.  socket becomes the command's: a connected
 * stream socket to a vhost-user back-end, or, for one behind a netdev, the file of a socket
 * that listens (qemu-listener.h); for a device that is QEMU's own
 * (qemu_has_device()) -1, or, for a console, where its output goes instead. */
int qemu_command_add_device(struct qemu_command *command, const struct vm_config *config,
			    unsigned index, int socket, struct error **ret_error);
bool qemu_has_device(enum vm_device_type type);
/* The descriptor becomes the command's, and QEMU's under the number that is returned. */
int qemu_command_give(struct qemu_command *command, int fd);
void qemu_command_free(struct qemu_command *command);
DEFINE_CLEANUP(struct qemu_command, qemu_command_free)
