#!/usr/bin/env python3
"""The pages of a history, for browsers without a network: `python tools/dashboard.py --help`."""

from _door import enter

if __name__ == "__main__":
    enter(__file__)
    from fiabench.cli.dashboard import main

    raise SystemExit(main())
