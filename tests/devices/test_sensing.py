"""A source is asked no oftener than said, and less often once it failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fiabench.devices.sensing import RETRY_SECONDS, Sensors, SensorsMissing


class Source:
    """Counts its readings, and fails where told; what time it is for the cache."""

    def __init__(self, failing=()):
        self.failing = failing
        self.asked = []
        self.time = 0.0

    def __call__(self):
        self.asked.append(self.time)
        if len(self.asked) in self.failing:
            raise SensorsMissing(f"reading {len(self.asked)} failed")
        return {"clock_mhz": float(len(self.asked))}


@given(st.lists(st.integers(0, 3000).map(lambda step: step / 1024), max_size=50))
def test_it_is_asked_at_most_once_a_second(steps):
    source = Source()
    sensors = Sensors(source, 1.0, lambda: source.time)
    for step in steps:
        source.time += step
        assert sensors() == {"clock_mhz": float(len(source.asked))}
    assert all(later - earlier >= 1.0 for earlier, later in zip(source.asked, source.asked[1:]))


def test_a_failure_is_said_and_tried_again_later():
    source = Source(failing=(1,))
    sensors = Sensors(source, 1.0, lambda: source.time)
    assert sensors() == {}
    assert sensors.missing == "reading 1 failed"
    source.time = 0.9 * RETRY_SECONDS
    assert sensors() == {}
    source.time = RETRY_SECONDS
    assert sensors() == {"clock_mhz": 2.0}
    assert sensors.missing == ""


def test_what_a_caller_does_to_the_readings_stays_with_it():
    sensors = Sensors(Source(), 1.0, lambda: 0.0)
    sensors().clear()
    assert sensors() == {"clock_mhz": 1.0}
