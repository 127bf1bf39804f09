"""The closing tables: sequence length down, head shard and variants across, in as few tables as can be read."""

from __future__ import annotations

import itertools

import pytest

from fiabench.cases.case import LAYOUTS, MASKS
from fiabench.results import pivot
from tests.results.samples import measurement
from tests.ulysses.points import exchange_alone


def lengths_of(section):
    return [title[0] for title, _ in section.rows]


def test_tokens_go_down_and_shards_across_in_rising_order():
    grid = [
        measurement(seq_len_q=tokens, heads=16, tp=tp, ulysses=ulysses)
        for tokens in (96, 24, 1048)
        for tp, ulysses in ((2, 2), (1, 4), (1, 1), (2, 1))
    ]
    (section,) = pivot.sections(grid)
    assert section.row_label == "tokens"
    assert lengths_of(section) == ["24", "96", "1,048"]
    assert [column[0] for column in section.columns] == ["tp1 x u1", "tp1 x u4", "tp2 x u1", "tp2 x u2"]
    for length, (_, cells) in zip((24, 96, 1048), section.rows, strict=True):
        for (tp, ulysses), (found,) in zip(((1, 1), (1, 4), (2, 1), (2, 2)), cells, strict=True):
            assert (found.case["seq_len_q"], found.case["tp"], found.case["ulysses"]) == (length, tp, ulysses)


VARIANTS = [
    ({"op": "fia"}, ["sdpa", "fia"]),
    ({"layout": "BSND"}, ["BNSD", "BSND"]),
    ({"inputs": "strided"}, ["contiguous inputs", "strided inputs"]),
    ({"mask": "causal"}, ["no mask", "causal"]),
    ({"dtype": "bf16"}, ["fp32", "bf16"]),
    ({"batch": 2}, ["batch 1", "batch 2"]),
    ({"kv_heads": 2}, ["8 heads x 16", "8/2 heads x 16"]),
    ({"head_dim": 32}, ["8 heads x 16", "8 heads x 32"]),
    ({"seq_len_kv": 48}, ["as many kv tokens", "48 kv tokens"]),
    ({"kv_cache": "paged_BNBD_128"}, ["not paged", "paged BNBD 128"]),
    ({"measure": "kernel"}, ["whole attention", "kernel alone"]),
    ({"replicas": "all"}, ["one group", "all groups at once"]),
    ({"against": "fia"}, ["against none", "against fia"]),
    ({"threads": 4}, ["1 thread a rank", "4 threads a rank"]),
]


@pytest.mark.parametrize(("changes", "names"), VARIANTS, ids=lambda value: "" if isinstance(value, list) else None)
def test_what_differs_otherwise_stands_across(changes, names):
    (section,) = pivot.sections([measurement(), measurement(**changes), measurement(seq_len_q=96)])
    assert lengths_of(section) == ["24", "96"]
    assert [sum(name in column for column in section.columns) for name in names] == [1, 1]
    assert not set(names) & set(section.title.split(" · "))


@pytest.mark.parametrize(("changes", "names"), VARIANTS, ids=lambda value: "" if isinstance(value, list) else None)
def test_a_title_says_what_all_cases_have_in_common_but_for_the_usual(changes, names):
    (section,) = pivot.sections([measurement(**changes)])
    assert names[1] in section.title
    (usual,) = pivot.sections([measurement()])
    assert usual.title == "sdpa · BNSD · fp32 · no mask · 8 heads x 16 · batch 1 · 1 thread a rank"


def test_where_several_fields_vary_the_usual_values_go_without_saying():
    grid = [
        measurement(ulysses=1, inputs=inputs, mask=mask) for inputs in ("contiguous", "strided") for mask in MASKS[:2]
    ]
    (section,) = pivot.sections(grid)
    assert section.columns == [["no mask"], ["causal"], ["strided inputs", "no mask"], ["strided inputs", "causal"]]


def test_masks_of_one_shard_are_the_columns_of_one_table_whose_title_has_the_shard():
    grid = [
        measurement(measure="kernel", ulysses=1, mask=mask, seq_len_q=tokens) for tokens in (24, 48) for mask in MASKS
    ]
    (section,) = pivot.sections(grid)
    assert section.columns == [["no mask"], ["causal"], ["causal_top_left"], ["causal_full"]]
    assert section.title.endswith("kernel alone · 1 thread a rank · tp1 x u1 (8 heads)")
    assert lengths_of(section) == ["24", "48"]


def test_many_variants_of_a_crossed_field_go_down_beside_the_length():
    grid = [
        measurement(measure="kernel", ulysses=1, layout=layout, inputs=inputs, seq_len_q=tokens)
        for tokens, layout, inputs in itertools.product((24, 48), LAYOUTS, ("contiguous", "strided"))
    ]
    (section,) = pivot.sections(grid)
    assert section.columns == [["contiguous inputs"], ["strided inputs"]]
    assert [title for title, _ in section.rows] == [[tokens, layout] for tokens in ("24", "48") for layout in LAYOUTS]
    for (_, layout), cells in section.rows:
        assert [found.case["layout"] for (found,) in cells] == [layout, layout]


