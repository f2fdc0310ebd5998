"""Owners at work: they write and delete rows, ask for deletions, withdraw, and take approved rows away."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pymysql

from tests.chaos.hands import REFUSED, Hands
from tests.chaos.lab import LOST, SOURCES, Lab, transaction
from tests.chaos.ledger import Ledger
from tests.chaos.pipeline import BY_NAME, Key, Row, Table

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
        self.hands = Hands(lab, source, ledger, self.faults)
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
        self.hands.drop()

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
                self.hands.drop()
                time.sleep(0.2)
            else:
                self.faults.append(f"{self.source}: an owner's {act.__name__}: {error}")
        except OSError:
            self.hands.drop()

    # what they do

    def fill(self) -> None:
        """Some rows to begin with."""
        for _ in range(3):
            with self.hands.writing() as write:
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
        with self.hands.writing() as write:
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
        with self.hands.writing() as write:
            write("spikes", spikes=self._next(), **self._recording(), rate=self.random.randint(0, 9))

    def insert_pairing(self) -> None:
        """Two subjects that met."""
        one, other = self._some("subject"), self._some("subject")
        if one and other and self._has_room("pairing"):
            with self.hands.writing() as write:
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
        with self.hands.writing() as write, self.hands.rows() as rows:
            where = self.hands.where(table.key)
            found = rows(f"SELECT * FROM {self.hands.quoted(table)} WHERE {where} FOR UPDATE", key)
            if not found:
                return
            parts = rows(f"SELECT * FROM {self.hands.quoted(table, part=True)} WHERE {where}", key)
            kept = [p for p in parts if self.random.random() < 0.7]
            for part in kept:
                part["value"] = self.random.randint(0, 99)
            for k in range(self.random.randint(0, 2)):
                new = {"k": 100 + k, "stimulus": self._trial_stimulus(), "value": 5}
                if all(p["k"] != new["k"] for p in kept):
                    kept.append({"subject": key[0], "n": key[1], **new})
            rows(f"DELETE FROM {self.hands.quoted(table, part=True)} WHERE {where}", key)
            master = {**found[0], "note": f"changed {self._next()}", **_sums(kept)}
            write("session", kept, change=True, **master)

    def request(self) -> None:
        """Ask for a deletion, held or not."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._some(table.name)
        if not key:
            return
        marks = ", ".join(["%s"] * (len(key) + 1))
        view = self.hands.view(table, "requests")
        text = f"INSERT INTO {view} ({', '.join(table.key)}, reason) VALUES ({marks})"
        # noted first: from its commit on a lab may act on it
        self.ledger.request((table.name, key), permitted=not self.lab.is_reviewed(self.source, table))
        with transaction(self.hands.session("owner")) as cursor:
            cursor.execute(text, (*key, "chaos"))
        self.ledger.counts["requested"] += 1

    def withdraw(self) -> None:
        """Take a request back."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._shown(table, "requests")
        if key:
            with transaction(self.hands.session("owner")) as cursor:
                where = self.hands.where(table.key)
                gone = cursor.execute(f"DELETE FROM {self.hands.view(table, 'requests')} WHERE {where}", key)
            self.ledger.counts["withdrawn"] += gone

    def permit_again(self) -> None:
        """Take an approval back, and its request: the entity may be pulled again."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._shown(table, "approved")
        if key:
            with transaction(self.hands.session("owner")) as cursor:
                for view in ("approved", "requests"):
                    cursor.execute(
                        f"DELETE FROM {self.hands.view(table, view)} WHERE {self.hands.where(table.key)}", key
                    )
            self.ledger.counts["permitted again"] += 1

    def delete_approved(self) -> None:
        """Delete what a lab approved, with what hangs on it."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._shown(table, "approved")
        if key:
            self.hands.delete_tree(table, key)

    def delete_any(self) -> None:
        """Try to delete what may be held."""
        table = BY_NAME[self.random.choice(REQUESTABLE)]
        key = self._some(table.name)
        if key:
            self.hands.delete_tree(table, key)

    # how

    def _insert_entity(self, name: str, master: Row, parts: list[Row]) -> None:
        table = BY_NAME[name]
        parts = [{**{c: master[c] for c in table.key}, **part} for part in parts]
        with self.hands.writing() as write:
            write(name, parts, **master, **_sums(parts))

    def _change(self, name: str, **values: Any) -> None:
        key, table = self._some(name), BY_NAME[name]
        if not key:
            return
        with self.hands.writing() as write, self.hands.rows() as rows:
            text = f"SELECT * FROM {self.hands.quoted(table)} WHERE {self.hands.where(table.key)} FOR UPDATE"
            for found in rows(text, key):
                write(name, change=True, **{**found, **values})

    def _has_room(self, name: str) -> bool:
        return len(self.ledger.standing(BY_NAME[name])) < self.subjects * (1 if name == "subject" else 2)

    def _shown(self, table: Table, view: str) -> Key | None:
        found = self.hands.shown(table, view)
        return self.random.choice(found) if found else None

    def _some(self, name: str) -> Key | None:
        found = self.ledger.standing(BY_NAME[name])
        return self.random.choice(found).key if found else None

    def _recording(self) -> Row:
        key = self._some("recording") if self.random.random() < 0.8 else None
        return dict(zip(("subject", "n", "probe"), key or (None, None, None), strict=True))

    def _trial_stimulus(self) -> int | None:
        key = self._some("stimulus") if self.random.random() < 0.3 else None
        return None if key is None else key[0]

    def _next(self) -> int:
        self.number += 1
        return self.number


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
