# SPDX-License-Identifier: Apache-2.0
# The task server's engine, with or without containerd: what test programs and the shim link.
noinst_LIBRARIES += sandbox/libsandbox.a
sandbox_libsandbox_a_SOURCES = \
	sandbox/abort.c \
	sandbox/agent-client.c sandbox/agent-client.h \
	sandbox/agent-files.c sandbox/agent-files.h \
	sandbox/boot.c \
	sandbox/checkpoint.c sandbox/checkpoint.h \
	sandbox/container.c sandbox/container.h \
	sandbox/control.c \
	sandbox/create.c \
	sandbox/delete.c \
	sandbox/exit.c \
	sandbox/growth.c sandbox/growth.h \
	sandbox/hooks.c sandbox/hooks.h \
	sandbox/kept.c sandbox/kept.h \
	sandbox/checkpoint-manifest.c sandbox/checkpoint-manifest.h \
	sandbox/checkpoint-copy.c sandbox/checkpoint-copy.h \
	sandbox/checkpoint-files.c sandbox/checkpoint-files.h \
	sandbox/checkpoint-memory.c sandbox/checkpoint-memory.h \
	sandbox/checkpoint-layers.c sandbox/checkpoint-layers.h \
	sandbox/checkpoint-stats.c sandbox/checkpoint-stats.h \
	sandbox/checkpoint-volumes.c sandbox/checkpoint-volumes.h \
	sandbox/restore.c sandbox/restore.h sandbox/restore-streams.c \
	sandbox/vmm.c sandbox/vmm.h sandbox/vmm-cgroup.c sandbox/vmm-cgroup.h sandbox/vmm-spawn.c \
	sandbox/vcpus.c sandbox/vcpus.h \
	sandbox/vcpus.c sandbox/vcpus.h \
	sandbox/vmm-adopt.c sandbox/vmm-parts.h \
	sandbox/network.c sandbox/network.h \
	sandbox/oom.c \
	sandbox/plan/container-plan.c sandbox/plan/container-plan.h \
	sandbox/plan/machine-plan.c sandbox/plan/machine-plan.h \
	sandbox/plan/plan-cache.c \
	sandbox/plan/plan-cgroup.c \
	sandbox/plan/plan-check.c \
	sandbox/plan/plan-files.c sandbox/plan/plan-files.h \
	sandbox/plan/plan-memory.c \
	sandbox/plan/plan-pod.c \
	sandbox/plan/plan-pool.c \
	sandbox/plan/plan-shared.c \
	sandbox/plan/plan-cpus.c sandbox/plan/plan-update.c sandbox/plan/plan-volumes.c \
	sandbox/machine-pool.c sandbox/machine-pool.h sandbox/pool-door.c sandbox/pool-door.h \
	sandbox/resolver.c sandbox/resolver.h \
	sandbox/sandbox.c sandbox/sandbox.h \
	sandbox/sockets/forward.c sandbox/sockets/forward.h \
	sandbox/sockets/host-names.c sandbox/sockets/host-names.h \
	sandbox/sockets/published.c sandbox/sockets/published.h \
	sandbox/stand-in.c sandbox/stand-in.h \
	sandbox/start.c \
	sandbox/state.c \
	sandbox/stdio/logger.c sandbox/stdio/logger.h \
	sandbox/stdio/output-log.c sandbox/stdio/output-log.h \
	sandbox/stdio/preserved.c sandbox/stdio/preserved.h \
	sandbox/stdio/stdio.c sandbox/stdio/stdio.h sandbox/stdio/stdio-open.c \
	sandbox/stdio/stream.c sandbox/stdio/stream.h \
	sandbox/stdio/terminal.c sandbox/stdio/terminal.h \
	sandbox/task.c sandbox/task.h \
	sandbox/task-events.c sandbox/task-events.h
