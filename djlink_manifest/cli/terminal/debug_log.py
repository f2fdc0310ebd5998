"""What djlink logs, shown on stderr while a command with `--debug` runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.report.screen.terminal import line

FORMAT, TIME = "%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S"


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


@contextmanager
def shown_on(screen: Screen) -> Iterator[None]:
    """Show all that djlink logs within the block. The library itself installs no handler."""
    logger, handler = logging.getLogger("djlink"), _OnScreen(screen)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
