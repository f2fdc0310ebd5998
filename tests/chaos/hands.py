"""How an owner does things: sessions, transactions that the ledger hears of, deletions that are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.connections import Connection

from tests.chaos.lab import LOST, Lab, transaction
from tests.chaos.ledger import Ledger
from tests.chaos.pipeline import BY_NAME, CHILDREN, Key, Reference, Row, Table

# by a key, by who was first, by a lock, by a snapshot
REFUSED = {1451, 1217, 1452, 1062, 1369, 1205, 1213, 1020}


@dataclass(slots=True)
class Hands:
    """The sessions of one source's owner; `faults` gets what must never be seen."""

    lab: Lab
    source: str
    ledger: Ledger
    faults: list[str]
    sessions: dict[str, Connection[Any]] = field(default_factory=dict)

    @contextmanager
    def writing(self) -> Iterator[Callable[..., None]]:
        """A transaction that writes entities; the ledger hears of them when it has ended, how it may.

        What a change could make unwanted is noted before: a lab acts on it as soon as it is committed.
        """
        written = list[tuple[Table, Row, list[Row]]]()
        with self.ledger.guard:
            before = dict(self.ledger.lives)
        try:
            with transaction(self.session("owner")) as cursor:

                def write(
                    name: str, rows: Iterable[Row] = (), /, *, change: bool = False, **master: Any
                ) -> None:
                    table = BY_NAME[name]
                    written.append((table, master, list(rows)))
                    if change:
                        self.ledger.write(table, master, written[-1][2])
                    if change:
                        self._set(cursor, table, master)
                    else:
                        self._put(cursor, self.quoted(table), master)
                    for part in written[-1][2]:
                        self._put(cursor, self.quoted(table, part=True), part)

                yield write
        except LOST as error:
            if not (error.args and error.args[0] in REFUSED):
                for table, master, parts in written:
                    reference = (table.name, tuple(master[c] for c in table.key))
                    sure = reference in before and before[reference].there == "yes"
                    self.ledger.write(table, master, parts, sure=sure)
            raise
        for table, master, parts in written:
            self.ledger.write(table, master, parts)
        self.ledger.counts["written at the source"] += len(written)

    def _put(self, cursor: Any, name: str, row: Row) -> None:
        columns = ", ".join(f"`{c}`" for c in row)
        text = f"INSERT INTO {name} ({columns}) VALUES ({', '.join(['%s'] * len(row))})"
        cursor.execute(text, list(row.values()))

    def _set(self, cursor: Any, table: Table, row: Row) -> None:
        values = {c: v for c, v in row.items() if c not in table.key}
        text = f"UPDATE {self.quoted(table)} SET {', '.join(f'`{c}` = %s' for c in values)}"
        key = [row[c] for c in table.key]
        cursor.execute(f"{text} WHERE {self.where(table.key)}", [*values.values(), *key])

    @contextmanager
    def rows(self) -> Iterator[Callable[[str, Key], list[Row]]]:
        """Statements in the present transaction whose rows are mappings."""
        with self.session("owner").cursor(pymysql.cursors.DictCursor) as cursor:

            def rows(text: str, key: Key) -> list[Row]:
                cursor.execute(text, key)
                return list(cursor.fetchall())

            yield rows

    def session(self, of: str) -> Connection[Any]:
        """The open session of the owner, of root at the source, or of root here."""
        if of not in self.sessions:
            server = "local" if of == "local" else self.source
            session = self.lab.connect(server, "owner" if of == "owner" else None)
            with session.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = 2")
            self.sessions[of] = session
        return self.sessions[of]

    def drop(self) -> None:
        for each in self.sessions.values():
            with suppress(*LOST):
                each.close()
        self.sessions.clear()

    def shown(self, table: Table, view: str) -> list[Key]:
        """The keys that one of the owner's views shows."""
        with self.session("owner").cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(table.key)} FROM {self.view(table, view)}")
            return sorted(cursor.fetchall())

    def quoted(self, table: Table, *, part: bool = False) -> str:
        return f"`{self.lab.schema(table.schema)}`.`{table.part_table if part else table.name}`"

    def view(self, table: Table, kind: str) -> str:
        return f"`{self.lab.outbound}_owner`.`{table.base}_{kind}`"

    @staticmethod
    def where(columns: Iterable[str]) -> str:
        return " AND ".join(f"`{c}` = %s" for c in columns)

    def delete_tree(self, table: Table, key: Key) -> None:
        """Delete an entity and what hangs on it, children first; look at the lab before it is committed.

        The rows are locked, so nothing of them can be pulled or approved from here on.
        """
        session, doomed = self.session("owner"), dict[Reference, None]()
        try:
            with transaction(session) as cursor:
                self._gather(cursor, table, key, doomed)
                before = {each: self._outbound_facts(each) for each in doomed}
                for name, each in reversed(list(doomed)):
                    of = BY_NAME[name]
                    for part in (True, False) if of.part else (False,):
                        cursor.execute(
                            f"DELETE FROM {self.quoted(of, part=part)} WHERE {self.where(of.key)}", each
                        )
                self._look(before)
        except LOST as error:
            if not (error.args and error.args[0] in REFUSED):
                for each in doomed:
                    self.ledger.delete(each, sure=False)
            raise
        for each in doomed:
            self.ledger.delete(each)
        self.ledger.counts["deleted at the source"] += len(doomed)

    def _gather(self, cursor: Any, table: Table, key: Key, doomed: dict[Reference, None]) -> None:
        """Lock an entity and all that refer to it, parents first."""
        cursor.execute(f"SELECT 1 FROM {self.quoted(table)} WHERE {self.where(table.key)} FOR UPDATE", key)
        if not cursor.fetchall():
            return
        doomed.pop((table.name, key), None)  # again, after all of its parents
        doomed[table.name, key] = None
        for child, columns, in_part in CHILDREN[table.name]:
            text = f"SELECT DISTINCT {', '.join(child.key)} FROM {self.quoted(child, part=in_part)}"
            cursor.execute(f"{text} WHERE {self.where(columns)} FOR UPDATE", key)
            for each in cursor.fetchall():
                self._gather(cursor, child, each, doomed)

    def _outbound_facts(self, reference: Reference) -> tuple[bool, bool]:
        """Whether an entity is held, and whether it is approved."""
        table, key = BY_NAME[reference[0]], reference[1]
        found = []
        with self.session("root").cursor() as cursor:
            for suffix in ("", "_deletion_approved"):
                name = f"`{self.lab.outbound}`.`{table.base}{suffix}`"
                found.append(bool(cursor.execute(f"SELECT 1 FROM {name} WHERE {self.where(table.key)}", key)))
        return found[0], found[1]

    def _look(self, before: dict[Reference, tuple[bool, bool]]) -> None:
        """Of rows deleted, uncommitted, nothing may be here; what was here once was let go by permission."""
        with self.session("local").cursor() as cursor:
            for (name, key), (_, approved) in before.items():
                table, life = BY_NAME[name], self.ledger.lives[name, key]
                of = self.lab.local_schema(self.source, table)
                for each in (name, table.part_table) if table.part else (name,):
                    if cursor.execute(f"SELECT 1 FROM `{of}`.`{each}` WHERE {self.where(table.key)}", key):
                        self.faults.append(f"{self.source}: {each} {key} is deleted at the source, and here")
                released = self.lab.is_released(self.source, table)
                reviewed = self.lab.is_reviewed(self.source, table)
                may_go = self.ledger.may_go(life, released=released, reviewed=reviewed)
                if life.seen and not approved and not may_go:
                    self.faults.append(f"{self.source}: {name} {key} was here, and was let go unasked")
                self.ledger.counts["deleted, approved" if approved else "deleted, not held"] += 1
