"""The median over several sessions: fresh processes differ, so the interval of one of them is too narrow.

A session's number is the median of its samples. The numbers are compared as logarithms, as sessions differ by factors;
their mean is the reported value and their spread, which holds what varies within sessions and between them, makes its
interval, with Student's quantile for the few that they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiabench.stats.intervals import median_interval
from fiabench.stats.pooling import Prior, fit_prior, resemblance_of
from fiabench.stats.serial import dependence

WITHIN = "within session only"
BETWEEN = "between sessions"
LEVEL = 0.95


@dataclass(frozen=True)
class Sessions:
    """A value with its interval over one or several sessions, in the samples' unit."""

    value: float
    low: float
    high: float
    scope: str
    """WITHIN where nothing is known of how sessions differ, else BETWEEN."""
    count: int
    """Of sessions."""
    spread: float | None
    """Standard deviation of the sessions' medians, relative; None where it is not known."""

    @property
    def half_width(self) -> float:
        """Half the interval's width, relative to the value."""
        return (self.high - self.low) / (2 * self.value)


def log_medians(sessions: Sequence[np.ndarray]) -> np.ndarray:
    """The logarithm of each session's median, [sessions]; ValueError where a median is not above zero."""
    medians = np.array([float(np.median(samples)) for samples in sessions])
    if not medians.size or medians.min() <= 0:
        raise ValueError("sessions need samples with medians above zero")
    return np.log(medians)


def spread_between(cases: Sequence[Sequence[np.ndarray]]) -> Prior | None:
    """How far the medians of sessions of one case spread (the variance of their logarithms), from all ``cases``; None
    from fewer than five cases with two sessions and more."""
    return spread_of([log_medians(sessions) for sessions in cases])


def spread_of(logs: Sequence[np.ndarray]) -> Prior | None:
    """As :func:`spread_between`, from the logarithms of each case's medians, [sessions]."""
    several = [log for log in logs if log.size > 1]
    variances = [float(log.var(ddof=1)) for log in several]
    together = resemblance_of([log - log.mean() for log in several])
    return fit_prior(variances, [log.size - 1 for log in several], together)


def over_sessions(sessions: Sequence[np.ndarray], prior: Prior | None = None, level: float = LEVEL) -> Sessions:
    """The value over ``sessions``, each an array of samples in the order taken, with its interval at ``level``.

    ``prior`` is what :func:`spread_between` found in all cases of the run; with it three sessions, or even one, get an
    interval that is not much wider than many would have. One session without it has its own interval, labelled so.
    """
    logs = log_medians(sessions)
    if logs.size == 1 and prior is None:
        series = np.asarray(sessions[0], dtype=float)
        interval = median_interval(series, level, dependence(series, level).widening)
        return Sessions(interval.value, interval.low, interval.high, WITHIN, 1, None)
    return over_medians(logs, prior, level)


def over_medians(logs: np.ndarray, prior: Prior | None, level: float = LEVEL) -> Sessions:
    """As :func:`over_sessions`, from the logarithms of two medians and more, or of one with a ``prior``."""
    count = logs.size
    own = float(logs.var(ddof=1)) if count > 1 else 0.0
    variance, freedom = prior.moderate(own, count - 1) if prior else (own, count - 1.0)
    from scipy.special import stdtrit

    centre = float(logs.mean())
    reach = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(variance / count)
    low, high = math.exp(centre - reach), math.exp(min(centre + reach, 700.0))
    return Sessions(math.exp(centre), low, high, BETWEEN, count, math.sqrt(variance))
