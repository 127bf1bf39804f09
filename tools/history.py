#!/usr/bin/env python3
"""Attention over the commits of a repository, and over software stacks: `python tools/history.py --help`."""

from _door import enter

if __name__ == "__main__":
    enter(__file__)
    from fiabench.cli.history import main

    raise SystemExit(main())
