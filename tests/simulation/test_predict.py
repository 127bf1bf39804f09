"""Plans by prediction: their order, what they cost, where more ranks stop paying, and why some do not fit."""

from __future__ import annotations

import pytest

from fiabench.simulation.predict import alone, memory_misfit, misfit, predict, rank_plans, where_it_stops
from tests.simulation.simulated import spec
from tests.ulysses.points import make_case


def attention(ulysses, tokens=8192, **changes):
    usual = {"heads": 16, "head_dim": 128, "seq_len_q": tokens, "seq_len_kv": tokens, "dtype": "bf16"}
    return make_case(**(usual | {"ulysses": ulysses, "exchange": "separate" if ulysses > 1 else "none"} | changes))


def test_the_fastest_plan_comes_first_with_its_speed_up_over_one_rank():
    plans = rank_plans([attention(ulysses) for ulysses in (1, 2, 4)], spec())
    assert [plan.case.ulysses for plan in plans] == [4, 2, 1]
    one = predict(attention(1), spec()).total
    for plan in plans:
        assert plan.speedup == pytest.approx(one / plan.prediction.total)
        assert plan.efficiency == pytest.approx(plan.speedup / plan.case.ulysses)
    assert plans[-1].speedup == 1


def test_tensor_parallel_ranks_count_too():
    (plan,) = rank_plans([attention(2, tp=2)], spec())
    assert alone(plan.case).heads_per_rank == 16
    assert plan.efficiency == pytest.approx(plan.speedup / 4)


def test_ulysses_stops_paying_where_the_node_ends():
    """Beyond four ranks a tenth of the bandwidth is left: at short lengths another step is slower."""
    short = [attention(ulysses, 2048) for ulysses in (1, 2, 4, 8)]
    (line,) = where_it_stops(rank_plans(short, spec()))
    assert line.startswith("tp1: stops paying at u")
    assert "efficiency is below 50 %" in line
    (line,) = where_it_stops(rank_plans([attention(ulysses, 131072) for ulysses in (1, 2, 4)], spec()))
    assert line == "tp1: every step up to u4 pays"
    assert where_it_stops(rank_plans([attention(2)], spec())) == []


def test_reasons_say_what_is_short():
    assert misfit(attention(2), spec()) == ""
    assert misfit(attention(16, tp=8), spec(across={"nodes": 2})) == "ranks: needs 128, round has 8"
    assert misfit(attention(1, 2**20), spec()).startswith("memory: needs")
    assert "dtype fp32" in misfit(attention(2, dtype="fp32"), spec())


def test_communicators_buffers_count_as_memory():
    case = attention(2)
    tight = spec(memory={"gib": 0.5})
    assert memory_misfit(case, tight) == ""
    buffered = tight.model_copy(update={"buffer": spec(buffer={"mb": 200, "beyond": "rounds", "source": "x"}).buffer})
    assert "0.4 GiB of communicators' buffers" in memory_misfit(case, buffered)
    assert memory_misfit(attention(1), buffered) == ""
