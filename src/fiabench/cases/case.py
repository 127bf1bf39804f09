"""A case: one fully specified point of a sweep, with an id that does not change between boxes."""

from __future__ import annotations

from typing import Any, NamedTuple

from fiabench.cases.variables import Variables

DTYPE_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}


class Axes(NamedTuple):
    """How the operator's tensors are arranged: B batch, N heads, S tokens, D head dim, H = N x D, T = B x S packed."""

    input: str
    output: str


LAYOUTS = {
    "BNSD": Axes("BNSD", "BNSD"),
    "BSND": Axes("BSND", "BSND"),
    "BSH": Axes("BSH", "BSH"),
    "BNSD_BSND": Axes("BNSD", "BSND"),
    "BNSD_NBSD": Axes("BNSD", "NBSD"),
    "TND": Axes("TND", "TND"),
    "NTD_TND": Axes("NTD", "TND"),
}
"""The ``input_layout`` values that a case may have, of those that npu_fused_infer_attention_score takes."""

MASKS = ("none", "causal", "causal_top_left", "causal_full")
EXCHANGES = ("separate", "packed")
"""The exchanges that are fiabench's own."""
ATTENTION_ADAPTERS = ("sglang_ascend_fa", "any_callable")
EXCHANGE_ADAPTERS = ("sglang_usp", "yunchang", "any_exchange")
"""How outside projects are called, for attention and for exchanges: see :mod:`fiabench.projects`."""
KV_CACHE_LAYOUTS = ("BBH", "BNBD", "NZ")
"""Of a paged cache: [blocks, block_size, H], [blocks, N, block_size, D], [blocks, N, D / 16, block_size, 16]."""


def head_shard(tp: int, ulysses: int, ring: int, cfg: int) -> str:
    """The degrees in words: `tp2 x u4`, and `x ring2`, `x cfg2` where they are more than one."""
    text = f"tp{tp} x u{ulysses}" + (f" x ring{ring}" if ring > 1 else "")
    return text + (f" x cfg{cfg}" if cfg > 1 else "")


