#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a lab test may use. Run as: bash lib.sh FILE.test test_NAME
#
# A test runs as root in its own empty directory ($TEST_DIR, ext4), under
# `set -eE`: any command that fails is its failure. It must leave no process, mount,
# socket, cgroup or network namespace (run-tests looks). "# limit: SECONDS" in front of
# it replaces the limit of 120 s, in seconds of a quick machine: run-tests gives SLACK times as
# many; "# needs: kvm" is for one about KVM itself, "# needs: lab"
# for one that wants a whole machine to itself (modules, free memory, a disk): others also
# run emulated, outside the lab. "# needs: speed" is for one that the lab is too slow for.
# "# engine: any" is for one that holds what neither KVM nor a device's transport can change (an
# option's meaning, a file's mode): the lab has it only where a pattern asks for it.
set -eEuo pipefail
# (To the log: standard error may just be a file of the test's.)
trap 'echo "failed at ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >>"${TEST_LOG:-/dev/stderr}"' ERR

SLACK=${SLACK:-1}
ROOT=$TEST_DIR/root
ROOTFS=$SCRATCH/rootfs
KERNELS=$SUPERMACHINE_CACHE/kernel
# The container's id, and its bundle.
ID=c1
BUNDLE=$TEST_DIR/bundle
cd "$TEST_DIR"

fail() {
	echo "FAIL: $*" >>"${TEST_LOG:-/dev/stderr}"
	exit 1
}

skip() {
	echo "skipped: $*"
	exit 77
}

# check_equal GOT WANTED [WHAT]
check_equal() {
	[ "$1" = "$2" ] || fail "${3:-got} \"$1\", not \"$2\""
}

# check_contains TEXT PART
check_contains() {
	[[ $1 == *"$2"* ]] || fail "\"$1\" does not contain \"$2\""
}

# status WANTED COMMAND…: runs it, its output into ./output and ./errors.
status() {
	local wanted=$1 got=0
	shift
	"$@" >output 2>errors </dev/null || got=$?
	[ "$got" = "$wanted" ] || {
		head -c 2000 output errors >&2
		fail "status $got, not $wanted: $*"
	}
}

# eventually SECONDS COMMAND…
eventually() {
	local end=$((SECONDS + $1 * SLACK))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || fail "did not come true: $*"
		sleep 0.1
	done
}

sm() {
	"$LAB_BUILD/supermachine" --root "$ROOT" "$@"
}

# drop_links NAME…: those that are still there.
drop_links() {
	local name
	for name; do
		ip link del "$name" 2>/dev/null || true
	done
}
# Of `ip netns add`; also what it mounts for the first one.
drop_namespaces() {
	local name
	for name; do
		ip netns del "$name" 2>/dev/null || true
	done
	[ -n "$(ls /run/netns 2>/dev/null)" ] || umount /run/netns 2>/dev/null || true
}

# state_member NAME STATE: a string or a number of a state, as our programs write it. (jq takes half a
# second of the lab's processor each time, and what a test waits for is asked often.)
state_member() {
	local pattern=$'\n  "'$1'": "?([^,"[:space:]]+)'
	[[ $'\n'$2 =~ $pattern ]] && echo "${BASH_REMATCH[1]}"
}
# The status `state` tells, or "none".
state_of() {
	local state
	state=$(sm state "${1:-$ID}" 2>/dev/null) && state_member status "$state" || echo none
}
status_is() {
	[ "$(state_of "$1")" = "$2" ]
}
pid_of() {
	local state
	state=$(sm state "${1:-$ID}") && state_member pid "$state"
}
server_of() {
	state_member serverPid "$(<"$ROOT/${1:-$ID}/state.json")"
}

# The QEMU that a VMM has started: the child of its keeper.
qemu_of() {
	ps -o pid= --ppid "$(ps -o pid= --ppid "$1" | tr -d ' ')" | tr -d ' '
}

# A root file system of busybox, one for all tests of a lab.
make_rootfs() {
	[ ! -d "$ROOTFS" ] || return 0
	local new=$ROOTFS.new
	mkdir -p "$new"/{bin,dev,etc,proc,root,sys,tmp,var/tmp,home/user}
	chmod 1777 "$new/tmp"
	cp /bin/busybox "$new/bin/"
	# (One process: in the lab each takes some 20 ms.)
	/bin/busybox --list | perl -e 'while (<STDIN>) { chomp; symlink "busybox", "$ARGV[0]/$_" }' "$new/bin"
	printf '%s\n' root:x:0:0:root:/root:/bin/sh user:x:1000:1000:user:/home/user:/bin/sh >"$new/etc/passwd"
	printf '%s\n' root:x:0: user:x:1000: >"$new/etc/group"
	chown 1000:1000 "$new/home/user"
	mv "$new" "$ROOTFS"
}

# The kernel directories there are, the preferred one first.
kernels() {
	local name
	for name in small cloud; do
		[ ! -s "$KERNELS/$name/vmlinux" ] || echo "$KERNELS/$name"
	done
}
a_kernel() {
	kernels | head -n 1
}

