"""A measurement in a cell: no number without its marks, and each mark explained."""

from __future__ import annotations

import pytest

from fiabench.results.cells import cell, cross_checks, legend, notes, origin_name, reasons
from tests.results.samples import measurement


def test_a_cell_has_latency_kernel_exchange_and_residual():
    total, kernel, throughput, *exchange = cell(measurement())
    assert total == "7.70 ms ±28 %"
    assert kernel == "kernel 1.10 ms"
    assert throughput.endswith("FLOP/s")
    assert exchange == ["a2a 6.60 ms, 86 %", "wait 0.00 µs", "residual +0.0 %"]


def test_a_kernel_alone_and_one_rank_have_latency_throughput_and_memory():
    for made in (measurement(measure="kernel"), measurement(ulysses=1)):
        latency, throughput, peak = cell(made)
        assert latency == "1.10 ms ±28 %"
        assert throughput.endswith("FLOP/s")
        assert peak == "peak 1.00 MiB"
        assert legend([made])[-1] == "peak: most memory of the process that the case took on a rank"


def test_a_ring_has_its_own_phases_with_and_without_ulysses():
    lines = cell(measurement(ulysses=1, ring=2))
    assert lines[0] == "3.30 ms ±28 %"
    assert lines[-3:] == ["ring 1.10 ms", "merge 1.10 ms", "residual +0.0 %"]
    assert not any(line.startswith(("a2a", "wait")) for line in lines)
    both = cell(measurement(ring=2))
    assert both[-5:] == ["a2a 6.60 ms, 67 %", "wait 0.00 µs", "ring 1.10 ms", "merge 1.10 ms", "residual +0.0 %"]
    explained = [line.split(":")[0] for line in legend([measurement(ring=2)])]
    assert {"a2a", "ring", "residual"} <= set(explained)


def test_padding_is_shown_where_there_is_some():
    made = measurement(heads=15)
    assert cell(made)[-1] == "padding 6.2 %"
    assert any(line.startswith("padding") for line in legend([made]))
    assert not any("padding" in line for line in (*cell(measurement()), *legend([measurement()])))


def test_a_pair_shows_its_ratio_with_its_interval_and_to_what():
    made = measurement(ulysses=1, against="fia")
    made.metrics["ratio"] |= {"value": 1.0123, "low": 0.9912, "high": 1.034}
    assert cell(made)[1] == "ratio 1.01 (0.99 to 1.03) to fia"
    made.metrics["dispatch_ratio"] = {"value": 2.0, "low": 1.5, "high": 20.44}
    assert cell(made)[2] == "dispatch ratio 2.00 (1.50 to 20.4) to fia"
    assert [line.split(":")[0] for line in legend([made]) if "ratio" in line] == ["ratio", "dispatch ratio"]


def test_a_number_that_is_the_hosts_is_marked_and_explained():
    made = measurement(timing={"host_bound": True})
    assert cell(made)[0] == "7.70 ms ±28 %!"
    assert any(line.startswith("! host-bound") for line in legend([made]))
    assert not any(line.startswith("!") for line in legend([measurement()]))


@pytest.mark.parametrize(
    ("status", "oversubscribed", "marks"),
    [("ok", False, ""), ("unsettled", False, "~"), ("ok", True, "*"), ("unsettled", True, "~*")],
)
def test_marks_stand_at_the_number_and_are_explained(status, oversubscribed, marks):
    made = measurement(status, timing={"oversubscribed": oversubscribed})
    assert cell(made)[0] == f"7.70 ms ±28 %{marks}"
    explained = "".join(line[0] for line in legend([made, measurement()]) if line[0] in "~*")
    assert explained == marks


@pytest.mark.parametrize(
    "status", ["wrong", "error", "unsupported", "does_not_fit", "out_of_memory", "timeout", "crash"]
)
def test_what_was_not_measured_shows_its_status_and_no_number(status):
    assert cell(measurement(status, "why")) == [status.replace("_", " ")]


