"""Who provides the operator, decided at import: each case in a process of its own, for it is decided only once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAKE = """
import torch
fake = torch.library.Library("npu", "DEF")
fake.define("npu_fused_infer_attention_score(Tensor query) -> Tensor")
fake.impl("npu_fused_infer_attention_score", lambda query: query + 1, "CPU")
"""

REPORT = """
import fiabench.npu_operator, torch
print(fiabench.npu_operator.provided(), fiabench.npu_operator.describe()["provided_by"])
print(fiabench.npu_operator.describe()["reason"])
"""

HAS = """
from fiabench.npu_operator import has
base = "npu_fused_infer_attention_score"
print(has(base), has(base + "_v2"), has(base + ".out"))
"""

pytestmark = pytest.mark.slow

ENTRY_POINT = "[torch.backends]\ntorch_npu = torch_npu:_autoload\n"


def run(script: str, *folders: Path) -> list[str]:
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def fake_torch_npu(folder: Path, source: str, entry_point: bool = False) -> Path:
    (folder / "torch_npu").mkdir(parents=True)
    (folder / "torch_npu" / "__init__.py").write_text(source)
    if entry_point:
        metadata = folder / "torch_npu-2.13.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_npu\nVersion: 2.13.0\n")
        (metadata / "entry_points.txt").write_text(ENTRY_POINT)
    return folder


def test_an_existing_registration_is_kept(tmp_path):
    """Ours beside it would abort or shadow it; torch_npu after it would abort. Neither is touched."""
    folder = fake_torch_npu(tmp_path, "raise SystemError('torch_npu must not be imported here')")
    lines = run(FAKE + REPORT + "print(torch.ops.npu.npu_fused_infer_attention_score(torch.zeros(1)).item())", folder)
    assert lines == ["False another registration in this process", "None", "1.0"]


def test_other_npu_operators_are_left_alone(tmp_path):
    """Someone else's npu operators: torch_npu can no longer be imported, ours joins them."""
    folder = fake_torch_npu(tmp_path, "raise SystemError('torch_npu must not be imported here')")
    other = FAKE.replace("npu_fused_infer_attention_score", "something_else")
    lines = run(other + REPORT + "print(torch.ops.npu.something_else(torch.zeros(1)).item())", folder)
    assert lines[0] == "True fiabench (emulated)"
    assert "importing torch_npu would abort" in lines[1]
    assert lines[2] == "1.0"


@pytest.mark.parametrize("entry_point", [False, True])
def test_a_torch_npu_without_cann_falls_back_and_says_why(tmp_path, entry_point):
    """The entry point breaks even `import torch` unless it is kept from loading."""
    broken = "raise ImportError('libhccl.so: cannot open shared object file')"
    folder = fake_torch_npu(tmp_path, broken, entry_point)
    lines = run(REPORT + "import os; print(os.environ.get('TORCH_DEVICE_BACKEND_AUTOLOAD'))", folder)
    assert lines[0] == "True fiabench (emulated)"
    assert lines[1] == (
        "torch_npu was found but could not be imported: ImportError: libhccl.so: cannot open shared object file"
    )
    assert lines[2] == str(os.environ.get("TORCH_DEVICE_BACKEND_AUTOLOAD"))


def test_a_working_torch_npu_wins(tmp_path):
    folder = fake_torch_npu(tmp_path, "__version__ = '2.13.0'\ndef _autoload(): pass\n" + FAKE, entry_point=True)
    assert run(REPORT, folder) == ["False torch_npu 2.13.0", "None"]


def test_a_torch_npu_without_the_operator_is_named(tmp_path):
    """Its namespace is its own: ours in it might collide with what it does have."""
    lines = run(REPORT + HAS, fake_torch_npu(tmp_path, "__version__ = '1.11'"))
    reason = "operators are registered, npu_fused_infer_attention_score is not among them"
    assert lines == ["False torch_npu 1.11", reason, "False False False"]


def test_an_older_torch_npu_keeps_its_namespace(tmp_path):
    """Up to 2.6 it lacks the second version. Ours beside it would be a mixture that no NPU has."""
    folder = fake_torch_npu(tmp_path, "__version__ = '2.6.0'\n" + FAKE)
    assert run(REPORT + HAS, folder) == ["False torch_npu 2.6.0", "None", "True False False"]


def test_a_sibling_that_is_registered_already_decides_for_all(tmp_path):
    sibling = FAKE.replace("npu_fused_infer_attention_score", "npu_fusion_attention")
    lines = run(sibling + REPORT + HAS + "print(torch.ops.npu.npu_fusion_attention(torch.zeros(1)).item())")
    assert lines[0] == "False another registration in this process"
    assert lines[1].endswith("npu_fused_infer_attention_score is not among them")
    assert lines[2:] == ["False False False", "1.0"]


def test_a_torch_npu_that_breaks_off_halfway_is_not_joined(tmp_path):
    """Its operators are there all the same, and ours beside them would abort or collide."""
    folder = fake_torch_npu(tmp_path, FAKE + "raise ImportError('libascendcl.so: undefined symbol')")
    lines = run(REPORT, folder)
    assert lines[0] == "False torch_npu"
    assert "undefined symbol" in lines[1]


def test_torch_npu_cannot_be_imported_after_ours(tmp_path):
    """It would abort the process; an ImportError can be handled."""
    folder = fake_torch_npu(tmp_path, "")
    script = (
        "import sys; sys.path.remove({0!r})\nimport fiabench.npu_operator\nsys.path.insert(0, {0!r})\n"
        "import importlib.util; print(importlib.util.find_spec('torch_npu'))\n"
        "try: import torch_npu\nexcept ImportError: print('refused')\n"
    ).format(str(folder))
    assert run(script, folder) == ["None", "refused"]
