/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's `vm`: runtime-spec config-vm.md. Go writes every object of it, with
 * empty strings for what is absent; so an empty path means that there is none. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "runtime-spec/spec-internal.h"

static int read_hypervisor(const struct json_at *vm, struct spec_vm *ret_vm,
			   struct error **ret_error)
{
	struct json_at at, path;

	if (json_object(vm, "hypervisor", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_member(&at, "path", JSON_REQUIRED, &path, ret_error) < 0 ||
	    spec_get_path(&at, "path", JSON_OPTIONAL, &ret_vm->hypervisor_path, ret_error) < 0)
		return -1;
	return json_get_strv(&at, "parameters", JSON_OPTIONAL, &ret_vm->hypervisor_parameters,
			     ret_error);
}

static int read_kernel(const struct json_at *vm, struct spec_vm *ret_vm, struct error **ret_error)
{
	struct json_at at, path;

	/* The spec requires a kernel with `vm`; we have a default one, and `vm` may be
	 * there for hwConfig alone. */
	if (json_object(vm, "kernel", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_member(&at, "path", JSON_REQUIRED, &path, ret_error) < 0 ||
	    spec_get_path(&at, "path", JSON_OPTIONAL, &ret_vm->kernel_path, ret_error) < 0 ||
	    json_get_strv(&at, "parameters", JSON_OPTIONAL, &ret_vm->kernel_parameters, ret_error) <
		0)
		return -1;
	return spec_get_path(&at, "initrd", JSON_OPTIONAL, &ret_vm->initrd, ret_error);
}

static int read_image(const struct json_at *vm, struct spec_vm *ret_vm, struct error **ret_error)
{
	static const char *const formats[] = { "raw", "qcow2", "vdi", "vmdk", "vhd", NULL };
	const struct json_at format = { .parent = vm, .key = "image.format" };
	struct json_at at, path;

	if (json_object(vm, "image", JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_member(&at, "path", JSON_REQUIRED, &path, ret_error) < 0 ||
	    spec_get_path(&at, "path", JSON_OPTIONAL, &ret_vm->image_path, ret_error) < 0 ||
	    spec_get_word(&at, "format", JSON_OPTIONAL, formats, "image format",
			  &ret_vm->image_format, ret_error) < 0)
		return -1;
	if (ret_vm->image_path && !ret_vm->image_format)
		return json_error(&format, ret_error, "missing, and required");
	return 0;
}

static int read_hardware(const struct json_at *vm, const char *key, struct spec_vm *ret_vm,
			 struct error **ret_error)
{
	static const char *const others[] = { "deviceTree", "dtdevs", "iomems", "irqs" };
	const uint64_t mib = 1 << 20;
	struct json_at at;
	uint64_t bytes = 0;

	if (json_object(vm, key, JSON_OPTIONAL, &at, ret_error) < 0)
		return -1;
	if (!json_present(&at))
		return 0;
	if (json_get_uint32(&at, "vcpus", JSON_OPTIONAL, &ret_vm->vcpus, ret_error) < 0 ||
	    json_get_uint64(&at, "memory", JSON_OPTIONAL, UINT64_MAX, &bytes, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct json_at other;

		if (json_member(&at, others[i], JSON_OPTIONAL, &other, ret_error) < 0)
			return -1;
		/* Go writes empty ones. */
		if (json_present(&other) &&
		    !(YAJL_IS_STRING(other.value) && YAJL_GET_STRING(other.value)[0] == '\0'))
			ret_vm->hardware = others[i];
	}
	if (bytes > 0)
		ret_vm->memory_mib = (bytes - 1) / mib + 1;
	return 0;
}

int spec_read_vm(const struct json_at *at, struct spec_vm *ret_vm, struct error **ret_error)
{
	if (read_hypervisor(at, ret_vm, ret_error) < 0 || read_kernel(at, ret_vm, ret_error) < 0 ||
	    read_image(at, ret_vm, ret_error) < 0 ||
	    /* The document of 1.3 says hwConfig, its Go structs write hwconfig. */
	    read_hardware(at, "hwconfig", ret_vm, ret_error) < 0)
		return -1;
	return read_hardware(at, "hwConfig", ret_vm, ret_error);
}

void spec_vm_done(struct spec_vm *vm)
{
	free(vm->hypervisor_path);
	strv_free(vm->hypervisor_parameters);
	free(vm->kernel_path);
	strv_free(vm->kernel_parameters);
	free(vm->initrd);
	free(vm->image_path);
	free(vm->image_format);
}
