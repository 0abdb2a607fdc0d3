/* SPDX-License-Identifier: Apache-2.0 */
/* `check` on machines that are not this one: /proc, /sys and /dev are a directory's. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/landlock.h"
#include "cli/check.h"
#include "tests/unit/test.h"

#ifdef HAVE_SECCOMP
#define HAS_FILTERS true
#else
#define HAS_FILTERS false
#endif

struct machine {
	char directory[32];
	char *vmm, *state;
	struct check_report report;
};

static void put(const struct machine *m, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", m->directory, name);
	_cleanup_free_ char *directory = xstrdup(path);
	struct error *error = NULL;

	*strrchr(directory, '/') = '\0';
	CHECK_OK(make_directories(directory, 0700, &error), &error);
	CHECK_OK(write_file_atomic(path, text, strlen(text), 0700, &error), &error);
}

static void drop(const struct machine *m, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", m->directory, name);
	struct error *error = NULL;

	CHECK_OK(remove_tree(path, &error), &error);
}

/* The variable names a file of the machine. */
static void set(const struct machine *m, const char *variable, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", m->directory, name);

	CHECK(setenv(variable, path, 1) == 0);
}

static char *fake_vmm(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	CHECK(n > 0);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	return xasprintf("%s/fake-vmm", path);
}

