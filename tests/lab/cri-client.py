#!/usr/bin/python3
"""One pod by containerd's CRI plugin: what a kubelet asks for, in its order.

usage: cri-client.py SOCKET HANDLER IMAGE LOG-DIRECTORY

Prints a line for each thing that is looked at; the test compares. The messages of
k8s.io/cri-api runtime/v1 are packed by hand, as field=value: python3-grpcio is all
that it needs.
"""
import sys
import time

import grpc

NODE, CONTAINER = 2, 1  # NamespaceMode


def varint(number):
    packed = b""
    while number > 0x7F:
        packed += bytes([number & 0x7F | 0x80])
        number >>= 7
    return packed + bytes([number])


def pack(fields):
    """{number: int, str, bytes, dict (a message), or a list of these}"""
    packed = b""
    for number, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                packed += varint(number << 3) + varint(one)
                continue
            if isinstance(one, dict):
                one = pack(one)
            elif isinstance(one, str):
                one = one.encode()
            packed += varint(number << 3 | 2) + varint(len(one)) + one
    return packed


def unpack(packed):
    """{number: the last value}, messages and strings as bytes"""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = packed[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(packed):
        key = number()
        if key & 7 == 0:
            fields[key >> 3] = number()
        else:
            size = number() if key & 7 == 2 else 8 if key & 7 == 1 else 4
            fields[key >> 3] = packed[at:at + size]
            at += size
    return fields


def main():
    socket, handler, image, logs = sys.argv[1:]
    channel = grpc.insecure_channel("unix://" + socket)

    def call(method, fields):
        function = channel.unary_unary("/runtime.v1.RuntimeService/" + method,
                                       request_serializer=pack, response_deserializer=unpack)
        return function(fields, timeout=150)

    def status(container):
        fields = unpack(call("ContainerStatus", {1: container})[1])
        return "state %d exit %d" % (fields.get(3, 0), fields.get(7, 0))

    def start(name, command):
        config = {1: {1: name}, 2: {1: image}, 3: command, 11: name + ".log",
                  15: {1: {1: 100000, 2: 50000, 4: 64 << 20},
                       2: {3: {1: NODE, 2: CONTAINER}}}}
        container = call("CreateContainer", {1: sandbox, 2: config, 3: pod})[1].decode()
        call("StartContainer", {1: container})
        return container

    pod = {1: {1: "pod", 2: "uid", 3: "default"}, 3: logs,
           8: {2: {1: {1: NODE, 2: CONTAINER}}}}
    sandbox = call("RunPodSandbox", {1: pod, 2: handler})[1].decode()
    long = start("long", ["sh", "-c", "echo long; exec sleep 1000"])
    short = start("short", ["sh", "-c", "echo short >&2; exit 7"])
    limit = "cat /sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup)/memory.max; exit 3"
    for _ in range(2):
        answer = call("ExecSync", {1: long, 2: ["sh", "-c", limit], 3: 60})
        print("exec", answer[1].decode().strip(), "exit", answer.get(3, 0))
        call("UpdateContainerResources", {1: long, 2: {4: 32 << 20}})
    for _ in range(600):
        if status(short).startswith("state 2"):
            break
        time.sleep(0.1)
    print("short", status(short))
    print("stats", "memory" if 3 in unpack(call("ContainerStats", {1: long})[1]) else "none")
    call("StopContainer", {1: long, 2: 1})
    print("long", status(long))
    for container in long, short:
        call("RemoveContainer", {1: container})
    call("StopPodSandbox", {1: sandbox})
    call("RemovePodSandbox", {1: sandbox})


main()
