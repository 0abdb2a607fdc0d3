/* SPDX-License-Identifier: Apache-2.0 */
/* The VMM's document (protocol/vm-config.h), any text: one that is taken keeps what the header
 * promises, and what it is written as is taken again and written the same. */
#include <string.h>

#include "protocol/vm-config.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_config(const struct vm_config *config)
{
	struct vm_named_fd fds[VM_FDS_MAX];

	check(config->vcpus >= 1 && config->vcpus <= VM_VCPUS_MAX);
	check(config->memory_mib >= VM_MEMORY_MIB_MIN && config->memory_mib <= VM_MEMORY_MIB_MAX);
	check(config->n_initramfs <= VM_INITRAMFS_MAX && config->n_devices <= VM_DEVICES_MAX);
	check(!config->templates || config->templates[0] == '/');
	check(vm_config_fds(config, fds) <= VM_FDS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(vm_config_freep) struct vm_config *config = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL, *same = NULL;

	if (vm_config_parse((const char *)data, size, &config, &error) < 0) {
		check(error && error->message[0] && !config);
		return 0;
	}
	check_config(config);
	text = vm_config_write(config);
	check(vm_config_parse(text, strlen(text), &again, &error) == 0);
	same = vm_config_write(again);
	check(strcmp(text, same) == 0);
	return 0;
}
