/* SPDX-License-Identifier: Apache-2.0 */
/* A running machine is saved, and others go on from there: vCPUs, memory, devices in the middle of
 * their work. */
#ifdef GUEST

#include <linux/fuse.h>

#include "tests/machine/guest.h"
#include "tests/machine/guest-virtio.h"
#include "vmm/x86_64/layout.h"

#define DEVICE(n) (VIRTIO_MMIO_START + 0x1000ULL * (n))
#define CONSOLE DEVICE(0)
#define DISK DEVICE(1)
#define RNG DEVICE(2)
#define SHARE DEVICE(3)
#define SHARE_REQUESTS 1
#define WRITE_AT_END (1 | 02000) /* O_WRONLY | O_APPEND */
#define TRANSMIT 1
#define LAST 240

static struct guest_queue console_queue, disk_queue, rng_queue, share_queue;
static volatile uint32_t turns;
static struct {
	uint32_t type, priority;
	uint64_t sector;
} request;
static uint32_t sector[128], other[128];
static uint8_t status, random_bytes[64];
static char line[16];
static struct {
	struct fuse_in_header header;
	union {
		struct fuse_init_in init;
		struct fuse_open_in open;
		struct {
			struct fuse_write_in write;
			char bytes[5];
		} data;
		char name[4];
	};
} ask;
static struct {
	struct fuse_out_header header;
	union {
		struct fuse_init_out init;
		struct fuse_entry_out entry;
		struct fuse_open_out open;
		struct fuse_write_out write;
	};
} answer;
static uint64_t node, handle; /* of the file in the share */

/* The number as four digits. */
static void say(uint32_t number)
{
	const struct guest_buffer buffer = { line, 5, false };

	for (int i = 3; i >= 0; i--, number /= 10)
		line[i] = (char)('0' + number % 10);
	line[4] = '\n';
	virtio_submit(&console_queue, &buffer, 1);
	(void)virtio_wait(&console_queue);
}

static void transfer(uint32_t type, void *bytes)
{
	const struct guest_buffer buffers[] = { { &request, sizeof(request), false },
						{ bytes, 512, type == 0 },
						{ &status, 1, true } };

	const uint32_t before = guest_interrupts;

	request.type = type;
	request.sector = 3;
	status = 0xff;
	virtio_submit(&disk_queue, buffers, 3);
	while (guest_interrupts == before)
		relax();
	(void)virtio_wait(&disk_queue);
	GUEST_CHECK_INT(status, 0);
}

static void draw(void)
{
	const struct guest_buffer buffer = { random_bytes, sizeof(random_bytes), true };

	virtio_submit(&rng_queue, &buffer, 1);
	GUEST_CHECK_INT(virtio_wait(&rng_queue), sizeof(random_bytes));
}

/* A request of the share, size bytes behind its header. */
static void request_file(uint32_t opcode, uint64_t of_node, uint32_t size)
{
	const struct guest_buffer buffers[] = {
		{ &ask, (uint32_t)sizeof(ask.header) + size, false },
		{ &answer, sizeof(answer), true },
	};

	ask.header.len = buffers[0].size;
	ask.header.opcode = opcode;
	ask.header.unique++;
	ask.header.nodeid = of_node;
	virtio_submit(&share_queue, buffers, 2);
	(void)virtio_wait(&share_queue);
	GUEST_CHECK_INT(answer.header.error, 0);
	GUEST_CHECK_INT(answer.header.unique, ask.header.unique);
}

static void open_file(void)
{
	ask.init = (struct fuse_init_in){ .major = FUSE_KERNEL_VERSION,
					  .minor = FUSE_KERNEL_MINOR_VERSION };
	request_file(FUSE_INIT, 0, sizeof(ask.init));
	ask.name[0] = 'l';
	ask.name[1] = 'o';
	ask.name[2] = 'g';
	ask.name[3] = '\0';
	request_file(FUSE_LOOKUP, FUSE_ROOT_ID, sizeof(ask.name));
	node = answer.entry.nodeid;
	ask.open = (struct fuse_open_in){ .flags = WRITE_AT_END };
	request_file(FUSE_OPEN, node, sizeof(ask.open));
	handle = answer.open.fh;
}

/* What was said last. */
static void write_file(void)
{
	ask.data.write = (struct fuse_write_in){ .fh = handle, .size = sizeof(ask.data.bytes) };
	for (unsigned i = 0; i < sizeof(ask.data.bytes); i++)
		ask.data.bytes[i] = line[i];
	request_file(FUSE_WRITE, node, sizeof(ask.data.write) + sizeof(ask.data.bytes));
	GUEST_CHECK_INT(answer.write.size, sizeof(ask.data.bytes));
}

