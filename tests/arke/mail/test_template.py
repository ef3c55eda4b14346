from pathlib import Path

import pytest

from arke.mail import template
from panopticond.shared.errors import ConfigurationError


def wrap(body: str, kind: str = "new") -> bytes:
    return (
        f'<notices language="xx"><notice kind="{kind}"><subject>Case {{{{case}}}}</subject>'
        f"<body>{body}</body></notice></notices>"
    ).encode()


def only(body: str) -> template.Template:
    return template.parse(wrap(body), "t.xml").templates[0]


def test_shipped_english_has_every_kind() -> None:
    """Every kind of notice can be written in English with nothing configured."""
    loaded = template.load()
    for kind in template.KINDS:
        assert loaded.select(kind, "tlh").language == "en"


def test_renders_names_conditions_and_lists() -> None:
    """Names are filled in, <if> asks for a text, <each> repeats with its own names inside the outer ones."""
    made = only(
        '<p>Of {{domain}}.</p><if name="registrar"><p>never</p></if>'
        '<each name="indicators"><line indent="2">{{uri}} of {{domain}}</line></each>'
    )
    subject, body = made.render({"case": "c1", "domain": "a[.]zz", "indicators": [{"uri": "u1"}, {"uri": "u2"}]})
    assert subject == "Case c1"
    assert body == "Of a[.]zz.\n\n  u1 of a[.]zz\n  u2 of a[.]zz\n"


def test_a_value_is_never_read_as_template() -> None:
    """Braces in a fact are printed, not looked up."""
    assert only("<line>{{domain}}</line>").render({"domain": "{{sender}}", "sender": "secret"})[1] == "{{sender}}\n"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (wrap("<p>{{password}}</p>"), "unknown name {{password}}"),
        (wrap("<p>{{uri}}</p>"), "unknown name {{uri}}"),
        (wrap("<p>{{domain</p>"), "without its"),
        (wrap('<each name="files"><p>x</p></each>'), "can be repeated"),
        (wrap("<script>x</script>"), "<script> may not stand in <body>"),
        (wrap('<p onclick="x">x</p>'), "no attribute"),
        (wrap("bare"), "text may not stand"),
        (wrap("<p>x</p>", kind="other"), "kind must be one of"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + wrap("<p>x</p>"), "DOCTYPE"),
        (wrap('<if name="domain">' * 20 + "</if>" * 20), "deeper than 16"),
        (b"<notices>" + b" " * (256 << 10), "larger than"),
        (b"<notices", "t.xml"),
        (b'<?xml version="1.0" encoding="bogus"?>' + wrap("<p>x</p>"), "bogus"),
        (b'<?xml version="1.0" encoding="shift_jis"?>' + wrap("<p>x</p>"), "multi-byte"),
        (b"<notices/>", "holds no <notice>"),
        (b'<notices><notice kind="new"><subject>s</subject></notice></notices>', "has no body"),
    ],
)
def test_refused_with_its_fault(data: bytes, fault: str) -> None:
    """What the language does not have is refused by name; nothing is skipped in silence."""
    with pytest.raises(ConfigurationError, match=r"t\.xml") as refused:
        template.parse(data, "t.xml")
    assert fault in str(refused.value)


def test_every_unknown_name_is_told_at_once() -> None:
    """One look at the file is enough to mend all its names."""
    with pytest.raises(ConfigurationError) as refused:
        template.parse(wrap('<p>{{one}} {{domain}}</p><if name="two"><p>{{three}}</p></if>'), "t.xml")
    assert [problem.partition("unknown name ")[2].split(";")[0] for problem in refused.value.problems] == [
        "{{one}}", "{{two}}", "{{three}}",
    ]  # fmt: skip


def test_operators_file_stands_before_the_shipped(tmp_path: Path) -> None:
    """An operator's kind replaces the shipped one in its language; the kinds it lacks fall back to English."""
    path = tmp_path / "notice.xml"
    path.write_bytes(wrap("<p>own</p>"))
    loaded = template.load(path)
    assert loaded.select("new").body != template.load().select("new").body
    assert loaded.select("registrar").language == "en"


def test_a_language_nobody_wrote_is_refused(tmp_path: Path) -> None:
    """A wrong code in the configuration would be English without a word; one the operator wrote is known."""
    path = tmp_path / "notice.xml"
    path.write_bytes(wrap("<p>own</p>"))
    assert template.load(path, "xx").select("new", "xx").language == "xx"
    with pytest.raises(ConfigurationError, match="language: no notice is in 'xx'; there are ar, en, es, fr, pt"):
        template.load(wanted="xx")
