"""What is wrong between the values of a sweep: shards that do not divide, limits of the operator, points given twice.

Every check looks at the distinct combinations of the few axes that matter to it, never at every point, and only where
one fails at what the exclusions leave of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, product
from operator import itemgetter
from typing import Any

from fiabench.cases import judges
from fiabench.cases.case import Case
from fiabench.cases.errors import Problem
from fiabench.cases.expand import (
    ATTENTION,
    DEFAULTS,
    EXCHANGE,
    Point,
    buffer_bytes,
    excluded_because,
    expand,
)
from fiabench.cases.judges import Fault
from fiabench.cases.resolve import Origins
from fiabench.cases.source import Path_
from fiabench.cases.sweep import BufferOf, Factor, Sweep

MAX_POINTS = 100_000_000


def problems(sweep: Sweep, origins: Origins) -> list[Problem]:
    """Everything that keeps the sweep from being expanded, each distinct problem once."""
    if sweep.points > MAX_POINTS:
        found = f"{sweep.points:,} points"
        return [origins.document.problem(("axes",), found, f"at most {MAX_POINTS:,}", of_key=True)]
    checker = _Checker(sweep, origins)
    checker.repeated_values()
    checker.combinations()
    checker.repeated_points()
    return checker.problems


class _Checker:
    def __init__(self, sweep: Sweep, origins: Origins) -> None:
        self.sweep = sweep
        self.origins = origins
        self.problems: list[Problem] = []

    def _report(self, path: Path_, fault: Fault) -> None:
        problem = self.origins.document.problem(path, fault.found, fault.allowed, fault.hint)
        if problem not in self.problems:
            self.problems.append(problem)

    # --- the same thing twice ---------------------------------------------------------------------------------------

    def repeated_values(self) -> None:
        """An axis takes no value twice, a group no combination."""
        for factor in self.sweep.factors:
            first: dict[tuple[Any, ...], int] = {}
            reported: set[Path_] = set()
            for index, row in enumerate(factor.rows):
                if first.setdefault(row, index) == index:
                    continue
                name = factor.names[0]
                path = self.origins.of(name, index)
                if path not in reported:
                    reported.add(path)
                    mark = self.origins.document.mark(self.origins.of(name, first[row]))
                    words = " ".join(f"{key} {_word(value)}" for key, value in zip(factor.names, row))
                    found = f"{words} again, first on line {mark.line}" if mark else f"{words} again"
                    self._report(path, Fault(name, found, "every value once"))

    def repeated_points(self) -> None:
        """No point twice: by `same` and the number it stands for, or by an included point."""
        for name, like in (("seq_len_kv", "seq_len_q"), ("kv_heads", "heads")):
            self._same_twice(name, like)
        seen: dict[Any, int] = {}
        for index, point in zip(self.origins.include, self.sweep.include):
            one = _sweep_of(self.sweep, [Factor(tuple(point), [tuple(point.values())], True)], rules=False)
            case = next(_outcomes(one), None)
            if case is None:
                continue
            if case in seen:
                mark = self.origins.document.mark(("include", seen[case]))
                where = f", first on line {mark.line}" if mark else ""
                self._report(("include", index), Fault("", f"this point again{where}", "every point once"))
            elif any(other == case for other in _outcomes(_sweep_of(self.sweep, _near(self.sweep, point)))):
                self._report(
                    ("include", index), Fault("", "a point that axes and zip give already", "every point once")
                )
            seen.setdefault(case, index)

    def _same_twice(self, name: str, like: str) -> None:
        factors = {factor.names: factor for factor in self.sweep.factors}
        own = next((factor for factor in factors.values() if name in factor.names), None)
        if own is None:
            return
        place = own.names.index(name)
        numbers = {row[place] for row in own.rows} - {"same"}
        if not numbers or all(row[place] != "same" for row in own.rows):
            return
        other = next((factor for factor in factors.values() if like in factor.names), None)
        if other is own:
            likes: list[Any] = [None]
        elif other is None:
            likes = [self.sweep.constants[like]]
        else:
            likes = [value for row in other.rows if (value := row[other.names.index(like)]) in numbers]
        for value in likes:
            seen: set[tuple[Any, ...]] = set()
            for index, row in enumerate(own.rows):
                target = row[own.names.index(like)] if other is own else value
                key = (*row[:place], target if row[place] == "same" else row[place], *row[place + 1 :])
                if key in seen:
                    found = f"{row[place]} where {like} is {target} and `same` is given too: the same point twice"
                    self._report(self.origins.of(name, index), Fault(name, found, "every point once"))
                seen.add(key)

    # --- combinations that cannot be -------------------------------------------------------------------------------

    def combinations(self) -> None:
        """Shards that do not divide, where the sweep calls that an error, and what the operator refuses anywhere."""
        sweep = self.sweep
        strict = sweep.indivisible == "error"
        rigid = sweep.indivisible != "exclude"
        if sweep.measure == "exchange":
            self._each(("ulysses",), judges.alone)
            if rigid:
                self._each(EXCHANGE, judges.undivided_buffer)
            return
        self._each(("op", "against"), judges.against_itself)
        self._each(("heads", "kv_heads"), judges.kv_heads)
        self._each(("op", "heads", "kv_heads"), judges.fia_heads)
        self._each(("op", "heads", "tp", "ulysses"), judges.fia_rank_heads)
        self._each(("op", "head_dim", "seq_len_q"), judges.fia_head_dim)
        self._each(("op", "seq_len_q", "seq_len_kv"), judges.fia_tokens)
        if rigid:
            divides = judges.undivided_heads if strict else judges.unpaddable_heads
            self._each(("heads", "kv_heads", "tp", "ulysses"), divides)
            if sweep.measure == "ulysses":
                self._each(("batch", "cfg"), judges.undivided_batch)
        if strict and sweep.measure == "ulysses":
            self._each(("seq_len_q", "ulysses", "ring"), judges.undivided_queries)
            self._each(("seq_len_kv", "ulysses", "ring"), judges.undivided_keys)

    def _each(self, names: tuple[str, ...], judge: Callable[..., Fault | None]) -> None:
        """Ask ``judge`` about every combination of the axes' values, and report what it finds where it is."""
        involved = [factor for factor in self.sweep.factors if set(factor.names) & set(names)]
        tables = [_distinct(factor, names) for factor in involved]
        fixed = [name for name in names if name in self.sweep.constants]
        swept = [name for factor in involved for name in factor.names if name in names]
        if len(fixed) + len(swept) < len(names):
            return  # an axis that only included points have
        constants = tuple(self.sweep.constants[name] for name in fixed)
        arrange: Any = itemgetter(*map((fixed + swept).index, names)) if len(names) > 1 else lambda flat: flat
        reported: set[tuple[Path_, Any]] = set()
        for rows in product(*tables):
            values = arrange(constants + tuple(chain.from_iterable(rows)))
            fault = judge(*values)
            if fault is None:
                continue
            place = names.index(fault.key)
            row = next((tables[i][picked] for i, picked in enumerate(rows) if fault.key in involved[i].names), None)
            path = self.origins.of(fault.key, row)
            # Of the many values of a range, the first is enough for each combination of the others.
            key = (path, values[:place] + values[place + 1 :])
            if key not in reported and self._survives(dict(zip(names, values))):
                reported.add(key)
                self._report(path, fault)
        for index, point in zip(self.origins.include, self.sweep.include):
            fault = judge(*(point[name] for name in names))
            if fault is not None:
                given = ("include", index, fault.key)
                self._report(given if given in self.origins.document.values else given[:2], fault)

    def _survives(self, values: dict[str, Any]) -> bool:
        """Whether the exclusions leave any point with these values."""
        if not self.sweep.exclude:
            return True
        ruled = {name for rule in self.sweep.exclude for name in rule.when}
        ruled |= {"seq_len_q"} if "seq_len_kv" in ruled else set()
        ruled |= {"heads"} if "kv_heads" in ruled else set()
        factors = []
        for factor in self.sweep.factors:
            rows = [
                row
                for row in factor.rows
                if all(values.get(name, value) == value for name, value in zip(factor.names, row))
            ]
            if not set(factor.names) & ruled:
                rows = rows[:1]
            factors.append(Factor(factor.names, rows, True))
        order = EXCHANGE if self.sweep.measure == "exchange" else ATTENTION
        reason = excluded_because(self.sweep.exclude)
        names = [name for factor in factors for name in factor.names]
        for survivor in product(*(factor.rows for factor in factors)):
            given = {
                **DEFAULTS,
                **self.sweep.constants,
                **dict(zip(names, [value for row in survivor for value in row])),
            }
            point = _canonical(self.sweep.measure, {name: given[name] for name in order})
            if reason is None or not reason(point):
                return True
        return False


