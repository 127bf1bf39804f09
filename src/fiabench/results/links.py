"""What one rank can send to the others of its node at most, which bus bandwidth is held against."""

from __future__ import annotations

import math
from typing import Any

MESH = "mesh"
"""Each pair of ranks has a link of its own, so that fewer ranks use fewer links."""


def link_bandwidth(environment: dict[str, Any], ranks: int) -> float | None:
    """Bytes/s one way, from one of ``ranks`` to all the others, by what a run's fingerprint says of the device's peak.

    None where it says nothing that can be used, or the ranks do not fit into a node.
    """
    peak = environment.get("peak")
    link = peak.get("link") if isinstance(peak, dict) else None
    if not isinstance(link, dict):
        return None
    bandwidth, most = link.get("bandwidth"), link.get("ranks")
    if not (isinstance(bandwidth, (int, float)) and 0 < bandwidth < math.inf and isinstance(most, int)):
        return None
    if not 1 < ranks <= most:
        return None
    return bandwidth * (ranks - 1) / (most - 1) if link.get("links") == MESH else float(bandwidth)
