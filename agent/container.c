/* SPDX-License-Identifier: Apache-2.0 */
/* Making, finding and removing containers: see container.h. */
#include "agent/container.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/network.h"
#include "agent/setup.h"
#include "agent/share.h"
#include "base/alloc.h"
#include "base/log.h"

#define ID_MAX 1024
#define POLL_MS 5
#define REMOVAL_POLLS 2000 /* of POLL_MS */
#define FREEZE_POLLS 400

static int check_id(const char *id, struct error **ret_error)
{
	size_t length = strlen(id);

	if (length == 0 || length > ID_MAX || strcmp(id, ".") == 0 || strcmp(id, "..") == 0 ||
	    strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.") !=
		length)
		return error_set(ret_error, EINVAL, "invalid container id format: \"%.64s\"", id);
	return 0;
}

struct agent_container *agent_container_find(const struct agent *agent, const char *id)
{
	for (struct agent_container *c = agent->containers; c; c = c->next)
		if (strcmp(c->id, id) == 0)
			return c;
	return NULL;
}

struct process *agent_container_find_process(const struct agent_container *container,
					     const char *exec_id)
{
	for (struct process *p = container->init; p; p = p->next)
		if (strcmp(p->exec_id, exec_id) == 0)
			return p;
	return NULL;
}

static void agent_container_free(struct agent_container *container)
{
	if (!container)
		return;
	oom_unwatch(container);
	calls_fail(&container->oom_waiters, TTRPC_NOT_FOUND, "the container was deleted");
	source_remove(container->freeze_timer);
	if (container->freeze_call)
		ttrpc_call_fail(container->freeze_call, TTRPC_NOT_FOUND,
				"the container was deleted");
	source_remove(container->removal_timer);
	while (container->init) {
		struct process *process = container->init;

		container->init = process->next;
		process_free(process);
	}
	sockets_free(container->sockets);
	names_free(container->names);
	files_free(container->files);
	seccomp_filter_free(container->filter);
	for (size_t i = 0; i < container->n_annotations; i++) {
		free(container->annotations[i].key);
		free(container->annotations[i].value);
	}
	free(container->annotations);
	cgroup_free(container->cgroup);
	error_free(container->removal_error);
	spec_free(container->spec);
	free(container->cpuset);
	free(container->bundle);
	free(container->id);
	free(container);
}
DEFINE_CLEANUP(struct agent_container, agent_container_free)

static void add_annotation(struct agent_container *container, const char *key, const char *value)
{
	struct spec_key_value *added = &container->annotations[container->n_annotations++];

	added->key = xstrdup(key);
	added->value = xstrdup(value);
}

static void copy_annotations(struct agent_container *container, const Agent__CreateRequest *request)
{
	const struct spec *spec = container->spec;

	container->annotations = xcalloc(request->n_annotations + spec->n_annotations + 1,
					 sizeof(*container->annotations));
	for (size_t i = 0; i < request->n_annotations; i++)
		add_annotation(container, request->annotations[i]->key,
			       request->annotations[i]->value);
	for (size_t i = 0; request->n_annotations == 0 && i < spec->n_annotations; i++)
		add_annotation(container, spec->annotations[i].key, spec->annotations[i].value);
}

int agent_container_limit(struct agent_container *container, const struct spec_resources *resources,
			  struct error **ret_error)
{
	const char *cpuset = cgroup_cpuset(resources);

	if (cgroup_set_limits(container->cgroup, resources, ret_error) < 0)
		return -1;
	if (cpuset) {
		free(container->cpuset);
		container->cpuset = xstrdup(cpuset);
	}
	return 0;
}

static int make_cgroup(struct agent_container *container, struct error **ret_error)
{
	const char *root = container->agent->config.cgroup_root;
	const struct spec_linux *l = &container->spec->linux_;
	_cleanup_free_ char *path = NULL;

	if (cgroup_path(root, l->cgroups_path, container->id, &path, ret_error) < 0 ||
	    cgroup_make(root, path, &container->cgroup, ret_error) < 0)
		return -1;
	return l->has_resources ? agent_container_limit(container, &l->resources, ret_error) : 0;
}

