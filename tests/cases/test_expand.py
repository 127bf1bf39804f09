"""Expansion: against a brute-force product, and the order, names and reasons that users see."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiabench.cases.case import Case
from fiabench.cases.errors import InputError
from fiabench.cases.expand import LeftOut, expand
from fiabench.cases.load import load_sweep
from fiabench.cases.shards import ShardError, shard_heads
from fiabench.cases.sweep import Factor, Rule, Sweep

CHOICES: dict[str, list[Any]] = {
    "seq_len_q": [1, 2, 6, 8, 12, 24, 31],
    "seq_len_kv": ["same", 8, 12, 13],
    "batch": [1, 2, 3],
    "heads": [2, 4, 6, 12],
    "kv_heads": ["same", 1, 2, 3],
    "head_dim": [16, 32],
    "tp": [1, 2, 3],
    "ulysses": [1, 2, 3, 4],
    "dtype": ["bf16", "fp16"],
    "layout": ["BNSD", "BSND"],
    "mask": ["none", "causal"],
    "op": ["fia", "sdpa"],
    "exchange": ["separate", "packed"],
    "threads": [0, 1],
    "cache": ["hot", "cold"],
}
NAMES = list(CHOICES)
VALUES = st.lists(st.sampled_from(["1", "AIV"]), min_size=1, max_size=2, unique=True).map(tuple)
"""Of an environment variable."""


@st.composite
def sweeps(draw) -> Sweep:
    """Sweeps of a few axes, some of them zipped, with exclusions and included points. May hold anything but repeats."""
    names = draw(st.permutations(NAMES))
    single, zipped = draw(st.integers(0, 3)), draw(st.integers(0, 2))
    factors = []
    for name in names[:single]:
        values = draw(st.lists(st.sampled_from(CHOICES[name]), min_size=1, max_size=3, unique=True))
        factors.append(Factor((name,), [(value,) for value in values], False))
    if zipped:
        group = tuple(names[single : single + zipped])
        row = st.tuples(*(st.sampled_from(CHOICES[name]) for name in group))
        factors.append(Factor(group, draw(st.lists(row, min_size=1, max_size=3, unique=True)), True))
    constants = {name: draw(st.sampled_from(CHOICES[name])) for name in names[single + zipped :]}
    rules = []
    for _ in range(draw(st.integers(0, 2))):
        when: dict[str, Any] = {}
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)):
            numbers = [value for value in CHOICES[name] if isinstance(value, int)]
            if numbers and draw(st.booleans()):
                bounds = st.sampled_from(["below", "above", "at_least", "at_most"])
                when[name] = {draw(bounds): draw(st.sampled_from(numbers))}
            else:
                values = st.sampled_from([value for value in CHOICES[name] if value != "same"])
                when[name] = draw(st.lists(values, min_size=1, max_size=2))
        rules.append(Rule(when, f"rule {len(rules)}"))
    include = [{name: draw(st.sampled_from(CHOICES[name])) for name in NAMES} for _ in range(draw(st.integers(0, 2)))]
    return Sweep(
        name="drawn",
        about="Drawn by hypothesis.",
        measure=draw(st.sampled_from(["ulysses", "kernel"])),
        model="",
        factors=tuple(factors),
        constants=constants,
        replicas=draw(st.sampled_from(["one", "all"])),
        indivisible="exclude",
        exclude=tuple(rules),
        include=tuple(include),
        variables=draw(st.dictionaries(st.sampled_from(["B", "A_2"]), VALUES, max_size=2)),
    )


def by_hand(sweep: Sweep) -> list[Case | tuple[str, str]]:
    """The same as dictionaries, one point at a time, each with every setting of the variables."""
    named = [[(name, value) for value in values] for name, values in sweep.variables.items()]
    by_variables = [sorted(setting) for setting in itertools.product(*named)]
    return [
        found._replace(variables=tuple(setting)) if isinstance(found, Case) else found
        for found in without_variables(sweep)
        for setting in by_variables
    ]


def without_variables(sweep: Sweep) -> list[Case | tuple[str, str]]:
    points = []
    for rows in itertools.product(*(factor.rows for factor in sweep.factors)):
        point = dict(sweep.constants)
        for factor, row in zip(sweep.factors, rows):
            point.update(zip(factor.names, row))
        points.append((point, sweep.exclude))
    points += [(dict(point), ()) for point in sweep.include]
    found: list[Case | tuple[str, str]] = []
    seen_in_product = set()
    for point, rules in points:
        before = dict(point)
        if point["seq_len_kv"] == "same":
            point["seq_len_kv"] = point["seq_len_q"]
        if point["kv_heads"] == "same":
            point["kv_heads"] = point["heads"]
        if sweep.measure == "kernel" or point["ulysses"] == 1:
            point["exchange"] = "none"
            # The product's points that differ in their exchange alone are one.
            key = tuple("-" if name == "exchange" else before[name] for name in NAMES)
            if rules is sweep.exclude and "exchange" in {name for factor in sweep.factors for name in factor.names}:
                if key in seen_in_product:
                    continue
                seen_in_product.add(key)
        broken = [rule for rule in rules if all(meets(point[name], c) for name, c in rule.when.items())]
        if broken:
            found.append(("excluded", broken[0].because))
            continue
        try:
            shard = shard_heads(*(int(point[name]) for name in ("heads", "kv_heads", "tp", "ulysses")))
        except ShardError as error:
            found.append(("indivisible", str(error)))
            continue
        if sweep.measure == "ulysses" and (
            point["seq_len_q"] % point["ulysses"] or point["seq_len_kv"] % point["ulysses"]
        ):
            found.append(("indivisible", "tokens"))
            continue
        everywhere = sweep.replicas == "all" and sweep.measure == "ulysses" and point["tp"] > 1
        fields = {
            **point, "measure": sweep.measure, "heads_per_rank": shard[0], "kv_heads_per_rank": shard[1],
            "exchange_bytes": 0, "replicas": "all" if everywhere else "one",
        }  # fmt: skip
        found.append(Case.from_dict(fields))
    return found


def meets(value: Any, condition: Any) -> bool:
    if isinstance(condition, list):
        return value in condition
    tests = {"below": value.__lt__, "above": value.__gt__, "at_least": value.__ge__, "at_most": value.__le__}
    return all(tests[bound](limit) for bound, limit in condition.items())


@settings(max_examples=150, deadline=None)
@given(sweeps())
def test_against_brute_force(sweep):
    expected = by_hand(sweep)
    found = list(expand(sweep))
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        if isinstance(one, Case):
            assert one == other
        elif other[1] == "tokens":
            assert one.rule == "indivisible"
            assert "tokens" in one.reason
        else:
            assert (one.rule, one.reason) == other


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=sweeps())
def test_a_loaded_sweep_has_no_case_twice_or_is_refused(drawn, tmp_path):
    """Written as a file, each sweep either loads, and then its ids differ, or is refused before any case is made."""
    data = drawn.resolved()
    definition = {
        key: data[key]
        for key in ("name", "about", "measure", "axes", "zip", "constants", "replicas", "exclude", "variables")
    }
    definition |= {"geometry": {"heads": 12, "head_dim": 16}, "include": data["include"], "indivisible": "exclude"}
    path = tmp_path / "drawn.yaml"
    path.write_text(yaml.safe_dump(definition, sort_keys=False), encoding="utf-8")
    try:
        loaded = load_sweep(path)
    except InputError:
        return
    cases = [found for found in expand(loaded) if isinstance(found, Case)]
    ids = [case.id for case in cases]
    assert len(set(ids)) == len(ids) == len(set(cases))
    assert [found for found in expand(drawn) if isinstance(found, Case)] == cases


TEXT = """
geometry: {heads: 8, head_dim: 64}
axes: {seq_len_q: [1024, 2048], ulysses: [1, 2], exchange: [separate, packed]}
"""


def test_order_and_ids(sweep):
    """The ids are part of every result: they may not change."""
    head = "ulysses.fia.BNSD.bf16.none.b1"
    assert [case.id for case in expand(sweep(TEXT))] == [
        f"{head}.q1024.kv1024.h8.8.d64.tp1.u1",
        f"{head}.q1024.kv1024.h8.8.d64.tp1.u2.separate",
        f"{head}.q1024.kv1024.h8.8.d64.tp1.u2.packed",
        f"{head}.q2048.kv2048.h8.8.d64.tp1.u1",
        f"{head}.q2048.kv2048.h8.8.d64.tp1.u2.separate",
        f"{head}.q2048.kv2048.h8.8.d64.tp1.u2.packed",
    ]


def test_only_a_cold_cache_stands_in_the_id(sweep):
    text = "geometry: {heads: 8, head_dim: 64}\nconstants: {seq_len_q: 64, threads: 1}\naxes: {cache: [hot, cold]}\n"
    hot, cold = expand(sweep(text))
    assert (hot.cache, cold.cache) == ("hot", "cold")
    assert hot.id == "ulysses.fia.BNSD.bf16.none.b1.q64.kv64.h8.8.d64.tp1.u1.threads1"
    assert cold.id == "ulysses.fia.BNSD.bf16.none.b1.q64.kv64.h8.8.d64.tp1.u1.cold.threads1"


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("seq_len_q: [{from: 1000, to: 3500, step: 1000}]", [1000, 2000, 3000]),
        ("seq_len_q: [{from: 1024, to: 9000, times: 2}]", [1024, 2048, 4096, 8192]),
        ("seq_len_q: [{from: 7, to: 7, step: 1}, 3]", [7, 3]),
        ("seq_len_q: [{video: {width: 1280, height: 720, frames: 81}}]", [75600]),
        ("seq_len_q: [{video: {width: 1280, height: 720, frames: 25}}]", [25200]),
        ("seq_len_q: [{video: {width: 832, height: 480, frames: 81}}]", [32760]),
        ("seq_len_q: [{from: 4096, to: 1048576, times: 4}]", [4096, 16384, 65536, 262144, 1048576]),
    ],
)
def test_forms_of_sequence_lengths(sweep, axes, expected):
    loaded = sweep(f"geometry: {{model: wan-14b}}\naxes:\n  {axes}\n")
    assert [case.seq_len_q for case in expand(loaded)] == expected


def test_a_video_becomes_tokens_as_its_model_does(sweep):
    """Wan 2.2 5B's autoencoder takes 32 pixels to a token, LTX's 8 frames too; MiniMax H3 has no such formula."""
    text = "geometry: {{model: {}}}\nconstants: {{seq_len_q: {{video: {{width: {}, height: {}, frames: {}}}}}}}\n"
    lengths = [
        next(expand(sweep(text.format(*video)))).seq_len_q
        for video in [("wan22-5b", 1280, 704, 121), ("ltx", 768, 512, 121), ("hunyuanvideo", 1280, 720, 129)]
    ]
    assert lengths == [27280, 6144, 118800]
    with pytest.raises(InputError, match="no formula turns a video into minimax-h3's tokens"):
        sweep(text.format("minimax-h3", 768, 768, 22))


def test_kv_heads_follow_swept_heads_only_where_the_model_has_as_many(sweep):
    text = "geometry: {{model: {}}}\nconstants: {{seq_len_q: 64}}\naxes: {{heads: [8, 16]}}\n"
    assert [case.kv_heads for case in expand(sweep(text.format("wan-14b")))] == [8, 16]
    assert [case.kv_heads for case in expand(sweep(text.format("qwen3-8b")))] == [8, 8]
    numbers = "geometry: {model: qwen3-8b, heads: 16, head_dim: 64}\nconstants: {seq_len_q: 64}\n"
    (case,) = expand(sweep(numbers))
    assert (case.heads, case.kv_heads, case.head_dim) == (16, 16, 64)


def test_points_left_out_say_why(sweep):
    loaded = sweep(
        """
        geometry: {model: wan-14b}
        axes: {seq_len_q: [25200, 1001], tp: [1, 2], ulysses: [4, 8]}
        indivisible: exclude
        exclude:
          - {when: {seq_len_q: {at_least: 20000}, ulysses: [4], tp: 2}, because: too long}
        """
    )
    left_out = [(f.point.seq_len_q, f.point.tp, f.point.ulysses, f.rule, f.reason)
                for f in expand(loaded) if isinstance(f, LeftOut)]  # fmt: skip
    assert left_out == [
        (25200, 2, 4, "excluded", "too long"),
        (25200, 2, 8, "indivisible", "ulysses 8 does not divide the 20 heads that tp 2 leaves of 40"),
        (1001, 1, 4, "indivisible", "ulysses 4 does not divide 1,001 tokens"),
        (1001, 1, 8, "indivisible", "ulysses 8 does not divide 1,001 tokens"),
        (1001, 2, 4, "indivisible", "ulysses 4 does not divide 1,001 tokens"),
        (1001, 2, 8, "indivisible", "ulysses 8 does not divide the 20 heads that tp 2 leaves of 40"),
    ]


def test_exclusions_see_that_nothing_is_exchanged(sweep):
    rule = "exclude: [{{when: {{exchange: {}}}, because: unwanted}}]\n"
    cases = [[c.exchange for c in expand(sweep(TEXT + rule.format(e))) if isinstance(c, Case)] for e in
             ("separate", "none")]  # fmt: skip
    assert cases == [["none", "packed"] * 2, ["separate", "packed"] * 2]


def test_included_points_stand_beside_the_product(sweep):
    text = TEXT + "exclude: [{when: {seq_len_q: 2048}, because: long}]\n"
    included = "include: [{seq_len_q: 2048, ulysses: 2, exchange: packed}, {seq_len_q: 8, ulysses: 1, op: sdpa}]\n"
    *_, one, other = expand(sweep(text + included))
    assert (one.seq_len_q, one.ulysses, one.exchange) == (2048, 2, "packed")
    assert (other.op, other.seq_len_q, other.exchange) == ("sdpa", 8, "none")


def test_only_included_points(sweep):
    loaded = sweep("geometry: {heads: 8, head_dim: 64}\ninclude: [{seq_len_q: 8}, {seq_len_q: 16, tp: 2}]\n")
    assert [(case.seq_len_q, case.tp) for case in expand(loaded)] == [(8, 1), (16, 2)]
    assert loaded.points == 2


def test_a_kernel_alone_needs_no_divisible_tokens(sweep):
    (case,) = expand(
        sweep("geometry: {heads: 8, head_dim: 64}\nmeasure: kernel\nconstants: {seq_len_q: 1001, ulysses: 4}\n")
    )
    assert (case.heads_per_rank, case.world_size, case.exchange) == (2, 1, "none")


def test_exchanges_alone(sweep):
    loaded = sweep(
        """
        measure: exchange
        axes:
          ulysses: [2, 8]
          exchange_bytes: [1 KiB, {from: 1 MiB, to: 4 MiB, times: 4}, {model: wan-14b, seq_len_q: 75600},
                           {model: wan-14b, seq_len_q: 25200, tensors: 3}, {model: wan-14b, seq_len_q: 75600, tp: 2}]
        indivisible: exclude
        """
    )
    found = list(expand(loaded))
    cases = [case for case in found if isinstance(case, Case)]
    whole = 75600 * 40 * 128 * 2
    assert [(case.ulysses, case.exchange_bytes) for case in cases] == [
        *((2, size) for size in (1 << 10, 1 << 20, 1 << 22, whole // 2, whole // 4)),
        *((8, size) for size in (1 << 10, 1 << 20, 1 << 22, whole // 8)),
    ]
    assert [(left.reason) for left in found if isinstance(left, LeftOut)] == [
        "tp 2 x ulysses 8 does not divide the 40 heads of wan-14b"
    ]
    assert round(cases[-1].exchange_bytes / 1e6, 1) == 96.8  # the published table's number
    assert cases[0].id == "exchange.bf16.u2.bytes1024"
    assert cases[0].world_size == 2


def test_a_sweep_not_loaded_from_a_file_is_still_refused_where_it_cannot_be(sweep):
    loaded = sweep("geometry: {model: wan-14b}\nconstants: {seq_len_q: 48, ulysses: 16}\nindivisible: exclude\n")
    strict = Sweep.from_resolved({**loaded.resolved(), "indivisible": "error"})
    with pytest.raises(InputError, match="ulysses 16 does not divide 40 heads"):
        list(expand(strict))


def test_a_long_sweep_starts_at_once(sweep):
    loaded = sweep(
        "geometry: {heads: 8, head_dim: 64}\n"
        "axes: {seq_len_q: [{from: 8, to: 1000000, step: 8}], ulysses: [1, 2, 4, 8], batch: [1, 2]}\n"
    )
    assert loaded.points == 1_000_000
    assert isinstance(next(expand(loaded)), Case)
