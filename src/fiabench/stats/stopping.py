"""When to stop sampling: criteria as values, asked again and again with the samples so far.

A criterion says how many samples to take before it is asked again, so that it decides how often it looks: a number that
is looked at after every sample settles on a lucky stretch sooner or later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fiabench.stats.findings import describe_change, describe_modes
from fiabench.stats.intervals import Interval, median_interval
from fiabench.stats.levels import DOUBT, find_changes
from fiabench.stats.modes import find_modes, may_have_modes
from fiabench.stats.outliers import label_outliers
from fiabench.stats.serial import dependence

GROWTH, PATIENT_GROWTH = 1.1, 1.5
"""The samples grow by this factor, at least, from one look to the next; by the second where a few will not help."""
MODE_LEVEL = 0.996
"""The interval at this level has to lie within one of several modes: 5 % shared by a dozen looks at fresh samples."""


@dataclass(frozen=True)
class Decision:
    """What a criterion says of the samples so far."""

    settled: bool
    wanted: int
    """How many more samples to take before asking again; 0 where settled."""
    why: str
    """Why it is settled or not, in words."""
    interval: Interval | None = None
    """The median's interval as the criterion sees it, where it looked at one."""


class Criterion(Protocol):
    """Decides from the samples in the order taken, in any unit, and the seconds that they took."""

    def judge(self, samples: np.ndarray, elapsed: float) -> Decision: ...


@dataclass(frozen=True)
class FixedCount:
    """A number of samples, whatever they show."""

    count: int

    def judge(self, samples: np.ndarray, elapsed: float) -> Decision:
        missing = self.count - len(samples)
        if missing > 0:
            return Decision(False, missing, f"{len(samples)} of {self.count} samples")
        return Decision(True, 0, f"{len(samples)} samples, as many as asked for")


@dataclass(frozen=True)
class FixedTime:
    """As many samples as fit into a time, and one at least."""

    seconds: float

    def judge(self, samples: np.ndarray, elapsed: float) -> Decision:
        taken = len(samples)
        if not taken or elapsed <= 0:
            return Decision(False, 1, "no sample yet")
        fitting = int((self.seconds - elapsed) / elapsed * taken)
        if fitting < 1:
            return Decision(True, 0, f"{taken} samples in {elapsed:.3g} of {self.seconds:.3g} s, no room for more")
        return Decision(False, min(fitting, taken), f"{elapsed:.3g} of {self.seconds:.3g} s")


@dataclass(frozen=True)
class MedianInterval:
    """Until the interval of the median is narrow, and nothing in the series makes it doubtful.

    The interval is at 95 %, interpolated between order statistics and stretched for the dependence that the samples
    leave possible. Not settled, however narrow, is a series that drifts or steps by more than ``half_width``, that has
    several modes none of which holds the median for sure, or that ends on an outlier, which may be the first sample of
    a new level.
    """

    half_width: float = 0.005
    """Wanted half-width of the interval, relative to the median."""
    min_samples: int = 10

    def judge(self, samples: np.ndarray, elapsed: float) -> Decision:
        series = np.asarray(samples, dtype=float)
        count = series.size
        if count < max(1, self.min_samples):
            return Decision(False, max(1, self.min_samples) - count, f"{count} of at least {self.min_samples} samples")
        interval = median_interval(series)
        wide = self._too_wide(interval, count)
        if wide:
            return wide
        grown = math.ceil(GROWTH * count) - count
        interval = median_interval(series, widening=dependence(series).widening)
        wide = self._too_wide(interval, count)
        if wide:
            return wide
        changes = find_changes(series, self.half_width, DOUBT)
        if changes:
            return Decision(False, grown, describe_change(changes[0]), interval)
        modes = find_modes(series, self.half_width)
        if len(modes) > 1:
            sure = median_interval(series, MODE_LEVEL)
            if not any(mode.low <= sure.low and sure.high <= mode.high for mode in modes):
                why = f"{describe_modes(modes)}: the median is in none of them for sure"
                return Decision(False, math.ceil(PATIENT_GROWTH * count) - count, why, interval)
        elif may_have_modes(series, self.half_width):
            return Decision(False, grown, "the samples may be of two modes", interval)
        if label_outliers(series)[-1]:
            return Decision(False, grown, "the last sample is an outlier, or the first of a new level", interval)
        return Decision(True, 0, f"the interval is ±{100 * interval.half_width:.2f} % of the median", interval)

    def _too_wide(self, interval: Interval, count: int) -> Decision | None:
        if interval.half_width <= self.half_width:
            return None
        found, wanted = 100 * interval.half_width, 100 * self.half_width
        why = f"the interval is ±{found:.2f} % of the median, ±{wanted:.2f} % is asked for"
        needed = count * (interval.half_width / self.half_width) ** 2
        count_next = min(max(GROWTH * count, 0.45 * needed), 2 * count)
        return Decision(False, math.ceil(count_next) - count, why, interval)
