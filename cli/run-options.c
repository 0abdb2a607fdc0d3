/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `run` and `create`: see run-options.h. */
#include "cli/run-options.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "runtime-spec/state.h"

#define FIELD(name) offsetof(struct create_options, name)

/* clang-format off */
#define BUNDLE_OPTIONS                                                                             \
	{ "bundle", 'b', OPTION_STRING, FIELD(bundle),                                             \
	  "path of the bundle (default: the current directory)" },                                 \
	{ "config", 'f', OPTION_STRING, FIELD(config),                                             \
	  "the configuration, in place of the bundle's config.json" },                             \
	{ "console-socket", 0, OPTION_STRING, FIELD(console_socket),                               \
	  "unix socket that receives the master of the container's terminal" },                    \
	{ "preserve-fds", 0, OPTION_COUNT, FIELD(preserve_fds),                                    \
	  "pass so many file descriptors, from 3 on" },                                            \
	{ "rootfs", 0, OPTION_STRING, FIELD(rootfs),                                               \
	  "how the root file system reaches the guest: share (default) or layer" },                \
	{ "no-pivot", 0, OPTION_IGNORED_FLAG, 0, "do not use pivot_root" },                        \
	{ "no-new-keyring", 0, OPTION_IGNORED_FLAG, 0, "do not make a new session keyring" }
#define MACHINE_OPTIONS                                                                            \
	{ "pid-file", 0, OPTION_STRING, FIELD(pid_file),                                           \
	  "write the pid that represents the container to this file" },                            \
	{ "pidfd-socket", 0, OPTION_STRING, FIELD(pidfd_socket),                                   \
	  "unix socket that receives a pidfd of the process that represents the container" },      \
	{ "kernel", 0, OPTION_STRING, FIELD(kernel),                                               \
	  "guest kernel: a kernel directory, vmlinux or bzImage" },                                \
	{ "vcpus", 0, OPTION_COUNT, FIELD(vcpus), "virtual CPUs (default: 1)" },                   \
	{ "accel", 0, OPTION_STRING, FIELD(accel),                                                 \
	  "what runs the guest: 'auto' (default), 'kvm', or 'tcg' (emulated, slower)" },           \
	{ "network", 0, OPTION_STRING, FIELD(network),                                             \
	  "the network: none, ns:PATH or passt (default: what config.json says; of an image: passt, if it can be used)" }, \
	{ "publish", 'p', OPTION_STRINGS, FIELD(publish),                                          \
	  "lead ports of the host to the guest: [IP:]PORT[-PORT]:PORT[-PORT][/tcp|/udp]" },        \
	{ "cache", 0, OPTION_STRING, FIELD(cache), "directory for layers and kernels" }
/* clang-format on */

#define MEMORY_HELP                                                                                \
	"guest memory, e.g. 512M (default: what the container's limit needs, at least 256M)"

const struct option_def create_option_table[] = { BUNDLE_OPTIONS,
						  MACHINE_OPTIONS,
						  { "memory", 0, OPTION_STRING, FIELD(memory),
						    MEMORY_HELP },
						  OPTION_END };

#define IMAGE_OPTION(name, letter, type, field, help)                                              \
	{                                                                                          \
		name, letter, type, offsetof(struct run_options, field), help                      \
	}
#define REFUSED(name, letter, reason)                                                              \
	{                                                                                          \
		name, letter, OPTION_REFUSED, 0, reason                                            \
	}
