"""Other detectors as they ship, each asked for the indices of the slowdowns that it sees."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Answer = list[list[int]]
"""Of each series, the indices of upward flags."""
Detector = Callable[[np.ndarray, Sequence[int] | None], Answer]
"""Of values [series, n] and the session of each value where it is told."""

_OTAVA = """
import json, sys
from otava.analysis import compute_change_points
def upward(values):
    points, _ = compute_change_points(values, window_len=50, max_pvalue=0.001, min_magnitude=0.0)
    return [int(point.index) for point in points if point.stats.mean_2 > point.stats.mean_1]
json.dump([upward(values) for values in json.load(sys.stdin)], sys.stdout)
"""


class Peer(NamedTuple):
    """A detector with what the page calls it."""

    name: str
    detect: Detector


def ours(values: np.ndarray, sessions: Sequence[int] | None) -> Answer:
    """This project's, each series by itself."""
    from fiabench.history.on_cores import on_every_core
    from fiabench.stats.changes import History
    from fiabench.stats.changes.detector import detect_each

    found = detect_each([History(series, sessions=sessions) for series in values], spread=on_every_core)
    return [[change.index for change in one.flags if change.magnitude > 0] for one in found]


def asv(values: np.ndarray, sessions: Sequence[int] | None) -> Answer:
    """asv's own, as `asv publish` uses it."""
    from asv.step_detect import detect_regressions, detect_steps

    def upward(series: np.ndarray) -> list[int]:
        steps = detect_steps(series.tolist())
        _, _, positions = detect_regressions(steps)
        return [after for _, after, *_ in positions or []]

    return [upward(series) for series in values]


def ruptures(values: np.ndarray, sessions: Sequence[int] | None) -> Answer:
    """PELT over the mean, penalised by 3 log n variances of the neighbours' differences."""
    import ruptures as rpt

    def upward(series: np.ndarray) -> list[int]:
        variance = (1.4826 * float(np.median(np.abs(np.diff(series)))) / math.sqrt(2)) ** 2
        search = rpt.KernelCPD(kernel="linear", min_size=1).fit(series)
        ends = [0, *search.predict(pen=3 * math.log(series.size) * variance)]
        means = [series[begin:end].mean() for begin, end in pairwise(ends)]
        return [end for end, before, after in zip(ends[1:], means, means[1:]) if after > before]

    return [upward(np.log(series)) for series in values]


def otava(python: str) -> Detector:
    """Apache Otava as it ships, by the ``python`` of an environment that has it: it asks for other versions of numpy
    than this project is tested with. RuntimeError, with its last words, where it fails."""

    def detect(values: np.ndarray, sessions: Sequence[int] | None) -> Answer:
        done = subprocess.run(
            [python, "-c", _OTAVA], input=json.dumps(values.tolist()), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{python}: {done.stderr.strip()[-500:]}")
        answer: Answer = json.loads(done.stdout)
        return answer

    return detect
