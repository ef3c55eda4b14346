"""The reports in a real browser: ``python -m tests.panopticond.report.browser [OUT]`` (``make report-check``).

Publishes a made-up week, opens the daily and the monthly report in headless Chromium at desktop and phone width, lets
axe-core judge them, looks for anything wider than the page, and prints them to PDF under OUT. One JSON line a page;
exit 1 for a serious finding or an overflow. Not among the tests: it needs Chromium, node and axe-core, which npm
installs beside the virtual environment when it is not there yet.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import trio

from panopticond.snapshot.publish import publish_tld
from tests.panopticond.snapshot.ledger import HOUR, NOW, TLD, TODAY, press, round_at, world

AXE = "axe-core@4.10.3"
ROOT = Path(__file__).resolve().parents[3]
WIDTHS = {"desktop": 1280, "phone": 375}
DAYS = 14
_CHROMIUM = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions")
_JUDGE = """
<script>%s</script><script>
const wide = [...document.querySelectorAll("body *")].filter(one => !one.closest(".scroll, svg")
  && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.tagName + "." + one.className);
axe.run(document, {resultTypes: ["violations"]}).then(found => parent.report({
  width: innerWidth, overflow: document.documentElement.scrollWidth > innerWidth + 1, wide: wide.slice(0, 5),
  findings: found.violations.map(one => [one.impact, one.id, one.nodes.length, one.nodes[0].html.slice(0, 160)])}));
</script>"""
_FRAME = """<!DOCTYPE html><title>wait</title><body style="margin:0"><script>
function report(found) { document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = JSON.stringify(found); }</script>
<iframe style="border:0;width:%dpx;height:900px" srcdoc="%s"></iframe>"""


async def _publish(root: Path) -> None:
    """A fortnight: a case that ends, others that go on, new ones."""
    roomy, ledger = msgspec.structs.replace(press(root), keep=60), world()
    for days in range(-DAYS, 1):
        now = NOW + days * 24 * HOUR
        for number, one in ledger.kept.items():
            if one.subject.uri:
                outcome = "gone" if one.subject.host == "remedy.zz" and days >= -3 else "live"
                ledger.kept_rounds[number] += [
                    round_at(now - hours * HOUR, one.subject.uri, one.subject.host, one.subject.domain, outcome)
                    for hours in (19, 13, 7, 1)
                ]
        await publish_tld(roomy, ledger, TLD, TODAY, now)  # type: ignore[arg-type]
    await publish_tld(roomy, ledger, TLD, TODAY, NOW + 10 * 24 * HOUR)  # type: ignore[arg-type]


def _axe() -> str:
    """The text of axe-core, installed by npm when it is not there yet."""
    folder = ROOT / ".venv" / "axe"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), AXE], check=True)
    return script.read_text(encoding="utf-8")


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


def main(arguments: list[str]) -> int:
    """Judge and print every page; 1 when one of them is not fit to be read."""
    if shutil.which("chromium") is None or shutil.which("npm") is None:
        print("report-check needs chromium and npm; install both and try again", file=sys.stderr)
        return 1
    out = Path(arguments[0]) if arguments else Path("report-check-out")
    out.mkdir(parents=True, exist_ok=True)
    axe, bad = _axe(), False
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_publish, Path(folder) / "root")
        pages = {path.parent.name: path for path in sorted((Path(folder) / "root" / "zz").glob("20*/report.html"))}
        months = [name for name in pages if "-" in name]
        for name in (*months[-1:], max(name for name in pages if "-" not in name)):
            shutil.copy(pages[name], out / f"{name}.html")
            text = pages[name].read_text(encoding="utf-8")
            for kind, width in WIDTHS.items():
                said = judged(text, axe, width, Path(folder))
                serious = [one for one in said["findings"] if one[0] in ("serious", "critical")]  # type: ignore[attr-defined]
                bad = bad or bool(serious) or bool(said["overflow"])
                print(json.dumps({"page": name, "view": kind, **said}))
            pdf = f"--print-to-pdf={out / f'{name}.pdf'}"
            subprocess.run(
                [*_CHROMIUM, pdf, (out / f"{name}.html").resolve().as_uri()], check=True, capture_output=True
            )
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
