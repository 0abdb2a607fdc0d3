#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An OCI layout of one image, as tools that build images write it.

usage: image-layout.py OUT NAME CONFIG DIRECTORY...

CONFIG is the JSON of image-spec's "config" object. Each directory is a layer, lowest first; what
lies in it belongs to root, unless KEEP_OWNERS is in the environment, and .wh. files in it are
whiteouts."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

out, name, config, directories = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4:]
os.makedirs(f"{out}/blobs/sha256")


def put(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{out}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + digest, "size": len(data)}


def owned(entry):
    if "KEEP_OWNERS" not in os.environ:
        entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


layers, ids = [], []
for directory in directories:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for entry in sorted(os.listdir(directory)):
            tar.add(f"{directory}/{entry}", arcname=entry, filter=owned)
    ids.append("sha256:" + hashlib.sha256(file.getvalue()).hexdigest())
    layers.append(put(gzip.compress(file.getvalue(), 1), "layer.v1.tar+gzip"))
architecture = config.pop("architecture", "amd64")
blob = put(json.dumps({"architecture": architecture, "os": "linux", "config": config,
                       "rootfs": {"type": "layers", "diff_ids": ids}}).encode(), "config.v1+json")
manifest = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": blob, "layers": layers}).encode(), "manifest.v1+json")
manifest["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
with open(f"{out}/index.json", "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
with open(f"{out}/oci-layout", "w") as file:
    file.write('{"imageLayoutVersion": "1.0.0"}')
