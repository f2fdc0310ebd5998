# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""A random history of one pipeline: a source at work, a lab at work, manifests that change, applies, kills.

`Place` is the pipeline on real servers, brought back to its beginning in a few statements. `History` is what
may happen there; each rule is one event, and after each the invariants hold. Another kind of event is another
rule, and what it may take away goes into `History.may_go`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from djlink_manifest.reconcile.actions import Action, Pull
from djlink_manifest.reconcile.plan import Plan
from djlink_manifest.sandbox import pipeline
from tests.asking import ask
from tests.crashing import Applier
from tests.rig import PASSWORD, Rig

REFUSED = (1217, 1451, 1452, 1062)  # by a foreign key, or for a key that stands already
ROOT = Path(__file__).parents[1]

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, v int NOT NULL)",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (s int, n int, v int NOT NULL, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.note (n int PRIMARY KEY, s int, v int NOT NULL,"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
)
MASTERS = {"subject": "id", "session": "s", "note": "n"}
SOURCE = (*MASTERS, "session__trial")

Rows = Mapping[str, frozenset[tuple[Any, ...]]]
few = st.integers(1, 5)
values = st.integers(0, 2)


class Place:
    """The pipeline, all of it linked once, and a table of the lab's own that depends on linked rows."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        for statement in TABLES:
            rig.run("lab_a", statement)
        rig.accounts({"lab_a": ["lab"]})
        self.here = rig.local_schema("lab_a", "lab")
        _, report = rig.apply(self.document({}))
        assert report.succeeded
        self.own = rig.names("own")
        dj = pipeline.load_datajoint()
        self.connection = pipeline.connect(rig.servers.local, rig.names("lab"), PASSWORD)
        self.linked = dj.VirtualModule("linked", self.here, connection=self.connection)
        declare_own(dj.Schema(self.own, {"linked": self.linked}, connection=self.connection))
        self.applier = Applier(rig.environ, ROOT)

    def document(self, options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """A manifest of all tables with these options of theirs."""
        tables = {name: dict(options.get(name, {})) for name in ("Subject", "Session", "Note")}
        return self.rig.document({"lab_a": {"lab": {"tables": tables}}})

    def reset(self) -> None:
        """No row anywhere; the tables and marks stay."""
        outbound = [
            f"`{self.rig.outbound}`.`{self.rig.names('lab')}_{name}{ending}`"
            for name in MASTERS
            for ending in ("", "_deletion_requested", "_deletion_approved", "_history")
        ]
        source = [f"`{self.rig.names('lab')}`.{name}" for name in SOURCE]
        asked = [f"{name}__deletion_requested" for name in MASTERS]
        local = [f"`{self.own}`.analysis", *(f"`{self.here}`.{name}" for name in (*asked, *SOURCE))]
        for server, tables in ((self.rig.servers.lab_a, outbound + source), (self.rig.servers.local, local)):
            ask(server, "SET SESSION foreign_key_checks = 0")
            for table in tables:
                ask(server, f"DELETE FROM {table}")
            ask(server, "SET SESSION foreign_key_checks = 1")

    def source(self, text: str, *args: object) -> None:
        """A statement of the source's owner on its schema; one that the server refuses changes nothing."""
        tried(lambda: ask(self.rig.servers.lab_a, self.rig.sql(text), args))

    def lab(self, text: str, *args: object) -> None:
        """A statement of the lab's own; `{here}` is the schema of the linked tables, `{own}` the lab's."""
        text = text.format(here=f"`{self.here}`", own=f"`{self.own}`")
        tried(lambda: ask(self.rig.servers.local, text, args))

    def at_source(self) -> Rows:
        """The source's rows."""
        schema = self.rig.names("lab")
        return {t: frozenset(ask(self.rig.servers.lab_a, f"SELECT * FROM `{schema}`.{t}")) for t in SOURCE}

    def at_lab(self) -> Rows:
        """The local rows, and the lab's own."""
        server = self.rig.servers.local
        rows = {t: frozenset(ask(server, f"SELECT * FROM `{self.here}`.{t}")) for t in SOURCE}
        return rows | {"analysis": frozenset(ask(server, f"SELECT * FROM `{self.own}`.analysis"))}

    def keys(self, table: str, ending: str = "") -> set[Any]:
        """The keys in an outbound table, or in one beside it."""
        name = f"`{self.rig.outbound}`.`{self.rig.names('lab')}_{table}{ending}`"
        return {row[0] for row in ask(self.rig.servers.lab_a, f"SELECT `{MASTERS[table]}` FROM {name}")}

    def wait_for_the_dead(self) -> None:
        """Until the servers have ended a killed process's sessions; the lab's own lives on."""
        until = time.monotonic() + 20
        [(lab,)] = self.connection.query("SELECT CONNECTION_ID()").fetchall()
        while any(self.rig.own_sessions(server) - {lab} for server in ("lab_a", "local")):
            assert time.monotonic() < until, "the sessions of a killed process live on"
            time.sleep(0.01)

    def close(self) -> None:
        """End the process that applies, and the lab's session."""
        self.applier.close()
        self.connection.close()


