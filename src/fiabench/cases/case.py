"""A case: one fully specified point of a sweep, with an id that does not change between boxes."""

from __future__ import annotations

from typing import Any, NamedTuple

DTYPE_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}


class Case(NamedTuple):
    """One point to measure. Knows its geometry and its shards, and nothing about devices.

    Heads follow the chain model -> tensor parallel -> Ulysses: ``heads`` is the model's count,
    ``heads_per_rank`` what one rank's kernel gets. Sequence lengths are whole sequences, not shards.
    """

    measure: str
    """`ulysses` (exchanges around the kernel), `kernel` (one rank's kernel) or `exchange` (one all-to-all alone)."""
    op: str
    """Operator under test: the name of a file in ``fiabench/ops``. `none` where only an exchange is measured."""
    layout: str
    """The operator's input layout: `BNSD` or `BSND`."""
    dtype: str
    """`fp16`, `bf16` or `fp32`."""
    mask: str
    """`none` or `causal` (bottom-right aligned, as sparse_mode 3)."""
    seq_len_q: int
    """Query tokens of the whole sequence."""
    seq_len_kv: int
    """Key tokens of the whole sequence; differs from ``seq_len_q`` in cross attention."""
    batch: int
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
    """Query heads in one rank's kernel: heads / tp / ulysses."""
    kv_heads_per_rank: int
    """Key heads in one rank's kernel, after replication where there are fewer than ranks."""
    exchange: str
    """`separate` (q, k and v each), `packed` (one exchange for the three); `none` where no attention is exchanged:
    on one rank, for the kernel alone and for an exchange alone."""
    exchange_bytes: int
    """One rank's whole send buffer in bytes where ``measure`` is `exchange`, else 0."""
    replicas: str
    """`one`: one Ulysses group runs and stands for its tensor parallel siblings; `all`: every group runs at once."""
    threads: int
    """CPU threads of one rank; 0 lets the run divide the machine's cores among its ranks."""

    @property
    def id(self) -> str:
        """The case in one word, the same on every box; parts at their usual value are left out."""
        # One format and no list: `plan --json` asks this of a million cases.
        if self.measure == "exchange":
            text = f"exchange.{self.dtype}.u{self.ulysses}.bytes{self.exchange_bytes}"
        else:
            measure, op, layout, dtype, mask, q, kv, batch, heads, kv_heads, head_dim, tp, ulysses, *_ = self
            text = (
                f"{measure}.{op}.{layout}.{dtype}.{mask}.b{batch}.q{q}.kv{kv}"
                f".h{heads}.{kv_heads}.d{head_dim}.tp{tp}.u{ulysses}"
            )
            if self.exchange != "none":
                text = f"{text}.{self.exchange}"
        if self.replicas != "one":
            text = f"{text}.replicas-{self.replicas}"
        if self.threads:
            text = f"{text}.threads{self.threads}"
        return text

    @property
    def described_world_size(self) -> int:
        """Ranks of the deployment that the case describes."""
        return self.tp * self.ulysses

    @property
    def world_size(self) -> int:
        """Ranks that run: one Ulysses group, or every group of the deployment with ``replicas: all``."""
        if self.measure == "kernel":
            return 1
        return self.tp * self.ulysses if self.replicas == "all" else self.ulysses

    @property
    def head_shard(self) -> str:
        """The label of the case's column in tables, figures and asv: how the heads are divided."""
        return f"tp{self.tp} x u{self.ulysses}"

    @property
    def element_bytes(self) -> int:
        return DTYPE_BYTES[self.dtype]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, as they stand in ``cases.jsonl``."""
        return self._asdict()

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Case:
        """The case whose :meth:`as_dict` this is; other keys (`device`) are passed over.

        Raises KeyError where a field is missing.
        """
        return cls(*(fields[name] for name in cls._fields))
