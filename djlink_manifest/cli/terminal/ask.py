"""Questions at a terminal, each with a default and a check of the answer."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from djlink_manifest.report.screen.terminal import plain

Fault = Callable[[str], str | None]
"""Says why an answer does not do, as the end of a sentence; None where it does."""


def can_ask() -> bool:
    """Return whether somebody sits at a terminal to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: str | None, fault: Fault) -> str:
    """Return the answer to a question, the default for an empty one; ask again until it does.

    Raises click.Abort at the end of the input.
    """
    shown = f" [{default}]" if default else ""
    while True:
        sys.stderr.write(f"{question}{shown}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line.endswith("\n"):
            sys.stderr.write("\n")
            raise click.Abort
        answer = line.strip() or default or ""
        why = fault(answer) if answer.isprintable() else "contains a character that cannot be printed"
        if why is None:
            return answer
        sys.stderr.write(f"  This {plain(why)}.\n")
