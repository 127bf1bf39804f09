"""`history.py detect`: numbers in, flags out, and one clear answer to whatever is not of its form."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import numpy as np
import pytest

from fiabench.cli.history import main


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `detect` on a document or a text; returns exit code, what came out, and what was said."""

    def run(document: Any, *options: str) -> tuple[int, Any, str]:
        text = document if isinstance(document, str) else json.dumps(document)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = main(["detect", *options])
        out, error = capsys.readouterr()
        return code, json.loads(out) if out else None, error

    return run


def series(seed: int, ratio: float = 1.0, last: int = 10) -> list[float]:
    values = 100 * np.exp(0.01 * np.random.default_rng(seed).standard_normal(60))
    values[-last:] *= ratio
    return [float(value) for value in values]


def test_slowdowns_are_flagged_and_nothing_else(ask: Any) -> None:
    code, found, said = ask({"series": [series(0, 1.08), series(1, 0.92), series(2)]})
    assert (code, said) == (0, "")
    (flag,), faster, quiet = found["flags"]
    assert abs(flag["index"] - 50) <= 1
    assert flag["magnitude"] == pytest.approx(0.08, abs=0.02)
    assert flag["score"] >= 1
    assert set(flag) == {"index", "magnitude", "score"}
    assert faster == quiet == []
    assert found["abstains"] == [None, None, None]
    assert all(0 < visible < 0.1 for visible in found["visible"])


def test_every_candidate_has_a_score(ask: Any) -> None:
    document = {"series": [series(seed, 1.015) for seed in range(10)]}
    flagged = [flag for flags in ask(document)[1]["flags"] for flag in flags]
    every = [flag for flags in ask(document, "--all")[1]["flags"] for flag in flags]
    assert [flag for flag in every if flag["score"] >= 1] == flagged
    assert any(flag["score"] < 1 for flag in every)


def test_of_a_series_that_is_not_judged_every_candidate_is_below_the_threshold(ask: Any) -> None:
    rng = np.random.default_rng(4)
    logs = np.repeat(0.03 * rng.standard_normal((20, 6)), 10, axis=1) + 0.005 * rng.standard_normal((20, 60))
    document = {"series": (100 * np.exp(logs)).tolist()}
    shipped, every = ask(document)[1], ask(document, "--all")[1]
    wild = [place for place, why in enumerate(shipped["abstains"]) if why]
    assert wild
    assert every["abstains"] == shipped["abstains"]
    found = [flag for place in wild for flag in every["flags"][place]]
    assert found
    assert all(flag["score"] < 1 for flag in found)


def test_together_flags_no_more_than_each_alone(ask: Any) -> None:
    document = {"series": [series(seed, 1.025, 3) for seed in range(20)]}
    alone, together = ask(document)[1]["flags"], ask(document, "--together")[1]["flags"]
    assert sum(map(len, together)) <= sum(map(len, alone))


def test_many_series_are_judged_as_each_alone(ask: Any) -> None:
    logs = 0.01 * np.random.default_rng(5).standard_normal((200, 40))
    logs[::3, 25:] += 0.06
    values = (100 * np.exp(logs)).tolist()
    values[7][3] = -1.0
    found = ask({"series": values})[1]
    alone = [ask({"series": [one]})[1] for one in values]
    assert found["flags"] == [one["flags"][0] for one in alone]
    assert sum(map(bool, found["flags"])) > 50
    assert found["abstains"] == [one["abstains"][0] for one in alone]
    assert "found -1" in found["abstains"][7]
    there = [(a, b["visible"][0]) for a, b in zip(found["visible"], alone) if a is not None]
    assert len(there) > 190
    assert [a for a, _ in there] == pytest.approx([b for _, b in there])


def test_sessions_intervals_and_reference_are_taken(ask: Any) -> None:
    plain = series(5, 1.08)
    labels = [index // 10 for index in range(60)]
    levels = [1.0, 0.97, 1.04, 1.01, 0.95, 1.08]
    moody = [value * levels[label] for value, label in zip(series(6), labels)]
    _, told, _ = ask({"series": [moody, plain], "sessions": [[f"s{label}" for label in labels], None]})
    assert told["flags"][0] == []
    assert told["abstains"][0] is None
    assert len(told["flags"][1]) == 1
    wide = [[0.7 * value, 1.4 * value] for value in plain]
    _, unsure, _ = ask({"series": [plain], "intervals": [[*wide[:-1], None]]})
    assert unsure["flags"] == [[]]
    _, same, _ = ask({"series": [plain], "reference": [[*series(9)[:-1], None]], "sessions": None})
    assert len(same["flags"][0]) == 1


def test_what_is_missing_is_null_or_nan(ask: Any) -> None:
    values: list[float | None] = list(series(3, 1.1))
    values[5] = None
    code, found, _ = ask({"series": [values, [float("nan"), *values[1:]]]})
    assert code == 0
    assert [len(flags) for flags in found["flags"]] == [1, 1]


def test_a_series_that_cannot_be_judged_says_why(ask: Any) -> None:
    hopeless = [[], [1, 2], [None] * 30, [3] * 30, [1, 0, 2] * 9, [1, -1, 2] * 9, [1, float("inf"), 2] * 9]
    code, found, said = ask({"series": hopeless})
    assert (code, said) == (0, "")
    assert found["flags"] == [[]] * len(hopeless)
    few, two, missing, constant, zero, negative, infinite = found["abstains"]
    assert "0 values" in few
    assert "2 values" in two
    assert "0 values" in missing
    assert constant is None
    assert "found 0 among" in zero
    assert "found -1 among" in negative
    assert "found inf among" in infinite


def test_no_series_have_no_flags(ask: Any) -> None:
    assert ask({"series": []}) == (0, {"flags": [], "abstains": [], "visible": []}, "")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "standard input: found nothing; allowed: {"),
        ("series", "standard input:1:1: found no JSON"),
        ("[1, 2]", "found a list of 2; allowed: {"),
        (f'{{"series": [[{"1" * 5000}]]}}', "standard input: found a number of too many digits; allowed: {"),
        pytest.param("[" * 100_000, "standard input: found lists too deep; allowed: {", id="deep"),
        ({"values": []}, "found a mapping of values; allowed: {"),
        ({"series": [], "noise": 1}, "noise: found a key that is not known; allowed: series, sessions"),
        ({"series": 3}, "series: found 3; allowed: a list of series"),
        ({"series": [1, 2]}, "series[0]: found 1; allowed: a list of numbers"),
        ({"series": [[1, "2"]]}, "series[0][1]: found '2' (a string); allowed: a number"),
        ({"series": [[1, True]]}, "series[0][1]: found true (a boolean)"),
        ({"series": [[1, 10**400]]}, "series[0][1]: found"),
        ({"series": [[1, 2]], "sessions": [["a"]]}, "sessions[0]: found a list of 1; allowed: a list of 2"),
        ({"series": [[1, 2]], "sessions": []}, "sessions: found an empty list; allowed: a list of 1"),
        ({"series": [[1]], "sessions": [[{}]]}, "sessions[0][0]: found an empty mapping; allowed: a label"),
        ({"series": [[1]], "intervals": [[[1]]]}, "intervals[0][0]: found a list of 1; allowed: low and high"),
        ({"series": [[1]], "reference": [["x"]]}, "reference[0][0]: found 'x' (a string)"),
    ],
)
def test_what_is_not_of_its_form_ends_with_2(ask: Any, document: Any, words: str) -> None:
    code, found, said = ask(document)
    assert code == 2
    assert found is None
    assert words in said
    assert len(said.strip().splitlines()) == 1
