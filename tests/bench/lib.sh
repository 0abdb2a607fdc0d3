# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the parts of the benchmark begin with: sourced.

# Says how the script is used, from its head.
usage() {
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
}

# numbers WORD…: or this is not how the script is used.
numbers() {
	local word
	for word; do
		[[ $word =~ ^[1-9][0-9]*$ ]] || usage
	done
}

# built BUILD TARGET…: in the lab, where nothing can be built: they were made before.
built() {
	local build=$1 target
	shift
	for target; do
		[ -x "$build/$target" ] || {
			echo "bench: no $build/$target: run \"make $*\" in the build tree first" >&2
			return 1
		}
	done
}

# made BUILD TARGET…: prints the build tree's absolute path; "all" and the targets are up to
# date then. (In the lab it is read-only, and was made before.)
made() {
	local build
	build=$(readlink -e "$1") && [ -f "$build/config.status" ] || {
		echo "bench: $1 is not a build tree: run configure there first" >&2
		return 1
	}
	shift
	[ -n "${LAB_BUILD:-}" ] ||
		env -u MAKEFLAGS make -s -C "$build" -j"$(nproc)" all "$@" >&2 || return 1
	echo "$build"
}

# own_programs BUILD: copies ours to the present directory, in the lab. It has the build tree without a cache: each
# exec there reads its program anew from the host, where a peer's is read once.
own_programs() {
	cp "$1/supermachine" "$1/supermachine-vmm" "$1/containerd-shim-supermachine-v1" "$1/initramfs.cpio" .
}
