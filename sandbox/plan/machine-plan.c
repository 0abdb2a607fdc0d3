/* SPDX-License-Identifier: Apache-2.0 */
/* From a bundle to a machine: see machine-plan.h. */
#include "sandbox/plan/machine-plan.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "host/beneath.h"
#include "host/network-options.h"
#include "host/own-namespaces.h"
#include "protocol/agent.h"
#include "runtime-spec/cpu-list.h"
#include "runtime-spec/machine-options.h"

/*
 * The guest has no serial port, no PCI bus and no use for self tests:
 * each of these words saves boot time (8250 probing alone is thousands of
 * exits), and panic=-1 makes a dead guest end instead of hang.  Without lsm= a distribution's
 * kernel starts SELinux, for which the guest has no policy, and asks it at every system call.
 */
static const char base_cmdline[] =
    "console=hvc0 panic=-1 reboot=t cryptomgr.notests random.trust_cpu=on 8250.nr_uarts=0 "
    "i8042.noaux i8042.nokbd pci=off audit=0 lsm=landlock,lockdown,yama,integrity,bpf "
    "cgroup_no_v1=all";

#define GUEST_CID 3
#define LINUX_CPUS "linux.resources.cpu.cpus"

void machine_plan_free(struct machine_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n_volumes; i++)
		free(plan->volumes[i].volume.source);
	vm_config_free(plan->config);
	stage_done(&plan->stage);
	close_fdp(&plan->state_fd);
	for (size_t i = 0; i < plan->n_ram; i++)
		close_fdp(&plan->ram_fds[i]);
	free(plan->network_path);
	free(plan->passt.published);
	free(plan->cpus);
	free(plan->hostname);
	plan_cgroup_done(&plan->cgroup);
	kernel_free(plan->kernel);
	strv_free(plan->within);
	free(plan);
}

const char *const *machine_plan_within(const struct machine_plan *plan,
				       const struct plan_volume *volume)
{
	/* config.json's own mounts are not annotations. */
	return volume->mount < 0 ? (const char *const *)plan->within : NULL;
}

/* The host's, also those that are offline.  Without a list of them, all that there can be. */
static void find_present(bool ret_present[CPU_NUMBERS_MAX])
{
	_cleanup_free_ char *text = NULL;

	if (read_file("/sys/devices/system/cpu/present", 65536, &text, NULL, NULL) < 0 ||
	    cpu_list_parse(text, ret_present) == 0)
		(void)memset(ret_present, true, CPU_NUMBERS_MAX * sizeof(ret_present[0]));
}

/* The host must have all of them, as for a cpuset of its own. */
static int check_cpus(const char *list, struct error **ret_error)
{
	bool named[CPU_NUMBERS_MAX], present[CPU_NUMBERS_MAX];

	find_present(present);
	if (cpu_list_parse(list, named) == 0)
		return error_set(ret_error, EINVAL,
				 LINUX_CPUS ": \"%.64s\" is not a list such as 0-3,7", list);
	for (size_t i = 0; i < CPU_NUMBERS_MAX; i++)
		if (named[i] && !present[i])
			return error_set(ret_error, ERANGE,
					 LINUX_CPUS ": \"%.64s\": the host has no CPU %zu", list,
					 i);
	return 0;
}

/* As many as the container can use at once by its quota and its cpuset; 0: there is no limit. */
static int container_cpus(const struct spec *spec, char **ret_cpus, uint32_t *ret_n,
			  struct error **ret_error)
{
	const struct spec_resources *resources =
	    spec->has_linux && spec->linux_.has_resources ? &spec->linux_.resources : NULL;

	*ret_n = 0;
	if (!resources)
		return 0;
	*ret_n = (uint32_t)(plan_used_cpus(resources, NULL) + 999) / 1000;
	if (!resources->cpu.cpus || !resources->cpu.cpus[0])
		return 0;
	if (check_cpus(resources->cpu.cpus, ret_error) < 0)
		return -1;
	*ret_cpus = xstrdup(resources->cpu.cpus);
	return 0;
}