# config.json as callers of an OCI runtime write it, changed by the jq filter $1. The root
# file system is $TREE, else the common one.
config() {
	jq --arg rootfs "${TREE:-$ROOTFS}" ".root.path = \$rootfs | ${1:-.}" <<-'END'
	{
	  "ociVersion": "1.0.2",
	  "process": {
	    "user": {"uid": 0, "gid": 0},
	    "args": ["true"],
	    "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
	    "cwd": "/",
	    "capabilities": {
	      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
	      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
	      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
	    },
	    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
	    "noNewPrivileges": true
	  },
	  "root": {"path": "rootfs"},
	  "hostname": "lab-test",
	  "mounts": [
	    {"destination": "/proc", "type": "proc", "source": "proc"},
	    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
	     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
	    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
	     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
	    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
	     "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
	    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
	     "options": ["nosuid", "noexec", "nodev"]},
	    {"destination": "/sys", "type": "sysfs", "source": "sysfs",
	     "options": ["nosuid", "noexec", "nodev", "ro"]},
	    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
	     "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
	  ],
	  "linux": {
	    "resources": {"devices": [{"allow": false, "access": "rwm"}]},
	    "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
	      {"type": "mount"}, {"type": "cgroup"}],
	    "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
	    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
	  }
	}
	END
}

bundle() {
	make_rootfs
	mkdir -p "$BUNDLE"
	config "${1:-.}" >"$BUNDLE/config.json"
}

# bundle_sh SCRIPT [JQ-FILTER]: the bundle runs SCRIPT with sh.
bundle_sh() {
	local text=${1//\\/\\\\}
	text=${text//'"'/'\"'}
	text=${text//$'\n'/'\n'}
	bundle ".process.args = [\"sh\", \"-c\", \"${text//$'\t'/'\t'}\\n\"] | ${2:-.}"
}

# Part of a jq filter for bundle(): "$(bind SOURCE DESTINATION OPTION…) …" adds a bind mount.
bind() {
	local source=$1 destination=$2
	shift 2
	printf '.mounts += [{type: "bind", source: "%s", destination: "%s", options: %s}] | ' \
		"$source" "$destination" "$(printf '%s\n' "$@" | jq -Rcs 'split("\n")[:-1]')"
}

# Another part: the capabilities that Docker gives to a container, as far as files go.
# shellcheck disable=SC2034 # for test files
ALL_CAPS='.process.capabilities[] = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
	"CAP_KILL", "CAP_MKNOD", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT"] | '

# And another: the root file system is a layer, not a share.
# shellcheck disable=SC2034 # for test files
AS_LAYER='.annotations = {"io.supermachine.rootfs": "layer"}'

# inside SCRIPT: in the container that runs, by sh.
inside() {
	sm exec "$ID" sh -c "$1"
}
inside_is() {
	[ "$(inside "$1" 2>/dev/null)" = "$2" ]
}

# A container in the background that waits for signals, created and started.
start_sleeper() {
	bundle_sh 'trap "exit 0" TERM; while :; do sleep 1 & wait; done' "${1:-.}"
	sm create --bundle "$BUNDLE" "$ID" >create.out 2>&1 </dev/null || {
		cat create.out >&2
		fail "create"
	}
	sm start "$ID"
}

# ---- supermachine-vmm alone ----

# An initramfs whose init loads the kernel's modules, if it has some, and runs $1.
initramfs() {
	mkdir -p tree/{bin,dev,proc,sys}
	cp /bin/busybox tree/bin/
	ln -sf busybox tree/bin/sh
	mknod tree/dev/console c 5 1 2>/dev/null || true
	{
		echo '#!/bin/busybox sh'
		echo '/bin/busybox --install -s /bin; export PATH=/bin'
		echo 'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev'
		echo '[ ! -f /modules/order ] || while read m; do insmod /modules/$m; done </modules/order'
		echo "$1"
	} >tree/init
	chmod +x tree/init
	(cd tree && find . | cpio --quiet -o -H newc) >init.cpio
}

# reboot=a: else an EFI kernel, on hardware-reduced ACPI, asks EFI and then a BIOS to reset.
# machine KERNEL-DIRECTORY [JQ-FILTER]: runs it, the guest's console into ./console.
machine() {
	local modules=$1/modules.cpio
	jq -n --arg kernel "$1/vmlinux" --arg init "$TEST_DIR/init.cpio" --arg modules "$modules" \
		--argjson modular "$([ -f "$modules" ] && echo true || echo false)" \
		"{version: 1, accel: (env.SUPERMACHINE_ACCEL // \"kvm\"), kernel: {path: \$kernel},
		vcpus: 1, memory_mib: 192,
		initramfs: ([{path: \$init}] + if \$modular then [{path: \$modules}] else [] end),
		cmdline: \"console=hvc0 quiet panic=-1 reboot=a cryptomgr.notests\",
		devices: [{type: \"rng\"}, {type: \"console\", output: {fd: 5}}]} | ${2:-.}" >vm.json
	"$LAB_BUILD/supermachine-vmm" --config vm.json 5>console 2>vmm.log
}

# The status the machine ends with.
machine_status() {
	local got=0
	machine "${@:2}" || got=$?
	[ "$got" = "$1" ] || {
		tail -n 30 console vmm.log >&2
		fail "status $got, not $1"
	}
}

# Set-up and tear-down of what a file defines; the test itself.
# shellcheck source=/dev/null # any test file
source "$1"
"$2"
