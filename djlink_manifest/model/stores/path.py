"""Paths within a store. Every path that reaches a store has passed `store_path`, which is the only check.

Rows, comments, table names and listings are written by others. A path made of them is checked as a whole, not
piece by piece: what is harmless alone may lead out of the store once it is joined.
"""

from __future__ import annotations

import re
from typing import NewType

StorePath = NewType("StorePath", str)
"""A path that was checked: relative, `/` between its steps, none of which leads up or nowhere."""

LONGEST = 4096  # bytes; what an operating system takes, and more than any object store does

_DRIVE = re.compile(r"[A-Za-z]:")
# control characters, line ends of Unicode, and halves of characters that no file name in UTF-8 has
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class BadPath(ValueError):
    """A path that leads out of a store or is none. The message is the end of a sentence about the path."""


def store_path(text: object) -> StorePath:
    """Check that a path stays below the top of any store, and return it. Raises BadPath."""
    if not isinstance(text, str) or not text:
        raise BadPath("is empty")
    if "\\" in text or _UNUSABLE.search(text):
        raise BadPath("contains a character that is invalid in a store path")
    steps = text.split("/")
    if {".", ".."} & set(steps) or not steps[0] or _DRIVE.match(text):
        raise BadPath("leads out of the store")
    if "" in steps:
        raise BadPath("has an empty step")
    if len(text.encode()) > LONGEST:
        raise BadPath("is too long")
    return StorePath(text)
