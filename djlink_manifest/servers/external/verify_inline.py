"""Verifying values that stand in rows here and in objects at the source (`inline`): which are not the same.

The bytes here are read, and compared with the hash that the source's row says; where it says none, the
source's object is read too. Rows that only one side has are for the comparison of rows to find.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.stores import external as model
from djlink_manifest.model.stores.external import BadObject, External, external_columns, is_inline
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.servers.keys import predicates
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import equal, sql, table
from djlink_manifest.servers.stores.copy_object import base32
from djlink_manifest.servers.stores.transport import StoreTransport


@dataclass(frozen=True, slots=True)
class _Value:
    size: int
    md5: bytes


_Row = tuple[RawRow, RawRow, list["_Value | None"]]  # the entity's key, the row's own, the values


def differing(
    local: Session, source: Session, link: Link, store_transport: StoreTransport
) -> Iterator[RawRow]:
    """The entity's key, once for each value that differs. Raises StoreError where a store cannot be read."""
    for source_table, local_table in link.tables:
        own_columns = [(c, e) for c, e in external_columns(source_table) if is_inline(c, local_table)]
        if not own_columns:
            continue
        names = [c.name for c, _ in own_columns]
        rows = _values(local, link, source_table, local_table, names)
        while batch := list(islice(rows, predicates.ROWS_AT_ONCE)):
            source_side = _metadata(source, source_table, names, [own for _, own, _ in batch])
            for key, own, values in batch:
                # a row that the source lacks has nothing to compare with
                for value, said, (_, external) in zip(
                    values, source_side.get(own, ()), own_columns, strict=False
                ):
                    if _differs(value, said, external, link.source, store_transport):
                        yield key


def _values(
    local: Session,
    link: Link,
    source_table: TableDefinition,
    local_table: TableDefinition,
    names: Sequence[str],
) -> Iterator[_Row]:
    entity = (
        link.key if source_table is link.definition else link.definition.master_columns(source_table) or ()
    )
    select = sql(
        "SELECT {}, {}, {} FROM {} m JOIN {} t ON {}",
        reading(link.key_columns, "m"),
        reading(source_table.key_columns, "t"),
        reading([local_table.column(name) for name in names], "t"),
        table(link.local.schema, link.local.name),
        table(local_table.schema, local_table.name),
        equal("t", entity, "m", link.key),
    )
    first, last = len(link.key), len(link.key) + len(source_table.key)
    for row in local.stream(select):
        yield row[:first], row[first:last], [_value(each) for each in row[last:]]


def _value(content: bytes | None) -> _Value | None:
    if content is None:
        return None
    return _Value(len(content), hashlib.md5(content, usedforsecurity=False).digest())


def _metadata(
    source: Session, source_table: TableDefinition, names: Sequence[str], keys: Sequence[RawRow]
) -> Mapping[RawRow, RawRow]:
    """What the source's rows of these keys say of their objects."""
    width, found = len(source_table.key), dict[RawRow, RawRow]()
    for some in predicates.in_pieces(source, keys):
        select = sql(
            "SELECT {}, {} FROM {} t WHERE {}",
            reading(source_table.key_columns, "t"),
            reading([source_table.column(name) for name in names], "t"),
            table(source_table.schema, source_table.name),
            predicates.keys_in(source_table.key_columns, some, "t"),
        )
        found |= {row[:width]: row[width:] for row in source.raw_rows(select)}
    return found


def _differs(
    value: _Value | None, said: bytes | None, external: External, source: str, store_transport: StoreTransport
) -> bool:
    if value is None or said is None:
        return (value is None) != (said is None)
    try:
        metadata = model.read_metadata(said, external)
    except BadObject:
        return True
    if metadata is None:
        return True
    if metadata.hash:
        return base32(value.md5) != metadata.hash
    if metadata.size is not None and metadata.size != value.size:
        return True
    source_side = store_transport.digest(source, metadata.store, metadata.path)
    # what is missing there cannot be compared, nor mended
    return source_side is not None and source_side != value.md5
