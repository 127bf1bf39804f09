"""A finding beside what is asked for, and whether it is met."""

from __future__ import annotations

import math
from typing import NamedTuple

MET, MISSED = "met", "NOT met"
_SCALES = {"%": 100.0, "ms": 1e3, "times": 1.0}
"""Units to what a value, a ratio or in seconds, is multiplied by."""
DIGITS = 2


class Row(NamedTuple):
    """One row of the page. Bounds are in ``unit``; the verdict is on the value as it is printed."""

    chapter: str
    what: str
    value: float
    """In ``unit``; nan where nothing was found that could be judged."""
    unit: str
    least: float | None = None
    most: float | None = None
    flagged: bool = False
    """Whether the number was doubted in words, where that is as good as keeping the bound."""
    why: str = ""
    """What is known to keep it from its target."""

    @property
    def verdict(self) -> str:
        """MET, MISSED, or empty where nothing is asked for."""
        if self.least is None and self.most is None:
            return ""
        high = math.inf if self.most is None else self.most
        low = -math.inf if self.least is None else self.least
        return MET if low <= self.value <= high or self.flagged else MISSED

    @property
    def found(self) -> str:
        text = "none" if math.isnan(self.value) else f"{self.value:.{DIGITS}f} {self.unit}"
        return f"{text}, flagged" if self.flagged else text

    @property
    def target(self) -> str:
        """What is asked for, in words; empty where nothing is."""
        unit = f" {self.unit}"
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}{unit}"
        if self.least is not None:
            return f"at least {self.least:g}{unit}"
        return "" if self.most is None else f"at most {self.most:g}{unit}"


def row(
    chapter: str,
    what: str,
    value: float,
    unit: str = "%",
    least: float | None = None,
    most: float | None = None,
    flagged: bool = False,
    why: str = "",
) -> Row:
    """A row from a ``value`` that is a ratio (`%`, `times`) or in seconds (`ms`); bounds are in ``unit``."""
    return Row(chapter, what, round(value * _SCALES[unit], DIGITS), unit, least, most, flagged, why)
