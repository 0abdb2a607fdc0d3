/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup on the host, in trees that only look like cgroups: where it is with v1, v2
 * and both, what is made, written and removed, and what not. */
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "host/cgroup-place.h"
#include "host/cgroup-values.h"
#include "tests/unit/test.h"

static char root[] = "/tmp/test-cgroup-place.XXXXXX";

int __wrap_fstatfs(int fd, struct statfs *ret_fs);

/* Cgroups are "cg" in the tree and what is below. */
int __wrap_fstatfs(int fd, struct statfs *ret_fs)
{
	_cleanup_free_ char *link = xasprintf("/proc/self/fd/%d", fd);
	_cleanup_free_ char *hierarchies = xasprintf("%s/cg", root);
	char path[PATH_MAX] = "";

	CHECK(readlink(link, path, sizeof(path) - 1) > 0);
	*ret_fs = (struct statfs){ .f_type = strncmp(path, hierarchies, strlen(hierarchies)) == 0
						 ? CGROUP_SUPER_MAGIC
						 : TMPFS_MAGIC };
	return 0;
}

static char *at(const char *name)
{
	return xasprintf("%s/%s", root, name);
}

static void write_at(const char *name, const char *text)
{
	_cleanup_free_ char *path = at(name);
	struct error *error = NULL;

	CHECK_OK(write_file_atomic(path, text, strlen(text), 0600, &error), &error);
}

static void make_at(const char *name)
{
	_cleanup_free_ char *path = at(name);
	struct error *error = NULL;

	CHECK_OK(make_directories(path, 0755, &error), &error);
}

static bool is_at(const char *name)
{
	_cleanup_free_ char *path = at(name);

	return access(path, F_OK) == 0;
}

static void check_file(const char *name, const char *wanted)
{
	_cleanup_free_ char *path = at(name), *text = NULL;
	struct error *error = NULL;

	CHECK_OK(read_file(path, 4096, &text, NULL, &error), &error);
	CHECK_STRING(text, wanted);
}

/* How a machine's mounts and the caller's membership look; @ is the tree. */
struct layout {
	const char *mountinfo, *membership;
};

static const struct layout v2 = {
	"30 23 0:26 / @/cg rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
	"0::/user.slice/session-1.scope\n",
};
static const struct layout v1 = {
	"31 30 0:27 / @/cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
	"32 30 0:28 / @/cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
	"33 30 0:29 / @/cg/memory rw - cgroup cgroup rw,memory\n"
	"34 30 0:30 / @/cg/cpuset rw - cgroup cgroup rw,cpuset,clone_children\n"
	"35 30 0:29 / @/again rw - cgroup cgroup rw,memory\n",
	"4:cpuset:/\n3:memory:/caller\n2:cpu,cpuacct:/caller/deep\n1:name=systemd:/init.scope\n",
};
static const struct layout frozen_v1 = {
	"33 30 0:29 / @/cg/memory rw - cgroup cgroup rw,memory\n"
	"34 30 0:30 / @/cg/freezer rw - cgroup cgroup rw,freezer\n",
	"2:freezer:/\n1:memory:/\n",
};
static const struct layout hybrid = {
	"31 30 0:27 / @/cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
	"33 30 0:29 / @/cg/memory rw - cgroup cgroup rw,memory\n"
	"36 30 0:31 / @/cg/unified rw - cgroup2 cgroup2 rw\n",
	"3:memory:/\n1:name=systemd:/\n0::/\n",
};
/* Docker's, on v1, and with a cgroup namespace on v2. */
static const struct layout inner_v1 = {
	"33 30 0:29 /docker/abc @/cg/memory rw - cgroup cgroup rw,memory\n",
	"3:memory:/docker/abc/x\n",
};
static const struct layout outside = {
	"30 23 0:26 /../.. @/cg rw - cgroup2 cgroup2 rw\n",
	"0::/../other\n",
};
static const struct layout blank = {
	"33 30 0:29 / @/c\\040g rw - cgroup cgroup rw,memory\n",
	"3:memory:/\n",
};
static const struct layout none = { "22 1 0:20 / / rw - ext4 /dev/vda rw\n", "0::/\n" };

static char *fill_in(const char *text)
{
	char *filled = xstrdup("");

	for (; *text; text++) {
		char *longer = *text == '@' ? xasprintf("%s%s", filled, root)
					    : xasprintf("%s%c", filled, *text);

		free(filled);
		filled = longer;
	}
	return filled;
}

