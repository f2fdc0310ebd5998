"""What relies on local part rows that a refill would delete, or on values that it would change.

Rows of other tables refer to them by foreign keys: with ON DELETE CASCADE or SET NULL they would go or change
with them, and otherwise the server would refuse the refill. So the entities concerned are put aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.referrers import Referrer
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import ForeignKey
from djlink_manifest.servers.catalog.foreign_keys import UnseenKey, keys_to, unseen_keys
from djlink_manifest.servers.keys.temporary_table import EntityKeys
from djlink_manifest.servers.session.checked_values import anything
from djlink_manifest.servers.session.session import Row, Session, Writer
from djlink_manifest.servers.sql import Sql, column, columns, equal, or_, sql, table
from djlink_manifest.servers.transfer.refresh_tables import RefillTable, equal_unnamed


@dataclass(frozen=True, slots=True)
class Reliance:
    """The foreign keys of other tables to a link's local ones: those seen, and those that act unseen."""

    seen: tuple[Referrer, ...] = ()
    unseen: tuple[UnseenKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.seen or self.unseen)

    @property
    def named(self) -> Mapping[str, frozenset[str]]:
        """By local table the columns that are referred to."""
        found = dict[str, frozenset[str]]()
        keys: list[Referrer | UnseenKey] = [*self.seen, *self.unseen]
        for each in keys:
            found[each.parent[1]] = found.get(each.parent[1], frozenset()) | {*each.parent_columns}
        return found

    @staticmethod
    def on(
        link: Link,
        keys: Iterable[tuple[TableName, ForeignKey]],
        unseen: Iterable[UnseenKey],
        owners: Mapping[TableName, str],
    ) -> Reliance:
        """Of all foreign keys those to this link's tables. `owners` are the links of local tables."""
        own = {(t.schema, t.name) for t in link.local.tables}
        return Reliance(
            tuple(
                Referrer(name, key.columns, parent, key.parent_columns, owners.get(name))
                for name, key in sorted(keys, key=lambda each: (each[0], each[1].columns, each[1].name))
                if (parent := (key.parent_schema, key.parent_table)) in own and name not in own
            ),
            tuple(each for each in unseen if each.parent in own),
        )


def reliance_on(local: Session, link: Link) -> Reliance:
    """The foreign keys to one link's local tables as they are now."""
    schemas = {link.local.schema}
    keys = keys_to(local, schemas)
    return Reliance.on(link, keys, unseen_keys(local, schemas, {name for name, _ in keys}) or (), {})


class PutAside(EntityKeys):
    """The keys of entities of a batch that are not refilled, in a temporary table on the local server."""

    def __init__(self, local: Session, link: Link, tables: Sequence[RefillTable], reliance: Reliance) -> None:
        super().__init__(local, link.local, link.local.schema, "refill_aside")
        self.local = local
        self.link = link
        self.tables = tables
        self.reliance = reliance

    def lock(self, writer: Writer) -> None:
        """Lock the part rows of the batch's entities to which others may refer, until the transaction ends.

        Whoever inserts a row that refers to one of them waits; what came before is seen. The masters are
        locked already.
        """
        master = self.tables[0]
        for each in self.tables[1:]:
            if each.local_table.name in self.reliance.named:
                match = equal("t", each.entity or (), "w", self.link.key)
                counting = "SELECT COUNT(*) FROM {} w STRAIGHT_JOIN {} t ON {} FOR UPDATE"
                writer.count(sql(counting, master.rows, each.name, match))

    def find(self) -> int:
        """Find the entities on whose rows others rely; how many."""
        for _, select, names in self._ways():
            self.add_once(sql("SELECT DISTINCT {} FROM {}", columns("w", names), select))
        return self.counted()

    def counts(self) -> Iterator[tuple[Referrer | UnseenKey, int]]:
        """The foreign keys through which others rely on them, each with the number of rows that do.

        Of an unseen key the rows that are referred to are counted.
        """
        for key, select, _ in self._ways():
            found = self.local.count(sql("SELECT COUNT(*) FROM {}", select))
            if found:
                yield key, found

    def values(self) -> Iterator[tuple[Referrer, Row]]:
        """The values of the referring columns of the rows that rely on them, for keys that are seen."""
        for key, select, _ in self._ways():
            if isinstance(key, Referrer):
                for row in self.local.rows(
                    sql("SELECT DISTINCT {} FROM {}", columns("c", key.columns), select),
                    *[anything] * len(key.columns),
                ):
                    yield key, row

    def take_out(self) -> None:
        """Forget the source's rows of these entities, so that nothing of them is changed."""
        for each in self.tables:
            match = equal_unnamed(each.rows, each.entity or self.link.key, "a", self.link.local.key)
            matching = sql("EXISTS (SELECT 1 FROM {} a WHERE {})", self.name, match)
            self.local.temporary.delete(each.rows, matching)

    def _ways(self) -> Iterator[tuple[Referrer | UnseenKey, Sql, Sequence[str]]]:
        """Each foreign key with what the refill does to rows that it names: a FROM clause with its condition.

        In it `w` has the entity's key in the columns that come along, `t` the local row, `c` the row that
        refers to it, where that can be seen.
        """
        for each in self.tables:
            place = (each.local_table.schema, each.local_table.name)
            keys: list[Referrer | UnseenKey] = [*self.reliance.seen, *self.reliance.unseen]
            for key in keys:
                if key.parent != place:
                    continue
                referring = Sql("")
                if isinstance(key, Referrer):
                    match = equal("c", key.columns, "t", key.parent_columns)
                    referring = sql("STRAIGHT_JOIN {} c ON {}", table(*key.table), match)
                if each.entity is not None and (isinstance(key, Referrer) or key.acts_on_delete):
                    yield key, self._going(each, each.entity, referring), self.link.key
                changing = self._changing(each, key.parent_columns, referring)
                if changing is not None and (isinstance(key, Referrer) or key.acts_on_update):
                    yield key, changing, each.entity or self.link.key

    def _going(self, each: RefillTable, entity: Sequence[str], referring: Sql) -> Sql:
        return sql(
            "{} w STRAIGHT_JOIN {} t ON {} {} WHERE NOT EXISTS (SELECT 1 FROM {} x WHERE {})",
            self.tables[0].rows,
            each.name,
            equal("t", entity, "w", self.link.key),
            referring,
            each.rows,
            equal("x", each.match, "t", each.match),
        )

    def _changing(self, each: RefillTable, names: Sequence[str], referring: Sql) -> Sql | None:
        """None where none of these columns is ever changed."""
        kept = {c.name for c in each.kept}
        texts = {c.name for c in each.kept if c.is_text}
        settable = [n for n in names if n in kept and (n not in each.match or n in texts)]
        if each.entity is None:  # a master's key is not spelt anew
            settable = [n for n in settable if n not in each.match]
        if not settable:
            return None
        exact = [
            (sql("CAST({} AS BINARY)", column(alias, n)) if n in texts else column(alias, n))
            for n in settable
            for alias in ("t", "w")
        ]
        differ = [sql("NOT ({} <=> {})", a, b) for a, b in zip(exact[::2], exact[1::2], strict=True)]
        return sql(
            "{} w STRAIGHT_JOIN {} t ON {} {} WHERE {}",
            each.rows,
            each.name,
            equal("t", each.match, "w", each.match),
            referring,
            or_(differ),
        )


def putting_aside(local: Session, link: Link, tables: Sequence[RefillTable], reliance: Reliance) -> PutAside:
    """An empty set for the time of a `with` block, which begins outside of transactions."""
    return PutAside(local, link, tables, reliance)
