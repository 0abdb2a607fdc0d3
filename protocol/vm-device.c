/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of the VMM's document: see vm-device.h. */
#include "protocol/vm-device.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define BLK_ID_MAX 20	    /* virtio 1.2 §5.2.6: VIRTIO_BLK_T_GET_ID */
#define BLK_QUEUES_MAX 16   /* virtio/devices.h */
#define CID_FIRST_GUEST 3   /* virtio 1.2 §5.10.4: 0, 1 and 2 are reserved, */
#define CID_LAST 0xfffffffe /* and so is 2^32-1 */
#define MTU_MIN 68	    /* virtio 1.2 §5.1.4.1 */
#define MTU_MAX 65535
#define UNIX_PATH_MAX_BYTES 4000 /* "_PORT" is appended; PATH_MAX is 4096 */

static const char *const cache_names[] = {
	[VM_FS_CACHE_AUTO] = "auto",
	[VM_FS_CACHE_ALWAYS] = "always",
	[VM_FS_CACHE_NONE] = "none",
	NULL,
};

static const char *const backend_names[] = {
	[VM_NET_TAP] = "tap",
	[VM_NET_STREAM] = "stream",
	NULL,
};

#define AT(member, type) VM_MEMBER(struct vm_device, member, type)

static const struct vm_field blk_fields[] = {
	{ .name = "type", .kind = VM_FIELD_APART },
	{ "id", VM_FIELD_STRING, .offset = AT(blk.id, char *), .max = BLK_ID_MAX },
	{ "file", VM_FIELD_FILE, .offset = AT(blk.file, struct vm_file), .fd = VM_FD_DISK,
	  .required = true },
	{ "more", VM_FIELD_PATHS, .offset = AT(blk.more, char **), .max = VM_BLK_FILES_MAX - 1 },
	{ "readonly", VM_FIELD_BOOL, .offset = AT(blk.readonly, bool) },
	{ "queues", VM_FIELD_UINT32, .offset = AT(blk.queues, uint32_t), .min = 1,
	  .max = BLK_QUEUES_MAX, .standard = 1 },
	{ 0 },
};

static const struct vm_field vsock_fields[] = {
	{ .name = "type", .kind = VM_FIELD_APART },
	{ "cid", VM_FIELD_UINT32, .offset = AT(vsock.cid, uint32_t), .required = true,
	  .min = CID_FIRST_GUEST, .max = CID_LAST },
	{ "path", VM_FIELD_STRING, .offset = AT(vsock.path, char *), .required = true, .min = 1,
	  .max = UNIX_PATH_MAX_BYTES },
	{ "fd", VM_FIELD_FD, .offset = AT(vsock.fd, int), .fd = VM_FD_LISTENER },
	{ 0 },
};

static const struct vm_field rng_fields[] = {
	{ .name = "type", .kind = VM_FIELD_APART },
	{ 0 },
};

static const struct vm_field console_fields[] = {
	{ .name = "type", .kind = VM_FIELD_APART },
	{ "output", VM_FIELD_FILE, .offset = AT(console.output, struct vm_file),
	  .fd = VM_FD_OUTPUT },
	{ 0 },
};

/* The guest finds a share by its tag. */
static const struct vm_field fs_fields[] = {
	{ .name = "type", .kind = VM_FIELD_APART },
	{ "tag", VM_FIELD_STRING, .offset = AT(fs.tag, char *), .required = true, .unique = true,
	  .min = 1, .max = VM_FS_TAG_MAX },
	{ "root", VM_FIELD_FILE, .offset = AT(fs.root, struct vm_file), .fd = VM_FD_DIRECTORY,
	  .required = true },
	{ "readonly", VM_FIELD_BOOL, .offset = AT(fs.readonly, bool) },
	{ "cache", VM_FIELD_CHOICE, .offset = AT(fs.cache, enum vm_fs_cache),
	  .names = cache_names },
	{ "staging", VM_FIELD_BOOL, .offset = AT(fs.staging, bool) },
	{ "cache_by_name", VM_FIELD_BOOL, .offset = AT(fs.cache_by_name, bool) },
	{ "host_locks", VM_FIELD_BOOL, .offset = AT(fs.host_locks, bool) },
	{ 0 },
};

