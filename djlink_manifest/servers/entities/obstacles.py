"""Find the entities to be pulled that refer to what the source does not have, or to what is not here yet.

A source row without its parent comes of foreign key checks that were off there. A part row of a parent that
is held and here may be missing here, since the source added it after the pull. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.model.links.local_rules import LocalRule, Obstacle
from djlink_manifest.model.links.unique import uniques
from djlink_manifest.model.tables.definition import ForeignKey
from djlink_manifest.servers.compare.row_diff import find_changed
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.local_rules import breaking
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.query.references import child_master_columns, child_table, named_key
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, and_, column, columns, exists_in, not_exists_in, sql, table

STALE, GONE, LATE = 1_000_000, 2_000_000, 3_000_000  # and the number of a unique key, or of a reference

Due = Callable[[str, Sequence[str]], list[Sql]]
"""The conditions that an entity is to come, by the alias and the columns that hold its key."""


def obstacle(link: Link, source_links: SourceLinks, number: int) -> Obstacle | None:
    """What a number stands for, None for a number that is none of ours."""
    kind, place = number // STALE * STALE, number % STALE
    if kind == STALE:
        waits = link.changed == "mend"
        first = "" if waits else "set `changed: mend` for this link; "
        return Obstacle(
            f"their unique value of {uniques(link)[place].words} is still used by a local row that the "
            "source has changed since",
            f"{first}`djlink apply --verify` updates that row, and the next apply pulls them; "
            "or exclude these entities with `where`",
            waits,
        )
    if kind not in (GONE, LATE):
        return None
    reference = link.references[place]
    parent = source_links.links[reference.parent]
    name = f"{parent.definition.schema}.{reference.parent_table}"
    if kind == GONE:
        return Obstacle(
            f"they refer to rows of {name} that do not exist at the source, which its foreign keys should "
            "prevent",
            "foreign key checks were off at the source (a script, TRUNCATE, a restored dump): ask its owner "
            "to restore those rows or to delete these; or exclude these entities with `where`",
        )
    waits = parent.changed == "mend"
    first = "" if waits else f"set `changed: mend` for {parent.address}; "
    return Obstacle(
        f"they refer to rows of {name} that were added after their entities of {parent.address} were pulled",
        f"{first}`djlink apply --verify` adds those rows, and the next apply pulls them",
        waits,
    )


def stale_rows(source: Session, local: Session, link: Link, into: KeyTable) -> None:
    """Put the entities that both sides hold, and whose unique values differ, into a set."""
    only = dict[str, set[str]]()
    for unique in uniques(link):
        only.setdefault(unique.local_table.name, set()).update(unique.columns)
    find_changed(local, source, link, into, only)


@dataclass(frozen=True, slots=True)
class Coming:
    """The entities of a link that are to come, by the condition `due`, and a session to each server."""

    source: Session
    local: Session
    source_links: SourceLinks
    link: Link
    due: Due

    def referring(self, reference: Reference, alias: str) -> list[Sql]:
        """The conditions that a row of the referring table names a parent and is of one of them."""
        own_columns = child_master_columns(self.link, reference)
        named = [sql("{} IS NOT NULL", column(alias, name)) for name in reference.nullable]
        pullable = Sets(self.source, self.source_links).pullable(self.link, alias, own_columns)
        return [*named, *pullable, *self.due(alias, own_columns)]


def find_obstacles(coming: Coming, comparable: Collection[str]) -> Iterator[tuple[int, KeyTable]]:
    """Of the entities to come those that refer to what is missing, with the number of the reason.

    `comparable` are the links whose local tables have a place for every row of the source.
    """
    source, link, source_links = coming.source, coming.link, coming.source_links
    for number, reference in enumerate(link.references):
        parent, own_columns = source_links.links[reference.parent], child_master_columns(link, reference)
        if link.address in source_links.held:  # what a first pull leaves out is counted by the next plan
            with key_table(source, link, "unmet") as found:
                of = table(parent.definition.schema, reference.parent_table)
                lacks = not_exists_in(of, reference.parent_columns, "c", reference.columns)
                tests = and_([*coming.referring(reference, "c"), lacks])
                keys, rows = columns("c", own_columns), child_table(link, reference)
                found.add_from(sql("SELECT DISTINCT {} FROM {} c WHERE {}", keys, rows, tests))
                if found.count:
                    yield GONE + number, found
        if reference.parent_table != parent.definition.name and parent.address in comparable:
            with key_table(source, link, "unmet") as found:
                _add_late(coming, reference, found)
                if found.count:
                    yield LATE + number, found


def _add_late(coming: Coming, reference: Reference, found: KeyTable) -> None:
    """Add what refers to a part row of a parent that is held and here, and whose part rows differ."""
    source, local, link = coming.source, coming.local, coming.link
    parent = coming.source_links.links[reference.parent]
    local_definition = next(
        local_table
        for source_table, local_table in parent.tables
        if source_table.name == reference.parent_table
    )
    child, local_table = next(pair for pair in link.tables if pair[0].name == reference.child_table)
    key = named_key(parent, reference)
    if key is None or parent.address not in coming.source_links.held:
        return
    with key_table(source, parent, "parents") as changed:
        find_changed(local, source, parent, changed, {local_definition.name: reference.parent_columns})
        if not changed.count:
            return
        named = ForeignKey(
            "", reference.columns, parent.local.schema, local_definition.name, reference.parent_columns
        )
        rule = LocalRule(
            child, local_table, tuple(child_master_columns(link, reference)), reference.columns, named
        )
        tests = coming.referring(reference, "t")
        tests.append(exists_in(changed.name, parent.key, "t", key))
        found.add(breaking(rule, source, tests, local))
