"""Circles: links whose foreign keys at the source, or whose `depends_on`, need each other. Pure.

A circle concerns the links in it. A foreign key in it that may be NULL becomes plain columns here; where
there is none the links of the circle are refused. The others go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from djlink_manifest.model.links.graph import Edge, circle_through, circles
from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.model.server.catalog import Catalog, TableName
from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition
from djlink_manifest.model.tables.derive import LinkedTable
from djlink_manifest.model.tables.naming import plain_name
from djlink_manifest.reconcile.resolve.refusals import Candidate
from djlink_manifest.reconcile.state.snapshot import Refusal

Pair = tuple[str, str]  # the addresses of a child and of a parent that it needs
KeyName = tuple[str, str, str]  # schema, table and name of a foreign key at the source


@dataclass(frozen=True, slots=True)
class LinkKey:
    """A foreign key at the source from a link's table to the primary key of another link's table.

    `stands`: the local table has it; `lacks`: the local table stands without it.
    """

    child: str
    parent: str
    table: TableDefinition
    key: ForeignKey
    stands: bool
    lacks: bool

    @property
    def reference(self) -> Reference:
        """The key as a link's reference to its parent."""
        columns, table = self.key.columns, self.table
        nullable = tuple(name for name in columns if table.column(name).nullable)
        return Reference(
            table.name,
            columns,
            nullable,
            self.parent,
            parent_table=self.key.parent_table,
            parent_columns=self.key.parent_columns,
        )

    @property
    def nullable(self) -> bool:
        """Whether one of its columns may be NULL."""
        return bool(self.reference.nullable)

    @property
    def name(self) -> KeyName:
        """Schema, table and name of the key."""
        return self.table.schema, self.table.name, self.key.name


@dataclass(frozen=True, slots=True)
class Untied:
    """The circles of a source's foreign keys: how they are cut, and which cannot be.

    `loose` holds the keys that become plain columns, `words` says so for each link; `tied` the groups of
    links whose circles have no key that may be NULL; `idle` what links of these need within circles, which
    is no matter any more.
    """

    loose: frozenset[KeyName]
    words: Mapping[str, tuple[str, ...]]
    tied: tuple[tuple[str, ...], ...]
    idle: frozenset[Pair]


def link_keys(
    candidate: Candidate, linked: Mapping[TableName, LinkedTable], local: Catalog
) -> Iterator[LinkKey]:
    """The foreign keys of a candidate to primary keys of other candidates' tables.

    `linked` holds the tables of all candidates of the source.
    """
    own = {(t.schema, t.name) for t in candidate.table.tables}
    for table in candidate.table.tables:
        for key in table.foreign_keys:
            place = (key.parent_schema, key.parent_table)
            parent = linked.get(place)
            if place in own or parent is None or set(key.parent_columns) != set(parent.key):
                continue
            stands = local.tables.get((candidate.local_schema, plain_name(table.name)))
            has_key = stands is not None and any(_is_same(key, parent, k) for k in stands.foreign_keys)
            lacks = stands is not None and not has_key
            yield LinkKey(candidate.address, parent.address, table, key, stands=has_key, lacks=lacks)


def _is_same(key: ForeignKey, parent: LinkedTable, local: ForeignKey) -> bool:
    """Whether a local foreign key is what a foreign key of the source becomes here."""
    pairs = [set(zip(k.columns, k.parent_columns, strict=True)) for k in (key, local)]
    parent_table = (local.parent_schema, local.parent_table)
    return parent_table == (parent.local_schema, parent.local_table) and pairs[0] == pairs[1]


