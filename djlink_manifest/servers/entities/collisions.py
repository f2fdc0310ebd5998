"""Entities that cannot come as things stand, in temporary tables on the source server.

An entity is stuck where a unique value of its rows is taken by a local row that is not held (the lab's own),
or by a held one whose value the source has changed since; where its rows break a rule that only the local
tables have (`local_rules`); where it refers to what is missing (`unmet`); and where it refers to a parent
that is stuck or blocked. What the local table alone knows, the unique values of those rows and no others,
travels to the source; the entities are found there.
"""

from __future__ import annotations

import pickle
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import Leftover, LocalRule
from djlink_manifest.model.links.unique import uniques
from djlink_manifest.servers.ddl.tables import key_columns
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.local_rules import breaking, left_behind
from djlink_manifest.servers.entities.obstacles import STALE, stale_rows, unmet
from djlink_manifest.servers.entities.set_terms import Scene, upstream
from djlink_manifest.servers.entities.taken_values import taken_values
from djlink_manifest.servers.keys.key_table import (
    KeyTable,
    create_temporary,
    drop_temporary,
    key_table,
    temporary,
)
from djlink_manifest.servers.query.references import child_master_columns, child_table, parent_join
from djlink_manifest.servers.query.rows import inserts, most_bytes, reading
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import (
    Sql,
    among,
    both,
    column,
    columns,
    either,
    equal,
    idents,
    not_among,
    sql,
    table,
)

# the number of the reason: of `uniques`, then of `parents`; one of `unmet`; `RULES` and that of a local rule
WHY = "~why"
RULES = 4_000_000


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
        most = most_bytes(self.session)
        for statement in inserts(self.name, self.link.key_columns, keys, most):
            self.session.send_scratch(statement.text)

    def add_colliding(self, scene: Scene, extra: KeyTable, local: Session, first: int = 0) -> None:
        """Add what is not held and would meet one of the local rows `extra` in a unique key.

        Equal is what the source's collations hold equal; NULL meets nothing. `first` is the number of the
        first unique key's reason.
        """
        for number, unique in enumerate(uniques(self.link), first):
            with taken_values(unique, extra, local) as (taken, values, owner):
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

    def add_waiting(
        self, scene: Scene, above: Mapping[str, StuckTable], missing: KeyTable | None = None
    ) -> None:
        """Add what is not held, or `missing` here, and refers to an entity of a stuck table of a parent."""
        first = len(uniques(self.link))
        for reference in self.link.references:
            stuck = above.get(reference.parent)
            if stuck is None:
                continue
            join, alias, key = parent_join(stuck.link, reference, "c")
            mine = child_master_columns(self.link, reference)
            tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            tests += _due(self.link, scene, missing, "c", mine)
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
        self,
        scene: Scene,
        rules: Sequence[LocalRule],
        missing: KeyTable | None,
        extra: KeyTable | None,
        local: Session,
    ) -> None:
        """Add what would be pulled, or pulled again (`missing`), and breaks a rule of the local tables.

        What is stuck already is not tried.
        """
        for number, rule in enumerate(rules, RULES):
            sets = Sets(self.session, scene)
            if isinstance(rule.of, Leftover):
                for part in rule.of.parts:
                    with key_table(self.session, self.link, "left") as found:
                        found.add(left_behind(rule.of, part, local))
                        self.add_due(scene, found, number, missing)
                continue
            tests = sets.pullable(self.link, "t", rule.owner)
            tests += _due(self.link, scene, missing, "t", rule.owner)
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

    def counts_again(self, scene: Scene, missing: KeyTable) -> Mapping[int, int]:
        """How many of those that are held and `missing` locally would come again, by the number of the
        reason.
        """
        rows = self.session.rows(
            sql(
                "SELECT k.{}, COUNT(*) FROM {} k JOIN {} m ON {} WHERE {} GROUP BY 1",
                idents([WHY]),
                self.name,
                missing.name,
                equal("k", self.link.key, "m", self.link.key),
                both(Sets(self.session, scene).pullable(self.link, "k", self.link.key)),
            )
        )
        return Counter({int(number): int(count) for number, count in rows})

    def own_keys(self, missing: KeyTable | None) -> Iterator[RawRow]:
        """The keys, raw, of those that cannot come by themselves, and of those held and `missing`."""
        what = reading(self.link.key_columns, "k")
        why = column("k", WHY)
        tests = [sql("{} < {}", why, len(uniques(self.link))), sql("{} >= {}", why, STALE)]
        if missing is not None and missing.count:
            tests.append(among(missing.name, self.link.key, "k", self.link.key))
        return self.session.stream(sql("SELECT {} FROM {} k WHERE {}", what, self.name, either(tests)))

    def add_due(self, scene: Scene, found: KeyTable, number: int, missing: KeyTable | None) -> None:
        """Add those of the keys `found` that would come."""
        key = self.link.key
        due = _due(self.link, scene, missing, "k", key)
        tests = [*Sets(self.session, scene).pullable(self.link, "k", key), *due]
        tests.append(among(source_table(self.link), key, "k", key))
        keys = columns("k", key)
        self._insert(sql("SELECT {}, {} FROM {} k WHERE {}", keys, number, found.name, both(tests)))

    def _unheld(self, scene: Scene, alias: str, names: Sequence[str]) -> list[Sql]:
        return _due(self.link, scene, None, alias, names)

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


