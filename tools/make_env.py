#!/usr/bin/env python3
"""Makes `.venv`, the environment of this checkout: `make env`, or `python3 tools/make_env.py`.

    TORCH='...'   what to install as torch, any pip requirement with its options. Unused where this Python has torch.
    --keep        settle for another Python where this one will not do: an existing `.venv` made by another Python
                  stays as it is, and a newer Python on PATH is used where this one is too old. What `make` does as
                  long as nobody says PYTHON=.

This file checks the Python and hands over to `_env`; its syntax stays at Python 3.6's, so that an old one gets a
sentence and not a SyntaxError.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 10)
#: In this order, where `python3` is too old: the newest Python may be one that torch has no wheel for yet.
OTHERS = ("python3.12", "python3.11", "python3.10", "python3.13", "python3.14")

sys.dont_write_bytecode = True  # this Python may be the box's own


def another_python():
    """A Python on PATH that is new enough, or None. A name on PATH may be a shim with nothing behind it."""
    for name in OTHERS:
        found = shutil.which(name)
        if found and subprocess.call([found, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            return found
    return None


def enter():
    keep = "--keep" in sys.argv[1:]
    unknown = [argument for argument in sys.argv[1:] if argument != "--keep"]
    if unknown:
        print(__doc__)
        return 0 if unknown[0] in ("-h", "--help") else 2
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:3])
        other = another_python() if keep else None
        if other:
            print(f"{sys.executable} is Python {version}, too old: using {other}", flush=True)
            os.execv(other, [other, *sys.argv])
        print(
            f"make env: {sys.executable} is Python {version}; fiabench needs 3.10 or newer.\n"
            "Install one and name it: make env PYTHON=python3.12",
            file=sys.stderr,
        )
        return 2
    from _env.build import main

    return main(keep=keep)


if __name__ == "__main__":
    raise SystemExit(enter())
