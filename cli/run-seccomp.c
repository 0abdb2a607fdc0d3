/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp profile of an image's container: see run-seccomp.h. */
#include "cli/run-seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"

#define PROFILE_MAX (4u << 20)
#define BIT(capability) (UINT64_C(1) << (capability))
#define ARCHITECTURE "SCMP_ARCH_X86_64"
#define GO_ARCHITECTURE "amd64"

/* docs.docker.com/engine/security/seccomp, "Significant syscalls blocked by the default profile",
 * and the capability that allows each there (0: none does). */
static const struct {
	uint64_t allowed_by;
	const char *names[16];
} blocked[] = {
	{ BIT(CAP_SYS_PACCT), { "acct" } },
	{ BIT(CAP_SYS_ADMIN) | BIT(CAP_BPF), { "bpf" } },
	{ BIT(CAP_SYS_ADMIN) | BIT(CAP_PERFMON), { "perf_event_open" } },
	{ BIT(CAP_SYS_ADMIN) | BIT(CAP_SYSLOG), { "syslog" } },
	{ BIT(CAP_SYS_ADMIN),
	  { "fanotify_init", "lookup_dcookie", "mount", "quotactl", "setdomainname", "sethostname",
	    "setns", "umount", "umount2", "unshare" } },
	{ BIT(CAP_SYS_ADMIN),
	  { "fsconfig", "fsmount", "fsopen", "fspick", "mount_setattr", "move_mount", "open_tree",
	    "quotactl_fd" } },
	{ BIT(CAP_SYS_TIME), { "clock_settime", "settimeofday", "stime" } },
	{ BIT(CAP_SYS_MODULE), { "delete_module", "finit_module", "init_module" } },
	{ BIT(CAP_SYS_NICE), { "get_mempolicy", "mbind", "set_mempolicy" } },
	{ BIT(CAP_SYS_RAWIO), { "ioperm", "iopl" } },
	{ BIT(CAP_SYS_PTRACE), { "kcmp", "pidfd_getfd", "process_madvise" } },
	{ BIT(CAP_DAC_READ_SEARCH), { "open_by_handle_at" } },
	{ BIT(CAP_SYS_BOOT), { "reboot" } },
	{ BIT(CAP_SYS_CHROOT), { "chroot" } },
	{ BIT(CAP_SYS_TTY_CONFIG), { "vhangup" } },
	{ 0,
	  { "add_key", "keyctl", "request_key", "kexec_file_load", "kexec_load", "move_pages",
	    "nfsservctl", "pivot_root", "swapoff", "swapon", "sysfs", "_sysctl", "uselib",
	    "userfaultfd", "ustat", "vm86" } },
};

static void begin_rule(struct json_writer *writer, unsigned error)
{
	json_begin_object(writer);
	json_put_string(writer, "action", "SCMP_ACT_ERRNO");
	json_put_uint64(writer, "errnoRet", error);
}

static void put_names(struct json_writer *writer, const char *const *names, size_t n)
{
	json_put_key(writer, "names");
	json_begin_array(writer);
	for (size_t i = 0; i < n && names[i]; i++)
		json_put_string(writer, NULL, names[i]);
	json_end_array(writer);
}

/* If the first argument has these bits so. */
static void put_argument_rule(struct json_writer *writer, const char *name, uint64_t mask,
			      uint64_t value)
{
	begin_rule(writer, EPERM);
	put_names(writer, &name, 1);
	json_put_key(writer, "args");
	json_begin_array(writer);
	json_begin_object(writer);
	json_put_uint64(writer, "index", 0);
	json_put_uint64(writer, "value", mask);
	json_put_uint64(writer, "valueTwo", value);
	json_put_string(writer, "op", "SCMP_CMP_MASKED_EQ");
	json_end_object(writer);
	json_end_array(writer);
	json_end_object(writer);
}

/* New namespaces are for CAP_SYS_ADMIN; and as the kernel's filters do not see clone3's flags,
 * there is no clone3, so that libraries do with clone. */
static void put_clone(struct json_writer *writer)
{
	static const char *const clone3[] = { "clone3" };
	static const uint64_t namespaces = 0x7e020000; /* CLONE_NEW…, without NEWTIME */

	for (uint64_t flag = 1; flag <= namespaces; flag <<= 1)
		if (namespaces & flag)
			put_argument_rule(writer, "clone", flag, flag);
	begin_rule(writer, ENOSYS);
	put_names(writer, clone3, 1);
	json_end_object(writer);
}

char *run_seccomp_usual(uint64_t capabilities)
{
	static char *const architectures[] = { (char *)ARCHITECTURE, (char *)"SCMP_ARCH_X86",
					       (char *)"SCMP_ARCH_X32", NULL };
	struct json_writer *writer = json_writer_new(false);

	json_begin_object(writer);
	json_put_string(writer, "defaultAction", "SCMP_ACT_ALLOW");
	json_put_strv(writer, "architectures", architectures);
	json_put_key(writer, "syscalls");
	json_begin_array(writer);
	for (size_t i = 0; i < ARRAY_SIZE(blocked); i++) {
		if (capabilities & blocked[i].allowed_by)
			continue;
		begin_rule(writer, EPERM);
		put_names(writer, blocked[i].names, ARRAY_SIZE(blocked[i].names));
		json_end_object(writer);
	}
	if (!(capabilities & BIT(CAP_SYS_ADMIN)))
		put_clone(writer);
	/* (The machine's vsock is its agent's.) */
	put_argument_rule(writer, "socket", UINT32_MAX, AF_VSOCK);
	json_end_array(writer);
	json_end_object(writer);
	return json_writer_finish(writer, NULL);
}

