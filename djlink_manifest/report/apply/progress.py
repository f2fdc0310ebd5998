"""Show the progress of an apply: bars on a terminal, otherwise occasional lines.

Events come from several threads. If the stream is closed, the apply continues without a display.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from djlink_manifest.reconcile.runtime.events import Advanced, Event, LinkOutcome, LinkStarted, Message
from djlink_manifest.report.plan.summary import outcome_words
from djlink_manifest.report.screen.figures import counted, duration, size
from djlink_manifest.report.screen.rows import DONE, FAILED, STYLES, WAITS
from djlink_manifest.report.screen.terminal import line, plain

EVERY_SECONDS = 5.0


class Display(Protocol):
    """Shows the progress of an apply; a context manager that is open while the apply runs."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def announce(self, words: str) -> None:
        """Show a message of djlink's own."""


class Lines:
    """Writes a line about every five seconds while a link is worked on, and one when it ends."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._guard = threading.Lock()
        self._started: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._due: dict[str, int] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Write a line for the event, unless a line of the same link was just written."""
        with self._guard:
            told = self._line(event)
        if told is not None:
            _print(self._console, told)

    def announce(self, words: str) -> None:
        """Write a line."""
        _print(self._console, line(words))

    def _line(self, event: Event) -> Text | None:
        now = self._clock()
        match event:
            case LinkStarted(address=address, entities=entities):
                self._started[address] = self._told[address] = now
                self._due[address] = entities
                return None
            case Advanced(address=address):
                if now - self._told.get(address, now) < EVERY_SECONDS:
                    return None
                self._told[address] = now
                rate = _rate(event.bytes, now - self._started.get(address, now))
                total = self._due.get(address, 0)
                of = f" of {total:,}" if total else ""
                left = _left(event.entities, total, now - self._started.get(address, now))
                figures = f"{event.entities:,}{of} rows{_volume(event.rows, event.bytes)}{rate}{left}"
                return line(f"{address}: {figures}")
            case Message(address=address, words=words):
                return line(f"{address}: {words}")
            case LinkOutcome():
                return _ended(event)


class NoProgress(Lines):
    """Shows nothing but messages of djlink's own."""

    def __call__(self, event: Event) -> None:
        """Show nothing."""


class Bars:
    """Shows a bar for each link at work, and a line above the bars for each link that has ended."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._guard = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            _Field("address", "bold"),
            BarColumn(bar_width=24),
            _Figures(),
            console=console,
            transient=True,
            get_time=clock,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, ValueError):
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Advance the link's bar, or write a line when the link has ended."""
        match event:
            case LinkStarted(address=address, entities=entities):
                task = self._progress.add_task(
                    "", total=entities or None, address=plain(address), rows=0, bytes=0
                )
                with self._guard:
                    self._tasks[address] = task
            case Advanced(address=address, entities=entities, rows=rows, bytes=sent):
                with self._guard:
                    moved = self._tasks.get(address)
                if moved is not None:
                    self._progress.update(moved, completed=entities, rows=rows, bytes=sent)
            case Message(address=address, words=words):
                _print(self._console, line(f"{address}: {words}"))
            case LinkOutcome(address=address):
                with self._guard:
                    ended = self._tasks.pop(address, None)
                if ended is not None:
                    self._progress.remove_task(ended)
                _print(self._console, _ended(event))

    def announce(self, words: str) -> None:
        """Write a line above the bars."""
        _print(self._console, line((words, "bold")))


class _Field(ProgressColumn):
    """Shows a field of the task as plain text, without interpreting markup."""

    def __init__(self, name: str, style: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._name = name
        self._style = style

    def render(self, task: Task) -> Text:
        """Return the field's text."""
        return line((str(task.fields[self._name]), self._style))


class _Figures(ProgressColumn):
    """Shows the rows done and due, all rows and bytes, the bytes per second, and the time left."""

    def render(self, task: Task) -> Text:
        """Return the figures of the task."""
        of = f"/{round(task.total):,}" if task.total else ""
        volume = _volume(task.fields["rows"], task.fields["bytes"])
        seconds = task.elapsed or 0.0
        left = _left(round(task.completed), round(task.total or 0), seconds)
        return line(f"{round(task.completed):,}{of}{volume}{_rate(task.fields['bytes'], seconds)}{left}")


def _ended(outcome: LinkOutcome) -> Text:
    symbol = {"done": DONE, "failed": FAILED, "skipped": WAITS}[outcome.status]
    words = outcome_words(outcome) if outcome.status == "done" else outcome.problem or outcome.status
    return line((symbol, f"bold {STYLES[symbol]}"), f" {outcome.address}: {words}")


def _volume(rows: int, sent: int) -> str:
    along = [counted(rows, "row") + " with parts"] if rows else []
    return f" ({', '.join([*along, size(sent)])})" if sent else "".join(f" ({each})" for each in along)


def _rate(sent: int, seconds: float) -> str:
    return f", {size(round(sent / seconds))}/s in {duration(seconds)}" if sent and seconds > 0 else ""


def _left(done: int, due: int, seconds: float) -> str:
    """Return the time left at the pace so far, or nothing if it is unknown or all rows are done."""
    return f", {duration(seconds * (due - done) / done)} left" if 0 < done < due and seconds > 0 else ""


def _print(console: Console, text: Text) -> None:
    # a progress line that cannot be written must not stop the apply
    with suppress(OSError, ValueError, UnicodeError):
        console.print(text, soft_wrap=True)


def on_stderr() -> Display:
    """Return the display for standard error: bars on a terminal, lines elsewhere, including notebooks."""
    console = Console(stderr=True, highlight=False)
    return Bars(console) if console.is_terminal and not console.is_jupyter else Lines(console)