/* One that has all. */
static void machine_init(struct machine *m)
{
	*m = (struct machine){ .directory = "/tmp/test-check.XXXXXX" };
	CHECK(mkdtemp(m->directory));
	m->vmm = fake_vmm();
	m->state = xasprintf("%s/run/state", m->directory);
	put(m, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm sse2\n\nflags\t\t: vmx\n");
	put(m, "sys/module/kvm_amd/x", "");
	put(m, "sys/fs/cgroup/cgroup.controllers", "cpu");
	put(m, "dev/net/tun", "");
	put(m, "dev/vhost-net", "");
	put(m, "bin/passt", "#!/bin/sh\n");
	put(m, "bin/qemu", "#!/bin/sh\necho 'QEMU emulator version 8.2.1 (Debian 1:8.2.1+ds-1)'\n");
	put(m, "kernel/vmlinux", "kernel");
	put(m, "kernel/release", "6.1.0-test\n");
	put(m, "kernel/modules.cpio", "modules");
	put(m, "config.json", "{}");
	set(m, "SUPERMACHINE_KERNEL", "kernel");
	set(m, "SUPERMACHINE_QEMU", "bin/qemu");
	set(m, "SUPERMACHINE_RUNTIME", "run");
	set(m, "SUPERMACHINE_CACHE", "cache");
	set(m, "SUPERMACHINE_CONFIG", "config.json");
	set(m, "PATH", "bin");
	CHECK(unsetenv("SUPERMACHINE_ACCEL") == 0);
	CHECK(setenv("FAKE_VMM_PROBE", "usable", 1) == 0);
}

static void look(struct machine *m)
{
	const struct check_host host = { .system = m->directory, .state = m->state, .vmm = m->vmm };

	check_report_done(&m->report);
	check_run(&host, &m->report);
}

static void machine_done(struct machine *m)
{
	struct error *error = NULL;

	check_report_done(&m->report);
	CHECK_OK(remove_tree(m->directory, &error), &error);
	free(m->vmm);
	free(m->state);
}

/* The line is there once, with this level; what was found and the advice contain
 * these (NULL: there is no advice). */
static void line_is(const struct machine *m, const char *name, enum check_level level,
		    const char *found, const char *advice)
{
	const struct check_line *line = NULL;

	for (size_t i = 0; i < m->report.n_lines; i++) {
		if (strcmp(m->report.lines[i].name, name) != 0)
			continue;
		CHECK(!line);
		line = &m->report.lines[i];
	}
	CHECK(line);
	if (line->level != level || !strstr(line->found, found))
		test_fail(__FILE__, __LINE__, "%s: level %d, \"%s\"", name, line->level,
			  line->found);
	CHECK_INT(line->advice != NULL, advice != NULL);
	if (advice && !strstr(line->advice, advice))
		test_fail(__FILE__, __LINE__, "%s: advice \"%s\"", name, line->advice);
}

static void test_all_there(void)
{
	struct machine m;

	machine_init(&m);
	look(&m);
	line_is(&m, "configuration", LEVEL_OK, "accel=auto", NULL);
	line_is(&m, "KVM", LEVEL_OK, "usable", NULL);
	line_is(&m, "KVM's kind", LEVEL_OK, "hardware AMD-V", NULL);
	line_is(&m, "QEMU", LEVEL_OK, "bin/qemu, version 8.2.1", NULL);
	line_is(&m, "guest kernel", LEVEL_OK, "kernel/vmlinux, release 6.1.0-test", NULL);
	line_is(&m, "kernel modules", LEVEL_OK, "kernel/modules.cpio", NULL);
	line_is(&m, "VMM", LEVEL_OK, "fake-vmm", NULL);
	if (geteuid() == 0 && landlock_is_usable() && HAS_FILTERS)
		line_is(&m, "jail", LEVEL_OK, "Landlock for the VMM", NULL);
	line_is(&m, "root directory", LEVEL_OK, "a mount point", NULL);
	line_is(&m, "state directory", LEVEL_OK, m.state, NULL);
	line_is(&m, "cache directory", LEVEL_OK, "/cache", NULL);
	line_is(&m, "cgroup v2", LEVEL_OK, "/sys/fs/cgroup", NULL);
	line_is(&m, "tun", LEVEL_OK, "/dev/net/tun", NULL);
	line_is(&m, "vhost-net", LEVEL_OK, "/dev/vhost-net", NULL);
	line_is(&m, "passt", LEVEL_OK, "bin/passt", NULL);
	CHECK_INT(m.report.accel, VM_ACCEL_KVM);
	machine_done(&m);
}

static void test_nothing_there(void)
{
	struct machine m;

	machine_init(&m);
	drop(&m, "");
	CHECK(mkdir(m.directory, 0700) == 0);
	CHECK(unsetenv("SUPERMACHINE_CONFIG") == 0);
	free(m.vmm);
	m.vmm = xstrdup("/no/such/vmm");
	look(&m);
	CHECK(!m.report.usable);
	line_is(&m, "KVM", LEVEL_NOTE, "there is no /dev/kvm", "firmware");
	line_is(&m, "KVM's kind", LEVEL_NOTE, "neither VT-x nor AMD-V", NULL);
	line_is(&m, "QEMU", LEVEL_FAIL, "not found", "apt-get install qemu-system-x86");
	line_is(&m, "guest kernel", LEVEL_FAIL, "kernel not found", "make cloud-kernel");
	line_is(&m, "agent", LEVEL_FAIL, "initramfs.cpio not found", NULL);
	line_is(&m, "cgroup v2", LEVEL_NOTE, "not mounted", "systemd.unified_cgroup_hierarchy=1");
	line_is(&m, "tun", LEVEL_NOTE,
		"no /dev/net/tun: the interfaces of a network namespace cannot reach a guest",
		"modprobe tun");
	line_is(&m, "vhost-net", LEVEL_NOTE, "no /dev/vhost-net: the VMM moves a guest's frames",
		"modprobe vhost_net");
	line_is(&m, "passt", LEVEL_NOTE, "not found: --network passt needs it",
		"apt-get install passt");
	machine_done(&m);
}

/* It is there, and cannot be opened. */
static void test_tun(void)
{
	struct machine m;

	machine_init(&m);
	drop(&m, "dev/net/tun");
	put(&m, "dev/net/tun/file", "");
	look(&m);
	line_is(&m, "tun", LEVEL_NOTE,
		"cannot open /dev/net/tun (Is a directory): the interfaces of a network namespace "
		"cannot reach a guest",
		"modprobe tun");
	machine_done(&m);
}

static void test_kvm(void)
{
	static const struct {
		const char *probe, *advice;
	} cases[] = {
		{ "refused: r", "adduser" },	      { "busy: r", "the other hypervisor" },
		{ "unfit: r", "newer kernel" },	      { "emulated: r", "VT-x or AMD-V" },
		{ "slow: r", "VT-x or AMD-V" },	      { "failed: r", "dmesg" },
		{ "missing: r", "modprobe kvm_amd" },
	};
	struct machine m;

	machine_init(&m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK(setenv("FAKE_VMM_PROBE", cases[i].probe, 1) == 0);
		look(&m);
		line_is(&m, "KVM", LEVEL_NOTE, "r", cases[i].advice);
		CHECK_INT(m.report.accel, VM_ACCEL_TCG);
	}
	put(&m, "proc/cpuinfo", "flags : vmx hypervisor\n");
	look(&m);
	line_is(&m, "KVM", LEVEL_NOTE, "r", "modprobe kvm_intel");
	put(&m, "proc/cpuinfo", "flags : hypervisor\n");
	look(&m);
	line_is(&m, "KVM", LEVEL_NOTE, "r", "nested virtualization");
	/* Without QEMU, or without a choice, that is the end. */
	set(&m, "SUPERMACHINE_QEMU", "bin/none");
	look(&m);
	line_is(&m, "QEMU", LEVEL_FAIL, "not found", "qemu-system-x86");
	put(&m, "config.json", "{\"accel\":\"kvm\"}");
	look(&m);
	line_is(&m, "KVM", LEVEL_FAIL, "r", "nested virtualization");
	line_is(&m, "QEMU", LEVEL_OK, "not needed", NULL);
	CHECK(!m.report.usable);
	CHECK(setenv("SUPERMACHINE_ACCEL", "tcg", 1) == 0);
	CHECK(setenv("FAKE_VMM_PROBE", "usable", 1) == 0);
	look(&m);
	line_is(&m, "KVM", LEVEL_OK, "usable", NULL);
	line_is(&m, "QEMU", LEVEL_FAIL, "not found", "qemu-system-x86");
	machine_done(&m);
}

static void test_kind(void)
{
	struct machine m;

	machine_init(&m);
	put(&m, "proc/cpuinfo", "flags : svm hypervisor\n");
	look(&m);
	line_is(&m, "KVM's kind", LEVEL_OK, "nested AMD-V", NULL);
	drop(&m, "sys/module/kvm_amd");
	look(&m);
	line_is(&m, "KVM's kind", LEVEL_NOTE, "none; the processor offers AMD-V", NULL);
	put(&m, "sys/module/kvm_intel/x", "");
	CHECK(setenv("FAKE_VMM_PROBE", "slow: r", 1) == 0);
	look(&m);
	line_is(&m, "KVM's kind", LEVEL_NOTE, "supervisor mode is emulated", NULL);
	put(&m, "sys/module/kvm_pvm/x", "");
	look(&m);
	line_is(&m, "KVM's kind", LEVEL_NOTE, "PVM", NULL);
	machine_done(&m);
}

static void test_qemu(void)
{
	static const char *const broken[] = { "#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n",
					      "not a program" };
	struct machine m;

	machine_init(&m);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		put(&m, "bin/qemu", broken[i]);
		CHECK(setenv("FAKE_VMM_PROBE", "slow: r", 1) == 0);
		look(&m);
		line_is(&m, "QEMU", LEVEL_FAIL, "--version does not work", "--reinstall");
		CHECK(setenv("FAKE_VMM_PROBE", "usable", 1) == 0);
		look(&m);
		line_is(&m, "QEMU", LEVEL_NOTE, "--version does not work", "--reinstall");
	}
	machine_done(&m);
}

