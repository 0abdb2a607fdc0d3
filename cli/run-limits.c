/* SPDX-License-Identifier: Apache-2.0 */
/* What a container of an image may do and use: see run-request.h. */
#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/parse.h"
#include "cli/run-request.h"
#include "cli/run-restart.h"
#include "cli/run-seccomp.h"

#define BIT(capability) (UINT64_C(1) << (capability))
#define ALL_CAPABILITIES ((BIT(CAP_LAST_CAP) - 1) | BIT(CAP_LAST_CAP))
/* Docker's, for everybody's habits; the guest's kernel serves this container alone. */
#define DEFAULT_CAPABILITIES                                                                       \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) |              \
	 BIT(CAP_MKNOD) | BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) |                   \
	 BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) |   \
	 BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE))
#define SECCOMP "seccomp="
/* Docker's least. */
#define MEMORY_MIN (UINT64_C(6) << 20)

/* "NET_ADMIN", "cap_net_admin"; ALL is all of them. */
static int capability_bits(const char *word, uint64_t *ret_bits, struct error **ret_error)
{
	const char *plain = strncasecmp(word, "CAP_", 4) == 0 ? word + 4 : word;
	_cleanup_free_ char *name = xasprintf("cap_%s", plain);
	cap_value_t value;

	for (char *at = name; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	if (strcmp(name, "cap_all") == 0) {
		*ret_bits = ALL_CAPABILITIES;
		return 0;
	}
	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")] != '\0' ||
	    cap_from_name(name, &value) < 0 || value < 0 || value > CAP_LAST_CAP)
		return error_set(ret_error, EINVAL, "there is no capability \"%s\"", word);
	*ret_bits = BIT(value);
	return 0;
}

static int add_up(const char *option, const char *const *words, uint64_t *ret_bits,
		  struct error **ret_error)
{
	uint64_t bits = 0;

	for (*ret_bits = 0; words && *words; words++) {
		if (capability_bits(*words, &bits, ret_error) < 0)
			return error_wrap(ret_error, "--%s", option);
		*ret_bits |= bits;
	}
	return 0;
}

/* What is added stays, whatever is dropped, unless all are added. */
static int read_capabilities(const struct run_options *options, struct run_request *request,
			     struct error **ret_error)
{
	uint64_t added, dropped;

	if (add_up("cap-add", options->cap_add, &added, ret_error) < 0 ||
	    add_up("cap-drop", options->cap_drop, &dropped, ret_error) < 0)
		return -1;
	if (options->privileged)
		request->capabilities = ALL_CAPABILITIES;
	else if (added == ALL_CAPABILITIES && dropped != ALL_CAPABILITIES)
		request->capabilities = added & ~dropped;
	else
		request->capabilities = (DEFAULT_CAPABILITIES & ~dropped) | added;
	return 0;
}

/* "no-new-privileges", with or without a value; what there is not may be left out. */
static int read_security(const char *word, struct run_request *request, struct error **ret_error)
{
	static const char *const absent[] = { "apparmor=unconfined", "label=disable" };
	static const char flag[] = "no-new-privileges";
	const char *value = word + strlen(flag);
	bool yes = true;

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		if (strcmp(word, absent[i]) == 0)
			return 0;
	if (strncmp(word, SECCOMP, strlen(SECCOMP)) == 0)
		return 0; /* read_seccomp(), as it needs the capabilities */
	if (strcmp(word, "systempaths=unconfined") == 0) {
		request->shows_paths = true;
		return 0;
	}
	if (strncmp(word, flag, strlen(flag)) == 0 &&
	    (!value[0] ||
	     ((value[0] == '=' || value[0] == ':') && parse_bool(value + 1, &yes) == 0))) {
		request->no_new_privileges = yes;
		return 0;
	}
	return error_set(ret_error, ENOTSUP,
			 "--security-opt %s is not supported: known are no-new-privileges, "
			 "seccomp=FILE, and seccomp, apparmor and systempaths =unconfined",
			 word);
}

/* The last one counts. */
static int read_seccomp(const struct run_options *options, struct run_request *request,
			struct error **ret_error)
{
	const char *profile = options->privileged ? "unconfined" : NULL;

	for (const char *const *word = options->security_opts; word && *word; word++)
		if (strncmp(*word, SECCOMP, strlen(SECCOMP)) == 0)
			profile = *word + strlen(SECCOMP);
	if (!profile || strcmp(profile, "builtin") == 0)
		request->seccomp = run_seccomp_usual(request->capabilities);
	else if (strcmp(profile, "unconfined") != 0)
		return run_seccomp_read(profile, request->capabilities, &request->seccomp,
					ret_error);
	return 0;
}

static int parse_limit(const char *word, uint64_t *ret_value, struct error **ret_error)
{
	if (strcmp(word, "-1") == 0 || strcmp(word, "unlimited") == 0) {
		*ret_value = UINT64_MAX;
		return 0;
	}
	if (parse_number(word, ret_value) < 0)
		return error_set(ret_error, EINVAL, "\"%s\" is not a limit", word);
	return 0;
}

