/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup on the host: see vmm-cgroup.h. */
#include "sandbox/vmm-cgroup.h"

#include "base/alloc.h"
#include "base/log.h"

int vmm_cgroup_make(const struct plan_cgroup *plan, const char *directory,
		    struct cgroup_place **ret_place, struct error **ret_error)
{
	const struct cgroup_request request = { .path = plan->path,
						.id = plan->id,
						.mountinfo = "/proc/self/mountinfo",
						.membership = "/proc/self/cgroup" };
	_cleanup_free_ char *note = xasprintf("%s/" CGROUP_NOTE, directory);
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = NULL;
	_cleanup_free_ char *reason = NULL;

	if (plan->disabled) {
		*ret_place = xcalloc(1, sizeof(**ret_place));
		return 0;
	}
	if (cgroup_place_find(&request, &place, ret_error) < 0 ||
	    cgroup_place_make(place, note, &reason, ret_error) < 0 ||
	    cgroup_place_set(place, &plan->at_making, ret_error) < 0)
		return -1;
	/* As runc for an ordinary user. */
	if (place->n_directories == 0)
		log_debug("the sandbox has no cgroup of its own: %s",
			  reason ? reason : "none is mounted");
	else if (reason)
		log_debug("%s", reason);
	*ret_place = TAKE_PTR(place);
	return 0;
}

void vmm_cgroup_remove(const char *directory)
{
	_cleanup_free_ char *note = xasprintf("%s/" CGROUP_NOTE, directory);
	_cleanup_error_ struct error *error = NULL;

	/* What stays is in use by others. */
	if (cgroup_place_remove(note, &error) < 0)
		log_warning("%s", error->message);
}

int vmm_cgroup_update(const struct plan_cgroup *plan, const struct cgroup_place *place,
		      const struct spec_resources *resources, struct error **ret_error)
{
	_cleanup_cgroup_values_ struct cgroup_values values = { 0 };

	if (cgroup_values_read(resources, &plan->room, CGROUP_AT_UPDATE, &values, ret_error) < 0)
		return -1;
	return cgroup_place_set(place, &values, ret_error);
}
