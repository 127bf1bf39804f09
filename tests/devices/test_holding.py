"""How long a device is held, on emulated clocks: a kernel that waits, and products of matrices where there is none."""

from __future__ import annotations

import pytest
import torch

from fiabench.devices.holding import MULTIPLYING, SLEEPING, Hold

CLOCK = 1.5e9
PRODUCTS = 2000.0
"""In a second."""


class Api:
    """A device's time, which passes only with what is queued."""

    def __init__(self):
        self.seconds = 0.0
        outer = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at = outer.seconds

            def elapsed_time(self, end):
                return 1e3 * (end.at - self.at)

        self.Event = Event

    def synchronize(self):
        pass


class Sleeping(Api):
    def _sleep(self, cycles):
        self.seconds += cycles / CLOCK


class WithoutOperator(Api):
    def _sleep(self, cycles):
        raise RuntimeError("aclnnSleep or aclnnSleepGetWorkspaceSize not in libopapi.so")


@pytest.mark.parametrize(("kind", "how"), [(Sleeping, SLEEPING), (WithoutOperator, MULTIPLYING), (Api, MULTIPLYING)])
def test_a_device_is_held_for_as_long_as_was_asked_and_it_is_told_how(monkeypatch, kind, how):
    api = kind()
    monkeypatch.setattr("fiabench.devices.holding._SIDE", 4)

    def multiply(_left, _right, out):
        api.seconds += 1 / PRODUCTS

    monkeypatch.setattr(torch, "mm", multiply)
    hold = Hold(api, torch.device("cpu"))
    assert hold.how == how
    for asked in (0.05, 0.2):
        before = api.seconds
        hold(asked)
        assert api.seconds - before == pytest.approx(asked, rel=0.01)
