#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command line without KVM: what it refuses, and every verb against
# tests/unit/fake-task-server, which runs the programs on the host.
set -u
build=$(pwd)
[ -x "$build/supermachine" ] || { echo "skipped: no supermachine in $build"; exit 77; }
work=$(mktemp -d /tmp/test-cli.XXXXXX)
failures=0
checks=0

# The verbs look for the task server beside themselves.
mkdir "$work/bin"
cp "$build/supermachine" "$work/bin/"
cp "$build/tests/unit/fake-task-server" "$work/bin/containerd-shim-supermachine-v1"
export SUPERMACHINE_CACHE=$work/cache SUPERMACHINE_RUNTIME=$work/runtime
unset SUPERMACHINE_KERNEL SUPERMACHINE_ACCEL SUPERMACHINE_CONFIG
# What the probe says, and that it was asked.
printf '#!/bin/sh\necho x >>%s/probed\ncat %s/probe\n' "$work" "$work" >"$work/bin/supermachine-vmm"
chmod +x "$work/bin/supermachine-vmm"
echo usable >"$work/probe"
root=$work/run
bundle=$work/bundle

cleanup() {
	for pid in $(jobs -p); do kill "$pid" 2>/dev/null; done
	for dir in "$root"/*/; do
		[ -d "$dir" ] && sm delete --force "$(basename "$dir")" 2>/dev/null
	done
	rm -rf "$work"
}
trap cleanup EXIT

sm() { "$work/bin/supermachine" --root "$root" "$@"; }

fail() {
	echo "FAIL line ${BASH_LINENO[1]}: $*"
	failures=$((failures + 1))
}
# expect STATUS PATTERN COMMAND...: the status, and a pattern (grep -E) in stdout or stderr
expect() {
	local status=$1 pattern=$2 got
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	checks=$((checks + 1))
	[ "$got" = "$status" ] ||
		fail "$*: status $got, not $status: $(tail -n 3 "$work/out" "$work/err")"
	[ -z "$pattern" ] || cat "$work/out" "$work/err" | grep -Eq -e "$pattern" ||
		fail "$*: no \"$pattern\" in: $(cat "$work/out" "$work/err")"
}
# is GOT WANTED WHAT
is() {
	checks=$((checks + 1))
	[ "$1" = "$2" ] || fail "$3: \"$1\", not \"$2\""
}
# eventually COMMAND...: within 5 s
eventually() {
	checks=$((checks + 1))
	for _ in $(seq 600); do
		"$@" && return 0
		sleep 0.05
	done
	fail "never came true: $*"
	return 1
}
status_is() { [ "$(sm state "$1" 2>/dev/null | sed -n 's/.*"status": "\(.*\)".*/\1/p')" = "$2" ]; }
server_of() { sed -n 's/.*"serverPid": \([0-9]*\).*/\1/p' "$root/$1/state.json"; }
# The "sleep" that a task server runs; it may still be on its way there.
program_of() {
	for _ in $(seq 100); do
		pgrep -P "$1" -x sleep && return
		sleep 0.05
	done
}
# config TERMINAL ARG...: the bundle's config.json
config() {
	local terminal=$1 args='' word
	shift
	for word; do args="$args${args:+,}\"${word//\"/\\\"}\""; done
	cat >"$bundle/config.json" <<-EOF
	{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "hostname": "h",
	 "process": {"terminal": $terminal, "user": {"uid": 0, "gid": 0}, "cwd": "/",
	   "args": [$args], "env": ["PATH=/usr/bin:/bin", "TERM=dumb"]},
	 "annotations": {"k": "v"}, "linux": {"namespaces": [{"type": "pid"}, {"type": "network"},
	   {"type": "ipc"}, {"type": "uts"}]}${extra:+, $extra}}
	EOF
}
# Every process of ours that is left with this directory on its command line.
left_processes() { pgrep -f "serve --root $root" | wc -l; }

mkdir -p "$bundle/rootfs/bin"
echo data >"$bundle/rootfs/bin/file"
config false true

# ---- what is refused ----

echo '{"name": "of another program"}' >"$work/config.json"
cd "$work" || exit
expect 1 'is taken for a bundle: .*ociVersion: missing' sm run busybox
cd - >/dev/null || exit
rm "$work/config.json"

expect 3 "No help topic for 'bogus'" sm bogus
expect 1 'flag provided but not defined: -bogus' sm --bogus list
expect 1 'flag provided but not defined: -bogus' sm list --bogus
expect 1 'flag needs an argument: -bundle' sm create --bundle
# In one stream too, what was wrong is the last line.
is "$(sm run --bogus 2>&1 | tail -n 1 | grep -o 'level=error msg="flag provided.*')" \
	'level=error msg="flag provided but not defined: -bogus"' 'the last line of a wrong use'
expect 1 'supermachine: \\"state\\" requires exactly 1 argument\(s\)' sm state
expect 1 'requires a minimum of 1 argument' sm kill
expect 1 'requires a maximum of 2 argument' sm kill a b c
expect 1 'invalid log-format: x' sm --log-format x list
expect 1 'unknown cgroup manager' sm --cgroup-manager x list
if [ ! -e /run/systemd/system ]; then
	expect 1 'systemd cgroup flag passed, but systemd support for managing cgroups is not available' \
		sm --systemd-cgroup create --bundle "$bundle" s1
fi
expect 1 'invalid format option' sm list -f x
expect 1 'invalid format option' sm check -f x
expect 0 '^   supermachine \[global options\]' sm --help
expect 0 'create a container' sm create --help
expect 0 'USAGE' sm help state
expect 3 "No help topic for 'x'" sm help x
for verb in check checkpoint create delete events exec features fork kill list pause port ps restart restore resume run \
	spec start state top update volume; do
	expect 0 "supermachine $verb" sm "$verb" --help
done
expect 0 '^supermachine version [0-9.]+$' sm --version
expect 0 '^supermachine version [0-9.]+$' sm -v
is "$(sm --version | wc -l)" 3 'lines of --version'
sm --version >/dev/full 2>/dev/null
is $? 1 'a full stdout'

# The real task server: its log keeps its end.
head -c 2000000 /dev/zero | tr '\0' x >"$work/log"
"$build/containerd-shim-supermachine-v1" serve --root "$root" --id x 2>>"$work/log" 3</dev/null
[ "$(stat -c %s "$work/log")" -le 1048576 ] || fail "a log of $(stat -c %s "$work/log") bytes"
is "$(tail -n 1 "$work/log" | grep -o 'level=error')" level=error "the log's last line"

for verb in state start kill delete pause resume ps events checkpoint; do
	expect 1 'level=error msg="container does not exist' sm "$verb" nope
done
expect 1 'container does not exist' sm fork nope new
expect 1 'requires exactly 2 argument' sm fork nope
expect 1 'container does not exist' sm update --memory 1M nope
expect 255 'exec failed: container does not exist' sm exec nope ls
expect 0 '' sm delete --force nope
expect 0 '' sm delete nope -f
for id in a/b .. . 'a b' ''; do
	expect 1 'container (ID|id)' sm create -b "$bundle" "$id"
	expect 1 'container (ID|id)' sm delete -f "$id"
done
expect 1 'No such file or directory' sm create -b "$work/none" x
expect 1 'JSON specification file config.json not found' sm create -b "$work" x
mkdir -p "$work/odd/config.json"
expect 1 'config.json: Is a directory' sm create -b "$work/odd" x
echo '{"ociVersion":' >"$bundle/config.json"
expect 1 'not valid JSON' sm create -b "$bundle" x
echo '{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"cwd":"/","args":[1]}}' \
	>"$bundle/config.json"
expect 1 'config.json: process.args\[0\]: must be a string' sm create -b "$bundle" x
echo '{"ociVersion":"1.0.2","root":{"path":"rootfs"}}' >"$bundle/config.json"
expect 1 'process: missing' sm create -b "$bundle" x
config false true
sed -i 's/rootfs/nowhere/' "$bundle/config.json"
expect 1 'invalid rootfs: stat .*/nowhere: no such file or directory' sm create -b "$bundle" x
# As runc has it: no link on the way to the root, for any reader, but on that to the bundle.
ln -s rootfs "$bundle/link"
ln -s "$bundle" "$work/elsewhere"
link_error='invalid rootfs: not an absolute path, or a symlink'
for path in link link/bin "$bundle/link" "$work/elsewhere/rootfs"; do
	config false true
	sed -i "s|rootfs|$path|" "$bundle/config.json"
	expect 1 "$link_error: .*$path" sm create -b "$bundle" x
	expect 1 "$link_error" sm create --rootfs layer -b "$bundle" x
done
config true true
expect 1 'cannot allocate tty' sm create -b "$work/elsewhere" x
rm "$bundle/link" "$work/elsewhere"
config true true
expect 1 'cannot allocate tty if supermachine will detach without setting console socket' \
	sm create -b "$bundle" x
config false true
expect 1 'cannot use console socket if supermachine will not detach or allocate tty' \
	sm create -b "$bundle" --console-socket "$work/sock" x
expect 1 'unable to stat preserved-fd 3' sm create -b "$bundle" --preserve-fds 1 x 3>&-
expect 1 'no more than 29 can be passed' sm create -b "$bundle" --preserve-fds 30 x
expect 1 'descriptor 3 is a directory' sm create -b "$bundle" --preserve-fds 1 x 3<.
expect 1 '--memory: invalid size' sm create -b "$bundle" --memory much x
expect 1 '--config \.: not a regular file' sm create -b "$bundle" --config . x
expect 1 '--config other.json: No such file' sm create -b "$bundle" --config other.json x
expect 125 'run: --config is for bundles, and this is an image' sm run --config "$bundle/config.json" x
expect 1 'No such file' sm create -b "$bundle" -f nowhere.json x
expect 1 '--network: must be none, ns:PATH or passt, not \\"host\\"' sm create -b "$bundle" --network host x
expect 1 '--network: cannot open the network namespace /none/such' \
	sm run -b "$bundle" --network ns:/none/such x
expect 1 '--publish 80:80: only the network passt publishes ports: add --network passt' \
	sm create -b "$bundle" -p 80:80 x
expect 1 '--publish 80:80: only the network passt' sm create -b "$bundle" --network none -p 80:80 x
expect 1 '--publish 81-80:1-2: the range 81-80 ends before it begins' \
	sm run -b "$bundle" --network passt -p 8080:80 --publish=81-80:1-2 x
expect 1 'flag needs an argument: -p' sm create -b "$bundle" -p
expect 1 'the image path /x: No such file' sm restore --image-path /x -b "$bundle" x
mkdir "$work/empty"
expect 1 'config.json' sm restore --image-path "$work/empty" -b "$work/empty" x
is "$(grep -c 'run failed' "$work/err")" 0 'restore, which is not run'
expect 1 '--lsm-profile is not supported' sm restore --image-path / --lsm-profile x -b "$bundle" x
expect 1 '--lazy-pages is not supported' sm restore --image-path / --lazy-pages -b "$bundle" x
expect 1 '--image-path is empty' sm restore --image-path '' -b "$bundle" x
expect 1 '--accel: must be auto, kvm or tcg, not \\"fast\\"' sm create -b "$bundle" --accel fast x
expect 1 '\$SUPERMACHINE_ACCEL: must be auto, kvm or tcg, not \\"KVM\\"' \
	env SUPERMACHINE_ACCEL=KVM "$work/bin/supermachine" --root "$root" create -b "$bundle" x
sed -i 's/"k": "v"/"io.supermachine.accel": "none"/' "$bundle/config.json"
expect 1 'annotations\[\\"io.supermachine.accel\\"\]: must be auto, kvm or tcg, not \\"none\\"' sm create -b "$bundle" x
config false true
echo '{"accel": "qemu"}' >"$work/settings.json"
expect 1 'settings.json: accel: must be auto, kvm or tcg, not \\"qemu\\"' env SUPERMACHINE_CONFIG="$work/settings.json" \
	"$work/bin/supermachine" --root "$root" create -b "$bundle" x
is "$(ls -A "$root" 2>/dev/null)" '' 'refusals leave nothing'

# A log: errors go there, and plainly to stderr.
expect 1 '^container does not exist: nope$' sm --log "$work/log" --log-format json state nope
grep -Eq '^\{"level":"error","msg":"container does not exist: nope","time":"[^"]*"\}$' "$work/log" ||
	fail "the log: $(cat "$work/log")"

# ---- create fails: everything is undone ----

config false fail-create
expect 1 'create failed: the machine did not boot' sm create -b "$bundle" bad
config false unavailable-create
expect 1 'create failed: the guest ended"' sm create -b "$bundle" bad
config false die-create
expect 1 'saying: .*these are my last words' sm create -b "$bundle" bad
config false true
expect 1 'cannot create a file' sm create -b "$bundle" --pid-file "$work/none/pid" bad
expect 1 'disk.* is neither .*share.* nor .*layer' sm create -b "$bundle" --rootfs disk bad
config true true
expect 1 'cannot connect' sm create -b "$bundle" --console-socket "$work/none" bad
mv "$work/bin/containerd-shim-supermachine-v1" "$work/aside"
config false true
expect 1 'containerd-shim-supermachine-v1' env PATH=/none "$work/bin/supermachine" --root "$root" \
	create -b "$bundle" bad
cp "$work/bin/supermachine" "$work/bin/containerd-shim-supermachine-v1"
expect 1 'the task server ended' sm create -b "$bundle" bad
mv "$work/aside" "$work/bin/containerd-shim-supermachine-v1"
is "$(ls -A "$root")" '' 'failed creates leave nothing'
eventually [ "$(left_processes)" = 0 ]

# ---- the network ----

# networked WORDS OPTION...: what the server is told of it.
networked() {
	local words=$1
	shift
	expect 0 '' sm create -b "$bundle" "$@" a
	is "$(grep -o 'network=[^ ]* publish=[^ ]*' "$root/a/server.log")" "$words" "network of: $*"
	sm delete --force a
}
networked 'network= publish='
networked 'network=none publish=' --network none
networked 'network=ns:/proc/self/ns/net publish=' --network ns:/proc/self/ns/net
networked 'network=passt publish=' --network passt
networked 'network=passt publish=8080:80,[::1]:53:53/udp' \
	--network=passt -p 8080:80 --publish '[::1]:53:53/udp'
expect 0 '' sm run -b "$bundle" --network passt -p 8080:80 a

# ---- what runs the guest ----

# accelerated PROBE-LINE ACCEL OPTION...: the accel that the server is told.
accelerated() {
	local accel=$2
	echo "$1" >"$work/probe"
	rm -f "$work/runtime/@kvm.json"
	shift 2
	expect 0 '' sm create -b "$bundle" "$@" a
	is "$(grep -o 'accel=[a-z]*' "$root/a/server.log")" "accel=$accel" "accel of: $*"
	sm delete --force a
}
# Its lines on stderr.
told() { is "$(wc -l <"$work/err")" "$1" "lines told: $(cat "$work/err")"; }

cp /bin/true "$work/bin/qemu-system-x86_64"
PATH=$PATH:$work/bin
accelerated usable kvm
told 0
accelerated usable kvm --accel kvm
accelerated usable kvm --accel auto
: >"$work/probed"
accelerated usable tcg --accel tcg
is "$(cat "$work/probed")" '' 'tcg asks nobody'
told 0
accelerated 'emulated: no clac' tcg
told 1
grep -q 'level=warning msg="KVM is not usable: running emulated, which is slower (see supermachine check)"' \
	"$work/err" || fail "no warning: $(cat "$work/err")"
# Once per boot: the next container says nothing, unless asked for its reasons.
accelerated 'emulated: no clac' tcg
told 0
expect 0 'emulated \(accel=tcg\): KVM is not usable: no clac' sm --debug create -b "$bundle" a
! grep -q level=warning "$work/err" || fail "it warns again: $(cat "$work/err")"
sm delete --force a
echo 'another boot' >"$work/runtime/@emulated"
accelerated 'emulated: no clac' tcg
told 1
accelerated 'emulated: no clac' tcg --accel tcg
told 0
echo 'emulated: no clac' >"$work/probe"
expect 1 'accel=kvm \(--accel\): KVM is not usable: no clac; accel=auto or tcg' \
	sm create -b "$bundle" --accel kvm a
SUPERMACHINE_ACCEL=tcg accelerated usable tcg
SUPERMACHINE_ACCEL=tcg accelerated usable kvm --accel kvm
# Said once: by `run`, and not by the verbs that follow.
echo 'emulated: no clac' >"$work/probe"
rm -f "$work/runtime/@kvm.json" "$work/runtime/@emulated"
config false sleep 1000
expect 0 'running emulated' sm run -d -b "$bundle" a
for verb in 'state a' list 'exec a true' 'kill a KILL'; do
	# shellcheck disable=SC2086
	expect 0 '' sm $verb
	told 0
done
expect 0 '' sm delete --force a
config false true
# Asked once, as long as nothing changes.
: >"$work/probed"
rm -f "$work/runtime/@kvm.json"
for n in 1 2 3; do
	expect 0 '' sm create -b "$bundle" a
	is "$(grep -o 'accel=[a-z]*' "$root/a/server.log")" accel=tcg "accel, time $n"
	expect 0 '' sm delete --force a
done
is "$(cat "$work/probed")" x 'times asked'
touch "$work/bin/supermachine-vmm"
expect 0 '' sm create -b "$bundle" a
is "$(grep -o 'accel=[a-z]*' "$root/a/server.log")" accel=tcg 'accel of another program'
expect 0 '' sm delete --force a
is "$(wc -l <"$work/probed")" 2 'times asked of another program'
# What may pass is not remembered.
for word in busy failed missing refused; do
	accelerated "$word: for now" tcg
	[ ! -e "$work/runtime/@kvm.json" ] || fail "$word is remembered"
done
# No answer at all.
for text in '' nonsense 'usable?'; do
	accelerated "$text" tcg
	expect 0 'the probe .* ended with status 0 and no verdict' sm --debug create -b "$bundle" a
	sm delete --force a
done
echo usable >"$work/probe"
is "$(ls -A "$root")" '' 'nothing is left'

# ---- check ----

expect 1 '^guest kernel +FAIL +kernel not found: .*; to do: make cloud-kernel$' sm check
expect 1 '^No container can run here' sm check
expect 1 '"usable":false,' sm check -f json
mkdir -p "$work/cache/kernel/small"
touch "$work/cache/kernel/small/vmlinux" "$work/bin/initramfs.cpio"
expect 0 '^Containers can run here, on KVM \(accel=kvm\)\.$' sm check
expect 0 '^KVM +OK +usable$' sm check
expect 0 '"usable":true,"accel":"kvm",' sm check -f json
printf '#!/bin/sh\necho QEMU emulator version 9.9.9\n' >"$work/bin/qemu"
chmod +x "$work/bin/qemu"
export SUPERMACHINE_QEMU=$work/bin/qemu
# It asks anew, and the others know then.
echo 'slow: very' >"$work/probe"
expect 0 '' sm create -b "$bundle" --accel kvm a
expect 0 '' sm delete --force a
expect 0 '^Containers can run here, emulated by QEMU and slower \(accel=tcg\)\.$' sm check
expect 1 'KVM is not usable: very' sm create -b "$bundle" --accel kvm a
expect 0 '^KVM +NOTE +very; to do: ' sm check
expect 0 '^QEMU +OK +/.*/qemu, version 9.9.9$' sm check
expect 1 '^KVM +FAIL +very; to do: ' env SUPERMACHINE_ACCEL=kvm "$work/bin/supermachine" check
rm "$work/bin/qemu"
expect 1 '^QEMU +FAIL +not found; to do: apt-get install qemu-system-x86$' sm check
is "$(sm check | tail -n 1)" 'No container can run here: see what failed above.' 'the last line'
if command -v jq >/dev/null; then
	sm check --format json | jq -e '.usable == false and (.checks | length > 10) and
		(.checks[] | select(.name == "QEMU") | .result == "fail" and .advice != "")' >/dev/null ||
		fail "check's JSON: $(sm check --format json)"
fi
# Nothing is installed.
mkdir "$work/alone"
cp "$build/supermachine" "$work/alone/"
expect 1 '^VMM +FAIL +supermachine-vmm not found' "$work/alone/supermachine" check
unset SUPERMACHINE_QEMU
echo usable >"$work/probe"
rm -rf "$work/cache/kernel" "$work/runtime/@kvm.json" "$work/alone"
is "$(ls -A "$root")" '' 'nothing is left'

# ---- create, state, start, kill, delete ----

extra='"vm": {"kernel": {"path": "/vm/kernel"}}'
config false sh -c 'echo started; exec sleep 1000'
(cd "$bundle" && sm create --pid-file "$work/pid" --kernel /flag/kernel --vcpus 2 --memory 300M c1 \
	>"$work/c1.out") ||
	fail 'create'
expect 1 'container with given ID already exists' sm create -b "$bundle" c1
grep -q 'Create kernel=/flag/kernel vcpus=2 memory=300 accel=kvm owner=0 tty=0 stdio=fd:0,fd:1,fd:2 root=share mount=none,' \
	"$root/c1/server.log" || fail "Create's request: $(cat "$root/c1/server.log")"
is "$(stat -c %a "$root/c1")" 700 'mode of the directory'
pid=$(cat "$work/pid")
kill -0 "$pid" || fail 'the pid file names no process'
expect 0 '"ociVersion": "1.3.0"' sm state c1
expect 0 '"status": "created"' sm state c1
expect 0 "\"pid\": $pid," sm state c1
expect 0 "\"bundle\": \"$bundle\"" sm state c1
expect 0 '"k": "v"' sm state c1
is "$(cat "$work/c1.out")" '' 'nothing runs before start'
expect 0 '' sm start c1
eventually grep -qs started "$work/c1.out"
expect 0 '"status": "running"' sm state c1
expect 1 'cannot start an already running container' sm start c1
expect 1 'cannot delete container c1 that is not stopped: running' sm delete c1
expect 0 "^c1 +$pid +running +$bundle +20.* root$" sm list
expect 0 '^ID +PID +STATUS +BUNDLE +CREATED +OWNER$' sm list
mkdir "$root/none"
is "$(sm list -q)" c1 'a directory that is no container in list -q'
rmdir "$root/none"
expect 0 '^\[\{"ociVersion":"1.3.0","id":"c1".*\}\]$' sm list -f json
expect 0 "^\\[$(sm state c1 | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')\\]\$" sm ps --format json c1
expect 0 '^UID +PID +PPID +C STIME +TTY +TIME CMD$' sm ps c1
expect 0 '01:02:03 a \?\[31mprogram' sm ps c1 -ef
expect 1 'ps option -o is not supported' sm ps c1 -o pid
expect 255 'unknown controller x in SubCgroupPaths' sm exec --cgroup x:y c1 true
expect 0 '' sm pause c1
expect 0 '"status": "paused"' sm state c1
expect 1 'container not running' sm pause c1
expect 255 'cannot exec in a paused container' sm exec c1 true
expect 1 'cannot start a container in the paused state' sm start c1
expect 0 '' sm resume c1
expect 1 'container not paused' sm resume c1
expect 0 '' sm update --memory 64M --pids-limit 10 c1
expect 1 'resources: not valid JSON' sm update --resources - c1
echo '{"cpu":{"shares":2}}' | sm update -r - c1 || fail 'update from stdin'
echo '{"cpu":{"shares":-2}}' | sm update -r - c1 2>/dev/null && fail 'update takes bad resources'
echo '{"memory":{"limit":7}}' >"$work/resources"
expect 0 '' sm update --resources="$work/resources" c1
expect 0 '' sm update c1
for wanted in '"memory":{"limit":67108864},"pids":{"limit":10}' '{"cpu":{"shares":2}}' \
	'{"memory":{"limit":7}}'; do
	grep -qF "Update types.containerd.io/opencontainers/runtime-spec/1/LinuxResources" \
		"$root/c1/server.log" && grep -qF -e "$wanted" "$root/c1/server.log" ||
		fail "no update $wanted"
done
expect 0 '^\{"type":"stats","id":"c1","data":\{.*"pids":\{"current":7' sm events --stats c1
is "$(timeout 2 "$work/bin/supermachine" --root "$root" events --interval 50ms c1 | head -n 3 |
	sed 's/,.*//; s/{"type"://' | tr -d '\n')" '"stats""oom""stats"' 'events'
