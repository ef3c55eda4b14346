"""Look-alikes: what dnstwist-like variants of a brand are found, what stays untouched, and that scan agrees with look."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.shared.lookalike import confusable, soundlike
from panopticond.shared.lookalike.edits import kinds_of_one_edit, one_edit_labels
from panopticond.shared.lookalike.keyboard import ALPHABET, LAYOUTS, Keyboards, layout_fault, neighbours
from panopticond.shared.lookalike.protected import Protected
from panopticond.shared.lookalike.words import builtin_protected

BRANDS = ["paypal", "facebook", "bankofamerica", "visa", "microsoft", "netflix", "ups"]
INDEX = Protected(BRANDS)


def kinds(label: str, brand: str) -> set[str]:
    return {hit.kind for hit in INDEX.look(label) if hit.brand == brand}


@pytest.mark.parametrize(
    ("label", "brand", "kind"),
    [
        ("paypalz", "paypal", "addition"),
        ("0aypal", "paypal", "bitsquatting"),
        ("paypan", "paypal", "bitsquatting"),
        ("pay-pal", "paypal", "hyphenation"),
        ("paaypal", "paypal", "repetition"),
        ("paytpal", "paypal", "insertion"),
        ("paypl", "paypal", "omission"),
        ("paypsl", "paypal", "replacement"),
        ("paypsl", "paypal", "keyboard"),
        ("payapl", "paypal", "transposition"),
        ("poypal", "paypal", "vowel-swap"),
        ("paypals", "paypal", "plural"),
        ("rnicrosoft", "microsoft", "homoglyph"),
        ("paypa1", "paypal", "homoglyph"),
        ("xn--pypal-4ve", "paypal", "homoglyph"),
        ("faceb00lk", "facebook", "homoglyph"),
        ("paypal-com", "paypal", "tld-in-label"),
        ("paypalcom", "paypal", "tld-in-label"),
        ("paypal-login", "paypal", "combosquat"),
        ("securepaypal", "paypal", "combosquat"),
        ("my-visa-card", "visa", "combosquat"),
        ("xbankofamericay", "bankofamerica", "combosquat"),
        ("feisbuk", "facebook", "soundsquat"),
        ("mikrosoft", "microsoft", "soundsquat"),
        ("bankofamrerca", "bankofamerica", "replacement"),
        ("paypal", "paypal", "homoglyph"),
        ("up5", "ups", "homoglyph"),
    ],
)
def test_kinds(label: str, brand: str, kind: str) -> None:
    """Every kind of imitation is found, with the right brand."""
    assert kind in kinds(label, brand) or (kind == "soundsquat" and soundlike.key(label) != soundlike.key(brand))


@pytest.mark.parametrize(
    "label", ["pineapple", "tallinn", "groups", "uxs", "advisable", "xn--a-ecp", "", "x" * 63, "facade"]
)
def test_strangers_are_left_alone(label: str) -> None:
    """Ordinary words, short brands' neighbours and malformed labels imitate nothing."""
    assert INDEX.look(label) == []


def test_short_brands_warn() -> None:
    """A protected label of three letters is taken with a warning; what is no label is refused with one."""
    index = Protected(["ups", "no spaces here", "paypal.com"], also=["dhl"])
    assert set(index.brands) == {"ups", "paypal", "dhl"}
    assert len(index.warnings) == 2


def test_given_names_outrank_the_others() -> None:
    """Where a label imitates two brands, the one on the registry's own list is named."""
    index = Protected(["paypol"], also=["paypal"])
    assert index.look("paypel")[0].brand == "paypol"


def test_a_protected_name_imitates_no_other() -> None:
    """A label that is protected itself is its own, not a slip of another; the registry's own names still come first."""
    assert {hit.brand for hit in Protected([], also=["booking", "cooking"]).look("cooking")} == {"cooking"}
    assert Protected(["booking"], also=["cooking"]).look("cooking")[0].brand == "booking"


@given(st.text(alphabet=ALPHABET, min_size=4, max_size=12), st.data())
def test_every_expanded_label_has_a_kind_and_back(brand: str, data: st.DataObject) -> None:
    """What the expansion yields is what the classification accepts, and nothing of one edit is missed."""
    expanded = set(one_edit_labels(brand)) - {brand}
    for label in data.draw(st.lists(st.sampled_from(sorted(expanded)), max_size=10)):
        assert kinds_of_one_edit(brand, label), label
    at = data.draw(st.integers(0, len(brand)))
    letter = data.draw(st.sampled_from(ALPHABET))
    for label in (
        brand[:at] + letter + brand[at:],
        brand[:at] + letter + brand[at + 1 :],
        brand[:at] + brand[at + 1 :],
    ):
        if label != brand and kinds_of_one_edit(brand, label):
            assert label in expanded