/* clang-format off */
#define IMAGE_OPTIONS                                                                              \
	IMAGE_OPTION("rm", 0, OPTION_FLAG, rm, "delete the container when it has ended, with -d too"), \
	IMAGE_OPTION("interactive", 'i', OPTION_FLAG, interactive, "the container reads our standard input"), \
	IMAGE_OPTION("tty", 't', OPTION_FLAG, tty, "the container has a terminal, which is ours"), \
	IMAGE_OPTION("name", 0, OPTION_STRING, name, "the container's id (default: random)"),      \
	IMAGE_OPTION("env", 'e', OPTION_STRINGS, env, "NAME=VALUE, or NAME: as our environment has it"), \
	IMAGE_OPTION("env-file", 0, OPTION_STRINGS, env_files, "a file with lines as of --env"),   \
	IMAGE_OPTION("volume", 'v', OPTION_STRINGS, volumes, "[SOURCE:]GUEST[:OPTIONS]: a directory or file of the host, or a volume"), \
	IMAGE_OPTION("mount", 0, OPTION_STRINGS, mounts, "type=bind|volume|tmpfs,source=SOURCE,target=GUEST[,readonly][,…]"), \
	IMAGE_OPTION("tmpfs", 0, OPTION_STRINGS, tmpfs, "GUEST[:OPTIONS]: a file system in memory"), \
	IMAGE_OPTION("disk", 0, OPTION_STRING, disk, "keep what is written to the root file system on a disk of this size, until `rm`"), \
	IMAGE_OPTION("read-only", 0, OPTION_FLAG, read_only, "the root file system cannot be written"), \
	IMAGE_OPTION("cpus", 0, OPTION_STRING, cpus, "CPU time, e.g. 1.5; as many vCPUs, rounded up"), \
	IMAGE_OPTION("pids-limit", 0, OPTION_COUNT, pids_limit, "the most processes"),             \
	IMAGE_OPTION("user", 'u', OPTION_STRING, user, "USER[:GROUP], by name or number (default: the image's)"), \
	IMAGE_OPTION("workdir", 'w', OPTION_STRING, workdir, "current directory (default: the image's), made if missing"), \
	IMAGE_OPTION("entrypoint", 0, OPTION_STRING, entrypoint, "what to run in place of the image's entry point and command"), \
	IMAGE_OPTION("cap-add", 0, OPTION_STRINGS, cap_add, "add a capability, or ALL"),           \
	IMAGE_OPTION("cap-drop", 0, OPTION_STRINGS, cap_drop, "take a capability away, or ALL"),   \
	IMAGE_OPTION("privileged", 0, OPTION_FLAG, privileged, "all capabilities, any device of the guest; nothing masked"), \
	IMAGE_OPTION("device", 0, OPTION_STRINGS, devices, "DEVICE[:PATH][:PERMISSIONS]: one that each guest has: /dev/fuse, /dev/net/tun, /dev/loop-control, …"), \
	IMAGE_OPTION("security-opt", 0, OPTION_STRINGS, security_opts, "no-new-privileges, seccomp=FILE, or seccomp=, apparmor= or systempaths=unconfined"), \
	IMAGE_OPTION("ulimit", 0, OPTION_STRINGS, ulimits, "NAME=SOFT[:HARD], e.g. nofile=1024"),  \
	IMAGE_OPTION("sysctl", 0, OPTION_STRINGS, sysctls, "NAME=VALUE, of the guest's kernel"),   \
	IMAGE_OPTION("publish-all", 'P', OPTION_FLAG, publish_all, "publish the image's ports, and those of --expose, at free ports of the host"), \
	IMAGE_OPTION("expose", 0, OPTION_STRINGS, exposed, "PORT[-PORT][/tcp|/udp] for --publish-all"), \
	IMAGE_OPTION("init", 0, OPTION_FLAG, init, "an init in front of the program, which passes signals on and reaps"), \
	IMAGE_OPTION("cidfile", 0, OPTION_STRING, cidfile, "write the container's id to this file, which must not exist"), \
	IMAGE_OPTION("cpu-shares", 'c', OPTION_COUNT, cpu_shares, "CPU weight among the machine's processes, from 2 on (docker's usual: 1024)"), \
	IMAGE_OPTION("domainname", 0, OPTION_STRING, domainname, "the container's NIS domain name"), \
	IMAGE_OPTION("group-add", 0, OPTION_STRINGS, groups, "one more group, by the image's name or number"), \
	IMAGE_OPTION("label-file", 0, OPTION_STRINGS, label_files, "a file with lines as of --label"), \
	IMAGE_OPTION("log-driver", 0, OPTION_STRING, log_driver, "with -d, how the output is kept: k8s-file (default), json-file, or none"), \
	IMAGE_OPTION("log-opt", 0, OPTION_STRINGS, log_opts, "max-size=SIZE of a file (default: 2m), max-file=NUMBER of them (default: 2), path=FILE"), \
	IMAGE_OPTION("oom-score-adj", 0, OPTION_STRING, oom_score_adj, "oom_score_adj of its processes, -1000 to 1000"), \
	IMAGE_OPTION("stop-timeout", 0, OPTION_STRING, stop_timeout, "seconds that `stop` waits (default: 10)"), \
	IMAGE_OPTION("hostname", 0, OPTION_STRING, hostname, "the container's host name"),         \
	IMAGE_OPTION("dns", 0, OPTION_STRINGS, dns, "a name server's address for /etc/resolv.conf"), \
	IMAGE_OPTION("add-host", 0, OPTION_STRINGS, add_hosts, "NAME:ADDRESS for /etc/hosts"),     \
	IMAGE_OPTION("shm-size", 0, OPTION_STRING, shm_size, "size of /dev/shm (default: 64M)"),   \
	IMAGE_OPTION("stop-signal", 0, OPTION_STRING, stop_signal, "what asks the container to end (default: the image's, or TERM)"), \
	IMAGE_OPTION("label", 'l', OPTION_STRINGS, labels, "KEY=VALUE: kept with the container"),  \
	IMAGE_OPTION("restart", 0, OPTION_STRING, restart, "with -d, when to start it again: no (default), always, unless-stopped, on-failure[:N]"), \
	IMAGE_OPTION("health-cmd", 0, OPTION_STRING, health_cmd, "command of a shell that says by its status whether the container is healthy (default: the image's)"), \
	IMAGE_OPTION("health-interval", 0, OPTION_STRING, health_interval, "time between two health checks (default: 30s)"), \
	IMAGE_OPTION("health-timeout", 0, OPTION_STRING, health_timeout, "time that a health check may take (default: 30s)"), \
	IMAGE_OPTION("health-retries", 0, OPTION_COUNT, health_retries, "failures in a row that make it unhealthy (default: 3)"), \
	IMAGE_OPTION("health-start-period", 0, OPTION_STRING, health_start_period, "time from the start on in which failures do not count (default: 0s)"), \
	IMAGE_OPTION("health-start-interval", 0, OPTION_STRING, health_start_interval, "time between two checks meanwhile (default: 5s)"), \
	IMAGE_OPTION("no-healthcheck", 0, OPTION_FLAG, no_healthcheck, "do not run the image's health check"), \
	IMAGE_OPTION("annotation", 0, OPTION_STRINGS, annotations, "KEY=VALUE, as in a bundle's config.json"), \
	IMAGE_OPTION("pull", 0, OPTION_STRING, pull, "when to fetch the image: missing (default), always or never"), \
	IMAGE_OPTION("platform", 0, OPTION_STRING, platform, "OS/ARCHITECTURE[/VARIANT] of the image (default: this machine's)"), \
	IMAGE_OPTION("quiet", 'q', OPTION_FLAG, quiet, "show no progress of a pull")
