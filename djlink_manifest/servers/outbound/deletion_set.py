"""The entities to delete and everything that references them, in temporary tables on the local server.

Each link has a table of keys. From some keys of one link the others follow along the foreign keys that the
local server really has; rows of the lab's own that refer to them hold them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from djlink_manifest.errors import ServerError
from djlink_manifest.model.links.referrers import Dependents, Referrer, table_of
from djlink_manifest.model.tables.derive import is_requested_part
from djlink_manifest.servers.keys.key_ranges import KeyRange, orders
from djlink_manifest.servers.keys.temporary_table import EntityKeys
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.session import RawRow, Session, Writer
from djlink_manifest.servers.sql import Sql, columns, equal, ident, joined, not_exists_in, sql, table

HELD = "~held"  # whether something that stays refers to the entity
FLAG = f"{ident(HELD).text} tinyint NOT NULL DEFAULT 0"
OTHERS = 8  # a range is deleted from in its order where at most an eighth of it stays


class DeletionSet:
    """Sets of keys of some links, parents first, on the local server.

    MySQL lets a statement name a temporary table once only.
    """

    def __init__(self, local: Session, dependents: Dependents, members: Sequence[str]) -> None:
        self.local = local
        self.dependents = dependents
        self.members = tuple(members)
        self.sets = {
            address: EntityKeys(local, link.local, link.local.schema, f"doomed_{number}", FLAG)
            for number, address in enumerate(members)
            for link in [dependents.links[address]]
        }
        self.in_order = True  # rows are deleted by ranges where they can be

    def name(self, address: str) -> Sql:
        """The link's temporary table."""
        return self.sets[address].name

    def add(self, address: str, keys: Iterable[RawRow]) -> int:
        """Add keys, raw, each once, of which the local table may hold some; how many."""
        return self.sets[address].add(keys)

    def keep_present(self, address: str) -> None:
        """Forget the keys that the local table does not hold."""
        link = self.dependents.links[address]
        own_rows, key = table(link.local.schema, link.local.name), link.local.key
        self.sets[address].delete(not_exists_in(own_rows, key, self.name(address).text, key))

    def clear(self, *spared: str) -> None:
        """Empty all sets but those of the links spared."""
        for address in self.members:
            if address not in spared:
                self.sets[address].delete()

    def spread(self, locking: Writer | None = None, locked: str | None = None) -> None:
        """Add, link by link, the entities with a row that refers to one of the sets.

        With `locking`, inside a transaction: each set is locked before what refers to it is looked for, so
        that nothing can be missed. That of `locked` is locked already.
        """
        for address in self.members:
            if locking is not None and address != locked:
                self.lock(locking, address)
            for referrer in self.dependents.referrers[address]:
                if referrer.address in self.members:
                    self._spread_along(address, referrer)

    def lock(self, writer: Writer, address: str) -> int:
        """Lock the rows of a set's entities to which others may refer, until the transaction ends.

        How many of the entities are here.

        Whoever inserts a row that refers to one of them waits from here on. Rows that came before are
        committed, and seen by the statements that follow.
        """
        link = self.dependents.links[address]
        pointed_at = {r.parent for r in self.dependents.referrers[address]}
        local_count = 0
        for each in link.local.tables:
            if each.name == link.local.name or (each.schema, each.name) in pointed_at:
                match = equal("t", link.local.entity_columns(each), "d", link.local.key)
                of = table(each.schema, each.name)
                counting = "SELECT COUNT(*) FROM {} d STRAIGHT_JOIN {} t ON {} FOR UPDATE"
                found = writer.count(sql(counting, self.name(address), of, match))
                local_count = found if each.name == link.local.name else local_count
        return local_count

    def count(self, address: str) -> int:
        """How many entities the link's set holds."""
        return self.sets[address].counted()

    def counts(self) -> dict[str, int]:
        """The sizes of the sets that are not empty, parents first."""
        sizes = {address: self.count(address) for address in self.members}
        return {address: size for address, size in sizes.items() if size}

    def rows(self) -> Iterator[tuple[str, int]]:
        """Local tables with the number of their rows that belong to the sets; tables without are left out.

        All of the sets' entities are here. Notes of their requests, which go too, are not counted.
        """
        for address, count in self.counts().items():
            link = self.dependents.links[address]
            yield f"{link.local.schema}.{link.local.name}", count
            for each in (part for part in link.local.parts if not is_requested_part(part, link.local)):
                match = equal("t", link.local.entity_columns(each), "d", link.local.key)
                of = table(each.schema, each.name)
                counting = "SELECT COUNT(*) FROM {} d STRAIGHT_JOIN {} t ON {}"
                found = self.local.count(sql(counting, self.name(address), of, match))
                if found:
                    yield f"{each.schema}.{each.name}", found

    def lab_rows(self) -> Iterator[tuple[str, Referrer, int]]:
        """Rows of the lab's own tables that refer to the sets: of which link, by which key, how many."""
        for address in self.members:
            for referrer in self.dependents.referrers[address]:
                if referrer.address is None:
                    joined = self._referring(address, referrer)
                    found = self.local.count(sql("SELECT COUNT(*) FROM {}", joined))
                    if found:
                        yield address, referrer, found

    def hold_back(self) -> None:
        """Take out of each set what rows of the lab's own refer to, directly or over other sets."""
        for address in reversed(self.members):
            for referrer in self.dependents.referrers[address]:
                self._hold_along(address, referrer, strangers=False)
        self._take_out(self.members)

    def hold_back_one(self, address: str) -> Mapping[str, int]:
        """Take out of a set what any row refers to that stays; which tables hold how many, by their names.

        Rows stay that are the lab's own, and those whose entity is in no set. Children come first.
        """
        holders = dict[str, int]()
        for referrer in self.dependents.referrers[address]:
            held = self._hold_along(address, referrer, strangers=True)
            if held:
                holders[referrer.name] = holders.get(referrer.name, 0) + held
        self._take_out([address])
        return holders

    def hold_back_all(self, address: str) -> Mapping[str, int]:
        """Take out of a set what any row refers to, be it of a set or not; which tables hold how many."""
        holders = dict[str, int]()
        for referrer in self.dependents.referrers[address]:
            held = self._hold(address, self._referrers(address, referrer))
            if held:
                holders[referrer.name] = holders.get(referrer.name, 0) + held
        self._take_out([address])
        return holders

    def _take_out(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self.sets[address].delete(ident(HELD))

    def keys(self, address: str) -> list[RawRow]:
        """The keys of a set, raw."""
        link = self.dependents.links[address]
        return self.local.raw_rows(
            sql("SELECT {} FROM {}", reading(link.local.key_columns), self.name(address))
        )

    def delete(self, writer: Writer) -> int:
        """Delete all rows of the entities, children before parents, parts before masters.

        How many, without the notes of their requests.
        """
        deleted = 0
        for address, count in reversed(self.counts().items()):
            link = self.dependents.links[address]
            within = self._range(address, count)
            for each in reversed(link.local.tables):
                # no alias for what is deleted from: MySQL would look for it in a default schema
                of, own_columns = table(each.schema, each.name), link.local.entity_columns(each)
                match = equal(of.text, own_columns, "d", link.local.key)
                chosen = sql("{} d STRAIGHT_JOIN {} ON {}", self.name(address), of, match)
                if within is not None and orders(link.local, each):
                    # the table that is deleted from comes first: its rows go as they are found, in one pass
                    test = within.test(link.local.key_columns, of.text, own_columns)
                    chosen = sql("{} STRAIGHT_JOIN {} d ON {} WHERE {}", of, self.name(address), match, test)
                try:
                    gone = writer.execute(sql("DELETE {} FROM {}", of, chosen))
                    deleted += 0 if is_requested_part(each, link.local) else gone
                except ServerError:
                    self.in_order = False  # perhaps another session holds a row of the range that stays
                    raise
        return deleted

    def _range(self, address: str, count: int) -> KeyRange | None:
        """The range of the local key that holds a set of so many; None where it holds much else."""
        link = self.dependents.links[address]
        if not self.in_order or not orders(link.local, link.local):
            return None
        what = reading(link.local.key_columns)
        ends = list[RawRow]()
        for order in ("", " DESC"):
            by = joined(f"{order}, ", [ident(name) for name in link.local.key])
            select = sql("SELECT {} FROM {} ORDER BY {}" + order + " LIMIT 1", what, self.name(address), by)
            ends += self.local.raw_rows(select)
        within = KeyRange(ends[0], ends[1], included=True)
        test = within.test(link.local.key_columns, "t")
        of = table(link.local.schema, link.local.name)
        most = count + count // OTHERS
        matching = sql("SELECT 1 FROM {} t WHERE {} LIMIT {}", of, test, most + 1)
        found = self.local.count(sql("SELECT COUNT(*) FROM ({}) k", matching))
        return within if found <= most else None

    def _spread_along(self, address: str, referrer: Referrer) -> None:
        assert referrer.address is not None
        child = self.dependents.links[referrer.address]
        own_columns = child.local.entity_columns(table_of(child, referrer.table))
        self.sets[referrer.address].add_once(
            sql("SELECT DISTINCT {} FROM {}", columns("c", own_columns), self._referring(address, referrer))
        )

    def _hold_along(self, address: str, referrer: Referrer, strangers: bool) -> int:
        """Mark what is held through one foreign key; how many entities."""
        if referrer.address is None or (strangers and referrer.address not in self.members):
            return self._hold(address, self._referrers(address, referrer))
        if referrer.address not in self.members:
            return 0
        child = self.dependents.links[referrer.address]
        own_columns = child.local.entity_columns(table_of(child, referrer.table))
        parent_set = self.name(referrer.address)
        if strangers:
            stays = not_exists_in(parent_set, child.local.key, "c", own_columns)
            return self._hold(address, sql("{} AND {}", self._referrers(address, referrer), stays))
        held = sql(
            "JOIN {} e ON {} AND e.{}", parent_set, equal("e", child.local.key, "c", own_columns), ident(HELD)
        )
        self._hold(address, self._referrers(address, referrer, held))
        return 0

    def _hold(self, address: str, rows: Sql) -> int:
        """Mark the entities `d` of which there are such rows; how many were not marked before.

        A session that reads may join no real table in an UPDATE.
        """
        test = sql("NOT d.{} AND EXISTS (SELECT 1 FROM {})", ident(HELD), rows)
        return self.sets[address].update({HELD: Sql("1")}, test)

    def _referrers(self, address: str, referrer: Referrer, beside: Sql | None = None) -> Sql:
        """The rows `c` that refer to an entity `d` of a set: a FROM clause with its condition."""
        link = self.dependents.links[address]
        own = link.local.entity_columns(table_of(link, referrer.parent))
        return sql(
            "{} p STRAIGHT_JOIN {} c ON {} {} WHERE {}",
            table(*referrer.parent),
            table(*referrer.table),
            equal("c", referrer.columns, "p", referrer.parent_columns),
            Sql("") if beside is None else beside,
            equal("p", own, "d", link.local.key),
        )

    def _referring(self, address: str, referrer: Referrer) -> Sql:
        """The set `d` of a link, joined with the rows `c` that refer to its entities."""
        link = self.dependents.links[address]
        parent = table_of(link, referrer.parent)
        return sql(
            "{} d STRAIGHT_JOIN {} p ON {} STRAIGHT_JOIN {} c ON {}",
            self.name(address),
            table(*referrer.parent),
            equal("p", link.local.entity_columns(parent), "d", link.local.key),
            table(*referrer.table),
            equal("c", referrer.columns, "p", referrer.parent_columns),
        )


@contextmanager
def deletion_set(local: Session, dependents: Dependents, members: Sequence[str]) -> Iterator[DeletionSet]:
    """Empty sets for these links, parents first, for the time of the block."""
    found = DeletionSet(local, dependents, members)
    with ExitStack() as stack:
        for each in found.sets.values():
            stack.enter_context(each)
        yield found
