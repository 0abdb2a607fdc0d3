/* SPDX-License-Identifier: Apache-2.0 */
/* Words that config.json may hold, for the parser and for `features`. Lists end with NULL. */
#pragma once

#define SPEC_SECCOMP_NOTIFY "SCMP_ACT_NOTIFY"

extern const char *const spec_seccomp_actions[];
extern const char *const spec_seccomp_operators[];
extern const char *const spec_seccomp_architectures[];
extern const char *const spec_seccomp_flags[];
