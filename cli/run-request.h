/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container of an image is to be: its configuration and the command line's options together,
 * in docker's way, and the config.json that says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/health.h"
#include "cli/run-options.h"
#include "cli/run-volumes.h"
#include "runtime-spec/named-user.h"
#include "rootfs/image/store.h"

#define RUN_MOUNT_VOLUME "volume" /* source: its name */
struct run_mount {
	char *destination, *type, *source;
	char **options;
};

struct run_ulimit {
	char *type; /* "RLIMIT_NOFILE" */
	uint64_t soft, hard;
};

struct run_device {
	char *path, *access; /* access: of "rwm" */
	unsigned major, minor;
};

struct run_request {
	char **args, **env;
	char *cwd, *hostname, *image;	  /* image: its name */
	char *stop_signal, *stop_timeout; /* NULL: none is said */
	char *domainname;		  /* NULL: none */
	char *seccomp;			  /* `linux.seccomp`, as text; NULL: none */
	struct named_user user;
	struct health_check health;
	uint64_t capabilities; /* bits */
	bool init, terminal, read_only, privileged, no_new_privileges, shows_paths;
	uint64_t memory, shm_size; /* bytes; 0: no limit, the usual size */
	uint64_t disk;		   /* bytes; 0: none */
	uint64_t cpu_quota;	   /* microseconds of RUN_CPU_PERIOD; 0: no limit */
	uint64_t pids_limit;	   /* 0: none */
	uint64_t cpu_shares;	   /* 0: the usual */
	int oom_score_adj;	   /* 0: none is said */
	struct run_mount *mounts;
	size_t n_mounts;
	struct run_volume *volumes; /* of those mounts that are RUN_MOUNT_VOLUME */
	size_t n_volumes;
	struct run_ulimit *ulimits;
	size_t n_ulimits;
	struct run_device *devices;
	size_t n_devices;
	char **sysctls, **labels, **annotations; /* NAME=VALUE */
};
#define RUN_CPU_PERIOD 100000

/* args: the command, which may be empty.  hostname: what it is if no option says so.  Errors name
 * the option. */
int run_request_new(const struct run_options *options, const struct stored_image *image,
		    const char *const *args, const char *hostname, struct run_request **ret_request,
		    struct error **ret_error);
/* What can be said of the options without an image: before it is pulled. */
int run_request_check(const struct run_options *options, struct error **ret_error);
void run_request_free(struct run_request *request);
DEFINE_CLEANUP(struct run_request, run_request_free)

/* config.json's text; caller frees. */
char *run_spec_json(const struct run_request *request);

/* The parts. --volume, --mount and --tmpfs (run-mounts.c), mounted from the top down: */
int run_mounts_read(const struct run_options *options, struct run_request *request,
		    struct error **ret_error);
void run_mount_add(struct run_request *request, const char *destination, const char *type,
		   const char *source, const char *options);
/* The image's own volumes, where nothing else is mounted: */
int run_mounts_of_image(char *const *volumes, struct run_request *request,
			struct error **ret_error);
/* Volumes become binds of what is in this directory (host/volumes.h), which config.json needs: */
void run_mounts_place(struct run_request *request, const char *directory);
/* --device (run-devices.c): */
int run_devices_read(const struct run_options *options, struct run_request *request,
		     struct error **ret_error);
/* --cap-add, --cap-drop, --security-opt, --ulimit, --memory, … (run-limits.c): */
int run_limits_read(const struct run_options *options, struct run_request *request,
		    struct error **ret_error);

/* /etc/hosts, /etc/hostname, /etc/resolv.conf (run-files.c): mounts of files in the bundle, where
 * the task server makes none for the network or not what the options want.  network: none, passt or
 * ns:PATH. */
void run_files_plan(const struct run_options *options, const char *network,
		    struct run_request *request);
/* The words of --dns and --add-host. */
int run_files_check(const struct run_options *options, struct error **ret_error);
/* Writes those files. */
int run_files_write(const struct run_options *options, const char *network,
		    const struct run_request *request, const char *bundle,
		    struct error **ret_error);
