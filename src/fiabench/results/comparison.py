"""Two sides, each of one run directory or of several that are its sessions, case by case: what changed from A to B.

Everything that has samples is judged by ``stats/compare.py``; all metrics together are one family there, so that the
part of false alarms is bounded over everything that is shown. A number without samples (peak memory, MFU) is set beside
its like and not judged.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from fiabench.cases.errors import InputError, Problem, nearest
from fiabench.cases.filters import Filter
from fiabench.results import units, words
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import METRICS, series
from fiabench.results.sessions import over_sessions
from fiabench.results.sides import Fact, Side
from fiabench.stats.compare import FASTER, NO_DIFFERENCE, SLOWER, UNDECIDED, Difference, Pair, compare_groups
from fiabench.stats.sessions import WITHIN

DEFAULT_METRICS = ("total", "kernel", "all_to_all", "peak_memory")
MORE, LESS, EQUAL = "more", "less", "equal"
_ORDER = (SLOWER, FASTER, UNDECIDED, NO_DIFFERENCE)
_MARKED = {"oversubscribed": "oversubscribed", "host_bound": "host-bound", "emulated": "emulated operator"}
"""Entries of a measurement's `timing` that make its number doubtful, in words."""
_AS_TIMED = {"method": "timed by", "world_size": "ranks that ran:"}
"""Entries of `timing` in which the sides should not differ."""


@dataclass(frozen=True)
class Row:
    """One metric of one case on both sides."""

    id: str
    label: str
    metric: str
    unit: str
    a: float
    b: float
    """Over the sessions of a side, in ``unit``."""
    verdict: str
    """As in :class:`Difference`; of a metric that is no duration `more` and `less` for slower and faster; of a number
    without samples `more`, `less` or `equal`."""
    why: str
    notes: tuple[str, ...]
    """What makes either side's numbers doubtful."""
    difference: Difference | None
    """None of a number without samples, and where a median of nothing has no ratio."""

    @property
    def worse(self) -> bool:
        """Whether B takes longer for certain."""
        return self.difference is not None and self.difference.verdict == SLOWER


class Ending(NamedTuple):
    """How the sessions of one side ended that did not measure a case."""

    status: str
    """Of the first of them."""
    reason: str
    sessions: int
    of: int
    """How many sessions ended so, of those that the side has."""


class Failure(NamedTuple):
    """A case of both sides that a session of either did not measure."""

    id: str
    label: str
    a: Ending | None
    """None where every session measured it."""
    b: Ending | None
    newly: bool
    """Whether it failed in B, while every session of A measured it."""


