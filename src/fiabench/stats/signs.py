"""Do differences lie on one side of a value more often than chance has it? Each weighs by its size, none by too much.

Where the value is right and differences lie alike to both sides of it, the sign of each is a fair coin whatever its
size. Bets on a coin that no stake can win in the long run make an e-process (Ville's inequality): it exceeds 1 / a with
a chance of at most a, at every look together. What is staked on a difference may depend on its size and on everything
before it. A difference many times as large as the others is a neighbour's doing and says little of the sides: stakes
follow the likelihood ratio of a shift in noise of Student's distribution, in which the largest say less again. Signs
are less than the t test where noise is Gaussian, and still speak where one difference in ten would drown it.
"""

from __future__ import annotations

import numpy as np

STAKES = np.array([0.1, 0.2, 0.4, 0.7, 1.1, 1.7, 2.6, 4.0])
"""How far the differences are shifted, in their usual sizes: each of them is bet on, to both sides, with an equal share
of the capital."""
FREEDOM = 4.0
"""Degrees of freedom of Student's distribution. With 3 to 6 as many differences are needed, within one, where noise is
Gaussian and where one in ten is an outlier."""


def usual_size(differences: np.ndarray) -> np.ndarray:
    """What the sizes of ``differences`` [..., n] usually are, up to each of them: [..., n].

    The square of the mean root: 0.68 standard deviations of Gaussian noise, as the median of sizes, and hardly more
    where some are ten times as large.
    """
    counts = np.arange(1, differences.shape[-1] + 1)
    return (np.cumsum(np.sqrt(np.abs(differences)), axis=-1) / counts) ** 2


def log_evidence(differences: np.ndarray, against: np.ndarray, share: float) -> np.ndarray:
    """The logarithm of the e-value of ``differences`` [n] against each value that they may lie around: [m] for [m].

    ``share`` is how many of the differences are independent, from 0 to 1.
    """
    apart = differences - against[:, None]
    usual = usual_size(apart)
    sizes = np.divide(np.abs(apart), usual, out=np.zeros_like(apart), where=usual > 0)
    weights = sizes * (FREEDOM + 1) / (FREEDOM + sizes**2)
    stakes = np.tanh(STAKES[:, None, None] * weights) * np.sign(apart)
    capital = share * np.concatenate([np.log1p(stakes).sum(axis=-1), np.log1p(-stakes).sum(axis=-1)])
    found: np.ndarray = np.logaddexp.reduce(capital) - np.log(len(capital))
    return found
