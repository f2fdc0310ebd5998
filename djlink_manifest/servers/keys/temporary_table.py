"""Temporary tables with keys of entities, and what belongs to them, so that keys need not travel again.

They live in the outbound schema, the only one where the link user may make them, or beside the local tables;
they belong to one session and end with it. MySQL lets a statement name one of them once only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.ddl.tables import column_list
from djlink_manifest.servers.query.rows import inserts, most_bytes
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql, idents, sql, table

_T = TypeVar("_T", bound="TemporaryTable")


class TemporaryTable:
    """A temporary table of a session, for the time of a `with` block.

    `columns` are those that `add` fills; `body` is what stands between the parentheses of its CREATE TABLE.
    """

    def __init__(
        self, session: Session, place: tuple[str, str], columns: Sequence[Column], body: str
    ) -> None:
        self.session = session
        self.name = table(*place)
        self.columns = tuple(columns)
        self._body = body

    def __enter__(self: _T) -> _T:
        self.create()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # else the session is closed by its pool, and the table with it
            self.drop()

    def create(self) -> None:
        """Create the table, in place of one of the same name that was left behind."""
        self.session.temporary.create(self.name, self._body)

    def drop(self) -> None:
        """Drop the table, if it exists."""
        self.session.temporary.drop(self.name)

    def add(self, rows: Iterable[RawRow]) -> int:
        """Add rows that came over the wire, raw, in the order of `columns`; how many."""
        added = 0
        for statement in inserts(self.name, self.columns, rows, most_bytes(self.session)):
            self.session.temporary.insert_rows(self.name, statement.text)
            added += statement.rows
        return added

    def add_from(self, select: Sql) -> int:
        """Add the rows that a SELECT gives, on the server; how many. It may begin with WITH."""
        return self.session.temporary.insert(self.name, self._names, select)

    def add_once(self, select: Sql) -> None:
        """As `add_from`, but for rows whose key is there already."""
        self.session.temporary.insert_once(self.name, self._names, select)

    def delete(self, where: Sql | None = None) -> int:
        """Delete the rows that meet a condition, in which the table goes by its own name; how many."""
        return self.session.temporary.delete(self.name, where)

    def delete_joined(self, joins: Sql, where: Sql) -> int:
        """As `delete`, with joins to other tables, from which nothing is deleted."""
        return self.session.temporary.delete_joined(self.name, joins, where)

    def update(self, values: Mapping[str, Sql], where: Sql, joins: Sql | None = None) -> int:
        """Set columns of the rows `d` that meet a condition, in which temporary tables may be joined."""
        return self.session.temporary.update(self.name, values, where, joins)

    def counted(self) -> int:
        """The number of rows, asked of the server."""
        return self.session.count(sql("SELECT COUNT(*) FROM {}", self.name))

    @property
    def _names(self) -> list[str]:
        return [column.name for column in self.columns]


class EntityKeys(TemporaryTable):
    """Keys of entities of one table, each once; `flags` are columns of its own before the key."""

    def __init__(
        self, session: Session, of: TableDefinition, schema: str, label: str, flags: str = ""
    ) -> None:
        body = f"{column_list(of.key_columns)}, PRIMARY KEY ({idents(of.key).text})"
        place, columns = (schema, f"~djlink_{label}"), of.key_columns
        super().__init__(session, place, columns, f"{flags}, {body}" if flags else body)
