"""How fast this machine is now: a world's policy clock is scaled so that both daemons can keep up with it.

Asked once before a run. Two processes (the lab's and a daemon's would be as many) do a fixed piece of work several times
over some seconds, because what keeps a machine busy comes in bursts; how much longer it takes on the average than on the
machine the figures were made on stretches the run. A busy or slow machine gets more time, never less exact a score.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

NOMINAL_SECONDS = 0.45
"""What the work takes on two idle cores of the development machine."""
_WORK = "sum(hash((n, str(n))) & 1 for n in range(1_000_000))"
LONGEST = 4.0
SAMPLES, APART_SECONDS = 5, 0.7


def pace() -> float:
    """The factor by which a run is stretched: 1 on an idle machine like ours, 4 at the most."""
    taken = []
    for number in range(SAMPLES):
        if number:
            time.sleep(APART_SECONDS)
        taken.append(_work())
    return min(max(statistics.mean(taken) / NOMINAL_SECONDS, 1.0), LONGEST)


def _work() -> float:
    """Seconds the work takes now."""
    began = time.monotonic()
    running = [subprocess.Popen([sys.executable, "-c", _WORK]) for _ in range(2)]
    for process in running:
        process.wait()
    return time.monotonic() - began


if __name__ == "__main__":
    print(f"factor {pace():.2f}")
