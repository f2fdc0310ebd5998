"""What was observed of a link, as values: enough for a plan, with no row and no key in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from djlink_manifest.errors import Location
from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.links.entity import EntityTerms, Presence, State, Step, state_of, step_for
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LateKey, LocalRule, Obstacle
from djlink_manifest.model.server.catalog import Mark, Size
from djlink_manifest.model.server.epochs import OWN, EpochState, LocalServer
from djlink_manifest.model.stores.external import NO_OBJECTS, ObjectCounts
from djlink_manifest.model.tables.compare import same_default
from djlink_manifest.model.tables.definition import Column, Index, TableDefinition
from djlink_manifest.model.tables.derive import requested_part_name
from djlink_manifest.model.tables.naming import class_name
from djlink_manifest.model.tables.owner_views import OwnerView
from djlink_manifest.model.vendors.alter_cost import Cost
from djlink_manifest.model.vendors.widening import respells_values


@dataclass(frozen=True, slots=True)
class Refusal:
    """A link, or a part of the manifest, that nothing can be done about as things stand.

    `address` is a link's address, or `source.schema` where the link cannot be told. `hint` is the next step.
    `causes` are the addresses of other refusals from which this one follows alone: it ends with them.
    `only_pulls`: no row comes, and no table is altered; what needs the key alone is done all the same:
    requests, deletions, approvals, releases.
    """

    address: str
    reason: str
    hint: str | None = None
    location: Location | None = None
    causes: tuple[str, ...] = ()
    only_pulls: bool = False


def refusal_about(address: str, refusals: Iterable[Refusal]) -> Refusal | None:
    """The refusal that tells about a link's address, also of its whole schema; the nearest one."""
    schema, _, table = address.rpartition(".")
    names = (address, f"{schema}.{class_name(table)}")
    own = [r for r in refusals if r.address in names]
    return next(iter((*own, *(r for r in refusals if r.address == schema))), None)


def merged(one: Refusal, other: Refusal) -> Refusal:
    """Two refusals of one address as one, with the reasons of both."""
    causes = tuple(dict.fromkeys((*one.causes, *other.causes)))
    only_pulls = one.only_pulls and other.only_pulls
    reason = f"{one.reason}; {other.reason}"
    return replace(one, reason=reason, causes=causes, only_pulls=only_pulls)


@dataclass(frozen=True, slots=True)
class Alteration:
    """What a local table lacks that the source added to its own after linking.

    `columns` come with the column that each stands behind, None for the first place.
    """

    table: str
    columns: tuple[tuple[Column, str | None], ...] = ()
    indexes: tuple[Index, ...] = ()

    @property
    def unique(self) -> tuple[Index, ...]:
        """The unique indexes, which only rows that were refilled can be sure to meet."""
        return tuple(i for i in self.indexes if i.unique)


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column of a local table as it is, and as the source's change makes it."""

    before: Column
    after: Column

    @property
    def is_of_type(self) -> bool:
        """Whether the type or the collation changes, and not what is said of the column alone."""
        return _type(self.before) != _type(self.after)

    def is_done(self, stands: Column | None) -> bool:
        """Whether a column that stands is as it shall be."""
        if stands is None or not same_default(stands, self.after):
            return False
        facts = ((_type(c), c.nullable, c.comment) for c in (stands, self.after))
        return next(facts) == next(facts)


def change_words(change: ColumnChange) -> str:
    """A change of a column: `v` (int to bigint, may be NULL)."""
    before, after = change.before, change.after
    words = []
    if before.type != after.type:
        words.append(f"{_short(before.type)} to {_short(after.type)}")
    if before.collation != after.collation:
        words.append(f"{before.collation} to {after.collation}")
    if before.nullable != after.nullable:
        words.append("may be NULL")
    if not same_default(before, after):
        words.append("default")
    if before.comment != after.comment:
        words.append("comment")
    return f"`{after.name}` ({', '.join(words)})"