expect 1 'invalid duration' sm events --interval 5 c1
expect 1 'unknown signal \\"BOGUS\\"' sm kill c1 BOGUS
expect 0 '' sm kill c1 0
expect 0 '' sm kill c1 SIGUSR2 # ends the sleep
eventually status_is c1 stopped
expect 0 '"pid": 0,' sm state c1
eventually [ ! -d "/proc/$pid" ]
expect 1 'container not running' sm kill c1 TERM
expect 0 '' sm kill -a c1 KILL
expect 1 'cannot start a container that has stopped' sm start c1
expect 1 'cannot fork a container in the stopped state' sm fork c1 new
expect 255 'cannot exec in a stopped container' sm exec c1 true
# Its files are on the host, and links in them lead to nothing else there. (chroot(2) is for root.)
if [ "$(id -u)" = 0 ]; then
	echo word >"$work/word"
	ln -s "$work" "$bundle/rootfs/out"
	expect 0 '' sm cp "$work/word" c1:/bin/word
	is "$(cat "$bundle/rootfs/bin/word")" word 'what was copied into a stopped container'
	expect 1 'cannot open /out' sm cp "$work/word" c1:/out/other
	[ ! -e "$work/other" ] || fail 'cp left the container'
	is "$(sm cp c1:/bin/word - | tar x -O)" word 'what was copied out of it'
	expect 1 'No such container:path: c1:/nope' sm cp c1:/nope "$work"
	rm "$bundle/rootfs/bin/word" "$bundle/rootfs/out"
