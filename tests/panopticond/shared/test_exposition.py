"""The text a scrape gets: declared metrics only, values escaped, what is not known left out."""

from __future__ import annotations

import os

import pytest

from panopticond.shared.exposition import PROCESS, VALUES_LIMIT, Metric, Sample, process, render

PLAIN = Metric("a_seconds", "gauge", "How long.")
BY = Metric("b_total", "counter", "How many.", ("tld", "state"))


def test_a_scrape_has_help_type_and_values_in_the_order_declared() -> None:
    """Samples of one metric stand together whatever their order; whole numbers are written as such."""
    text = render(
        [PLAIN, BY],
        [
            Sample("b_total", 2.0, {"tld": "zz", "state": "OK"}),
            Sample("a_seconds", 1.5),
            Sample("b_total", True, {"tld": "yy", "state": "OK"}),
        ],
    )
    assert text == (
        "# HELP a_seconds How long.\n# TYPE a_seconds gauge\na_seconds 1.5\n"
        "# HELP b_total How many.\n# TYPE b_total counter\n"
        'b_total{tld="zz",state="OK"} 2\nb_total{tld="yy",state="OK"} 1\n'
    )


def test_what_is_not_known_is_not_written() -> None:
    """None is no value, and a metric without values has no heading."""
    assert render([PLAIN], [Sample("a_seconds", None)]) == ""


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and line ends of a label cannot end it."""
    text = render([BY], [Sample("b_total", 1, {"tld": 'a"\\\n', "state": "x"})])
    assert 'b_total{tld="a\\"\\\\\\n",state="x"} 1\n' in text


@pytest.mark.parametrize(
    "sample", [Sample("c_total", 1), Sample("b_total", 1), Sample("a_seconds", 1, {"domain": "a.zz"})]
)
def test_what_nobody_declared_is_refused(sample: Sample) -> None:
    """Another name or other labels are a defect: so no label can hold what was not thought of."""
    with pytest.raises(ValueError, match="is no declared metric"):
        render([PLAIN, BY], [sample])


def test_far_too_many_values_are_refused() -> None:
    """A label that grows without bound shows before Prometheus does."""
    samples = [Sample("b_total", 1, {"tld": str(at), "state": "x"}) for at in range(VALUES_LIMIT + 1)]
    with pytest.raises(ValueError, match="more than"):
        render([BY], samples)


def test_the_process_tells_of_itself() -> None:
    """Memory, files, processor time and start, as Prometheus' own libraries name them."""
    found = {sample.name: sample.value for sample in process()}
    assert found.keys() == {metric.name for metric in PROCESS}
    memory, files = found["process_resident_memory_bytes"], found["process_open_fds"]
    assert memory is not None
    assert files is not None
    assert memory > 5 << 20
    assert 3 <= files <= os.sysconf("SC_OPEN_MAX")