class Case(NamedTuple):
    """One point to measure. Knows its geometry and its shards, and nothing about devices.

    Heads follow the chain model -> tensor parallel -> Ulysses: ``heads`` is the model's count,
    ``heads_per_rank`` what one rank's kernel gets. Sequence lengths are whole sequences, not shards.
    """

    measure: str
    """`ulysses` (exchanges around the kernel), `kernel` (one rank's kernel) or `exchange` (one all-to-all alone)."""
    op: str
    """Operator under test: a file in ``fiabench/ops`` or a project of the sweep. `none` for an exchange alone."""
    layout: str
    """The operator's input layout, one of :data:`LAYOUTS`."""
    dtype: str
    """`fp16`, `bf16` or `fp32`."""
    mask: str
    """`none`; `causal` (the last query sees every key, as sparse_mode 3); `causal_top_left` (the first query sees the
    first key alone, as sparse_mode 2); `causal_full` (as `causal`, by a full Sq x Skv mask built in every call)."""
    seq_len_q: int
    """Query tokens of the whole sequence."""
    seq_len_kv: int
    """Key tokens of the whole sequence; differs from ``seq_len_q`` in cross attention."""
    batch: int
    """Sequences of the whole deployment; cfg-parallel groups share them out."""
    heads: int
    """Query heads of the model."""
    kv_heads: int
    """Key and value heads of the model."""
    head_dim: int
    tp: int
    """Tensor parallel degree: divides the heads before Ulysses does."""
    ulysses: int
    """Ulysses degree: ranks that exchange sequence shards for head shards."""
    heads_per_rank: int
    """Query heads in one rank's kernel: heads / tp / ulysses, rounded up where the sweep pads."""
    kv_heads_per_rank: int
    """Key heads in one rank's kernel, after replication where there are fewer than ranks."""
    exchange: str
    """`separate` (q, k and v each), `packed` (one exchange for the three), or a project of the sweep; `none` where no
    attention is exchanged: without Ulysses, for the kernel alone and for an exchange alone."""
    exchange_bytes: int
    """One rank's whole send buffer in bytes where ``measure`` is `exchange`, else 0."""
    replicas: str
    """`one`: one Ulysses group runs and stands for its tensor parallel siblings; `all`: every group runs at once."""
    threads: int
    """CPU threads of one rank; 0 lets the run divide the machine's cores among its ranks."""
    inputs: str = "contiguous"
    """How the kernel gets its tensors: `contiguous` in the layout, or as `strided` views of the other order of tokens
    and heads, which the operator then copies or reads as they lie."""
    kv_cache: str = "contiguous"
    """`contiguous`, or keys and values in blocks of a paged cache, with its layout and the tokens of a block:
    `paged_BNBD_128`; see :data:`KV_CACHE_LAYOUTS`."""
    ring: int = 1
    """Ring degree: ranks, or Ulysses groups, that pass keys and values around; the sequence is divided by both."""
    cfg: int = 1
    """Cfg-parallel degree: groups that share out the batch and exchange nothing."""
    against: str = "none"
    """The operator that is measured in turns with ``op``, so that their ratio is known, or `none`."""
    cache: str = "hot"
    """`hot`: what the iteration before left in the device's caches stays there; `cold`: nothing of it is left."""
    variables: Variables = ()
    """Environment variables of the ranks, sorted by name; what the run's own environment says of others holds too."""

    @property
    def id(self) -> str:
        """The case in one word, the same on every box; parts at their usual value are left out."""
        # One format and no list: `plan --json` asks this of a million cases.
        if self.measure == "exchange":
            text = f"exchange.{self.dtype}.u{self.ulysses}.bytes{self.exchange_bytes}{self._variables_in_id()}"
        else:
            measure, op, layout, dtype, mask, q, kv, batch, heads, kv_heads, head_dim, tp, ulysses, *_ = self
            text = (
                f"{measure}.{op}.{layout}.{dtype}.{mask}.b{batch}.q{q}.kv{kv}"
                f".h{heads}.{kv_heads}.d{head_dim}.tp{tp}.u{ulysses}"
            )
            if self.exchange != "none":
                text = f"{text}.{self.exchange}"
            if self[_FIRST_OPTION:] != _OPTIONS:
                text += self._options_in_id()
        if self.replicas != "one":
            text = f"{text}.replicas-{self.replicas}"
        if self.threads:
            text = f"{text}.threads{self.threads}"
        return text

    def _options_in_id(self) -> str:
        """What stands in the id of the fields that most cases leave at their default."""
        paged = "" if self.kv_cache == "contiguous" else f".{self.kv_cache}"
        degrees = "".join(f".{name}{value}" for name, value in (("ring", self.ring), ("cfg", self.cfg)) if value > 1)
        inputs = "" if self.inputs == "contiguous" else f".{self.inputs}"
        against = "" if self.against == "none" else f".vs-{self.against}"
        cache = "" if self.cache == "hot" else f".{self.cache}"
        return f"{degrees}{inputs}{paged}{against}{cache}{self._variables_in_id()}"

    def _variables_in_id(self) -> str:
        return "".join(f".{name}={value}" for name, value in self.variables)

    @property
    def described_world_size(self) -> int:
        """Ranks of the deployment that the case describes."""
        return self.cfg * self.tp * self.ulysses * self.ring

    @property
    def sequence_ranks(self) -> int:
        """Ranks that share one sequence: Ulysses times ring; one where a kernel alone is measured."""
        return 1 if self.measure == "kernel" else self.ulysses * self.ring

    @property
    def world_size(self) -> int:
        """Ranks that run: those of one sequence, or of every sequence of the deployment with ``replicas: all``."""
        return self.described_world_size if self.replicas == "all" else self.sequence_ranks

    @property
    def cache_layout(self) -> str:
        """Layout of a paged cache, one of :data:`KV_CACHE_LAYOUTS`; empty where it is not paged."""
        return "" if self.kv_cache == "contiguous" else self.kv_cache.split("_")[1]

    @property
    def block_size(self) -> int:
        """Tokens of a block of a paged cache; 0 where it is not paged."""
        return 0 if self.kv_cache == "contiguous" else int(self.kv_cache.split("_")[2])

    @property
    def batch_per_rank(self) -> int:
        """Sequences in one rank's kernel: batch / cfg."""
        return self.batch // self.cfg

    @property
    def tokens_per_rank_q(self) -> int:
        """Query tokens of one rank's sequence shard, padding included."""
        return -(-self.seq_len_q // self.sequence_ranks)

    @property
    def tokens_per_rank_kv(self) -> int:
        """Key tokens of one rank's sequence shard, padding included."""
        return -(-self.seq_len_kv // self.sequence_ranks)

    @property
    def heads_on_group(self) -> int:
        """Query heads of one Ulysses group before it pads them: heads / tp. For a kernel alone its own."""
        return self.heads_per_rank if self.measure == "kernel" else self.heads // self.tp

    @property
    def padded(self) -> bool:
        """Whether heads or tokens are padded because the ranks do not divide them."""
        if self.measure != "ulysses":
            return False
        ranks = self.sequence_ranks
        heads = self.heads_per_rank * self.ulysses > self.heads_on_group
        return heads or self.seq_len_q % ranks > 0 or self.seq_len_kv % ranks > 0

    @property
    def head_shard(self) -> str:
        """The label of the case's column in tables, figures and asv: how heads, sequence and batch are divided."""
        return head_shard(self.tp, self.ulysses, self.ring, self.cfg)

    @property
    def element_bytes(self) -> int:
        return DTYPE_BYTES[self.dtype]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, as they stand in ``cases.jsonl``."""
        return self._asdict() | {"variables": dict(self.variables)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Case:
        """The case whose :meth:`as_dict` this is; other keys (`device`) are passed over.

        A field that older runs did not have takes its default; KeyError where any other is missing.
        """
        known = {name: fields[name] for name in cls._fields if name in fields or name not in cls._field_defaults}
        return cls(**known | {"variables": tuple(sorted(dict(known.get("variables", ())).items()))})


_OPTIONS = tuple(Case._field_defaults.values())
_FIRST_OPTION = len(Case._fields) - len(_OPTIONS)
