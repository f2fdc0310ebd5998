"""Rules that only local tables have: entities that break them are blocked by count, and never registered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from djlink_manifest.reconcile.explain.commands import explain
from djlink_manifest.reconcile.plan.plan import Plan
from tests.support.rig import Rig, link_of, own_rig
from tests.support.servers import ALIKE, Servers
from tests.support.snapshots import Saved
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (name varchar(9) PRIMARY KEY, x int)",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, name varchar(9), v int,"
    " FOREIGN KEY (name) REFERENCES {lab}.subject (name))",
    "CREATE TABLE {lab}.session__trial (s int, n int, w int, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.wave (s int PRIMARY KEY, x int, FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.peak (p int PRIMARY KEY, s int, FOREIGN KEY (s) REFERENCES {lab}.wave (s))",
)
FIRST = (
    "INSERT INTO {lab}.subject (name) VALUES ('ann')",
    "INSERT INTO {lab}.session VALUES (1, 'ann', 1), (2, NULL, 2)",
    "INSERT INTO {lab}.session__trial VALUES (1, 1, 1), (2, 1, 2)",
    "INSERT INTO {lab}.wave (s) VALUES (1), (2)",
    "INSERT INTO {lab}.peak VALUES (1, 1), (2, 2), (3, NULL)",
)
# 3 has a new subject, 4 one that is here, 5 none; all have trials, waves and peaks
LATER = (
    "INSERT INTO {lab}.subject (name) VALUES ('bob')",
    "INSERT INTO {lab}.session VALUES (3, 'bob', 3), (4, 'ann', 4), (5, NULL, 5)",
    "INSERT INTO {lab}.session__trial VALUES (3, 1, 3), (4, 1, 4), (4, 2, 40), (5, 1, 5)",
    "INSERT INTO {lab}.wave (s) VALUES (3), (4), (5)",
    "INSERT INTO {lab}.peak VALUES (13, 3), (14, 4), (15, 5), (16, NULL)",
)
MASTERS = {"session": "s", "wave": "s", "peak": "p"}


class Lab:
    """A linked pipeline that is brought back to its beginning before each test."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.local, self.own = rig, rig.local_schema("lab_a", "lab"), rig.names("own")
        run_all(rig, *TABLES, *FIRST)
        rig.accounts({"lab_a": ["lab"]})
        _, report = rig.apply(self.document("Subject"))
        assert report.succeeded
        run_all(rig, *LATER)
        self.before = Saved.of(rig.servers.lab_a, rig.outbound), Saved.of(rig.servers.local, self.local)

    def document(self, *more: str, **rest: Any) -> dict[str, Any]:
        tables = ["Session", "Wave", "Peak", *more]
        return self.rig.document({"lab_a": {"lab": {"tables": tables}}}, **rest)

    def put_back(self) -> None:
        local = self.rig.servers.local
        ask(local, f"DROP DATABASE IF EXISTS `{self.own}`")
        self.before[0].put_back(self.rig.servers.lab_a)
        self.before[1].put_back(local)
        ask(local, f"CREATE DATABASE `{self.own}`")

    def locally(self, *statements: str) -> None:
        for each in statements:
            ask(
                self.rig.servers.local,
                each.replace("@here", f"`{self.local}`").replace("@own", f"`{self.own}`"),
            )

    def local_and_held(self) -> Mapping[str, set[int]]:
        """The keys that are here, each of which is held, and no others are."""
        found = {}
        for name, key in MASTERS.items():
            rows = ask(self.rig.servers.local, f"SELECT {key} FROM `{self.local}`.{name}")
            held = self.rig.run("lab_a", f"SELECT {key} FROM {self.rig.outbound_table('lab', name)}")
            assert set(rows) == set(held), name
            found[name] = {row[0] for row in rows}
        return found

    def blocked(self, plan: Plan) -> dict[str, list[tuple[str, int]]]:
        found = {
            n: link_of(plan, self.rig.address("lab_a", "lab", n)).blocked for n in ("Session", "Wave", "Peak")
        }
        return {n: [(b.kind, b.count) for b in each] for n, each in found.items()}

    def comes_but(self, document: dict[str, Any], *out: int, kind: str = "error") -> Plan:
        """All comes but some sessions with what hangs on them; it is said by count, and rests."""
        plan, report = self.rig.apply(document)
        assert report.succeeded, report.outcomes
        sessions = {1, 2, 3, 4, 5} - set(out)
        assert self.local_and_held() == {
            "session": sessions,
            "wave": sessions,
            "peak": {1, 2, 3, 13, 14, 15, 16} - {10 + s for s in out},
        }
        trials = ask(self.rig.servers.local, f"SELECT DISTINCT s FROM `{self.local}`.session__trial")
        assert {s for (s,) in trials} == sessions
        again = self.rig.plan(document)
        assert not again.has_changes, [p.actions for p in again.links]
        for each in (plan, again):
            assert self.blocked(each) == {
                "Session": [(kind, len(out))],
                "Wave": [("upstream", len(out))],
                "Peak": [("upstream", len(out))],
            }
            assert each.has_errors == (kind == "error")
        return again

    def hint(self, plan: Plan) -> str:
        return link_of(plan, self.rig.address("lab_a", "lab", "Session")).blocked[0].hint or ""

    def follow(self, plan: Plan) -> None:
        """Type the statement of the hint."""
        self.locally("ALTER TABLE" + self.hint(plan).split("ALTER TABLE", 1)[1].split(";", 1)[0])

    def all_comes(self, document: dict[str, Any]) -> None:
        _, report = self.rig.apply(document)
        assert report.succeeded
        assert self.local_and_held()["peak"] == {1, 2, 3, 13, 14, 15, 16}
        plan = self.rig.plan(document)
        assert not plan.has_changes
        assert not plan.has_errors


