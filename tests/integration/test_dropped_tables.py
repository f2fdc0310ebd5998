"""Local tables that somebody dropped: they come back with all their rows, whatever the source asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Approve, CreateLocal, Delete, PullAgain, Release
from djlink_manifest.reconcile.plan.plan import Plan
from tests.support.faults.scene import SourceLinks, evenly, set_up
from tests.support.pipelines.deletion import (
    TABLES,
    approvals,
    auto,
    deletes,
    document,
    local,
    of,
    outbound,
    request,
    with_approvals,
)
from tests.support.rig import Rig, own_rig
from tests.support.servers import ALIKE, Servers
from tests.support.snapshots import Saved
from tests.support.sql import ask, run_all

MASTERS = {"subject": "name", "session": "name, n", "spikes": "id"}
PARTS = {"session__trial": "name, n, k"}
TRIES = 12


class Lab:
    """A linked pipeline that is brought back to its beginning before each test."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        run_all(rig, *TABLES)
        rig.accounts({"lab_a": ["lab"]})
        _, report = rig.apply(document(rig))
        assert report.succeeded
        self.local = rig.local_schema("lab_a", "lab")
        self.before = Saved.of(rig.servers.lab_a, rig.outbound), Saved.of(rig.servers.local, self.local)
        self.source = [rig.run("lab_a", f"SELECT * FROM {{lab}}.{name}") for name in (*MASTERS, *PARTS)]

    def put_back(self) -> None:
        local = self.rig.servers.local
        if not ask(local, "SHOW DATABASES LIKE %s", (self.local,)):
            ask(local, f"CREATE DATABASE `{self.local}`")
        self.before[0].put_back(self.rig.servers.lab_a)
        self.before[1].put_back(local)

    def drop(self, *names: str) -> None:
        """Drop local tables, as a person does who knows how."""
        self.locally(f"DROP TABLE {', '.join(f'`{self.local}`.`{name}`' for name in names)}")

    def locally(self, *statements: str) -> None:
        with self.rig.servers.local.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            for statement in statements:
                cursor.execute(statement)

    def is_whole(self) -> None:
        """All that outbound holds is here with its parts, and all that the source has is held."""
        for name, rows in zip((*MASTERS, *PARTS), self.source, strict=True):
            assert local(self.rig, name) == set(rows), name
        for name, key in MASTERS.items():
            assert set(outbound(self.rig, name, key)) == local(self.rig, name, key), name

    def apply(self, doc: dict[str, Any]) -> Plan:
        plan, report = self.rig.apply(doc)
        assert report.succeeded, report.outcomes
        return plan

    def rests(self, doc: dict[str, Any]) -> Plan:
        """One more apply at most, and then nothing is to be done."""
        self.apply(doc)
        plan = self.rig.plan(doc)
        assert not plan.has_changes, [p.actions for p in plan.links]
        return plan


@pytest.fixture(scope="module")
def made(servers: Servers) -> Iterator[Lab]:
    with own_rig(servers) as rig:
        yield Lab(rig)


@pytest.fixture
def lab(made: Lab) -> Lab:
    made.put_back()
    return made


pytestmark = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str, scope="module")

SPIKES = ("spikes", "spikes__deletion_requested")
SESSION = ("session__deletion_requested", "session__trial", "session")
SUBJECT = ("subject__deletion_requested", "subject")
DROPPED = {
    "the requested table": SUBJECT,
    "a table below it": SPIKES,
    "all tables": (*SPIKES, *SESSION, *SUBJECT),
    "all and the marks": (*SPIKES, *SESSION, *SUBJECT, "~djlink", "~lineage"),
}


@pytest.mark.parametrize("dropped", DROPPED)
def test_a_dropped_table_comes_back_with_what_is_held_and_the_request_awaits_its_review(
    lab: Lab, dropped: str
) -> None:
    rig = lab.rig
    request(rig, "subject", "name = 'ann'")
    request(rig, "spikes", "id = 2")
    lab.drop(*DROPPED[dropped])
    plan = lab.apply(document(rig))
    assert not [a for p in plan.links for a in p.actions if isinstance(a, Approve | Release | Delete)]
    lab.is_whole()
    lab.rests(document(rig))
    lab.is_whole()
    assert local(rig, "subject__deletion_requested", "name") == {("ann",)}
    assert [b.kind for b in of(rig, rig.plan(document(rig)), "Subject").blocked] == ["review"]


def test_a_dropped_schema_comes_back_with_what_is_held(lab: Lab) -> None:
    request(lab.rig, "subject", "name = 'ann'")
    ask(lab.rig.servers.local, f"DROP DATABASE `{lab.local}`")
    lab.apply(document(lab.rig))
    lab.is_whole()
    lab.rests(document(lab.rig))