static int plan_vcpus(const struct machine_plan_request *request,
		      const struct machine_options *asked, char **ret_cpus, uint32_t *ret_vcpus,
		      struct error **ret_error)
{
	uint32_t vcpus = request->vcpus ? request->vcpus : asked->vcpus;
	struct pod_size pod;
	uint32_t n;

	if (plan_pod_size(request->spec, &pod, ret_error) < 0 ||
	    container_cpus(request->spec, ret_cpus, &n, ret_error) < 0)
		return -1;
	if (!vcpus) {
		vcpus = request->settings->vcpus ? request->settings->vcpus : 1;
		n = MAX(n, pod.vcpus);
		vcpus = MAX(vcpus, MIN(n, plan_host_cpus()));
	}
	if (vcpus > VM_VCPUS_MAX)
		return error_set(ret_error, EINVAL, "%u vCPUs are too many: at most %d", vcpus,
				 VM_VCPUS_MAX);
	*ret_vcpus = vcpus;
	return 0;
}

int64_t plan_memory_limit(const struct spec *spec)
{
	const int64_t *limit = spec->has_linux && spec->linux_.has_resources
				   ? spec->linux_.resources.memory.limit
				   : NULL;

	return limit ? *limit : 0;
}

static int plan_memory(const struct machine_plan_request *request,
		       const struct machine_options *asked, uint64_t *ret_mib,
		       struct error **ret_error)
{
	uint64_t mib = request->memory_mib ? request->memory_mib : asked->memory_mib;
	struct pod_size pod;

	if (plan_pod_size(request->spec, &pod, ret_error) < 0)
		return -1;
	if (!mib) {
		mib = request->settings->memory_mib;
		if (!mib)
			mib = PLAN_MEMORY_MIB_DEFAULT;
		mib = MAX(mib, plan_limit_mib(plan_memory_limit(request->spec)));
		mib = MAX(mib, plan_limit_mib(pod.memory_bytes));
	}
	if (mib < VM_MEMORY_MIB_MIN || mib > VM_MEMORY_MIB_MAX)
		return error_set(ret_error, EINVAL,
				 "%llu MiB of memory are out of range (%d to %d)",
				 (unsigned long long)mib, VM_MEMORY_MIB_MIN, VM_MEMORY_MIB_MAX);
	*ret_mib = mib;
	return 0;
}

/* A sandbox's own name; or that of the host, which a container without a name has under runc.
 * NULL: its containers have names of their own. */
static char *plan_hostname(const struct machine_plan_request *request)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (!request->container && request->spec->hostname)
		return xstrdup(request->spec->hostname);
	if (request->container && request->spec->hostname)
		return NULL;
	if (gethostname(name, sizeof(name) - 1) < 0 || name[0] == '\0')
		return NULL;
	return xstrdup(name);
}

static char *plan_cmdline(const struct machine_plan_request *request)
{
	char **parameters = request->spec->has_vm ? request->spec->vm.kernel_parameters : NULL;
	const char *extra = request->settings->cmdline;
	char *line =
	    xasprintf("%s %s%s%s", base_cmdline, request->debug ? "ignore_loglevel" : "quiet",
		      extra ? " " : "", extra ? extra : "");

	for (; parameters && *parameters; parameters++) {
		char *longer = xasprintf("%s %s", line, *parameters);

		free(line);
		line = longer;
	}
	return line;
}

static int check_below(const char *const *within, const char *path, struct error **ret_error)
{
	_cleanup_close_ int fd = path ? beneath_open(within, path, O_PATH, 0) : -1;

	if (!path || fd >= 0)
		return 0;
	if (errno == EXDEV)
		return allow_refuse_path(path, ret_error);
	return error_set_errno(ret_error, errno, "cannot open %s", path);
}

/* It is opened when the machine is started, and looked at again. */
static int plan_confined(const struct machine_plan_request *request, const char *named,
			 struct machine_plan *plan, struct error **ret_error)
{
	const char *const *within = allow_paths(request->allow);
	_cleanup_(kernel_freep) struct kernel *kernel = NULL;

