"""One entity on its servers: where its rows are, what the rules say of it, whom it refers to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeGuard

from djlink_manifest.model.links.explanation import KeyText, Records
from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.model.links.unique import Unique
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.model.tables.derive import extra_name
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.predicates import ROWS_AT_ONCE, in_pieces, key_value, keys_in
from djlink_manifest.servers.query.references import child_master_columns, child_table, parent_join
from djlink_manifest.servers.query.rows import is_binary, reading
from djlink_manifest.servers.query.tables import condition, outbound_table, source_table
from djlink_manifest.servers.session.checked_values import (
    a_count,
    an_optional_flag,
    an_optional_moment,
    an_optional_text,
)
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    comma,
    exists_in,
    ident,
    idents,
    not_exists_in,
    sql,
    table,
)

Which = Literal["all", "left out", "barred", "unheld"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules of a link say of a source row.

    `meets` is whether it meets `where`, None where that is NULL; `holds` are the references to restricted
    parents, each with whether all that the entity names there is allowed.
    """

    meets: bool | None
    wanted: bool
    blocked_by_request: bool
    holds: tuple[tuple[Reference, bool], ...]


def find_key(
    session: Session, of: TableDefinition, key: Sequence[Column], values: Sequence[str | bytes]
) -> RawRow | None:
    """The key, raw, of the row of a table that has these values, or None."""
    pairs = list(zip(key, values, strict=True))
    tests = [sql("{} = {}", ident(c.name), _given(c, v)) for c, v in pairs]
    tests += [_kept(c, v) for c, v in pairs if _is_foreign(v, c)]
    what = reading(key)
    of_table = table(of.schema, of.name)
    rows = session.raw_rows(sql("SELECT {} FROM {} WHERE {} LIMIT 1", what, of_table, and_(tests)))
    return rows[0] if rows else None


def is_in(session: Session, of: Sql, key: Sequence[Column], raw: RawRow) -> bool:
    """Whether a table has a row with this key."""
    return bool(session.rows(sql("SELECT 1 FROM {} WHERE {}", of, keys_in(key, [raw], None))))


def verdict(session: Session, source_links: SourceLinks, link: Link, raw: RawRow) -> Verdict | None:
    """What the rules say of the source row with this key, or None where there is none."""
    sets = Sets(session, source_links)
    wanted = sets.is_wanted(link.address, "s", link.key)
    blocked_by_request = sets.is_blocked_by_request(link.address, "s", link.key)
    references = sets.parent_conditions(link, "s")
    flags = [
        condition(link.where) if link.where is not None else Sql("TRUE"),
        wanted if wanted is not None else Sql("TRUE"),
        blocked_by_request if blocked_by_request is not None else Sql("FALSE"),
        *(holds for _, holds in references),
    ]
    rows = session.rows(
        sql(
            "SELECT {} FROM {} s WHERE {}",
            comma(flags),
            source_table(link),
            keys_in(link.key_columns, [raw], "s"),
        ),
        *[an_optional_flag] * len(flags),
    )
    if not rows:
        return None
    meets, is_wanted, is_blocked, *holds = rows[0]
    pairs = zip(references, holds, strict=True)
    return Verdict(
        meets,
        bool(is_wanted),
        bool(is_blocked),
        tuple((reference, bool(value)) for (reference, _), value in pairs),
    )


def records(session: Session, catalog: Catalog, link: Link, raw: RawRow) -> tuple[Records, tuple[bool, ...]]:
    """What stands of the entity in the outbound schema, and whether it is held, requested and approved."""
    named = {
        link.outbound_table: ("pulled_at",),
        link.requested_table: ("requested_at", "requested_by", "reason", "granted_at"),
        link.approved_table: ("approved_at", "approved_by"),
    }
    found, exists_at_source = dict[str, object](), list[bool]()
    for name, columns in named.items():
        row: tuple[object, ...] | None = None
        if (link.outbound_schema, name) in catalog.tables:
            what = idents([extra_name(link.definition, c) for c in columns])
            of = table(link.outbound_schema, name)
            test = keys_in(link.key_columns, [raw], None)
            kinds = (an_optional_moment if c.endswith("_at") else an_optional_text for c in columns)
            rows = session.rows(sql("SELECT {} FROM {} WHERE {}", what, of, test), *kinds)
            row = rows[0] if rows else None
        exists_at_source.append(row is not None)
        found |= dict(zip(columns, row or (), strict=False))
    return Records(**found), tuple(exists_at_source)  # type: ignore[arg-type] # the columns have the fields' types


