"""How heads are divided: the model's heads among tensor-parallel ranks, then among Ulysses ranks.

Query heads must divide evenly at both steps, unless the sweep pads them at the second. Key and value heads are
replicated where there are fewer of them than ranks, as every engine does for grouped-query models: each rank then
holds the one kv head that its query heads use.
"""

from __future__ import annotations


class ShardError(ValueError):
    """Heads that do not divide; the message is the reason in words that fit a table."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key
        """What to change: `kv_heads`, `tp` or `ulysses`."""


def kv_heads_on_group(kv_heads: int, tp: int) -> int:
    """Key heads that one tensor-parallel rank (one Ulysses group) holds of a model's ``kv_heads``.

    Raises ShardError (a ValueError) with the reason where they neither divide nor replicate evenly.
    """
    if kv_heads >= tp:
        if kv_heads % tp:
            raise ShardError("tp", f"tp {tp} does not divide {kv_heads} kv heads")
        return kv_heads // tp
    if tp % kv_heads:
        raise ShardError("tp", f"{kv_heads} kv heads cannot be replicated evenly on tp {tp}")
    return 1


def shard_heads(heads: int, kv_heads: int, tp: int, ulysses: int) -> tuple[int, int]:
    """(query heads, key heads) that one rank's kernel gets.

    Raises ShardError (a ValueError) with the reason, in words that fit a table, where the heads do not divide.
    """
    if heads % kv_heads:
        raise ShardError("kv_heads", f"{kv_heads} kv heads do not divide {heads} heads")
    if heads % tp:
        raise ShardError("tp", f"tp {tp} does not divide {heads} heads")
    on_group = heads // tp
    if on_group % ulysses:
        left = f"the {on_group} heads that tp {tp} leaves of {heads}" if tp > 1 else f"{heads} heads"
        raise ShardError("ulysses", f"ulysses {ulysses} does not divide {left}")
    kv_on_group = kv_heads_on_group(kv_heads, tp)
    left = f"the {kv_on_group} kv heads that tp {tp} leaves of {kv_heads}" if tp > 1 else f"{kv_heads} kv heads"
    if kv_on_group >= ulysses:
        if kv_on_group % ulysses:
            raise ShardError("ulysses", f"ulysses {ulysses} does not divide {left}")
        return on_group // ulysses, kv_on_group // ulysses
    if ulysses % kv_on_group:
        raise ShardError("ulysses", f"{left} cannot be replicated evenly on ulysses {ulysses}")
    return on_group // ulysses, 1


def pad_heads(heads: int, kv_heads: int, tp: int, ulysses: int) -> tuple[int, int]:
    """As :func:`shard_heads`, with heads that Ulysses does not divide rounded up, kv groups kept whole.

    Raises ShardError (a ValueError) where tensor parallelism does not divide them, or kv heads cannot be replicated.
    """
    try:
        return shard_heads(heads, kv_heads, tp, ulysses)
    except ShardError as error:
        if error.key != "ulysses":
            raise
        kv_on_group = kv_heads_on_group(kv_heads, tp)
        if kv_on_group < ulysses and kv_on_group < heads // tp and ulysses % kv_on_group:
            raise
        query_slots, kv_slots = head_slots(heads // tp, kv_on_group, ulysses)
        return len(query_slots) // ulysses, len(kv_slots) // ulysses


def head_slots(heads: int, kv_heads: int, ulysses: int) -> tuple[list[int | None], list[int | None]]:
    """Which query head and which kv head stands in each slot of a Ulysses group's exchange, rank after rank.

    ``heads`` and ``kv_heads`` are those of the group, after tensor parallelism. A rank has as many slots as its kernel
    has heads; None is padding. Each rank's query heads use its own kv heads, in order, so that the kernel's grouping
    holds. Raises ShardError (a ValueError) where fewer kv heads than ranks cannot be replicated evenly.
    """
    group = heads // kv_heads
    if kv_heads >= ulysses or group == 1:
        slots = -(-kv_heads // ulysses) * ulysses
        kv: list[int | None] = [slot if slot < kv_heads else None for slot in range(slots)]
        return [slot if slot < heads else None for slot in range(slots * group)], kv
    if ulysses % kv_heads:
        raise ShardError("ulysses", f"{kv_heads} kv heads cannot be replicated evenly on ulysses {ulysses}")
    copies = ulysses // kv_heads
    each = -(-group // copies)
    queries: list[int | None] = []
    for rank in range(ulysses):
        first = rank % copies * each
        of_group = range(first, first + each)
        queries += [rank // copies * group + place if place < group else None for place in of_group]
    return queries, [rank // copies for rank in range(ulysses)]
