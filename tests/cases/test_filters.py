"""`--filter field=value,...`: what passes, and what is refused with what."""

from __future__ import annotations

import pytest

from fiabench.cases.errors import InputError
from fiabench.cases.expand import expand
from fiabench.cases.filters import parse_filters

TEXT = """
geometry: {heads: 8, head_dim: 64}
axes: {seq_len_q: [1024, 2048], ulysses: [1, 2, 4], exchange: [separate, packed]}
"""


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([], 10),
        (["ulysses=1,2"], 6),
        (["ulysses=1", "ulysses=2"], 6),  # the same field twice adds up
        (["ulysses=2,4", "exchange=packed"], 4),
        (["heads_per_rank=2", "seq_len_q=1024"], 2),
        (["exchange=none"], 2),
        (["op=fia"], 10),
        (["batch=7"], 0),
        (["cache=cold"], 0),
        (["seq_len_q= 1024 , 2048"], 10),
    ],
)
def test_what_passes(sweep, filters, count):
    passes = parse_filters(filters)
    assert sum(map(passes, expand(sweep(TEXT)))) == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ulises=1", "--filter ulises=1: found the unknown field 'ulises'; allowed: measure, op,"),
        ("ulises=1", "did you mean ulysses?"),
        ("ulysses", "found no `=`; allowed: field=value,value,..."),
        ("ulysses=two", "found 'two'; allowed: whole numbers, as ulysses=1,2"),
        ("ulysses=", "found ''; allowed: whole numbers"),
        ("ulysses=-1", "found '-1'"),
        ("ulysses=²", "found '²'"),
        ("mask=casual", "found 'casual'; allowed: none, causal, causal_top_left, causal_full (did you mean causal?)"),
        ("op=fiaa", "did you mean fia?"),
        ("cache=warm", "found 'warm'; allowed: hot, cold"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse_filters([text])
    assert message in str(caught.value)


def test_everything_at_once():
    with pytest.raises(InputError) as caught:
        parse_filters(["a=1", "ulysses=x,y", "nothing"])
    assert len(caught.value.problems) == 4
