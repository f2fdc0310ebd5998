"""The external objects of one link: counted, found in the source's rows, brought, and named in the rows here.

Objects come before the transaction that writes their rows, so that no row is without its object; an object
whose row does not follow is an orphan, which DataJoint's garbage collection finds.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing

from djlink_manifest.errors import ObjectRefused
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.stores import external as model
from djlink_manifest.model.stores.external import (
    BadObject,
    External,
    Place,
    Transport,
    external_columns,
    is_inline,
)
from djlink_manifest.model.stores.store import INLINE, Store
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.external.verify import lost_local
from djlink_manifest.servers.keys.key_list import NumberedKeys
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.query.json_values import member
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.checked_values import a_count
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, and_, column, not_exists_in, or_, sql, table
from djlink_manifest.servers.stores.transport import Brought, StoreTransport
from djlink_manifest.servers.transfer.batch import rows_of
from djlink_manifest.servers.transfer.insert import BatchTooLarge, RowFormat

BATCH_OBJECTS = 20_000  # of one transaction
BATCH_OBJECT_BYTES = 1 << 30
LARGEST_SIZE = 1 << 50  # bytes; a row that says more of its object is refused, and estimates leave it out
REMEMBERED = 100_000  # objects known to be here, so that one content comes once


class Objects:
    """What is brought for one link in one apply. `brought` holds per object why it could not be, or None."""

    def __init__(self, link: Link, store_transport: StoreTransport) -> None:
        self._link = link
        self._store_transport = store_transport
        self._local = {
            name: s for _, name in link.stores if isinstance(s := store_transport.stores.local(name), Store)
        }
        self._brought = dict[Transport, str | None]()
        self._values = set[Transport]()  # those that stand in rows, put aside

    def bring(
        self,
        source: Session,
        work: KeyTable,
        first: int,
        last: int,
        stop: threading.Event,
        each: Callable[[Brought], None],
    ) -> None:
        """Bring the objects of the entities in a range of `work` that are in outbound.

        Raises ObjectRefused where one cannot be brought, and BatchTooLarge where a smaller range should be
        tried; a single entity comes whatever it holds.
        """
        link = self._link
        if len(self._brought) > REMEMBERED:
            self._brought.clear()
        wanted, missing, size = dict[Transport, None](), list[Transport](), 0
        with closing(self._wanted(source, NumberedKeys(work, first, last))) as found:
            for each_object in found:
                if each_object in wanted:
                    continue
                wanted[each_object] = None
                if each_object not in self._brought:
                    missing.append(each_object)
                    size += each_object.size or 0
                if first < last and (len(missing) > BATCH_OBJECTS or size > BATCH_OBJECT_BYTES):
                    raise BatchTooLarge("too many external objects in one batch")
        self._forget_values(wanted)
        refused = (
            self._store_transport.bring(link.source, missing, link.local.schema, stop, each)
            if missing
            else {}
        )
        self._brought.update({o: refused.get(o) for o in missing})
        for wanted_object in wanted:
            words = self._brought[wanted_object]
            if words is not None:
                raise ObjectRefused(words)

    def conversion(
        self, source_table: TableDefinition, local_table: TableDefinition, read: Sequence[Column]
    ) -> RowFormat:
        """What makes the source's rows those of the local table: objects are named as they lie here."""
        places = {c.name: number for number, c in enumerate(read)}
        own_columns = [(places[c.name], e) for c, e in external_columns(source_table) if c.name in places]
        place = Place(source_table.schema, source_table.name, local_table.schema, local_table.name)

        def changed(row: RawRow) -> RawRow:
            values = list(row)
            for number, external in own_columns:
                values[number] = self._value(values[number], external, place)
            return tuple(values)

        if not own_columns:
            return RowFormat(read)
        # what stands in the row here is binary
        return RowFormat(
            [local_table.column(c.name) if is_inline(c, local_table) else c for c in read], changed
        )

    def lost(self, local: Session, source: Session) -> list[RawRow]:
        """The keys of local entities of which an object, or its value in the row, is missing or altered."""
        return lost_local(local, source, self._link, self._store_transport)[1]

    def _wanted(self, source: Session, keys: NumberedKeys) -> Generator[Transport, None, None]:
        link = self._link
        for source_table, local_table in link.tables:
            own_columns = external_columns(source_table)
            if not own_columns:
                continue
            place = Place(source_table.schema, source_table.name, local_table.schema, local_table.name)
            read = [c for c, _ in own_columns]
            some = or_([sql("{} IS NOT NULL", column("t", c.name)) for c in read])
            rows = source.stream(rows_of(link, source_table, keys, reading(read, "t"), some))
            try:
                for row in rows:
                    for value, (_, external) in zip(row, own_columns, strict=True):
                        found = self._transport(value, external, place)
                        if found is not None:
                            yield found[0]
            finally:
                rows.close()  # type: ignore[attr-defined]  # a generator; closing it frees the session

    def _value(self, value: bytes | None, external: External, place: Place) -> bytes | None:
        found = self._transport(value, external, place)
        if found is None:
            return value
        transported, local_value = found
        if self._brought.get(transported, "") is not None:
            raise ObjectRefused("its object changed at the source during the pull")
        if transported.local == INLINE:
            return self._store_transport.content(transported)
        return json.dumps(local_value).encode()

    def _transport(
        self, value: bytes | None, external: External, place: Place
    ) -> tuple[Transport, dict[str, object]] | None:
        if value is None:
            return None
        try:
            metadata = model.read_metadata(value, external)
            if metadata is None:
                return None
            store = self._store_transport.stores.of_source(self._link.source, metadata.store)
            prefix = store.prefix("schema") if isinstance(store, Store) else ""
            return model.transport(
                metadata, external, place, self._link.stores, prefix=prefix, local=self._local
            )
        except BadObject as error:
            raise ObjectRefused(f"an object of {place.source_table} cannot be located: {error}") from error

    def _forget_values(self, wanted: Mapping[Transport, None]) -> None:
        """Take away the values that went into the rows of earlier batches."""
        gone = [o for o in self._values if o not in wanted]
        self._store_transport.forget(gone)
        for each in gone:
            self._brought.pop(each, None)
        self._values = {o for o in wanted if o.local == INLINE}


