#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One pod by containerd's CRI plugin: what a kubelet asks for, in its order.

usage: cri-client.py SOCKET HANDLER IMAGE LOG-DIRECTORY [ANNOTATION=VALUE…]
       cri-client.py SOCKET HANDLER IMAGE LOG-DIRECTORY host-port PORT

The annotations are those of the pod's metadata, which its author writes. host-port: a pod
with a network of its own, of which port 80 is that port of the host's; it is there until a
line comes on standard input.
Prints a line for each thing that is looked at; the test compares. Messages:
k8s.io/cri-api runtime/v1.
"""
import sys
import time

import grpc

from wire import pack, unpack

POD, CONTAINER, NODE = 0, 1, 2  # NamespaceMode
TCP = 0


def main():
    socket, handler, image, logs = sys.argv[1:5]
    own_network = sys.argv[5:6] == ["host-port"]
    annotations = [dict(enumerate(word.split("=", 1), 1)) for word in sys.argv[5:]
                   if not own_network]
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
                       2: {3: {1: network, 2: CONTAINER}}}}
        container = call("CreateContainer", {1: sandbox, 2: config, 3: pod})[1].decode()
        call("StartContainer", {1: container})
        return container

    network = POD if own_network else NODE
    pod = {1: {1: "pod", 2: "uid", 3: "default"}, 3: logs, 7: annotations,
           8: {2: {1: {1: network, 2: CONTAINER}}}}
    if own_network:
        pod[5] = [{1: TCP, 2: 80, 3: int(sys.argv[6])}]
    sandbox = call("RunPodSandbox", {1: pod, 2: handler})[1].decode()

    def end(*containers):
        for container in containers:
            call("RemoveContainer", {1: container})
        call("StopPodSandbox", {1: sandbox})
        call("RemovePodSandbox", {1: sandbox})

    if own_network:
        web = start("web", ["sh", "-c", "mkdir /www; seq 20000 >/www/numbers; exec httpd -f -p 80 -h /www"])
        other = start("other", ["sleep", "1000"])
        address = unpack(unpack(call("PodSandboxStatus", {1: sandbox})[1])[5])[1].decode()
        fetch = "for i in $(seq 50); do wget -qO - http://127.0.0.1/numbers && break; sleep 0.2; done | sha256sum"
        print("localhost", call("ExecSync", {1: other, 2: ["sh", "-c", fetch], 3: 60})[1].decode().split()[0])
        own = "ip -o -4 addr show dev eth0 | grep -c ' %s/'" % address
        print("address", call("ExecSync", {1: other, 2: ["sh", "-c", own], 3: 60})[1].decode().strip(), flush=True)
        sys.stdin.readline()
        end(web, other)
        return
    long = start("long", ["sh", "-c", "echo long; exec sleep 1000"])
    short = start("short", ["sh", "-c", "echo short >&2; exit 7"])
    limit = "cat /sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup)/memory.max; exit 3"
    for _ in range(2):
        answer = call("ExecSync", {1: long, 2: ["sh", "-c", limit], 3: 60})
        print("exec", answer[1].decode().strip(), "exit", answer.get(3, 0))
        call("UpdateContainerResources", {1: long, 2: {4: 32 << 20}})
    memory = "awk '$1 == \"MemTotal:\" { print ($2 > 280000) }' /proc/meminfo"
    print("large", call("ExecSync", {1: long, 2: ["sh", "-c", memory], 3: 60})[1].decode().strip())
    for _ in range(600):
        if status(short).startswith("state 2"):
            break
        time.sleep(0.1)
    print("short", status(short))
    print("stats", "memory" if 3 in unpack(call("ContainerStats", {1: long})[1]) else "none")
    call("StopContainer", {1: long, 2: 1})
    print("long", status(long))
    end(long, short)


main()
