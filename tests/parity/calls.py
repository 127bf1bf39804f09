"""The calls that the operators under test make, recorded on Meta tensors, in words that another process can repeat."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from fiabench import ops
from fiabench.cases.case import LAYOUTS, MASKS, Case
from tests.parity.grid import shape

LENGTHS = ((64, 64), (64, 96), (1, 96))
CACHES = ("contiguous", "paged_BBH_128", "paged_BNBD_128", "paged_NZ_128")
BATCH, HEADS, KV_HEADS, HEAD_DIM = 2, 4, 2, 64


class Call(NamedTuple):
    """One call of ``torch.ops.npu``'s operator of that name, and what came out."""

    case: str
    operator: str
    positional: list[Any]
    named: dict[str, Any]
    outputs: Any


def recorded() -> list[Call]:
    """Every operator that the NPU's operators stand behind, in every case that it takes.

    Once as a case has it, once with padded tokens, as an exchange leaves them.
    """
    real = torch.ops.npu
    recorder = torch.ops.npu = _Recorder(real)
    try:
        for name in ops.names():
            operator = ops.load(name)
            if not operator.emulated("cpu"):
                continue
            for case in _cases(name):
                if operator.unsupported(case, "cpu") is None:
                    recorder.case = case.id
                    _launch(operator, case, 0)
                    _launch(operator, case, 8)
    finally:
        torch.ops.npu = real
    return recorder.calls


def described(value: Any) -> Any:
    """A tensor as its shape, strides and dtype; a tuple as a list."""
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "stride": list(value.stride()), "dtype": str(value.dtype)}
    if isinstance(value, (tuple, list)):
        return [described(part) for part in value]
    return value


def remade(value: Any) -> Any:
    """The reverse of :func:`described`, on Meta."""
    if isinstance(value, dict):
        dtype = getattr(torch, value["dtype"].removeprefix("torch."))
        return torch.empty_strided(value["shape"], value["stride"], dtype=dtype, device="meta")
    return value


class _Recorder:
    """``torch.ops.npu`` with an ear."""

    def __init__(self, namespace: Any) -> None:
        self.calls: list[Call] = []
        self.case = ""
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        operator = getattr(self._namespace, name)

        def call(*positional: Any, **named: Any) -> Any:
            outputs = operator(*positional, **named)
            given = {key: described(value) for key, value in named.items()}
            self.calls.append(Call(self.case, name, described(positional), given, described(outputs)))
            return outputs

        return call


def _cases(name: str) -> Iterator[Case]:
    for layout, mask, (tokens_q, tokens_kv), cache in itertools.product(LAYOUTS, MASKS, LENGTHS, CACHES):
        yield Case(
            measure="kernel",
            op=name,
            layout=layout,
            dtype="bf16",
            mask=mask,
            seq_len_q=tokens_q,
            seq_len_kv=tokens_kv,
            batch=BATCH,
            heads=HEADS,
            kv_heads=KV_HEADS,
            head_dim=HEAD_DIM,
            tp=1,
            ulysses=1,
            heads_per_rank=HEADS,
            kv_heads_per_rank=KV_HEADS,
            exchange="none",
            exchange_bytes=0,
            replicas="one",
            threads=0,
            kv_cache=cache,
        )


def _launch(operator: Any, case: Case, padding: int) -> None:
    """Launch the case with so many tokens after the real ones."""
    if padding and case.block_size:
        return
    axes = LAYOUTS[case.layout].input
    tensors = [
        torch.empty(shape(axes, BATCH, tokens + padding, heads, HEAD_DIM), dtype=torch.bfloat16, device="meta")
        for tokens, heads in ((case.seq_len_q, HEADS), (case.seq_len_kv, KV_HEADS), (case.seq_len_kv, KV_HEADS))
    ]
    operator.prepare(case, *tensors)()
    if hasattr(operator, "prepare_with_lse"):
        operator.prepare_with_lse(case, *tensors)()
