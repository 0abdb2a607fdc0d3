# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += contrib/man/supermachine.8 contrib/man/containerd-shim-supermachine-v1.8
EXTRA_DIST += README.md HACKING.md SECURITY.md CHANGES.md LICENSE NOTICE contrib/containerd/config.toml contrib/containerd/runtimeclass.yaml
DECISIONS = $(wildcard $(srcdir)/doc/decisions/*.md)
EXTRA_DIST += doc/flow.md doc/security.md doc/limits.md doc/testing.md $(DECISIONS:$(srcdir)/%=%)
EXTRA_DIST += contrib/kernel/build contrib/kernel/guest.config contrib/kernel/fetch-cloud \
	contrib/kernel/modules.list contrib/debian-packages contrib/apt-install
bashcompletiondir = $(datadir)/bash-completion/completions
EXTRA_DIST += contrib/completion/supermachine.bash

# A completion is found by its program's name.
install-data-hook: install-completion
uninstall-hook: uninstall-completion
.PHONY: install-completion uninstall-completion
install-completion:
	$(MKDIR_P) "$(DESTDIR)$(bashcompletiondir)"
	$(INSTALL_DATA) $(srcdir)/contrib/completion/supermachine.bash "$(DESTDIR)$(bashcompletiondir)/supermachine"
uninstall-completion:
	rm -f "$(DESTDIR)$(bashcompletiondir)/supermachine"

# Guest kernels are kept outside the build tree, so that each is made once.
KERNEL_CACHE = $${SUPERMACHINE_CACHE:-$$([ $$(id -u) = 0 ] && echo /var/cache/supermachine || \
	echo $${XDG_CACHE_HOME:-$$HOME/.cache}/supermachine)}/kernel

.PHONY: kernel cloud-kernel
kernel:
	$(srcdir)/contrib/kernel/build "$(KERNEL_CACHE)/small"
cloud-kernel:
	$(srcdir)/contrib/kernel/fetch-cloud "$(KERNEL_CACHE)/cloud"
