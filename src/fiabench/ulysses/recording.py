"""Finds the phases of an outside exchange without touching its code: where is a collective entered, where left?

While :class:`CollectiveMarks` lasts, torch.distributed's collectives and the functional ones are wrapped wherever a
loaded module holds them, so that ``from torch.distributed import all_to_all_single`` is caught as well. A collective
is left when its call returns, one that runs on asynchronously when it is waited for: by ``Work.wait``, ``wait_tensor``
or the first use of an AsyncCollectiveTensor.

Not seen: a function kept in a class, a closure or a partial from before, methods of a ProcessGroup, operators of
``torch.ops`` called directly, and graphs that torch.compile has made. An exchange in which nothing is seen is an error.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch.distributed import _functional_collectives as functional
from torch.distributed import distributed_c10d as c10d

from fiabench.devices.base import Device

Interval = tuple[Any, Any]
"""Two marks of a device, one after the other."""

_COLLECTIVES = (
    "all_gather",
    "all_gather_coalesced",
    "all_gather_into_tensor",
    "all_gather_single",
    "_all_gather_base",
    "all_reduce",
    "all_reduce_coalesced",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "batch_isend_irecv",
    "broadcast",
    "gather",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_single",
    "reduce_scatter_tensor",
    "_reduce_scatter_base",
    "scatter",
    "send",
)
_POINT_TO_POINT = ("irecv", "isend")
"""torch tells the operations of a P2POp apart by identity, so its own module keeps these as they are."""
_FUNCTIONAL = (
    "all_gather_into_tensor_coalesced",
    "all_gather_single",
    "all_gather_single_autograd",
    "all_gather_single_coalesced",
    "all_gather_tensor",
    "all_gather_tensor_autograd",
    "all_reduce",
    "all_reduce_coalesced",
    "all_to_all_single",
    "all_to_all_single_autograd",
    "broadcast",
    "permute_tensor",
    "reduce_scatter_single",
    "reduce_scatter_single_autograd",
    "reduce_scatter_single_coalesced",
    "reduce_scatter_tensor",
    "reduce_scatter_tensor_autograd",
    "reduce_scatter_tensor_coalesced",
)


class CollectiveMarks:
    """Marks of a device where collectives are entered and left, while this context lasts.

    Entering and leaving the context reads every loaded module, some 20 ms each: meant to last over many calls. Between
    two of them, :meth:`clear` forgets what is not theirs, and :meth:`take` gives what was recorded. For one thread.
    """

    def __init__(self, device: Device) -> None:
        self._mark = device.mark
        self._marks: list[Interval] = []
        self._entered: Any = None
        self._under_way: dict[int, Any] = {}
        """What has to be waited for, a Work by its id and a tensor by its storage; kept so that neither is reused."""
        self._inside = False
        self._wrappers: dict[int, Any] = {}
        """The id of each original to its wrapper."""
        self._originals: dict[int, Any] = {}
        self._in_classes: list[tuple[type, str, Any]] = []

    def __enter__(self) -> CollectiveMarks:
        self.clear()
        modules: dict[ModuleType, tuple[str, ...]] = {c10d: _COLLECTIVES + _POINT_TO_POINT, functional: _FUNCTIONAL}
        for module, names in modules.items():
            for original in (getattr(module, name) for name in names if hasattr(module, name)):
                self._add(original, self._collective(original))
        self._add(functional.wait_tensor, self._waiting_for_tensor(functional.wait_tensor))
        _replace(self._wrappers)
        self._in_class(c10d.Work, "wait", self._waiting_for_work(c10d.Work.wait))
        for name in ("__new__", "__init__"):
            self._in_class(c10d.P2POp, name, self._with_original_operation(getattr(c10d.P2POp, name)))
        return self

    def __exit__(self, *exception: object) -> None:
        """Puts everything back, in modules too that were loaded meanwhile."""
        for owner, name, original in reversed(self._in_classes):
            setattr(owner, name, original)
        self._in_classes.clear()
        _replace(self._originals)
        self._wrappers.clear()
        self._originals.clear()

    def clear(self) -> None:
        """Forgets what was recorded and what is still under way."""
        self._marks = []
        self._under_way.clear()
        self._inside = False

    def take(self) -> list[Interval]:
        """(entered, left) of each collective since :meth:`clear` or the last take; those that overlap are one.

        Raises RuntimeError where one was entered and never waited for.
        """
        if self._under_way:
            count = len(self._under_way)
            self.clear()
            raise RuntimeError(f"{count} asynchronous collective(s) of the outside exchange were never waited for")
        marks, self._marks = self._marks, []
        return marks

    def _add(self, original: Any, wrapper: Any) -> None:
        self._wrappers[id(original)] = wrapper
        self._originals[id(wrapper)] = original

    def _in_class(self, owner: type, name: str, method: Any) -> None:
        self._in_classes.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, method)

    def _collective(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*arguments: Any, **keywords: Any) -> Any:
            if self._inside or not self._wrappers:  # part of another collective, or kept beyond the context
                return original(*arguments, **keywords)
            if not self._under_way:
                self._entered = self._mark()
            self._inside = True
            try:
                result = original(*arguments, **keywords)
            finally:
                self._inside = False
            self._await(result)
            if not self._under_way:
                self._marks.append((self._entered, self._mark()))
            return result

        return call

    def _await(self, result: Any) -> None:
        if isinstance(result, c10d.Work):
            self._under_way[id(result)] = result
        elif isinstance(result, functional.AsyncCollectiveTensor):
            self._under_way[_storage(result)] = result
        elif isinstance(result, (list, tuple)):
            for part in result:
                self._await(part)

    def _waiting_for_work(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wait(work: Any, *arguments: Any, **keywords: Any) -> Any:
            result = original(work, *arguments, **keywords)
            self._left(id(work))
            return result

        return wait

    def _waiting_for_tensor(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wait_tensor(tensor: Any) -> Any:
            result = original(tensor)
            if self._under_way:
                self._left(_storage(tensor))
            return result

        return wait_tensor

    def _left(self, key: int) -> None:
        if self._under_way.pop(key, None) is not None and not self._under_way:
            self._marks.append((self._entered, self._mark()))

    def _with_original_operation(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def method(instance: Any, op: Any, *arguments: Any, **keywords: Any) -> Any:
            return original(instance, self._originals.get(id(op), op), *arguments, **keywords)

        return method


def split(start: Any, marks: list[Interval], end: Any) -> dict[str, list[Interval]]:
    """The phases of a call between ``start`` and ``end``: `pack`, `exchange`, `unpack`, each a list of intervals.

    What comes before the first collective is packing, what comes after the last is unpacking; work between two
    collectives is taken for packing of the next. Raises RuntimeError where no collective was recorded.
    """
    if not marks:
        raise RuntimeError(
            "no collective was recorded in the outside exchange: it sent nothing, or called torch.distributed in a way "
            "that fiabench.ulysses.recording does not see"
        )
    left = [start, *(leave for _, leave in marks)]
    return {
        "pack": [(before, enter) for before, (enter, _) in zip(left, marks)],
        "exchange": list(marks),
        "unpack": [(left[-1], end)],
    }


def _storage(tensor: torch.Tensor) -> int:
    """What a tensor and its views share."""
    while isinstance(tensor, functional.AsyncCollectiveTensor):
        tensor = tensor.elem
    return int(tensor.untyped_storage().data_ptr())


def _replace(replacements: dict[int, Any]) -> None:
    """In every loaded module, whatever has one of these ids gives way to its replacement."""
    kept = {id(getattr(c10d, name)) for name in _POINT_TO_POINT}
    for module in list(sys.modules.values()):
        if not isinstance(module, ModuleType):
            continue
        names = vars(module)
        for name, value in list(names.items()):
            replacement = replacements.get(id(value))
            if replacement is not None and not (module is c10d and id(value) in kept):
                names[name] = replacement