fi
expect 0 '^\[\]$' sm ps -f json c1
expect 1 'is not running' sm events --stats c1
expect 0 '' sm delete c1
expect 1 'container does not exist' sm state c1
is "$(ls -A "$root")" '' 'delete leaves nothing'
eventually [ "$(left_processes)" = 0 ]
extra=

# Created and never started: delete needs no force.
config false true
expect 0 '' sm create -b "$bundle" c1
expect 0 '' sm delete c1
# Running: force.
config false sleep 1000
expect 0 '' sm run -d -b "$bundle" --pid-file "$work/pid" c1
expect 0 '"status": "running"' sm state c1
expect 0 '' sm delete --force c1
eventually [ ! -d "/proc/$(cat "$work/pid")" ]
is "$(ls -A "$root")" '' 'delete --force leaves nothing'

# By a regular expression: all that match, and what fails stops no other.
config false true
for id in r1 r2 other; do expect 0 '' sm create -b "$bundle" $id; done
expect 0 '' sm start r2
config false sleep 1000
expect 0 '' sm run -d -b "$bundle" r0
mkdir "$root/rest"
expect 1 '--regex \(: ' sm delete --regex '('
expect 0 '' sm delete -f --regex '^nothing$'
eventually status_is r2 stopped
expect 1 'r0: cannot delete container r0 that is not stopped: running' sm delete --regex '^r'
is "$(cd "$root" && echo *)" 'other r0 rest' 'what is left by delete --regex'
expect 0 '' sm delete -f --regex 'r(0|1)$|^oth'
is "$(ls "$root")" rest 'what is left by delete --force --regex'
rmdir "$root/rest"

