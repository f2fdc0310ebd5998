"""Lineage of links that have another name now: tables that copied their strings get the present ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from djlink_manifest.errors import MissingPrivilege
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.naming import LINEAGE, MARKS
from djlink_manifest.servers.ddl.lineage import ensure_lineage, insert_lineage
from djlink_manifest.servers.session.checked_values import a_name, a_text
from djlink_manifest.servers.session.session import Session, Writer, first_values
from djlink_manifest.servers.sql import Sql, comma, or_, sql, table

Rows = Sequence[tuple[str, str, str]]  # table, attribute, lineage


def named_before(local: Session, links: Iterable[Link], schemas: Iterable[str]) -> frozenset[str]:
    """The addresses of links whose local lineage begins with the name of a former source.

    `schemas` are the local schemas that have DataJoint's lineage.
    """
    found = set[str]()
    for schema in sorted(schemas):
        of = [link for link in links if link.local.schema == schema]
        sources = {f.source for link in of for f in link.formers if f.source != link.source}
        if not sources:
            continue
        begins = or_([sql("LEFT(lineage, {}) = {}", len(name) + 1, f"{name}.") for name in sorted(sources)])
        query = sql("SELECT table_name, lineage FROM {} WHERE {}", table(schema, LINEAGE), begins)
        rows = [(str(name), str(text).partition(".")[0]) for name, text in local.rows(query, a_name, a_text)]
        for link in of:
            own = {t.name for t in link.local.tables}
            former = {f.source for f in link.formers} - {link.source}
            if any(name in own and source in former for name, source in rows):
                found.add(link.address)
    return frozenset(found)


def move_lineage(
    local: Writer, schema: str, rows: Rows, renamed: Mapping[TableName, TableName], manifest: str
) -> tuple[str, ...]:
    """Write the present lineage of a link's tables, and put it in the place of the former wherever that is.

    `renamed` are local tables with their names before. The lab's own tables, and links of this manifest, have
    copies of the former strings. Returned are the schemas of which the account may not write the lineage.
    """
    ensure_lineage(local, schema)
    have, before = _schemas(local, LINEAGE, "lineage"), dict[tuple[str, str], str]()
    names = {new: old for old, new in renamed.items()}
    for place in dict.fromkeys((*renamed.values(), *((schema, name) for name, _, _ in rows))):
        for of in dict.fromkeys((place, names.get(place, place))):
            if of[0] in have:
                query = "SELECT attribute_name, lineage FROM {} WHERE table_name = {}"
                found = local.rows(sql(query, table(of[0], LINEAGE), of[1]), a_name, a_text)
                before.update({(place[1], str(name)): str(text) for name, text in found})
    changed = {before[name, a]: text for name, a, text in rows if before.get((name, a), text) != text}
    written = {(name, a) for name, a, _ in rows}
    kept = [
        (name, a, changed.get(text, text)) for (name, a), text in before.items() if (name, a) not in written
    ]
    unwritten = []
    copies = _copies(local, manifest) if changed else ()
    with local.transaction():
        for each in copies:
            try:
                local.execute(_replaced(each, changed))
            except MissingPrivilege:
                unwritten.append(each)
        for old, new in renamed.items():
            if old != new and old[0] in have:
                local.execute(sql("DELETE FROM {} WHERE table_name = {}", table(old[0], LINEAGE), old[1]))
        insert_lineage(local, schema, [*rows, *sorted(kept)])
    return tuple(unwritten)


def _replaced(schema: str, changed: Mapping[str, str]) -> Sql:
    cases = [sql("WHEN {} THEN {}", old, changed[old]) for old in sorted(changed)]
    listed = comma([sql("{}", old) for old in sorted(changed)])
    text = "UPDATE {} SET lineage = CASE lineage {} END WHERE lineage IN ({})"
    whens = Sql(" ".join(c.text for c in cases), tuple(a for c in cases for a in c.args))
    return sql(text, table(schema, LINEAGE), whens, listed)


def _copies(local: Session, manifest: str) -> tuple[str, ...]:
    """The schemas whose lineage may have copies: the lab's own, and those with links of this manifest."""
    marked, found = _schemas(local, MARKS, "manifest"), list[str]()
    for schema in sorted(_schemas(local, LINEAGE, "lineage")):
        if schema in marked:
            query = sql("SELECT COUNT(*) FROM {} WHERE manifest = {}", table(schema, MARKS), manifest)
            with suppress(MissingPrivilege):
                if not local.count(query):
                    continue
        found.append(schema)
    return tuple(found)


def _schemas(local: Session, name: str, column: str) -> frozenset[str]:
    """The schemas that have a table of this name with this column."""
    query = sql(
        "SELECT c.TABLE_SCHEMA FROM information_schema.COLUMNS c JOIN information_schema.TABLES t"
        " ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME"
        " WHERE c.TABLE_NAME = {} AND c.COLUMN_NAME = {} AND t.TABLE_TYPE = 'BASE TABLE'",
        name,
        column,
    )
    return frozenset(first_values(local.rows(query, a_name)))
