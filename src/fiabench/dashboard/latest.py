"""What the newest commit of each machine shows: heat map, phases, throughput, and the box."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

from fiabench.dashboard.casefiles import name_of
from fiabench.dashboard.changes import case_link
from fiabench.dashboard.digest import COLUMNS
from fiabench.dashboard.events import NOT_MEASURED
from fiabench.dashboard.markup import bar, csv_link, marks_key, row, table, text
from fiabench.dashboard.model import Model, facts
from fiabench.dashboard.tables import safe
from fiabench.history.series import Series, differences
from fiabench.results import cells, stack, units, words
from fiabench.results.links import link_bandwidth
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import METRICS
from fiabench.results.rundir import Run

FLOPS = (
    "FLOPs of one rank's kernel: 2 x batch x heads x (query, key) pairs that the mask lets see each other x (dim of "
    "keys + dim of values); softmax does not count. MFU is that rate over the device's dense peak for the dtype. "
    "busbw is a rank's buffer / transfer x (P - 1) / P, as nccl-tests have it; waiting for a late rank is not in it."
)
ON_ITS_PAGE = "which the case's page tells"
"""Where doubts are told."""
_PEAK = "No peak is known of this device, so that there is no MFU."
_LINK = (
    "The link is what one rank can send to the others of its Ulysses group within a node, one way: in a mesh fewer "
    "ranks have fewer links. Where it is not known, hold busbw against the box's data sheet."
)


def variants(model: Model) -> dict[str, str]:
    """By case id what tells it from its like, beside length and head shard: a heat map is made for each."""
    cases = {series.id: series.case for series in model.series}
    exchanges = {case.exchange for case in cases.values()} - {"none"}
    said = {"op", "dtype", *words.SHARDING, *(() if len(exchanges) > 1 else ("exchange",))}
    among = {name: field for name, field in words.fields(model.lengths).items() if name not in said}
    apart = [among[name] for name in words.varying(cases.values(), among)]
    return {
        name: " ".join(filter(None, ["all-to-all alone" if case.measure == "exchange" else case.op, case.dtype,
                                     *(field.common(field.read(case)) for field in apart)]))
        for name, case in cases.items()
    }  # fmt: skip


def heat_map(model: Model, metric: str) -> str:
    """The section with a table for each variant and machine, of ``metric``; scripts put any other in its place."""
    of_variant = variants(model)
    made: dict[tuple[str, str], list[Series]] = {}
    for series in model.series:
        made.setdefault((series.machine, of_variant[series.id]), []).append(series)
    body = "".join(_heat_table(model, metric, *key, found) for key, found in made.items())
    return (
        '<section id="heat"><h2>Heat map</h2><form id="heat-controls" hidden></form>'
        f'<p id="heat-said">{text(METRICS[metric].label)} at the newest commit: sequence length by head shard.</p>'
        f'<div id="heat-tables">{body}</div>{_marks_at_newest(model)}'
        f"{csv_link('csv/latest.csv', 'every metric at the newest commit')}</section>"
    )


def _heat_table(model: Model, metric: str, machine: str, variant: str, found: list[Series]) -> str:
    there: dict[tuple[int, str], list[str]] = {}
    for series in found:
        known = facts(series.case, model.lengths)
        said = _newest(model, series, metric)
        there.setdefault((int(known["seq"]), str(known["shard"])), []).append(
            f'<a data-case="{name_of(series)}" href="cases/{name_of(series)}.html">{text(said)}</a>'
        )
    lengths = sorted({length for length, _ in there})
    shards = list(dict.fromkeys(str(facts(series.case, model.lengths)["shard"]) for series in found))
    rows = [
        row([f"{length:,}", *("<br>".join(there.get((length, shard), [])) for shard in shards)]) for length in lengths
    ]
    return table(["tokens", *shards], rows, f"{variant} on {machine}", ' class="heat"')


def _newest(model: Model, series: Series, metric: str) -> str:
    point = model.at_newest(series)
    if point is None:
        return NOT_MEASURED
    value = point.value(metric)
    if value is None:
        return "-" if point.measured else point.status.replace("_", " ")
    assert point.measurement is not None
    return units.human(value.value, METRICS[metric].unit) + cells.marks(point.measurement)


def _marks_at_newest(model: Model) -> str:
    points = [point for series in model.series if (point := model.at_newest(series))]
    return marks_key(cells.meanings([point.measurement for point in points if point.measurement], ON_ITS_PAGE))


def latest_csv(model: Model) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = list(COLUMNS)
    writer.writerow(
        [
            "machine",
            "case",
            "label",
            "commit",
            "status",
            "marks",
            "ran",
            *(f"{name} [{METRICS[name].unit}]" for name in names),
        ]
    )
    for series in model.series:
        point = model.at_newest(series)
        values = [point.value(name) if point else None for name in names]
        writer.writerow([
            safe(series.machine), safe(series.id), safe(model.labels[series.id]),
            model.commits[model.newest_place[series.machine]].hash, point.status if point else NOT_MEASURED,
            cells.marks(point.measurement) if point and point.measurement else "", point.ran if point else "",
            *("" if value is None else f"{value.value:.7g}" for value in values),
        ])  # fmt: skip
    return out.getvalue()


def phases(model: Model, runs: dict[str, Run]) -> tuple[str, str]:
    """The section of phases, and its CSV. The stack is the one that `plots/phases.py` draws."""
    rows, lines = [], []
    for series, line in _measured(model, runs):
        if line.case["measure"] != "ulysses" or "kernel" not in line.samples:
            continue
        try:
            rows.append((series, line, stack.phases(line)))
        except (KeyError, TypeError, ValueError) as error:  # its samples are not what an engine writes
            model.notices.append(f"{line.id}: its phases cannot be stacked ({type(error).__name__}: {error})")
    longest: dict[tuple[str, int], float] = {}
    for series, _, found in rows:
        alike = series.machine, series.case.seq_len_q
        longest[alike] = max(longest.get(alike, 0.0), sum(found.values()))
    rows.sort(key=lambda one: (one[0].machine, one[0].case.seq_len_q, one[0].case.ulysses))
    made = []
    for series, line, found in rows:
        value = _reader(line)
        overlap = line.value("closure_residual")
        hidden = units.percent(-overlap) + cells.marks(line) if overlap is not None and overlap < 0 else "none"
        made.append(row(
            [
                case_link(model, series.machine, series.id, name_of(series)),
                str(series.case.ulysses),
                bar([(_part(name), found[name]) for name in stack.PARTS],
                    longest[series.machine, series.case.seq_len_q]),
                value("total"), value("kernel"), value("all_to_all"), value("all_to_all_share"), value("wait"),
                value("exposed"), hidden,
            ],
            attributes(model, series),
        ))  # fmt: skip
        told = ("total", "all_to_all_share", "wait", "exposed", "closure_residual")
        seconds = [float(f"{found[name]:.7g}") for name in stack.PARTS]
        lines.append(
            [
                series.machine,
                series.id,
                cells.marks(line),
                series.case.ulysses,
                *seconds,
                *(_number(line, name) for name in told),
            ]
        )
    key = "".join(f'<li><svg class="bar" width="16" height="16" aria-hidden="true"><rect class="{_part(name)}" x="1" '
                  f'y="1" width="14" height="14"/></svg> {text(name)}</li>' for name in stack.PARTS)  # fmt: skip
    body = table(
        ("case", "Ulysses", "bar: the mean rank", "total", "kernel", "all-to-all", "a2a share", "wait", "exposed",
         "overlap"),
        made, "phases of one attention at the newest commit, by Ulysses degree", ' class="numbers"',
    ) if made else "<p>No attention with phases was measured at the newest commit.</p>"  # fmt: skip
    said = (
        "A bar is the mean over the ranks, of the middle half of the iterations; bars of one length and machine have "
        "one scale. The columns beside it are medians as in every other view, kernel and wait those of the slowest and "
        "the worst rank: they are not the bar's parts. Exposed is what is in the total beside the kernel and merging; "
        "overlap is by how much the phases add up to more than the total."
    )
    head = ["machine", "case", "marks", "ulysses", *(f"{name} of the mean rank [s]" for name in stack.PARTS)]
    head += ["total [s]", "a2a share", "wait of the worst rank [s]", "exposed [s]", "closure residual"]
    html = (
        f'<section id="phases"><h2>Phases</h2><p>{said}</p><ul class="key">{key}</ul>{body}'
        f"{marks_key(cells.meanings([line for _, line, _ in rows], ON_ITS_PAGE))}"
        f"{csv_link('csv/phases.csv', 'the phases')}</section>"
    )
    return html, _csv(head, lines)


def throughput(model: Model, runs: dict[str, Run]) -> tuple[str, str]:
    """The section of throughput and bus bandwidth, and its CSV."""
    rows, lines = [], []
    found = _measured(model, runs)
    fastest = max((line.value("achieved_flops") or 0.0 for _, line in found), default=0.0)
    peaks = {machine: _peak(run.environment) for machine, run in runs.items()}
    for series, line in found:
        peak = peaks[series.machine]["flops"].get(series.case.dtype)
        whole = peak or fastest
        value = _reader(line)
        achieved = line.value("achieved_flops") or 0.0
        rows.append(row(
            [
                case_link(model, series.machine, series.id, name_of(series)),
                bar([("part-kernel", achieved), ("part-rest", max(0.0, whole - achieved))], whole, 160),
                value("achieved_flops"), units.rate(peak, "FLOP/s") if peak else "not known", value("mfu"),
                value("busbw"), _of_link(line, runs[series.machine].environment), value("algbw"), value("tokens_per_s"),
            ],
            attributes(model, series),
        ))  # fmt: skip
        lines.append([series.machine, series.id, cells.marks(line), *(_number(line, name) for name in
                      ("achieved_flops", "mfu", "busbw", "algbw", "tokens_per_s")), peak or ""])  # fmt: skip
    known = {bool(peaks[series.machine]["flops"].get(series.case.dtype)) for series, _ in found}
    of_what = " or ".join(name for name, there in (("of the peak", True), ("of the fastest", False)) if there in known)
    sources = "".join(
        f"<li>{text(machine)}: {text('peak: ' + str(peak['source']) if peak.get('source') else _PEAK)}</li>"
        for machine, peak in peaks.items()
    )
    body = table(
        ("case", of_what, "throughput", "peak", "MFU", "busbw", "of the link", "algbw", "tokens/s"), rows,
        "throughput of the kernel and bus bandwidth of the all-to-all at the newest commit", ' class="numbers"',
    ) if rows else "<p>Nothing was measured at the newest commit.</p>"  # fmt: skip
    html = (
        f'<section id="throughput"><h2>Throughput</h2><p>{text(FLOPS)}</p><p>{text(_LINK)} The bar is against the '
        f"peak, or where none is known against the fastest case.</p><ul>{sources}</ul>{body}"
        f"{marks_key(cells.meanings([line for _, line in found], ON_ITS_PAGE))}"
        f"{csv_link('csv/throughput.csv', 'throughput and bandwidth')}</section>"
    )
    head = [
        "machine",
        "case",
        "marks",
        "achieved [FLOP/s]",
        "mfu",
        "busbw [B/s]",
        "algbw [B/s]",
        "tokens/s",
        "peak [FLOP/s]",
    ]
    return html, _csv(head, lines)


def _peak(environment: dict[str, Any]) -> dict[str, Any]:
    """What the run says of the device's peak: `flops` by dtype, in FLOP/s, and its `source`."""
    found = environment.get("peak")
    told: dict[str, Any] = found if isinstance(found, dict) else {}
    flops = told.get("flops")
    known = flops.items() if isinstance(flops, dict) else ()
    return {
        "flops": {dtype: value for dtype, value in known if isinstance(value, (int, float)) and 0 < value < math.inf},
        "source": told.get("source"),
    }


