"""A headless Chromium that is clicked and typed at over DevTools; what it asked for, and what it complained of."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import websocket

from tests.asv.browser import CHROMIUM

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--remote-debugging-port=0", "--hide-scrollbars",
)  # fmt: skip
_KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "ArrowDown": (40, ""), "ArrowUp": (38, ""), "ArrowLeft": (37, ""),
         "ArrowRight": (39, ""), "Home": (36, ""), "End": (35, ""), " ": (32, " ")}  # fmt: skip


class Page:
    """One tab."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._number = 0
        self.requests: list[str] = []
        """Every address that was asked for."""
        self.complaints: list[str] = []
        """What the console got as an error or a warning, and exceptions."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; events that come before it are noted."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(about["exceptionDetails"])[:2000])
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(about["args"])[:2000])
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.complaints.append(json.dumps(about["entry"])[:2000])

    def leave(self) -> None:
        """Leaves the page, and returns when it can ask for nothing more."""
        self.send("Page.navigate", url="about:blank")
        self.wait(lambda: self.ask("location.href") == "about:blank")

    def start(self) -> None:
        """Leaves the page and forgets what was asked for and complained of: the next test's is its own."""
        self.leave()
        self.requests.clear()
        self.complaints.clear()

    def open(self, address: str) -> None:
        """Opens an address and waits for it and its view to be there."""
        self.leave()  # so that another fragment of the same page loads it anew
        self.send("Page.navigate", url=address)
        self.wait(lambda: self.ask("document.readyState") == "complete" and self.ask("location.href") != "about:blank")
        if self.ask("document.querySelector('script[src]') !== null"):
            self.wait(lambda: self.views() > 0)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def views(self) -> int:
        """How often the page has shown a view."""
        return int(self.ask("Number(document.body?.dataset.ready || 0)"))

    def wait(self, until: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 60  # of a busy box
        while not until():
            assert time.monotonic() < deadline, "the page did not get there"
            time.sleep(0.02)

    def then(self, act: Callable[[], Any]) -> None:
        """Does something that shows another view, and waits for it."""
        before = self.views()
        act()
        self.wait(lambda: self.views() > before)

    def click(self, selector: str) -> None:
        """Clicks the middle of the first element, as a mouse does."""
        quoted = json.dumps(selector)
        assert self.ask(f"document.querySelector({quoted}) !== null"), selector
        self.ask(f"document.querySelector({quoted}).scrollIntoView({{block: 'center'}})")
        x, y = self.ask(
            f"(() => {{ const r = document.querySelector({quoted}).getClientRects()[0]; "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose(self, selector: str, value: str) -> None:
        """Chooses an option, as a user of a select does."""
        self.ask(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}); box.value = {json.dumps(value)}; "
            "box.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def press(self, key: str) -> None:
        code, text = _KEYS[key]
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def text(self, selector: str) -> str:
        """What is shown of the first element."""
        return str(self.ask(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def resize(self, width: int, height: int = 1000) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path, width: int, height: int, dark: bool = False) -> None:
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        time.sleep(0.5)  # the charts follow the width
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A tab of a browser of its own, whose files lie in ``folder``."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    socket = None
    try:
        socket = websocket.create_connection(_tab(profile / "DevToolsActivePort", process), timeout=90,
                                             suppress_origin=True)  # fmt: skip
        yield Page(socket)
    finally:
        if socket is not None:
            socket.close()
        process.terminate()
        process.wait(30)


def _tab(port: Path, process: subprocess.Popen[bytes]) -> str:
    """The address of the tab. Into ``port`` the browser writes where it listens, perhaps before it has a tab."""
    deadline = time.monotonic() + 60
    while True:
        lines = port.read_text().split() if port.exists() else []
        if len(lines) == 2:
            with urlopen(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                tabs = [one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page"]
            if tabs:
                (tab,) = tabs
                return str(tab)
        assert process.poll() is None, "the browser ended by itself"
        assert time.monotonic() < deadline, "the browser does not listen"
        time.sleep(0.05)
