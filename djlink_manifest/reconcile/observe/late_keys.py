"""Which foreign keys to parents linked later cannot be added: counted where the rows are. Reads only."""

from __future__ import annotations

from collections.abc import Mapping

from djlink_manifest.errors import ServerError, Unusable, with_server
from djlink_manifest.model.links.local_rules import LateKey
from djlink_manifest.parallel import each as in_threads
from djlink_manifest.reconcile.observe.all_links import ObservedLinks
from djlink_manifest.reconcile.observe.context import Context
from djlink_manifest.reconcile.observe.keys import differing_keys
from djlink_manifest.reconcile.state.snapshot import BlockedKey, LinkTables, Refusal
from djlink_manifest.servers.entities.collisions import blocked_with_parents
from djlink_manifest.servers.entities.late_keys import parentless_values, rows_left
from djlink_manifest.servers.keys.key_table import key_table
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import Session


def observe_late_keys(
    context: Context, link_tables: Mapping[str, LinkTables], seen: ObservedLinks
) -> tuple[Mapping[str, tuple[BlockedKey, ...]], Mapping[str, Refusal]]:
    """By link, the keys that rows keep from being added; and links of which this cannot be told.

    A row keeps a key from being added where its parent row is not here, and this plan does not pull it.
    """
    found, refusals = dict[str, tuple[BlockedKey, ...]](), dict[str, Refusal]()

    def one(address: str) -> None:
        link = context.links[address]
        context.options.report(f"searching for rows of {address} without their parents")
        try:
            with (
                understood(link.source),
                context.sources[link.source].readers.session() as source,
                context.local.readers.session() as local,
            ):
                counted = (
                    BlockedKey(late, _rows(context, link_tables, seen, late, (source, local)))
                    for late in link_tables[address].add_foreign_keys
                )
                found[address] = tuple(each for each in counted if each.rows)
        except Unusable:
            raise
        except ServerError as error:
            refusals[address] = Refusal(address, with_server(error), error.hint, link.location)

    due = [a for a in sorted(seen.snapshots) if link_tables[a].add_foreign_keys]
    in_threads(one, due, context.options.parallelism)
    return found, refusals


def _rows(
    context: Context,
    link_tables: Mapping[str, LinkTables],
    seen: ObservedLinks,
    late: LateKey,
    sessions: tuple[Session, Session],
) -> int:
    """The number of local rows whose parent row is neither here nor pulled by this plan."""
    source, local = sessions
    parent, tables = context.links[late.parent], link_tables[late.parent]
    source_links = seen.source_links[parent.source]
    has_local = not any(t.name == parent.local.name for t in tables.make_local)
    stands = not any(t.name == late.key.parent_table for t in tables.make_local)
    with (
        differing_keys(parent, tables.holds(parent), has_local, source, local) as (missing, extra),
        key_table(source, parent, "again") as again,
    ):
        blocked = blocked_with_parents(source, source_links, parent, seen.blocked)
        out = blocked.name if blocked is not None else None
        if missing is not None and missing.count and tables.remade:
            registrations.add_lost(source_links, parent, missing, again, "comes", blocked=out)
        elif missing is not None and missing.count:
            registrations.add_missing(source_links, parent, missing, again, pullable=True, blocked=out)
        values = parentless_values(local, late, stands=stands)
        return rows_left(
            source,
            source_links,
            late,
            values,
            parent=parent,
            extra=extra,
            again=again,
            blocked=out,
        )
