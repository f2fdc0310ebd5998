"""What people do in a random history, at the source and at the lab, each with an account of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.links.selection import Equals
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.owner.desk import Desk
from tests.support.histories.dumps import Copy, copied, tables_of
from tests.support.histories.model import ABOVE, Agreed, Meaning, hanging, touching
from tests.support.histories.place import CLASSES, LAB_RULES, MASTERS, NAME, OWN, PARTS, Place, key_of

few = st.integers(1, 5)
values = st.integers(0, 2)
tables = st.sampled_from(sorted(MASTERS))
# what may happen to a set of requests between its approval and an apply
MEANWHILE = ("nothing", "nothing", "one is withdrawn", "another is asked for", "more hangs on it")


def nth(table: str, keys: Collection[Any], n: int) -> Any:
    """The n-th of these keys of a table, round and round; the table's n-th where there is none."""
    return sorted(keys)[n % len(keys)] if keys else key_of(table, n)


class People(RuleBasedStateMachine):
    """The source's owner and the lab at one place. `place` and `told` are set by who runs it.

    `options`, `out` and `agreed` are the manifest: the options of its tables, those that are out of it, its
    approvals. `copy` is the last dump of the lab's server; `is_asking` tells that the owner has asked for
    something.

    `loose` are local keys that need no outbound row: the lab's own rows, and those that came back with a
    restored copy or were kept when their link was taken out. `asks_more` tells that the lab has asked of its
    tables what the source does not. `odd` are sessions that a restored copy brought
    back with other trials than the source has.
    """

    place: Place
    told: dict[str, int]
    options: Mapping[str, Mapping[str, Any]]
    out: dict[str, str | None]
    agreed: list[Agreed]
    copy: Copy
    is_asking: bool
    loose: dict[str, set[Any]]
    odd: set[Any]
    asks_more: bool

    def meaning(self) -> Meaning:
        """What the manifest means now."""
        place = self.place
        return Meaning(place, self.options, self.out, tuple(self.agreed), place.at_source(), place.at_lab())

    # the source at work

    @rule(id=few, v=values)
    def source_inserts_a_subject(self, id: int, v: int) -> None:
        self.place.source("INSERT INTO {lab}.subject VALUES (%s, %s, NULL)", id, v)

    @rule(id=few, s=few, points=st.booleans())
    def source_names_the_best_session(self, id: int, s: int, points: bool) -> None:
        """It may be one of the subject's own: neither can be deleted first then."""
        best = key_of("session", s) if points else None
        self.place.source("UPDATE {lab}.subject SET best = %s WHERE id = %s", best, id)

    @rule(s=few, id=few, parts=st.integers(0, 2), v=values)
    def source_inserts_a_session(self, s: int, id: int, parts: int, v: int) -> None:
        session = key_of("session", s)
        if self.place.source("INSERT INTO {lab}.session VALUES (%s, %s)", session, id):
            for n in range(parts):
                self.place.source("INSERT INTO {lab}.session__trial VALUES (%s, %s, %s)", session, n, v)
                self.place.source("INSERT INTO {lab}.session__wave VALUES (%s, %s, %s)", session, n, v)

    @rule(s=few, n=st.integers(0, 2), comes=st.booleans())
    def source_changes_the_parts_of_a_session(self, s: int, n: int, comes: bool) -> None:
        """As owners do who correct what was pulled before: no key of theirs forbids it."""
        session = key_of("session", s)
        if comes:
            changed = self.place.source("INSERT INTO {lab}.session__trial VALUES (%s, %s, 0)", session, n)
        else:
            for part in PARTS:
                self.place.source(f"DELETE FROM {{lab}}.{part} WHERE s = %s AND n = %s", session, n)
            changed = True
        if changed:
            self.odd.add(session)

    @rule(n=few, s=few, v=values)
    def source_inserts_a_note(self, n: int, s: int, v: int) -> None:
        session = key_of("session", s) if s > 1 else None
        self.place.source("INSERT INTO {lab}.note VALUES (%s, %s, %s)", n, session, v)

    @rule(id=few, v=values)
    def source_updates(self, id: int, v: int) -> None:
        self.place.source("UPDATE {lab}.subject SET v = %s WHERE id = %s", v, id)
        session = key_of("session", id)
        self.place.source("UPDATE {lab}.session__trial SET v = %s WHERE s = %s", v, session)

    @rule(table=tables, n=few)
    def owner_deletes_by_sql(self, table: str, n: int) -> None:
        """Mostly what was approved, where something was."""
        approved = self.place.keys(table, "_deletion_approved")
        self.owner_deletes(table, nth(table, approved if n > 1 else (), n))

    def owner_deletes(self, table: str, key: Any) -> None:
        """What is held cannot go, nor what something refers to; all else goes, approved or never pulled."""
        approved = self.place.keys(table, "_deletion_approved")
        before, held = self.place.at_source(), key in self.place.keys(table)
        referred = any(
            keys - ({key} if t == table else set()) for t, keys in hanging(before, {table: {key}}).items()
        )
        if key not in {row[0] for row in before[table]} or (referred and table == "session"):
            return
        for part in PARTS if table == "session" and not held else ():
            self.place.source(f"DELETE FROM {{lab}}.{part} WHERE s = %s", key)
        gone = self.place.source(f"DELETE FROM {{lab}}.{table} WHERE {MASTERS[table]} = %s", key)
        assert gone is not (held or referred), f"{key} of {table}: held {held}, referred to {referred}"
        self.told["rows deleted by the owner after an approval"] += gone and key in approved

    @precondition(lambda self: self.is_asking)
    @rule(table=tables)
    def owner_deletes_what_is_free(self, table: str) -> None:
        """`djlink source delete`: what was asked for and is held by nobody, with all that hangs on it."""
        before = self.place.at_source()
        held = {t: self.place.keys(t) for t in MASTERS}
        approved = self.place.keys(table, "_deletion_approved")
        asked = set(self.place.requests(table)) | approved
        free = hanging(before, {table: asked - set(touching(before, table, held))})
        told = False
        try:
            with (
                self.place.desk() as desk,
                desk.gathered(self._table(desk, table), None, requested=True) as gathered,
            ):
                gathered.free()
                gathered.delete()
        except DjlinkError as error:
            if "cannot be read, so the rows" not in error.message:
                raise
            told = True
        if told:  # its views are half gone
            assert any(how and self.place.is_linked(t) for t, how in self.out.items())
            return
        after = self.place.at_source()
        for each in MASTERS:
            gone = {row[0] for row in before[each] - after[each]}
            assert gone == free[each], f"{each}: {gone} deleted, {free[each]} free"
        self.told["rows deleted by the owner after an approval"] += len(free[table] & approved)

    @rule(table=tables, n=few, by_sql=st.booleans())
    def owner_asks_for_a_deletion(self, table: str, n: int, by_sql: bool) -> None:
        """Mostly of what is held."""
        self.owner_asks(table, nth(table, self.place.keys(table) if n > 1 else (), n), by_sql)

    def owner_asks(self, table: str, key: Any, by_sql: bool) -> None:
        """By SQL for one row; at the desk for all that hangs on it too, since that has to go first."""
        source = self.place.at_source()
        self.is_asking = True
        if by_sql:
            if self.place.takes_requests(table):
                view = self.place.view(table, "requests")
                self.place.source(f"INSERT INTO {view} ({MASTERS[table]}) VALUES (%s)", key)
            return
        with (
            self.place.desk() as desk,
            desk.gathered(self._table(desk, table), Equals(MASTERS[table], (key,))) as gathered,
        ):
            try:
                gathered.request("a broken probe")
            except DjlinkError as error:
                self._views_are_half_gone(error)
                return
        local_keys = {key} & {row[0] for row in source[table]}
        for each, keys in hanging(source, {table: local_keys}).items():
            if each not in self.out:
                missed = keys - self.meaning().asked(each)
                assert not missed, f"{missed} of {each} not asked for"

    @precondition(lambda self: self.is_asking)
    @rule(table=tables, n=few, by_sql=st.booleans(), approved=st.booleans())
    def owner_withdraws(self, table: str, n: int, by_sql: bool, approved: bool) -> None:
        """By SQL all of a table; at the desk one with all on it, what is approved only if that is said."""
        key = nth(table, self.meaning().asked(table) if n > 1 else (), n)
        if not by_sql:
            self.owner_withdraws_one(table, key, approved)
        elif self.place.takes_requests(table):
            before = self._approved()
            self.place.source(f"DELETE FROM {self.place.view(table, 'requests')}")
            assert before == self._approved()

    def owner_withdraws_one(self, table: str, key: Any, approved: bool) -> None:
        """At the desk, with all that hangs on it."""
        before = self._approved()
        with (
            self.place.desk() as desk,
            desk.gathered(self._table(desk, table), Equals(MASTERS[table], (key,))) as gathered,
        ):
            try:
                gathered.withdraw(approved=approved)
            except DjlinkError as error:
                self._views_are_half_gone(error)
                return
        if not approved:
            assert before == self._approved()
        elif table not in self.out:
            assert key not in self.meaning().asked(table)

    def _views_are_half_gone(self, error: DjlinkError) -> None:
        """An interrupted apply took a link out in part, and the desk said so."""
        assert "cannot be written, so nothing was changed" in error.message
        assert any(how and self.place.is_linked(t) for t, how in self.out.items())

    def meanwhile(self, what: str, table: str, key: Any) -> None:
        """What happens to a set of requests, of which the key's is or becomes one."""
        if what == "one is withdrawn":
            self.owner_withdraws_one(table, key, approved=False)
        elif what == "another is asked for":
            self.owner_asks(table, key, by_sql=True)
        elif what == "more hangs on it" and table != "note":
            self.lab_enters_below(table, key, 6)

    def _approved(self) -> dict[str, set[Any]]:
        return {t: self.place.keys(t, "_deletion_approved") for t in MASTERS}

    def _table(self, desk: Desk, table: str) -> TableName:
        return desk.table(f"{self.place.rig.names('lab')}.{CLASSES[table]}")

    # the lab at work

    @rule(table=tables, n=few)
    def lab_deletes_by_sql(self, table: str, n: int) -> None:
        """What the lab's own tables hang on stays."""
        lab = self.place.at_lab()
        if not lab[table]:
            return
        key = nth(table, {row[0] for row in lab[table]}, n)
        if table == "session":
            if key in {s for s, _ in lab["analysis"]} | {s for _, s, _ in lab["note"]}:
                return
            for part in PARTS:
                self.place.lab(f"DELETE FROM {{here}}.{part} WHERE s = %s", key)
        self.place.lab(f"DELETE FROM {{here}}.{table} WHERE {MASTERS[table]} = %s", key)

    @rule(table=tables, n=few)
    def lab_deletes_by_datajoint(self, table: str, n: int) -> None:
        """With all that depends on it, the lab's own rows too."""
        key = key_of(table, n)
        if any(how == "drop" for how in self.out.values()) or self.place.name != NAME:
            return  # DataJoint knows the tables, and their lineage, as they were when the lab began
        if key not in {row[0] for row in self.place.at_lab()[table]}:
            return
        rows = getattr(self.place.linked, CLASSES[table])()
        self.place.connection.dependencies.load(force=True)
        # DataJoint's sessions refuse to compare with the day that is none
        is_it = "< '2026-01-01'" if key == "0000-00-00" else f"= '{key}'"
        (rows & f"{MASTERS[table]} {is_it}").delete(prompt=False)

    @rule(rule=st.sampled_from([None, *sorted(LAB_RULES)]))
    def lab_asks_more_of_its_notes(self, rule: str | None) -> None:
        """A check, a unique key, a foreign key to a table of its own; or it ends what it asked."""
        self.place.lab_asks(rule)
        self.asks_more = self.asks_more or rule is not None

    @rule(n=few)
    def lab_analyses(self, n: int) -> None:
        s = nth("session", {row[0] for row in self.place.at_lab()["session"]}, n)
        self.place.lab("INSERT INTO {own}.analysis (s, a) VALUES (%s, 1)", s)

    @rule(table=st.sampled_from(["remark", "label"]), r=few, n=few)
    def lab_writes_beside_a_part(self, table: str, r: int, n: int) -> None:
        """A row of its own that goes with a part's row, or that forgets which it was about."""
        trials = sorted(row[:2] for row in self.place.at_lab()["session__trial"])
        if trials:
            self.place.lab(f"INSERT INTO {{own}}.{table} VALUES (%s, %s, %s)", r, *trials[n % len(trials)])

    @rule(id=st.integers(1, 8), v=values)
    def lab_enters_a_subject_of_its_own(self, id: int, v: int) -> None:
        """It may have the key of one at the source, and equal it or not."""
        local_keys = {row[0] for row in self.place.at_lab()["subject"]}
        if self.out.get("subject") != "drop" and id not in self.place.keys("subject") | local_keys:
            self.place.lab("INSERT INTO {here}.subject VALUES (%s, %s, NULL)", id, v)
            self.loose["subject"].add(id)

    @rule(table=st.sampled_from(["session", "note"]), key=st.integers(6, 8), n=few)
    def lab_enters_what_hangs_on_another_row(self, table: str, key: int, n: int) -> None:
        """A row of its own in a linked table."""
        above = ABOVE[table][0]
        self.lab_enters_below(above, nth(above, {row[0] for row in self.place.at_lab()[above]}, n), key)

    def lab_enters_below(self, above: str, parent: Any, n: int) -> None:
        """A row of its own that hangs on that one, unless the key stands or the table is to be dropped."""
        [table] = [t for t, (a, _) in ABOVE.items() if a == above]
        key = key_of(table, n)
        values = (key, parent) if table == "session" else (key, parent, 0)
        local_keys = self.place.at_lab()
        if self.out.get(table) == "drop" or key in self.place.keys(table) | {
            row[0] for row in local_keys[table]
        }:
            return
        if self.place.lab(
            f"INSERT INTO {{here}}.{table} VALUES ({', '.join(['%s'] * len(values))})", *values
        ):
            self.loose[table].add(key)

    @rule()
    def lab_makes_a_copy(self) -> None:
        """A dump of its server."""
        own = [f"`{self.place.own}`.{name}" for name in OWN]
        server = self.place.rig.servers.local
        self.copy = copied(server, [*tables_of(server, self.place.local), *own])