def _canonical(measure: str, values: dict[str, Any]) -> Point:
    """The values as an exclusion sees them."""
    if measure == "exchange":
        size = values["exchange_bytes"]
        if isinstance(size, BufferOf):
            values["exchange_bytes"] = buffer_bytes(size, values["ulysses"], values["dtype"])[0]
    else:
        if values["seq_len_kv"] == "same":
            values["seq_len_kv"] = values["seq_len_q"]
        if values["kv_heads"] == "same":
            values["kv_heads"] = values["heads"]
        if measure == "kernel" or values["ulysses"] == 1:
            values["exchange"] = "none"
    return Point(**values)


def _distinct(factor: Factor, names: Sequence[str]) -> dict[tuple[Any, ...], int]:
    """The distinct values that a factor gives the axes of interest, each with the first row that does."""
    places = [index for index, name in enumerate(factor.names) if name in names]
    first: dict[tuple[Any, ...], int] = {}
    for index, row in enumerate(factor.rows):
        first.setdefault(tuple(row[place] for place in places), index)
    return first


def _sweep_of(sweep: Sweep, factors: list[Factor], *, rules: bool = True) -> Sweep:
    """The sweep with other factors, nothing included, and shards that do not divide left out."""
    names = {name for factor in factors for name in factor.names}
    return Sweep(
        name=sweep.name,
        about=sweep.about,
        measure=sweep.measure,
        model=sweep.model,
        factors=tuple(factors),
        constants={name: value for name, value in sweep.constants.items() if name not in names},
        replicas=sweep.replicas,
        indivisible="pad" if sweep.indivisible == "pad" else "exclude",
        exclude=sweep.exclude if rules else (),
    )


def _outcomes(sweep: Sweep) -> Iterator[Case]:
    return (found for found in expand(sweep) if isinstance(found, Case))


def _near(sweep: Sweep, point: dict[str, Any]) -> list[Factor]:
    """The sweep's factors with only the rows that could give this point."""
    free = {"exchange"} if sweep.measure == "kernel" or point.get("ulysses") == 1 else set()

    def fits(name: str, value: Any) -> bool:
        return name in free or "same" in (value, point[name]) or value == point[name] or isinstance(value, BufferOf)

    return [
        Factor(
            factor.names,
            [row for row in factor.rows if all(fits(name, value) for name, value in zip(factor.names, row))],
            factor.zipped,
        )
        for factor in sweep.factors
    ]


def _word(value: Any) -> str:
    return f"{value.seq_len_q} of {value.model}" if isinstance(value, BufferOf) else str(value)
