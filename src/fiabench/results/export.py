"""A run as CSV, JSON or Markdown."""

from __future__ import annotations

import csv
import io
import json

from fiabench.results import cells, pivot
from fiabench.results.claims import verdicts
from fiabench.results.environment import is_simulated
from fiabench.results.metrics import METRICS
from fiabench.results.rundir import Run


def to_csv(run: Run) -> str:
    """One row a case: its fields, its status, and for each metric the value with its interval, in SI units."""
    rows = []
    for measurement in run.measurements:
        case = measurement.point.as_dict() | measurement.case
        row = {"id": measurement.id, **case, "status": measurement.status, "reason": measurement.reason}
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
    lines += [f"- {line}" for line in (*cells.legend(run.measurements), *cells.reasons(run.measurements))]
    lines += [f"- claim {verdict}: {claim} {because}" for claim, verdict, because in verdicts(run)]
    return "\n".join(lines) + "\n"


def _row(texts: list[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


FORMATS = ("csv", "json", "md")
