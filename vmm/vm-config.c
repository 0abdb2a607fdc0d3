/* struct vm_config and its JSON form: see vm-config.h. */
#include "vmm/vm-config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"

#define BLK_ID_MAX 20		 /* virtio 1.2 §5.2.6: VIRTIO_BLK_T_GET_ID */
#define BLK_QUEUES_MAX 16	 /* virtio/device.h: VIRTIO_QUEUES_MAX */
#define CID_FIRST_GUEST 3	 /* virtio 1.2 §5.10.4: 0, 1 and 2 are reserved, */
#define CID_LAST 0xfffffffe	 /* and so is 2^32-1 */
#define UNIX_PATH_MAX_BYTES 4000 /* "_PORT" is appended; PATH_MAX is 4096 */

static const char *const type_names[] = {
	[VM_DEVICE_BLK] = "blk",	 [VM_DEVICE_VSOCK] = "vsock", [VM_DEVICE_RNG] = "rng",
	[VM_DEVICE_CONSOLE] = "console", [VM_DEVICE_FS] = "fs",
};

static const char *const cache_names[] = {
	[VM_FS_CACHE_AUTO] = "auto",
	[VM_FS_CACHE_ALWAYS] = "always",
	[VM_FS_CACHE_NONE] = "none",
};

static const char *const accel_names[] = {
	[VM_ACCEL_KVM] = "kvm",
	[VM_ACCEL_TCG] = "tcg",
};

struct vm_config *vm_config_new(void)
{
	struct vm_config *config = xcalloc(1, sizeof(*config));

	config->kernel.fd = -1;
	for (size_t i = 0; i < VM_INITRAMFS_MAX; i++)
		config->initramfs[i].fd = -1;
	config->vcpus = 1;
	config->memory_mib = 256;
	config->control_fd = -1;
	config->log_fd = -1;
	config->serial_fd = -1;
	config->root_fd = -1;
	return config;
}

static void free_device(struct vm_device *device)
{
	switch (device->type) {
	case VM_DEVICE_BLK:
		free(device->blk.id);
		free(device->blk.file.path);
		break;
	case VM_DEVICE_VSOCK:
		free(device->vsock.path);
		break;
	case VM_DEVICE_CONSOLE:
		free(device->console.output.path);
		break;
	case VM_DEVICE_FS:
		free(device->fs.tag);
		free(device->fs.root.path);
		break;
	case VM_DEVICE_RNG:
		break;
	}
}

void vm_config_free(struct vm_config *config)
{
	if (!config)
		return;
	free(config->kernel.path);
	for (size_t i = 0; i < config->n_initramfs; i++)
		free(config->initramfs[i].path);
	for (size_t i = 0; i < config->n_devices; i++)
		free_device(&config->devices[i]);
	free(config->cmdline);
	free(config->templates);
	free(config->log_level);
	free(config);
}

/* The document is ours on both sides: a member nobody knows is a typing error. */
static int check_members(const struct json_at *object, const char *const *known,
			 struct error **ret_error)
{
	if (json_as_object(object, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(object); i++) {
		struct json_at member = json_member_at(object, i);
		size_t k = 0;

		while (known[k] && strcmp(known[k], member.key) != 0)
			k++;
		if (!known[k])
			return json_error(&member, ret_error, "unknown member");
	}
	return 0;
}

static int parse_fd(const struct json_at *object, enum json_need need, int *ret_fd,
		    struct error **ret_error)
{
	int64_t fd = *ret_fd;

	if (json_get_int64(object, "fd", need, 0, INT_MAX, &fd, ret_error) < 0)
		return -1;
	*ret_fd = (int)fd;
	return 0;
}

/* {"fd": N}, optional as a whole. */
static int parse_fd_object(const struct json_at *object, const char *key, int *ret_fd,
			   struct error **ret_error)
{
	static const char *const known[] = { "fd", NULL };
	struct json_at at;