def declare_own(schema: Any) -> None:
    """A table of the lab's own, which depends on a linked one."""
    import datajoint as dj

    @schema
    class Analysis(dj.Manual):
        definition = """
        -> linked.Session
        a : int32
        """


def tried(act: Any) -> None:
    """Do something that a server may refuse, as it refuses people."""
    try:
        act()
    except pymysql.MySQLError as error:
        if error.args[0] not in REFUSED:
            raise


class History(RuleBasedStateMachine):
    """What happens at one place. `place` and `applies` are set by who runs it."""

    place: Place
    applies = 0
    kills = 0

    @initialize(rows=st.integers(0, 4))
    def begin(self, rows: int) -> None:
        self.place.reset()
        self.options: dict[str, dict[str, Any]] = {}
        self.lab_rows: dict[str, set[Any]] = {name: set() for name in MASTERS}
        for key in range(1, rows + 1):
            self.source_inserts_a_subject(key, key % 3)
            self.source_inserts_a_session(key, 1 + key // 2, key % 3, 0)
            self.source_inserts_a_note(key, key, 0)

    # the source at work

    @rule(id=few, v=values)
    def source_inserts_a_subject(self, id: int, v: int) -> None:
        self.place.source("INSERT INTO {lab}.subject VALUES (%s, %s)", id, v)

    @rule(s=few, id=few, parts=st.integers(0, 2), v=values)
    def source_inserts_a_session(self, s: int, id: int, parts: int, v: int) -> None:
        source = self.place.at_source()
        if s in {row[0] for row in source["session"]} or id not in {row[0] for row in source["subject"]}:
            return
        self.place.source("INSERT INTO {lab}.session VALUES (%s, %s)", s, id)
        for n in range(parts):
            self.place.source("INSERT INTO {lab}.session__trial VALUES (%s, %s, %s)", s, n, v)

    @rule(n=few, s=few, v=values)
    def source_inserts_a_note(self, n: int, s: int, v: int) -> None:
        self.place.source("INSERT INTO {lab}.note VALUES (%s, %s, %s)", n, s if s > 1 else None, v)

    @rule(id=few, v=values)
    def source_updates(self, id: int, v: int) -> None:
        self.place.source("UPDATE {lab}.subject SET v = %s WHERE id = %s", v, id)
        self.place.source("UPDATE {lab}.session__trial SET v = %s WHERE s = %s", v, id)

    @rule(table=st.sampled_from(sorted(MASTERS)), key=few)
    def source_deletes(self, table: str, key: int) -> None:
        """What is held cannot go; of a session that is not, its trials go first."""
        held = key in self.place.keys(table)
        if table == "session" and not held:
            if key in {s for _, s, _ in self.place.at_source()["note"]}:
                return
            self.place.source("DELETE FROM {lab}.session__trial WHERE s = %s", key)
        self.place.source(f"DELETE FROM {{lab}}.{table} WHERE {MASTERS[table]} = %s", key)
        assert not held or key in {row[0] for row in self.place.at_source()[table]}

    @rule(table=st.sampled_from(sorted(MASTERS)), key=few)
    def source_asks_for_a_deletion(self, table: str, key: int) -> None:
        asked = f"`{self.place.rig.names('lab')}_{table}_deletion_requested`"
        self.place.source(f"INSERT INTO {{outbound}}.{asked} ({MASTERS[table]}) VALUES (%s)", key)

    @rule(table=st.sampled_from(sorted(MASTERS)))
    def source_withdraws(self, table: str) -> None:
        asked = f"`{self.place.rig.names('lab')}_{table}_deletion_requested`"
        self.place.source(f"DELETE FROM {{outbound}}.{asked}")

    # the lab at work

    @rule(table=st.sampled_from(sorted(MASTERS)), key=few)
    def lab_deletes_by_sql(self, table: str, key: int) -> None:
        """What the lab's own tables hang on stays."""
        if table == "session":
            if key in {s for s, _ in self.place.at_lab()["analysis"]}:
                return
            if key in {s for _, s, _ in self.place.at_lab()["note"]}:
                return
            self.place.lab("DELETE FROM {here}.session__trial WHERE s = %s", key)
        self.place.lab(f"DELETE FROM {{here}}.{table} WHERE {MASTERS[table]} = %s", key)

    @rule(table=st.sampled_from(["Subject", "Session", "Note"]), key=few)
    def lab_deletes_by_datajoint(self, table: str, key: int) -> None:
        """With all that depends on it, the lab's own rows too."""
        rows = getattr(self.place.linked, table)()
        (rows & f"{MASTERS[table.lower()]} = {key}").delete(prompt=False)

    @rule(s=few)
    def lab_analyses(self, s: int) -> None:
        self.place.lab("INSERT INTO {own}.analysis (s, a) VALUES (%s, 1)", s)

    @rule(id=st.integers(1, 8), v=values)
    def lab_enters_a_subject_of_its_own(self, id: int, v: int) -> None:
        """It may have the key of one at the source, and equal it or not."""
        if id not in self.place.keys("subject") and id not in {r[0] for r in self.place.at_lab()["subject"]}:
            self.place.lab("INSERT INTO {here}.subject VALUES (%s, %s)", id, v)
            self.lab_rows["subject"].add(id)

    # djlink at work

    @rule(
        where=st.sampled_from([None, "v > 0", {"id": [1, 2, 3]}]),
        note=st.sampled_from([None, "n < 4"]),
        unwanted=st.sampled_from(["keep", "release"]),
        pull=st.sampled_from(["all", "needed", "none"]),
        notes=st.sampled_from(["all", "none"]),
        deletions=st.sampled_from(["review", "review", "auto"]),
    )
    def the_manifest_changes(
        self, where: Any, note: Any, unwanted: str, pull: str, notes: str, deletions: str
    ) -> None:
        both = {"unwanted": unwanted, "deletions": deletions, "max_deletions": 100}
        subject: dict[str, Any] = {"pull": pull, **both}
        if where and pull != "needed":
            subject["where"] = where
        self.options = {
            "Subject": subject,
            "Session": both,
            "Note": {"pull": notes, "deletions": deletions, "max_deletions": 100},
        }
        if note:
            self.options["Note"]["where"] = note

    @rule(seed=st.integers(0, 1 << 16))
    def the_order_of_the_manifest_means_nothing(self, seed: int) -> None:
        document = self.place.document(self.options)
        plans = [self.place.rig.plan(each) for each in (document, shuffled(document, random.Random(seed)))]
        one, other = map(without_places, plans)
        assert one == other, f"{one}\n\n{other}"

    @rule(every=st.booleans(), sent=st.booleans(), at=st.integers(1, 7))
    def an_apply_is_killed(self, every: bool, sent: bool, at: int) -> None:
        """At one of its changes, or at any statement; not at all where it makes fewer."""
        self.apply(at=at * 8 if every else at, sent=sent, every=every)

    @rule()
    def an_apply(self) -> None:
        self.apply()

    def apply(self, **kill: Any) -> dict[str, Any]:
        """Plan and apply in a process of its own; what it may not change is as before."""
        source, lab = self.place.at_source(), self.place.at_lab()
        path = self.place.rig.write(self.place.document(self.options))
        may_go = self.may_go(source)
        answer = self.place.applier(manifest=str(path), **kill)
        type(self).applies += 1
        if answer.get("killed"):
            type(self).kills += 1
            self.place.wait_for_the_dead()
        else:
            assert "problems" in answer, answer
        assert self.place.at_source() == source
        after = self.place.at_lab()
        for table, rows in lab.items():
            lost = {row for row in rows - after[table] if row[0] not in may_go.get(table, ())}
            assert not lost, f"{table} lost {lost}"
        return answer

    def may_go(self, source: Rows) -> Mapping[str, set[Any]]:
        """The keys of the entities that an apply may delete here, and never a row of the lab's own tables.

        Under `unwanted: release` what is not wanted; under `deletions: auto` what the source asks for, and
        what hangs on it.
        """
        going = {table: set[Any]() for table in MASTERS}
        if self.options.get("Subject", {}).get("deletions") == "auto":
            asked = {table: self.asked(table) for table in MASTERS}
            going["subject"] |= asked["subject"]
            going["session"] |= {
                s for s, id in source["session"] if s in asked["session"] or id in going["subject"]
            }
            going["note"] |= {n for n, s, _ in source["note"] if n in asked["note"] or s in going["session"]}
        if self.options.get("Subject", {}).get("unwanted") == "release":
            wanted = self.wanted(source)
            for table in ("subject", "session"):
                going[table] |= {row[0] for row in source[table]} - wanted[table]
        return {**going, "session__trial": going["session"]}

    def asked(self, table: str) -> set[Any]:
        """The keys whose deletion was asked for, or is approved: the next apply does not pull them."""
        return self.place.keys(table, "_deletion_requested") | self.place.keys(table, "_deletion_approved")

    @invariant()
    def what_came_from_the_source_is_protected(self) -> None:
        if not hasattr(self, "lab_rows"):
            return
        source, lab = self.place.at_source(), self.place.at_lab()
        for table in MASTERS:
            unheld = {row[0] for row in lab[table]} - self.place.keys(table)
            assert unheld <= self.lab_rows[table], f"{unheld} of {table} without protection"
        sessions = {row[0] for row in lab["session"]}
        assert {row[:2] for row in lab["session__trial"]} == {
            row[:2] for row in source["session__trial"] if row[0] in sessions
        }

    def teardown(self) -> None:
        """At the end of every history one more apply does all that can be done."""
        if not hasattr(self, "lab_rows"):
            return
        answer = self.apply()
        if "Register" in answer["kinds"] and self.options.get("Subject", {}).get("unwanted") == "release":
            answer = self.apply()  # a plan of its own releases what was without protection and unwanted
        if answer["problems"] or answer["changes_again"]:
            raise AssertionError(f"not at rest: {answer}")
        self.check_all_is_here(answer["blocked"])

    def check_all_is_here(self, blocked: list[list[str]]) -> None:
        """Wanted and pullable is here but for what is blocked; what is held and not here is asked back."""
        source, lab = self.place.at_source(), self.place.at_lab()
        asked = {t: self.asked(t) for t in MASTERS}
        here = {t: {row[0] for row in lab[t]} for t in MASTERS}
        stopped = {address.rpartition(".")[2].lower() for address, _, _ in blocked}
        wanted = self.wanted(source)
        pullable = {"subject": wanted["subject"] - asked["subject"]}
        held = self.place.keys("subject")
        free = {id for id in wanted["subject"] | held if id not in asked["subject"]}
        pullable["session"] = {
            s for s, id in source["session"] if s in wanted["session"] - asked["session"] and id in free
        }
        barred = {s for s, id in source["session"] if s in asked["session"] or id in asked["subject"]}
        pullable["note"] = {
            n for n, s, _ in source["note"] if n in wanted["note"] - asked["note"] and s not in barred
        }
        for table in MASTERS:
            if table not in stopped:
                assert pullable[table] <= here[table], f"{table}: {pullable[table] - here[table]} missing"
            gone = self.place.keys(table) - here[table]
            assert gone <= asked[table], f"{gone} of {table} held for nothing"

    def wanted(self, source: Rows) -> dict[str, set[Any]]:
        """The keys that the manifest asks for, told anew from its meaning."""
        subject, note = self.options.get("Subject", {}), self.options.get("Note", {})
        kept = {t: self.place.keys(t) for t in MASTERS}
        where = subject.get("where")
        met = {
            id
            for id, v in source["subject"]
            if where is None or (v > 0 if isinstance(where, str) else id in where["id"])
        }
        pull = subject.get("pull", "all")
        subjects = met & kept["subject"] if pull == "none" else met
        sessions = {s for s, id in source["session"] if id in subjects}
        if pull == "needed":
            held = {id for s, id in source["session"] if s in sessions | kept["session"]}
            subjects = subjects & held
        met_notes = {
            n
            for n, s, _ in source["note"]
            if (n < 4 or not note.get("where")) and (s is None or s in sessions)
        }
        notes = met_notes & kept["note"] if note.get("pull") == "none" else met_notes
        return {"subject": subjects, "session": sessions, "note": notes}


def shuffled(value: Any, by: random.Random) -> Any:
    """The same mappings with their keys in another order."""
    if not isinstance(value, dict):
        return value
    items = [(key, shuffled(each, by)) for key, each in value.items()]
    by.shuffle(items)
    return dict(items)


def without_places(plan: Plan) -> Any:
    """A plan without the lines of the manifest, the seconds of the servers and the sizes they estimate.

    InnoDB counts a table's statistics anew in the background, so that two plans of the same rows may differ
    in the bytes that a pull is said to bring.
    """

    def told(action: Action) -> Action:
        return replace(action, bytes=0) if isinstance(action, Pull) else action

    return (
        plan.digest,
        tuple(replace(link, location=None, actions=tuple(map(told, link.actions))) for link in plan.links),
        tuple(replace(refusal, location=None) for refusal in plan.refusals),
    )
