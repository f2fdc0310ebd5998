"""The entities of one link that cannot come as things stand, each with its reason, in a temporary table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LastTimestamp, Leftover, LocalRule
from djlink_manifest.model.links.unique import uniques
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.local_rules import breaking, late, left_behind
from djlink_manifest.servers.entities.obstacles import STALE
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.entities.taken_values import taken_values
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.keys.temporary_table import EntityKeys
from djlink_manifest.servers.query.references import child_master_columns, child_table, parent_join
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.checked_values import a_count
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    column,
    columns,
    equal,
    exists_in,
    idents,
    not_exists_in,
    or_,
    sql,
    table,
)

# the number of the reason: of `uniques`, then of `parents`; one of `unmet`; `RULES` and that of a local rule
WHY = "~why"
RULES = 4_000_000


def parents(link: Link) -> tuple[str, ...]:
    """The addresses that the link refers to, sorted."""
    return tuple(sorted({r.parent for r in link.references}))


class BlockedTable(EntityKeys):
    """The stuck entities of one link, each with the first reason that was found."""

    def __init__(self, session: Session, link: Link, label: str) -> None:
        super().__init__(
            session, link.definition, link.outbound_schema, label, f"`{WHY}` int NOT NULL DEFAULT 0"
        )
        self.link = link

    def add_colliding(
        self, source_links: SourceLinks, extra: KeyTable, local: Session, first: int = 0
    ) -> None:
        """Add what is not held and would meet one of the local rows `extra` in a unique key.

        Equal is what the source's collations hold equal; NULL meets nothing. `first` is the number of the
        first unique key's reason.
        """
        for number, unique in enumerate(uniques(self.link), first):
            with taken_values(unique, extra, local) as (taken, values, owner):
                own_rows = columns("t", unique.owner)
                match = equal("x", values, "t", unique.columns)
                tests = [
                    sql("NOT ({})", equal("x", owner, "t", unique.owner)),
                    *self._unheld(source_links, "t", unique.owner),
                ]
                of = table(unique.source_table.schema, unique.source_table.name)
                self._insert(
                    sql(
                        "SELECT DISTINCT {}, {} FROM {} x STRAIGHT_JOIN {} t ON {} WHERE {}",
                        own_rows,
                        number,
                        taken,
                        of,
                        match,
                        and_(tests),
                    )
                )

    def add_blocked_by_parent(
        self, source_links: SourceLinks, above: Mapping[str, BlockedTable], missing: KeyTable | None = None
    ) -> None:
        """Add what is not held, or `missing` here, and refers to an entity of a stuck table of a parent."""
        first = len(uniques(self.link))
        for reference in self.link.references:
            blocked = above.get(reference.parent)
            if blocked is None:
                continue
            join, alias, key = parent_join(blocked.link, reference, "c")
            own_columns = child_master_columns(self.link, reference)
            tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            tests += due(self.link, source_links, missing, "c", own_columns)
            self._insert(
                sql(
                    "SELECT DISTINCT {}, {} FROM {} c {} JOIN {} x ON {} WHERE {}",
                    columns("c", own_columns),
                    first + parents(self.link).index(reference.parent),
                    child_table(self.link, reference),
                    join,
                    blocked.name,
                    equal("x", blocked.link.key, alias, key),
                    and_(tests),
                )
            )

    def add_breaking(
        self,
        source_links: SourceLinks,
        rules: Sequence[LocalRule],
        missing: KeyTable | None,
        extra: KeyTable | None,
        local: Session,
    ) -> None:
        """Add what would be pulled, or pulled again (`missing`), and breaks a rule of the local tables.

        What is stuck already is not tried.
        """
        for number, rule in enumerate(rules, RULES):
            sets = Sets(self.session, source_links)
            if isinstance(rule.of, Leftover):
                for part in rule.of.parts:
                    with key_table(self.session, self.link, "left") as found:
                        found.add(left_behind(rule.of, part, local))
                        self.add_due(source_links, found, number, missing)
                continue
            tests = sets.pullable(self.link, "t", rule.owner)
            tests += due(self.link, source_links, missing, "t", rule.owner)
            if extra is not None and extra.count:
                tests.append(not_exists_in(extra.name, self.link.key, "t", rule.owner))
            tests.append(not_exists_in(self.name, self.link.key, "t", rule.owner))
            if isinstance(rule.of, LastTimestamp):
                self._insert(late(rule, tests, sql("{}, {}", columns("t", rule.owner), number)))
                continue
            with key_table(self.session, self.link, "breaking") as found:
                found.add(breaking(rule, self.session, tests, local))
                keys = idents(self.link.key)
                self._insert(sql("SELECT {}, {} FROM {}", keys, number, found.name))

    def counts(self, source_links: SourceLinks, extra: KeyTable | None) -> Mapping[int, int]:
        """How many of them would be pulled otherwise, by the number of the reason."""
        sets = Sets(self.session, source_links)
        tests = [
            *sets.pullable(self.link, "s", self.link.key),
            *self._unheld(source_links, "s", self.link.key),
        ]
        if extra is not None and extra.count:
            tests.append(not_exists_in(extra.name, self.link.key, "s", self.link.key))
        rows = self.session.rows(
            sql(
                "SELECT k.{}, COUNT(*) FROM {} k JOIN {} s ON {} WHERE {} GROUP BY 1",
                idents([WHY]),
                self.name,
                source_table(self.link),
                equal("k", self.link.key, "s", self.link.key),
                and_(tests),
            ),
            *(a_count, a_count),
        )
        return Counter(dict(rows))

    def counts_again(self, source_links: SourceLinks, missing: KeyTable) -> Mapping[int, int]:
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
                and_(Sets(self.session, source_links).pullable(self.link, "k", self.link.key)),
            ),
            *(a_count, a_count),
        )
        return Counter(dict(rows))

    def own_keys(self, missing: KeyTable | None) -> Iterator[RawRow]:
        """The keys, raw, of those that cannot come by themselves, and of those held and `missing`."""
        what = reading(self.link.key_columns, "k")
        why = column("k", WHY)
        tests = [sql("{} < {}", why, len(uniques(self.link))), sql("{} >= {}", why, STALE)]
        if missing is not None and missing.count:
            tests.append(exists_in(missing.name, self.link.key, "k", self.link.key))
        return self.session.stream(sql("SELECT {} FROM {} k WHERE {}", what, self.name, or_(tests)))

    def add_due(
        self, source_links: SourceLinks, found: KeyTable, number: int, missing: KeyTable | None
    ) -> None:
        """Add those of the keys `found` that would come."""
        key = self.link.key
        tests = Sets(self.session, source_links).pullable(self.link, "k", key)
        tests += due(self.link, source_links, missing, "k", key)
        tests.append(exists_in(source_table(self.link), key, "k", key))
        keys = columns("k", key)
        self._insert(sql("SELECT {}, {} FROM {} k WHERE {}", keys, number, found.name, and_(tests)))

    def _unheld(self, source_links: SourceLinks, alias: str, names: Sequence[str]) -> list[Sql]:
        return due(self.link, source_links, None, alias, names)

    def _insert(self, select: Sql) -> None:
        """Add the keys and the reason that a SELECT gives, but for keys that are there already."""
        self.session.temporary.insert_once(self.name, [*self.link.key, WHY], select)


def due(
    link: Link, source_links: SourceLinks, missing: KeyTable | None, alias: str, names: Sequence[str]
) -> list[Sql]:
    """The condition that an entity is not held, or `missing` here."""
    if link.address not in source_links.held:
        return []
    unheld = not_exists_in(outbound_table(link), link.key, alias, names)
    if missing is None or not missing.count:
        return [unheld]
    return [or_([unheld, exists_in(missing.name, link.key, alias, names)])]
