"""The local part `DeletionRequested`: what a source asks to delete, to be seen beside the rows themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.referrers import Referrer
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.model.tables.derive import extra_name
from djlink_manifest.servers.compare.checksum import SetDigest, set_digest
from djlink_manifest.servers.ddl.tables import column_list
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import all_rows
from djlink_manifest.servers.session.checked_values import a_text
from djlink_manifest.servers.session.session import RawRow, Session, Writer
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    column,
    columns,
    comma,
    equal,
    ident,
    idents,
    not_exists_in,
    sql,
    table,
)


class Noted(TemporaryTable):
    """The requests of a link, brought to the local server into a temporary table."""

    def __init__(self, local: Session, link: Link) -> None:
        columns, keys = _columns(link), idents(link.local.key).text
        body = f"{column_list(columns)}, PRIMARY KEY ({keys})"
        super().__init__(local, (link.local.schema, "~djlink_requests"), columns, body)
        self.local = local
        self.link = link

    def add(self, rows: Iterable[RawRow]) -> int:
        """Add requests as `request_queries.stream_requests` gives them, and forget those not here."""
        added = super().add(rows)
        self.forget_absent()
        return added

    def forget_absent(self) -> None:
        """Forget the requests for what is not here."""
        key = self.link.local.key
        of = table(self.link.local.schema, self.link.local.name)
        self.delete(not_exists_in(of, key, self.name.text, key))

    def changes(self) -> tuple[int, int]:
        """How many requests the local part lacks, and how many rows it has too many."""
        counting = "SELECT COUNT(*) FROM {}"
        missing, surplus = self.local.count(sql(counting, self._missing())), self._surplus()
        return missing, self.local.count(sql(counting, surplus))

    def missing(self) -> list[RawRow]:
        """The keys that the local part lacks."""
        what = reading(self.link.local.key_columns, "d")
        return self.local.raw_rows(sql("SELECT {} FROM {}", what, self._missing()))

    def surplus(self) -> list[RawRow]:
        """The keys that it has too many."""
        what = reading(self.link.local.key_columns, "t")
        return self.local.raw_rows(sql("SELECT {} FROM {}", what, self._surplus()))

    def write(self, writer: Writer, referrers: Sequence[Referrer]) -> int:
        """Make the local part say what this set says; the rows changed. The caller's transaction commits.

        A row stays to which one of another table refers, by the foreign keys `referrers`: it would go along,
        or change.
        """
        key, (at, *extra) = self.link.local.key, _extra(self.link)
        of = part(self.link)
        into = table(self.link.local.schema, of.name)
        # asked anew at another time: its row is the same
        values = comma(
            [
                sql("{} = {}", column("t", at), _noted_moment("d", at)),
                *(sql("{} = {}", column("t", name), column("d", name)) for name in extra),
            ]
        )
        match = equal("t", key, "d", key)
        moved = sql("NOT ({} <=> {})", _noted_moment("t", at), _noted_moment("d", at))
        changed = writer.execute(
            sql("UPDATE {} d STRAIGHT_JOIN {} t ON {} SET {} WHERE {}", self.name, into, match, values, moved)
        )
        own_referrers = [each for each in referrers if each.parent == (of.schema, of.name)]
        if own_referrers:  # whoever refers to one of them from here on waits
            writer.count(sql("SELECT COUNT(*) FROM {} FOR UPDATE", self._surplus()))
        # no alias for what is deleted from: MySQL would look for it in a default schema
        free = [
            not_exists_in(table(*each.table), each.columns, into.text, each.parent_columns)
            for each in own_referrers
        ]
        gone = and_([not_exists_in(self.name, key, into.text, key), *free])
        changed += writer.execute(sql("DELETE FROM {} WHERE {}", into, gone))
        changed += writer.execute(
            sql(
                "INSERT INTO {} ({}) SELECT {}, {}, {} FROM {}",
                into,
                idents((*key, at, *extra)),
                columns("d", key),
                _noted_moment("d", at),
                columns("d", extra),
                self._missing(),
            )
        )
        return changed

    def _missing(self) -> Sql:
        return self._without("d", self.name, "t", table(self.link.local.schema, part(self.link).name))

    def _surplus(self) -> Sql:
        return self._without("t", table(self.link.local.schema, part(self.link).name), "d", self.name)

    def _without(self, alias: str, own_rows: Sql, other: str, source_condition: Sql) -> Sql:
        key = self.link.local.key
        local, source = (_noted_moment(name, _extra(self.link)[0]) for name in (other, alias))
        same = sql("{} AND {} <=> {}", equal(other, key, alias, key), local, source)
        return sql(
            "{} WHERE NOT EXISTS (SELECT 1 FROM {} {} WHERE {})",
            own_rows if alias == own_rows.text else sql("{} {}", own_rows, Sql(alias)),
            source_condition,
            Sql(other),
            same,
        )


def noted(local: Session, link: Link) -> Noted:
    """An empty set of requests for the time of a `with` block."""
    return Noted(local, link)


def noted_digest(local: Session, link: Link) -> SetDigest:
    """The digest of what the local part says, key and since when, as `asking.requests_digest` has it."""
    of, at = part(link), _extra(link)[0]
    key = [*link.local.key_columns, of.column(at)]
    return set_digest(local, table(link.local.schema, of.name), key)


def noted_links(local: Session, links: Sequence[Link]) -> frozenset[str]:
    """Which of the links have a row in their local part `DeletionRequested`, in a few statements."""
    tests = [
        sql(
            "SELECT {} WHERE EXISTS (SELECT 1 FROM {})",
            link.address,
            table(link.local.schema, part(link).name),
        )
        for link in links
    ]
    return frozenset(row[0] for row in all_rows(local, tests, a_text))


def part(link: Link) -> TableDefinition:
    """The link's local part `DeletionRequested`."""
    return link.local.parts[-1]


def _extra(link: Link) -> tuple[str, str, str]:
    at, by, reason = (extra_name(link.local, name) for name in ("requested_at", "requested_by", "reason"))
    return at, by, reason


def _columns(link: Link) -> tuple[Column, ...]:
    of = part(link)
    at, *texts = (of.column(name) for name in _extra(link))
    exactly = replace(at, type="timestamp(6)")
    return (*(link.local.key_columns), exactly, *texts)


def _noted_moment(alias: str, name: str) -> Sql:
    """The moment of a request as the local part has it, in whole seconds."""
    return sql("CAST({}.{} AS DATETIME)", Sql(alias), ident(name))
