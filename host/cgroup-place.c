/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's cgroup: see cgroup-place.h.
 *
 * The hierarchies are those of mountinfo: v1's, each with the controllers of its mount
 * options, or else v2's.  Beside v1's, a v2 without controllers (systemd's "hybrid") is left
 * alone, as by runc.
 */
#include "host/cgroup-place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "host/cgroup-check.h"
#include "host/cgroup-values.h"
#include "host/mounts.h"
#include "runtime-spec/cgroup-terms.h"

#define PROC_FILE_MAX (4u << 20)
#define CGROUP_FILE_MAX 65536

/* ---- which hierarchies there are ---- */

struct mounted {
	char *root, *point, *options;
	bool v2;
};

static void mounted_done(struct mounted *mounted)
{
	free(mounted->root);
	free(mounted->point);
	free(mounted->options);
}

/* A line of mountinfo (proc(5)); false: of another file system.  mounted_done(). */
static bool read_mounted(char *line, struct mounted *ret_mounted)
{
	const char *fields[6] = { 0 }, *type, *options;
	char *rest = line, *tail = strstr(line, " - ");

	if (!tail)
		return false;
	*tail = '\0';
	tail += strlen(" - ");
	for (size_t i = 0; i < ARRAY_SIZE(fields) && rest; i++)
		fields[i] = strsep(&rest, " ");
	type = strsep(&tail, " ");
	(void)strsep(&tail, " ");
	options = tail ? tail : "";
	/* (The note could not name a mount point with a newline.) */
	if (!fields[4] || strncmp(type, "cgroup", 6) != 0 || strstr(fields[4], "\\012"))
		return false;
	*ret_mounted = (struct mounted){ .root = xstrdup(fields[3]),
					 .point = xstrdup(fields[4]),
					 .options = xstrdup(options),
					 .v2 = strcmp(type, "cgroup2") == 0 };
	mounts_unescape(ret_mounted->root);
	mounts_unescape(ret_mounted->point);
	return true;
}

/* Of a v1 mount's options, its controllers: those that membership lists by the same name. */
static bool has_word(const char *list, const char *word, size_t length)
{
	for (const char *at = list; *at; at += strcspn(at, ",\n"), at += *at == ',') {
		if (*at == '\n')
			return false;
		if (strcspn(at, ",\n") == length && strncmp(at, word, length) == 0)
			return true;
	}
	return false;
}

/* "ID:CONTROLLERS:PATH" (cgroups(7)), v2's controllers are none: the line's controllers and path,
 * of the hierarchy with these mount options.  False: there is none. */
static bool find_membership(const char *text, const struct mounted *mounted, char **ret_controllers,
			    char **ret_path)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *controllers = strchr(line, ':');
		const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		size_t length;
		bool same;

		if (!path || path > line + strcspn(line, "\n"))
			continue;
		controllers++;
		length = (size_t)(path - controllers);
		/* (The first controller is enough: a hierarchy has all of them or none.) */
		same = mounted->v2 ? length == 0
				   : length > 0 && has_word(mounted->options, controllers,
							    strcspn(controllers, ",:"));
		if (!same)
			continue;
		*ret_controllers = xstrndup(controllers, length);
		*ret_path = xstrndup(path + 1, strcspn(path + 1, "\n"));
		return true;
	}
	return false;
}

/* ---- where in them ---- */

/* The caller's own, below the mount point, which shows the hierarchy from root on. */
static char *own_directory(const struct mounted *mounted, const char *own)
{
	const size_t length = strcmp(mounted->root, "/") == 0 ? 0 : strlen(mounted->root);

	/* ("/.." is outside of the cgroup namespace.) */
	if (strncmp(own, mounted->root, length) != 0 || strncmp(own, "/..", 3) == 0 ||
	    (own[length] != '/' && own[length] != '\0'))
		return xstrdup(mounted->point);
	return xasprintf("%s%s", mounted->point,
			 strcmp(own + length, "/") == 0 ? "" : own + length);
}

/* runc's rules: v1, below the caller's; v2, beside the caller's, which has processes and so can
 * have no limited cgroups below. */
static char *relative_directory(const struct mounted *mounted, const char *own)
{
	char *directory = own_directory(mounted, own);
	char *slash = strrchr(directory, '/');

	if (mounted->v2 && slash && strlen(directory) > strlen(mounted->point))
		*slash = '\0';
	return directory;
}

static bool is_known(const struct cgroup_place *place, const char *controllers)
{
	for (size_t i = 0; i < place->n_directories; i++)
		if (strcmp(place->directories[i].controllers ? place->directories[i].controllers
							     : "",
			   controllers) == 0)
			return true;
	return false;
}

