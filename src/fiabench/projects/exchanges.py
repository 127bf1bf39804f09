"""All-to-alls of outside projects around one attention, as they stand, behind one interface.

- `sglang_usp`: sglang's ``_usp_input_all_to_all`` and ``_usp_output_all_to_all``
  (``sglang/multimodal_gen/runtime/layers/usp.py``), releases 0.5.10 to 0.5.23 tried.
- `yunchang`: ``all_to_all_4D`` (``yunchang/comm/all_to_all.py``), 0.6.4 tried.
- ``package.module:name``: any callable with all_to_all_4D's arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch.distributed as dist
from torch import Tensor
from torch.distributed._functional_collectives import AsyncCollectiveTensor

from fiabench.projects import origin, sglang_usp
from fiabench.projects.loading import attribute, load_callable, load_module, make_current

_Move = Callable[[Tensor, dist.ProcessGroup], Tensor]


class OutsideExchange(NamedTuple):
    """Both directions of one project's Ulysses exchange among the P ranks of a group."""

    name: str
    module: ModuleType
    """Where the code lies."""
    to_heads: _Move
    to_sequence: _Move

    def input(self, tensor: Tensor, group: dist.ProcessGroup) -> Tensor:
        """A sequence shard [B, s, N, D] to a head shard [B, S, n, D], with S = s * P and n = N / P."""
        return self._run(self.to_heads, tensor, group)

    def output(self, tensor: Tensor, group: dist.ProcessGroup) -> Tensor:
        """A head shard [B, S, n, D] to a sequence shard [B, s, N, D]."""
        return self._run(self.to_sequence, tensor, group)

    def _run(self, move: _Move, tensor: Tensor, group: dist.ProcessGroup) -> Tensor:
        make_current(self.module)
        moved = move(tensor, group)
        # What is still under way is waited for here, as its first reader would.
        return moved.wait() if isinstance(moved, AsyncCollectiveTensor) else moved

    def provenance(self, path: Path) -> dict[str, Any]:
        """See :func:`fiabench.projects.origin.provenance`."""
        return origin.provenance(self.module, path)


def load_exchange(name: str, path: Path) -> OutsideExchange:
    """The exchange ``name`` (see above) of the project at ``path``. Raises ProjectError where it cannot be loaded."""
    if name == "sglang_usp":
        module, to_heads, to_sequence = sglang_usp.load(path)
        return OutsideExchange(name, module, to_heads, to_sequence)
    if name == "yunchang":
        module = load_module(path, "yunchang.comm.all_to_all", ("yunchang", "yunchang.comm"))
        function = attribute(module, "all_to_all_4D")
    else:
        function, module = load_callable(path, name)
    return OutsideExchange(
        name,
        module,
        lambda tensor, group: function(tensor, scatter_idx=2, gather_idx=1, group=group),
        lambda tensor, group: function(tensor, scatter_idx=1, gather_idx=2, group=group),
    )
