"""The layer that the learning history is about: its first version, and every change that a commit may make to it.

Each change touches lines that no other touches, so that they go on top of each other in any order.
"""

from __future__ import annotations

from typing import NamedTuple

HEADS = 8
HEAD_DIM = 64
TARGET = "littledit.attention:forward"
"""What the adapter `any_callable` calls."""

_PACKAGE = "littledit/__init__.py"
_MODEL = "littledit/model.py"
_ATTENTION = "littledit/attention.py"
_LAYOUT = "littledit/layout.py"
_README = "README.md"


class Edit(NamedTuple):
    """``old``, which stands in the file once, becomes ``new``; an empty ``old`` makes the file."""

    path: str
    old: str
    new: str


class Change(NamedTuple):
    """One commit."""

    subject: str
    edits: tuple[Edit, ...]

    def undone(self, subject: str) -> Change:
        """The commit that takes this one back. Only for changes that neither make a file nor delete a line."""
        return Change(subject, tuple(Edit(path, new, old) for path, old, new in reversed(self.edits)))


def apply(files: dict[str, str], change: Change) -> dict[str, str]:
    """The files after the change. Raises ValueError where it does not fit them."""
    after = dict(files)
    for path, old, new in change.edits:
        text = after.get(path, "")
        if not old and path in after:
            raise ValueError(f"{change.subject!r} does not fit: it makes {path}, which is there")
        if old and text.count(old) != 1:
            raise ValueError(f"{change.subject!r} does not fit: {path} has {text.count(old)} times {old!r}")
        after[path] = text.replace(old, new) if old else new
    return after


FIRST = Change(
    "Attention on the NPU's fused operator",
    (
        Edit(
            _README,
            "",
            "# littledit\n"
            "\n"
            "The attention layer of a small diffusion transformer, for Ascend NPUs.\n"
            "\n"
            "It is made up: a history to learn on, with events to be found by measuring.\n",
        ),
        Edit(_PACKAGE, "", '"""A small diffusion transformer."""\n'),
        Edit(_MODEL, "", f"HEADS = {HEADS}\nHEAD_DIM = {HEAD_DIM}\n"),
        Edit(
            _ATTENTION,
            "",
            '''"""Attention of a small diffusion transformer, by the NPU's fused operator."""

import torch

from littledit.model import HEAD_DIM, HEADS


class FusedAttention:
    def __init__(self, num_heads, head_dim, causal):
        self.scale = head_dim**-0.5
        self.causal = causal
        self.mask = None

    def forward(self, query, key, value):
        output, _ = torch.ops.npu.npu_fused_infer_attention_score(
            query,
            key,
            value,
            num_heads=query.shape[2],
            num_key_value_heads=key.shape[2],
            scale=self.scale,
            input_layout="BSND",
            atten_mask=self.causal_mask(query) if self.causal else None,
            sparse_mode=3 if self.causal else 0,
        )
        return output

    def causal_mask(self, query):
        # The compressed one: in sparse mode 3 the operator takes it for any length.
        if self.mask is None:
            self.mask = torch.ones(2048, 2048, dtype=torch.bool, device=query.device).triu(1)
        return self.mask


_layers = {}


def forward(query, key, value, causal=False):
    if causal not in _layers:
        _layers[causal] = FusedAttention(HEADS, HEAD_DIM, causal)
    return _layers[causal].forward(query, key, value)
''',
        ),
    ),
)

CRASH = Change(
    "Read the head counts once, in the constructor",
    (
        Edit(
            _ATTENTION,
            "        self.causal = causal\n",
            "        self.causal = causal\n        self.num_heads = num_heads\n        self.num_kv_heads = num_heads\n",
        ),
        Edit(_ATTENTION, "            num_heads=query.shape[2],\n", "            num_heads=self.num_heads,\n"),
        Edit(
            _ATTENTION,
            "            num_key_value_heads=key.shape[2],\n",
            "            num_key_value_heads=self.num_kv_heads,\n",
        ),
    ),
)
"""The operator is told of the model's heads, and gets a rank's."""

CRASH_FIX = "Tell the operator of the heads that it gets"

WRONG = Change(
    "Derive the scale from the hidden size",
    (
        Edit(
            _ATTENTION,
            "        self.scale = head_dim**-0.5\n",
            "        self.scale = (num_heads * head_dim) ** -0.5\n",
        ),
    ),
)
WRONG_FIX = "Scale by the head dim"

