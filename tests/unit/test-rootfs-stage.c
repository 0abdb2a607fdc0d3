/* SPDX-License-Identifier: Apache-2.0 */
/* Staging areas and volumes, on the host's own mounts: in mount namespaces of child
 * processes, so that nothing is left. Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "host/stage.h"
#include "host/volume.h"
#include "tests/unit/test.h"

static char directory[64];

static char *at(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static void shell(const char *script)
{
	_cleanup_free_ char *command = xasprintf("set -e; cd '%s'; %s", directory, script);

	if (system(command) != 0)
		test_fail(__FILE__, __LINE__, "failed: %s", script);
}

/* Runs the function in a child with a mount namespace of its own, whose mounts are
 * shared as a host's are. */
static void in_child(void (*function)(void))
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		test_skip("needs root");
	(void)strcpy(directory, "/tmp/stage-test.XXXXXX");
	CHECK(mkdtemp(directory));
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0)
			_exit(77);
		CHECK(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
		CHECK(mount(directory, directory, NULL, MS_BIND, NULL) == 0);
		CHECK(mount(NULL, directory, NULL, MS_SHARED, NULL) == 0);
		shell("mkdir area dir dir/sub other; echo one >file; echo in >dir/in; "
		      "mount -t tmpfs below dir/sub; echo deep >dir/sub/deep");
		function();
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	shell("cd /; rm -rf \"$OLDPWD\"");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		test_skip("cannot make a mount namespace");
	CHECK_INT(status, 0);
}

static void add(struct stage *stage, const char *name, const char *source, bool recursive,
		bool readonly)
{
	struct stage_bind *bind = stage_add_bind(stage, xstrdup(name), at(source));

	bind->recursive = recursive;
	bind->readonly = readonly;
}

static int write_at(int root_fd, const char *path)
{
	_cleanup_close_ int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? errno : 0;
}

