"""Order of the tests: what is quick comes first, so that a plain mistake shows within seconds."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)  # stable: files keep their order
