"""Time to mitigation: the textbook's figures, censoring on both sides, floors, and no order but the alphabet's."""

from __future__ import annotations

import msgspec
import pytest

from panopticond.judge.survival import REST, kaplan_meier, median, mitigation, share_at, spell
from panopticond.shared.tables import AggregateRow
from tests.panopticond.report.test_daily import SNAPSHOT, domain, incident

SIX_MP = (
    (6, 1), (6, 1), (6, 1), (6, 0), (7, 1), (9, 0), (10, 1), (10, 0), (11, 0), (13, 1), (16, 1), (17, 0), (19, 0),
    (20, 0), (22, 1), (23, 1), (25, 0), (32, 0), (32, 0), (34, 0), (35, 0),
)  # fmt: skip
PLACEBO = (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)


def test_kaplan_meier_equals_the_textbook() -> None:
    """Freireich's leukaemia trial (Gehan 1965; Cox and Oakes 1984): share and Greenwood error at every step."""
    steps = kaplan_meier([(float(week), bool(ended)) for week, ended in SIX_MP])
    assert [step.time for step in steps] == [6, 7, 10, 13, 16, 22, 23]
    assert [step.at_risk for step in steps] == [21, 17, 15, 12, 11, 7, 6]
    assert [step.survival for step in steps] == pytest.approx(
        [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4
    )
    errors = [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346]
    assert [step.error for step in steps] == pytest.approx(errors, abs=5e-5)


def test_medians_equal_the_textbook() -> None:
    """Treated 23 weeks (16 to unbounded), placebo 8 weeks (4 to 12), as R's survfit prints them."""
    assert median(kaplan_meier([(float(week), bool(ended)) for week, ended in SIX_MP])) == (23, 16, None)
    assert median(kaplan_meier([(float(week), True) for week in PLACEBO])) == (8, 4, 12)
    assert median([]) == (None, None, None)


def test_shares_are_steps() -> None:
    """Before the first end nothing is known to end; between two steps the share stands still."""
    steps = kaplan_meier([(10.0, True), (20.0, True)])
    assert share_at(steps, 9.9) == (1.0, 1.0, 1.0)
    assert share_at(steps, 19.9)[0] == 0.5


def test_an_end_lies_between_two_rounds() -> None:
    """A mitigated case ended after its last active round and by the first in which it was gone; others are censored."""
    gone = incident(
        "a.zz", state="mitigated", how="dns", opened="2026-11-20T00:00:00Z", last_active="2026-11-20T06:00:00Z",
        first_gone="2026-11-20T12:00:00Z", closed="2026-11-21T06:00:00Z",
    )  # fmt: skip
    assert msgspec.structs.astuple(spell(gone, SNAPSHOT.to_at)) == (6.0, 12.0, "dns")
    still = incident("b.zz", opened="2026-11-20T00:00:00Z")
    assert msgspec.structs.astuple(spell(still, SNAPSHOT.to_at)) == (30.0, 30.0, None)
    lapsed = incident("c.zz", state="lapsed", opened="2026-11-20T00:00:00Z", last_active="2026-11-20T03:00:00Z")
    assert msgspec.structs.astuple(spell(lapsed, SNAPSHOT.to_at)) == (3.0, 3.0, None)
    again = incident("d.zz", opened="2026-01-01T00:00:00Z", reopened="2026-11-21T00:00:00Z")
    assert spell(again, SNAPSHOT.to_at).latest == 6.0


def test_figures_by_way_and_registrar() -> None:
    """Ten cases make a registrar's figure, nine do not; the ways of mitigation censor each other."""
    rows = [
        incident(
            f"{name}{at}.zz", state="mitigated", how=how, opened="2026-11-10T00:00:00Z",
            last_active=f"2026-11-10T{at:02d}:00:00Z", first_gone=f"2026-11-10T{at + 6:02d}:00:00Z",
        )
        for name, how, count in (("many", "dns", 10), ("few", "content", 9)) for at in range(1, count + 1)
    ]  # fmt: skip
    domains = [domain(row.domain, registrar="Zebra" if row.domain.startswith("many") else "Ant") for row in rows]
    found = {(row.name, row.dimension): row for row in mitigation(rows, domains, SNAPSHOT)}
    assert found["mitigation_cases", "dns"].value == 10
    assert found["incidents_by_registrar", "Zebra"].value == 10
    assert found["incidents_by_registrar", REST].value == 9
    assert ("incidents_by_registrar", "Ant") not in found
    assert found["mitigation_hours_median_by_registrar", "Zebra"].value == 11
    assert found["mitigation_hours_median", ""].value == 11
    assert found["mitigation_hours_median_earliest", ""].value == 5
    assert found["mitigation_hours_median", "content"].value > 11
    assert found["unmitigated_share_after", "24 h"] == AggregateRow(
        "unmitigated_share_after", "", "24 h", 0.0, 0.0, 1.0
    )


def test_open_cases_by_age() -> None:
    """The age of an open case counts from its last opening."""
    rows = [incident("a.zz"), incident("b.zz", opened="2026-10-01T00:00:00Z")]
    found = {row.dimension: row.value for row in mitigation(rows, [], SNAPSHOT) if row.name == "open_incidents_by_age"}
    assert found == {"under 24 h": 1, "1 to 3 days": 0, "3 to 7 days": 0, "7 to 30 days": 0, "over 30 days": 1}
