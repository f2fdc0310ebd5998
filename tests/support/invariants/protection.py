"""What holds on the servers at every instant: nothing here unprotected there, no entity here by half."""

from __future__ import annotations

from typing import Any

from djlink_manifest.model.links.link import Link
from tests.support.rig import Rig


def check_whole(rig: Rig, links: tuple[Link, ...], own: int = 0) -> int:
    """Every local row stands in outbound, but for `own` rows that never did, and each local entity has just
    the source's part rows. Tables that are not made yet hold nothing. The number of local entities."""
    entities = unprotected = 0
    for link in links:
        key = ", ".join(f"`{name}`" for name in link.key)
        held = rows(rig, link.source, link.outbound_schema, link.outbound_table, key)
        local_keys = rows(rig, "local", link.local.schema, link.local.name, key)
        unprotected += len(local_keys - held)
        entities += len(local_keys)
        for source_table, local_table in zip(link.definition.parts, link.local.parts, strict=False):
            own_columns = link.definition.master_columns(source_table)
            assert own_columns is not None
            columns = ", ".join(f"`{name}`" for name in (*own_columns, *source_table.key))
            expected = {
                row
                for row in rows(rig, link.source, source_table.schema, source_table.name, columns)
                if row[: len(own_columns)] in local_keys
            }
            assert rows(rig, "local", local_table.schema, local_table.name, columns) == expected, link.address
    assert unprotected <= own, f"{unprotected} local rows without protection"
    return entities


def rows(rig: Rig, server: str, schema: str, table: str, what: str) -> set[tuple[Any, ...]]:
    """The rows of a table, none where it does not exist."""
    if not rig.run(
        server,
        f"SELECT 1 FROM information_schema.tables WHERE table_schema = '{schema}' AND table_name = '{table}'",
    ):
        return set()
    return set(rig.run(server, f"SELECT {what} FROM `{schema}`.`{table}`"))
