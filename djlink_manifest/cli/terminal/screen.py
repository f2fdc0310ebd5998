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
from rich.text import Text

Colour = Literal["auto", "always", "never"]


class _Console(Console):
    """A console that raises on a broken pipe instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """Raise the error."""
        raise BrokenPipeError


class Screen:
    """What a command writes to. `colour` and `debug` are the options of the command line."""

    def __init__(self) -> None:
        self.colour: Colour = "auto"
        self.debug = False

    def show(self, lines: Iterable[Text]) -> None:
        """Write lines of a result to stdout."""
        _write(self.console(sys.stdout), lines)

    def note(self, lines: Iterable[Text]) -> None:
        """Write lines of a message to stderr."""
        _write(self.console(sys.stderr), lines)

    def data(self, text: str) -> None:
        """Write a result to stdout unchanged."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def json(self, value: Any, *, indent: int | None = 2) -> None:
        """Write a JSON value to stdout in ASCII, so that it contains no control character."""
        self.data(json.dumps(value, indent=indent, ensure_ascii=True) + "\n")

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


def current() -> Screen:
    """Return the screen of the running command."""
    return cast(Screen, click.get_current_context().find_object(Screen))


def soften(stream: TextIO) -> None:
    """Make a stream write `?` for signs that its encoding lacks."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def _write(console: Console, lines: Iterable[Text]) -> None:
    for each in lines:
        console.print(each, soft_wrap=True)