# ---- run: the status, the streams ----

config false sh -c 'exit 7'
expect 7 '' sm run -b "$bundle" r
config false sh -c 'kill -TERM $$'
expect 143 '' sm run -b "$bundle" r
config false sh -c 'cat; echo err >&2'
is "$(echo in | sm run -b "$bundle" r 2>"$work/err")" in 'stdin to stdout'
is "$(cat "$work/err")" err 'stderr'
config false no-such-program
expect 1 'run failed: exec: .*executable file not found in \$PATH' sm run -b "$bundle" r
is "$(ls -A "$root")" '' 'run deletes its container'
config false true
expect 0 '' sm run --config config.json --keep -b "$bundle" r
expect 0 '' sm delete r
# Another file: relative to the caller, while its own paths are relative to the bundle.
config false echo another
mv "$bundle/config.json" "$work/another.json"
config false true
cd "$work" || exit
expect 0 '^another$' sm run --config another.json --keep -b "$bundle" r
cd - >/dev/null || exit
expect 0 "\"rootfs\": \"$bundle/rootfs\"" sm state r
expect 0 '"status": "stopped"' sm state r
expect 0 '' sm delete r
# A signal goes to the program.
config false sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'
"$work/bin/supermachine" --root "$root" run -b "$bundle" r >"$work/r.out" &
runner=$!
eventually grep -qs ready "$work/r.out"
kill -TERM $runner
wait $runner
is $? 9 'a forwarded signal'
# The task server dies under a waiting run.
config false sleep 1000
"$work/bin/supermachine" --root "$root" run -b "$bundle" r 2>"$work/err" &
runner=$!
eventually status_is r running
server=$(server_of r)
program=$(program_of "$server")
kill -9 "$server"
wait $runner
is $? 137 'run after its server died'
grep -q 'lost its task server' "$work/err" || fail "run says: $(cat "$work/err")"
is "$(ls -A "$root")" '' 'run cleans up after its server'
kill "$program"

