"""The scorer: full marks for a perfect run, and every kind of fault costs exactly its own figure."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from panopticond.shared.clock import rfc3339
from panopticond.shared.tables import DomainRow, HostRow, UriRow
from tests.lab.collect import Needle, leaks
from tests.lab.configure import prepare
from tests.lab.model import Domain, World
from tests.lab.score import Found, Mail, Score, score
from tests.lab.world import make_world

START = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)
WORLD = make_world(3, 124, start=START)


def _row(row: type[msgspec.Struct], **known: Any) -> Any:
    blank: dict[str, Any] = dict.fromkeys(row.__struct_fields__)
    return row(**(blank | known))


def perfect(world: World) -> Found:
    """What a run without a fault leaves behind."""
    uris, hosts, domains, mails = [], [], [], []
    for domain in world.domains:
        first = domain.indicators[0]
        domains.append(
            _row(DomainRow, name=domain.name, delegation=first.delegation, abuse_class=domain.truth.abuse_class or "")
        )
        for truth in domain.indicators:
            flags = " ".join(
                name for name, held in (("cloak_suspect", truth.cloaked), ("review", domain.truth.review)) if held
            )
            known = {
                "indicator": "i0", "state": truth.state, "rule": "", "flags": flags, "validated": int(bool(truth.validated)),
                "since": rfc3339(truth.changed_at + dt.timedelta(hours=3)) if truth.changed_at else None,
                "first_active": rfc3339(domain.listings[0].start + dt.timedelta(hours=2)),
            }  # fmt: skip
            if "://" in truth.key:
                uris.append(_row(UriRow, uri=truth.key, **known))
            else:
                hosts.append(_row(HostRow, name=truth.key, **known))
        for number, notice in enumerate(domain.truth.notices):
            mails.append(
                Mail(
                    at=notice.not_before + dt.timedelta(hours=1),
                    message_id=f"{domain.name}.{number}",
                    recipient=notice.recipient,
                    subject="",
                    text=notice.domain.replace(".", "[.]"),
                    told=((notice.domain, notice.template, 1),),
                )
            )
    return Found(tables={"uri": uris, "host": hosts, "domain": domains}, mails=tuple(mails))


def figures(found: Found) -> Score:
    return score(WORLD, found)[0]


def test_a_perfect_run_scores_full_marks() -> None:
    """Every share is 1, every count of faults 0, and nothing is named as a fault."""
    line, faults = score(WORLD, perfect(WORLD))
    assert faults == []
    assert line.state_accuracy == line.delegation_accuracy == line.class_accuracy == 1.0
    assert line.cloak_recall == line.review_right == 1.0
    assert (line.class_harm, line.notices_missing, line.pii_bytes) == (0.0, 0, 0)
    assert line.notices_right == line.notices_due > 100
    assert line.detect_intervals_p95 <= 0.51
    assert line.harmless


def test_the_line_has_the_names_of_the_design() -> None:
    """The keys of the JSON line and their order are a contract."""
    assert list(msgspec.to_builtins(figures(perfect(WORLD)))) == [
        "seed",
        "domains",
        "indicators",
        "state_accuracy",
        "delegation_accuracy",
        "class_accuracy",
        "class_harm",
        "cloak_recall",
        "detect_intervals_p95",
        "notices_due",
        "notices_right",
        "notices_missing",
        "notices_wrong",
        "notices_duplicate",
        "review_right",
        "pii_bytes",
        "behaviours",
    ]


@pytest.mark.parametrize(("table", "column", "value", "figure"), [
    ("uri", "state", "indeterminate", "state_accuracy"),
    ("domain", "delegation", "not-in-zone", "delegation_accuracy"),
    ("domain", "abuse_class", "other", "class_accuracy"),
    ("uri", "flags", "", "cloak_recall"),
    ("uri", "flags", "", "review_right"),
])  # fmt: skip
def test_a_flipped_answer_costs_its_figure(table: str, column: str, value: str, figure: str) -> None:
    """A wrong state, delegation, class, cloak or review lowers that figure and is named."""
    found = perfect(WORLD)
    rows = [msgspec.structs.replace(row, **{column: value}) for row in found.tables[table]]
    line, faults = score(WORLD, Found(tables={**found.tables, table: rows}, mails=found.mails))
    assert getattr(line, figure) < 1.0
    assert faults


def test_calling_a_victim_malicious_is_harm() -> None:
    """class_harm is the share of compromised and shared domains called malicious."""
    found = perfect(WORLD)
    rows = [
        msgspec.structs.replace(row, abuse_class="malicious") if row.abuse_class == "compromised" else row
        for row in found.tables["domain"]
    ]
    assert 0 < figures(Found(tables={**found.tables, "domain": rows}, mails=found.mails)).class_harm < 1


def test_a_wrong_recipient_is_wrong() -> None:
    """The right mail to another domain's holder is one wrong and one missing."""
    found = perfect(WORLD)
    one, other = found.mails[0], next(mail for mail in found.mails if mail.told[0][0] != found.mails[0].told[0][0])
    swapped = msgspec.structs.replace(one, recipient=other.recipient)
    line = figures(Found(tables=found.tables, mails=(swapped, *found.mails[1:])))
    assert (line.notices_wrong, line.notices_missing, line.notices_right) == (1, 1, line.notices_due - 1)
    assert not line.harmless