/* ---- docker's form ---- */

static bool has_capability(const char *name, uint64_t capabilities)
{
	cap_value_t value;

	return cap_from_name(name, &value) == 0 && value >= 0 && value < 64 &&
	       (capabilities & BIT(value));
}

/* How many of the words of rule.KEY.MEMBER hold; *ret_n: how many there are. */
static int count_words(const struct json_at *rule, const char *key, const char *member,
		       uint64_t capabilities, size_t *ret_held, size_t *ret_n,
		       struct error **ret_error)
{
	const bool are_capabilities = strcmp(member, "caps") == 0;
	_cleanup_strv_ char **words = NULL;
	struct json_at at = { 0 };

	*ret_held = *ret_n = 0;
	if (json_object(rule, key, JSON_OPTIONAL, &at, ret_error) < 0 ||
	    (json_present(&at) && json_get_strv(&at, member, JSON_OPTIONAL, &words, ret_error) < 0))
		return -1;
	for (; words && words[*ret_n]; ++*ret_n)
		*ret_held += are_capabilities ? has_capability(words[*ret_n], capabilities)
					      : strcmp(words[*ret_n], GO_ARCHITECTURE) == 0;
	return 0;
}

/* As docker: all the capabilities and one of the architectures that it includes, and none that it
 * excludes. (minKernel: the guest's is newer.)  1: it applies. */
static int rule_applies(const struct json_at *rule, uint64_t capabilities, struct error **ret_error)
{
	size_t caps, n_caps, arches, n_arches, no_caps, no_arches, n;

	if (count_words(rule, "includes", "caps", capabilities, &caps, &n_caps, ret_error) < 0 ||
	    count_words(rule, "includes", "arches", capabilities, &arches, &n_arches, ret_error) <
		0 ||
	    count_words(rule, "excludes", "caps", capabilities, &no_caps, &n, ret_error) < 0 ||
	    count_words(rule, "excludes", "arches", capabilities, &no_arches, &n, ret_error) < 0)
		return -1;
	return caps == n_caps && (n_arches == 0 || arches > 0) && no_caps == 0 && no_arches == 0;
}

static int put_rules(struct json_writer *writer, const struct json_at *root, uint64_t capabilities,
		     struct error **ret_error)
{
	struct json_at rules = { 0 };

	if (json_array(root, "syscalls", JSON_OPTIONAL, &rules, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&rules); i++) {
		const struct json_at rule = json_element(&rules, i);
		const int applies = json_as_object(&rule, ret_error) < 0
					? -1
					: rule_applies(&rule, capabilities, ret_error);

		if (applies < 0)
			return -1;
		if (applies)
			json_put_value(writer, NULL, rule.value);
	}
	return 0;
}

static int put_architectures(struct json_writer *writer, const struct json_at *root,
			     struct error **ret_error)
{
	struct json_at map = { 0 };

	if (json_array(root, "archMap", JSON_OPTIONAL, &map, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < json_length(&map); i++) {
		const struct json_at entry = json_element(&map, i);
		_cleanup_free_ char *name = NULL;
		_cleanup_strv_ char **others = NULL;

		if (json_as_object(&entry, ret_error) < 0 ||
		    json_get_string(&entry, "architecture", JSON_REQUIRED, &name, ret_error) < 0)
			return -1;
		if (strcmp(name, ARCHITECTURE) != 0)
			continue;
		if (json_get_strv(&entry, "subArchitectures", JSON_OPTIONAL, &others, ret_error) <
		    0)
			return -1;
		strv_append(&others, ARCHITECTURE);
		json_put_strv(writer, "architectures", others);
	}
	return 0;
}

static int put_profile(struct json_writer *writer, const struct json_at *root,
		       uint64_t capabilities, struct error **ret_error)
{
	static const char *const own[] = { "archMap", "syscalls", "defaultErrno" };

	json_begin_object(writer);
	for (size_t i = 0; i < json_length(root); i++) {
		const struct json_at member = json_member_at(root, i);
		bool is_own = false;

		for (size_t k = 0; k < ARRAY_SIZE(own); k++)
			is_own = is_own || strcmp(member.key, own[k]) == 0;
		if (!is_own)
			json_put_value(writer, member.key, member.value);
	}
	if (put_architectures(writer, root, ret_error) < 0)
		return -1;
	json_put_key(writer, "syscalls");
	json_begin_array(writer);
	if (put_rules(writer, root, capabilities, ret_error) < 0)
		return -1;
	json_end_array(writer);
	json_end_object(writer);
	return 0;
}

int run_seccomp_read(const char *path, uint64_t capabilities, char **ret_json,
		     struct error **ret_error)
{
	struct json_writer *writer = json_writer_new(false);
	_cleanup_json_ yajl_val value = NULL;
	_cleanup_free_ char *text = NULL, *json = NULL;
	struct json_at root;
	size_t size;
	int result = -1;

	if (read_file(path, PROFILE_MAX, &text, &size, ret_error) == 0 &&
	    json_parse(text, size, path, &value, ret_error) == 0) {
		root = json_root(value);
		if (json_as_object(&root, ret_error) == 0)
			result = put_profile(writer, &root, capabilities, ret_error);
	}
	json = json_writer_finish(writer, NULL);
	if (result < 0)
		return error_wrap(ret_error, "opening seccomp profile (%s) failed", path);
	*ret_json = TAKE_PTR(json);
	return 0;
}
