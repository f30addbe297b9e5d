"""One run of one program: wall clock, CPU, peak memory, instructions, and what its requests were."""

import json
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, field

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
GNU_TIME = "/usr/bin/time"


class Wrong(Exception):
    """A run that did not end as it has to; nothing of it is a measurement."""


@dataclass
class Sample:
    wall: float  # milliseconds
    cpu: float  # milliseconds, user and system
    counts: dict = field(default_factory=dict)


class Proxy:
    """The kit's counting proxy: `host` in place of the server's, and its control."""

    def __init__(self, host, control):
        self.host, self.control = host, control

    def reset(self, delay=0):
        DIRECT.open(f"{self.control}/reset?delay={delay}", timeout=10).close()

    def counts(self):
        with DIRECT.open(f"{self.control}/counts", timeout=10) as answer:
            return json.load(answer)


def run(argv, environment, expect=0, limit=120):
    """Runs it and says what it cost; raises Wrong unless it ends with `expect` (None: anything)."""
    output = os.path.join(environment["BENCH_WORK"], "output")
    files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    files += [(os.POSIX_SPAWN_OPEN, fd, f"{output}.{fd}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) for fd in (1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environment, file_actions=files, setpgroup=0)
    timer = None
    if limit:
        timer = threading.Timer(limit, os.killpg, (pid, 9))
        timer.daemon = True
        timer.start()
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    if timer:
        timer.cancel()
    code = os.waitstatus_to_exitcode(status)
    if expect is not None and code != expect:
        said = "".join(open(f"{output}.{fd}", errors="replace").read()[-600:] for fd in (1, 2))
        raise Wrong(f"exit code {code}, expected {expect}: {' '.join(argv)[:300]}\n{said}")
    return Sample(wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3)


def peak_memory(argv, environment, expect=0, limit=120):
    """Peak resident memory in MiB, by GNU time: a child of ours would begin with the memory of this interpreter."""
    if not os.access(GNU_TIME, os.X_OK):
        return None
    out = os.path.join(environment["BENCH_WORK"], "memory")
    run([GNU_TIME, "-f", "%M", "-o", out, *argv], environment, expect, limit)
    return int(open(out).read().split()[-1]) / 1024


def instructions(argv, environment, expect=0):
    """Instructions as callgrind counts them, or why they cannot be counted."""
    if not shutil.which("valgrind"):
        raise Wrong("valgrind is not installed")
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *argv]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != expect or not found:
        raise Wrong(f"exit code {done.returncode} under valgrind: {done.stderr[-600:]}")
    return int(found.group(1))


def side_by_side(contestants, environment, rounds, proxy=None, delay=0, expect=0, limit=120, before=None):
    """The contestants by turns: `{who: argv}` to `{who: {wall, cpu, memory, requests, …}}`, medians.

    Each runs once unmeasured, so that files are in memory, and once for its peak memory. `before(who)` makes the
    arguments of a run anew where a run changes what it works on.
    """
    samples = {who: [] for who in contestants}
    memory = {}

    def argv(who):
        return before(who) if before else contestants[who]

    for turn in range(rounds + 1):
        for who in contestants:
            words = argv(who)
            if proxy:
                proxy.reset(delay)
            sample = run(words, environment, expect, limit)
            if proxy:
                sample.counts = proxy.counts()
            if turn:
                samples[who].append(sample)
    for who in contestants:
        words = argv(who)
        if proxy:
            proxy.reset(delay)
        memory[who] = peak_memory(words, environment, expect, limit)
    return {who: summary(samples[who], memory[who]) for who in contestants}


def summary(samples, memory):
    result = {
        "wall": statistics.median(s.wall for s in samples),
        "cpu": statistics.median(s.cpu for s in samples),
        "memory": memory,
        "rounds": len(samples),
    }
    if samples[0].counts:
        for name in ("requests", "received", "depth", "connections"):
            result[name] = statistics.median_high(s.counts[name] for s in samples)
    return result
