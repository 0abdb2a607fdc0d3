#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Images from a real registry (Debian's docker-registry, on loopback: plain, and with TLS and a
# password), to and from what skopeo makes.
set -u
build=$(pwd)
source=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd)
[ -x "$build/supermachine-images" ] || { echo "skipped: built without images"; exit 77; }
for tool in docker-registry skopeo python3 openssl jq gzip bzip2 xz zstd; do
	command -v $tool >/dev/null || { echo "skipped: no $tool here (contrib/debian-packages)"; exit 77; }
done
work=$(mktemp -d /tmp/test-images.XXXXXX)
failures=0
checks=0
registries=''
cleanup() {
	for pid in $registries; do kill "$pid" 2>/dev/null; done
	rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1
export HOME=$work SUPERMACHINE_STORE=$work/store
unset REGISTRY_AUTH_FILE DOCKER_CONFIG XDG_RUNTIME_DIR XDG_CONFIG_HOME
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
sm() { "$build/supermachine" "$@"; }

fail() {
	echo "FAIL line ${BASH_LINENO[1]}: $*"
	failures=$((failures + 1))
}
# expect STATUS PATTERN COMMAND…: the status, and a pattern (grep -E) in what it says
expect() {
	local status=$1 pattern=$2 got
	shift 2
	"$@" >out 2>err </dev/null
	got=$?
	checks=$((checks + 1))
	[ "$got" = "$status" ] || fail "$*: status $got, not $status: $(cat out err)"
	[ -z "$pattern" ] || cat out err | grep -Eq -e "$pattern" || fail "$*: no \"$pattern\" in: $(cat out err)"
}
is() {
	checks=$((checks + 1))
	[ "$1" = "$2" ] || fail "$3: \"$1\", not \"$2\""
}

# layout DIRECTORY LAYERS SIZE: an OCI layout of an image whose layer i has the file "fi".
layout() {
	python3 - "$@" <<'END'
import gzip, hashlib, io, json, os, sys, tarfile
out, n, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(out + "/blobs/sha256")
def put(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{out}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + digest, "size": len(data)}
layers, ids = [], []
for i in range(n):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo(f"f{i}")
        entry.size = size
        tar.addfile(entry, io.BytesIO(os.urandom(size)))
    ids.append("sha256:" + hashlib.sha256(file.getvalue()).hexdigest())
    layers.append(put(gzip.compress(file.getvalue(), 1), "layer.v1.tar+gzip"))
config = put(json.dumps({"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z",
    "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "ADD\t\x1b[31mall of it " + "x" * 50}] +
        [{"created_by": f"STEP {i}", "comment": "with files"} for i in range(2, n)] +
        [{"created_by": "CMD sh", "empty_layer": True}],
    "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": ids}}).encode(), "config.v1+json")
manifest = put(json.dumps({"schemaVersion": 2, "config": config, "layers": layers,
    "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode(), "manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
with open(out + "/index.json", "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
with open(out + "/oci-layout", "w") as file:
    file.write('{"imageLayoutVersion": "1.0.0"}')
END
}

# registry NAME [LINES]: starts one with these lines of configuration below "http" and after it;
# $port is its.
registry() {
	local name=$1 lines=${2:-} auth=${3:-} pid
	for _ in $(seq 20); do
		port=$((20000 + RANDOM % 12000))
		printf 'version: 0.1\nlog: {accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp:\n  addr: "127.0.0.1:%s"\n%s\n%s\n' \
			"$work/$name.data" "$port" "$lines" "$auth" >"$name.yml"
		docker-registry serve "$name.yml" >"$name.log" 2>&1 &
		pid=$!
		for _ in $(seq 200); do
			(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && kill -0 $pid 2>/dev/null &&
				{ registries="$registries $pid"; return; }
			kill -0 $pid 2>/dev/null || break
			sleep 0.05
		done
		kill $pid 2>/dev/null
	done
	echo "docker-registry does not start: $(cat "$name.log")"
	exit 1
}

layout image 5 200000
registry plain
skopeo copy -q --dest-tls-verify=false oci:image:latest "docker://127.0.0.1:$port/test/image:v1" || exit 1
name=127.0.0.1:$port/test/image:v1
plain_port=$port

# ---- pull, images, inspect, rmi ----
expect 0 "^$name\$" sm pull "$name"
expect 0 'test/image +v1 +[0-9a-f]{12} +2026-01-02' sm images
id=$(sm images -q)
is "sha256:$(sm images -q --no-trunc | cut -d: -f2)" "$(jq -r .config.digest "image/blobs/sha256/$(jq -r '.manifests[0].digest' image/index.json | cut -d: -f2)")" 'the id'
# The first layer's step, two more than there are layers told of, and what made none.
expect 0 '^IMAGE +CREATED +CREATED BY +SIZE +COMMENT$' sm history "$name"
is "$(sed 's/ [0-9.]*[kM]*B / SIZE /; s/  */ /g; s/ $//' out | tail -n +2)" \
	"$id N/A SIZE
<missing> N/A CMD sh SIZE
<missing> N/A STEP 4 SIZE with files
<missing> N/A STEP 3 SIZE with files
<missing> N/A STEP 2 SIZE with files
<missing> 2026-01-01 ADD ?[31mall of it xxxxxxxxxxxxxxxxxxxxxxx... SIZE" 'the history'
is "$(sm history --format json "$name" | jq -c '[.[] | .size > 0]')" '[true,false,true,true,true,true]' 'layers of steps'
is "$(sm history -q --no-trunc "$id" | head -n 1)" "$(sm images -q --no-trunc)" 'the id of the last step'
expect 1 'no such image|not there|is there' sm history nothing/like:this
mkdir mount
# A container's root may not be allowed to, or have no loop devices.
can_mount=
[ "$(id -u)" = 0 ] && { unshare -m true && device=$(losetup -f) && [ -b "$device" ]; } 2>/dev/null && can_mount=1
[ -n "$can_mount" ] || echo "not compared: layers, as they cannot be mounted here"
n=0
while read -r layer; do
	tar -xOf "image/blobs/sha256/$(jq -r ".layers[$n].digest" "image/blobs/sha256/$(jq -r '.manifests[0].digest' image/index.json | cut -d: -f2)" | cut -d: -f2)" "f$n" >wanted
	[ -z "$can_mount" ] || unshare -m sh -c 'mount -o loop,ro "$1" mount && cmp "mount/$2" wanted' sh "$layer" "f$n" ||
		fail "layer $n is not what was pushed"
	n=$((n + 1))
done < <(sm inspect "$id" | jq -r '.[0].RootFS.Images[]')
is $n 5 'the number of layers'
expect 0 'already there' sm pull "$name"
expect 0 '^Images +1 +0 ' sm system df
expect 1 'not there \(404\)' sm pull "127.0.0.1:$port/test/image:v2"
expect 1 'there is: linux/amd64' sm pull --platform arm64 "$name"
# (Not what the resolver of this machine says of it, nor when.)
if unshare -n true 2>/dev/null; then
	expect 1 'unknown host' unshare -n "$build/supermachine" pull nowhere.invalid/x
else
	expect 1 'nowhere.invalid' sm pull nowhere.invalid/x
fi
expect 0 'already there' sh -c 'trap "" CHLD; exec "$@"' sh "$build/supermachine" pull "$name"
expect 0 '^Untagged: ' sm rmi "$id"
is "$(find store -type f ! -name lock)" '' 'after rmi there is left'

# ---- two at once fetch each layer once ----
: >plain.log
sm pull -q "$name" >/dev/null & first=$!
sm pull -q "$name" >/dev/null & second=$!
wait $first && wait $second || fail 'one of two pulls failed'
# The registry may write its log later than it answers.
for layer in $(jq -r '.layers[].digest' "image/blobs/sha256/$(jq -r '.manifests[0].digest' image/index.json | cut -d: -f2)"); do
	for _ in $(seq 300); do
		grep -q "\"GET /v2/test/image/blobs/$layer " plain.log && break
		sleep 0.1
	done
	is "$(grep -c "\"GET /v2/test/image/blobs/$layer " plain.log)" 1 "requests for $layer"
done

# ---- killed at many moments (KILLS: how many, by hand) ----
for i in $(seq 1 "${KILLS:-20}"); do
	sm rmi -f "$name" >/dev/null 2>&1
	printf '{"do":"pull","store":"%s","reference":"%s","quiet":true}' "$SUPERMACHINE_STORE" "$name" |
		"$build/supermachine-images" >/dev/null 2>&1 &
	sleep "0.$(printf %03d $((i * 4)))"
	kill -KILL $! 2>/dev/null
	wait $! 2>/dev/null
	sm images >out 2>err || fail "images after a kill: $(cat err)"
	[ ! -s err ] || fail "images after a kill: $(cat err)"
	[ $((i % 5)) -ne 0 ] || sm prune >/dev/null || fail 'prune after a kill'
done
expect 0 '' sm pull -q "$name"
expect 0 '' sm prune
is "$(find store/layers -name '*.squashfs' | wc -l) $(find store -name '*.tmp' | wc -l)" '5 0' 'layers and leftovers after kills'

# ---- large layers come in ranges, in little memory ----
layout large 3 20000000
skopeo copy -q --dest-tls-verify=false oci:large:latest "docker://127.0.0.1:$port/test/large:v1" || exit 1
: >plain.log
peak=$(printf '{"do":"pull","store":"%s","reference":"127.0.0.1:%s/test/large:v1","quiet":true}' "$work/large-store" "$port" |
	python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$build/supermachine-images")
[ "${peak:-99999}" -le 32768 ] || nm "$build/supermachine-images" | grep -q __asan_ || fail "a pull has taken $peak KiB"
is "$(sm --image-store "$work/large-store" images -q | wc -l)" 1 'large images'
for _ in $(seq 300); do
	n=$(grep -c '"GET /v2/test/large/blobs/.* 206 ' plain.log)
	[ "$n" -lt 9 ] || break
	sleep 0.1
done
is "$n" 9 'ranges'
rm -rf large large-store

# ---- a pull does not outlive its caller ----
mkfifo silence
python3 -c 'import socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
time.sleep(600)' >silence & registries="$registries $!"
read -r silent <silence
"$build/supermachine" pull -q "127.0.0.1:$silent/x" 2>/dev/null & first=$!
for _ in $(seq 300); do
	puller=$(pgrep -P "$first") && break
	sleep 0.1
done
{ kill -KILL "$first"; wait "$first"; } 2>/dev/null
alive() { ps -o stat= -p "${puller:-none}" 2>/dev/null | grep -v '^Z'; }
for _ in $(seq 300); do
	alive >/dev/null || break
	sleep 0.1
done
is "${puller:+started}$(alive)" started 'what is left of a pull whose caller was killed'

# ---- save and load ----
expect 1 'no such image|not there|is there' sm save -o saved.tar nothing/like:this
is "$(echo saved.tar*)" 'saved.tar*' 'what a failed save leaves'
# Layers that were not kept are made anew: the same files, and from then on the same id.
expect 0 "made anew: where it is loaded, its id is sha256:" sm save -o made.tar "$name"
made=$(sed -n 's/.*its id is \(sha256:[0-9a-f]*\).*/\1/p' err)
sm save "$name" 2>/dev/null | cmp - made.tar || fail 'two saves of made layers differ'
expect 0 "^Loaded image: $name\$" sm --image-store "$work/made" load -i made.tar
is "$(sm --image-store "$work/made" images -q --no-trunc)" "$made" 'the id of what was made anew'
is "$(sm --image-store "$work/made" inspect "$name" | jq -c '.[0] | [.Config.Cmd, .Created]')" \
	"$(sm inspect "$name" | jq -c '.[0] | [.Config.Cmd, .Created]')" 'the rest of its configuration'
mapfile -t layers < <(sm --image-store "$work/made" inspect "$name" | jq -r '.[0].RootFS.Images[]')
mapfile -t first < <(sm inspect "$name" | jq -r '.[0].RootFS.Images[]')
for i in 0 1 2 3 4; do
	cmp "${first[i]}" "${layers[i]}" || fail "layer $i is another after save and load"
done
sm --image-store "$work/made" save "$name" 2>err | cmp - made.tar || fail 'a save of what was made anew differs'
is "$(cat err)" '' 'what is said of a save with the same id'
expect 0 '' skopeo copy -q docker-archive:made.tar dir:from-made
# All that a layer can have.
python3 - odd.tar <<'END'
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
    def put(name, kind=tarfile.REGTYPE, data=b"", **members):
        entry = tarfile.TarInfo(name)
        entry.type, entry.size, entry.mtime = kind, len(data), 1000000000
        entry.uid, entry.gid, entry.mode = 0, 0, 0o644
        for key, value in members.items():
            setattr(entry, key, value)
        tar.addfile(entry, io.BytesIO(data))
    put(".", tarfile.DIRTYPE, mode=0o751)
    put(".wh.gone")
    put("a" * 250, data=b"long")
    put("b\udcff\xe4", data=b"odd")
    put("block", tarfile.BLKTYPE, devmajor=259, devminor=70000, mode=0o660)
    put("d", tarfile.DIRTYPE, mode=0o1777, uid=70000, gid=3000000)
    put("d/.wh..wh..opq")
    put("d/character", tarfile.CHRTYPE, devmajor=1, devminor=3)
    put("d/empty")
    put("d/fifo", tarfile.FIFOTYPE)
    put("d/setuid", mode=0o4755, data=b"x" * 300000, uid=1, pax_headers={"SCHILY.xattr.user.one": "1", "SCHILY.xattr.security.two": "22"})
    put("hard", tarfile.LNKTYPE, linkname="d/setuid")
    put("link", tarfile.SYMTYPE, linkname="d/" + "y" * 200, mode=0o777)
    put("old", mtime=1, data=b"\0" * 1000000 + b"end")
END
expect 0 '' sm --image-store "$work/odd" import odd.tar odd:1
is "$(sm --image-store "$work/odd" save odd:1 2>/dev/null | sm --image-store "$work/odd-again" load)" 'Loaded image: docker.io/library/odd:1' 'an odd image'
cmp "$(sm --image-store "$work/odd" inspect odd:1 | jq -r '.[0].RootFS.Images[0]')" \
	"$(sm --image-store "$work/odd-again" inspect odd:1 | jq -r '.[0].RootFS.Images[0]')" || fail 'an odd layer is another after save and load'
expect 0 '' sm pull -q --keep-blobs "$name"
expect 0 '' sm save -o saved.tar "$name"
echo mine >again.tar.tmp
expect 0 '' sm save -o again.tar "$name"
is "$(cat again.tar.tmp)" mine 'a file that has nothing to do with it'
mkfifo pipe
timeout 60 cat pipe >piped.tar & reader=$!
expect 0 '' sm save -o pipe "$name"
wait $reader
is "$(stat -c %F pipe) $(cmp saved.tar piped.tar 2>&1)" 'fifo ' 'a save to a pipe'
expect 1 'name a file' sm save -o /dev/stdout "$name"
{ echo before; sm save "$name"; } >output.tar
is "$(sm save "$name" | cmp - saved.tar 2>&1)$(tail -c +8 output.tar | cmp - saved.tar 2>&1)" '' 'saves to the standard output'
cmp saved.tar again.tar || fail 'two saves differ'
# (skopeo unpacks with the archive's owners, which only root may do.)
saved=oci-archive:saved.tar
[ "$(id -u)" = 0 ] || { mkdir unpacked && tar -xf saved.tar -C unpacked && saved=oci:unpacked; }
expect 0 '' skopeo copy -q "$saved" dir:from-saved
cmp from-saved/manifest.json "image/blobs/sha256/$(jq -r '.manifests[0].digest' image/index.json | cut -d: -f2)" ||
	fail 'the saved manifest is not the one that came'
for form in oci-archive:oci.tar docker-archive:docker.tar:a.b/c/d:e; do
	skopeo copy -q oci:image:latest "$form" || fail "skopeo cannot make $form"
done
for form in saved.tar image oci.tar docker.tar; do
	expect 0 '^Loaded image: ' sm --image-store "$work/loaded-$form" load -i "$form"
	is "$(sm --image-store "$work/loaded-$form" images -q)" "$id" "the id of what was loaded from $form"
done
expect 0 ' e ' sm --image-store "$work/loaded-docker.tar" images
# From the standard input.
is "$(sm --image-store "$work/input-1" load <docker.tar) $(gzip -c docker.tar | sm --image-store "$work/input-2" load)" \
	'Loaded image: a.b/c/d:e Loaded image: a.b/c/d:e' 'what is loaded from the standard input'
expect 1 'cannot open -|not a file or a pipe' sh -c 'exec "$@" </dev/zero' sh "$build/supermachine" load
# As docker wrote them before 1.10: repositories, a directory for each layer, links between them.
mkdir old && tar -xf docker.tar -C old && rm -f old/manifest.json && tar -C old -cf old.tar .
for form in old.tar old; do
	expect 0 '^Loaded image: a.b/c/d:e$' sm --image-store "$work/loaded-$form" load -i "$form"
	is "$(sm --image-store "$work/loaded-$form" inspect a.b/c/d:e | jq -c '.[0] | [.RootFS.Layers, .Config.Cmd]')" \
		"$(sm --image-store "$work/loaded-docker.tar" inspect a.b/c/d:e | jq -c '.[0] | [.RootFS.Layers, .Config.Cmd]')" \
		"what was loaded from $form"
done
top=$(jq -r '.["a.b/c/d"].e' old/repositories)
is "$(find old -name layer.tar -type l | wc -l)" 5 'links to layers'
jq -c --arg id "$top" '.container_config = {Cmd: ["/bin/sh", "-c", "#(nop) CMD"]} | .created = "2014-05-06T07:08:09Z" | .throwaway = true' \
	"old/$top/json" >json && cp -f json "old/$top/json"
expect 0 '^Loaded image: ' sm --image-store "$work/loaded-old" load -i old
is "$(sm --image-store "$work/loaded-old" history --format json a.b/c/d:e | jq -c '.[0].createdBy')" '"/bin/sh -c #(nop) CMD"' 'the history of an old image'
is "$(sm --image-store "$work/loaded-old" inspect a.b/c/d:e | jq -r '.[0].Created')" 2014-05-06T07:08:09Z 'its time'
jq --arg id "$top" '.parent = $id' json >"old/$top/json"
expect 1 'a.b/c/d:e|or a circle' sm --image-store "$work/cut" load -i old
# All of them are in memory together.
jq -c '.padding = ("x" * 3000000)' json >large && cp -f large "old/$top/json"
jq -c --arg id "$top" '.parent = $id' large >"old/$(jq -r .parent json)/json"
expect 1 'larger than' sm --image-store "$work/cut" load -i old
jq '.parent = "../outside"' json >"old/$top/json"
expect 1 'outside.* is not a layer.s id' sm --image-store "$work/cut" load -i old
rm -rf old/repositories
expect 1 'old: neither an OCI layout nor a docker archive' sm --image-store "$work/cut" load -i old
# Compressed ones; and none has a program run for it.
for filter in gzip bzip2 xz zstd; do
	$filter -qc docker.tar >"docker.tar.$filter"
	expect 0 '^Loaded image: ' sm --image-store "$work/loaded-$filter" load -i "docker.tar.$filter"
done
mkdir bin
for program in lrzip lzop grzip; do
	printf '#!/bin/sh\ntouch %s/ran\n' "$work" >bin/$program
	chmod +x bin/$program
done
{ printf 'LRZI\0\6'; head -c 1000 /dev/zero; } >lrzip.tar
{ printf '\211LZO\0\r\n\032\n'; head -c 1000 /dev/zero; } >lzop.tar
{ printf 'GRZipII\0\2\004:)'; head -c 1000 /dev/zero; } >grzip.tar
for program in lrzip lzop grzip; do
	PATH=$work/bin:$PATH expect 1 "$program.tar" sm --image-store "$work/cut" load -i $program.tar
done
is "$(find . -name ran)" '' 'programs that an archive had run'
# An index in the layout's: the image is known by it, and saved as what it is.
nested() { # DIRECTORY NAME: the layout with its manifest in an index, of this name
	rm -rf "$1" && cp -a image "$1"
	jq '.manifests[0].platform = {os: "linux", architecture: "amd64"} | del(.manifests[0].annotations)' image/index.json >inner
	index=$(sha256sum <inner | cut -d' ' -f1)
	jq --arg digest "sha256:$index" --argjson size "$(stat -c %s inner)" --arg name "$2" \
		'{schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.index.v1+json", $digest, $size,
			annotations: {"io.containerd.image.name": $name}}]}' image/index.json >"$1/index.json"
	mv inner "$1/blobs/sha256/$index"
}
nested nested 'not a name'
expect 0 "^Loaded image: localhost/loaded@sha256:$index\$" sm --image-store "$work/nested-store" load --keep-blobs -i nested
expect 0 "$id" sm --image-store "$work/nested-store" inspect "localhost/loaded@sha256:$index"
expect 0 '' sm --image-store "$work/nested-store" save -o from-nested.tar "localhost/loaded@sha256:$index"
expect 0 "^Loaded image: localhost/loaded@sha256:" sm --image-store "$work/loaded-nested" load -i from-nested.tar
expect 0 '^Untagged: ' sm --image-store "$work/nested-store" rmi "localhost/loaded@sha256:$index"
nested nested "docker.io/library/x@sha256:$index"
expect 0 "^Loaded image: docker.io/library/x@sha256:$index\$" sm --image-store "$work/nested-store" load -i nested
# Nobody gives an image the name of another one's digest.
other=sha256:$(echo other | sha256sum | cut -d' ' -f1)
nested nested "docker.io/library/x@$other"
expect 1 "x@$other: this image has the digest" sm --image-store "$work/lies" load -i nested
mkdir lies-docker && tar -xf docker.tar -C lies-docker
jq --arg name "docker.io/library/x@$other" '.[0].RepoTags = [$name]' lies-docker/manifest.json >lies.json
mv -f lies.json lies-docker/manifest.json
expect 1 "x@$other: this image has the digest" sm --image-store "$work/lies" load -i lies-docker
is "$(find lies -type f ! -name lock)" '' 'what refused names leave'

# Whatever a layout in a directory says, nothing outside of it is read.
mkdir docker && tar -xf docker.tar -C docker
config=$(jq -r '.[0].Config' docker/manifest.json)
mkdir outside && cp "docker/$config" outside/config
expect 0 '^Loaded image: ' sm --image-store "$work/loaded-docker" load -i docker
for path in ../outside/config "$work/outside/config" link/config; do
	rm -rf bent && cp -a docker bent && rm -f bent/manifest.json && ln -s ../outside bent/link
	jq --arg path "$path" '.[0].Config = $path' docker/manifest.json >bent/manifest.json
	expect 1 "cannot open $path" sm --image-store "$work/bent-store" load -i bent
done
rm -rf bent && cp -a image bent && mv bent/blobs outside/ && ln -s ../outside/blobs bent/blobs
expect 1 'cannot open blobs' sm --image-store "$work/bent-store" load -i bent
head -c 500000 docker.tar >cut.tar
expect 1 'cut.tar' sm --image-store "$work/cut" load -i cut.tar
is "$(find cut -type f ! -name lock)" '' 'what a failed load leaves'

# ---- what podman builds, file by file ----
# listing DIRECTORY: names, kinds, modes, owners, times, links, contents and attributes.
listing() {
	(cd "$1" && find . -mindepth 1 ! -type d -printf '%P %y %m %U:%G %T@ %l %n\n' -o -type d -printf '%P %y %m %U:%G %T@\n' | sort
	find . -type f -exec sha256sum {} + | sort
	getfattr -Rhd -m- . 2>/dev/null | grep -v '^trusted.overlay')
}
# mounted LAYER…: the listing of these squashfs images on top of each other.
mounted() {
	local layer lower='' n=0
	for layer; do
		mkdir -p "$work/lower/$n"
		mount -o loop,ro "$layer" "$work/lower/$n"
		lower=$work/lower/$n${lower:+:$lower}
		n=$((n + 1))
	done
	mkdir -p "$work/lower/all" "$work/lower/none"
	mount -t overlay -o "lowerdir=$lower:$work/lower/none" overlay "$work/lower/all"
	listing "$work/lower/all"
}
podman=(podman --root "$work/podman" --runroot "$work/podman-run")
mkdir -p context/root/bin context/root/etc context/root/d/e
cp "$(command -v busybox || echo /bin/true)" context/root/bin/busybox
for program in sh rm mkdir chmod chown touch ln mv; do ln -s busybox context/root/bin/$program; done
echo a >context/root/etc/a && ln context/root/etc/a context/root/etc/b
touch -d '2001-02-03 04:05:06' context/root/d/e/old
truncate -s 5M context/root/sparse && echo x >>context/root/sparse
cat >context/Dockerfile <<'END'
FROM scratch
COPY root/ /
RUN rm /etc/a && echo c >/etc/c && chown 7:8 /etc/c && mkdir -p /n/m && chmod 1777 /n
RUN rm -r /d && mkdir /d && touch /d/new && mv /etc/c "/etc/odd name ä" && ln /bin/busybox /hard
END
if [ -z "$can_mount" ] || ! command -v podman busybox getfattr >/dev/null ||
	! { "${podman[@]}" build -q --isolation chroot --network host --layers -t localhost/built context &&
		unshare -m "${podman[@]}" image mount localhost/built; } >out 2>&1; then
	echo "not compared: podman cannot build here: $(tail -n 1 out)"
else
	"${podman[@]}" save -q -o podman-docker.tar localhost/built
	"${podman[@]}" save -q --format oci-archive -o podman-oci.tar localhost/built
	unshare -m bash -c "$(declare -f listing); listing \"\$(\"\$@\" image mount localhost/built)\"" bash "${podman[@]}" >wanted
	is "$(grep -c 'etc/odd name ä f 644 7:8 .* 1$' wanted)$(grep -c '^etc/a ' wanted)" 10 'what podman has built'
	# And what is made of the images that were made of it.
	"$build/supermachine" --image-store "$work/podman-first" load -q -i podman-oci.tar
	sm --image-store "$work/podman-first" save -o podman-made.tar localhost/built 2>/dev/null
	for form in docker oci made; do
		expect 0 '^Loaded image: ' sm --image-store "$work/podman-$form" load -i podman-$form.tar
		mapfile -t layers < <(sm --image-store "$work/podman-$form" inspect "$(sm --image-store "$work/podman-$form" images -q)" | jq -r '.[0].RootFS.Images[]')
		unshare -m bash -c "work=$work; $(declare -f listing mounted); mounted \"\$@\"" bash "${layers[@]}" >got
		cmp got wanted || fail "what is loaded from podman's $form archive: $(diff wanted got | head)"
	done
	"${podman[@]}" image umount -a >/dev/null
	"${podman[@]}" rmi -af >/dev/null 2>&1
fi

# ---- import ----
mkdir -p root/bin && echo text >root/file && ln -s file root/link && tar -C root -cf root.tar . && gzip -k root.tar
export SUPERMACHINE_STORE=$work/imported
expect 0 '^sha256:[0-9a-f]{64}$' sm import -m 'from a test' root.tar.gz mine:1
is "$(sm images --format json | jq -r '.[].name')" docker.io/library/mine:1 'the name of what was imported'
is "$(sm inspect mine:1 | jq -c '[.[0] | .RootFS.Layers, .Architecture, .Config]')" \
	"[[\"sha256:$(sha256sum <root.tar | cut -d' ' -f1)\"],\"amd64\",{}]" 'what was imported'
is "$(sm history mine:1 --format json | jq -r '.[].comment')" 'from a test' 'its history'
[ -z "$can_mount" ] || unshare -m sh -c 'mount -o loop,ro "$1" mount && cmp mount/link root/file' sh \
	"$(sm inspect mine:1 | jq -r '.[0].RootFS.Images[0]')" || fail 'the imported files differ'
# By a pipe; the layer is there already.
is "$(sm import - other <root.tar | cut -c 1-7)" sha256: 'the id of an import from a file'
is "$(gzip -c root.tar | sm import - | cut -c 1-7)" sha256: 'the id of an import from a pipe'
is "$(sm images -q | wc -l) $(find imported/layers -type f | wc -l)" '3 1' 'images and layers'
expect 0 '^localhost/imported +<none> ' sm images
expect 1 'cannot open /none: No such file' sm import /none
is "$(echo no archive | sm import - 2>&1 | grep -c '"-: cannot read the layer')" 1 'the error of an import from a pipe'
expect 1 ' is not a file or a pipe' sm import root
expect 1 'the standard input is not a file or a pipe' sm import -
expect 1 'a name for an import has no digest' sm import root.tar "x@sha256:$(printf '%064d' 0)"
expect 1 'UPPER' sm import root.tar UPPER
head -c 3000 root.tar.gz | head -c 100 >short.tar.gz
expect 1 'short.tar.gz: ' sm import short.tar.gz
is "$(find imported -name '*.tmp')" '' 'what a failed import leaves'
# Kept, it can be saved, and is the same elsewhere.
expect 0 '' sm import --keep-blobs root.tar.gz kept:1
expect 0 '' sm save -o mine.tar kept:1
expect 0 'Loaded image: docker.io/library/kept:1' sm --image-store "$work/elsewhere" load -i mine.tar
is "$(sm --image-store "$work/elsewhere" inspect kept:1 | jq -r '.[0].Id')" "$(sm inspect kept:1 | jq -r '.[0].Id')" 'its id elsewhere'
is "$(find imported -name '*.tmp')" '' 'what an import leaves'
export SUPERMACHINE_STORE=$work/store

# ---- mirrors, and registries that are blocked (registries.conf) ----
mkdir -p .config/containers
registries_conf() { cat >.config/containers/registries.conf; }
registries_conf <<END
[[registry]]
prefix = "images.test/from"
location = "nowhere.invalid"
  [[registry.mirror]]
  location = "127.0.0.1:1/none"
  [[registry.mirror]]
  location = "127.0.0.1:$port/test"
[[registry]]
prefix = "images.test/blocked"
blocked = true
END
expect 0 '^images.test/from/image:v1$' sm --image-store "$work/mirrored" pull images.test/from/image:v1
grep -q 'mirror 127.0.0.1:1: cannot fetch v1' err || fail "not told of a mirror: $(cat err)"
is "$(sm --image-store "$work/mirrored" images -q)" "$id" 'the id of what came from a mirror'
expect 1 'registry images.test/blocked is blocked in .*/registries.conf' sm pull images.test/blocked/x
registries_conf <<<'[[registry]'
expect 1 'registries.conf: line 1: ' sm pull "127.0.0.1:$port/test/image:v1"
rm .config/containers/registries.conf

# ---- containerd's hosts.toml ----
hosts_toml() { mkdir -p ".config/containerd/certs.d/$1" && cat >".config/containerd/certs.d/$1/hosts.toml"; }
hosts_toml hosts.test_5000_ <<END
server = "https://nowhere.invalid"
[host."http://127.0.0.1:1"]
[host."http://127.0.0.1:$port"]
  capabilities = ["pull", "resolve"]
END
: >plain.log
expect 0 '^hosts.test:5000/test/image:v1$' sm --image-store "$work/hosts" pull hosts.test:5000/test/image:v1
grep -q 'mirror 127.0.0.1:1: cannot fetch v1' err || fail "not told of a mirror: $(cat err)"
is "$(sm --image-store "$work/hosts" images -q)" "$id" 'the id of what came from a host of hosts.toml'
for _ in $(seq 300); do
	grep -q 'blobs/sha256:.*?ns=hosts.test:5000' plain.log && break
	sleep 0.1
done
is "$(grep -c '"GET [^ ]*/manifests/v1?ns=hosts.test:5000 ' plain.log)" 1 'requests that name the registry of the name'
hosts_toml hosts.test_5000_ <<<'server = '
expect 1 'hosts.toml: line 1: ' sm pull hosts.test:5000/test/image:v1
rm -r .config/containerd

# ---- TLS and a password ----
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=registry \
	-addext 'subjectAltName=DNS:registry.test,IP:127.0.0.1' -keyout key.pem -out ca.crt 2>/dev/null
# shellcheck disable=SC2016 # a salt
echo "user:$(perl -e 'print crypt("secret", q($2y$05$abcdefghijklmnopqrstuu))')" >htpasswd
registry secure "  tls: {certificate: $work/ca.crt, key: $work/key.pem}" \
	"auth: {htpasswd: {realm: test, path: $work/htpasswd}}"
mkdir certs && cp ca.crt certs/
skopeo copy -q --dest-cert-dir certs --dest-creds user:secret oci:image:latest "docker://127.0.0.1:$port/a/b:c" || fail 'skopeo cannot push'
name=127.0.0.1:$port/a/b:c
expect 1 'certificate' sm pull "$name"
expect 1 'log in with' sm pull --cert-dir certs "$name"
expect 1 'refuses the login: not with these credentials \(401\)' sm login --cert-dir certs -u user -p wrong "127.0.0.1:$port"
expect 1 'the username is empty' sm login --cert-dir certs -u '' -p secret "127.0.0.1:$port"
expect 1 'password and --password-stdin are mutually exclusive' sm login -u user -p secret --password-stdin "127.0.0.1:$port"
expect 1 'the password is empty' sm login --cert-dir certs -u user -p '' "127.0.0.1:$port"
# (Nobody answers the questions.)
expect 1 'the username is empty' sm login "127.0.0.1:$port"
expect 0 'Login Succeeded' sm login --cert-dir certs -u user -p secret "127.0.0.1:$port"
expect 0 "^$name\$" sm --image-store "$work/secure" pull --cert-dir certs "$name"
hosts_toml "127.0.0.1:$port" <<END
server = "https://127.0.0.1:$port"
ca = ["$work/certs/ca.crt", "../../../../ca.crt"]
END
expect 0 "^$name\$" sm --image-store "$work/secure-hosts" pull "$name"
hosts_toml "127.0.0.1:$port" <<END
server = "https://127.0.0.1:$port"
skip_verify = true
END
expect 0 "^$name\$" sm --image-store "$work/secure-hosts" pull "$name"
rm -r .config/containerd
expect 0 'Removed' sm logout "127.0.0.1:$port"
expect 1 'log in with' sm pull --insecure "$name"
expect 0 '' sm pull -q --insecure --creds user:secret "$name"
expect 0 '' sm prune -a
is "$(sm images -q)" '' 'images after prune -a'

# ---- tokens by TLS, from a gate that does all it should not: with each fault, the image or an error ----
# (FAULTS=all: slow ones, too, by hand.)
layout ranged 2 9000000
skopeo copy -q --dest-tls-verify=false oci:ranged:latest "docker://127.0.0.1:$plain_port/test/ranged:v1" || exit 1
ranged=$(jq -r .config.digest "ranged/blobs/sha256/$(jq -r '.manifests[0].digest' ranged/index.json | cut -d: -f2)")
ln -s plain.data gate.data
registry gate '' "auth: {token: {realm: 'https://127.0.0.1/token', service: registry, issuer: gate, rootcertbundle: $work/ca.crt}}"
faults='none cut bytes redirect no-ranges middle'
[ "${FAULTS:-}" != all ] || faults="$faults slow busy broken long short"
pulls=''
for fault in $faults; do
	mkfifo "gate.$fault"
	"$source/tests/unit/registry-proxy.py" ca.crt key.pem user:secret "$port" "$fault" >"gate.$fault" 2>"gate.$fault.err" & registries="$registries $!"
	read -r gate <"gate.$fault"
	{
		sm --image-store "$work/gate-$fault" pull -q --cert-dir certs --creds user:secret "127.0.0.1:$gate/test/ranged:v1"
		echo "status $?"
	} >"gate.$fault.out" 2>&1 </dev/null & pulls="$pulls $!"
done
# shellcheck disable=SC2086 # many
wait $pulls
gate_said() { # FAULT PATTERN
	checks=$((checks + 1))
	grep -Eq -e "$2" "gate.$1.out" || fail "a registry with the fault $1: no \"$2\" in: $(cat "gate.$1.out" "gate.$1.err")"
}
for fault in $faults; do
	case $fault in
	bytes) gate_said "$fault" 'has the digest sha256:' ;;
	long) gate_said "$fault" 'longer than the [0-9]+ bytes that its manifest says' ;;
	*) gate_said "$fault" '^status 0' && is "$(sm --image-store "$work/gate-$fault" images -q --no-trunc)" "$ranged" "the image of a registry with the fault $fault" ;;
	esac
	is "$(find "gate-$fault" -name '*.tmp' | wc -l)" 0 "files left by a registry with the fault $fault"
done
expect 1 'with these credentials' sm --image-store "$work/gate-none" pull --cert-dir certs --creds user:wrong "127.0.0.1:$gate/test/image:v1"
rm -rf ranged gate-*

# ---- certificates of clients ----
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=client -keyout client.key -out client.csr 2>/dev/null
openssl x509 -req -in client.csr -CA ca.crt -CAkey key.pem -CAcreateserial -days 2 -out client.cert 2>/dev/null
registry mutual "  tls: {certificate: $work/ca.crt, key: $work/key.pem, clientcas: [$work/ca.crt]}"
certs=.config/containers/certs.d/127.0.0.1:$port
mkdir -p "$certs" && cp ca.crt "$certs"
# (Its words come too late at times: then the connection is just cut.)
expect 1 'cannot fetch v1: ' sm pull "127.0.0.1:$port/test/image:v1"
cp client.cert "$certs"
expect 1 "the key of the certificate .*/client.cert: .*/client.key: No such file" sm pull "127.0.0.1:$port/test/image:v1"
cp client.key "$certs"
skopeo copy -q --dest-cert-dir "$certs" oci:image:latest "docker://127.0.0.1:$port/test/image:v1" || fail 'skopeo cannot push'
expect 0 '' sm pull -q "127.0.0.1:$port/test/image:v1"

echo "$checks checks, $failures failures"
[ $failures -eq 0 ]
