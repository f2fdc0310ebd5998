"""The two output streams of a command, with or without color."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, Literal, TextIO, cast

import click
from rich.console import Console

from djlink_manifest.cli.terminal.next_steps import options_of
from djlink_manifest.model.next_steps import completed
from djlink_manifest.report.screen.layout import Item, laid_out
from djlink_manifest.report.screen.terminal import escaped

Colour = Literal["auto", "always", "never"]
HINTS = frozenset({"hint", "fix", "detail"})  # the fields of JSON that name next steps


class _Console(Console):
    """A console that raises on a broken pipe instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """Raise the error."""
        raise BrokenPipeError


class Screen:
    """What a command writes to. `colour` and `debug` are the options of the command line.

    `context` is that of the running command: commands that a message names get its options.
    """

    def __init__(self) -> None:
        self.colour: Colour = "auto"
        self.debug = False
        self.context: click.Context | None = None

    def show(self, lines: Iterable[Item]) -> None:
        """Write lines of a result to stdout."""
        self._write(sys.stdout, lines)

    def note(self, lines: Iterable[Item]) -> None:
        """Write lines of a message to stderr."""
        self._write(sys.stderr, lines)

    def typed(self, text: str) -> str:
        """Return the text with its commands as they are to be typed now."""
        return completed(text, options_of(self.context))

    def data(self, text: str) -> None:
        """Write a result to stdout unchanged."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def json(self, value: Any, *, indent: int | None = 2) -> None:
        """Write a JSON value to stdout; what a terminal might act upon is escaped."""
        whole = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        text = json.dumps(self._typed(value), indent=indent, ensure_ascii=not whole)
        self.data(escaped(text) + "\n")

    def console(self, stream: TextIO) -> Console:
        """Return a console for the stream that does not interpret markup."""
        force = True if self.colour == "always" else None
        plain = self.colour == "never" or (self.colour == "auto" and bool(os.environ.get("NO_COLOR")))
        system: Literal["auto", "standard"] | None = "standard" if force else "auto"
        return _Console(
            file=stream,
            color_system=None if plain else system,
            no_color=plain,
            force_terminal=force,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def _write(self, stream: TextIO, lines: Iterable[Item]) -> None:
        console = self.console(stream)
        # what is read by a program, or kept in a file, has whole lines
        width = console.width if stream.isatty() else None
        for each in laid_out(lines, width, self.typed):
            console.print(each, soft_wrap=True)

    def _typed(self, value: Any) -> Any:
        """The JSON value with the commands of its hints completed."""
        if isinstance(value, dict):
            return {
                k: self.typed(v) if k in HINTS and isinstance(v, str) else self._typed(v)
                for k, v in value.items()
            }
        return [self._typed(each) for each in value] if isinstance(value, list) else value


def current() -> Screen:
    """Return the screen of the running command."""
    return cast(Screen, click.get_current_context().find_object(Screen))


def same_place(one: TextIO, other: TextIO) -> bool:
    """Return whether two streams go to the same terminal, file or pipe."""
    try:
        return os.path.samestat(os.fstat(one.fileno()), os.fstat(other.fileno()))
    except (OSError, ValueError):
        return False


def soften(stream: TextIO) -> None:
    """Make a stream write `?` for signs that its encoding lacks."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