static void add_directory(struct cgroup_place *place, const struct mounted *mounted,
			  const char *membership, const char *below)
{
	_cleanup_free_ char *controllers = NULL, *own = NULL, *parent = NULL;
	struct cgroup_directory *directory;

	if (!find_membership(membership, mounted, &controllers, &own) ||
	    is_known(place, controllers))
		return;
	parent = below[0] == '/' ? xstrdup(mounted->point) : relative_directory(mounted, own);
	place->directories = xreallocarray(place->directories, place->n_directories + 1,
					   sizeof(place->directories[0]));
	directory = &place->directories[place->n_directories++];
	*directory = (struct cgroup_directory){
		.path = xasprintf("%s/%s", parent, below + strspn(below, "/")),
		.controllers = mounted->v2 ? NULL : TAKE_PTR(controllers),
		.mount = xstrdup(mounted->point),
	};
	directory->existing = strlen(directory->path);
}

static bool has_v1(const char *mountinfo)
{
	return strstr(mountinfo, " - cgroup ") != NULL;
}

static struct cgroup_place *place_below(const char *mountinfo, const char *membership,
					const char *below)
{
	struct cgroup_place *place = xcalloc(1, sizeof(*place));
	_cleanup_free_ char *text = xstrdup(mountinfo);
	const bool v1 = has_v1(mountinfo);
	char *rest, *line;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		struct mounted mounted;

		if (!read_mounted(line, &mounted))
			continue;
		if (mounted.v2 != v1)
			add_directory(place, &mounted, membership, below);
		mounted_done(&mounted);
	}
	return place;
}

static bool is_there(const struct cgroup_place *place)
{
	for (size_t i = 0; i < place->n_directories; i++)
		if (access(place->directories[i].path, F_OK) == 0)
			return true;
	return false;
}

int cgroup_place_find(const struct cgroup_request *request, struct cgroup_place **ret_place,
		      struct error **ret_error)
{
	_cleanup_free_ char *mountinfo = NULL, *membership = NULL, *below = NULL, *other = NULL;
	struct cgroup_place *place;

	if (cgroup_terms_path(request->path ? request->path : request->id, &below, ret_error) < 0)
		return -1;
	if (read_file(request->mountinfo, PROC_FILE_MAX, &mountinfo, NULL, NULL) < 0 ||
	    read_file(request->membership, PROC_FILE_MAX, &membership, NULL, NULL) < 0) {
		*ret_place = xcalloc(1, sizeof(**ret_place));
		return 0;
	}
	place = place_below(mountinfo, membership, below);
	/* Ids are unique below one --root alone. */
	if (!request->path && is_there(place)) {
		cgroup_place_free(place);
		other = xasprintf("%s-%d", request->id, getpid());
		place = place_below(mountinfo, membership, other);
	}
	place->holder = request->holder;
	*ret_place = place;
	return 0;
}

static void directory_done(struct cgroup_directory *directory)
{
	free(directory->path);
	free(directory->controllers);
	free(directory->mount);
}

void cgroup_place_free(struct cgroup_place *place)
{
	if (!place)
		return;
	for (size_t i = 0; i < place->n_directories; i++)
		directory_done(&place->directories[i]);
	free(place->directories);
	free(place);
}

/* ---- making ---- */

/* With processes of its own, and not the root, which may have some. */
static bool is_populated(const char *directory)
{
	_cleanup_free_ char *type = xasprintf("%s/cgroup.type", directory);
	_cleanup_free_ char *path = xasprintf("%s/cgroup.procs", directory);
	_cleanup_free_ char *processes = NULL;
	size_t size = 0;

	return access(type, F_OK) == 0 &&
	       (read_file(path, PROC_FILE_MAX, &processes, &size, NULL) < 0 || size > 0);
}

/* A parent's controllers are those that it hands down (cgroup-v2.rst, "Enabling and Disabling");
 * one that cannot be had must not cost the others.  One with processes can hand down some, but its
 * children then take no process ("domain invalid"). */
static void hand_down_controllers(const char *directory)
{
	_cleanup_free_ char *list_path = xasprintf("%s/cgroup.controllers", directory);
	_cleanup_free_ char *control_path = xasprintf("%s/cgroup.subtree_control", directory);
	_cleanup_free_ char *list = NULL, *given = NULL;
	char *rest, *name;

	if (is_populated(directory))
		return;
	if (read_file(list_path, CGROUP_FILE_MAX, &list, NULL, NULL) < 0 ||
	    read_file(control_path, CGROUP_FILE_MAX, &given, NULL, NULL) < 0 ||
	    strcmp(list, given) == 0)
		return;
	for (name = strtok_r(list, " \n", &rest); name; name = strtok_r(NULL, " \n", &rest)) {
		_cleanup_free_ char *enable = xasprintf("+%s", name);

		(void)write_file(control_path, enable, NULL);
	}
}

