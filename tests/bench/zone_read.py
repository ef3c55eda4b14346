"""Benchmark ``zone-read``: a TLD's master file of a million delegations, beside nsd-checkzone and dnspython.

``python -m tests.bench.zone_read`` prints one JSON line (design section 11). Ours and nsd-checkzone take turns on the same
file, each run a process of its own, medians of three; dnspython reads a declared sample of the same shape and its time a
delegation is compared. ``DELEGATIONS`` in the environment makes a smaller file.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DELEGATIONS = int(os.environ.get("DELEGATIONS", "1000000"))
PEER_DELEGATIONS = 20_000
ROUNDS = 3


def write_zone(path: Path, delegations: int, seed: int = 1) -> None:
    """A zone as registries write it: two name servers a name, a DS for every tenth, glue for the apex."""
    dice = random.Random(seed)
    head = "$ORIGIN zz.\n$TTL 3600\n@ 3600 IN SOA ns1.nic.zz. hostmaster.nic.zz. 7 1800 900 1209600 3600\n"
    with path.open("w", encoding="ascii") as file:
        file.write(f"{head}@ 3600 IN NS ns1.nic.zz.\nns1.nic.zz. 3600 IN A 192.0.2.53\n")
        for at in range(delegations):
            name = "".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=8)) + str(at)
            host = dice.randrange(2000)
            file.write(f"{name}.zz.\t3600\tIN\tNS\tns1.host{host}.example.\n")
            file.write(f"{name}.zz.\t3600\tIN\tNS\tns2.host{host}.example.\n")
            if at % 10 == 0:
                file.write(f"{name}.zz.\t3600\tIN\tDS\t{dice.randrange(65536)} 8 2 {dice.getrandbits(256):064X}\n")


def ours(path: str) -> tuple[int, float]:
    """(delegations, seconds) of our reader."""
    from panopticond.shared.zone import read_zone

    started = time.perf_counter()
    zone = read_zone(path, "zz")
    return len(zone.owners), time.perf_counter() - started


def dnspython(path: str) -> tuple[int, float]:
    """(delegations, seconds) of dnspython's reader, its names left absolute as ours are."""
    import dns.rdatatype
    import dns.zone

    started = time.perf_counter()
    zone = dns.zone.from_file(path, origin="zz.", relativize=False)
    seconds = time.perf_counter() - started
    return sum(name != zone.origin for name, _ in zone.iterate_rdatasets(dns.rdatatype.NS)), seconds


def child(which: str, path: Path) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.zone_read", "--child", which, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def checkzone(program: str, path: Path) -> float:
    """Seconds nsd-checkzone takes for the file."""
    started = time.perf_counter()
    subprocess.run([program, "zz", str(path)], check=True, capture_output=True)
    return time.perf_counter() - started


def measure(folder: Path) -> dict[str, object]:
    """The line: seconds of ours, dnspython's on its sample, nsd-checkzone's on the same file."""
    whole, sample = folder / "zz.zone", folder / "sample.zone"
    write_zone(whole, DELEGATIONS)
    write_zone(sample, PEER_DELEGATIONS)
    program = shutil.which("nsd-checkzone", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    runs, peers, limits = [], [], []
    for _ in range(ROUNDS):
        runs.append(child("ours", whole))
        peers.append(child("dnspython", sample))
        if program is not None:
            limits.append(checkzone(program, whole))
    if any(run["delegations"] != DELEGATIONS for run in runs):
        raise SystemExit(f"zone-read: {runs[0]['delegations']} delegations read of {DELEGATIONS}")
    value = statistics.median(run["seconds"] for run in runs)
    peer = statistics.median(run["seconds"] for run in peers)
    return {
        "name": "zone-read",
        "value": round(value, 3),
        "unit": "seconds",
        "n": DELEGATIONS,
        "peer": "dnspython",
        "peer_value": round(peer, 3),
        "peer_n": PEER_DELEGATIONS,
        "ratio": round((peer / PEER_DELEGATIONS) / (value / DELEGATIONS), 1),
        "limit": "nsd-checkzone" if limits else "nsd-checkzone: missing (package nsd)",
        "limit_value": round(statistics.median(limits), 3) if limits else None,
        "rss_mib": round(max(run["rss_mib"] for run in runs), 1),
    }


def main(arguments: list[str]) -> int:
    """Print the line, or one run's figures for ``--child``."""
    if arguments[:1] == ["--child"]:
        found, seconds = (ours if arguments[1] == "ours" else dnspython)(arguments[2])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"delegations": found, "seconds": seconds, "rss_mib": peak}))
        return 0
    with tempfile.TemporaryDirectory(prefix="zone-read-") as folder:
        print(json.dumps(measure(Path(folder))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