/* Everything up to the first process. */
static int prepare(struct agent *agent, const Agent__CreateRequest *request, uint64_t join_flags,
		   struct agent_container **ret_container, struct error **ret_error)
{
	_cleanup_(agent_container_freep) struct agent_container *container = NULL;

	if (check_id(request->id, ret_error) < 0)
		return -1;
	if (agent_container_find(agent, request->id))
		return error_set(ret_error, EEXIST, "container with given ID already exists: %s",
				 request->id);
	if (agent->n_containers == CONTAINERS_MAX)
		return error_set(ret_error, ENOSPC, "more than %d containers", CONTAINERS_MAX);
	container = xcalloc(1, sizeof(*container));
	container->agent = agent;
	container->oom_fd = -1;
	container->parts = (struct root_parts)ROOT_PARTS_NONE;
	container->id = xstrdup(request->id);
	container->bundle = xstrdup(request->bundle);
	if (spec_parse((const char *)request->config.data, request->config.len, &container->spec,
		       ret_error) < 0 ||
	    files_new(request, container->spec->n_mounts, &container->files, ret_error) < 0 ||
	    setup_check(container->spec, join_flags, ret_error) < 0)
		return -1;
	if (container->spec->linux_.has_seccomp &&
	    seccomp_compile(&container->spec->linux_.seccomp, &container->filter, ret_error) < 0)
		return -1;
	copy_annotations(container, request);
	*ret_container = TAKE_PTR(container);
	return 0;
}

static void adopt(struct agent *agent, struct agent_container *container)
{
	container->next = agent->containers;
	agent->containers = container;
	agent->n_containers++;
}

/* Whose namespaces, and which, are joined: those of one container's init; *ret_own_flags: which
 * are the guest's own. */
static int find_joins(const struct agent *agent, const Agent__CreateRequest *request,
		      struct process_request *ret_request, uint64_t *ret_own_flags,
		      struct error **ret_error)
{
	const struct agent_container *other = NULL;

	*ret_own_flags = 0;
	for (size_t i = 0; i < request->n_joins; i++) {
		const Agent__Join *join = request->joins[i];
		uint64_t flag = setup_join_flag(join->type);

		if (join->id[0] == '\0' && flag == CLONE_NEWPID)
			return error_set(
			    ret_error, ENOTSUP,
			    "the pid namespace of a sandbox without a container of its "
			    "own cannot be joined");
		if (join->id[0] == '\0' && flag) {
			*ret_own_flags |= flag;
			continue;
		}
		if (!flag)
			return error_set(
			    ret_error, EINVAL,
			    "the %.32s namespace of another container cannot be joined",
			    join->type);
		if (other && strcmp(other->id, join->id) != 0)
			return error_set(ret_error, EINVAL,
					 "namespaces of more than one container cannot be joined");
		other = agent_container_find(agent, join->id);
		if (!other || other->init->state < PROCESS_CREATED ||
		    other->init->state == PROCESS_STOPPED)
			return error_set(ret_error, ENOENT,
					 "the container %.64s, whose %s namespace is to be joined, "
					 "does not run",
					 join->id, join->type);
		ret_request->join = other->init;
		ret_request->join_flags |= flag;
	}
	return 0;
}

/* A network namespace with a path stands for the machine's network on the host. That of another
 * container is joined; else the machine has one, for all containers that are in none of their own.
 */
static int find_network(struct agent *agent, const struct spec *spec,
			struct process_request *request, struct error **ret_error)
{
	const struct spec_namespace *network = &spec->linux_.namespaces[SPEC_NS_NETWORK];

	if (!network->present || !network->path || (request->join_flags & CLONE_NEWNET))
		return 0;
	return networks_machine_fd(agent->networks, &request->network_fd, ret_error);
}

int agent_container_create(struct agent *agent, const Agent__CreateRequest *request,
			   struct ttrpc_call *call, struct error **ret_error)
{
	struct process_request process_request = {
		.ports = { request->stdin_port, request->stdout_port, request->stderr_port },
		.descriptors = request->descriptors,
		.n_descriptors = request->n_descriptors,
		.listen_fds = request->listen_fds,
		.width = request->width,
		.height = request->height,
		.network_fd = -1,
	};
	_cleanup_(agent_container_freep) struct agent_container *container = NULL;
	uint64_t own_flags;

