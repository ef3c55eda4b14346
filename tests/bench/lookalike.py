"""Benchmark ``lookalike``: a million names against ten thousand brands, all kinds, beside dnstwist's generation.

``python -m tests.bench.lookalike`` prints the JSON line of design section 11. ``value`` is the processor's time of one core
for building the index and scanning, ``wall_seconds`` the clock's. The peer only generates variants (it would still have to look each
up), for a sample of brands; its figure is that of all of them at the sample's rate. Ours and the peer's run by turns.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import time

from tests.bench.peers import asked, installed
from tests.bench.screening_names import brands, names

DNSTWIST = "dnstwist==20250130"
SAMPLE = 20
ROUNDS = 3
PEER = """
import json, sys, time
from dnstwist import Fuzzer
brands = json.load(sys.stdin)
started, found = time.process_time(), 0
for brand in brands:
    fuzz = Fuzzer(brand + ".com")
    fuzz.generate()
    found += len(fuzz.domains)
print(json.dumps({"seconds": time.process_time() - started, "variants": found}))
"""


def child() -> dict[str, float]:
    """One timed run, in a process of its own."""
    from panopticond.shared.lookalike.protected import Protected

    labels, _ = names()
    protect = brands()
    rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = time.perf_counter(), time.process_time()
    index = Protected(protect)
    built = time.process_time() - cpu
    found = sum(1 for _ in index.scan(labels))
    return {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "index": built,
        "found": found,
        "names": len(labels),
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "inputs_mib": rest,
    }


def main() -> None:
    """Ours and the peer by turns; the medians in one line."""
    python = installed("dnstwist", [[DNSTWIST]])
    protect = brands()
    sample = random.Random(1).sample(protect, SAMPLE)
    ours, peers = [], []
    for _ in range(ROUNDS):
        command = [sys.executable, "-m", "tests.bench.lookalike", "--child"]
        ours.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        if python is not None:
            peers.append(asked(python, PEER, sample)["seconds"] / SAMPLE * len(protect))
    value = statistics.median(run["cpu"] for run in ours)
    peer = statistics.median(peers) if peers else None
    line = {
        "name": "lookalike",
        "value": round(value, 2),
        "unit": "s of one core",
        "peer": f"{DNSTWIST}, generation only" if peers else f"missing: {DNSTWIST} cannot be installed here",
        "peer_value": None if peer is None else round(peer, 1),
        "peer_n": SAMPLE,
        "ratio": None if peer is None else round(peer / value),
        "limit": None,
        "limit_value": None,
        "rss_mib": round(max(run["rss_mib"] for run in ours), 1),
        "wall_seconds": round(statistics.median(run["wall"] for run in ours), 2),
        "index_seconds": round(statistics.median(run["index"] for run in ours), 2),
        "names": ours[0]["names"],
        "found": ours[0]["found"],
        "inputs": names()[1],
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(child()))
    else:
        main()
