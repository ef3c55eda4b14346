"""The reports in a real browser: ``python -m tests.panopticond.report.browser [OUT [PUBLISHED]]`` (``make report-check``).

Lives thirty days of the lab (``tests/lab/month``), or takes a published tree, and opens the last daily and monthly
report in headless Chromium at desktop and phone width: html-validate judges their text, axe-core what is shown, anything
wider than the page is found, and each is pictured and printed to PDF under OUT. One JSON line a page and view; exit 1
for invalid HTML, a serious finding or an overflow. Not among the tests: it needs Chromium and node, and minutes; npm
installs both judges beside the virtual environment when they are not there yet.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from tests.lab.demo import tell
from tests.lab.month import month

AXE, VALIDATE = "axe-core@4.10.3", "html-validate@9.5.3"
SEED = 2026
ROOT = Path(__file__).resolve().parents[3]
WIDTHS = {"desktop": 1280, "phone": 375}
_RULES = {"extends": ["html-validate:standard"], "rules": {"no-inline-style": "off", "no-trailing-whitespace": "off"}}
"""The HTML standard's; how the source is laid out is no reader's matter."""
_CHROMIUM = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions")
_JUDGE = """
<script>%s</script><script>
const wide = [...document.querySelectorAll("body *")].filter(one => !one.closest(".scroll, svg")
  && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.tagName + "." + one.className);
axe.run(document, {resultTypes: ["violations"]}).then(found => parent.report({
  width: innerWidth, height: document.documentElement.scrollHeight, overflow: document.documentElement.scrollWidth > innerWidth + 1, wide: wide.slice(0, 5),
  findings: found.violations.map(one => [one.impact, one.id, one.nodes.length, one.nodes[0].html.slice(0, 160)])}));
</script>"""
_FRAME = """<!DOCTYPE html><title>wait</title><body style="margin:0"><script>
function report(found) { document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = JSON.stringify(found); }</script>
<iframe style="border:0;width:%dpx;height:900px" srcdoc="%s"></iframe>"""


def _installed() -> Path:
    """Where axe-core and html-validate are, installed by npm when they are not there yet."""
    folder = ROOT / ".venv" / "axe"
    if not all((folder / "node_modules" / name).is_dir() for name in ("axe-core", "html-validate")):
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), AXE, VALIDATE], check=True)
    return folder / "node_modules"


def validated(page: Path, modules: Path, folder: Path) -> list[str]:
    """What the HTML standard has against a page, a line a fault."""
    rules = folder / "rules.json"
    rules.write_text(json.dumps({"root": True, **_RULES}), encoding="utf-8")
    command = [
        "node",
        str(modules / ".bin" / "html-validate"),
        "--config",
        str(rules),
        "--formatter",
        "text",
        str(page),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines() or ["no answer"]


def judged(page: str, axe: str, width: int, folder: Path) -> dict[str, object]:
    """What the browser says of a page at a width: overflow and axe's findings."""
    inner = page.replace("</body>", _JUDGE % axe + "</body>")
    framed = folder / "frame.html"
    framed.write_text(_FRAME % (width, html.escape(inner)), encoding="utf-8")
    command = [*_CHROMIUM, "--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom", framed.as_uri()]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r'<pre id="found">(.*?)</pre>', output, re.DOTALL)
    if found is None:
        return {"overflow": True, "findings": [["serious", "no-answer", 1, output[:160]]]}
    return dict(json.loads(html.unescape(found[1])))


def picture(page: Path, width: int, height: int, to: Path) -> None:
    """The whole page at a width, as PNG; a window of a browser is never as narrow as a phone, so it stands in a frame."""
    framed = to.with_suffix(".frame.html")
    frame = f'<!DOCTYPE html><body style="margin:0"><iframe style="border:0;width:{width}px;height:{height}px" src="{page.name}">'
    framed.write_text(frame, encoding="utf-8")
    shot = [f"--window-size={max(width, 500)},{height}", f"--screenshot={to.resolve()}", framed.resolve().as_uri()]
    subprocess.run([*_CHROMIUM, *shot], check=True, capture_output=True, timeout=120)
    framed.unlink()


def examine(page: Path, modules: Path, folder: Path) -> bool:
    """Judge, picture and print a page; whether it is fit to be read."""
    faults = validated(page, modules, folder)
    print(json.dumps({"page": page.stem, "view": "html", "faults": faults}))
    text, good = page.read_text(encoding="utf-8"), not faults
    axe = (modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    for kind, width in WIDTHS.items():
        said = judged(text, axe, width, folder)
        serious = [one for one in said["findings"] if one[0] in ("serious", "critical")]  # type: ignore[attr-defined]
        good = good and not serious and not said["overflow"]
        print(json.dumps({"page": page.stem, "view": kind, **said}))
        picture(page, width, int(str(said.get("height", 1000))), page.with_name(f"{page.stem}.{kind}.png"))
    pdf = [f"--print-to-pdf={page.with_suffix('.pdf').resolve()}", "--no-pdf-header-footer", page.resolve().as_uri()]
    subprocess.run([*_CHROMIUM, *pdf], check=True, capture_output=True, timeout=120)
    return good


def main(arguments: list[str]) -> int:
    """Judge and print every page; 1 when one of them is not fit to be read."""
    if shutil.which("chromium") is None or shutil.which("npm") is None:
        print("report-check needs chromium and npm; install both and try again", file=sys.stderr)
        return 1
    out = Path(arguments[0]) if arguments else Path("report-check-out")
    out.mkdir(parents=True, exist_ok=True)
    modules = _installed()
    with tempfile.TemporaryDirectory() as folder:
        if arguments[1:]:
            published = Path(arguments[1])
        else:
            published = Path(trio.run(partial(month, Path(folder) / "month", SEED, tell=tell)).published)
        pages = {path.parent.name: path for path in sorted((published / "zz").glob("20*/report.html"))}
        months = [name for name in pages if "-" in name]
        good = bool(months)
        for name in (*months[-1:], max(name for name in pages if "-" not in name)):
            page = Path(shutil.copy(pages[name], out / f"{name}.html"))
            good = examine(page, modules, Path(folder)) and good
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
