"""Parts that reach their master over other parts: linked, compared, refilled, deleted with their entity."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Delete, Refill
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from tests.support.definitions import every_value
from tests.support.notebooks import Notebook, notebook
from tests.support.pipelines.owners import Source, new_source
from tests.support.rig import Rig, link_of
from tests.support.servers import ALIKE, PAIRS
from tests.support.sql import ask, run_all

__all__ = ["notebook"]

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.rig (r int PRIMARY KEY)",
    "CREATE TABLE {lab}.scan (subject varchar(9), n int, v int, PRIMARY KEY (n, subject))",
    "CREATE TABLE {lab}.scan__trial (k int, subj varchar(9), scan int, v int, PRIMARY KEY (subj, scan, k),"
    " FOREIGN KEY (scan, subj) REFERENCES {lab}.scan (n, subject))",
    # by the names of its master's columns for other ones, and before `trial` in the alphabet
    "CREATE TABLE {lab}.scan__stim (subject varchar(9), n int, tr int, s int, v int, r int,"
    " PRIMARY KEY (subject, n, tr, s),"
    " FOREIGN KEY (subject, n, tr) REFERENCES {lab}.scan__trial (subj, scan, k),"
    " FOREIGN KEY (r) REFERENCES {lab}.rig (r))",
    # over two ways, three steps deep
    "CREATE TABLE {lab}.scan__frame (a varchar(9), b int, c int, d int, f int, w double,"
    " PRIMARY KEY (a, b, c, d, f), FOREIGN KEY (a, b, c, d) REFERENCES {lab}.scan__stim (subject, n, tr, s),"
    " FOREIGN KEY (a, b, c) REFERENCES {lab}.scan__trial (subj, scan, k))",
    # by columns that may be NULL, and are not of its key
    "CREATE TABLE {lab}.scan__pick (p int PRIMARY KEY, a varchar(9), b int, c int,"
    " FOREIGN KEY (a, b, c) REFERENCES {lab}.scan__trial (subj, scan, k))",
    # a circle of parts
    "CREATE TABLE {lab}.scan__loop_a (subject varchar(9), n int, i int, j int, PRIMARY KEY (subject, n, i),"
    " FOREIGN KEY (n, subject) REFERENCES {lab}.scan (n, subject))",
    "CREATE TABLE {lab}.scan__loop_b (subject varchar(9), n int, j int, i int NOT NULL,"
    " PRIMARY KEY (subject, n, j),"
    " FOREIGN KEY (subject, n, i) REFERENCES {lab}.scan__loop_a (subject, n, i))",
    "ALTER TABLE {lab}.scan__loop_a ADD FOREIGN KEY (subject, n, j)"
    " REFERENCES {lab}.scan__loop_b (subject, n, j)",
    # named as a part, and none
    "CREATE TABLE {lab}.scan__alone (id int PRIMARY KEY)",
    "INSERT INTO {lab}.rig VALUES (1), (2)",
    "INSERT INTO {lab}.scan VALUES ('ann', 1, 1), ('ann', 2, 2), ('bob', 1, 3)",
    "INSERT INTO {lab}.scan__trial SELECT 7, subject, n, 0 FROM {lab}.scan",
    "INSERT INTO {lab}.scan__stim SELECT subj, scan, k, 3, 0, 1 FROM {lab}.scan__trial",
    "INSERT INTO {lab}.scan__frame SELECT subject, n, tr, s, 5, 0.1 FROM {lab}.scan__stim",
    "INSERT INTO {lab}.scan__pick VALUES (1, 'ann', 1, 7), (2, 'bob', 1, 7), (3, 'bob', 1, 7)",
    "INSERT INTO {lab}.scan__loop_a VALUES ('ann', 1, 1, NULL)",
    "INSERT INTO {lab}.scan__loop_b VALUES ('ann', 1, 1, 1)",
    "UPDATE {lab}.scan__loop_a SET j = 1",
)
PARTS = ("scan__trial", "scan__stim", "scan__frame", "scan__pick", "scan__loop_a", "scan__loop_b")


def document(rig: Rig, tables: Any = None, **defaults: Any) -> dict[str, Any]:
    made = rig.document({"lab_a": {"lab": {"tables": tables or ["Scan", "Rig"]}}})
    made["defaults"].update(defaults)
    return made


def scan(rig: Rig, plan: Plan) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", "Scan"))


def local_schema(rig: Rig) -> str:
    return rig.local_schema("lab_a", "lab")


def verified(rig: Rig, doc: dict[str, Any]) -> Plan:
    with rig.job(doc) as job:
        return job.plan(verify=True)


def is_level(rig: Rig, *parts: str) -> None:
    for table in ("scan", *PARTS, *parts):
        source_rows = every_value(rig.servers.lab_a, rig.names("lab"), table)
        assert every_value(rig.servers.local, local_schema(rig), table) == source_rows, table
    plan = verified(rig, document(rig))
    assert not plan.has_changes
    assert not plan.has_errors
    assert scan(rig, plan).drift == ()


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    plan, report = rig.apply(document(rig))
    assert report.succeeded, report.outcomes
    assert plan.refusals == ()
    return rig


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_parts_of_parts_are_pulled_compared_mended_and_deleted_with_their_entity(lab: Rig) -> None:
    is_level(lab)
    keys = ask(
        lab.servers.local,
        "SELECT DISTINCT TABLE_NAME, REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE"
        " WHERE TABLE_SCHEMA = %s AND REFERENCED_TABLE_NAME IS NOT NULL",
        (local_schema(lab),),
    )
    assert {k for k in keys if "requested" not in k[0]} == {
        ("scan__trial", "scan"),
        ("scan__stim", "scan__trial"),
        ("scan__stim", "rig"),
        ("scan__frame", "scan__stim"),
        ("scan__frame", "scan__trial"),
        ("scan__pick", "scan__trial"),
        ("scan__loop_a", "scan"),
        ("scan__loop_b", "scan__loop_a"),
    }
    # of the source: another value, a row less, a row more, each at another depth
    run_all(
        lab,
        "UPDATE {lab}.scan__frame SET w = 0.2 WHERE b = 2",
        "DELETE FROM {lab}.scan__pick WHERE p = 2",
        "INSERT INTO {lab}.scan__trial VALUES (8, 'bob', 1, 1)",
        "INSERT INTO {lab}.scan__stim VALUES ('bob', 1, 8, 1, 1, 2)",
    )
    [refill] = [
        a for a in scan(lab, verified(lab, document(lab, changed="mend"))).actions if isinstance(a, Refill)
    ]
    assert refill.entities == 2
    with lab.job(document(lab, changed="mend")) as job:
        report = job.apply(job.plan(verify=True), lambda event: None, threading.Event())
    assert report.succeeded, report.outcomes
    is_level(lab)
    # rows lost here are counted without --verify
    ask(lab.servers.local, f"DELETE FROM `{local_schema(lab)}`.scan__frame WHERE b = 2")
    incomplete = scan(lab, lab.plan(document(lab)))
    assert any("scan__frame" in str(each) for each in (*incomplete.drift, *incomplete.actions)), incomplete
    # a deletion takes along all of it
    asked = lab.outbound_table("lab", "scan_deletion_requested")
    lab.run("lab_a", f"INSERT INTO {asked} (subject, n) VALUES ('ann', 1), ('ann', 2)")
    plan, report = lab.apply(document(lab, deletions="auto", max_deletions="100%"))
    assert [(a.entities) for a in scan(lab, plan).actions if isinstance(a, Delete)] == [2]
    assert report.succeeded, report.outcomes
    left = {t: len(every_value(lab.servers.local, local_schema(lab), t)) for t in ("scan", *PARTS)}
    assert left == {
        "scan": 1,
        "scan__trial": 2,
        "scan__stim": 2,
        "scan__frame": 1,
        "scan__pick": 1,
        "scan__loop_a": 0,
        "scan__loop_b": 0,
    }


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_part_of_a_part_that_the_source_adds_later_is_made_and_filled(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.scan__deep (a varchar(9), b int, c int, d int, f int, g int, t text,"
        " PRIMARY KEY (a, b, c, d, f, g),"
        " FOREIGN KEY (a, b, c, d, f) REFERENCES {lab}.scan__frame (a, b, c, d, f))",
        "INSERT INTO {lab}.scan__deep SELECT a, b, c, d, f, 1, 'x' FROM {lab}.scan__frame",
    )
    plan, report = lab.apply(document(lab))
    assert [a.entities for a in scan(lab, plan).actions if isinstance(a, Refill)] == [3]
    assert report.succeeded, report.outcomes
    is_level(lab, "scan__deep")
    run_all(lab, "DROP TABLE {lab}.scan__deep")
    plan, _ = lab.apply(document(lab))
    assert any("the source dropped its part" in str(words) for words in scan(lab, plan).drift)


def test_what_an_earlier_version_linked_without_them_is_completed(lab: Rig) -> None:
    """The mark of an earlier version: another digest, and no word of the parts."""
    for table in ("scan__frame", "scan__stim", "scan__pick"):
        ask(lab.servers.local, f"DROP TABLE `{local_schema(lab)}`.{table}")
    made = json.dumps({"scan": ["subject", "n", "v"], "scan__trial": ["k", "subj", "scan", "v"]})
    for server, schema in ((lab.servers.local, local_schema(lab)), (lab.servers.lab_a, lab.outbound)):
        ask(
            server,
            f"UPDATE `{schema}`.`~djlink` SET definition = REPEAT('0', 64) WHERE source_table = 'scan'",
        )
    ask(
        lab.servers.local,
        f"UPDATE `{local_schema(lab)}`.`~djlink` SET made = %s WHERE source_table = 'scan'",
        (made,),
    )
    assert lab.apply(document(lab))[1].succeeded
    is_level(lab)


def test_a_table_that_is_only_named_as_a_part_is_refused_and_its_master_is_not(lab: Rig) -> None:
    plan, report = lab.apply(document(lab, "*"))
    told = {r.address: r.reason for r in plan.refusals}
    assert told == {
        lab.address("lab_a", "lab", "Scan.Alone"): (
            "its name is that of a part of `scan`, but its foreign keys do not lead to that table"
        )
    }
    assert not scan(lab, plan).blocked
    assert report.succeeded


def test_a_part_without_its_masters_key_and_one_behind_a_hidden_part_are_refused(lab: Rig) -> None:
    run_all(
        lab,
        "ALTER TABLE {lab}.scan__pick ADD UNIQUE KEY pc (p, c)",
        "CREATE TABLE {lab}.scan__far (p int, q int, PRIMARY KEY (p, q),"
        " FOREIGN KEY (p) REFERENCES {lab}.scan__pick (p))",
    )
    plan = lab.plan(document(lab))
    words = " ".join(b.reason for b in scan(lab, plan).blocked) + " ".join(r.reason for r in plan.refusals)
    assert (
        "its part `scan__far` refers to `scan__pick` by columns that do not contain the whole primary key"
        in words
    )
    run_all(lab, "DROP TABLE {lab}.scan__far")
    link, schema = f"'{lab.names('link')}'@'%'", lab.names("lab")
    pattern = schema.replace("_", r"\_")
    lab.run("lab_a", f"REVOKE SELECT, REFERENCES ON `{pattern}`.* FROM {link}")
    for table in ("rig", "scan", *(part for part in PARTS if part != "scan__trial")):
        lab.run("lab_a", f"GRANT SELECT, REFERENCES ON {{lab}}.{table} TO {link}")
    plan = lab.plan(document(lab))
    words = " ".join(b.reason for b in scan(lab, plan).blocked) + " ".join(r.reason for r in plan.refusals)
    assert "`scan__trial`, a part that does not exist or is not visible to the link user" in words


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_the_owner_asks_and_deletes_with_parts_of_parts(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    source: Source = new_source(rig, capsys)
    run_all(
        rig,
        "CREATE TABLE {lab}.session__stim (i int, d date, k int, s int, PRIMARY KEY (i, d, k, s),"
        " FOREIGN KEY (i, d, k) REFERENCES {lab}.session__trial (id, day, trial))",
        "INSERT INTO {lab}.session__stim SELECT id, day, trial, 1 FROM {lab}.session__trial",
    )
    source.link("atlas", {"lab": {"tables": {"Session": {"where": "id < 4"}}}})
    assert source.says("request", "Session", "id=3", "--reason", "x", "--yes")[0] == 0
    source.approve("atlas", "lab_session", "id, day")
    code, out, err = source.says("delete", "Session", "id=3", "--yes")
    assert code == 0, out + err
    assert rig.run("lab_a", "SELECT i FROM {lab}.session__stim ORDER BY i") == [(1,), (2,), (4,)]


def test_classes_have_parts_of_parts_and_a_delete_takes_their_rows_along(notebook: Notebook) -> None:
    run_all(
        notebook.rig,
        "CREATE TABLE {lab}.session__stim (subject varchar(12), day int, trial int, stim int,"
        " PRIMARY KEY (subject, day, trial, stim), FOREIGN KEY (subject, day, trial)"
        " REFERENCES {lab}.session__trial (subject, day, trial))",
        "INSERT INTO {lab}.session__stim SELECT subject, day, trial, 1 FROM {lab}.session__trial",
        "CREATE TABLE {lab}.session__alone (id int PRIMARY KEY)",
    )
    notebook.link("Subject")().pull()
    session = notebook.link("Session")
    session().pull()
    rows = notebook.rig.run("lab_a", "SELECT * FROM {lab}.session__stim ORDER BY 1")
    assert len(session.Stim()) == len(session().source.Stim()) == len(rows)
    assert not hasattr(session().source, "Alone")
    (session() & {"subject": "A1"}).delete()
    assert len(session.Stim()) == len([row for row in rows if row[0] != "A1"])


def test_rows_of_a_part_that_name_no_entity_belong_to_none(rig: Rig) -> None:
    """A part by columns that may be NULL: a row with NULL is nobody's, and comes when it names an entity."""
    others = ("stim", "frame", "loop", "alone", "INTO {lab}.scan__pick")
    run_all(rig, *(text for text in TABLES if not any(word in text for word in others)))
    run_all(
        rig,
        "INSERT INTO {lab}.scan__pick VALUES (1, 'ann', 1, 7), (2, NULL, 1, 7), (3, NULL, NULL, NULL)",
    )
    rig.accounts({"lab_a": ["lab"]})
    doc = document(rig, changed="mend")
    assert rig.apply(doc)[1].succeeded
    assert rig.run("local", f"SELECT p FROM `{local_schema(rig)}`.scan__pick") == [(1,)]
    assert not verified(rig, doc).has_changes
    run_all(rig, "UPDATE {lab}.scan__pick SET a = 'bob' WHERE p = 2")
    with rig.job(doc) as job:
        assert job.apply(job.plan(verify=True), lambda event: None, threading.Event()).succeeded
    assert rig.run("local", f"SELECT p FROM `{local_schema(rig)}`.scan__pick ORDER BY p") == [(1,), (2,)]