def test_a_second_copy_is_a_duplicate() -> None:
    """The same case, recipient and template accepted twice is a duplicate, with whatever Message-ID."""
    found = perfect(WORLD)
    again = msgspec.structs.replace(found.mails[0], message_id="another")
    line = figures(Found(tables=found.tables, mails=(*found.mails, again)))
    assert (line.notices_duplicate, line.notices_wrong) == (1, 0)
    assert not line.harmless


def test_nothing_sent_is_all_missing() -> None:
    """A dead arke is not a harmless success: every notice is missing, and the shares of right ones show it."""
    line = figures(Found(tables=perfect(WORLD).tables))
    assert (line.notices_right, line.notices_missing) == (0, line.notices_due)


def test_a_mail_nobody_may_get_is_wrong() -> None:
    """A notice for a domain that was never seen active, one the ledger does not know, and one too early are wrong."""
    found = perfect(WORLD)
    first = found.mails[0]
    dead = next(domain for domain in WORLD.domains if domain.behaviour == "never-alive")
    extra = (
        msgspec.structs.replace(first, told=((dead.name, "new", 1),), text=dead.name),
        msgspec.structs.replace(first, told=()),
    )
    early = msgspec.structs.replace(first, at=START)
    line = figures(Found(tables=found.tables, mails=(early, *found.mails[1:], *extra)))
    assert line.notices_wrong == 3


def test_addresses_are_found_wherever_they_stand(tmp_path: Path) -> None:
    """A contact's address counts in a file of the collector, glued to other bytes or percent-encoded, but not a part of one."""
    address = next(
        notice.recipient for domain in WORLD.domains for notice in domain.truth.notices if notice.template == "new"
    )
    needle = Needle([address])
    local, _, host = address.partition("@")
    assert needle.bytes_in(b"\x00x" + address.upper().encode() + b"y") == len(address)
    assert needle.bytes_in(f"{local}%40{host}".encode()) == len(address)
    assert needle.bytes_in(f"{local}@other.zz {local} @{host}".encode()) == 0
    places = prepare(tmp_path / "out", START, 1000.0)
    (places.published / "report.html").write_text(f"<p>{address}</p>", encoding="utf-8")
    (places.arke_state / "arke.log").write_text(address, encoding="utf-8")
    assert set(leaks(WORLD, places)) == {"published/report.html", "arke-state/arke.log"}


def test_what_is_due_twice_is_right_twice_and_wrong_thrice() -> None:
    """A hoster hears of a change with its one template: once is missing, three times is a duplicate."""
    world = make_world(3, 124, start=START, hosters=True)
    (domain,) = [
        domain for domain in world.domains if [notice.times for notice in domain.truth.notices if notice.times > 1]
    ][:1]
    (twice,) = (notice for notice in domain.truth.notices if notice.times > 1)
    found = perfect(world)
    once, _ = score(world, found)
    (mail,) = (mail for mail in found.mails if mail.told == ((domain.name, "hoster", 1),))
    extra = [mail, *(m for d in world.domains if d is not domain for m in repeats(d, found))]
    full, faults = score(world, msgspec.structs.replace(found, mails=(*found.mails, *extra)))
    assert (full.notices_right, full.notices_missing, full.notices_duplicate, faults) == (full.notices_due, 0, 0, [])
    assert once.notices_missing == full.notices_due - len(found.mails) > 0
    more, _ = score(world, msgspec.structs.replace(found, mails=(*found.mails, *extra, mail)))
    assert (more.notices_duplicate, more.notices_right) == (1, full.notices_due - twice.times)


def repeats(domain: Domain, found: Found) -> list[Mail]:
    """The second mail to every hoster of a domain that is due two."""
    due = {(domain.name, notice.template, 1) for notice in domain.truth.notices if notice.times > 1}
    return [mail for mail in found.mails if set(mail.told) & due]