static struct cgroup_place *find(const struct layout *layout, const char *path)
{
	_cleanup_free_ char *mountinfo = fill_in(layout->mountinfo);
	_cleanup_free_ char *mountinfo_path = at("mountinfo"), *membership_path = at("membership");
	const struct cgroup_request request = {
		.path = path, .id = "id", .mountinfo = mountinfo_path, .membership = membership_path
	};
	struct cgroup_place *place = NULL;
	struct error *error = NULL;

	write_at("mountinfo", mountinfo);
	write_at("membership", layout->membership);
	CHECK_OK(cgroup_place_find(&request, &place, &error), &error);
	return place;
}

/* wanted: the directories, separated by blanks. */
static void check_place(const struct layout *layout, const char *path, const char *wanted)
{
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = find(layout, path);
	_cleanup_free_ char *filled = fill_in(wanted), *got = xstrdup("");

	for (size_t i = 0; i < place->n_directories; i++) {
		char *longer = xasprintf("%s%s%s", got, i ? " " : "", place->directories[i].path);

		free(got);
		got = longer;
	}
	CHECK_STRING(got, filled);
}

static void begin(void)
{
	(void)strcpy(root + strlen(root) - 6, "XXXXXX");
	CHECK(mkdtemp(root));
	make_at("cg/memory");
	make_at("cg/systemd");
	make_at("cg/cpu,cpuacct");
	make_at("cg/cpuset");
}

static void end(void)
{
	struct error *error = NULL;

	CHECK_OK(remove_tree(root, &error), &error);
}

static void test_paths(void)
{
	struct cgroup_place *place = NULL;
	struct error *error = NULL;
	struct cgroup_request bad = { .path = "/a/../../b", .id = "id" };
	/* A line of the note would follow. */
	struct cgroup_request lines = { .path = "/x\nmade /some/directory", .id = "id" };

	begin();
	check_place(&v2, "/kubepods/pod1/id", "@/cg/kubepods/pod1/id");
	check_place(&v2, "below", "@/cg/user.slice/below");
	check_place(&v2, NULL, "@/cg/user.slice/id");
	check_place(&v2, "kube-pod.slice:cri:1", "@/cg/kube.slice/kube-pod.slice/cri-1.scope");
	check_place(&v2, "-.slice:cri:1", "@/cg/cri-1.scope");
	check_place(&v2, "/a/.//b/.", "@/cg/a/b");
	check_place(&v1, "/docker/id",
		    "@/cg/systemd/docker/id @/cg/cpu,cpuacct/docker/id @/cg/memory/docker/id "
		    "@/cg/cpuset/docker/id");
	check_place(&v1, NULL,
		    "@/cg/systemd/init.scope/id @/cg/cpu,cpuacct/caller/deep/id "
		    "@/cg/memory/caller/id @/cg/cpuset/id");
	check_place(&hybrid, "/x", "@/cg/systemd/x @/cg/memory/x");
	check_place(&inner_v1, "/x", "@/cg/memory/x");
	check_place(&inner_v1, "x", "@/cg/memory/x/x");
	check_place(&outside, "x", "@/cg/x");
	check_place(&blank, "/x", "@/c g/x");
	check_place(&none, "/x", "");
	CHECK_ERROR(cgroup_place_find(&bad, &place, &error), &error, "must not contain ..");
	CHECK_ERROR(cgroup_place_find(&lines, &place, &error), &error, "control character");
	end();
}

static void make(const struct layout *layout, const char *path, struct cgroup_place **ret_place)
{
	_cleanup_free_ char *note = at("note"), *reason = NULL;
	struct error *error = NULL;

	*ret_place = find(layout, path);
	CHECK_OK(cgroup_place_make(*ret_place, note, &reason, &error), &error);
}

static void remove_it(void)
{
	_cleanup_free_ char *note = at("note");
	struct error *error = NULL;

	CHECK_OK(cgroup_place_remove(note, &error), &error);
	CHECK(!is_at("note"));
}

/* Ours goes, with what is below; what was there and parents stay. */
static void test_made_and_removed(void)
{
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = NULL, *again = NULL;

	begin();
	make_at("cg/memory/docker/id");
	make(&v1, "/docker/id", &place);
	CHECK_INT(place->n_directories, 4);
	CHECK(is_at("cg/cpu,cpuacct/docker/id") && is_at("cg/systemd/docker/id"));
	/* The machine is started once more. */
	make(&v1, "/docker/id", &again);
	make_at("cg/systemd/docker/id/a/b");
	remove_it();
	CHECK(!is_at("cg/cpu,cpuacct/docker/id") && !is_at("cg/systemd/docker/id"));
	CHECK(is_at("cg/memory/docker/id") && is_at("cg/systemd/docker"));
	remove_it();
	end();
}

