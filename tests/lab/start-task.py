#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Creates and starts a task whose root is one mount of the caller's choice, which ctr cannot: what
a snapshotter with images (devmapper, erofs) makes of one.

usage: start-task.py SOCKET NAMESPACE CONTAINER STDOUT TYPE SOURCE [OPTION...]

Messages: containerd api/services/tasks/v1, api/types Mount.
"""
import sys

import grpc

from wire import pack, unpack


def main():
    socket, namespace, container, stdout, kind, source, *options = sys.argv[1:]
    channel = grpc.insecure_channel("unix://" + socket)

    def call(method, fields):
        function = channel.unary_unary("/containerd.services.tasks.v1.Tasks/" + method,
                                       request_serializer=pack, response_deserializer=unpack)
        function(fields, timeout=100, metadata=[("containerd-namespace", namespace)])

    root = {1: kind, 2: source, 4: options}
    try:
        call("Create", {1: container, 3: root, 5: stdout})
        call("Start", {1: container})
    except grpc.RpcError as error:
        sys.exit("start-task.py: " + error.details())


main()
