/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting the guest: see boot.h.
 *
 * The initramfs is the root file system and stays it; but pivot_root(2) cannot
 * work from there, so the agent lives on a bind mount of it, read-only: not
 * even /proc/PID/exe of the agent can be written through.
 */
#include "agent/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/timer.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"

#define ROOT_DIR "/sysroot" /* for the bind mount */
#define MODULES_DIR "/modules"
#define FILES_MAX 1048576

static const struct {
	const char *type, *target, *data;
	unsigned long flags;
	mode_t mode; /* of a target that is to be made; 0: it is there */
} system_mounts[] = {
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0 },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0 },
	{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID, 0 },
	{ "devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, 0755 },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, 01777 },
	{ "mqueue", "/dev/mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755 },
	{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, 0 },
	{ "cgroup2", BOOT_CGROUP_ROOT, NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0 },
};

/* What the kernel may have left out of 0, 1 and 2 must not become some socket. */
static int fill_standard_fds(struct error **ret_error)
{
	int fd;

	do {
		fd = open("/", O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return error_set_errno(ret_error, errno, "cannot open /");
	} while (fd <= STDERR_FILENO);
	(void)close(fd);
	return 0;
}

static int make_own_root(struct error **ret_error)
{
	if (mount("/", ROOT_DIR, NULL, MS_BIND, NULL) < 0 || chdir(ROOT_DIR) < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return error_set_errno(ret_error, errno, "cannot make the agent's root");
	return 0;
}

static int mount_system(struct error **ret_error)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_mounts); i++) {
		const char *target = system_mounts[i].target;

		if (system_mounts[i].mode != 0 && mkdir(target, system_mounts[i].mode) < 0 &&
		    errno != EEXIST)
			return error_set_errno(ret_error, errno, "cannot make %s", target);
		if (mount(system_mounts[i].type, target, system_mounts[i].type,
			  system_mounts[i].flags, system_mounts[i].data) < 0)
			return error_set_errno(ret_error, errno, "cannot mount %s", target);
	}
	return 0;
}

static void tell(int level, const char *message)
{
	_cleanup_free_ char *line = xasprintf("<%d>agent: %s\n", level, message);
	_cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)write_all(fd, line, strlen(line));
}

void boot_tell(const char *message)
{
	tell(4, message);
}

/* On the console, also of a kernel that was told to be quiet, if it has the driver. */
static void tell_on_console(const char *message)
{
	if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL) == 0)
		tell(0, message);
}

/* Before anything that might wait for the timer.  What is mounted for it goes again: below the
 * agent's root nobody sees it, but the kernel would find it in each container's mount namespace,
 * with nothing masked, and allow a user namespace another like it. */
static int check_timer(struct error **ret_error)
{
	_cleanup_error_ struct error *error = NULL;

	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot mount /proc");
	if (timer_check("/proc", &error) == 0)
		return umount2("/proc", MNT_DETACH) == 0
			   ? 0
			   : error_set_errno(ret_error, errno, "cannot unmount /proc");
	if (error->code == ERANGE) {
		tell_on_console(error->message);
		(void)reboot(RB_AUTOBOOT); /* and the host starts another machine */
	}
	*ret_error = TAKE_PTR(error);
	return -1;
}

static void load_module(const char *name)
{
	_cleanup_free_ char *path = xasprintf(MODULES_DIR "/%s", name);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if ((fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0) && errno != EEXIST)
		log_warning("cannot load the module %s: %s", name, strerror(errno));
}

/* Those that the file names, in its order; none is fine. */
static void load_modules(const char *path)
{
	_cleanup_free_ char *order = NULL;
	char *rest, *name;

	if (read_file(path, 65536, &order, NULL, NULL) < 0)
		return;
	for (name = strtok_r(order, " \n", &rest); name; name = strtok_r(NULL, " \n", &rest))
		load_module(name);
}

void boot_load_module(const char *name)
{
	_cleanup_free_ char *path = xasprintf(MODULES_DIR "/%s.order", name);

	load_modules(path);
}

/* Not to wait for: a console that nobody empties must not stop the agent. */
static void open_log(void)
{
	static const char *const places[] = { "/dev/hvc0", "/dev/kmsg" };

	log_set_name("agent");
	log_set_level(LOG_LEVEL_INFO);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int fd = open(places[i], O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

		if (fd >= 0) {
			log_set_fd(fd);
			return;
		}
	}
}

/* (The kernel never kills PID 1 for want of memory, whatever its oom_score_adj.) */
static int set_limits(struct error **ret_error)
{
	struct rlimit files = { .rlim_cur = FILES_MAX, .rlim_max = FILES_MAX };

	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return error_set_errno(ret_error, errno, "cannot raise the limit of open files");
	return 0;
}

static int protect_root(struct error **ret_error)
{
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot make the agent's root read-only");
	return 0;
}

int boot(struct error **ret_error)
{
	if (fill_standard_fds(ret_error) < 0 || check_timer(ret_error) < 0 ||
	    make_own_root(ret_error) < 0)
		return -1;
	/* Modules first: file systems may be among them, and the console. */
	load_modules(MODULES_DIR "/order");
	if (mount_system(ret_error) < 0)
		return -1;
	open_log();
	if (set_limits(ret_error) < 0 || cgroup_enable_controllers(BOOT_CGROUP_ROOT, ret_error) < 0)
		return -1;
	return protect_root(ret_error);
}

void power_off(void)
{
	const struct timespec pause_time = { .tv_nsec = 1000000 };

	(void)kill(-1, SIGKILL);
	for (unsigned int i = 0; i < 1000 && waitpid(-1, NULL, WNOHANG) >= 0; i++)
		(void)nanosleep(&pause_time, NULL);
	sync();
	(void)reboot(RB_POWER_OFF);
	/* A machine without a way to be turned off ends by panic: PID 1 exits. */
	_exit(1);
}
