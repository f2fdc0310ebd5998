"""Unique values that the lab's own rows hold: the entities concerned are blocked by count, not the link."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Blocked, Pull, Register
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Report
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import ALIKE, CROSSED, Pair
from tests.support.sql import ask, run_all
from tests.support.statements import watched

two = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)

SOURCE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.person (id int PRIMARY KEY, tag varchar(20) COLLATE utf8mb4_unicode_ci, badge int,"
    " UNIQUE KEY by_tag (tag), UNIQUE KEY by_badge (badge))",
    "CREATE TABLE {lab}.person__mail (id int, n int, mail varchar(30), shelf int, PRIMARY KEY (id, n),"
    " UNIQUE KEY by_mail (mail), UNIQUE KEY by_shelf (id, shelf),"
    " FOREIGN KEY (id) REFERENCES {lab}.person (id))",
    "CREATE TABLE {lab}.visit (id int, day int, PRIMARY KEY (id, day),"
    " FOREIGN KEY (id) REFERENCES {lab}.person (id))",
    "CREATE TABLE {lab}.bill (bill int PRIMARY KEY, id int, day int, payer int,"
    " FOREIGN KEY (id, day) REFERENCES {lab}.visit (id, day),"
    " FOREIGN KEY (payer) REFERENCES {lab}.person (id))",
    "CREATE TABLE {lab}.bill__line (bill int, n int, guest int, PRIMARY KEY (bill, n),"
    " FOREIGN KEY (bill) REFERENCES {lab}.bill (bill), FOREIGN KEY (guest) REFERENCES {lab}.person (id))",
    "INSERT INTO {lab}.person VALUES (1, 'ada', 11), (2, 'bob', NULL)",
    "INSERT INTO {lab}.person__mail VALUES (1, 1, 'ada@x', 7), (2, 1, 'bob@x', 7)",
)
# 3 meets a tag (the collation holds them equal), 4 a badge, 5 a mail of a part, 6 nobody
LATER = (
    "INSERT INTO {lab}.person VALUES (3, 'ÉVE', NULL), (4, NULL, 44), (5, 'eli', NULL), (6, NULL, NULL)",
    "INSERT INTO {lab}.person__mail VALUES (5, 1, 'own@x', 1), (6, 1, NULL, 7), (6, 2, NULL, 1)",
    "INSERT INTO {lab}.visit VALUES (1, 1), (3, 1), (3, 2), (6, 1)",
    # by the visit, by the payer, by a guest of a line, and none
    "INSERT INTO {lab}.bill VALUES (31, 3, 1, NULL), (32, 1, 1, 4), (33, 1, 1, 1), (34, 6, 1, NULL)",
    "INSERT INTO {lab}.bill__line VALUES (33, 1, 5), (33, 2, NULL), (34, 1, 6), (34, 2, 1)",
)


@pytest.fixture
def document(rig: Rig) -> dict[str, Any]:
    """A link with two persons pulled, then rows of the lab's own, then new ones at the source."""
    run_all(rig, *SOURCE)
    rig.accounts({"lab_a": ["lab"]})
    document = rig.document({"lab_a": {"lab": {"tables": "*"}}})
    _, report = rig.apply(document)
    assert report.succeeded
    local_schema = rig.local_schema("lab_a", "lab")
    ask(
        rig.servers.local,
        f"INSERT INTO {local_schema}.person VALUES (901, 'éve', NULL), (902, NULL, 44), (903, NULL, NULL)",
    )
    ask(
        rig.servers.local,
        f"INSERT INTO {local_schema}.person__mail VALUES (903, 1, 'own@x', 7), (903, 2, NULL, 1)",
    )
    run_all(rig, *LATER)
    return document


def blocked(rig: Rig, plan: Plan, table: str) -> dict[str, int]:
    """The counts of what is blocked of a link, by the index or the parent in its reason."""
    found = {}
    for block in link_of(plan, rig.address("lab_a", "lab", table)).blocked:
        assert isinstance(block, Blocked)
        assert not block.whole
        if block.kind == "error":
            assert "is used by a local row of your own" in block.reason
            assert "change or delete the local rows" in (block.hint or "")
            found[block.reason.split("`")[1]] = block.count
        else:
            assert block.reason.endswith("are blocked")
            found[block.reason.split()[3].rpartition(".")[2]] = block.count
    return found


def pulls(plan: Plan) -> dict[str, tuple[int, dict[str, int]]]:
    """What is to be pulled by link: entities, and rows of parts."""
    return {
        link.address.rpartition(".")[2]: (a.entities, {n: c for n, c in a.parts if c})
        for link in plan.links
        for a in link.actions
        if isinstance(a, Pull)
    }


