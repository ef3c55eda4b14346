"""``make bench [ONLY=name,name]``: every benchmark in turn, one JSON line each into bench.jsonl (design section 11).

A benchmark is a module of this folder; ``BENCHMARKS`` says which names it prints. Each runs in a process of its own, so
that memory figures are its own. One that fails is reported in its line, never skipped in silence.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest", "ingest-served", "ingest-store", "ingest-large"),
    "dns_probe": ("dns-probe",),
    "web_probe": ("web-probe",),
    "window": ("window",),
    "scale": ("scale",),
    "leases": ("leases",),
    "snapshot_build": ("snapshot-build",),
    "publish_deadlines": ("publish-deadlines",),
    "records_load": ("records-load",),
    "mosapi": ("mosapi",),
    "zone_read": ("zone-read",),
    "lookalike": ("lookalike",),
    "dga_score": ("dga-score",),
    "screen": ("screen",),
    "smtp_send": ("smtp-send",),
    "idle": ("idle-arke", "idle-panopticond"),
}
"""Module -> the names of the lines it prints. A module takes the wanted names as arguments."""


def main() -> int:
    """Run what was asked for; 1 when a benchmark printed no line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("bench.jsonl"))
    args = parser.parse_args()
    here = Path(__file__).parent
    wanted = {name for name in args.only.split(",") if name}
    known = {name for names in BENCHMARKS.values() for name in names}
    if wanted - known:
        print(
            f"bench: no benchmark is called {', '.join(sorted(wanted - known))}; there are {', '.join(sorted(known))}",
            file=sys.stderr,
        )
        return 2
    failed = False
    with args.out.open("w", encoding="utf-8") as out:
        for module, names in BENCHMARKS.items():
            asked = [name for name in names if not wanted or name in wanted]
            if not asked or not (here / f"{module}.py").is_file():
                continue
            print(f"bench: {', '.join(asked)} ...", file=sys.stderr, flush=True)
            lines, error = _run(module, asked)
            missing = set(asked) - {str(line.get("name")) for line in lines}
            lines += [{"name": name, "error": error} for name in sorted(missing)]
            failed = failed or bool(missing)
            for line in lines:
                text = json.dumps(line)
                out.write(text + "\n")
                print(text, flush=True)
    return 1 if failed else 0


def _run(module: str, names: list[str]) -> tuple[list[dict[str, object]], str]:
    command = [sys.executable, "-m", f"tests.bench.{module}", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = []
    for text in done.stdout.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "name" in line:
            lines.append(line)
    return lines, (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


if __name__ == "__main__":
    sys.exit(main())
