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
        here = rows(rig, "local", link.local.schema, link.local.name, key)
        unprotected += len(here - held)
        entities += len(here)
        for theirs, ours in zip(link.definition.parts, link.local.parts, strict=False):
            mine = link.definition.master_columns(theirs)
            assert mine is not None
            columns = ", ".join(f"`{name}`" for name in (*mine, *theirs.key))
            expected = {
                row
                for row in rows(rig, link.source, theirs.schema, theirs.name, columns)
                if row[: len(mine)] in here
            }
            assert rows(rig, "local", ours.schema, ours.name, columns) == expected, link.address
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
