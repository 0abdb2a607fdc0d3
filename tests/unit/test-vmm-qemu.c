/*
 * The engine that drives QEMU, with a QEMU that plays a script (fake-qemu.c):
 * however that ends or misbehaves, the guest's end is told once, gone() follows,
 * and no process is left.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/loop.h"
#include "tests/unit/test.h"
#include "vmm/engine.h"
#include "vmm/qemu-command.h"

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

static void set_up(struct seen *seen, const char *script)
{
	_cleanup_(vm_config_freep) struct vm_config *config = NULL;
	static struct vm_config *configs[64];
	static size_t n_configs;
	const struct engine_events events = { on_ended, on_started, on_paused, on_gone, seen };
	struct error *error = NULL;

	*seen = (struct seen){ 0 };
	CHECK(setenv("FAKE_QEMU", script, 1) == 0);
	CHECK(n_configs < sizeof(configs) / sizeof(configs[0]));
	config = vm_config_new();
	config->kernel.path = xstrdup(kernel_path);
	config->accel = VM_ACCEL_TCG;
	configs[n_configs] = config; /* the engine keeps a pointer to it */
	CHECK_OK(loop_new(&seen->loop, &error), &error);
	CHECK_OK(engine_new(TAKE_PTR(config), seen->loop, &events, &seen->engine, &error), &error);
	CHECK_OK(engine_start(seen->engine, &error), &error);
	n_configs++;
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
		   GUEST_ERROR, "was not asked");
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

static void test_command(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = vm_config_new();
	_cleanup_(qemu_command_freep) struct qemu_command *command = NULL;
	struct vm_device blk = { .type = VM_DEVICE_BLK, .blk = { .queues = 3 } };
	char tag[] = "a,b";
	struct vm_device share = { .type = VM_DEVICE_FS, .fs = { .tag = tag } };
	struct error *error = NULL;
	_cleanup_(images_close) struct images images = { 0 };
	int monitor = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_free_ char *chardev = NULL;
	int socket;

	config->kernel.path = xstrdup(kernel_path);
	config->cmdline = xstrdup("console=hvc0");
	config->vcpus = 3;
	config->memory_mib = 300;
	CHECK_OK(images_open(config, &images, &error), &error);
	CHECK_OK(qemu_command_new("/qemu", config, &images, monitor, &command, &error), &error);
	CHECK_STRING(command->arguments[0], "/qemu");
	CHECK(has(command->arguments, "-nodefaults"));
	CHECK_STRING(after(command->arguments, "-smp"), "3,maxcpus=3");
	CHECK_STRING(after(command->arguments, "-m"), "300M");
	CHECK(strncmp(after(command->arguments, "-sandbox"), "on,", 3) == 0);
	CHECK(strncmp(after(command->arguments, "-append"), "console=hvc0 ", 13) == 0);
	CHECK(strstr(after(command->arguments, "-append"), " tsc_early_khz="));
	CHECK(strstr(after(command->arguments, "-append"), " lpj="));
	/* A 16th of what QEMU's local APICs count in a millisecond. */
	CHECK(strstr(after(command->arguments, "-append"), " supermachine.timer_khz=62500"));
	CHECK(!has(command->arguments, "-initrd"));
	CHECK_INT(command->n_fds, 2);
	socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_OK(qemu_command_add_device(command, &blk, 23, socket, &error), &error);
	chardev = xasprintf("socket,id=device23,fd=%d", socket);
	CHECK(has(command->arguments, chardev));
	CHECK(has(command->arguments, "vhost-user-blk,chardev=device23,num-queues=3,config-wce=off,"
				      "bus=virtio-mmio-bus.0"));
	CHECK_OK(qemu_command_add_device(command, &share, 0, -1, &error), &error);
	CHECK(has(command->arguments, "vhost-user-fs-device,chardev=device0,tag=a,,b,"
				      "queue-size=1024,bus=virtio-mmio-bus.23"));
	socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_ERROR(qemu_command_add_device(command, &blk, 24, socket, &error), &error,
		    "at most 24");
	/* Its descriptors go with it. */
	qemu_command_free(TAKE_PTR(command));
	CHECK(fcntl(socket, F_GETFD) < 0 && fcntl(monitor, F_GETFD) < 0);
}

/* Each file at a multiple of 4 bytes. */
static void test_initramfs(void)
{
	static const char *const parts[] = { "/tmp/test-vmm-qemu.1", "/tmp/test-vmm-qemu.2" };
	_cleanup_(vm_config_freep) struct vm_config *config = vm_config_new();
	_cleanup_(qemu_command_freep) struct qemu_command *command = NULL;
	struct error *error = NULL;
	_cleanup_(images_close) struct images images = { 0 };
	char bytes[16];

	CHECK_OK(write_file_atomic(parts[0], "abcde", 5, 0600, &error), &error);
	CHECK_OK(write_file_atomic(parts[1], "fg", 2, 0600, &error), &error);
	config->kernel.path = xstrdup(kernel_path);
	for (; config->n_initramfs < 2; config->n_initramfs++)
		config->initramfs[config->n_initramfs].path = xstrdup(parts[config->n_initramfs]);
	CHECK_OK(images_open(config, &images, &error), &error);
	CHECK_OK(
	    qemu_command_new("/qemu", config, &images, open("/dev/null", O_RDWR), &command, &error),
	    &error);
	/* Room for two: else QEMU drops the guest's memory barriers. */
	CHECK_STRING(after(command->arguments, "-smp"), "1,maxcpus=2");
	CHECK_INT(command->n_fds, 3);
	CHECK_INT(pread(command->fds[2], bytes, sizeof(bytes), 0), 10);
	CHECK(memcmp(bytes, "abcde\0\0\0fg", 10) == 0);
	(void)unlink(parts[0]);
	(void)unlink(parts[1]);
}

static const struct test_case cases[] = {
	{ "command", test_command },
	{ "initramfs", test_initramfs },
	{ "guest ends", test_guest_ends },
	{ "qemu ends", test_qemu_ends },
	{ "monitor misbehaves", test_monitor_misbehaves },
	{ "pause", test_pause },
	{ "pause at once", test_pause_at_once },
	{ "refusals", test_refusals },
};

int main(int argc, char **argv)
{
	_cleanup_free_ char *stand_in = realpath("tests/unit/fake-qemu", NULL);

	int status;

	CHECK(stand_in && setenv("SUPERMACHINE_QEMU", stand_in, 1) == 0);
	make_kernel();
	status = test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	(void)unlink(kernel_path);
	return status;
}
