"""A headless Chromium that says what a page asked for, and of whom."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--virtual-time-budget=5000",
)  # fmt: skip


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP, as `asv preview` serves it; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def visit(url: str, folder: Path) -> tuple[str, set[str]]:
    """The page at ``url`` as the browser has made it, and the hosts that it asked for anything.

    What the browser asks for itself is not among them. ``folder`` takes what the browser writes.
    """
    assert CHROMIUM is not None
    log = folder / "net.json"
    command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom", url]
    page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    origin = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
    asked = [params["url"] for params in events if "url" in params and params.get("initiator") == origin]
    return page, {urlsplit(address).netloc for address in asked}
