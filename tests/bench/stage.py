"""What the measurements are made with: the kit's Sigstore, registries, counting proxies, charts."""

import gzip
import hashlib
import io
import json
import os
import random
import re
import shlex
import socket
import subprocess
import tarfile
import time
import urllib.request

from measure import DIRECT, Proxy

CONFIG = "application/vnd.cncf.helm.config.v1+json"
LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Stage:
    """Servers in a folder, ended with the run."""

    def __init__(self, work, kit, peers):
        self.work, self.kit, self.peers = work, kit, peers
        self.servers = []

    def end(self):
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.wait(timeout=20)

    def path(self, *names):
        path = os.path.join(self.work, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def start(self, name, argv, until, environment=None):
        """Starts it; the match of `until` in what it says."""
        log = self.path("logs", name)
        with open(log, "wb") as out:
            server = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                      env={**os.environ, **(environment or {})})
        self.servers.append(server)
        for _ in range(300):
            found = re.search(until, open(log, errors="replace").read())
            if found:
                return found
            if server.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"error: {name} did not start: {open(log, errors='replace').read()[-500:]}")

    def kit_environment(self, name, *words):
        """A `kit serve` or `kit tuf`: its variables."""
        folder = self.path(name, "")
        self.start(name, [self.kit, *words[:1], "--dir", folder, *words[1:]], "ready")
        values = {}
        for line in open(os.path.join(folder, "env")):
            key, _, value = line.removeprefix("export ").partition("=")
            values[key] = shlex.split(value)[0] if value.strip() else ""
        return values

    def proxy(self, host):
        found = self.start(f"proxy-{host}", [self.kit, "proxy", host], r"ready: (\S+) (\S+)\n")
        return Proxy(found.group(1), found.group(2))

    def olareg(self):
        """With the referrers API."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        host = f"127.0.0.1:{port}"
        command = [self.peers["olareg"], "serve", "--addr", "127.0.0.1", "--port", str(port), "--store-type", "mem"]
        self.start("olareg", command, "")
        for _ in range(100):
            try:
                DIRECT.open(f"http://{host}/v2/", timeout=5).close()
                return host
            except OSError:
                time.sleep(0.1)
        raise SystemExit("error: olareg did not start")

    def distribution(self):
        """CNCF distribution 2.8, without the referrers API."""
        folder = self.path("distribution", "")
        config = os.path.join(folder, "config.yml")
        with open(config, "w") as out:
            out.write(f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {folder}/storage}}}}\n"
                      'http: {addr: "127.0.0.1:0"}\n')
        found = self.start("distribution", [self.peers["debian"], "serve", config], r"listening on (127\.0\.0\.1:\d+)",
                           {"OTEL_TRACES_EXPORTER": "none"})
        return found.group(1)


def make_chart(name, version, kilobytes):
    """A packaged chart with so much in it that cannot be compressed; the same bytes each time."""
    noise = random.Random(f"{name}-{version}")
    files = {
        "Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\ntype: application\n".encode(),
        "values.yaml": b"replicaCount: 1\n",
        "templates/NOTES.txt": b"measured\n",
    }
    # Charts may have no file above 5 MiB.
    for number, size in enumerate(min(4096, kilobytes - begin) for begin in range(0, kilobytes, 4096)):
        files[f"files/noise-{number}.bin"] = noise.randbytes(size * 1024)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def make_bomb(name, version):
    """A packaged chart of 10 GiB in 10 MB: files of 5 MiB, the most that one may have, of nothing but zeros."""
    def member(data):
        return gzip.compress(data, 6, mtime=0)

    def header(path, size):
        entry = tarfile.TarInfo(f"{name}/{path}")
        entry.size, entry.mode = size, 0o644
        return entry.tobuf(tarfile.USTAR_FORMAT)

    chart = f"apiVersion: v2\nname: {name}\nversion: {version}\n".encode()
    zeros = member(bytes(5 << 20))
    parts = [member(header("Chart.yaml", len(chart)) + chart + bytes(-len(chart) % 512))]
    for number in range(2048):
        parts += [member(header(f"files/{number}", 5 << 20)), zeros]
    return b"".join(parts) + member(bytes(1024))


class Registry:
    """What `helm push` does, and the other things that charts have beside them."""

    def __init__(self, host):
        self.host = host

    def blob(self, repository, data):
        began = self.send("POST", f"/v2/{repository}/blobs/uploads/", b"", {})
        where = began.headers["Location"]
        if where.startswith("/"):
            where = f"http://{self.host}{where}"
        where += ("&" if "?" in where else "?") + f"digest={digest(data)}"
        self.send("PUT", where, data, {"Content-Type": "application/octet-stream"})
        return {"digest": digest(data), "size": len(data)}

    def manifest(self, repository, reference, document):
        data = json.dumps(document).encode()
        self.send("PUT", f"/v2/{repository}/manifests/{reference or digest(data)}", data,
                  {"Content-Type": document["mediaType"]})
        return {"mediaType": document["mediaType"], "digest": digest(data), "size": len(data)}

    def chart(self, repository, name, version, data):
        """The descriptor of its manifest."""
        config = self.blob(repository, json.dumps(
            {"name": name, "version": version, "apiVersion": "v2", "type": "application"}).encode())
        return self.manifest(repository, version, {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, **config},
            "layers": [{"mediaType": LAYER, **self.blob(repository, data)}],
            "annotations": {"org.opencontainers.image.title": name, "org.opencontainers.image.version": version}})

    def sbom(self, repository, subject, number):
        layer = self.blob(repository, json.dumps({"spdxVersion": "SPDX-2.3", "name": f"sbom {number}"}).encode())
        config = self.blob(repository, b"{}")
        self.manifest(repository, None, {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/spdx+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", **config},
            "layers": [{"mediaType": "application/spdx+json", **layer}], "subject": subject})

    def send(self, method, url, data, headers):
        if url.startswith("/"):
            url = f"http://{self.host}{url}"
        return DIRECT.open(urllib.request.Request(url, data=data, headers=headers, method=method), timeout=60)
