"""A sweep as a history measures it at every commit: written out once, so that what changes later changes no commit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fiabench.cases.errors import InputError
from fiabench.cases.load import load_sweep
from fiabench.cases.sweep import Sweep

_NOT_IN_A_FILE = ("path", "profile", "model")
_CHANGE_NO_NUMBER = ("path", "profile", "model", "about", "claims")
_HEADS = ("heads", "kv_heads", "head_dim")
_OF_A_BUFFER = ("model", "seq_len_q", "tensors", "tp")
_LONG = 60


def content(resolved: dict[str, Any]) -> dict[str, Any]:
    """What of a sweep, as :meth:`Sweep.resolved` gives it, decides what is measured and how.

    Where its projects lie is not in it: that is the commit.
    """
    kept = {name: value for name, value in resolved.items() if name not in _CHANGE_NO_NUMBER}
    projects = kept.get("projects", {})
    kept["projects"] = {
        name: {key: value for key, value in project.items() if key != "path"} for name, project in projects.items()
    }
    return kept


def measures_alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether a case that both sweeps, as resolved, have is measured in the same way by both.

    Settings that one of them does not know, as an older engine's may not, are passed over.
    """
    old, new = content(a), content(b)
    sampled = old["sampling"].keys() & new["sampling"].keys()
    projects = old["projects"].keys() & new["projects"].keys()
    return all(old["sampling"][name] == new["sampling"][name] for name in sampled) and all(
        old["projects"][name] == new["projects"][name] for name in projects
    )


def freeze(sweep: Sweep, path: Path) -> Sweep:
    """Writes ``sweep``, its profile applied, as a sweep file of its own; returns what that file holds.

    Raises InputError where it cannot be written, or would measure something else.
    """
    text = yaml.safe_dump(_as_file(sweep), sort_keys=False, allow_unicode=True)
    draft = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(f"# Made by `history run`; measured at every commit.\n{text}", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise InputError.plain(f"{path}: cannot be written ({error.strerror})") from error
    written = load_sweep(path)
    if content(written.resolved()) != content(sweep.resolved()):
        raise InputError.plain(f"{sweep.path}: cannot be written out as a file of its own: {path} measures another")
    return written


def _as_file(sweep: Sweep) -> dict[str, Any]:
    """The keys of a sweep file, every range and preset spelt out."""
    data = {name: value for name, value in sweep.resolved().items() if name not in _NOT_IN_A_FILE}
    if sweep.measure == "exchange":
        del data["replicas"]  # which means nothing there, and is refused
    if sweep.model:  # the preset's name stands in titles; its numbers may be the sweep's own
        data["geometry"] = {"model": sweep.model}
        for name in _HEADS:
            if name in data["constants"]:
                data["geometry"][name] = data["constants"].pop(name)
    data["projects"] = {
        name: {key: value for key, value in project.items() if value} for name, project in data["projects"].items()
    }
    made: dict[str, Any] = _buffers(data)
    return made


def _buffers(value: Any) -> Any:
    """``value`` with the buffers of presets in it as a file names them."""
    if isinstance(value, list):
        return [_buffers(part) for part in value]
    if not isinstance(value, dict):
        return value
    if {"model", "tensors", "head_dim"} <= set(value):
        return {name: value[name] for name in _OF_A_BUFFER}
    return {name: _buffers(part) for name, part in value.items()}


def differences(before: Sweep, after: Sweep) -> list[str]:
    """In what two sweeps differ, a few words each: `sampling.max_samples: 5 before, 10 now`."""
    old, new = (dict(_flat(content(sweep.resolved()))) for sweep in (before, after))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return [f"{name}: {_said(old.get(name))} before, {_said(new.get(name))} now" for name in names]


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _said(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
