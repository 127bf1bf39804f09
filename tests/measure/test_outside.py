"""Outside exchanges around an attention, as they stand: right in every layout, their phases where they belong."""

from __future__ import annotations

import itertools
import time

import pytest

from fiabench.measure.build import build, unsupported
from fiabench.measure.one import measure
from fiabench.measure.sampling import Stopping
from tests.measure.clock import TICK, SleepClock
from tests.projects.test_loading import project
from tests.ulysses.points import make_case
from tests.ulysses.ranks import run_ranks
from tests.wheels import release

TWO, FIVE = (
    Stopping(half_width=1e-9, min_samples=count, max_samples=count, max_seconds=30.0, warmup_max_seconds=0.0)
    for count in (2, 5)
)
PHASES = {"pack_in", "exchange_in", "unpack_in", "kernel", "pack_out", "exchange_out", "unpack_out", "end_to_end"}
SLEEP = 0.05


def outcomes(groups, device, cases, projects, stopping=TWO):
    results = {}
    for name, case in cases:
        outcome = measure(case, device, groups, stopping, projects)
        results[name] = (outcome.status, outcome.reason, outcome.check, outcome.samples)
    return results


def described(adapter, path, target=""):
    return {"adapter": adapter, "path": str(path), "target": target}


def test_real_projects_are_right_in_every_layout():
    projects = {
        "sglang": described("sglang_usp", release("sglang", "0.5.10")),
        "newer": described("sglang_usp", release("sglang", "0.5.23")),
        "yunchang": described("yunchang", release("yunchang", "0.6.4")),
    }
    changes = [
        {"layout": "BSND"},
        {"layout": "BNSD", "batch": 2, "mask": "causal", "seq_len_q": 25},
        {"layout": "BNSD_BSND", "inputs": "strided", "batch": 2},
        {"layout": "BSH", "op": "fia", "dtype": "bf16", "kv_heads": 4, "mask": "causal_top_left"},
        {"layout": "BNSD_NBSD", "op": "fia", "dtype": "fp16", "seq_len_kv": 36},
    ]
    cases = [
        (f"{name} {change}", make_case(exchange=name, **change))
        for name, change in itertools.product(projects, changes)
    ]
    for answer in run_ranks(2, outcomes, cases, projects, seconds=150):
        assert len(answer) == len(cases)
        for name, (status, reason, check, samples) in answer.items():
            assert status in ("ok", "unsettled"), (name, reason)
            assert (check["passed"], check["exchange"]) == (True, "exact"), name
            assert set(samples) == PHASES, name
            assert all(len(seconds) == 2 for seconds in samples.values()), name


PLANTED = """
import time
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional


def exchanged(parts, group):
    received = torch.empty_like(parts)
    dist.all_to_all_single(received, parts, group=group)
    return received


def asynchronous(parts, group):
    return functional.all_to_all_single(parts, None, None, group)


def lost(parts, group):
    return parts


def mixed_up(parts, group):
    received = exchanged(parts, group)
    return received.roll(1, 0)


def moved(collective, before=0.0, after=0.0):
    def move(tensor, scatter_idx, gather_idx, group):
        time.sleep(before if scatter_idx == 2 else 0.0)
        parts = torch.stack(tensor.chunk(dist.get_world_size(group), scatter_idx))
        received = torch.cat(list(collective(parts, group)), gather_idx)
        time.sleep(after if scatter_idx == 1 else 0.0)
        return received

    return move


plain = moved(exchanged)
functionally = moved(asynchronous)
slow = moved(exchanged, before=SLEEP, after=SLEEP)
nothing_sent = moved(lost)
ranks_mixed_up = moved(mixed_up)
""".replace("SLEEP", str(SLEEP))


def planted(tmp_path, *names):
    path = project(tmp_path, planted_moves=PLANTED)
    return {name: described("any_callable", path, f"planted_moves:{name}") for name in names}


def on_a_sleep_clock(groups, device, cases, projects):
    device = SleepClock(groups.rank)
    time.sleep = device.sleep  # the project's too, in this process of its own
    return outcomes(groups, device, cases, projects, FIVE)


@pytest.mark.long
def test_time_spent_in_a_projects_code_is_found_in_its_phase(tmp_path):
    """Before the collectives of q, k and v, and after that of the output."""
    projects = planted(tmp_path, "plain", "functionally", "slow")
    cases = [(name, make_case(exchange=name, layout="BSND")) for name in projects]
    for answer in run_ranks(2, on_a_sleep_clock, cases, projects):
        for name, (status, reason, _, samples) in answer.items():
            assert status in ("ok", "unsettled"), (name, reason)
            slept = {"pack_in": 3 * SLEEP, "unpack_out": SLEEP, "end_to_end": 4 * SLEEP} if name == "slow" else {}
            for phase in PHASES:
                assert samples[phase] == pytest.approx([slept.get(phase, 0.0)] * 5, abs=20 * TICK), (name, phase)


def test_what_a_project_mixes_up_is_wrong_and_named(tmp_path):
    projects = planted(tmp_path, "ranks_mixed_up")
    cases = [("it", make_case(exchange="ranks_mixed_up", layout="BSND"))]
    for status, reason, check, samples in (answer["it"] for answer in run_ranks(2, outcomes, cases, projects)):
        assert status == "wrong"
        assert "query after exchange_in" in reason
        assert "output after exchange_out" in reason
        assert (check["exchange"], samples) == ("wrong", {})


def without_the_check(groups, device, case, projects):
    """A recorded iteration of a case whose exchange is not checked before."""
    pipeline = build(case, groups.rank, groups, device, projects)
    pipeline.run()
    with pytest.raises(RuntimeError, match="no collective was recorded in the outside exchange"):
        pipeline.run_recorded(device)


def test_a_project_in_which_no_collective_is_seen_has_no_phases(tmp_path):
    projects = planted(tmp_path, "nothing_sent")
    run_ranks(2, without_the_check, make_case(exchange="nothing_sent", layout="BSND"), projects)


def test_where_a_project_lies_has_to_be_said():
    case = make_case(exchange="theirs")
    assert unsupported(case, "cpu", {"theirs": described("yunchang", "/there")}) is None
    reason = unsupported(case, "cpu", {"theirs": described("yunchang", "")})
    assert reason == "where theirs lies was not said: give --project theirs=PATH"