def _type(column: Column) -> tuple[str | None, ...]:
    return column.type, column.charset, column.collation


def _short(type_: str) -> str:
    return type_ if len(type_) <= 60 else f"{type_[:40]}…{type_[-12:]}"


@dataclass(frozen=True, slots=True)
class TableChange:
    """The columns of a local table that are to follow the source's, and the comment, None where it stays.

    `cost` is what the local server does for it, `size` its estimate of the table.
    """

    table: str
    columns: tuple[ColumnChange, ...]
    comment: str | None
    cost: Cost
    size: Size

    @property
    def respells(self) -> bool:
        """Whether values are written otherwise afterwards, as the source writes them already."""
        return any(respells_values(c.before, c.after) for c in self.columns)


@dataclass(frozen=True, slots=True)
class LinkTables:
    """What a link's required tables, marks and privileges lack in both catalogs, before any row is read.

    `link_id` is the id in the marks, None for a link not yet made. `make_outbound` and `make_local` are the
    tables to create, in order; `mark_outbound` and `mark_local` tell which marks are missing;
    `add_foreign_keys` are those to parents that were linked later; `drift` says in words what djlink did not
    leave behind. `alter_local` is what the source added to tables, `change_local` what it changed of columns;
    `unrecorded` tells that the local tables follow a change that the marks do not know; `refill` says why
    entities that are here must be looked over, None where they need not; `redefined` tells that the marks do
    not name the source's present definition; `make_views` are the owner's views to make or replace,
    `views_why` says why. `remade` tells that the local master table was dropped, and is missing or was made
    anew by an apply that did not bring all held rows back. `rules` are what the local tables ask of rows and
    the source's do not. `mark` is the mark as it stands at the source, or as it shall be written;
    `new_schema` tells that the local schema is missing. `foreign_parts` are local tables of somebody else's
    that have the name of a part. `deletions_only`: no row comes, so that nothing but what deletions need is
    looked at. `epochs` says what the marks tell of the link's local server, and `server` what marks say of
    this one.
    """

    link_id: str | None = None
    mark_outbound: bool = True
    mark_local: bool = True
    make_outbound: tuple[TableDefinition, ...] = ()
    make_local: tuple[TableDefinition, ...] = ()
    add_foreign_keys: tuple[LateKey, ...] = ()
    drift: tuple[str, ...] = ()
    make_views: tuple[OwnerView, ...] = ()
    views_why: str = ""
    alter_local: tuple[Alteration, ...] = ()
    change_local: tuple[TableChange, ...] = ()
    unrecorded: bool = False
    refill: str | None = None
    redefined: bool = False
    remade: bool = False
    rules: tuple[LocalRule, ...] = ()
    mark: Mark | None = None
    new_schema: bool = False
    foreign_parts: tuple[str, ...] = ()
    deletions_only: bool = False
    epochs: EpochState = OWN
    server: LocalServer | None = None

    @property
    def is_level(self) -> bool:
        """Whether the local tables have all columns and parts of the source's, and rows to match."""
        changes = self.make_local or self.alter_local or self.change_local
        return not changes and self.refill is None

    def is_comparable(self, link: Link) -> bool:
        """Whether every row of the source has a place here: what is missing at most holds no copied value."""
        copied = {t.name for t in link.local.tables[: len(link.definition.tables)]}
        missing = any(t.name in copied for t in self.make_local) or any(a.columns for a in self.alter_local)
        respelled = any(change.respells for change in self.change_local)
        return not (missing or respelled or self.deletions_only) and self.refill is None

    @property
    def lacks_rows(self) -> bool:
        """Whether a local table was dropped or came later, and its rows are not all here."""
        if self.remade or self.is_new:
            return self.remade
        return self.refill is not None and not self.alter_local

    @property
    def completes_late(self) -> bool:
        """Whether the marks may name the present definition only after a refill or a unique index."""
        return self.refill is not None or any(a.unique for a in self.alter_local)

    @property
    def is_new(self) -> bool:
        """Whether neither server knows the link."""
        return self.link_id is None

    def holds(self, link: Link) -> bool:
        """Whether the link's outbound table stands."""
        return not any(t.name == link.outbound_table for t in self.make_outbound)

    def has_master(self, link: Link) -> bool:
        """Whether the local master table stands."""
        return not any(t.name == link.local.name for t in self.make_local)

    def lacks_parts(self, link: Link) -> frozenset[str]:
        """The local parts that would hold the source's rows and do not stand, or are not djlink's."""
        others = {link.local.name, requested_part_name(link.local.name)}
        return frozenset(t.name for t in self.make_local).union(self.foreign_parts) - others

    def for_deletions(self, link: Link) -> LinkTables:
        """What of this concerns a link of which no row comes: the tables that requests and deletions need.

        Of the local ones that is `DeletionRequested`, where the master stands.
        """
        own = requested_part_name(link.local.name)
        make = self.make_local
        if self.has_master(link):
            make = tuple(t for t in make if t.name == own)
        return replace(
            self,
            make_local=make,
            alter_local=(),
            change_local=(),
            unrecorded=False,
            add_foreign_keys=(),
            refill=None,
            redefined=False,
            drift=(),
            rules=(),
            deletions_only=True,
        )


