"""The key of one entity, as a person writes it on the command line, checked against the link. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from uuid import UUID

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import Column

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_HEX = re.compile(r"0[xX](?:[0-9A-Fa-f]{2})*")
_BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})


def parse_key(words: Sequence[str], link: Link) -> tuple[str | bytes, ...]:
    """The values of `subject=A1,session=3`, of the words `subject=A1` and `session=3`, or of a JSON object,
    in the order of the link's key.

    Values of bytes are written in hex (`0x1f2e`), or as a UUID where they are 16 bytes. Raises UsageError.
    """
    given = _pairs(words, link)
    for name in given:
        if name not in link.key:
            close = nearest(name, link.key)
            raise UsageError(
                f"`{name}` is not a primary key attribute of {link.address}",
                hint=f"did you mean `{close}`?" if close else _example(link),
            )
    missing = [name for name in link.key if name not in given]
    if missing:
        raise UsageError(
            f"the key lacks {', '.join(f'`{name}`' for name in missing)} of {link.address}",
            hint=_example(link),
        )
    return tuple(_value(column, given[column.name], link) for column in link.key_columns)


def _pairs(words: Sequence[str], link: Link) -> dict[str, str]:
    text = " ".join(words)
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise UsageError(f"the key is not JSON: {error}", hint=_example(link)) from None
        if any(v is None or isinstance(v, dict | list) for v in value.values()):
            raise UsageError("key values must be text or numbers", hint=_example(link))
        return {name: str(int(v) if isinstance(v, bool) else v) for name, v in value.items()}
    found = dict[str, str]()
    for part in _parts(words):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                f"`{part.strip()}` is not `attribute=value`",
                hint=f"{_example(link)}; write values that contain a comma as JSON",
            )
        if name.strip() in found:
            raise UsageError(f"`{name.strip()}` occurs twice in the key", hint=_example(link))
        found[name.strip()] = value.strip()
    return found


def _parts(words: Sequence[str]) -> list[str]:
    """The pairs of a key. One word is cut at its commas; one of several, where each piece is a pair."""
    if len(words) == 1:
        return words[0].split(",")
    found = list[str]()
    for word in words:
        pieces = word.removesuffix(",").split(",")
        found += pieces if all("=" in piece for piece in pieces) else [word]
    return found


def _value(column: Column, text: str, link: Link) -> str | bytes:
    if column.is_number and not _NUMBER.fullmatch(text):
        raise UsageError(
            f"`{column.name}` is a number ({column.type}), but {text!r} is not", hint=_example(link)
        )
    if column.base_type not in _BYTES:
        return text
    if _HEX.fullmatch(text):
        return bytes.fromhex(text[2:])
    if column.type == "binary(16)":
        try:
            return UUID(text).bytes
        except ValueError:
            pass
    raise UsageError(
        f"`{column.name}` contains bytes ({column.type}), but {text!r} is not in hex",
        hint="write 0x1f2e",
    )


def _example(link: Link) -> str:
    columns = ",".join(f"{c.name}={'0x1f2e' if c.base_type in _BYTES else '…'}" for c in link.key_columns)
    return f"write the key of {link.address} as {columns}"
