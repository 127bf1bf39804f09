"""From a history as given to logarithms that can be judged: what is missing left out, the reference taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiabench.stats.changes.found import History

FEWEST = 8
"""Values from which on a step can be told from noise at all."""
_HALF, _FAR = 3, 5.0
"""Values to either side that make a running median, and its robust standard deviations that are far from it."""
_AROUND = 5
"""Values to either side that one which is unsure is moved towards."""
_PLACES, _SURE = 64, 3.0
"""Places of a step that the slope over a reference is fitted beside, and its standard errors that are beyond chance."""
_TO_DEVIATION = 2 * 1.96
"""Standard deviations in the width of an interval at 95 %."""


@dataclass(frozen=True)
class Given:
    """The measured values of one history, in their order."""

    places: np.ndarray
    """[n]: each one's index in the history."""
    logs: np.ndarray
    """[n]: natural logarithms, without what the reference explains."""
    errors: np.ndarray
    """[n]: standard deviations of the logarithms by their own intervals; 0 where there is none."""
    sessions: tuple[int, ...]
    """The session of each value, numbered in the order of appearance; empty where not known."""
    measured: np.ndarray
    """[n]: the logarithms as they were measured."""
    explained: np.ndarray
    """[n]: what the reference explains of them."""

    def window(self, begin: int, end: int) -> Given:
        """The values from ``begin`` to before ``end``, as if there were no others: what is measured later changes
        nothing in it."""
        here = slice(begin, end)
        numbers: dict[int, int] = {}
        sessions = tuple([numbers.setdefault(session, len(numbers)) for session in self.sessions[here]])
        measured, errors, explained = self.measured[here], self.errors[here], self.explained[here]
        return Given(self.places[here], _steadied(measured, errors) - explained, errors, sessions, measured, explained)


def given(history: History) -> Given:
    """Checks ``history`` and takes logarithms. ValueError, in words, where it is not what :class:`History` says."""
    values = _numbers(history.values, "values")
    if values.ndim != 1:
        raise ValueError(f"values: found {values.ndim} dimensions; allowed: one")
    there = np.isfinite(values)
    odd = values[(values <= 0) | np.isinf(values)]
    if odd.size:
        raise ValueError(f"values: found {odd[0]:g}; allowed: finite numbers above 0, NaN where nothing was measured")
    places = np.flatnonzero(there)
    measured = np.log(values[places])
    logs = measured
    errors = np.zeros(logs.size)
    if history.intervals is not None:
        intervals = _numbers(history.intervals, "intervals")
        if intervals.shape != (values.size, 2):
            raise ValueError(f"intervals: found {intervals.shape}; allowed: {(values.size, 2)}, low and high of each")
        errors = _errors(intervals[places])
        logs = _steadied(measured, errors)
    sessions: tuple[int, ...] = ()
    if history.sessions is not None:
        labels = list(history.sessions)
        if len(labels) != values.size:
            raise ValueError(f"sessions: found {len(labels)}; allowed: as many as values, {values.size}")
        numbers: dict[object, int] = {}
        sessions = tuple([numbers.setdefault(labels[place], len(numbers)) for place in places.tolist()])
    explained = np.zeros(logs.size)
    if history.reference is not None:
        reference = _numbers(history.reference, "reference")
        if reference.shape != values.shape:
            raise ValueError(f"reference: found {reference.size}; allowed: as many as values, {values.size}")
        explained = _explained_by(reference[places], logs, sessions)
    return Given(places, logs - explained, errors, sessions, measured, explained)


