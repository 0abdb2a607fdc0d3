#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A registry of container images over TLS, read-only, for tests without a network.

usage: registry.py CERTIFICATE KEY REFERENCE=LAYER.tar[,LAYER.tar...][;KEY=JSON...] ...

Serves each REFERENCE (HOST/NAME:TAG, whatever the host) on 127.0.0.1:443 as an image of
the given layers; KEY=JSON sets a member of the image's configuration, as in
'Cmd=["sh"]'. "ready" is printed when clients may come. The image format is that of
image-spec 1.0, the protocol distribution-spec 1.0's pull.
"""

import gzip
import hashlib
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OCI = "application/vnd.oci.image."
blobs = {}  # digest -> (media type, bytes)
tags = {}  # (name, tag) -> digest


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def add_blob(media_type, data):
    """Keeps a blob; its descriptor."""
    digest = digest_of(data)
    blobs[digest] = (media_type, data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def add_image(argument):
    image, *members = argument.split(";")
    reference, layers = image.split("=", 1)
    config = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]}
    for member in members:
        key, value = member.split("=", 1)
        config[key] = json.loads(value)
    diff_ids = []
    descriptors = []
    for layer in layers.split(","):
        with open(layer, "rb") as file:
            data = file.read()
        diff_ids.append(digest_of(data))
        descriptors.append(add_blob(OCI + "layer.v1.tar+gzip", gzip.compress(data, 1, mtime=0)))
    document = {"architecture": "amd64", "os": "linux", "config": config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                "config": add_blob(OCI + "config.v1+json", json.dumps(document).encode()),
                "layers": descriptors}
    descriptor = add_blob(OCI + "manifest.v1+json", json.dumps(manifest).encode())
    name, tag = reference.split("/", 1)[1].rsplit(":", 1)
    tags[name, tag] = descriptor["digest"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, media_type, data, digest=None):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(data)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts == ["v2"]:
            return self.answer(200, "application/json", b"{}")
        if len(parts) >= 4 and parts[0] == "v2" and parts[-2] in ("manifests", "blobs"):
            digest = tags.get(("/".join(parts[1:-2]), parts[-1]), parts[-1])
            if digest in blobs:
                return self.answer(200, *blobs[digest], digest)
        return self.answer(404, "application/json", b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

    do_HEAD = do_GET


def main():
    certificate, key, *images = sys.argv[1:]
    for image in images:
        add_image(image)
    server = ThreadingHTTPServer(("127.0.0.1", 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    print("ready", flush=True)
    server.serve_forever()


main()
