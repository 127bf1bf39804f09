"""What a series of samples shows beside its median: modes, changes of level, dependence, outliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiabench.stats.levels import Change, find_changes
from fiabench.stats.modes import Mode, find_modes
from fiabench.stats.outliers import label_outliers
from fiabench.stats.serial import Dependence, dependence


@dataclass(frozen=True)
class Findings:
    """What was found in one series, in the order taken; sizes relative to its median."""

    modes: tuple[Mode, ...]
    changes: tuple[Change, ...]
    """Drift and step, the one that explains the series better first."""
    dependence: Dependence
    outliers: int

    def flags(self) -> tuple[str, ...]:
        """What makes the median doubtful, as words; none for a series that is steady noise around one level.

        A change of level makes modes of its own and neighbours alike, so it alone is told where there is one.
        """
        if self.changes:
            return (describe_change(self.changes[0]),)
        words = [describe_modes(self.modes)] if len(self.modes) > 1 else []
        if self.dependence.detected:
            found = self.dependence
            words.append(
                f"neighbouring samples resemble each other (correlation {found.correlation:.2f}): "
                f"the interval is {found.widening:.1f} times as wide as for independent ones"
            )
        return tuple(words)


def examine(samples: np.ndarray, tolerance: float = 0.0) -> Findings:
    """What ``samples`` [n] show; changes of level and distances of modes below ``tolerance``, relative to the median,
    are passed over, as they cannot move the median by more."""
    series = np.asarray(samples, dtype=float)
    return Findings(
        modes=find_modes(series, tolerance),
        changes=find_changes(series, tolerance),
        dependence=dependence(series),
        outliers=int(np.count_nonzero(label_outliers(series))),
    )


def describe_change(change: Change) -> str:
    """The change as words: `the level rose by 5.0 % after sample 12`, of the series' median."""
    size = abs(change.size)
    amount = f"{100 * size:.1f} %" if size < 1 else f"{size:.3g} times the median"
    verb = "rose" if change.size > 0 else "fell"
    if change.kind == "step":
        return f"the level {verb} by {amount} after sample {change.at}"
    verb = "rise" if change.size > 0 else "fall"
    return f"the samples {verb} by {amount} from the first to the last"


def describe_modes(modes: tuple[Mode, ...]) -> str:
    """The modes as words, placed relative to the first, as the unit is not known here."""
    weights = ", ".join(f"{100 * mode.weight:.0f} %" for mode in modes)
    distances = ", ".join(f"{100 * (mode.location / modes[0].location - 1):+.1f} %" for mode in modes[1:])
    return f"{len(modes)} modes hold {weights} of the samples, the others {distances} from the first"
