/* SPDX-License-Identifier: Apache-2.0 */
/* struct vm_config and its JSON form: see vm-config.h. */
#include "protocol/vm-config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/log.h"

static const char *const accel_names[] = {
	[VM_ACCEL_KVM] = "kvm",
	[VM_ACCEL_TCG] = "tcg",
	NULL,
};

static const char *const log_levels[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
	NULL,
};

#define AT(member, type) VM_MEMBER(struct vm_config, member, type)

static const struct vm_field root_fields[] = {
	{ .name = "version", .kind = VM_FIELD_APART },
	{ "kernel", VM_FIELD_FILE, .offset = AT(kernel, struct vm_file), .fd = VM_FD_FILE,
	  .required = true },
	{ "cmdline", VM_FIELD_STRING, .offset = AT(cmdline, char *) },
	{ "vcpus", VM_FIELD_UINT32, .offset = AT(vcpus, uint32_t), .min = 1, .max = VM_VCPUS_MAX,
	  .standard = 1 },
	{ "max_vcpus", VM_FIELD_UINT32, .offset = AT(max_vcpus, uint32_t), .max = VM_VCPUS_MAX },
	{ "memory_mib", VM_FIELD_UINT64, .offset = AT(memory_mib, uint64_t),
	  .min = VM_MEMORY_MIB_MIN, .max = VM_MEMORY_MIB_MAX, .standard = 256 },
	{ "accel", VM_FIELD_CHOICE, .offset = AT(accel, enum vm_accel), .names = accel_names },
	{ "templates", VM_FIELD_STRING, .offset = AT(templates, char *) },
	{ "template_failed", VM_FIELD_BOOL, .offset = AT(template_failed, bool) },
	{ "pooled", VM_FIELD_BOOL, .offset = AT(pooled, bool) },
	{ "state", VM_FIELD_FILE, .offset = AT(state, struct vm_file), .fd = VM_FD_FILE },
	{ "state_ram", VM_FIELD_FILE, .offset = AT(state_ram, struct vm_file), .fd = VM_FD_FILE },
	{ "control", VM_FIELD_FD_OBJECT, .offset = AT(control_fd, int), .fd = VM_FD_STREAM },
	{ "serial", VM_FIELD_FD_OBJECT, .offset = AT(serial_fd, int), .fd = VM_FD_OUTPUT },
	{ "root", VM_FIELD_FD_OBJECT, .offset = AT(root_fd, int), .fd = VM_FD_DIRECTORY },
	{ .name = "log", .kind = VM_FIELD_APART },
	{ .name = "initramfs", .kind = VM_FIELD_APART },
	{ .name = "state_changes", .kind = VM_FIELD_APART },
	{ .name = "devices", .kind = VM_FIELD_APART },
	{ 0 },
};

static const struct vm_field log_fields[] = {
	{ "fd", VM_FIELD_FD, .offset = AT(log_fd, int), .fd = VM_FD_OUTPUT },
	{ "level", VM_FIELD_STRING, .offset = AT(log_level, char *) },
	{ "keep_kib", VM_FIELD_UINT32, .offset = AT(log_keep_kib, uint32_t), .min = VM_LOG_KIB_MIN,
	  .max = VM_LOG_KIB_MAX },
	{ 0 },
};

struct vm_config *vm_config_new(void)
{
	struct vm_config *config = xcalloc(1, sizeof(*config));

	vm_fields_init(root_fields, config);
	vm_fields_init(log_fields, config);
	for (size_t i = 0; i < VM_INITRAMFS_MAX; i++)
		config->initramfs[i].fd = -1;
	for (size_t i = 0; i < VM_CHANGES_MAX; i++)
		config->state_changes[i].fd = -1;
	return config;
}

void vm_config_free(struct vm_config *config)
{
	if (!config)
		return;
	vm_fields_done(root_fields, config);
	vm_fields_done(log_fields, config);
	for (size_t i = 0; i < VM_INITRAMFS_MAX; i++)
		free(config->initramfs[i].path);
	for (size_t i = 0; i < VM_CHANGES_MAX; i++)
		free(config->state_changes[i].path);
	for (size_t i = 0; i < config->n_devices; i++)
		vm_device_done(&config->devices[i]);
	free(config);
}

