"""Log statements with their server, time and rows, and without a value: `djlink --debug`.

The text is logged before values are bound to it. What stands in it as a literal all the same, such as rows of
an INSERT, keys of a list, or a person's `where`, is replaced.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

from djlink_manifest.errors import ServerError
from djlink_manifest.servers.sql import Sql

LOG = logging.getLogger("djlink.servers")
SHOWN = 2_000  # characters of a statement that are looked at: rows of many megabytes follow some

Count: TypeAlias = Callable[[int], None]

# As a server reads text, from left to right. A literal that SHOWN cuts off ends with the text, so that no
# half of one is taken for something else.
_TOKEN = re.compile(
    r"""(?P<name>`(?:[^`]|``)*(?:`|\Z))
    |(?P<comment>/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)|\#[^\n]*|--(?=\s|\Z)[^\n]*)
    |(?P<literal>(?:\b(?:[nxb]|_[a-z][a-z0-9]*)\s*)?
        (?:'(?:[^'\\]|''|\\.)*(?:'|\\?\Z)|"(?:[^"\\]|""|\\.)*(?:"|\\?\Z))
        |(?<![\w$.])(?:\d|\.\d)(?:(?<=[eE])[+-](?=\d)|[\w.])*)
    |(?P<word>[\w$]+)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_LIST = re.compile(r"\?(?:\s*,\s*\?)+")
_TUPLES = re.compile(r"(\(\?(?:, …)?\))(?:\s*,\s*\(\?(?:, …)?\))+")
_BLANKS = re.compile(r"\s+")

_UNLOGGED: AbstractContextManager[Count] = nullcontext(lambda rows: None)


def without_literals(text: str) -> str:
    """The text with `?` for each literal, text or number, and lists of them cut short; on one line.

    Names, in backticks or not, stay as they are.
    """
    bare = _TOKEN.sub(_shown, text)
    return _TUPLES.sub(r"\1, …", _LIST.sub("?, …", _BLANKS.sub(" ", bare))).strip()


def logged(server: str, session: int, statement: Sql | str | bytes) -> AbstractContextManager[Count]:
    """Log a statement at the end of the block, with its time and the rows that the block counted.

    The block's value is called with each number of rows. An error is logged by its number, as its text may
    quote a value; it passes through.
    """
    return _logged(server, session, statement) if LOG.isEnabledFor(logging.DEBUG) else _UNLOGGED


@contextmanager
def _logged(server: str, session: int, statement: Sql | str | bytes) -> Iterator[Count]:
    counted = list[int]()
    started = time.monotonic()
    try:
        yield counted.append
    except GeneratorExit:
        _log(server, session, statement, started, f"{sum(counted):,} rows read, then left")
        raise
    except BaseException as error:
        code = f" {error.code}" if isinstance(error, ServerError) and error.code else ""
        _log(server, session, statement, started, f"{type(error).__name__}{code}")
        raise
    else:
        rows = sum(counted)
        _log(server, session, statement, started, f"{rows:,} row{'s' * (rows != 1)}")


def _log(server: str, session: int, statement: Sql | str | bytes, started: float, ended: str) -> None:
    milliseconds = (time.monotonic() - started) * 1000
    LOG.debug("%s %.1f ms, %s: %s", f"{server}#{session}", milliseconds, ended, _text(statement))


def _text(statement: Sql | str | bytes) -> str:
    """The statement as it is logged."""
    match statement:
        case Sql():
            text = statement.text.replace("\0", "?")
        case bytes():
            # no byte of a longer character looks like a quote, so that what cannot be decoded hides no end
            text = statement[:SHOWN].decode(errors="replace")
        case _:
            text = statement
    return without_literals(text[:SHOWN]) + (" …" if len(text) > SHOWN or _is_cut(statement) else "")


def _is_cut(statement: Sql | str | bytes) -> bool:
    return isinstance(statement, bytes) and len(statement) > SHOWN


def _shown(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "literal":
            return "?"
        case "comment":
            return "/* */"
        case _:
            return token[0]