static const struct vm_field net_fields[] = {
	{ .name = "type", .kind = VM_FIELD_APART },
	{ "mac", VM_FIELD_MAC, .offset = AT(net.mac, struct vm_mac), .required = true,
	  .unique = true },
	{ "fd", VM_FIELD_FD, .offset = AT(net.fd, int), .fd = VM_FD_LINK },
	{ "vhost", VM_FIELD_FD, .offset = AT(net.vhost_fd, int), .fd = VM_FD_CHARACTER },
	{ "backend", VM_FIELD_CHOICE, .offset = AT(net.backend, enum vm_net_backend),
	  .names = backend_names },
	{ "pairs", VM_FIELD_UINT32, .offset = AT(net.pairs, uint32_t), .min = 1,
	  .max = VM_NET_PAIRS_MAX, .standard = 1 },
	{ "more", VM_FIELD_FDS, .offset = AT(net.more, struct vm_fd_list), .fd = VM_FD_LINK },
	{ "more_vhosts", VM_FIELD_FDS, .offset = AT(net.more_vhosts, struct vm_fd_list),
	  .fd = VM_FD_CHARACTER },
	{ "mtu", VM_FIELD_UINT32, .offset = AT(net.mtu, uint32_t), .min = MTU_MIN, .max = MTU_MAX },
	{ 0 },
};

static const struct vm_field mem_fields[] = {
	{ .name = "type", .kind = VM_FIELD_APART },
	{ "max_mib", VM_FIELD_UINT64, .offset = AT(mem.max_mib, uint64_t), .required = true,
	  .min = VM_MEM_MIB_MIN, .max = VM_MEM_MIB_MAX },
	{ 0 },
};

static const struct {
	const char *name;
	const struct vm_field *fields;
	bool alone; /* the guest finds it by its being there: one at most */
} types[] = {
	[VM_DEVICE_BLK] = { .name = "blk", .fields = blk_fields },
	[VM_DEVICE_VSOCK] = { .name = "vsock", .fields = vsock_fields, .alone = true },
	[VM_DEVICE_RNG] = { .name = "rng", .fields = rng_fields },
	[VM_DEVICE_CONSOLE] = { .name = "console", .fields = console_fields },
	[VM_DEVICE_FS] = { .name = "fs", .fields = fs_fields },
	[VM_DEVICE_NET] = { .name = "net", .fields = net_fields },
	[VM_DEVICE_MEM] = { .name = "mem", .fields = mem_fields, .alone = true },
};

_Static_assert(ARRAY_SIZE(types) == VM_DEVICE_TYPES, "every type has an entry");

const char *vm_device_name(enum vm_device_type type)
{
	return types[type].name;
}

const struct vm_field *vm_device_fields(enum vm_device_type type)
{
	return types[type].fields;
}

void vm_device_init(struct vm_device *device, enum vm_device_type type)
{
	*device = (struct vm_device){ .type = type };
	vm_fields_init(types[type].fields, device);
}

void vm_device_done(struct vm_device *device)
{
	vm_fields_done(types[device->type].fields, device);
}

/* ---- shares ---- */

bool vm_fs_cache_parse(const char *name, enum vm_fs_cache *ret_cache)
{
	return vm_choice_parse(cache_names, name, ret_cache);
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

/* ---- reading and writing ---- */

static int read_type(const struct json_at *at, enum vm_device_type *ret_type,
		     struct error **ret_error)
{
	_cleanup_free_ char *name = NULL;

	if (json_get_string(at, "type", JSON_REQUIRED, &name, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(name, types[i].name) != 0)
			continue;
		*ret_type = (enum vm_device_type)i;
		return 0;
	}
	return json_error(at, ret_error, "there is no device type \"%s\"", name);
}

static int check_other(const struct json_at *at, const struct vm_device *device,
		       const struct vm_device *other, struct error **ret_error)
{
	if (types[device->type].alone)
		return json_error(at, ret_error, "a machine has one %s at most",
				  types[device->type].name);
	for (const struct vm_field *field = types[device->type].fields; field->name; field++) {
		_cleanup_free_ char *text = NULL;

		if (!field->unique || !vm_field_same(field, device, other))
			continue;
		text = vm_field_text(field, device);
		return json_error(at, ret_error, "the %s \"%s\" is another device's", field->name,
				  text);
	}
	return 0;
}

int vm_device_read(const struct json_at *at, struct vm_device *device,
		   const struct vm_device *others, size_t n_others, struct error **ret_error)
{
	enum vm_device_type type = VM_DEVICE_RNG;
	int result = read_type(at, &type, ret_error);

	vm_device_init(device, type);
	if (result < 0 || vm_fields_read(at, types[type].fields, device, ret_error) < 0)
		return -1;
	if (type == VM_DEVICE_BLK && device->blk.more && !device->blk.readonly)
		return json_error(at, ret_error, "a disk of several files must be read-only");
	if (type == VM_DEVICE_MEM && device->mem.max_mib % 2 != 0)
		return json_error(at, ret_error, "max_mib: %llu is odd",
				  (unsigned long long)device->mem.max_mib);
	for (size_t i = 0; i < n_others; i++)
		if (others[i].type == type && check_other(at, device, &others[i], ret_error) < 0)
			return -1;
	return 0;
}

void vm_device_write(struct json_writer *writer, const struct vm_device *device)
{
	json_begin_object(writer);
	json_put_string(writer, "type", types[device->type].name);
	vm_fields_write(writer, types[device->type].fields, device);
	json_end_object(writer);
}
