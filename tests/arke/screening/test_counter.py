"""arke.screening.counter: opinions over the status socket, by the configured lists and policy."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import trio

from arke.config import Config
from arke.screening import counter
from arke.screening.settings import Screen
from panopticond.shared.control import ask, serve_control


def config(tmp_path: Path, tld: str | list[str] = "zz", **screen: Any) -> Config:
    return Config(tld=tld, keys=["x"], records="x", state=str(tmp_path / "state"), screen=Screen(**screen))


async def test_answers_over_the_socket(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A registry asks by the socket and gets pass, review, hold or invalid with reasons, in the order it asked."""
    (tmp_path / "protect").write_text("nationalbank\n")
    (tmp_path / "policy").write_text(json.dumps({"brands": {"nationalbank": "hold"}}))
    desk = counter.Counter(config(tmp_path, protect=(str(tmp_path / "protect"),), policy=str(tmp_path / "policy")))

    async def answer(request: dict[str, Any]) -> Any:
        return await desk.answer(request["names"], request.get("tld"))

    await nursery.start(serve_control, str(tmp_path / "s"), 0o600, answer)
    names = ["nationalbenk.zz", "quietgarden", "bad name", 7]
    said = (await ask(str(tmp_path / "s"), {"do": "screen", "names": names}))["opinions"]
    assert [item["decision"] for item in said] == ["hold", "pass", "invalid", "pass"]
    assert said[0]["lookalike_of"] == "nationalbank"
    assert said[0]["reasons"]


async def test_what_is_asked_wrongly(tmp_path: Path) -> None:
    """With several TLDs one must be said; too many names, or a broken file, are answered with a sentence."""
    desk = counter.Counter(config(tmp_path, ["zz", "yy"]))
    assert "zz, yy" in str((await desk.answer(["a"], None))["error"])
    assert "opinions" in await desk.answer(["a"], ".YY")
    assert "error" in await desk.answer(["a"], 7)
    odd: Any = await desk.answer(["\u00e9" * 60_000, {"a": []}, None, "\U0001f4a9.zz"], "zz")
    assert odd["opinions"][0]["decision"] == "invalid"
    assert "error" in await desk.answer(["a"] * (counter.NAMES_LIMIT + 1), "zz")
    broken = counter.Counter(config(tmp_path, policy=str(tmp_path / "missing")))
    assert "missing" in str((await broken.answer(["a"], None))["error"])


async def test_a_changed_file_is_read_again(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:  # noqa: ARG001 - time jumps
    """A protected name added to the file counts from the next look on."""
    protect = tmp_path / "protect"
    protect.write_text("nationalbank\n")
    desk = counter.Counter(config(tmp_path, protect=(str(protect),)))
    before: Any = await desk.answer(["parliament-login"], None)
    protect.write_text("nationalbank\nparliament\n")
    await trio.sleep(counter.LOOK_SECONDS)
    after: Any = await desk.answer(["parliament-login"], None)
    assert [answer["opinions"][0]["decision"] for answer in (before, after)] == ["pass", "hold"]


def test_calibrated_on_the_remembered_zone(tmp_path: Path) -> None:
    """Where the daily list has kept a zone's names, letters are judged by them."""
    folder = tmp_path / "state" / "zones"
    folder.mkdir(parents=True)
    with gzip.open(folder / "zz-1.gz", "wt") as file:
        file.writelines(f"qzx{at:05}wvk.zz\n" for at in range(3000))
    loaded = counter.load(config(tmp_path))
    assert loaded.models["zz"].score("qzx77777wvk") < 0.9
    assert counter.load(config(tmp_path, "yy")).models["yy"].score("qzx77777wvk") > 0.9