/* clang-format on */

#define NO_NAMESPACE "a container has those of its machine's kernel, never the host's"
#define NO_LIMIT "limit the machine by --vcpus, --cpus and --memory"

/* struct create_options is the first member of struct run_options. */
const struct option_def run_option_table[] = {
	BUNDLE_OPTIONS,
	MACHINE_OPTIONS,
	{ "memory", 'm', OPTION_STRING, FIELD(memory),
	  "guest memory; of an image: the container's limit, for which the guest has enough" },
	{ "detach", 'd', OPTION_FLAG, FIELD(detach), "do not wait for the container" },
	{ "keep", 0, OPTION_FLAG, FIELD(keep), "do not delete the container after it has ended" },
	{ "no-subreaper", 0, OPTION_IGNORED_FLAG, 0, "do not reap orphans" },
	IMAGE_OPTIONS,
	/* Docker's and podman's, so that nobody has to guess what became of them. */
	REFUSED("attach", 'a', "without -d all streams are attached"),
	REFUSED("blkio-weight", 0, NO_LIMIT),
	REFUSED("cgroup-parent", 0, "cgroups are the guest's"),
	REFUSED("cgroupns", 0, NO_NAMESPACE),
	REFUSED("cpu-period", 0, "use --cpus"),
	REFUSED("cpu-quota", 0, "use --cpus"),
	REFUSED("cpuset-cpus", 0, NO_LIMIT),
	REFUSED("cpuset-mems", 0, NO_LIMIT),
	REFUSED("detach-keys", 0, ""),
	REFUSED("device-cgroup-rule", 0, "devices are the guest's"),
	REFUSED("disable-content-trust", 0, ""),
	REFUSED("dns-option", 0, ""),
	REFUSED("dns-search", 0, ""),
	REFUSED("gpus", 0, ""),
	REFUSED("ip", 0, "the guest's address is passt's"),
	REFUSED("ip6", 0, "the guest's address is passt's"),
	REFUSED("ipc", 0, NO_NAMESPACE),
	REFUSED("isolation", 0, ""),
	REFUSED("kernel-memory", 0, ""),
	REFUSED("link", 0, ""),
	REFUSED("mac-address", 0, ""),
	REFUSED("memory-reservation", 0, NO_LIMIT),
	REFUSED("memory-swap", 0, "a guest has no swap"),
	REFUSED("memory-swappiness", 0, "a guest has no swap"),
	REFUSED("net", 0, "use --network"),
	REFUSED("network-alias", 0, ""),
	REFUSED("oom-kill-disable", 0, ""),
	REFUSED("pid", 0, NO_NAMESPACE),
	REFUSED("pod", 0, ""),
	REFUSED("runtime", 0, ""),
	REFUSED("sig-proxy", 0, "signals are passed on"),
	REFUSED("storage-opt", 0, ""),
	REFUSED("userns", 0, NO_NAMESPACE),
	REFUSED("uts", 0, NO_NAMESPACE),
	REFUSED("volume-driver", 0, ""),
	REFUSED("volumes-from", 0, ""),
	OPTION_END
};

