"""Order of the tests: what is quick comes first, so that a plain mistake shows within seconds."""

import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.parity.report"]

# A shell starts what it runs in the background with Ctrl-C ignored, which processes pass on: tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy box makes any example slow once; pytest's own timeout ends a test that hangs.
settings.register_profile("fiabench", deadline=None)
settings.load_profile("fiabench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)  # stable: files keep their order