@dataclass(frozen=True)
class Comparison:
    """All that is to be said of A and B."""

    a: Side
    b: Side
    relevant: float
    metrics: tuple[str, ...]
    environment: list[Fact]
    cautions: list[str]
    rows: list[Row]
    """Slower first, then faster, undecided and no difference, each by size; then what is not judged."""
    only_in_a: list[str]
    only_in_b: list[str]
    """Ids."""
    failed: list[Failure]
    labels: dict[str, str]
    """Of every case, by id."""

    @property
    def cases(self) -> dict[str, str]:
        """Each judged case, by id, with the first of its verdicts in the order of the rows."""
        found: dict[str, str] = {}
        for row in self.rows:
            if row.difference is not None:
                found.setdefault(row.id, row.difference.verdict)
        return found

    @property
    def worse(self) -> bool:
        """Whether anything takes longer, or fails that did not."""
        return any(row.worse for row in self.rows) or any(failure.newly for failure in self.failed)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: bounds that are not finite are None."""
        verdicts = list(self.cases.values())
        return {
            "a": [str(run.path) for run in self.a.runs],
            "b": [str(run.path) for run in self.b.runs],
            "simulated": self.a.simulated,
            "relevant": self.relevant,
            "metrics": list(self.metrics),
            "environment": [fact._asdict() for fact in self.environment],
            "cautions": self.cautions,
            "rows": [_finite(asdict(row)) for row in self.rows],
            "only_in_a": self.only_in_a,
            "only_in_b": self.only_in_b,
            "failed": [
                failure._asdict() | {side: ending and ending._asdict() for side, ending in failure._asdict().items()
                                     if side in ("a", "b")}
                for failure in self.failed
            ],
            "cases": {"judged": len(verdicts)} | {verdict: verdicts.count(verdict) for verdict in _ORDER},
            "worse": self.worse,
        }  # fmt: skip


def check_metrics(names: Iterable[str]) -> None:
    """Raises InputError where there is no such metric."""
    problems = [
        Problem("", None, None, f"--metric {name}", repr(name), ", ".join(METRICS), nearest(name, METRICS))
        for name in names
        if name not in METRICS
    ]
    if problems:
        raise InputError(problems)


def compare_sides(a: Side, b: Side, metrics: Sequence[str], relevant: float, wanted: Filter) -> Comparison:
    """B against A in ``metrics``, or in :data:`DEFAULT_METRICS` where none are named, for the ``wanted`` cases.

    ``relevant`` is the relative difference that matters. Raises InputError where the sides have no such case in common,
    or no case has a metric that was asked for.
    """
    check_metrics(metrics)
    of_a, of_b = (
        {name: lines for name, lines in side.lines.items() if wanted(words.described(lines[0]))} for side in (a, b)
    )
    common = [name for name in of_a if name in of_b]
    if not common:
        kept = " that --filter keeps" if any(name in b.lines for name in a.lines) else ""
        raise InputError.plain(f"{a} and {b}: have no case in common{kept}")
    labels = _labels({name: lines[0] for name, lines in (of_b | of_a).items()})
    cases = [_Matched(name, labels[name], of_a[name], of_b[name]) for name in common]
    chosen = tuple(dict.fromkeys(metrics)) or DEFAULT_METRICS
    missing = [name for name in metrics if not any(case.has(name) for case in cases)]
    if missing:
        raise InputError.plain(f"--metric {missing[0]}: no case has it on both sides; allowed: {_present(cases)}")
    return Comparison(
        a,
        b,
        relevant,
        chosen,
        a.differences(b),
        a.cautions(b),
        _rows(cases, chosen, relevant),
        [name for name in of_a if name not in of_b],
        [name for name in of_b if name not in of_a],
        [failure for case in cases if (failure := case.failure()) is not None],
        labels,
    )


class _Matched:
    """A case that both sides have."""

    def __init__(self, name: str, label: str, a: list[Measurement], b: list[Measurement]) -> None:
        self.name, self.label, self.ended = name, label, (a, b)
        self.measured = tuple([line for line in side if line.measured] for side in self.ended)
        both = all(self.measured)
        self.merged = tuple(over_sessions(side)[0] for side in self.measured) if both else ()
        self._series = tuple([series(line.point, line.samples) for line in side] for side in self.measured)

    def has(self, metric: str) -> bool:
        return bool(self.merged) and all(metric in side.metrics for side in self.merged)

    def sessions(self, metric: str) -> Pair | None:
        """Each side's samples by session; None of a metric that is one number a session."""
        found = [[of_line[metric] for of_line in side if metric in of_line] for side in self._series]
        return (found[0], found[1]) if all(found) else None

    def has_among(self, metric: str, others: Sequence[str]) -> bool:
        """Whether the samples of ``metric`` are also those of one of ``others``, as a lone kernel's are the total's."""
        return any(
            all(
                other in of_line and np.array_equal(of_line[metric], of_line[other])
                for side in self._series
                for of_line in side
            )
            for other in others
        )

    def failure(self) -> Failure | None:
        a, b = map(_ending, self.ended)
        if a is None and b is None:
            return None
        newly = a is None and any(line.failed for line in self.ended[1])
        return Failure(self.name, self.label, a, b, newly)

    def notes(self) -> tuple[str, ...]:
        """What makes the numbers of either side doubtful, each once, with the side that it is of."""
        doubts = [dict.fromkeys(doubt for line in side for doubt in _doubts(line)) for side in self.measured]
        a, b = doubts
        found = [f"A and B: {doubt}" for doubt in a if doubt in b]
        found += [f"A: {doubt}" for doubt in a if doubt not in b] + [f"B: {doubt}" for doubt in b if doubt not in a]
        for name, said in _AS_TIMED.items():
            found += self._unlike(said, [[line.timing.get(name) for line in side] for side in self.measured])
        found += self._unlike("threads:", [[line.case.get("threads") for line in side] for side in self.measured])
        return tuple(found)

    @staticmethod
    def _unlike(said: str, sides: list[list[Any]]) -> list[str]:
        a, b = (", ".join(map(str, dict.fromkeys(values))) for values in sides)
        return [] if a == b else [f"{said} {a} in A and {b} in B"]


