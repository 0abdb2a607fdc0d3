/*
 * A template of a machine that QEMU emulates: found, or else made, which takes as long as a
 * guest takes to boot.
 *
 * It is made of a machine that has QEMU's own devices alone.  Its agent stands still before it
 * dials the host (agent/template.h), and is stopped there; ours come with the machine that goes
 * on from it, at transports that the guest's kernel knows of by a table of their own.
 */
#pragma once

#include "base/error.h"
#include "vmm/image.h"
#include "vmm/template.h"
#include "vmm/vm-config.h"

/* config->templates is set.  With every privilege, before there is a thread.  An error means
 * that the guest has to boot; EOPNOTSUPP: as every guest of this kind, and so it is once
 * config->template_failed. */
int qemu_template_get(const char *program, const struct vm_config *config,
		      const struct images *images, struct template *ret_template,
		      struct error **ret_error);