	if (check_below(within, named, ret_error) < 0 ||
	    kernel_find(&named, 1, request->settings, &kernel, ret_error) < 0 ||
	    check_below(within, kernel->image, ret_error) < 0 ||
	    check_below(within, kernel->modules, ret_error) < 0)
		return error_wrap(ret_error, "annotations[\"" ANNOTATION_KERNEL "\"]");
	plan->config->initramfs[plan->config->n_initramfs++].path = xstrdup(request->initramfs);
	if (kernel->modules)
		plan->config->n_initramfs++;
	plan->kernel = TAKE_PTR(kernel);
	return 0;
}

/* For a kernel that asks. A machine that shares nothing else has a share for them if its container
 * can do much with them (and mounts can be made): it costs a twentieth of such a machine's start.
 */
static void plan_modules(const struct spec *spec, const char *tree, struct machine_plan *plan)
{
	const uint64_t network = UINT64_C(1) << CAP_NET_ADMIN;
	struct stage_bind *bind;

	if (!plan->share &&
	    (!(spec->process.capabilities.bounding & network) || own_namespaces_are_needed()))
		return;
	bind = stage_add_bind(&plan->stage, xstrdup(AGENT_MODULES_SHARE), xstrdup(tree));
	bind->readonly = bind->private_mounts = true;
	plan->share = true;
}

static int plan_kernel(const struct machine_plan_request *request,
		       const struct machine_options *asked, struct machine_plan *plan,
		       struct error **ret_error)
{
	const char *const named[] = { request->kernel, asked->kernel };
	const char *annotation = spec_annotation(request->spec, ANNOTATION_KERNEL);
	struct vm_config *config = plan->config;
	_cleanup_(kernel_freep) struct kernel *kernel = NULL;

	if (request->allow && annotation && annotation[0] &&
	    !(request->kernel && request->kernel[0]))
		return plan_confined(request, annotation, plan, ret_error);
	if (kernel_find(named, ARRAY_SIZE(named), request->settings, &kernel, ret_error) < 0)
		return -1;
	config->kernel.path = TAKE_PTR(kernel->image);
	config->initramfs[config->n_initramfs++].path = xstrdup(request->initramfs);
	if (kernel->modules)
		config->initramfs[config->n_initramfs++].path = TAKE_PTR(kernel->modules);
	if (kernel->tree)
		plan_modules(request->spec, kernel->tree, plan);
	return 0;
}

/* What is opened later may lie there. */
static char **copy_paths(const struct allow *allow)
{
	const char *const *paths = allow_paths(allow);
	char **copy = NULL;

	if (!paths)
		return NULL;
	copy = xcalloc(1, sizeof(*copy));
	for (; *paths; paths++)
		strv_append(&copy, *paths);
	return copy;
}

/* What the first container has on disks and in the staging area. */
static void take_files(const struct container_plan *container, struct machine_plan *plan)
{
	const struct plan_files *files = &container->files;

	stage_copy(&files->stage, &plan->stage);
	for (size_t i = 0; i < files->n_volumes; i++) {
		plan->volumes[i] = files->volumes[i];
		plan->volumes[i].volume.source = xstrdup(files->volumes[i].volume.source);
		plan->volumes[i].destination = NULL;
	}
	plan->n_volumes = files->n_volumes;
	plan->share = files->stage.n_binds > 0;
	plan->cache = files->cache;
	plan->cache_by_name = files->cache_by_name;
}

/* For containers to come: their shares may have modes of their own. */
static int plan_cache(const struct spec *spec, struct machine_plan *plan, struct error **ret_error)
{
	_cleanup_(plan_cache_done) struct plan_cache cache = { 0 };

	plan->share = plan->cache_by_name = true;
	if (plan_cache_read(spec, &cache, ret_error) < 0)
		return -1;
	plan->cache = cache.mode;
	return 0;
}

