/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine on KVM: see kvm-machine.h.  Memory slots, kernel, vCPUs and devices are
 * made in this order; the vCPUs' threads do the rest.
 */
#include "vmm/kvm/kvm-machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "vmm/arch.h"
#include "vmm/bus.h"
#include "vmm/device.h"
#include "vmm/devices.h"
#include "vmm/image.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/vcpus.h"
#include "vmm/ram-changes.h"

struct kvm_engine {
	struct engine engine;
	const struct vm_config *config;
	struct loop *loop;
	struct engine_events events;
	struct kvm kvm;
	struct ram ram;
	struct guest_memory memory;
	gpa_t room_base;    /* of memory that comes later; … */
	bool room_is_there; /* … KVM knows of it */
	struct bus ports;
	struct bus mmio;
	gpa_t entry;
	struct platform *platform;
	struct arch_cpu *cpu;
	struct arch_saver *saver;
	struct vcpus *vcpus;
	struct devices *devices;
	int written_fd; /* to be filled, or checked, when the container's program runs; -1: neither
			 */
	bool has_written;      /* to be checked: what it names was brought in, … */
	size_t n_written;      /* … so many pages */
	bool waits;	       /* it is pooled, and has not been taken */
	struct arch_time time; /* of one that waits */
};

/* How long what was noted is not looked at, in seconds. */
#define WRITTEN_CHECK_S 600

/* What a machine that goes on from a state must have as it was. */
struct identity {
	char version[32];
	uint64_t memory_mib;
	uint32_t vcpus, max_vcpus, n_devices;
	uint32_t types[VM_DEVICES_MAX];
};

static struct identity identity_of(const struct vm_config *config)
{
	struct identity identity = {
		.version = PACKAGE_VERSION,
		.memory_mib = config->memory_mib,
		.vcpus = config->vcpus,
		.max_vcpus = vm_config_max_vcpus(config),
		.n_devices = (uint32_t)config->n_devices,
	};

	for (size_t i = 0; i < config->n_devices; i++)
		identity.types[i] = config->devices[i].type;
	return identity;
}

static int check_identity(const struct vm_config *config, const struct snapshot *state,
			  struct error **ret_error)
{
	const struct identity mine = identity_of(config);
	struct identity saved;

	if (snapshot_take(state, SNAPSHOT_MACHINE, 0, &saved, sizeof(saved), ret_error) < 0)
		return -1;
	if (memcmp(saved.version, mine.version, sizeof(mine.version)) != 0)
		return error_set(ret_error, EINVAL,
				 "the machine was saved by version %.*s of this program, not %s",
				 (int)sizeof(saved.version), saved.version, mine.version);
	if (saved.memory_mib != mine.memory_mib)
		return error_set(ret_error, EINVAL, "the machine had %llu MiB of memory, not %llu",
				 (unsigned long long)saved.memory_mib,
				 (unsigned long long)mine.memory_mib);
	if (saved.vcpus != mine.vcpus)
		return error_set(ret_error, EINVAL, "the machine had %u vCPUs, not %u", saved.vcpus,
				 mine.vcpus);
	if (saved.max_vcpus != mine.max_vcpus)
		return error_set(ret_error, EINVAL, "the machine could have up to %u vCPUs, not %u",
				 saved.max_vcpus, mine.max_vcpus);
	if (saved.n_devices != mine.n_devices)
		return error_set(ret_error, EINVAL, "the machine had %u devices, not %u",
				 saved.n_devices, mine.n_devices);
	for (uint32_t i = 0; i < mine.n_devices; i++)
		if (saved.types[i] != mine.types[i] || !snapshot_has(state, SNAPSHOT_TRANSPORT, i))
			return error_set(ret_error, EINVAL, "the machine's device %u was not a %s",
					 i, vm_device_name(config->devices[i].type));
	return 0;
}

static bool is_empty(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == 0;
}

/* What was noted may have become wrong: one clone looks, now and then. */
static void check_later(struct kvm_engine *kvm, int fd, size_t n)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || time(NULL) - st.st_mtime < WRITTEN_CHECK_S ||
	    futimens(fd, NULL) < 0)
		return;
	kvm->written_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	kvm->has_written = true;
	kvm->n_written = n;
}

/* If nobody has noted it, and nobody is about to, this one will: the holder of the lock, and finds
 * nothing then. */
