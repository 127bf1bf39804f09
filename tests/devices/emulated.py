"""torch.cuda and torch.npu as far as graphs, memory and clocks are used, emulated: there is neither device here.

Emulated after torch's own source: what a failed capture leaves behind, above all.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch

from fiabench.devices.accelerator import Accelerator
from fiabench.devices.sensing import Sensors

CACHE = 2**20


class Stream:
    def __init__(self):
        self.waits_for = []

    def wait_stream(self, other):
        self.waits_for.append(other)


class Graph:
    """What was launched while it was captured; a replay launches it again."""

    def __init__(self):
        self.recorded = []

    def reset(self):
        self.recorded = []

    def replay(self):
        for launch in self.recorded:
            launch()


class Api:
    """One device. ``refuses``: nothing at all can be captured."""

    def __init__(self, refuses=False):
        self.refuses = refuses
        self.streams = [Stream()]
        self.capturing = None
        self.broken = ""
        self.open_pools = []
        self.generator_captured = False
        self.case_bytes = 0
        self.kept_bytes = 0
        self._peak = 0
        self._pools = 0

    # Streams and graphs.

    Stream = Stream

    def set_device(self, device):
        pass

    def synchronize(self):
        assert self.capturing is None

    def current_stream(self):
        return self.streams[-1]

    def current_device(self):
        return 0

    @contextmanager
    def stream(self, stream):
        depth = len(self.streams)
        self.streams.append(stream)
        try:
            yield
        finally:
            del self.streams[depth:]

    def graph_pool_handle(self):
        self._pools += 1
        return (0, self._pools)

    def graph(self, graph, pool, stream, capture_error_mode):
        return Capture(self, graph, pool, stream)

    def launch(self, work, capturable=True):
        """A kernel on the current stream."""
        if self.capturing is None:
            work()
        elif not capturable:
            self.broken = "operation not permitted when stream is capturing"
            raise RuntimeError(f"CUDA error: {self.broken}\nmore words")
        else:
            self.capturing.recorded.append(work)

    def close_pool(self, index, pool):
        if pool in self.open_pools:
            self.open_pools.remove(pool)

    # Memory.

    def memory_allocated(self):
        now = self.case_bytes + self.kept_bytes
        self._peak = max(self._peak, now)
        return now

    def max_memory_allocated(self):
        self.memory_allocated()
        return self._peak

    def reset_peak_memory_stats(self):
        self._peak = 0
        self.memory_allocated()

    def take(self, count):
        self.memory_allocated()
        self.case_bytes += count
        self.memory_allocated()

    def keep(self, tensor):
        self.kept_bytes += tensor.numel()
        return tensor

    def empty_cache(self):
        pass

    def mem_get_info(self):
        return 1000, 4000


class Capture:
    """torch's context of a capture: on failure it does not put the former stream back, nor close the pool."""

    def __init__(self, api, graph, pool, stream):
        self.parts = api, graph, pool, stream

    def __enter__(self):
        api, graph, pool, stream = self.parts
        api.streams.append(stream)
        if api.refuses:
            raise RuntimeError("Do not support TASK_QUEUE_ENABLE = 2 during NPU graph capture")
        api.open_pools.append(pool)
        api.generator_captured = True
        api.capturing, api.broken = graph, ""

    def __exit__(self, *_):
        api, _, pool, _ = self.parts
        api.capturing = None
        if api.broken:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        api.generator_captured = False
        api.open_pools.remove(pool)
        api.streams.pop()


def emulated_device(api, read=dict):
    """An accelerator on ``api``, whose sensors ``read`` gives."""

    class Emulated(Accelerator):
        name = "cpu"

        def _new_graph(self):
            return Graph()

        def _close_pool(self, index, pool):
            api.close_pool(index, pool)

        def _find_sensors(self, index):
            return Sensors(read, 1.0)

        def _beside_the_case(self, make):
            return super()._beside_the_case(lambda: api.keep(make()))

        def _cache_bytes(self):
            return CACHE

    Emulated.api = api
    device = Emulated(0)
    assert device.torch_device == torch.device("cpu", 0)
    return device