/* One line, of a path in the tree; what it names is still there or not. */
static void check_note(const char *line, const char *name, bool is_removed)
{
	_cleanup_free_ char *filled = fill_in(line), *note = at("note");
	struct error *error = NULL;

	make_at(name);
	write_at("note", filled);
	if (is_removed)
		CHECK_OK(cgroup_place_remove(note, &error), &error);
	else
		CHECK_ERROR(cgroup_place_remove(note, &error), &error, "cannot remove the cgroup");
	CHECK(is_at(name) != is_removed);
}

/* A note that a user has written, for root to believe. */
static void test_note_lies(void)
{
	_cleanup_free_ char *link = NULL, *note = NULL, *target = NULL;
	struct error *error = NULL;

	begin();
	check_note("made @/cg/memory/a\n", "cg/memory/a/b", true);
	check_note("made @/other\n", "other/a/b", false);
	check_note("made @/cg/memory/../../other\n", "other/a/b", false);
	check_note("made @/cg/memory/.\n", "cg/memory/a", false);
	check_note("made @/cg/memory/a/..\n", "cg/memory/a", false);
	check_note("made @/cg/memory//a\n", "cg/memory/a", false);
	/* The hierarchy itself: what it is mounted on is not a cgroup. */
	check_note("made @/cg\n", "cg/memory/a", false);
	check_note("made \n", "cg/memory/a", false);
	check_note("made relative/a\n", "cg/memory/a", false);
	/* Links, on the way and at its end. */
	link = at("cg/memory/link");
	target = at("other");
	CHECK(symlink(target, link) == 0);
	check_note("made @/cg/memory/link\n", "other/a/b", false);
	check_note("made @/cg/memory/link/a\n", "other/a/b", false);
	/* No file, and none that it waits for. */
	note = at("note");
	CHECK(unlink(note) == 0 && mkfifo(note, 0600) == 0);
	CHECK_OK(cgroup_place_remove(note, &error), &error);
	end();
}

/* A name by the id is nobody else's; one that was asked for is as it is. */
static void test_taken(void)
{
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = NULL;
	_cleanup_free_ char *other = xasprintf("cg/memory/x/id-%d", getpid());

	begin();
	make_at("cg/memory/x/id");
	make(&inner_v1, NULL, &place);
	CHECK(is_at(other));
	remove_it();
	CHECK(is_at("cg/memory/x/id") && !is_at(other));
	end();
}

static void check_refused(const struct layout *layout, const char *path, const char *message)
{
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = find(layout, path);
	_cleanup_free_ char *note = at("note"), *reason = NULL;
	struct error *error = NULL;

	CHECK_ERROR(cgroup_place_make(place, note, &reason, &error), &error, message);
}

/* Others' processes are not limited, in it or below; those of a machine before it are ours. */
static void test_others(void)
{
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = NULL;
	_cleanup_free_ char *note = NULL, *line = NULL, *reason = NULL;
	struct error *error = NULL;

	begin();
	note = at("note");
	make_at("cg/memory/id/below");
	write_at("cg/memory/id/cgroup.procs", "");
	write_at("cg/memory/id/below/cgroup.procs", "12\n13\n");
	check_refused(&v1, "/id", "container's cgroup is not empty: 2 process(es) found in");
	CHECK(!is_at("cg/cpuset/id") && !is_at("note"));
	write_at("cg/memory/id/below/cgroup.procs", "13\n");
	place = find(&v1, "/id");
	place->holder = 13;
	CHECK_OK(cgroup_place_make(place, note, &reason, &error), &error);
	cgroup_place_unmake(place);
	CHECK(!is_at("cg/cpuset/id") && is_at("cg/memory/id"));
	line = fill_in("joined @/cg/memory/id\n");
	write_at("note", line);
	place->holder = 0;
	CHECK_OK(cgroup_place_make(place, note, &reason, &error), &error);
	end();
}

/* Who enters a frozen cgroup is stopped. */
static void test_frozen(void)
{
	begin();
	make_at("cg/freezer/a/id");
	write_at("cg/freezer/a/id/freezer.state", "FROZEN\n");
	check_refused(&frozen_v1, "/a/id", "container's cgroup unexpectedly frozen");
	CHECK(!is_at("cg/memory/a"));
	write_at("cg/freezer/a/id/freezer.state", "FREEZING\n");
	check_refused(&frozen_v1, "/a/id", "container's cgroup unexpectedly frozen");
	make_at("cg/id");
	write_at("cg/id/cgroup.events", "populated 0\nfrozen 1\n");
	check_refused(&v2, "/id", "container's cgroup unexpectedly frozen");
	write_at("cg/id/cgroup.events", "populated 0\nfrozen 0\n");
	write_at("cg/id/cgroup.freeze", "1\n");
	check_refused(&v2, "/id", "container's cgroup unexpectedly frozen");
	end();
}