static bool exists(int root_fd, const char *path)
{
	return faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The namespace's root, and not this process's. */
static void check_cover(int view_fd)
{
	struct stat own, view, seen;
	pid_t pid = fork();
	int status;

	CHECK(stat("/", &own) == 0 && fstat(view_fd, &view) == 0);
	CHECK(own.st_dev != view.st_dev || own.st_ino != view.st_ino);
	if (pid == 0) {
		int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

		_exit(setns(fd, CLONE_NEWNS) == 0 && stat("/", &seen) == 0 &&
			      seen.st_dev == view.st_dev && seen.st_ino == view.st_ino
			  ? 0
			  : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

/* A process in the area's namespace that waits for the end of the pipe. */
static pid_t enter_in_child(const struct stage *stage, int *ret_root_fd, int *ret_end)
{
	_cleanup_free_ char *area = at("area");
	int sockets[2], fds[FD_PASS_MAX];
	size_t n_fds;
	pid_t pid;
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
	pid = fork();
	if (pid == 0) {
		struct error *error = NULL;
		int fd = -1, view_fd = -1;

		(void)close(sockets[0]);
		CHECK_OK(stage_enter(area, stage, &fd, &view_fd, &error), &error);
		check_cover(view_fd);
		CHECK(send_with_fds(sockets[1], "", 1, &fd, 1) == 1);
		(void)!read(sockets[1], &byte, 1);
		_exit(0);
	}
	(void)close(sockets[1]);
	CHECK(recv_with_fds(sockets[0], &byte, 1, fds, &n_fds) == 1);
	CHECK_INT(n_fds, 1);
	*ret_root_fd = fds[0];
	*ret_end = sockets[0];
	return pid;
}

static void end_child(pid_t pid, int end)
{
	int status;

	(void)close(end);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

/* Whatever lies there, the host's kernel opens no device and follows no set-id bit. */
static void check_means_nothing(int root_fd, const char *path)
{
	_cleanup_close_ int fd = openat(root_fd, path, O_PATH | O_CLOEXEC);
	struct statvfs st;

	CHECK(fd >= 0 && fstatvfs(fd, &st) == 0);
	CHECK((st.f_flag & ST_NOSUID) && (st.f_flag & ST_NODEV));
}

static void enter(void)
{
	static const char *const names[] = { "c/rootfs", "c/rootfs/sub", "c/0", "c/1",	  "c/1/sub",
					     "c/2",	 "c/3",		 "c/4", "c/4/sub" };

	_cleanup_(stage_done) struct stage stage = { 0 };
	_cleanup_close_ int root_fd = -1;
	_cleanup_free_ char *area = at("area");
	struct stat st;
	int end;
	pid_t pid;

	add(&stage, "c/rootfs", "dir", true, false);
	add(&stage, "c/0", "dir", false, false);
	add(&stage, "c/1", "dir", true, true);
	add(&stage, "c/2", "file", false, false);
	add(&stage, "c/3", "file", false, true);
	add(&stage, "c/4", "dir", true, false);
	stage.binds[5].readonly_recursive = true;
	pid = enter_in_child(&stage, &root_fd, &end);
	/* Here is nothing of it. */
	CHECK(stat(area, &st) == 0);
	CHECK_INT(st.st_nlink, 2);
	CHECK(exists(root_fd, "c/rootfs/in") && exists(root_fd, "c/rootfs/sub/deep"));
	CHECK(exists(root_fd, "c/0/in") && !exists(root_fd, "c/0/sub/deep"));
	CHECK_INT(write_at(root_fd, "c/rootfs/new"), 0);
	CHECK_INT(write_at(root_fd, "c/0/new"), 0);
	CHECK_INT(write_at(root_fd, "c/1/new"), EROFS);
	/* "ro" is of the topmost mount, "rro" of all. */
	CHECK_INT(write_at(root_fd, "c/1/sub/new"), 0);
	CHECK_INT(write_at(root_fd, "c/4/new"), EROFS);
	CHECK_INT(write_at(root_fd, "c/4/sub/new"), EROFS);
	CHECK_INT(write_at(root_fd, "c/2"), 0);
	CHECK_INT(write_at(root_fd, "c/3"), EROFS);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check_means_nothing(root_fd, names[i]);
	/* The area itself is not to be written. */
	CHECK_INT(write_at(root_fd, "x"), EROFS);
	CHECK_INT(write_at(root_fd, "c/x"), EROFS);
	CHECK(mkdirat(root_fd, "d", 0700) < 0 && errno == EROFS);
	end_child(pid, end);
}

/* A file's replacement on the host is another file; the bind keeps the one it has. */
static void file_is_an_inode(void)
{
	_cleanup_(stage_done) struct stage stage = { 0 };
	_cleanup_close_ int root_fd = -1;
	_cleanup_close_ int fd = -1;
	char text[8] = "";
	int end;
	pid_t pid;

	add(&stage, "c/0", "file", false, false);
	pid = enter_in_child(&stage, &root_fd, &end);
	shell("echo two >new; mv new file");
	fd = openat(root_fd, "c/0", O_RDONLY | O_CLOEXEC);
	CHECK(read_all(fd, text, 4) == 4);
	CHECK_STRING(text, "one\n");
	end_child(pid, end);
}

/* What the host mounts later appears, unless the bind is private; what it unmounts
 * goes. */
static void propagation(void)
{
	_cleanup_(stage_done) struct stage stage = { 0 };
	_cleanup_close_ int root_fd = -1;
	int end;
	pid_t pid;

	add(&stage, "c/0", "dir", true, false);
	add(&stage, "c/1", "dir", true, false);
	stage.binds[1].private_mounts = true;
	pid = enter_in_child(&stage, &root_fd, &end);
	shell("mkdir dir/later; mount -t tmpfs later dir/later; echo x >dir/later/seen");
	CHECK(exists(root_fd, "c/0/later/seen"));
	CHECK(exists(root_fd, "c/1/later") && !exists(root_fd, "c/1/later/seen"));
	shell("umount dir/later dir/sub");
	CHECK(!exists(root_fd, "c/0/later/seen") && !exists(root_fd, "c/0/sub/deep"));
	CHECK(exists(root_fd, "c/1/sub/deep"));
	end_child(pid, end);
}

/* In a process that may change its namespace. */
static int change(int (*function)(pid_t pid, int root_fd, const struct stage *stage,
				  struct error **ret_error),
		  pid_t pid, int root_fd, const struct stage *stage, char *ret_message, size_t size)
{
	int status, pipes[2];
	pid_t child;

	CHECK(pipe(pipes) == 0);
	child = fork();
	if (child == 0) {
		struct error *error = NULL;

		if (function(pid, root_fd, stage, &error) == 0)
			_exit(0);
		(void)!write(pipes[1], error->message, strlen(error->message));
		_exit(1);
	}
	(void)close(pipes[1]);
	memset(ret_message, 0, size);
	(void)read_all(pipes[0], ret_message, size - 1);
	(void)close(pipes[0]);
	CHECK(waitpid(child, &status, 0) == child);
	return status == 0 ? 0 : -1;
}

static void extended(void)
{
	_cleanup_(stage_done) struct stage stage = { 0 }, more = { 0 }, bad = { 0 };
	_cleanup_close_ int root_fd = -1;
	char message[512];
	int end;
	pid_t pid;

	add(&stage, "c/rootfs", "dir", true, false);
	pid = enter_in_child(&stage, &root_fd, &end);
	/* Of the caller's namespace: mounted since. */
	shell("mount -t tmpfs o other; echo x >other/mine");
	add(&more, "d/rootfs", "other", true, false);
	add(&more, "d/0", "file", false, true);
	CHECK_INT(change(stage_extend, pid, root_fd, &more, message, sizeof(message)), 0);
	CHECK(exists(root_fd, "d/rootfs/mine"));
	CHECK_INT(write_at(root_fd, "d/0"), EROFS);
	CHECK_INT(write_at(root_fd, "d/x"), EROFS);
	/* All or nothing: the first is undone when the second fails. */
	add(&bad, "e/0", "dir", false, false);
	add(&bad, "d/0", "dir", false, false);
	CHECK_INT(change(stage_extend, pid, root_fd, &bad, message, sizeof(message)), -1);
	CHECK(strstr(message, "cannot stage d/0"));
	CHECK(!exists(root_fd, "e"));
	CHECK(exists(root_fd, "d/0") && exists(root_fd, "d/rootfs/mine"));
	/* And out again, twice over. */
	CHECK_INT(change(stage_shrink, pid, root_fd, &more, message, sizeof(message)), 0);
	CHECK(!exists(root_fd, "d") && exists(root_fd, "c/rootfs/in"));
	CHECK_INT(change(stage_shrink, pid, root_fd, &more, message, sizeof(message)), 0);
	CHECK_INT(write_at(root_fd, "x"), EROFS);
	shell("umount other");
	end_child(pid, end);
}

/* What finds the container by the process that stands for it finds its files, and
 * the process the host's. */
static void check_view(const char *root, const char *script)
{
	_cleanup_(stage_done) struct stage stage = { 0 };
	_cleanup_close_ int root_fd = -1;
	_cleanup_free_ char *namespace = NULL;
	_cleanup_free_ char *host = NULL;
	struct stat ours, theirs;
	int end, status;
	pid_t pid, child;

	add(&stage, "c/rootfs", "dir", true, false);
	stage.root = root ? xstrdup(root) : NULL;
	pid = enter_in_child(&stage, &root_fd, &end);
	namespace = xasprintf("/proc/%d/ns/mnt", (int)pid);
	host = xasprintf("/proc/%d/root/etc", (int)pid);
	CHECK(stat("/etc", &ours) == 0 && stat(host, &theirs) == 0);
	CHECK(ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino);
	child = fork();
	if (child == 0) {
		int fd = open(namespace, O_RDONLY | O_CLOEXEC);

		CHECK(setns(fd, CLONE_NEWNS) == 0);
		if (strcmp(script, "root") == 0)
			_exit(access("/in", F_OK) == 0 && access("/sub/deep", F_OK) == 0 &&
				      access("/etc", F_OK) < 0 && mkdir("/made", 0700) == 0
				  ? 0
				  : 1);
		_exit(mkdir("/made", 0700) < 0 && errno == EROFS && access("/host", F_OK) < 0 ? 0
											      : 1);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_INT(status, 0);
	end_child(pid, end);
}

static void view(void)
{
	check_view("c/rootfs", "root");
	shell("[ -d dir/made ]");
	/* Without a root that is shared there is nothing. */
	check_view(NULL, "nothing");
}

static int show(pid_t pid, int root_fd, const struct stage *stage, struct error **ret_error)
{
	if (stage_show(pid, root_fd, stage, ret_error) < 0)
		return -1;
	/* Missing, and out of the root, is left out. */
	if (access("/sub/below/mine", F_OK) == 0 && access("/in", F_OK) == 0 &&
	    access("/none", F_OK) < 0)
		return 0;
	return error_set(ret_error, EINVAL, "not what was wanted");
}

static void shown(void)
{
	_cleanup_(stage_done) struct stage stage = { 0 };
	_cleanup_close_ int root_fd = -1;
	char message[512];
	int end;
	pid_t pid;

	shell("mkdir dir/sub/below; ln -s /../../sub/below dir/link; echo x >other/mine");
	add(&stage, "c/rootfs", "dir", true, false);
	stage.root = xstrdup("c/rootfs");
	add(&stage, "c/0", "other", true, false);
	stage.binds[1].destination = xstrdup("/link");
	add(&stage, "c/1", "other", true, false);
	stage.binds[2].destination = xstrdup("/none");
	add(&stage, "c/2", "other", true, false);
	stage.binds[3].destination = xstrdup("/in"); /* a file */
	add(&stage, "c/3", "file", false, false);
	stage.binds[4].readonly_later = true;
	pid = enter_in_child(&stage, &root_fd, &end);
	CHECK_INT(write_at(root_fd, "c/3"), 0);
	if (change(show, pid, root_fd, &stage, message, sizeof(message)) < 0)
		test_fail(__FILE__, __LINE__, "%s", message);
	CHECK_INT(write_at(root_fd, "c/3"), EROFS);
	CHECK_INT(write_at(root_fd, "c/rootfs/new"), 0);
	/* What the guest has is as it was. */
	CHECK(!exists(root_fd, "c/rootfs/sub/below/mine"));
	end_child(pid, end);
}

static void test_show(void)
{
	in_child(shown);
}

static void test_view(void)
{
	in_child(view);
}

static void test_enter(void)
{
	in_child(enter);
}

static void test_file(void)
{
	in_child(file_is_an_inode);
}

static void test_propagation(void)
{
	in_child(propagation);
}

static void test_extend(void)
{
	in_child(extended);
}

/* An overlay of the caller's directories: writes go to its upper one. */
static void overlay(void)
{
	_cleanup_(stage_done) struct stage stage = { 0 }, copy = { 0 }, bad = { 0 };
	_cleanup_close_ int root_fd = -1;
	char message[512];
	int end;
	pid_t pid;

	shell("mkdir dir/sub/upper dir/sub/work");
	add(&stage, "c/0", "overlay", false, false);
	stage.binds[0].overlay = xasprintf("lowerdir=%s/dir,upperdir=%s/dir/sub/upper,"
					   "workdir=%s/dir/sub/work",
					   directory, directory, directory);
	add(&stage, "c/1", "overlay", false, false);
	stage.binds[1].overlay = xasprintf("lowerdir=%s/dir:%s/other", directory, directory);
	stage_copy(&stage, &copy);
	pid = enter_in_child(&copy, &root_fd, &end);
	CHECK(exists(root_fd, "c/0/in") && exists(root_fd, "c/1/in"));
	CHECK_INT(write_at(root_fd, "c/0/new"), 0);
	CHECK_INT(write_at(root_fd, "c/1/new"), EROFS);
	shell("test -e dir/sub/upper/new; test ! -e dir/new");
	add(&bad, "d/0", "overlay", false, false);
	bad.binds[0].overlay = xstrdup("lowerdir=/none/such");
	CHECK_INT(change(stage_extend, pid, root_fd, &bad, message, sizeof(message)), -1);
	/* (Kernels look at once, or when all is said.) */
	CHECK(strstr(message, "cannot make an overlay") && strstr(message, "lowerdir=/none/such") &&
	      strstr(message, "No such file"));
	free(bad.binds[0].overlay);
	bad.binds[0].overlay = xasprintf("lowerdir=/%0300d", 0);
	CHECK_INT(change(stage_extend, pid, root_fd, &bad, message, sizeof(message)), -1);
	CHECK(strstr(message, "longer than 255 bytes"));
	end_child(pid, end);
}

static void test_overlay(void)
{
	in_child(overlay);
}

static void missing_source(void)
{
	_cleanup_(stage_done) struct stage stage = { 0 };
	_cleanup_free_ char *area = at("area");
	struct error *error = NULL;
	int fd, view_fd;

	add(&stage, "c/0", "gone", false, false);
	CHECK_ERROR(stage_enter(area, &stage, &fd, &view_fd, &error), &error,
		    "/gone: No such file");
}

static void test_missing(void)
{
	in_child(missing_source);
}

static void check_enter_fails(const char *message)
{
	struct stage stage = { 0 };
	struct error *error = NULL;
	int fd, view_fd;

	CHECK_ERROR(stage_enter("/area", &stage, &fd, &view_fd, &error), &error, message);
}

/* A directory like any other. */
static void __attribute__((noreturn)) plain_chroot(void)
{
	_cleanup_free_ char *root = at("other");

	shell("mkdir other/area");
	CHECK(chroot(root) == 0 && chdir("/") == 0);
	check_enter_fails("the root directory is not a mount point: bind-mount it onto itself and "
			  "enter it with pivot_root instead of chroot");
	/* (There is no /proc, which LeakSanitizer's look at the end of a process needs.) */
	_exit(0);
}

/* A mount point, whose parent pivot_root(2) does not take: it is shared. */
static void __attribute__((noreturn)) chroot_to_mount(void)
{
	shell("mkdir other/area");
	CHECK(chroot(directory) == 0 && chdir("/") == 0);
	CHECK(mount("/other", "/other", NULL, MS_BIND, NULL) == 0);
	CHECK(chroot("/other") == 0 && chdir("/") == 0);
	check_enter_fails("cannot make a root on /area: the root directory was entered by chroot "
			  "(enter it with pivot_root instead)");
	_exit(0);
}

static void test_plain_chroot(void)
{
	in_child(plain_chroot);
}

static void test_chroot_to_mount(void)
{
	in_child(chroot_to_mount);
}

/* ---- volumes ---- */

static void check_ext4(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint16_t magic = 0;

	CHECK(pread(fd, &magic, 2, 1024 + 56) == 2);
	CHECK_INT(magic, 0xef53);
}

static void test_volume(void)
{
	_cleanup_free_ char *path = NULL;
	struct volume volume = { .format = true, .size = 8 << 20 };
	struct volume reader;
	struct error *error = NULL;
	struct stat st;
	int fd, second;

	(void)strcpy(directory, "/tmp/volume-test.XXXXXX");
	CHECK(mkdtemp(directory));
	path = at("volume");
	reader = (struct volume){ .source = path, .readonly = true };
	volume.source = path;
	CHECK_OK(volume_open(&volume, NULL, &fd, &error), &error);
	CHECK(fstat(fd, &st) == 0);
	CHECK_INT(st.st_size, 8 << 20);
	CHECK_INT(st.st_mode, S_IFREG | 0600);
	check_ext4(path);
	/* Locked as long as the descriptor lives, in any process. */
	CHECK_ERROR(volume_open(&volume, NULL, &second, &error), &error,
		    "in use by another machine");
	CHECK_ERROR(volume_open(&reader, NULL, &second, &error), &error,
		    "in use by another machine");
	/* What is there is kept. */
	CHECK(pwrite(fd, "mark", 4, 0) == 4);
	(void)close(fd);
	CHECK_OK(volume_open(&volume, NULL, &fd, &error), &error);
	shell("[ \"$(head -c 4 volume)\" = mark ]");
	(void)close(fd);
	/* Several may read. */
	CHECK_OK(volume_open(&reader, NULL, &fd, &error), &error);
	CHECK_OK(volume_open(&reader, NULL, &second, &error), &error);
	CHECK_ERROR(volume_open(&volume, NULL, &fd, &error), &error, "in use");
	(void)close(fd);
	shell("rm -rf \"$PWD\"");
}

static struct volume_past past_of(const char *path)
{
	struct volume_past past = { .fd = open(path, O_RDONLY | O_CLOEXEC) };
	struct stat st;

	CHECK(past.fd >= 0 && fstat(past.fd, &st) == 0);
	past.size = (uint64_t)st.st_size;
	past.mtime = timespec_ns(&st.st_mtim);
	return past;
}

/* As it was at a checkpoint: the same file, or the copy in its place; not over what is newer. */
static void test_past_volume(void)
{
	_cleanup_free_ char *path = NULL, *copy = NULL;
	struct volume_past past;
	struct volume volume;
	struct error *error = NULL;
	struct stat st;
	int fd = -1, other = -1;

	(void)strcpy(directory, "/tmp/volume-test.XXXXXX");
	CHECK(mkdtemp(directory));
	path = at("volume");
	copy = at("copy");
	shell(
	    "truncate -s 64M copy; echo mark | dd of=copy bs=1M seek=40 conv=notrunc status=none");
	past = past_of(copy);
	volume = (struct volume){ .source = path, .format = true, .past = &past };
	CHECK_OK(volume_open(&volume, NULL, &fd, &error), &error);
	(void)close(fd);
	shell("cmp volume copy");
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_size, 64 << 20);
	CHECK(st.st_blocks < 1 << 11);
	/* It is known again. */
	CHECK_OK(volume_open(&volume, NULL, &fd, &error), &error);
	(void)close(fd);
	/* Somebody's own, and nothing of it. */
	shell("touch volume");
	CHECK_ERROR(volume_open(&volume, NULL, &fd, &error), &error,
		    "is not as it was at the checkpoint: move it away");
	shell("truncate -s 0 volume");
	CHECK_ERROR(volume_open(&volume, NULL, &fd, &error), &error, "move it away");
	shell("rm volume; mkdir .volume.new");
	CHECK_ERROR(volume_open(&volume, NULL, &fd, &error), &error, ".volume.new: ");
	/* A copy that was interrupted. */
	shell("rmdir .volume.new; head -c 9000 /dev/urandom >.volume.new");
	CHECK_OK(volume_open(&volume, NULL, &fd, &error), &error);
	CHECK_ERROR(volume_open(&volume, NULL, &other, &error), &error, "in use");
	(void)close(fd);
	shell("cmp volume copy; [ \"$(ls -A | xargs)\" = 'copy volume' ]; rm volume");
	(void)close(past.fd);
	/* One that cannot be copied leaves nothing. */
	past.fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_ERROR(volume_open(&volume, NULL, &fd, &error), &error,
		    "of the checkpoint's copy: it is not a regular file");
	shell("[ \"$(ls -A | xargs)\" = copy ]");
	(void)close(past.fd);
	shell("rm -rf \"$PWD\"");
}

static void test_bad_volumes(void)
{
	static const struct {
		const char *name;
		struct volume volume;
		const char *error;
	} cases[] = {
		{ "none", { .format = true }, "cannot open the volume" },
		{ "empty", { .format = true }, "is empty" },
		{ "dir", { .readonly = true }, "neither a file nor a block device" },
		{ "fifo", { .readonly = true }, "neither a file nor a block device" },
		{ "blank", { .readonly = true, .format = true }, "is blank" },
		{ "tiny", { .format = true }, "mkfs.ext4 could not make a file system" },
	};

	(void)strcpy(directory, "/tmp/volume-test.XXXXXX");
	CHECK(mkdtemp(directory));
	shell("touch empty; mkdir dir; mkfifo fifo; truncate -s 8M blank; truncate -s 8K tiny");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = at(cases[i].name);
		struct volume volume = cases[i].volume;
		struct error *error = NULL;
		int fd = -1;

		volume.source = path;
		CHECK_ERROR(volume_open(&volume, NULL, &fd, &error), &error, cases[i].error);
		CHECK_INT(fd, -1);
	}
	shell("rm -rf \"$PWD\"");
}

static const struct test_case cases[] = {
	{ "enter", test_enter },
	{ "view", test_view },
	{ "show", test_show },
	{ "a file is an inode", test_file },
	{ "propagation", test_propagation },
	{ "extend", test_extend },
	{ "overlay", test_overlay },
	{ "missing source", test_missing },
	{ "root is a plain directory", test_plain_chroot },
	{ "root is below a shared mount", test_chroot_to_mount },
	{ "volume", test_volume },
	{ "volume of a checkpoint", test_past_volume },
	{ "bad volumes", test_bad_volumes },
};

TEST_MAIN(cases)