static void note_later(struct kvm_engine *kvm, int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_empty(fd) && lseek(fd, 0, SEEK_SET) == 0)
		kvm->written_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* What another clone has noted is brought in. */
static void use_written(struct kvm_engine *kvm, const struct kvm_machine *machine)
{
	_cleanup_error_ struct error *error = NULL;
	const int fd = machine->written_fd;
	size_t n;

	if (fd < 0)
		return;
	if (is_empty(fd)) {
		note_later(kvm, fd);
		return;
	}
	if (ram_bring_written(&kvm->ram, fd, &n, &error) == 0) {
		log_debug("%zu pages that the guest will write are there", n);
		check_later(kvm, fd, n);
		return;
	}
	log_debug("not brought in: %s", error->message);
	if (error->code == EBADMSG && ftruncate(fd, 0) == 0)
		note_later(kvm, fd);
}

/* How much memory may come later. */
static uint64_t room_of(const struct vm_config *config)
{
	uint64_t size = 0;
	size_t index;

	return device_find_room(config, &index, &size) ? size : 0;
}

static int map_memory(struct kvm_engine *kvm, const struct kvm_machine *machine,
		      struct error **ret_error)
{
	const uint64_t size = kvm->config->memory_mib << 20;
	const uint64_t room = room_of(kvm->config);

	if (!machine->state)
		return ram_map(size, room, &kvm->memory, &kvm->ram, ret_error);
	if (ram_map_file(size, room, machine->ram_fd, &kvm->memory, &kvm->ram, ret_error) < 0)
		return -1;
	if (machine->beginning == KVM_RESUMES)
		use_written(kvm, machine);
	return ram_map_changes(&kvm->ram, machine->changes, machine->n_changes, ret_error);
}

static int load_kernel(struct kvm_engine *kvm, const struct kvm_machine *machine,
		       struct error **ret_error)
{
	if (machine->state)
		return 0;
	return engine_load(kvm->config, machine->images, ARCH_DEVICES_MAX, &kvm->memory,
			   &kvm->entry, ret_error);
}

static int stop_time(struct kvm_engine *kvm, struct error **ret_error)
{
	if (arch_stop_time(&kvm->kvm, &kvm->time, ret_error) < 0)
		return -1;
	for (uint32_t i = 0; i < kvm->config->vcpus; i++)
		if (arch_stop_counter(vcpus_fd(kvm->vcpus, i), &kvm->time.counters[i], ret_error) <
		    0)
			return -1;
	return 0;
}

static int let_time_go_on(struct kvm_engine *kvm, struct error **ret_error)
{
	for (uint32_t i = 0; i < kvm->config->vcpus; i++)
		if (arch_go_on_counter(vcpus_fd(kvm->vcpus, i), kvm->time.counters[i], ret_error) <
		    0)
			return -1;
	return arch_go_on(&kvm->kvm, &kvm->time, ret_error);
}

/* Every vCPU has left the guest. */
static void on_paused(void *data)
{
	_cleanup_error_ struct error *error = NULL;
	struct kvm_engine *kvm = data;

	devices_pause(kvm->devices);
	if (kvm->waits && stop_time(kvm, &error) < 0)
		kvm->events.ended(kvm->events.data, GUEST_ERROR, error->message);
	kvm->events.paused(kvm->events.data);
}

static void on_gone(void *data)
{
	const struct kvm_engine *kvm = data;

	kvm->events.gone(kvm->events.data);
}

static void on_end(void *data, enum guest_end end, const char *message)
{
	const struct kvm_engine *kvm = data;

	kvm->events.ended(kvm->events.data, end, message);
}

/* Features, and where it begins. */
static int prepare_vcpu(struct kvm_engine *kvm, const struct kvm_machine *machine, uint32_t index,
			struct error **ret_error)
{
	const int fd = vcpus_fd(kvm->vcpus, index);

	if (arch_init_vcpu(kvm->cpu, fd, index, ret_error) < 0)
		return -1;
	return machine->state ? arch_load_vcpu(&kvm->kvm, fd, index, machine->state, ret_error)
			      : arch_reset_vcpu(fd, index, kvm->entry, ret_error);
}

static int add_vcpus(struct kvm_engine *kvm, const struct kvm_machine *machine,
		     struct error **ret_error)
{
	const struct vcpus_options options = {
		.count = kvm->config->vcpus,
		.max = vm_config_max_vcpus(kvm->config),
		.ports = &kvm->ports,
		.mmio = &kvm->mmio,
		.loop = kvm->loop,
		.ended = on_end,
		.paused = on_paused,
		.gone = on_gone,
		.data = kvm,
	};

