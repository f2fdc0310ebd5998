"""Links taken out (`removed`): what becomes of their tables, and what is in the way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.moves import former_places
from djlink_manifest.manifest.models.values import Manifest, Removed
from djlink_manifest.model.links.link import Former
from djlink_manifest.model.server.catalog import Catalog, Mark, TableName
from djlink_manifest.model.server.epochs import OWN, EpochState, LocalServer, judged
from djlink_manifest.model.tables.definition import ForeignKey
from djlink_manifest.model.tables.derive import is_requested_part, requested_part_name
from djlink_manifest.model.tables.naming import APPROVED, HISTORY, REQUESTED, beside_source
from djlink_manifest.model.tables.owner_views import KINDS, owner_schema
from djlink_manifest.reconcile.plan.actions import Blocked
from djlink_manifest.reconcile.plan.confirmation import cause_of

KeyTo = tuple[TableName, ForeignKey]  # a table and its foreign key to another


@dataclass(frozen=True, slots=True)
class Removal:
    """A link to be taken out, and in which way.

    `drop_keys` are foreign keys of links that stay, as (table, name); `drop_local` the local tables to drop,
    children first; `drop_outbound` those on the source's server, and `drop_views` the owner's views of them;
    `key` the key's columns, for the ledger; `epochs` says what the marks tell of the link's local server.
    """

    address: str
    table: str
    source: str
    link_id: str
    outbound_schema: str
    outbound_table: str
    local_schema: str
    local_table: str
    held: int
    key: tuple[str, ...] = ()
    drop_keys: tuple[tuple[TableName, str], ...] = ()
    drop_local: tuple[TableName, ...] = ()
    drop_outbound: tuple[TableName, ...] = ()
    drop_views: tuple[TableName, ...] = ()
    ledger: TableName | None = None
    blocked: tuple[Blocked, ...] = ()
    location: Location | None = None
    epochs: EpochState = OWN


def marks_of(entry: Removed, marks: Iterable[Mark], manifest: Manifest) -> Iterator[Mark]:
    """The marks of the link that an entry of `removed` names, under the names that it had before too."""
    source, schema, name = entry.place
    present = Former(source, schema, name, entry.location)
    places = (present, *former_places(manifest.moved, source, schema, name))
    for mark in marks:
        if mark.manifest == manifest.name and any(
            place.names(mark.source_schema, mark.source_table) for place in places
        ):
            yield mark


def removal(
    entry: Removed,
    mark: Mark,
    source: Catalog,
    local: Catalog,
    keys: Sequence[KeyTo],
    linked: Collection[TableName],
    going: Collection[TableName],
    held: int,
    epochs: EpochState,
    server: LocalServer,
) -> Removal:
    """How the link of this mark is taken out.

    The catalogues hold the schemas that the mark names; `keys` are the foreign keys to tables of its local
    schema; `linked` are the local tables of all links that stay, `going` those of all links taken out.
    `epochs` says what the marks tell of the link's local server, `server` what marks say of this one.
    """
    local_mark = next((m for m in local.marks.get(mark.local_schema, ()) if m.link_id == mark.link_id), None)
    tables = made_tables(mark, source, local) if local_mark else ()
    dependents = [(table, key) for table, key in keys if _names(key, tables) and table not in tables]
    drop = entry.table == "drop"
    requested = (mark.local_schema, requested_part_name(mark.local_table))
    outbound = (mark.outbound_schema, mark.outbound_table)
    beside = [(outbound[0], outbound[1] + suffix) for suffix in (REQUESTED, APPROVED)]
    ledger = (outbound[0], outbound[1] + HISTORY)
    elsewhere = _elsewhere(mark, epochs, server)
    blocked = [elsewhere] if elsewhere else []
    blocked += _in_the_way(entry, mark, local, local_mark, dependents, links={*linked, *going})
    found = source.tables.get(outbound)
    if found is not None and found.kind != "table":
        found = None  # somebody's view: neither read nor dropped
    return Removal(
        address=entry.address,
        table=entry.table,
        source=source.server,
        link_id=mark.link_id,
        outbound_schema=mark.outbound_schema,
        outbound_table=mark.outbound_table,
        local_schema=mark.local_schema,
        local_table=mark.local_table,
        held=held,
        key=found.key if found else (),
        drop_keys=tuple(
            sorted((table, key.name) for table, key in dependents if table in linked or table in going)
        ),
        drop_local=tuple(tables if drop else [t for t in tables if t == requested]),
        drop_outbound=tuple(
            t for t in (*beside, outbound) if t in source.tables and source.tables[t].kind == "table"
        ),
        drop_views=tuple(_views(outbound, source)),
        ledger=ledger if ledger in source.tables and found else None,
        blocked=tuple(blocked),
        location=entry.location,
        epochs=epochs,
    )


def _elsewhere(mark: Mark, epochs: EpochState, server: LocalServer) -> Blocked | None:
    """What is in the way where the link may belong to another local server.

    A removal is stated for this link alone, so one whose local marks are gone is believed to be this server's
    where the source's mark names it.
    """
    verdict = judged(mark, mark, server) if epochs.verdict == "remade" else epochs.verdict
    if verdict == "own":
        return None
    words = f"{mark.local_schema}.{mark.local_table}: "
    if verdict == "other":
        words += f"another local server, `{mark.local_server}`, has applied since this one did"
    else:
        words += cause_of(replace(epochs, verdict=verdict))
    hint = (
        "remove the link on the server that it belongs to; if it is this one, link it again, run "
        "`djlink adopt ADDRESS` for it, then remove it"
    )
    return Blocked("error", words, hint=hint, whole=True)


def _views(outbound: TableName, source: Catalog) -> Iterator[TableName]:
    """The owner's views of what goes, those that djlink made; that of the ledger stays, like the ledger."""
    schema, base = outbound
    for kind in KINDS:
        place = (owner_schema(schema), f"{base}_{kind}")
        if kind != "history" and source.definers.get(place) == source.identity.account:
            yield place