def test_what_is_approved_waits_until_a_dropped_table_below_is_filled_and_goes_then(lab: Lab) -> None:
    rig, doc = lab.rig, document(lab.rig)
    request(rig, "subject", "name = 'ann'")
    agreed = with_approvals(doc, approvals(rig, doc))
    lab.drop(*SPIKES)
    plan = lab.apply(agreed)
    [waits] = of(rig, plan, "Subject").blocked
    assert (waits.kind, waits.count) == ("upstream", 1)
    assert rig.address("lab_a", "lab", "Spikes") in waits.reason
    lab.is_whole()
    lab.apply(agreed)
    assert local(rig, "subject", "name") == {("bob",), ("eve",)}
    assert local(rig, "spikes", "id") == {(2,), (3,)}
    assert outbound(rig, "spikes", "id") == [(2,), (3,)]
    assert outbound(rig, "subject_deletion_approved", "name") == [("ann",)]
    lab.rests(doc)


@pytest.mark.parametrize("table", ["subject", "spikes"])
def test_under_auto_a_dropped_table_is_filled_first_and_its_requests_go_with_the_next_apply(
    lab: Lab, table: str
) -> None:
    rig, doc = lab.rig, auto(lab.rig)
    request(rig, "subject", "name = 'ann'")
    lab.drop(*(SUBJECT if table == "subject" else SPIKES))
    lab.apply(doc)
    assert local(rig, "subject", "name") == {("ann",), ("bob",), ("eve",)}
    lab.apply(doc)
    assert local(rig, "subject", "name") == {("bob",), ("eve",)}
    assert local(rig, "session", "name") == {("bob",), ("eve",)}
    assert outbound(rig, "spikes", "id") == [(2,), (3,)]
    lab.rests(doc)


def test_rows_that_a_person_deleted_are_a_decision_and_are_approved(lab: Lab) -> None:
    request(lab.rig, "spikes", "id IN (1, 2)")
    lab.locally(f"TRUNCATE `{lab.local}`.spikes")
    plan = lab.apply(document(lab.rig))
    kinds = {type(a): a.entities for a in of(lab.rig, plan, "Spikes").actions if hasattr(a, "entities")}
    assert kinds == {Approve: 2, PullAgain: 1}
    assert local(lab.rig, "spikes", "id") == {(3,)}
    lab.rests(document(lab.rig))


def test_what_was_kept_though_wanted_no_longer_comes_back_and_what_is_to_be_released_goes(lab: Lab) -> None:
    rig = lab.rig
    for unwanted in ("keep", "release"):
        lab.put_back()
        tables: dict[str, Any] = {"Subject": {}, "Session": {}}
        tables["Spikes"] = {"where": "id <> 3", "unwanted": unwanted}
        lab.drop(*SPIKES)
        lab.apply(document(rig, tables))
        kept = {(1,), (2,), (3,)} if unwanted == "keep" else {(1,), (2,)}
        assert local(rig, "spikes", "id") == set(outbound(rig, "spikes", "id")) == kept
        lab.rests(document(rig, tables))


def test_what_hangs_on_a_row_that_a_person_deleted_is_let_go_with_it(lab: Lab) -> None:
    """The table below was dropped, the row above deleted: a decision about all that hung on it."""
    rig, doc = lab.rig, document(lab.rig)
    request(rig, "subject", "name = 'ann'")
    request(rig, "spikes", "id = 1")
    lab.drop(*SPIKES)
    lab.locally(
        *(
            f"DELETE FROM `{lab.local}`.{t} WHERE name = 'ann'"
            for t in ("session__trial", "session", "subject")
        )
    )
    lab.apply(doc)
    assert local(rig, "subject", "name") == set(outbound(rig, "subject", "name")) == {("bob",), ("eve",)}
    assert local(rig, "session", "name") == set(outbound(rig, "session", "name")) == {("bob",), ("eve",)}
    assert local(rig, "spikes", "id") == set(outbound(rig, "spikes", "id")) == {(2,), (3,)}
    assert outbound(rig, "spikes_deletion_approved", "id") == [(1,)]
    lab.rests(doc)


@pytest.mark.parametrize("part", ["session__trial", "session__deletion_requested"])
def test_a_part_dropped_alone_comes_back(lab: Lab, part: str) -> None:
    rig, doc = lab.rig, document(lab.rig)
    request(rig, "session", "name = 'eve'")
    lab.apply(doc)
    lab.drop(part)
    lab.apply(doc)
    lab.rests(doc)
    assert local(rig, "session__deletion_requested", "name, n") == {("eve", 1)}
    asked = rig.outbound_table("lab", "session_deletion_requested")
    rig.run("lab_a", f"DELETE FROM {asked}")
    lab.rests(doc)
    lab.is_whole()


