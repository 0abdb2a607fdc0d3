#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# podman 4.3.1 (Debian 12, 4.3.1+ds1-8+deb12u1+b3) reads the list of runtimes that can do without a cgroup
# ("--cgroups=disabled") from the key "runtime_supports_nocgroup" of containers.conf. The manual page containers.conf(5)
# and the sample file, both of golang-github-containers-common 0.50.1 (0.50.1+ds1-4), name it "runtime_supports_nocgroups",
# which podman passes over in silence.
# Installs podman and conmon in a temporary directory; their libraries are those of the machine. The runtime is a script.
# Exits 0 while that is so.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root podman=4.3.1+ds1-8+deb12u1+b3 conmon \
	golang-github-containers-common=0.50.1+ds1-4
for package in *.deb; do
	dpkg -x "$package" .
done
usr/bin/podman --version
grep -q '^#runtime_supports_nocgroups = ' usr/share/containers/containers.conf
gzip -dc usr/share/man/man5/containers.conf.5.gz | grep -q 'runtime_supports_nocgroups'

printf '#!/bin/sh\nexit 0\n' >stand-in
printf '{"default": [{"type": "insecureAcceptAnything"}]}' >policy.json
chmod +x stand-in
tar -cf empty.tar --files-from /dev/null
# with KEY: creates a container that is to have no cgroup
with() {
	cat >containers.conf <<-END
		[engine]
		runtime = "stand-in"
		cgroup_manager = "cgroupfs"
		conmon_path = ["$work/usr/bin/conmon"]
		$1 = ["stand-in"]
		[engine.runtimes]
		stand-in = ["$work/stand-in"]
	END
	CONTAINERS_CONF=$work/containers.conf timeout 60 usr/bin/podman --root "$work/root" --runroot "$work/run" \
		--tmpdir "$work/tmp" --storage-driver vfs create --cgroups=disabled localhost/empty true >output 2>&1
}
CONTAINERS_CONF=/dev/null timeout 60 usr/bin/podman --root "$work/root" --runroot "$work/run" --storage-driver vfs import \
	--signature-policy "$work/policy.json" empty.tar localhost/empty >output 2>&1 || cat output
if with runtime_supports_nocgroups; then
	echo "changed: the key of the manual page will do"
	exit 1
fi
cat output
grep -q 'not compatible with NoCgroups' output
with runtime_supports_nocgroup || {
	cat output
	echo "changed: the key without an s will not do"
	exit 1
}
