"""A layout's tensors, seen the other way: as tokens-first views [B, S, N, D], and from those in the layout's own axes.

B batch, S tokens of a sequence, N heads, D head dim, H = N x D, T = B x S: the sequences of a packed layout are equally
long, as a case's are.
"""

from __future__ import annotations

from torch import Tensor

ORDERS = {"BNSD": "BNSD", "BSND": "BSND", "BSH": "BSND", "NBSD": "NBSD", "TND": "BSND", "NTD": "NBSD"}
"""A layout's axes to the order in memory of batch, tokens, heads and head dim: H = N x D and T = B x S written out."""

OTHER_ORDERS = {"BNSD": "BSND", "BSND": "BNSD", "TND": "NBSD", "NTD": "BSND"}
"""The same with tokens and heads the other way around, of which there is a view with these axes."""


def shape(axes: str, batch: int, tokens: int, heads: int, dim: int) -> tuple[int, ...]:
    """Of a tensor with these axes."""
    sizes = {"B": batch, "S": tokens, "N": heads, "D": dim, "H": heads * dim, "T": batch * tokens}
    return tuple(sizes[axis] for axis in axes)


def tokens_first(tensor: Tensor, axes: str, batch: int, heads: int) -> Tensor:
    """The view [B, S, N, D] of a tensor with these axes."""
    if "T" in axes:
        tensor = tensor.unflatten(axes.index("T"), (batch, -1))
    if "H" in axes:
        tensor = tensor.unflatten(2, (heads, -1))
    return tensor.permute([ORDERS[axes].index(axis) for axis in "BSND"])


def arranged(tensor: Tensor, axes: str) -> Tensor:
    """The view with these axes of a tensor [B, S, N, D]. Raises RuntimeError where its strides allow none."""
    batch, tokens, heads, dim = tensor.shape
    ordered = tensor.permute(["BSND".index(axis) for axis in ORDERS[axes]])
    return ordered.view(shape(axes, batch, tokens, heads, dim))


def contiguous(tensor: Tensor, axes: str, given: str = "BSND") -> Tensor:
    """A tensor with the four axes ``given`` with these axes instead, contiguous; copied where it has to be."""
    ordered = tensor.permute([given.index(axis) for axis in ORDERS[axes]]).contiguous()
    if "H" in axes:
        ordered = ordered.flatten(2)
    if "T" in axes:
        ordered = ordered.flatten(axes.index("T"), axes.index("T") + 1)
    return ordered


def strided(tensor: Tensor, axes: str) -> Tensor:
    """A tensor [B, S, N, D] with these axes, as a view of a copy with tokens and heads the other way around.

    Raises KeyError for axes that are not in :data:`OTHER_ORDERS`.
    """
    order = OTHER_ORDERS[axes]
    copied = tensor.permute(["BSND".index(axis) for axis in order]).contiguous()
    return arranged(copied.permute([order.index(axis) for axis in "BSND"]), axes)
