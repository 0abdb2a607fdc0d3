# SPDX-License-Identifier: Apache-2.0
# The verbs, apart from main() so that tests can link their parts.
noinst_LIBRARIES += cli/libcli.a
cli_libcli_a_SOURCES = \
	cli/attach.c cli/attach.h \
	cli/task-calls.c cli/task-calls.h \
	cli/detach-keys.c cli/detach-keys.h \
	cli/verb-attach.c \
	cli/check.c cli/check.h \
	cli/check-guest.c cli/check-host.c cli/check-kvm.c cli/check-pool.c cli/check-report.c \
	cli/criu-options.c cli/criu-options.h \
	cli/containers.c cli/containers.h \
	cli/container-files.c cli/container-files.h \
	cli/container-words.c cli/container-words.h \
	cli/verb-commit.c \
	cli/verb-cp.c \
	cli/exec-calls.c cli/exec-calls.h \
	cli/fork-files.c cli/fork-files.h \
	cli/health.c cli/health.h \
	cli/health-watch.c cli/health-watch.h \
	cli/image-changes.c cli/image-changes.h \
	cli/images.c cli/images.h \
	cli/inspect-container.c cli/inspect-container.h \
	cli/options.c cli/options.h \
	cli/run-again.c cli/run-again.h \
	cli/run-changes.c cli/run-changes.h \
	cli/run-container.c cli/run-container.h \
	cli/run-disk.c cli/run-disk.h \
	cli/run-devices.c \
	cli/run-env.c cli/run-env.h cli/run-words.c cli/run-words.h \
	cli/run-files.c cli/run-limits.c cli/run-mounts.c \
	cli/run-image.c cli/run-image.h \
	cli/run-options.c cli/run-options.h \
	cli/log-reader.c cli/log-reader.h \
	cli/run-log.c cli/run-log.h \
	cli/run-output.c cli/run-output.h \
	cli/run-ports.c cli/run-ports.h \
	cli/run-restored.c cli/run-restored.h cli/run-request.c cli/run-request.h \
	cli/run-restart.c cli/run-restart.h \
	cli/run-seccomp.c cli/run-seccomp.h \
	cli/run-spec.c \
	cli/run-volumes.c cli/run-volumes.h \
	cli/spec-parts.c cli/spec-parts.h \
	cli/stand-in.c cli/stand-in.h \
	cli/start-notice.c cli/start-notice.h \
	cli/stats.c cli/stats.h \
	cli/table.c cli/table.h \
	cli/update-resources.c cli/update-resources.h \
	cli/verb.h \
	cli/verb-check.c \
	cli/verb-checkpoint.c \
	cli/verb-delete.c \
	cli/verb-diff.c \
	cli/verb-events.c \
	cli/verb-export.c \
	cli/verb-exec.c \
	cli/verb-features.c \
	cli/verb-fork.c \
	cli/verb-history.c \
	cli/verb-wait.c \
	cli/verb-images.c \
	cli/verb-list.c \
	cli/verb-load.c \
	cli/verb-login.c \
	cli/verb-logs.c \
	cli/verb-pool.c \
	cli/verb-port.c \
	cli/verb-prune.c \
	cli/verb-ps.c \
	cli/verb-pull.c \
	cli/verb-restore.c \
	cli/verb-run.c \
	cli/verb-spec.c \
	cli/verb-stats.c \
	cli/verb-state.c \
	cli/verb-stop.c \
	cli/verb-update.c \
	cli/verb-volume.c

bin_PROGRAMS += supermachine
supermachine_SOURCES = cli/main.c $(NO_NAMES)
CLI_ARCHIVES = cli/libcli.a client/libclient.a host/libhost.a runtime-spec/libspec.a \
	rootfs/image/libimage.a ttrpc/libttrpc.a protocol/libproto.a protocol/libprotocol.a base/libbase.a
supermachine_LDADD = $(CLI_ARCHIVES) $(STATIC_SQUASHFS_LIBS) $(STATIC_CRYPTO_LIBS) \
	$(STATIC_PROTOBUF_C_LIBS) $(STATIC_YAJL_LIBS) $(STATIC_CAP_LIBS)
supermachine_LDFLAGS = $(AM_LDFLAGS) $(LINK_STATIC) $(LINK_NO_NAMES)
