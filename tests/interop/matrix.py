"""`matrix.py ROWS JSON`: keeps the rows as JSON, and prints those that are cells of the matrix as tables."""

import json
import sys

NAMES = ["signedBy", "verifiedBy", "where", "log", "result", "expectedExit", "exit", "identity", "matrix", "note", "why"]
# The width of the first column.
SIGNER = 30


def cell(rows):
    """One cell: `6` of six kinds of identity; `-` for a peer that is not there; `no` for a refusal that is explained."""
    if not rows:
        return ""
    if any(row["result"] == "FAILED" for row in rows):
        return f"FAILED {sum(row['result'] == 'FAILED' for row in rows)}/{len(rows)}"
    measured = [row for row in rows if row["result"] == "ok"]
    if not measured:
        return "-"
    refused = sum(bool(row["note"]) for row in measured)
    if refused == len(measured):
        return "no"
    return f"yes {len(measured) - refused}" + (f", no {refused}" if refused else "")


def ordered(rows, name):
    return list(dict.fromkeys(row[name] for row in rows))


def tables(rows):
    cells = [row for row in rows if row["matrix"] and row["signedBy"] != "all"]
    for log in ordered(cells, "log"):
        for where in ordered([row for row in cells if row["log"] == log], "where"):
            here = [row for row in cells if row["log"] == log and row["where"] == where]
            verifiers = [name for name in ordered(here, "verifiedBy") if name not in ("(signs)", "all")]
            yield f"\n{where}, log {log} (kinds of identity; -: not measured; no: refused, see below)"
            widths = [max(16, len(name)) for name in verifiers]
            yield "  " + "signed by".ljust(SIGNER) + "  ".join(n.ljust(w) for n, w in zip(["(signs)", *verifiers], [12, *widths]))
            for signer in ordered(here, "signedBy"):
                mine = [row for row in here if row["signedBy"] == signer]
                if all(row["verifiedBy"] == "all" for row in mine):
                    yield "  " + signer.ljust(SIGNER) + "-"
                    continue
                found = [cell([row for row in mine if row["verifiedBy"] == name]) for name in ["(signs)", *verifiers]]
                yield ("  " + signer.ljust(SIGNER) + "  ".join(c.ljust(w) for c, w in zip(found, [12, *widths]))).rstrip()
    for note in sorted({(row["note"]) for row in cells if row["note"]}):
        yield f"  no: {note}"


def main(source, target):
    with open(source, encoding="utf-8", errors="replace") as lines:
        rows = [dict(zip(NAMES, line.rstrip("\n").split("\x1f"))) for line in lines]
    for row in rows:
        row["matrix"] = bool(row["matrix"])
    for line in tables(rows):
        print(line)
    counts = {result: sum(row["result"] == result for row in rows) for result in ["ok", "FAILED", "not measured"]}
    with open(target, "w", encoding="utf-8") as out:
        json.dump({"counts": counts, "rows": rows}, out, indent=1, ensure_ascii=False)
        out.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