def local_keys(rig: Rig, table: str, key: str = "id") -> set[int]:
    local_schema = rig.local_schema("lab_a", "lab")
    return {row[0] for row in ask(rig.servers.local, f"SELECT {key} FROM {local_schema}.{table}")}


def held_keys(rig: Rig, table: str, key: str = "id") -> set[int]:
    return {row[0] for row in rig.run("lab_a", f"SELECT {key} FROM {rig.outbound_table('lab', table)}")}


def outcome(rig: Rig, report: Report, table: str) -> Any:
    return next(o for o in report.outcomes if o.address == rig.address("lab_a", "lab", table))


@two
def test_what_meets_a_row_of_the_labs_own_is_blocked_and_what_needs_it_waits(
    rig: Rig, document: dict[str, Any]
) -> None:
    plan, report = rig.apply(document)
    assert plan.has_errors
    assert blocked(rig, plan, "Person") == {"by_tag": 1, "by_badge": 1, "by_mail": 1}
    assert blocked(rig, plan, "Visit") == {"Person": 2}
    assert blocked(rig, plan, "Bill") == {"Person": 2, "Visit": 1}
    assert pulls(plan) == {
        "Person": (1, {"person__mail": 2}),
        "Visit": (2, {}),
        "Bill": (1, {"bill__line": 2}),
    }
    assert report.succeeded
    assert [o.counts.refused for o in report.outcomes] == [0, 0, 0]
    assert local_keys(rig, "person") == {1, 2, 6, 901, 902, 903}
    assert held_keys(rig, "person") == {1, 2, 6}
    assert held_keys(rig, "visit") == {1, 6}
    assert held_keys(rig, "bill", "bill") == local_keys(rig, "bill", "bill") == {34}


def test_after_an_apply_the_blocked_entities_alone_stand_in_the_plan(
    rig: Rig, document: dict[str, Any]
) -> None:
    first, _ = rig.apply(document)
    second = rig.plan(document)
    assert not second.has_changes
    for table in ("Person", "Visit", "Bill"):
        assert blocked(rig, second, table) == blocked(rig, first, table)


@two
def test_once_the_labs_rows_are_gone_the_entities_and_what_needs_them_are_pulled(
    rig: Rig, document: dict[str, Any]
) -> None:
    rig.apply(document)
    local_schema = rig.local_schema("lab_a", "lab")
    ask(rig.servers.local, f"DELETE FROM {local_schema}.person__mail WHERE id > 900")
    ask(rig.servers.local, f"DELETE FROM {local_schema}.person WHERE id > 900")
    plan, report = rig.apply(document)
    assert not plan.has_errors
    assert report.succeeded
    assert local_keys(rig, "person") == held_keys(rig, "person") == {1, 2, 3, 4, 5, 6}
    assert local_keys(rig, "bill", "bill") == {31, 32, 33, 34}
    after = rig.plan(document)
    assert not after.has_changes
    assert not after.has_errors


def test_entities_that_are_not_wanted_or_asked_back_are_not_counted_as_blocked(
    rig: Rig, document: dict[str, Any]
) -> None:
    requests = rig.outbound_table("lab", "person_deletion_requested")
    rig.run("lab_a", f"INSERT INTO {requests} (id) VALUES (3)")
    tables = {"*": {}, "Person": {"where": "id <> 4"}}
    document["sources"]["lab_a"]["schemas"] = {rig.names("lab"): {"tables": tables}}
    plan = rig.plan(document)
    assert blocked(rig, plan, "Person") == {"by_mail": 1}
    assert blocked(rig, plan, "Visit") == {}
    assert blocked(rig, plan, "Bill") == {"Person": 1}


def test_a_row_that_came_after_the_plan_is_refused_by_the_server_and_the_rest_goes_on(
    rig: Rig, document: dict[str, Any]
) -> None:
    local_schema = rig.local_schema("lab_a", "lab")
    run_all(rig, "INSERT INTO {lab}.person VALUES (7, 'late', NULL)", "INSERT INTO {lab}.visit VALUES (7, 1)")
    with rig.job(document) as job:
        plan = job.plan()
        ask(rig.servers.local, f"INSERT INTO {local_schema}.person VALUES (904, 'late', NULL)")
        report = job.apply(plan, quiet, threading.Event())
    person = outcome(rig, report, "Person")
    assert (person.status, person.counts.refused, person.counts.pulled) == ("failed", 1, 1)
    assert "refused 1 entity" in person.problem
    assert "person.by_tag" in person.problem  # the key in the server's own words, and not the value
    visit = outcome(rig, report, "Visit")
    assert (visit.status, visit.counts.pulled) == ("done", 2)
    assert held_keys(rig, "person") == {1, 2, 6}
    assert held_keys(rig, "visit") == {1, 6}
    again = rig.plan(document)
    assert not again.has_changes
    assert blocked(rig, again, "Person") == {"by_tag": 2, "by_badge": 1, "by_mail": 1}
    assert blocked(rig, again, "Visit") == {"Person": 3}


