/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of CPUs or memory nodes as Linux writes them: "0-3,7" (cpuset(7), "List format"). */
#pragma once

#include <stdbool.h>

#define CPU_NUMBERS_MAX 8192 /* the most CPUs of an x86-64 kernel, CONFIG_NR_CPUS */

/* Sets ret_named for the numbers that the list names.  Returns how many they are, each counted
 * once; 0: it is not such a list, or an empty one. */
unsigned int cpu_list_parse(const char *list, bool ret_named[CPU_NUMBERS_MAX]);
