"""The process that hosts every rank of a simulated device: ``python -m fiabench.workers.simulated``.

It speaks as a rank does; its answer to a case holds those of all ranks, None for one that waited for another that
failed.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import torch

from fiabench.cases.case import Case
from fiabench.measure.one import Outcome
from fiabench.simulation.assemble import Simulation, measure
from fiabench.simulation.effects import Seeds, parse_effects
from fiabench.simulation.spec import Spec
from fiabench.workers.protocol import PARENT, REPLY_FD, encode
from fiabench.workers.rank import end_with_parent, read_commands, run_case


def main() -> None:
    end_with_parent(int(os.environ[PARENT]))
    torch.set_num_threads(1)
    with os.fdopen(int(os.environ[REPLY_FD]), "wb", buffering=0) as replies:
        replies.write(encode({"joined": True}))
        for command in read_commands():
            replies.write(encode({"ranks": run(command)}))


def run(command: dict[str, Any]) -> list[dict[str, Any] | None]:
    """Every rank's answer to ``command``, by rank."""
    case, described = Case.from_dict(command["case"]), command["simulation"]
    simulation = Simulation(
        described["device"],
        Spec.model_validate(described["spec"]),
        parse_effects(described["plants"], command["projects"]),
        Seeds(described["seed"], command["session"]),
    )
    outcomes = simulation.run(
        case,
        lambda device, groups: run_case(command, device, groups, measure),
    )
    return [None if outcome is None else _answer(outcome) for outcome in outcomes]


def _answer(outcome: Outcome) -> dict[str, Any]:
    return {"outcome": asdict(outcome), "groups": {"seconds": {}, "bytes": {}}}


if __name__ == "__main__":
    main()
