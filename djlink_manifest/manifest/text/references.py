"""References to secrets, `${env:NAME}` and `${file:path}`: how they are written. `secrets` resolves them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

LOCAL_USER, LOCAL_PASS = "${env:DJ_USER}", "${env:DJ_PASS}"  # names of variables, not secrets
LINK_USER, LINK_PASS = "${env:LINK_USER}", "${env:LINK_PASS}"  # names of variables, not secrets
LINK_OUTBOUND = "${env:LINK_OUTBOUND}"


@dataclass(frozen=True, slots=True)
class ValueReference:
    """An environment variable (`env`) by its name, or a file by its path."""

    kind: Literal["env", "file"]
    name: str


class BadReference(ValueError):
    """Text that looks like a reference and is none; the message repeats nothing of it."""


def parts(text: str) -> tuple[str | ValueReference, ...]:
    """The text as plain pieces and references, in order.

    Raises BadReference for a `${` that starts no reference.
    """
    found: list[str | ValueReference] = []
    at = 0
    for match in _REFERENCE.finditer(text):
        found += [text[at : match.start()], _reference(match[1])]
        at = match.end()
    found.append(text[at:])
    if any(isinstance(part, str) and "${" in part for part in found):
        raise BadReference("a reference is not closed: `${` without `}`")
    return tuple(part for part in found if part != "")


def has_reference(text: str) -> bool:
    """Whether a text holds anything that looks like a reference."""
    return bool(re.search(r"\$\{\s*(?:env|file)\s*:", text))


def only_references(text: str) -> bool:
    """Whether a text is one or more references and nothing else."""
    try:
        found = parts(text)
    except BadReference:
        return False
    return bool(found) and all(isinstance(part, ValueReference) for part in found)


def _reference(inner: str) -> ValueReference:
    kind, colon, name = inner.partition(":")
    if kind == "env" and colon and _NAME.fullmatch(name):
        return ValueReference("env", name)
    if kind == "file" and colon and name.strip() == name and name and "\0" not in name:
        return ValueReference("file", name)
    raise BadReference("a reference is `${env:NAME}` or `${file:path}`")
