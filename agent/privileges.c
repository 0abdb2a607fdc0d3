/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities, user and limits of the container's process: see privileges.h. */
#include "agent/privileges.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"

static void free_caps(cap_t *caps)
{
	if (*caps)
		(void)cap_free(*caps);
}

static bool has(uint64_t set, cap_value_t capability)
{
	return (set >> capability) & 1;
}

int capabilities_bound(const struct spec_capabilities *capabilities, struct error **ret_error)
{
	for (cap_value_t c = 0; c < cap_max_bits(); c++)
		if (!has(capabilities->bounding, c) && cap_drop_bound(c) < 0)
			return error_set_errno(ret_error, errno,
					       "unable to apply bounding set: capability %d", c);
	return 0;
}

int user_become(const struct spec_user *user, struct error **ret_error)
{
	_cleanup_free_ gid_t *groups = xcalloc(user->n_additional_gids + 1, sizeof(*groups));

	for (size_t i = 0; i < user->n_additional_gids; i++)
		groups[i] = user->additional_gids[i];
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "unable to set keep caps");
	if (setgroups(user->n_additional_gids, groups) < 0)
		return error_set_errno(ret_error, errno, "setgroups");
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return error_set_errno(ret_error, errno, "setgid");
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return error_set_errno(ret_error, errno, "setuid");
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "unable to clear keep caps");
	return 0;
}

static int fill_set(cap_t caps, cap_flag_t flag, uint64_t set)
{
	for (cap_value_t c = 0; c < cap_max_bits(); c++)
		if (has(set, c) && cap_set_flag(caps, flag, 1, &c, CAP_SET) < 0)
			return -1;
	return 0;
}

int capabilities_set(const struct spec_capabilities *capabilities, uint64_t kept,
		     struct error **ret_error)
{
	_cleanup_(free_caps) cap_t caps = cap_init();

	if (!caps || fill_set(caps, CAP_PERMITTED, capabilities->permitted | kept) < 0 ||
	    fill_set(caps, CAP_EFFECTIVE, capabilities->effective) < 0 ||
	    fill_set(caps, CAP_INHERITABLE, capabilities->inheritable) < 0 ||
	    cap_set_proc(caps) < 0)
		return error_set_errno(ret_error, errno, "unable to apply caps");
	if (cap_reset_ambient() < 0)
		return error_set_errno(ret_error, errno, "unable to reset the ambient caps");
	/* capabilities(7): ambient needs permitted and inheritable; runc, too,
	 * passes over those it cannot raise. */
	for (cap_value_t c = 0; c < cap_max_bits(); c++)
		if (has(capabilities->ambient & capabilities->permitted & capabilities->inheritable,
			c) &&
		    cap_set_ambient(c, CAP_SET) < 0)
			return error_set_errno(ret_error, errno, "unable to raise ambient cap %d",
					       c);
	return 0;
}

int capability_raise(int capability, struct error **ret_error)
{
	_cleanup_(free_caps) cap_t caps = cap_get_proc();

	if (!caps || cap_set_flag(caps, CAP_EFFECTIVE, 1, &capability, CAP_SET) < 0 ||
	    cap_set_proc(caps) < 0)
		return error_set_errno(ret_error, errno, "unable to raise capability %d",
				       capability);
	return 0;
}

int rlimits_set(const struct spec_rlimit *rlimits, size_t n_rlimits, struct error **ret_error)
{
	for (size_t i = 0; i < n_rlimits; i++) {
		struct rlimit limit = { .rlim_cur = rlimits[i].soft, .rlim_max = rlimits[i].hard };

		if (setrlimit((__rlimit_resource_t)rlimits[i].resource, &limit) < 0)
			return error_set_errno(ret_error, errno, "error setting rlimits for %s",
					       rlimits[i].type);
	}
	return 0;
}

int rlimits_raise(const struct spec_rlimit *rlimits, size_t n_rlimits, struct error **ret_error)
{
	for (size_t i = 0; i < n_rlimits; i++) {
		const __rlimit_resource_t resource = (__rlimit_resource_t)rlimits[i].resource;
		struct rlimit limit;

		if (getrlimit(resource, &limit) < 0 || limit.rlim_max >= rlimits[i].hard)
			continue;
		limit.rlim_max = rlimits[i].hard;
		if (setrlimit(resource, &limit) < 0)
			return error_set_errno(ret_error, errno, "error setting rlimits for %s",
					       rlimits[i].type);
	}
	return 0;
}

int no_new_privileges_set(struct error **ret_error)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(ret_error, errno, "cannot set no_new_privs");
	return 0;
}