	if (find_joins(agent, request, &process_request, &own_flags, ret_error) < 0 ||
	    prepare(agent, request, process_request.join_flags | own_flags, &container, ret_error) <
		0 ||
	    find_network(agent, container->spec, &process_request, ret_error) < 0)
		return -1;
	container->init = process_new(container, "", NULL);
	if (container->files->share_tag &&
	    share_mount(agent, container->files->share_tag, ret_error) < 0)
		return -1;
	if (make_cgroup(container, ret_error) < 0 ||
	    sockets_new(agent, container->id, container->files, &container->sockets, ret_error) <
		0 ||
	    process_start_setup(container->init, &process_request, call, ret_error) < 0) {
		if (container->cgroup)
			(void)cgroup_remove(container->cgroup, NULL);
		return -1;
	}
	oom_watch(container);
	adopt(agent, TAKE_PTR(container));
	return 0;
}

static int check_exec(const struct agent_container *container, const Agent__ExecRequest *request,
		      struct error **ret_error)
{
	if (request->exec_id[0] == '\0' || strlen(request->exec_id) > ID_MAX)
		return error_set(ret_error, EINVAL, "invalid exec id");
	if (agent_container_find_process(container, request->exec_id))
		return error_set(ret_error, EEXIST, "exec \"%s\" exists already", request->exec_id);
	if (container->n_execs == EXECS_MAX)
		return error_set(ret_error, ENOSPC, "more than %d execs", EXECS_MAX);
	if (container->removing || container->init->state == PROCESS_STOPPED ||
	    container->init->state == PROCESS_SETTING_UP)
		return error_set(ret_error, EBUSY, "cannot exec in a stopped container");
	if (agent_container_is_paused(container))
		return error_set(ret_error, EBUSY, "cannot exec in a paused container");
	return 0;
}

int agent_container_exec(struct agent_container *container, const Agent__ExecRequest *request,
			 struct ttrpc_call *call, struct error **ret_error)
{
	struct process_request process_request = {
		.ports = { request->stdin_port, request->stdout_port, request->stderr_port },
		.descriptors = request->descriptors,
		.n_descriptors = request->n_descriptors,
		.width = request->width,
		.height = request->height,
		.network_fd = -1,
	};
	_cleanup_(spec_process_freep) struct spec_process *spec = NULL;
	_cleanup_(process_freep) struct process *process = NULL;

	if (check_exec(container, request, ret_error) < 0 ||
	    spec_parse_process((const char *)request->process.data, request->process.len, &spec,
			       ret_error) < 0 ||
	    setup_check_process(spec, ret_error) < 0)
		return -1;
	/* As containerd's shims: the call says what the streams are. */
	spec->terminal = request->terminal;
	/* As runc: an exec that names no capabilities has the container's. */
	if (!spec->has_capabilities)
		spec->capabilities = container->spec->process.capabilities;
	process = process_new(container, request->exec_id, TAKE_PTR(spec));
	if (process_start_setup(process, &process_request, call, ret_error) < 0)
		return -1;
	process->next = container->init->next;
	container->init->next = TAKE_PTR(process);
	container->n_execs++;
	return 0;
}

void agent_container_remove_exec(struct agent_container *container, struct process *process)
{
	struct process **link = &container->init->next;

	while (*link && *link != process)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = process->next;
	container->n_execs--;
	process_free(process);
}

static bool all_stopped(const struct agent_container *container)
{
	for (struct process *p = container->init; p; p = p->next)
		if (p->pid > 0 && p->state != PROCESS_STOPPED)
			return false;
	return true;
}

static void drop(struct agent_container *container)
{
	struct agent_container **link = &container->agent->containers;

	while (*link && *link != container)
		link = &(*link)->next;
	if (*link) {
		*link = container->next;
		container->agent->n_containers--;
	}
	networks_forget(container->agent->networks, container->id);
	agent_container_free(container);
}

