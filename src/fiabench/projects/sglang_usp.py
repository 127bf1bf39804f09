"""sglang's Ulysses exchange, loaded without sglang's process groups.

``usp.py`` asks ``parallel_state`` for the sequence-parallel group; what it is asked for is answered here with the group
at hand. Stood in for as well, because they draw in what the exchange does not use: the torch version of
``sglang.srt.utils.common``, and, since 0.5.18, the kernels for packing and for a ring's attention, which raise if they
are called. sglang's own import turns off torch's load balancing of context parallelism in this process.

On CUDA, sglang since 0.5.18 has shortcuts that are not taken here: a kernel for ``usp_merge_heads``, in the place of
which the PyTorch expression runs that every other device gets, and transports over CUDA IPC (on by default between two
ranks), which count as not set up. Everything goes through torch.distributed, as on an NPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fiabench.projects.errors import ProjectError
from fiabench.projects.loading import attribute, load_module

_RUNTIME = "sglang.multimodal_gen.runtime"
_KERNELS = "sglang.kernels.ops"
_STUBS = (
    "sglang",
    "sglang.kernels",
    _KERNELS,
    f"{_KERNELS}.attention",
    "sglang.multimodal_gen",
    _RUNTIME,
    f"{_RUNTIME}.distributed",
    f"{_RUNTIME}.distributed.device_communicators",
    f"{_RUNTIME}.layers",
    f"{_RUNTIME}.layers.attention",
    f"{_RUNTIME}.layers.attention.backends",
    "sglang.srt",
    "sglang.srt.utils",
)
_NOT_USED = ("zmq", "cloudpickle")


class _Group:
    """The sequence-parallel group as ``usp.py`` reads it."""

    ulysses_group: dist.ProcessGroup | None = None
    ring_group: dist.ProcessGroup | None = None
    ulysses_shm_handle: int | None = None
    """Of the exchange through shared memory on CPUs, which is not set up."""


def load(path: Path) -> tuple[ModuleType, Callable[..., Tensor], Callable[..., Tensor]]:
    """The module, and both directions as functions of a tensor and the group. Raises ProjectError."""
    group = _Group()
    module = load_module(path, f"{_RUNTIME}.layers.usp", _STUBS, stand_ins=_stand_ins(group), optional=_NOT_USED)
    to_heads = attribute(module, "_usp_input_all_to_all")
    to_sequence = attribute(module, "_usp_output_all_to_all")

    def bound(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def move(tensor: Tensor, among: dist.ProcessGroup) -> Tensor:
            group.ulysses_group = among
            return function(tensor, head_dim=2)

        return move

    return module, bound(to_heads), bound(to_sequence)


def _stand_ins(group: _Group) -> dict[str, ModuleType]:
    def world_size() -> int:
        return dist.get_world_size(group.ulysses_group)

    def rank() -> int:
        return dist.get_rank(group.ulysses_group)

    def merge_heads(tensor: Tensor) -> Tensor:
        return tensor.permute(2, 1, 0, 3, 4).contiguous()

    def not_ready(*arguments: Any, **keywords: Any) -> bool:
        return False

    packing = {"pack_qkv_destination_major": _unused("pack_qkv_destination_major")}
    merging = {"usp_merge_heads": merge_heads}
    communicators = f"{_RUNTIME}.distributed.device_communicators"
    modules: dict[str, dict[str, Any]] = {
        f"{_RUNTIME}.distributed.parallel_state": {
            "get_sp_group": lambda: group,
            "get_ulysses_parallel_world_size": world_size,
            "get_ulysses_parallel_rank": rank,
            "get_ring_ctx": _unused("get_ring_ctx"),
        },
        f"{communicators}.ipc_a2a": {"ipc_a2a_ready": not_ready, "IPC_A2A": None},
        f"{communicators}.ipc_a2a_multi": {"ipc_a2a_multi_ready": not_ready, "IPC_A2A_MULTI": None},
        "sglang.srt.utils.common": {"torch_release": _torch_release()},
        f"{_KERNELS}.attention.flash_attention": {"flash_attn_varlen_func": _unused("flash_attn_varlen_func")},
        f"{_RUNTIME}.layers.attention.backends.flash_attn": {},
        # 0.5.18 takes both from modules of their own.
        f"{_KERNELS}.diffusion": packing | merging,
        f"{_KERNELS}.diffusion.triton": {},
        f"{_KERNELS}.diffusion.triton.ulysses_qkv": packing,
        f"{_KERNELS}.diffusion.usp_relayout": merging,
    }
    made = {}
    for name, attributes in modules.items():
        made[name] = ModuleType(name)
        made[name].__path__ = []
        vars(made[name]).update(attributes)
    return made


def _unused(name: str) -> Callable[..., Any]:
    def called(*arguments: Any, **keywords: Any) -> Any:
        raise ProjectError(f"sglang's exchange called {name}, which fiabench leaves out; it must be measured otherwise")

    return called


def _torch_release() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", torch.__version__.partition("+")[0])[:3])
