"""Complete the commands that messages name by the options of the running command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from click.core import ParameterSource

from djlink_manifest.model.next_steps import Options

FILES = "files"
CARRIED = (FILES, "trust")  # what every command about the same manifest needs
HIDDEN = "djlink_manifest."  # before an option's name: where `context.meta` has it that no command is given
SELECTING = ("targets", "excludes")  # what plan and apply need to be about the same links
SELECTED = frozenset({"plan", "apply"})


def options_of(context: click.Context | None) -> Options:
    """Return the options that the command line of the context gives to the next command.

    Options that come from the environment are left out, since the next command has them too.
    """

    def options(words: Sequence[str]) -> list[str]:
        if context is None or "--help" in words:
            return []
        called = _named(context, words)
        return list(_carried(context, called, words)) if called is not None else []

    return options


def _named(context: click.Context, words: Sequence[str]) -> click.Command | None:
    """The command that the words call."""
    found: click.Command | None = context.find_root().command
    for word in words:
        if not isinstance(found, click.Group):
            break
        found = found.commands.get(word)
    return found


def _carried(context: click.Context, called: click.Command, words: Sequence[str]) -> Iterator[str]:
    taken = {each.name: each for each in called.params if isinstance(each, click.Option)}
    for name in (*CARRIED, *(SELECTING if called.name in SELECTED else ())):
        option = taken.get(name)
        if option is None or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if any(word.partition("=")[0] in option.opts for word in words):
            continue  # the message names its own
        values = context.params.get(name, context.meta.get(HIDDEN + name))
        for value in values if isinstance(values, tuple) else (values,):
            yield from (option.opts[0], str(value))
