/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `check`: what this machine has for running containers, one line per item, and
 * what to do about a missing one.
 *
 * It looks, runs `supermachine-vmm --probe` and `qemu --version`, and changes only the
 * remembered answer about KVM.  A missing item is not an error: `check` works where
 * nothing is installed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "host/accel.h"
#include "host/settings.h"

enum check_level {
	LEVEL_OK,
	LEVEL_NOTE, /* a container can run without it */
	LEVEL_FAIL, /* none can */
};

struct check_line {
	const char *name;
	enum check_level level;
	char *found;
	char *advice; /* a command, a Debian package; NULL where all is well */
};

struct check_report {
	struct check_line *lines;
	size_t n_lines;
	bool usable;	     /* a container can run, */
	enum vm_accel accel; /* with this */
};

/* Where to look. */
struct check_host {
	const char *system; /* put before /proc, /sys and /dev; "" but in tests */
	const char *state;  /* --root */
	const char *vmm;    /* supermachine-vmm; NULL: found by base/paths.h */
};

void check_run(const struct check_host *host, struct check_report *ret_report);
void check_report_done(struct check_report *report);

/* ---- between the parts ---- */

struct check {
	const struct check_host *host;
	struct check_report *report;
	struct settings *settings; /* defaults where the file cannot be read */
	struct error *settings_error;
	struct kvm_answer *kvm;
	enum accel_wish wish;
	const char *source; /* of wish */
};

/* The next line; found and advice become the report's. */
void check_add(struct check *check, const char *name, enum check_level level, char *found,
	       char *advice);

/* check-kvm.c */
void check_kvm(struct check *check);
void check_kvm_kind(struct check *check);
void check_qemu(struct check *check);
/* check-guest.c */
void check_kernel(struct check *check); /* and its modules */
void check_programs(struct check *check);
/* check-host.c */
void check_permissions(struct check *check);
void check_jail(struct check *check);
void check_root(struct check *check);
void check_directories(struct check *check);
void check_cgroup(struct check *check);
void check_network(struct check *check);
/* check-pool.c */
void check_pool(struct check *check);
