/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of the lab's machine: makes a root that shows the host's files and keeps
 * no change to them, runs the command, passes its output on, reports its status
 * and powers off. Started by tests/lab/lab, which also writes these files into the
 * initramfs:
 *
 *   /lab/command   for bash
 *   /lab/cwd       where to run it
 *   /lab/modules   the host's directory of kernel modules
 *   /lab/shares    further directories of the host, one a line ("ro PATH" or
 *                  "rw PATH"), shown as they are: the n-th has the tag "shareN"
 *   /lab/env       NAME=VALUE lines
 *   /lab/order     kernel modules in /lab/, in load order
 *
 * Output goes to the virtio-serial port "output", the status ("rc N") to
 * "status"; what init itself has to say goes to the console.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_ROOM 4200

static void complain(const char *what)
{
	fprintf(stderr, "lab: %s: %s\n", what, strerror(errno));
}

static void mount_at(const char *source, const char *target, const char *type, unsigned long flags,
		     const char *data)
{
	if (mount(source, target, type, flags, data) < 0)
		complain(target);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		complain(path);
	if (fd >= 0)
		close(fd);
}

/* mkdir -p */
static void make_directories(const char *path)
{
	char copy[PATH_ROOM];

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(copy, 0755);
		*slash = '/';
	}
	if (mkdir(copy, 0755) < 0 && errno != EEXIST)
		complain(copy);
}

/* Calls `each` with every line of a file. */
static void for_lines(const char *path, void (*each)(const char *line, unsigned int number))
{
	FILE *file = fopen(path, "re");
	char line[PATH_ROOM];

	if (!file) {
		complain(path);
		return;
	}
	for (unsigned int i = 0; fgets(line, sizeof(line), file); i++) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			each(line, i);
	}
	fclose(file);
}

static void load_module(const char *name, unsigned int number)
{
	char path[PATH_ROOM];
	int fd;

	(void)number;
	snprintf(path, sizeof(path), "/lab/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		complain(path);
	if (fd >= 0)
		close(fd);
}

/* The kernel's module directory, where modprobe looks for it. */
static void show_modules(const char *host_path, unsigned int number)
{
	char source[PATH_ROOM + 8], target[PATH_ROOM];
	struct utsname name;

	(void)number;
	uname(&name);
	snprintf(target, sizeof(target), "/newroot/usr/lib/modules/%s", name.release);
	snprintf(source, sizeof(source), "/host%s", host_path);
	make_directories(target);
	mount_at(source, target, NULL, MS_BIND, NULL);
}

static void show_share(const char *line, unsigned int number)
{
	char target[PATH_ROOM + 16], tag[32];

	snprintf(tag, sizeof(tag), "share%u", number);
	snprintf(target, sizeof(target), "/newroot%s", line + 3);
	make_directories(target);
	mount_at(tag, target, "virtiofs", strncmp(line, "rw ", 3) == 0 ? 0 : MS_RDONLY, NULL);
}

static void set_environment(const char *line, unsigned int number)
{
	(void)number;
	putenv(strdup(line));
}

static void change_directory(const char *path, unsigned int number)
{
	(void)number;
	if (chdir(path) < 0)
		complain(path);
}

static void mount_devices(void)
{
	mkdir("dev/pts", 0755);
	mkdir("dev/shm", 01777);
	mkdir("dev/mqueue", 01777);
	mount_at("devpts", "dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666");
	mount_at("tmpfs", "dev/shm", "tmpfs", 0, "mode=1777");
	mount_at("mqueue", "dev/mqueue", "mqueue", 0, NULL);
	if (symlink("/proc/self/fd", "dev/fd") < 0 || symlink("fd/0", "dev/stdin") < 0 ||
	    symlink("fd/1", "dev/stdout") < 0 || symlink("fd/2", "dev/stderr") < 0)
		complain("/dev");
}

/* cgroup v2 as a host's init leaves it: every controller on, no process in the root. */
static void mount_cgroups(void)
{
	static const char *const controllers[] = { "+cpuset", "+cpu",	  "+io",   "+memory",
						   "+pids",   "+hugetlb", "+rdma", "+misc" };

	mount_at("cgroup2", "sys/fs/cgroup", "cgroup2", 0, NULL);
	mkdir("sys/fs/cgroup/lab", 0755);
	write_file("sys/fs/cgroup/lab/cgroup.procs", "0");
	for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
		write_file("sys/fs/cgroup/cgroup.subtree_control", controllers[i]);
}

static void loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		complain("lo");
	if (fd >= 0)
		close(fd);
}

