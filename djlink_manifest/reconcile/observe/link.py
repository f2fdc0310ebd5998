"""Observe a link: counts of its entities by class, taken where the rows are. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from djlink_manifest.model.links.entity import Presence, State, state_of
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import Leftover, LocalRule, Obstacle, leftover
from djlink_manifest.model.links.unique import uniques
from djlink_manifest.model.server.catalog import Size, TableName
from djlink_manifest.model.stores.external import NO_OBJECTS, ObjectCounts
from djlink_manifest.model.vendors.widths import pulled_bytes
from djlink_manifest.reconcile.observe.keys import changed_entities, differing_keys, equal_unprotected
from djlink_manifest.reconcile.observe.plan_keys import all_keys, plan_keys
from djlink_manifest.reconcile.state.plan_keys import PlanKeys
from djlink_manifest.reconcile.state.snapshot import (
    EntityClass,
    LinkSnapshot,
    LinkTables,
    PartRows,
    Unparented,
    steps_of,
)
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
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.keys.packed_keys import PackedKeys
from djlink_manifest.servers.outbound.registrations import without_parents
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, table
from djlink_manifest.servers.stores.transport import StoreTransport


@dataclass(frozen=True, slots=True)
class ObservedLink:
    """A link, its tables, and the sessions in which it is observed.

    `sizes` are the source server's estimates; `blocked` the entities of the links that it refers to which
    cannot come by themselves; `comparable` the links whose local tables have a place for every row of the
    source. `store_transport` has the stores of external objects.
    """

    link: Link
    tables: LinkTables
    source_links: SourceLinks
    sizes: Mapping[TableName, Size]
    source: Session
    local: Session
    blocked: Mapping[str, PackedKeys]
    comparable: Collection[str]
    store_transport: StoreTransport

    @property
    def has_outbound(self) -> bool:
        """Whether the outbound table exists."""
        return self.link.address in self.source_links.held

    @property
    def has_local(self) -> bool:
        """Whether the local master table exists."""
        return not any(t.name == self.link.local.name for t in self.tables.make_local)

    @property
    def is_comparable(self) -> bool:
        """Whether no part or column is missing locally, or not filled yet."""
        return self.tables.is_comparable(self.link)


def observe(
    at: ObservedLink, seen: SideDigests | None = None, *, verify: bool = False, hangs: bool = False
) -> tuple[LinkSnapshot, PackedKeys, PlanKeys]:
    """The snapshot of one link, its entities that cannot come for what the local tables hold, and what goes.

    `seen` are the digests of both sides where they were asked already; `hangs` tells that outbound rows of a
    link above are let go. `verify`: rows are compared too, unless the tables are to be altered, after which
    all are looked over; and the external objects. Raises ServerError.
    """
    found, left = _observe(at, at.tables.rules, seen, verify=verify, hangs=hangs), leftover(at.link)
    if left is None or not at.is_comparable or not _has_left(left, found[0], at.local):
        return found
    return _observe(at, (*at.tables.rules, left), None, verify=verify, hangs=hangs)


def observe_stopped(at: ObservedLink) -> tuple[LinkSnapshot, PlanKeys]:
    """The counts of a link of which no row comes, by state, and what is let go at the source.

    Only keys are compared, so that it does not matter what became of other columns. Raises ServerError.
    """
    link, tables = at.link, at.tables
    with differing_keys(link, at.has_outbound, at.has_local, at.source, local=at.local) as (missing, extra):
        prepare(at.source, at.source_links, link)
        with at.source.snapshot():
            found = entity_counts.count_classes(at.source, at.source_links, link, missing, extra)
        counts, keys = {EntityClass(*c): n for c, n in found.items()}, PlanKeys()
        if not tables.make_outbound:
            steps = steps_of(link, tables, counts)
            keys = plan_keys(link, tables, at.source_links, steps, at=(at.source, missing), lost=[])
    snapshot = LinkSnapshot(
        counts=counts,
        source_rows=_total(counts, source=True),
        outbound_rows=_total(counts, outbound=True),
        local_rows=_total(counts, local=True),
    )
    return snapshot, keys


def _has_left(left: LocalRule, seen: LinkSnapshot, local: Session) -> bool:
    """Whether rows of local parts were left behind by their master row, and are in the way of what comes.

    Only where the local parts have more rows than they should, or that was not counted.
    """
    assert isinstance(left.of, Leftover)
    if not seen.brings or (seen.parts and all(p.local <= p.held for p in seen.parts)):
        return False
    return any(list(left_behind(left.of, part, local, most=1)) for part in left.of.parts)


def _observe(
    at: ObservedLink,
    rules: tuple[LocalRule, ...],
    seen: SideDigests | None,
    *,
    verify: bool,
    hangs: bool,
) -> tuple[LinkSnapshot, PackedKeys, PlanKeys]:
    link, tables, blocked_keys = at.link, at.tables, PackedKeys()
    with (
        differing_keys(link, at.has_outbound, at.has_local, at.source, local=at.local, seen=seen) as (
            missing,
            extra,
        ),
        blocked_entities(
            at.source,
            at.local,
            at.source_links,
            link=link,
            missing=missing,
            extra=extra,
            blocked=at.blocked,
            rules=rules,
            comparable=at.comparable,
        ) as blocked_rows,
    ):
        prepare(at.source, at.source_links, link)
        with at.source.snapshot():
            found = entity_counts.count_classes(at.source, at.source_links, link, missing, extra)
            counts = {EntityClass(*c): n for c, n in found.items()}
            due = sum(n for c, n in counts.items() if state_of(c.presence) is State.UNSHARED and c.pullable)
            why = blocked_rows.counts(at.source_links, extra) if blocked_rows and due else {}
            again: Mapping[int, int] = {}
            if blocked_rows and missing is not None and missing.count:
                again = blocked_rows.counts_again(at.source_links, missing)
            due -= sum(why.values())
            coming = _coming(at, due, blocked_rows.name if blocked_rows else None, verify=verify)
            held = _held_parts(at, counts, missing, extra)
            unwanted = any(c.presence.source and not c.wanted for c in counts)
            reasons = entity_counts.left_out(at.source, at.source_links, link) if unwanted else ()
        equal = _equal(at, counts, extra, blocked_keys)
        own = blocked_rows.own_keys(missing) if blocked_rows is not None else iter(())
        lost = list(own) if tables.remade else []
        blocked_keys.add(lost if tables.remade else own)
        hanging = sum(again.values())
        if tables.remade and hangs and missing is not None:
            hanging = missing.count
            lost += all_keys(missing)
        keys = PlanKeys()
        if not tables.make_outbound:
            steps = steps_of(link, tables, counts)
            keys = plan_keys(link, tables, at.source_links, steps, at=(at.source, missing), lost=lost)
        blocked_keys.add(coming.absent)
    changed, unparented, without = _changed(at, verify=verify)
    causes, causes_again = _causes(at, rules, why), _causes(at, rules, again)
    snapshot = LinkSnapshot(
        counts=counts,
        source_rows=_total(counts, source=True),
        outbound_rows=_total(counts, outbound=True),
        local_rows=_total(counts, local=True),
        to_pull_parts=coming.parts,
        to_pull_bytes=_bytes(link, at.sizes, coming.entities, coming.parts),
        to_pull_objects=coming.objects,
        left_out=reasons,
        equal=equal,
        parts=tuple(_part_rows(link, held, at.local)),
        taken=causes.taken,
        blocked_by_parent=causes.by_parent,
        refused=causes.refused,
        refused_again=causes_again.refused,
        blocked_by_parent_again=causes_again.by_parent,
        obstacles=causes.obstacles,
        obstacles_again=causes_again.obstacles,
        changed=changed,
        unparented=unparented,
        lost=without,
        missing_objects=len(coming.absent),
        hanging=hanging if tables.remade else 0,
    )
    return snapshot, blocked_keys, keys


@dataclass(frozen=True, slots=True)
class _Coming:
    """What is to be pulled; `absent` are the entities whose external object is missing."""

    entities: int
    parts: tuple[tuple[str, int], ...]
    objects: ObjectCounts
    absent: list[RawRow]


def _coming(at: ObservedLink, due: int, blocked: Sql | None, *, verify: bool) -> _Coming:
    """What comes of so many entities; `blocked` is the table of those that cannot."""
    source, source_links, link = at.source, at.source_links, at.link
    absent = []
    if verify and due and link.stores:
        absent = missing_at_source(source, source_links, link, at.store_transport, blocked)
    due -= len(absent)
    parts = entity_counts.part_rows_to_pull(source, source_links, link, blocked) if due else ()
    objects = objects_to_pull(source, source_links, link, blocked) if due and link.stores else NO_OBJECTS
    return _Coming(due, parts, objects, absent)


def _held_parts(
    at: ObservedLink, counts: Mapping[EntityClass, int], missing: KeyTable | None, extra: KeyTable | None
) -> tuple[tuple[str, int], ...]:
    """The part rows of what is held, where these can be compared with the local ones; else none."""
    if not at.has_outbound or not at.is_comparable or _count(extra):
        return ()
    every = _total(counts, source=True, outbound=True) == _total(counts, source=True)
    return entity_counts.part_rows_held(at.source, at.link, missing, every)


def _equal(
    at: ObservedLink, counts: Mapping[EntityClass, int], extra: KeyTable | None, blocked_keys: PackedKeys
) -> int:
    """Count unprotected entities that equal the source's; those that differ are added to the blocked ones."""
    if not at.is_comparable:
        return 0
    different = (
        blocked_keys if _unprotected(counts) and at.source_links.children.get(at.link.address) else None
    )
    found = equal_unprotected(at.link, at.source_links, extra, at.source, local=at.local, different=different)
    return sum(len(keys) for keys in found)


