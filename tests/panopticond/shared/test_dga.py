"""The model of generated names: what it tells apart, what it leaves alone, and that it survives anything."""

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.shared import dga, dga_bulk

MODEL = dga.Model.load()


@pytest.mark.parametrize(
    "label", ["qjxkwvzptlr", "xzz3ug32bale1uo60y7xj6rge", "biaymnbqqshyllcqjlfhlj", "ofdhiydrrttpblp"]
)
def test_random_letters_score_high(label: str) -> None:
    """Letters drawn at random are worth a look."""
    assert MODEL.score(label) >= MODEL.review_from


@pytest.mark.parametrize(
    "label", ["tallinn", "wikipedia", "cheap-flights", "autoservice24", "restaurante", "kohvik", "abc"]
)
def test_words_score_low(label: str) -> None:
    """Words of several languages, with digits and hyphens, are not; nor is anything very short."""
    assert MODEL.score(label) < MODEL.review_from


def test_most_random_labels_are_found() -> None:
    """Of labels of twelve random letters at least nine in ten are found."""
    chance = random.Random(3)
    labels = ["".join(chance.choices(string.ascii_lowercase, k=12)) for _ in range(300)]
    assert len(MODEL.generated(labels)) >= 270


@given(st.text(max_size=80))
def test_any_text_is_survived(text: str) -> None:
    """A score is a number from 0 to 1 for any text."""
    assert 0 <= MODEL.score(text) <= 1


def test_bulk_agrees_with_one() -> None:
    """The scores of many labels are those of each."""
    labels = ["qjxkwvzptlr", "tallinn", "xn--zckzah", "short"]
    assert MODEL.generated(labels) == {"qjxkwvzptlr": MODEL.score("qjxkwvzptlr")}


def test_calibration_learns_a_zone() -> None:
    """A zone whose names are all of one strange kind makes that kind ordinary; too few names change nothing."""
    chance = random.Random(5)
    parts = ["qzx", "wvk", "jqh", "xvw", "kzq", "vjx", "zqk", "hxj"]
    names = ["".join(chance.choices(parts, k=4)) for _ in range(6000)]
    home = MODEL.calibrated(names)
    assert MODEL.score("qzxwvkjqhxvw") > home.score("qzxwvkjqhxvw")
    assert home.score("qzxwvkjqhxvw") < 0.9
    assert MODEL.calibrated(names[:100]) is MODEL


def test_file_round_trip() -> None:
    """A model encoded and decoded is the same model; its card names its data and figures."""
    again = dga.decode(dga.encode(MODEL))
    assert again.tables == MODEL.tables
    assert again.raw("qjxkwvzptlr") == MODEL.raw("qjxkwvzptlr")
    assert MODEL.card["held_out"]["auc"] >= 0.99


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=70) | st.text("abcxyz09-", max_size=12), min_size=1, max_size=40))
def test_numpy_gives_the_same(labels: list[str]) -> None:
    """Many labels at once score exactly as one by one, whatever stands in them, in whatever company."""
    assert dga_bulk.raws(labels, MODEL.tables, MODEL.weights) == [MODEL.raw(label) for label in labels]


def test_numpy_learns_the_same() -> None:
    """Tables widened at once are those widened group by group; more than one piece of labels is no difference."""
    chance = random.Random(9)
    names = ["".join(chance.choices("abcdeiou-1", k=chance.randint(1, 45))) for _ in range(dga_bulk.PIECE + 500)]
    bulk = dga_bulk.widened(MODEL.tables, names)
    tables = [bytearray(table) for table in MODEL.tables]
    for table, counts in zip(tables, dga.count(names), strict=True):
        for slot, times in counts.items():
            table[slot] = max(table[slot], dga.bucket(times) if times > 1 else 0)
    assert bulk == tuple(map(bytes, tables))
    assert MODEL.raws(names) == [MODEL.raw(name) for name in names]
