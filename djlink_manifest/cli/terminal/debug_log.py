"""What djlink logs, shown on stderr or kept in a file while a command runs: `--debug` and DJLINK_LOG."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import UsageError
from djlink_manifest.report.screen.terminal import line, plain

VARIABLE = "DJLINK_LOG"
FORMAT, TIME = "%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S"
IN_FILE = "%(asctime)s.%(msecs)03dZ [%(process)d] %(levelname)s %(name)s: %(message)s"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
LOGGER = logging.getLogger("djlink")


class _OnScreen(logging.Handler):
    """Writes each record as a line of the screen, above whatever moves there."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen
        self.setFormatter(logging.Formatter(FORMAT, TIME))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a stream that is gone does not end the work."""
        with suppress(OSError, ValueError):
            self._screen.note([line((self.format(record), "dim"))])


class _InFile(logging.StreamHandler):  # type: ignore[type-arg]  # generic in its stub alone
    """Appends each record to a file, which only its owner can read where it is made, with times in UTC."""

    def __init__(self, path: Path) -> None:
        super().__init__(os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a"))
        formatter = logging.Formatter(IN_FILE, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, without control characters."""
        return plain(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        """Do nothing: a disk that is full does not end the work."""

    def close(self) -> None:
        """Close the file."""
        super().close()
        with suppress(OSError):
            self.stream.close()


@contextmanager
def shown_on(screen: Screen, level: int = logging.DEBUG) -> Iterator[None]:
    """Show what djlink logs at this level within the block. The library itself installs no handler."""
    present = next((each for each in LOGGER.handlers if isinstance(each, _OnScreen)), None)
    if present is None:
        with _with(_OnScreen(screen), level):
            yield
        return
    # DJLINK_LOG shows it already, at its own level
    before = present.level
    present.setLevel(min(before, level))
    try:
        with _let_through(level):
            yield
    finally:
        present.setLevel(before)


@contextmanager
def logging_by_environment(environ: Mapping[str, str], screen: Screen) -> Iterator[None]:
    """Log within the block what DJLINK_LOG asks for: a level, a file, or `LEVEL:FILE`.

    A level alone is shown on stderr, a file alone gets everything. Raises UsageError where the file cannot be
    written.
    """
    given = environ.get(VARIABLE, "")
    if not given:
        yield
        return
    first, _, rest = given.partition(":")
    level = LEVELS.get(first.lower())
    name = given if level is None else rest
    if level is None:
        level = logging.DEBUG
    if not name:
        with shown_on(screen, level):
            yield
        return
    try:
        handler = _InFile(Path(name))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
        levels = "|".join(LEVELS)
        raise UsageError(
            f"the log {name} of {VARIABLE} cannot be written: {reason}",
            hint=f"set {VARIABLE} to a level ({levels}), a file, or LEVEL:FILE",
        ) from None
    with _with(handler, level):
        yield


@contextmanager
def _with(handler: logging.Handler, level: int) -> Iterator[None]:
    handler.setLevel(level)
    LOGGER.addHandler(handler)
    try:
        with _let_through(level):
            yield
    finally:
        LOGGER.removeHandler(handler)
        handler.close()


@contextmanager
def _let_through(level: int) -> Iterator[None]:
    """Let the logger make records of this level; those that no handler takes cost nothing."""
    before = LOGGER.level
    LOGGER.setLevel(min(before or level, level))
    try:
        yield
    finally:
        LOGGER.setLevel(before)
