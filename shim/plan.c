/* From a bundle to a machine: see plan.h. */
#include "shim/plan.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/paths.h"
#include "base/checked.h"
#include "runtime-spec/kernel.h"
#include "runtime-spec/machine-options.h"

/*
 * The guest has no serial port, no PCI bus and no use for self tests:
 * each of these words saves boot time (8250 probing alone is thousands of
 * exits), and panic=-1 makes a dead guest end instead of hang.
 */
static const char base_cmdline[] =
    "console=hvc0 panic=-1 reboot=t cryptomgr.notests random.trust_cpu=on 8250.nr_uarts=0 "
    "i8042.noaux i8042.nokbd pci=off audit=0 apparmor=0 cgroup_no_v1=all";

#define GUEST_CID 3
#define HOST_NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n_layers; i++)
		free(plan->layers[i].type);
	vm_config_free(plan->config);
	plan_files_done(&plan->files);
	free(plan->network_path);
	free(plan);
}

static int plan_vcpus(const struct plan_request *request, const struct machine_options *asked,
		      uint32_t *ret_vcpus, struct error **ret_error)
{
	uint32_t vcpus = request->vcpus ? request->vcpus : asked->vcpus;
	struct pod_size pod;

	if (plan_pod_size(request->spec, &pod, ret_error) < 0)
		return -1;
	if (!vcpus) {
		vcpus = request->settings->vcpus ? request->settings->vcpus : 1;
		vcpus = MAX(vcpus, pod.vcpus);
	}
	if (vcpus > VM_VCPUS_MAX)
		return error_set(ret_error, EINVAL, "%u vCPUs are too many: at most %d", vcpus,
				 VM_VCPUS_MAX);
	*ret_vcpus = vcpus;
	return 0;
}

static int64_t container_limit(const struct spec *spec)
{
	const int64_t *limit = spec->has_linux && spec->linux_.has_resources
				   ? spec->linux_.resources.memory.limit
				   : NULL;

	return limit ? *limit : 0;
}

/* A memory limit (none: <= 0) and our own share, in MiB; 0: no limit.  A limit
 * above the host's memory asks for no more than that. */
static uint64_t limit_mib(int64_t limit)
{
	uint64_t host_mib =
	    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
	uint64_t mib;

	if (limit <= 0)
		return 0;
	mib = ((uint64_t)limit + (1 << 20) - 1) >> 20;
	return MIN(mib + PLAN_OVERHEAD_MIB, host_mib);
}

static int plan_memory(const struct plan_request *request, const struct machine_options *asked,
		       uint64_t *ret_mib, struct error **ret_error)
{
	uint64_t mib = request->memory_mib ? request->memory_mib : asked->memory_mib;
	struct pod_size pod;

	if (plan_pod_size(request->spec, &pod, ret_error) < 0)
		return -1;
	if (!mib) {
		mib = request->settings->memory_mib;
		if (!mib)
			mib = PLAN_MEMORY_MIB_DEFAULT;
		mib = MAX(mib, limit_mib(container_limit(request->spec)));
		mib = MAX(mib, limit_mib(pod.memory_bytes));
	}
	if (mib < VM_MEMORY_MIB_MIN || mib > VM_MEMORY_MIB_MAX)
		return error_set(ret_error, EINVAL,
				 "%llu MiB of memory cannot be given to a machine: %d to %d",
				 (unsigned long long)mib, VM_MEMORY_MIB_MIN, VM_MEMORY_MIB_MAX);
	*ret_mib = mib;
	return 0;
}

/* A container without a UTS namespace has the host's name, as with runc: "hostname=" is the
 * kernel's own parameter (6.0).  NULL: it has one, or the name is no word of a command line. */
static char *hostname_parameter(const struct spec *spec)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (spec->linux_.namespaces[SPEC_NS_UTS].present)
		return NULL;
	if (gethostname(name, sizeof(name)) < 0 || name[0] == '\0' ||
	    name[strspn(name, HOST_NAME_CHARACTERS)] != '\0')
		return NULL;
	return xasprintf(" hostname=%s", name);
}

static char *plan_cmdline(const struct plan_request *request)
{
	_cleanup_free_ char *hostname = hostname_parameter(request->spec);
	char **parameters = request->spec->has_vm ? request->spec->vm.kernel_parameters : NULL;
	const char *extra = request->settings->cmdline;
	char *line =
	    xasprintf("%s %s%s%s%s", base_cmdline, request->debug ? "ignore_loglevel" : "quiet",
		      hostname ? hostname : "", extra ? " " : "", extra ? extra : "");

	for (; parameters && *parameters; parameters++) {
		char *longer = xasprintf("%s %s", line, *parameters);

		free(line);
		line = longer;
	}
	return line;
}

