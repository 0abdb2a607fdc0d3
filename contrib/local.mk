# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += contrib/man/supermachine.8 contrib/man/containerd-shim-supermachine-v1.8
EXTRA_DIST += README.md HACKING.md SECURITY.md CHANGES.md LICENSE NOTICE contrib/containerd/config.toml contrib/containerd/runtimeclass.yaml
DECISIONS = $(wildcard $(srcdir)/doc/decisions/*.md)
EXTRA_DIST += doc/flow.md doc/security.md doc/limits.md doc/testing.md $(DECISIONS:$(srcdir)/%=%)
EXTRA_DIST += contrib/kernel/build contrib/kernel/guest.config contrib/kernel/fetch-cloud \
	contrib/kernel/modules.list contrib/debian-packages contrib/apt-install

# Guest kernels are kept outside the build tree, so that each is made once.
KERNEL_CACHE = $${SUPERMACHINE_CACHE:-$$([ $$(id -u) = 0 ] && echo /var/cache/supermachine || \
	echo $${XDG_CACHE_HOME:-$$HOME/.cache}/supermachine)}/kernel

.PHONY: kernel cloud-kernel
kernel:
	$(srcdir)/contrib/kernel/build "$(KERNEL_CACHE)/small"
cloud-kernel:
	$(srcdir)/contrib/kernel/fetch-cloud "$(KERNEL_CACHE)/cloud"