static int read_ulimit(const char *text, struct run_request *request, struct error **ret_error)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *soft = strchr(copy, '='), *hard;
	struct run_ulimit limit;

	if (!soft || soft == copy)
		return error_set(ret_error, EINVAL, "write NAME=SOFT[:HARD]");
	*soft++ = '\0';
	hard = strchr(soft, ':');
	if (hard)
		*hard++ = '\0';
	if (parse_limit(soft, &limit.soft, ret_error) < 0 ||
	    parse_limit(hard ? hard : soft, &limit.hard, ret_error) < 0)
		return -1;
	if (limit.soft > limit.hard)
		return error_set(ret_error, EINVAL, "the soft limit is above the hard one");
	for (char *at = copy; *at; at++)
		*at = (char)toupper((unsigned char)*at);
	limit.type = xasprintf("RLIMIT_%s", copy);
	request->ulimits =
	    xreallocarray(request->ulimits, request->n_ulimits + 1, sizeof(*request->ulimits));
	request->ulimits[request->n_ulimits++] = limit;
	return 0;
}

static int read_size(const char *option, const char *word, uint64_t min, uint64_t *ret_bytes,
		     struct error **ret_error)
{
	if (!word)
		return 0;
	if (parse_size(word, ret_bytes, ret_error) < 0)
		return error_wrap(ret_error, "--%s", option);
	if (*ret_bytes < min || *ret_bytes > INT64_MAX)
		return error_set(ret_error, EINVAL, "--%s %s: must be at least %llu bytes", option,
				 word, (unsigned long long)min);
	return 0;
}

static int read_cpus(const char *word, struct run_request *request, struct error **ret_error)
{
	const long there_are = sysconf(_SC_NPROCESSORS_ONLN);
	char *end;
	double cpus;

	if (!word)
		return 0;
	cpus = strtod(word, &end);
	if (*end || (!isdigit((unsigned char)word[0]) && word[0] != '.') || !(cpus >= 0.01) ||
	    cpus > (double)there_are)
		return error_set(ret_error, EINVAL,
				 "--cpus %s: must be a number from 0.01 to %ld.00, as there are "
				 "only %ld CPUs available",
				 word, there_are, there_are);
	request->cpu_quota = (uint64_t)(cpus * RUN_CPU_PERIOD + 0.5);
	return 0;
}

/* NAME=VALUE, each into the vector. */
static int read_pairs(const char *option, const char *const *words, bool needs_value,
		      char ***ret_pairs, struct error **ret_error)
{
	for (; words && *words; words++) {
		const char *equals = strchr(*words, '=');
		_cleanup_free_ char *pair = xasprintf("%s%s", *words, equals ? "" : "=");

		if (equals == *words || (*words)[0] == '\0' || (needs_value && !equals))
			return error_set(ret_error, EINVAL, "--%s %s: write NAME=VALUE", option,
					 *words);
		/* The last of one name counts. */
		for (char **old = *ret_pairs; old && *old; old++)
			if (strncmp(*old, pair, strcspn(pair, "=") + 1) == 0) {
				free(*old);
				*old = TAKE_PTR(pair);
				break;
			}
		if (pair)
			strv_append(ret_pairs, pair);
	}
	return 0;
}

static int read_oom_score(const char *word, struct run_request *request, struct error **ret_error)
{
	char *end;
	long value;

	if (!word)
		return 0;
	value = strtol(word, &end, 10);
	if (!word[0] || *end || value < -1000 || value > 1000)
		return error_set(ret_error, EINVAL,
				 "Invalid value %s, range for oom score adj is [-1000, 1000]",
				 word);
	request->oom_score_adj = (int)value;
	return 0;
}

static int read_stop_timeout(const char *word, struct run_request *request,
			     struct error **ret_error)
{
	uint64_t seconds;

	if (!word)
		return 0;
	if (parse_number(word, &seconds) < 0 || seconds > STOP_SECONDS_MAX)
		return error_set(ret_error, EINVAL, "--stop-timeout %s: must be 0 to %d seconds",
				 word, STOP_SECONDS_MAX);
	request->stop_timeout = xstrdup(word);
	return 0;
}

/* As with docker: a container's ports and pings are its own, whatever its user is. */
static void put_default_sysctls(struct run_request *request)
{
	strv_append(&request->sysctls, "net.ipv4.ip_unprivileged_port_start=0");
	strv_append(&request->sysctls, "net.ipv4.ping_group_range=0 2147483647");
}

int run_limits_read(const struct run_options *options, struct run_request *request,
		    struct error **ret_error)
{
	put_default_sysctls(request);
	request->pids_limit = options->pids_limit;
	for (const char *const *word = options->ulimits; word && *word; word++)
		if (read_ulimit(*word, request, ret_error) < 0)
			return error_wrap(ret_error, "--ulimit %s", *word);
	for (const char *const *word = options->security_opts; word && *word; word++)
		if (read_security(*word, request, ret_error) < 0)
			return -1;
	if (read_capabilities(options, request, ret_error) < 0 ||
	    read_seccomp(options, request, ret_error) < 0 ||
	    read_size("memory", options->create.memory, MEMORY_MIN, &request->memory, ret_error) <
		0 ||
	    read_size("shm-size", options->shm_size, 1, &request->shm_size, ret_error) < 0 ||
	    read_cpus(options->cpus, request, ret_error) < 0 ||
	    read_oom_score(options->oom_score_adj, request, ret_error) < 0 ||
	    read_stop_timeout(options->stop_timeout, request, ret_error) < 0 ||
	    read_pairs("sysctl", options->sysctls, true, &request->sysctls, ret_error) < 0 ||
	    read_pairs("label", options->labels, false, &request->labels, ret_error) < 0)
		return -1;
	return read_pairs("annotation", options->annotations, true, &request->annotations,
			  ret_error);
}
