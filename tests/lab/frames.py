#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a host sees of the TCP and UDP frames that come in by an interface, as tcpdump would.

usage: frames.py INTERFACE

Ends at SIGTERM, and prints: how many frames were right, how many have a checksum that somebody has yet
to fill in (left), how many have a wrong one (wrong), and how long the longest was.
"""
import signal
import socket
import struct
import sys

ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 3, 263, 8, 4
SO_RCVBUFFORCE = 33
TP_STATUS_CSUMNOTREADY = 8
HEADER = 14
V4, V6 = 0x0800, 0x86dd


def sum_of(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def parts(frame):
    """The protocol, its packet, and the sum of what stands for the header in its checksum; whether the header is right."""
    kind = struct.unpack_from(">H", frame, 12)[0]
    packet = frame[HEADER:]
    if kind == V4:
        length = (packet[0] & 15) * 4
        size = struct.unpack_from(">H", packet, 2)[0]
        fragment = struct.unpack_from(">H", packet, 6)[0] & 0x3fff
        if fragment:
            return None
        inner = packet[length:size]
        return packet[9], inner, sum_of(packet[12:20]) + packet[9] + len(inner), sum_of(packet[:length]) == 0xffff
    if kind == V6:
        size = struct.unpack_from(">H", packet, 4)[0]
        inner = packet[40:40 + size]
        return packet[6], inner, sum_of(packet[8:40]) + packet[6] + len(inner), True
    return None


def main():
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sniffer.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    sniffer.bind((sys.argv[1], 0))
    sniffer.settimeout(0.2)
    right = left = wrong = longest = 0
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    print("ready", flush=True)
    while True:
        try:
            frame, ancillary, _, address = sniffer.recvmsg(1 << 17, 256)
        except socket.timeout:
            if ended:
                break
            continue
        found = parts(frame) if address[2] != PACKET_OUTGOING else None
        if not found or found[0] not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            continue
        longest = max(longest, len(frame))
        status = [struct.unpack_from("=I", data)[0] for _, _, data in ancillary]
        if not found[3]:
            wrong += 1
        elif any(word & TP_STATUS_CSUMNOTREADY for word in status):
            left += 1
        elif sum_of(struct.pack(">I", found[2]) + found[1]) == 0xffff:
            right += 1
        else:
            wrong += 1
    print("right", right, "left", left, "wrong", wrong, "longest", longest)


main()