static void test_modules(void)
{
	struct machine m;

	machine_init(&m);
	drop(&m, "kernel/modules.cpio");
	look(&m);
	line_is(&m, "kernel modules", LEVEL_OK, "assuming that drivers are built in", NULL);
	put(&m, "kernel/config",
	    "#\nCONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_CONSOLE=y\nCONFIG_VIRTIO_BLK=m\n"
	    "CONFIG_VIRTIO_VSOCKETS=y\nCONFIG_SQUASHFS=y\n");
	look(&m);
	line_is(&m, "kernel modules", LEVEL_FAIL, "not built in: VIRTIO_BLK OVERLAY_FS, and",
		"make kernel");
	put(&m, "kernel/config",
	    "#\nCONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_CONSOLE=y\nCONFIG_VIRTIO_BLK=y\n"
	    "CONFIG_VIRTIO_VSOCKETS=y\nCONFIG_SQUASHFS=y\nCONFIG_OVERLAY_FS=y\n");
	look(&m);
	line_is(&m, "kernel modules", LEVEL_OK, "built in", NULL);
	put(&m, "kernel/lib/modules/x", "");
	look(&m);
	line_is(&m, "kernel modules", LEVEL_FAIL, "no modules.cpio beside it", "make cloud-kernel");
	machine_done(&m);
}

