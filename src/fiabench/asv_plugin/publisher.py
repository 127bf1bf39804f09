"""Puts the dashboard, which needs no internet, in the place of asv's page: `asv publish` runs this."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from asv import util
from asv.console import log
from asv.publishing import OutputPublisher

from fiabench.asv_plugin.notice import measured_on
from fiabench.cases.errors import InputError
from fiabench.history.store import Store

_NOTICE = (
    "<p style='background:#fff3cd;color:#000;margin:0;padding:8px'>This is asv's own page. It loads its scripts from "
    "the internet and stays blank without; <a href='index.html'>index.html</a> needs none.{}</p>"
)


class Index(OutputPublisher):
    """The page index.html, from the run directories beside asv's results; asv's own page is moved to asv.html."""

    name = None
    button_label = None
    description = "The dashboard, which needs no internet"

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: dict[str, int]) -> None:
        # numpy, pydantic and matplotlib, which other asv commands need not load
        from fiabench.dashboard.build import KEPT, write
        from fiabench.dashboard.model import Asked

        out = Path(conf.html_dir).resolve()
        folder = Path(conf.results_dir).resolve().parent
        _move_asvs(out, measured_on((folder / "runs").glob("*/*")))
        # asv works in the folder of its configuration, and does not say what that is called.
        store = Store(folder, conf.project, Path.cwd() / "asv.conf.json")
        place = folder.parents[1] if store.outside else None
        plots = Path(conf.benchmark_dir).resolve().parent / "plots"
        try:
            # What was read is kept apart: asv empties its own folder each time.
            built = write(Asked(store, place=place), out, folder / KEPT, plots)
        except InputError as error:
            raise util.UserError(str(error)) from error
        for notice in built.model.notices:
            log.warning(f"passed over: {notice}")


def _move_asvs(folder: Path, said: Sequence[str]) -> None:
    """asv's page goes to asv.html, with a word of what it needs, and what is ``said`` of its numbers."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    body = page.index("<body>") + len("<body>")
    notice = _NOTICE.format("".join(f"<br>{escape(line)}" for line in said))
    (folder / "asv.html").write_text(page[:body] + notice + page[body:], encoding="utf-8")
    feed = folder / "regressions.xml"
    if feed.exists():
        feed.write_text(feed.read_text(encoding="utf-8").replace("index.html#", "asv.html#"), encoding="utf-8")
