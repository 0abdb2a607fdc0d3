/* Whether this machine's KVM runs an ordinary kernel. */
#pragma once

#include "base/error.h"

/* Runs a tiny guest, for some milliseconds (0.5 s at most).  Fails with the reason
 * where /dev/kvm is missing, refused, or only emulates supervisor code. */
int probe_kvm(struct error **ret_error);
