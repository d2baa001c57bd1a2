"""A real Chromium without a screen, driven by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol).

Nothing but this machine can be reached from it: every other name resolves to nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60.0  # for anything that the browser is asked for, on a busy machine
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # in a container there is none to be had
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find() -> str | None:
    """The browser's program, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser; `open` makes pages in it."""

    def __init__(self, program: str, profile: Path) -> None:
        command = [program, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        where = profile / "DevToolsActivePort"
        _wait(lambda: where.exists() and len(where.read_text().splitlines()) == 2, "the browser to start")
        port, path = where.read_text().splitlines()
        self._closing = contextlib.ExitStack()
        self._socket = self._closing.enter_context(connect(f"ws://127.0.0.1:{port}{path}", max_size=None))
        self._count = 0
        self._heard: list[dict[str, Any]] = []

    def open(self, url: str, *, width: int = 1280, height: int = 1200, dark: bool = False) -> Page:
        """A page of this size that has loaded; what it prints, throws and asks for is kept from its first moment."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"], target)
        for domain in ("Runtime", "Log", "Network", "Page"):
            page.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        page.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=url)
        page.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Ask and wait for the answer; events that come meanwhile are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self._socket.recv(timeout=SECONDS))
            if answer.get("id") != self._count:
                self._heard.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def events(self, session: str, method: str) -> list[dict[str, Any]]:
        return [e["params"] for e in self._heard if e.get("sessionId") == session and e.get("method") == method]

    def close(self) -> None:
        self._closing.close()
        self._process.terminate()
        self._process.wait(timeout=SECONDS)


class Page:
    """One page: look at it, and hear what it complains about."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        _wait(
            lambda: self.value(expression), f"{expression}; the page says: {self.value('document.body?.innerText')!r}"
        )

    def complaints(self) -> list[str]:
        """Errors and warnings on the console, exceptions, and files that did not load."""
        found = []
        for event in self._browser.events(self._session, "Runtime.consoleAPICalled"):
            if event["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(a.get("value", a.get("description"))) for a in event["args"]))
        for event in self._browser.events(self._session, "Runtime.exceptionThrown"):
            found.append(str(event["exceptionDetails"].get("exception", event["exceptionDetails"])))
        for event in self._browser.events(self._session, "Log.entryAdded"):
            if event["entry"]["level"] in ("error", "warning"):
                found.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")
        return found

    def requests(self) -> list[str]:
        """Every address that the page has asked for."""
        return [e["request"]["url"] for e in self._browser.events(self._session, "Network.requestWillBeSent")]

    def overflow_pixels(self) -> int:
        """By how much the page is wider than its window."""
        return self.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def picture(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)


def _wait(is_so: Any, what: str) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {SECONDS:g} s for {what}")
        time.sleep(0.1)