def made_tables(mark: Mark, source: Catalog, local: Catalog) -> tuple[TableName, ...]:
    """The local tables that djlink made for the link, the master last."""
    schema, name = source.protected(mark)
    source_table = next((t for t in source.masters(schema) if t.name == name), None)
    master = next((t for t in local.masters(mark.local_schema) if t.name == mark.local_table), None)
    if master is None:
        return ()
    made = {mark.local_table + p.name[len(name) :] for p in (source_table.parts if source_table else ())}
    # the source table, or a part of it, may have been dropped, or not be visible to the link user
    local_marks = local.marks.get(mark.local_schema, ())
    made.update(name for m in local_marks if m.link_id == mark.link_id for name in m.made or ())
    parts = [(p.schema, p.name) for p in reversed(master.parts) if p.name in made]
    own = local.tables.get((master.schema, requested_part_name(master.name)))
    if own is not None and is_requested_part(own, master):
        parts.insert(0, (own.schema, own.name))
    return (*parts, (master.schema, master.name))


def _in_the_way(
    entry: Removed,
    mark: Mark,
    local: Catalog,
    local_mark: Mark | None,
    dependents: Sequence[KeyTo],
    *,
    links: Collection[TableName],
) -> Iterator[Blocked]:
    local_name = f"{mark.local_schema}.{mark.local_table}"
    if local_mark is None and (mark.local_schema, mark.local_table) in local.tables and entry.table == "drop":
        words = f"the local table {local_name} does not carry the link's mark, so it is not dropped"
        yield Blocked("error", words, hint="write `table: keep`", whole=True)
    if entry.table == "drop":
        others = {table: beside_source(table, key.name) for table, key in dependents if table not in links}
        held = sorted(".".join(table) for table, kind in others.items() if kind == "held")
        if held:
            words = f"another lab links {local_name}: {', '.join(held)}"
            hint = (
                "`djlink source held` says who, with an account of the local server that may use that lab's "
                "owner schema; once that lab removed its link, apply again, or write `table: keep`"
            )
            yield Blocked("error", words, hint=hint, whole=True)
        own = sorted(".".join(table) for table, kind in others.items() if kind is None)
        if own:
            words = f"tables of your own depend on {local_name}: {', '.join(own)}"
            hint = "drop those tables or their foreign keys first, or write `table: keep`"
            yield Blocked("error", words, hint=hint, whole=True)


def _names(key: ForeignKey, tables: Collection[TableName]) -> bool:
    return (key.parent_schema, key.parent_table) in tables


def left_out(removal: Removal) -> str:
    """Words for a link that is not taken out by a plan of a part of the manifest."""
    return (
        f"`removed: {removal.address}` is not in this plan because of --target or --exclude: "
        f"{removal.held:,} of its rows stay held; --target {removal.address} removes it alone"
    )


def done(entries: Iterable[Removed], found: Mapping[str, object]) -> Iterator[str]:
    """Words for the entries of which nothing is left to do."""
    for entry in entries:
        if entry.address not in found:
            yield f"{entry.location}: `removed: {entry.address}` is done; delete the entry"