def _due(link: Link, scene: Scene, missing: KeyTable | None, alias: str, names: Sequence[str]) -> list[Sql]:
    """The condition that an entity is not held, or `missing` here."""
    if link.address not in scene.held:
        return []
    unheld = not_among(outbound_table(link), link.key, alias, names)
    if missing is None or not missing.count:
        return [unheld]
    return [either([unheld, among(missing.name, link.key, alias, names)])]


@contextmanager
def stuck_table(session: Session, link: Link, label: str) -> Iterator[StuckTable]:
    """A fresh table that is dropped at the end, unless the session broke."""
    found = StuckTable(session, link, label)
    with temporary(session, found.name, _columns(link)):
        yield found


def _columns(link: Link) -> str:
    keys = idents(link.key).text
    return f"`{WHY}` int NOT NULL DEFAULT 0, {key_columns(link.definition)}, PRIMARY KEY ({keys})"


@contextmanager
def stuck_entities(
    source: Session,
    local: Session,
    scene: Scene,
    link: Link,
    missing: KeyTable | None,
    extra: KeyTable | None,
    blocked: Mapping[str, PackedKeys],
    rules: Sequence[LocalRule],
    comparable: Collection[str],
) -> Iterator[StuckTable | None]:
    """The link's stuck entities; None where there are none, as most often.

    `missing` are the keys that outbound has and the local table has not, `extra` the other way; `blocked` the
    entities of other links that cannot come by themselves: what refers to them, over any number of links, is
    stuck. `rules` are those of the local tables that the source's tables do not have. `comparable` are the
    links whose local tables have a place for every row of the source.
    """
    above = _stuck_above(scene, link, blocked)
    unique = link.address in comparable and uniques(link)
    with ExitStack() as stack:
        own: StuckTable | None = None
        if above or rules or (unique and extra is not None and extra.count):
            own = stack.enter_context(stuck_table(source, link, "stuck"))
        if own is not None and unique and extra is not None and extra.count:
            own.add_colliding(scene, extra, local)
        comes = bool(unique or link.references) and _comes(source, scene, link)
        if unique and comes and link.address in scene.held:
            with key_table(source, link, "stale") as stale:
                stale_rows(source, local, link, stale)
                if stale.count:
                    own = own or stack.enter_context(stuck_table(source, link, "stuck"))
                    own.add_colliding(scene, stale, local, STALE)
        if comes or (missing is not None and missing.count):
            for number, found in unmet(
                source, local, scene, link, comparable, partial(_due, link, scene, missing)
            ):
                own = own or stack.enter_context(stuck_table(source, link, "stuck"))
                own.add_due(scene, found, number, missing)
        if own is not None:
            own.add_waiting(scene, _Kept.of(source, scene).tables(above, blocked), missing)
            own.add_breaking(scene, rules, missing, extra, local)
        yield own


def _comes(source: Session, scene: Scene, link: Link) -> bool:
    """Whether something is pullable that is not held."""
    tests = [*Sets(source, scene).pullable(link, "s", link.key), *_due(link, scene, None, "s", link.key)]
    return bool(source.rows(sql("SELECT 1 FROM {} s WHERE {} LIMIT 1", source_table(link), both(tests))))


def _stuck_above(scene: Scene, link: Link, blocked: Mapping[str, PackedKeys]) -> list[str]:
    """The links that this one refers to, near or far, with stuck or blocked entities; parents first."""
    found = dict[str, None]()
    if blocked:
        for address in upstream(scene.links, link.address):
            if address in blocked or not found.keys().isdisjoint(parents(scene.links[address])):
                found[address] = None
    found.pop(link.address, None)
    return list(found)


class _Kept:
    """The stuck entities of links of earlier waves, in tables of one session, each made once in a plan."""

    def __init__(self, session: Session, scene: Scene) -> None:
        self._session = session
        self._scene = scene
        self._made = dict[str, StuckTable]()

    @staticmethod
    def of(session: Session, scene: Scene) -> _Kept:
        """The session's tables, without those of another moment."""
        found: _Kept | None = session.kept.get(_Kept)
        if found is None or found._scene.moment is not scene.moment:
            for each in found._made.values() if found is not None else ():
                drop_temporary(session, each.name)
            found = session.kept[_Kept] = _Kept(session, scene)
        return found

    def tables(self, above: Sequence[str], blocked: Mapping[str, PackedKeys]) -> Mapping[str, StuckTable]:
        """The tables of these links, which come parents first."""
        for address in above:
            if address not in self._made:
                link = self._scene.links[address]
                table = StuckTable(self._session, link, f"stuck_{len(self._made)}")
                create_temporary(self._session, table.name, _columns(link))
                table.add(blocked.get(address, ()))
                table.add_waiting(self._scene, self._made)
                self._made[address] = table
        return {address: self._made[address] for address in above}
