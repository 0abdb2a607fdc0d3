/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine that drives QEMU, with a QEMU that plays a script (fake-qemu.c):
 * however that ends or misbehaves, the guest's end is told once, gone() follows,
 * and no process is left.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "tests/unit/test.h"
#include "vmm/engine.h"
#include "vmm/qemu/qemu-command.h"
#include "vmm/ram.h"

#define SHUTDOWN(reason)                                                                           \
	"say {\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"" reason "\"}}"
#define START "greet;take qmp_capabilities;take cont"

/* What the engine told. */
struct seen {
	struct loop *loop;
	struct engine *engine;
	unsigned started, paused, ended, gone;
	enum guest_end end;
	char *message;
};

static void on_ended(void *data, enum guest_end end, const char *message)
{
	struct seen *seen = data;

	seen->ended++;
	seen->end = end;
	seen->message = xstrdup(message);
	engine_end(seen->engine);
}

static void on_started(void *data)
{
	((struct seen *)data)->started++;
}

static void on_paused(void *data)
{
	((struct seen *)data)->paused++;
}

static void on_gone(void *data)
{
	((struct seen *)data)->gone++;
}

static const char kernel_path[] = "test-vmm-qemu.kernel";

/* The least that is a kernel. */
static void make_kernel(void)
{
	const struct {
		Elf64_Ehdr header;
		Elf64_Phdr segment;
		char content[16];
	} elf = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = 0x200000,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.segment = {
			.p_type = PT_LOAD,
			.p_paddr = 0x200000,
			.p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
			.p_filesz = 16,
			.p_memsz = 16,
		},
	};
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(kernel_path, &elf, sizeof(elf), 0600, &error), &error);
}

/* config becomes the test's: the engine keeps a pointer to it. */
static void set_up_config(struct seen *seen, const char *script, struct vm_config *config)
{
	static struct vm_config *configs[64];
	static size_t n_configs;
	const struct engine_events events = { on_ended, on_started, on_paused, on_gone, seen };
	struct error *error = NULL;

	*seen = (struct seen){ 0 };
	CHECK(setenv("FAKE_QEMU", script, 1) == 0);
	CHECK(n_configs < sizeof(configs) / sizeof(configs[0]));
	configs[n_configs++] = config;
	CHECK_OK(loop_new(&seen->loop, &error), &error);
	CHECK_OK(engine_new(config, seen->loop, &events, &seen->engine, &error), &error);
	CHECK_OK(engine_start(seen->engine, &error), &error);
}

static void set_up(struct seen *seen, const char *script)
{
	struct vm_config *config = vm_config_new();

	config->kernel.path = xstrdup(kernel_path);
	config->accel = VM_ACCEL_TCG;
	set_up_config(seen, script, config);
}

