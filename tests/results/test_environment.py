"""The fingerprint of a run, from a probe's facts and a real checkout."""

from __future__ import annotations

import subprocess

import pytest

from fiabench.results.environment import VARIABLES, commit, environment, provenance, ran_on
from fiabench.results.measurement import Measurement

FACTS = {
    "device": "cpu",
    "name": "A CPU",
    "count": 2,
    "memory_bytes": 2**33,
    "driver": None,
    "cpu": "A CPU",
    "cores": 2,
    "python": "3.11.7",
    "versions": {"torch": "2.13.0"},
    "operator": {"provided_by": "fiabench (emulated)", "reason": "libhccl.so is not there"},
}


@pytest.fixture
def checkout(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "file").write_text("one")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    return tmp_path


def test_the_commit_and_whether_it_is_what_ran(checkout):
    clean = commit(checkout)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (checkout / "file").write_text("two")
    assert commit(checkout) == {"commit": clean["commit"], "dirty": True}


def test_no_checkout_has_no_commit(tmp_path):
    assert commit(tmp_path) == {"commit": None, "dirty": None}


def test_variables_that_change_what_is_measured_are_kept_and_others_are_not(checkout, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HCCL_BUFFSIZE", "200")
    monkeypatch.setenv("MY_PASSWORD", "secret")
    found = environment(FACTS, None, checkout)
    assert found["variables"] == {"HCCL_BUFFSIZE": "200"}
    assert "secret" not in str(found)


def test_what_stands_in_for_the_operator_is_said(checkout):
    found = environment(FACTS, None, checkout)
    assert found["emulated"] == ["npu_fused_infer_attention_score: provided by fiabench on torch's cpu kernels"]
    assert found["operator_note"] == "libhccl.so is not there"
    real = environment(FACTS | {"operator": {"provided_by": "torch_npu 2.6.0", "reason": None}}, None, checkout)
    assert real["emulated"] == []


def test_titles_say_the_device_and_what_the_numbers_are_not(checkout):
    found = environment(FACTS, None, checkout)
    assert ran_on(found) == "CPU (A CPU, 2 cores)"
    stood_in, real = (Measurement("", {}, "ok", timing={"emulated": emulated}) for emulated in (True, False))
    assert provenance(found, [real, stood_in]) == "emulated operator, not NPU figures"
    assert provenance(found, [real]) == "not NPU figures"
    npu = found | {"device": "npu", "device_name": "Ascend910B3", "device_count": 8}
    assert ran_on(npu) == "NPU (8 x Ascend910B3)"
    assert provenance(npu, [real]) == ""
