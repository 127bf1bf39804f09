#!/usr/bin/env python3
"""Says what this box is, and checks the suite's claims about its device: `python tools/doctor.py --help`."""

from _door import enter

if __name__ == "__main__":
    enter(__file__)
    from fiabench.cli.doctor import main

    raise SystemExit(main())