@dataclass(frozen=True, slots=True, order=True)
class EntityClass:
    """Entities that are alike in every fact which decides what follows for them."""

    presence: Presence
    wanted: bool
    pullable: bool


def steps_of(link: Link, link_tables: LinkTables, counts: Mapping[EntityClass, int]) -> Counter[Step]:
    """How many entities of the link each step of the state table concerns."""
    steps: Counter[Step] = Counter()
    for entities, count in counts.items():
        terms = EntityTerms(
            wanted=entities.wanted,
            pullable=entities.pullable,
            release_unwanted=link.unwanted == "release",
            remade=link_tables.remade,
        )
        steps[step_for(entities.presence, terms)] += count
    return steps


@dataclass(frozen=True, slots=True)
class PartRows:
    """Rows of one part: at the source for the entities held, and in the local table."""

    part: str
    held: int
    local: int


@dataclass(frozen=True, slots=True)
class ReliedOn:
    """Entities that are not refilled: rows of other tables refer to rows that would go, or to old values.

    `lab` counts the rows of the lab's own tables, by table; `linked` those of other links, by address;
    `unseen` are tables that the account cannot see and whose rows would go or change along. `differ` counts
    the entities that differ at all, for a refill that is due by definition and whose tables stand.
    """

    entities: int
    lab: tuple[tuple[str, int], ...] = ()
    linked: tuple[tuple[str, int], ...] = ()
    unseen: tuple[str, ...] = ()
    differ: int | None = None


