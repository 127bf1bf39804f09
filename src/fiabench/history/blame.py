"""Whose fault a change is: the code's, the box's, or undecided until something more is measured.

From one point of a history to a later one the commit changes, and the stack may have changed with it: torch_npu, CANN,
driver, device, this engine. Where the stack is the same, it is the code. Where both changed, it is settled only by a
commit that was measured on both stacks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fiabench.history.series import Point, differences, value_of

CODE, BOX, UNDECIDED = "the code's", "the box's", "undecided"
_SHARE = 0.5
"""Of a change, in logarithms: who made more than this is at fault."""


class Fault(NamedTuple):
    """Whose a change is said to be."""

    whose: str
    """CODE, BOX or UNDECIDED."""
    why: str

    @property
    def open(self) -> bool:
        return self.whose == UNDECIDED


def blame(before: Point, after: Point, metric: str) -> Fault:
    """Whose the change of ``metric`` is that lies between the two, or where one of them was not measured how it ends.

    Both are points of one series.
    """
    if not (before.stack and after.stack):
        return Fault(CODE, "the commit changed; of the box and its software nothing is known, as nothing ran")
    changed = differences(before.stack, after.stack)
    if not changed:
        return Fault(CODE, "the box and its software are the same")
    stack = ", ".join(f"{name} {old} -> {new}" for name, old, new in changed)
    share = _box_s_share(before, after, metric)
    if share is None:
        return Fault(UNDECIDED, f"the commit changed, and so did {stack}; no commit of the two was measured on both")
    whose = BOX if share > _SHARE else CODE
    return Fault(whose, f"{share:.0%} of it came with {stack}, by a commit that was measured on both")


def _box_s_share(before: Point, after: Point, metric: str) -> float | None:
    """Which part of the change the stack makes, from 0 to 1; None where no commit was measured on both stacks."""
    for point, other, sign in ((before, after, 1.0), (after, before, -1.0)):
        for measurement, stack, *_ in point.elsewhere:
            if stack == other.stack:
                if not (before.measured and after.measured):
                    # Of a failure: the commit that ends otherwise on the other stack ends so by the stack.
                    return float(measurement.measured is not point.measured)
                there, here = value_of(measurement, metric), point.value(metric)
                values = before.value(metric), after.value(metric)
                if there and here and values[0] and values[1]:
                    whole = math.log(values[1].value / values[0].value)
                    part = sign * math.log(there.value / here.value) / whole if whole else 0.0
                    return min(max(part, 0.0), 1.0)
    return None
