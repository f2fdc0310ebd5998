"""DataJoint's lineage rows, so that joins and populate() work on linked tables.

DataJoint 2 keeps, in a table `~lineage` per schema, where each attribute was first defined; attributes are
the same where these strings are equal, and joins on others are refused. Linked tables carry the source's
strings, with the source's name before them: two sources that both have a `lab.subject` have different
subjects. The strings depend on nothing that a later link changes, since tables of the lab's own copy them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import LINEAGE, shortened
from djlink_manifest.servers.session.checked_values import BadValue, anything, as_name, as_text
from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.sql import comma, sql, table

LONGEST = 255  # characters that DataJoint's column takes
# `schema.table.attribute`, behind the names of sources where the schema is itself linked. With the source's
# name before it, it has four names or more; what the lab defines has three: neither is ever the other.
_ORIGIN = re.compile(r"[^.\s]{1,64}(?:\.[^.\s]{1,64}){2,}")

Attribute = tuple[str, str, str]  # schema, table, name


def read_lineage(
    source: Session, link: Link, links: Iterable[Link], schemas: Set[str]
) -> tuple[tuple[str, str, str], ...]:
    """(local table, attribute, lineage) of the link's tables, `DeletionRequested` included.

    `links` are all links of the source, `schemas` those of its schemas that have a `~lineage` table. What no
    such table says (DataJoint 0.14, plain SQL) is found as DataJoint finds it, along the foreign keys.
    """
    known = {(t.schema, t.name): t for each in (*links, link) for t in each.definition.tables}
    with source.reading():
        stored = dict(_stored(source, known, schemas))
    found = []
    for source_table, local_table in zip(link.definition.tables, link.local.tables, strict=False):
        told = {
            name for schema, of, name in stored if (schema, of) == (source_table.schema, source_table.name)
        }
        found += [
            (
                local_table.name,
                name,
                shortened(f"{link.source}.{_origin((*_place(source_table), name), known, stored)}", LONGEST),
            )
            for name in sorted(told | _inherited(source_table))
        ]
    requested = link.local.parts[-1].name
    keys = [(requested, a, origin) for t, a, origin in found if t == link.local.name and a in link.key]
    return tuple(sorted({*found, *keys}))


def is_lineage(table_of_lineage: TableDefinition) -> bool:
    """Whether a table named `~lineage` is DataJoint's: its rows are stored, with three columns of text."""
    texts = {c.name for c in table_of_lineage.columns if c.is_text and c.generated is None}
    is_stored = table_of_lineage.kind == "table" and table_of_lineage.engine.lower() == "innodb"
    return is_stored and {"table_name", "attribute_name", "lineage"} <= texts


def _stored(
    source: Session, known: Mapping[tuple[str, str], TableDefinition], schemas: Set[str]
) -> Iterator[tuple[Attribute, str]]:
    """What the source's `~lineage` tables say of the known tables."""
    for schema in sorted(schemas & {s for s, _ in known}):
        listed = comma([sql("{}", name) for s, name in sorted(known) if s == schema])
        of = table(schema, LINEAGE)
        text = "SELECT table_name, attribute_name, lineage FROM {} WHERE table_name IN ({})"
        for row in source.rows(sql(text, of, listed), anything, anything, anything):
            with suppress(BadValue):  # found along the foreign keys, as where there is no lineage
                name, attribute = (as_name(each, "a name") for each in row[:2])
                lineage = as_text(row[2], "a lineage", LONGEST)
                if _ORIGIN.fullmatch(lineage) and lineage.isprintable():
                    yield (schema, name, attribute), lineage


def _inherited(definition: TableDefinition) -> set[str]:
    """The attributes to which DataJoint gives a lineage: those of the key and of foreign keys."""
    named = {*definition.key, *(c for k in definition.foreign_keys for c in k.columns)}
    return {name for name in named if not name.startswith("_")}


def _origin(
    attribute: Attribute,
    known: Mapping[tuple[str, str], TableDefinition],
    stored: Mapping[Attribute, str],
) -> str:
    """The attribute that this one goes back to, as `schema.table.attribute`."""
    passed = set[Attribute]()
    while attribute not in passed:
        if attribute in stored:
            return stored[attribute]
        passed.add(attribute)
        schema, name, column = attribute
        definition = known.get((schema, name))
        for key in definition.foreign_keys if definition else ():
            parents = dict(zip(key.columns, key.parent_columns, strict=True))
            if column in parents:
                attribute = (key.parent_schema, key.parent_table, parents[column])
                break
    return ".".join(attribute)


def _place(definition: TableDefinition) -> tuple[str, str]:
    return definition.schema, definition.name


def write_lineage(local: Writer, schema: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write lineage rows into the local schema, in the table that DataJoint makes there, or would."""
    ensure_lineage(local, schema)
    insert_lineage(local, schema, rows)


def ensure_lineage(local: Writer, schema: str) -> None:
    """Make the table of lineage where the local schema has none."""
    local.ddl(
        f"""CREATE TABLE IF NOT EXISTS {table(schema, LINEAGE).text} (
  `table_name` VARCHAR(64) NOT NULL COMMENT 'table name within the schema',
  `attribute_name` VARCHAR(64) NOT NULL COMMENT 'attribute name',
  `lineage` VARCHAR(255) NOT NULL COMMENT 'origin: schema.table.attribute',
  PRIMARY KEY (`table_name`, `attribute_name`)
) ENGINE=InnoDB"""
    )


def insert_lineage(local: Writer, schema: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write lineage rows into a table of lineage that stands."""
    if rows:
        values = comma([sql("({}, {}, {})", *row) for row in rows])
        local.execute(
            sql(
                "INSERT INTO {} (table_name, attribute_name, lineage) VALUES {}"
                " ON DUPLICATE KEY UPDATE lineage = VALUES(lineage)",
                table(schema, LINEAGE),
                values,
            )
        )