def test_each_reason_is_listed_once_on_one_line_with_its_cases():
    out = [
        measurement("error", "RuntimeError: call aclnn failed\n  [ERROR] 161002", seq_len_q=tokens)
        for tokens in (24, 48, 96)
    ]
    left = measurement("unsupported", "dtype fp32", op="fia")
    assert reasons([*out, measurement(), left, measurement("unsettled", "too wide")]) == [
        f"error: RuntimeError: call aclnn failed [ERROR] 161002 [{out[0].id} and 2 more]",
        f"unsupported: dtype fp32 [{left.id}]",
    ]


def test_an_interval_of_few_samples_says_what_it_rests_on():
    few = measurement()
    assert "few samples: of one case the interval rests on Gaussian noise" in "".join(legend([few]))
    many = measurement()
    many.metrics["total"]["count"] = 6
    assert "few samples" not in "".join(legend([many]))


def test_the_legend_says_over_how_many_sessions_the_intervals_are():
    one, three, two = measurement(), measurement(), measurement()
    three.sessions, two.sessions = 3 * [one], 2 * [one]
    assert "within this session only" in legend([one])[0]
    assert "over 3 sessions, with how they differ" in legend([three])[0]
    assert "over 2 to 3 sessions" in legend([three, two])[0]


def test_the_legend_says_how_short_kernels_were_timed():
    made = [measurement(timing={"method": method}) for method in ("event", "batched", "graph", "graph")]
    lines = legend(made)
    assert "batched: one case timed as the mean of many launches between two marks" in lines
    assert "graph: 2 cases timed as the mean of many launches replayed as one graph" in lines


def test_doubts_are_marked_and_told_and_never_too_many():
    doubtful, calm = measurement(timing={"flags": ["drifts", "two modes"]}), measurement()
    assert cell(doubtful)[0].endswith("?")
    assert not cell(calm)[0].endswith("?")
    assert "? doubtful: something was found in the samples, see below" in legend([doubtful, calm])
    assert notes([doubtful, calm]) == [f"doubtful: {doubtful.id}: drifts", f"doubtful: {doubtful.id}: two modes"]
    many = notes(20 * [doubtful])
    assert len(many) == 16
    assert many[-1] == "doubtful: 25 more (`show --json` has all)"


def test_what_a_profiler_saw_is_told_in_a_line():
    kernels = [{"name": name, "per_iteration": 1.0, "seconds": 1e-3 * (4 - place)} for place, name in enumerate("abcd")]
    seen = {"method": "profiler", "kernels": kernels, "ratio": 0.98}
    made = measurement(timing={"cross_check": {"0": seen, "1": seen}})
    (line,) = cross_checks([made, measurement()])
    assert line == f"profiler: {made.id}: a 4.00 ms, b 3.00 ms, c 2.00 ms; in all 98 % of what was measured"
    missing = measurement(timing={"cross_check": {"0": {"method": "mspti", "missing": "no mspti"}}})
    assert cross_checks([missing]) == [f"mspti: {missing.id}: no mspti"]


ORIGIN = {"path": "../x", "file": "/x/sglang/fa.py", "commit": "0123456789abcdef", "dirty": True, "version": "0.5.11"}


def test_the_legend_names_outside_code_once_with_what_lay_there_even_where_it_failed():
    timing = {"projects": {"sglang": ORIGIN}}
    made = [measurement(timing=timing), measurement(timing=timing), measurement("error", "raised", timing=timing)]
    assert legend(made)[-1] == "sglang: 0.5.11 (commit 0123456789ab and changes), /x/sglang/fa.py"
    assert sum("sglang" in line for line in legend(made)) == 1
    assert legend(made[2:]) == ["sglang: 0.5.11 (commit 0123456789ab and changes), /x/sglang/fa.py"]


def test_an_origin_says_what_is_known_of_it():
    assert origin_name(ORIGIN | {"dirty": False, "version": None}) == "commit 0123456789ab"
    assert origin_name(ORIGIN | {"commit": None, "dirty": None}) == "0.5.11"
    assert origin_name(ORIGIN | {"commit": None, "dirty": None, "version": None}) == "unknown version"


def test_nothing_measured_explains_nothing():
    assert legend([]) == reasons([]) == []
    assert legend([measurement("crash", "killed")]) == []
