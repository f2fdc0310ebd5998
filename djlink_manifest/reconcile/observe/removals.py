"""Find the links that `removed` takes out, and count what is still held of forgotten ones. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from djlink_manifest.manifest.models.values import Manifest, Removed
from djlink_manifest.manifest.text.nodes import spot_of
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, Mark
from djlink_manifest.model.server.epochs import EpochState, LocalServer, local_server
from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.diff.epochs import epoch_state, missing_columns
from djlink_manifest.reconcile.observe.connect import Reached
from djlink_manifest.reconcile.plan.removals import Removal, made_tables, marks_of, removal
from djlink_manifest.reconcile.state.snapshot import Forgotten
from djlink_manifest.servers.catalog.foreign_keys import keys_to
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.entities.counts import count_rows
from djlink_manifest.servers.sql import table


def find_removals(
    manifest: Manifest,
    links: Mapping[str, Link],
    outbound: Mapping[str, str],
    local: Reached,
    sources: Mapping[str, Reached],
) -> tuple[Removal, ...]:
    """The links to be taken out, children first: what is left of them on either server."""
    found = list[tuple[Removed, Mark]]()
    for entry in manifest.taken_out:
        name = entry.place[0]
        if name in sources:
            marks = sources[name].catalog.marks.get(outbound[name], ())
            all_local_marks = [m for each in local.catalog.marks.values() for m in each]
            source_marks = list(marks_of(entry, marks, manifest))
            local_marks = [
                m for m in marks_of(entry, all_local_marks, manifest) if m.outbound_schema == outbound[name]
            ]
            found += [(entry, mark) for mark in (source_marks or local_marks)[:1]]
    if not found:
        return ()
    with local.readers.session() as session:
        schemas = {mark.local_schema for _, mark in found}
        catalog = read_catalog(session, schemas, schemas)
        keys = keys_to(session, schemas)
    catalogs = {entry.address: _source_catalog(sources, entry, mark) for entry, mark in found}
    linked = {(t.schema, t.name) for link in links.values() for t in link.local.tables}
    going = {t for entry, mark in found for t in made_tables(mark, catalogs[entry.address], catalog)}
    server = local_server(catalog.identity, manifest.local.identity)
    made = [
        removal(
            entry,
            mark,
            catalogs[entry.address],
            local=catalog,
            keys=keys,
            linked=linked - going,
            going=going,
            held=_held(
                sources, entry.address, mark.outbound_schema, mark.outbound_table, catalogs[entry.address]
            ),
            epochs=_epochs(mark, catalogs[entry.address], catalog, server),
            server=server,
        )
        for entry, mark in found
    ]
    return tuple(sorted(made, key=lambda r: r.address))


def _source_catalog(sources: Mapping[str, Reached], entry: Removed, mark: Mark) -> Catalog:
    with sources[entry.place[0]].readers.session() as session:
        outbound, present = mark.outbound_schema, sources[entry.place[0]].catalog.protected(mark)
        schemas = {mark.source_schema, present[0], outbound, owner_schema(outbound)}
        return read_catalog(session, schemas, {outbound})


def _epochs(mark: Mark, source: Catalog, local: Catalog, server: LocalServer) -> EpochState:
    """What the marks of a link that is taken out say of its local server."""
    source_mark, local_mark = (
        next((m for m in catalog.marks.get(schema, ()) if m.link_id == mark.link_id), None)
        for catalog, schema in ((source, mark.outbound_schema), (local, mark.local_schema))
    )
    without = missing_columns(source, mark.outbound_schema, local, mark.local_schema)
    return epoch_state(source_mark, local_mark, server, without)


def _held(sources: Mapping[str, Reached], address: str, schema: str, name: str, catalog: Catalog) -> int:
    if not is_table(catalog, schema, name):
        return 0
    with sources[source_of(address)].readers.session() as session:
        return count_rows(session, table(schema, name))


def counted_forgotten(
    forgotten: Sequence[Forgotten],
    removals: Sequence[Removal],
    sources: Mapping[str, Reached],
    manifest: Manifest,
) -> tuple[Forgotten, ...]:
    """Forgotten links with the rows that they hold, without those that are taken out.

    Each with the place where the manifest says what is taken out.
    """
    tree = manifest.local.origin.tree
    place = spot_of(tree, ("removed",), key=True).location if tree.get("removed") is not None else None
    going = {f"{r.outbound_schema}.{r.outbound_table}" for r in removals}
    found = []
    for each in forgotten:
        if each.outbound_table in going:
            continue
        each = replace(each, location=place)
        if each.server not in sources:
            found.append(each)
            continue
        schema, name = each.outbound_table.split(".", 1)
        catalog = sources[each.server].catalog
        if is_table(catalog, schema, name):
            with sources[each.server].readers.session() as session:
                each = replace(each, held=count_rows(session, table(schema, name)))
        found.append(each)
    return tuple(found)


def is_table(catalog: Catalog, schema: str, name: str) -> bool:
    """Whether the name is that of a table; a view, which djlink did not create, is not read."""
    found = catalog.tables.get((schema, name))
    return found is not None and found.kind == "table"
