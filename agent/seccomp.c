/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp through libseccomp (config-linux.md "Seccomp"), with runc's
 * reading of it: names this build does not know are passed over, rules that say
 * what the default says are left out, and several conditions on one argument
 * are alternatives.
 */
#include "agent/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/privileges.h"
#include "agent/seccomp-newer.h"
#include "base/alloc.h"
#include "base/io.h"

#ifdef HAVE_SECCOMP
#include <seccomp.h>

static const struct {
	const char *name;
	uint32_t action;
} actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
};

static const struct {
	const char *name;
	enum scmp_compare op;
} operators[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static void release(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

static int find_action(const char *name, bool has_errno, uint32_t errno_ret, uint32_t *ret_action,
		       struct error **ret_error)
{
	uint32_t value = has_errno ? errno_ret & 0xffff : EPERM;

	if (strcmp(name, "SCMP_ACT_NOTIFY") == 0)
		return error_set(ret_error, EINVAL,
				 "seccomp: SCMP_ACT_NOTIFY is not supported in a microVM");
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name) != 0)
			continue;
		*ret_action = actions[i].action;
		if (*ret_action == SCMP_ACT_ERRNO(0) || *ret_action == SCMP_ACT_TRACE(0))
			*ret_action |= value;
		return 0;
	}
	return error_set(ret_error, EINVAL, "seccomp: unknown action %s", name);
}

static int find_operator(const char *name, enum scmp_compare *ret_op, struct error **ret_error)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		if (strcmp(operators[i].name, name) == 0) {
			*ret_op = operators[i].op;
			return 0;
		}
	}
	return error_set(ret_error, EINVAL, "seccomp: unknown operator %s", name);
}

static int convert_arg(const struct spec_seccomp_arg *arg, struct scmp_arg_cmp *ret_cmp,
		       struct error **ret_error)
{
	enum scmp_compare op = SCMP_CMP_EQ;

	if (arg->index > 5)
		return error_set(ret_error, EINVAL, "seccomp: argument index %u is above 5",
				 arg->index);
	if (find_operator(arg->op, &op, ret_error) < 0)
		return -1;
	*ret_cmp = (struct scmp_arg_cmp){
		.arg = arg->index,
		.op = op,
		.datum_a = arg->value,
		.datum_b = arg->value_two,
	};
	return 0;
}

static bool repeats_an_argument(const struct spec_seccomp_rule *rule)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < rule->n_args; i++) {
		if (seen & (1u << (rule->args[i].index & 31)))
			return true;
		seen |= 1u << (rule->args[i].index & 31);
	}
	return false;
}

static int rule_error(const char *name, int result, struct error **ret_error)
{
	return error_set_errno(ret_error, -result, "error adding seccomp rule for syscall %s",
			       name);
}

static int add_syscall(scmp_filter_ctx filter, const struct spec_seccomp_rule *rule,
		       const char *name, uint32_t action, struct error **ret_error)
{
	struct scmp_arg_cmp compare[6];
	int number = seccomp_syscall_resolve_name(name);
	int result = 0;

	if (number == __NR_SCMP_ERROR)
		return 0;
	if (rule->n_args > 6 && !repeats_an_argument(rule))
		return error_set(ret_error, EINVAL, "seccomp: a rule with %zu conditions",
				 rule->n_args);
	if (repeats_an_argument(rule)) {
		for (size_t i = 0; i < rule->n_args && result == 0; i++) {
			if (convert_arg(&rule->args[i], &compare[0], ret_error) < 0)
				return -1;
			result = seccomp_rule_add_array(filter, action, number, 1, compare);
		}
		return result < 0 ? rule_error(name, result, ret_error) : 0;
	}
	for (size_t i = 0; i < rule->n_args; i++)
		if (convert_arg(&rule->args[i], &compare[i], ret_error) < 0)
			return -1;
	result =
	    seccomp_rule_add_array(filter, action, number, (unsigned int)rule->n_args, compare);
	return result < 0 ? rule_error(name, result, ret_error) : 0;
}

static int add_architectures(scmp_filter_ctx filter, char *const *names, struct error **ret_error)
{
	for (size_t i = 0; names && names[i]; i++) {
		char name[32];
		uint32_t arch;
		int result;
		size_t length;

		/* libseccomp's own names are the spec's, short and in lower case. */
		if (strncmp(names[i], "SCMP_ARCH_", 10) != 0 ||
		    (length = strlen(names[i] + 10)) >= sizeof(name))
			return error_set(ret_error, EINVAL, "seccomp: unknown architecture %s",
					 names[i]);
		for (size_t j = 0; j <= length; j++) {
			char c = names[i][10 + j];

			name[j] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
		}
		arch = seccomp_arch_resolve_name(name);
		if (arch == 0)
			return error_set(ret_error, EINVAL, "seccomp: unknown architecture %s",
					 names[i]);
		result = seccomp_arch_add(filter, arch);
		if (result < 0 && result != -EEXIST)
			return error_set_errno(ret_error, -result,
					       "error adding architecture %s to seccomp filter",
					       names[i]);
	}
	return 0;
}

