"""Benchmark ``dga-score``: labels a second through the model of generated names, beside dgaintel.

``python -m tests.bench.dga_score`` prints the JSON line of design section 11. The rate is by processor time of one core, for all
labels of a zone at once, as ``arke scan`` does; ``one_by_one`` is the plain path without numpy. dgaintel (a neural network, with
tensorflow-cpu 2.15) gets a sample in one call, by its processor time too, all its threads together.
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
from tests.bench.screening_names import names

TENSORFLOW, DGAINTEL = "tensorflow-cpu==2.15.1", "dgaintel==2.3"
SAMPLE, PLAIN = 5000, 50_000
ROUNDS = 3
PEER = """
import json, sys, time
names = json.load(sys.stdin)
from dgaintel import get_prob
get_prob(names[:10], raw=True)
started = time.process_time()
get_prob(names, raw=True)
print(json.dumps({"rate": len(names) / (time.process_time() - started)}))
"""


def child() -> dict[str, float]:
    """One timed run, in a process of its own; the first call, which imports numpy, is not timed."""
    from panopticond.shared.dga import Model, bulk_installed

    labels, _ = names()
    model = Model.load()
    model.generated(labels[:10_000])
    wall, cpu = time.perf_counter(), time.process_time()
    found = len(model.generated(labels))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    started = time.process_time()
    for label in labels[:PLAIN]:
        model.score(label)
    return {
        "rate": len(labels) / cpu,
        "wall_rate": len(labels) / wall,
        "one_by_one": PLAIN / (time.process_time() - started),
        "numpy": bulk_installed(),
        "found": found,
        "labels": len(labels),
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Ours and the peer by turns; the medians in one line."""
    python = installed("dgaintel", [[TENSORFLOW], ["--no-deps", DGAINTEL]])
    sample = [label + ".com" for label in random.Random(1).sample(names()[0], SAMPLE) if label.isascii()]
    ours, peers = [], []
    for _ in range(ROUNDS):
        command = [sys.executable, "-m", "tests.bench.dga_score", "--child"]
        ours.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        if python is not None:
            peers.append(asked(python, PEER, sample)["rate"])
    value = statistics.median(run["rate"] for run in ours)
    peer = statistics.median(peers) if peers else None
    line = {
        "name": "dga-score",
        "value": round(value),
        "unit": "labels/s of one core",
        "peer": f"{DGAINTEL} with {TENSORFLOW}" if peers else f"missing: {DGAINTEL} cannot be installed here",
        "peer_value": None if peer is None else round(peer),
        "peer_n": len(sample),
        "ratio": None if peer is None else round(value / peer),
        "limit": None,
        "limit_value": None,
        "rss_mib": round(max(run["rss_mib"] for run in ours), 1),
        "wall_rate": round(statistics.median(run["wall_rate"] for run in ours)),
        "one_by_one": round(statistics.median(run["one_by_one"] for run in ours)),
        "numpy": ours[0]["numpy"],
        "labels": ours[0]["labels"],
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(child()))
    else:
        main()
