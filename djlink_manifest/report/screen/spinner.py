"""Show what is being waited for while servers are read: a spinner on a terminal, otherwise lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.status import Status

from djlink_manifest.report.screen.terminal import line

EVERY_SECONDS = 5.0


class Spinner:
    """Takes short words from any thread and shows the latest; the spinner goes away at the end.

    Where `animated` is false, words are written once at least five seconds have passed since the last ones,
    so that a quick command writes none.
    """

    def __init__(
        self, console: Console, *, animated: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._clock = clock
        self._told = clock()
        self._guard = threading.Lock()
        self._status = Status(line("connecting"), console=console) if animated else None

    def __enter__(self) -> Spinner:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, words: str) -> None:
        """Show the current activity; a closed stream does not stop the work."""
        with self._guard, suppress(OSError, ValueError):
            if self._status:
                self._status.update(line(words))
            elif self._clock() - self._told >= EVERY_SECONDS:
                self._told = self._clock()
                self._console.print(line(words), soft_wrap=True)