/* All that a sandbox's containers share is one device. */
static void plan_share(struct machine_plan *plan)
{
	struct vm_device *device = vm_config_add(plan->config, VM_DEVICE_FS);

	device->fs.tag = xstrdup(PLAN_SHARE_TAG);
	device->fs.staging = true;
	device->fs.cache = plan->cache;
	device->fs.cache_by_name = plan->cache_by_name;
}

static struct vm_device *add_disk(struct vm_config *config, const char *serial, bool readonly)
{
	struct vm_device *device = vm_config_add(config, VM_DEVICE_BLK);

	device->blk.id = xstrdup(serial);
	device->blk.readonly = readonly;
	return device;
}

static void plan_layers(const struct container_plan *container, struct vm_config *config)
{
	struct vm_device *disk = NULL;

	for (size_t i = 0; i < container->n_layers; i++) {
		const struct plan_layer *layer = &container->layers[i];

		if (disk && container->joined_layers) {
			strv_append(&disk->blk.more, layer->path);
			continue;
		}
		disk = add_disk(config, layer->serial, true);
		disk->blk.file.path = xstrdup(layer->path);
	}
}

static void plan_volumes(const struct container_plan *container, struct vm_config *config)
{
	for (size_t i = 0; i < container->files.n_volumes; i++)
		(void)add_disk(config, container->files.volumes[i].serial,
			       container->files.volumes[i].volume.readonly);
}

/* Locally administered (IEEE 802), and never seen on a wire. */
struct vm_mac plan_slot_address(unsigned slot)
{
	return (struct vm_mac){ { 0x02, 0, 's', 'm', 0, (uint8_t)slot } };
}

_Static_assert(NETWORK_QUEUES_MAX == VM_NET_PAIRS_MAX, "a tap has as many queues as a device");

/* A pair of queues for each vCPU, if the other end can have several. */
static void plan_interfaces(struct machine_plan *plan)
{
	plan->n_pairs =
	    plan->network == PLAN_NETWORK_PASST ? 1 : MIN(plan->vcpus, NETWORK_QUEUES_MAX);
	for (unsigned i = 0; i < plan->n_interfaces; i++) {
		struct vm_device *device = vm_config_add(plan->config, VM_DEVICE_NET);

		device->net.mac = plan_slot_address(i);
		device->net.pairs = plan->n_pairs;
		if (plan->network == PLAN_NETWORK_PASST) {
			device->net.backend = VM_NET_STREAM;
			device->net.mtu = PASST_MTU_MAX;
		}
	}
}

/* (A path that leads to none is refused when the machine is started.) */
static unsigned count_interfaces(const char *path)
{
	_cleanup_error_ struct error *error = NULL;
	size_t n = 0;

	if (network_count(path, &n, &error) < 0)
		log_debug("%s", error->message);
	return (unsigned)MIN(n, NETWORK_TAPS_MAX);
}

/* In a namespace of the host's; interfaces may come until a container is started, or later. */
static void plan_namespace(const struct settings *settings, char *path, struct machine_plan *plan)
{
	plan->network = path ? PLAN_NETWORK_JOIN : PLAN_NETWORK_NEW;
	plan->network_path = path;
	plan->network_isolated = !path;
	plan->n_interfaces = settings->has_interfaces		   ? settings->interfaces
			     : plan->config->accel == VM_ACCEL_KVM ? PLAN_INTERFACES_KVM
								   : PLAN_INTERFACES_TCG;
	plan->vhost_net = plan->config->accel == VM_ACCEL_KVM && !settings->no_vhost_net;
	if (path)
		plan->n_interfaces = MAX(plan->n_interfaces, count_interfaces(path));
}

static void plan_passt(struct network_options *options, bool isolated, struct machine_plan *plan)
{
	plan->network = PLAN_NETWORK_PASST;
	plan->network_isolated = isolated;
	plan->passt.published = TAKE_PTR(options->published);
	plan->passt.n_published = options->n_published;
	plan->n_interfaces = 1;
}

static int plan_network(const struct machine_plan_request *request, struct machine_plan *plan,
			struct error **ret_error)
{
	const struct spec_namespace *spec = &request->spec->linux_.namespaces[SPEC_NS_NETWORK];
	const bool has_namespace = request->spec->has_linux && spec->present;
	_cleanup_network_options_ struct network_options options = { 0 };