def _numbers(values: object, what: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: allowed: numbers ({error})") from error


def _errors(intervals: np.ndarray) -> np.ndarray:
    """Standard deviations of the logarithms, from low and high; 0 where they say nothing."""
    low, high = intervals.T
    sound = np.isfinite(low) & np.isfinite(high) & (low > 0) & (high >= low)
    width = np.log(np.where(sound, high, 1.0)) - np.log(np.where(sound, low, 1.0))
    return np.asarray(width / _TO_DEVIATION)


def _steadied(logs: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """A value that is known worse than the others is moved towards its neighbours' median, as far as it is unsure.

    By no more than its own interval reaches: beside a step the neighbours are of the other level.
    """
    if logs.size < FEWEST:
        return logs
    usual = float(np.median(errors))
    noise = (1.4826 * float(np.median(np.abs(np.diff(logs))))) ** 2 / 2
    excess = np.maximum(errors**2 - usual**2, 0.0)
    trust = np.sqrt((noise + 1e-30) / (noise + excess + 1e-30))
    steadied = logs.copy()
    unsure = np.flatnonzero(trust < 0.999)
    middle = _medians_around(logs, unsure)
    reach = _TO_DEVIATION / 2 * errors[unsure]
    steadied[unsure] -= np.clip((1 - trust[unsure]) * (logs[unsure] - middle), -reach, reach)
    return steadied


def _medians_around(logs: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The median of the up to _AROUND values to either side of each of ``places``, without its own."""
    apart = np.concatenate([np.arange(-_AROUND, 0), np.arange(1, _AROUND + 1)])
    near = places[:, None] + apart
    there = (near >= 0) & (near < logs.size)
    values = np.where(there, logs[np.clip(near, 0, logs.size - 1)], np.inf)
    values.sort(axis=1)
    count = there.sum(axis=1)
    rows = np.arange(places.size)
    return np.asarray((values[rows, (count - 1) // 2] + values[rows, count // 2]) / 2)


def _explained_by(reference: np.ndarray, logs: np.ndarray, sessions: Sequence[int]) -> np.ndarray:
    """What of ``logs`` moves with the reference: its deviations, times the slope of the least squares.

    The slope is fitted together with the best single step, lest a step of the series' own be taken for the box's; by
    values that outliers are taken out of. Where the two do not move together beyond chance, nothing is taken out. A
    missing reference is the mean of its session's, or none.
    """
    known = np.isfinite(reference) & (reference > 0)
    if known.sum() < FEWEST or logs.size < FEWEST:
        return np.zeros(logs.size)
    moods = np.where(known, np.log(np.where(known, reference, 1.0)), math.nan)
    numbers = np.asarray(sessions) if sessions else np.arange(logs.size)
    for number in np.unique(numbers[~known]):
        inside = numbers == number
        if (inside & known).any():
            moods[inside & ~known] = moods[inside & known].mean()
    moods = np.where(np.isnan(moods), np.nanmedian(moods), moods)
    moods = cleaned(moods) - moods.mean()
    own = cleaned(logs)
    # Everything but the level is projected onto what a step at each place leaves over.
    cuts = np.unique(np.linspace(1, logs.size - 1, _PLACES).astype(int))
    slopes = [_slope(own, moods, cut) for cut in cuts]
    slope, sure, _ = min(slopes, key=lambda fit: fit[2])
    return moods * min(max(slope, 0.0), 1.0) if sure > _SURE else np.zeros(logs.size)


def _slope(own: np.ndarray, moods: np.ndarray, cut: int) -> tuple[float, float, float]:
    """The slope of ``own`` over ``moods`` beside a step at ``cut``, in its standard errors, and what is left."""
    y, x = own.copy(), moods.copy()
    for part in (slice(0, cut), slice(cut, None)):
        y[part] -= y[part].mean()
        x[part] -= x[part].mean()
    power = float(x @ x)
    if power <= 1e-18:
        return 0.0, 0.0, float(y @ y)
    slope = float(x @ y) / power
    left = float((y - slope * x) @ (y - slope * x))
    error = math.sqrt(max(left, 1e-30) / max(y.size - 3, 1) / power)
    return slope, slope / error, left


def cleaned(logs: np.ndarray) -> np.ndarray:
    """``logs`` [..., n] with single values that are far off drawn towards the running median, lest they hide a
    step. The newest stay: they may be one."""
    count = logs.shape[-1]
    if count < FEWEST:
        return logs
    padded = np.concatenate([logs[..., _HALF:0:-1], logs, logs[..., -2 : -_HALF - 2 : -1]], axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _HALF + 1, axis=-1)
    middle = np.median(windows, axis=-1)
    apart = logs - middle
    reach = _FAR * 1.4826 * np.median(np.abs(apart), axis=-1, keepdims=True)
    near = middle + np.clip(apart, -reach, reach)
    near[..., -_HALF:] = logs[..., -_HALF:]
    return np.where(reach > 0, near, logs)
