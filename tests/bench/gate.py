"""The gate: what is the same in every run on a machine of one class, and may not grow unnoticed.

Requests, sequential depth and bytes hold everywhere. Instructions depend on the processor (cryptography and memory
functions are chosen by what it can do) and on the compiler: a baseline says of which class it is, and on another
class they are not measured.
"""

import json
import os
import platform
import re
import statistics
import subprocess

import scenarios
from measure import Wrong, instructions, side_by_side

BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "baseline.json")
GROWTH = 1.02
# Milliseconds a response: what goes out together is together at the registry then, and not by chance one after the other.
DELAY = 20
# What valgrind passes on of a processor and our cryptography looks at.
FEATURES = "ssse3 sse4_1 sse4_2 aes pclmulqdq avx avx2 bmi1 bmi2 adx rdrand sha_ni avx512f vaes".split()


def machine_class(product):
    """What instruction counts depend on, but for the source of the program."""
    def said(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "none"

    try:
        text = open("/proc/cpuinfo").read()
    except OSError:
        text = ""
    vendor = re.search(r"vendor_id\s*: (\S+)", text)
    flags = set((re.search(r"flags\s*: (.*)", text) or ["", ""])[1].split())
    rustc = said("rustc", "--version").split()
    with open(product, "rb") as program:
        static = b"/ld-" not in program.read(4096)
    return {
        "processor": f"{platform.machine()} {vendor.group(1) if vendor else 'unknown'}",
        "features": " ".join(name for name in FEATURES if name in flags),
        "compiler": rustc[1] if len(rustc) > 1 else "unknown",
        "libc": "static" if static else " ".join(platform.libc_ver()),
        "valgrind": said("valgrind", "--version"),
    }


def counted(world):
    """`{name: number}`; instructions are None, with the reason printed, where they cannot be counted."""
    found = {}
    chart, bundle = world.packaged("web", "1.4.2", 200)
    commands = {"start-up": [world.product, "version"], "offline verify": world.file(scenarios.US, chart, bundle)}
    for name, words in commands.items():
        try:
            counts = [instructions(words, world.environment) for _ in range(3)]
            found[f"{name}: instructions"] = statistics.median(counts)
        except Wrong as wrong:
            print(f"not measured: {name}: instructions: {wrong}")
            found[f"{name}: instructions"] = None
    for place, host in (("referrers API", world.kit["KIT_REGISTRY"]), ("fallback tag", world.kit["KIT_REGISTRY_FALLBACK"])):
        proxy = world.stage.proxy(host)
        repository = f"gate/{place.split()[0]}/web"
        pushed = world.pushed(host, repository)
        steps = {"sign": (world.sign, "1.4.2"), "verify by tag": (world.verify, ":1.4.2"),
                 "verify by digest": (world.verify, f"@{pushed['digest']}")}
        for name, (step, named) in steps.items():
            words = step(scenarios.US, proxy.host, repository, named)
            if name == "sign":
                turns = iter(range(100))

                def fresh(who, host=host, place=place, turns=turns, proxy=proxy):
                    target = f"gate/{place.split()[0]}/{next(turns)}/web"
                    world.pushed(host, target)
                    return world.sign(who, proxy.host, target, "1.4.2")

                cost = side_by_side({scenarios.US: None}, world.environment, 1, proxy, DELAY, before=fresh)
                world.do(words)
            else:
                cost = side_by_side({scenarios.US: words}, world.environment, 1, proxy, DELAY)
            for what in ("requests", "depth", "received"):
                found[f"{name}, {place}: {what}"] = cost[scenarios.US][what]
    return found


def compare(found, product):
    """Prints every number beside its baseline; the names of those that grew, and why some were not measured."""
    baseline = json.load(open(BASELINE)) if os.path.exists(BASELINE) else {"class": {}, "counts": {}}
    here = machine_class(product)
    other = [f"{name} {baseline['class'].get(name)!r}, here {here[name]!r}" for name in here
             if baseline["class"].get(name) != here[name]]
    grown, missing = [], {}
    for name, number in found.items():
        before = baseline["counts"].get(name)
        result = "ok"
        if number is None:
            result = missing[name] = "not measured: see above"
        elif name.endswith("instructions") and other:
            result = missing[name] = f"not measured: the baseline is of another class ({'; '.join(other)})"
        elif before is None:
            result = "GREW: it is not in the baseline"
            grown.append(name)
        elif number > before * GROWTH:
            result = f"GREW by {100 * number / before - 100:.1f} %"
            grown.append(name)
        elif number * GROWTH < before:
            result = f"less than before by {100 - 100 * number / before:.1f} %: renew the baseline"
        shown = "-" if number is None else f"{number:,}"
        print(f"gate  {name:<46} {shown:>14}  baseline {'-' if before is None else f'{before:,}':>14}  {result}")
    return grown, missing


def renew(found, product):
    """Writes the baseline; what is not measured here stays as it was."""
    with open(BASELINE, "w") as out:
        json.dump({"class": machine_class(product), "counts": {k: v for k, v in found.items() if v is not None}}, out, indent=1)
        out.write("\n")
