"""docs/detector.md: the rates as a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fiabench.evidence.detector.kinds import KINDS, Kind
from fiabench.evidence.detector.study import (
    AGES,
    ASKED_AGES,
    ASKED_STEP,
    LENGTHS,
    NEAR,
    SCALES,
    SHORT,
    SHORT_AGE,
    SHORT_STEP,
    STEPS,
    Rate,
    Sizes,
)

_WIDTH = 128
MOST_FALSE_ALARMS = 1.0
"""Percent of series."""
MET, MISSED = "met", "NOT met"
_SMALL_STEP = {3: 60.0, 10: 95.0}
"""Power in percent that is asked for at +3 % in Gaussian noise of 1 %, by age."""


class Study(NamedTuple):
    """Everything that one call of the command found."""

    rates: list[Rate]
    sizes: Sizes
    limits: list[tuple[float, float, list[float], list[float]]]
    """The noise's standard deviation, the step, and at each of AGES the best power, and that beside a drift."""
    newest_session: float
    """The power of a t test for +5 % that begins with the sixth session of 1 %."""
    scaled: tuple[int, int]
    """Series whose flags the scale changed, of how many."""
    commit: str
    seconds: float
    with_otava: bool


class Line(NamedTuple):
    """A finding beside what is asked for."""

    what: str
    found: float
    """Percent."""
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        return (self.least is None or self.found >= self.least) and (self.most is None or self.found <= self.most)

    @property
    def asked(self) -> str:
        return f"at least {self.least:g} %" if self.least is not None else f"at most {self.most:g} %"

    def __str__(self) -> str:
        return f"| {self.what} | {self.percent} | {self.asked} | {MET if self.met else MISSED} |"

    @property
    def percent(self) -> str:
        return f"{self.found:.1f} %" if self.most is None else f"{self.found:.2f} %"


def page(study: Study) -> str:
    """The page as Markdown."""
    own = study.rates[0].peer
    alarms, powers = _alarm_lines(study, own), _power_lines(study, own)
    parts = [
        _head(study), _method(), _judged("False alarms", _ALARMS, alarms),
        _judged("Power that is asked for", _POWER, powers),
        _scale(study), _tables(study, own), _short(study, own), _limit(study, own), _peers(study, own),
        _left_out(study),
        _misses(study, [*alarms, *powers]),
    ]  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


_ALARMS = (
    "Series without any step in which some value was flagged as slower. Sessions of 1 % that the detector is not told "
    "of are judged like the others; abstaining counts as no flag."
)
_POWER = (
    "The last 1, 3 and 10 values are 5 % more (at a fifth of the noise a fifth of that, in logarithms); counted are "
    "series with an upward flag within three commits of the step. Sessions begin every ten commits, so that the step "
    "of ten commits begins with one."
)


def _head(study: Study) -> Iterator[str]:
    yield "# What the detector of steps sees, and what it takes for one"
    yield ""
    yield from _wrapped(
        "Written by `python -m fiabench.evidence.detector --write docs/detector.md`, which runs everything below: "
        "change the code, not this page. All series are simulated, value = 100 exp(noise), with the detector as it "
        "ships and one setting for everything."
    )
    sizes = study.sizes
    yield ""
    yield from _wrapped(
        f"- series: {sizes.nulls} to each rate of false alarms, {sizes.asked} to each power that is asked for, "
        f"{sizes.others} to each other, {sizes.peers} to each rate of another detector"
    )
    yield f"- commit {study.commit}; took {study.seconds / 60:.1f} minutes"
    yield ""


def _method() -> Iterator[str]:
    yield "## How it decides"
    yield ""
    for text in (
        "A step is flagged where it explains the series better, by 5 nats of likelihood, than everything else that "
        "noise does: independent noise; noise that follows its last value, weakly to strongly; slow noise beneath "
        "quick; a drift; heavy tails, on both sides or mostly upwards; two modes; and with the sessions known, an "
        "offset that each session has. None of them is chosen: the likelihoods of all are summed, with and without "
        "the step, each less a cost. Sizes of noise and step are the series' own, so the scale of the logarithms "
        "changes nothing.",
        "Several steps are looked for one after the other and then judged each beside the others. A step older than "
        "ten commits has to explain more: it would have been told of when it was new. Where levels that keep changing "
        "explain a series, or what is left of it without its step, nearly as well, the detector abstains and asks for "
        "the sessions' identity or a reference case, and it does so below eight values.",
        "Beside that the best division into levels is taken as a whole, for steps that are many times the noise: young "
        "histories have too few values for a search that goes step by step, and several steps hide each other from it, "
        "as slow noise or a drift explains them as well as one or two of them. Each of its steps has to gain 10 nats "
        "among 8 values, 26 among 48 and 87 among 320, and a part of that over a straight line, so that a drift is "
        "none. Where nobody tells the sessions, several such levels make the detector abstain.",
        "Over many cases the chance of each is taken from its nats (a likelihood ratio of x is reached by noise once "
        "in x at most), and the false discovery rate is bounded at 5 % after Benjamini and Hochberg; `history.py "
        "detect` judges each series by itself unless `--together` is given.",
    ):
        yield from _wrapped(text)
        yield ""


