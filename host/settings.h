/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: what an administrator sets once for every container.
 *
 * The file that $SUPERMACHINE_CONFIG names, else, for an installed program (base/paths.h),
 * SYSCONFDIR/supermachine/config.json:
 *   {"kernel": "/…", "vcpus": 2, "max_vcpus": 4, "memory_mib": 512, "cmdline": "extra words",
 *    "accel": "auto", "boot_timeout_s": 120, "interfaces": 1, "vhost_net": true,
 *    "allow": {…}, "pool": 2}  (allow.h, pool.h)
 * Every key may be absent; an unknown one is an error, so that a misspelt one
 * does not go unnoticed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/accel.h"
#include "host/allow.h"

struct settings {
	char *kernel;	     /* directory or image; the file's, else --with-kernel; NULL: not set */
	uint32_t vcpus;	     /* 0: not set */
	uint32_t max_vcpus;  /* that a machine may come to have; 0: not set */
	uint64_t memory_mib; /* 0: not set */
	enum accel_wish accel;
	uint64_t boot_timeout_s; /* from a machine's start to its agent's word; 0: not set */
	bool has_interfaces;
	uint32_t interfaces; /* network devices that a machine has at least */
	bool no_vhost_net;   /* though the kernel has it */
	struct allow allow;  /* what annotations may ask for */
	uint32_t pool;	     /* machines that wait to be taken; 0: none */
	char *cmdline;	     /* put behind the kernel command line; NULL: nothing */
};

/* Reads the file; the default one may be missing, a named one may not. */
int settings_load(struct settings **ret_settings, struct error **ret_error);
/* As settings_load() from this file; a missing one is an error when required. */
int settings_load_file(const char *path, bool required, struct settings **ret_settings,
		       struct error **ret_error);
void settings_free(struct settings *settings);
DEFINE_CLEANUP(struct settings, settings_free)
