"""What a user asked asv for, which asv itself tells neither environments nor `setup_cache`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from asv import util
from asv.commands import make_argparser
from asv.commands.compare import Compare
from asv.commands.show import Show
from asv.config import Config
from asv.machine import Machine, MachineCollection


class Asked(NamedTuple):
    """The command line of this asv process, as far as measuring has to know it."""

    patterns: list[str]
    """Of `-b`: which benchmarks to run; all of them where there is none."""
    quick: bool
    rounds: int
    """How often the samples of one measurement are asked for."""
    appended: bool
    """Whether asv adds the samples to those that it has."""
    machine: str
    """Its name in asv's results."""
    keeps: bool
    """Whether asv writes results."""


def read_command_line() -> Asked:
    """That of this process; of a process that is not asv's what asv takes by default."""
    options = _options()
    patterns = options.get("bench") or []
    quick = bool(options.get("quick"))
    attributes: dict[str, Any] = options.get("attribute") or {}
    interleaved = options.get("interleave_rounds", False) is not False  # asv continuous has None for yes
    once = quick or interleaved  # rounds that are interleaved with other commits' are measured one by one
    writes = "range" in options or "base" in options
    return Asked(
        [patterns] if isinstance(patterns, str) else list(patterns),
        quick,
        1 if once else int(attributes.get("rounds", 1)),
        bool(options.get("append_samples")),
        _machine(options.get("machine")),
        writes and not options.get("dry_run") and not options.get("skip_save"),
    )


def shown() -> Path | None:
    """The folder of asv's results where this process is an `asv show` or `asv compare`."""
    options = _options()
    if getattr(options.get("func"), "__self__", None) not in (Show, Compare):
        return None
    named = options["config"]  # in whose folder asv works by now
    return Path(Config.load(Path(named).name if named else None).results_dir)


def _options() -> dict[str, Any]:
    if Path(sys.argv[0]).parent.name != "asv" and Path(sys.argv[0]).name != "asv":
        return {}
    parser, _ = make_argparser()
    found: dict[str, Any] = vars(parser.parse_args())
    return found


def _machine(asked: str | None) -> str:
    name = asked or str(Machine.get_unique_machine_name())
    try:
        return str(MachineCollection.load(name)["machine"])
    except util.UserError:  # asv has not met this machine: `asv run` will say so itself
        return name
