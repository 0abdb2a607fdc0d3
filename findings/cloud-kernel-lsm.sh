#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Of the security modules that exclude each other, Linux starts the first in its list that is not switched off. In
# Debian 12's cloud kernel 6.1.192-3 AppArmor comes before SELinux and Smack. So "apparmor=0", which is meant to
# save its checks, starts SELinux in its place, without a policy: all is allowed, but each system call asks it.
# "lsm=" with a list that has none of them starts none (and no TOMOYO, which goes with any).
# Exits 0 while that is so. Prints what the kernel has started: /sys/kernel/security/lsm. Its packages are taken to a temporary
# directory; QEMU's libraries are those of the machine (qemu-system-x86's).
set -eu
version=6.1.192-3 package=linux-image-6.1.0-57-cloud-amd64 busybox=1:1.35.0-4+deb12u1+b1
qemu=1:7.2+dfsg-7+deb12u18+b3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q -o APT::Sandbox::User=root download "$package=$version" "busybox-static=$busybox" \
	"qemu-system-x86=$qemu" "qemu-system-common=$qemu" qemu-system-data seabios >/dev/null
for name in *.deb; do
	dpkg --fsys-tarfile "$name" | tar -x
done
mkdir -p root/sys
cp bin/busybox root/busybox
cat >root/init <<'END'
#!/busybox sh
/busybox mount -t sysfs sys /sys
/busybox mount -t securityfs security /sys/kernel/security
echo "lsm: $(/busybox cat /sys/kernel/security/lsm)"
/busybox poweroff -f
END
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc) >initramfs
# started OPTION: the modules.
started() {
	timeout 120 usr/bin/qemu-system-x86_64 -L usr/share/qemu -L usr/share/seabios -M q35 -m 256 -display none -no-reboot -serial stdio -nodefaults \
		-kernel boot/vmlinuz-* -initrd initramfs -append "console=ttyS0 quiet panic=-1 no_timer_check $1" </dev/null |
		tr -d '\r' | sed -n 's/^.*lsm: //p'
}
for option in '' apparmor=0 lsm=landlock,lockdown,yama,integrity,bpf; do
	modules=$(started "$option")
	echo "${option:-as it comes}: $modules"
	case $option in
	'') wanted=apparmor ;;
	apparmor=0) wanted=selinux ;;
	*) wanted=none ;;
	esac
	got=none
	for name in apparmor selinux smack; do
		case ,$modules, in *,$name,*) got=$name ;; esac
	done
	[ -n "$modules" ] && [ "$got" = "$wanted" ] || { echo "changed: $got, not $wanted"; exit 1; }
done