def _of_link(line: Measurement, environment: dict[str, Any]) -> str:
    value = line.value("busbw")
    if value is None:
        return ""
    link = link_bandwidth(environment, line.case["ulysses"])
    return f"{units.percent(value / link)} of {units.rate(link, 'B/s')}{cells.marks(line)}" if link else "not known"


def attributes(model: Model, series: Series) -> str:
    """What a row is filtered by."""
    known = facts(series.case, model.lengths) | {"machine": series.machine}
    return "".join(f' data-{name}="{text(value)}"' for name, value in known.items())


def _measured(model: Model, runs: dict[str, Run]) -> list[tuple[Series, Measurement]]:
    """The cases that the newest runs measured."""
    lines = {(machine, line.id): line for machine, run in runs.items() for line in run.measurements if line.measured}
    return [
        (series, lines[series.machine, series.id])
        for series in model.series
        if (series.machine, series.id) in lines
    ]  # fmt: skip


def _reader(line: Measurement) -> Callable[[str], str]:
    marks = cells.marks(line)

    def value(name: str) -> str:
        found = line.value(name)
        return text(units.human(found, METRICS[name].unit) + marks) if found is not None else ""

    return value


def _number(line: Measurement, name: str) -> float | str:
    value = line.value(name)
    return "" if value is None else float(f"{value:.7g}")


