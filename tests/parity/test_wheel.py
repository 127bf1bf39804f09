"""Why the real wheel could not be had decides whether that may pass in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.wheel import NotToBeHad, fetch

pytestmark = pytest.mark.slow


def test_without_an_index_it_is_excused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(NotToBeHad, match=r"could not fetch torch_npu: .*No matching distribution") as refusal:
        fetch("torch_npu", "download", "--no-deps", "--dest", str(tmp_path), "torch_npu==2.13.0")
    assert refusal.value.excused


def test_another_failure_is_not(tmp_path: Path) -> None:
    broken = tmp_path / "torch_npu-2.13.0-py3-none-any.whl"
    broken.write_bytes(b"half a file")
    with pytest.raises(NotToBeHad) as refusal:
        fetch("torch_npu", "install", "--no-deps", "--no-index", "--target", str(tmp_path / "there"), str(broken))
    assert not refusal.value.excused