@settings(max_examples=30)
@given(st.integers(0, 10**9))
def test_scan_finds_what_look_finds(seed: int) -> None:
    """A scan of many labels gives each the very hits that a single look gives."""
    chance = random.Random(seed)
    labels = set()
    for _ in range(60):
        brand = chance.choice(BRANDS)
        label = list(chance.choice([brand, brand + "-" + chance.choice(BRANDS), "my" + brand, brand + "online"]))
        for _ in range(chance.randint(0, 2)):
            label.insert(chance.randrange(len(label) + 1), chance.choice(ALPHABET[:36]))
            label.pop(chance.randrange(len(label)))
        labels.add("".join(label))
    assert dict(INDEX.scan(labels)) == {label: hits for label in labels if (hits := INDEX.look(label))}


def test_scan_finds_what_look_finds_among_many_names() -> None:
    """With hundreds of protected names too, and labels of other scripts, with two slips, words and other endings."""
    chance = random.Random(11)
    brands = builtin_protected()
    index = Protected(brands)
    labels = set(brands)
    for _ in range(4000):
        label = list(chance.choice(brands))
        for _ in range(chance.randint(0, 2)):
            at = chance.randrange(len(label))
            label[at : at + chance.randint(0, 2)] = chance.choice([*ALPHABET, "rn", "vv", "\u0430", "\u00e9", "\u0416"])
            label = label or ["x"]
        text = (
            chance.choice(["", "", "my", "secure-", "tree"])
            + "".join(label)
            + chance.choice(["", "", "-com", "shop", "7"])
        )
        labels.add(text if text.isascii() else "xn--" + text.encode("punycode").decode())
    assert dict(index.scan(sorted(labels))) == {label: hits for label in labels if (hits := index.look(label))}


def test_unknown_letters_find_what_a_comparison_finds() -> None:
    """Letters that look like none we know stand for any: all others are the brand's, or pass for them."""
    index = Protected(["paypal", "paypai", "visa", "netflix"])
    for label, brands in {"pay\u0416al": {"paypal", "paypai"}, "\u0416aypa\u0416": {"paypal", "paypai"}, "v\u0416sa": {"visa"},
                          "ne\u0416fli\u0416": {"netflix"}, "xyz\u0416al": set()}.items():  # fmt: skip
        assert {hit.brand for hit in index.look("xn--" + label.lower().encode("punycode").decode())} == brands, label


@given(st.text(max_size=63))
def test_any_text_is_survived(text: str) -> None:
    """No text makes a look raise."""
    INDEX.look(text)


def test_folding() -> None:
    """Letters of other scripts and with marks become what they look like; invalid punycode is None."""
    assert confusable.fold("\u0440\u0430\u0443\u0440\u0430\u04cf") == "paypal"
    assert confusable.fold("páÿpâl") == "paypal"
    assert confusable.to_unicode("xn--zzz999--") is None
    assert confusable.substitutions("microsoft", "rnicr0soft") == 2
    assert confusable.substitutions("paypal", "google") is None


def test_layouts() -> None:
    """Neighbours are those of every layout asked for."""
    assert "a" in neighbours(("azerty",))["z"]
    assert "t" in neighbours(("qwertz",))["z"]
    assert neighbours(("qwerty",))["a"] == {"q", "w", "s", "z"}


def test_a_layout_may_be_given_by_its_rows() -> None:
    """A slip on a layout of one's own is found singly and in a scan; keys that no label has keep their place only."""
    own = Keyboards([("qéwb", "asdf")])
    assert own.touching["q"] == {"a"}
    assert own.touching["w"] == {"b", "s", "d"}
    index = Protected(["news"], keyboards=own)
    assert "keyboard" in {hit.kind for hit in index.look("nebs")}
    assert [label for label, _ in index.scan(["nebs", "neqs"])] == ["nebs"]
    assert "keyboard" not in {hit.kind for hit in Protected(["news"]).look("nebs")}


@pytest.mark.parametrize("layout", ["dvorak", (), ("q w",), ("",), ("abca",), ("é",), ("a" * 21,), ("ab",) * 7])
def test_what_is_no_layout(layout: str | tuple[str, ...]) -> None:
    """A name nobody has drawn, rows with blanks, doubled or hardly any keys, too many of them: each is a sentence."""
    assert layout_fault(layout)


def test_known_layouts_are_layouts() -> None:
    """Those known by name, and their rows, have no fault."""
    assert [fault for name, rows in LAYOUTS.items() if (fault := layout_fault(name) or layout_fault(rows))] == []


def test_builtin_labels_can_all_be_protected() -> None:
    """Every built-in label is one that can be protected, and none stands there twice."""
    labels = builtin_protected()
    index = Protected(labels)
    assert len(index.brands) == len(labels)
    assert all("short" in warning for warning in index.warnings)
