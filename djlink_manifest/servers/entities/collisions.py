"""Entities that cannot come as things stand, in temporary tables on the source server.

An entity is stuck where a unique value of its rows is taken by a local row that is not held (the lab's own),
or by a held one whose value the source has changed since; where its rows break a rule that only the local
tables have (`local_rules`); where it refers to what is missing (`find_obstacles`); and where it refers to a
parent that is stuck or blocked. What the local table alone knows, the unique values of those rows and no
others, travels to the source; the entities are found there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LocalRule
from djlink_manifest.model.links.unique import uniques
from djlink_manifest.servers.entities.collision_table import BlockedTable, due, parents
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.obstacles import STALE, Coming, find_obstacles, stale_rows
from djlink_manifest.servers.entities.set_terms import SourceLinks, upstream
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.keys.packed_keys import PackedKeys
from djlink_manifest.servers.query.tables import source_table
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import and_, sql


@contextmanager
def blocked_entities(
    source: Session,
    local: Session,
    source_links: SourceLinks,
    link: Link,
    missing: KeyTable | None,
    extra: KeyTable | None,
    blocked: Mapping[str, PackedKeys],
    rules: Sequence[LocalRule],
    comparable: Collection[str],
) -> Iterator[BlockedTable | None]:
    """The link's stuck entities; None where there are none, as most often.

    `missing` are the keys that outbound has and the local table has not, `extra` the other way; `blocked` the
    entities of other links that cannot come by themselves: what refers to them, over any number of links, is
    stuck. `rules` are those of the local tables that the source's tables do not have. `comparable` are the
    links whose local tables have a place for every row of the source.
    """
    above = _blocked_above(source_links, link, blocked)
    unique = link.address in comparable and uniques(link)
    with ExitStack() as stack:
        own: BlockedTable | None = None
        if above or rules or (unique and extra is not None and extra.count):
            own = stack.enter_context(BlockedTable(source, link, "stuck"))
        if own is not None and unique and extra is not None and extra.count:
            own.add_colliding(source_links, extra, local)
        comes = bool(unique or link.references) and _comes(source, source_links, link)
        if unique and comes and link.address in source_links.held:
            with key_table(source, link, "stale") as stale:
                stale_rows(source, local, link, stale)
                if stale.count:
                    own = own or stack.enter_context(BlockedTable(source, link, "stuck"))
                    own.add_colliding(source_links, stale, local, STALE)
        if comes or (missing is not None and missing.count):
            coming = Coming(source, local, source_links, link, partial(due, link, source_links, missing))
            for number, found in find_obstacles(coming, comparable):
                own = own or stack.enter_context(BlockedTable(source, link, "stuck"))
                own.add_due(source_links, found, number, missing)
        if own is not None:
            own.add_blocked_by_parent(
                source_links, _Kept.of(source, source_links).tables(above, blocked), missing
            )
            own.add_breaking(source_links, rules, missing, extra, local)
        yield own


def blocked_with_parents(
    source: Session, source_links: SourceLinks, link: Link, blocked: Mapping[str, PackedKeys]
) -> BlockedTable | None:
    """The link's entities that cannot come, by themselves or for a parent; None where there are none.

    `blocked` are those that cannot come by themselves, by link.
    """
    above = _blocked_above(source_links, link, blocked)
    if not above and link.address not in blocked:
        return None
    return _Kept.of(source, source_links).tables([*above, link.address], blocked)[link.address]


def _comes(source: Session, source_links: SourceLinks, link: Link) -> bool:
    """Whether something is pullable that is not held."""
    tests = [
        *Sets(source, source_links).pullable(link, "s", link.key),
        *due(link, source_links, None, "s", link.key),
    ]
    return bool(source.rows(sql("SELECT 1 FROM {} s WHERE {} LIMIT 1", source_table(link), and_(tests))))


def _blocked_above(source_links: SourceLinks, link: Link, blocked: Mapping[str, PackedKeys]) -> list[str]:
    """The links that this one refers to, near or far, with stuck or blocked entities; parents first."""
    found = dict[str, None]()
    if blocked:
        for address in upstream(source_links.links, link.address):
            if address in blocked or not found.keys().isdisjoint(parents(source_links.links[address])):
                found[address] = None
    found.pop(link.address, None)
    return list(found)


class _Kept:
    """The stuck entities of links of earlier waves, in tables of one session, each made once in a plan."""

    def __init__(self, session: Session, source_links: SourceLinks) -> None:
        self._session = session
        self._source_links = source_links
        self._made = dict[str, BlockedTable]()

    @staticmethod
    def of(session: Session, source_links: SourceLinks) -> _Kept:
        """The session's tables, without those of another moment."""
        found: _Kept | None = session.kept.get(_Kept)
        if found is None or found._source_links.moment is not source_links.moment:
            for each in found._made.values() if found is not None else ():
                each.drop()
            found = session.kept[_Kept] = _Kept(session, source_links)
        return found

    def tables(self, above: Sequence[str], blocked: Mapping[str, PackedKeys]) -> Mapping[str, BlockedTable]:
        """The tables of these links, which come parents first."""
        for address in above:
            if address not in self._made:
                link = self._source_links.links[address]
                table = BlockedTable(self._session, link, f"stuck_{len(self._made)}")
                table.create()
                table.add(blocked.get(address, ()))
                table.add_blocked_by_parent(self._source_links, self._made)
                self._made[address] = table
        return {address: self._made[address] for address in above}