static void finish_removal(struct agent_container *container)
{
	struct ttrpc_call *call = TAKE_PTR(container->removal_call);
	_cleanup_error_ struct error *error = TAKE_PTR(container->removal_error);
	Agent__Empty empty = AGENT__EMPTY__INIT;

	/* What was written to disks is there before Delete answers. */
	if (!error)
		sync();
	if (container->files->root_share)
		share_forget(container->agent, container->files->root_share);
	drop(container);
	if (call && error)
		ttrpc_call_fail_error(call, error);
	else if (call)
		ttrpc_call_reply(call, &empty.base);
}

/* Killed processes take a moment to leave the cgroup. */
static void poll_removal(void *data)
{
	struct agent_container *container = data;
	_cleanup_error_ struct error *error = NULL;

	container->removal_timer = NULL;
	(void)cgroup_kill(container->cgroup, NULL);
	if (all_stopped(container) && cgroup_remove(container->cgroup, &error) == 0) {
		finish_removal(container);
		return;
	}
	if (++container->removal_polls == REMOVAL_POLLS && container->removal_call) {
		/* The host is told; we go on trying. */
		ttrpc_call_fail(TAKE_PTR(container->removal_call), TTRPC_DEADLINE_EXCEEDED,
				"container %s cannot be removed: %s", container->id,
				error ? error->message : "its processes do not end");
	}
	container->removal_timer = loop_add_timer(
	    container->agent->loop, container->removal_polls < REMOVAL_POLLS ? POLL_MS : 1000,
	    "removal", poll_removal, container);
}

void agent_container_remove(struct agent_container *container, struct ttrpc_call *call,
			    struct error *error)
{
	if (container->removing) {
		if (call)
			ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION,
					"container %s is being removed", container->id);
		error_free(error);
		return;
	}
	container->removing = true;
	container->removal_call = call;
	container->removal_error = error;
	oom_unwatch(container);
	(void)cgroup_freeze(container->cgroup, false, NULL);
	poll_removal(container);
}

int agent_container_signal_all(const struct agent_container *container, uint32_t signal,
			       struct error **ret_error)
{
	pid_t pids[4096];
	size_t n;

	if (signal == 0 || signal >= NSIG)
		return error_set(ret_error, EINVAL, "%u is not a signal", signal);
	if (signal == SIGKILL)
		return cgroup_kill(container->cgroup, ret_error);
	n = cgroup_processes(container->cgroup, pids, ARRAY_SIZE(pids));
	for (size_t i = 0; i < n; i++)
		(void)kill(pids[i], (int)signal);
	return 0;
}

bool agent_container_is_paused(const struct agent_container *container)
{
	return cgroup_read_number(container->cgroup, "cgroup.freeze", 0) == 1;
}

static void poll_freeze(void *data)
{
	struct agent_container *container = data;
	Agent__Empty empty = AGENT__EMPTY__INIT;

	container->freeze_timer = NULL;
	if (cgroup_event(container->cgroup, "frozen")) {
		ttrpc_call_reply(TAKE_PTR(container->freeze_call), &empty.base);
		return;
	}
	if (++container->freeze_polls == FREEZE_POLLS) {
		(void)cgroup_freeze(container->cgroup, false, NULL);
		ttrpc_call_fail(TAKE_PTR(container->freeze_call), TTRPC_DEADLINE_EXCEEDED,
				"unable to freeze the container");
		return;
	}
	container->freeze_timer =
	    loop_add_timer(container->agent->loop, POLL_MS, "freeze", poll_freeze, container);
}

void agent_container_pause(struct agent_container *container, struct ttrpc_call *call)
{
	_cleanup_error_ struct error *error = NULL;

	if (container->freeze_call) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "the container is being paused");
		return;
	}
	if (cgroup_freeze(container->cgroup, true, &error) < 0) {
		ttrpc_call_fail_error(call, error);
		return;
	}
	container->freeze_call = call;
	container->freeze_polls = 0;
	poll_freeze(container);
}

void agent_container_setup_failed(struct process *process)
{
	struct ttrpc_call *call = TAKE_PTR(process->call);
	struct agent_container *container = process->container;

	if (!process->error)
		(void)error_set(&process->error, EIO,
				"the process ended during its setup (exit code %u)", process->code);
	if (process_is_init(process)) {
		agent_container_remove(container, call, TAKE_PTR(process->error));
		return;
	}
	if (call)
		ttrpc_call_fail_error(call, process->error);
	agent_container_remove_exec(container, process);
}
