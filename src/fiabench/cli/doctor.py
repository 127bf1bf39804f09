"""`tools/doctor.py`: what this box is, what of it disturbs measuring, and whether the suite's claims hold on it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from fiabench.cli.advice import ADVICE, advice
from fiabench.cli.checking import check
from fiabench.cli.ending import FOUND, OK, run_command
from fiabench.devices.binding import device_buses, share
from fiabench.devices.cores import SYSFS, by_neighbour, near
from fiabench.results.environment import VARIABLES
from fiabench.selftest.names import NAMES
from fiabench.workers.machine import Machine, find_machine

_LABEL_WIDTH = 12
_COLOURS = {"ok": "green", "FAILED": "red", "skipped": "yellow"}
_EVERYWHERE = "TORCH_DEVICE_BACKEND_AUTOLOAD"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--device",
    type=click.Choice(["auto", "npu", "cuda", "cpu"]),
    default="auto",
    show_default=True,
    help="What to look at.",
)
@click.option("--selftest", is_flag=True, help="Check what the suite claims of the device, on it; about two minutes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(device: str, selftest: bool, as_json: bool) -> int:
    """Says what this box measures on, and what of its settings disturbs; exit code 1 where a claim fails."""
    machine = find_machine(device)
    claims: list[dict[str, Any]] = []

    def keep(verdict: dict[str, Any]) -> None:
        claims.append(verdict)
        if not as_json:
            click.echo(_line(verdict))

    told = box(machine, check(machine.device, (), keep))
    advised = advice(machine.device, os.environ, told["governors"])
    if not as_json:
        _print(told, advised)
    if selftest and not claims:  # the device could be opened
        check(machine.device, NAMES, keep)
    if as_json:
        click.echo(json.dumps({"box": told, "advice": advised, "claims": claims}, indent=2, ensure_ascii=False))
    elif claims:
        click.echo(_sum(claims))
    return FOUND if any(verdict["verdict"] == "FAILED" for verdict in claims) else OK


def box(machine: Machine, facts: dict[str, Any]) -> dict[str, Any]:
    """What the probe says of the box and what the device says of itself, JSON-able; ``facts`` may be empty."""
    probed = machine.facts
    cores = by_neighbour(os.sched_getaffinity(0))
    return {
        "device": machine.device,
        "name": probed["name"],
        "count": probed["count"],
        "memory_bytes": probed["memory_bytes"],
        "driver": probed.get("driver"),
        "cann": probed.get("cann"),
        "cuda": probed.get("cuda"),
        "nccl": probed.get("nccl"),
        "versions": probed["versions"],
        "python": probed["python"],
        "operator": probed["operator"],
        **facts,
        "cpu": probed["cpu"],
        "cores": sorted(cores),
        "governors": governors(),
        "binding": _binding(machine, cores),
        "variables": {name: os.environ[name] for name in variables(machine.device) if name in os.environ},
    }


def variables(device: str) -> list[str]:
    """Those that a run records, and those on which there is advice."""
    return [*dict.fromkeys([*VARIABLES, *(each.variable for each in ADVICE[device]), _EVERYWHERE])]


def governors(sysfs: Path = SYSFS) -> list[str]:
    """The frequency governors of the host's cores; none where the system does not tell."""
    files = (sysfs / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return sorted({file.read_text(encoding="ascii").strip() for file in files})


def _binding(machine: Machine, cores: list[int]) -> list[list[int]]:
    """By rank the cores that it would be bound to, with a rank on each device; none on the CPU."""
    if machine.device == "cpu":
        return []
    nodes = [near(bus) for bus in device_buses(machine.device, machine.count)]
    return [share(rank, nodes, cores) for rank in range(machine.count)]


def _print(told: dict[str, Any], advised: Iterable[str]) -> None:
    for label, text in _labelled(told):
        click.echo(f"{label:{_LABEL_WIDTH}}{text}")
    for sentence in advised:
        click.echo(click.style(f"{'advice':{_LABEL_WIDTH}}", fg="yellow") + sentence)


def _labelled(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "device", f"{told['device']}: {told['count']} x {told['name']}, {told['memory_bytes'] / 2**30:.1f} GiB"
    drivers = {name: told[name] for name in ("driver", "cann", "cuda", "nccl") if told[name]}
    yield "driver", ", ".join(f"{name} {value}" for name, value in drivers.items()) or "none"
    yield (
        "software",
        ", ".join(f"{name} {value}" for name, value in ({"python": told["python"]} | told["versions"]).items()),
    )
    reason = told["operator"]["reason"]
    yield "operator", f"provided by {told['operator']['provided_by']}" + (f" ({reason})" if reason else "")
    if "timing" in told:
        yield "timing", {"event": "by events in the device's queue", "host": "by the host's clock"}[told["timing"]]
        readings = ", ".join(f"{name} {value:g}" for name, value in told["sensors"].items() if name != "memory_bytes")
        yield "sensors", readings or f"none: {told['sensors_missing']}"
        yield "graphs", f"not possible: {told['graphs']}" if told["graphs"] else "can be captured"
        yield "exchanges", f"{told['backend']}, {'there' if told['backend_there'] else 'NOT in this torch'}"
    yield "host", f"{told['cpu']}, {len(told['cores'])} cores ({ranges(told['cores'])})"
    yield "governor", ", ".join(told["governors"]) or "not told by the system"
    if told["binding"]:
        yield "binding", "; ".join(f"rank {rank}: {ranges(cores)}" for rank, cores in enumerate(told["binding"]))
    yield "variables", ", ".join(f"{name}={value}" for name, value in told["variables"].items()) or "none set"


def ranges(cores: Iterable[int]) -> str:
    """`0-2,8` of 0, 1, 2, 8."""
    parts: list[list[int]] = []
    for core in sorted(cores):
        if parts and core == parts[-1][-1] + 1:
            parts[-1].append(core)
        else:
            parts.append([core])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _line(verdict: dict[str, Any]) -> str:
    mark = click.style(verdict["verdict"], fg=_COLOURS[verdict["verdict"]])
    if verdict["verdict"] == "skipped":
        return f"{mark} {verdict['claim']} ({verdict['found']})"
    return f"{mark} {verdict['claim']}: {verdict['sentence']}; expected {verdict['expected']}; found {verdict['found']}"


def _sum(claims: list[dict[str, Any]]) -> str:
    counts = {mark: sum(verdict["verdict"] == mark for verdict in claims) for mark in _COLOURS}
    return ", ".join(f"{count} {mark}" for mark, count in counts.items())


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return run_command(command, "doctor.py", arguments)
