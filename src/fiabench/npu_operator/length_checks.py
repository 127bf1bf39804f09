"""actual_seq_lengths and actual_seq_lengths_kv: present, cumulative where packed, in range, as many as the batch.

Sources, in ops-transformer's `attention/fused_infer_attention_score/op_host/`:
`arch22/fused_infer_attention_score_tiling_check_feature.cpp` (`CheckFeatureActualSeqLens`, `CheckFeatureAxisInfo`),
`arch22/fused_infer_attention_score_tiling_check_consistency.cpp` (`CheckActualSeqLensQ`, `CheckActualSeqLensKv`), and
for NTD, where these have no text, `checkers/actual_seq_len_checker.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fiabench.npu_operator.errors import invalid_shapes, invalid_value, tiling_error
from fiabench.npu_operator.parse import Call, Geometry

_FEATURE = "fused_infer_attention_score_tiling_check_feature.cpp"
_CONSISTENCY = "fused_infer_attention_score_tiling_check_consistency.cpp"
_CHECKER = "actual_seq_len_checker.cpp"

_QUERIES = "the query's actual sequence lengths"
_KEYS = "the key/value's actual sequence lengths"

MOST_LENGTHS = 64 * 1024


def check_lengths(call: Call, geometry: Geometry) -> None:
    """Refuse lists that are missing, not cumulative, or out of range. Raises RuntimeError."""
    if not call.actual_seq_lengths_kv:
        if call.packed:
            text = f"when key's layout is {call.kv_layout}, {_KEYS} should not be null."
            raise tiling_error(text, "CheckFeatureActualSeqLensExistence", _FEATURE)
        if call.cache:
            text = f"In page attention scene, {_KEYS} should not be null."
            raise tiling_error(text, "CheckFeatureActualSeqLensExistence", _FEATURE)
    if call.actual_seq_lengths and not geometry.incremental:
        _check_queries(call, geometry, call.actual_seq_lengths)
    if call.actual_seq_lengths_kv:
        _check_keys(call, geometry, call.actual_seq_lengths_kv)


def _packed_tokens(lengths: Sequence[int], i: int, where: str, name: str, func: str) -> int:
    """Tokens of entry ``i`` of cumulative ``lengths``, which may neither be negative nor fall."""
    length, before = lengths[i], lengths[i - 1] if i else 0
    if length < 0:
        text = f"{where}, {name}[{i}] should not be a negative number, but got {length}."
        raise tiling_error(text, func, _FEATURE)
    if length < before:
        text = f"{where}, {name}[{i}]({length}) should not be less than {name}[{i - 1}]({before})."
        raise tiling_error(text, func, _FEATURE)
    return length - before


def _check_queries(call: Call, geometry: Geometry, lengths: Sequence[int]) -> None:
    func = "CheckFeatureActualSeqLensQData"
    for i, length in enumerate(lengths[: geometry.batch]):
        tokens = length
        if call.packed:
            tokens = _packed_tokens(lengths, i, f"when query's layout is {call.axes}", _QUERIES, func)
        if not 0 <= tokens <= geometry.seq_q:
            text = f"{_QUERIES}[{i}] computed is {tokens}, it should be in range [0, Q_S({geometry.seq_q})]."
            raise tiling_error(text, func, _FEATURE)
    total, last = call.query.size(call.axes.find("T")), lengths[-1]
    if call.axes == "TND" and total != last:
        text = f"when query's layout is TND, T({total}) should be equal to the last element of {_QUERIES}({last})."
        raise tiling_error(text, func, _FEATURE)
    if call.axes == "NTD" and total != last:
        reason = (
            f"The last element of actual_seq_lengths({last}) must be equal to the T of query({total}) when the "
            "layout of query is NTD"
        )
        func = "CheckActualSeqLenQTNDLastData"
        raise invalid_value("actual_seq_lengths last element", last, reason, func, _CHECKER)


def _check_keys(call: Call, geometry: Geometry, lengths: Sequence[int]) -> None:
    func = "CheckFeatureActualSeqLensKvData"
    cumulative = call.packed and not call.cache
    for i, length in enumerate(lengths[: geometry.batch]):
        tokens = length
        if cumulative:
            tokens = _packed_tokens(lengths, i, f"when kv's layout is {call.kv_layout}", _KEYS, func)
        if not 0 <= tokens <= geometry.seq_kv:
            text = f"{_KEYS}({i}) is {tokens}, it should be in range [0, KV_S({geometry.seq_kv})]."
            raise tiling_error(text, func, _FEATURE)
    if not cumulative or call.key.dim() != len(call.axes):
        return
    total, last = call.key.size(call.axes.index("T")), lengths[-1]
    if call.axes == "TND" and total != last:
        text = f"when kv's layout is TND, T({total}) should be equal to the last element of {_KEYS}({last})."
        raise tiling_error(text, func, _FEATURE)
    if call.axes == "NTD" and total != last:
        reason = (
            f"The last element of actual_seq_lengths_kv({last}) must be equal to the T of key and value({total}) when "
            "the layout of key and value is NTD"
        )
        func = "CheckActualSeqLenKvTNDLastData"
        raise invalid_value("actual_seq_lengths_kv last element", last, reason, func, _CHECKER)


def check_most_lengths(call: Call, geometry: Geometry) -> None:
    """Refuse more than 65,536 lengths. Raises RuntimeError."""
    given = {"q": () if geometry.incremental else call.actual_seq_lengths, "kv": call.actual_seq_lengths_kv}
    for name, lengths in given.items():
        if lengths and len(lengths) > MOST_LENGTHS:
            text = (
                f"In NO_QUANT situation, actual sequence length {name} should be smaller or equal to 64K, "
                f"but got {len(lengths)}"
            )
            raise tiling_error(text, "CheckFeatureAxisInfo", _FEATURE)


def check_list_sizes(call: Call, geometry: Geometry) -> None:
    """As many lengths as the batch has entries; not packed, one for all or more than needed will do."""
    batch = geometry.batch
    if call.actual_seq_lengths and not geometry.incremental and not call.packed:
        _check_padded_size(_QUERIES, len(call.actual_seq_lengths), batch, "CheckActualSeqLensQ")
    if not call.actual_seq_lengths_kv:
        return
    size = len(call.actual_seq_lengths_kv)
    if not call.packed:
        _check_padded_size(_KEYS, size, batch, "CheckActualSeqLensKv")
    elif call.kv_layout == "TND" and size != batch:
        text = (
            f"when key/value's layout is TND, {_KEYS} shape size is {size}, it should be equal to {_QUERIES} "
            f"shape size({batch})."
        )
        raise tiling_error(text, "CheckActualSeqLensKv", _CONSISTENCY)
    elif size != batch:
        sizes = f"actual_seq_lengths_kv element nums: {size}, batchSize: {batch}"
        reason = (
            f"The element nums of actual_seq_lengths_kv({size}) must be equal to the batchSize of key and "
            f"value({batch}) when the layout of key and value is TND or NTD"
        )
        parameters = "actual_seq_lengths_kv and key and value"
        raise invalid_shapes(parameters, sizes, reason, "CheckActualSeqLenKvDim", _CHECKER)


def _check_padded_size(name: str, size: int, batch: int, func: str) -> None:
    if size not in (1, batch) and size < batch:
        text = f"{name} shape size is {size}, it should be bigger or equal to batch size({batch}) or equal to 1."
        raise tiling_error(text, func, _CONSISTENCY)
