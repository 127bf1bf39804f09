"""What the coordinator and a rank say to each other: one JSON object a line.

Commands come on the rank's standard input: ``join`` (with the store's port; rank 0 gets none and answers with the
one it opened), ``case``, and the end of the stream, which ends the rank. Answers go to the file descriptor named by
REPLY_FD, so that nothing a library prints can be taken for one. Imports no torch.
"""

from __future__ import annotations

import json
from typing import Any

REPLY_FD = "FIABENCH_REPLY_FD"
PARENT = "FIABENCH_PARENT"
"""The coordinator's process id: a rank whose parent is another has been orphaned and ends itself."""


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(line)
    return message