/* v1: a new cgroup has no CPUs and no memory nodes, and takes no process before it has. */
static void copy_cpuset(const char *parent, const char *directory)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *from = xasprintf("%s/%s", parent, files[i]);
		_cleanup_free_ char *to = xasprintf("%s/%s", directory, files[i]);
		_cleanup_free_ char *now = NULL, *value = NULL;

		if (read_file(to, CGROUP_FILE_MAX, &now, NULL, NULL) == 0 &&
		    now[strspn(now, " \n")] == '\0' &&
		    read_file(from, CGROUP_FILE_MAX, &value, NULL, NULL) == 0)
			(void)write_file(to, value, NULL);
	}
}

static bool is_cpuset(const struct cgroup_directory *directory)
{
	return directory->controllers &&
	       has_word(directory->controllers, "cpuset", strlen("cpuset"));
}

static void unmake_directory(const struct cgroup_directory *directory)
{
	_cleanup_free_ char *path = xstrdup(directory->path);
	const int code = errno;

	while (strlen(path) > directory->existing && (rmdir(path) == 0 || errno == ENOENT))
		*strrchr(path, '/') = '\0';
	errno = code;
}

void cgroup_place_unmake(struct cgroup_place *place)
{
	for (size_t i = 0; i < place->n_directories; i++)
		unmake_directory(&place->directories[i]);
}

/* With its missing parents, which stay once it is in use, as runc's do.  -1 with errno. */
static int make_directory(struct cgroup_directory *directory)
{
	_cleanup_free_ char *path = xstrdup(directory->path);
	_cleanup_free_ char *parent = xstrdup(directory->mount);
	char *at = path + strlen(directory->mount);

	while (at) {
		at = strchr(at + 1, '/');
		if (at)
			*at = '\0';
		if (!directory->controllers)
			hand_down_controllers(parent);
		if (mkdir(path, 0755) == 0) {
			directory->existing = MIN(directory->existing, strlen(parent));
		} else if (errno != EEXIST) {
			unmake_directory(directory);
			return -1;
		}
		if (is_cpuset(directory))
			copy_cpuset(parent, path);
		free(parent);
		parent = xstrdup(path);
		if (at)
			*at = '/';
	}
	return 0;
}

static int write_note(const struct cgroup_place *place, const char *note, struct error **ret_error)
{
	_cleanup_free_ char *text = xstrdup("");

	for (size_t i = 0; i < place->n_directories; i++) {
		const struct cgroup_directory *directory = &place->directories[i];
		char *longer = xasprintf("%s%s %s\n", text, directory->made ? "made" : "joined",
					 directory->path);

		free(text);
		text = longer;
	}
	return write_file_atomic(note, text, strlen(text), 0600, ret_error);
}

static bool is_noted(const char *note, const char *kind, const char *path)
{
	_cleanup_free_ char *line = xasprintf("%s %s\n", kind, path);
	const char *at = strstr(note, line);

	return at && (at == note || at[-1] == '\n');
}

/* What is there and has others' processes would limit them, and the limits would stay. */
static int look_for_others(struct cgroup_place *place, const char *note, struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;

	if (read_regular_file(note, PROC_FILE_MAX, &text, NULL, NULL) < 0)
		text = xstrdup("");
	for (size_t i = 0; i < place->n_directories; i++) {
		struct cgroup_directory *directory = &place->directories[i];
		const bool noted = is_noted(text, "made", directory->path);

		directory->made = noted || access(directory->path, F_OK) < 0;
		/* (A machine that starts again is there already.) */
		if (!directory->made && !is_noted(text, "joined", directory->path) &&
		    cgroup_check_empty(directory->path, place->holder, ret_error) < 0)
			return -1;
	}
	return 0;
}

/* As for a user who may not, or whose cgroups are somebody else's (EOPNOTSUPP: v2, threaded). */
static bool is_bearable(int code)
{
	return code == EROFS || code == EACCES || code == EPERM || code == ENOENT ||
	       code == EOPNOTSUPP;
}

/* Leaves those out that cannot be had. */
static int make_all(struct cgroup_place *place, char **ret_reason, struct error **ret_error)
{
	size_t n = 0;
	int code = 0;

	for (size_t i = 0; i < place->n_directories; i++) {
		struct cgroup_directory *directory = &place->directories[i];

		if (make_directory(directory) == 0) {
			place->directories[n++] = *directory;
			continue;
		}
		if (!is_bearable(errno))
			code = errno;
		free(*ret_reason);
		*ret_reason =
		    xasprintf("cannot make the cgroup %s: %s", directory->path, strerror(errno));
		directory_done(directory);
	}
	place->n_directories = n;
	return code ? error_set(ret_error, code, "%s", *ret_reason) : 0;
}

