"""What people do in a random history, at the source and at the lab, each with an account of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from djlink_manifest.model.catalog import TableName
from djlink_manifest.model.selection import Equals
from djlink_manifest.owner.desk import Desk
from tests.history_model import Agreed, Meaning, hanging, touching
from tests.place import CLASSES, MASTERS, Place

few = st.integers(1, 5)
values = st.integers(0, 2)
tables = st.sampled_from(sorted(MASTERS))


class People(RuleBasedStateMachine):
    """The source's owner and the lab at one place. `place` and `told` are set by who runs it.

    `options`, `out` and `agreed` are the manifest: the options of its tables, those that are out of it, its
    approvals. `copy` is the last dump of the lab's server; `is_asking` tells that the owner has asked for
    something.

    `loose` are local keys that need no outbound row: the lab's own rows, and those that came back with a
    restored copy or were kept when their link was taken out. `odd` are sessions that a restored copy brought
    back with other trials than the source has.
    """

    place: Place
    told: dict[str, int]
    options: Mapping[str, Mapping[str, Any]]
    out: dict[str, str | None]
    agreed: list[Agreed]
    copy: Mapping[str, Any]
    is_asking: bool
    loose: dict[str, set[Any]]
    odd: set[Any]

    def meaning(self) -> Meaning:
        """What the manifest means now."""
        place = self.place
        return Meaning(place, self.options, self.out, tuple(self.agreed), place.at_source(), place.at_lab())

    # the source at work

    @rule(id=few, v=values)
    def source_inserts_a_subject(self, id: int, v: int) -> None:
        self.place.source("INSERT INTO {lab}.subject VALUES (%s, %s)", id, v)

    @rule(s=few, id=few, parts=st.integers(0, 2), v=values)
    def source_inserts_a_session(self, s: int, id: int, parts: int, v: int) -> None:
        if self.place.source("INSERT INTO {lab}.session VALUES (%s, %s)", s, id):
            for n in range(parts):
                self.place.source("INSERT INTO {lab}.session__trial VALUES (%s, %s, %s)", s, n, v)

    @rule(n=few, s=few, v=values)
    def source_inserts_a_note(self, n: int, s: int, v: int) -> None:
        self.place.source("INSERT INTO {lab}.note VALUES (%s, %s, %s)", n, s if s > 1 else None, v)

    @rule(id=few, v=values)
    def source_updates(self, id: int, v: int) -> None:
        self.place.source("UPDATE {lab}.subject SET v = %s WHERE id = %s", v, id)
        self.place.source("UPDATE {lab}.session__trial SET v = %s WHERE s = %s", v, id)

    @rule(table=tables, key=few)
    def owner_deletes_by_sql(self, table: str, key: int) -> None:
        """What is held cannot go, nor what something refers to; all else goes, approved or never pulled."""
        approved = self.place.keys(table, "_deletion_approved")
        key = key if not approved or key % 2 else min(approved)
        before, held = self.place.at_source(), key in self.place.keys(table)
        referred = any(
            keys - ({key} if t == table else set()) for t, keys in hanging(before, {table: {key}}).items()
        )
        if key not in {row[0] for row in before[table]} or (referred and table == "session"):
            return
        if table == "session" and not held:
            self.place.source("DELETE FROM {lab}.session__trial WHERE s = %s", key)
        gone = self.place.source(f"DELETE FROM {{lab}}.{table} WHERE {MASTERS[table]} = %s", key)
        assert gone is not (held or referred), f"{key} of {table}: held {held}, referred to {referred}"
        self.told["rows deleted by the owner after an approval"] += gone and key in approved

    @precondition(lambda self: self.is_asking)
    @rule(table=tables)
    def owner_deletes_what_is_free(self, table: str) -> None:
        """`djlink source delete`: what was asked for and is held by nobody, with all that hangs on it."""
        before = self.place.at_source()
        held = {t: self.place.keys(t) for t in MASTERS}
        asked = set(self.place.requests(table)) | self.place.keys(table, "_deletion_approved")
        free = hanging(before, {table: asked - set(touching(before, table, held))})
        with self.place.desk() as desk, desk.gathered(self._table(desk, table), None, asked=True) as gathered:
            gathered.free()
            gathered.delete()
        after = self.place.at_source()
        for each in MASTERS:
            gone = {row[0] for row in before[each] - after[each]}
            assert gone == free[each], f"{each}: {gone} deleted, {free[each]} free"
        self.told["rows deleted by the owner after an approval"] += len(free[table])

    @rule(table=tables, key=few, by_sql=st.booleans())
    def owner_asks_for_a_deletion(self, table: str, key: int, by_sql: bool) -> None:
        """By SQL for one row; at the desk for all that hangs on it too, since that has to go first."""
        source = self.place.at_source()
        self.is_asking = True
        if by_sql:
            if self.place.is_linked(table):
                view = self.place.view(table, "requests")
                self.place.source(f"INSERT INTO {view} ({MASTERS[table]}) VALUES (%s)", key)
            return
        with (
            self.place.desk() as desk,
            desk.gathered(self._table(desk, table), Equals(MASTERS[table], (key,))) as gathered,
        ):
            gathered.request("a broken probe")
        here = {key} & {row[0] for row in source[table]}
        for each, keys in hanging(source, {table: here}).items():
            if each not in self.out:
                missed = keys - self.meaning().asked(each)
                assert not missed, f"{missed} of {each} not asked for"

    @precondition(lambda self: self.is_asking)
    @rule(table=tables, key=few, by_sql=st.booleans(), approved=st.booleans())
    def owner_withdraws(self, table: str, key: int, by_sql: bool, approved: bool) -> None:
        """By SQL all of a table; at the desk one with all on it, what is approved only if that is said."""
        before = {t: self.place.keys(t, "_deletion_approved") for t in MASTERS}
        if by_sql:
            if self.place.is_linked(table):
                self.place.source(f"DELETE FROM {self.place.view(table, 'requests')}")
        else:
            with (
                self.place.desk() as desk,
                desk.gathered(self._table(desk, table), Equals(MASTERS[table], (key,))) as gathered,
            ):
                gathered.withdraw(approved=approved)
        if by_sql or not approved:
            assert before == {t: self.place.keys(t, "_deletion_approved") for t in MASTERS}
        elif table not in self.out:
            assert key not in self.meaning().asked(table)

    def _table(self, desk: Desk, table: str) -> TableName:
        return desk.table(f"{self.place.rig.names('lab')}.{CLASSES[table]}")

    # the lab at work

    @rule(table=tables, key=few)
    def lab_deletes_by_sql(self, table: str, key: int) -> None:
        """What the lab's own tables hang on stays."""
        lab = self.place.at_lab()
        if key not in {row[0] for row in lab[table]}:
            return
        if table == "session":
            if key in {s for s, _ in lab["analysis"]} | {s for _, s, _ in lab["note"]}:
                return
            self.place.lab("DELETE FROM {here}.session__trial WHERE s = %s", key)
        self.place.lab(f"DELETE FROM {{here}}.{table} WHERE {MASTERS[table]} = %s", key)

    @rule(table=tables, key=few)
    def lab_deletes_by_datajoint(self, table: str, key: int) -> None:
        """With all that depends on it, the lab's own rows too."""
        if any(how == "drop" for how in self.out.values()):
            return  # DataJoint knows the tables as they were when the lab began
        rows = getattr(self.place.linked, CLASSES[table])()
        self.place.connection.dependencies.load(force=True)
        (rows & f"{MASTERS[table]} = {key}").delete(prompt=False)

    @rule(s=few)
    def lab_analyses(self, s: int) -> None:
        self.place.lab("INSERT INTO {own}.analysis (s, a) VALUES (%s, 1)", s)

    @rule(id=st.integers(1, 8), v=values)
    def lab_enters_a_subject_of_its_own(self, id: int, v: int) -> None:
        """It may have the key of one at the source, and equal it or not."""
        here = {row[0] for row in self.place.at_lab()["subject"]}
        if self.out.get("subject") != "drop" and id not in self.place.keys("subject") | here:
            self.place.lab("INSERT INTO {here}.subject VALUES (%s, %s)", id, v)
            self.loose["subject"].add(id)

    @rule()
    def lab_makes_a_copy(self) -> None:
        """A dump of its server."""
        self.copy = self.place.copy()

    @precondition(lambda self: bool(self.copy))
    @rule()
    def the_copy_is_restored(self) -> None:
        """On the same server, as after a lost disk; the source has gone on meanwhile."""
        before = self.place.at_lab()
        self.place.restore(self.copy)
        after, source = self.place.at_lab(), self.place.at_source()
        for table in MASTERS:
            self.loose[table] |= {row[0] for row in after[table]} - self.place.keys(table)
        trials = {s: {row for row in source["session__trial"] if row[0] == s} for s, _ in after["session"]}
        for s, of_the_source in trials.items():
            if {row[:2] for row in after["session__trial"] if row[0] == s} != {
                row[:2] for row in of_the_source
            }:
                self.odd.add(s)
        self.told["copies restored"] += before != after
