"""A registry that wants to be waited for: `hostile.py HOST:PORT` of a real one that has the chart.

/v2/many/…     an index of 100,000 referrers, each of which is there and is nothing
/v2/huge/…     one referrer, whose bundle says and is 1 GiB
/v2/endless/…  a list of referrers that never ends
/v2/begun/…    a chart's manifest that never ends
"""

import hashlib
import http.server
import json
import sys
import urllib.error
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(), "size": 2}
GIB = 1 << 30
MIB = bytes(1 << 20)


def manifest(number, layer):
    data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": EMPTY,
                       "layers": [layer], "annotations": {"number": str(number)}}).encode()
    return "sha256:" + hashlib.sha256(data).hexdigest(), data


SMALL = {"mediaType": "text/plain", "digest": EMPTY["digest"], "size": 2}
MANY = dict(manifest(number, SMALL) for number in range(100_000))
HUGE = dict([manifest(0, {"mediaType": BUNDLE, "digest": "sha256:" + "0" * 64, "size": GIB})])


def index(manifests):
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "artifactType": BUNDLE, "digest": name, "size": len(data)}
        for name, data in manifests.items()]}).encode()


ALL = {**MANY, **HUGE}
INDEXES = {"many": index(MANY), "huge": index(HUGE)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        words = self.path.split("?")[0].split("/")
        if words[1:] == ["v2", ""]:
            return self.answer(b"{}", "application/json")
        kind, what, name = words[2], words[-2], words[-1]
        if what == "referrers":
            if kind == "endless":
                return self.endless(INDEX, "manifests")
            return self.answer(INDEXES[kind], INDEX)
        if what == "manifests" and kind == "begun":
            return self.endless(MANIFEST, "layers")
        if what == "manifests" and name in ALL:
            return self.answer(ALL[name], MANIFEST)
        if what == "blobs" and name == "sha256:" + "0" * 64:
            self.begin("application/octet-stream", GIB)
            for _ in range(GIB >> 20):
                self.wfile.write(MIB)
            return None
        if what == "blobs" and name == EMPTY["digest"]:
            return self.answer(b"{}", "application/json")
        try:
            real = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(
                f"http://{sys.argv[1]}{self.path}", headers={"Accept": self.headers.get("Accept", "*/*")}))
        except urllib.error.HTTPError:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self.answer(real.read(), real.headers["Content-Type"])

    do_HEAD = do_GET

    def begin(self, media, length):
        self.send_response(200)
        self.send_header("Content-Type", media)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, data, media):
        self.begin(media, len(data))
        if self.command != "HEAD":
            self.wfile.write(data)

    def endless(self, media, field):
        self.close_connection = True
        self.begin(media, None)
        self.wfile.write(f'{{"schemaVersion": 2, "mediaType": "{media}", "{field}": ['.encode())
        while self.command != "HEAD":
            self.wfile.write(b" " * (1 << 20))

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that have had enough
        pass


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(f"ready: 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
