"""Entities that cannot come as things stand, in temporary tables on the source server.

An entity is stuck where a unique value of its rows is taken by a local row that is not held (the lab's own),
where its rows break a rule that only the local tables have (`local_rules`), and where it refers to a parent that is stuck or blocked. What the local table alone knows, the unique values
of those rows and no others, travels to the source; the entities are found there.
"""

from __future__ import annotations

import pickle
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice

from djlink_manifest.model.definition import Column, TableDefinition
from djlink_manifest.model.link import Link
from djlink_manifest.model.local_rules import LocalRule
from djlink_manifest.model.unique import Unique, uniques
from djlink_manifest.servers import transfer
from djlink_manifest.servers.connection import RawRow, Session
from djlink_manifest.servers.ddl import key_columns
from djlink_manifest.servers.digest import ROWS_AT_ONCE, in_pieces, keys_in
from djlink_manifest.servers.local_rules import breaking
from djlink_manifest.servers.query import outbound_table, source_table
from djlink_manifest.servers.referring import child_master_columns, child_table, parent_join
from djlink_manifest.servers.scene import Scene
from djlink_manifest.servers.scratch import KeyTable, key_table, temporary
from djlink_manifest.servers.sql import (
    Sql,
    both,
    column,
    columns,
    equal,
    idents,
    not_among,
    sql,
    table,
)
from djlink_manifest.servers.wanted import Sets

WHY = "~why"  # the number of the reason: of `uniques`, then of `parents`; or `RULES` and that of a local rule
RULES = 1_000_000


class PackedKeys:
    """Keys kept from one session to the next: some ten bytes each, since they are many at worst."""

    def __init__(self, keys: Iterable[RawRow] = ()) -> None:
        self._batches = list[bytes]()
        self.count = 0
        self.add(keys)

    def add(self, keys: Iterable[RawRow]) -> None:
        """Add keys, raw, in key order of columns."""
        rest = iter(keys)
        while batch := list(islice(rest, 10_000)):
            self._batches.append(zlib.compress(pickle.dumps(batch), 1))
            self.count += len(batch)

    def __iter__(self) -> Iterator[RawRow]:
        for batch in self._batches:
            yield from pickle.loads(zlib.decompress(batch))


def parents(link: Link) -> tuple[str, ...]:
    """The addresses that the link refers to, sorted."""
    return tuple(sorted({r.parent for r in link.references}))


class StuckTable:
    """The stuck entities of one link, each with the first reason that was found."""

    def __init__(self, session: Session, link: Link, label: str) -> None:
        self.session = session
        self.link = link
        self.name = table(link.outbound_schema, f"~djlink_{label}")

    def add(self, keys: Iterable[RawRow]) -> None:
        """Add keys that came over the wire, each once."""
        most = transfer.most_bytes(self.session)
        for statement in transfer.inserts(self.name, self.link.key_columns, keys, most):
            self.session.send_scratch(statement.text)

    def add_colliding(self, scene: Scene, extra: KeyTable, local: Session) -> None:
        """Add what is not held and would meet one of the local rows `extra` in a unique key.

        Equal is what the source's collations hold equal; NULL meets nothing.
        """
        for number, unique in enumerate(uniques(self.link)):
            with _taken(unique, extra, local) as (taken, values, owner):
                mine = columns("t", unique.owner)
                match = equal("x", values, "t", unique.columns)
                tests = [
                    sql("NOT ({})", equal("x", owner, "t", unique.owner)),
                    *self._unheld(scene, "t", unique.owner),
                ]
                of = table(unique.theirs.schema, unique.theirs.name)
                self._insert(
                    sql(
                        "SELECT DISTINCT {}, {} FROM {} x STRAIGHT_JOIN {} t ON {} WHERE {}",
                        mine,
                        number,
                        taken,
                        of,
                        match,
                        both(tests),
                    )
                )

    def add_waiting(self, scene: Scene, above: Mapping[str, StuckTable]) -> None:
        """Add what is not held and refers to an entity of a stuck table of a parent."""
        first = len(uniques(self.link))
        for reference in self.link.references:
            stuck = above.get(reference.parent)
            if stuck is None:
                continue
            join, alias, key = parent_join(stuck.link, reference, "c")
            mine = child_master_columns(self.link, reference)
            tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            tests += self._unheld(scene, "c", mine)
            self._insert(
                sql(
                    "SELECT DISTINCT {}, {} FROM {} c {} JOIN {} x ON {} WHERE {}",
                    columns("c", mine),
                    first + parents(self.link).index(reference.parent),
                    child_table(self.link, reference),
                    join,
                    stuck.name,
                    equal("x", stuck.link.key, alias, key),
                    both(tests),
                )
            )

    def add_breaking(
        self, scene: Scene, rules: Sequence[LocalRule], extra: KeyTable | None, local: Session
    ) -> None:
        """Add what would be pulled and break a rule of the local tables; what is known as stuck is not tried."""
        for number, rule in enumerate(rules, RULES):
            sets = Sets(self.session, scene)
            tests = [*sets.pullable(self.link, "t", rule.owner), *self._unheld(scene, "t", rule.owner)]
            if extra is not None and extra.count:
                tests.append(not_among(extra.name, self.link.key, "t", rule.owner))
            tests.append(not_among(self.name, self.link.key, "t", rule.owner))
            with key_table(self.session, self.link, "breaking") as found:
                found.add(breaking(rule, self.session, tests, local))
                keys = idents(self.link.key)
                self._insert(sql("SELECT {}, {} FROM {}", keys, number, found.name))

    def counts(self, scene: Scene, extra: KeyTable | None) -> Mapping[int, int]:
        """How many of them would be pulled otherwise, by the number of the reason."""
        sets = Sets(self.session, scene)
        tests = [*sets.pullable(self.link, "s", self.link.key), *self._unheld(scene, "s", self.link.key)]
        if extra is not None and extra.count:
            tests.append(not_among(extra.name, self.link.key, "s", self.link.key))
        rows = self.session.rows(
            sql(
                "SELECT k.{}, COUNT(*) FROM {} k JOIN {} s ON {} WHERE {} GROUP BY 1",
                idents([WHY]),
                self.name,
                source_table(self.link),
                equal("k", self.link.key, "s", self.link.key),
                both(tests),
            )
        )
        return Counter({int(number): int(count) for number, count in rows})

    def own_keys(self) -> Iterator[RawRow]:
        """The keys of those that meet a local row or break a local rule, raw."""
        what = transfer.reading(self.link.key_columns)
        why = idents([WHY])
        test = sql("({} < {} OR {} >= {})", why, len(uniques(self.link)), why, RULES)
        return self.session.stream(sql("SELECT {} FROM {} WHERE {}", what, self.name, test))

    def _unheld(self, scene: Scene, alias: str, names: Iterable[str]) -> list[Sql]:
        if self.link.address not in scene.held:
            return []
        return [not_among(outbound_table(self.link), self.link.key, alias, tuple(names))]

    def _insert(self, select: Sql) -> None:
        why = idents([WHY])
        self.session.scratch(
            sql(
                "INSERT INTO {} ({}, {}) {} ON DUPLICATE KEY UPDATE {} = {}.{}",
                self.name,
                idents(self.link.key),
                why,
                select,
                why,
                self.name,
                why,
            )
        )


