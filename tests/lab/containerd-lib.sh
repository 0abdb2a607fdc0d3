# SPDX-License-Identifier: Apache-2.0
# For tests with a real containerd: sourced by the test files that use it.
#
# containerd's images and snapshots are on the scratch disk and stay for the next test;
# its state is the test's own, so that sockets, bundles and tasks are seen to go.

CTR_STATE=$TEST_DIR/containerd
CTR_ROOT=$SCRATCH/containerd
CTR_SOCKET=$CTR_STATE/containerd.sock
RUNTIME=io.supermachine.v1
IMAGE=docker.io/library/lab:latest
export CONTAINERD_ADDRESS=$CTR_SOCKET CONTAINERD_NAMESPACE=lab
SOCKETS=/run/containerd/s

command -v containerd >/dev/null || skip "no containerd here (Debian package containerd)"

# An archive of one layer with the common root file system, as `docker save` writes it.
make_image() {
	local archive=$SCRATCH/image.tar layer
	[ ! -s "$archive" ] || return 0
	make_rootfs
	mkdir image
	tar -C "$ROOTFS" -cf image/layer.tar .
	layer=$(sha256sum image/layer.tar | cut -d ' ' -f 1)
	jq -n --arg layer "sha256:$layer" '{architecture: "amd64", os: "linux",
		config: {Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["sleep", "100000"]},
		rootfs: {type: "layers", diff_ids: [$layer]}}' >image/config.json
	jq -n --arg image "$IMAGE" '[{Config: "config.json", RepoTags: [$image],
		Layers: ["layer.tar"]}]' >image/manifest.json
	tar -C image -cf "$archive.new" manifest.json config.json layer.tar
	rm -r image
	mv "$archive.new" "$archive"
}

# containerd as the distribution configures it, but for the places of its files.
launch_containerd() {
	cat >containerd.toml <<-END
		version = 2
		root = "$CTR_ROOT"
		state = "$CTR_STATE"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$CTR_SOCKET"
	END
	containerd --config containerd.toml >>containerd.log 2>&1 </dev/null &
	CONTAINERD=$!
	eventually 60 ctr version >/dev/null 2>&1
}
start_containerd() {
	mkdir -p "$CTR_STATE"
	# As it is where a container of runc's ran before.
	# shellcheck disable=SC2174 # the last directory's mode
	mkdir -p -m 600 "$SOCKETS"
	launch_containerd
	trap stop_containerd EXIT
	make_image
	[ -n "$(ctr image ls -q "name==$IMAGE")" ] || ctr image import "$SCRATCH/image.tar"
	# What a failed test left in the namespace is not this one's.
	ctr container ls -q | xargs -r ctr container rm
}

# Whatever the outcome: what a test left is for run-tests to find, containerd is not.
stop_containerd() {
	local status=$?
	# Not when a part of a pipeline ends.
	[ "$BASHPID" = $$ ] || return 0
	trap - EXIT
	[ "$status" = 0 ] || grep -v 'plugin' containerd.log | tail -n 40 >&2
	kill "$CONTAINERD" 2>/dev/null || true
	wait "$CONTAINERD" || true
	exit "$status"
}

# run [OPTION…] ID COMMAND…: ctr run of the image
run() {
	local options=()
	while [[ $1 == -* ]]; do
		options+=("$1")
		shift
	done
	ctr run --runtime "$RUNTIME" "${options[@]}" "$IMAGE" "$@"
}

# processes PROGRAM: how many run, whatever they call themselves
processes() {
	{ find /proc/[0-9]*/exe -maxdepth 0 -lname "*/$1" 2>/dev/null || true; } | wc -l
}

# How many VMMs there are. (A VMM's child that keeps a QEMU runs the same program.)
machines() {
	local exe parent n=0
	for exe in $(find /proc/[0-9]*/exe -maxdepth 0 -lname '*/supermachine-vmm' 2>/dev/null || true); do
		parent=$(awk '{ print $4 }' "${exe%exe}stat")
		[[ $(readlink "/proc/$parent/exe") == */supermachine-vmm ]] || n=$((n + 1))
	done
	echo $n
}

# Nothing of a sandbox is left: processes, mounts, sockets, files.
nothing_left() {
	[ "$(processes containerd-shim-supermachine-v1) $(processes supermachine-vmm)" = "0 0" ] &&
		[ -z "$(ls "$SOCKETS" 2>/dev/null)" ] &&
		[ -z "$(find "$CTR_STATE/io.containerd.runtime.v2.task" -mindepth 2 2>/dev/null)" ] &&
		! grep -q "$CTR_STATE" /proc/self/mountinfo
}

# task_is ID STATUS
task_is() {
	[ "$(ctr task ls | awk -v id="$1" '$1 == id { print $3 }')" = "$2" ]
}

# removed STATUS ID: the task can be removed, and had ended with STATUS (not 0), which ctr
# only warns of.
removed() {
	check_contains "$(ctr task rm "$2" 2>&1)" "exit code $1"
}
