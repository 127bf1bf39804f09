"""Order of the tests: what is quick comes first, so that a plain mistake shows within seconds."""

import pytest
from hypothesis import settings

pytest_plugins = ["tests.parity.report"]

# A busy box makes any example slow once; pytest's own timeout ends a test that hangs.
settings.register_profile("fiabench", deadline=None)
settings.load_profile("fiabench")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups when it is its turn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_slow)  # stable: files keep their order
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _group(item: pytest.Item) -> str:
    """What one worker runs: a file's quick tests or its slow ones; and all that unpacks the real torch_npu."""
    return "parity" if item.path.parent.name == "parity" else f"{item.path}{' slow' if _slow(item) else ''}"