	if (arch_init_vm(&kvm->kvm, ret_error) < 0 ||
	    kvm_create_irqchip(&kvm->kvm, ret_error) < 0 ||
	    arch_cpu_new(&kvm->kvm, options.max, &kvm->cpu, ret_error) < 0 ||
	    (machine->state && arch_check_cpu(kvm->cpu, machine->state, ret_error) < 0) ||
	    vcpus_new(&kvm->kvm, &options, &kvm->vcpus, ret_error) < 0)
		return -1;
	for (uint32_t i = 0; i < options.count; i++)
		if (prepare_vcpu(kvm, machine, i, ret_error) < 0)
			return -1;
	if (arch_saver_new(&kvm->kvm, &kvm->saver, ret_error) < 0)
		return -1;
	kvm_close_system(&kvm->kvm);
	return 0;
}

static struct devices_host host_of(struct kvm_engine *kvm)
{
	return (struct devices_host){
		.kvm = &kvm->kvm, .mmio = &kvm->mmio, .memory = &kvm->memory, .loop = kvm->loop
	};
}

/* ---- memory that comes and goes ---- */

static const struct mem_region *find_room(const struct kvm_engine *kvm)
{
	size_t i = 0;

	while (!kvm->memory.regions[i].blocks)
		i++;
	return &kvm->memory.regions[i];
}

/* The first block makes all of the room a memory slot: until then, no start has to do with it. */
static int on_come(void *data, uint64_t offset, uint64_t size, struct error **ret_error)
{
	struct kvm_engine *kvm = data;

	if (!kvm->room_is_there && kvm_add_region(&kvm->kvm, find_room(kvm), ret_error) < 0)
		return -1;
	kvm->room_is_there = true;
	ram_come(&kvm->ram, offset, size);
	return 0;
}

static int on_go(void *data, uint64_t offset, uint64_t size)
{
	struct kvm_engine *kvm = data;

	return ram_go(&kvm->ram, offset, size);
}

/* Before devices are made, which find it in the guest's memory. */
static int add_room(struct kvm_engine *kvm, struct error **ret_error)
{
	if (kvm->ram.room == 0)
		return 0;
	kvm->room_base = arch_room_base(kvm->ram.fixed);
	return ram_add_room(&kvm->ram, kvm->room_base, &kvm->memory, ret_error);
}

static void place_room(struct kvm_engine *kvm)
{
	const struct mem_place place = { .base = kvm->room_base,
					 .blocks = kvm->ram.blocks,
					 .come = on_come,
					 .go = on_go,
					 .data = kvm };
	uint64_t size;
	size_t index;

	if (device_find_room(kvm->config, &index, &size))
		device_type(kvm->config->devices[index].type)
		    ->place(devices_device(kvm->devices, index), &place);
}

static int kvm_grow(struct engine *engine, uint64_t size, struct error **ret_error)
{
	const struct kvm_engine *kvm = (struct kvm_engine *)engine;
	uint64_t most;
	size_t index;

	if (!device_find_room(kvm->config, &index, &most))
		return error_set(ret_error, ERANGE, "the machine has no device for memory");
	return device_type(kvm->config->devices[index].type)
	    ->request(devices_device(kvm->devices, index), size, ret_error);
}

static int add_devices(struct kvm_engine *kvm, struct error **ret_error)
{
	const struct devices_host host = host_of(kvm);

	if (platform_new(&kvm->ports, kvm->config->serial_fd, kvm->events.ended, kvm->events.data,
			 &kvm->platform, ret_error) < 0)
		return -1;
	platform_set_vcpus(kvm->platform, kvm->config->vcpus);
	if (add_room(kvm, ret_error) < 0 ||
	    devices_new(kvm->config, &host, &kvm->devices, ret_error) < 0)
		return -1;
	place_room(kvm);
	return 0;
}

static int kvm_start(struct engine *engine, struct error **ret_error)
{
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	devices_resume(kvm->devices);
	kvm->events.started(kvm->events.data);
	return vcpus_start(kvm->vcpus, ret_error);
}

static void kvm_pause(struct engine *engine)
{
	vcpus_pause(((struct kvm_engine *)engine)->vcpus);
}

