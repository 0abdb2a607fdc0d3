/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template of a machine on KVM, found or made.
 *
 * It is made from a machine that has one device, its console (which must be the first of the
 * configuration), and slots without a device for all others.  A clone has its devices in them
 * when it goes on: how many and which they are is not part of the key.
 */
#pragma once

#include "base/error.h"
#include "protocol/vm-config.h"
#include "vmm/image.h"
#include "vmm/template-make.h"

/* As template_get(). */
int kvm_template_get(const struct vm_config *config, const struct images *images,
		     struct template *ret_template, struct error **ret_error);
/* As template_discard(). */
void kvm_template_discard(const struct vm_config *config, const struct images *images);