	if (json_object(object, key, JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (check_members(&at, known, ret_error) < 0)
		return -1;
	return parse_fd(&at, JSON_REQUIRED, ret_fd, ret_error);
}

static int parse_file(const struct json_at *at, struct vm_file *ret_file, struct error **ret_error)
{
	static const char *const known[] = { "path", "fd", NULL };
	_cleanup_free_ char *path = NULL;
	int fd = -1;

	if (check_members(at, known, ret_error) < 0 ||
	    json_get_string(at, "path", JSON_OPTIONAL, &path, ret_error) < 0 ||
	    parse_fd(at, JSON_OPTIONAL, &fd, ret_error) < 0)
		return -1;
	if ((path != NULL) == (fd >= 0))
		return json_error(at, ret_error, "needs either \"path\" or \"fd\"");
	if (path && !path[0])
		return json_error(at, ret_error, "the path is empty");
	ret_file->path = TAKE_PTR(path);
	ret_file->fd = fd;
	return 0;
}

static int parse_file_member(const struct json_at *object, const char *key,
			     struct vm_file *ret_file, struct error **ret_error)
{
	struct json_at at;

	if (json_object(object, key, JSON_REQUIRED, &at, ret_error) < 0)
		return -1;
	return parse_file(&at, ret_file, ret_error);
}

static int parse_range(const struct json_at *object, const char *key, enum json_need need,
		       uint64_t min, uint64_t max, uint64_t *ret_value, struct error **ret_error)
{
	int64_t value = (int64_t)*ret_value;

	if (json_get_int64(object, key, need, (int64_t)min, (int64_t)max, &value, ret_error) < 0)
		return -1;
	*ret_value = (uint64_t)value;
	return 0;
}

static int parse_blk(const struct json_at *at, struct vm_device *device, struct error **ret_error)
{
	static const char *const known[] = { "type", "id", "file", "readonly", "queues", NULL };
	uint64_t queues = 1;

	if (check_members(at, known, ret_error) < 0 ||
	    json_get_string(at, "id", JSON_OPTIONAL, &device->blk.id, ret_error) < 0 ||
	    parse_file_member(at, "file", &device->blk.file, ret_error) < 0 ||
	    json_get_bool(at, "readonly", JSON_OPTIONAL, &device->blk.readonly, ret_error) < 0 ||
	    parse_range(at, "queues", JSON_OPTIONAL, 1, BLK_QUEUES_MAX, &queues, ret_error) < 0)
		return -1;
	if (device->blk.id && strlen(device->blk.id) > BLK_ID_MAX)
		return json_error(at, ret_error, "the id \"%s\" is longer than %d bytes",
				  device->blk.id, BLK_ID_MAX);
	device->blk.queues = (uint32_t)queues;
	return 0;
}

static int parse_vsock(const struct json_at *at, struct vm_device *device, struct error **ret_error)
{
	static const char *const known[] = { "type", "cid", "path", "fd", NULL };
	uint64_t cid = 0;

	device->vsock.fd = -1;
	if (check_members(at, known, ret_error) < 0 ||
	    parse_range(at, "cid", JSON_REQUIRED, CID_FIRST_GUEST, CID_LAST, &cid, ret_error) < 0 ||
	    json_get_string(at, "path", JSON_REQUIRED, &device->vsock.path, ret_error) < 0 ||
	    parse_fd(at, JSON_OPTIONAL, &device->vsock.fd, ret_error) < 0)
		return -1;
	if (!device->vsock.path[0] || strlen(device->vsock.path) > UNIX_PATH_MAX_BYTES)
		return json_error(at, ret_error, "the path must be 1 to %d bytes long",
				  UNIX_PATH_MAX_BYTES);
	device->vsock.cid = (uint32_t)cid;
	return 0;
}

static int parse_rng(const struct json_at *at, struct error **ret_error)
{
	static const char *const known[] = { "type", NULL };

	return check_members(at, known, ret_error);
}

static int parse_console(const struct json_at *at, struct vm_device *device,
			 struct error **ret_error)
{
	static const char *const known[] = { "type", "output", NULL };

	if (check_members(at, known, ret_error) < 0)
		return -1;
	return parse_file_member(at, "output", &device->console.output, ret_error);
}

bool vm_fs_cache_parse(const char *name, enum vm_fs_cache *ret_cache)
{
	for (size_t i = 0; i < ARRAY_SIZE(cache_names); i++) {
		if (strcmp(name, cache_names[i]) != 0)
			continue;
		*ret_cache = (enum vm_fs_cache)i;
		return true;
	}
	return false;
}

const char *vm_fs_cache_name(enum vm_fs_cache cache)
{
	return cache_names[cache];
}

bool vm_fs_cache_of(const char *share, enum vm_fs_cache *ret_cache)
{
	const char *mark = strrchr(share, VM_FS_CACHE_MARK);

	return mark && vm_fs_cache_parse(mark + 1, ret_cache);
}

static int parse_cache(const struct json_at *at, enum vm_fs_cache *ret_cache,
		       struct error **ret_error)
{
	_cleanup_free_ char *name = NULL;

	if (json_get_string(at, "cache", JSON_OPTIONAL, &name, ret_error) < 0)
		return -1;
	if (!name || vm_fs_cache_parse(name, ret_cache))
		return 0;
	return json_error(at, ret_error,
			  "there is no cache mode \"%s\", only auto, always and none", name);
}

static int parse_fs(const struct json_at *at, struct vm_device *device, struct error **ret_error)
{
	static const char *const known[] = { "type",  "tag",	       "root",	     "readonly",
					     "cache", "cache_by_name", "host_locks", NULL };

	if (check_members(at, known, ret_error) < 0 ||
	    json_get_string(at, "tag", JSON_REQUIRED, &device->fs.tag, ret_error) < 0 ||
	    parse_file_member(at, "root", &device->fs.root, ret_error) < 0 ||
	    json_get_bool(at, "readonly", JSON_OPTIONAL, &device->fs.readonly, ret_error) < 0 ||
	    parse_cache(at, &device->fs.cache, ret_error) < 0 ||
	    json_get_bool(at, "cache_by_name", JSON_OPTIONAL, &device->fs.cache_by_name,
			  ret_error) < 0 ||
	    json_get_bool(at, "host_locks", JSON_OPTIONAL, &device->fs.host_locks, ret_error) < 0)
		return -1;
	if (!device->fs.tag[0] || strlen(device->fs.tag) > VM_FS_TAG_MAX)
		return json_error(at, ret_error, "the tag must be 1 to %d bytes long",
				  VM_FS_TAG_MAX);
	return 0;
}

static int parse_type(const struct json_at *at, enum vm_device_type *ret_type,
		      struct error **ret_error)
{
	_cleanup_free_ char *name = NULL;

	if (json_get_string(at, "type", JSON_REQUIRED, &name, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(type_names); i++) {
		if (strcmp(name, type_names[i]) != 0)
			continue;
		*ret_type = (enum vm_device_type)i;
		return 0;
	}
	return json_error(at, ret_error, "there is no device type \"%s\"", name);
}

/* On failure the device is still fit for free_device(). */
static int parse_device(const struct json_at *at, struct vm_device *device,
			struct error **ret_error)
{
	enum vm_device_type type = VM_DEVICE_RNG;

	*device = (struct vm_device){ .type = VM_DEVICE_RNG };
	if (parse_type(at, &type, ret_error) < 0)
		return -1;
	device->type = type;
	switch (type) {
	case VM_DEVICE_BLK:
		return parse_blk(at, device, ret_error);
	case VM_DEVICE_VSOCK:
		return parse_vsock(at, device, ret_error);
	case VM_DEVICE_RNG:
		return parse_rng(at, ret_error);
	case VM_DEVICE_CONSOLE:
		return parse_console(at, device, ret_error);
	case VM_DEVICE_FS:
		return parse_fs(at, device, ret_error);
	}
	return json_error(at, ret_error, "unknown type");
}

/* The guest finds a share by its tag, and its only vsock by its being there. */
static int check_unique(const struct json_at *at, const struct vm_config *config,
			const struct vm_device *device, struct error **ret_error)
{
	for (const struct vm_device *other = config->devices; other < device; other++) {
		if (other->type != device->type)
			continue;
		if (device->type == VM_DEVICE_VSOCK)
			return json_error(at, ret_error, "a machine has one vsock at most");
		if (device->type == VM_DEVICE_FS && strcmp(other->fs.tag, device->fs.tag) == 0)
			return json_error(at, ret_error, "the tag \"%s\" is another share's",
					  device->fs.tag);
	}
	return 0;
}

static int parse_devices(const struct json_at *root, struct vm_config *config,
			 struct error **ret_error)
{
	struct json_at array;

	if (json_array(root, "devices", JSON_OPTIONAL, &array, ret_error) < 0)
		return -1;
	if (json_length(&array) > VM_DEVICES_MAX)
		return json_error(&array, ret_error, "more than %d devices", VM_DEVICES_MAX);
	for (size_t i = 0; i < json_length(&array); i++) {
		struct json_at at = json_element(&array, i);
		struct vm_device *device = &config->devices[config->n_devices++];

		if (parse_device(&at, device, ret_error) < 0 ||
		    check_unique(&at, config, device, ret_error) < 0)
			return -1;
	}
	return 0;
}

static int parse_initramfs(const struct json_at *root, struct vm_config *config,
			   struct error **ret_error)
{
	struct json_at array;

	if (json_array(root, "initramfs", JSON_OPTIONAL, &array, ret_error) < 0)
		return -1;
	if (json_length(&array) > VM_INITRAMFS_MAX)
		return json_error(&array, ret_error, "more than %d files", VM_INITRAMFS_MAX);
	for (size_t i = 0; i < json_length(&array); i++) {
		struct json_at at = json_element(&array, i);

		if (parse_file(&at, &config->initramfs[i], ret_error) < 0)
			return -1;
		config->n_initramfs++;
	}
	return 0;
}

static int parse_log(const struct json_at *root, struct vm_config *config, struct error **ret_error)
{
	static const char *const known[] = { "fd", "level", NULL };
	enum log_level level;
	struct json_at log;

	if (json_object(root, "log", JSON_OPTIONAL, &log, ret_error) < 0)
		return -1;
	if (!json_present(&log))
		return 0;
	if (check_members(&log, known, ret_error) < 0 ||
	    parse_fd(&log, JSON_OPTIONAL, &config->log_fd, ret_error) < 0 ||
	    json_get_string(&log, "level", JSON_OPTIONAL, &config->log_level, ret_error) < 0)
		return -1;
	if (config->log_level && vm_config_log_level(config->log_level, &level) < 0)
		return json_error(&log, ret_error, "there is no log level \"%s\"",
				  config->log_level);
	return 0;
}

static int parse_accel(const struct json_at *root, enum vm_accel *ret_accel,
		       struct error **ret_error)
{
	_cleanup_free_ char *name = NULL;

	if (json_get_string(root, "accel", JSON_OPTIONAL, &name, ret_error) < 0)
		return -1;
	if (name && vm_accel_parse(name, ret_accel) < 0)
		return error_set(ret_error, EINVAL, "accel: \"%s\" is neither \"kvm\" nor \"tcg\"",
				 name);
	return 0;
}

static int parse_templates(const struct json_at *root, char **ret_path, struct error **ret_error)
{
	if (json_get_string(root, "templates", JSON_OPTIONAL, ret_path, ret_error) < 0)
		return -1;
	if (*ret_path && (*ret_path)[0] != '/')
		return json_error(root, ret_error, "templates: \"%s\" is no absolute path",
				  *ret_path);
	return 0;
}

static int parse_root(const struct json_at *root, struct vm_config *config,
		      struct error **ret_error)
{
	static const char *const known[] = { "version", "kernel",    "initramfs",
					     "cmdline", "vcpus",     "memory_mib",
					     "accel",	"templates", "template_failed",
					     "control", "log",	     "serial",
					     "root",	"devices",   NULL };
	uint64_t version = 0, vcpus = config->vcpus;

	/* The version comes first: a later one may have members of its own. */
	if (json_get_uint64(root, "version", JSON_REQUIRED, UINT32_MAX, &version, ret_error) < 0)
		return -1;
	if (version != VM_CONFIG_VERSION)
		return json_error(root, ret_error, "version %u is not understood, only %d",
				  (unsigned)version, VM_CONFIG_VERSION);
	if (check_members(root, known, ret_error) < 0 ||
	    parse_file_member(root, "kernel", &config->kernel, ret_error) < 0 ||
	    parse_initramfs(root, config, ret_error) < 0 ||
	    json_get_string(root, "cmdline", JSON_OPTIONAL, &config->cmdline, ret_error) < 0 ||
	    parse_range(root, "vcpus", JSON_OPTIONAL, 1, VM_VCPUS_MAX, &vcpus, ret_error) < 0 ||
	    parse_range(root, "memory_mib", JSON_OPTIONAL, VM_MEMORY_MIB_MIN, VM_MEMORY_MIB_MAX,
			&config->memory_mib, ret_error) < 0 ||
	    parse_accel(root, &config->accel, ret_error) < 0 ||
	    parse_templates(root, &config->templates, ret_error) < 0 ||
	    json_get_bool(root, "template_failed", JSON_OPTIONAL, &config->template_failed,
			  ret_error) < 0 ||
	    parse_fd_object(root, "control", &config->control_fd, ret_error) < 0 ||
	    parse_log(root, config, ret_error) < 0 ||
	    parse_fd_object(root, "serial", &config->serial_fd, ret_error) < 0 ||
	    parse_fd_object(root, "root", &config->root_fd, ret_error) < 0 ||
	    parse_devices(root, config, ret_error) < 0)
		return -1;
	config->vcpus = (uint32_t)vcpus;
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
	if (parse_root(&root, config, ret_error) < 0)
		return error_wrap(ret_error, "the machine's configuration");
	*ret_config = TAKE_PTR(config);
	return 0;
}

const char *vm_accel_name(enum vm_accel accel)
{
	return accel_names[accel];
}

int vm_accel_parse(const char *name, enum vm_accel *ret_accel)
{
	for (size_t i = 0; i < ARRAY_SIZE(accel_names); i++) {
		if (strcmp(name, accel_names[i]) != 0)
			continue;
		*ret_accel = (enum vm_accel)i;
		return 0;
	}
	return -1;
}

int vm_config_log_level(const char *name, enum log_level *ret_level)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARNING] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret_level = (enum log_level)i;
		return 0;
	}
	return -1;
}

/* ---- writing ---- */

static void write_file_object(struct json_writer *writer, const char *key,
			      const struct vm_file *file)
{
	json_put_key(writer, key);
	json_begin_object(writer);
	if (file->path)
		json_put_string(writer, "path", file->path);
	else
		json_put_int64(writer, "fd", file->fd);
	json_end_object(writer);
}

static void write_fd_object(struct json_writer *writer, const char *key, int fd)
{
	if (fd < 0)
		return;
	json_put_key(writer, key);
	json_begin_object(writer);
	json_put_int64(writer, "fd", fd);
	json_end_object(writer);
}

static void write_device(struct json_writer *writer, const struct vm_device *device)
{
	json_begin_object(writer);
	json_put_string(writer, "type", type_names[device->type]);
	switch (device->type) {
	case VM_DEVICE_BLK:
		if (device->blk.id)
			json_put_string(writer, "id", device->blk.id);
		write_file_object(writer, "file", &device->blk.file);
		json_put_bool(writer, "readonly", device->blk.readonly);
		json_put_uint64(writer, "queues", device->blk.queues);
		break;
	case VM_DEVICE_VSOCK:
		json_put_uint64(writer, "cid", device->vsock.cid);
		json_put_string(writer, "path", device->vsock.path);
		if (device->vsock.fd >= 0)
			json_put_int64(writer, "fd", device->vsock.fd);
		break;
	case VM_DEVICE_CONSOLE:
		write_file_object(writer, "output", &device->console.output);
		break;
	case VM_DEVICE_FS:
		json_put_string(writer, "tag", device->fs.tag);
		write_file_object(writer, "root", &device->fs.root);
		json_put_bool(writer, "readonly", device->fs.readonly);
		json_put_string(writer, "cache", cache_names[device->fs.cache]);
		json_put_bool(writer, "cache_by_name", device->fs.cache_by_name);
		json_put_bool(writer, "host_locks", device->fs.host_locks);
		break;
	case VM_DEVICE_RNG:
		break;
	}
	json_end_object(writer);
}

static void write_log(struct json_writer *writer, const struct vm_config *config)
{
	if (config->log_fd < 0 && !config->log_level)
		return;
	json_put_key(writer, "log");
	json_begin_object(writer);
	if (config->log_fd >= 0)
		json_put_int64(writer, "fd", config->log_fd);
	if (config->log_level)
		json_put_string(writer, "level", config->log_level);
	json_end_object(writer);
}

char *vm_config_write(const struct vm_config *config)
{
	struct json_writer *writer = json_writer_new(true);

	json_begin_object(writer);
	json_put_uint64(writer, "version", VM_CONFIG_VERSION);
	write_file_object(writer, "kernel", &config->kernel);
	json_put_key(writer, "initramfs");
	json_begin_array(writer);
	for (size_t i = 0; i < config->n_initramfs; i++)
		write_file_object(writer, NULL, &config->initramfs[i]);
	json_end_array(writer);
	if (config->cmdline)
		json_put_string(writer, "cmdline", config->cmdline);
	json_put_uint64(writer, "vcpus", config->vcpus);
	json_put_uint64(writer, "memory_mib", config->memory_mib);
	json_put_string(writer, "accel", vm_accel_name(config->accel));
	if (config->templates)
		json_put_string(writer, "templates", config->templates);
	if (config->template_failed)
		json_put_bool(writer, "template_failed", true);
	write_fd_object(writer, "control", config->control_fd);
	write_log(writer, config);
	write_fd_object(writer, "serial", config->serial_fd);
	write_fd_object(writer, "root", config->root_fd);
	json_put_key(writer, "devices");
	json_begin_array(writer);
	for (size_t i = 0; i < config->n_devices; i++)
		write_device(writer, &config->devices[i]);
	json_end_array(writer);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}