static void kvm_resume(struct engine *engine)
{
	_cleanup_error_ struct error *error = NULL;
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	if (kvm->waits && let_time_go_on(kvm, &error) < 0) {
		kvm->events.ended(kvm->events.data, GUEST_ERROR, error->message);
		return;
	}
	kvm->waits = false;
	devices_resume(kvm->devices);
	vcpus_resume(kvm->vcpus);
}

static int write_state(const struct buffer *state, int fd, struct error **ret_error)
{
	if (write_all(fd, buffer_data(state), buffer_length(state)) < 0 || fsync(fd) < 0)
		return error_set_errno(ret_error, errno, "cannot write the machine's state");
	return 0;
}

static int save_state(struct engine *engine, int state_fd, struct error **ret_error)
{
	struct buffer state = { 0 };
	int r = kvm_machine_save(engine, &state, ret_error);

	if (r == 0 && buffer_length(&state) > VM_STATE_MAX)
		r = error_set(ret_error, EFBIG, "the machine's state has %zu bytes, more than %u",
			      buffer_length(&state), VM_STATE_MAX);
	if (r == 0)
		r = write_state(&state, state_fd, ret_error);
	buffer_done(&state);
	return r;
}

static int kvm_save(struct engine *engine, const struct save_files *files, struct error **ret_error)
{
	const struct ram *ram = &((struct kvm_engine *)engine)->ram;
	int r;

	if (files->state_fd >= 0 && save_state(engine, files->state_fd, ret_error) < 0)
		return -1;
	r = files->n_past == 0
		? ram_save(ram, files->ram_fd, ret_error)
		: ram_save_changes(ram, files->past_fds, files->n_past, files->ram_fd, ret_error);
	if (r < 0)
		return -1;
	if (fsync(files->ram_fd) < 0)
		return error_set_errno(ret_error, errno, "cannot sync the guest's memory");
	return 0;
}

/* Where it is wrong, the next clone notes it anew, without what is in it. */
static int check_written(struct kvm_engine *kvm, struct error **ret_error)
{
	const ssize_t n = ram_count_written(&kvm->ram);

	if (n < 0)
		return error_set_errno(ret_error, errno, "cannot read /proc/self/pagemap");
	if (!ram_written_is_wrong(kvm->n_written, (size_t)n))
		return 0;
	log_debug("%zd pages written, not %zu: to be noted again", n, kvm->n_written);
	if (ftruncate(kvm->written_fd, 0) < 0)
		return error_set_errno(ret_error, errno,
				       "cannot empty the pages that a start writes");
	return 0;
}

static int kvm_note(struct engine *engine, struct error **ret_error)
{
	struct kvm_engine *kvm = (struct kvm_engine *)engine;
	int r;

	if (kvm->written_fd < 0)
		return 0;
	r = kvm->has_written ? check_written(kvm, ret_error)
			     : ram_note_written(&kvm->ram, kvm->written_fd, ret_error);
	/* Another one may have more luck. */
	if (r < 0)
		(void)ftruncate(kvm->written_fd, 0);
	close_fdp(&kvm->written_fd);
	kvm->written_fd = -1;
	return r;
}

static void kvm_set_link(struct engine *engine, size_t index, bool up)
{
	const struct kvm_engine *kvm = (struct kvm_engine *)engine;

	device_type(kvm->config->devices[index].type)
	    ->set_link(devices_device(kvm->devices, index), up);
}

static int kvm_plug(struct engine *engine, size_t index, struct error **ret_error)
{
	struct kvm_engine *kvm = (struct kvm_engine *)engine;
	const struct devices_host host = host_of(kvm);

	return devices_plug(kvm->devices, &kvm->config->devices[index], &host, ret_error);
}

static int prepare_another(void *data, int vcpu_fd, uint32_t index, struct error **ret_error)
{
	const struct kvm_engine *kvm = data;

	if (arch_init_vcpu(kvm->cpu, vcpu_fd, index, ret_error) < 0)
		return -1;
	return arch_reset_new_vcpu(vcpu_fd, ret_error);
}

/* It is there, even if the guest cannot be told: who waits for it there will say so. */
static int kvm_add_vcpu(struct engine *engine, struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	if (vcpus_add(kvm->vcpus, &kvm->kvm, prepare_another, kvm, ret_error) < 0)
		return -1;
	platform_set_vcpus(kvm->platform, kvm->config->vcpus + 1);
	if (arch_tell_vcpus(&kvm->kvm, &error) < 0)
		log_warning("%s", error->message);
	return 0;
}

