"""Verifying external objects: which entities have one that is missing or altered, here or at the source.

What is here is read where its hash is known, else its size is compared; what is to be pulled is looked up at
the source, and read when it is pulled. Only the keys of entities at fault are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.stores import external as model
from djlink_manifest.model.stores.external import BadObject, External, external_columns, external_of
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.external import verify_inline
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, and_, column, equal, not_exists_in, or_, sql, table
from djlink_manifest.servers.stores.transport import Sought, StoreTransport

AT_ONCE = 64  # objects that are looked at while the server waits to send more rows


def lost_local(
    local: Session, source: Session, link: Link, store_transport: StoreTransport
) -> tuple[int, list[RawRow]]:
    """How many objects of the local rows are missing or altered, and the keys of their entities.

    With the values that stand in the row here and are not those of the source's objects.
    """
    found = list(verify_inline.differing(local, source, link, store_transport))
    for source_table, local_table in link.tables:
        # a column that stands in the row here has no object
        own_columns = [(c, e) for c in local_table.columns if (e := external_of(c))]
        if own_columns:
            rows = local.stream(_local_rows(link, source_table, local_table, [c for c, _ in own_columns]))
            found += _at_fault(
                link, rows, own_columns, lambda each: store_transport.faults("local", each, reading=True)
            )
    return len(found), list(dict.fromkeys(found))


def missing_at_source(
    source: Session,
    source_links: SourceLinks,
    link: Link,
    store_transport: StoreTransport,
    blocked: Sql | None,
) -> list[RawRow]:
    """The keys of pullable entities, not held nor among the keys `blocked`, that lack an object."""
    found = list[RawRow]()
    for of in link.definition.tables:
        own_columns = external_columns(of)
        if own_columns:
            sets = Sets(source, source_links)
            rows = source.stream(_rows_to_pull(sets, link, of, [c for c, _ in own_columns], blocked))
            found += _at_fault(
                link, rows, own_columns, lambda each: store_transport.faults(link.source, each, reading=False)
            )
    return list(dict.fromkeys(found))


def _at_fault(
    link: Link,
    rows: Iterator[RawRow],
    own_columns: Sequence[tuple[Column, External]],
    faults: Callable[[Sequence[Sought]], list[bool]],
) -> Iterator[RawRow]:
    """The entity's key, once for each object that is at fault."""
    width = len(link.key)
    objects = chain.from_iterable(
        (
            (row[:width], value, external)
            for value, (_, external) in zip(row[width:], own_columns, strict=True)
        )
        for row in rows
    )
    while batch := list(islice(objects, AT_ONCE)):
        sought = list[tuple[RawRow, Sought | None]]()
        for key, value, external in batch:
            if value is not None:
                sought += _sought(key, value, external)
        to_verify = [each for _, each in sought if each is not None]
        answers = iter(faults(to_verify))
        for key, each in sought:
            if each is None or next(answers):
                yield key


def _sought(key: RawRow, value: bytes, external: External) -> Iterable[tuple[RawRow, Sought | None]]:
    """What a row says of its object; None for what cannot be followed."""
    try:
        metadata = model.read_metadata(value, external)
    except BadObject:
        yield key, None
        return
    if metadata is not None:
        yield key, Sought(metadata.store, metadata.path, metadata.hash, metadata.size)


def _local_rows(
    link: Link, source_table: TableDefinition, local_table: TableDefinition, read: Sequence[Column]
) -> Sql:
    key = link.key if source_table is link.definition else link.definition.master_columns(source_table) or ()
    return sql(
        "SELECT {}, {} FROM {} m JOIN {} t ON {} WHERE {}",
        reading(link.key_columns, "m"),
        reading(read, "t"),
        table(link.local.schema, link.local.name),
        table(local_table.schema, local_table.name),
        equal("t", key, "m", link.key),
        or_([sql("{} IS NOT NULL", column("t", c.name)) for c in read]),
    )


def _rows_to_pull(
    sets: Sets, link: Link, of: TableDefinition, read: Sequence[Column], blocked: Sql | None
) -> Sql:
    key = link.key if of is link.definition else link.definition.master_columns(of) or ()
    tests = sets.pullable(link, "p", key)
    if link.address in sets.source_links.held:
        tests.append(not_exists_in(outbound_table(link), link.key, "p", key))
    if blocked is not None:
        tests.append(not_exists_in(blocked, link.key, "p", key))
    return sql(
        "SELECT {}, {} FROM {} m JOIN {} p ON {} WHERE {}",
        reading(link.key_columns, "m"),
        reading(read, "p"),
        table(link.definition.schema, link.definition.name),
        table(of.schema, of.name),
        equal("p", key, "m", link.key),
        and_(tests),
    )
