#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# QEMU 7.2 (Debian 12, 1:7.2+dfsg-7+deb12u18+b3): "-netdev vhost-user" refuses a chardev whose socket was
# inherited ("fd="), for it "does not support FD passing"; vhost-user-blk, -fs and -vsock take the same one.
# With "path=" it works, also where the path is /proc/self/fd/N of an O_PATH descriptor.
# Installs that package in a temporary directory; its libraries are those of the machine (qemu-system-x86's).
# Exits 0 while that is so.
set -eu
version=1:7.2+dfsg-7+deb12u18+b3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root "qemu-system-x86=$version" qemu-system-data seabios
for package in *.deb; do
	dpkg -x "$package" .
done
qemu=("$work/usr/bin/qemu-system-x86_64" -L "$work/usr/share/qemu" -L "$work/usr/share/seabios"
	-M 'microvm,accel=tcg' -nodefaults -display none -S -monitor none)
"${qemu[0]}" --version | head -n 1

cat >inherit.py <<'END_PYTHON'
import os, socket, sys
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
os.dup2(theirs.fileno(), 9)
os.execvp(sys.argv[1], sys.argv[1:])
END_PYTHON
timeout 20 python3 inherit.py "${qemu[@]}" -chardev socket,id=c,fd=9 \
	-netdev vhost-user,id=n,chardev=c >output 2>&1 || :
cat output
grep -q 'does not support FD passing' output || {
	echo "changed: an inherited socket will do"
	exit 1
}
