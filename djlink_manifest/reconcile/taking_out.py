"""Find the links that `removed` takes out, and take them out: here first, then at the source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from djlink_manifest.errors import ConnectionLost, DjlinkError, Interrupted, TableInUse, Unreachable
from djlink_manifest.manifest.values import Manifest, Removed
from djlink_manifest.model.catalog import Catalog, Mark
from djlink_manifest.model.link import Link
from djlink_manifest.model.naming import source_of
from djlink_manifest.model.views import owner_schema
from djlink_manifest.reconcile.progress import LinkOutcome, Status
from djlink_manifest.reconcile.reach import Reached
from djlink_manifest.reconcile.removal import Removal, made_tables, marks_of, removal
from djlink_manifest.reconcile.site import Site
from djlink_manifest.reconcile.snapshot import Forgotten
from djlink_manifest.servers.catalog.foreign_keys import keys_to
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.ddl import drop
from djlink_manifest.servers.entities.counts import count_rows
from djlink_manifest.servers.session.errors import is_passing
from djlink_manifest.servers.session.session import Writer
from djlink_manifest.servers.sql import table

PATIENCE = 5  # tries of a removal that lost a session or met a table in use


def find_removals(
    manifest: Manifest,
    links: Mapping[str, Link],
    outbound: Mapping[str, str],
    local: Reached,
    sources: Mapping[str, Reached],
) -> tuple[Removal, ...]:
    """The links to be taken out, children first: what is left of them on either server."""
    found = list[tuple[Removed, Mark]]()
    for entry in manifest.removed:
        name = entry.place[0]
        if name in sources:
            marks = sources[name].catalog.marks.get(outbound[name], ())
            here = [m for each in local.catalog.marks.values() for m in each]
            theirs = list(marks_of(entry, marks, manifest.name))
            ours = [m for m in marks_of(entry, here, manifest.name) if m.outbound_schema == outbound[name]]
            found += [(entry, mark) for mark in (theirs or ours)[:1]]
    if not found:
        return ()
    with local.readers.session() as session:
        schemas = {mark.local_schema for _, mark in found}
        catalog = read_catalog(session, schemas, schemas)
        keys = keys_to(session, schemas)
    catalogs = {entry.address: _source_catalog(sources, entry, mark) for entry, mark in found}
    linked = {(t.schema, t.name) for link in links.values() for t in link.local.tables}
    going = {t for entry, mark in found for t in made_tables(mark, catalogs[entry.address], catalog)}
    made = [
        removal(
            entry,
            mark,
            catalogs[entry.address],
            catalog,
            keys,
            linked - going,
            going,
            _held(sources, entry.address, mark.outbound_schema, mark.outbound_table, catalogs[entry.address]),
        )
        for entry, mark in found
    ]
    return tuple(sorted(made, key=lambda r: r.address))


def _source_catalog(sources: Mapping[str, Reached], entry: Removed, mark: Mark) -> Catalog:
    with sources[entry.place[0]].readers.session() as session:
        outbound = mark.outbound_schema
        schemas = {mark.source_schema, outbound, owner_schema(outbound)}
        return read_catalog(session, schemas, {outbound})


def _held(sources: Mapping[str, Reached], address: str, schema: str, name: str, catalog: Catalog) -> int:
    if not _is_table(catalog, schema, name):
        return 0
    with sources[source_of(address)].readers.session() as session:
        return count_rows(session, table(schema, name))


def _is_table(catalog: Catalog, schema: str, name: str) -> bool:
    """Whether a table stands there; a view in its place, which somebody else made, is not read."""
    found = catalog.tables.get((schema, name))
    return found is not None and found.kind == "table"


def counted_forgotten(
    forgotten: Sequence[Forgotten], removals: Sequence[Removal], sources: Mapping[str, Reached]
) -> tuple[Forgotten, ...]:
    """Forgotten links with the rows that they hold, without those that are taken out."""
    going = {f"{r.outbound_schema}.{r.outbound_table}" for r in removals}
    found = []
    for each in forgotten:
        if each.outbound_table in going:
            continue
        if each.server not in sources:
            found.append(each)
            continue
        schema, name = each.outbound_table.split(".", 1)
        catalog = sources[each.server].catalog
        if _is_table(catalog, schema, name):
            with sources[each.server].readers.session() as session:
                each = replace(each, held=count_rows(session, table(schema, name)))
        found.append(each)
    return tuple(found)


def take_out(wanted: Removal, site: Site, stop: threading.Event, say: Callable[[str], None]) -> LinkOutcome:
    """Take a link out. What is gone already is passed over, so that an interrupted one is finished.

    `stop` ends it after the step in hand.
    """
    started = time.monotonic()

    def outcome(status: Status, problem: str | None = None, hint: str | None = None) -> LinkOutcome:
        seconds = time.monotonic() - started
        return LinkOutcome(wanted.address, status, problem=problem, hint=hint, seconds=seconds)

    if stop.is_set():
        return outcome("skipped", "interrupted before it began")
    try:
        _patiently(wanted, site, stop, say)
    except Interrupted:
        return outcome("failed", "interrupted; what was done stays, the next apply goes on")
    except DjlinkError as error:
        return outcome("failed", error.message, error.hint)
    return replace(outcome("done"), released=wanted.held, taken_out=True)


def _patiently(wanted: Removal, site: Site, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Again, a little later, where a session was lost or a table was in use."""
    for attempt in range(1, PATIENCE + 1):
        try:
            site.locks.take(wanted, wanted.link_id)
            with site.sources[wanted.source].session() as there, site.local.session() as here:
                for step in _steps(wanted, there, here):
                    if stop.is_set():
                        raise Interrupted("stopped after the step in hand", link=wanted.address)
                    site.locks.check(wanted, wanted.link_id, there, here)
                    step()
            return
        except (ConnectionLost, Unreachable, TableInUse) as error:
            lost = not isinstance(error, TableInUse)
            if attempt == PATIENCE or (lost and not is_passing(error)):
                raise
            say(f"{error.message}; trying again")
            stop.wait(attempt)


def _steps(wanted: Removal, there: Writer, here: Writer) -> Iterator[Callable[[], None]]:
    """What is to be done, in order. Each step can be repeated."""
    for of, name in wanted.drop_keys:
        yield partial(drop.drop_foreign_key, here, of, name)
    for of in wanted.drop_local:
        yield partial(drop.drop_table, here, of)
    if wanted.ledger is not None:
        place = (wanted.outbound_schema, wanted.outbound_table)
        yield partial(drop.record_release, there, wanted.ledger, place, wanted.key)
    for of in wanted.drop_views:  # they read what goes next
        yield partial(drop.drop_view, there, of)
    for of in wanted.drop_outbound:
        yield partial(drop.drop_table, there, of)
    # the source's mark is what an interrupted removal is found by, so it goes last
    yield partial(drop.drop_mark, here, wanted.local_schema, wanted.link_id)
    yield partial(drop.drop_mark, there, wanted.outbound_schema, wanted.link_id)
