"""Keys with '0000-00-00', which `IS NULL` finds on both vendors: a whole life, and the owner's side."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from djlink_manifest.model.links.entity import State
from djlink_manifest.reconcile.plan.actions import Delete, NoteRequests, Refill
from tests.support.pipelines.owners import new_source
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import ALIKE

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.day (day date, kind int, v int NOT NULL, PRIMARY KEY (day, kind))",
    "CREATE TABLE {lab}.day__part (day date, kind int, k int, v int NOT NULL, PRIMARY KEY (day, kind, k),"
    " FOREIGN KEY (day, kind) REFERENCES {lab}.day (day, kind))",
    "CREATE TABLE {lab}.scan (day date, kind int, at datetime, PRIMARY KEY (day, kind, at),"
    " FOREIGN KEY (day, kind) REFERENCES {lab}.day (day, kind))",
    "CREATE TABLE {lab}.note (n int, at datetime(6), day date, kind int, PRIMARY KEY (n, at),"
    " FOREIGN KEY (day, kind) REFERENCES {lab}.day (day, kind))",
    "INSERT INTO {lab}.day VALUES (0, 1, 1), (0, 2, 2), ('2026-01-01', 1, 3), ('2026-00-01', 1, 4)",
    "INSERT INTO {lab}.day__part SELECT day, kind, k.k, 5 FROM {lab}.day, (SELECT 1 AS k UNION SELECT 2) k",
    "INSERT INTO {lab}.scan VALUES (0, 1, 0), (0, 2, '2026-01-01'), ('2026-01-01', 1, 0)",
    "INSERT INTO {lab}.note VALUES (1, 0, 0, 1), (2, 0, '2026-01-01', 1), (3, 0, NULL, NULL), (4, 0, 0, 2)",
)
ROWS = {"day": 4, "day__part": 8, "scan": 3, "note": 4}


def run(rig: Rig, server: str, *statements: str) -> list[tuple[Any, ...]]:
    """Statements by root, whose session takes zero dates; the rows of the last."""
    with rig.server(server).connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES'")
        for statement in statements:
            cursor.execute(rig.sql(statement))
        return list(cursor.fetchall())


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run(rig, "lab_a", *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    _, report = rig.apply(document(rig))
    assert report.succeeded
    return rig


def document(rig: Rig, day: dict[str, Any] | None = None, **defaults: Any) -> dict[str, Any]:
    tables = {"Day": day or {}, "Scan": {}, "Note": {}}
    made = rig.document({"lab_a": {"lab": {"tables": tables}}})
    made["defaults"].update(defaults)
    return made


def local_rows(rig: Rig, table: str, what: str = "*") -> list[tuple[Any, ...]]:
    schema = rig.local_schema("lab_a", "lab")
    return sorted(run(rig, "local", f"SELECT {what} FROM `{schema}`.`{table}`"), key=repr)


def source_rows(rig: Rig, table: str) -> list[tuple[Any, ...]]:
    return sorted(run(rig, "lab_a", f"SELECT * FROM {{lab}}.{table}"), key=repr)


def request(rig: Rig, key: str) -> None:
    asked = rig.outbound_table("lab", "day_deletion_requested")
    text = f"INSERT INTO {asked} (day, kind, reason) SELECT day, kind, 'bad' FROM {{lab}}.day WHERE {key}"
    run(rig, "lab_a", text)


@alike
def test_what_has_a_zero_date_in_its_key_is_pulled_once_and_counted_as_held(lab: Rig) -> None:
    for name, count in ROWS.items():
        assert local_rows(lab, name) == source_rows(lab, name), name
        assert len(local_rows(lab, name)) == count
    request(lab, "v = 3")  # so that entities are counted one by one
    with lab.job(document(lab)) as job:
        plan = job.plan(verify=True)
        snapshot = job.observed.snapshots[lab.address("lab_a", "lab", "Day")]
    assert snapshot.in_state(State.SHARED) == 3
    assert snapshot.in_state(State.TAINTED) == 1
    assert not snapshot.changed
    assert not any(link.drift for link in plan.links)


@alike
def test_a_refill_leaves_part_rows_with_a_zero_date_where_they_are(lab: Rig) -> None:
    part = f"`{lab.local_schema('lab_a', 'lab')}`.`day__part`"
    # the part row that the source deletes is the only one that may go
    run(
        lab,
        "local",
        f"CREATE TRIGGER `{lab.local_schema('lab_a', 'lab')}`.keep BEFORE DELETE ON {part} FOR EACH ROW"
        " BEGIN IF OLD.kind <> 2 OR OLD.k <> 2 THEN SIGNAL SQLSTATE '45000'; END IF; END",
    )
    run(
        lab,
        "lab_a",
        "UPDATE {lab}.day__part SET v = 6 WHERE kind = 1",
        "UPDATE {lab}.day SET v = 7 WHERE kind = 1",
        "DELETE FROM {lab}.day__part WHERE kind = 2 AND k = 2",
    )
    with lab.job(document(lab, changed="mend")) as job:
        plan = job.plan(verify=True)
        report = job.apply(plan, quiet, threading.Event())
    day = link_of(plan, lab.address("lab_a", "lab", "Day"))
    assert [a.entities for a in day.actions if isinstance(a, Refill)] == [4]
    assert report.succeeded, report
    assert local_rows(lab, "day") == source_rows(lab, "day")
    assert local_rows(lab, "day__part") == source_rows(lab, "day__part")


@alike
def test_a_requested_entity_with_a_zero_date_is_noted_and_goes_with_what_hangs_on_it(lab: Rig) -> None:
    request(lab, "kind = 2")
    address = lab.address("lab_a", "lab", "Day")
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    assert [a.new for a in link_of(plan, address).actions if isinstance(a, NoteRequests)] == [1]
    assert local_rows(lab, "day__deletion_requested", "CAST(day AS CHAR), kind") == [("0000-00-00", 2)]
    again = lab.plan(document(lab))
    assert not again.has_changes
    requests = link_of(again, address).requests
    assert requests is not None
    assert requests.requested is not None
    assert requests.requested.closure.local == 1

    plan, report = lab.apply(document(lab, deletions="auto", max_deletions="100%"))
    assert report.succeeded
    (gone,) = [a for a in link_of(plan, address).actions if isinstance(a, Delete)]
    assert gone.entities == 1
    assert {a.rsplit(".", 1)[1]: n for a, n in gone.along} == {"Scan": 1, "Note": 1}
    run(lab, "lab_a", "DELETE FROM {lab}.scan WHERE kind = 2", "DELETE FROM {lab}.note WHERE kind = 2")
    run(lab, "lab_a", "DELETE FROM {lab}.day__part WHERE kind = 2", "DELETE FROM {lab}.day WHERE kind = 2")
    for name in ROWS:
        assert local_rows(lab, name) == source_rows(lab, name), name
    assert not lab.plan(document(lab)).has_changes


@alike
def test_what_is_wanted_no_longer_stays_where_a_row_with_a_zero_date_refers_to_it(lab: Rig) -> None:
    less = {"where": {"kind": 1}, "unwanted": "release"}
    plan, report = lab.apply(document(lab, less, max_deletions="100%"))
    assert report.succeeded
    assert link_of(plan, lab.address("lab_a", "lab", "Day")).kept == 1  # its scan and note are kept
    assert len(local_rows(lab, "day")) == 4
    _, report = lab.apply(document(lab, less, max_deletions="100%", unwanted="release"))
    assert report.succeeded
    assert len(local_rows(lab, "day")) == 3
    assert len(local_rows(lab, "scan")) == 2


@alike
def test_a_zero_date_is_no_null_to_where(lab: Rig) -> None:
    plan = lab.plan(document(lab, {"where": {"day": None}}))
    assert dict(link_of(plan, lab.address("lab_a", "lab", "Day")).left_out) == {"not selected by `where`": 4}
    assert link_of(plan, lab.address("lab_a", "lab", "Day")).kept == 4


@alike
def test_the_owner_sees_a_zero_date_as_held_and_deletes_a_chain_of_them(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    source = new_source(rig, capsys)
    run(
        rig,
        "lab_a",
        "CREATE TABLE {other}.visit (day date PRIMARY KEY, after date, FOREIGN KEY (after)"
        " REFERENCES {other}.visit (day))",
        "INSERT INTO {other}.visit VALUES ('2026-01-01', NULL), (0, '2026-01-01'), ('2026-01-02', 0)",
    )
    source.link("atlas", {"other": {"tables": ["Visit"]}})
    code, _, err = source.says("request", "Visit", "--all", "--reason", "bad", "--yes")
    assert code == 0, err
    code, out, err = source.says("held", "--json")
    assert code == 0, err
    ((link,),) = [table["links"] for table in json.loads(out)["tables"]]
    assert (link["held"], link["requested"], link["waiting"]) == (3, 3, 3)
    held, approved = (source.table("atlas", "other_visit", end) for end in ("", "_deletion_approved"))
    run(rig, "lab_a", f"INSERT INTO {approved} (day) SELECT day FROM {held}", f"DELETE FROM {held}")
    code, _, err = source.says("delete", "Visit", "--all", "--yes")
    assert code == 0, err
    assert source.count(f"`{rig.names('other')}`.visit") == 0
