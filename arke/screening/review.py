"""The daily review list: what of the registry's zone looks like an imitation or generated, and is in no feed yet.

Beside match, once a snapshot and zone: :mod:`panopticond.shared.ranking` scores, this keeps the list. What
:mod:`.registrations` learns afterwards weighs in it, and it is written again. The list is for a person; nothing is
sent or suspended by it.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from arke.config import Config
from arke.report import REVIEW, replace_file
from arke.screening.decisions import decide, decisions, precision_at
from arke.screening.lists import known_dga, labels_of, watched_by
from arke.screening.registrations import days_of
from panopticond.shared.clock import Clock
from panopticond.shared.dga import Model
from panopticond.shared.errors import PanopticonError
from panopticond.shared.ranking import NOT_ASKED, Finding, dated, review_list, write_csv
from panopticond.shared.zone import Zone, read_names
from panopticond.shared.zonedays import names_before

CANDIDATES = 2
"""Times its length: so many names of a list are kept, for a day of registration may raise one into it."""


class Summary(msgspec.Struct, frozen=True):
    """What the manager's report says of a list: how long, how many are new, which look-alikes are in a feed already."""

    names: int
    new: int
    already_listed: list[str]
    warnings: list[str]
    registrations: dict[str, int] = {}
    """Of how many a day is known, of how many none, and how many were not asked about or could not be."""


def review_path(config: Config, tld: str) -> Path:
    """Where the list of a TLD lies: in the state directory, below the TLD's name where several are served."""
    state = Path(config.state)
    return state / REVIEW if len(config.tlds) == 1 else state / tld / REVIEW


class Draft(msgspec.Struct, frozen=True):
    """A list before its names' registrations are known: its candidates, worst first, and what the summary says."""

    tld: str
    candidates: tuple[Finding, ...]
    already_listed: tuple[str, ...]
    warnings: tuple[str, ...]


def draft_review(config: Config, tld: str, zone: Zone, listed: Collection[str]) -> Draft:
    """What of the zone a person should look at, in a thread; remembers the zone's names for the next time.

    ``listed`` names are in a feed already: they are named in the summary, not repeated. What a person decided about
    stays away, and so do names that are protected as they stand: they are their owners' own.
    """
    state = Path(config.state)
    guarded = watched_by(config.screen)
    exclude = {name for path in config.screen.exclude for name in read_names(path)} | decisions(state).keys()
    model = Model.load().calibrated(labels_of(zone.owners))
    before = names_before(state / "zones", tld, zone)
    known = known_dga(config.screen.known_dga, tld)
    left_out = exclude | guarded.owned
    every = review_list(zone.owners, (), guarded.protected, left_out, None, before, model=model, known=known)
    return Draft(
        tld,
        tuple(item for item in every if item.name not in listed)[: CANDIDATES * config.screen.top],
        tuple(item.name for item in every if item.name in listed),
        tuple(guarded.protected.warnings),
    )


def write_review(config: Config, draft: Draft, said: Mapping[str, str], today: dt.date) -> int:
    """Write the list anew, weighed by what was ``said`` of registrations; returns how many names are on it."""
    made = decisions(Path(config.state))
    every = dated(draft.candidates, days_of(said), today)
    found = [item for item in every if item.name not in made][: config.screen.top]
    text = io.StringIO()
    write_csv(found, text, said)
    path = review_path(config, draft.tld)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, text.getvalue())
    words = Counter(_registration(said.get(item.name, NOT_ASKED)) for item in found)
    new = sum(item.new for item in found)
    summary = Summary(len(found), new, [*draft.already_listed], [*draft.warnings], dict(sorted(words.items())))
    replace_file(path.with_suffix(".json"), msgspec.json.encode(summary).decode() + "\n")
    return len(found)


def _registration(said: str) -> str:
    return "known" if said[:1].isdigit() else said.partition(":")[0]


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