def test_what_needs_a_parent_whose_local_row_differs_waits_too(rig: Rig, document: dict[str, Any]) -> None:
    local_schema = rig.local_schema("lab_a", "lab")
    ask(rig.servers.local, f"INSERT INTO {local_schema}.person VALUES (6, 'mine', NULL)")
    plan, report = rig.apply(document)
    person = link_of(plan, rig.address("lab_a", "lab", "Person"))
    assert [b.count for b in person.blocked if "differ from their source rows" in b.reason] == [1]
    assert blocked(rig, plan, "Visit") == {"Person": 3}
    assert pulls(plan) == {"Visit": (1, {})}
    assert report.succeeded
    assert not rig.plan(document).has_changes


def test_a_local_row_equal_to_its_source_is_registered_and_what_needs_it_comes(
    rig: Rig, document: dict[str, Any]
) -> None:
    local_schema = rig.local_schema("lab_a", "lab")
    ask(rig.servers.local, f"INSERT INTO {local_schema}.person VALUES (6, NULL, NULL)")
    ask(rig.servers.local, f"INSERT INTO {local_schema}.person__mail VALUES (6, 1, NULL, 7), (6, 2, NULL, 1)")
    plan, report = rig.apply(document)
    person = link_of(plan, rig.address("lab_a", "lab", "Person"))
    assert [a.entities for a in person.actions if isinstance(a, Register)] == [1]
    assert blocked(rig, plan, "Visit") == {"Person": 2}
    assert report.succeeded
    assert held_keys(rig, "visit") == {1, 6}
    assert not rig.plan(document).has_changes


def test_of_the_labs_rows_their_unique_values_travel_and_without_such_rows_nothing(
    rig: Rig, document: dict[str, Any]
) -> None:
    with watched(prefix=rig.names("")) as told:
        rig.plan(document)
    taken = [s.text for s in told if "~djlink_taken" in s.text and "INSERT INTO" in s.text]
    assert taken
    assert not any("ada" in text or "bob" in text for text in taken)
    local_schema = rig.local_schema("lab_a", "lab")
    ask(rig.servers.local, f"DELETE FROM {local_schema}.person__mail WHERE id > 900")
    ask(rig.servers.local, f"DELETE FROM {local_schema}.person WHERE id > 900")
    with watched(prefix=rig.names("")) as told:
        rig.plan(document)
    assert not any("~djlink_taken" in s.text or "~djlink_stuck" in s.text for s in told)


@pytest.mark.parametrize("servers", [Pair("mariadb", "mariadb")], indirect=True, ids=str)
def test_a_whole_text_that_is_unique_is_left_to_the_local_server(rig: Rig) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.page (id int PRIMARY KEY, body longtext, doc json, UNIQUE KEY by_body (body),"
        " UNIQUE KEY by_doc (doc))",
        "INSERT INTO {lab}.page VALUES (1, 'one', '1')",
    )
    rig.accounts({"lab_a": ["lab"]})
    document = rig.document({"lab_a": {"lab": {"tables": "*"}}})
    assert rig.apply(document)[1].succeeded
    local_schema = rig.local_schema("lab_a", "lab")
    ask(rig.servers.local, f"INSERT INTO {local_schema}.page VALUES (901, 'own', '[]'), (902, NULL, NULL)")
    run_all(rig, "INSERT INTO {lab}.page VALUES (2, 'own', '2'), (3, 'three', NULL), (4, NULL, '4')")
    plan, report = rig.apply(document)
    assert not plan.has_errors
    assert pulls(plan) == {"Page": (3, {})}
    page = outcome(rig, report, "Page")
    assert (page.status, page.counts.refused, page.counts.pulled) == ("failed", 1, 2)
    assert held_keys(rig, "page") == {1, 3, 4}
    assert local_keys(rig, "page") == {1, 3, 4, 901, 902}


