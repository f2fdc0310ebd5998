"""What of another server's text may become part of DDL: a type, and an expression that stays one."""

from __future__ import annotations

import re

_TYPE = re.compile(
    r"[a-z][a-z0-9 ]*(?:\((?:[0-9, ]+|'(?:[^'\\]|''|\\.)*'(?:,'(?:[^'\\]|''|\\.)*')*)\))?(?: [a-z0-9 ]+)?",
    re.IGNORECASE,
)
# as the server reads them: a backslash escapes in strings, and not in backticks
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`", re.DOTALL)


def is_type(text: str) -> bool:
    """Whether the text looks like a column's type and nothing else."""
    return _TYPE.fullmatch(text) is not None


def is_contained(expression: str) -> bool:
    """Whether the expression cannot leave the parentheses around it, and holds no comment."""
    outside = _QUOTED.sub(" ", expression)
    depth = lowest = 0
    for char in outside:
        depth += (char == "(") - (char == ")")
        lowest = min(lowest, depth)
    return not (depth or lowest or re.search(r"--|#|/\*|;|['\"`]", outside))