def untie(keys: Iterable[LinkKey]) -> Untied:
    """Cut the circles of foreign keys between links.

    The keys to cut are chosen by what stands locally, then by address. Those that a local table has already
    are the last to go, so that the choice stays the same from one plan to the next. Those that a local table
    lacks go first: its rows were pulled without such a parent, and may have none.
    """

    def rank(pair: Pair) -> tuple[bool, bool, Pair]:
        group = between[pair]
        return any(key.stands for key in group), not any(key.lacks for key in group), pair

    between: dict[Pair, list[LinkKey]] = {}
    for key in keys:
        if key.child != key.parent:
            between.setdefault((key.child, key.parent), []).append(key)
    tied = circles(pair for pair, group in between.items() if not all(key.nullable for key in group))
    tangled = {address for group in tied for address in group}
    whole = {address: group for group in circles(between) for address in group}
    idle = {(a, b) for a, b in between if a in tangled and b in whole[a]}
    left = between.keys() - idle
    cut = dict[Pair, tuple[str, ...]]()
    while found := circles(left):
        group_of = {address: group for group in found for address in group}
        inside = [
            pair
            for pair in left
            if pair[0] in group_of
            and pair[1] in group_of[pair[0]]
            and all(key.nullable for key in between[pair])
        ]
        chosen = min(inside, key=rank)
        cut[chosen] = circle_through(left, *chosen)
        left.remove(chosen)
    words: dict[str, list[str]] = {}
    for pair in sorted(cut):
        words.setdefault(pair[0], []).extend(_loose(key, cut[pair]) for key in between[pair])
    return Untied(
        frozenset(key.name for pair in cut for key in between[pair]),
        {address: tuple(found) for address, found in words.items()},
        tied,
        frozenset(idle),
    )


def _loose(key: LinkKey, circle: tuple[str, ...]) -> str:
    columns = ", ".join(key.key.columns)
    return (
        f"its foreign key {key.table.name} ({columns}) to {key.parent} becomes plain columns, because the "
        f"source's foreign keys form a cycle: {' → '.join(circle)}"
    )


def tied_refusals(untied: Untied, keys: Iterable[LinkKey], links: Mapping[str, Link]) -> Iterator[Refusal]:
    """The refusals of the links whose circles no key that may be NULL cuts."""
    firm: dict[Pair, list[str]] = {}
    for key in keys:
        if not key.nullable:
            named = f"{key.table.name} ({', '.join(key.key.columns)})"
            firm.setdefault((key.child, key.parent), []).append(named)
    for group in untied.tied:
        inside = {pair: names for pair, names in firm.items() if pair[0] in group and pair[1] in group}
        for address in group:
            parent = min(parent for child, parent in inside if child == address)
            steps = circle_through(inside, address, parent)
            lines = [f"{a} needs {b} by {', '.join(inside[a, b])}" for a, b in pairwise(steps)]
            words = f"the source's foreign keys form a cycle without a nullable key: {'; '.join(lines)}"
            hint = (
                "remove one of these links from the manifest, or exclude it (`exclude`): foreign keys to "
                "it then become plain columns"
            )
            yield Refusal(address, words, hint, links[address].location)


def without_circles(edges: Iterable[Edge], links: Mapping[str, Link]) -> tuple[list[Edge], list[Refusal]]:
    """The edges without the `depends_on` that close a circle, and the refusals of the links in it.

    The foreign keys among the edges go in no circle of their own.
    """
    edges = sorted(set(edges))
    refusals, cut = list[Refusal](), set[Edge]()
    kinds = {(e.child, e.parent): e.kind for e in edges if e.child != e.parent}
    for group in circles(kinds):
        inside = {pair for pair in kinds if pair[0] in group and pair[1] in group}
        cut |= {e for e in edges if (e.child, e.parent) in inside and e.kind == "depends_on"}
        for address in group:
            parent = min(parent for child, parent in inside if child == address)
            steps = circle_through(inside, address, parent)
            lines = [f"{a} needs {b} ({kinds[a, b]})" for a, b in pairwise(steps)]
            words = f"these links depend on each other in a cycle: {'; '.join(lines)}"
            hint = "remove a `depends_on` of the cycle"
            refusals.append(Refusal(address, words, hint, links[address].location, only_pulls=True))
    return [e for e in edges if e not in cut], refusals