@two
@pytest.mark.parametrize("changed", ["report", "mend"])
def test_a_value_that_the_source_moved_to_a_new_entity_is_blocked_until_the_old_row_is_refilled(
    rig: Rig, document: dict[str, Any], changed: str
) -> None:
    local_schema = rig.local_schema("lab_a", "lab")
    for table in ("person__mail", "person"):
        ask(rig.servers.local, f"DELETE FROM {local_schema}.{table} WHERE id > 900")
    assert rig.apply(document)[1].succeeded
    run_all(
        rig,
        "UPDATE {lab}.person SET tag = 'old' WHERE id = 1",
        "UPDATE {lab}.person__mail SET mail = 'old@x' WHERE id = 2",
        "INSERT INTO {lab}.person VALUES (7, 'Ada', NULL), (8, NULL, NULL), (9, NULL, NULL)",
        "INSERT INTO {lab}.person__mail VALUES (8, 1, 'bob@x', NULL)",
        "INSERT INTO {lab}.visit VALUES (7, 1), (9, 1)",
    )
    document = {**document, "defaults": {**document["defaults"], "changed": changed}}
    plan, report = rig.apply(document)
    assert report.succeeded, report.outcomes
    assert {7, 8, 9} & held_keys(rig, "person") == {9}
    again = rig.plan(document)
    assert not again.has_changes
    for each in (plan, again):
        person = link_of(each, rig.address("lab_a", "lab", "Person"))
        kind = "upstream" if changed == "mend" else "error"
        assert [(b.kind, b.count) for b in person.blocked] == [(kind, 1), (kind, 1)]
        assert "by_tag" in person.blocked[0].reason
        assert "by_mail" in person.blocked[1].reason
        assert blocked(rig, each, "Visit") == {"Person": 1}
    # what the hint says
    document = {**document, "defaults": {**document["defaults"], "changed": "mend"}}
    with rig.job(document) as job:
        assert job.apply(job.plan(verify=True), quiet, threading.Event()).succeeded
    assert rig.apply(document)[1].succeeded
    assert {7, 8, 9} <= local_keys(rig, "person") & held_keys(rig, "person")
    assert local_keys(rig, "visit") >= {7, 9}
    assert not rig.plan(document).has_changes


@two
def test_what_refers_to_a_part_row_that_is_not_here_yet_waits_for_it(rig: Rig) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.day (id int PRIMARY KEY, v int)",
        "CREATE TABLE {lab}.day__hour (id int, h int, v int, PRIMARY KEY (id, h),"
        " FOREIGN KEY (id) REFERENCES {lab}.day (id))",
        "CREATE TABLE {lab}.note (n int PRIMARY KEY, id int, h int,"
        " FOREIGN KEY (id, h) REFERENCES {lab}.day__hour (id, h))",
        "CREATE TABLE {lab}.mark (m int PRIMARY KEY, n int NOT NULL,"
        " FOREIGN KEY (n) REFERENCES {lab}.note (n))",
        "INSERT INTO {lab}.day VALUES (1, 1), (2, 2)",
        "INSERT INTO {lab}.day__hour VALUES (1, 1, 0), (2, 1, 0)",
        "INSERT INTO {lab}.note VALUES (1, 1, 1)",
    )
    rig.accounts({"lab_a": ["lab"]})
    document = rig.document({"lab_a": {"lab": {"tables": "*"}}})
    assert rig.apply(document)[1].succeeded
    # 2 refers to a new part row of what is held, 3 to one that is here, 4 to one of a new day, 5 to none
    run_all(
        rig,
        "INSERT INTO {lab}.day VALUES (3, 3)",
        "INSERT INTO {lab}.day__hour VALUES (1, 2, 0), (3, 1, 0)",
        "UPDATE {lab}.day__hour SET v = 1 WHERE id = 2",
        "INSERT INTO {lab}.note VALUES (2, 1, 2), (3, 2, 1), (4, 3, 1), (5, NULL, 2)",
        "INSERT INTO {lab}.mark VALUES (20, 2), (30, 3)",
    )
    plan, report = rig.apply(document)
    assert report.succeeded, report.outcomes
    again = rig.plan(document)
    assert not again.has_changes
    for each in (plan, again):
        note, mark = (link_of(each, rig.address("lab_a", "lab", name)).blocked for name in ("Note", "Mark"))
        assert [(b.kind, b.count) for b in note] == [("error", 1)]
        assert "day__hour" in note[0].reason
        assert [(b.kind, b.count) for b in mark] == [("upstream", 1)]
    assert local_keys(rig, "note", "n") == {1, 3, 4, 5}
    document = {**document, "defaults": {**document["defaults"], "changed": "mend"}}
    with rig.job(document) as job:
        assert job.apply(job.plan(verify=True), quiet, threading.Event()).succeeded
    assert rig.apply(document)[1].succeeded
    assert local_keys(rig, "note", "n") == {1, 2, 3, 4, 5}
    assert local_keys(rig, "mark", "m") == {20, 30}
    assert not rig.plan(document).has_changes