def objects_to_pull(
    session: Session, source_links: SourceLinks, link: Link, blocked: Sql | None = None
) -> model.ObjectCounts:
    """The external objects of pullable entities not in outbound, nor among the keys `blocked`; each once."""
    count = total = unsized = 0
    for of in link.definition.tables:
        own_columns = link.key if of is link.definition else link.definition.master_columns(of) or ()
        for stored, _ in external_columns(of):
            sets = Sets(session, source_links)
            value = column("p", stored.name)
            path, size = member(value, "path"), member(value, "size")
            tests = [*sets.pullable(link, "p", own_columns), sql("{} IS NOT NULL", path)]
            if link.address in source_links.held:
                tests.append(not_exists_in(outbound_table(link), link.key, "p", own_columns))
            if blocked is not None:
                tests.append(not_exists_in(blocked, link.key, "p", own_columns))
            row = session.row(
                sql(
                    "SELECT COUNT(*), COALESCE(SUM(size), 0), COUNT(*) - COUNT(size) FROM"
                    " (SELECT path, store, CASE WHEN size <= {} THEN size END AS size FROM"
                    " (SELECT DISTINCT {} AS path, {} AS store, CAST({} AS UNSIGNED) AS size"
                    " FROM {} p WHERE {}) said) o",
                    LARGEST_SIZE,
                    path,
                    member(value, "store"),
                    size,
                    table(of.schema, of.name),
                    and_(tests),
                ),
                *(a_count, a_count, a_count),
            )
            count, total, unsized = count + row[0], total + row[1], unsized + row[2]
    return model.ObjectCounts(count, total, unsized)
