"""How often the detector is wrong and how much it sees, on every kind of noise of docs/detector.md, from few series."""

from __future__ import annotations

import numpy as np
import pytest

from fiabench.evidence.detector.kinds import KINDS, Kind
from fiabench.evidence.detector.peers import Peer, ours
from fiabench.evidence.detector.study import ASKED_AGES, ASKED_STEP, differing, false_alarms, power

pytestmark = pytest.mark.slow
OWN = Peer("ours", ours)
TOLD = [kind for kind in KINDS if kind.asked or kind.told]


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.name)
def test_noise_is_hardly_ever_a_step(kind: Kind) -> None:
    # Of 150 series 1 % are 1.5; six and more have a chance of 0.4 % then.
    assert false_alarms(OWN, kind, 60, 1.0, 150).seen <= 5


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.asked and not kind.told], ids=lambda kind: kind.name)
def test_steps_are_seen(kind: Kind) -> None:
    assert kind.asked is not None
    for age, asked in zip(ASKED_AGES, kind.asked):
        series = 40
        allowed = 3 * np.sqrt(max(asked * (100 - asked), 300) / series)
        assert power(OWN, kind, 60, 1.0, ASKED_STEP, age, series).percent >= asked - allowed


def test_no_flag_depends_on_the_scale() -> None:
    different, total = differing(OWN, KINDS, 60, 4)
    assert total >= 100
    assert different == 0
