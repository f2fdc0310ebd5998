"""A manifest written from what a server has: the text of `djlink init --from`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from djlink_manifest.manifest.edit.write import SCHEMA, formatted
from djlink_manifest.manifest.text.scalars import written

PLACEHOLDER = "YOUR_STORE"  # a name that no configuration has, so that a plan says what is to be written

Setting: TypeAlias = "tuple[str, str | int | bool | dict[str, str]]"

_PLAIN = re.compile(r"[A-Za-z_$]|\d+(?:\.\d+){3}$")


@dataclass(frozen=True, slots=True)
class DraftTable:
    """A table; `key` is how the manifest names it.

    `pull` is `all` or `needed`; `about` is said beside it, `notes` above it; `left_out` says why it cannot be
    linked, None where it can. `stores` are the source's stores that its columns name.
    """

    key: str
    pull: str = "all"
    about: str = ""
    notes: tuple[str, ...] = ()
    left_out: str | None = None
    stores: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftSchema:
    """A schema; `kept` are the keys below `tables` that a manifest has already, which stay as they are.

    `unseen` says what cannot be known of its tables; it is empty where all are seen.
    """

    name: str
    tables: tuple[DraftTable, ...]
    kept: tuple[str, ...] = ()
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class DraftServer:
    """How a server is reached: keys and values as they stand in a manifest, secrets as references."""

    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class DraftHead:
    """What a manifest that stands alone says beside its sources."""

    name: str
    contact: str
    local: DraftServer


@dataclass(frozen=True, slots=True)
class Draft:
    """A whole draft. Without `head` it is laid over a manifest; without `server` the source is in that one.

    `opening` are lines of comment at its top.
    """

    source: str
    schemas: tuple[DraftSchema, ...]
    server: DraftServer | None = None
    head: DraftHead | None = None
    opening: tuple[str, ...] = ()


def drafted(draft: Draft) -> str:
    """The text of the manifest, in the usual layout."""
    return formatted("\n".join(_lines(draft)) + "\n", "the manifest from the server")


def scalar(value: str | int | bool) -> str:
    """A value as YAML writes it on one line, quoted where it would mean something else."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    text = text.removesuffix("\n").removesuffix("\n...").removesuffix("\n")
    if text == value and not _PLAIN.match(value):  # what YAML 1.2, or a person, may take for a number
        return _quoted_scalar(value)
    return text


def comment(text: str) -> str:
    """A text of a server's as it can stand in a comment: on one line, without control characters."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _lines(draft: Draft) -> Iterator[str]:
    if draft.head is not None:
        yield f"# yaml-language-server: $schema={SCHEMA}"
        yield "#"
    for text in draft.opening:
        yield f"# {comment(text)}".rstrip()
    if draft.head is not None:
        yield "manifest: 1"
        yield f"name: {scalar(draft.head.name)}"
        yield f"contact: {scalar(draft.head.contact)}"
        yield ""
        yield "local:"
        yield from _settings(draft.head.local, "  ")
        yield ""
        yield "defaults:"
        yield '  schema_name: "{source}_{schema}"'
    yield ""
    yield "sources:"
    yield f"  {written(draft.source)}:"
    if draft.server is not None:
        yield from _settings(draft.server, "    ")
        yield from _stores(draft, "    ")
    yield "    schemas:"
    for each in draft.schemas:
        if each.unseen:
            yield f"      # {comment(each.unseen)}"
        yield f"      {written(each.name)}:"
        yield "        tables:"
        yield from (f"          {written(key)}: {{}}" for key in each.kept)
        for table in each.tables:
            yield from _table(table, "          ", with_stores=draft.server is None)


def _stores(draft: Draft, indent: str) -> Iterator[str]:
    """What the person fills in where tables keep values in stores; how to reach these is a comment."""
    names = _named(table for each in draft.schemas for table in each.tables)
    if not names:
        return
    for words in (
        f"Some tables keep values in stores. Replace {PLACEHOLDER} with stores of your own:",
        "names from DataJoint's configuration, `default` for its default store, `inline` for the row itself.",
    ):
        yield f"{indent}# {words}"
    yield f"{indent}stores: {_mapping(names)}"
    yield f"{indent}# How to reach the source's stores, if DataJoint's configuration has none of that name:"
    yield f"{indent}# store_settings:"
    for name in names:
        yield f"{indent}#   {written(name)}: {{protocol: file, location: /mnt/theirs}}"


def _named(tables: Iterable[DraftTable]) -> tuple[str, ...]:
    return tuple(sorted({name for table in tables if table.left_out is None for name in table.stores}))


def _mapping(names: Iterable[str]) -> str:
    return "{" + ", ".join(f"{written(name)}: {PLACEHOLDER}" for name in names) + "}"


def _settings(server: DraftServer, indent: str) -> Iterator[str]:
    for key, value in server.settings:
        if isinstance(value, dict):
            inside = ", ".join(f"{name}: {_quoted_scalar(text)}" for name, text in value.items())
            yield f"{indent}{key}: {{{inside}}}"
        else:
            yield f"{indent}{key}: {scalar(value)}"


def _quoted_scalar(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _table(table: DraftTable, indent: str, *, with_stores: bool) -> Iterator[str]:
    if table.left_out is not None:
        yield f"{indent}# {comment(table.key)} cannot be linked: {comment(table.left_out)}"
        return
    for note in table.notes:
        yield f"{indent}# {comment(note)}"
    about = f"  # {comment(table.about)}" if table.about else ""
    settings = [] if table.pull == "all" else [f"pull: {table.pull}"]
    if with_stores and table.stores:
        yield f"{indent}# delete `stores` if the one of the source applies; otherwise name your stores"
        settings.append(f"stores: {_mapping(table.stores)}")
    # never nothing: over another manifest that would take the table out
    yield f"{indent}{written(table.key)}: {{{', '.join(settings)}}}{about}"
