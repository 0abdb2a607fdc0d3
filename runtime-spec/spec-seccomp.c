/* SPDX-License-Identifier: Apache-2.0 */
/* config.json's `linux.seccomp`: runtime-spec config-linux.md "Seccomp". */
#include <stdlib.h>

#include "base/alloc.h"
#include "runtime-spec/spec-internal.h"
#include "runtime-spec/spec-words.h"

const char *const spec_seccomp_actions[] = { "SCMP_ACT_ALLOW",	     "SCMP_ACT_ERRNO",
					     "SCMP_ACT_KILL",	     "SCMP_ACT_KILL_PROCESS",
					     "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
					     SPEC_SECCOMP_NOTIFY,    "SCMP_ACT_TRACE",
					     "SCMP_ACT_TRAP",	     NULL };

const char *const spec_seccomp_operators[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
					       "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
					       "SCMP_CMP_NE", NULL };

const char *const spec_seccomp_flags[] = { "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
					   "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
					   "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL };

const char *const spec_seccomp_architectures[] = {
	"SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",	    "SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",	   "SCMP_ARCH_MIPS64",	    "SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
	"SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",	    "SCMP_ARCH_S390X",
	"SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",	    "SCMP_ARCH_LOONGARCH64",
	"SCMP_ARCH_M68K",    "SCMP_ARCH_SH",	   "SCMP_ARCH_SHEB",	    NULL
};

static int read_arg(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_seccomp_arg *arg = element;
	uint64_t index = 0;

	/* A system call has six arguments. */
	if (json_get_uint64(at, "index", JSON_REQUIRED, 5, &index, ret_error) < 0 ||
	    json_get_uint64(at, "value", JSON_REQUIRED, UINT64_MAX, &arg->value, ret_error) < 0 ||
	    json_get_uint64(at, "valueTwo", JSON_OPTIONAL, UINT64_MAX, &arg->value_two, ret_error) <
		0)
		return -1;
	arg->index = (uint32_t)index;
	return spec_get_word(at, "op", JSON_REQUIRED, spec_seccomp_operators, "seccomp operator",
			     &arg->op, ret_error);
}

static int read_rule(const struct json_at *at, void *element, struct error **ret_error)
{
	struct spec_seccomp_rule *rule = element;
	const struct json_at names = { .parent = at, .key = "names" };

	if (json_get_strv(at, "names", JSON_REQUIRED, &rule->names, ret_error) < 0)
		return -1;
	if (strv_length(rule->names) == 0)
		return json_error(&names, ret_error, "must not be empty");
	if (spec_get_word(at, "action", JSON_REQUIRED, spec_seccomp_actions, "seccomp action",
			  &rule->action, ret_error) < 0 ||
	    spec_get_uint32_flag(at, "errnoRet", &rule->has_errno_ret, &rule->errno_ret,
				 ret_error) < 0)
		return -1;
	return spec_get_list(at, "args", JSON_OPTIONAL, sizeof(struct spec_seccomp_arg), read_arg,
			     &rule->args, &rule->n_args, ret_error);
}

int spec_read_seccomp(const struct json_at *at, struct spec_seccomp *ret_seccomp,
		      struct error **ret_error)
{
	if (spec_get_word(at, "defaultAction", JSON_REQUIRED, spec_seccomp_actions,
			  "seccomp action", &ret_seccomp->default_action, ret_error) < 0 ||
	    spec_get_uint32_flag(at, "defaultErrnoRet", &ret_seccomp->has_default_errno_ret,
				 &ret_seccomp->default_errno_ret, ret_error) < 0 ||
	    spec_get_words(at, "architectures", spec_seccomp_architectures, "seccomp architecture",
			   &ret_seccomp->architectures, ret_error) < 0 ||
	    spec_get_words(at, "flags", spec_seccomp_flags, "seccomp flag", &ret_seccomp->flags,
			   ret_error) < 0 ||
	    spec_get_text(at, "listenerPath", JSON_OPTIONAL, &ret_seccomp->listener_path,
			  ret_error) < 0 ||
	    spec_get_text(at, "listenerMetadata", JSON_OPTIONAL, &ret_seccomp->listener_metadata,
			  ret_error) < 0)
		return -1;
	return spec_get_list(at, "syscalls", JSON_OPTIONAL, sizeof(struct spec_seccomp_rule),
			     read_rule, &ret_seccomp->rules, &ret_seccomp->n_rules, ret_error);
}

static void rule_done(struct spec_seccomp_rule *rule)
{
	strv_free(rule->names);
	free(rule->action);
	for (size_t i = 0; i < rule->n_args; i++)
		free(rule->args[i].op);
	free(rule->args);
}

void spec_seccomp_done(struct spec_seccomp *seccomp)
{
	free(seccomp->default_action);
	strv_free(seccomp->architectures);
	strv_free(seccomp->flags);
	free(seccomp->listener_path);
	free(seccomp->listener_metadata);
	for (size_t i = 0; i < seccomp->n_rules; i++)
		rule_done(&seccomp->rules[i]);
	free(seccomp->rules);
}
