"""torch's scaled_dot_product_attention, on the back end that torch chooses or on one by name.

torch reads [B, N, S, D]: every layout goes in as views and comes out contiguous in its own order, a copy that is part
of the launch. Its masks are true where a key is **seen**. Keys that are padding are left out as views, where a real
query would see them.

What each back end takes on CUDA: `can_use_flash_attention` and its neighbours in torch's
`aten/src/ATen/native/transformers/cuda/sdp_utils.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fiabench.cases.case import LAYOUTS, Case
from fiabench.ops._axes import arranged, heads_first, sizes_of
from fiabench.ops._limits import Limits, refusal


class Backend(NamedTuple):
    """One of torch's back ends."""

    name: str
    """In torch.nn.attention.SDPBackend."""
    limits: Limits
    cuda: Limits
    """Beside ``limits`` on CUDA."""
    step: int = 1
    """Head dims on CUDA are multiples of this."""
    own_mask: bool = True
    """Whether it takes a mask on CUDA; else only what ``is_causal`` says, between as many queries as keys."""


def unsupported(case: Case, device: str, backend: Backend) -> str | None:
    """What the back end does not take, as far as it does not depend on the GPU's generation or torch's version."""
    name = backend.limits.name
    reason = refusal(case, device, backend.limits)
    if reason or device != "cuda":
        return reason
    reason = refusal(case, device, backend.cuda)
    if reason:
        return reason
    if case.head_dim % backend.step:
        return f"head dim {case.head_dim}: {name} takes multiples of {backend.step} on cuda"
    if not backend.own_mask and case.mask != "none" and case.seq_len_q != case.seq_len_kv:
        return f"mask {case.mask}: {name} takes it on cuda between as many queries as keys only"
    return None


def unsupported_lse(case: Case, device: str, name: str) -> str | None:
    """Why a ring cannot have the log-sum-exp, which torch's flash kernels return; None without a ring."""
    if case.ring == 1 or device == "cpu":
        return None
    if device == "npu":
        return f"ring {case.ring}: {name} returns no log-sum-exp on npu"
    if case.dtype == "fp32" or case.head_dim > 256 or case.head_dim % 8:
        return f"ring {case.ring}: {name} returns the log-sum-exp on cuda for fp16 and bf16, head dims to 256 by 8"
    if case.mask == "causal_full" or (case.mask != "none" and case.seq_len_q != case.seq_len_kv):
        return f"ring {case.ring}, mask {case.mask}: {name} returns the log-sum-exp on cuda between equal lengths"
    return None


def emulated(device: str) -> bool:
    """Never: this is torch's own everywhere."""
    del device
    return False


class _Inputs(NamedTuple):
    """[B, N, S, D] views and what masks them."""

    query: Tensor
    key: Tensor
    value: Tensor
    is_causal: bool
    """Counted from the top left."""
    bias: Tensor | None
    scale: float


def _inputs(case: Case, query: Tensor, key: Tensor, value: Tensor) -> _Inputs:
    sizes, axes = sizes_of(case, query, key), LAYOUTS[case.layout].input
    query = heads_first(query, axes, sizes.heads, sizes.batch)
    key, value = (heads_first(tensor, axes, sizes.kv_heads, sizes.batch) for tensor in (key, value))
    shift = case.seq_len_kv - case.seq_len_q
    top_left = case.mask == "causal_top_left" or (case.mask == "causal" and shift == 0)
    if sizes.tokens_kv > case.seq_len_kv and not (top_left and shift >= 0):
        key, value = (tensor.narrow(2, 0, case.seq_len_kv) for tensor in (key, value))
    bias = None
    if case.mask == "causal" and not top_left:
        # In the query's dtype, because torch would turn a bool mask into such a bias in every call.
        bias = _bias(_seen(query, key, shift), query)
    return _Inputs(query, key, value, top_left, bias, sizes.head_dim**-0.5)


def _seen(query: Tensor, key: Tensor, shift: int) -> Tensor:
    """A full causal mask, bool [Sq, Skv]: true where key j does not lie after query i + ``shift``."""
    return torch.ones(query.size(2), key.size(2), dtype=torch.bool, device=query.device).tril_(shift)


def _bias(seen: Tensor, query: Tensor) -> Tensor:
    """0 where a key is seen and -inf elsewhere, in the query's dtype. ``seen`` is overwritten."""
    bias = torch.zeros(seen.shape, dtype=query.dtype, device=query.device)
    return bias.masked_fill_(seen.logical_not_(), -torch.inf)


def _full_mask(case: Case, inputs: _Inputs) -> Tensor:
    return _seen(inputs.query, inputs.key, case.seq_len_kv - case.seq_len_q)


def prepare(case: Case, query: Tensor, key: Tensor, value: Tensor, backend: str | None = None) -> Callable[[], Tensor]:
    """The launch, on the SDPBackend of that name or the one that torch chooses.

    A back end is chosen by a context entered in each call: it holds for the whole process, so it may not stay open
    between calls, when another operator may be measured. That costs about 16 us of the host's time in a call
    (`sdpa_kernel` alone, torch 2.13, one core of an x86 CPU), the difference to see where a call is that short.
    """
    inputs = _inputs(case, query, key, value)
    axes = LAYOUTS[case.layout].output
    # torch before 2.5 has no such argument, so it is passed only where it matters.
    grouped: dict[str, Any] = {"enable_gqa": True} if inputs.query.size(1) != inputs.key.size(1) else {}

    def attend() -> Tensor:
        output = F.scaled_dot_product_attention(
            inputs.query,
            inputs.key,
            inputs.value,
            attn_mask=_full_mask(case, inputs) if case.mask == "causal_full" else inputs.bias,
            is_causal=inputs.is_causal,
            scale=inputs.scale,
            **grouped,
        )
        return arranged(output, axes)

    if backend is None:
        return attend
    from torch.nn.attention import SDPBackend, sdpa_kernel

    chosen = getattr(SDPBackend, backend)

    def on_backend() -> Tensor:
        with sdpa_kernel(chosen):
            return attend()

    return on_backend


def prepare_with_lse(case: Case, query: Tensor, key: Tensor, value: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """The launch of torch's flash kernel, which alone returns the log-sum-exp, float32 [B, N, Sq]; it is called by its
    name in aten. Raises ValueError on CUDA for a mask that its kernel does not take.

    Of a query that sees no key torch's CPU kernel returns 0.
    """
    inputs = _inputs(case, query, key, value)
    axes = LAYOUTS[case.layout].output

    def on_cpu() -> tuple[Tensor, Tensor]:
        bias = inputs.bias
        if case.mask == "causal_full":
            # scaled_dot_product_attention itself makes the same of a bool mask.
            bias = _bias(_full_mask(case, inputs), inputs.query)
        output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            *inputs[:3], 0.0, inputs.is_causal, attn_mask=bias, scale=inputs.scale
        )
        return arranged(output, axes), lse

    def on_cuda() -> tuple[Tensor, Tensor]:
        output, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            *inputs[:3], 0.0, inputs.is_causal, False, scale=inputs.scale
        )
        return arranged(output, axes), lse

    if not query.is_cuda:
        return on_cpu
    square = inputs.query.size(2) == inputs.key.size(2)
    if case.mask == "causal_full" or inputs.bias is not None or (inputs.is_causal and not square):
        lengths = f"{case.seq_len_q} queries and {case.seq_len_kv} keys"
        raise ValueError(f"mask {case.mask} of {lengths}: torch's flash attention takes none of its own on cuda")
    return on_cuda