static void on_processor(uint32_t apic_id)
{
	(void)apic_id;
	for (;;)
		turns++;
}

void guest_main(const char *cmdline)
{
	(void)cmdline;
	virtio_begin(CONSOLE, 3);
	virtio_add_queue(CONSOLE, TRANSMIT, &console_queue);
	virtio_finish(CONSOLE);
	guest_enable_interrupt(VIRTIO_GSI_FIRST + 1);
	virtio_begin(DISK, 2);
	virtio_add_queue(DISK, 0, &disk_queue);
	virtio_finish(DISK);
	virtio_begin(RNG, 4);
	virtio_add_queue(RNG, 0, &rng_queue);
	virtio_finish(RNG);
	virtio_begin(SHARE, 26);
	virtio_add_queue(SHARE, SHARE_REQUESTS, &share_queue);
	virtio_finish(SHARE);
	open_file();
	guest_ap_main = on_processor;
	guest_start_processor(1);
	for (uint32_t i = 0; i < LAST; i++) {
		const uint32_t before = turns;

		sector[5] = i;
		transfer(1, sector);
		transfer(0, other);
		GUEST_CHECK_INT(other[5], i);
		draw();
		say(i);
		write_file();
		while (turns == before)
			relax();
	}
	guest_done();
}

#else

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "tests/machine/harness.h"

#define LAST 240
#define ROUNDS 4
#define VCPUS 2

struct place {
	char directory[64];
	int disk_fd;
	int console; /* what the machine says; of all machines, one behind the other */
	int console_end;
	char said[LAST * 5 + 1];
	size_t n_said;
};

static char *path_of(const struct place *place, const char *name)
{
	return xasprintf("%s/%s", place->directory, name);
}

/* With a directory that is shared, and a file there. */
static void place_init(struct place *place)
{
	_cleanup_free_ char *share = NULL;
	_cleanup_free_ char *log = NULL;
	int console[2];

	*place = (struct place){ .directory = "/tmp/test-state.XXXXXX" };
	CHECK(mkdtemp(place->directory) && pipe2(console, O_CLOEXEC) == 0);
	share = path_of(place, "share");
	log = path_of(place, "share/log");
	CHECK(mkdir(share, 0755) == 0 && write_file_atomic(log, "", 0, 0644, NULL) == 0);
	place->console = console[0];
	place->console_end = console[1];
	place->disk_fd = memfd_create("disk", MFD_CLOEXEC);
	CHECK(place->disk_fd >= 0 && ftruncate(place->disk_fd, 65536) == 0);
}

static void place_done(struct place *place)
{
	CHECK(remove_tree(place->directory, NULL) == 0);
	(void)close(place->console);
	(void)close(place->console_end);
	(void)close(place->disk_fd);
}

/* The machine, from its beginning or from the state. */
static struct vm_config *prepare(const struct place *place, bool from_state, int log_fd)
{
	struct vm_config *config = vm_prepare("quiet");
	struct vm_device *disk, *share;

	config->vcpus = VCPUS;
	config->log_fd = log_fd;
	vm_config_add(config, VM_DEVICE_CONSOLE)->console.output.fd = dup(place->console_end);
	disk = vm_config_add(config, VM_DEVICE_BLK);
	disk->blk.file.fd = dup(place->disk_fd);
	disk->blk.id = xstrdup("disk");
	disk->blk.queues = 1;
	(void)vm_config_add(config, VM_DEVICE_RNG);
	share = vm_config_add(config, VM_DEVICE_FS);
	share->fs.tag = xstrdup("share");
	share->fs.root.path = path_of(place, "share");
	share->fs.cache = VM_FS_CACHE_NONE;
	if (from_state) {
		config->state.path = path_of(place, "state");
		config->state_ram.path = path_of(place, "ram");
	}
	return config;
}

static void start(const struct place *place, bool from_state, struct vm *ret_vm)
{
	struct vm_config *config = prepare(place, from_state, -1);
	const int console = config->devices[0].console.output.fd,
		  disk = config->devices[1].blk.file.fd;

	vm_start(config, true, ret_vm);
	(void)close(console);
	(void)close(disk);
}

