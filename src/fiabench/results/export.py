"""A run as CSV, JSON or Markdown; its samples as Parquet."""

from __future__ import annotations

import csv
import importlib
import io
import json
from typing import Any

from fiabench.cases.errors import InputError
from fiabench.cases.variables import in_words
from fiabench.results import cells, pivot
from fiabench.results.claims import verdicts
from fiabench.results.environment import is_simulated
from fiabench.results.measurement import Measurement
from fiabench.results.metrics import METRICS
from fiabench.results.rundir import Run


def to_csv(run: Run) -> str:
    """One row a case: its fields, its status, and for each metric the value with its interval, in SI units."""
    rows = []
    for measurement in run.measurements:
        row = {"id": measurement.id, **_fields(measurement), "status": measurement.status, "reason": measurement.reason}
        row["doubts"] = "; ".join(measurement.flags) or None
        row["sessions"] = len(measurement.each_session)
        projects = measurement.timing.get("projects", {})
        row["projects"] = "; ".join(f"{name}: {cells.origin_name(found)}" for name, found in projects.items()) or None
        row["oversubscribed"] = measurement.timing.get("oversubscribed")
        row["operator"] = run.environment["operator"]
        row["simulated"] = is_simulated(run.environment) or None
        for name, metric in METRICS.items():
            entry = measurement.metrics.get(name, {})
            unit = metric.unit.replace("/", "_per_")
            row[f"{name}_{unit}"] = entry.get("value")
            row[f"{name}_low"], row[f"{name}_high"] = entry.get("low"), entry.get("high")
        rows.append(row)
    filled = [name for name in (rows[0] if rows else {}) if any(row[name] is not None for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, filled, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_parquet(run: Run) -> bytes:
    """One row a sample, for pandas and the like: where it was taken, its seconds, its case's fields.

    A case is one row in CSV, and everything is in JSON; this is what neither is good for. A case without samples has no
    row here. The header is in the file's metadata, as JSON under `fiabench.run`. Raises InputError without pyarrow.
    """
    try:
        pa: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError.plain(f"--format parquet: needs pyarrow ({error}); pip install pyarrow") from error
    series, samples = [], []
    for line in run.lines:
        fields = _sample_fields(run, line)
        for phase, by_rank in line.samples.items():
            for rank, durations in by_rank.items():
                series.append({"id": line.id, "session": line.session, "phase": phase, "rank": int(rank), **fields})
                samples.append(durations)
    groups = pa.array([index for index, taken in enumerate(samples) for _ in taken], pa.int64())
    columns = {
        name: pa.array([group.get(name) for group in series]).take(groups)
        for name in dict.fromkeys(name for group in series for name in group)
    }
    columns["iteration"] = pa.array([place for taken in samples for place in range(len(taken))], pa.int64())
    columns["seconds"] = pa.array([seconds for taken in samples for seconds in taken], pa.float64())
    table = pa.table(columns).replace_schema_metadata({"fiabench.run": json.dumps(run.header, ensure_ascii=False)})
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def _sample_fields(run: Run, line: Measurement) -> dict[str, Any]:
    """What is said of every sample of a line: how the case ended, what it ran on, its fields."""
    return {
        "status": line.status,
        "operator": run.environment["operator"],
        "simulated": is_simulated(run.environment),
        **_fields(line),
    }


def _fields(line: Measurement) -> dict[str, Any]:
    """The case's fields, each one value."""
    case = line.point.as_dict() | line.case
    return case | {"variables": in_words(case["variables"].items()) or None}


def to_json(run: Run) -> str:
    """The header and every measurement of every session with its samples, as one object."""
    measurements = [measurement.as_dict() for measurement in run.lines]
    return json.dumps({"run": run.header, "measurements": measurements}, indent=2, ensure_ascii=False) + "\n"


def to_markdown(run: Run, headline: str) -> str:
    """The closing tables, to be pasted where people talk."""
    lines = [f"**{headline}**", ""]
    for section in pivot.sections(run.measurements):
        titles = [" ".join(column) for column in section.columns]
        lines += [f"{section.title}", "", _row([section.row_label, *titles]), _row(["---:"] + ["---"] * len(titles))]
        for title, row in section.rows:
            texts = ["<br>".join(line for made in found for line in cells.cell(made)) for found in row]
            lines.append(_row(["<br>".join(title), *texts]))
        lines.append("")
    made = run.measurements
    lines += [f"- {line}" for line in (*cells.legend(made), *cells.notes(made), *cells.reasons(made))]
    lines += [f"- claim {verdict}: {claim} {because}" for claim, verdict, because in verdicts(run)]
    return "\n".join(lines) + "\n"


def _row(texts: list[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


FORMATS = ("csv", "json", "md", "parquet")