def _changed(at: ObservedLink, *, verify: bool) -> tuple[int | None, Unparented, int]:
    """Count entities that differ from the source's, None where they cannot be compared, and lost objects.

    With those that a refill, of changed rows or of all, cannot bring to what the source has.
    """
    if at.tables.refill is not None and at.tables.holds(at.link):
        links = at.source_links.standing
        return None, Unparented(*without_parents(at.source, links, at.link, None, requested=True)), 0
    if not verify or not at.is_comparable or not at.has_outbound:
        return None, Unparented(), 0
    without, missing = 0, list[RawRow]()
    if at.link.stores:
        without, missing = lost_local(at.local, at.source, at.link, at.store_transport)
    with changed_entities(at.link, at.source, at.local, at.source_links.standing, missing) as work:
        unparented = work.unparented()
        return work.refillable.count + unparented.entities, unparented, without


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


@dataclass(frozen=True, slots=True)
class _Causes:
    """Why entities cannot come, with their counts: by unique key, by parent, by local rule, by obstacle."""

    taken: tuple[tuple[str, int], ...]
    by_parent: tuple[tuple[str, int], ...]
    refused: tuple[tuple[LocalRule, int], ...]
    obstacles: tuple[tuple[Obstacle, int], ...]


def _causes(at: ObservedLink, rules: tuple[LocalRule, ...], counts: Mapping[int, int]) -> _Causes:
    """The causes that the numbers of a table of blocked entities stand for."""
    link = at.link
    keys, above = uniques(link), parents(link)
    obstacles = ((obstacle(link, at.source_links, number), counts[number]) for number in sorted(counts))
    return _Causes(
        tuple((key.words, counts[n]) for n, key in enumerate(keys) if n in counts),
        tuple((a, counts[n]) for n, a in enumerate(above, start=len(keys)) if n in counts),
        tuple((rule, counts[n]) for n, rule in enumerate(rules, RULES) if n in counts),
        tuple((each, count) for each, count in obstacles if each is not None),
    )


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
    """An estimate of the bytes to pull, from the server's statistics."""
    coming, total = {link.definition.name: entities, **dict(parts)}, 0.0
    for table_definition in link.definition.tables:
        size = sizes.get((table_definition.schema, table_definition.name), Size(0, 0))
        count = coming.get(table_definition.name, 0)
        total += pulled_bytes(count, table_definition, size.rows, size.bytes)
    return round(total)