@pytest.fixture(scope="module")
def made(servers: Servers) -> Iterator[Lab]:
    with own_rig(servers) as rig:
        yield Lab(rig)


@pytest.fixture
def lab(made: Lab) -> Lab:
    made.put_back()
    return made


pytestmark = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str, scope="module")


def test_below_a_forgotten_parent_what_lacks_its_local_parent_is_blocked_and_comes_once_it_is_linked(
    lab: Lab,
) -> None:
    plan = lab.comes_but(lab.document(), 3)
    assert (
        f"{lab.local}.subject" in link_of(plan, lab.rig.address("lab_a", "lab", "Session")).blocked[0].reason
    )
    lab.all_comes(lab.document("Subject"))


def test_an_explanation_says_which_rule_keeps_an_entity_out(lab: Lab) -> None:
    with lab.rig.job(lab.document()) as job:
        explanation, plan = explain(job, lab.rig.address("lab_a", "lab", "Session"), "s=3")
        assert [(b.kind, b.count) for b in plan.blocked] == [("error", 1)]
        assert [r.rule for r in explanation.reasons if not r.holds] == ["local rule"]
        explanation, plan = explain(job, lab.rig.address("lab_a", "lab", "Peak"), "p=13")
        assert [b.kind for b in plan.blocked] == ["upstream"]
        _, plan = explain(job, lab.rig.address("lab_a", "lab", "Peak"), "p=14")
        assert not plan.blocked


def test_below_a_forgotten_parent_all_comes_once_its_foreign_key_is_dropped_as_the_hint_says(
    lab: Lab,
) -> None:
    lab.follow(lab.comes_but(lab.document(), 3))
    lab.all_comes(lab.document())


def test_below_a_removal_that_a_table_of_the_labs_own_blocks(lab: Lab) -> None:
    collation = ask(
        lab.rig.servers.local,
        "SELECT character_set_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = 'subject' AND column_name = 'name'",
        (lab.local,),
    )[0]
    lab.locally(
        "CREATE TABLE @own.fit (name varchar(9) CHARACTER SET {} COLLATE {},"
        " FOREIGN KEY (name) REFERENCES @here.subject (name))".format(*collation)
    )
    removed = {lab.rig.address("lab_a", "lab", "Subject"): {"table": "drop"}}
    document = lab.document(removed=removed)
    plan, report = lab.rig.apply(document)
    assert report.succeeded
    assert plan.removals[0].blocked
    assert lab.blocked(plan)["Session"] == [("error", 1)]
    assert lab.local_and_held()["session"] == {1, 2, 4, 5}
    assert not lab.rig.plan(document).has_changes
    lab.locally("DROP TABLE @own.fit")
    plan, report = lab.rig.apply(document)
    assert report.succeeded
    assert lab.local_and_held()["session"] == {1, 2, 3, 4, 5}
    assert not lab.rig.plan(document).has_changes


OWN = {
    "ALTER TABLE @here.session ADD CONSTRAINT mine FOREIGN KEY (v) REFERENCES @own.codes (v)": (3, 5),
    "ALTER TABLE @here.session__trial ADD CONSTRAINT mine FOREIGN KEY (w) REFERENCES @own.codes (v)": (
        3,
        4,
        5,
    ),
    "ALTER TABLE @here.session ADD CONSTRAINT mine CHECK (v <> 4 OR s > 9)": (4,),
    "ALTER TABLE @here.session__trial ADD CONSTRAINT mine CHECK (w < 5)": (4, 5),
    "ALTER TABLE @here.session ADD UNIQUE KEY mine (name)": (4,),
}


@pytest.mark.parametrize("change", OWN)
def test_what_the_lab_asks_of_its_tables_blocks_what_breaks_it_until_it_is_dropped_as_the_hint_says(
    lab: Lab, change: str
) -> None:
    lab.locally(
        "CREATE TABLE @own.codes (v int PRIMARY KEY)", "INSERT INTO @own.codes VALUES (1), (2), (4)", change
    )
    lab.follow(lab.comes_but(lab.document("Subject"), *OWN[change]))
    lab.all_comes(lab.document("Subject"))


