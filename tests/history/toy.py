"""A git repository with a few commits of an attention callable, as the adapter `any_callable` takes it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

PLAIN = """
import torch

def attend(query, key, value, causal=False):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
"""
COMMENTED = PLAIN + "\n# a word\n"
TWICE = """
import torch

def attend(query, key, value, causal=False):
    attention = torch.nn.functional.scaled_dot_product_attention
    attention(query, key, value, is_causal=causal)
    return attention(query, key, value, is_causal=causal)
"""
CRASHES = PLAIN.replace("    return", "    raise RuntimeError('query shape [1, 5], not [1, 20]')\n    return")
WRONG = PLAIN.replace("is_causal=causal)", "is_causal=causal) * 1.5")
UNLOADABLE = "import no_such_module_anywhere\n" + PLAIN


class Toy:
    """The repository, which grows by a commit at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=a user", "-c", "user.email=user@localhost", "-c", "commit.gpgsign=false")
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", *who, "-C", str(self.path), *arguments]
        return subprocess.run(command, env=own, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str, subject: str) -> str:
        """``text`` as the new content of the module; returns the hash."""
        (self.path / "toy.py").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")


def write_sweep(path: Path, **changes: Any) -> Path:
    """A sweep of the toy's callable: by default one case of a few milliseconds on one rank."""
    sweep: dict[str, Any] = {
        "name": "toy",
        "about": "A callable of a few lines.",
        "geometry": {"heads": 4, "head_dim": 32},
        "axes": {"seq_len_q": [512]},
        "constants": {"op": "toy", "dtype": "fp32", "layout": "BNSD", "threads": 1},
        "projects": {"toy": {"adapter": "any_callable", "target": "toy:attend"}},
    } | changes
    path.write_text(yaml.safe_dump(sweep))
    return path