static int plan_kernel(const struct plan_request *request, const struct machine_options *asked,
		       struct vm_config *config, struct error **ret_error)
{
	const char *const named[] = {
		request->kernel,	   asked->kernel, getenv("SUPERMACHINE_KERNEL"),
		request->settings->kernel, WITH_KERNEL,
	};
	_cleanup_(kernel_freep) struct kernel *kernel = NULL;

	if (kernel_find(named, ARRAY_SIZE(named), &kernel, ret_error) < 0)
		return -1;
	config->kernel.path = TAKE_PTR(kernel->image);
	config->initramfs[config->n_initramfs++].path = xstrdup(request->initramfs);
	if (kernel->modules)
		config->initramfs[config->n_initramfs++].path = TAKE_PTR(kernel->modules);
	return 0;
}

static int plan_layer(const Task__Mount *mount, struct plan *plan, struct error **ret_error)
{
	static const char *const types[] = { "squashfs", "erofs", "ext4" };
	struct vm_device *device = &plan->config->devices[plan->config->n_devices];
	struct plan_layer *layer = &plan->layers[plan->n_layers];
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		known = known || strcmp(mount->type, types[i]) == 0;
	if (!known)
		return error_set(
		    ret_error, ENOTSUP,
		    "a root file system of type \"%s\" (%s) is not supported yet: only "
		    "squashfs, erofs and ext4 images are",
		    mount->type, mount->source);
	if (access(mount->source, R_OK) < 0)
		return error_set_errno(ret_error, errno, "cannot read the layer %s", mount->source);
	(void)snprintf(layer->serial, sizeof(layer->serial), "layer%zu", plan->n_layers);
	layer->type = xstrdup(mount->type);
	plan->n_layers++;
	device->type = VM_DEVICE_BLK;
	device->blk.id = xstrdup(layer->serial);
	device->blk.file.path = xstrdup(mount->source);
	device->blk.file.fd = -1;
	device->blk.readonly = true;
	device->blk.queues = 1;
	plan->config->n_devices++;
	return 0;
}

/* A share, unless layers came with the request. */
static int check_root(const struct plan_request *request, const struct machine_options *asked,
		      struct error **ret_error)
{
	if (strcmp(asked->rootfs, ROOTFS_LAYER) == 0 && request->n_rootfs == 0)
		return error_set(ret_error, ENOTSUP,
				 "annotations[\"" ANNOTATION_ROOTFS
				 "\"]: the caller gave no image: "
				 "\"" ROOTFS_LAYER "\" is for supermachine's own command line");
	if (request->n_rootfs > PLAN_LAYERS_MAX)
		return error_set(ret_error, E2BIG, "%zu layers are too many: at most %d",
				 request->n_rootfs, PLAN_LAYERS_MAX);
	return 0;
}

static int plan_files(const struct plan_request *request, const struct machine_options *asked,
		      struct plan *plan, struct error **ret_error)
{
	const struct plan_files_request files = { .spec = request->spec,
						  .stage = request->stage,
						  .bundle = request->bundle,
						  .socket_port = request->socket_port,
						  .root_share = request->n_rootfs == 0 };

	if (check_root(request, asked, ret_error) < 0)
		return -1;
	return plan_files_read(&files, &plan->files, ret_error);
}

/* All that a sandbox's containers share is one device. */
static void plan_share(struct plan *plan)
{
	struct vm_device *device = &plan->config->devices[plan->config->n_devices++];

	device->type = VM_DEVICE_FS;
	device->fs.tag = xstrdup(PLAN_SHARE_TAG);
	device->fs.root.fd = -1;
	device->fs.cache = plan->files.cache;
	device->fs.cache_by_name = plan->files.cache_by_name;
}

static void plan_volumes(struct plan *plan)
{
	struct vm_config *config = plan->config;
	struct vm_device *device;

	for (size_t i = 0; i < plan->files.n_volumes; i++) {
		const struct plan_volume *volume = &plan->files.volumes[i];

		device = &config->devices[config->n_devices++];
		device->type = VM_DEVICE_BLK;
		device->blk.id = xstrdup(volume->serial);
		device->blk.file.fd = -1;
		device->blk.readonly = volume->volume.readonly;
		device->blk.queues = 1;
	}
}

static int plan_devices(const struct plan_request *request, struct plan *plan,
			struct error **ret_error)
{
	struct vm_config *config = plan->config;
	struct vm_device *device;

