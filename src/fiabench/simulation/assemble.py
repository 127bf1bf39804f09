"""From a case to a pipeline on virtual time, and through the engine that measures real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from fiabench import ops
from fiabench.cases.case import EXCHANGES, Case
from fiabench.devices.base import Device
from fiabench.measure import kernel as kernels
from fiabench.measure import one
from fiabench.measure.build import Assembly
from fiabench.measure.one import Outcome
from fiabench.measure.pipeline import Pipeline, Step
from fiabench.measure.sampling import Stopping
from fiabench.measure.subjects import Projects
from fiabench.simulation import model
from fiabench.simulation.device import SimulatedDevice, SimulatedOutOfMemory
from fiabench.simulation.effects import Disturbance, Effect, Seeds
from fiabench.simulation.groups import SimulatedGroups
from fiabench.simulation.model import Exchange, Work
from fiabench.simulation.spec import Spec
from fiabench.simulation.world import World
from fiabench.ulysses import exchange as exchanges

_PLANTED = "planted"
_ONE_SEED = Seeds(0, 0)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Simulation:
    """A device with what is planted into it. ``name`` is as it was asked for: `sim:910b3`."""

    name: str
    spec: Spec
    effects: Sequence[Effect] = ()
    seeds: Seeds = _ONE_SEED

    def run(
        self,
        case: Case,
        body: Callable[[SimulatedDevice, SimulatedGroups], Result],
    ) -> list[Result | None]:
        """``body`` on every rank of ``case``, each at its virtual time 0; see :meth:`World.run`."""
        world = World(case.world_size)

        def on_rank(rank: int) -> Result:
            disturbance = Disturbance(self.effects, self.seeds, case, rank)
            device = SimulatedDevice(self.name, self.spec, world, rank, disturbance)
            return body(device, SimulatedGroups(world, device))

        return world.run(on_rank)


def measure(
    case: Case, device: SimulatedDevice, groups: SimulatedGroups, stopping: Stopping, projects: Projects
) -> Outcome:
    """Simulates ``case`` on this rank: :func:`fiabench.measure.one.measure` on virtual time. Nothing was checked, and
    the check's outcome says so."""
    # What a class of devices knows of itself is in the spec here.
    outcome = one.measure(case, cast(Device, device), groups, stopping, projects, _assembly(device.spec))
    if outcome.check:
        outcome.check = {"passed": outcome.check["passed"], "simulated": True}
    return outcome


def _assembly(spec: Spec) -> Assembly:
    return Assembly(partial(_unsupported, spec), build, _describe)


def _unsupported(spec: Spec, case: Case, device: str, projects: Projects) -> str | None:
    """What the spec, the operator and the exchanges refuse; outside code is not simulated."""
    outside = [name for name in (case.op, case.exchange, case.against) if name in projects]
    if outside:
        return f"{outside[0]} is an outside project's code, which is not simulated"
    if case.cache == "cold":
        return "cold cache: the model knows no caches"
    if case.against != "none":
        return "operators in turns: the model gives all operators one duration"
    if reason := model.unsupported(case, spec) or exchanges.unsupported(case):
        return reason
    if case.measure == "exchange" or case.exchange not in (*EXCHANGES, "none"):
        return None
    # The emulated operator refuses what the NPU's does.
    where = "cpu" if spec.kind == "npu" else spec.kind
    operator = ops.load(case.op)
    return operator.unsupported(case, where) or kernels.unsupported(case, operator, where)


def _describe(case: Case, device: str, projects: Projects) -> dict[str, Any]:
    return {"emulated": False, "simulated": True, "projects": {}}


def build(case: Case, rank: int, groups: SimulatedGroups, device: SimulatedDevice, projects: Projects) -> Pipeline:
    """The pipeline whose steps pass virtual time as the model says. Raises, or hangs, where that is planted."""
    if device.disturbance.out_of_memory:
        raise SimulatedOutOfMemory(f"{_PLANTED} on rank {device.rank}: out of memory")
    if device.disturbance.hangs:
        device.hang()
    steps = [_step(part, device) for part in model.schedule(case, device.spec, device.rank)]
    wrong = f"{_PLANTED} on rank {device.rank}: a wrong result" if device.disturbance.wrong else ""
    return Pipeline([*steps], check_exchange=lambda rank: wrong)


def _step(part: Work | Exchange, device: SimulatedDevice) -> Step:
    if isinstance(part, Exchange):
        return Step(part.phase, partial(device.exchange, part.ranks, part.seconds))
    return Step(part.phase, partial(device.work, part.seconds))
