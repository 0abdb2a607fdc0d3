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
 * gap, network devices last.  Of those a machine may have more than it needs, and each takes its
 * time: from the second one on they are left alone until somebody asks for them.
 *
 * What must not be the same in all of them (the clock, the random pool) comes with the first
 * call (agent/identity.h).
 */
#include "agent/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
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

/* The transports that had no device, in the order of their table, and how many of them have been
 * asked since.  (The kernel has one such table.) */
static struct {
	char *names[SLOTS_MAX];
	int n, n_bound;
	int bind_fd;
} slots = { .bind_fd = -1 };

bool template_is_asked_for(const char *cmdline)
{
	return strstr(cmdline, TEMPLATE_PARAMETER) != NULL;
}

static int is_slot(const struct dirent *entry)
{
	return strncmp(entry->d_name, SLOT_PREFIX, strlen(SLOT_PREFIX)) == 0;
}

static int is_free(const struct dirent *entry)
{
	_cleanup_free_ char *driver = xasprintf(DEVICES_DIR "/%s/driver", entry->d_name);

	return is_slot(entry) && access(driver, F_OK) < 0;
}

static void find_slots(void)
{
	struct dirent **entries;
	int n = scandir(DEVICES_DIR, &entries, is_free, alphasort);

	for (int i = 0; i < n; i++) {
		if (slots.n < SLOTS_MAX)
			slots.names[slots.n++] = xstrdup(entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* The next one's device has its driver now; false: there is none. */
static bool bind_slot(void)
{
	const char *name = slots.names[slots.n_bound];

	if (slots.n_bound == slots.n ||
	    write(slots.bind_fd, name, strlen(name)) != (ssize_t)strlen(name))
		return false;
	slots.n_bound++;
	return true;
}

static int is_virtio(const struct dirent *entry)
{
	return strncmp(entry->d_name, "virtio", strlen("virtio")) == 0;
}

/* Is the one that was bound last a network device? */
static bool is_network(void)
{
	_cleanup_free_ char *directory =
	    xasprintf(DEVICES_DIR "/%s", slots.names[slots.n_bound - 1]);
	struct dirent **entries;
	int n = scandir(directory, &entries, is_virtio, NULL);
	bool is = false;

	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path =
		    xasprintf("%s/%s/device", directory, entries[i]->d_name);
		_cleanup_free_ char *type = NULL;

		is = is || (read_file(path, 16, &type, NULL, NULL) == 0 &&
			    strtoul(type, NULL, 0) == VIRTIO_ID_NET);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return is;
}

static void wait_for_devices(void)
{
	const struct timespec pause_time = { .tv_nsec = PAUSE_NS };

	while (!bind_slot())
		(void)nanosleep(&pause_time, NULL);
	while (!is_network() && bind_slot())
		;
}

bool template_next_device(void)
{
	return bind_slot();
}

void template_bind_last(void)
{
	_cleanup_close_ int bind_fd = open(DRIVER_BIND, O_WRONLY | O_CLOEXEC);
	struct dirent **entries;
	int n = scandir(DEVICES_DIR, &entries, is_slot, alphasort);

	/* EBUSY: it has a driver. */
	if (n > 0 && bind_fd >= 0)
		(void)!write(bind_fd, entries[n - 1]->d_name, strlen(entries[n - 1]->d_name));
	for (int i = 0; i < n; i++)
		free(entries[i]);
	if (n >= 0)
		free(entries);
}

int template_wait(struct error **ret_error)
{
	_cleanup_close_ int console = -1;
	_cleanup_free_ char *cmdline = NULL;

	if (read_file("/proc/cmdline", CMDLINE_MAX, &cmdline, NULL, ret_error) < 0)
		return -1;
	if (!template_is_asked_for(cmdline))
		return 0;
	console = open(CONSOLE, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (console < 0)
		return error_set_errno(ret_error, errno, "cannot open " CONSOLE);
	slots.bind_fd = open(DRIVER_BIND, O_WRONLY | O_CLOEXEC);
	find_slots();
	if (slots.bind_fd < 0 || slots.n == 0) {
		static const char text[] =
		    TEMPLATE_REFUSED "the kernel has no virtio-mmio transports without a device "
				     "(CONFIG_ACPI_TABLE_UPGRADE)\n";

		(void)write_all(console, text, strlen(text));
		return error_set(ret_error, ENOTSUP, "templates need CONFIG_ACPI_TABLE_UPGRADE");
	}
	if (write_all(console, TEMPLATE_IDLE "\n", strlen(TEMPLATE_IDLE "\n")) < 0)
		return error_set_errno(ret_error, errno, "cannot write to " CONSOLE);
	wait_for_devices();
	return 0;
}
