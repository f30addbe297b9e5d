"""`token_server.py PORT KEY CERTIFICATE LASTS SAYS`: a token server as Docker's registries ask it (the distribution
project's token specification). Everybody gets what they ask for, for LASTS seconds; the answer says SAYS seconds. One
line a token on standard output."""

import base64
import http.server
import json
import os
import subprocess
import sys
import time
import urllib.parse

PORT, KEY, CERTIFICATE, LASTS, SAYS = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
# The registry takes a token for a minute longer than it says, for clocks that differ.
LEEWAY = 60


def encoded(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def token(service, scopes):
    with open(CERTIFICATE) as file:
        certificate = "".join(line.strip() for line in file if "-----" not in line)
    now = int(time.time())
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":", 2)
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
    claims = {"iss": "interop", "sub": "anybody", "aud": service, "iat": now - LEEWAY, "nbf": now - LEEWAY,
              "exp": now + LASTS - LEEWAY, "jti": os.urandom(8).hex(), "access": access}
    signed = b".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    command = ["openssl", "dgst", "-sha256", "-sign", KEY]
    signature = subprocess.run(command, input=signed, stdout=subprocess.PIPE, check=True).stdout
    return (signed + b"." + encoded(signature)).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        scopes = [scope for scopes in query.get("scope", []) for scope in scopes.split()]
        answer = json.dumps({"token": token(query.get("service", [""])[0], scopes), "expires_in": SAYS}).encode()
        print("token for", *scopes, flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
print("ready", flush=True)
server.serve_forever()