static void test_configuration(void)
{
	struct machine m;

	machine_init(&m);
	put(&m, "config.json", "{\"accel\":\"fast\"}");
	look(&m);
	line_is(&m, "configuration", LEVEL_FAIL,
		"config.json: accel: must be auto, kvm or tcg, not \"fast\"", "the file");
	put(&m, "config.json", "{\"accel\":\"tcg\"}");
	look(&m);
	line_is(&m, "configuration", LEVEL_OK, "accel=tcg", NULL);
	CHECK(setenv("SUPERMACHINE_ACCEL", "fast", 1) == 0);
	look(&m);
	line_is(&m, "configuration", LEVEL_FAIL,
		"$SUPERMACHINE_ACCEL: must be auto, kvm or tcg, not \"fast\"", "variable");
	machine_done(&m);
}

static void test_directories(void)
{
	struct machine m;

	machine_init(&m);
	put(&m, "file", "");
	free(m.state);
	m.state = xasprintf("%s/file/state", m.directory);
	set(&m, "SUPERMACHINE_CACHE", "file");
	look(&m);
	line_is(&m, "state directory", LEVEL_FAIL, "cannot write to", "--root");
	line_is(&m, "cache directory", LEVEL_FAIL, "/file: cannot write to", "--cache");
	machine_done(&m);
}

static void test_chroot(void)
{
	struct machine m;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		test_skip("needs root");
	machine_init(&m);
	pid = fork();
	if (pid == 0) {
		CHECK(chroot(m.directory) == 0 && chdir("/") == 0);
		look(&m);
		line_is(&m, "root directory", LEVEL_FAIL, "not a mount point", "pivot_root");
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	machine_done(&m);
}

/* The kernel's answer where it has no Landlock. */
static void hide_landlock(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { ARRAY_SIZE(code), code };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0);
}

static void test_jail(void)
{
	struct machine m;

	machine_init(&m);
	hide_landlock();
	look(&m);
	line_is(&m, "jail", LEVEL_NOTE, "Landlock",
		geteuid() != 0 ? "root"
		: HAS_FILTERS  ? "lsm="
			       : "libseccomp");
	if (geteuid() == 0) {
		CHECK(chmod(m.directory, 0777) == 0 && syscall(SYS_setresuid, -1, 65534, -1) == 0);
		look(&m);
		line_is(&m, "jail", LEVEL_NOTE, "namespaces", "run as root");
		CHECK(syscall(SYS_setresuid, -1, 0, -1) == 0);
	}
	machine_done(&m);
}

static const struct test_case cases[] = {
	{ "all there", test_all_there },
	{ "jail", test_jail },
	{ "nothing there", test_nothing_there },
	{ "tun", test_tun },
	{ "KVM", test_kvm },
	{ "kind", test_kind },
	{ "QEMU", test_qemu },
	{ "modules", test_modules },
	{ "configuration", test_configuration },
	{ "directories", test_directories },
	{ "chroot", test_chroot },
};

TEST_MAIN(cases)