@contextmanager
def stuck_table(session: Session, link: Link, label: str) -> Iterator[StuckTable]:
    """A fresh table that is dropped at the end, unless the session broke."""
    found = StuckTable(session, link, label)
    keys = idents(link.key).text
    columns = f"`{WHY}` int NOT NULL DEFAULT 0, {key_columns(link.definition)}, PRIMARY KEY ({keys})"
    with temporary(session, found.name, columns):
        yield found


@contextmanager
def stuck_entities(
    source: Session,
    local: Session,
    scene: Scene,
    link: Link,
    extra: KeyTable | None,
    blocked: Mapping[str, PackedKeys],
    rules: Sequence[LocalRule] = (),
) -> Iterator[StuckTable | None]:
    """The link's stuck entities; None where there can be none, and then no statement is made.

    `extra` are the keys that the local table has and outbound has not; `blocked` the entities of other links
    that cannot come by themselves: what refers to them, over any number of links, is stuck. `rules` are those
    of the local tables that the source's tables do not have.
    """
    above = _above(scene, link, blocked)
    collides = extra is not None and extra.count and uniques(link)
    if not above and not collides and not rules:
        yield None
        return
    with ExitStack() as stack:
        tables = dict[str, StuckTable]()
        for number, address in enumerate(above):
            stuck = stack.enter_context(stuck_table(source, scene.links[address], f"stuck_{number}"))
            stuck.add(blocked.get(address, ()))
            stuck.add_waiting(scene, tables)
            tables[address] = stuck
        own = stack.enter_context(stuck_table(source, link, "stuck"))
        if extra is not None and collides:
            own.add_colliding(scene, extra, local)
        own.add_waiting(scene, tables)
        own.add_breaking(scene, rules, extra, local)
        yield own


def _above(scene: Scene, link: Link, blocked: Mapping[str, PackedKeys]) -> list[str]:
    """The links that this one refers to, near or far, with stuck or blocked entities; parents first."""
    known, ordered = dict[str, bool](), list[str]()

    def is_stuck(address: str) -> bool:
        if address not in known:
            up = [is_stuck(parent) for parent in parents(scene.links[address])]
            known[address] = address in blocked or any(up)
            if known[address]:
                ordered.append(address)
        return known[address]

    if blocked:
        for parent in parents(scene.links[link.address]):
            is_stuck(parent)
    return ordered


@contextmanager
def _taken(
    unique: Unique, extra: KeyTable, local: Session
) -> Iterator[tuple[Sql, tuple[str, ...], tuple[str, ...]]]:
    """A temporary table of the unique values of the local rows of `extra`, and whose they are.

    Its name, the columns of the values and those of the entities' keys.
    """
    session, name = extra.session, table(extra.link.outbound_schema, "~djlink_taken")
    values = tuple(f"u{n}" for n in range(len(unique.columns)))
    owner = tuple(f"k{n}" for n in range(len(unique.owner)))
    names = (*unique.columns, *unique.owner)
    theirs = tuple(unique.theirs.column(n) for n in names)
    bare = tuple(replace(c, name=n) for c, n in zip(theirs, (*values, *owner), strict=True))
    described = key_columns(TableDefinition("", "", bare, (*values, *owner)))
    with temporary(session, name, f"{described}, KEY ({idents(values).text})"):
        for first, last in extra.pages(ROWS_AT_ONCE):
            for some in in_pieces(local, extra.keys(first, last)):
                rows = local.stream(_values_of(unique, theirs, some))
                for statement in transfer.inserts(name, bare, rows, transfer.most_bytes(session)):
                    session.send_scratch(statement.text)
        yield name, values, owner


def _values_of(unique: Unique, read: tuple[Column, ...], keys: Sequence[RawRow]) -> Sql:
    nullable = [c.name for c in read if c.nullable]
    tests = [keys_in([unique.ours.column(n) for n in unique.owner], keys, "t")]
    tests += [sql("{} IS NOT NULL", column("t", n)) for n in nullable]
    return sql(
        "SELECT {} FROM {} t WHERE {}",
        transfer.reading(read, "t"),
        table(unique.ours.schema, unique.ours.name),
        both(tests),
    )
