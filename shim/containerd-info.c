/* SPDX-License-Identifier: Apache-2.0 */
/* "-info": what this runtime is and can do, for containerd 2.2 and later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "runtime-spec/features.h"
#include "shim/containerd.h"
#include "ttrpc/message.h"

#define RUNTIME_NAME "io.supermachine.v1"
/* Mounts that containerd is to pass on as they are, without mounting them on the host
 * (docs/mounts.md): a read-only erofs image becomes a disk of the machine.  Whatever is
 * stacked on one containerd still mounts itself, images and all. */
#define ALLOW_MOUNTS "containerd.io/runtime-allow-mounts"
#define ALLOWED_MOUNTS "erofs"
#define FEATURES_TYPE "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

int containerd_info(struct error **ret_error)
{
	static const struct containerd nobody = { 0 };
	_cleanup_shim_input_ struct shim_input input = { 0 };
	_cleanup_free_ char *text = features_json(false);
	_cleanup_free_ uint8_t *bytes = NULL;
	Shim__RuntimeInfo info = SHIM__RUNTIME_INFO__INIT;
	Shim__RuntimeVersion version = SHIM__RUNTIME_VERSION__INIT;
	Shim__RuntimeInfo__AnnotationsEntry allow = SHIM__RUNTIME_INFO__ANNOTATIONS_ENTRY__INIT;
	Shim__RuntimeInfo__AnnotationsEntry *annotations[] = { &allow };
	Task__Any features = TASK__ANY__INIT;
	size_t size;

	if (shim_input_read(&nobody, &input, ret_error) < 0)
		return -1;
	version.version = (char *)PACKAGE_VERSION;
	features.type_url = (char *)FEATURES_TYPE;
	features.value = (ProtobufCBinaryData){ strlen(text), (uint8_t *)text };
	info.name = (char *)RUNTIME_NAME;
	info.version = &version;
	info.options = input.any;
	info.features = &features;
	allow.key = (char *)ALLOW_MOUNTS;
	allow.value = (char *)ALLOWED_MOUNTS;
	info.annotations = annotations;
	info.n_annotations = 1;
	bytes = message_pack(&info.base, &size);
	(void)fwrite(bytes, 1, size, stdout);
	return 0;
}