/* The third of four cannot be made: neither those before it nor their parents stay. */
static void test_half_way(void)
{
	begin();
	make_at("cg/systemd/deep");
	write_at("cg/memory/deep", "");
	check_refused(&v1, "/deep/er/id", "cannot make the cgroup");
	CHECK(is_at("cg/systemd/deep") && !is_at("cg/systemd/deep/er"));
	CHECK(!is_at("cg/cpu,cpuacct/deep") && !is_at("cg/cpuset/deep"));
	end();
}

static void test_not_writable(void)
{
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = NULL;
	_cleanup_free_ char *note = NULL, *reason = NULL, *gone = NULL;
	struct error *error = NULL;

	begin();
	place = find(&v1, "/docker/id");
	note = at("note");
	/* Nothing is mounted there after all. */
	gone = at("cg/memory");
	CHECK(rmdir(gone) == 0);
	CHECK_OK(cgroup_place_make(place, note, &reason, &error), &error);
	CHECK_INT(place->n_directories, 3);
	CHECK(reason && strstr(reason, "cg/memory/docker"));
	remove_it();
	end();
}

/* v1: CPUs from above; v2: controllers from above. */
static void test_on_the_way(void)
{
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = NULL, *other = NULL;

	begin();
	write_at("cg/cpuset/cpuset.cpus", "0-1\n");
	write_at("cg/cpuset/cpuset.mems", "0\n");
	make_at("cg/cpuset/a");
	write_at("cg/cpuset/a/cpuset.cpus", "\n");
	write_at("cg/cpuset/a/cpuset.mems", "\n");
	make(&v1, "/a/b", &place);
	check_file("cg/cpuset/a/cpuset.cpus", "0-1\n");
	check_file("cg/cpuset/a/cpuset.mems", "0\n");
	remove_it();
	write_at("cg/cgroup.controllers", "cpu memory\n");
	write_at("cg/cgroup.subtree_control", "cpu\n");
	make(&v2, "/new", &other);
	/* (A regular file keeps what was written last.) */
	check_file("cg/cgroup.subtree_control", "+memory");
	remove_it();
	end();
}

static void read_values(const char *json, enum cgroup_phase phase, bool pod,
			struct cgroup_values *ret_values)
{
	const struct cgroup_room room = { .memory = 1000, .pod = pod };
	struct spec_resources *resources = NULL;
	struct error *error = NULL;

	CHECK_OK(spec_parse_resources(json, strlen(json), &resources, &error), &error);
	CHECK_OK(cgroup_values_read(resources, &room, phase, ret_values, &error), &error);
	spec_resources_free(resources);
}

/* wanted: "FILE=TEXT" of one version, each with a blank behind it. */
static void check_values(const char *json, enum cgroup_phase phase, bool pod, bool is_v2,
			 const char *wanted)
{
	_cleanup_cgroup_values_ struct cgroup_values values = { 0 };
	_cleanup_free_ char *got = xstrdup("");

	read_values(json, phase, pod, &values);
	for (size_t i = 0; i < values.n_values; i++) {
		const struct cgroup_value *value = &values.values[i];
		char *longer;

		if (value->v2 != is_v2)
			continue;
		longer = xasprintf("%s%s=%s ", got, value->file, value->text);
		free(got);
		got = longer;
	}
	CHECK_STRING(got, wanted);
}

