"""``python -m tests [PYTEST ARGUMENTS]``: every test, in two halves side by side, which is what ``make test`` runs.

The lab's runs (marker ``lab``) mostly wait for the policy clock; the others keep a core busy meanwhile. Exit 0 when both
halves passed. Arguments go to both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile


def main(arguments: list[str]) -> int:
    """Both halves; what the lab's half said is printed after the other's."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        lab = subprocess.Popen([*command, "-m", "lab", *arguments], stdout=said, stderr=subprocess.STDOUT)
        try:
            others = subprocess.run([*command, "-m", "not lab", *arguments], check=False).returncode
            labs = lab.wait()
        finally:
            lab.kill()
            lab.wait()
        said.seek(0)
        print(said.read(), flush=True)
    return max(others, labs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
