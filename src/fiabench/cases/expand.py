"""A sweep's points, one after the other: cases to measure, and points left out with the reason.

Everything streams, and what a point costs is a few tuple operations: a million cases take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, product
from operator import itemgetter
from typing import Any, NamedTuple

from fiabench.cases.axes import AXES
from fiabench.cases.case import DTYPE_BYTES, Case
from fiabench.cases.errors import InputError
from fiabench.cases.shards import pad_heads, shard_heads
from fiabench.cases.sweep import BufferOf, Factor, Rule, Sweep, Value
from fiabench.cases.variables import Variables, combinations


class Point(NamedTuple):
    """The axis values of a point, as they stand when it is decided whether it is a case."""

    op: str = "none"
    layout: str = "BNSD"
    dtype: str = "bf16"
    mask: str = "none"
    seq_len_q: int = 0
    seq_len_kv: int = 0
    batch: int = 1
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    tp: int = 1
    ulysses: int = 1
    exchange: str = "none"
    threads: int = 0
    inputs: str = "contiguous"
    kv_cache: str = "contiguous"
    ring: int = 1
    cfg: int = 1
    against: str = "none"
    cache: str = "hot"
    exchange_bytes: int = 0


class LeftOut(NamedTuple):
    """A point that is no case."""

    point: Point
    rule: str
    """`excluded` (a rule of the sweep) or `indivisible` (the shards do not divide it)."""
    reason: str


ATTENTION = Point._fields[:-1]
"""Axes of a sweep that measures attention, in the order of its raw points."""
DEFAULTS = {name: key.default for name, key in AXES.items() if key.default is not None}
"""The values of axes that a sweep has none for: those that mean nothing for what it measures."""
EXCHANGE = ("dtype", "ulysses", "threads", "exchange_bytes")
"""Axes of a sweep that measures exchanges alone, in the order of its raw points."""


def expand(sweep: Sweep) -> Iterator[Case | LeftOut]:
    """Every point of the sweep in order: the product, its last factor fastest, then the included points.

    Raises InputError at a point that cannot be divided where the sweep calls that an error; a sweep that
    :func:`~fiabench.cases.load.load_sweep` returned has none. Points that differ only in how they would exchange where
    nothing is exchanged are one point. Each is there once for every combination of the sweep's environment variables.
    """
    decide = _exchanges if sweep.measure == "exchange" else _attentions
    found = chain(decide(sweep, raw_points(sweep), sweep.exclude), decide(sweep, included(sweep), ()))
    return _with_variables(found, combinations(sweep.variables)) if sweep.variables else found


def _with_variables(found: Iterable[Case | LeftOut], settings: Sequence[Variables]) -> Iterator[Case | LeftOut]:
    for one in found:
        for variables in settings:
            yield one._replace(variables=variables) if isinstance(one, Case) else one


def raw_points(sweep: Sweep, factors: Sequence[Factor] | None = None) -> Iterator[tuple[Any, ...]]:
    """The product of ``factors`` (by default the sweep's own): a point's values in the order of the axes, and its echo.

    `same` is 0. The echo of a point is true where an earlier one differs from it in nothing but its exchange.
    """
    factors = sweep.factors if factors is None else factors
    if not all(factor.rows for factor in factors):
        return
    order = (*(EXCHANGE if sweep.measure == "exchange" else ATTENTION), "echo")
    constants: dict[str, Any] = {"echo": False, **DEFAULTS, **sweep.constants}
    tables: list[tuple[list[str], list[tuple[Any, ...]]]] = [([], [()])]
    tables += [_table(factor) for factor in factors]
    swept = [name for names, _ in tables for name in names]
    fixed = [name for name in order if name not in swept]
    first = tuple(_raw(constants[name]) for name in fixed)
    places = fixed + swept
    arrange: Callable[[tuple[Any, ...]], tuple[Any, ...]] = itemgetter(*map(places.index, order))
    *outer, inner = [rows for _, rows in tables]
    for rows in product(*outer):
        head = first + tuple(chain.from_iterable(rows))
        for row in inner:
            yield arrange(head + row)


def included(sweep: Sweep) -> Iterator[tuple[Any, ...]]:
    """The included points, as :func:`raw_points` has them."""
    order = EXCHANGE if sweep.measure == "exchange" else ATTENTION
    for point in sweep.include:
        yield (*(_raw(point[name] if name in point else DEFAULTS[name]) for name in order), False)


def _raw(value: Value) -> Any:
    return 0 if value == "same" else value


def _table(factor: Factor) -> tuple[list[str], list[tuple[Any, ...]]]:
    """A factor's names and raw rows; with the exchange among them, each row ends with its echo."""
    names, rows = list(factor.names), [tuple(map(_raw, row)) for row in factor.rows]
    if "exchange" not in names:
        return names, rows
    place, seen, marked = names.index("exchange"), set(), []
    for row in rows:
        others = row[:place] + row[place + 1 :]
        marked.append((*row, others in seen))
        seen.add(others)
    return [*names, "echo"], marked


class _Memo(dict[Any, Any]):
    """What a function says of each argument, asked once."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: Any) -> Any:
        value = self[key] = self._function(key)
        return value


def excluded_because(rules: Iterable[Rule]) -> Callable[[Sequence[Any]], str] | None:
    """The reason for which the first rule that holds leaves a point out, or ''; None where there are no rules.

    The function takes a point's values in the order of :class:`Point`.
    """
    tests = [
        (
            [
                (Point._fields.index(name), _Memo(lambda value, name=name, rule=rule: rule.holds(name, value)))  # type: ignore[misc]
                for name in rule.when
            ],
            rule.because,
        )
        for rule in rules
    ]
    if not tests:
        return None

    def reason(point: Sequence[Any]) -> str:
        for conditions, because in tests:
            for place, holds in conditions:
                if not holds[point[place]]:
                    break
            else:
                return because
        return ""

    return reason


def _attentions(sweep: Sweep, points: Iterable[tuple[Any, ...]], rules: Sequence[Rule]) -> Iterator[Case | LeftOut]:
    measure = sweep.measure
    alone = measure == "kernel"
    all_groups = sweep.replicas == "all" and not alone
    pads = sweep.indivisible == "pad"
    reason = excluded_because(rules)
    shards = _Memo(_padded_shards if pads else _shards)
    new = tuple.__new__
    for (
        op, layout, dtype, mask, q, kv, batch, heads, kv_heads, head_dim, tp, ulysses, exchange, threads,
        inputs, kv_cache, ring, cfg, against, cache, echo,
    ) in points:  # fmt: skip
        kv = kv or q
        kv_heads = kv_heads or heads
        if alone or ulysses == 1:
            if echo:
                continue
            exchange = "none"
        shard = shards[heads, kv_heads, tp, ulysses]
        because = why = ""
        ranks = ulysses * ring
        if shard.__class__ is str:
            why = shard
        elif not alone and not pads and (q % ranks or kv % ranks):
            why = undivided_tokens(q, kv, ulysses, ring)
        elif batch % cfg:
            why = f"cfg {cfg} does not divide batch {batch}"
        if reason or why:
            point = (
                op, layout, dtype, mask, q, kv, batch, heads, kv_heads, head_dim, tp, ulysses, exchange, threads,
                inputs, kv_cache, ring, cfg, against, cache,
            )  # fmt: skip
            because = reason(point) if reason else ""
            if because:
                yield LeftOut(Point(*point), "excluded", because)
                continue
            if why:
                yield _indivisible(sweep, Point(*point), why)
                continue
        replicas = "all" if all_groups and (tp > 1 or cfg > 1) else "one"
        fields = (
            measure, op, layout, dtype, mask, q, kv, batch, heads, kv_heads, head_dim, tp, ulysses,
            *shard, exchange, 0, replicas, threads, inputs, kv_cache, ring, cfg, against,
            cache, (),
        )  # fmt: skip
        yield new(Case, fields)  # Case(*fields) is this behind a function call, a quarter of a case's time


def _shards(key: tuple[int, int, int, int]) -> tuple[int, int] | str:
    try:
        return shard_heads(*key)
    except ValueError as error:
        return str(error)


def _padded_shards(key: tuple[int, int, int, int]) -> tuple[int, int] | str:
    try:
        return pad_heads(*key)
    except ValueError as error:
        return str(error)


def undivided_tokens(seq_len_q: int, seq_len_kv: int, ulysses: int, ring: int = 1) -> str:
    """The reason why the ranks of a sequence cannot shard it."""
    ranks = f"ulysses {ulysses} x ring {ring} does" if ring > 1 else f"ulysses {ulysses} does"
    if seq_len_q % (ulysses * ring):
        return f"{ranks} not divide {seq_len_q:,} tokens"
    return f"{ranks} not divide {seq_len_kv:,} key tokens"


def _indivisible(sweep: Sweep, point: Point, reason: str) -> LeftOut:
    if sweep.indivisible != "exclude":
        raise InputError.plain(
            f"{sweep.path or sweep.name}: {reason}; allowed: shards that divide, or indivisible: exclude"
        )
    return LeftOut(point, "indivisible", reason)


def _exchanges(sweep: Sweep, points: Iterable[tuple[Any, ...]], rules: Sequence[Rule]) -> Iterator[Case | LeftOut]:
    reason = excluded_because(rules)
    # Two presets may need the same bytes: they are one case. Plain sizes cannot meet unless a preset is among them.
    names = [factor for factor in sweep.factors if "exchange_bytes" in factor.names]
    presets = any(isinstance(value, BufferOf) for factor in names for row in factor.rows for value in row)
    seen: set[tuple[Any, ...]] = set()
    for dtype, ulysses, threads, size, _ in points:
        why = ""
        if isinstance(size, BufferOf):
            size, why = buffer_bytes(size, ulysses, dtype)
        if presets:
            key = (dtype, ulysses, threads, size)
            if key in seen:
                continue
            seen.add(key)
        point = Point(dtype=dtype, ulysses=ulysses, threads=threads, exchange_bytes=size)
        because = reason(point) if reason else ""
        if because:
            yield LeftOut(point, "excluded", because)
            continue
        why = why or undivided_bytes(size, ulysses, dtype)
        if why:
            yield _indivisible(sweep, point, why)
            continue
        yield Case(
            "exchange", "none", "BNSD", dtype, "none", 0, 0, 1, 0, 0, 0, 1, ulysses, 0, 0, "none", size, "one", threads
        )


def buffer_bytes(buffer: BufferOf, ulysses: int, dtype: str) -> tuple[int, str]:
    """Bytes that one of ``ulysses`` ranks exchanges for a preset, and the reason why it cannot, or ''."""
    size = buffer.seq_len_q * buffer.row * DTYPE_BYTES[dtype] // ulysses
    if buffer.heads % (buffer.tp * ulysses):
        ways = f"tp {buffer.tp} x ulysses {ulysses} does" if buffer.tp > 1 else f"ulysses {ulysses} does"
        return size, f"{ways} not divide the {buffer.heads} heads of {buffer.model}"
    if buffer.seq_len_q % ulysses:
        return size, f"ulysses {ulysses} does not divide {buffer.seq_len_q:,} tokens"
    return size, ""


def undivided_bytes(size: int, ulysses: int, dtype: str) -> str:
    """The reason why a group cannot exchange a buffer in equal parts of whole elements, or ''."""
    unit = ulysses * DTYPE_BYTES[dtype]
    return f"{size:,} bytes are no multiple of {unit} (ulysses {ulysses} x {dtype})" if size % unit else ""
