"""DataJoint's lineage rows: copied from the source, so that joins and populate() work on linked tables.

DataJoint 2 keeps, in a table `~lineage` per schema, where each attribute was first defined. Its strings name
the source's schemas on the local side too: attributes are the same where their strings are.
"""

from __future__ import annotations

from collections.abc import Mapping

from djlink_manifest.model.link import Link
from djlink_manifest.model.naming import LINEAGE
from djlink_manifest.servers.connection import Session, Writer
from djlink_manifest.servers.sql import comma, sql, table


def read_lineage(source: Session, link: Link) -> tuple[tuple[str, str, str], ...]:
    """(local table, attribute, lineage) of the link's tables, `DeletionRequested` included.

    The caller knows that the source schema has a `~lineage` table.
    """
    local_names: Mapping[str, str] = {
        theirs.name: ours.name
        for theirs, ours in zip(link.definition.tables, link.local.tables, strict=False)
    }
    listed = comma([sql("{}", name) for name in local_names])
    rows = source.rows(
        sql(
            "SELECT table_name, attribute_name, lineage FROM {} WHERE table_name IN ({})",
            table(link.definition.schema, LINEAGE),
            listed,
        )
    )
    found = [(local_names[str(t)], str(a), str(origin)) for t, a, origin in rows]
    requested = link.local.parts[-1].name
    keys = [(requested, a, origin) for t, a, origin in found if t == link.local.name and a in link.key]
    return tuple(sorted({*found, *keys}))


def write_lineage(local: Writer, schema: str, rows: tuple[tuple[str, str, str], ...]) -> None:
    """Write lineage rows into the local schema, in the table that DataJoint makes there, or would."""
    local.ddl(
        f"""CREATE TABLE IF NOT EXISTS {table(schema, LINEAGE).text} (
  `table_name` VARCHAR(64) NOT NULL COMMENT 'table name within the schema',
  `attribute_name` VARCHAR(64) NOT NULL COMMENT 'attribute name',
  `lineage` VARCHAR(255) NOT NULL COMMENT 'origin: schema.table.attribute',
  PRIMARY KEY (`table_name`, `attribute_name`)
) ENGINE=InnoDB"""
    )
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
