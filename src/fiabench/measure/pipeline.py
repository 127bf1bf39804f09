"""One attention as a list of steps, so that the same calls run with and without recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from fiabench.devices.base import Device

Mark = tuple[str, Any, Any]
"""A phase, and the device's marks before and after it."""


class Step(NamedTuple):
    """A call of the pipeline and the phase it belongs to; None for work that is no phase's."""

    phase: str | None
    call: Callable[[], None]

    @property
    def phases(self) -> tuple[str, ...]:
        return (self.phase,) if self.phase else ()

    def record(self, device: Device) -> Sequence[Mark]:
        if self.phase is None:
            self.call()
            return ()
        start = device.mark()
        self.call()
        return ((self.phase, start, device.mark()),)


class RecordedStep(NamedTuple):
    """A call within which several phases lie, which it finds by itself."""

    phases: tuple[str, ...]
    call: Callable[[], None]
    record: Callable[[Device], Sequence[Mark]]
    """Does what ``call`` does, and says where its phases were."""


@dataclass
class Pipeline:
    """The steps of one iteration on one rank."""

    steps: list[Step | RecordedStep]
    poison: Callable[[], None] = lambda: None
    """Makes every result of the last iteration unusable."""
    attention: Callable[[], Tensor] | None = None
    """The last iteration's attention, [B, s, N, D]; None where no attention is measured."""
    check_exchange: Callable[[int], str] | None = None
    """Checks the exchanges on a rank and returns what is wrong; None where nothing is exchanged."""
    recording: Callable[[Device], AbstractContextManager[Any]] = lambda device: nullcontext()
    """Lasts while an iteration is recorded."""
    phases: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.phases = list(dict.fromkeys(phase for step in self.steps for phase in step.phases))

    @property
    def exchanges(self) -> list[Step]:
        """The exchanges that can be run by themselves: they move the same bytes again, and change no result."""
        return [step for step in self.steps if isinstance(step, Step) and (step.phase or "").startswith("exchange")]

    def run(self) -> None:
        """One iteration without recording."""
        for step in self.steps:
            step.call()

    def run_recorded(self, device: Device) -> list[Mark]:
        """One iteration with a mark before and after each phase: (phase, start, end), to be read when it has run.

        A phase may occur several times. Time between two phases is in none of them; it shows as closure residual.
        """
        with self.recording(device):
            return [mark for step in self.steps for mark in step.record(device)]