def _judged(title: str, words: str, lines: Iterable[Line]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from _wrapped(words)
    yield ""
    yield "| what | found | target | verdict |"
    yield "|---|---|---|---|"
    yield from map(str, lines)
    yield ""


def _alarm_lines(study: Study, own: str) -> list[Line]:
    return [
        Line(
            f"{kind.name}, n = {count}{_scaled(scale)}",
            _find(study, own, kind, count, scale).percent,
            most=MOST_FALSE_ALARMS,
        )
        for kind in KINDS
        for count in LENGTHS
        for scale in SCALES
    ]


def _power_lines(study: Study, own: str) -> list[Line]:
    lines = []
    for kind in KINDS:
        for count in LENGTHS:
            for scale in SCALES:
                for age, asked in zip(ASKED_AGES, kind.asked or ()):
                    found = _find(study, own, kind, count, scale, ASKED_STEP, age).percent
                    lines.append(Line(f"{kind.name}, n = {count}{_scaled(scale)}, {_commits(age)}", found, least=asked))
    for count in LENGTHS:
        for age, least in _SMALL_STEP.items():
            found = _find(study, own, KINDS[0], count, SCALES[0], 0.03, age).percent
            lines.append(Line(f"{KINDS[0].name}, n = {count}, +3 %, {_commits(age)}", found, least=least))
    return lines


def _scale(study: Study) -> Iterator[str]:
    different, total = study.scaled
    yield "## Free of scale"
    yield ""
    yield from _wrapped(
        f"The logarithms of {total} series of every kind, with a step and without, were multiplied by 0.2 or 5: the "
        f"flags of {different} changed."
    )
    yield ""


def _tables(study: Study, own: str) -> Iterator[str]:
    yield "## Power by size and age of the step"
    yield ""
    yield f"Percent, {', '.join(map(str, AGES))} commits from the step on."
    yield ""
    heads = [f"+{100 * step:.0f} %" for step in STEPS]
    yield f"| noise | n | {' | '.join(heads)} |"
    yield f"|---|---|{'---|' * len(STEPS)}"
    for kind in KINDS:
        for count in LENGTHS:
            cells = [_row(study, own, kind, count, step) for step in STEPS]
            yield f"| {kind.name} | {count} | {' | '.join(cells)} |"
    yield ""


def _row(study: Study, own: str, kind: Kind, count: int, step: float) -> str:
    return " ".join(f"{_find(study, own, kind, count, SCALES[0], step, age).percent:.0f}" for age in AGES)


def _short(study: Study, own: str) -> Iterator[str]:
    yield "## Short series"
    yield ""
    yield from _wrapped(
        f"Of {', '.join(map(str, SHORT))} values, percent of series: false alarms / +{100 * SHORT_STEP:.0f} % seen "
        f"after {SHORT_AGE} commits. Nothing is asked for here. Levels of sessions that the detector is not told of "
        "are steps as far as so few values show: tell it the sessions, as histories do by themselves."
    )
    yield ""
    yield f"| noise | {' | '.join(f'n = {count}' for count in SHORT)} |"
    yield f"|---|{'---|' * len(SHORT)}"
    for kind in KINDS:
        cells = []
        for count in SHORT:
            alarms = _find(study, own, kind, count, SCALES[0]).percent
            seen = _find(study, own, kind, count, SCALES[0], SHORT_STEP, SHORT_AGE).percent
            cells.append(f"{alarms:.1f} / {seen:.0f}")
        yield f"| {kind.name} | {' | '.join(cells)} |"
    yield ""


def _limit(study: Study, own: str) -> Iterator[str]:
    yield "## The distance to the limit"
    yield ""
    yield from _wrapped(
        "Gaussian noise, n = 60. The best possible test here is that of the greatest likelihood ratio, with 1 % false "
        "alarms: it knows the noise, but neither the level nor the place nor the size of the step. The detector has "
        "to find out about the noise, too, and to rule out every other kind. Beside a drift: the same test where the "
        "size of the noise is not known and a straight line is no step, which is two of the things that the detector "
        f"has to do; it has to find the step within {NEAR} commits, as the detector has. The detector looks for new "
        "steps rather than for old ones, and so sees more of them, and of steps of 20 commits in few values less."
    )
    yield ""
    yield f"| noise | step | best possible, {', '.join(map(str, AGES))} commits | beside a drift | the detector |"
    yield "|---|---|---|---|---|"
    for noise, step, *powers in study.limits:
        kind = KINDS[0] if noise == 0.01 else KINDS[1]
        best, beside = (" ".join(f"{100 * power:.0f}" for power in of_ages) for of_ages in powers)
        seen = _row(study, own, kind, 60, step)
        yield f"| {100 * noise:.0f} % | +{100 * step:.0f} % | {best} | {beside} | {seen} |"
    yield ""
    yield from _wrapped(
        "Sessions of 1 % that are told, n = 60, and a step of 5 % that begins with the last of the six: a t test of "
        "just this place, with all false alarms spent on it, sees "
        f"{100 * study.newest_session:.0f} %. More takes knowing by how much sessions may differ at most."
    )
    yield ""


def _peers(study: Study, own: str) -> Iterator[str]:
    yield "## Beside others"
    yield ""
    yield from _wrapped(
        "On the same series: false alarms, then power for +5 % after 1, 3 and 10 commits, percent, as each ships. A "
        "power says little where false alarms are many. `ruptures` is PELT over the mean with a penalty of 3 log n "
        "variances of the neighbours' differences; as segmentation it was tried and left out, as a sum over kinds of "
        "noise decides here and not a penalty: one penalty for all kinds gives the alarms below."
    )
    yield ""
    names = list(dict.fromkeys(rate.peer for rate in study.rates))
    yield f"| noise | n | {' | '.join(names)} |"
    yield f"|---|---|{'---|' * len(names)}"
    for kind in KINDS:
        if kind.told:
            continue
        for count in LENGTHS:
            cells = []
            for name in names:
                alarms = _find(study, name, kind, count, SCALES[0]).percent
                seen = [_find(study, name, kind, count, SCALES[0], ASKED_STEP, age).percent for age in ASKED_AGES]
                cells.append(f"{alarms:.1f}: " + " ".join(f"{percent:.0f}" for percent in seen))
            yield f"| {kind.name} | {count} | {' | '.join(cells)} |"
    yield ""


def _left_out(study: Study) -> Iterator[str]:
    yield "## What is not here"
    yield ""
    if not study.with_otava:
        yield from _wrapped(
            "- Apache Otava: no environment with it was named. It asks for other versions of numpy than this project "
            "is tested with; `--otava PYTHON` takes the Python of an environment of its own (the extra `otava`)."
        )
    else:
        yield from _wrapped(
            "- Apache Otava ran in an environment of its own (the extra `otava`): it asks for other versions of numpy "
            "than this project is tested with."
        )
    yield from _wrapped("- Public labelled series: none was at hand under a licence that allows them here.")
    yield ""


def _misses(study: Study, lines: Iterable[Line]) -> Iterator[str]:
    missed = [line for line in lines if not line.met]
    if not missed:
        return
    yield "## What misses its target"
    yield ""
    for line in missed:
        yield from _wrapped(f"- {line.what}: {line.percent}, asked for {line.asked}.{_why(study, line)}")
    yield ""


def _why(study: Study, line: Line) -> str:
    """What is known to keep it from its target."""
    ten = AGES.index(10)
    if "told, n = 60" in line.what and line.least is not None and "10 commits" in line.what:
        return (
            " Why: the step begins with a session, and the five sessions before it are all that says how sessions "
            f"differ. A t test of just this place sees {100 * study.newest_session:.0f} %."
        )
    if "Gaussian, 2 %, n = 60" in line.what and "10 commits" in line.what:
        beside = next(beside for noise, step, _, beside in study.limits if (noise, step) == (0.02, ASKED_STEP))
        return (
            " Why: a drift explains a part of such a step. The test of the greatest likelihood ratio that rules one "
            f"out, with all places alike to it, sees {100 * beside[ten]:.0f} %."
        )
    if line.least == 100:
        return " The 100 that are asked for are rounded: a few series of a thousand are no more than chance."
    if "not told" in line.what or "drift" in line.what:
        return (
            " Why: six sessions of which five happen to lie close together are a step to whoever is not told of them, "
            "and levels that keep changing explain a drift with a step: each can be had at the other's cost."
        )
    return ""


def _find(study: Study, peer: str, kind: Kind, count: int, scale: float, step: float = 0.0, age: int = 0) -> Rate:
    wanted = (peer, kind.name, count, scale, step, age)
    return next(rate for rate in study.rates if rate[:6] == wanted)


def _scaled(scale: float) -> str:
    return "" if scale == 1 else ", a fifth of it"


def _commits(age: int) -> str:
    return "1 commit" if age == 1 else f"{age} commits"


def _wrapped(text: str) -> list[str]:
    indent = "  " if text.startswith("- ") else ""
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
