"""The scenarios. Each is a function of the World that yields rows; a row says what was done and by whom, and what it
cost. The names are those of the table in the README."""

import hashlib
import os
import shlex
import subprocess
import sys

from measure import Wrong, peak_memory, run, side_by_side
from stage import Registry, make_bomb, make_chart

PREDICATE = "https://sigstore.dev/cosign/sign/v1"
US = "helm-sigstore"
COSIGN = "cosign"
PYTHON = "sigstore-python"
# Yardsticks: programs that do less, or another thing.
GPG = "gpg"
GPGV = "gpgv"
MINISIGN = "minisign"
NOTATION = "notation"
CRANE = "crane"
SBOMS = 9
# The most that a hostile registry or chart may cost us.
MOST_WALL = 1000  # milliseconds
MOST_MEMORY = 32e6 / 2**20  # MiB


class World:
    """Who is measured, on what."""

    def __init__(self, stage, product, peers, environment, quick, missing=None):
        self.missing = missing or {}
        self.stage, self.product, self.peers, self.environment, self.quick = stage, product, peers, environment, quick
        self.many = 200 if quick else 1000
        self.kit = stage.kit_environment("kit", "serve", "--rekor", "v1", "--registry")
        self.api = stage.olareg() if "olareg" in peers else None
        self.fallback = stage.distribution() if "debian" in peers else None
        self.proxies = {host: stage.proxy(host) for host in (self.api, self.fallback) if host}
        self.identity = ["--certificate-identity", self.kit["KIT_IDENTITY_GITHUB"],
                         "--certificate-oidc-issuer", self.kit["KIT_ISSUER_GITHUB"]]
        self.trust = ["--trusted-root", self.kit["KIT_TRUSTED_ROOT"]]
        self.signing = [*self.trust, "--signing-config", self.kit["KIT_SIGNING_CONFIG"],
                        "--identity-token", self.kit["KIT_TOKEN_GITHUB"]]

    def rounds(self, count):
        return max(3, count // 5) if self.quick else count

    def has(self, who):
        return who == US or who in self.peers

    def known(self, contestants):
        return {who: words for who, words in contestants.items() if self.has(who.split(",")[0])}

    def absent(self, *names):
        """Rows for those of them who cannot be had."""
        return {who: {"why": self.missing.get(who, "cannot be had")} for who in names if not self.has(who)}

    def sign(self, who, host, repository, tag):
        """Arguments that sign a chart in a registry."""
        if who == US:
            # One signature, as cosign makes one: we would make another for older clients.
            return [self.product, "sign", "--plain-http", "--signature-format", "bundle", *self.signing,
                    f"oci://{host}/{repository}:{tag}"]
        return [self.peers[COSIGN], "sign", "--yes", *self.signing, f"{host}/{repository}:{tag}"]

    def verify(self, who, host, repository, reference):
        """Arguments that verify a chart in a registry; `reference` begins with `:` or `@`."""
        if who == US:
            return [self.product, "verify", "--plain-http", *self.trust, *self.identity,
                    f"oci://{host}/{repository}{reference}"]
        return [self.peers[COSIGN], "verify", *self.trust, *self.identity, f"{host}/{repository}{reference}"]

    def file(self, who, chart, bundle):
        """Arguments that verify a packaged chart, without any network."""
        if who == US:
            return [self.product, "verify", *self.trust, *self.identity, chart, "--bundle", bundle, "--offline"]
        if who == COSIGN:
            return [self.peers[COSIGN], "verify-blob-attestation", *self.trust, *self.identity, "--type", PREDICATE,
                    "--bundle", bundle, chart]
        return [self.peers[PYTHON], "--trust-config", self.kit["KIT_TRUST_CONFIG"], "verify", "identity", "--offline",
                "--bundle", bundle, "--cert-identity", self.identity[1], "--cert-oidc-issuer", self.identity[3], chart]

    def provenance(self, chart):
        """Arguments that verify a chart by gpgv: the signature of a `.prov` as Helm writes it, and the hash in it."""
        home = self.stage.path("gnupg", "")
        os.chmod(home, 0o700)
        prov, ring, text = f"{chart}.prov", os.path.join(home, "ring.gpg"), os.path.join(home, "text")
        digest, name = hashed(chart), os.path.basename(chart)
        with open(text, "w") as out:
            out.write(f"name: web\n\n...\nfiles:\n  {name}: sha256:{digest}\n")
        gpg = [self.peers[GPG], "--homedir", home, "--batch", "--yes", "--quiet", "--passphrase", ""]
        if not os.path.exists(ring):
            self.do([*gpg, "--quick-gen-key", "bench", "rsa3072", "sign", "never"])
            self.do([*gpg, "--output", ring, "--export"])
        self.do([*gpg, "--output", prov, "--clearsign", text])
        # Its agent would outlive the run.
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)
        script = '"$0" --quiet --keyring "$1" "$2" && echo "$3  $4" | sha256sum --check --status'
        return ["/bin/sh", "-c", script, self.peers[GPGV], ring, prov, digest, chart]

    def minisigned(self, chart):
        """Arguments that verify a chart by minisign."""
        public, secret = self.stage.path("minisign", "key.pub"), self.stage.path("minisign", "key.sec")
        if not os.path.exists(public):
            self.do([self.peers[MINISIGN], "-G", "-W", "-p", public, "-s", secret])
        self.do([self.peers[MINISIGN], "-S", "-s", secret, "-m", chart])
        return [self.peers[MINISIGN], "-V", "-q", "-p", public, "-m", chart]

    def local(self, contestants, rounds):
        """By turns without a network; what takes seconds has a few turns of its own."""
        slow = {who: words for who, words in contestants.items() if who == PYTHON}
        quick = {who: words for who, words in contestants.items() if who != PYTHON}
        costs = side_by_side(quick, self.environment, self.rounds(rounds))
        return costs | (side_by_side(slow, self.environment, 3) if slow else {})

    def do(self, argv):
        run(argv, self.environment)

    def packaged(self, name, version, kilobytes):
        """A packaged chart, and its bundle by us."""
        path = self.stage.path("charts", f"{name}-{version}.tgz")
        with open(path, "wb") as out:
            out.write(make_chart(name, version, kilobytes))
        bundle = f"{path}.sigstore.json"
        if not os.path.exists(bundle):
            self.do([self.product, "sign", *self.signing, path])
        return path, bundle

    def pushed(self, host, repository, name="web", version="1.4.2", kilobytes=20):
        return Registry(host).chart(repository, name, version, make_chart(name, version, kilobytes))


