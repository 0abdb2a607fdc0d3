# SPDX-License-Identifier: Apache-2.0
# A fuzz target is tests/fuzz/fuzz-NAME.c (LLVMFuzzerTestOneInput) with its corpus
# in tests/fuzz/corpus/NAME, which `make check` replays. tests/fuzz/run searches for more.
EXTRA_DIST += tests/fuzz/run

FUZZ_TESTS = \
	tests/fuzz/fuzz-blk \
	tests/fuzz/fuzz-ttrpc \
	tests/fuzz/fuzz-virtq \
	tests/fuzz/fuzz-vsock
check_PROGRAMS += $(FUZZ_TESTS)
TESTS += $(FUZZ_TESTS)

tests_fuzz_fuzz_ttrpc_SOURCES = tests/fuzz/fuzz-ttrpc.c tests/fuzz/replay.c
tests_fuzz_fuzz_ttrpc_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/ttrpc"'
tests_fuzz_fuzz_ttrpc_LDADD = ttrpc/libttrpc.a protocol/libproto.a base/libbase.a \
	$(YAJL_LIBS) $(PROTOBUF_C_LIBS)
EXTRA_DIST += tests/fuzz/corpus/ttrpc

FUZZ_TESTS += tests/fuzz/fuzz-tar
tests_fuzz_fuzz_tar_SOURCES = tests/fuzz/fuzz-tar.c tests/fuzz/replay.c
tests_fuzz_fuzz_tar_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/tar"'
tests_fuzz_fuzz_tar_LDADD = base/libbase.a $(YAJL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/tar

FUZZ_TESTS += tests/fuzz/fuzz-spec
tests_fuzz_fuzz_spec_SOURCES = tests/fuzz/fuzz-spec.c tests/fuzz/replay.c
tests_fuzz_fuzz_spec_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/spec"'
tests_fuzz_fuzz_spec_LDADD = client/libclient.a runtime-spec/libspec.a base/libbase.a \
	$(YAJL_LIBS) $(CAP_LIBS)
EXTRA_DIST += tests/fuzz/corpus/spec

tests_fuzz_fuzz_virtq_SOURCES = tests/fuzz/fuzz-virtq.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_virtq_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/virtq"'
tests_fuzz_fuzz_virtq_LDADD = $(VIRTIO_TEST_LIBS)
EXTRA_DIST += tests/fuzz/corpus/virtq

tests_fuzz_fuzz_blk_SOURCES = tests/fuzz/fuzz-blk.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_blk_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/blk"'
tests_fuzz_fuzz_blk_LDADD = $(VIRTIO_TEST_LIBS)
EXTRA_DIST += tests/fuzz/corpus/blk

FUZZ_TESTS += tests/fuzz/fuzz-net
tests_fuzz_fuzz_net_SOURCES = tests/fuzz/fuzz-net.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_net_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/net"'
tests_fuzz_fuzz_net_LDADD = $(VIRTIO_TEST_LIBS)
EXTRA_DIST += tests/fuzz/corpus/net

tests_fuzz_fuzz_vsock_SOURCES = tests/fuzz/fuzz-vsock.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_vsock_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/vsock"'
tests_fuzz_fuzz_vsock_LDADD = $(VIRTIO_TEST_LIBS)
EXTRA_DIST += tests/fuzz/corpus/vsock

FUZZ_TESTS += tests/fuzz/fuzz-vhost-user
tests_fuzz_fuzz_vhost_user_SOURCES = tests/fuzz/fuzz-vhost-user.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_vhost_user_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/vhost-user"'
tests_fuzz_fuzz_vhost_user_LDADD = $(VIRTIO_TEST_LIBS)
EXTRA_DIST += tests/fuzz/corpus/vhost-user

FUZZ_TESTS += tests/fuzz/fuzz-fuse
tests_fuzz_fuzz_fuse_SOURCES = tests/fuzz/fuzz-fuse.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_fuse_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/fuse"'
tests_fuzz_fuzz_fuse_LDADD = rootfs/share/libshare.a base/libbase.a $(YAJL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/fuse

# (Its machine comes first, and so takes the place of the archive's.)
FUZZ_TESTS += tests/fuzz/fuzz-task
tests_fuzz_fuzz_task_SOURCES = tests/fuzz/fuzz-task.c tests/fuzz/task-guest.c tests/fuzz/task-guest.h tests/fuzz/input.h \
	tests/fuzz/replay.c
tests_fuzz_fuzz_task_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/task"'
tests_fuzz_fuzz_task_LDADD = $(SHIM_ARCHIVES) $(SECCOMP_LIBS) $(CAP_LIBS) $(YAJL_LIBS) $(PROTOBUF_C_LIBS) \
	$(NETLINK_LIBS) \
	$(CRYPTO_LIBS)
EXTRA_DIST += tests/fuzz/corpus/task

FUZZ_TESTS += tests/fuzz/fuzz-snapshot
tests_fuzz_fuzz_snapshot_SOURCES = tests/fuzz/fuzz-snapshot.c tests/fuzz/replay.c
tests_fuzz_fuzz_snapshot_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/snapshot"'
tests_fuzz_fuzz_snapshot_LDADD = vmm/libvmm.a base/libbase.a
EXTRA_DIST += tests/fuzz/corpus/snapshot

FUZZ_TESTS += tests/fuzz/fuzz-checkpoint
tests_fuzz_fuzz_checkpoint_SOURCES = tests/fuzz/fuzz-checkpoint.c tests/fuzz/replay.c
tests_fuzz_fuzz_checkpoint_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/checkpoint"'
tests_fuzz_fuzz_checkpoint_LDADD = $(tests_fuzz_fuzz_task_LDADD)
EXTRA_DIST += tests/fuzz/corpus/checkpoint

FUZZ_TESTS += tests/fuzz/fuzz-network
tests_fuzz_fuzz_network_SOURCES = tests/fuzz/fuzz-network.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_network_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/network"'
tests_fuzz_fuzz_network_LDADD = agent/libagent.a base/libbase.a $(YAJL_LIBS) $(NETLINK_LIBS)
EXTRA_DIST += tests/fuzz/corpus/network

FUZZ_TESTS += tests/fuzz/fuzz-state
tests_fuzz_fuzz_state_SOURCES = tests/fuzz/fuzz-state.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_state_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/state"'
tests_fuzz_fuzz_state_LDADD = tests/unit/libfuse-client.a rootfs/share/libshare.a $(VIRTIO_TEST_LIBS)
EXTRA_DIST += tests/fuzz/corpus/state

FUZZ_TESTS += tests/fuzz/fuzz-qmp
tests_fuzz_fuzz_qmp_SOURCES = tests/fuzz/fuzz-qmp.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_qmp_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/qmp"'
tests_fuzz_fuzz_qmp_LDADD = vmm/libvmm.a base/libbase.a $(YAJL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/qmp

FUZZ_TESTS += tests/fuzz/fuzz-control
tests_fuzz_fuzz_control_SOURCES = tests/fuzz/fuzz-control.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_control_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/control"'
tests_fuzz_fuzz_control_LDADD = vmm/libvmm.a protocol/libprotocol.a base/libbase.a $(YAJL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/control

FUZZ_TESTS += tests/fuzz/fuzz-document
tests_fuzz_fuzz_document_SOURCES = tests/fuzz/fuzz-document.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_document_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/document"'
tests_fuzz_fuzz_document_LDADD = protocol/libprotocol.a base/libbase.a $(YAJL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/document

FUZZ_TESTS += tests/fuzz/fuzz-console
tests_fuzz_fuzz_console_SOURCES = tests/fuzz/fuzz-console.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_console_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/console"'
tests_fuzz_fuzz_console_LDADD = $(VIRTIO_TEST_LIBS)
EXTRA_DIST += tests/fuzz/corpus/console

FUZZ_TESTS += tests/fuzz/fuzz-relay
tests_fuzz_fuzz_relay_SOURCES = tests/fuzz/fuzz-relay.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_relay_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/relay"'
tests_fuzz_fuzz_relay_LDADD = $(tests_fuzz_fuzz_task_LDADD)
EXTRA_DIST += tests/fuzz/corpus/relay

FUZZ_TESTS += tests/fuzz/fuzz-agent
tests_fuzz_fuzz_agent_SOURCES = tests/fuzz/fuzz-agent.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_agent_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/agent"'
tests_fuzz_fuzz_agent_LDADD = $(tests_fuzz_fuzz_task_LDADD)
EXTRA_DIST += tests/fuzz/corpus/agent

FUZZ_TESTS += tests/fuzz/fuzz-plan
tests_fuzz_fuzz_plan_SOURCES = tests/fuzz/fuzz-plan.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_plan_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/plan"'
tests_fuzz_fuzz_plan_LDADD = $(tests_fuzz_fuzz_task_LDADD)
EXTRA_DIST += tests/fuzz/corpus/plan

FUZZ_TESTS += tests/fuzz/fuzz-image
tests_fuzz_fuzz_image_SOURCES = tests/fuzz/fuzz-image.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_image_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/image"'
tests_fuzz_fuzz_image_LDADD = rootfs/image/libimage.a base/libbase.a $(YAJL_LIBS) $(IMAGE_LIBS)
EXTRA_DIST += tests/fuzz/corpus/image

if HAVE_IMAGES
FUZZ_TESTS += tests/fuzz/fuzz-unpack
tests_fuzz_fuzz_unpack_SOURCES = tests/fuzz/fuzz-unpack.c tests/fuzz/replay.c
tests_fuzz_fuzz_unpack_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/unpack"'
tests_fuzz_fuzz_unpack_LDADD = rootfs/image/libimage.a base/libbase.a $(IMAGE_LIBS) $(ARCHIVE_LIBS) \
	$(YAJL_LIBS)
endif
EXTRA_DIST += tests/fuzz/corpus/unpack

if HAVE_IMAGES
FUZZ_TESTS += tests/fuzz/fuzz-images
tests_fuzz_fuzz_images_SOURCES = tests/fuzz/fuzz-images.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_images_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/images"'
tests_fuzz_fuzz_images_LDADD = rootfs/registry/libregistry.a rootfs/image/libimage.a base/libbase.a \
	$(REGISTRY_LIBS) $(YAJL_LIBS)
endif
EXTRA_DIST += tests/fuzz/corpus/images

FUZZ_TESTS += tests/fuzz/fuzz-mem
tests_fuzz_fuzz_mem_SOURCES = tests/fuzz/fuzz-mem.c tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_mem_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/mem"'
tests_fuzz_fuzz_mem_LDADD = virtio/libvirtio.a base/libbase.a $(YAJL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/mem

# (Calls that find or change a name go through the target.)
FUZZ_TESTS += tests/fuzz/fuzz-share
tests_fuzz_fuzz_share_SOURCES = tests/fuzz/fuzz-share.c tests/fuzz/share-calls.c tests/fuzz/share-calls.h \
	tests/fuzz/share-tree.c tests/fuzz/share-tree.h tests/fuzz/input.h tests/fuzz/replay.c
tests_fuzz_fuzz_share_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/share"'
tests_fuzz_fuzz_share_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=open,--wrap=openat,--wrap=mkdirat,--wrap=symlinkat \
	-Wl,--wrap=linkat,--wrap=unlinkat,--wrap=renameat2
tests_fuzz_fuzz_share_LDADD = tests/unit/libfuse-client.a tests/unit/libtest.a rootfs/share/libshare.a \
	base/libbase.a $(YAJL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/share
