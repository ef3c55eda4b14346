"""arke.cases.parties: which contacts a step is for, and what of a case each of them hears."""

from __future__ import annotations

import datetime as dt

import msgspec

from arke.cases.ladder import History, step
from arke.cases.parties import is_about_nothing, knows, occasion, of_contact, parties
from arke.cases.settings import Ladder
from arke.mail.notice import effective_template
from arke.model import Contact, Place, Step
from tests.arke.cases.test_ladder import SETTINGS, told
from tests.arke.made import NOW, case, contacts, indicator


def party(address: str) -> str:
    return f"h:{address}"


def test_each_address_is_written_to_once_and_the_registrar_once() -> None:
    """One address in three roles is one mail; of the registrar's contacts the abuse desk gets it."""
    first = step(case(), History(), NOW, SETTINGS)
    one = contacts(registrant="A@isp.zz", administrative="a@isp.zz", technical="t@isp.zz", billing="b@isp.zz").contacts
    chosen, problem = parties(case(), first, one, (), party)
    assert ([contact.address for contact in chosen], problem) == (["A@isp.zz", "t@isp.zz"], "")
    malicious = case(abuse_class="malicious")
    both = (*contacts(registrar="r@reg.zz", abuse="abuse@reg.zz").contacts, Contact("registrant", "a@isp.zz", "rdap"))
    chosen, _ = parties(malicious, step(malicious, History(), NOW, SETTINGS), both, (), party)
    assert [contact.role for contact in chosen] == ["registrant", "abuse"]


def test_a_contact_inside_the_abused_domain_never_suffices_alone() -> None:
    """Alone it is a problem; beside another it is told too."""
    first = step(case(), History(), NOW, SETTINGS)
    inside = contacts(registrant="x@mail.bad.zz")
    assert parties(case(), first, inside.contacts, (), party) == ((), "inside-domain")
    both = contacts(registrant="x@bad.zz", technical="t@isp.zz")
    assert len(parties(case(), first, both.contacts, (), party)[0]) == 2
    assert parties(case(), first, (), (), party) == ((), "no-address")


def test_a_party_told_all_this_in_this_opening_is_left_out() -> None:
    """Unless its notice was withdrawn, something is new, or the case has reopened."""
    first = step(case(), History(), NOW, SETTINGS)
    found = contacts(registrant="a@isp.zz", technical="t@isp.zz").contacts
    known = (told("h:a@isp.zz"),)
    assert [item.address for item in parties(case(), first, found, known, party)[0]] == ["t@isp.zz"]
    assert not knows(case(), (told("h:a@isp.zz", state="withdrawn"),), "h:a@isp.zz")
    assert not knows(case(reopened=(NOW,)), known, "h:a@isp.zz")
    assert not knows(case(indicators=(indicator(host="new.bad.zz"),)), known, "h:a@isp.zz")
    assert occasion(case(), (told(state="withdrawn"),)) != occasion(case(), known)


def hoster(address: str, *hosts: str) -> Contact:
    return Contact("hoster", address, "rdap", tuple(Place(host, "203.0.113.7", NOW) for host in hosts))


BOTH = case(indicators=(indicator(), indicator(id="i2", host="two.bad.zz", uri="http://two.bad.zz/")))


def test_a_hoster_hears_of_the_hosts_in_its_network_alone() -> None:
    """Everybody else hears of the whole case; of hosts that are gone from the case there is nothing to say."""
    assert of_contact(BOTH, Contact("registrant", "a@isp.zz", "rdap")) == BOTH
    assert [item.id for item in of_contact(BOTH, hoster("d@net.zz", "two.bad.zz")).indicators] == ["i2"]
    assert is_about_nothing(of_contact(BOTH, hoster("d@net.zz", "three.bad.zz")))
    assert not is_about_nothing(BOTH)
    assert is_about_nothing(case(indicators=(indicator(validated=False),)))


def test_every_hoster_is_a_party_and_knows_by_its_own_hosts() -> None:
    """Two networks are two desks; one that was told of its host is not told again for the other's."""
    settings = Ladder(first=("registrant", "hoster"))
    first = step(BOTH, History(), NOW, settings)
    desks = (hoster("d@one.zz", "bad.zz"), hoster("d@two.zz", "two.bad.zz"))
    holder = contacts(registrant="a@isp.zz").contacts
    chosen, problem = parties(BOTH, first, (*holder, *desks), (), party)
    assert ([item.address for item in chosen], problem) == (["a@isp.zz", "d@one.zz", "d@two.zz"], "")
    heard = told("h:d@one.zz", template="hoster", said=case().said)
    assert [item.address for item in parties(BOTH, first, desks, (heard,), party)[0]] == ["d@two.zz"]
    again = msgspec.structs.replace(BOTH, reopened=(NOW + dt.timedelta(days=1),))
    assert len(parties(again, first, desks, (heard,), party)[0]) == 2


def test_a_registrar_that_hosts_is_told_once() -> None:
    """The same desk in two roles is one mail, the registrar's: it is about the whole name."""
    malicious = Step("c", "send", "first rung", 1, "malicious", ("registrant", "abuse", "registrar", "hoster"))
    both = (*contacts(abuse="desk@reg.zz").contacts, hoster("Desk@reg.zz", "bad.zz"))
    assert [item.role for item in parties(case(), malicious, both, (), party)[0]] == ["abuse"]
    assert effective_template(malicious.template, "hoster") == "hoster"
