/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line: see qemu-command.h.
 *
 * The machine is microvm with ACPI, as our own: the same kernel finds its
 * devices the same way.  The i8254 and i8259 are QEMU's default; a kernel that
 * finds hardware-reduced ACPI leaves them alone, and measures its local APIC's
 * timer by the time stamp counter (x86_64/emulated.c).
 */
#include "vmm/qemu/qemu-command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/checked.h"
#include "base/io.h"
#include "protocol/agent.h"
#include "vmm/arch.h"
#include "vmm/device.h"

/* All that QEMU can translate, but for the two bits that say that bytes are best copied
 * by REP MOVSB and filled in by REP STOSB: QEMU makes a turn for each byte, eight times as
 * many as for the quadwords that Linux and the C libraries take otherwise. */
#define PROCESSOR "max,-erms,-fsrm"

/* Where Linux looks for tables beside those of the machine, in an archive in front of the
 * initramfs (Documentation/admin-guide/acpi/initrd_table_override.rst). */
#define SLOTS_FILE "kernel/firmware/acpi/slots.aml"

static void add(struct qemu_command *command, const char *option, char *value)
{
	strv_append(&command->arguments, option);
	if (value)
		strv_append(&command->arguments, value);
	free(value);
}

int qemu_command_give(struct qemu_command *command, int fd)
{
	command->fds[command->n_fds++] = fd;
	return fd;
}

/* ---- files ---- */

/* A member of a cpio archive in the form "newc" (Linux, Documentation/driver-api/
 * early-userspace/buffer-format.rst). */
static void add_member(struct buffer *archive, const char *name, const void *bytes, size_t size)
{
	static const uint8_t zeros[4];
	_cleanup_free_ char *header =
	    xasprintf("070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", 0,
		      S_IFREG | 0400, 0, 0, 1, 0, size, 0, 0, 0, 0, strlen(name) + 1, 0);

	buffer_append(archive, header, strlen(header));
	buffer_append(archive, name, strlen(name) + 1);
	buffer_append(archive, zeros, -buffer_length(archive) % sizeof(zeros));
	buffer_append(archive, bytes, size);
	buffer_append(archive, zeros, -buffer_length(archive) % sizeof(zeros));
}

/* The transports that have no device yet, for the kernel to know when they get one. */
static void add_slots(struct buffer *archive, const struct vm_config *config)
{
	_cleanup_(buffer_done) struct buffer table = { 0 };
	unsigned n_own = 0;

	for (size_t i = 0; i < config->n_devices; i++)
		n_own += qemu_has_device(config->devices[i].type);
	arch_emulated_slots(ARCH_EMULATED_TRANSPORTS - n_own, &table);
	add_member(archive, SLOTS_FILE, buffer_data(&table), buffer_length(&table));
	add_member(archive, "TRAILER!!!", NULL, 0);
}

static int append_image(int fd, const struct image *image, struct error **ret_error)
{
	off_t offset = 0;
	ssize_t n = copy_bytes(image->fd, &offset, fd, image->size);

	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot copy %s", image->name);
	if ((uint64_t)n < image->size)
		return error_set(ret_error, EIO, "%s shrank while it was read", image->name);
	return 0;
}

/* The initramfs files one behind the other, each at a multiple of 4 bytes (as
 * the kernel's unpacker wants it), in one anonymous file. */