def hashed(path):
    with open(path, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def start_up(world):
    """S1"""
    contestants = world.known({
        US: [world.product, "version"],
        COSIGN: [world.peers.get(COSIGN), "version"],
        PYTHON: [world.peers.get(PYTHON), "--version"],
        GPG: [world.peers.get(GPG), "--version"],
        NOTATION: [world.peers.get(NOTATION), "version"],
    })
    yield "S1 start-up (version)", world.local(contestants, 30) | world.absent(GPG, NOTATION)


def offline(world):
    """S2, S3"""
    for number, kilobytes, rounds in ((2, 200, 30), (3, 20_000, 10)):
        chart, bundle = world.packaged("web", f"1.4.{number}", kilobytes)
        contestants = world.known({who: world.has(who) and world.file(who, chart, bundle) for who in (US, COSIGN, PYTHON)})
        others = world.absent(GPG, GPGV, MINISIGN)
        if world.has(GPG) and world.has(GPGV):
            contestants["gpgv, .prov and hash"] = world.provenance(chart)
        if world.has(MINISIGN):
            contestants[MINISIGN] = world.minisigned(chart)
        size = f"{kilobytes} KB" if kilobytes < 1000 else f"{kilobytes // 1000} MB"
        yield f"S{number} verify a chart of {size}, offline", world.local(contestants, rounds) | others


def signed_repositories(world, host, prefix, sboms=0):
    """A chart signed by each, in a repository of its own: `{who: repository}`."""
    found = {}
    for who in filter(world.has, (US, COSIGN)):
        repository = f"{prefix}/{'ours' if who == US else 'theirs'}/web"
        chart = world.pushed(host, repository)
        for number in range(sboms):
            Registry(host).sbom(repository, chart, number)
        world.do(world.sign(who, host, repository, "1.4.2"))
        found[who] = repository, chart["digest"]
    return found


def by_tag(world):
    """S4, S5, S6"""
    for place, host in (("referrers API", world.api), ("fallback tag", world.fallback)):
        if not host:
            yield f"verify by tag, {place}", "the registry cannot be had"
            continue
        proxy = world.proxies[host]
        signed = signed_repositories(world, host, "tag")
        number = "S4" if host == world.api else "S5"
        delays = ((0, 20), (20, 10), (100, 5)) if host == world.api else ((0, 10), (20, 10))
        for delay, rounds in delays:
            contestants = {who: world.verify(who, proxy.host, signed[who][0], ":1.4.2") for who in signed}
            if COSIGN in signed:
                contestants["cosign, on our signature"] = world.verify(COSIGN, proxy.host, signed[US][0], ":1.4.2")
            if host == world.api and world.has(CRANE):
                # What one question to this registry takes: whether it is one, and the manifest.
                contestants["crane, the manifest alone"] = [
                    world.peers[CRANE], "manifest", f"{proxy.host}/{signed[US][0]}:1.4.2"]
            others = world.absent(CRANE) if host == world.api else {}
            yield (f"{number} verify by tag, {place}, {delay} ms",
                   side_by_side(contestants, world.environment, world.rounds(rounds), proxy, delay) | others)
        if host == world.api:
            contestants = {who: world.verify(who, proxy.host, signed[US][0], f"@{signed[US][1]}") for who in signed}
            for delay, rounds in ((20, 10), (100, 5)):
                yield (f"S6 verify by digest, inlined bundle, {delay} ms",
                       side_by_side(contestants, world.environment, world.rounds(rounds), proxy, delay))
    # As at a cloud: the kit's registry, which asks for a token and sends blobs from another origin.
    signed = signed_repositories(world, world.kit["KIT_REGISTRY_FALLBACK"], "network")
    proxy = world.stage.proxy(world.kit["KIT_REGISTRY_NETWORK"])
    contestants = {who: world.verify(who, proxy.host, signed[who][0], ":1.4.2") for who in signed}
    if COSIGN in signed:
        contestants["cosign, on our signature"] = world.verify(COSIGN, proxy.host, signed[US][0], ":1.4.2")
        contestants["helm-sigstore, on cosign's signature"] = world.verify(US, proxy.host, signed[COSIGN][0], ":1.4.2")
    yield ("S5 verify by tag, fallback tag, token, blobs by redirect, 20 ms",
           side_by_side(contestants, world.environment, world.rounds(10), proxy, 20))


def ten_referrers(world):
    """S7"""
    if not world.api:
        yield "S7 10 referrers, 1 of them a signature, 20 ms", "the registry cannot be had"
        return
    proxy = world.proxies[world.api]
    signed = signed_repositories(world, world.api, "ten", SBOMS)
    contestants = {who: world.verify(who, proxy.host, signed[who][0], ":1.4.2") for who in signed}
    yield ("S7 10 referrers, 1 of them a signature, 20 ms",
           side_by_side(contestants, world.environment, world.rounds(10), proxy, 20))


def legacy(world):
    """S8"""
    title = "S8 verify by tag, legacy .sig, 20 ms"
    if not world.api:
        yield title, "the registry cannot be had"
        return
    if "--signature-format" not in subprocess.run([world.product, "sign", "--help"], capture_output=True, text=True).stdout:
        yield title, "this program does not sign in the legacy format"
        return
    proxy = world.proxies[world.api]
    world.pushed(world.api, "legacy/web")
    words = world.sign(US, world.api, "legacy/web", "1.4.2")
    world.do(["legacy" if word == "bundle" else word for word in words])
    contestants = {who: world.verify(who, proxy.host, "legacy/web", ":1.4.2") for who in filter(world.has, (US, COSIGN))}
    cannot = {}
    try:
        world.do(contestants.get(COSIGN, ["/bin/true"]))
    except Wrong as wrong:
        cannot[COSIGN] = {"why": str(wrong)}
        del contestants[COSIGN]
    yield title, side_by_side(contestants, world.environment, world.rounds(10), proxy, 20) | cannot


def cold_trust(world):
    """S9"""
    title = "S9 trust from nothing by TUF, then verify by tag, 20 ms"
    if not world.api:
        yield title, "the registry cannot be had"
        return
    tuf = world.stage.kit_environment("tuf", "tuf", f"trusted_root.json={world.kit['KIT_TRUSTED_ROOT']}",
                                      f"signing_config.v0.2.json={world.kit['KIT_SIGNING_CONFIG']}")
    mirror = ["--mirror", tuf["KIT_TUF_URL"], "--root", tuf["KIT_TUF_ROOT"]]
    proxy = world.proxies[world.api]
    signed = signed_repositories(world, world.api, "cold")
    cache = world.stage.path("cold", "")
    script = 'rm -rf "$0" && mkdir -p "$0" && export HOME=$0 HELM_CACHE_HOME=$0/helm HELM_CONFIG_HOME=$0/config XDG_CACHE_HOME=$0/xdg XDG_DATA_HOME=$0/data XDG_CONFIG_HOME=$0/config TUF_ROOT=$0/tuf && '

    def line(*commands):
        return ["/bin/sh", "-c", script + " && ".join(shlex.join(words) for words in commands), f"{cache}x"]

    target = f"{proxy.host}/{signed[US][0]}:1.4.2"
    rows = {}
    if world.has(PYTHON):
        # It knows files only.
        chart, bundle = world.packaged("web", "1.4.2", 200)
        by_tuf = [world.peers[PYTHON], "--instance", tuf["KIT_TUF_URL"]]
        words = line([*by_tuf, "trust-instance", tuf["KIT_TUF_ROOT"]],
                     [*by_tuf, "verify", "identity", "--bundle", bundle, "--cert-identity", world.identity[1],
                      "--cert-oidc-issuer", world.identity[3], chart])
        rows = side_by_side({"sigstore-python, of a file": words}, world.environment, 3)
    contestants = {US: line([world.product, "trust", "init", "measured", *mirror],
                            [world.product, "verify", "--plain-http", "--instance", "measured", *world.identity, f"oci://{target}"])}
    if world.has(COSIGN):
        contestants[COSIGN] = line([world.peers[COSIGN], "initialize", *mirror],
                                   [world.peers[COSIGN], "verify", *world.identity, target])
    yield title, side_by_side(contestants, world.environment, world.rounds(10), proxy, 20) | rows | world.absent(PYTHON)


def signing(world):
    """S10"""
    for place, host in (("referrers API", world.api), ("fallback tag", world.fallback)):
        if not host:
            yield f"S10 sign by tag, {place}", "the registry cannot be had"
            continue
        proxy = world.proxies[host]
        for delay in (0, 20):
            turns = iter(range(1000))

            def fresh(who):
                repository = f"sign/{delay}/{next(turns)}/web"
                world.pushed(host, repository)
                return world.sign(who, proxy.host, repository, "1.4.2")

            contestants = dict.fromkeys(filter(world.has, (US, COSIGN)))
            yield (f"S10 sign by tag, {place}, {delay} ms",
                   side_by_side(contestants, world.environment, world.rounds(10), proxy, delay, before=fresh))
    yield "S10 sign a chart of 200 KB, a file", signing_files(world)


def signing_files(world):
    chart, _ = world.packaged("web", "1.4.2", 200)
    with open(chart, "rb") as data:
        content = data.read()
    with open(world.kit["KIT_TOKEN_GITHUB"]) as token:
        token = token.read()
    turns = iter(range(1000))

    def fresh(who):
        path = world.stage.path("signed", str(next(turns)), "web-1.4.2.tgz")
        with open(path, "wb") as out:
            out.write(content)
        bundle = f"{path}.bundle"
        if who == US:
            return [world.product, "sign", *world.signing, path]
        if who == COSIGN:
            return [world.peers[COSIGN], "sign-blob", "--yes", *world.signing, "--bundle", bundle, path]
        return [world.peers[PYTHON], "--trust-config", world.kit["KIT_TRUST_CONFIG"], "sign", "--identity-token", token,
                "--bundle", bundle, path]

    rows = side_by_side(dict.fromkeys(filter(world.has, (US, COSIGN))), world.environment, world.rounds(10), before=fresh)
    if world.has(PYTHON):
        rows |= side_by_side({PYTHON: None}, world.environment, 3, before=fresh)
    return rows | world.absent(PYTHON)


def bulk(world):
    """S11, S12"""
    many = world.many
    if not world.api:
        yield f"S11 {many} references", "the registry cannot be had"
        return
    proxy = world.proxies[world.api]
    files, references = [], []
    for number in range(many):
        version = f"1.0.{number}"
        data = make_chart("bulk", version, 4)
        path = world.stage.path("bulk", f"bulk-{version}.tgz")
        with open(path, "wb") as out:
            out.write(data)
        Registry(world.api).chart("bulk/bulk", "bulk", version, data)
        files.append(path)
        references.append(version)

    def lines(name, words):
        path = world.stage.path("lists", name)
        with open(path, "w") as out:
            out.write("\n".join(words) + "\n")
        return f"@{path}"

    direct = lines("sign", [f"oci://{world.api}/bulk/bulk:{version}" for version in references])
    run([world.product, "sign", "--plain-http", "--signature-format", "bundle", *world.signing, direct,
         "--bundle-out", world.stage.path("bulk", ""), "--timeout", "20m"], world.environment, limit=1300)
    for count in (many // 10, many):
        listed = lines(f"verify-{count}", [f"oci://{proxy.host}/bulk/bulk:{version}" for version in references[:count]])
        words = [world.product, "verify", "--plain-http", *world.trust, *world.identity, listed]
        rounds = 1 if world.quick and count == many else 3  # ten seconds each
        yield (f"S11 {count} references in one process, 20 ms",
               side_by_side({US: words}, world.environment, rounds, proxy, 20))
    if world.has(COSIGN):
        turns = iter(range(many))

        def next_one(who):
            return world.verify(who, proxy.host, "bulk/bulk", f":{references[next(turns)]}")

        cost = side_by_side({COSIGN: None}, world.environment, world.rounds(20), proxy, 20, before=next_one)
        yield f"S11 {many} references, a loop", {COSIGN: times(cost[COSIGN], many)}
        targets = [f"{proxy.host}/bulk/bulk:{version}" for version in references[:50]]
        words = [world.peers[COSIGN], "verify", *world.trust, *world.identity, *targets]
        yield "S11 50 references in one process, 20 ms", side_by_side({COSIGN: words}, world.environment, 1, proxy, 20)
    listed = lines("files", files)
    words = [world.product, "verify", *world.trust, *world.identity, "--offline", listed]
    yield f"S12 {many} files in one process, offline", side_by_side({US: words}, world.environment, 3)
    loops = {who: world.file(who, files[0], f"{files[0]}.sigstore.json") for who in (COSIGN, PYTHON) if world.has(who)}
    if loops:
        cost = world.local(loops, 10)
        yield f"S12 {many} files, a loop", {who: times(one, many) for who, one in cost.items()}


def times(cost, count):
    """So many runs, one after the other: from those that were measured, and said so."""
    factors = ("wall", "cpu", "requests", "received", "depth", "connections")
    return {name: value * count if name in factors else value for name, value in cost.items()} | {
        "from": f"{cost['rounds']} runs, times {count}"}


def hostile(world):
    """S13; fails where we take more than a second or 32 MB to say no."""
    if not world.api:
        yield "S13 hostile registry", "the registry cannot be had"
        return
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile.py")
    for repository in ("many", "huge", "endless", "begun"):
        world.pushed(world.api, f"{repository}/web")
    server = world.stage.start("hostile", [sys.executable, program, world.api], r"ready: (\S+)\n").group(1)
    proxy = world.stage.proxy(server)
    _, bundle = world.packaged("web", "1.4.2", 200)
    bomb = world.stage.path("bomb", "web-1.4.2.tgz")
    with open(bomb, "wb") as out:
        out.write(make_bomb("web", "1.4.2"))

    def of_registry(repository):
        return lambda who: world.verify(who, proxy.host, f"{repository}/web", ":1.4.2")

    # cosign would go on for minutes; it is ended then, and the table says so.
    patience = 2 if world.quick else 20
    over = []
    for what, verify, code in (
            ("100,000 referrers", of_registry("many"), 4), ("a bundle of 1 GiB", of_registry("huge"), 4),
            ("an endless list of referrers", of_registry("endless"), 4), ("an endless manifest", of_registry("begun"), 4),
            ("a chart of 10 GiB in 10 MB, a file", lambda who: world.file(who, bomb, bundle), 5)):
        contestants = {US: (code, 60)}
        if world.has(COSIGN):
            contestants[COSIGN] = (None, patience)
        rows = {}
        for who, (expect, limit) in contestants.items():
            words = verify(who)
            proxy.reset()
            try:
                rows[who] = refusal(words, world.environment, expect, limit, proxy)
            except Wrong as wrong:
                rows[who] = {"why": str(wrong)}
                if who == US:
                    over.append(f"{what}: {wrong}")
        over += excess(what, rows[US])
        yield f"S13 hostile: {what}", rows
    if over:
        raise Wrong("; ".join(over))


def refusal(words, environment, expect, limit, proxy):
    """What saying no costs, in one run."""
    sample = run(words, environment, expect, limit)
    row = {"wall": sample.wall, "cpu": sample.cpu, "memory": None, "rounds": 1}
    counts = proxy.counts()
    if counts["requests"]:
        row |= {name: counts[name] for name in ("requests", "received", "depth")}
    if sample.wall >= limit * 1e3:
        row["from"] = f"ended after {limit} s"
    row["memory"] = peak_memory(["/usr/bin/timeout", str(limit), *words], environment, None, limit + 5)
    return row


def excess(what, row):
    """How saying no cost us more than it may."""
    if row.get("wall", 0) > MOST_WALL:
        yield f"{what}: refused after {row['wall']:.0f} ms, and {MOST_WALL} are allowed"
    if (row.get("memory") or 0) > MOST_MEMORY:
        yield f"{what}: refused with {row['memory']:.1f} MiB, and {MOST_MEMORY:.1f} are allowed"


ALL = {
    "start-up": start_up, "offline": offline, "tag": by_tag, "referrers": ten_referrers, "legacy": legacy,
    "cold": cold_trust,
    "sign": signing, "bulk": bulk, "hostile": hostile,
}