# ---- exec ----

config false sleep 1000
expect 0 '' sm run -d -b "$bundle" e
expect 5 '' sm exec e sh -c 'exit 5'
expect 137 '' sm exec e sh -c 'kill -9 $$'
expect 255 'exec failed: exec: .*executable file not found' sm exec e no-such-program
expect 255 'process args cannot be empty' sm exec e
is "$(echo hello | sm exec -e GREETING=x e sh -c 'cat; echo $GREETING')" 'hello
x' 'exec with stdin and an environment'
expect 0 '' sm exec --cwd /tmp --user 7:8 -g 9 --cap CAP_KILL --no-new-privs e true -b -x
grep -q 'Exec {"args":\["true","-b","-x"\],"terminal":false,"cwd":"/tmp","noNewPrivileges":true.*"uid":7,"gid":8,"additionalGids":\[9\]' \
	"$root/e/server.log" || fail "the exec's process: $(grep Exec "$root/e/server.log" | tail -n 1)"
# Docker's letters, in one word.
is "$(echo hello | sm exec -iw /usr e cat)" hello 'exec -iw'
grep -q 'Exec {"args":\["cat"\].*"cwd":"/usr"' "$root/e/server.log" || fail 'exec -w'
expect 255 'process: cwd: must be an absolute path' sm exec --cwd x e true
expect 255 'unable to stat preserved-fd 4' sm exec --preserve-fds 2 e true 3</dev/null 4>&-
echo '{"args":["sh","-c","exit 3"],"cwd":"/","env":["PATH=/bin:/usr/bin"],"user":{"uid":0,"gid":0}}' \
	>"$work/process.json"
