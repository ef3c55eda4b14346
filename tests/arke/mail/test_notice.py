import base64
import json
from email import message_from_bytes, policy
from email.message import EmailMessage

import msgspec
import pytest

from arke.mail import notice
from arke.mail.defang import refang
from arke.mail.template import SHIPPED_LANGUAGES
from arke.model import Contact, Notice, Place, Recheck
from tests.arke.mail.cases import NOW, SIGHT, case, compose, contact, indicator


def parsed(made: Notice) -> EmailMessage:
    mail = message_from_bytes(made.message, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def body_of(made: Notice) -> str:
    part = parsed(made).get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def test_same_input_gives_the_same_bytes() -> None:
    """Composing is a function: bytes, Message-ID and envelope are the same each time."""
    assert compose() == compose()
    assert compose().message == compose().message


def test_message_id_says_what_is_said_to_whom() -> None:
    """Recipient, template, indicators, threat and occasion each make another Message-ID; a later look does not."""
    base = compose().message_id
    others = {
        compose(to=contact("other@example.test")).message_id,
        compose(kind="reminder").message_id,
        compose(case(indicators=(indicator(), indicator("http://evil.zz/2", id="i2")))).message_id,
        compose(case(indicators=(indicator(threats=("malware",)),))).message_id,
        compose(occasion="2026-09-01").message_id,
    }
    assert base not in others
    assert len(others) == 5
    assert compose(recheck=Recheck("unchecked", "no answer", NOW)).message_id == base
    assert base.endswith("@nic.zz>")


def test_headers() -> None:
    """The headers of protocols section 6.3 stand there once, and no Bcc, Cc or Precedence."""
    made = compose()
    mail = parsed(made)
    assert mail["To"] == "holder@example.test"
    assert mail["Reply-To"] == "abuse@nic.zz"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"] == "[.zz abuse] phishing reported at evil[.]zz (case zz-2026-00abcd)"
    assert not {"bcc", "cc", "precedence", "return-receipt-to"} & {name.lower() for name in mail}
    assert made.envelope_sender.startswith("bounce+")
    assert b"\n" not in made.message.replace(b"\r\n", b"")
    assert max(map(len, made.message.split(b"\r\n"))) <= 998


def test_body_holds_the_evidence_defanged() -> None:
    """The mail itself says what, when, from where, by when and how to answer; refanged lines are the URIs."""
    text = body_of(compose())
    assert "https://login" not in text
    line = next(line.strip() for line in text.splitlines() if "hxxps" in line)
    assert refang(line) == "https://login.evil.zz/kit/a.php?b=[1]"
    for said in (
        "from NZ: live",
        "HTTP status 200",
        "page title: Sign in hxxp",
        "2026-08-21 06:10 UTC",
        "zz-2026-00abcd",
    ):
        assert said in text


def test_unchecked_is_said() -> None:
    """A notice that goes on the snapshot's evidence alone says so, with the reason."""
    text = body_of(compose(recheck=Recheck("unchecked", "the resolver did not answer", NOW)))
    assert "could not look again" in text
    assert "the resolver did not" in " ".join(text.split())


def test_xarf_is_attached_per_uri() -> None:
    """One XARF v4 document per URI, in the layout of RFC 6522, with the live URI inside."""
    about = case(indicators=(indicator(), indicator(None, id="i2", threats=("botnetCc",))))
    mail = parsed(compose(about))
    assert mail.get_content_type() == "multipart/report"
    assert mail["Content-Type"].params["report-type"] == "feedback-report"
    parts = list(mail.iter_parts())
    assert [part.get_content_type() for part in parts] == [
        "text/plain", "message/feedback-report", "application/json", "application/json",
    ]  # fmt: skip
    assert b"Feedback-Type: xarf" in parts[1].as_bytes()
    first, second = (json.loads(base64.b64decode(part.get_payload())) for part in parts[2:])
    assert (first["category"], first["type"]) == ("content", "phishing")
    assert first["url"] == "https://login.evil.zz/kit/a.php?b=%5B1%5D"
    assert (second["category"], second["type"]) == ("infrastructure", "botnet")
    assert second["compromise_evidence"]
    assert first["report_id"] != second["report_id"]


def test_malicious_template_teaches_nothing() -> None:
    """The holder of a maliciously registered name gets no vantage, source, hash, reason or attachment."""
    made = compose(case(abuse_class="malicious"), kind="malicious")
    text = body_of(made)
    assert not parsed(made).is_multipart()
    for secret in ("near", "NZ", "feed-one", "abab", "registered years ago", "192[.]0"):
        assert secret not in text
    assert "hxxps://login[.]evil[.]zz" in text


def test_registrar_gets_its_own_first_notice() -> None:
    """In a malicious case's first rung the registrar gets the registrar's template, with all the evidence."""
    made = compose(case(abuse_class="malicious"), contact("abuse@registrar.test", "registrar"), "malicious")
    assert made.template == "registrar"
    assert "feed-one" in body_of(made)
    assert parsed(made).is_multipart()


def test_a_hoster_gets_address_time_and_zone_and_nobody_elses_data() -> None:
    """The defanged URI with the address it was found at and when, evidence, XARF with the address as its source."""
    place = Place("login.evil.zz", "203.0.113.7", NOW)
    desk = Contact("hoster", "abuse@net.test", "rdap", (place,))
    for kind in ("new", "malicious", "reminder", "reopened"):
        made = compose(case(abuse_class="malicious", registrar="Example Registrar"), desk, kind)
        text = body_of(made)
        assert made.template == "hoster"
        assert "server address: 203.0.113.7, as we resolved it on 2026-08-20 06:10 UTC" in text
        assert "hxxps://login[.]evil[.]zz" in text
        assert "reverse proxy" in text
        assert "Registrar" not in text
        (report,) = [part for part in parsed(made).walk() if part.get_filename() == "xarf.json"]
        assert json.loads(report.get_payload(decode=True))["source_identifier"] == "203.0.113.7"
    digest = compose([case(), case("zz-2026-00abce")], desk, "hoster")
    assert body_of(digest).count("203.0.113.7, as we resolved it") == 2
    assert "addresses in your network" in str(parsed(digest)["Subject"])


@pytest.mark.parametrize(
    "address",
    ["", "nobody", "a@b", "a b@example.test", "a@example.test\r\nBcc: x@y.zz", "a@[192.0.2.1]", '"a"@x.test', "a@@x.test",
     "REDACTED FOR PRIVACY", "<a@x.test>", "a,b@x.test", ".a@x.test", "a" * 70 + "@x.test"],
)  # fmt: skip
def test_unusable_address_is_refused(address: str) -> None:
    """A placeholder or an injection is no address: nothing is composed for it."""
    assert notice.usable_address(address) is None
    with pytest.raises(ValueError, match="address"):
        compose(to=contact(address))


def test_hostile_texts_cannot_make_headers() -> None:
    """Line breaks in a title, a case number or the organisation's name never reach a header."""
    made = compose(case("zz-1\r\nBcc: x@y.zz"), organisation="Reg\r\nBcc: x@y.zz")
    assert not [name for name in parsed(made) if name.lower() == "bcc"]


def test_idn_and_utf8_addresses() -> None:
    """An IDN domain becomes A-labels; a local part outside ASCII is kept, and needs SMTPUTF8."""
    assert notice.usable_address("a@bücher.test") == "a@xn--bcher-kva.test"
    made = compose(to=contact("jürgen@bücher.test"))
    assert made.recipient == "jürgen@xn--bcher-kva.test"
    assert "jürgen".encode() in made.message


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_without_attachments_keeps_the_message_id(language: str) -> None:
    """The plain form of a refused mail has the same id and text, nothing attached, and no word of attachments."""
    made = compose(language=language)
    plain = parsed(msg := Notice("", (), "new", 1, "registrant", "", "", notice.without_attachments(made.message)))
    assert not plain.is_multipart()
    assert plain["Message-ID"] == made.message_id
    full, left = (body_of(each).replace("\r\n", "\n").split("\n\n") for each in (made, msg))
    assert [text for text in full if text not in left] == [text for text in full if "XARF" in text]
    assert len(left) == len(full) - 1


def test_without_attachments_leaves_what_a_page_says_of_itself() -> None:
    """A page that calls itself what the paragraph of the attachments is known by takes no URI out of the mail."""
    seen = msgspec.structs.replace(SIGHT, title="JSON files (XARF version 4)")
    made = compose(case(indicators=(indicator("http://e1.zz/x", evidence=(seen,)),)))
    left = body_of(Notice("", (), "new", 1, "registrant", "", "", notice.without_attachments(made.message)))
    assert "page title: JSON files (XARF version 4)" in left
    assert "hxxp://e1[.]zz/x" in left
    assert "The attached JSON" not in left


def test_digest_names_every_case() -> None:
    """Several incidents of one recipient make one mail with every case number and URI in it."""
    about = [case(f"zz-2026-{at:06x}", indicators=(indicator(f"http://e{at}.zz/x", id=f"i{at}"),)) for at in range(7)]
    made = compose(about)
    text = body_of(made)
    assert made.case_ids == tuple(one.id for one in about)
    for at, one in enumerate(about):
        assert one.id in text
        assert f"hxxp://e{at}[.]zz/x" in text


@pytest.mark.parametrize("kind", ["new", "reminder", "resolved", "reopened", "malicious", "registrar", "manager"])
def test_every_kind_composes_for_every_class(kind: str) -> None:
    """No template leaves a name unfilled, whatever the class."""
    for abuse_class in ("malicious", "compromised", "shared-service", "undetermined"):
        assert "{{" not in body_of(compose(case(abuse_class=abuse_class), kind=kind))