static void listen_to(struct place *place, size_t lines)
{
	const size_t until = place->n_said + lines * 5;

	while (place->n_said < until) {
		struct pollfd fd = { .fd = place->console, .events = POLLIN };
		ssize_t n;

		CHECK_INT(poll(&fd, 1, 60000), 1);
		n = read(place->console, place->said + place->n_said,
			 sizeof(place->said) - place->n_said);
		CHECK(n > 0);
		place->n_said += (size_t)n;
	}
}

static int make_file(const struct place *place, const char *name)
{
	_cleanup_free_ char *path = path_of(place, name);
	int fd;

	(void)unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	return fd;
}

static void save(const struct place *place, const struct vm *vm, const char *answer)
{
	static const char line[] = "{\"op\":\"save\"}\n";
	const int fds[] = { make_file(place, "state"), make_file(place, "ram") };

	CHECK(send_with_fds(vm->control, line, strlen(line), fds, 2) == (ssize_t)strlen(line));
	vm_expect_part(vm, answer);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void pause_vm(const struct vm *vm)
{
	vm_send(vm, "{\"op\":\"pause\"}");
	vm_expect(vm, "{\"ok\":true}");
}

static void stop(const struct vm *vm)
{
	vm_send(vm, "{\"op\":\"stop\"}");
	vm_expect(vm, "{\"ok\":true}");
	vm_expect_exit(vm, 0);
}

/* Every number, once, in order; so in the shared file, too. */
static void check_said(const struct place *place)
{
	_cleanup_free_ char *path = path_of(place, "share/log");
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	char line[24];

	CHECK_OK(read_file(path, sizeof(place->said), &text, NULL, &error), &error);
	CHECK_INT(strlen(text), place->n_said);
	CHECK(memcmp(text, place->said, place->n_said) == 0);

	for (size_t i = 0; i < place->n_said / 5; i++) {
		(void)snprintf(line, sizeof(line), "%04zu\n", i);
		CHECK(memcmp(place->said + i * 5, line, 5) == 0);
	}
}

/* Again and again: also of a machine that came from a state itself. */
static void test_goes_on(void)
{
	static struct place place;
	_cleanup_free_ char *path = NULL;
	struct stat st;
	struct vm vm;
	int ram;

	place_init(&place);
	start(&place, false, &vm);
	for (int i = 0; i < ROUNDS; i++) {
		listen_to(&place, 40);
		pause_vm(&vm);
		save(&place, &vm, "{\"ok\":true}");
		stop(&vm);
		start(&place, true, &vm);
	}
	listen_to(&place, LAST - place.n_said / 5);
	vm_expect_done(&vm);
	CHECK_INT(place.n_said, LAST * 5);
	check_said(&place);
	/* What was never touched is not there. */
	path = path_of(&place, "ram");
	ram = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fstat(ram, &st) == 0 && st.st_size == 64 << 20 && st.st_blocks * 512 < 8 << 20);
	(void)close(ram);
	place_done(&place);
}

/* The machine that was saved goes on as well, with its workers. */
static void test_leave_running(void)
{
	static struct place place;
	struct vm vm;

	place_init(&place);
	start(&place, false, &vm);
	for (int i = 0; i < ROUNDS; i++) {
		listen_to(&place, 40);
		save(&place, &vm, "cannot save: the machine is running, not paused");
		pause_vm(&vm);
		vm_send(&vm, "{\"op\":\"save\"}");
		vm_expect_part(&vm, "save needs 2 descriptors, not 0");
		save(&place, &vm, "{\"ok\":true}");
		save(&place, &vm, "{\"ok\":true}");
		vm_send(&vm, "{\"op\":\"resume\"}");
		vm_expect(&vm, "{\"ok\":true}");
	}
	listen_to(&place, LAST - place.n_said / 5);
	vm_expect_done(&vm);
	check_said(&place);
	place_done(&place);
}

/* What fails is told, and the machine is none the worse. */
static void test_no_room(void)
{
	static const char line[] = "{\"op\":\"save\"}\n";
	static struct place place;
	struct vm vm;
	int fds[2];

	place_init(&place);
	start(&place, false, &vm);
	listen_to(&place, 10);
	pause_vm(&vm);
	fds[0] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	fds[1] = make_file(&place, "ram");
	CHECK(send_with_fds(vm.control, line, strlen(line), fds, 2) > 0);
	vm_expect_part(&vm, "cannot write the machine's state: No space left on device");
	(void)close(fds[0]);
	(void)close(fds[1]);
	vm_send(&vm, "{\"op\":\"resume\"}");
	vm_expect(&vm, "{\"ok\":true}");
	listen_to(&place, LAST - place.n_said / 5);
	vm_expect_done(&vm);
	check_said(&place);
	place_done(&place);
}

