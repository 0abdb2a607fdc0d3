#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian 12's kernel 6.1.192-2 has a driver for the VM Generation ID (drivers/virt/vmgenid.c); its
# cloud flavour, which is made for virtual machines, has not: CONFIG_VIRT_DRIVERS, below which the
# driver is, is off there. A guest with that kernel does not learn that it has become a clone, and
# goes on with the random numbers of the original until somebody else reseeds its pool. (The cloud
# flavour of Debian 13, 6.12, has the driver built in.)
# Exits 0 while that is so.
set -eu
version=6.1.192-2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# option FLAVOUR NAME: the line of its configuration that is about CONFIG_NAME.
option() {
	grep -w "CONFIG_$2" "$1/boot/config-"* || echo "no CONFIG_$2"
}
for flavour in amd64 cloud-amd64; do
	package=linux-image-6.1.0-56-$flavour
	apt-get -q -o APT::Sandbox::User=root download "$package=$version" >/dev/null
	mkdir "$flavour"
	dpkg --fsys-tarfile "$package"_*.deb | tar -x -C "$flavour" ./boot
	rm "$package"_*.deb
	echo "$flavour: $(option "$flavour" VIRT_DRIVERS), $(option "$flavour" VMGENID)"
done
[ "$(option amd64 VMGENID)" != "no CONFIG_VMGENID" ] || { echo "changed: no driver in any"; exit 1; }
[ "$(option cloud-amd64 VMGENID)" = "no CONFIG_VMGENID" ] || { echo "changed: the cloud flavour has it"; exit 1; }
[ "$(option cloud-amd64 VIRT_DRIVERS)" = "# CONFIG_VIRT_DRIVERS is not set" ]