def parents_named(
    session: Session,
    source_links: SourceLinks,
    link: Link,
    reference: Reference,
    raw: RawRow,
    *,
    which: Which,
    limit: int,
) -> list[RawRow]:
    """The keys of the parent's entities that this one names through a reference, of those asked for."""
    parent, sets = source_links.links[reference.parent], Sets(session, source_links)
    join, alias, names = parent_join(parent, reference, "c")
    own_columns = child_master_columns(link, reference)
    tests = [keys_in(renamed(link.key_columns, own_columns), [raw], "c")]
    tests += [sql("c.{} IS NOT NULL", ident(name)) for name in reference.nullable]
    if which == "left out":
        allowed = sets.is_allowed(parent.address, alias, names)
        tests.append(sql("NOT {}", allowed) if allowed is not None else Sql("FALSE"))
    elif which == "barred":
        tests.append(sets.is_blocked_by_request(parent.address, alias, names) or Sql("FALSE"))
    elif which == "unheld" and parent.address in source_links.held:
        tests.append(not_exists_in(outbound_table(parent), parent.key, alias, names))
    return session.raw_rows(
        sql(
            "SELECT DISTINCT {} FROM {} c {} WHERE {} LIMIT {}",
            reading(renamed(parent.key_columns, names), alias),
            child_table(link, reference),
            join,
            and_(tests),
            limit,
        )
    )


def users(
    session: Session, source_links: SourceLinks, child: str, reference: Reference, raw: RawRow
) -> tuple[int, int]:
    """How many rows of a child name this entity, and how many of those are of wanted or held entities."""
    link, other, sets = (
        source_links.links[reference.parent],
        source_links.links[child],
        Sets(session, source_links),
    )
    join, alias, names = parent_join(link, reference, "c")
    own_columns = child_master_columns(other, reference)
    user = sets.is_wanted(child, "c", own_columns) or Sql("TRUE")
    if child in source_links.held:
        user = sql("({} OR {})", user, exists_in(outbound_table(other), other.key, "c", own_columns))
    tests = [keys_in(renamed(link.key_columns, names), [raw], alias)]
    tests += [sql("c.{} IS NOT NULL", ident(name)) for name in reference.nullable]
    row = session.row(
        sql(
            "SELECT COUNT(*), COALESCE(SUM({}), 0) FROM {} c {} WHERE {}",
            user,
            child_table(other, reference),
            join,
            and_(tests),
        ),
        *(a_count, a_count),
    )
    return row[0], row[1]


def takers(source: Session, local: Session, link: Link, unique: Unique, raw: RawRow) -> Iterator[RawRow]:
    """The keys of local entities of which a row has a unique value of this entity's rows at the source."""
    source_columns = [unique.source_table.column(name) for name in unique.columns]
    owner = [unique.local_table.column(name) for name in unique.owner]
    of_source = table(unique.source_table.schema, unique.source_table.name)
    test = keys_in([unique.source_table.column(name) for name in unique.owner], [raw], None)
    rows = source.raw_rows(sql("SELECT {} FROM {} WHERE {}", reading(source_columns), of_source, test))
    values = [row for row in rows if None not in row]
    local_columns = [unique.local_table.column(name) for name in unique.columns]
    for first in range(0, len(values), ROWS_AT_ONCE):
        for some in in_pieces(local, values[first : first + ROWS_AT_ONCE]):
            tests = [keys_in(local_columns, some, None), sql("NOT {}", keys_in(owner, [raw], None))]
            of_local, what = table(unique.local_table.schema, unique.local_table.name), reading(owner)
            select = sql("SELECT DISTINCT {} FROM {} WHERE {}", what, of_local, and_(tests))
            yield from local.raw_rows(select)


def key_text(link: Link, raw: RawRow) -> KeyText:
    """A raw key as a person writes it; bytes in hex."""
    found = []
    for each, value in zip(link.key_columns, raw, strict=True):
        text = "0x" + (value or b"").hex() if is_binary(each) else (value or b"").decode("utf-8", "replace")
        found.append((each.name, text))
    return tuple(found)


def renamed(key: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The key's columns under the names that another table has for them."""
    return [replace(c, name=name) for c, name in zip(key, names, strict=True)]


def _given(column: Column, value: str | bytes) -> Sql:
    if column.is_number and isinstance(value, str):
        return Sql(value)  # as it was checked: as text it would be compared as a DOUBLE
    return key_value(value.encode(), column) if _is_foreign(value, column) else sql("{}", value)


def _kept(column: Column, value: str | bytes) -> Sql:
    """A text has all its characters in the column's character set, else it would be taken for another one."""
    return sql("CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin = {}", _given(column, value), value)


def _is_foreign(value: str | bytes, column: Column) -> TypeGuard[str]:
    return isinstance(value, str) and column.charset not in (None, "utf8mb4")
