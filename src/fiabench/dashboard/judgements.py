"""What the detector found is kept: of a long history only the newest window is judged when a commit is added."""

from __future__ import annotations

import json
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

from fiabench.dashboard.keeping import mark_of_sources, write_whole
from fiabench.stats import changes as detector
from fiabench.stats.changes import Change, Detection

_FILE = "judged.json"


class Judgements(dict[str, Detection]):
    """Detections by what they were made of. Whoever removes the file in ``folder`` loses time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._used: set[str] = set()
        super().__init__(self._read())
        self._kept = set(self)

    def _read(self) -> dict[str, Detection]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            kept = content["judged"].items() if content["detector"] == _detector() else ()
            return {name: _detection(*found) for name, found in kept}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}  # nothing yet, or cut short: all is judged again

    def __getitem__(self, name: str) -> Detection:
        self._used.add(name)
        return super().__getitem__(name)

    def close(self) -> None:
        """Keeps what was used, and forgets the rest: what nobody asked for is of a series that has changed."""
        if self._used == self._kept:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = {"detector": _detector(), "judged": {name: astuple(self[name]) for name in sorted(self._used)}}
        write_whole(self._path, json.dumps(content, separators=(",", ":")))


def _detection(
    flags: list[Any], candidates: list[Any], suspects: list[Any], abstains: str, visible: float | None
) -> Detection:
    flagged, considered, fresh = (tuple(Change(*one) for one in found) for found in (flags, candidates, suspects))
    return Detection(flagged, considered, fresh, abstains, visible)


@cache
def _detector() -> str:
    """Which detector it is, by its source: another one judges anew."""
    return mark_of_sources(Path(detector.__path__[0]))