static void tear_down(struct seen *seen)
{
	engine_free(seen->engine);
	loop_free(seen->loop);
	free(seen->message);
	/* Nobody is left, not even unreaped. */
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void run_until(struct seen *seen, const unsigned *count)
{
	while (*count == 0)
		loop_step(seen->loop, -1);
}

static void expect_end(const char *script, enum guest_end end, const char *part)
{
	struct seen seen;

	set_up(&seen, script);
	run_until(&seen, &seen.gone);
	CHECK_INT(seen.ended, 1);
	CHECK_INT(seen.gone, 1);
	CHECK_INT(seen.end, end);
	if (part && !(seen.message && strstr(seen.message, part)))
		test_fail(__FILE__, __LINE__, "\"%s\" does not contain \"%s\"",
			  seen.message ? seen.message : "(null)", part);
	tear_down(&seen);
}

static void test_guest_ends(void)
{
	expect_end(START ";" SHUTDOWN("guest-shutdown"), GUEST_POWEROFF, NULL);
	expect_end(START ";" SHUTDOWN("guest-reset"), GUEST_REBOOT, NULL);
	expect_end(START ";" SHUTDOWN("guest-panic"), GUEST_PANIC, "panicked");
	expect_end(START ";say {\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"run\"}}",
		   GUEST_PANIC, "panicked");
	expect_end(START ";" SHUTDOWN("host-signal"), GUEST_ERROR, "host-signal");
	expect_end(START ";say {\"event\": \"SHUTDOWN\"}", GUEST_ERROR, "no reason");
}

static void test_qemu_ends(void)
{
	expect_end("exit 1", GUEST_ERROR, "QEMU ended with status 1");
	expect_end("greet;exit 0", GUEST_ERROR, "QEMU ended with status 0");
	expect_end(START ";exit 7", GUEST_ERROR, "QEMU ended with status 7");
	/* Not what it should do: close its monitor and live on. */
	expect_end(START ";close", GUEST_ERROR, "closed its monitor");
}

static void test_monitor_misbehaves(void)
{
	expect_end("say hello", GUEST_ERROR, "QEMU's monitor");
	expect_end("say 5", GUEST_ERROR, NULL);
	expect_end("say {\"QMP\": 1}", GUEST_ERROR, "QMP");
	expect_end("greet;refuse", GUEST_ERROR, "not today");
	expect_end("greet;take;refuse", GUEST_ERROR, "not today");
	expect_end("greet;say {\"return\": {}};say {\"return\": {}};say {\"return\": {}}",
		   GUEST_ERROR, "unexpected reply");
	expect_end("greet;say {\"error\": {}}", GUEST_ERROR, "desc");
	expect_end("flood", GUEST_ERROR, "too long a line");
}

static void test_pause(void)
{
	struct seen seen;

	/* An event in between, a greeting twice: neither matters. */
	set_up(&seen, START ";take stop;say {\"event\": \"STOP\"};greet;take cont;take stop");
	run_until(&seen, &seen.started);
	CHECK_INT(seen.paused, 0);
	engine_pause(seen.engine);
	run_until(&seen, &seen.paused);
	engine_resume(seen.engine);
	engine_pause(seen.engine);
	seen.paused = 0;
	run_until(&seen, &seen.paused);
	CHECK_INT(seen.started, 1);
	CHECK_INT(seen.ended, 0);
	engine_end(seen.engine);
	engine_end(seen.engine);
	run_until(&seen, &seen.gone);
	CHECK_INT(seen.ended, 0); /* an order is not a report */
	tear_down(&seen);
}

/* Asked for before the start was answered: both are told. */
static void test_pause_at_once(void)
{
	struct seen seen;

	set_up(&seen, START ";take stop");
	engine_pause(seen.engine);
	run_until(&seen, &seen.paused);
	CHECK_INT(seen.started, 1);
	tear_down(&seen); /* freed while it runs */
}

static void test_refusals(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = vm_config_new();
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_free_ char *qemu = xstrdup(getenv("SUPERMACHINE_QEMU"));
	const struct engine_events events = { 0 };
	struct engine *engine = NULL;
	struct error *error = NULL;

	config->kernel.path = xstrdup(kernel_path);
	config->accel = VM_ACCEL_TCG;
	CHECK_OK(loop_new(&loop, &error), &error);
	CHECK(setenv("SUPERMACHINE_QEMU", "/no/such/qemu", 1) == 0);
	CHECK_ERROR(engine_new(config, loop, &events, &engine, &error), &error, "/no/such/qemu");
	CHECK(setenv("SUPERMACHINE_QEMU", qemu, 1) == 0);
	free(config->kernel.path);
	config->kernel.path = xstrdup("/no/such/kernel");
	CHECK_ERROR(engine_new(config, loop, &events, &engine, &error), &error, "/no/such/kernel");
	/* Refused before QEMU would start a guest that cannot run. */
	free(config->kernel.path);
	config->kernel.path = xstrdup(kernel_path);
	config->cmdline = xmalloc(4097);
	memset(config->cmdline, 'x', 4096);
	config->cmdline[4096] = '\0';
	CHECK_ERROR(engine_new(config, loop, &events, &engine, &error), &error, "command line");
	CHECK(!engine);
}

/* ---- the command line ---- */

static bool has(char **arguments, const char *argument)
{
	for (; *arguments; arguments++)
		if (strcmp(*arguments, argument) == 0)
			return true;
	return false;
}

static const char *after(char **arguments, const char *option)
{
	for (; *arguments; arguments++)
		if (strcmp(*arguments, option) == 0)
			return arguments[1];
	return "";
}

static struct qemu_command *make_command(const struct vm_config *config,
					 enum qemu_beginning beginning)
{
	_cleanup_(images_close) struct images images = { 0 };
	struct qemu_machine machine = {
		.program = "/qemu", .config = config, .beginning = beginning, .images = &images
	};
	_cleanup_close_ int ram = -1;
	struct qemu_command *command = NULL;
	struct error *error = NULL;

	CHECK_OK(images_open(config, &images, &error), &error);
	CHECK_OK(ram_file_new(config->memory_mib << 20, &ram, &error), &error);
	machine.monitor = open("/dev/null", O_RDWR | O_CLOEXEC);
	machine.log_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	machine.ram_fd = ram;
	CHECK_OK(qemu_command_new(&machine, &command, &error), &error);
	return command;
}

static struct vm_config *make_config(void)
{
	struct vm_config *config = vm_config_new();

	config->kernel.path = xstrdup(kernel_path);
	config->cmdline = xstrdup("console=hvc0");
	config->accel = VM_ACCEL_TCG;
	return config;
}

static void test_command(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = make_config();
	_cleanup_(qemu_command_freep) struct qemu_command *command = NULL;
	struct vm_device blk = { .type = VM_DEVICE_BLK, .blk = { .queues = 3 } };
	struct vm_device share = { .type = VM_DEVICE_FS };
	struct error *error = NULL;
	_cleanup_free_ char *chardev = NULL, *logfile = NULL;
	int socket;

	config->vcpus = 3;
	config->memory_mib = 300;
	command = make_command(config, QEMU_BOOTS);
	CHECK_STRING(command->arguments[0], "/qemu");
	CHECK(has(command->arguments, "-nodefaults"));
	CHECK_STRING(after(command->arguments, "-smp"), "3,maxcpus=3");
	CHECK_STRING(after(command->arguments, "-m"), "300M");
	CHECK(strncmp(after(command->arguments, "-sandbox"), "on,", 3) == 0);
	CHECK(strncmp(after(command->arguments, "-append"), "console=hvc0 ", 13) == 0);
	CHECK(strstr(after(command->arguments, "-append"), " tsc_early_khz="));
	CHECK(strstr(after(command->arguments, "-append"), " lpj="));
	CHECK(!strstr(after(command->arguments, "-append"), "supermachine.template"));
	/* A 16th of what QEMU's local APICs count in a millisecond. */
	CHECK(strstr(after(command->arguments, "-append"), " supermachine.timer_khz=62500"));
	CHECK(!has(command->arguments, "-initrd"));
	CHECK_INT(command->n_fds, 4);
	/* QEMU's own devices have the last transports, wherever they stand. */
	for (int i = 0; i < 21; i++)
		config->devices[config->n_devices++] = blk;
	config->devices[config->n_devices++] = (struct vm_device){ .type = VM_DEVICE_RNG };
	share.fs.tag = xstrdup("a,b");
	config->devices[config->n_devices++] = share;
	config->devices[config->n_devices++] = blk;
	config->devices[config->n_devices++] = blk;
	socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_OK(qemu_command_add_device(command, config, 23, socket, &error), &error);
	chardev = xasprintf("socket,id=device23,fd=%d", socket);
	CHECK(has(command->arguments, chardev));
	CHECK(has(command->arguments,
		  "vhost-user-blk,id=device23,chardev=device23,num-queues=3,config-wce=off,"
		  "bus=virtio-mmio-bus.0"));
	CHECK_OK(qemu_command_add_device(command, config, 21, -1, &error), &error);
	CHECK(has(command->arguments, "virtio-rng-device,bus=virtio-mmio-bus.23"));
	CHECK_OK(qemu_command_add_device(command, config, 22, -1, &error), &error);
	/* A console of the log's. */
	config->devices[22].type = VM_DEVICE_CONSOLE;
	config->devices[22].console.output = (struct vm_file){ .fd = -1 };
	CHECK_OK(qemu_command_add_device(command, config, 22, -1, &error), &error);
	logfile = xasprintf("null,id=device22,logfile=/dev/fdset/%d,logappend=on",
			    command->fds[command->n_fds - 1]);
	CHECK(has(command->arguments, logfile));
	config->devices[22] = share;
	CHECK(has(command->arguments, "vhost-user-fs-device,id=device22,chardev=device22,tag=a,,b,"
				      "queue-size=1024,bus=virtio-mmio-bus.1"));
	CHECK_ERROR(qemu_command_add_device(command, config, 24, -1, &error), &error, "at most 24");
	/* Its descriptors go with it. */
	qemu_command_free(TAKE_PTR(command));
	CHECK(fcntl(socket, F_GETFD) < 0);
}

/* A network device is QEMU's, and ours is behind its netdev. */
static void test_netdev_command(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = make_config();
	_cleanup_(qemu_command_freep) struct qemu_command *command = NULL;
	struct vm_device *device = vm_config_add(config, VM_DEVICE_NET);
	_cleanup_free_ char *chardev = NULL;
	struct error *error = NULL;
	int listener = open("/dev/null", O_RDWR | O_CLOEXEC);

	device->net.mac = (struct vm_mac){ { 2, 0, 0, 0, 0, 0xab } };
	device->net.mtu = 1400;
	command = make_command(config, QEMU_BOOTS);
	CHECK_OK(qemu_command_add_device(command, config, 0, listener, &error), &error);
	chardev = xasprintf("socket,id=device0,path=/proc/self/fd/%d", listener);
	CHECK(has(command->arguments, chardev));
	CHECK_STRING(after(command->arguments, "-netdev"), "vhost-user,id=netdev0,chardev=device0");
	CHECK(has(command->arguments,
		  "virtio-net-device,id=device0,netdev=netdev0,mac=02:00:00:00:00:ab,"
		  "host_mtu=1400,ctrl_guest_offloads=off,ctrl_rx_extra=off,ctrl_vlan=off,"
		  "guest_announce=off,bus=virtio-mmio-bus.23"));
	qemu_command_free(command);
	device->net.pairs = 4;
	command = make_command(config, QEMU_BOOTS);
	listener = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_OK(qemu_command_add_device(command, config, 0, listener, &error), &error);
	CHECK_STRING(after(command->arguments, "-netdev"),
		     "vhost-user,id=netdev0,chardev=device0,queues=4");
	CHECK(has(command->arguments,
		  "virtio-net-device,id=device0,netdev=netdev0,mac=02:00:00:00:00:ab,"
		  "host_mtu=1400,mq=on,ctrl_guest_offloads=off,ctrl_rx_extra=off,ctrl_vlan=off,"
		  "guest_announce=off,bus=virtio-mmio-bus.23"));
}

/* QEMU connects to a network device by itself; where it does not, its end says why. */
static void test_netdev(void)
{
	static const struct {
		const char *script, *message;
	} cases[] = {
		/* It has no link, and QEMU is told. */
		{ "connect;greet;take qmp_capabilities;take set_link;take cont;exit 3",
		  "QEMU ended with status 3" },
		{ "exit 4", "QEMU ended with status 4" },
		{ "connect;exit 5", "QEMU ended with status 5" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_config *config = make_config();
		struct seen seen;

		vm_config_add(config, VM_DEVICE_NET)->net.mac = (struct vm_mac){ { 2 } };
		set_up_config(&seen, cases[i].script, config);
		run_until(&seen, &seen.gone);
		CHECK(strstr(seen.message, cases[i].message));
		tear_down(&seen);
	}
}

#define LOG_SIZE (64 << 10)

/* What QEMU, and a guest at its console, have to say is in the log: in front of what is said
 * of the end, and no more than the log keeps. */
static void test_output(void)
{
	static const struct {
		const char *script;
		enum guest_end end;
	} cases[] = {
		{ START ";print hello;complain not today;print the last words;"
			";say {\"event\": \"GUEST_PANICKED\"}",
		  GUEST_PANIC },
		{ START ";spam 50;print hello;complain not today;print the last words;exit 3",
		  GUEST_ERROR },
	};
	char path[] = "/tmp/test-vmm-qemu.log.XXXXXX";
	int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
	struct error *error = NULL;
	struct seen seen;

	CHECK(fd >= 0);
	log_set_fd(fd);
	CHECK_OK(log_keep_end(LOG_SIZE, &error), &error);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_config *config = make_config();
		_cleanup_free_ char *text = NULL;
		const char *words;

		config->devices[config->n_devices++] =
		    (struct vm_device){ .type = VM_DEVICE_CONSOLE, .console.output.fd = -1 };
		set_up_config(&seen, cases[i].script, config);
		run_until(&seen, &seen.ended);
		CHECK_INT(seen.end, cases[i].end);
		log_error("the guest ended");
		engine_end(seen.engine);
		run_until(&seen, &seen.gone);
		tear_down(&seen);
		CHECK_OK(read_file(path, LOG_SIZE, &text, NULL, &error), &error);
		words = strstr(text, "hello\n> not today\n> the last words\n");
		CHECK(words && strstr(words, "the guest ended"));
		CHECK(truncate(path, 0) == 0);
	}
	log_set_fd(STDERR_FILENO);
	(void)close(fd);
	(void)unlink(path);
}

/* Each file at a multiple of 4 bytes; a template's has the table of transports in front. */
static void test_initramfs(void)
{
	static const char *const parts[] = { "/tmp/test-vmm-qemu.1", "/tmp/test-vmm-qemu.2" };
	static const char header[] = "0707010000000000008100";
	_cleanup_(vm_config_freep) struct vm_config *config = make_config();
	struct qemu_command *command;
	struct error *error = NULL;
	char bytes[8192];
	ssize_t n;

	CHECK_OK(write_file_atomic(parts[0], "abcde", 5, 0600, &error), &error);
	CHECK_OK(write_file_atomic(parts[1], "fg", 2, 0600, &error), &error);
	for (; config->n_initramfs < 2; config->n_initramfs++)
		config->initramfs[config->n_initramfs].path = xstrdup(parts[config->n_initramfs]);
	command = make_command(config, QEMU_BOOTS);
	/* Room for two: else QEMU drops the guest's memory barriers. */
	CHECK_STRING(after(command->arguments, "-smp"), "1,maxcpus=2");
	CHECK_INT(command->n_fds, 5);
	CHECK_INT(pread(command->fds[4], bytes, sizeof(bytes), 0), 10);
	CHECK(memcmp(bytes, "abcde\0\0\0fg", 10) == 0);
	qemu_command_free(command);

	command = make_command(config, QEMU_BOOTS_TEMPLATE);
	CHECK(strstr(after(command->arguments, "-append"), " supermachine.template"));
	n = pread(command->fds[4], bytes, sizeof(bytes), 0);
	CHECK(n > 10 && n < (ssize_t)sizeof(bytes));
	CHECK(memcmp(bytes, header, sizeof(header) - 1) == 0);
	CHECK_STRING(bytes + 110, "kernel/firmware/acpi/slots.aml");
	CHECK(memcmp(bytes + 144, "SSDT", 4) == 0);
	CHECK(memcmp(bytes + n - 10, "abcde\0\0\0fg", 10) == 0);
	qemu_command_free(command);

	command = make_command(config, QEMU_RESUMES);
	CHECK_STRING(after(command->arguments, "-incoming"), "defer");
	CHECK(!has(command->arguments, "-kernel") && !has(command->arguments, "-initrd"));
	qemu_command_free(command);
	(void)unlink(parts[0]);
	(void)unlink(parts[1]);
}

/* ---- templates ---- */

#define STATE_COMES                                                                                \
	"take stop;take migrate-set-capabilities;take getfd;take migrate;"                         \
	"say {\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}};state the state;"      \
	"say {\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}}"
#define IS_MADE START ";print booting;print supermachine-template: idle;" STATE_COMES
#define GOES_ON                                                                                    \
	"greet;take qmp_capabilities;take device1;take migrate-set-capabilities;"                  \
	"take migrate-incoming;incoming;"                                                          \
	"say {\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}};"                   \
	"take \"value\":true;take cont"

static char templates[] = "/tmp/test-vmm-qemu.XXXXXX";

/* Starts a machine with a console of QEMU's and a device of ours, from a template that the
 * first script makes; the second goes on from it. */
static void start_from_template(struct seen *seen, const char *makes, const char *goes_on,
				bool failed)
{
	struct vm_config *config = make_config();

	CHECK(setenv("FAKE_QEMU_RESUMED", goes_on, 1) == 0);
	CHECK(setenv("FAKE_STATE", "the state", 1) == 0);
	config->templates = xstrdup(templates);
	config->template_failed = failed;
	config->devices[0].type = VM_DEVICE_CONSOLE;
	config->devices[0].console.output.fd = STDERR_FILENO;
	config->devices[1].type = VM_DEVICE_VSOCK;
	config->devices[1].vsock.cid = 3;
	config->devices[1].vsock.path = xstrdup("/tmp/test-vmm-qemu.vsock");
	config->devices[1].vsock.fd = -1;
	config->n_devices = 2;
	(void)unlink(config->devices[1].vsock.path);
	set_up_config(seen, makes, config);
}

static int count_templates(const char *file)
{
	_cleanup_free_ char *pattern = xasprintf("%s/*/%s", templates, file);
	glob_t found;
	int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;

	globfree(&found);
	return n;
}

static void forget_templates(void)
{
	struct error *error = NULL;

	CHECK_OK(remove_tree(templates, &error), &error);
	CHECK(mkdir(templates, 0700) == 0);
}

static void test_template(void)
{
	struct seen seen;

	start_from_template(&seen, IS_MADE, GOES_ON, false);
	run_until(&seen, &seen.started);
	tear_down(&seen);
	CHECK_INT(count_templates("state"), 1);
	/* No other is made. */
	start_from_template(&seen, "exit 9", GOES_ON ";" SHUTDOWN("guest-shutdown"), false);
	run_until(&seen, &seen.gone);
	CHECK_INT(seen.started, 1);
	CHECK_INT(seen.end, GUEST_POWEROFF);
	tear_down(&seen);
	forget_templates();
}

/* Then the guest boots, by another QEMU that plays the same. */
static void test_template_fails(void)
{
	static const char *const scripts[] = {
		"exit 3",
		START ";exit 3",
		START ";close",
		START ";" SHUTDOWN("guest-shutdown"),
		START ";" SHUTDOWN("guest-panic"),
		START ";say {\"event\": \"GUEST_PANICKED\"}",
		START ";print supermachine-template: idle;take stop;refuse",
		START ";print supermachine-template: idle;take stop;take;take getfd;take migrate;"
		      "say {\"event\": \"MIGRATION\", \"data\": {\"status\": \"failed\"}}",
		START ";print supermachine-template: refused: by me",
		"say nonsense",
	};
	struct seen seen;

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		start_from_template(&seen, scripts[i], "exit 8", false);
		engine_end(seen.engine);
		run_until(&seen, &seen.gone);
		tear_down(&seen);
		CHECK_INT(count_templates("state"), 0);
		CHECK_INT(count_templates("refused"), i == 8);
		forget_templates();
	}
}

