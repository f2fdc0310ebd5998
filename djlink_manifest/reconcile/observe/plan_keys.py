"""The keys that a plan lets go at the source: what apply may release or approve. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from djlink_manifest.model.links.entity import Step
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.state.plan_keys import KeyDigests, PlanKeys
from djlink_manifest.reconcile.state.snapshot import LinkTables
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.outbound import registrations, requests
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql

KEYS_AT_ONCE = 10_000


def plan_keys(
    link: Link,
    link_tables: LinkTables,
    source_links: SourceLinks,
    steps: Counter[Step],
    at: tuple[Session, KeyTable | None],
    lost: list[RawRow],
) -> PlanKeys:
    """The keys of what is to be let go at the source, as far as it is not deleted here first.

    `at` is the source, and the keys that are held there and missing here.
    """
    source, missing = at
    gone = requests.requested_in(link, missing.name) if missing and steps[Step.APPROVE] else None
    mended = requests.approved_yet_held(link) if steps[Step.MEND] else None
    return PlanKeys(
        gone=_keys_of(source, link, gone),
        released=_released(link, link_tables, source_links, missing)
        if missing and steps[Step.RELEASE]
        else KeyDigests(),
        lost=KeyDigests(lost) if link_tables.remade else KeyDigests(),
        mended=_keys_of(source, link, mended),
    )


def _released(
    link: Link, link_tables: LinkTables, source_links: SourceLinks, missing: KeyTable
) -> KeyDigests:
    with key_table(missing.session, link, "gone") as gone:
        if link_tables.remade:
            registrations.add_lost(source_links, link, missing, gone, "released")
        else:
            registrations.add_missing(source_links, link, missing, gone, pullable=False)
        return KeyDigests(all_keys(gone))


def _keys_of(source: Session, link: Link, select: Sql | None) -> KeyDigests:
    """The keys that a SELECT of the source gives."""
    if select is None:
        return KeyDigests()
    with key_table(source, link, "gone") as found:
        found.add_from(select)
        return KeyDigests(all_keys(found))


def all_keys(of: KeyTable) -> Iterator[RawRow]:
    """The keys of a temporary table, read in pages."""
    for first, last in of.pages(KEYS_AT_ONCE):
        yield from of.keys(first, last)