static int join_initramfs(const struct qemu_machine *machine, int *ret_fd, struct error **ret_error)
{
	const struct vm_config *config = machine->config;
	_cleanup_close_ int fd = memfd_create("initramfs", MFD_CLOEXEC);
	_cleanup_(buffer_done) struct buffer slots = { 0 };
	uint64_t end;

	if (machine->beginning == QEMU_BOOTS_TEMPLATE)
		add_slots(&slots, config);
	end = buffer_length(&slots);
	if (fd < 0 || write_all(fd, buffer_data(&slots), end) < 0)
		return error_set_errno(ret_error, errno, "cannot make an anonymous file");
	for (size_t i = 0; i < config->n_initramfs; i++) {
		end = align_up(end, 4);
		if (lseek(fd, (off_t)end, SEEK_SET) < 0)
			return error_set_errno(ret_error, errno, "initramfs");
		if (append_image(fd, &machine->images->initramfs[i], ret_error) < 0)
			return -1;
		end += machine->images->initramfs[i].size;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* QEMU may be another user, and opens its images by the names of their descriptors. */
static int open_kernel(const struct image *kernel, int *ret_fd, struct error **ret_error)
{
	_cleanup_close_ int copy = -1;
	struct stat st;

	if (fstat(kernel->fd, &st) < 0)
		return error_set_errno(ret_error, errno, "%s", kernel->name);
	if (st.st_mode & S_IROTH) {
		*ret_fd = fcntl(kernel->fd, F_DUPFD_CLOEXEC, 0);
		return *ret_fd < 0 ? error_set_errno(ret_error, errno, "%s", kernel->name) : 0;
	}
	copy = memfd_create("kernel", MFD_CLOEXEC);
	if (copy < 0)
		return error_set_errno(ret_error, errno, "cannot make an anonymous file");
	if (append_image(copy, kernel, ret_error) < 0)
		return -1;
	*ret_fd = TAKE_FD(copy);
	return 0;
}

static int add_images(struct qemu_command *command, const struct qemu_machine *machine,
		      struct error **ret_error)
{
	int kernel = -1, initramfs = -1;

	if (open_kernel(&machine->images->kernel, &kernel, ret_error) < 0)
		return -1;
	add(command, "-kernel", xasprintf("/proc/self/fd/%d", qemu_command_give(command, kernel)));
	if (machine->config->n_initramfs == 0)
		return 0;
	if (join_initramfs(machine, &initramfs, ret_error) < 0)
		return -1;
	add(command, "-initrd",
	    xasprintf("/proc/self/fd/%d", qemu_command_give(command, initramfs)));
	return 0;
}

/* A chardev that appends to the file behind fd.  Opened anew: QEMU makes its
 * output non-blocking, which must not befall other writers there. */
static int add_output(struct qemu_command *command, const char *id, int fd,
		      struct error **ret_error)
{
	_cleanup_free_ char *link = xasprintf("/proc/self/fd/%d", fd);
	int own = open(link, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);

	if (own < 0)
		return error_set_errno(ret_error, errno,
				       "cannot open descriptor %d for QEMU, which writes to files, "
				       "pipes and terminals only",
				       fd);
	(void)qemu_command_give(command, own);
	add(command, "-add-fd", xasprintf("fd=%d,set=%d", own, own));
	add(command, "-chardev", xasprintf("file,id=%s,path=/dev/fdset/%d,append=on", id, own));
	return 0;
}

/* ---- the machine ---- */

static char *command_line(const struct qemu_machine *machine)
{
	const struct vm_config *config = machine->config;
	_cleanup_free_ char *words = arch_emulated_cmdline();

	return xasprintf("%s %s nr_cpus=%u%s", config->cmdline ? config->cmdline : "", words,
			 config->vcpus,
			 machine->beginning == QEMU_BOOTS_TEMPLATE ? " " TEMPLATE_PARAMETER : "");
}

static int add_serial(struct qemu_command *command, const struct vm_config *config,
		      struct error **ret_error)
{
	if (config->serial_fd < 0)
		return 0;
	if (add_output(command, "serial", config->serial_fd, ret_error) < 0)
		return error_wrap(ret_error, "serial");
	add(command, "-serial", xstrdup("chardev:serial"));
	return 0;
}

/* QEMU translates for a machine that can only ever have one vCPU without the
 * guest's memory barriers, and its locked instructions into plain ones.  But our
 * devices run beside that vCPU: a driver that makes a buffer available and then
 * looks whether to kick, or asks for an interrupt and then looks for used buffers
 * (virtio 1.2 §2.7.7.2, §2.7.13.4.1), would at times miss what a device has just
 * written, and both would wait for ever.  Room for a second vCPU, which is never
 * plugged, keeps the barriers.  (With nr_cpus= the kernel patches lock prefixes away
 * for the lack of other processors, but not those of its barriers: virt_mb().) */
static void add_vcpus(struct qemu_command *command, unsigned vcpus)
{
	add(command, "-smp", xasprintf("%u,maxcpus=%u", vcpus, MAX(vcpus, 2U)));
}

static int add_memory(struct qemu_command *command, const struct qemu_machine *machine,
		      struct error **ret_error)
{
	int fd = fcntl(machine->ram_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "the guest's memory");
	add(command, "-m", xasprintf("%lluM", (unsigned long long)machine->config->memory_mib));
	add(command, "-object",
	    xasprintf("memory-backend-file,id=ram,size=%lluM,share=on,mem-path=/proc/self/fd/%d",
		      (unsigned long long)machine->config->memory_mib,
		      qemu_command_give(command, fd)));
	return 0;
}

static void add_machine(struct qemu_command *command, const struct qemu_machine *machine)
{
	const struct vm_config *config = machine->config;

	add(command, "-nodefaults", NULL);
	add(command, "-no-user-config", NULL);
	add(command, "-display", xstrdup("none"));
	add(command, "-sandbox",
	    xstrdup("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
	add(command, "-no-reboot", NULL);
	add(command, "-S", NULL);
	add(command, "-chardev",
	    xasprintf("socket,id=monitor,fd=%d", qemu_command_give(command, machine->monitor)));
	add(command, "-mon", xstrdup("chardev=monitor,mode=control"));
	add(command, "-machine",
	    xasprintf(
		"microvm,acpi=on,pcie=off,usb=off,rtc=on,isa-serial=%s,auto-kernel-cmdline=off,"
		"memory-backend=ram,dump-guest-core=off",
		config->serial_fd >= 0 ? "on" : "off"));
	/* The other firmware looks into disks before the kernel does. */
	add(command, "-bios", xstrdup("qboot.rom"));
	add(command, "-global", xstrdup("virtio-mmio.force-legacy=off"));
	add(command, "-accel", xstrdup("tcg,thread=multi"));
	add(command, "-cpu", xstrdup(PROCESSOR));
	add_vcpus(command, config->vcpus);
	add(command, "-device", xstrdup("pvpanic"));
}

int qemu_command_new(const struct qemu_machine *machine, struct qemu_command **ret_command,
		     struct error **ret_error)
{
	_cleanup_(qemu_command_freep) struct qemu_command *command = xcalloc(1, sizeof(*command));

	strv_append(&command->arguments, machine->program);
	command->log_fd = qemu_command_give(command, machine->log_fd);
	add_machine(command, machine);
	if (add_memory(command, machine, ret_error) < 0 ||
	    add_serial(command, machine->config, ret_error) < 0)
		return -1;
	if (machine->beginning == QEMU_RESUMES) {
		add(command, "-incoming", xstrdup("defer"));
	} else {
		add(command, "-append", command_line(machine));
		if (add_images(command, machine, ret_error) < 0)
			return -1;
	}
	*ret_command = TAKE_PTR(command);
	return 0;
}

/* ---- devices ---- */

bool qemu_has_device(enum vm_device_type type)
{
	return device_type(type)->qemu.own;
}

/* A chardev whose output goes the way of QEMU's own words.  "logfile": a chardev that writes
 * to a pipe itself drops what does not fit in, and with it the last words. */
static int add_log(struct qemu_command *command, const char *id, struct error **ret_error)
{
	int fd = fcntl(command->log_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return error_set_errno(ret_error, errno, "descriptor %d", command->log_fd);
	(void)qemu_command_give(command, fd);
	add(command, "-add-fd", xasprintf("fd=%d,set=%d", fd, fd));
	add(command, "-chardev",
	    xasprintf("null,id=%s,logfile=/dev/fdset/%d,logappend=on", id, fd));
	return 0;
}

static int add_console_output(struct qemu_command *command, const struct vm_device *device,
			      const char *id, struct error **ret_error)
{
	_cleanup_close_ int fd = -1;

	if (device_logs_console(device))
		return add_log(command, id, ret_error);
	if (device_open_file(&device->console.output, O_WRONLY | O_CREAT | O_APPEND, &fd,
			     ret_error) < 0)
		return -1;
	return add_output(command, id, fd, ret_error);
}

/* QEMU's consoles are ports of a device; it has one. */
static int add_console(struct qemu_command *command, const struct vm_device *device, unsigned index,
		       unsigned bus, int socket, struct error **ret_error)
{
	_cleanup_free_ char *id = xasprintf("device%u", index);

	if (socket < 0 && add_console_output(command, device, id, ret_error) < 0)
		return -1;
	add(command, "-device",
	    xasprintf("%s,id=serial%u,max_ports=1,bus=virtio-mmio-bus.%u",
		      device_type(device->type)->qemu.name, index, bus));
	add(command, "-device", xasprintf("virtconsole,chardev=%s,bus=serial%u.0", id, index));
	return 0;
}

/* Ours, behind its socket: by its id a clone of a template takes it out and puts it back. */
static void add_front_end(struct qemu_command *command, const struct vm_device *device,
			  unsigned index, unsigned bus)
{
	const struct device_type *type = device_type(device->type);
	const char *netdev = type->qemu.netdev;
	_cleanup_free_ char *options =
	    type->qemu.options ? type->qemu.options(device) : xstrdup("");
	_cleanup_free_ char *netdev_options =
	    type->qemu.netdev_options ? type->qemu.netdev_options(device) : xstrdup("");

	if (netdev)
		add(command, "-netdev",
		    xasprintf("%s,id=netdev%u,chardev=device%u%s", netdev, index, index,
			      netdev_options));
	add(command, "-device",
	    xasprintf("%s,id=device%u,%s=%s%u%s,bus=virtio-mmio-bus.%u", type->qemu.name, index,
		      netdev ? "netdev" : "chardev", netdev ? "netdev" : "device", index, options,
		      bus));
}

/* QEMU's own devices come first: they have the same transports in a template.  (A guest
 * finds the last transport first.) */
static int find_bus(const struct vm_config *config, unsigned index, unsigned *ret_bus,
		    struct error **ret_error)
{
	const bool own = qemu_has_device(config->devices[index].type);
	unsigned before = 0;

	for (unsigned i = 0; i < config->n_devices; i++) {
		const bool other_own = qemu_has_device(config->devices[i].type);

		before += other_own == own ? i < index : other_own;
	}
	if (before >= ARCH_EMULATED_TRANSPORTS)
		return error_set(ret_error, E2BIG, "QEMU's microvm takes at most %d devices",
				 ARCH_EMULATED_TRANSPORTS);
	*ret_bus = ARCH_EMULATED_TRANSPORTS - 1 - before;
	return 0;
}

int qemu_command_add_device(struct qemu_command *command, const struct vm_config *config,
			    unsigned index, int socket, struct error **ret_error)
{
	const struct vm_device *device = &config->devices[index];
	unsigned bus = 0;

	if (socket >= 0)
		add(command, "-chardev",
		    xasprintf("socket,id=device%u,%s%d", index,
			      device_type(device->type)->qemu.netdev ? "path=/proc/self/fd/"
								     : "fd=",
			      qemu_command_give(command, socket)));
	if (find_bus(config, index, &bus, ret_error) < 0)
		return -1;
	if (device->type == VM_DEVICE_CONSOLE)
		return add_console(command, device, index, bus, socket, ret_error);
	if (qemu_has_device(device->type))
		add(command, "-device",
		    xasprintf("%s,bus=virtio-mmio-bus.%u", device_type(device->type)->qemu.name,
			      bus));
	else
		add_front_end(command, device, index, bus);
	return 0;
}

void qemu_command_free(struct qemu_command *command)
{
	if (!command)
		return;
	for (size_t i = 0; i < command->n_fds; i++)
		close_fdp(&command->fds[i]);
	strv_free(command->arguments);
	free(command);
}
