"""How much the best possible test sees of a step in Gaussian noise, when nobody says where it is."""

from __future__ import annotations

import numpy as np

FALSE_ALARMS = 0.01


def limits(source: np.random.Generator, ratio: float, count: int, ages: tuple[int, ...], series: int) -> list[float]:
    """Power for each of ``ages``, of a step up by ``ratio`` standard deviations in ``count`` values.

    The test is that of the greatest likelihood ratio: it knows the noise, but neither the level nor the place nor the
    size of the step. At most FALSE_ALARMS of series without a step are flagged.
    """
    cuts = np.arange(1, count)
    information = cuts * (count - cuts) / count

    def statistic(noise: np.ndarray) -> np.ndarray:
        sums = np.cumsum(noise - noise.mean(axis=1, keepdims=True), axis=1)[:, :-1]
        return np.asarray((-sums / np.sqrt(information)).max(axis=1))

    threshold = float(np.quantile(statistic(source.standard_normal((series, count))), 1 - FALSE_ALARMS))
    seen = []
    for age in ages:
        noise = source.standard_normal((series, count))
        noise[:, count - age :] += ratio
        seen.append(float((statistic(noise) > threshold).mean()))
    return seen