	if (network_options_read(request->network, request->publish, request->n_publish, &options,
				 ret_error) < 0)
		return -1;
	switch (options.mode) {
	case NETWORK_BUNDLE:
		plan->network = PLAN_NETWORK_HOST;
		if (has_namespace)
			plan_namespace(request->settings, xstrdup(spec->path), plan);
		break;
	case NETWORK_NONE:
		plan->network = PLAN_NETWORK_NEW;
		plan->network_isolated = true;
		break;
	case NETWORK_NAMESPACE:
		plan_namespace(request->settings, TAKE_PTR(options.path), plan);
		break;
	case NETWORK_PASST:
		plan_passt(&options, has_namespace, plan);
		break;
	}
	return 0;
}

void machine_plan_devices(const struct container_plan *container, struct machine_plan *plan)
{
	struct vm_config *config = plan->config;
	struct vm_device *device;

	/* First: the one device that a template has (vmm/kvm/kvm-template.h). */
	(void)vm_config_add(config, VM_DEVICE_CONSOLE); /* its output is the log's */
	if (container)
		plan_layers(container, config);
	/* Their descriptors are made when the machine is started (vmm-spawn.c). */
	if (plan->share)
		plan_share(plan);
	if (container)
		plan_volumes(container, config);
	device = vm_config_add(config, VM_DEVICE_VSOCK);
	device->vsock.cid = GUEST_CID;
	device->vsock.path = xstrdup(PLAN_VSOCK_PATH);
	(void)vm_config_add(config, VM_DEVICE_RNG);
	plan_add_room(plan);
	/* Last (agent/template.c). */
	plan_interfaces(plan);
}

/* Machines go on from where others have booted to; but a developer who debugs one wants to see it
 * boot. */
static void plan_templates(const struct machine_plan_request *request, struct vm_config *config)
{
	_cleanup_free_ char *cache = paths_cache();

	if (!request->debug && cache[0] == '/')
		config->templates = xasprintf("%s/templates", cache);
}

struct machine_plan *machine_plan_begin(void)
{
	struct machine_plan *plan = xcalloc(1, sizeof(*plan));

	plan->config = vm_config_new();
	plan->state_fd = -1;
	return plan;
}

int machine_plan_new(const struct machine_plan_request *request, struct machine_plan **ret_plan,
		     struct error **ret_error)
{
	_cleanup_(machine_plan_freep) struct machine_plan *plan = machine_plan_begin();
	/* The other flags came with the request as values. */
	const struct machine_flags flags = { 0 };
	struct machine_options asked;

	if (allow_check(request->allow, request->spec, ret_error) < 0 ||
	    machine_options_find(&flags, request->spec, &asked, ret_error) < 0)
		return -1;
	plan->within = copy_paths(request->allow);
	plan->config->accel = request->accel;
	if (request->container)
		take_files(request->container, plan);
	if ((!request->container || plan_is_pod(request->spec)) &&
	    plan_cache(request->spec, plan, ret_error) < 0)
		return -1;
	if (plan_network(request, plan, ret_error) < 0 ||
	    plan_vcpus(request, &asked, &plan->cpus, &plan->config->vcpus, ret_error) < 0 ||
	    plan_memory(request, &asked, &plan->config->memory_mib, ret_error) < 0 ||
	    plan_kernel(request, &asked, plan, ret_error) < 0)
		return -1;
	plan->vcpus = plan->config->vcpus;
	plan_max_vcpus(request->settings, plan->config);
	machine_plan_devices(request->container, plan);
	plan->config->cmdline = plan_cmdline(request);
	if (plan_cgroup_read(request, plan, ret_error) < 0)
		return -1;
	plan->hostname = plan_hostname(request);
	plan_templates(request, plan->config);
	plan->pool = request->settings->pool > 0;
	if (request->debug)
		plan->config->log_level = xstrdup("debug");
	*ret_plan = TAKE_PTR(plan);
	return 0;
}