def _doubts(line: Measurement) -> Iterator[str]:
    if line.status == "unsettled":
        yield f"unsettled: {words.essence(line.reason)}" if line.reason else "unsettled"
    yield from line.flags
    yield from (said for name, said in _MARKED.items() if line.timing.get(name))


def _ending(lines: list[Measurement]) -> Ending | None:
    """Of a failure, or else of what was left out; None where every session measured the case."""
    ended = [line for line in lines if line.failed] or [line for line in lines if not line.measured]
    return Ending(ended[0].status, ended[0].reason, len(ended), len(lines)) if ended else None


def _rows(cases: list[_Matched], metrics: Sequence[str], relevant: float) -> list[Row]:
    groups: dict[str, list[tuple[_Matched, Pair]]] = defaultdict(list)
    beside = []
    for metric in metrics:
        for case in cases:
            if not case.has(metric):
                continue
            pair = case.sessions(metric)
            if pair is not None and case.has_among(metric, metrics[: metrics.index(metric)]):
                continue
            if pair is None:
                beside.append(_beside(case, metric))
            elif all((samples > 0).mean() > 0.5 for side in pair for samples in side):
                groups[metric].append((case, pair))
            else:
                beside.append(_beside(case, metric, "a session's median is zero, which has no ratio"))
    judged = compare_groups([[pair for _, pair in group] for group in groups.values()], relevant)
    found = [
        (difference, _row(case, metric, difference))
        for (metric, group), differences in zip(groups.items(), judged)
        for (case, _), difference in zip(group, differences)
    ]
    found.sort(key=lambda pair: _rank(pair[0]))
    return [row for _, row in found] + sorted(beside, key=lambda row: -_size(row.a, row.b))


def _rank(difference: Difference) -> tuple[int, float]:
    return _ORDER.index(difference.verdict), -abs(math.log(difference.ratio))


def _size(a: float, b: float) -> float:
    """How far the numbers are apart, relative to the larger one."""
    return abs(b - a) / max(abs(a), abs(b)) if a != b else 0.0


def worded(verdict: str, metric: str) -> str:
    """`more` and `less` for `slower` and `faster` where the metric is no duration, the other way round where higher is
    better; any other verdict as it is."""
    declared = METRICS.get(metric)
    if declared is None or declared.unit == "s":
        return verdict
    worse, better = (LESS, MORE) if declared.more_is_better else (MORE, LESS)
    return {SLOWER: worse, FASTER: better}.get(verdict, verdict)


def _row(case: _Matched, metric: str, difference: Difference) -> Row:
    verdict = worded(difference.verdict, metric)
    notes = (*case.notes(), *([WITHIN] if difference.scope == WITHIN else []))
    return Row(case.name, case.label, metric, *_values(case, metric), verdict, difference.why, notes, difference)


def _beside(case: _Matched, metric: str, why: str = "") -> Row:
    """A row that is not judged: of a number without samples, or, with ``why``, of samples that have no ratio."""
    unit, a, b = _values(case, metric)
    verdict = UNDECIDED if why else EQUAL if a == b else MORE if b > a else LESS
    said = why or "a number without samples: not judged"
    return Row(case.name, case.label, metric, unit, a, b, verdict, said, case.notes(), None)


def _values(case: _Matched, metric: str) -> tuple[str, float, float]:
    a, b = (side.metrics[metric]["value"] for side in case.merged)
    return METRICS[metric].unit, a, b


def _present(cases: list[_Matched]) -> str:
    found = [name for name in METRICS if any(case.has(name) for case in cases)]
    return ", ".join(found) or "none, as no case was measured on both sides"


def _labels(lines: dict[str, Measurement]) -> dict[str, str]:
    """A few words for each case, by id: its length or size, its degrees, and what else tells it from the others."""
    cases = {name: words.described(line) for name, line in lines.items()}
    lengths = words.Lengths.of([case for case in cases.values() if case.measure != "exchange"])
    fields = {name: field for name, field in words.fields(lengths).items() if name not in words.SHARDING}
    differing = [fields[name] for name in words.varying(cases.values(), fields)]
    labels = {}
    for name, case in cases.items():
        length = units.size(case.exchange_bytes) if case.measure == "exchange" else f"{lengths.length(case):,}"
        variant = words.variant_names(differing, [field.read(case) for field in differing]) if differing else []
        labels[name] = " ".join([length, case.head_shard, *variant])
    shared = {label for label in labels.values() if list(labels.values()).count(label) > 1}
    return {name: name if label in shared else label for name, label in labels.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
