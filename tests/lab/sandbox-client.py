#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A pod as containerd 2.x asks a shim for it, whose runtime has `sandboxer = "shim"`: a sandbox
without a pause container, then containers in it.

usage: sandbox-client.py SHIM DIRECTORY BUNDLE NETNS CONTAINER-BUNDLE...

SHIM is the program, DIRECTORY its sockets' place, BUNDLE the sandbox's (empty: the CRI plugin has
no config.json for it), NETNS the pod's network. Each container's config.json has PID where the
sandbox's process belongs; its output goes to BUNDLE/out. Prints a line for each thing that is
looked at.

Wire format: containerd api/runtime/sandbox/v1, api/runtime/task/v3, api/runtime/bootstrap/v1;
github.com/containerd/ttrpc PROTOCOL.md; k8s.io/cri-api runtime/v1 PodSandboxConfig.
"""
import json
import os
import socket
import struct
import subprocess
import sys

from wire import pack, unpack

ID, NAMESPACE = "pod1", "k8s.io"
SANDBOX = "containerd.runtime.sandbox.v1.Sandbox"
TASK = "containerd.task.v3.Task"


def start_shim(shim, directory, bundle):
    """What it answers to a caller with BootstrapParams."""
    parameters = pack({1: ID, 2: NAMESPACE, 4: "2.3.0", 9: directory})
    answer = subprocess.run(
        [shim, "-namespace", NAMESPACE, "-address", "/run/containerd/containerd.sock",
         "-publish-binary", "/bin/true", "-id", ID, "start"],
        input=parameters, cwd=bundle, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "MAX_SHIM_VERSION": "2",
             **{key: value for key, value in os.environ.items()
                if key.startswith("SUPERMACHINE_")}})
    answer = json.loads(answer.stdout)
    print("shim", answer["version"], answer["protocol"])
    return answer["address"].removeprefix("unix://")


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(300)
        self.stream = 1

    def read(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                sys.exit("the shim hung up")
            data += part
        return data

    def call(self, service, method, fields):
        """The response's fields, or what the shim says against it."""
        request = pack({1: service, 2: method, 3: pack(fields)})
        self.socket.sendall(struct.pack(">IIBB", len(request), self.stream, 1, 0) + request)
        size, stream, _, _ = struct.unpack(">IIBB", self.read(10))
        assert stream == self.stream, "another call's answer"
        self.stream += 2
        response = unpack(self.read(size))
        status = unpack(response.get(1, b""))
        if status.get(1, 0):
            return "error: " + status.get(2, b"").decode()
        return unpack(response.get(2, b""))


def run_container(shim, bundle, pid):
    """Create, Start, Wait and Delete; what it wrote, and its exit status."""
    name, config, out = os.path.basename(bundle), bundle + "/config.json", bundle + "/out"
    with open(config) as file:
        text = file.read()
    with open(config, "w") as file:
        file.write(text.replace("PID", str(pid)))
    created = shim.call(TASK, "Create", {1: name, 2: bundle, 6: "file://" + out})
    if isinstance(created, str):
        print(name, created)
        return
    assert created[1] == pid, "the container's process is not the sandbox's"
    shim.call(TASK, "Start", {1: name})
    status = shim.call(TASK, "Wait", {1: name}).get(1, 0)
    shim.call(TASK, "Delete", {1: name})
    with open(out) as file:
        print(name, status, *file.read().split("\n"))


def main():
    program, directory, bundle, netns, *containers = sys.argv[1:]
    shim = Connection(start_shim(program, directory, bundle))

    def sandbox(method, fields=None):
        answer = shim.call(SANDBOX, method, {1: ID, **(fields or {})})
        if isinstance(answer, str):
            sys.exit(method + ": " + answer)
        return answer

    memory = {1: "io.supermachine.memory", 2: "320M"}
    kernel = {1: "io.supermachine.kernel", 2: "/no/kernel"}

    def request(annotations):
        pod = pack({1: {1: "name"}, 2: "pod-host", 7: annotations, 8: {1: "/kubepods"}})
        return {1: ID, 2: bundle, 4: {1: "runtime.v1.PodSandboxConfig", 2: pod}, 5: netns}

    # Who writes a pod may size its machine, and no more.
    print(shim.call(SANDBOX, "CreateSandbox", request([memory, kernel])))
    sandbox("CreateSandbox", request([memory]))
    pid = sandbox("StartSandbox")[1]
    sandbox("PingSandbox")
    print("platform", unpack(sandbox("Platform")[1])[1].decode())
    print("network", os.path.samefile("/proc/%d/ns/net" % pid, netns))
    for container in containers:
        run_container(shim, container, pid)
        print(sandbox("SandboxStatus")[3].decode())
    sandbox("StopSandbox", {2: 10})
    print(sandbox("SandboxStatus")[3].decode(), sandbox("WaitSandbox").get(1, 0))
    sandbox("ShutdownSandbox")


main()