def test_of_new_entities_with_one_value_of_a_unique_key_of_the_labs_own_the_first_comes(lab: Lab) -> None:
    lab.locally("ALTER TABLE @here.session__trial ADD UNIQUE KEY mine (n, w)")
    run_all(lab.rig, "UPDATE {lab}.session__trial SET w = 4 WHERE s > 3")
    try:
        lab.comes_but(lab.document("Subject"), 5)
    finally:
        run_all(lab.rig, "UPDATE {lab}.session__trial SET w = s WHERE s > 3")


def test_a_foreign_key_of_the_labs_own_to_a_linked_table_waits_for_its_rows_without_an_error(
    lab: Lab,
) -> None:
    lab.locally("ALTER TABLE @here.session ADD CONSTRAINT mine FOREIGN KEY (v) REFERENCES @here.peak (p)")
    plan = lab.comes_but(lab.document("Subject"), 4, 5, kind="upstream")
    assert "apply again once that link has pulled it" in lab.hint(plan)


def test_a_row_that_comes_between_plan_and_apply_is_refused_once_and_blocked_then(lab: Lab) -> None:
    document = lab.document()
    with lab.rig.job(document) as job:
        plan = job.plan()
        run_all(lab.rig, "INSERT INTO {lab}.session VALUES (9, 'bob', 9)")
        try:
            report = job.apply(plan, lambda event: None, threading.Event())
            assert not report.succeeded
            assert lab.local_and_held()["session"] == {1, 2, 4, 5}
            again = lab.rig.plan(document)
            assert not again.has_changes
            assert lab.blocked(again)["Session"] == [("error", 2)]
        finally:
            run_all(lab.rig, "DELETE FROM {lab}.session WHERE s = 9")


def test_what_is_held_and_gone_locally_and_breaks_a_rule_stays_held_and_blocked(lab: Lab) -> None:
    document = lab.document("Subject")
    assert lab.rig.apply(document)[1].succeeded
    lab.locally(
        "DELETE FROM @here.peak WHERE s = 4",
        "DELETE FROM @here.wave WHERE s = 4",
        "DELETE FROM @here.session__trial WHERE s = 4",
        "DELETE FROM @here.session WHERE s = 4",
        "ALTER TABLE @here.session ADD CONSTRAINT mine CHECK (v <> 4)",
    )
    plan = lab.rig.plan(document)
    assert lab.blocked(plan)["Session"] == [("error", 1)]
    session = link_of(plan, lab.rig.address("lab_a", "lab", "Session"))
    assert not session.actions
    lab.follow(plan)
    lab.all_comes(document)


def test_part_rows_left_behind_by_their_master_rows_keep_them_out_until_they_are_deleted_as_the_hint_says(
    lab: Lab,
) -> None:
    """Somebody switched foreign key checks off on the local server: what is held stays held."""
    document = lab.document("Subject")
    with lab.rig.servers.local.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION foreign_key_checks = 0")
        for table in ("session", "wave"):
            cursor.execute(f"DELETE FROM `{lab.local}`.{table}")
    plan, report = lab.rig.apply(document)
    assert report.succeeded, report.outcomes
    assert lab.blocked(plan)["Session"] == [("error", 2)]
    assert lab.blocked(plan)["Wave"] == [("upstream", 2)], "held and missing here, below what is blocked"
    session = lab.rig.address("lab_a", "lab", "Session")
    with lab.rig.job(document) as job:
        explanation, _ = explain(job, session, "s=1")
    assert any("no master row" in reason.words for reason in explanation.reasons)
    again = lab.rig.plan(document)
    assert not again.has_changes
    assert lab.blocked(again) == lab.blocked(plan)
    held = lab.rig.run("lab_a", f"SELECT s FROM {lab.rig.outbound_table('lab', 'session')}")
    assert {s for (s,) in held} == {1, 2, 3, 4, 5}, "new ones came, the others stay held"
    lab.locally(*lab.hint(again).split("again: ", 1)[1].split("; "))
    plan, report = lab.rig.apply(document)
    assert report.succeeded, report.outcomes
    assert lab.local_and_held()["session"] == {1, 2, 3, 4, 5}
    assert not lab.rig.plan(document).has_changes


def test_what_a_trigger_of_the_labs_own_refuses_is_refused_alone(lab: Lab) -> None:
    lab.locally(
        "CREATE TRIGGER @here.own BEFORE INSERT ON @here.session FOR EACH ROW"
        " BEGIN IF NEW.v = 4 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not four'; END IF; END"
    )
    _, report = lab.rig.apply(lab.document("Subject"))
    session = next(o for o in report.outcomes if o.address == lab.rig.address("lab_a", "lab", "Session"))
    assert (session.status, session.counts.refused, session.counts.pulled) == ("failed", 1, 2)
    assert "a trigger or a stored function raised an error" in (session.problem or "")
    assert "not four" not in (session.problem or "")  # it may hold values of the row
    assert lab.local_and_held()["session"] == {1, 2, 3, 5}
