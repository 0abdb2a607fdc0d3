/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that is to become a template (vmm/template-make.h) comes to a halt here: it
 * says so on the console, and the host keeps its memory and its state as files.  Those that
 * start from them go on here.
 *
 * Nothing tells the guest so but its devices: at the transports that had none (the kernel knows
 * of them by a table of their own), the host's have come.  A driver that is bound to such a
 * platform device looks at the transport's registers, and is refused while there is none (virtio
 * 1.2 §4.2.2: the device ID is 0).  The first one is the test; the others follow it without a
 * gap.
 *
 * What must not be the same in all of them (the clock, the random pool) comes with the first
 * call (agent/identity.h).
 */
#include "agent/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "protocol/agent.h"

#define CMDLINE_MAX 4096
#define CONSOLE "/dev/hvc0"

#define DEVICES_DIR "/sys/bus/platform/devices"
#define DRIVER_BIND "/sys/bus/platform/drivers/virtio-mmio/bind"
#define SLOT_PREFIX "LNRO0005:"
#define SLOTS_MAX 64
/* Between two looks. */
#define PAUSE_NS 500000

struct slots {
	char *names[SLOTS_MAX];
	int n;
};

static void slots_done(struct slots *slots)
{
	while (slots->n > 0)
		free(slots->names[--slots->n]);
}

bool template_is_asked_for(const char *cmdline)
{
	return strstr(cmdline, TEMPLATE_PARAMETER) != NULL;
}

static int is_free(const struct dirent *entry)
{
	_cleanup_free_ char *driver = xasprintf(DEVICES_DIR "/%s/driver", entry->d_name);

	return strncmp(entry->d_name, SLOT_PREFIX, strlen(SLOT_PREFIX)) == 0 &&
	       access(driver, F_OK) < 0;
}

/* The transports without a device, in the order of their table. */
static void find_slots(struct slots *slots)
{
	struct dirent **entries;
	int n = scandir(DEVICES_DIR, &entries, is_free, alphasort);

	for (int i = 0; i < n; i++) {
		if (slots->n < SLOTS_MAX)
			slots->names[slots->n++] = xstrdup(entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* False: there is no device there. */
static bool bind_slot(int bind_fd, const char *name)
{
	return write(bind_fd, name, strlen(name)) == (ssize_t)strlen(name);
}

static void wait_for_devices(const struct slots *slots, int bind_fd)
{
	const struct timespec pause_time = { .tv_nsec = PAUSE_NS };

	while (!bind_slot(bind_fd, slots->names[0]))
		(void)nanosleep(&pause_time, NULL);
	for (int i = 1; i < slots->n && bind_slot(bind_fd, slots->names[i]); i++)
		;
}

int template_wait(struct error **ret_error)
{
	_cleanup_(slots_done) struct slots slots = { .n = 0 };
	_cleanup_close_ int console = -1, bind_fd = -1;
	_cleanup_free_ char *cmdline = NULL;

	if (read_file("/proc/cmdline", CMDLINE_MAX, &cmdline, NULL, ret_error) < 0)
		return -1;
	if (!template_is_asked_for(cmdline))
		return 0;
	console = open(CONSOLE, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (console < 0)
		return error_set_errno(ret_error, errno, "cannot open " CONSOLE);
	bind_fd = open(DRIVER_BIND, O_WRONLY | O_CLOEXEC);
	find_slots(&slots);
	if (bind_fd < 0 || slots.n == 0) {
		static const char text[] =
		    TEMPLATE_REFUSED "the kernel has no virtio-mmio transports without a device "
				     "(CONFIG_ACPI_TABLE_UPGRADE)\n";

		(void)write_all(console, text, strlen(text));
		return error_set(ret_error, ENOTSUP, "templates need CONFIG_ACPI_TABLE_UPGRADE");
	}
	if (write_all(console, TEMPLATE_IDLE "\n", strlen(TEMPLATE_IDLE "\n")) < 0)
		return error_set_errno(ret_error, errno, "cannot write to " CONSOLE);
	wait_for_devices(&slots, bind_fd);
	return 0;
}
