"""The commands that a text names as next steps: found, and parsed as the command line would."""

from __future__ import annotations

from collections.abc import Sequence

import click

from djlink_manifest.cli.root import djlink
from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.model.next_steps import commands


def parsed(words: Sequence[str]) -> click.Context:
    """The context of a command with these arguments, which is not run. Raises click.UsageError."""
    context, rest = click.Context(djlink, info_name="djlink", obj=Screen()), list(words)
    command: click.Command = djlink
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    return command.make_context(name, rest, parent=context)


def check(text: str) -> list[list[str]]:
    """Fail for a command of the text that cannot be typed; the commands' arguments."""
    found = commands(text)
    for words in found:
        try:
            parsed(words)
        except click.ClickException as error:
            raise AssertionError(f"djlink {' '.join(words)}: {error.format_message()}\n{text}") from error
    return found