/* Those that were made are frozen if what is above is. */
static int look_for_frozen(const struct cgroup_place *place, struct error **ret_error)
{
	for (size_t i = 0; i < place->n_directories; i++)
		if (cgroup_check_thawed(place->directories[i].path, ret_error) < 0)
			return -1;
	return 0;
}

int cgroup_place_make(struct cgroup_place *place, const char *note, char **ret_reason,
		      struct error **ret_error)
{
	_cleanup_free_ char *reason = NULL;

	if (look_for_others(place, note, ret_error) < 0 || write_note(place, note, ret_error) < 0)
		return -1;
	if (make_all(place, &reason, ret_error) < 0 || look_for_frozen(place, ret_error) < 0) {
		cgroup_place_unmake(place);
		return -1;
	}
	*ret_reason = TAKE_PTR(reason);
	return 0;
}

/* ---- its processes and limits ---- */

int cgroup_place_enter(const struct cgroup_place *place, struct error **ret_error)
{
	return cgroup_place_move(place, 0, ret_error);
}

int cgroup_place_move(const struct cgroup_place *place, pid_t pid, struct error **ret_error)
{
	_cleanup_free_ char *text = xasprintf("%d", (int)pid);

	for (size_t i = 0; i < place->n_directories; i++) {
		_cleanup_free_ char *path =
		    xasprintf("%s/cgroup.procs", place->directories[i].path);
		_cleanup_error_ struct error *error = NULL;

		if (write_file(path, text, &error) < 0 && !is_bearable(error->code))
			return error_set(ret_error, error->code, "cannot enter the cgroup: %s",
					 error->message);
	}
	return 0;
}

pid_t cgroup_place_fork(const struct cgroup_place *place, bool *ret_entered)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	_cleanup_close_ int fd = -1;
	pid_t pid = -1;

	if (place->n_directories == 1 && !place->directories[0].controllers)
		fd = open(place->directories[0].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	args.cgroup = (uint64_t)fd;
	if (fd >= 0)
		pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	*ret_entered = pid >= 0;
	/* Why not, the child finds out (cgroup_place_enter()). */
	return pid >= 0 ? pid : fork();
}

static bool is_of(const struct cgroup_directory *directory, const struct cgroup_value *value)
{
	if (value->v2 || !directory->controllers)
		return value->v2 && !directory->controllers;
	return has_word(directory->controllers, value->controller, strlen(value->controller));
}

static int set_value(const struct cgroup_directory *directory, const struct cgroup_value *value,
		     struct error **ret_error)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory->path, value->file);
	_cleanup_error_ struct error *error = NULL;

	/* A controller that could not be had here, or none that this kernel has. */
	if (access(path, F_OK) < 0 && errno == ENOENT) {
		log_debug("the cgroup has no %s", path);
		return 0;
	}
	if (write_file(path, value->text, &error) == 0)
		return 0;
	if (!value->optional && !is_bearable(error->code))
		return error_set(ret_error, error->code, "cannot set %s to %s: %s", value->file,
				 value->text, error->message);
	log_debug("%s", error->message);
	return 0;
}

int cgroup_place_set(const struct cgroup_place *place, const struct cgroup_values *values,
		     struct error **ret_error)
{
	for (size_t i = 0; i < values->n_values; i++)
		for (size_t j = 0; j < place->n_directories; j++)
			if (is_of(&place->directories[j], &values->values[i]) &&
			    set_value(&place->directories[j], &values->values[i], ret_error) < 0)
				return -1;
	return 0;
}

char *cgroup_place_read(const struct cgroup_place *place, bool v2, const char *controller,
			const char *file)
{
	const struct cgroup_value value = { .controller = controller, .v2 = v2 };
	char *text = NULL;

	for (size_t i = 0; i < place->n_directories && !text; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", place->directories[i].path, file);

		if (is_of(&place->directories[i], &value) &&
		    read_file(path, PROC_FILE_MAX, &text, NULL, NULL) < 0)
			text = NULL;
	}
	return text;
}

void cgroup_place_thaw(const struct cgroup_place *place)
{
	for (size_t i = 0; i < place->n_directories; i++) {
		const struct cgroup_directory *directory = &place->directories[i];
		const char *order = directory->controllers ? "THAWED" : "0";
		_cleanup_free_ char *path =
		    xasprintf("%s/%s", directory->path,
			      directory->controllers ? "freezer.state" : "cgroup.freeze");
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd >= 0)
			(void)!write(fd, order, strlen(order));
	}
}

bool cgroup_place_has_cpuset(const struct cgroup_place *place)
{
	for (size_t i = 0; i < place->n_directories; i++) {
		_cleanup_free_ char *path = xasprintf("%s/cpuset.cpus", place->directories[i].path);

		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}
