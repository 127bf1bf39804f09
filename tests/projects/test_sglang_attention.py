"""sglang's AscendFAImpl as its releases have it: the crash of 0.5.10, the fix of 0.5.11, and a recent one."""

from __future__ import annotations

import pytest
import torch

from fiabench.projects import sglang_attention
from tests.npu_operator.reference import attention, causal
from tests.ulysses.points import make_case
from tests.wheels import release

FIXED = ["0.5.11", "0.5.23"]


def local_tensors(case):
    """One rank's query, key and value, [B, S, N, D]."""
    torch.manual_seed(0)
    shapes = [(case.batch, length, heads, case.head_dim) for length, heads in sizes(case)]
    return [torch.randn(shape).bfloat16() for shape in shapes]


def sizes(case):
    of_kv = (case.seq_len_kv, case.kv_heads_per_rank)
    return [(case.seq_len_q, case.heads_per_rank), of_kv, of_kv]


def wan(**changes):
    """The seed's case with fewer tokens: 40 heads, tp 2, Ulysses 4."""
    fields = {"layout": "BSND", "dtype": "bf16", "heads": 40, "tp": 2, "ulysses": 4, "seq_len_q": 48, "head_dim": 128}
    return make_case(**(fields | changes))


def test_the_heads_of_the_constructor_reach_the_operator_in_0_5_10():
    case = wan()
    launch = sglang_attention.prepare(case, *local_tensors(case), release("sglang", "0.5.10"))
    words = "[CheckQShape] query layout is BNSD, shape [1, 5, 48, 128] should be equal to [1, 20, 48, 128]"
    with pytest.raises(RuntimeError) as raised:
        launch()
    assert words in str(raised.value)
    assert "error code is 561002" in str(raised.value)


def test_without_sequence_parallelism_0_5_10_is_right():
    case = wan(ulysses=1, heads=8, tp=1)
    assert deviation(case, "0.5.10") < 0.02


@pytest.mark.parametrize("version", FIXED)
@pytest.mark.parametrize(
    "changes",
    [{}, {"mask": "causal"}, {"kv_heads": 8}, {"seq_len_kv": 80}, {"batch": 2}],
    ids=["seed", "causal", "grouped", "cross attention", "batch 2"],
)
def test_since_0_5_11_the_local_heads_count(version, changes):
    assert deviation(wan(**changes), version) < 0.02


def deviation(case, version):
    """Largest difference to float64 attention."""
    query, key, value = local_tensors(case)
    output = sglang_attention.prepare(case, query, key, value, release("sglang", version))()
    hidden = causal(case.seq_len_q, case.seq_len_kv, True) if case.mask == "causal" else None
    wanted, _ = attention(*(tensor.transpose(1, 2) for tensor in (query, key, value)), hidden, case.head_dim**-0.5)
    assert output.shape == query.shape
    return float((output.double() - wanted.transpose(1, 2)).abs().max())


def test_releases_one_after_the_other_in_one_process():
    """A launch that was made before another release was loaded still runs its own."""
    case = wan()
    tensors = local_tensors(case)
    launches = {
        version: sglang_attention.prepare(case, *tensors, release("sglang", version))
        for version in ("0.5.10", "0.5.11", "0.5.23", "0.5.10")
    }
    with pytest.raises(RuntimeError, match="CheckQShape"):
        launches["0.5.10"]()
    assert torch.equal(launches["0.5.11"](), launches["0.5.23"]())


def test_provenance_tells_the_release():
    path = release("sglang", "0.5.11")
    found = sglang_attention.provenance(path)
    assert found["version"] == "0.5.11"
    assert found["path"] == str(path)
    assert found["file"] == str(path / (sglang_attention.MODULE.replace(".", "/") + ".py"))
    assert found["commit"] is None, "the wheel lies in this checkout's build folder, which is none of its commits"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layout": "BNSD"}, "takes BSND"),
        ({"dtype": "fp32"}, "fp16 and bf16"),
        ({"mask": "causal", "seq_len_kv": 80}, "mask of the queries' length"),
        ({"seq_len_q": 50}, "no mask for padded"),
    ],
)
def test_what_the_layer_cannot_do_is_known_beforehand(changes, words):
    assert words in sglang_attention.unsupported(wan(**changes), "cpu")
    assert sglang_attention.unsupported(wan(), "cpu") is None
    assert sglang_attention.emulated("cpu")


def test_a_constructor_that_asks_for_more_is_named(tmp_path):
    """A later release may change the constructor: its words are the reason, not a TypeError."""
    file = tmp_path.joinpath(*sglang_attention.MODULE.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True)
    file.write_text("class AscendFAImpl:\n    def __init__(self, num_heads, window): ...\n")
    case = wan()
    with pytest.raises(RuntimeError, match="this release asks for window"):
        sglang_attention.prepare(case, *local_tensors(case), tmp_path)