/* An open file without a name: the machine that has it is none the worse. */
static void test_removed_file(void)
{
	static struct place place;
	_cleanup_free_ char *path = NULL;
	struct vm vm;

	place_init(&place);
	path = path_of(&place, "share/log");
	start(&place, false, &vm);
	listen_to(&place, 10);
	pause_vm(&vm);
	CHECK(unlink(path) == 0);
	save(&place, &vm, "has been removed, so that it cannot be found again");
	vm_send(&vm, "{\"op\":\"resume\"}");
	vm_expect(&vm, "{\"ok\":true}");
	listen_to(&place, LAST - place.n_said / 5);
	vm_expect_done(&vm);
	place_done(&place);
}

/* ---- files and machines that do not fit ---- */

static void expect_refusal(const struct place *place, void (*change)(struct vm_config *config),
			   const char *message)
{
	int log_fd = memfd_create("log", 0);
	struct vm_config *config = prepare(place, true, log_fd);
	char log[4096] = "";
	struct vm vm;

	if (change)
		change(config);
	vm_start(config, false, &vm);
	vm_expect_exit(&vm, VMM_EXIT_ERROR);
	CHECK(pread(log_fd, log, sizeof(log) - 1, 0) >= 0);
	if (!strstr(log, message))
		(void)fprintf(stderr, "%s\n", log);
	CHECK(strstr(log, message));
	(void)close(log_fd);
}

static void change_memory(struct vm_config *config)
{
	config->memory_mib = 128;
}

static void change_vcpus(struct vm_config *config)
{
	config->vcpus = 3;
}

static void change_devices(struct vm_config *config)
{
	struct vm_device *share = &config->devices[--config->n_devices];

	free(share->fs.tag);
	free(share->fs.root.path);
}

static void change_kind(struct vm_config *config)
{
	config->devices[2].type = VM_DEVICE_CONSOLE;
	config->devices[2].console.output.fd = -1;
}

static void change_id(struct vm_config *config)
{
	free(config->devices[1].blk.id);
	config->devices[1].blk.id = xstrdup("another");
}

static void change_byte(const struct place *place, const char *name, off_t at)
{
	_cleanup_free_ char *path = path_of(place, name);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 1;
	CHECK(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
}

static void test_refused(void)
{
	static struct place place;
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *gone = NULL;
	struct vm vm;

	place_init(&place);
	start(&place, false, &vm);
	listen_to(&place, 10);
	pause_vm(&vm);
	save(&place, &vm, "{\"ok\":true}");
	stop(&vm);
	expect_refusal(&place, change_memory, "the machine had 64 MiB of memory, not 128");
	expect_refusal(&place, change_vcpus, "the machine had 2 vCPUs, not 3");
	expect_refusal(&place, change_devices, "the machine had 4 devices, not 3");
	expect_refusal(&place, change_kind, "the machine's device 2 was not a console");
	expect_refusal(&place, change_id, "the disk's id is \\\"another\\\", and was");
	path = path_of(&place, "share/log");
	gone = path_of(&place, "gone");
	CHECK(rename(path, gone) == 0);
	expect_refusal(&place, NULL, "again: No such file or directory");
	CHECK(rename(gone, path) == 0);
	free(TAKE_PTR(path));
	change_byte(&place, "state", 5000);
	expect_refusal(&place, NULL, "the machine's state was altered: its checksum is wrong");
	change_byte(&place, "state", 5000);
	change_byte(&place, "state", 8);
	expect_refusal(&place, NULL, "written by another version of this program");
	change_byte(&place, "state", 8);
	change_byte(&place, "state", 0);
	expect_refusal(&place, NULL, "this is not the state of a machine");
	change_byte(&place, "state", 0);
	path = path_of(&place, "ram");
	CHECK(truncate(path, 63 << 20) == 0);
	expect_refusal(&place, NULL, "is not 64 MiB of guest memory");
	CHECK(unlink(path) == 0);
	expect_refusal(&place, NULL, "ram: No such file or directory");
	place_done(&place);
}

static const struct test_case cases[] = {
	{ "goes on", test_goes_on }, { "leave running", test_leave_running },
	{ "no room", test_no_room }, { "removed file", test_removed_file },
	{ "refused", test_refused },
};

TEST_MAIN(cases)

#endif
