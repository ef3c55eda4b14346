"""How the reader of a printed command can type it: a sentence that says what to do next must work where it is read.

Beside the flow: both ``onboard`` commands print the commands that come next. Installed, a program's name is enough; in
a checkout or an unpacked archive it is not on the PATH, and only the way it was called by is known to work.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program(name: str, called: str | None = None, path: str | None = None) -> str:
    """The first word of a command: ``name`` where a shell finds it, else the absolute path it was called by.

    ``called`` is ``argv[0]`` and ``path`` the PATH; left out, this process's. The name alone, too, where it was called
    in another way (``python -m``).
    """
    here = Path(called if called is not None else sys.argv[0])
    if here.name != name or shutil.which(name, path=path) is not None:
        return name
    return shlex.quote(str(here.absolute()))