def test_a_master_dropped_without_its_parts_is_blocked_with_the_statement_that_lets_it_come_back(
    lab: Lab,
) -> None:
    lab.drop("session")
    [blocked] = of(lab.rig, lab.rig.plan(document(lab.rig)), "Session").blocked
    assert blocked.hint is not None
    statement = blocked.hint.partition(": ")[2].partition(";")[0]
    assert statement.startswith("DROP TABLE ")
    lab.locally(statement)
    lab.apply(document(lab.rig))
    lab.is_whole()
    lab.rests(document(lab.rig))


def test_marks_dropped_alone_are_blocked_and_adopt_takes_the_tables_over(lab: Lab) -> None:
    lab.drop("~djlink")
    plan = lab.rig.plan(document(lab.rig))
    assert all("djlink adopt" in (p.blocked[0].hint or "") for p in plan.links if p.wave == 1)
    assert not plan.has_changes


OUTBOUND = ("_deletion_requested", "_deletion_approved", "_history", "")


@pytest.mark.parametrize("ending", OUTBOUND)
def test_outbound_tables_dropped_below_a_deletion_are_made_before_it(lab: Lab, ending: str) -> None:
    rig, doc = lab.rig, auto(lab.rig)
    request(rig, "subject", "name = 'ann'")
    rig.run("lab_a", f"DROP TABLE {rig.outbound_table('lab', 'spikes' + ending)}")
    lab.apply(doc)
    lab.apply(doc)
    assert local(rig, "subject", "name") == {("bob",), ("eve",)}
    assert local(rig, "spikes", "id") == set(outbound(rig, "spikes", "id")) == {(2,), (3,)}
    lab.rests(doc)


@pytest.mark.parametrize("how", ["keep", "drop"])
def test_a_link_whose_table_was_dropped_can_be_taken_out_while_requests_are_open(lab: Lab, how: str) -> None:
    rig = lab.rig
    request(rig, "subject", "name = 'ann'")
    request(rig, "spikes", "id = 1")
    lab.drop(*SPIKES)
    tables: dict[str, Any] = {"Subject": {}, "Session": {}}
    removed = {rig.address("lab_a", "lab", "Spikes"): {"table": how}}
    doc = document(rig, tables, removed=removed)
    lab.apply(doc)
    assert rig.run("lab_a", f"SHOW TABLES IN `{rig.outbound}` LIKE '%spikes'") == []
    lab.rests(doc)


def test_an_apply_that_is_killed_while_a_dropped_table_is_filled_approves_nothing(
    lab: Lab, servers: Servers
) -> None:
    rig = lab.rig
    request(rig, "spikes", "id IN (1, 2)")
    lab.drop(*SPIKES)
    doc = document(rig)
    with rig.job(doc) as job:
        links = job.links
    local = Saved.of(servers.local, lab.local), Saved.of(servers.lab_a, rig.outbound)
    with set_up(rig, links) as found:
        answer = found.applier(manifest=str(found.manifest))
        assert not answer["problems"]
        made, faults = answer["changes"], list[str]()
        cases = [(n, False) for n in evenly(range(1, len(made) + 1), TRIES)]
        for at, sent in [*cases, (len(made), True)]:
            try:
                local[0].put_back(servers.local)
                local[1].put_back(servers.lab_a)
                assert found.applier(manifest=str(found.manifest), at=at, sent=sent) == {"killed": 9}
                found.wait_for_the_dead()
                check_is_protected(lab, found)
                answer = found.applier(manifest=str(found.manifest))
                assert not answer["problems"]
                lab.is_whole()
                lab.rests(doc)
            except AssertionError as error:
                faults.append(f"change {at}, sent {sent}: {made[at - 1]}: {str(error)[:800]}")
        assert not faults, "\n".join(faults)


def check_is_protected(lab: Lab, found: SourceLinks) -> None:
    assert len(outbound(lab.rig, "spikes", "id")) == 3
    assert outbound(lab.rig, "spikes_deletion_approved", "id") == []


def test_the_tables_made_come_before_the_deletions_in_a_plan(lab: Lab) -> None:
    rig = lab.rig
    request(rig, "subject", "name = 'ann'")
    rig.run("lab_a", f"DROP TABLE {rig.outbound_table('lab', 'subject_history')}")
    lab.drop("session__deletion_requested")
    plan = rig.plan(auto(rig))
    kinds = [type(a) for a in of(rig, plan, "Session").actions]
    assert kinds[:1] == [CreateLocal]
    assert not deletes(of(rig, plan, "Session"))
