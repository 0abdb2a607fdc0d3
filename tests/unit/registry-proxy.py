#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A registry's gate, with TLS, tokens and faults.

usage: registry-proxy.py CERTIFICATE KEY USER:PASSWORD UPSTREAM-PORT FAULT

Listens on a port of loopback that it prints. Requests go on to the registry at UPSTREAM-PORT, which has
`auth: token`, whatever its realm: /token here gives tokens, signed with KEY, to USER.
FAULT is what happens to blobs of more than 64 KiB, "none" or one of FAULTS below.
"""

import base64
import http.client
import json
import re
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LARGE = 65536
FAULTS = ("cut", "slow", "bytes", "busy", "broken", "redirect", "no-ranges", "long", "short", "middle")
certificate, key, account, upstream, fault = sys.argv[1:]
lock = threading.Lock()
seen = {}  # path -> requests


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(scopes):
    """A JSON web token, as the distribution's "Token Authentication Implementation" has it."""
    der = ssl.PEM_cert_to_DER_cert(open(certificate).read())
    header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
    access = [{"type": kind, "name": name, "actions": actions.split(",")}
              for kind, name, actions in (scope.rsplit(":", 2) for scope in scopes)]
    now = int(time.time())
    claims = {"iss": "gate", "sub": account.split(":")[0], "aud": "registry", "jti": "1",
              "exp": now + 300, "nbf": now - 60, "iat": now, "access": access}
    signed = encoded(json.dumps(header).encode()) + "." + encoded(json.dumps(claims).encode())
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(),
                         capture_output=True, check=True).stdout
    # Two numbers in ASN.1, where JWT wants 32 bytes of each.
    at, numbers = 2, b""
    for _ in range(2):
        size = der[at + 1]
        numbers += int.from_bytes(der[at + 2:at + 2 + size], "big").to_bytes(32, "big")
        at += 2 + size
    return signed + "." + encoded(numbers)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b"", length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length is not None:
            self.close_connection = True

    def ask(self):
        """What the registry says."""
        connection = http.client.HTTPConnection("127.0.0.1", int(upstream))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        if fault == "no-ranges":
            headers.pop("Range", None)
        connection.request("GET", self.path, headers=headers)
        response = connection.getresponse()
        return response, response.read()

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/token":
            wanted = "Basic " + base64.b64encode(account.encode()).decode()
            if self.headers.get("Authorization") != wanted:
                return self.answer(401)
            body = json.dumps({"token": token(parse_qs(url.query).get("scope", []))}).encode()
            return self.answer(200, (), body)
        response, body = self.ask()
        gate = 'realm="https://127.0.0.1:%d/token"' % self.server.server_port
        headers = [(name, re.sub('realm="[^"]*"', gate, value))
                   for name, value in response.getheaders()
                   if name.lower() not in ("content-length", "connection", "date", "server")]
        if response.status not in (200, 206) or len(body) < LARGE or "/blobs/" not in self.path:
            return self.answer(response.status, headers, body)
        with lock:
            seen[self.path] = seen.get(self.path, 0) + 1
            time_of_it = seen[self.path]
        return self.spoil(time_of_it, response.status, headers, body)

    def spoil(self, time_of_it, status, headers, body):
        half = len(body) // 2
        if fault == "cut" and time_of_it < 3:
            return self.answer(status, headers, body[:half], len(body))
        if fault == "slow":
            time.sleep(0.3)
        if fault == "bytes":
            body = body[:half] + bytes([body[half] ^ 1]) + body[half + 1:]
        if fault == "busy" and time_of_it < 3:
            return self.answer(429, [("Retry-After", "1")])
        if fault == "middle" and time_of_it % 3 == 2:
            return self.answer(429)
        if fault == "broken" and time_of_it < 3:
            return self.answer(500 + time_of_it)
        if fault == "redirect" and "?" not in self.path:
            return self.answer(307, [("Location", self.path + "?there")])
        if fault == "long":
            return self.answer(status, headers, body + b"x")
        if fault == "short":
            return self.answer(status, headers, body[:-1])
        return self.answer(status, headers, body)


def main():
    assert fault in ("none",) + FAULTS
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    print(server.server_port, flush=True)
    server.serve_forever()


main()