def test_what_is_neither_narrow_nor_crossed_is_several_tables():
    grid = [
        measurement(heads=heads, kv_heads=kv_heads, ulysses=ulysses)
        for heads, kv_heads in ((8, 8), (16, 2), (32, 32))
        for ulysses in (1, 2)
    ]
    sections = pivot.sections(grid)
    assert [section.title.split(" · ")[4] for section in sections] == [
        "8 heads x 16",
        "16/2 heads x 16",
        "32 heads x 16",
    ]
    assert [section.columns for section in sections] == [
        [["tp1 x u1", f"{one} heads"], ["tp1 x u2", f"{two} heads", "separate"]]
        for one, two in (("8", "4"), ("16/2", "8/1"), ("32", "16"))
    ]


def test_cells_with_exchanges_are_wider_and_fewer_of_them_fit():
    def variants(**changes):
        return [
            measurement(op=op, dtype=dtype, **changes)
            for op, dtype in (
                ("fia", "fp16"),
                ("fia", "bf16"),
                ("fia", "fp32"),
                ("sdpa", "fp16"),
                ("x", "bf16"),
                ("y", "bf16"),
            )
        ]

    assert len(pivot.sections(variants(measure="kernel"))) == 1
    assert len(pivot.sections(variants())) > 1


def test_decode_goes_by_its_key_tokens():
    grid = [
        measurement(measure="kernel", ulysses=1, seq_len_q=1, seq_len_kv=keys, batch=batch)
        for batch in (8, 1)
        for keys in (4096, 512)
    ]
    (section,) = pivot.sections(grid)
    assert section.row_label == "key tokens"
    assert lengths_of(section) == ["512", "4,096"]
    assert section.columns == [["batch 8"], ["batch 1"]]
    assert "1 query token" in section.title


def test_prefill_and_decode_of_one_run_are_two_tables():
    grid = [measurement(ulysses=1, seq_len_q=tokens) for tokens in (24, 48)]
    grid += [measurement(ulysses=1, seq_len_q=1, seq_len_kv=keys) for keys in (24, 48)]
    prefill, decode = pivot.sections(grid)
    assert (prefill.row_label, decode.row_label) == ("tokens", "key tokens")
    assert ("1 query token" in prefill.title, "1 query token" in decode.title) == (False, True)


def test_cross_attention_goes_by_its_queries():
    grid = [measurement(ulysses=1, seq_len_q=tokens, seq_len_kv=keys) for tokens in (24, 48) for keys in (8, 16)]
    (section,) = pivot.sections(grid)
    assert (section.row_label, lengths_of(section)) == ("tokens", ["24", "48"])
    assert section.columns == [["8 kv tokens"], ["16 kv tokens"]]


def test_exchanges_are_columns_side_by_side_those_of_the_suite_first():
    made = [measurement(exchange=exchange) for exchange in ("theirs", "packed", "separate")]
    (section,) = pivot.sections([*made, measurement(ulysses=1)])
    assert [column[2:] for column in section.columns] == [[], ["separate"], ["packed"], ["theirs"]]


def test_a_column_says_which_part_of_the_deployment_ran():
    shards = [
        measurement(heads=16),
        measurement(heads=16, tp=2),
        measurement(heads=16, ring=2),
        measurement(heads=16, batch=2, cfg=2, tp=2, ring=2),
    ]
    titles = [column for made in shards for section in pivot.sections([made]) for column in section.columns]
    assert titles == [
        ["tp1 x u2", "8 heads", "separate"],
        ["tp2 x u2", "4 heads", "separate", "one of 2 groups"],
        ["tp1 x u2 x ring2", "8 heads", "separate"],
        ["tp2 x u2 x ring2 x cfg2", "4 heads", "separate", "one of 4 groups"],
    ]
    (section,) = pivot.sections([measurement(heads=16, tp=2, measure="kernel")])
    assert section.columns == [["tp2 x u2", "4 heads", "1 of 4 ranks"]], "one rank is no group"
    (section,) = pivot.sections([measurement(heads=16, kv_heads=8, tp=2, replicas="all")])
    assert section.columns == [["tp2 x u2", "4/2 heads", "separate"]]


def test_exchanges_alone_go_by_bytes():
    made = [measurement("timeout", "late", ulysses=2) for _ in range(2)]
    for found, size in zip(made, (1 << 20, 1 << 10)):
        found.case = exchange_alone(exchange_bytes=size).as_dict()
    (section,) = pivot.sections(made)
    assert section.title.startswith("all-to-all alone · fp32")
    assert (section.row_label, lengths_of(section)) == ("bytes a rank", ["1.00 KiB", "1.00 MiB"])
    assert section.columns == [["tp1 x u2"]]


def test_a_run_of_an_earlier_version_reads_as_the_usual_case():
    old, new = measurement(), measurement(seq_len_q=48)
    for key in ("inputs", "kv_cache", "ring", "cfg", "against"):
        del old.case[key]
    (section,) = pivot.sections([old, new])
    assert (lengths_of(section), len(section.columns)) == (["24", "48"], 1)


def test_nothing_measured_makes_no_table():
    assert pivot.sections([]) == []
