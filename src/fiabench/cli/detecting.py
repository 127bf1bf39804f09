"""`tools/history.py detect`: the detector as a filter, numbers in and flags out, for series of any origin."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import click

from fiabench.cases.errors import InputError, Problem, describe

_FILE = "standard input"
_KEYS = ("series", "sessions", "intervals", "reference")
_FORM = (
    '{"series": [[...], ...], "sessions": [[...], ...]?, "intervals": [[[low, high], ...], ...]?, "reference": ...?}'
)
_NUMBER = "a number, or null where nothing was measured"
_NOT_JUDGED = 0.99
"""The highest score in a series that is not judged: from 1 on a candidate is flagged."""


@click.command()
@click.option("--all", "everything", is_flag=True, help="Every candidate with its score, below the threshold, too.")
@click.option(
    "--together",
    is_flag=True,
    help="Judge all series as one family: of those flagged, few have not changed.  [default: each by itself]",
)
def detect(everything: bool, together: bool) -> None:
    """Reads {"series": [[...], ...]} on standard input and writes where each became slower.

    Numbers above 0, oldest first, larger is slower, null where nothing was measured. Beside "series" there may be
    "sessions", a label for each value, "intervals", low and high of each, and "reference", what a case that nobody
    touched took at the time; each has an entry for every series, or null. Out come "flags", for each series
    a list of index, magnitude (0.05 is 5 % slower) and score (flagged from 1 on), "abstains", why a series is not
    judged, so that nothing in it is flagged, and "visible", the smallest lasting change that would most likely have
    been flagged.
    """
    document = _read(sys.stdin.read())
    click.echo(json.dumps(_answer(document, everything, together), allow_nan=False))


def _answer(document: dict[str, Any], everything: bool, together: bool) -> dict[str, Any]:
    from fiabench.history.on_cores import on_every_core
    from fiabench.stats.changes import Detection, History, detect_all, detect_each

    histories = []
    reasons: dict[int, str] = {}
    for place, values in enumerate(document["series"]):
        odd = next((value for value in values if value is not None and not math.isnan(value) and value <= 0), None)
        odd = next((value for value in values if value is not None and math.isinf(value)), odd)
        if odd is not None:
            reasons[place] = f"found {odd:g} among the values: changes are judged of finite numbers above 0"
            continue
        beside = {key: document[key][place] for key in _KEYS[1:] if key in document}
        numbers = [math.nan if value is None else value for value in values]
        if beside.get("intervals") is not None:
            beside["intervals"] = [pair or (math.nan, math.nan) for pair in beside["intervals"]]
        if beside.get("reference") is not None:
            beside["reference"] = [math.nan if value is None else value for value in beside["reference"]]
        histories.append(History(numbers, **beside))
    judge = detect_all if together else detect_each
    found = iter(judge(histories, spread=on_every_core))
    answers = [
        Detection((), (), (), reasons[place], None) if place in reasons else next(found)
        for place in range(len(document["series"]))
    ]
    flags = [
        [
            {
                "index": change.index,
                "magnitude": change.magnitude,
                "score": min(change.score, _NOT_JUDGED) if one.abstains else change.score,
            }
            for change in (one.candidates if everything else one.flags)
            if change.magnitude > 0
        ]
        for one in answers
    ]
    return {
        "flags": flags,
        "abstains": [one.abstains or None for one in answers],
        "visible": [one.visible for one in answers],
    }


def _read(text: str) -> dict[str, Any]:
    """The document; raises InputError where it is not of the form that :func:`detect` tells of."""
    if not text.strip():
        raise InputError([Problem(_FILE, None, None, "", "nothing", _FORM)])
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        problem = Problem(_FILE, error.lineno, error.colno, "", f"no JSON ({error.msg})", _FORM)
        raise InputError([problem]) from error
    except (ValueError, RecursionError) as error:
        odd = "lists too deep" if isinstance(error, RecursionError) else "a number of too many digits"
        raise InputError([Problem(_FILE, None, None, "", odd, _FORM)]) from error
    if not isinstance(document, dict) or "series" not in document:
        raise _wrong("", document, _FORM)
    unknown = [key for key in document if key not in _KEYS]
    if unknown:
        raise _wrong(unknown[0], "a key that is not known", ", ".join(_KEYS))
    series = _list(document["series"], "series", "a list of series")
    for place, values in enumerate(series):
        _numbers(values, f"series[{place}]")
    document = {key: value for key, value in document.items() if value is not None}
    for key in _KEYS[1:]:
        if key not in document:
            continue
        entries = _list(document[key], key, f"a list of {len(series)}, one entry for each series")
        if len(entries) != len(series):
            raise _wrong(key, entries, f"a list of {len(series)}, one entry for each series")
        for place, entry in enumerate(entries):
            if entry is not None:
                _beside(key, f"{key}[{place}]", entry, len(series[place]))
    return document


def _beside(key: str, where: str, entry: Any, count: int) -> None:
    """Checks what stands beside one series of ``count`` values."""
    items = _list(entry, where, f"a list of {count}, as many as values, or null")
    if len(items) != count:
        raise _wrong(where, items, f"a list of {count}, as many as values, or null")
    if key == "reference":
        _numbers(items, where)
    for place, item in enumerate(items):
        if key == "sessions" and (isinstance(item, bool) or not isinstance(item, (str, int, float))):
            raise _wrong(f"{where}[{place}]", item, "a label: a string or a number")
        if key == "intervals" and item is not None:
            _numbers(_list(item, f"{where}[{place}]", "low and high, or null"), f"{where}[{place}]")
            if len(item) != 2 or None in item:
                raise _wrong(f"{where}[{place}]", item, "low and high, or null")


def _list(value: Any, where: str, allowed: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(where, value, allowed)
    return value


def _numbers(values: Any, where: str) -> None:
    items: Sequence[Any] = _list(values, where, "a list of numbers")
    for place, value in enumerate(items):
        if value is not None and not _is_number(value):
            raise _wrong(f"{where}[{place}]", value, _NUMBER)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not isinstance(value, int) or abs(value) <= sys.float_info.max


def _wrong(where: str, value: Any, allowed: str) -> InputError:
    found = value if isinstance(value, str) and value.startswith("a key") else describe(value)
    return InputError([Problem(_FILE, None, None, where, found, allowed)])