expect 3 '' sm exec --process "$work/process.json" e
expect 255 'No such file' sm exec --process "$work/none" e
echo '{"args":[]}' >"$work/bad.json"
expect 255 'args|cwd' sm exec -p "$work/bad.json" e
# Detached: an orphan that ends with the status, and does not hold our pipes.
out=$(sm exec -d --pid-file "$work/pid" e sh -c 'echo detached; exit 4')
is "$out" detached 'output of a detached exec'
expect 255 'exec failed: exec: .*executable file not found' sm exec -d e no-such-program
grep -c '^Delete exec' "$root/e/server.log" | grep -qx '[1-9][0-9]*' || fail 'execs are not deleted'
# A subreaper (conmon) sees the status of the orphan.
cat >"$work/reaper.py" <<-'EOF'
	import ctypes, os, subprocess, sys
	ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
	subprocess.check_call(sys.argv[2:])
	pid = int(open(sys.argv[1]).read())
	while True:
	    got, status = os.waitpid(-1, 0)
	    if got == pid:
	        sys.exit(os.waitstatus_to_exitcode(status))
EOF
if command -v python3 >/dev/null; then
	expect 4 '' python3 "$work/reaper.py" "$work/pid" "$work/bin/supermachine" --root "$root" \
		exec -d --pid-file "$work/pid" e sh -c 'sleep 0.2; exit 4'
	config false sh -c 'exit 6'
	cat >"$work/create-start" <<-EOF
		#!/bin/sh
		"$work/bin/supermachine" --root "$root" create -b "$bundle" --pid-file "$work/pid" o &&
			"$work/bin/supermachine" --root "$root" start o
	EOF
	chmod +x "$work/create-start"
	expect 6 '' python3 "$work/reaper.py" "$work/pid" "$work/create-start"
	expect 0 '' sm delete o
fi
expect 0 '' sm delete -f e

# ---- terminals ----

receive() { # receive OUTPUT [SIZE]
	rm -f "$work/console"
	"$build/tests/unit/console-receiver" "$work/console" "${2:-}" >"$1" &
	receiver=$!
	eventually [ -S "$work/console" ]
}
config true sh -c 'tty >/dev/null && echo on a terminal; stty size; sleep 0.3; stty size'
receive "$work/console.out" 100x40
expect 0 '' sm create -b "$bundle" --console-socket "$work/console" t
grep -q 'owner=1 tty=1 stdio=fd:0,,' "$root/t/server.log" || fail "Create with a terminal"
expect 0 '' sm start t
eventually status_is t stopped
wait $receiver
is $? 0 'console receiver'
grep -q 'on a terminal' "$work/console.out" || fail "console: $(cat "$work/console.out")"
grep -q '40 100' "$work/console.out" || fail "size: $(cat "$work/console.out")"
expect 0 '' sm delete t
config false sleep 1000
expect 0 '' sm run -d -b "$bundle" t
receive "$work/console.out" 90x30
expect 0 '' sm exec -t -d --pid-file "$work/pid" --console-socket "$work/console" t \
	sh -c 'sleep 0.3; stty size'
eventually grep -qs '30 90' "$work/console.out"
eventually grep -qs 'ResizePty 90x30' "$root/t/server.log"
eventually [ ! -d "/proc/$(cat "$work/pid")" ]
wait $receiver
expect 255 'without setting console socket' sm exec -t -d t true
expect 255 'cannot use console socket' sm exec --console-socket "$work/console" t true
# As runc: in the foreground, one of our own must be there.
expect 255 'exec failed: open /dev/tty: no such device or address' setsid "$work/bin/supermachine" --root "$root" \
	exec -t t true
# Wherever it is: the bytes are those of stdin and stdout.
with_tty() {
	python3 -c 'import os, sys
master, slave = os.openpty()
os.set_inheritable(master, True)
os.dup2(slave, 2)
os.execv(sys.argv[1], sys.argv[1:])' "$work/bin/supermachine" --root "$root" "$@"
}
if command -v python3 >/dev/null; then
	is "$(with_tty exec -t t sh -c 'tty -s && echo yes; head -c 100000 /dev/zero | tr "\0" x' </dev/null |
		tr -d '\r' | wc -c)" 100004 'output through a terminal'
	is "$(echo typed | with_tty exec -t t sh -c 'read line; echo got $line')" 'got typed' \
		'input through a terminal'
	# Nobody reads it any more: the terminal hangs up, and the verb sees to the rest.
	with_tty exec -t t sh -c 'exec yes' </dev/null | head -n 1 >"$work/out"
	is "${PIPESTATUS[0]}" 129 'status of an exec whose terminal hung up'
	is "$(tr -d '\r' <"$work/out")" y 'what it wrote before'
fi
# A person at a terminal: run and exec follow its size and pass every byte.
cat >"$work/person.py" <<-'EOF'
	import fcntl, os, pty, select, struct, sys, termios, time
	pid, fd = pty.fork()
	if pid == 0:
	    os.execv(sys.argv[1], sys.argv[1:])
	seen = b""
	def expect(text):
	    global seen
	    deadline = time.time() + 10
	    while text not in seen:
	        if not select.select([fd], [], [], max(0, deadline - time.time()))[0]:
	            sys.exit("no %r in %r" % (text, seen))
	        seen += os.read(fd, 4096)
	    seen = seen[seen.index(text) + len(text):]
	expect(b"ready")
	fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
	expect(b"40 100")
	os.write(fd, b"\x03\n") # no signal: our terminal is raw
	expect(b"got 3")
	sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
EOF
dialogue='trap "stty size" WINCH; echo ready; until read -t 0.1 line; do :; done; printf "got %d" "\"$line"; exit 4'
if command -v python3 >/dev/null; then
	expect 4 '' python3 "$work/person.py" "$work/bin/supermachine" --root "$root" \
		exec -t t bash -c "$dialogue"
	grep -q 'ResizePty 100x40' "$root/t/server.log" || fail 'exec does not tell of a resize'
	expect 0 '' sm delete -f t
	config true bash -c "${dialogue//\\/\\\\}"
	expect 4 '' python3 "$work/person.py" "$work/bin/supermachine" --root "$root" \
		run -b "$bundle" t
fi
expect 0 '' sm delete -f t
config true sh -c 'exec yes'
expect 1 'run failed: open /dev/tty: no such device or address' setsid "$work/bin/supermachine" --root "$root" \
	run -b "$bundle" t
