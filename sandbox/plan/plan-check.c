/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a microVM cannot give a container, said before anything is started.
 * Ignoring such a part of config.json would run the container differently from
 * what its author asked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/mount-options.h"
#include "runtime-spec/proc-mount.h"
#include "runtime-spec/spec-words.h"
#include "sandbox/plan/container-plan.h"

static int check_mounts(const struct spec *spec, struct error **ret_error)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct spec_mount *mount = &spec->mounts[i];

		if ((mount->n_uid_mappings > 0) != (mount->n_gid_mappings > 0))
			return error_set(ret_error, EINVAL,
					 "mounts[%zu] (%s): uidMappings and gidMappings must both "
					 "be set, or neither",
					 i, mount->destination);
		if (mount->n_uid_mappings > 0 && !mount_is_bind(mount))
			return error_set(ret_error, EINVAL,
					 "mounts[%zu] (%s): only bind mounts can be idmapped", i,
					 mount->destination);
		if (proc_mount_check(mount, mount->destination, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int check_namespaces(const struct spec_linux *linux_, struct error **ret_error)
{
	const bool mapped = linux_->n_uid_mappings > 0 && linux_->n_gid_mappings > 0;

	if (linux_->namespaces[SPEC_NS_USER].present && !linux_->namespaces[SPEC_NS_USER].path &&
	    !mapped)
		return error_set(ret_error, EINVAL,
				 "linux.namespaces: user namespaces enabled, but no user namespace "
				 "mappings found");
	if (!linux_->namespaces[SPEC_NS_USER].present &&
	    (linux_->n_uid_mappings > 0 || linux_->n_gid_mappings > 0))
		return error_set(
		    ret_error, EINVAL,
		    "linux.uidMappings: user namespace mappings specified, but no user "
		    "namespace in linux.namespaces");
	return 0;
}

/* What names parts of the host that the guest has not. */
static int check_parts(const struct spec_linux *linux_, struct error **ret_error)
{
	if (linux_->has_intel_rdt)
		return error_set(ret_error, ENOTSUP, "linux.intelRdt: not supported");
	if (linux_->has_net_devices)
		return error_set(ret_error, ENOTSUP,
				 "linux.netDevices: not supported: move the devices to the "
				 "network namespace, which the machine joins");
	if (linux_->has_memory_policy)
		return error_set(ret_error, ENOTSUP,
				 "linux.memoryPolicy: not supported: the guest has one memory "
				 "node");
	return 0;
}

/* The kernel that would notify is the guest's, and the listener is on the host. */
static int check_seccomp(const struct spec_seccomp *seccomp, struct error **ret_error)
{
	for (size_t i = 0; i < seccomp->n_rules; i++)
		if (strcmp(seccomp->rules[i].action, SPEC_SECCOMP_NOTIFY) == 0)
			return error_set(ret_error, ENOTSUP,
					 "linux.seccomp.syscalls[%zu]: " SPEC_SECCOMP_NOTIFY
					 " is not supported: use SCMP_ACT_ERRNO or SCMP_ACT_TRACE",
					 i);
	if (seccomp->default_action && strcmp(seccomp->default_action, SPEC_SECCOMP_NOTIFY) == 0)
		return error_set(ret_error, ENOTSUP,
				 "linux.seccomp.defaultAction: " SPEC_SECCOMP_NOTIFY
				 " is not supported");
	return 0;
}

static int check_vm(const struct spec_vm *vm, struct error **ret_error)
{
	if (vm->hypervisor_path)
		return error_set(ret_error, ENOTSUP,
				 "vm.hypervisor.path: %s cannot be used, supermachine is its own "
				 "hypervisor",
				 vm->hypervisor_path);
	if (vm->initrd)
		return error_set(ret_error, ENOTSUP,
				 "vm.kernel.initrd: %s cannot be used, the initramfs holds the "
				 "agent",
				 vm->initrd);
	if (vm->image_path)
		return error_set(ret_error, ENOTSUP,
				 "vm.image: %s cannot be used, the container's root comes from "
				 "root.path",
				 vm->image_path);
	if (vm->hardware)
		return error_set(ret_error, ENOTSUP,
				 "vm.hwConfig.%s: not supported: the machine has no devices of the "
				 "host",
				 vm->hardware);
	return 0;
}

/* sysctl.d(5): the first separator is the one; the other one is part of a name. */
static char *dotted_sysctl(const char *key)
{
	char *dotted = xstrdup(key);

	if (dotted[strcspn(dotted, "./")] != '/')
		return dotted;
	for (char *at = dotted; *at; at++)
		*at = *at == '/' ? '.' : *at == '.' ? '/' : *at;
	return dotted;
}

static bool is_of_ipc(const char *key)
{
	static const char *const names[] = { "kernel.msgmax", "kernel.msgmnb",
					     "kernel.msgmni", "kernel.sem",
					     "kernel.shmall", "kernel.shmmax",
					     "kernel.shmmni", "kernel.shm_rmid_forced" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(key, names[i]) == 0)
			return true;
	return strncmp(key, "fs.mqueue.", strlen("fs.mqueue.")) == 0;
}

/* As runc: who leaves a namespace out means the host's, which the guest's is not; and of two
 * fields one would be lost in silence. */
static int check_sysctl(const struct spec_linux *linux_, struct error **ret_error)
{
	for (size_t i = 0; i < linux_->n_sysctl; i++) {
		_cleanup_free_ char *key = dotted_sysctl(linux_->sysctl[i].key);

		if (strcmp(key, "kernel.hostname") == 0)
			return error_set(
			    ret_error, EINVAL,
			    "sysctl \"kernel.hostname\" is not allowed as it conflicts "
			    "with the OCI \"hostname\" field");
		if (is_of_ipc(key) && !linux_->namespaces[SPEC_NS_IPC].present)
			return error_set(ret_error, EINVAL,
					 "sysctl \"%s\" is not allowed in the hosts ipc namespace",
					 key);
		if (strncmp(key, "net.", strlen("net.")) == 0 &&
		    !linux_->namespaces[SPEC_NS_NETWORK].present)
			return error_set(ret_error, EINVAL,
					 "sysctl \"%s\" not allowed in host network namespace",
					 key);
	}
	return 0;
}

int plan_check(const struct spec *spec, struct error **ret_error)
{
	if (!spec->has_process)
		return error_set(ret_error, EINVAL, "process: missing");
	if (check_mounts(spec, ret_error) < 0)
		return -1;
	if (spec->has_linux && (check_namespaces(&spec->linux_, ret_error) < 0 ||
				check_sysctl(&spec->linux_, ret_error) < 0 ||
				check_seccomp(&spec->linux_.seccomp, ret_error) < 0 ||
				check_parts(&spec->linux_, ret_error) < 0))
		return -1;
	if (spec->has_vm && check_vm(&spec->vm, ret_error) < 0)
		return -1;
	return 0;
}
