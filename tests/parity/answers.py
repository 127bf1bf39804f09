"""Run in two processes, with torch_npu's operators and with fiabench's: says as JSON what they answer."""

from __future__ import annotations

import importlib
import json
from typing import Any

import torch

from fiabench import npu_operator
from fiabench.npu_operator.schema import SCHEMAS
from tests.parity.calls import described, recorded
from tests.parity.grid import Ask, Spec, asks


def main() -> None:
    answers: dict[str, Any] = {"described": npu_operator.describe()}
    if npu_operator.provided():
        answers["calls"] = recorded()
    else:
        do_not_ask_for_the_device()
    with_meta = [
        name for name in SCHEMAS if torch._C._dispatch_has_kernel_for_dispatch_key(overload(name).name(), "Meta")
    ]
    answers |= {
        "schemas": {name: str(overload(name)._schema) for name in SCHEMAS},
        "overloads": {name: packet(name).overloads() for name in SCHEMAS if "." not in name},
        "with a Meta kernel": with_meta,
        "meta": [answer(ask) for ask in asks()],
    }
    print(json.dumps(answers))


def do_not_ask_for_the_device() -> None:
    """The real Meta kernel of npu_fusion_attention first asks which NPU this is, for a warning, and here is none."""
    registrations = importlib.import_module("torch_npu.op_plugin.meta._meta_registrations")
    assert registrations._npu_fusion_attention_warning_printed is False
    registrations._npu_fusion_attention_warning_printed = True


def packet(name: str) -> Any:
    return getattr(torch.ops.npu, name.partition(".")[0])


def overload(name: str) -> Any:
    return getattr(packet(name), name.partition(".")[2] or "default")


def answer(ask: Ask) -> Any:
    """Shapes, strides and dtypes of what comes out; or the exception's name, of a refusal the first line too."""
    named = {name: made(value) for name, value in ask.named.items()}
    try:
        outputs = packet(ask.operator)(*map(made, ask.positional), **named)
    except RuntimeError as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    except (IndexError, KeyError, ZeroDivisionError) as error:
        return type(error).__name__
    return described(outputs)


def made(value: Any) -> Any:
    return value.make() if isinstance(value, Spec) else value


if __name__ == "__main__":
    main()
