"""`bench.py PRODUCT KIT WORK ROOT [--gate | --renew] [--quick] [SCENARIO…]`: what tests/bench/run runs, once there are programs."""

import datetime
import json
import os
import platform
import signal
import sys

import gate
import scenarios
from measure import Wrong
from stage import Stage

REFERENCE = scenarios.COSIGN


def machine():
    """The class of this machine, in words; no name of it."""
    model = "unknown processor"
    for line in open("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def number(value, digits=3):
    """To so many significant digits, and no decimals where there is no need."""
    if value is None:
        return "-"
    if value >= 100 or digits > 3 and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.{max(0, digits - len(str(int(value))))}f}"


def ratio(theirs, ours):
    return f"{number(theirs / ours)}×" if theirs and ours else "-"


HEAD = ["scenario", "who", "wall ms", "CPU ms", "peak MiB", "requests", "bytes", "depth", "wall", "CPU", "memory"]


def lines(title, rows):
    """Lines of the table: everybody's cost, and beside ours how many times less it is than cosign's."""
    if isinstance(rows, str):
        return [[title, "not measured", *[""] * 9]]
    found = []
    for who, row in rows.items():
        if "why" in row:
            found.append([title, f"{who}: not measured", *[""] * 9])
            continue
        line = [title, who + (f" ({row['from']})" if "from" in row else "")]
        line += [number(row[name]) for name in ("wall", "cpu", "memory")]
        line += [f"{row[name]:,}" if row.get(name) is not None else "" for name in ("requests", "received", "depth")]
        peers = rows.get(REFERENCE)
        if who == scenarios.US and peers and "why" not in peers:
            line += [ratio(peers[name], row[name]) for name in ("wall", "cpu", "memory")]
        elif who != scenarios.US and scenarios.US in rows and who != REFERENCE and "why" not in rows[scenarios.US]:
            line += [f"({ratio(row[name], rows[scenarios.US][name])})" for name in ("wall", "cpu", "memory")]
        else:
            line += ["", "", ""]
        found.append(line)
    return found


def show(line):
    widths = (46, 34, 9, 9, 8, 8, 11, 5, 8, 8, 8)
    print("  ".join(f"{word:<{width}}" for word, width in zip(line, widths)).rstrip(), flush=True)


def received(row):
    """The bytes that came in, of those who were counted."""
    return f"{row['received']:,.0f}" if row and row.get("received") is not None else ""


def cell(row):
    """Somebody's cost in one cell of the README's table."""
    if not row or "why" in row:
        return "not measured"
    words = f"{number(row['wall'])} ms, {number(row['cpu'])} ms, {number(row['memory'])} MiB"
    if row.get("requests") is not None:
        words += f"; {number(row['requests'], 9)} in {number(row['depth'], 9)} steps"
    return words + (f" ({row['from']})" if "from" in row else "")


def markdown(results):
    """The table as the README has it: a line for each peer of each scenario, and how many times more it takes."""
    yield "| scenario | helm-sigstore: wall, CPU, peak memory; requests | bytes | beside it | bytes | wall | CPU | memory |"
    yield "|---|---|---:|---|---:|---:|---:|---:|"
    for result in results:
        rows = result.get("measured")
        if not isinstance(rows, dict):
            yield f"| {result['scenario']} | {rows or 'failed'} | | | | | | |"
            continue
        ours = rows.get(scenarios.US)
        others = {who: row for who, row in rows.items() if who != scenarios.US} or {"": None}
        for who, row in others.items():
            times = ["", "", ""]
            if ours and row and "why" not in ours and "why" not in row:
                times = [ratio(row[name], ours[name]) for name in ("wall", "cpu", "memory")]
            beside = f"{who}: {cell(row)}" if who else ""
            yield (f"| {result['scenario']} | {cell(ours) if ours else ''} | {received(ours)} | {beside} | {received(row)} | "
                   + " | ".join(times) + " |")


def main(product, kit, work, root, *words):
    options = {word for word in words if word.startswith("--")}
    chosen = [word for word in words if not word.startswith("--")] or list(scenarios.ALL)
    unknown = [name for name in chosen if name not in scenarios.ALL] + list(options - {"--gate", "--renew", "--quick"})
    if unknown:
        sys.exit(f"error: unknown: {' '.join(unknown)}; scenarios: {' '.join(scenarios.ALL)}")
    peers = json.loads(os.environ["BENCH_PEERS"])
    missing = json.loads(os.environ["BENCH_MISSING"])
    environment = {
        "PATH": os.environ["PATH"], "HOME": work, "DOCKER_CONFIG": f"{work}/docker", "TUF_ROOT": f"{work}/tuf-root",
        "XDG_CACHE_HOME": f"{work}/xdg", "XDG_DATA_HOME": f"{work}/xdg", "BENCH_WORK": work,
        "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end
    stage = Stage(work, kit, peers)
    try:
        if options & {"--gate", "--renew"}:
            return gated(scenarios.World(stage, product, {}, environment, True), root, "--renew" in options)
        world = scenarios.World(stage, product, peers, environment, "--quick" in options, missing)
        results, failed, left_out = [], 0, len(missing)
        show(HEAD)
        for name in chosen:
            try:
                for title, rows in scenarios.ALL[name](world):
                    results.append({"scenario": title, "measured": rows})
                    left_out += isinstance(rows, str)
                    for line in lines(title, rows):
                        show(line)
            except Wrong as wrong:
                failed += 1
                print(f"FAILED  {name}: {wrong}", flush=True)
                results.append({"scenario": name, "failed": str(wrong)})
        date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
        write(root, "bench.json", json.dumps({
            "date": date, "machine": machine(), "programBytes": os.path.getsize(product), "notMeasured": missing,
            "results": results}, indent=1))
        write(root, "bench.md", "\n".join(markdown(results)))
        print()
        for name, why in missing.items():
            print(f"not measured: {name}: {why}")
        print(f"{date}, {machine()}; program {os.path.getsize(product) / 1e6:.1f} MB; target/bench.json, target/bench.md")
        print(f"{len(results) - failed} scenarios measured, {failed} failed, {left_out} not measured")
        return 1 if failed else 0
    finally:
        stage.end()


def gated(world, root, renewing):
    found = gate.counted(world)
    if renewing:
        gate.renew(found, world.product)
    grown, missing = gate.compare(found, world.product)
    write(root, "gate.json", json.dumps({"counts": found, "grown": grown, "notMeasured": missing}, indent=1))
    for name in grown:
        print(f"GREW: {name}: by more than 2 % (tests/bench/run --renew, with the reason in the commit's message)")
    print(f"{len(found) - len(grown) - len(missing)} within the baseline, {len(grown)} grown, {len(missing)} not measured")
    return 1 if grown else 0


def write(root, name, text):
    os.makedirs(os.path.join(root, "target"), exist_ok=True)
    with open(os.path.join(root, "target", name), "w") as out:
        out.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
