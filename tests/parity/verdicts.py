"""Run in a process with the real torch_npu: says as JSON which uses and which calls on its input it does not take."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import torch
import torch_npu

from tests.parity.answers import do_not_ask_for_the_device, packet
from tests.parity.calls import described, remade

MODULES = {"torch": torch, "torch_npu": torch_npu}


def main() -> None:
    do_not_ask_for_the_device()
    uses, calls = json.load(sys.stdin)
    problems = [[verdict for use in uses if (verdict := used(*use))]]
    problems.append([verdict for call in calls if (verdict := called(*call))])
    print(json.dumps(problems))


def used(where: str, name: str, positional: int | None, keywords: list[str]) -> str | None:
    """What is wrong with this use of an attribute; builtin functions tell no signature."""
    first, *rest = name.split(".")
    found = MODULES[first]
    try:
        for part in rest:
            found = getattr(found, part)
        if positional is not None and not inspect.isbuiltin(found):
            inspect.signature(found).bind(*[0] * positional, **dict.fromkeys(keywords))
    except (AttributeError, TypeError) as error:
        return f"{where} {name}: {error}"
    return None


def called(case: str, operator: str, positional: list[Any], named: dict[str, Any], outputs: Any) -> str | None:
    """What the real operator says to this call, or what it answers instead of ``outputs``."""
    try:
        answer = packet(operator)(*map(remade, positional), **{name: remade(value) for name, value in named.items()})
    except (AttributeError, TypeError, RuntimeError) as error:
        return f"{case} {operator}: {error}"
    if described(answer) != outputs:
        return f"{case} {operator}: {described(answer)} and not {outputs}"
    return None


if __name__ == "__main__":
    main()
