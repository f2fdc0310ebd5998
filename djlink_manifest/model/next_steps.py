"""Commands that messages name as the next step: how they are written, found in a text, and completed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import TypeAlias

COMMAND = re.compile(r"`djlink (?P<verbs>(?:source )?[a-z]+)(?P<rest>(?: [^`\n]*)?)`")
"""A command in a message: `djlink plan --verify`, with the backticks."""

Options: TypeAlias = "Callable[[Sequence[str]], Sequence[str]]"
"""For the words of a command, without `djlink`: the options that the present invocation adds to it."""


def command(*words: str) -> str:
    """Return a `djlink` command as messages name it: in backticks, with each word quoted for a shell."""
    return f"`djlink {shlex.join(words)}`"


def completed(text: str, options: Options) -> str:
    """Return the text with the options added to each command in it, after the command's name."""
    return COMMAND.sub(lambda found: _completed(found, options), text)


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each command in the text, without `djlink`."""
    return [shlex.split(found["verbs"] + found["rest"]) for found in COMMAND.finditer(text)]


def _completed(found: re.Match[str], options: Options) -> str:
    try:
        given = options(shlex.split(found["verbs"] + found["rest"]))
    except ValueError:  # it is no command of ours, but a text that looks like one
        return found[0]
    return f"`djlink {found['verbs']}{' ' if given else ''}{shlex.join(given)}{found['rest']}`"
