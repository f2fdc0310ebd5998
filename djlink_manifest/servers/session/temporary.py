"""The temporary tables of one session: all that a session which reads may write.

Each method composes its statement around the name of such a table, so that none can have another target. The
server is the second wall: sessions that read are READ ONLY, in which both vendors let temporary tables be
filled and changed, but not made or dropped. For that alone such a session is READ WRITE for a moment, which
ends before anything else is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from djlink_manifest.servers.sql import Sql, comma, ident, idents, sql


class TemporaryTables:
    """The temporary tables that a session has made and not dropped, by their quoted names."""

    def __init__(self, send: Callable[[Sql | str | bytes], int], *, reads: bool) -> None:
        self._send = send
        self._reads = reads
        self._may_write = False  # for the moment
        self._made = set[str]()
        self._due = list[str]()  # what is to be dropped

    def settle(self) -> None:
        """Let the server refuse again what writes other tables; to be called before anything is sent."""
        if self._may_write:
            self._send("SET SESSION TRANSACTION READ ONLY")
            self._may_write = False

    def create(self, name: Sql, columns: str) -> None:
        """Create a table in place of one of the same name; `columns` is what its parentheses enclose."""
        self.drop(name)
        if self._due:
            self._define(f"DROP TEMPORARY TABLE IF EXISTS {', '.join(self._due)}")
            self._due.clear()
        self._define(f"CREATE TEMPORARY TABLE {name.text} ({columns}) ENGINE=InnoDB")
        self._made.add(name.text)

    def drop(self, name: Sql) -> None:
        """Drop a table, if there is one; of a session that reads, when it makes its next or ends."""
        if name.text in self._made:
            self._made.remove(name.text)
            if self._reads:
                self._due.append(name.text)  # each change of what is allowed is a round trip
            else:
                self._define(f"DROP TEMPORARY TABLE IF EXISTS {name.text}")

    def truncate(self, name: Sql) -> None:
        """Empty a table and number its rows from 1 again; outside of transactions."""
        self._define(f"TRUNCATE TABLE {self._own(name).text}")

    def number_from(self, name: Sql, number: int) -> None:
        """Let the next row that is added have this number; outside of transactions."""
        self._define(f"ALTER TABLE {self._own(name).text} AUTO_INCREMENT = {int(number)}")

    def insert(self, name: Sql, names: Sequence[str], select: Sql, *, ignore: bool = False) -> int:
        """Add what a SELECT gives for these columns; the rows affected. `ignore`: but for keys it has."""
        verb = Sql("INSERT IGNORE INTO" if ignore else "INSERT INTO")
        return self._run(sql("{} {} ({}) {}", verb, self._own(name), idents(names), select))

    def insert_once(self, name: Sql, names: Sequence[str], select: Sql) -> int:
        """As `insert`, where a row with a key that the table has stays as it is; all else is an error."""
        own, first = self._own(name), ident(names[0])
        tail = sql("ON DUPLICATE KEY UPDATE {} = {}.{}", first, own, first)
        return self._run(sql("INSERT INTO {} ({}) {} {}", own, idents(names), select, tail))

    def insert_rows(self, name: Sql, statement: bytes) -> int:
        """Run an INSERT that is bytes already; the rows affected."""
        if not statement.startswith(f"INSERT INTO {self._own(name).text} (".encode()):
            raise ValueError(f"not an INSERT into {name.text}")
        return self._run(statement)

    def delete(self, name: Sql, where: Sql | None = None) -> int:
        """Delete the rows that meet a condition, in which the table goes by its own name; how many."""
        everything = sql("DELETE FROM {}", self._own(name))
        return self._run(everything if where is None else sql("{} WHERE {}", everything, where))

    def delete_joined(self, name: Sql, joins: Sql, where: Sql) -> int:
        """As `delete`, with joins to other tables, from which nothing is deleted."""
        # no alias for what is deleted from: MySQL would look for it in a default schema
        own = self._own(name)
        return self._run(sql("DELETE {} FROM {} {} WHERE {}", own, own, joins, where))

    def update(self, name: Sql, values: Mapping[str, Sql], where: Sql, joins: Sql | None = None) -> int:
        """Set columns of the rows that meet a condition, `d` in the statement; how many.

        Joins are to other temporary tables alone: where nothing may be written, an UPDATE may join no others.
        """
        own, beside = self._own(name), Sql("") if joins is None else sql(" {}", joins)
        changes = comma([sql("d.{} = {}", ident(column), value) for column, value in values.items()])
        return self._run(sql("UPDATE {} d{} SET {} WHERE {}", own, beside, changes, where))

    def _own(self, name: Sql) -> Sql:
        if name.text not in self._made:
            raise ValueError(f"not a temporary table of this session: {name.text}")
        return name

    def _run(self, statement: Sql | bytes) -> int:
        self.settle()
        return self._send(statement)

    def _define(self, statement: str) -> None:
        """Run what is refused to a session that reads, though its target is a temporary table."""
        if self._reads and not self._may_write:
            self._send("SET SESSION TRANSACTION READ WRITE")
            self._may_write = True
        self._send(statement)
