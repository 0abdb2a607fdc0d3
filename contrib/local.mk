# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += contrib/man/supermachine.8 contrib/man/containerd-shim-supermachine-v1.8
EXTRA_DIST += README.md HACKING.md SECURITY.md CHANGES.md LICENSE NOTICE contrib/containerd/config.toml contrib/containerd/runtimeclass.yaml \
	contrib/systemd/supermachine@.service contrib/systemd/supermachine-pool.service
DECISIONS = $(wildcard $(srcdir)/doc/decisions/*.md)
EXTRA_DIST += doc/flow.md doc/security.md doc/limits.md doc/testing.md $(DECISIONS:$(srcdir)/%=%)
EXTRA_DIST += contrib/kernel/build contrib/kernel/guest.config contrib/kernel/fetch-cloud \
	contrib/kernel/modules.list contrib/debian-packages contrib/apt-install
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
EXTRA_DIST += contrib/completion/supermachine.bash contrib/completion/supermachine.zsh contrib/completion/supermachine.fish

# A completion is found by its program's name. Those for other shells ask bash's.
install-data-hook: install-completion
uninstall-hook: uninstall-completion uninstall-directories
.PHONY: install-completion uninstall-completion uninstall-directories
install-completion:
	$(MKDIR_P) "$(DESTDIR)$(bashcompletiondir)"
	$(MKDIR_P) "$(DESTDIR)$(zshcompletiondir)" "$(DESTDIR)$(fishcompletiondir)"
	$(INSTALL_DATA) $(srcdir)/contrib/completion/supermachine.bash "$(DESTDIR)$(bashcompletiondir)/supermachine"
	sed 's|@COMPLETION@|$(bashcompletiondir)/supermachine|' $(srcdir)/contrib/completion/supermachine.zsh \
		>"$(DESTDIR)$(zshcompletiondir)/_supermachine"
	sed 's|@COMPLETION@|$(bashcompletiondir)/supermachine|' $(srcdir)/contrib/completion/supermachine.fish \
		>"$(DESTDIR)$(fishcompletiondir)/supermachine.fish"
	chmod 644 "$(DESTDIR)$(zshcompletiondir)/_supermachine" "$(DESTDIR)$(fishcompletiondir)/supermachine.fish"
uninstall-completion:
	rm -f "$(DESTDIR)$(bashcompletiondir)/supermachine" "$(DESTDIR)$(zshcompletiondir)/_supermachine" \
		"$(DESTDIR)$(fishcompletiondir)/supermachine.fish"

# Those with our name; the others are the system's. (distcheck looks for these, too.)
uninstall-directories:
	rmdir "$(DESTDIR)$(pkglibexecdir)" "$(DESTDIR)$(pkgdatadir)" 2>/dev/null || :
distuninstallcheck_listfiles = find . \( -type f -o -type d -name $(PACKAGE) \) -print

# Guest kernels are kept outside the build tree, so that each is made once.
KERNEL_CACHE = $${SUPERMACHINE_CACHE:-$$([ $$(id -u) = 0 ] && echo /var/cache/supermachine || \
	echo $${XDG_CACHE_HOME:-$$HOME/.cache}/supermachine)}/kernel

.PHONY: kernel cloud-kernel
kernel:
	$(srcdir)/contrib/kernel/build "$(KERNEL_CACHE)/small"
cloud-kernel:
	$(srcdir)/contrib/kernel/fetch-cloud "$(KERNEL_CACHE)/cloud"
