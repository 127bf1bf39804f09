"""The operators under test: found by name, honest about masks, heads and who runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fiabench import npu_operator, ops
from fiabench.cases.operators import operator_names
from tests.ops.made import in_layout, make_case, tensors

NAMES = [
    "fia",
    "fia_v2",
    "flash_attn",
    "fusion_attention",
    "prompt_flash_attention",
    "sdpa",
    "sdpa_cudnn",
    "sdpa_efficient",
    "sdpa_flash",
    "sdpa_math",
]
NPU = ("fia", "fia_v2", "fusion_attention", "prompt_flash_attention")
ON_CPU = (*NPU, "sdpa", "sdpa_flash", "sdpa_math")


def test_names_are_the_files_and_listing_imports_no_torch() -> None:
    script = "import sys, fiabench.ops as o; print(*o.names()); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    listed, torch_loaded = done.stdout.splitlines()
    assert listed.split() == NAMES
    assert torch_loaded == "False"


def test_a_sweep_knows_the_same_names() -> None:
    assert operator_names() == NAMES


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no operator named 'flash'; there are: .*fia.*sdpa"):
        ops.load("flash")


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_offers_the_whole_interface(name: str) -> None:
    operator = ops.load(name)
    assert len(operator.ABOUT.splitlines()) == 1
    assert operator.emulated("cpu") in (True, False)
    assert isinstance(operator.unsupported(make_case(op=name), "cpu"), (str, type(None)))


@pytest.mark.parametrize("name", NAMES)
def test_emulation_is_told(name: str) -> None:
    operator = ops.load(name)
    assert operator.emulated("cpu") is (name in NPU and npu_operator.provided())
    assert operator.emulated("npu") is False


def test_fia_takes_its_head_count_from_the_tensors() -> None:
    """The seed's bug: the model's count would be refused, a rank's is what the tensors have."""
    case = make_case(heads=40, kv_heads=40, heads_per_rank=5, kv_heads_per_rank=5)
    ops.load("fia").prepare(case, *tensors(case))()


class _Calls(TorchDispatchMode):
    """The names of the operators that torch runs, with the shape of what each returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        shape = tuple(result.shape) if isinstance(result, torch.Tensor) else ()
        self.seen.append((func._overloadpacket.__name__, shape))
        return result


def made_in(launch: Any) -> list[tuple[str, tuple[int, ...]]]:
    with _Calls() as calls:
        launch()
    return calls.seen


@pytest.mark.parametrize(
    ("name", "layout"),
    [*((name, "BNSD") for name in ON_CPU), *((name, "TND") for name in ("fia", "fusion_attention", "sdpa"))],
)
def test_a_full_mask_is_built_in_every_call_and_no_other_mask_in_any(name: str, layout: str) -> None:
    """A mask built before the launch would not be timed; one built in it would be."""
    lengths = {"seq_len_q": 10, "seq_len_kv": 24}
    for mask in ("causal", "causal_top_left", "causal_full"):
        case = make_case(op=name, mask=mask, layout=layout, **lengths)
        launch = ops.load(name).prepare(case, *in_layout(case, tensors(case)))
        for _ in range(3):
            made = made_in(launch)
            built = [call for call in made if call == ("ones", (10, 24))]
            compressed = [call for call in made if call == ("ones", (2048, 2048))]
            # torch's own matrix products make one of is_causal, whoever calls them.
            of_torch = name == "sdpa_math" and mask == "causal_top_left"
            assert len(built) == (mask == "causal_full" or of_torch), mask
            assert not compressed


@pytest.mark.parametrize("name", NPU)
def test_the_mask_handed_over_is_true_where_a_key_is_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The NPU's convention, which is the inverse of torch's; a full mask stands whole, a causal one compressed."""
    operator = {
        "fia": "npu_fused_infer_attention_score",
        "fia_v2": "npu_fused_infer_attention_score_v2",
        "prompt_flash_attention": "npu_prompt_flash_attention",
        "fusion_attention": "npu_fusion_attention",
    }[name]
    given: list[dict[str, Any]] = []
    real = getattr(torch.ops.npu, operator)

    def observed(*args: Any, **kwargs: Any) -> Any:
        given.append(kwargs)
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.ops.npu, operator, observed)
    for mask in ("causal_full", "causal", "causal_top_left"):
        case = make_case(op=name, mask=mask, seq_len_q=3, seq_len_kv=4)
        launch = ops.load(name).prepare(case, *tensors(case))
        launch()
        launch()
    full, again, causal, causal_again, top_left, _ = given
    assert full["atten_mask"].tolist() == [[False, False, True, True], [False] * 3 + [True], [False] * 4]
    assert full["atten_mask"].dtype == torch.bool
    assert again["atten_mask"] is not full["atten_mask"]
    # What the limits of mode 0 beside a full mask hide depends on their defaults, which differ.
    limits = {key: value for key, value in full.items() if "next_to" in key or key == "sparse_mode"}
    assert limits == {"prompt_flash_attention": {"next_tokens": 2**31 - 1}, "fusion_attention": {"sparse_mode": 1}}.get(
        name, {}
    )
    assert (causal["sparse_mode"], top_left["sparse_mode"]) == (3, 2)
    assert torch.equal(causal["atten_mask"], torch.ones(2048, 2048).triu(1).bool())
    assert causal_again["atten_mask"] is causal["atten_mask"]


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("sdpa_flash", "_scaled_dot_product_flash_attention_for_cpu"),
        ("sdpa_math", "_scaled_dot_product_attention_math"),
    ],
)
def test_a_back_end_runs_and_leaves_torch_as_it_was(name: str, kernel: str) -> None:
    case = make_case(op=name, kv_heads_per_rank=4)
    query, key, value = tensors(case)
    launch = ops.load(name).prepare(case, query, key, value)
    before = [flag() for flag in _FLAGS]
    with torch.profiler.profile() as profile:
        launch()
    assert [flag() for flag in _FLAGS] == before
    assert f"aten::{kernel}" in {event.name for event in profile.events()}


_FLAGS = (
    torch.backends.cuda.flash_sdp_enabled,
    torch.backends.cuda.math_sdp_enabled,
    torch.backends.cuda.mem_efficient_sdp_enabled,
    torch.backends.cuda.cudnn_sdp_enabled,
)
