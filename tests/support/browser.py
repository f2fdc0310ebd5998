"""A real browser without a window: the system's Chromium or Chrome, else Debian's, unpacked without root.

`python -m tests.support.browser` has it ready before tests start.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from djlink_manifest.sandbox.servers.packages import unpacked_root

VARIABLE = "DJLINK_TEST_BROWSER"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# of the C library, which must be the running system's own
_SYSTEM = (
    "ld-linux",
    "libc.",
    "libm.",
    "libpthread.",
    "libdl.",
    "librt.",
    "libresolv.",
    "libmvec.",
    "libnss_files.",
)


@dataclass(frozen=True, slots=True)
class Chromium:
    """A program, and where it finds its libraries; empty where the system has them."""

    program: str
    libraries: str = ""


@functools.cache
def find_browser() -> Chromium:
    """The browser to use. Raises SandboxError where none is installed and none can be unpacked."""
    named = os.environ.get(VARIABLE)
    installed = named or next(filter(None, map(shutil.which, NAMES)), None)
    if installed:
        return Chromium(installed)
    root = unpacked_root("chromium", lambda words: print(words, file=sys.stderr), _without_libc) / "root"  # noqa: T201
    libraries = ":".join(map(str, _libraries(root)))
    return Chromium(str(root / "usr/lib/chromium/chromium-headless-shell"), libraries)


def _libraries(root: Path) -> list[Path]:
    found = [*root.glob("lib/*-linux-gnu*"), *root.glob("usr/lib/*-linux-gnu*")]
    return [*found, *root.glob("usr/lib/*-linux-gnu*/pulseaudio")]


def _without_libc(folder: Path) -> None:
    for place in _libraries(folder / "root"):
        for file in place.iterdir():
            if file.name.startswith(_SYSTEM) and not file.is_dir():
                file.unlink()


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser, which ends with the block."""
    chromium = find_browser()
    environ: dict[str, str | float | bool] = dict(os.environ)
    if chromium.libraries:
        environ["LD_LIBRARY_PATH"] = chromium.libraries
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.program, env=environ, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page, what it said on its console, and what it asked for besides itself."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said, self.requests = list[str](), list[str]()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        self.said.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not (request.is_navigation_request() and request.url.startswith("file://")):
            self.requests.append(request.url)


@contextmanager
def visited(browser: Browser, path: Path, width: int, scheme: str, *, script: bool = True) -> Iterator[Visit]:
    """A visit of a file in a window of this width, in the color scheme `light` or `dark`."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,
    )
    visit = Visit(context.new_page())
    try:
        visit.page.goto(path.as_uri())
        yield visit
    finally:
        context.close()


if __name__ == "__main__":
    with opened() as browser:
        sys.stdout.write(f"Chromium {browser.version} is ready for the tests.\n")