	for (size_t i = 0; i < request->n_rootfs; i++)
		if (plan_layer(request->rootfs[i], plan, ret_error) < 0)
			return -1;
	/* Their descriptors are made when the machine is started (machine-spawn.c). */
	if (plan->share)
		plan_share(plan);
	plan_volumes(plan);
	device = &config->devices[config->n_devices++];
	device->type = VM_DEVICE_VSOCK;
	device->vsock.cid = GUEST_CID;
	device->vsock.path = xstrdup(PLAN_VSOCK_PATH);
	device->vsock.fd = -1;
	device = &config->devices[config->n_devices++];
	device->type = VM_DEVICE_RNG;
	device = &config->devices[config->n_devices++];
	device->type = VM_DEVICE_CONSOLE;
	device->console.output.fd = STDERR_FILENO;
	return 0;
}

static void plan_network(const struct spec *spec, struct plan *plan)
{
	const struct spec_namespace *network = &spec->linux_.namespaces[SPEC_NS_NETWORK];

	plan->network = PLAN_NETWORK_HOST;
	if (!spec->has_linux || !network->present)
		return;
	plan->network = network->path ? PLAN_NETWORK_JOIN : PLAN_NETWORK_NEW;
	plan->network_path = xstrdup(network->path);
}

/* Emulated machines go on from where others have booted to; but whoever debugs one wants to
 * see it boot. */
static void plan_templates(const struct plan_request *request, struct vm_config *config)
{
	_cleanup_free_ char *cache = paths_cache();

	if (request->accel == VM_ACCEL_TCG && !request->debug && cache[0] == '/')
		config->templates = xasprintf("%s/templates", cache);
}

/* The machine that this container is the first of. */
static int plan_machine(const struct plan_request *request, const struct machine_options *asked,
			struct plan *plan, struct error **ret_error)
{
	plan->config = vm_config_new();
	plan->config->accel = request->accel;
	/* A pod's other containers come with shares, which may have modes of their own. */
	plan->share = plan->files.stage.n_binds > 0 || plan_is_pod(request->spec);
	plan->files.cache_by_name = plan->files.cache_by_name || plan_is_pod(request->spec);
	if (plan_vcpus(request, asked, &plan->config->vcpus, ret_error) < 0 ||
	    plan_memory(request, asked, &plan->config->memory_mib, ret_error) < 0 ||
	    plan_kernel(request, asked, plan->config, ret_error) < 0 ||
	    plan_devices(request, plan, ret_error) < 0)
		return -1;
	plan->config->cmdline = plan_cmdline(request);
	plan_templates(request, plan->config);
	if (request->debug)
		plan->config->log_level = xstrdup("debug");
	plan_network(request->spec, plan);
	return 0;
}

/* A disk cannot appear in a machine that runs. */
static int check_no_disks(const struct plan *plan, const struct plan_request *request,
			  struct error **ret_error)
{
	if (request->n_rootfs > 0)
		return error_set(ret_error, ENOTSUP,
				 "the root file system of a sandbox's later container cannot be an "
				 "image (%s)",
				 request->rootfs[0]->source);
	if (plan->files.n_volumes > 0)
		return error_set(ret_error, ENOTSUP,
				 "a sandbox's later container cannot have disks (%s): only the "
				 "first can",
				 plan->files.volumes[0].volume.source);
	return 0;
}

static int check_cache(const struct plan *plan, const struct plan_request *request,
		       struct error **ret_error)
{
	if (!plan->files.cache_by_name || request->cache_by_name)
		return 0;
	return error_set(ret_error, ENOTSUP,
			 "annotations[\"" ANNOTATION_CACHE
			 "\"]: the sandbox's machine has one cache mode: its first container was "
			 "not annotated as a pod's");
}

static int check_later(const struct plan *plan, const struct plan_request *request,
		       struct error **ret_error)
{
	if (check_no_disks(plan, request, ret_error) < 0)
		return -1;
	return check_cache(plan, request, ret_error);
}

int plan_new(const struct plan_request *request, struct plan **ret_plan, struct error **ret_error)
{
	_cleanup_(plan_freep) struct plan *plan = xcalloc(1, sizeof(*plan));
	/* The other flags came with the request as values. */
	const struct machine_flags flags = {
		.rootfs = request->root && request->root[0] ? request->root : NULL,
	};
	struct machine_options asked;

	if (machine_options_find(&flags, request->spec, &asked, ret_error) < 0 ||
	    plan_check(request->spec, ret_error) < 0 ||
	    plan_shared(request, plan->shared, ret_error) < 0 ||
	    plan_files(request, &asked, plan, ret_error) < 0)
		return -1;
	if (request->sandbox_pid ? check_later(plan, request, ret_error) < 0
				 : plan_machine(request, &asked, plan, ret_error) < 0)
		return -1;
	*ret_plan = TAKE_PTR(plan);
	return 0;
}
