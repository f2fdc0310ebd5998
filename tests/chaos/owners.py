"""Owners at work: they write and delete rows, ask for deletions, withdraw, and take approved rows away."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
from pymysql.connections import Connection

from tests.chaos.lab import LOST, SOURCES, Lab, transaction
from tests.chaos.ledger import Ledger
from tests.chaos.pipeline import BY_NAME, CHILDREN, Key, Reference, Row, Table

REFUSED = {
    1451,
    1217,
    1452,
    1062,
    1369,
    1205,
    1213,
    1020,
}  # by a key, by who was first, by a lock, by a snapshot
FAMILIES, OFFICES, KINDS = ("rodent", "bird"), ("A1", "B2"), ("image", "sound", "test", "junk")
REQUESTABLE = [*("subject", "session", "recording", "spikes") * 3, "pairing", "stimulus", "species", "person"]


class Owner(threading.Thread):
    """The owner of one source. It works until `stop`, and rests while `resting` is set; `idle` answers that.

    `faults` gets what must never be seen: a held row deleted while its copy is here.
    """

    def __init__(self, lab: Lab, source: str, ledger: Ledger, seed: str, subjects: int = 60) -> None:
        super().__init__(name=f"owner of {source}", daemon=True)
        self.lab, self.source, self.ledger = lab, source, ledger
        self.random = random.Random(f"{seed} {source}")
        self.subjects = subjects
        self.stop, self.resting, self.idle = (threading.Event() for _ in range(3))
        self.faults = list[str]()
        self.pause = 0.06
        self.number = SOURCES.index(source) * 1_000_000
        self._sessions: dict[str, Connection[Any]] = {}
        self.acts: list[tuple[Callable[[], None], int]] = [
            (self.insert_subject, 8),
            (self.insert_session, 14),
            (self.insert_recording, 14),
            (self.insert_spikes, 14),
            (self.insert_pairing, 5),
            (self.change_subject, 8),
            (self.change_session, 12),
            (self.change_spikes, 5),
            (self.change_stimulus, 2),
            (self.request, 6),
            (self.withdraw, 4),
            (self.delete_approved, 14),
            (self.delete_any, 6),
            (self.permit_again, 2),
        ]

    def run(self) -> None:
        """Do one thing after another. A server that is down is tried again."""
        while not self.stop.is_set():
            if self.resting.is_set():
                self.idle.set()
                time.sleep(0.02)
                continue
            self.idle.clear()
            self.step()
            time.sleep(self.random.uniform(0, self.pause))
        self.idle.set()
        self._drop_sessions()

    def step(self) -> None:
        """Do one thing."""
        acts, weights = zip(*self.acts, strict=True)
        act = self.random.choices(acts, weights)[0]
        try:
            act()
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in REFUSED:
                self.ledger.counts["refused by the source"] += 1
            elif isinstance(error, LOST):
                self.ledger.counts["connections lost by owners"] += 1
                self._drop_sessions()
                time.sleep(0.2)
            else:
                self.faults.append(f"{self.source}: an owner's {act.__name__}: {error}")
        except OSError:
            self._drop_sessions()

    # what they do

    def fill(self) -> None:
        """Some rows to begin with."""
        for _ in range(3):
            with self._writing() as write:
                write("species", species=f"sp{self._next()}", family=self.random.choice(FAMILIES))
                write("person", person=self._next(), office=self.random.choice(OFFICES))
                for kind in KINDS:
                    write("stimulus", stimulus=self._next(), kind=kind)
        for _ in range(self.subjects // 2):
            self.insert_subject()
        for act in (self.insert_session, self.insert_recording, self.insert_spikes, self.insert_pairing):
            for _ in range(self.subjects):
                with suppress(pymysql.err.IntegrityError):
                    act()

    def insert_subject(self) -> None:
        """A new subject; perhaps under the name of one that is gone."""
        if not self._has_room("subject"):
            return
        gone = [x for (t, _), x in self.ledger.lives.items() if t == "subject" and x.there == "no"]
        name = self.random.choice(gone).key[0] if gone and self.random.random() < 0.3 else f"s{self._next()}"
        species = self._some("species")
        with self._writing() as write:
            if self.random.random() < 0.1:
                species = (f"sp{self._next()}",)
                write("species", species=species[0], family="new")
            quality, kept = self.random.randint(1, 6), self.random.random() < 0.8
            write(
                "subject",
                subject=name,
                species=species[0] if species and kept else None,
                quality=quality,
                note="",
            )

    def insert_session(self) -> None:
        """A session with trials, which may refer to stimuli."""
        subject, person = self._some("subject"), self._some("person")
        if subject and self._has_room("session"):
            known = [x.key[1] for x in self.ledger.standing(BY_NAME["session"]) if x.key[0] == subject[0]]
            n = max(known, default=0) + 1
            parts = [
                {"k": k, "stimulus": self._trial_stimulus(), "value": self.random.randint(0, 99)}
                for k in range(self.random.randint(0, 6))
            ]
            self._insert_entity(
                "session",
                {"subject": subject[0], "n": n, "person": person and person[0], "note": ""},
                parts,
            )

    def insert_recording(self) -> None:
        """A recording with units."""
        session = self._some("session")
        if session and self._has_room("recording"):
            parts = [
                {"unit": u, "value": self.random.randint(0, 99)} for u in range(self.random.randint(0, 9))
            ]
            probe = self.random.randint(0, 3)
            self._insert_entity("recording", {"subject": session[0], "n": session[1], "probe": probe}, parts)

    def insert_spikes(self) -> None:
        """Spikes of a recording, or of none."""
        if not self._has_room("spikes"):
            return
        with self._writing() as write:
            write("spikes", spikes=self._next(), **self._recording(), rate=self.random.randint(0, 9))

    def insert_pairing(self) -> None:
        """Two subjects that met."""
        one, other = self._some("subject"), self._some("subject")
        if one and other and self._has_room("pairing"):
            with self._writing() as write:
                write("pairing", one=one[0], other=other[0], note="")

    def change_subject(self) -> None:
        """A subject is judged anew, which makes it wanted or not."""
        self._change("subject", quality=self.random.randint(1, 6), note=f"judged {self._next()}")

    def change_stimulus(self) -> None:
        """A stimulus becomes another kind."""
        self._change("stimulus", kind=self.random.choice(KINDS))

    def change_spikes(self) -> None:
        """Spikes are said to be of another recording, or of none."""
        self._change("spikes", **self._recording(), rate=self.random.randint(0, 9))

    def change_session(self) -> None:
        """Trials come, go and change, in one transaction with the sums in the master row."""
        key, table = self._some("session"), BY_NAME["session"]
        if not key:
            return
        with self._writing() as write, self._dicts() as rows:
            where = self._where(table.key)
            found = rows(f"SELECT * FROM {self._quoted(table)} WHERE {where} FOR UPDATE", key)
            if not found:
                return
            parts = rows(f"SELECT * FROM {self._quoted(table, part=True)} WHERE {where}", key)
            kept = [p for p in parts if self.random.random() < 0.7]
            for part in kept:
                part["value"] = self.random.randint(0, 99)
            for k in range(self.random.randint(0, 2)):
                new = {"k": 100 + k, "stimulus": self._trial_stimulus(), "value": 5}
                if all(p["k"] != new["k"] for p in kept):
                    kept.append({"subject": key[0], "n": key[1], **new})
            rows(f"DELETE FROM {self._quoted(table, part=True)} WHERE {where}", key)
            master = {**found[0], "note": f"changed {self._next()}", **_sums(kept)}
            write("session", kept, change=True, **master)

    def request(self) -> None:
        """Ask for a deletion, held or not."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._some(table.name)
        if not key:
            return
        marks = ", ".join(["%s"] * (len(key) + 1))
        text = (
            f"INSERT INTO {self._view(table, 'requests')} ({', '.join(table.key)}, reason) VALUES ({marks})"
        )
        # noted first: from its commit on a lab may act on it
        self.ledger.request((table.name, key), permitted=not self.lab.is_reviewed(self.source, table))
        with transaction(self._session("owner")) as cursor:
            cursor.execute(text, (*key, "chaos"))
        self.ledger.counts["requested"] += 1

    def withdraw(self) -> None:
        """Take a request back."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._shown(table, "requests")
        if key:
            with transaction(self._session("owner")) as cursor:
                where = self._where(table.key)
                gone = cursor.execute(f"DELETE FROM {self._view(table, 'requests')} WHERE {where}", key)
            self.ledger.counts["withdrawn"] += gone

    def permit_again(self) -> None:
        """Take an approval back, and its request: the entity may be pulled again."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._shown(table, "approved")
        if key:
            with transaction(self._session("owner")) as cursor:
                for view in ("approved", "requests"):
                    cursor.execute(
                        f"DELETE FROM {self._view(table, view)} WHERE {self._where(table.key)}", key
                    )
            self.ledger.counts["permitted again"] += 1

    def delete_approved(self) -> None:
        """Delete what a lab approved, with what hangs on it."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._shown(table, "approved")
        if key:
            self.delete_tree(table, key)

    def delete_any(self) -> None:
        """Try to delete what may be held."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._some(table.name)
        if key:
            self.delete_tree(table, key)

    def delete_tree(self, table: Table, key: Key) -> None:
        """Delete an entity and what hangs on it, children first; look at the lab before it is committed.

        The rows are locked, so nothing of them can be pulled or approved from here on.
        """
        session, doomed = self._session("owner"), dict[Reference, None]()
        try:
            with transaction(session) as cursor:
                self._gather(cursor, table, key, doomed)
                before = {each: self._outbound_facts(each) for each in doomed}
                for name, each in reversed(list(doomed)):
                    of = BY_NAME[name]
                    for part in (True, False) if of.part else (False,):
                        cursor.execute(
                            f"DELETE FROM {self._quoted(of, part=part)} WHERE {self._where(of.key)}", each
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
        cursor.execute(f"SELECT 1 FROM {self._quoted(table)} WHERE {self._where(table.key)} FOR UPDATE", key)
        if not cursor.fetchall():
            return
        doomed.pop((table.name, key), None)  # again, after all of its parents
        doomed[table.name, key] = None
        for child, columns, in_part in CHILDREN[table.name]:
            text = f"SELECT DISTINCT {', '.join(child.key)} FROM {self._quoted(child, part=in_part)}"
            cursor.execute(f"{text} WHERE {self._where(columns)} FOR UPDATE", key)
            for each in cursor.fetchall():
                self._gather(cursor, child, each, doomed)

    def _outbound_facts(self, reference: Reference) -> tuple[bool, bool]:
        """Whether an entity is held, and whether it is approved."""
        table, key = BY_NAME[reference[0]], reference[1]
        found = []
        with self._session("root").cursor() as cursor:
            for suffix in ("", "_deletion_approved"):
                name = f"`{self.lab.outbound}`.`{table.base}{suffix}`"
                found.append(
                    bool(cursor.execute(f"SELECT 1 FROM {name} WHERE {self._where(table.key)}", key))
                )
        return found[0], found[1]

    def _look(self, before: dict[Reference, tuple[bool, bool]]) -> None:
        """Of rows deleted, uncommitted, nothing may be here; what was here once was let go by permission."""
        with self._session("local").cursor() as cursor:
            for (name, key), (_, approved) in before.items():
                table, life = BY_NAME[name], self.ledger.lives[name, key]
                of = self.lab.local_schema(self.source, table)
                for each in (name, table.part_table) if table.part else (name,):
                    if cursor.execute(f"SELECT 1 FROM `{of}`.`{each}` WHERE {self._where(table.key)}", key):
                        self.faults.append(f"{self.source}: {each} {key} is deleted at the source, and here")
                released = self.lab.is_released(self.source, table)
                if life.seen and not approved and not self.ledger.may_go(life, released=released):
                    self.faults.append(f"{self.source}: {name} {key} was here, and was let go unasked")
                self.ledger.counts["deleted, approved" if approved else "deleted, not held"] += 1

    # how

    def _insert_entity(self, name: str, master: Row, parts: list[Row]) -> None:
        table = BY_NAME[name]
        parts = [{**{c: master[c] for c in table.key}, **part} for part in parts]
        with self._writing() as write:
            write(name, parts, **master, **_sums(parts))

    def _change(self, name: str, **values: Any) -> None:
        key, table = self._some(name), BY_NAME[name]
        if not key:
            return
        with self._writing() as write, self._dicts() as rows:
            text = f"SELECT * FROM {self._quoted(table)} WHERE {self._where(table.key)} FOR UPDATE"
            for found in rows(text, key):
                write(name, change=True, **{**found, **values})

    @contextmanager
    def _writing(self) -> Iterator[Callable[..., None]]:
        """A transaction that writes entities; the ledger hears of them when it has ended, how it may.

        What a change could make unwanted is noted before: a lab acts on it as soon as it is committed.
        """
        written = list[tuple[Table, Row, list[Row]]]()
        with self.ledger.guard:
            before = dict(self.ledger.lives)
        try:
            with transaction(self._session("owner")) as cursor:

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
                        self._put(cursor, self._quoted(table), master)
                    for part in written[-1][2]:
                        self._put(cursor, self._quoted(table, part=True), part)

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
        text = f"UPDATE {self._quoted(table)} SET {', '.join(f'`{c}` = %s' for c in values)}"
        key = [row[c] for c in table.key]
        cursor.execute(f"{text} WHERE {self._where(table.key)}", [*values.values(), *key])

    @contextmanager
    def _dicts(self) -> Iterator[Callable[[str, Key], list[Row]]]:
        """Statements in the present transaction whose rows are mappings."""
        with self._session("owner").cursor(pymysql.cursors.DictCursor) as cursor:

            def rows(text: str, key: Key) -> list[Row]:
                cursor.execute(text, key)
                return list(cursor.fetchall())

            yield rows

    def _session(self, of: str) -> Connection[Any]:
        """The open session of the owner, of root at the source, or of root here."""
        if of not in self._sessions:
            server = "local" if of == "local" else self.source
            session = self.lab.connect(server, "owner" if of == "owner" else None)
            with session.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = 2")
            self._sessions[of] = session
        return self._sessions[of]

    def _drop_sessions(self) -> None:
        for each in self._sessions.values():
            with suppress(*LOST):
                each.close()
        self._sessions.clear()

    def _has_room(self, name: str) -> bool:
        return len(self.ledger.standing(BY_NAME[name])) < self.subjects * (1 if name == "subject" else 2)

    def _some(self, name: str) -> Key | None:
        found = self.ledger.standing(BY_NAME[name])
        return self.random.choice(found).key if found else None

    def _shown(self, table: Table, view: str) -> Key | None:
        """A key that one of the owner's views shows."""
        with self._session("owner").cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(table.key)} FROM {self._view(table, view)}")
            found = sorted(cursor.fetchall())
        return self.random.choice(found) if found else None

    def _recording(self) -> Row:
        key = self._some("recording") if self.random.random() < 0.8 else None
        return dict(zip(("subject", "n", "probe"), key or (None, None, None), strict=True))

    def _trial_stimulus(self) -> int | None:
        key = self._some("stimulus") if self.random.random() < 0.3 else None
        return None if key is None else key[0]

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _quoted(self, table: Table, *, part: bool = False) -> str:
        return f"`{self.lab.schema(table.schema)}`.`{table.part_table if part else table.name}`"

    def _view(self, table: Table, kind: str) -> str:
        return f"`{self.lab.outbound}_owner`.`{table.base}_{kind}`"

    @staticmethod
    def _where(columns: Iterable[str]) -> str:
        return " AND ".join(f"`{c}` = %s" for c in columns)


def _sums(parts: list[Row]) -> Row:
    """What the master row says of its parts, so that a lost part row shows."""
    return {"parts": len(parts), "total": sum(part["value"] for part in parts)}


def rest(owners: Iterable[Owner]) -> None:
    """Let them finish what they are at, and do nothing more."""
    for owner in owners:
        owner.resting.set()
    for owner in owners:
        owner.idle.wait(30)


def go_on(owners: Iterable[Owner]) -> None:
    """Let them work again."""
    for owner in owners:
        owner.idle.clear()
        owner.resting.clear()
