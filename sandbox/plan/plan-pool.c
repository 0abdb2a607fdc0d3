/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of machines that wait in the pool.
 *
 * A machine that waits has all that those of its kind have in common: kernel, size, console,
 * socket device, random numbers, and a share that shows nothing yet.  What a container has of its
 * own comes when it is taken: the files of the share, network devices, its names.  Disks do not
 * come later, so a plan that has any has no kind.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/json.h"
#include "host/own-namespaces.h"
#include "sandbox/plan/machine-plan.h"

struct kind {
	char *program, *kernel, *cmdline, *templates, *cache;
	char **initramfs;
	uint64_t vcpus, max_vcpus, memory_mib;
	bool cache_by_name;
};

static void kind_done(struct kind *kind)
{
	free(kind->program);
	free(kind->kernel);
	free(kind->cmdline);
	free(kind->templates);
	free(kind->cache);
	strv_free(kind->initramfs);
}

/* A file that has been replaced, or written to, is another one.  (Of one that is gone it is the
 * name.) */
static void write_file_as_it_is(struct json_writer *writer, const char *path)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;

	if (stat(path, &st) == 0)
		text = xasprintf("%llx:%llx:%llx:%llx.%lx:%llx.%lx", (unsigned long long)st.st_dev,
				 (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
				 (unsigned long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
				 (unsigned long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	json_put_string(writer, NULL, text ? text : path);
}

static char *write_kind(const struct kind *kind)
{
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_string(writer, "program", kind->program);
	json_put_string(writer, "kernel", kind->kernel);
	json_put_strv(writer, "initramfs", kind->initramfs);
	json_put_string(writer, "cmdline", kind->cmdline);
	json_put_uint64(writer, "vcpus", kind->vcpus);
	json_put_uint64(writer, "max_vcpus", kind->max_vcpus);
	json_put_uint64(writer, "memory_mib", kind->memory_mib);
	json_put_string(writer, "templates", kind->templates);
	json_put_string(writer, "cache", kind->cache);
	json_put_bool(writer, "cache_by_name", kind->cache_by_name);
	json_put_key(writer, "files");
	json_begin_array(writer);
	write_file_as_it_is(writer, kind->program);
	write_file_as_it_is(writer, kind->kernel);
	for (char **path = kind->initramfs; path && *path; path++)
		write_file_as_it_is(writer, *path);
	json_end_array(writer);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}

static int read_kind(const char *text, struct kind *ret_kind, struct error **ret_error)
{
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, strlen(text), "the kind", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (json_get_string(&root, "program", JSON_REQUIRED, &ret_kind->program, ret_error) < 0 ||
	    json_get_string(&root, "kernel", JSON_REQUIRED, &ret_kind->kernel, ret_error) < 0 ||
	    json_get_strv(&root, "initramfs", JSON_REQUIRED, &ret_kind->initramfs, ret_error) < 0 ||
	    json_get_string(&root, "cmdline", JSON_REQUIRED, &ret_kind->cmdline, ret_error) < 0 ||
	    json_get_uint64(&root, "vcpus", JSON_REQUIRED, VM_VCPUS_MAX, &ret_kind->vcpus,
			    ret_error) < 0 ||
	    json_get_uint64(&root, "max_vcpus", JSON_REQUIRED, VM_VCPUS_MAX, &ret_kind->max_vcpus,
			    ret_error) < 0 ||
	    json_get_uint64(&root, "memory_mib", JSON_REQUIRED, VM_MEMORY_MIB_MAX,
			    &ret_kind->memory_mib, ret_error) < 0 ||
	    json_get_string(&root, "templates", JSON_REQUIRED, &ret_kind->templates, ret_error) <
		0 ||
	    json_get_string(&root, "cache", JSON_REQUIRED, &ret_kind->cache, ret_error) < 0 ||
	    json_get_bool(&root, "cache_by_name", JSON_REQUIRED, &ret_kind->cache_by_name,
			  ret_error) < 0)
		return -1;
	if (strv_length(ret_kind->initramfs) > VM_INITRAMFS_MAX)
		return error_set(ret_error, EINVAL, "the kind: too many files");
	return 0;
}

static bool has_disks(const struct vm_config *config)
{
	size_t i = 0;

	while (i < config->n_devices && config->devices[i].type != VM_DEVICE_BLK)
		i++;
	return i < config->n_devices;
}

/* Beside disks: what is opened in the caller's name, and where it runs, is settled when a VMM
 * starts. */
static bool fits(const struct machine_plan *plan)
{
	const struct vm_config *config = plan->config;

	return plan->pool && config->accel == VM_ACCEL_KVM && config->templates &&
	       !config->template_failed && plan->share && plan->state_fd < 0 && !plan->kernel &&
	       !plan->cpus && !has_disks(config) && !own_namespaces_are_needed();
}

char *plan_pool_kind(const struct machine_plan *plan, const char *program)
{
	const struct vm_config *config = plan->config;
	_cleanup_(kind_done) struct kind kind = { 0 };

	if (!fits(plan))
		return NULL;
	kind.program = xstrdup(program);
	kind.kernel = xstrdup(config->kernel.path);
	kind.initramfs = xcalloc(1, sizeof(*kind.initramfs));
	for (size_t i = 0; i < config->n_initramfs; i++)
		strv_append(&kind.initramfs, config->initramfs[i].path);
	kind.cmdline = xstrdup(config->cmdline);
	kind.vcpus = config->vcpus;
	kind.max_vcpus = config->max_vcpus;
	kind.memory_mib = config->memory_mib;
	kind.templates = xstrdup(config->templates);
	kind.cache = xstrdup(vm_fs_cache_name(plan->cache));
	kind.cache_by_name = plan->cache_by_name;
	return write_kind(&kind);
}

bool plan_pool_is_current(const char *text)
{
	_cleanup_(kind_done) struct kind kind = { 0 };
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *now = NULL;

	if (read_kind(text, &kind, &error) < 0)
		return false;
	now = write_kind(&kind);
	return strcmp(now, text) == 0;
}

int plan_pool_machine(const char *text, struct machine_plan **ret_plan, char **ret_program,
		      struct error **ret_error)
{
	_cleanup_(machine_plan_freep) struct machine_plan *plan = machine_plan_begin();
	_cleanup_(kind_done) struct kind kind = { 0 };
	struct vm_config *config = plan->config;

	if (read_kind(text, &kind, ret_error) < 0)
		return -1;
	if (!vm_fs_cache_parse(kind.cache, &plan->cache))
		return error_set(ret_error, EINVAL, "the kind: there is no cache mode \"%.16s\"",
				 kind.cache);
	config->accel = VM_ACCEL_KVM;
	config->pooled = true;
	config->kernel.path = TAKE_PTR(kind.kernel);
	for (char **path = kind.initramfs; *path; path++)
		config->initramfs[config->n_initramfs++].path = xstrdup(*path);
	config->cmdline = TAKE_PTR(kind.cmdline);
	config->vcpus = (uint32_t)kind.vcpus;
	config->max_vcpus = (uint32_t)kind.max_vcpus;
	config->memory_mib = kind.memory_mib;
	config->templates = TAKE_PTR(kind.templates);
	plan->cache_by_name = kind.cache_by_name;
	plan->share = true;
	plan->network = PLAN_NETWORK_NEW;
	plan->network_isolated = true;
	plan->n_pairs = 1;
	plan->cgroup.disabled = true;
	machine_plan_devices(NULL, plan);
	*ret_program = TAKE_PTR(kind.program);
	*ret_plan = TAKE_PTR(plan);
	return 0;
}
