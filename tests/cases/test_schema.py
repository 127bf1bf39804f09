"""The JSON Schema in the repository, the words beside every key, and the presets."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import yaml

from fiabench.cases.models import models
from fiabench.cases.operators import operator_names
from fiabench.cases.schema import AXES, json_schema, json_schema_text
from fiabench.cases.shards import shard_heads
from tests.cases.conftest import ROOT, SWEEPS


def test_the_committed_schema_is_current():
    """To the letter with the pydantic that it was made with; others word the same schema a little differently."""
    committed = (ROOT / "sweeps" / "sweep.schema.json").read_text(encoding="utf-8")
    remedy = "python -m fiabench.cases.schema > sweeps/sweep.schema.json"
    assert keys(json.loads(committed)) == keys(json_schema()), remedy
    if json.loads(committed)["$comment"] == json_schema()["$comment"]:
        assert committed == json_schema_text(), remedy


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_shipped_sweeps_meet_the_schema(path):
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json_schema())


@pytest.mark.parametrize(
    "change",
    [{"nme": 1}, {"axes": {"ulysses": ["two"]}}, {"axes": {"ulysses": []}}, {"measure": "x"},
     {"axes": {"seq_len_q": [{"from": 1}]}}, {"constants": {"seq_len_q": True}}],
)  # fmt: skip
def test_the_schema_refuses_what_the_loader_refuses(change):
    jsonschema.validate({"name": "a", "about": "b"}, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "a", "about": "b", **change}, json_schema())


def keys(schema: Any) -> set[str]:
    """Every key that a mapping of the schema may have."""
    found = set()
    for definition in [schema, *schema["$defs"].values()]:
        found |= set(definition.get("properties", {}))
    return found


def test_every_key_is_described_and_in_the_readme():
    schema = json_schema()
    for definition in [schema, *schema["$defs"].values()]:
        for name, field in definition.get("properties", {}).items():
            assert field.get("description"), name
    readme = (ROOT / "sweeps" / "README.md").read_text(encoding="utf-8")
    assert [key for key in sorted(keys(schema)) if f"`{key}`" not in readme] == []
    assert set(AXES) <= keys(schema)


def test_the_readme_lists_the_presets_and_its_example_loads(sweep):
    readme = (ROOT / "sweeps" / "README.md").read_text(encoding="utf-8")
    assert [name for name in models() if f"`{name}`" not in readme] == []
    assert [path.name for path in SWEEPS if f"[{path.name}]" not in readme] == []
    example = readme.split("```yaml\n")[1].split("```")[0]
    loaded = sweep(example, "short")
    assert loaded.name == "mine"
    assert sweep(example).points == 17


def test_presets():
    presets = models()
    assert set(presets) == {
        "wan-14b", "wan22-5b", "wan-1.3b", "hunyuanvideo", "minimax-h3", "qwen-image", "flux1", "cogvideox-5b",
        "cogvideox-2b", "ltx", "qwen3-8b", "qwen3-32b", "qwen3-30b-a3b", "qwen3-235b", "llama-70b",
    }  # fmt: skip
    for preset in presets.values():
        assert preset.source
        assert preset.tokens
        assert preset.heads % preset.kv_heads == 0
    wan = presets["wan-14b"]
    assert (wan.layers, wan.heads, wan.kv_heads, wan.head_dim) == (40, 40, 40, 128)
    assert shard_heads(presets["qwen3-235b"].heads, presets["qwen3-235b"].kv_heads, 16, 1) == (4, 1)


def test_operators_are_found_by_file():
    assert {"fia", "sdpa"} <= set(operator_names())
    assert not {"base", "__init__"} & set(operator_names())


def test_reading_sweeps_imports_no_torch_and_no_numpy():
    """`plan` has to feel instant."""
    program = (
        "import sys; from fiabench.cases import load, expand, costs, filters; "
        f"list(expand.expand(load.load_sweep({str(ROOT / 'sweeps' / 'quick.yaml')!r}))); "
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'asv') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(out.stdout.replace("'", '"')) == []
