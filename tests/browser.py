"""Drives headless Chromium over the WebDriver protocol with the standard library alone.

Needs Debian's `chromium` and `chromium-driver`.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 60.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"enter": "\ue007", "escape": "\ue00c", "tab": "\ue004", "down": "\ue015", "up": "\ue013"}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WebDriverError(Exception):
    """What the browser answered when it could not do something."""


class Browser:
    """One window. Elements are found by their `data-testid`, or by a CSS selector; each verb waits for its element."""

    def __init__(self, base: str, session: str) -> None:
        self._base = f"{base}/session/{session}"

    def command(self, verb: str, path: str, **body: Any) -> Any:
        """One WebDriver command; its value. Raises WebDriverError."""
        data = json.dumps(body).encode() if verb == "POST" else None
        return _send(verb, self._base + path, data)

    def opens(self, url: str) -> None:
        """Go to an address and wait until it is loaded."""
        self.command("POST", "/url", url=url)

    def runs(self, script: str, *args: Any) -> Any:
        """Run JavaScript in the page; what it returns."""
        return self.command("POST", "/execute/sync", script=script, args=list(args))

    def all(self, selector: str) -> list[str]:
        """The elements that a CSS selector finds now."""
        found = self.command("POST", "/elements", using="css selector", value=selector)
        return [element[ELEMENT] for element in found]

    def find(self, name: str) -> str:
        """The first visible element with this test id, or of this selector, as soon as there is one."""
        selector = name if any(mark in name for mark in "[.#> ") else f'[data-testid="{name}"]'

        def visible() -> str:
            shown = (one for one in self.all(selector) if self.command("GET", f"/element/{one}/displayed"))
            return next(shown, "")

        return str(self.waits(visible, f"{selector} on the page"))

    def clicks(self, name: str) -> None:
        """Click an element, and again where the page has just replaced it."""
        self._on(name, "/click")

    def types(self, name: str, text: str, *keys: str) -> None:
        """Type into an element; then press keys by name. For a file input `text` is the file's path."""
        self._on(name, "/value", text=text + "".join(KEYS[key] for key in keys))

    def _on(self, name: str, verb: str, **body: Any) -> None:
        def done() -> bool:
            try:
                self.command("POST", f"/element/{self.find(name)}{verb}", **body)
            except WebDriverError as error:
                if "stale" in str(error) or "intercepted" in str(error) or "not interactable" in str(error):
                    return False
                raise
            return True

        self.waits(done, f"to act on {name}")

    def text(self, name: str) -> str:
        """What an element shows."""
        return str(self.command("GET", f"/element/{self.find(name)}/text"))

    def texts(self, selector: str) -> list[str]:
        """What each element of a selector shows now."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
        return list(self.runs(script, selector))

    def sees(self, name: str, text: str) -> None:
        """Wait until an element shows a text."""

        def there() -> bool:
            try:
                return text in self.text(name)
            except WebDriverError:
                return False

        self.waits(there, f"{text!r} in {name}")

    def waits(self, seen: Callable[[], Any], what: str) -> Any:
        """Look until something is true; that. Raises TimeoutError that says what was not seen."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                if found := seen():
                    return found
            except WebDriverError as error:
                if "stale" not in str(error):
                    raise
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain for {what}")
            time.sleep(0.03)

    def resizes(self, width: int, height: int) -> None:
        """Give the page this many pixels, whatever the window needs around it."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def prefers(self, scheme: str) -> None:
        """Prefer a `light` or a `dark` page."""
        self._devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _devtools(self, command: str, **params: Any) -> None:
        self.command("POST", "/goog/cdp/execute", cmd=command, params=params)

    def shoots(self, path: Path) -> None:
        """Keep a picture of the page as PNG."""
        path.write_bytes(base64.b64decode(self.command("GET", "/screenshot")))

    def complaints(self) -> list[str]:
        """What the page wrote to the console as errors."""
        entries = self.command("POST", "/se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


def _send(verb: str, url: str, data: bytes | None = None) -> Any:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=verb)
    try:
        with _OPENER.open(request, timeout=DEADLINE) as response:
            return json.loads(response.read())["value"]
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise WebDriverError(refusal.read().decode()) from None


def programs() -> tuple[str, str]:
    """Chromium and its driver; skips the test where they are missing, except under CI=true."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium and chromium-driver are needed: apt-get install chromium chromium-driver")
        pytest.skip("needs chromium and chromium-driver")
    return chromium, driver


@contextmanager
def browser(width: int = 1280, height: int = 800) -> Iterator[Browser]:
    """A headless Chromium with a window of this size and a profile of its own, gone afterwards."""
    chromium, driver = programs()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _ready(base)
            yield from _window(base, chromium, profile, width, height)
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _window(base: str, chromium: str, profile: str, width: int, height: int) -> Iterator[Browser]:
    arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"]
    options = {"binary": chromium, "args": [*arguments, f"--user-data-dir={profile}"]}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    body = json.dumps({"capabilities": {"alwaysMatch": wanted}}).encode()
    session = _send("POST", f"{base}/session", body)["sessionId"]
    window = Browser(base, session)
    try:
        window.resizes(width, height)
        yield window
    finally:
        _send("DELETE", f"{base}/session/{session}")


def _ready(base: str) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            if _send("GET", f"{base}/status")["ready"]:
                return
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
        time.sleep(0.03)
