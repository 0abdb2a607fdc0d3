#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# passt 2023-03-09 of Debian 12 (0.0~git20230309.7c7625d-1), as its guest sees it:
#   1. A frame's length that comes without the frame is lost, and the stream with it: both must
#      be written in one call. (Debian 13's 2025-05-03 waits for the frame.)
#   2. Of a range of ports it binds what it can: one that is in use is left out in
#      silence. (Debian 13's refuses the range.)
#   3. Until its guest has sent a frame, what a client of a forwarded port sends is addressed to
#      00:00:00:00:00:00, which no guest takes for its own: one that only listens is never reached.
# Installs that package in a temporary directory, and works in a network namespace of its own. Needs root,
# iproute2 and python3. Exits 0 while that is so.
set -eu
here=$(readlink -f "$0")
VERSION=0.0~git20230309.7c7625d-1
if [ "${1:-}" != inside ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cd "$work"
	apt-get download -qq -o APT::Sandbox::User=root "passt=$VERSION"
	dpkg -x passt_*.deb .
	PATH=$work/usr/bin:$PATH unshare --net "$here" inside
	exit
fi
ip link set lo up
ip link add up0 type veth peer name far0
ip link set far0 up
ip link set up0 up
ip address add 192.0.2.77/24 dev up0
ip route add default via 192.0.2.1
echo "version: $VERSION"
exec python3 - <<'END'
import socket, struct, subprocess, sys, time

GUEST = socket.inet_aton("10.0.2.15")
MAC = bytes.fromhex("525400010203")
changed = False

def start(*more):
    ours, theirs = socket.socketpair()
    status = subprocess.run(["passt", "--quiet", "--ipv4-only", "--no-map-gw", "--address", "10.0.2.15",
        "--netmask", "24", "--gateway", "10.0.2.2", "--fd", str(theirs.fileno()), *more],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    theirs.close()
    ours.settimeout(5)
    return ours, status

def answered(ours, frame, pause=0):
    length = struct.pack(">I", len(frame))
    if pause:
        ours.sendall(length)
        time.sleep(pause)
        ours.sendall(frame)
    else:
        ours.sendall(length + frame)
    try:
        return len(ours.recv(65536)) > 0
    except socket.timeout:
        return False

def arp(address):
    return b"\xff" * 6 + MAC + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + MAC + GUEST + \
        bytes(6) + socket.inet_aton(address)

def tell(what, seen, expected):
    global changed
    print(f"{what}: {seen}" + ("" if seen == expected else ", which is new"))
    changed = changed or seen != expected

ours, status = start()
tell("length and frame in one call: answered", answered(ours, arp("10.0.2.2")), True)
ours, status = start()
tell("the frame 200 ms after its length: answered", answered(ours, arp("10.0.2.2"), 0.2), False)
user = socket.socket()
user.bind(("0.0.0.0", 8001))
user.listen()
ours, status = start("--tcp-ports", "8000-8002:80-82")
tell("ports 8000-8002, of which 8001 is in use: status", status, 0)

def address_of_syn(port, first):
    ours, status = start("--tcp-ports", f"{port}:90")
    if first:
        answered(ours, first)
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    while True:
        size, = struct.unpack(">I", ours.recv(4, socket.MSG_WAITALL))
        frame = ours.recv(size, socket.MSG_WAITALL)
        if frame[12:14] == b"\x08\x00" and frame[23] == 6:
            return frame[:6].hex(":")

tell("a first connection is addressed to", address_of_syn(9000, None), "00:00:00:00:00:00")
tell("after a frame of the guest's, to", address_of_syn(9001, arp("10.0.2.2")), MAC.hex(":"))
sys.exit(changed)
END