SLOWER = Change(
    "Bring q, k and v into a known layout before the call",
    (
        Edit(
            _LAYOUT,
            "",
            '''"""Layouts of the attention's tensors."""


def known(tensor):
    """[B, S, N, D], contiguous, however it came: by way of [B, D, N, S]."""
    return tensor.transpose(1, 3).contiguous().transpose(1, 3).contiguous()
''',
        ),
        Edit(
            _ATTENTION,
            "from littledit.model import HEAD_DIM, HEADS\n",
            "from littledit.layout import known\nfrom littledit.model import HEAD_DIM, HEADS\n",
        ),
        Edit(
            _ATTENTION,
            "            query,\n            key,\n            value,\n",
            "            known(query),\n            known(key),\n            known(value),\n",
        ),
    ),
)
"""Two copies of each tensor, neither needed."""

MEMORY = Change(
    "Build the causal mask for the sequence at hand",
    (
        Edit(_ATTENTION, "        self.mask = None\n", ""),
        Edit(_ATTENTION, "            sparse_mode=3 if self.causal else 0,\n", ""),
        Edit(
            _ATTENTION,
            "        # The compressed one: in sparse mode 3 the operator takes it for any length.\n"
            "        if self.mask is None:\n"
            "            self.mask = torch.ones(2048, 2048, dtype=torch.bool, device=query.device).triu(1)\n"
            "        return self.mask\n",
            "        tokens = query.shape[1]\n"
            "        return torch.triu(torch.ones(tokens, tokens, device=query.device), diagonal=1).bool()\n",
        ),
    ),
)
"""A mask of all queries by all keys in every call, as sglang's layer builds it."""

CLEAN = (
    Change(
        "Say how the layer is called",
        (
            Edit(
                _README,
                "The attention layer of a small diffusion transformer, for Ascend NPUs.\n",
                "The attention layer of a small diffusion transformer, for Ascend NPUs:\n"
                "\n"
                "    from littledit.attention import forward\n"
                "\n"
                "    output = forward(query, key, value, causal=True)  # each [batch, tokens, heads, head dim]\n",
            ),
        ),
    ),
    Change(
        "Describe the layer",
        (
            Edit(
                _ATTENTION,
                "class FusedAttention:\n",
                "class FusedAttention:\n"
                '    """Attention of [batch, tokens, heads, head dim], on one rank\'s share of the heads."""\n\n',
            ),
        ),
    ),
    Change(
        "Call the result attention",
        (
            Edit(
                _ATTENTION,
                "        output, _ = torch.ops.npu.npu_fused_infer_attention_score(\n",
                "        attention, _ = torch.ops.npu.npu_fused_infer_attention_score(\n",
            ),
            Edit(_ATTENTION, "        return output\n", "        return attention\n"),
        ),
    ),
    Change(
        "Annotate the layer",
        (
            Edit(_ATTENTION, "import torch\n", "import torch\nfrom torch import Tensor\n"),
            Edit(
                _ATTENTION,
                "    def forward(self, query, key, value):\n",
                "    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:\n",
            ),
            Edit(
                _ATTENTION,
                "    def causal_mask(self, query):\n",
                "    def causal_mask(self, query: Tensor) -> Tensor:\n",
            ),
        ),
    ),
    Change(
        "Let functools keep the layers",
        (
            Edit(
                _ATTENTION,
                'by the NPU\'s fused operator."""\n\n',
                'by the NPU\'s fused operator."""\n\nimport functools\n\n',
            ),
            Edit(
                _ATTENTION,
                "_layers = {}\n",
                "@functools.cache\ndef layer(causal):\n    return FusedAttention(HEADS, HEAD_DIM, causal)\n",
            ),
            Edit(
                _ATTENTION,
                "    if causal not in _layers:\n"
                "        _layers[causal] = FusedAttention(HEADS, HEAD_DIM, causal)\n"
                "    return _layers[causal].forward(query, key, value)\n",
                "    return layer(causal).forward(query, key, value)\n",
            ),
        ),
    ),
    Change(
        "Say which heads the model's are",
        (
            Edit(
                _MODEL,
                f"HEADS = {HEADS}\n",
                f'"""Sizes of the model, before tensor and sequence parallelism share it out."""\n\nHEADS = {HEADS}\n',
            ),
        ),
    ),
    Change("Keep a changelog", (Edit("CHANGELOG.md", "", "# Changelog\n\n- The attention layer.\n"),)),
)
"""None of these changes what the layer computes, nor what that costs."""
