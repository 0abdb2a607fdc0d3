/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching a container's device rules to its cgroup: see cgroup.h. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/device-program.h"
#include "base/alloc.h"

#define RULE(type_, major_, minor_, rw_)                                                           \
	{                                                                                          \
		.allow = true, .type = (type_), .major = (major_), .minor = (minor_),              \
		.read = (rw_), .write = (rw_), .mknod = true                                       \
	}

/* What every container may use, after the rules of its own (runc's
 * AllowedDevices; config-linux.md "Default Devices"). */
static const struct spec_device_cgroup default_rules[] = {
	RULE('c', -1, -1, false),			 /* making any node harms nobody */
	RULE('b', -1, -1, false), RULE('c', 1, 3, true), /* null */
	RULE('c', 1, 8, true),				 /* random */
	RULE('c', 1, 7, true),				 /* full */
	RULE('c', 5, 0, true),				 /* tty */
	RULE('c', 1, 5, true),				 /* zero */
	RULE('c', 1, 9, true),				 /* urandom */
	RULE('c', 136, -1, true),			 /* pts */
	RULE('c', 5, 2, true),				 /* ptmx */
};

static int load_program(const struct bpf_insn *insns, size_t n, struct error **ret_error)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insns = (uintptr_t)insns,
		.insn_cnt = (uint32_t)n,
		.license = (uintptr_t)license,
	};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot load the device program");
	return fd;
}

static int attach_program(const struct cgroup *cgroup, int program_fd, struct error **ret_error)
{
	union bpf_attr attr = {
		.target_fd = (uint32_t)cgroup->fd,
		.attach_bpf_fd = (uint32_t)program_fd,
		.attach_type = BPF_CGROUP_DEVICE,
		/* so that a container that runs containers can have its own below */
		.attach_flags = BPF_F_ALLOW_MULTI,
	};

	if (cgroup->program_fd >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (uint32_t)cgroup->program_fd;
	}
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
		return error_set_errno(ret_error, errno, "cannot attach the device program to %s",
				       cgroup->path);
	return 0;
}

int cgroup_set_devices(struct cgroup *cgroup, const struct spec_resources *resources,
		       struct error **ret_error)
{
	_cleanup_free_ struct spec_device_cgroup *rules = NULL;
	_cleanup_free_ struct bpf_insn *insns = NULL;
	_cleanup_close_ int fd = -1;
	size_t n = resources ? resources->n_devices : 0, n_insns;

	rules = xcalloc(n + ARRAY_SIZE(default_rules), sizeof(*rules));
	if (n > 0)
		memcpy(rules, resources->devices, n * sizeof(*rules));
	memcpy(rules + n, default_rules, sizeof(default_rules));
	if (device_program_compile(rules, n + ARRAY_SIZE(default_rules), &insns, &n_insns,
				   ret_error) < 0)
		return -1;
	fd = load_program(insns, n_insns, ret_error);
	if (fd < 0 || attach_program(cgroup, fd, ret_error) < 0)
		return -1;
	close_fdp(&cgroup->program_fd);
	cgroup->program_fd = TAKE_FD(fd);
	return 0;
}
