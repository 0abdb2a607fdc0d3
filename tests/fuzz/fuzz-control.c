/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM's control socket (vmm/control-server.h) with a client that says anything, reads or does
 * not, while the machine pauses, goes on and ends.
 *
 * Input: rows of a byte and, from 0x10 on, text: 0 the machine has paused, 1 it ended, 2 it
 * started, 3 the client reads; else how many bytes of text follow, sent at once.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/vm-config.h"
#include "tests/fuzz/input.h"
#include "vmm/control-server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	bool pausing, paused, finished;
};

static int on_pause(void *data, struct error **ret_error)
{
	struct machine *machine = data;

	check(!machine->pausing);
	if (machine->paused)
		return error_set(ret_error, EALREADY, "paused");
	machine->pausing = true;
	return 0;
}

static int on_resume(void *data, struct error **ret_error)
{
	struct machine *machine = data;

	if (!machine->paused)
		return error_set(ret_error, EALREADY, "runs");
	machine->paused = false;
	return 0;
}

static int on_link(void *data, size_t index, bool up, struct error **ret_error)
{
	(void)data, (void)up;
	return index > 3 ? error_set(ret_error, EINVAL, "no such device") : 0;
}

static int on_memory(void *data, uint64_t mib, struct error **ret_error)
{
	(void)data;
	check(mib <= VM_MEM_MIB_MAX);
	return mib > 1024 ? error_set(ret_error, ERANGE, "not so much") : 0;
}

/* (Nor here.) */
static int on_enter(void *data, int directory_fd, struct error **ret_error)
{
	(void)data;
	check(directory_fd >= 0);
	return error_set(ret_error, ENOTSUP, "not here");
}

static int on_plug(void *data, const struct vm_device *device, struct error **ret_error)
{
	struct vm_device plugged = *device;

	check(vm_device_name(plugged.type));
	vm_device_done(&plugged);
	return ((struct machine *)data)->paused ? 0 : error_set(ret_error, EBUSY, "runs");
}

static int on_vcpus(void *data, uint32_t count, struct error **ret_error)
{
	(void)data;
	check(count <= VM_VCPUS_MAX);
	return count % 2 ? 0 : error_set(ret_error, EINVAL, "too many");
}

static const char *state(void *data)
{
	return ((struct machine *)data)->paused ? "paused" : "running";
}

/* (No descriptors come here: the server refuses before.) */
static int on_save(void *data, const struct save_files *files, struct error **ret_error)
{
	(void)data;
	check(files->ram_fd >= 0);
	return error_set(ret_error, ENOTSUP, "not here");
}

static int on_note(void *data, struct error **ret_error)
{
	return ((struct machine *)data)->paused ? error_set(ret_error, EIO, "paused") : 0;
}

static void on_finish(void *data, const struct ending *ending)
{
	check(ending->code >= 0 && ending->code < 256 && ending->signal >= 0 &&
	      ending->signal <= 64);
	((struct machine *)data)->finished = true;
}

/* Whole lines, each an object that is an answer or an event. */
static void drain(int fd)
{
	char bytes[1 << 16];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		check(bytes[0] == '{' || n == sizeof(bytes) || memchr(bytes, '\n', (size_t)n));
}

static void happen(struct control *control, struct machine *machine, uint8_t what)
{
	switch (what) {
	case 0:
		if (!machine->pausing)
			break;
		machine->pausing = false;
		machine->paused = true;
		control_paused(control);
		break;
	case 1:
		machine->pausing = false;
		control_stopped(control, GUEST_PANIC, "for \"reasons\"\n");
		break;
	case 2:
		control_started(control);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	struct input input = { data, size };
	struct machine machine = { 0 };
	const struct control_orders orders = { on_pause, on_resume, on_save,   on_note,
					       on_link,	 on_memory, on_enter,  on_plug,
					       on_vcpus, state,	    on_finish, &machine };
	struct control *control;
	int ours, theirs;

	log_set_level(LOG_LEVEL_ERROR);
	check((loop || loop_new(&loop, NULL) == 0) && unix_pair(&ours, &theirs, NULL) == 0 &&
	      control_new(theirs, &orders, loop, &control, NULL) == 0);
	while (input.left > 0) {
		size_t n = take(&input);

		if (n < 3) {
			happen(control, &machine, (uint8_t)n);
		} else if (n < 0x10) {
			drain(ours);
		} else {
			n = MIN(input.left, n & 1 ? n * 32 : n);
			(void)send(ours, input.at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
			input.at += n;
			input.left -= n;
		}
		loop_step(loop, 0);
	}
	(void)close(ours);
	for (int i = 0; i < 100 && !machine.finished; i++)
		loop_step(loop, 0);
	check(machine.finished);
	control_free(control);
	return 0;
}
