"""What goes into the detector and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLD = 1.0
"""The score from which a change is flagged: at most 1 % of the series without a change have one."""


@dataclass(frozen=True)
class History:
    """One series of durations, oldest first, with whatever is known beside its values."""

    values: Sequence[float] | np.ndarray
    """[n], greater than zero; NaN where nothing was measured."""
    sessions: Sequence[object] | np.ndarray | None = None
    """[n], a label of the session that each was measured in: those of one session may be off together."""
    intervals: Sequence[Sequence[float]] | np.ndarray | None = None
    """[n, 2], low and high of each at 95 %, in the values' unit."""
    reference: Sequence[float] | np.ndarray | None = None
    """[n], what a case that no commit touches took in the same sessions; NaN where it was not measured."""


@dataclass(frozen=True)
class Change:
    """One lasting change of level."""

    index: int
    """Of the first value after it, in the series as given."""
    magnitude: float
    """Relative: +0.05 is 5 % more, which for a duration is slower."""
    score: float
    """Greater is surer; comparable between series, and flagged from THRESHOLD on."""
    low: float
    high: float
    """The interval of the magnitude at 95 %, given that there is a change here."""
    suspect: bool
    """Whether it is among the newest values, so that it may yet turn out an outlier: pairs settle that."""
    first: int
    """The earliest index that the change may have come with, as far as the values tell: somewhere in first..index."""


@dataclass(frozen=True)
class Detection:
    """What was found in one series."""

    flags: tuple[Change, ...]
    """Changes in both directions that noise does not explain, oldest first."""
    candidates: tuple[Change, ...]
    """Every place where a change was considered, flagged or not, oldest first."""
    suspects: tuple[Change, ...]
    """Steps at the newest values: flagged ones, and others that are worth a measurement in pairs."""
    abstains: str
    """Why the series is not judged; empty where it is."""
    visible: float | None
    """The smallest lasting increase, relative, that would most likely have been flagged; None where abstaining."""
