from hypothesis import given
from hypothesis import strategies as st

from arke.mail.defang import defang, harmless, refang


@given(st.text() | st.text(alphabet="htxps:/.[]@a?#"))
def test_refang_is_the_exact_inverse(text: str) -> None:
    """Whatever text is defanged, refanging gives the same text back."""
    assert refang(defang(text)) == text


def test_marks() -> None:
    """The scheme is crossed, the host's dots are bracketed, an embedded URL and an at sign lose their meaning."""
    assert defang("https://login.evil.zz/a.php?u=http://b.zz/&m=x@y") == (
        "hxxps://login[.]evil[.]zz/a.php?u=http[:]//b.zz/&m=x[at]y"
    )
    assert defang("evil.zz") == "evil[.]zz"
    assert defang("hxxp.zz") == "hxxxp[.]zz"


@given(st.text(min_size=1, alphabet="abc.-/?=:"))
def test_no_clickable_scheme_is_left(rest: str) -> None:
    """A defanged URI never holds ``http://``."""
    assert "http://" not in defang("http://" + rest)


def test_harmless_quotes_one_short_line() -> None:
    """A hostile title becomes one line without controls, direction marks, links or addresses."""
    text = harmless("Pay\u202epal\r\nBcc: a@b.zz http://evil.zz/" + "x" * 500)
    assert text.startswith("Paypal Bcc: a[at]b[.]zz hxxp://evil[.]zz/")
    assert "\n" not in text
    assert len(text) < 140