struct vm_device *vm_config_add(struct vm_config *config, enum vm_device_type type)
{
	struct vm_device *device = &config->devices[config->n_devices];

	assert(config->n_devices < VM_DEVICES_MAX);
	vm_device_init(device, type);
	config->n_devices++;
	return device;
}

/* ---- reading ---- */

static int read_devices(const struct json_at *root, struct vm_config *config,
			struct error **ret_error)
{
	struct json_at array;

	if (json_array(root, "devices", JSON_OPTIONAL, &array, ret_error) < 0)
		return -1;
	if (json_length(&array) > VM_DEVICES_MAX)
		return json_error(&array, ret_error, "more than %d devices", VM_DEVICES_MAX);
	for (size_t i = 0; i < json_length(&array); i++) {
		struct json_at at = json_element(&array, i);

		config->n_devices++;
		if (vm_device_read(&at, &config->devices[i], config->devices, i, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* An array of at most max. */
static int read_files(const struct json_at *root, const char *key, size_t max,
		      struct vm_file *ret_files, size_t *ret_n, struct error **ret_error)
{
	struct json_at array;

	if (json_array(root, key, JSON_OPTIONAL, &array, ret_error) < 0)
		return -1;
	if (json_length(&array) > max)
		return json_error(&array, ret_error, "more than %zu files", max);
	for (size_t i = 0; i < json_length(&array); i++) {
		struct json_at at = json_element(&array, i);

		if (vm_file_read(&at, &ret_files[i], ret_error) < 0)
			return -1;
		(*ret_n)++;
	}
	return 0;
}

static int read_log(const struct json_at *root, struct vm_config *config, struct error **ret_error)
{
	enum log_level level;
	struct json_at log;

	if (json_member(root, "log", JSON_OPTIONAL, &log, ret_error) < 0)
		return -1;
	if (!json_present(&log))
		return 0;
	if (vm_fields_read(&log, log_fields, config, ret_error) < 0)
		return -1;
	if (config->log_level && vm_config_log_level(config->log_level, &level) < 0)
		return json_error(&log, ret_error, "there is no log level \"%s\"",
				  config->log_level);
	return 0;
}

static int read_root(const struct json_at *root, struct vm_config *config, struct error **ret_error)
{
	uint64_t version = 0;

	/* The version comes first: a later one may have members of its own. */
	if (json_get_uint64(root, "version", JSON_REQUIRED, UINT32_MAX, &version, ret_error) < 0)
		return -1;
	if (version != VM_CONFIG_VERSION)
		return json_error(root, ret_error, "version %u is not supported, only %d",
				  (unsigned)version, VM_CONFIG_VERSION);
	if (vm_fields_read(root, root_fields, config, ret_error) < 0 ||
	    read_files(root, "initramfs", VM_INITRAMFS_MAX, config->initramfs, &config->n_initramfs,
		       ret_error) < 0 ||
	    read_files(root, "state_changes", VM_CHANGES_MAX, config->state_changes,
		       &config->n_state_changes, ret_error) < 0 ||
	    read_log(root, config, ret_error) < 0 || read_devices(root, config, ret_error) < 0)
		return -1;
	if (config->max_vcpus && config->max_vcpus < config->vcpus)
		return json_error(root, ret_error, "max_vcpus: %u are fewer than the %u vcpus",
				  config->max_vcpus, config->vcpus);
	if (config->max_vcpus > config->vcpus && config->accel != VM_ACCEL_KVM)
		return json_error(root, ret_error, "max_vcpus: an emulated machine gets no more");
	if (vm_file_is_set(&config->state) != vm_file_is_set(&config->state_ram))
		return json_error(root, ret_error, "state and state_ram go together");
	if (config->n_state_changes > 0 && !vm_file_is_set(&config->state))
		return json_error(root, ret_error, "state_changes need a state");
	if (vm_file_is_set(&config->state) && config->accel != VM_ACCEL_KVM)
		return json_error(root, ret_error, "state: an emulated machine has none");
	if (config->pooled && (config->accel != VM_ACCEL_KVM || !config->templates))
		return json_error(root, ret_error,
				  "pooled: such a machine needs KVM and templates");
	if (config->templates && config->templates[0] != '/')
		return json_error(root, ret_error, "templates: \"%s\" is not an absolute path",
				  config->templates);
	return 0;
}

int vm_config_parse(const char *text, size_t size, struct vm_config **ret_config,
		    struct error **ret_error)
{
	_cleanup_(vm_config_freep) struct vm_config *config = vm_config_new();
	_cleanup_json_ yajl_val value = NULL;
	struct json_at root;

	if (json_parse(text, size, "the machine's configuration", &value, ret_error) < 0)
		return -1;
	root = json_root(value);
	if (read_root(&root, config, ret_error) < 0)
		return error_wrap(ret_error, "the machine's configuration");
	*ret_config = TAKE_PTR(config);
	return 0;
}

uint32_t vm_config_max_vcpus(const struct vm_config *config)
{
	return MAX(config->vcpus, config->max_vcpus);
}

const char *vm_accel_name(enum vm_accel accel)
{
	return accel_names[accel];
}

int vm_config_log_level(const char *name, enum log_level *ret_level)
{
	return vm_choice_parse(log_levels, name, ret_level) ? 0 : -1;
}

/* ---- writing ---- */

static void write_log(struct json_writer *writer, const struct vm_config *config)
{
	if (config->log_fd < 0 && !config->log_level && !config->log_keep_kib)
		return;
	json_put_key(writer, "log");
	json_begin_object(writer);
	vm_fields_write(writer, log_fields, config);
	json_end_object(writer);
}

static void write_files(struct json_writer *writer, const char *key, const struct vm_file *files,
			size_t n)
{
	json_put_key(writer, key);
	json_begin_array(writer);
	for (size_t i = 0; i < n; i++)
		vm_file_write(writer, NULL, &files[i]);
	json_end_array(writer);
}

char *vm_config_write(const struct vm_config *config)
{
	struct json_writer *writer = json_writer_new(true);

	json_begin_object(writer);
	json_put_uint64(writer, "version", VM_CONFIG_VERSION);
	vm_fields_write(writer, root_fields, config);
	write_log(writer, config);
	write_files(writer, "initramfs", config->initramfs, config->n_initramfs);
	if (config->n_state_changes > 0)
		write_files(writer, "state_changes", config->state_changes,
			    config->n_state_changes);
	json_put_key(writer, "devices");
	json_begin_array(writer);
	for (size_t i = 0; i < config->n_devices; i++)
		vm_device_write(writer, &config->devices[i]);
	json_end_array(writer);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}

/* ---- descriptors ---- */

/* Behind the n that there are; returns how many there are then. */
static size_t add_files(const char *key, const struct vm_file *files, size_t n_files,
			struct vm_named_fd ret_fds[VM_FDS_MAX], size_t n)
{
	for (size_t i = 0; i < n_files; i++) {
		if (files[i].fd < 0)
			continue;
		ret_fds[n] = (struct vm_named_fd){ .number = files[i].fd, .kind = VM_FD_FILE };
		(void)snprintf(ret_fds[n].place, sizeof(ret_fds[n].place), "%s[%zu]", key, i);
		n++;
	}
	return n;
}

size_t vm_config_fds(const struct vm_config *config, struct vm_named_fd ret_fds[VM_FDS_MAX])
{
	size_t n = vm_fields_fds(root_fields, config, "", ret_fds);

	n += vm_fields_fds(log_fields, config, "log.", &ret_fds[n]);
	n = add_files("initramfs", config->initramfs, config->n_initramfs, ret_fds, n);
	n = add_files("state_changes", config->state_changes, config->n_state_changes, ret_fds, n);
	for (size_t i = 0; i < config->n_devices; i++) {
		const struct vm_device *device = &config->devices[i];
		char prefix[VM_FD_PLACE_MAX / 2];

		(void)snprintf(prefix, sizeof(prefix), "devices[%zu].", i);
		n += vm_fields_fds(vm_device_fields(device->type), device, prefix, &ret_fds[n]);
	}
	return n;
}