if command -v python3 >/dev/null; then
	with_tty run -b "$bundle" t </dev/null | head -n 1 >"$work/out"
	is "${PIPESTATUS[0]}" 129 'status of a run whose terminal hung up'
fi
is "$(ls -A "$root")" '' 'its container is deleted'
expect 0 '' sm delete -f t

# ---- stop and rm ----

config false sh -c 'trap "" TERM; while :; do sleep 0.05; done'
expect 0 '' sm run -d -b "$bundle" s1
expect 0 '' sm run -d -b "$bundle" s2
expect 1 'time much: must be 0 to 3600 seconds' sm stop -t much s1
expect 1 'time 3601: must be 0 to 3600 seconds' sm stop -t 3601 s1
# No time at all, and one that is missing does not keep the others from it.
expect 1 'container does not exist: none' timeout 5 "$work/bin/supermachine" --root "$root" stop -t 0 none s1 s2
is "$(cat "$work/out")" 's1
s2' 'what stop has stopped'
eventually status_is s1 stopped
eventually status_is s2 stopped
expect 1 'container does not exist: none1' sm rm none1 s1 none2 s2
is "$(cat "$work/out")" 's1
s2' 'what rm has removed'
is "$(grep -c 'does not exist: none' "$work/err")" 2 'errors of rm'

# ---- what crashes leave behind ----

config false sleep 1000
expect 0 '' sm run -d -b "$bundle" --pid-file "$work/pid" k
server=$(server_of k)
program=$(program_of "$server")
kill -9 "$server"
eventually status_is k stopped
expect 0 '"pid": 0' sm state k
expect 1 'container not running' sm kill k
expect 255 'cannot exec in a stopped container' sm exec k true
expect 0 'k +0 +stopped' sm list
expect 0 '' sm delete k
eventually [ ! -d "/proc/$(cat "$work/pid")" ]
kill "$program"
# A server that hangs, and a stand-in that lives on: force kills both, and no other pid.
expect 0 '' sm run -d -b "$bundle" --pid-file "$work/pid" k
server=$(server_of k)
program=$(program_of "$server")
kill -STOP "$server"
expect 0 '' sm delete --force k
eventually [ ! -d "/proc/$server" ]
eventually [ ! -d "/proc/$(cat "$work/pid")" ]
kill "$program"
sleep 1000 &
innocent=$!
sleep 0.1 # start times are counted in 10 ms
expect 0 '' sm run -d -b "$bundle" k
server=$(server_of k)
program=$(program_of "$server")
kill -9 "$server"
sed -i "s/\"serverPid\": [0-9]*/\"serverPid\": $innocent/; s/\"pid\": [0-9]*/\"pid\": $innocent/" \
	"$root/k/state.json"
expect 0 '' sm delete --force k
kill -0 $innocent || fail 'delete --force killed a process of another'
kill $innocent "$program"
wait $innocent 2>/dev/null
# A directory without a state: an interrupted create. (One that is a second old would be taken over.)
mkdir "$root/half"
touch -d '1 hour' "$root/half"
expect 1 'container does not exist' sm state half
expect 1 'container with given ID already exists' sm create -b "$bundle" half
expect 0 '' sm delete --force half
[ ! -e "$root/half" ] || fail 'half a container is left'
mkdir "$root/broken"
echo nonsense >"$root/broken/state.json"
expect 1 'not valid JSON' sm state broken
expect 0 'broken: .*not valid JSON' sm list
expect 0 '' sm delete --force broken
# After a crash of the host a state may be empty.
mkdir "$root/empty"
: >"$root/empty/state.json"
expect 0 'empty: .*not valid JSON' sm list
expect 0 '' sm delete --force empty
[ ! -e "$root/empty" ] || fail 'an empty state is left'
# Another's directory is not followed.
mkdir "$work/precious"
touch "$work/precious/file"
ln -s "$work/precious" "$root/link"
expect 0 '' sm delete --force link
[ -e "$work/precious/file" ] || fail 'delete followed a link'
rm "$root/link"

# ---- at the same time ----

config false true
for n in 1 2 3 4 5 6 7 8 9 10; do
	sm create -b "$bundle" same >/dev/null 2>"$work/same.$n" &
	creators[n]=$!
done
won=0
for n in 1 2 3 4 5 6 7 8 9 10; do
	if wait "${creators[n]}"; then
		won=$((won + 1))
	else
		grep -q 'container with given ID already exists' "$work/same.$n" ||
			fail "a loser says: $(cat "$work/same.$n")"
	fi
done
is $won 1 'creates of one id that won'
for n in 1 2 3 4 5 6; do
	sm delete --force same 2>"$work/same.$n" &
	creators[n]=$!
done
for n in 1 2 3 4 5 6; do
	wait "${creators[n]}" || fail "delete --force: $(cat "$work/same.$n")"
done
is "$(ls -A "$root")" '' 'deletes of one id'
# While create waits, the container is being created; delete --force waits its turn.
config false slow-create "$work/go"
sm create -b "$bundle" slow 2>/dev/null &
creator=$!
eventually status_is slow creating
for verb in kill ps 'events --stats'; do
	# shellcheck disable=SC2086
	expect 1 'not running' timeout 5 "$work/bin/supermachine" --root "$root" $verb slow
done
expect 255 'cannot exec in a creating container' sm exec slow true
sm delete --force slow 2>"$work/err.slow" &
deleter=$!
sleep 0.3 # it gets as far as to wait
is "$(status_is slow creating && echo waits)" waits 'delete --force of a container being created'
touch "$work/go"
wait $deleter || fail "delete --force: $(cat "$work/err.slow")"
wait $creator
rm "$work/go"
is "$(ls -A "$root")" '' 'delete --force of a container being created'
# creating until it is created, and created with its pid, whatever the verb is at.
"$work/bin/supermachine" --root "$root" create -b "$bundle" --pid-file "$work/pid" slow 2>/dev/null &
creator=$!
eventually grep -qs ^Create "$root/slow/server.log"
status_is slow creating || fail 'not creating while the machine is made'
kill -STOP $creator
touch "$work/go"
eventually status_is slow created
sm state slow >"$work/out"
kill -CONT $creator
wait $creator
grep -q '"status": "created"' "$work/out" && grep -q "\"pid\": $(cat "$work/pid")," "$work/out" ||
	fail "after creating comes: $(cat "$work/out")"
