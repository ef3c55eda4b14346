"""How fast this machine is now: a world's policy clock is scaled so that both daemons can keep up with it.

Asked once before a run. Two processes (the lab's and a daemon's would be as many) do a fixed piece of work; how much
longer it takes than on the machine the figures were made on stretches the run. A busy or slow machine gets more time,
never less exact a score.
"""

from __future__ import annotations

import subprocess
import sys
import time

NOMINAL_SECONDS = 0.45
"""What the work takes on two idle cores of the development machine."""
_WORK = "sum(hash((n, str(n))) & 1 for n in range(1_000_000))"
LONGEST = 4.0


def pace() -> float:
    """The factor by which a run is stretched: 1 on an idle machine like ours, 4 at the most."""
    began = time.monotonic()
    running = [subprocess.Popen([sys.executable, "-c", _WORK]) for _ in range(2)]
    for process in running:
        process.wait()
    return min(max((time.monotonic() - began) / NOMINAL_SECONDS, 1.0), LONGEST)


if __name__ == "__main__":
    print(f"{pace() * NOMINAL_SECONDS:.2f} s, factor {pace():.2f}")
