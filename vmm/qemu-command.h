/*
 * QEMU's command line: a microvm that executes instructions and has interrupt
 * controllers, memory, a console and an entropy device of its own; every other
 * device is ours, behind a vhost-user socket.
 *
 * QEMU opens nothing by name but its own firmware: kernel, initramfs and console
 * are descriptors that it inherits.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "vmm/image.h"
#include "vmm/vm-config.h"

/* kernel, initramfs, console, serial port, monitor, and one for each device */
#define QEMU_FDS_MAX (5 + VM_DEVICES_MAX)

struct qemu_command {
	char **arguments;      /* arguments[0] is the program's path */
	int fds[QEMU_FDS_MAX]; /* inherited under these numbers; the command's to close */
	size_t n_fds;
};

/* The options that do not depend on devices.  images are those of config.  monitor
 * becomes the command's: a connected stream socket. */
int qemu_command_new(const char *program, const struct vm_config *config,
		     const struct images *images, int monitor, struct qemu_command **ret_command,
		     struct error **ret_error);
/* The index-th device of the configuration.  socket becomes the command's: a
 * connected stream socket to a vhost-user back-end, or -1 for a device that is
 * QEMU's own (qemu_has_device()). */
int qemu_command_add_device(struct qemu_command *command, const struct vm_device *device,
			    unsigned index, int socket, struct error **ret_error);
bool qemu_has_device(enum vm_device_type type);
void qemu_command_free(struct qemu_command *command);
DEFINE_CLEANUP(struct qemu_command, qemu_command_free)
