/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup on the host: see vmm-cgroup.h. */
#include "sandbox/vmm-cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/io.h"
#include "base/log.h"
#include "host/cgroup-scope.h"
#include "runtime-spec/cgroup-terms.h"

#define SCOPE_PATIENCE_MS 10000
#define SCOPE_PAUSE_MS 2
#define AGAIN_PATIENCE_MS 1000
#define AGAIN_PAUSE_MS 50
#define MEMBERSHIP_MAX 65536
#define PERIOD_DEFAULT_US 100000 /* the kernel's */

/* ---- systemd ---- */

static void __attribute__((noreturn)) hold(int released)
{
	char byte;

	child_reset_signals();
	(void)read_all(released, &byte, 1);
	_exit(0);
}

static int start_holder(struct vmm_cgroup *cgroup, struct error **ret_error)
{
	int reading, writing;

	if (pipe_open(&reading, &writing, ret_error) < 0)
		return -1;
	cgroup->holder = fork();
	if (cgroup->holder == 0) {
		(void)close(writing);
		hold(reading);
	}
	(void)close(reading);
	cgroup->holder_fd = writing;
	return cgroup->holder < 0 ? error_set_errno(ret_error, errno, "cannot start a process") : 0;
}

/* systemd has answered, and goes on. */
static int await_scope(pid_t pid, const char *name, struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/cgroup", pid);
	_cleanup_free_ char *wanted = xasprintf("/%s\n", name);
	const struct timespec pause = { .tv_nsec = SCOPE_PAUSE_MS * 1000000 };

	for (unsigned ms = 0; ms < SCOPE_PATIENCE_MS; ms += SCOPE_PAUSE_MS) {
		_cleanup_free_ char *text = NULL;

		if (read_file(path, MEMBERSHIP_MAX, &text, NULL, ret_error) < 0)
			return -1;
		if (strstr(text, wanted))
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return error_set(ret_error, ETIMEDOUT, "systemd did not start %s", name);
}

static const char *find_text(const struct cgroup_values *values, const char *file)
{
	for (size_t i = 0; i < values->n_values; i++)
		if (values->values[i].v2 && strcmp(values->values[i].file, file) == 0)
			return values->values[i].text;
	return NULL;
}

/* What systemd sets again when it is reloaded. */
static uint64_t find_value(const struct cgroup_values *values, const char *file)
{
	const char *text = find_text(values, file);

	if (!text)
		return 0;
	return strcmp(text, "max") == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

static bool has_quota(const struct cgroup_values *values)
{
	for (size_t i = 0; i < values->n_values; i++)
		if (strcmp(values->values[i].file, "cpu.max") == 0 ||
		    strcmp(values->values[i].file, "cpu.cfs_period_us") == 0)
			return true;
	return false;
}

/* That of a machine which has just ended may be there for a moment (a guest that boots again). */
static int ask_for_scope(const char *socket, const struct cgroup_scope *scope,
			 struct error **ret_error)
{
	const struct timespec pause = { .tv_nsec = AGAIN_PAUSE_MS * 1000000 };

	for (unsigned ms = 0;; ms += AGAIN_PAUSE_MS) {
		_cleanup_error_ struct error *error = NULL;

		if (cgroup_scope_start(socket, scope, &error) == 0)
			return 0;
		if (error->code != EEXIST || ms >= AGAIN_PATIENCE_MS) {
			if (ret_error)
				*ret_error = TAKE_PTR(error);
			return -1;
		}
		(void)nanosleep(&pause, NULL);
	}
}

static int start_scope(struct vmm_cgroup *cgroup, struct error **ret_error)
{
	const struct plan_cgroup *plan = cgroup->plan;
	_cleanup_free_ char *socket = cgroup_scope_socket(), *slice = NULL, *name = NULL;
	struct cgroup_scope scope = { .memory_max = find_value(&plan->at_making, "memory.max"),
				      .tasks_max = find_value(&plan->at_making, "pids.max"),
				      .cpu_weight = plan->weight };

	if (!socket)
		return error_set(ret_error, ENOENT, "XDG_RUNTIME_DIR is not set: no systemd");
	if (start_holder(cgroup, ret_error) < 0)
		return -1;
	cgroup_terms_unit(plan->path, &slice, &name);
	scope.slice = slice;
	scope.name = name;
	scope.pid = cgroup->holder;
	return ask_for_scope(socket, &scope, ret_error) < 0
		   ? -1
		   : await_scope(cgroup->holder, name, ret_error);
}

/* ---- the cgroup ---- */

static int find(struct vmm_cgroup *cgroup, struct error **ret_error)
{
	const struct cgroup_request request = { .path = cgroup->plan->path,
						.id = cgroup->plan->id,
						.mountinfo = "/proc/self/mountinfo",
						.membership = "/proc/self/cgroup",
						.holder = cgroup->holder };

	return cgroup_place_find(&request, &cgroup->place, ret_error);
}

static int make(struct vmm_cgroup *cgroup, const char *directory, struct error **ret_error)
{
	const struct plan_cgroup *plan = cgroup->plan;
	_cleanup_free_ char *note = xasprintf("%s/" CGROUP_NOTE, directory);
	_cleanup_free_ char *reason = NULL;

	if (plan->disabled) {
		cgroup->place = xcalloc(1, sizeof(*cgroup->place));
		return 0;
	}
	if ((plan->systemd && start_scope(cgroup, ret_error) < 0) || find(cgroup, ret_error) < 0 ||
	    cgroup_place_make(cgroup->place, note, &reason, ret_error) < 0 ||
	    cgroup_place_set(cgroup->place, &plan->at_making, ret_error) < 0)
		return -1;
	/* As runc for an ordinary user. */
	if (cgroup->place->n_directories == 0)
		log_debug("the sandbox has no cgroup of its own: %s",
			  reason ? reason : "none is mounted");
	else if (reason)
		log_debug("%s", reason);
	return 0;
}

int vmm_cgroup_make(const struct plan_cgroup *plan, const char *directory,
		    struct vmm_cgroup *ret_cgroup, struct error **ret_error)
{
	struct vmm_cgroup cgroup = VMM_CGROUP_NONE;

	cgroup.plan = plan;
	if (make(&cgroup, directory, ret_error) < 0) {
		vmm_cgroup_done(&cgroup);
		return -1;
	}
	*ret_cgroup = cgroup;
	return 0;
}

static void end_holder(struct vmm_cgroup *cgroup)
{
	close_fdp(&cgroup->holder_fd);
	cgroup->holder_fd = -1;
	while (cgroup->holder > 0 && waitpid(cgroup->holder, NULL, 0) < 0 && errno == EINTR)
		;
	cgroup->holder = 0;
}

void vmm_cgroup_release(struct vmm_cgroup *cgroup)
{
	end_holder(cgroup);
	cgroup->used = true;
}

void vmm_cgroup_done(struct vmm_cgroup *cgroup)
{
	end_holder(cgroup);
	if (cgroup->place && !cgroup->used)
		cgroup_place_unmake(cgroup->place);
	cgroup_place_free(cgroup->place);
	cgroup->place = NULL;
}

void vmm_cgroup_remove(const char *directory)
{
	_cleanup_free_ char *note = xasprintf("%s/" CGROUP_NOTE, directory);
	_cleanup_error_ struct error *error = NULL;

	/* What stays is in use by others. */
	if (cgroup_place_remove(note, &error) < 0)
		log_warning("%s", error->message);
}

/* ---- limits of one that is there ---- */

/* As the kernel has it by now (an update may name quota or period alone), else as it is given. */
static void read_quota(const struct cgroup_place *place, const struct cgroup_values *values,
		       struct cgroup_scope *scope)
{
	_cleanup_free_ char *both = cgroup_place_read(place, true, "cpu", "cpu.max");
	_cleanup_free_ char *quota = cgroup_place_read(place, false, "cpu", "cpu.cfs_quota_us");
	_cleanup_free_ char *period = cgroup_place_read(place, false, "cpu", "cpu.cfs_period_us");
	const char *given = find_text(values, "cpu.max");
	long long us = -1;

	scope->period_us = PERIOD_DEFAULT_US;
	if (quota && period) {
		(void)sscanf(quota, "%lld", &us);
		(void)sscanf(period, "%" SCNu64, &scope->period_us);
	} else if (both || given) {
		/* (No limit is "max", not a number.) */
		if (sscanf(both ? both : given, "%lld %" SCNu64, &us, &scope->period_us) == 0)
			(void)sscanf(both ? both : given, "max %" SCNu64, &scope->period_us);
	}
	scope->cpu_us_per_s = us < 0 || scope->period_us == 0
				  ? UINT64_MAX
				  : (uint64_t)us * 1000000 / scope->period_us;
}

/* systemd writes its own again when it is reloaded. */
static int tell_systemd(const struct vmm_cgroup *cgroup, const struct cgroup_values *values,
			struct error **ret_error)
{
	const struct plan_cgroup *plan = cgroup->plan;
	_cleanup_free_ char *socket = cgroup_scope_socket(), *slice = NULL, *name = NULL;
	struct cgroup_scope scope = { .memory_max = find_value(values, "memory.max"),
				      .tasks_max = find_value(values, "pids.max"),
				      .cpu_weight = find_value(values, "cpu.weight") };

	cgroup_terms_unit(plan->path, &slice, &name);
	scope.name = name;
	if (has_quota(values))
		read_quota(cgroup->place, values, &scope);
	if (scope.memory_max == 0 && scope.tasks_max == 0 && scope.cpu_weight == 0 &&
	    scope.cpu_us_per_s == 0)
		return 0;
	if (!socket)
		return error_set(ret_error, ENOENT, "XDG_RUNTIME_DIR is not set: no systemd");
	return cgroup_scope_set(socket, &scope, ret_error);
}

static int set_values(const struct vmm_cgroup *cgroup, const struct cgroup_values *values,
		      struct error **ret_error)
{
	if (cgroup_place_set(cgroup->place, values, ret_error) < 0)
		return -1;
	if (!cgroup->plan->systemd)
		return 0;
	/* With a property it writes its own of the same controller, too. */
	if (tell_systemd(cgroup, values, ret_error) < 0)
		return -1;
	return cgroup_place_set(cgroup->place, values, ret_error);
}

int vmm_cgroup_limit(const struct vmm_cgroup *cgroup, struct error **ret_error)
{
	return set_values(cgroup, &cgroup->plan->when_up, ret_error);
}

int vmm_cgroup_update(const struct vmm_cgroup *cgroup, const struct spec_resources *resources,
		      struct error **ret_error)
{
	_cleanup_cgroup_values_ struct cgroup_values values = { 0 };

	if (cgroup_values_read(resources, &cgroup->plan->room, CGROUP_AT_UPDATE, &values,
			       ret_error) < 0)
		return -1;
	return set_values(cgroup, &values, ret_error);
}