/* The host's / below a layer of memory, further shares on top, kernel file systems. */
static void make_root(void)
{
	mkdir("/host", 0755);
	mkdir("/memory", 0755);
	mkdir("/newroot", 0755);
	mount_at("root", "/host", "virtiofs", MS_RDONLY, NULL);
	mount_at("tmpfs", "/memory", "tmpfs", 0, "size=80%,mode=755");
	mkdir("/memory/upper", 0755);
	mkdir("/memory/work", 0755);
	mount_at("overlay", "/newroot", "overlay", 0,
		 "lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work");
	for_lines("/lab/modules", show_modules);
	mount_at("tmpfs", "/newroot/run", "tmpfs", 0, "mode=755");
	for_lines("/lab/shares", show_share);
	if (chdir("/newroot") < 0)
		complain("/newroot");
	mount_at("/proc", "proc", NULL, MS_MOVE, NULL);
	mount_at("/sys", "sys", NULL, MS_MOVE, NULL);
	mount_at("/dev", "dev", NULL, MS_MOVE, NULL);
	make_directories("run/lock");
	make_directories("run/lab");
	mount_at("/lab", "run/lab", NULL, MS_BIND, NULL);
	mount_devices();
	mount_cgroups();
	if (access("dev/vda", F_OK) == 0) {
		make_directories("scratch");
		mount_at("dev/vda", "scratch", "ext4", MS_NOATIME, "nobarrier");
	}
}

static void enter_root(void)
{
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		complain("changing root");
	mount_at(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
	write_file("/proc/sys/net/ipv4/ip_forward", "1");
	sethostname("lab", 3);
	loopback_up();
}

/* The virtio-serial port of that name, opened, or -1. */
static int open_port(const char *wanted)
{
	DIR *directory = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	int port = -1;

	while (directory && port < 0 && (entry = readdir(directory))) {
		char path[PATH_ROOM], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%31s", name) == 1 && strcmp(name, wanted) == 0) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			port = open(path, O_WRONLY | O_CLOEXEC);
		}
		fclose(file);
	}
	if (directory)
		closedir(directory);
	if (port < 0)
		complain(wanted);
	return port;
}

static pid_t start_command(int output)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	setsid();
	for_lines("/run/lab/env", set_environment);
	for_lines("/run/lab/cwd", change_directory);
	close(0);
	if (open("/dev/null", O_RDWR) != 0)
		complain("/dev/null");
	dup2(output, 1);
	dup2(output, 2);
	execl("/bin/bash", "bash", "/run/lab/command", (char *)NULL);
	complain("/bin/bash");
	_exit(127);
}

/* Moves what is there to read; false when there is nothing (more). */
static bool pass_on(int from, int port)
{
	static char buffer[65536];
	ssize_t n = read(from, buffer, sizeof(buffer));

	for (ssize_t done = 0; done < n;) {
		ssize_t written = write(port, buffer + done, (size_t)(n - done));

		if (written <= 0)
			return false;
		done += written;
	}
	return n > 0;
}

/* Reaps everything; true once `pid` is among it. */
static bool reap(pid_t pid, int *ret_status)
{
	bool found = false;
	int status;

	for (pid_t p; (p = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (p != pid)
			continue;
		*ret_status = status;
		found = true;
	}
	return found;
}

/* All that the command wrote before it ended is in the pipe by then; what a
 * process it left behind writes later is nobody's. */
static int follow_command(pid_t pid, int pipe_end, int port, int child_signal)
{
	struct pollfd polled[] = { { .fd = pipe_end, .events = POLLIN },
				   { .fd = child_signal, .events = POLLIN } };
	int status = 0;

	for (;;) {
		poll(polled, 2, -1);
		if (polled[1].revents) {
			char drop[64];

			if (read(child_signal, drop, sizeof(drop)) < 0)
				complain("SIGCHLD");
			if (reap(pid, &status))
				break;
		}
		if (polled[0].revents && !pass_on(pipe_end, port))
			polled[0].fd = -1;
	}
	while (pass_on(pipe_end, port))
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int signal_pipe[2];

static void on_child(int number)
{
	int saved = errno;

	(void)number;
	if (write(signal_pipe[1], "", 1) < 0)
		errno = saved; /* full: enough are on their way */
	errno = saved;
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_RESTART };
	int console, output, status_port, ends[2];

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	console = open("/dev/console", O_RDWR | O_CLOEXEC);
	dup2(console, 1);
	dup2(console, 2);
	for_lines("/lab/order", load_module);
	make_root();
	enter_root();

	output = open_port("output");
	status_port = open_port("status");
	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(ends, O_CLOEXEC) < 0 ||
	    fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		complain("pipe");
	sigaction(SIGCHLD, &action, NULL);
	if (output >= 0 && status_port >= 0) {
		pid_t pid = start_command(ends[1]);

		close(ends[1]);
		dprintf(status_port, "rc %d\n",
			follow_command(pid, ends[0], output, signal_pipe[0]));
	}
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
