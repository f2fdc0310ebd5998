"""Observe a link: counts of its entities by class, taken where the rows are. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from djlink_manifest.model.links.entity import Presence, State, Step, state_of
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import Leftover, LocalRule, Obstacle, leftover
from djlink_manifest.model.links.unique import uniques
from djlink_manifest.model.server.catalog import Size, TableName
from djlink_manifest.model.stores.external import NO_OBJECTS
from djlink_manifest.reconcile.observe.keys import changed_entities, differing_keys, equal_unprotected
from djlink_manifest.reconcile.state.plan_keys import KeyDigests, PlanKeys
from djlink_manifest.reconcile.state.snapshot import EntityClass, LinkSnapshot, LinkTables, PartRows, steps_of
from djlink_manifest.servers.compare.bulk_check import BulkCheck
from djlink_manifest.servers.compare.key_diff import SideDigests
from djlink_manifest.servers.entities import counts as entity_counts
from djlink_manifest.servers.entities.collision_table import RULES, parents
from djlink_manifest.servers.entities.collisions import blocked_entities
from djlink_manifest.servers.entities.key_sets import prepare
from djlink_manifest.servers.entities.local_rules import left_behind
from djlink_manifest.servers.entities.obstacles import obstacle
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.external.objects import objects_to_pull
from djlink_manifest.servers.external.verify import lost_local, missing_at_source
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.keys.packed_keys import PackedKeys
from djlink_manifest.servers.outbound import registrations, requests
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, table
from djlink_manifest.servers.stores.transport import StoreTransport

KEYS_AT_ONCE = 10_000


def observe(
    link: Link,
    link_tables: LinkTables,
    source_links: SourceLinks,
    sizes: Mapping[TableName, Size],
    source: Session,
    local: Session,
    blocked: Mapping[str, PackedKeys],
    comparable: Collection[str],
    store_transport: StoreTransport,
    seen: SideDigests | None = None,
    *,
    verify: bool = False,
    hangs: bool = False,
) -> tuple[LinkSnapshot, PackedKeys, PlanKeys]:
    """The snapshot of one link, its entities that cannot come for what the local tables hold, and what goes.

    `sizes` are the source server's estimates; `blocked` such entities of the links that it refers to;
    `comparable` the links whose local tables have a place for every row of the source; `seen` the digests of
    both sides where they were asked already; `hangs` tells that outbound rows of a link above are let go.
    `verify`: rows are compared too, unless the tables are to be altered, after which all are looked over; and
    the external objects, whose stores `store_transport` has. Raises ServerError.
    """

    def look(
        rules: tuple[LocalRule, ...], seen: SideDigests | None
    ) -> tuple[LinkSnapshot, PackedKeys, PlanKeys]:
        args = (
            link,
            link_tables,
            rules,
            source_links,
            sizes,
            source,
            local,
            blocked,
            comparable,
            store_transport,
            seen,
        )
        return _observe(*args, verify=verify, hangs=hangs)

    found, left = look(link_tables.rules, seen), leftover(link)
    if left is None or not link_tables.is_comparable(link) or not _has_left(left, found[0], local):
        return found
    return look((*link_tables.rules, left), None)


def _has_left(left: LocalRule, seen: LinkSnapshot, local: Session) -> bool:
    """Whether rows of local parts were left behind by their master row, and are in the way of what comes.

    Only where the local parts have more rows than they should, or that was not counted.
    """
    assert isinstance(left.of, Leftover)
    if not seen.brings or (seen.parts and all(p.local <= p.held for p in seen.parts)):
        return False
    return any(list(left_behind(left.of, part, local, most=1)) for part in left.of.parts)


def _observe(
    link: Link,
    link_tables: LinkTables,
    rules: tuple[LocalRule, ...],
    source_links: SourceLinks,
    sizes: Mapping[TableName, Size],
    source: Session,
    local: Session,
    blocked: Mapping[str, PackedKeys],
    comparable: Collection[str],
    store_transport: StoreTransport,
    seen: SideDigests | None,
    *,
    verify: bool,
    hangs: bool,
) -> tuple[LinkSnapshot, PackedKeys, PlanKeys]:
    has_outbound = link.address in source_links.held
    has_local = not any(t.name == link.local.name for t in link_tables.make_local)
    complete = link_tables.is_comparable(link)  # else parts or columns are missing, or not filled
    blocked_keys = PackedKeys()
    with (
        differing_keys(link, has_outbound, has_local, source, local=local, seen=seen) as (missing, extra),
        blocked_entities(
            source,
            local,
            source_links,
            link=link,
            missing=missing,
            extra=extra,
            blocked=blocked,
            rules=rules,
            comparable=comparable,
        ) as blocked_rows,
    ):
        prepare(source, source_links, link)
        with source.snapshot():
            counts = {
                EntityClass(*c): n
                for c, n in entity_counts.count_classes(source, source_links, link, missing, extra).items()
            }
            to_pull = sum(
                n for c, n in counts.items() if state_of(c.presence) is State.UNSHARED and c.pullable
            )
            why = blocked_rows.counts(source_links, extra) if blocked_rows and to_pull else {}
            taken, blocked_by_parent = _why_blocked(link, why)
            again = (
                blocked_rows.counts_again(source_links, missing)
                if blocked_rows and missing and missing.count
                else {}
            )
            _, blocked_by_parent_again = _why_blocked(link, again)
            numbered = list(enumerate(rules, RULES))
            refused = tuple((rule, why[n]) for n, rule in numbered if n in why)
            refused_again = tuple((rule, again[n]) for n, rule in numbered if n in again)
            to_pull -= sum(why.values())
            left = blocked_rows.name if blocked_rows else None
            absent = (
                missing_at_source(source, source_links, link, store_transport, left)
                if verify and to_pull and link.stores
                else []
            )
            to_pull -= len(absent)
            parts = entity_counts.part_rows_to_pull(source, source_links, link, left) if to_pull else ()
            objects = (
                objects_to_pull(source, source_links, link, left) if to_pull and link.stores else NO_OBJECTS
            )
            out = _total(counts, outbound=True)
            total = _total(counts, source=True)
            held = (
                entity_counts.part_rows_held(
                    source, link, missing, _total(counts, source=True, outbound=True) == total
                )
                if has_outbound and complete and not _count(extra)
                else ()
            )
            unwanted = any(c.presence.source and not c.wanted for c in counts)
            reasons = entity_counts.left_out(source, source_links, link) if unwanted else ()
        equal = 0
        if complete:
            different = (
                blocked_keys if _unprotected(counts) and source_links.children.get(link.address) else None
            )
            found = equal_unprotected(link, source_links, extra, source, local=local, different=different)
            equal = sum(len(keys) for keys in found)
        own = blocked_rows.own_keys(missing) if blocked_rows is not None else iter(())
        lost = list(own) if link_tables.remade else []
        blocked_keys.add(lost if link_tables.remade else own)
        hanging = sum(again.values())
        if link_tables.remade and hangs and missing is not None:
            hanging = missing.count
            lost += _all_keys(missing)
        keys = PlanKeys()
        if not link_tables.make_outbound:
            keys = _plan_keys(
                link,
                link_tables,
                source_links,
                steps_of(link, link_tables, counts),
                at=(source, missing),
                lost=lost,
            )
        blocked_keys.add(absent)
    changed, without = None, 0
    if verify and complete and has_outbound:
        without, missing_local = lost_local(local, source, link, store_transport) if link.stores else (0, [])
        with changed_entities(link, source, local, missing_local) as work:
            changed = work.count
    snapshot = LinkSnapshot(
        counts=counts,
        source_rows=total,
        outbound_rows=out,
        local_rows=_total(counts, local=True),
        to_pull_parts=parts,
        to_pull_bytes=_bytes(link, sizes, to_pull, parts),
        to_pull_objects=objects,
        left_out=reasons,
        equal=equal,
        parts=tuple(_part_rows(link, held, local)),
        taken=taken,
        blocked_by_parent=blocked_by_parent,
        refused=refused,
        refused_again=refused_again,
        blocked_by_parent_again=blocked_by_parent_again,
        obstacles=_obstacles(link, source_links, why),
        obstacles_again=_obstacles(link, source_links, again),
        changed=changed,
        lost=without,
        missing_objects=len(absent),
        hanging=hanging if link_tables.remade else 0,
    )
    return snapshot, blocked_keys, keys


def _plan_keys(
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
        return KeyDigests(_all_keys(gone))


def _keys_of(source: Session, link: Link, select: Sql | None) -> KeyDigests:
    """The keys that a SELECT of the source gives."""
    if select is None:
        return KeyDigests()
    with key_table(source, link, "gone") as found:
        found.add_from(select)
        return KeyDigests(_all_keys(found))


def _all_keys(of: KeyTable) -> Iterator[RawRow]:
    for first, last in of.pages(KEYS_AT_ONCE):
        yield from of.keys(first, last)


def level_snapshot(seen: BulkCheck) -> LinkSnapshot:
    """The snapshot of a link of which all is wanted, held and here."""
    rows = seen.source.count
    shared = EntityClass(Presence(True, True, True, False, False), wanted=True, pullable=True)
    return LinkSnapshot(
        counts={shared: rows} if rows else {},
        source_rows=rows,
        outbound_rows=rows,
        local_rows=rows,
        parts=tuple(PartRows(name, held, local) for name, held, local in seen.parts),
    )


def _obstacles(
    link: Link, source_links: SourceLinks, counts: Mapping[int, int]
) -> tuple[tuple[Obstacle, int], ...]:
    found = ((obstacle(link, source_links, number), counts[number]) for number in sorted(counts))
    return tuple((each, count) for each, count in found if each is not None)


def _why_blocked(
    link: Link, counts: Mapping[int, int]
) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """The counts of stuck entities by unique key, and by parent."""
    keys, above = uniques(link), parents(link)
    taken = tuple((key.words, counts[n]) for n, key in enumerate(keys) if n in counts)
    blocked_by_parent = tuple((a, counts[n]) for n, a in enumerate(above, start=len(keys)) if n in counts)
    return taken, blocked_by_parent


def _unprotected(counts: Mapping[EntityClass, int]) -> bool:
    return any(state_of(c.presence) is State.UNPROTECTED for c in counts)


def _count(keys: KeyTable | None) -> int:
    return keys.count if keys else 0


def _total(counts: Mapping[EntityClass, int], **where: bool) -> int:
    def meets(presence: Presence) -> bool:
        return all(getattr(presence, name) is value for name, value in where.items())

    return sum(n for c, n in counts.items() if meets(c.presence))


def _part_rows(link: Link, held: tuple[tuple[str, int], ...], local: Session) -> Iterator[PartRows]:
    for (name, rows), local_table in zip(held, link.local.parts, strict=False):
        yield PartRows(
            name, rows, entity_counts.count_rows(local, table(local_table.schema, local_table.name))
        )


def _bytes(
    link: Link, sizes: Mapping[TableName, Size], entities: int, parts: tuple[tuple[str, int], ...]
) -> int:
    """An estimate of the bytes to pull: rows times the mean row of the server's statistics."""
    rows = {link.definition.name: entities, **dict(parts)}
    total = 0.0
    for name, count in rows.items():
        size = sizes.get((link.definition.schema, name), Size(0, 0))
        total += count * size.bytes / size.rows if size.rows else 0
    return int(total)
