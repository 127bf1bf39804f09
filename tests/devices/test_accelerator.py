"""Graphs and memory of an accelerator, on an emulated torch.cuda: what is run here is this package's part only."""

from __future__ import annotations

import pytest

from fiabench.devices.graphs import WARM_UPS
from tests.devices.emulated import CACHE, Api, emulated_device


class Work:
    """A launch that counts how often it ran."""

    def __init__(self, api, capturable=True):
        self.api = api
        self.capturable = capturable
        self.ran = 0

    def __call__(self):
        self.api.launch(self.run, self.capturable)

    def run(self):
        self.ran += 1


def assert_sane(api):
    assert len(api.streams) == 1
    assert api.capturing is None
    assert not api.open_pools
    assert not api.generator_captured


def test_a_replay_launches_as_often_as_was_asked():
    api = Api()
    work, device = Work(api), emulated_device(api)
    replay = device.capture(work, 7)
    assert work.ran == WARM_UPS
    assert_sane(api)
    replay()
    replay()
    assert work.ran == WARM_UPS + 14
    assert device.capture_refused == ""


def test_work_that_cannot_be_captured_leaves_no_trace():
    api = Api()
    device = emulated_device(api)
    assert device.capture(Work(api, capturable=False), 7) is None
    assert device.capture_refused == "CUDA error: operation not permitted when stream is capturing"
    assert_sane(api)
    assert device.capture(Work(api), 2) is not None
    assert device.capture_refused == ""


def test_a_device_that_captures_nothing_says_why_and_launches_nothing():
    api = Api(refuses=True)
    work, device = Work(api), emulated_device(api)
    for _ in range(2):
        assert device.capture(work, 7) is None
        assert "TASK_QUEUE_ENABLE = 2" in device.capture_refused
        assert_sane(api)
    assert work.ran == 0


def test_a_release_without_graphs_says_so():
    api = Api()
    device = emulated_device(api)
    device.api = object()
    assert device.capture(lambda: None, 1) is None
    assert device.capture_refused == "this torch has no graphs on cpu"


def test_what_a_launch_raises_by_itself_is_raised():
    def wrong():
        raise ValueError("the operator's own")

    api = Api()
    with pytest.raises(ValueError, match="the operator's own"):
        emulated_device(api).capture(wrong, 2)
    assert_sane(api)


def test_what_is_wrong_in_the_capture_alone_is_raised():
    api = Api()

    def strange():
        if api.capturing is not None:
            raise ValueError("only when captured")

    with pytest.raises(ValueError, match="only when captured"):
        emulated_device(api).capture(strange, 2)
    assert len(api.streams) == 1


def test_memory_that_runs_out_in_the_capture_is_raised_as_such():
    """The capture's end raises over it, and says nothing of memory."""
    api = Api()

    def hungry():
        if api.capturing is not None:
            api.broken = "void"
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="can't allocate memory"):
        emulated_device(api).capture(hungry, 2)
    assert len(api.streams) == 1
    assert not api.open_pools


def test_a_device_that_is_of_no_use_afterwards_is_an_error():
    api = Api()
    device = emulated_device(api)

    def breaking():
        if api.capturing is not None:
            api.refuses = True
            api.launch(lambda: None, capturable=False)

    with pytest.raises(RuntimeError, match="nothing can be captured"):
        device.capture(breaking, 2)


def test_the_buffer_for_flushing_is_not_the_cases_memory():
    api = Api()
    device = emulated_device(api)
    device.reset_peak_memory()
    api.take(5000)
    api.take(-4000)
    device.flush_cache()
    assert api.memory_allocated() == 1000 + 2 * CACHE
    assert device.peak_memory() == 5000, "the peak before the buffer"
    api.take(6000)
    device.flush_cache()
    assert device.peak_memory() == 7000, "the peak beside it"
    api.take(-7000)
    device.forget_peak()
    api.take(300)
    assert device.peak_memory() == 300
    api.take(-300)
    device.reset_peak_memory()
    device.flush_cache()
    assert device.peak_memory() == 0


def test_sensors_always_tell_the_memory():
    device = emulated_device(Api(), lambda: {"clock_mhz": 900.0})
    assert device.sensors() == {"clock_mhz": 900.0, "memory_bytes": 3000.0}
    assert device.sensors_missing == ""
