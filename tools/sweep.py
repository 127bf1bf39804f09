#!/usr/bin/env python3
"""Plan, run and show sweeps of fused-infer attention: `python tools/sweep.py --help`."""

from _door import enter

if __name__ == "__main__":
    enter(__file__)
    from fiabench.cli.sweep import main

    raise SystemExit(main())
