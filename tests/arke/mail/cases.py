"""Cases, contacts and composed notices for the tests of this folder."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from arke.mail import notice, template
from arke.model import Case, CaseIndicator, Contact, Evidence, Notice, Recheck, Step

NOW = dt.datetime(2026, 8, 20, 6, 10, tzinfo=dt.UTC)
KEY = b"a key of the tests"
TEMPLATES = template.load()
SIGHT = Evidence(
    at=NOW,
    vantage="near",
    country="NZ",
    outcome="live",
    status="200",
    title="Sign in http://evil.zz\r\nBcc: spy@example.test",
    final="http://other.zz/",
    address="192.0.2.7",
    sha256="ab" * 32,
)


def indicator(uri: str | None = "https://login.evil.zz/kit/a.php?b=[1]", **change: object) -> CaseIndicator:
    values: dict[str, object] = {
        "id": "i0123456789abcdef",
        "uri": uri,
        "host": "login.evil.zz",
        "scope": "subordinate",
        "threats": ("phishing",),
        "state": "active",
        "flags": (),
        "validated": True,
        "first_seen": NOW,
        "last_active": NOW,
        "feeds": ("feed-one",),
        "evidence": (SIGHT,),
    }
    return CaseIndicator(**(values | change))  # type: ignore[arg-type]


def case(number: str = "zz-2026-00abcd", **change: object) -> Case:
    values: dict[str, object] = {
        "id": number,
        "tld": "zz",
        "domain": "evil.zz",
        "host": None,
        "state": "open",
        "opened": NOW,
        "abuse_class": "undetermined",
        "reasons": ("registered years ago",),
        "indicators": (indicator(),),
    }
    return Case(**(values | change))  # type: ignore[arg-type]


def contact(address: str = "holder@example.test", role: str = "registrant") -> Contact:
    return Contact(role, address, "rdap")  # type: ignore[arg-type]


LETTERHEAD = notice.Letterhead(
    sender="abuse@nic.zz",
    organisation=".zz registry",
    host_id="arke.nic.zz",
    key=KEY,
    verify_page="https://nic.zz/verify",
)


def compose(
    about: Case | Sequence[Case] | None = None, to: Contact | None = None, kind: str = "new", **change: object
) -> Notice:
    """A notice about a case or several; ``change`` names fields of the letterhead, of the sending, or the language."""
    about = about or case()
    cases = [about] if isinstance(about, Case) else list(about)
    language = change.pop("language", None)
    of_letterhead = {name: change.pop(name) for name in list(change) if name in LETTERHEAD.__struct_fields__}
    letterhead = msgspec.structs.replace(LETTERHEAD, **of_letterhead)
    sending = msgspec.structs.replace(notice.Sending(NOW, Recheck("go", "", NOW)), **change)
    step = Step(cases[0].id, "send", "", 1, kind, ("registrant",))  # type: ignore[arg-type]
    return notice.compose(cases, to or contact(), step, TEMPLATES, letterhead, sending, language=language)  # type: ignore[arg-type]
