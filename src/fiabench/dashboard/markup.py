"""HTML in small pieces. What comes from outside goes through :func:`text`, and nowhere into a script or a style."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What HTML does not have, and what turns the direction of the text around it."""
POLICY = "; ".join((
    "default-src 'none'", "script-src 'self' file:", "style-src 'self' file:", "img-src 'self' file: data:",
    "base-uri 'none'", "form-action 'none'",
))  # fmt: skip
"""A page may load its own files and nothing else. On file:// not every browser takes 'self' for the page's folder."""


def text(value: object) -> str:
    """As text, in an element or a quoted attribute."""
    return escape(_CONTROL.sub("\ufffd", str(value)))


def page(title: str, body: str, root: str = "", scripts: Iterable[str] = ()) -> str:
    """A whole page; ``root`` leads from it to the folder with `static/`."""
    loaded = "".join(f'<script defer src="{root}{text(name)}"></script>' for name in scripts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        # Browsers ask a server for /favicon.ico unless a page says that it has none.
        'content="light dark"><meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<title>{text(title)}</title>"
        f'<link rel="stylesheet" href="{root}static/uPlot.min.css">'
        f'<link rel="stylesheet" href="{root}static/dashboard.css">{loaded}</head><body>{body}</body></html>\n'
    )


def table(head: Sequence[str], rows: Iterable[str], caption: str, attributes: str = "") -> str:
    """``head`` is text; ``rows`` are made by :func:`row`."""
    cells = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table{attributes}>'
        f"<caption>{text(caption)}</caption><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(cells: Sequence[str], attributes: str = "", head: bool = True, labels: Sequence[str] = ()) -> str:
    """``cells`` are HTML; the first one is the row's head. Where it is narrow, ``labels`` stand before them."""
    first = f'<th scope="row">{cells[0]}</th>' if head else f"<td>{cells[0]}</td>"
    named = [f' data-label="{text(label)}"' for label in labels[1:]] or [""] * len(cells)
    others = "".join(f"<td{name}>{cell}</td>" for name, cell in zip(named, cells[1:]))
    return f"<tr{attributes}>{first}{others}</tr>"


def csv_link(path: str, what: str) -> str:
    return f'<p class="csv"><a href="{text(path)}" download>CSV: {text(what)}</a></p>'


def marks_key(meanings: Sequence[str]) -> str:
    """What the marks beside numbers mean; empty where there are none."""
    return f'<ul class="marks">{"".join(f"<li>{text(said)}</li>" for said in meanings)}</ul>' if meanings else ""


def command(line: str, what: str) -> str:
    """A command to copy."""
    return f'<div class="command"><span>{text(what)}</span> <code>{text(line)}</code></div>'


def bar(parts: Sequence[tuple[str, float]], whole: float, width: int = 240) -> str:
    """Parts (class and size) side by side as a picture that says nothing the table does not say."""
    drawn, at = [], 0.0
    for name, size in parts:
        wide = max(0.0, width * size / whole) if whole else 0.0
        drawn.append(f'<rect class="{name}" x="{at:.1f}" y="1" width="{wide:.1f}" height="14"/>')
        at += wide
    return f'<svg class="bar" aria-hidden="true" width="{width}" height="16">{"".join(drawn)}</svg>'
