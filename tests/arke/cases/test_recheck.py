"""arke.cases.recheck: what the look within the hour decides."""
# ruff: noqa: ARG002 - fakes have the probes' signatures

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest

from arke.cases.recheck import Rechecker, of_web
from panopticond.model import Observation
from tests.arke.made import NOW, case, indicator, seen


class Probes:
    """All three probes: what each is to answer."""

    def __init__(self, delegation: Observation, address: Observation, web: dict[str, Observation]) -> None:
        self._delegation, self._address, self._web = delegation, address, web

    async def check(
        self, target: str, domain: str, vantage: object = None, now: dt.datetime | None = None, *,
        hold_pages: Sequence[str] = (),
    ) -> tuple[Observation, ...]:  # fmt: skip
        return (self._web[str(vantage)],)

    async def address(self, host: str, tld: str, now: dt.datetime) -> Observation:
        return self._address


class Zone:
    def __init__(self, answer: Observation) -> None:
        self._answer = answer

    async def check(self, host: str, tld: str, now: dt.datetime) -> Observation:
        return self._answer


def rechecker(
    *, delegation: str = "delegated", address: Observation | None = None, near: str = "live", far: str = "live"
) -> Rechecker:
    found = seen("delegation", delegation)
    probes = Probes(found, address or seen("address", "resolves"), {"near": seen("web", near), "far": seen("web", far)})
    return Rechecker(Zone(found), probes, probes, vantages=("near", "far"), hold_pages=(), concurrency=2)


@pytest.mark.parametrize(
    ("near", "far", "decision"),
    [
        ("live", "gone", "go"),
        ("gone", "gone", "review"),
        ("gone", "guarded", "review"),
        ("guarded", "guarded", "unchecked"),
        ("failed", "indeterminate", "unchecked"),
        ("not-probed", "not-probed", "unchecked"),
    ],
)
async def test_a_uri_goes_when_live_anywhere_and_to_review_when_it_looks_clean(
    near: str, far: str, decision: str
) -> None:
    """Live at any vantage goes, a clean answer is for a person, no answer is said to be none."""
    looked = await rechecker(near=near, far=far).look(case(), case().indicators, NOW)
    assert looked.recheck.decision == decision
    assert bool(looked.indicators) == (decision in ("go", "unchecked"))


@pytest.mark.parametrize("delegation", ["not-in-zone", "held"])
async def test_a_delegation_gone_or_held_cancels(delegation: str) -> None:
    """Whatever the web says."""
    looked = await rechecker(delegation=delegation).look(case(), case().indicators, NOW)
    assert (looked.recheck.decision, looked.indicators) == ("cancel", ())


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [("resolves", "go"), ("no-address", "cancel"), ("sinkhole", "cancel"), ("indeterminate", "unchecked")],
)
@pytest.mark.parametrize("changes", [{"uri": None}, {"threats": ("botnetCc",)}])
async def test_host_level_entries_are_asked_for_their_address(
    outcome: str, decision: str, changes: dict[str, object]
) -> None:
    """The web answers do not count for them."""
    answer = seen("address", outcome, **({"reason": "timeout"} if outcome == "indeterminate" else {}))
    looked = await rechecker(address=answer, near="gone", far="gone").look(case(), (indicator(**changes),), NOW)
    assert looked.recheck.decision == decision


async def test_an_unknown_delegation_does_not_hold_the_mail() -> None:
    """Could not re-check lets the rest decide."""
    assert (await rechecker(delegation="indeterminate").look(case(), case().indicators, NOW)).recheck.decision == "go"


async def test_a_hold_address_cancels_a_uri_too() -> None:
    """The registry's own address says it holds the name."""
    answer = seen("address", "resolves", reason="hold-ip")
    assert (await rechecker(address=answer).look(case(), case().indicators, NOW)).recheck.decision == "cancel"


def test_the_twin_counts_only_when_live_and_a_hold_page_cancels() -> None:
    """A dead https twin does not make a live http page doubtful, nor the other way round."""
    twin = seen("web", "live", twin="1")
    assert of_web([(seen("web", "gone"), twin)])[0] == "go"
    assert of_web([(seen("web", "failed"), seen("web", "gone", twin="1"))])[0] == "unchecked"
    assert of_web([(seen("web", "gone", reason="hold"),)]) == ("cancel", "hold-page")


async def test_of_several_indicators_only_those_that_stand_are_spoken_of() -> None:
    """One live URI carries the mail; a host entry without address is left out of it."""
    both = (indicator(), indicator(id="i2", uri=None, host="dead.bad.zz"))
    probe = rechecker(address=seen("address", "resolves"))
    assert len((await probe.look(case(), both, NOW)).indicators) == 2
