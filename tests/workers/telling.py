"""A rank that answers every command with its environment."""

import os

from fiabench.workers.protocol import REPLY_FD, encode
from fiabench.workers.rank import read_commands

with os.fdopen(int(os.environ[REPLY_FD]), "wb", buffering=0) as replies:
    for _ in read_commands():
        replies.write(encode({"environment": dict(os.environ)}))