@dataclass(frozen=True, slots=True)
class Unparented:
    """Held entities that are not refilled: their source rows now refer to rows of `parents` not held."""

    entities: int = 0
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A foreign key that cannot be added, as so many local rows lack a parent row that this plan brings."""

    late: LateKey
    rows: int


@dataclass(frozen=True, slots=True)
class LinkSnapshot:
    """Counts of one link at one moment; local was read before outbound.

    `counts`: entities by class; `to_pull_parts`: part rows that come with what is to be pulled;
    `to_pull_bytes` an estimate from the server's own statistics; `to_pull_objects` the external ones;
    `left_out`: how many entities each reason
    leaves out, in the words of the plan; `equal`: of the unprotected entities, those whose rows equal the
    source's; `parts`: part rows of held entities on both sides; `changed`: held entities, not asked back,
    whose rows differ from the source's, None where nobody looked; `unparented`: of those to be refilled, the
    ones that cannot be, for what they now refer to.

    Of what is to be pulled some cannot come: `taken`, by the unique key in which they meet a local row of the
    lab's own, `blocked_by_parent`, by the address of the parent that is blocked, `refused`, by the rule of a
    local table that they break, and `obstacles`, by other obstacles. `refused_again`,
    `blocked_by_parent_again` and `obstacles_again` are the same of what outbound holds and the local table
    lacks. Where external objects were verified, `missing_objects` counts those that lack one at the source,
    and `lost` the objects that are missing or altered here; the entities of these are among the `changed`. Of
    a table made anew at most the `hanging` entities are let go, for what they refer to is held no longer.
    """

    counts: Mapping[EntityClass, int]
    source_rows: int = 0
    outbound_rows: int = 0
    local_rows: int = 0
    to_pull_parts: tuple[tuple[str, int], ...] = ()
    to_pull_bytes: int = 0
    to_pull_objects: ObjectCounts = NO_OBJECTS
    left_out: tuple[tuple[str, int], ...] = ()
    equal: int = 0
    parts: tuple[PartRows, ...] = ()
    taken: tuple[tuple[str, int], ...] = ()
    blocked_by_parent: tuple[tuple[str, int], ...] = ()
    refused: tuple[tuple[LocalRule, int], ...] = ()
    refused_again: tuple[tuple[LocalRule, int], ...] = ()
    blocked_by_parent_again: tuple[tuple[str, int], ...] = ()
    obstacles: tuple[tuple[Obstacle, int], ...] = ()
    obstacles_again: tuple[tuple[Obstacle, int], ...] = ()
    changed: int | None = None
    unparented: Unparented = Unparented()
    lost: int = 0
    missing_objects: int = 0
    hanging: int = 0

    def in_state(self, state: State) -> int:
        """How many entities are in a state."""
        return sum(n for c, n in self.counts.items() if state_of(c.presence) is state)

    @property
    def brings(self) -> bool:
        """Whether entities are to come, for the first time or again."""
        due = (State.UNSHARED, State.ACTIVATED)
        return any(n and c.pullable and state_of(c.presence) in due for c, n in self.counts.items())

    @property
    def blocked(self) -> int:
        """How many entities to be pulled cannot come."""
        every = (*self.taken, *self.blocked_by_parent, *self.refused, *self.obstacles)
        return sum(count for _, count in every) + self.missing_objects

    @property
    def blocked_again(self) -> int:
        """How many entities that are held and missing here cannot come again."""
        every = (*self.refused_again, *self.blocked_by_parent_again, *self.obstacles_again)
        return sum(count for _, count in every)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server as the plan's head shows it; `problem` where it could not be used.

    `identity` tells it from other servers: its fingerprint, or what the manifest calls it; empty where it
    could not be used.
    """

    name: str
    host: str
    vendor: str = ""
    version: str = ""
    links: int = 0
    seconds: float = 0.0
    problem: str | None = None
    hint: str | None = None
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A link of this manifest's name that the manifest no longer declares, though its tables stand.

    `server` is its source, or `local` where no source of the manifest knows it. `held` counts the rows that
    it keeps the source from deleting, None where they cannot be read. `location` is where `removed` stands,
    None where the manifest has no such key.
    """

    server: str
    source_table: str
    outbound_table: str
    local_table: str
    held: int | None = None
    location: Location | None = None

    @property
    def address(self) -> str:
        """Its address, as the manifest would name it."""
        schema, _, name = self.source_table.partition(".")
        return f"{self.server}.{schema}.{class_name(name)}"

    @property
    def hint(self) -> str:
        """The next step: the entry of `removed` that takes it out."""
        if self.server == "local":
            return (
                "if its source, schema or table has another name now, say so in `moved`; else check `host` "
                "and `outbound` of its source"
            )
        entry = f"{written(self.address)}: {{table: keep}}"
        if self.location is None:
            return f"declare it again, or take it out: removed: {{{entry}}}"
        return f"declare it again, or take it out with an entry of `removed` ({self.location}): {entry}"
