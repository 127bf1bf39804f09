"""Takes the pictures of docs/dashboard.md anew: `python -m tests.dashboard.pictures docs/images`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from fiabench.dashboard import build
from fiabench.dashboard.model import Asked
from tests.dashboard import learned
from tests.dashboard.chromium import browser


def take(folder: Path, images: Path) -> None:
    """The history to learn on with drawn numbers: light, dark, narrow, and a case's page."""
    made = learned.make(folder)
    done = build.write(Asked(made.store), folder / "html", folder / "kept", learned.ROOT / "plots")
    address = done.index.resolve().as_uri()
    with browser(folder) as page:
        page.open(address)
        page.screenshot(images / "dashboard-light.png", 1280, 1180)
        page.screenshot(images / "dashboard-dark.png", 1280, 1180, dark=True)
        page.screenshot(images / "dashboard-narrow.png", 400, 1000)
        page.resize(1280, 1300)
        key = page.ask("document.querySelectorAll('#changes a[data-case]')[5].dataset.case")
        page.open(f"{address}#view=case&case={key}&metric=total")
        page.wait(lambda: page.ask("document.querySelector('#case-samples svg.plot') !== null"))
        page.screenshot(images / "dashboard-case.png", 1280, 1300)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        take(Path(temporary), Path(sys.argv[1]))
