"""The daily review list: what of the registry's zone looks like an imitation or generated, and is in no feed yet.

Beside match, once a snapshot and zone: :mod:`arke.ranking` scores, this keeps the list and remembers the names of the
last zone, so that new ones stand out. The list is for a person; nothing is sent or suspended by it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Collection
from pathlib import Path

import msgspec

from arke.config import Config
from arke.decisions import decide, decisions, precision_at
from arke.lists import known_dga, labels_of, protected_names
from arke.ranking import review_list, write_csv
from arke.report import REVIEW, replace_file
from panopticond.shared.clock import Clock
from panopticond.shared.dga import Model
from panopticond.shared.errors import PanopticonError, StoreError
from panopticond.shared.zone import Zone, read_names

KEPT = 2
"""Zones whose names are kept: the present one and the one before it."""


class Summary(msgspec.Struct, frozen=True):
    """What the manager's report says of a list: how long, how many are new, which look-alikes are in a feed already."""

    names: int
    new: int
    already_listed: list[str]
    warnings: list[str]


def review_path(config: Config, tld: str) -> Path:
    """Where the list of a TLD lies: in the state directory, below the TLD's name where several are served."""
    state = Path(config.state)
    return state / REVIEW if len(config.tlds) == 1 else state / tld / REVIEW


def write_review(config: Config, tld: str, zone: Zone, listed: Collection[str]) -> int:
    """Write the list anew, in a thread; returns how many names are on it.

    ``listed`` ones are in a feed already: they are named in the summary, not repeated. What a person decided about
    stays away.
    """
    state = Path(config.state)
    made = decisions(state)
    exclude = {name for path in config.screen.exclude for name in read_names(path)} | made.keys()
    model = Model.load().calibrated(labels_of(zone.owners))
    before = _before(state, tld, zone)
    known = known_dga(config.screen.known_dga, tld)
    protected = protected_names(config.screen.protect)
    every = review_list(zone.owners, (), protected, exclude, None, before, model=model, known=known)
    marked = [item.name for item in every if item.name in listed]
    found = [item for item in every if item.name not in listed][: config.screen.top]
    text = io.StringIO()
    write_csv(found, text)
    path = review_path(config, tld)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, text.getvalue())
    summary = Summary(len(found), sum(item.new for item in found), marked, protected.warnings)
    replace_file(path.with_suffix(".json"), msgspec.json.encode(summary).decode() + "\n")
    return len(found)


def summaries(config: Config) -> dict[str, object]:
    """For the manager's report: by TLD what is on the list, and how right its first names were as people decided."""
    found: dict[str, object] = {}
    for tld in config.tlds:
        try:
            text = review_path(config, tld).with_suffix(".json").read_bytes()
            found[tld] = msgspec.to_builtins(msgspec.json.decode(text, type=Summary))
        except (OSError, msgspec.DecodeError):  # no list yet, or one of another version: the next one replaces it
            continue
    made = decisions(Path(config.state)).values()
    return {"lists": found, "precision": msgspec.to_builtins(precision_at(made, config.screen.top))}


def listed_now(config: Config) -> list[dict[str, str]]:
    """The rows of every TLD's present list, worst first, with their ``rank``."""
    rows = []
    for tld in config.tlds:
        path = review_path(config, tld)
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows += [row | {"rank": str(rank)} for rank, row in enumerate(csv.DictReader(file), 1)]
    return rows


def print_list(config: Config, *, as_json: bool) -> None:
    """``arke review list``: the present list without what was decided since, and the precision so far."""
    made = decisions(Path(config.state))
    rows = [row for row in listed_now(config) if row["name"] not in made]
    figures = precision_at(made.values(), config.screen.top)
    if as_json:
        print(json.dumps({"names": rows, "precision": msgspec.to_builtins(figures)}, ensure_ascii=False))
        return
    for row in rows:
        new = "new" if row["new"] == "yes" else "   "
        print(f"{row['rank']:>4} {row['score']} {new} {row['unicode']}: {row['reasons']}")
    share = "nothing decided yet"
    if figures.precision is not None:
        share = f"{figures.precision:.2f} ({figures.low:.2f} to {figures.high:.2f}) of {figures.decided} decided"
    print(f"precision among the first {figures.n}: {share}")


def take_decision(config: Config, name: str, command: str) -> None:
    """``arke review confirm|dismiss NAME``: kept for good; the name does not come back on the list."""
    name = name.strip().lower().rstrip(".")
    if name.rpartition(".")[2] not in config.tlds:
        raise PanopticonError(f"arke review: {name} is below none of {', '.join(config.tlds)}; see `arke review list`")
    rank = next((int(row["rank"]) for row in listed_now(config) if name in (row["name"], row["unicode"])), 0)
    name = next((row["name"] for row in listed_now(config) if row["unicode"] == name), name)
    clock = Clock.from_settings(config.clock, lab=config.lab)
    made = decide(Path(config.state), name, command, rank, clock.now())
    print(f"{name}: {made.word}" + ("" if rank else "; it was not on the list"))


def _before(state: Path, tld: str, zone: Zone) -> frozenset[str] | None:
    """The names of the last zone with another serial, None at the first; remembers the present ones."""
    folder = state / "zones"
    present = folder / f"{tld}-{zone.serial}.gz"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = sorted(folder.glob(f"{tld}-*.gz"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        others = [path for path in known if path != present]
        before = frozenset(read_names(others[0])) if others else None
        if present not in known:
            partial = present.with_name(present.name + ".part")
            with gzip.open(partial, "wt", encoding="utf-8", compresslevel=1) as file:
                file.writelines(f"{name}\n" for name in zone.owners)
            partial.replace(present)
        for path in others[KEPT - 1 :]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot keep the zone's names: {error.strerror or error}") from error
    return before