static void test_values(void)
{
	static const char all[] =
	    "{\"memory\":{\"limit\":600,\"swap\":700,\"reservation\":5},\"cpu\":{\"shares\":1024,"
	    "\"quota\":5000,\"period\":10000,\"burst\":7,\"cpus\":\"0-1\",\"mems\":\"0\"},"
	    "\"pids\":{\"limit\":4000},\"blockIO\":{\"weight\":500,\"throttleReadBpsDevice\":"
	    "[{\"major\":8,\"minor\":0,\"rate\":9}]}}";

	check_values(all, CGROUP_AT_MAKING, false, true,
		     "pids.max=4000 memory.max=1000 memory.swap.max=100 memory.low=5 "
		     "cpuset.cpus=0-1 cpuset.mems=0 cpu.weight=100 io.bfq.weight=500 "
		     "io.weight=4950 io.max=8:0 rbps=9 ");
	check_values(all, CGROUP_WHEN_UP, false, true, "cpu.max=5000 10000 cpu.max.burst=7 ");
	check_values(all, CGROUP_AT_MAKING, false, false,
		     "pids.max=4000 memory.limit_in_bytes=1000 "
		     "memory.memsw.limit_in_bytes=1100 memory.limit_in_bytes=1000 "
		     "memory.soft_limit_in_bytes=5 cpuset.cpus=0-1 cpuset.mems=0 cpu.shares=1024 "
		     "blkio.weight=500 blkio.bfq.weight=500 "
		     "blkio.throttle.read_bps_device=8:0 9 ");
	check_values(all, CGROUP_WHEN_UP, false, false,
		     "cpu.cfs_period_us=10000 cpu.cfs_quota_us=5000 cpu.cfs_period_us=10000 "
		     "cpu.cfs_burst_us=7 ");
	check_values(
	    "{\"blockIO\":{\"weight\":333,\"weightDevice\":[{\"major\":7,\"minor\":1,\"weight\":"
	    "444},{\"major\":7,\"minor\":2,\"leafWeight\":10}]}}",
	    CGROUP_AT_UPDATE, false, false,
	    "blkio.weight=333 blkio.bfq.weight=333 blkio.weight_device=7:1 444 "
	    "blkio.bfq.weight_device=7:1 444 ");
	check_values("{\"blockIO\":{\"weightDevice\":[{\"major\":7,\"minor\":1,\"weight\":444}]}}",
		     CGROUP_AT_UPDATE, false, true, "io.bfq.weight=7:1 444 ");
	check_values("{\"cpu\":{\"period\":10000}}", CGROUP_AT_UPDATE, false, false,
		     "cpu.cfs_period_us=10000 ");
	check_values("{\"cpu\":{\"realtimePeriod\":9,\"realtimeRuntime\":5}}", CGROUP_AT_UPDATE,
		     false, false, "cpu.rt_period_us=9 cpu.rt_runtime_us=5 cpu.rt_period_us=9 ");
	check_values("{\"cpu\":{\"realtimePeriod\":9,\"realtimeRuntime\":5}}", CGROUP_AT_UPDATE,
		     false, true, "");
	/* None given, the least, none any more, and what only an update changes. */
	check_values("{}", CGROUP_AT_MAKING, false, true, "pids.max=1024 ");
	check_values("{\"pids\":{\"limit\":20}}", CGROUP_AT_MAKING, false, true, "pids.max=1024 ");
	check_values("{}", CGROUP_AT_UPDATE, false, true, "");
	check_values("{\"memory\":{\"limit\":-1,\"swap\":-1},\"cpu\":{\"quota\":-1}}",
		     CGROUP_AT_UPDATE, false, true,
		     "memory.max=max memory.swap.max=max cpu.max=max ");
	check_values("{\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":-1}}", CGROUP_AT_UPDATE, false,
		     false,
		     "memory.limit_in_bytes=-1 memory.memsw.limit_in_bytes=-1 "
		     "memory.limit_in_bytes=-1 cpu.cfs_quota_us=-1 ");
	/* A pause container's weight. */
	check_values("{\"cpu\":{\"shares\":2}}", CGROUP_AT_MAKING, true, true, "pids.max=1024 ");
}

static void test_written(void)
{
	_cleanup_cgroup_values_ struct cgroup_values values = { 0 };
	_cleanup_(cgroup_place_freep) struct cgroup_place *place = NULL;
	struct error *error = NULL;

	begin();
	make_at("cg/memory/id");
	write_at("cg/memory/id/memory.limit_in_bytes", "");
	write_at("cg/memory/id/memory.max", "");
	read_values("{\"memory\":{\"limit\":600,\"swap\":700}}", CGROUP_AT_MAKING, false, &values);
	make(&v1, "/id", &place);
	CHECK_OK(cgroup_place_set(place, &values, &error), &error);
	check_file("cg/memory/id/memory.limit_in_bytes", "1000");
	check_file("cg/memory/id/memory.max", "");
	CHECK(!is_at("cg/memory/id/pids.max"));
	remove_it();
	end();
}

static const struct test_case cases[] = {
	{ "paths", test_paths },	   { "made and removed", test_made_and_removed },
	{ "taken", test_taken },	   { "not writable", test_not_writable },
	{ "on the way", test_on_the_way }, { "values", test_values },
	{ "written", test_written },	   { "note lies", test_note_lies },
	{ "others", test_others },	   { "frozen", test_frozen },
	{ "half way", test_half_way },
};
TEST_MAIN(cases)
