/*
 * linux.seccomp through libseccomp (config-linux.md "Seccomp"), with runc's
 * reading of it: names this build does not know are passed over, rules that say
 * what the default says are left out, and several conditions on one argument
 * are alternatives.
 */
#include <errno.h>
#include <string.h>

#include "agent/privileges.h"

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
		return error_set(ret_error, EINVAL, "seccomp: argument index %u", arg->index);
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
		return error_set(ret_error, EINVAL, "seccomp: %zu conditions", rule->n_args);
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

static int set_flags(scmp_filter_ctx filter, char *const *flags, struct error **ret_error)
{
	for (size_t i = 0; flags && flags[i]; i++) {
		int result = 0;

		if (strcmp(flags[i], "SECCOMP_FILTER_FLAG_LOG") == 0)
			result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
		else if (strcmp(flags[i], "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
			result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
		else if (strcmp(flags[i], "SECCOMP_FILTER_FLAG_TSYNC") != 0)
			/* TSYNC: the process has one thread */
			return error_set(ret_error, EINVAL, "seccomp: flag %s is not supported",
					 flags[i]);
		if (result < 0)
			return error_set_errno(ret_error, -result, "seccomp: flag %s", flags[i]);
	}
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
	/* no_new_privs is the spec's decision, not libseccomp's. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	if (add_architectures(filter, seccomp->architectures, ret_error) < 0 ||
	    set_flags(filter, seccomp->flags, ret_error) < 0)
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

int seccomp_install(const struct spec_seccomp *seccomp, struct error **ret_error)
{
	_cleanup_(release) scmp_filter_ctx filter = NULL;
	int result;

	if (build(seccomp, &filter, ret_error) < 0)
		return -1;
	result = seccomp_load(filter);
	if (result < 0)
		return error_set_errno(ret_error, -result,
				       "error loading seccomp filter into kernel");
	return 0;
}

int seccomp_check(const struct spec_seccomp *seccomp, struct error **ret_error)
{
	_cleanup_(release) scmp_filter_ctx filter = NULL;

	return build(seccomp, &filter, ret_error);
}

#else

int seccomp_check(const struct spec_seccomp *seccomp, struct error **ret_error)
{
	(void)seccomp;
	return error_set(ret_error, EINVAL,
			 "seccomp: config provided but seccomp not supported by this build");
}

int seccomp_install(const struct spec_seccomp *seccomp, struct error **ret_error)
{
	return seccomp_check(seccomp, ret_error);
}
#endif