expect 0 '' sm delete slow
# One that never gets ready: delete --force does not wait for ever.
config false stuck-create
sm create -b "$bundle" stuck 2>"$work/err.stuck" &
creator=$!
eventually status_is stuck creating
expect 0 '' sm delete --force stuck
wait $creator
is $? 1 'a create whose server was killed'
is "$(ls -A "$root")" '' 'delete --force of a create that hangs'

# ---- signals before the program runs ----

# begin VERB ARG...: in the background; its pid is $child.
begin() {
	# (Now: the other process may come to it after the caller has looked.)
	: >"$work/out"
	env --default-signal "$work/bin/supermachine" --root "$root" "$@" >"$work/out" 2>"$work/err" </dev/null &
	child=$!
}
# ends_by NUMBER [ID]: it does, without a word, and leaves nothing but that container.
ends_by() {
	{ wait "$child"; } 2>/dev/null # the shell tells of a signal there
	is $? $((128 + $1)) "status of an interrupted verb: $(cat "$work/err")"
	is "$(ls -A "$root")" "${2:-}" 'what it leaves'
	is "$(cat "$work/err")" '' 'what it says'
}
ulimit -c 0
config false stuck-create
for verb in run 'run -d' create; do
	for signal in 15 1 2 3 10; do
		# shellcheck disable=SC2086
		begin $verb -b "$bundle" --pid-file "$work/no-pid" i
		eventually status_is i creating
		kill "-$signal" "$child"
		ends_by "$signal"
	done
done
[ ! -e "$work/no-pid" ] || fail 'an interrupted create writes its pid file'
eventually [ "$(left_processes)" = 0 ]
# Between the machine and the program: while it is being started.
config false stuck-start
for verb in run 'run -d'; do
	# shellcheck disable=SC2086
	begin $verb -b "$bundle" i
	eventually status_is i created
	sleep 0.2
	kill -TERM "$child"
	ends_by 15
done
# Once it runs the signal is the program's, whatever run still waits for.
config false slow-start sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'
begin run -b "$bundle" i
eventually grep -qs ready "$work/out"
kill -TERM "$child"
wait "$child"
is $? 9 'a signal while Start is not answered yet'
is "$(ls -A "$root")" '' 'what it leaves'
# A signal that the caller has us ignore ends nothing.
config false stuck-create
env --ignore-signal=HUP "$work/bin/supermachine" --root "$root" create -b "$bundle" i 2>/dev/null &
child=$!
eventually status_is i creating
kill -HUP "$child"
sleep 0.3
kill -0 "$child" || fail 'an ignored signal ends create'
kill -TERM "$child"
wait "$child"
is $? 143 'the same with another signal'
is "$(ls -A "$root")" '' 'what it leaves'
# Before it makes anything, nothing is held back. (The probe hangs.)
printf '#!/bin/sh\necho $$ >%s/probe.pid\nexec sleep 30\n' "$work" >"$work/bin/supermachine-vmm"
rm -f "$work/runtime/@kvm.json"
begin create -b "$bundle" i
eventually [ -s "$work/probe.pid" ]
kill -TERM "$child"
ends_by 15
kill "$(cat "$work/probe.pid")"
printf '#!/bin/sh\ncat %s/probe\n' "$work" >"$work/bin/supermachine-vmm"
# Execs.
config false sleep 1000
expect 0 '' sm run -d -b "$bundle" i
for verb in exec 'exec -d --pid-file '"$work/no-pid"; do
	# shellcheck disable=SC2086
	begin $verb i stuck-start
	eventually grep -q '"args":\["stuck-start"' "$root/i/server.log"
	sleep 0.2
	kill -TERM "$child"
	ends_by 15 i
	eventually grep -q '^Delete exec' "$root/i/server.log"
	: >"$root/i/server.log"
done
[ ! -e "$work/no-pid" ] || fail 'an interrupted exec writes its pid file'
begin exec i slow-start sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'
eventually grep -qs ready "$work/out"
kill -TERM "$child"
wait "$child"
is $? 9 'a signal for an exec whose Start is not answered yet'
# One whose verb has been killed is nobody's.
: >"$root/i/server.log"
begin exec -d i slow-start sh -c 'echo ready; exec sleep 1001'
eventually grep -qs ready "$work/out"
kill -KILL "$child"
{ wait "$child"; } 2>/dev/null
eventually eval '! pgrep -x -f "sleep 1001" >/dev/null'
eventually grep -q '^Delete exec' "$root/i/server.log"
expect 0 '' sm delete -f i

# ---- spec and features ----

mkdir "$work/new"
expect 0 '' sm spec -b "$work/new"
expect 1 'File config.json exists. Remove it first' sm spec -b "$work/new"
mkdir "$work/new/rootfs"
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/' "$work/new/config.json"
expect 0 '' sm run -b "$work/new" n
rm "$work/new/config.json"
expect 0 '' sm spec --rootless -b "$work/new"
grep -q '"type": "user"' "$work/new/config.json" || fail 'spec --rootless'
expect 0 '"ociVersionMax": "1.3.0"' sm features
if command -v jq >/dev/null; then
	sm features | jq -e '.linux.capabilities | index("CAP_SYS_ADMIN")' >/dev/null ||
		fail 'features is no JSON with capabilities'
	sm features | jq -e '.linux.seccomp | .enabled == false or (.knownFlags == .supportedFlags and
		(.actions | index("SCMP_ACT_NOTIFY") | not))' >/dev/null || fail 'features: seccomp'
fi

# ---- completion ----

# completes WORD…: what bash offers for the last word.
completes() {
	(
		supermachine() { sm "$@"; }
		# shellcheck source=/dev/null
		. "${srcdir:-$(dirname "$0")/../..}/contrib/completion/supermachine.bash"
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_supermachine
		echo "${COMPREPLY[*]}"
	)
}
is "$(completes supermachine resu)" resume 'a verb'
is "$(completes supermachine --root /x pau)" pause 'a verb behind an option with a value'
is "$(completes supermachine --debug pau)" pause 'a verb behind a flag'
is "$(completes supermachine --log-f)" --log-format 'a global option'
is "$(completes supermachine kill --al)" --all "a verb's option"
is "$(completes supermachine volume pru)" prune "a volume's verb"
is "$(completes supermachine help fea)" features 'a topic'

eventually [ "$(left_processes)" = 0 ]
echo "$checks checks, $failures failed"
[ $failures = 0 ]
