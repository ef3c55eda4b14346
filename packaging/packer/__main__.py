"""``python -m packer``: build packages, single files, manual pages; try them. What make's targets call."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from packer.errors import PackingError


def main() -> int:
    """Run one command; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="python -m packer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("deb", "both Debian packages"),
        ("wheel", "the wheel, for pipx"),
        ("shiv", "a single file of each program, for hosts with Python 3.11"),
        ("onedir", "a directory of each program, for hosts without Python"),
        ("man", "the manual pages"),
    ):
        made = commands.add_parser(name, help=text)
        made.add_argument("--out", type=Path, default=Path("dist"))
        made.add_argument("--revision", type=int, default=1, help="of the Debian packages")
    tried = commands.add_parser("try-debs", help="both packages through a life on a clean Debian 12")
    tried.add_argument("debs", type=Path, help="the directory they are in")
    smoked = commands.add_parser("smoke", help="builds asked to do their work")
    smoked.add_argument("panopticond", type=Path)
    smoked.add_argument("arke", type=Path)
    smoked.add_argument("--world", action="store_true", help="the lab's shortest world too")
    try:
        return _do(parser.parse_args())
    except PackingError as error:
        print(f"packer: {error}", file=sys.stderr)
        return 1


def _do(arguments: argparse.Namespace) -> int:
    from packer import cleanhost, debian, manual, singlefile, smoke, vendored
    from packer.programs import PROGRAMS

    if arguments.command == "try-debs":
        return cleanhost.try_packages(arguments.debs)
    if arguments.command == "smoke":
        return smoke.smoke(arguments.panopticond, arguments.arke, world=arguments.world)
    if arguments.command == "man":
        built = manual.write(arguments.out)
    else:
        with tempfile.TemporaryDirectory(prefix="packer-") as place:
            work = Path(place)
            if arguments.command == "wheel":
                built = [vendored.wheel(work, arguments.out)]
            else:
                makers = {"deb": debian.build, "shiv": singlefile.shiv, "onedir": singlefile.onedir}
                make = makers[arguments.command]
                more = {"revision": arguments.revision} if arguments.command == "deb" else {}
                built = [make(program, work, arguments.out, **more) for program in PROGRAMS.values()]
    for path in built:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
