"""The coordinator with ranks that somebody else started, as torchrun does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiabench.cases.case import Case
from fiabench.workers.coordinator import Coordinator
from tests.ulysses.points import make_case
from tests.workers.test_merge import MACHINE, answers, measured

SAMPLING = {
    "deadline_seconds": 0,
    "min_samples": 5,
    "max_samples": 100,
    "max_seconds": 1000.0,
    "warmup_max_seconds": 10.0,
}
SMALL, LARGE, BEYOND = (make_case(heads=4, ulysses=ulysses, seq_len_q=q) for ulysses, q in ((2, 64), (2, 128), (4, 64)))


class Standing:
    """Two ranks that answer with a kernel of ten seconds."""

    def __init__(self) -> None:
        self.cores: list[list[int] | None] = [[0], [1]]
        self.pids = [11, 12]
        self.asked: list[tuple[str, float]] = []

    def lacking(self, case: Case) -> str:
        return "" if case.world_size == 2 else "two ranks are all there are"

    def hosts(self, *_: Any) -> bool:
        return True

    def join(self) -> float:
        return 3.0

    def ask(self, command: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        self.asked.append((command["id"], seconds))
        groups = {"seconds": {"ulysses 2": 0.5}, "bytes": {"ulysses 2": 8}}
        return [answer | {"groups": groups} for answer in answers(measured(10.0), measured(10.0))]

    def close(self) -> None: ...

    def kill(self) -> None: ...


def measure(ranks: Standing, cases: list[Case]) -> list[Any]:
    with Coordinator(MACHINE, {"sampling": SAMPLING}, Path("unused"), {}, ranks=ranks) as coordinator:
        return [measurement for _, measurement in coordinator.measure(cases)]


def test_lines_say_of_them_what_they_say_of_a_group() -> None:
    (line,) = measure(Standing(), [SMALL])
    about = {"join_seconds": 3.0, "pids": [11, 12], "cores": [[0], [1]]}
    assert line.timing["group"] == {**about, "seconds": {"ulysses 2": 0.5}, "bytes": {"ulysses 2": 8}}
    assert line.timing["case_seconds"] >= 0


def test_a_deadline_follows_the_pace_of_the_case_before() -> None:
    first, second = Standing(), Standing()
    measure(first, [LARGE])
    measure(second, [SMALL, LARGE])
    assert second.asked[1][0] == first.asked[0][0] == LARGE.id
    assert second.asked[1][1] > first.asked[0][1] + 10


def test_what_they_lack_is_unsupported_and_not_asked() -> None:
    ranks = Standing()
    lines = measure(ranks, [SMALL, BEYOND, LARGE])
    assert [line.status for line in lines] == ["ok", "unsupported", "ok"]
    assert lines[1].reason == "two ranks are all there are"
    assert [name for name, _ in ranks.asked] == [SMALL.id, LARGE.id]