def _part(name: str) -> str:
    return "part-" + name.replace(" ", "-")


def environments(model: Model) -> tuple[str, str]:
    """The boxes side by side, each as at its newest commit, and when each fact changed; and the CSV."""
    stacks: dict[str, dict[str, str]] = {}
    turns = []
    for machine, points in model.stacks.items():
        for point in points:
            before = stacks.get(machine)
            stacks[machine] = point.stack
            if before is not None and (changes := differences(before, point.stack)):
                turns.append((model.places[point.commit.hash], machine, point.commit, changes))
    turns.sort(key=lambda turn: turn[:2])
    names = list(dict.fromkeys(name for stack in stacks.values() for name in stack))
    rows = []
    for name in names:
        values = [stacks[machine].get(name, "none") for machine in stacks]
        rows.append(row([text(name), *map(text, values)], ' class="differs"' if len(set(values)) > 1 else ""))
    body = table(["fact", *stacks], rows, "the boxes and their software, as of the newest commit") if rows else ""
    changed = [
        row([f"<code>{text(commit.short)}</code>", text(machine),
             text(", ".join(f"{name} {old} -> {new}" for name, old, new in changes)), text(commit.subject)])
        for _, machine, commit, changes in turns[-200:]
    ]  # fmt: skip
    if changed:
        body += table(["commit", "machine", "what changed", "subject"], changed, "when the stack changed")
    link = csv_link("csv/environments.csv", "the boxes")
    html = f'<section id="environments"><h2>Environments</h2>{body}{link}</section>'
    return html, _csv(["fact", *stacks], [[name, *(stacks[one].get(name, "") for one in stacks)] for name in names])


def _csv(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[safe(cell) if isinstance(cell, str) else cell for cell in line] for line in lines])
    return out.getvalue()