static int find_flags(char *const *names, unsigned int *ret_flags, struct error **ret_error)
{
	unsigned int flags = 0;

	for (size_t i = 0; names && names[i]; i++) {
		if (strcmp(names[i], "SECCOMP_FILTER_FLAG_LOG") == 0)
			flags |= SECCOMP_FILTER_FLAG_LOG;
		else if (strcmp(names[i], "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
			flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
		else if (strcmp(names[i], "SECCOMP_FILTER_FLAG_TSYNC") != 0 &&
			 strcmp(names[i], "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") != 0)
			/* TSYNC: the process has one thread; WAIT_KILLABLE_RECV: seccomp(2)
			 * takes it with a listener alone, and there is none */
			return error_set(ret_error, EINVAL, "seccomp: flag %s is not supported",
					 names[i]);
	}
	*ret_flags = flags;
	return 0;
}

static int build(const struct spec_seccomp *seccomp, scmp_filter_ctx *ret_filter,
		 struct error **ret_error)
{
	_cleanup_(release) scmp_filter_ctx filter = NULL;
	uint32_t default_action;

	if (find_action(seccomp->default_action, seccomp->has_default_errno_ret,
			seccomp->default_errno_ret, &default_action, ret_error) < 0)
		return -1;
	filter = seccomp_init(default_action);
	if (!filter)
		return error_set(ret_error, EINVAL, "error creating the seccomp filter");
	if (add_architectures(filter, seccomp->architectures, ret_error) < 0)
		return -1;
	for (size_t i = 0; i < seccomp->n_rules; i++) {
		const struct spec_seccomp_rule *rule = &seccomp->rules[i];
		uint32_t action;

		if (find_action(rule->action, rule->has_errno_ret, rule->errno_ret, &action,
				ret_error) < 0)
			return -1;
		if (action == default_action)
			continue;
		for (size_t j = 0; rule->names && rule->names[j]; j++)
			if (add_syscall(filter, rule, rule->names[j], action, ret_error) < 0)
				return -1;
	}
	*ret_filter = TAKE_PTR(filter);
	return 0;
}

/* Appends libseccomp's program, which it writes to a file only. */
static int export_program(scmp_filter_ctx context, struct seccomp_filter *filter,
			  struct error **ret_error)
{
	const size_t size_max = (BPF_MAXINSNS - filter->n) * sizeof(*filter->program);
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int result = fd < 0 ? -errno : seccomp_export_bpf(context, fd);
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	if (result == 0 && lseek(fd, 0, SEEK_SET) < 0)
		result = -errno;
	if (result < 0)
		return error_set_errno(ret_error, -result, "error compiling the seccomp filter");
	if (read_file_fd(fd, "the seccomp filter", size_max, &bytes, &size, ret_error) < 0)
		return -1;
	filter->program = xreallocarray(
	    filter->program, filter->n + size / sizeof(*filter->program), sizeof(*filter->program));
	memcpy(filter->program + filter->n, bytes, size);
	filter->n += size / sizeof(*filter->program);
	return 0;
}

int seccomp_compile(const struct spec_seccomp *seccomp, struct seccomp_filter **ret_filter,
		    struct error **ret_error)
{
	_cleanup_(seccomp_filter_freep) struct seccomp_filter *filter = xcalloc(1, sizeof(*filter));
	_cleanup_(release) scmp_filter_ctx context = NULL;

	filter->program = xcalloc(SECCOMP_NEWER_MAX, sizeof(*filter->program));
	filter->n = seccomp_newer_program(seccomp, filter->program);
	if (find_flags(seccomp->flags, &filter->flags, ret_error) < 0 ||
	    build(seccomp, &context, ret_error) < 0 ||
	    export_program(context, filter, ret_error) < 0)
		return -1;
	*ret_filter = TAKE_PTR(filter);
	return 0;
}

#else

int seccomp_compile(const struct spec_seccomp *seccomp, struct seccomp_filter **ret_filter,
		    struct error **ret_error)
{
	(void)seccomp;
	(void)ret_filter;
	return error_set(ret_error, EINVAL,
			 "seccomp: config provided but seccomp not supported by this build");
}
#endif

void seccomp_filter_free(struct seccomp_filter *filter)
{
	if (!filter)
		return;
	free(filter->program);
	free(filter);
}

int seccomp_install(const struct seccomp_filter *filter, struct error **ret_error)
{
	struct sock_fprog program = { .len = (unsigned short)filter->n, .filter = filter->program };

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 &&
	    capability_raise(CAP_SYS_ADMIN, ret_error) < 0)
		return -1;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program) < 0)
		return error_set_errno(ret_error, errno,
				       "error loading seccomp filter into kernel");
	return 0;
}
