/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template of a machine that QEMU emulates.  It is found, or made, which takes as long as a
 * boot.
 *
 * It is made from a machine with QEMU's own devices only.  Its agent waits before it dials the
 * host (agent/template.h), and the machine is stopped there.  Our devices come with the
 * clone, at transports that the guest's kernel knows from a table of their own.
 */
#pragma once

#include "base/error.h"
#include "protocol/vm-config.h"
#include "vmm/image.h"
#include "vmm/template-make.h"

/* As template_get(); program: QEMU. */
int qemu_template_get(const char *program, const struct vm_config *config,
		      const struct images *images, struct template *ret_template,
		      struct error **ret_error);
