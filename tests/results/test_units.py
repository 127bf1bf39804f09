"""Values as people read them: any number, three digits, the right unit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiabench.results import units
from fiabench.results.metrics import METRICS

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
UNITS = sorted({metric.unit for metric in METRICS.values()})


@given(NUMBERS, st.sampled_from(UNITS))
def test_no_number_is_an_error(value, unit):
    assert units.human(value, unit)


@given(st.floats(min_value=0, allow_infinity=True))
def test_no_span_is_an_error(value):
    assert units.span(value)


def number(text: str) -> tuple[float, str]:
    value, _, unit = text.partition(" ")
    return float(value.replace(",", "")), unit


@given(st.floats(1e-6, 999.4))
def test_seconds_keep_three_digits(value):
    text = units.seconds(value)
    shown, unit = number(text)
    assert shown * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit] == pytest.approx(value, rel=0.0051)
    assert len(re.sub(r"\D", "", text)) == 3


@given(st.floats(1.0, 999.4e12))
def test_rates_keep_three_digits(value):
    text = units.rate(value, "FLOP/s")
    shown, unit = number(text)
    prefix = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "": 1}[unit.removesuffix("FLOP/s")]
    assert shown * prefix == pytest.approx(value, rel=0.0051)
    assert len(re.sub(r"\D", "", text)) == 3


@given(st.floats(1024, 2**49))
def test_sizes_are_binary(value):
    shown, unit = number(units.size(value))
    scale = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10}[unit]
    assert shown * scale == pytest.approx(value, rel=0.0051)
    assert 1 <= shown <= 1024


@given(st.floats(0, 1e7))
def test_spans_never_show_sixty_of_anything(value):
    assert not re.search(r"\b60\b (s|min)", units.span(value))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (units.seconds(0.0), "0.00 µs"),
        (units.seconds(0.00123), "1.23 ms"),
        (units.seconds(0.9996), "1.00 s"),
        (units.seconds(25.2), "25.2 s"),
        (units.seconds(1234), "1,234 s"),
        (units.rate(1.63e12, "FLOP/s"), "1.63 TFLOP/s"),
        (units.rate(999.6e9, "B/s"), "1.00 TB/s"),
        (units.rate(12.0, "tokens/s"), "12.0 tokens/s"),
        (units.size(0), "0 B"),
        (units.size(1000), "1000 B"),
        (units.size(129_024_000), "123 MiB"),
        (units.percent(0.005), "0.5 %"),
        (units.percent(0.0996), "10 %"),
        (units.percent(-0.031), "-3.1 %"),
        (units.spread(0.95, 1.05, 1.0), "±5.0 %"),
        (units.spread(-1.0, 3.0, 1.0), "±200 %"),
        (units.spread(-74.0, 75.0, 1.0), "±>200 %"),
        (units.spread(-0.06, -0.04, -0.05), "±20 %"),
        (units.span(42), "42 s"),
        (units.span(59.7), "1 min 00 s"),
        (units.span(185), "3 min 05 s"),
        (units.span(7800), "2 h 10 min"),
        (units.span(3 * 86400), "3 days"),
    ],
)
def test_examples(text, wanted):
    assert text == wanted
