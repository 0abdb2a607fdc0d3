/* SPDX-License-Identifier: Apache-2.0 */
/* supermachine-vmm: one machine, told by one JSON document (vm-config.h). */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/child.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/control.h"
#include "protocol/vm-config.h"
#include "vmm/device.h"
#include "vmm/engine.h"
#include "vmm/inherited.h"
#include "vmm/jail-user.h"
#include "vmm/jail.h"
#include "vmm/machine.h"
#include "vmm/probe.h"

#define CONFIG_SIZE_MAX (1 << 20)

struct options {
	const char *config_path;
	int config_fd;
	bool probe;
};

static const char usage[] =
    "usage: supermachine-vmm --config FILE | --config-fd N\n"
    "       supermachine-vmm --probe\n"
    "\n"
    "Runs one virtual machine.\n"
    "\n"
    "  --config FILE    the machine's JSON document\n"
    "  --config-fd N    the same from an inherited descriptor\n"
    "  --probe          tell whether this KVM runs ordinary kernels\n"
    "  --help           this text\n"
    "  --version        the version\n"
    "\n"
    "Exit status without a control socket: 0 the guest powered off, 3 it rebooted,\n"
    "4 its kernel panicked, 1 error. With --probe: 0 usable, 1 not.\n";

static int bad_usage(const char *what)
{
	(void)fprintf(stderr, "supermachine-vmm: %s\n%s", what, usage);
	return VMM_EXIT_ERROR;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *ret_options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "config-fd", required_argument, NULL, 'f' },
		{ "probe", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .config_fd = -1 };
	char *end;
	long fd;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 'c':
			options.config_path = optarg;
			break;
		case 'f':
			fd = strtol(optarg, &end, 10);
			if (*optarg == '\0' || *end != '\0' || fd < 0 || fd > INT_MAX)
				return bad_usage("--config-fd needs a descriptor's number");
			options.config_fd = (int)fd;
			break;
		case 'p':
			options.probe = true;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			return 0;
		case 'v':
			(void)puts("supermachine-vmm " PACKAGE_VERSION);
			return 0;
		default:
			return bad_usage("unknown option");
		}
	}
	if (optind < argc)
		return bad_usage("unexpected argument");
	if ((options.config_path != NULL) + (options.config_fd >= 0) + options.probe != 1)
		return bad_usage("needs one of --config, --config-fd and --probe");
	*ret_options = options;
	return -1;
}

static int read_config(const struct options *options, struct vm_config **ret_config,
		       struct error **ret_error)
{
	_cleanup_free_ char *text = NULL;
	enum log_level level;
	size_t size;
	int r;

	if (options->config_path)
		r = read_file(options->config_path, CONFIG_SIZE_MAX, &text, &size, ret_error);
	else
		r = read_file_fd(options->config_fd, "the configuration", CONFIG_SIZE_MAX, &text,
				 &size, ret_error);
	if (r < 0 || vm_config_parse(text, size, ret_config, ret_error) < 0 ||
	    inherited_check(*ret_config, ret_error) < 0)
		return -1;
	if ((*ret_config)->log_fd >= 0)
		log_set_fd((*ret_config)->log_fd);
	if ((*ret_config)->log_level && vm_config_log_level((*ret_config)->log_level, &level) == 0)
		log_set_level(level);
	inherited_close_others(*ret_config);
	if ((*ret_config)->log_keep_kib)
		return log_keep_end((size_t)(*ret_config)->log_keep_kib << 10, ret_error);
	return 0;
}

/* The lists beyond what every machine needs; returns how many. */
static size_t list_calls(const struct vm_config *config,
			 const struct seccomp_call *ret_lists[DEVICE_CALLS_MAX + 3])
{
	const struct seccomp_call *const more[] = { engine_save_calls(config),
						    engine_pool_calls(config),
						    engine_vcpu_calls(config) };
	size_t n = device_calls(config, ret_lists);

	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		if (more[i])
			ret_lists[n++] = more[i];
	return n;
}

static int run(const struct options *options, struct ending *ret_ending, struct error **ret_error)
{
	_cleanup_(vm_config_freep) struct vm_config *config = NULL;
	_cleanup_(machine_freep) struct machine *machine = NULL;
	_cleanup_(jail_user_done) struct jail_user user = JAIL_USER_NONE;
	const struct seccomp_call *calls[DEVICE_CALLS_MAX + 3];

	if (read_config(options, &config, ret_error) < 0 || jail_leave_namespaces(ret_error) < 0 ||
	    machine_new(config, &machine, ret_error) < 0 ||
	    jail_prepare(calls, list_calls(config, calls), ret_error) < 0 ||
	    machine_build(machine, ret_error) < 0 || jail_user_take(config, &user, ret_error) < 0 ||
	    jail_change_root(config, ret_error) < 0 || jail_user_become(&user, ret_error) < 0 ||
	    jail_enter(ret_error) < 0)
		return -1;
	return machine_run(machine, ret_ending, ret_error);
}

static int probe(void)
{
	_cleanup_error_ struct error *error = NULL;
	const char *verdict = probe_kvm(PROBE_ALL, &error);

	(void)printf("%s%s%s\n", verdict, error ? ": " : "", error ? error->message : "");
	return error ? 1 : 0;
}

/* A vsock connection costs a descriptor: as many as we are allowed, not just
 * the few that select() could take. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void end_at_once(int signal)
{
	_exit(128 + signal);
}

/* Once: of a fault, what it did is done again, and the kernel ends the process with a true word. */
static void end_or_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code <= 0)
		end_at_once(signal);
}

/* Process 1 of a pid namespace ignores what by default ends another process, unless it comes from
 * a fault of its own. */
static void end_by_signals(void)
{
	static const int signals[] = { SIGQUIT, SIGALRM,   SIGUSR1, SIGUSR2, SIGXCPU,
				       SIGPROF, SIGVTALRM, SIGIO,   SIGPWR,  SIGSTKFLT };
	static const int faults[] = { SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS };
	const struct sigaction or_fault = { .sa_sigaction = end_or_fault,
					    .sa_flags = SA_SIGINFO | SA_RESETHAND };
	struct sigaction was;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)signal(signals[i], end_at_once);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		(void)signal(number, end_at_once);
	/* (A sanitizer has handlers of its own.) */
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (sigaction(faults[i], NULL, &was) == 0 && was.sa_handler == SIG_DFL)
			(void)sigaction(faults[i], &or_fault, NULL);
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error *error = NULL;
	struct ending ending = { .code = VMM_EXIT_ERROR };
	struct options options;
	int status;

	log_set_name("vmm");
	status = parse_options(argc, argv, &options);
	if (status >= 0)
		return status;
	/* One heap: a heap per vCPU thread would cost more than all of them use. */
	(void)mallopt(M_ARENA_MAX, 1);
	/* Errors of the writer, whether it writes for the guest or for us. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	end_by_signals();
	if (options.probe)
		return probe();
	raise_descriptor_limit();
	if (run(&options, &ending, &error) < 0)
		log_error("%s", error->message);
	return child_end(ending.code, ending.signal);
}