static const struct option_def bundle_only[] = { BUNDLE_OPTIONS, OPTION_END };
static const struct option_def image_only[] = { IMAGE_OPTIONS, OPTION_END };

/* As runc takes it, with options behind the id. What cannot be an id, as host/path:tag, is not one.
 */
static bool is_bundle_here(const char *const *args)
{
	struct run_options options = { 0 };
	struct options_result result = { 0 };
	_cleanup_free_ char *config = NULL;
	struct stat st;
	bool is_bundle = false;

	if (options_parse(run_option_table, false, (char *const *)args, &options, &result, NULL) ==
		0 &&
	    result.n_args == 1 && state_check_id(result.args[0], NULL) == 0) {
		config = xasprintf("%s/config.json",
				   options.create.bundle ? options.create.bundle : ".");
		is_bundle = stat(config, &st) == 0;
	}
	free(result.args);
	options_done(run_option_table, &options);
	return is_bundle;
}

bool run_is_bundle(const struct run_options *options, const char *const *args)
{
	return options->create.bundle || is_bundle_here(args);
}

bool run_options_behind(const void *options, const char *const *args)
{
	return args[0] && args[1] && run_is_bundle(options, args);
}

int run_check_form(const struct run_options *options, bool is_bundle, struct error **ret_error)
{
	const char *name = options_given(is_bundle ? image_only : bundle_only, options);

	if (!name)
		return 0;
	return error_set(ret_error, EINVAL, "run: --%s is for %s, and this is %s", name,
			 is_bundle ? "images" : "bundles", is_bundle ? "a bundle" : "an image");
}
