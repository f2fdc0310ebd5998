"""What of the planned refills rows of other tables rely on: counted where the rows are. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from djlink_manifest.errors import ServerError, Unusable, with_server
from djlink_manifest.model.links.entity import State
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.referrers import Referrer
from djlink_manifest.parallel import each as in_threads
from djlink_manifest.reconcile.observe.all_links import ObservedLinks
from djlink_manifest.reconcile.observe.context import Context
from djlink_manifest.reconcile.observe.keys import changed_entities
from djlink_manifest.reconcile.state.snapshot import LinkTables, Refusal, ReliedOn
from djlink_manifest.servers.catalog.foreign_keys import keys_to, unseen_keys
from djlink_manifest.servers.compare import row_diff
from djlink_manifest.servers.keys.key_list import NumberedKeys
from djlink_manifest.servers.keys.key_table import key_table
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import Row, Session
from djlink_manifest.servers.transfer.batch import rows_of
from djlink_manifest.servers.transfer.refresh_tables import (
    RefillTable,
    forget_absent,
    narrowed,
    refill_tables,
    rows_beside,
)
from djlink_manifest.servers.transfer.reliance import PutAside, Reliance, putting_aside

ENTITIES_AT_ONCE = 5_000


def observe_relied(
    context: Context, link_tables: Mapping[str, LinkTables], seen: ObservedLinks
) -> tuple[Mapping[str, ReliedOn], Mapping[str, Refusal]]:
    """Of each link with a refill due the entities on whose rows others rely; and links that cannot be asked.

    Where no table outside of such a link refers to its parts, or to other columns than its key, one statement
    on the local server says so.
    """
    links = {
        a: context.links[a]
        for a in sorted(seen.snapshots)
        if _refills(context.links[a], link_tables[a], seen)
    }
    if not links:
        return {}, {}
    with context.local.readers.session() as local:
        reliances = _reliances(links, context.links, local)
    found, refusals = dict[str, ReliedOn](), dict[str, Refusal]()

    def one(address: str) -> None:
        link, reliance = links[address], reliances[address]
        context.options.report(f"searching for rows that refer to refilled rows of {address}")
        try:
            with (
                understood(link.source),
                context.sources[link.source].readers.session() as source,
                context.local.readers.session() as local_session,
            ):
                standing = seen.source_links[link.source].standing
                relied = _relied(link, link_tables[address], standing, reliance, (source, local_session))
        except Unusable:
            raise
        except ServerError as error:
            refusals[address] = Refusal(address, with_server(error), error.hint, link.location)
            return
        if relied.entities:
            found[address] = relied

    in_threads(one, [a for a in links if reliances[a]], context.options.parallelism)
    return found, refusals


def relying_rows(context: Context, link_tables: LinkTables, link: Link) -> Iterator[tuple[Referrer, Row]]:
    """Of rows outside of the link's tables that rely on what a refill would take or change: by which foreign
    key, and the values of its columns.
    """
    with (
        context.sources[link.source].readers.session() as source,
        context.local.readers.session() as local,
    ):
        reliance = _reliances({link.address: link}, context.links, local)[link.address]
        at = (source, local)
        for aside in _pages(link, link_tables, {}, reliance, at) if reliance else ():
            yield from aside.values()


def _refills(link: Link, link_tables: LinkTables, seen: ObservedLinks) -> bool:
    snapshot = seen.snapshots[link.address]
    if link_tables.refill is not None:
        shared = snapshot.in_state(State.SHARED) + snapshot.in_state(State.TAINTED)
        return link_tables.holds(link) and shared > 0
    return link.changed == "mend" and bool(snapshot.changed)


def _reliances(links: Mapping[str, Link], every: Mapping[str, Link], local: Session) -> dict[str, Reliance]:
    schemas = {link.local.schema for link in links.values()}
    keys = keys_to(local, schemas)
    unseen = unseen_keys(local, schemas, {name for name, _ in keys}) or ()
    owners = {(t.schema, t.name): link.address for link in every.values() for t in link.local.tables}
    return {a: Reliance.on(link, keys, unseen, owners) for a, link in links.items()}


def _relied(
    link: Link,
    link_tables: LinkTables,
    links: Mapping[str, Link],
    reliance: Reliance,
    at: tuple[Session, Session],
) -> ReliedOn:
    source, local = at
    entities, lab, linked, unseen = 0, Counter[str](), Counter[str](), set[str]()
    for aside in _pages(link, link_tables, links, reliance, (source, local)):
        entities += aside.find()
        for key, rows in aside.counts():
            if not isinstance(key, Referrer):
                unseen.add(key.name)
            elif key.address is None:
                lab[key.name] += rows
            else:
                linked[key.address] += rows
    differ = None
    if (
        entities
        and link_tables.refill is not None
        and not (link_tables.make_local or link_tables.alter_local)
    ):
        with changed_entities(link, source, local, links, requested=True) as changed:
            differ = changed.refillable.count
    return ReliedOn(
        entities, tuple(sorted(lab.items())), tuple(sorted(linked.items())), tuple(sorted(unseen)), differ
    )


def _pages(
    link: Link,
    link_tables: LinkTables,
    links: Mapping[str, Link],
    reliance: Reliance,
    at: tuple[Session, Session],
) -> Iterator[PutAside]:
    """The entities of which rows that others may rely on differ, some at a time, beside the local tables.

    Without those that refer to rows of `links` that are not held.
    """
    source, local = at
    missing = {t.name for t in link_tables.make_local}
    named = {name: columns for name, columns in reliance.named.items() if name not in missing}
    tables = [
        narrowed(each)
        for number, each in enumerate(refill_tables(link, named))
        if number == 0 or each.local_table.name in named
    ]
    only = {each.local_table.name: [c.name for c in each.columns] for each in tables}
    with key_table(source, link, "changed") as changed, key_table(source, link, "relied") as work:
        row_diff.find_changed(local, source, link, changed, only)
        if changed.count:
            registrations.add_refillable(links, link, changed, work, requested=link_tables.refill is not None)
        for first, last in work.pages(ENTITIES_AT_ONCE):
            with (
                _brought(link, tables, NumberedKeys(work, first, last), source, local),
                putting_aside(local, link, tables, reliance) as aside,
            ):
                yield aside


@contextmanager
def _brought(
    link: Link,
    tables: list[RefillTable],
    keys: NumberedKeys,
    source: Session,
    local: Session,
) -> Iterator[None]:
    """The source's rows of some entities in temporary tables on the local server."""
    with ExitStack() as stack:
        for each in tables:
            rows = stack.enter_context(rows_beside(local, each))
            select = rows_of(link, each.source_table, keys, reading(each.columns, "t"))
            rows.add(source.stream(select))
        forget_absent(local, link, tables)
        yield
