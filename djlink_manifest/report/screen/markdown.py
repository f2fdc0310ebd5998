"""Text from manifests, servers and file names, made harmless in Markdown as GitHub and GitLab read it."""

from __future__ import annotations

import re

from djlink_manifest.report.screen.terminal import plain

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKUP = frozenset("\\`*_[]|~#$!")
_START = re.compile(r"([-+=:/]|[0-9]{1,9}[.)])")
_GAP = "\u200b"  # of no width: what it parts is no mention, reference or address
# a mention or an e-mail address, a reference to an issue, a URL
_LINKED = re.compile(
    r"(?<=@)|(?<=[#!&])(?=[\w\"'])|(?<=[%~$])(?=[^\W\d]|[\"'])|(?<=:)(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE
)


def inline(text: str) -> str:
    """Return text on one line that is shown as it stands: no markup, no mention, no link, no HTML.

    Pieces between backticks become code, as on the screen.
    """
    pieces = plain(text).strip().split("`")
    if len(pieces) % 2 == 0:  # a backtick without its counterpart
        return _escaped("`".join(pieces))
    marked = [
        _escaped(piece) if number % 2 == 0 or not piece.strip() else code(piece)
        for number, piece in enumerate(pieces)
    ]
    return _not_a_block("".join(marked))


def code(text: str) -> str:
    """Return text as code on one line, whatever backticks it has."""
    shown = plain(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    if not shown.strip():
        return inline(repr(shown)) if shown else "–"
    space = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _escaped(text: str) -> str:
    parted = _LINKED.sub(_GAP, text)
    return _not_a_block("".join(_ENTITIES.get(c) or (f"\\{c}" if c in _MARKUP else c) for c in parted))


def _not_a_block(text: str) -> str:
    """The text, with what would begin a list, a heading or a command of a bot at its start escaped."""
    start = _START.match(text)
    return f"{start[0][:-1]}\\{start[0][-1]}{text[start.end() :]}" if start else text