/* A kernel that has its timer wrong reboots: the next may have it right. */
static void test_template_reboots(void)
{
	/* Where another user can write. */
	_cleanup_free_ char *mark = xasprintf("%s.mark", templates);
	_cleanup_free_ char *script =
	    xasprintf("once %s;%s", mark, START ";" SHUTDOWN("guest-reset"));
	struct seen seen;

	CHECK(setenv("FAKE_QEMU_ELSE", IS_MADE, 1) == 0);
	start_from_template(&seen, script, GOES_ON, false);
	run_until(&seen, &seen.started);
	tear_down(&seen);
	CHECK_INT(count_templates("state"), 1);
	CHECK(unlink(mark) == 0);
	forget_templates();
}

/* What did not work is not tried again. */
static void test_template_refused(void)
{
	struct seen seen;

	start_from_template(&seen, IS_MADE, GOES_ON, false);
	run_until(&seen, &seen.started);
	tear_down(&seen);
	start_from_template(&seen, START, "exit 8", true);
	run_until(&seen, &seen.started);
	tear_down(&seen);
	CHECK_INT(count_templates("state"), 0);
	CHECK_INT(count_templates("refused"), 1);
	start_from_template(&seen, START, "exit 8", false);
	run_until(&seen, &seen.started);
	tear_down(&seen);
	forget_templates();
}

static const struct test_case cases[] = {
	{ "command", test_command },
	{ "command with a netdev", test_netdev_command },
	{ "netdev", test_netdev },
	{ "output", test_output },
	{ "initramfs", test_initramfs },
	{ "guest ends", test_guest_ends },
	{ "qemu ends", test_qemu_ends },
	{ "monitor misbehaves", test_monitor_misbehaves },
	{ "pause", test_pause },
	{ "pause at once", test_pause_at_once },
	{ "refusals", test_refusals },
	{ "template", test_template },
	{ "template fails", test_template_fails },
	{ "template reboots", test_template_reboots },
	{ "template refused", test_template_refused },
};

int main(int argc, char **argv)
{
	_cleanup_free_ char *stand_in = realpath("tests/unit/fake-qemu", NULL);

	int status;

	CHECK(stand_in && setenv("SUPERMACHINE_QEMU", stand_in, 1) == 0 && mkdtemp(templates));
	make_kernel();
	status = test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	(void)unlink(kernel_path);
	(void)remove_tree(templates, NULL);
	return status;
}