static void kvm_end(struct engine *engine)
{
	vcpus_end(((struct kvm_engine *)engine)->vcpus);
}

static void kvm_free(struct engine *engine)
{
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	vcpus_free(kvm->vcpus);
	arch_saver_free(kvm->saver);
	arch_cpu_free(kvm->cpu);
	devices_free(kvm->devices);
	platform_free(kvm->platform);
	kvm_close(&kvm->kvm);
	close_fdp(&kvm->written_fd);
	ram_unmap(&kvm->ram);
	free(kvm);
}

static const struct engine_ops kvm_engine_ops = {
	.start = kvm_start,
	.pause = kvm_pause,
	.resume = kvm_resume,
	.save = kvm_save,
	.note = kvm_note,
	.set_link = kvm_set_link,
	.grow = kvm_grow,
	.plug = kvm_plug,
	.add_vcpu = kvm_add_vcpu,
	.end = kvm_end,
	.free = kvm_free,
};

/* It is another machine than the one that was saved; the clock runs from here on.  Devices come
 * behind the interrupt controllers: they raise again what the guest may not have got. */
static int become_clone(struct kvm_engine *kvm, const struct kvm_machine *machine,
			struct error **ret_error)
{
	if (arch_renew(&kvm->memory, ret_error) < 0 ||
	    arch_load_vm(&kvm->kvm, machine->state, ret_error) < 0 ||
	    devices_load(kvm->devices, machine->state, ret_error) < 0)
		return -1;
	return arch_tell_renewed(&kvm->kvm, ret_error);
}

static int build(struct kvm_engine *kvm, const struct kvm_machine *machine,
		 struct error **ret_error)
{
	if (machine->beginning == KVM_GOES_ON &&
	    (check_identity(kvm->config, machine->state, ret_error) < 0 ||
	     ram_check_file(kvm->config->memory_mib << 20, room_of(kvm->config), machine->ram_fd,
			    ret_error) < 0))
		return -1;
	if (kvm_open(vm_config_max_vcpus(kvm->config), &kvm->kvm, ret_error) < 0 ||
	    map_memory(kvm, machine, ret_error) < 0 ||
	    kvm_add_memory(&kvm->kvm, &kvm->memory, ret_error) < 0 ||
	    load_kernel(kvm, machine, ret_error) < 0 || add_vcpus(kvm, machine, ret_error) < 0 ||
	    add_devices(kvm, ret_error) < 0)
		return -1;
	return machine->state ? become_clone(kvm, machine, ret_error) : 0;
}

int kvm_machine_new(const struct kvm_machine *machine, struct engine **ret_engine,
		    struct error **ret_error)
{
	_cleanup_(engine_freep) struct engine *engine = xcalloc(1, sizeof(struct kvm_engine));
	struct kvm_engine *kvm = (struct kvm_engine *)engine;

	engine->ops = &kvm_engine_ops;
	kvm->config = machine->config;
	kvm->loop = machine->loop;
	kvm->events = machine->events;
	kvm->kvm = (struct kvm){ .system_fd = -1, .vm_fd = -1 };
	kvm->written_fd = -1;
	kvm->waits = machine->config->pooled;
	if (build(kvm, machine, ret_error) < 0)
		return -1;
	*ret_engine = TAKE_PTR(engine);
	return 0;
}

int kvm_machine_save(struct engine *engine, struct buffer *state, struct error **ret_error)
{
	struct kvm_engine *kvm = (struct kvm_engine *)engine;
	const struct identity identity = identity_of(kvm->config);

	snapshot_begin(state);
	snapshot_put(state, SNAPSHOT_MACHINE, 0, &identity, sizeof(identity));
	arch_save_cpu(kvm->cpu, state);
	for (uint32_t i = 0; i < kvm->config->vcpus; i++)
		if (arch_save_vcpu(kvm->saver, vcpus_fd(kvm->vcpus, i), i, state, ret_error) < 0)
			return -1;
	if (arch_save_vm(&kvm->kvm, state, ret_error) < 0 ||
	    devices_save(kvm->devices, state, ret_error) < 0)
		return -1;
	snapshot_end(state);
	return 0;
}

int kvm_machine_save_ram(struct engine *engine, int target_fd, struct error **ret_error)
{
	const struct kvm_engine *kvm = (const struct kvm_engine *)engine;

	return ram_save(&kvm->ram, target_fd, ret_error);
}
