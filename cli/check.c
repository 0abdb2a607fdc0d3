/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine has for running containers: see check.h. */
#include "cli/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/paths.h"
#include "protocol/probe.h"

/* What is asked for where a container and its command line say nothing. */
static void check_configuration(struct check *check)
{
	struct accel_request request = { .settings = check->settings };
	_cleanup_error_ struct error *error = NULL;

	if (check->settings_error) {
		check_add(check, "configuration", LEVEL_FAIL,
			  xstrdup(check->settings_error->message), xstrdup("correct the file"));
		return;
	}
	if (accel_asked(&request, &check->wish, &check->source, &error) < 0) {
		check_add(check, "configuration", LEVEL_FAIL, xstrdup(error->message),
			  xstrdup("correct the variable"));
		return;
	}
	check_add(check, "configuration", LEVEL_OK,
		  xasprintf("accel=%s", accel_wish_name(check->wish)), NULL);
}

/* Where there is no VMM to ask, what can be seen without. */
static struct kvm_answer *look_at_device(const char *system)
{
	_cleanup_free_ char *path = xasprintf("%s/dev/kvm", system);

	if (access(path, F_OK) < 0)
		return kvm_answer_new(PROBE_MISSING, "there is no /dev/kvm");
	if (access(path, R_OK | W_OK) < 0)
		return kvm_answer_new(PROBE_REFUSED, "not permitted to use /dev/kvm");
	return kvm_answer_new(PROBE_FAILED, "supermachine-vmm, which probes it, was not found");
}

static void decide(struct check *check)
{
	struct check_report *report = check->report;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *reason = NULL;

	report->usable = accel_decide(check->wish, check->source, check->kvm, &report->accel,
				      &reason, &error) == 0;
	for (size_t i = 0; i < report->n_lines; i++)
		report->usable = report->usable && report->lines[i].level != LEVEL_FAIL;
}

void check_run(const struct check_host *host, struct check_report *ret_report)
{
	static void (*const checks[])(struct check * check) = {
		check_configuration, check_kvm,		check_kvm_kind,	   check_qemu,
		check_kernel,	     check_programs,	check_permissions, check_jail,
		check_root,	     check_directories, check_cgroup,	   check_network,
		check_pool,
	};
	struct check check = { .host = host, .report = ret_report, .source = "the default" };

	*ret_report = (struct check_report){ .lines = NULL };
	if (settings_load(&check.settings, &check.settings_error) < 0)
		check.settings = xcalloc(1, sizeof(*check.settings));
	if (kvm_answer_ask(host->vmm, &check.kvm, NULL) < 0)
		check.kvm = look_at_device(host->system);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i](&check);
	decide(&check);
	kvm_answer_free(check.kvm);
	settings_free(check.settings);
	error_free(check.settings_error);
}
