"""What of `moved` the local lineage says still, and which entries have nothing left to move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from djlink_manifest.manifest.models.moves import followed, is_below, steps_of
from djlink_manifest.manifest.models.values import Moved
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.naming import LINEAGE
from djlink_manifest.reconcile.observe.connect import Reached
from djlink_manifest.reconcile.plan.moves import unused
from djlink_manifest.servers.ddl.lineage import is_lineage
from djlink_manifest.servers.ddl.lineage_moves import named_before

if TYPE_CHECKING:
    from djlink_manifest.reconcile.observe.context import Context


def lineage_named_before(links: Iterable[Link], local: Reached) -> frozenset[str]:
    """The links whose local lineage has the name of a former source."""
    moved = [link for link in links if any(f.source != link.source for f in link.formers)]
    tables = local.catalog.tables
    schemas = {x.local.schema for x in moved}
    schemas = {s for s in schemas if (t := tables.get((s, LINEAGE))) is not None and is_lineage(t)}
    if not schemas:
        return frozenset()
    with local.readers.session() as session:
        return named_before(session, moved, schemas)


def unused_entries(
    context: Context, moves: Mapping[str, object], refused: Mapping[str, object]
) -> Iterator[str]:
    """Words for the entries of `moved` that have nothing left to move; none for a part of a manifest."""
    if not context.is_whole or len(context.sources) != len(context.manifest.sources):
        return
    entries = context.manifest.moved
    found = {**moves, **refused}
    yield from unused(e for e in entries if not any(_concerns(e, entries, a, context) for a in found))


def _concerns(entry: Moved, entries: Iterable[Moved], address: str, context: Context) -> bool:
    """Whether an entry may be about a link, or about what gave no link."""
    if entry.local_schema:
        link = context.links.get(address)
        return link is None or entry.local_schema in link.former_schemas
    last = (entry.to, *followed(entry.to, entries))[-1]
    if address in context.links:
        link = context.links[address]
        address = f"{link.source}.{link.definition.schema}.{link.definition.name}"
    return is_below(steps_of(address), steps_of(last)) or is_below(steps_of(last), steps_of(address))
