"""The loop on real servers: plan, apply, plan empty; what is held cannot be deleted at its source."""

from __future__ import annotations

import pymysql
import pytest

from djlink_manifest.reconcile.plan.actions import Pull, PullAgain, Register, Release
from tests.support.rig import Rig, link_of
from tests.support.sql import run_all

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, species varchar(10) NOT NULL, weight float)",
    "CREATE TABLE {lab}.session (id int, day date, note text, PRIMARY KEY (id, day),"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (id int, day date, trial smallint, data longblob,"
    " PRIMARY KEY (id, day, trial), FOREIGN KEY (id, day) REFERENCES {lab}.session (id, day))",
    "INSERT INTO {lab}.subject VALUES (1,'mouse',0.1),(2,'rat',NULL),(3,'mouse',1e-7)",
    "INSERT INTO {lab}.session VALUES (1,'2026-01-01','a'),(1,'2026-01-02',NULL),(2,'2026-01-01','b'),"
    " (3,'2026-02-01','é😀')",
    "INSERT INTO {lab}.session__trial SELECT id, day, n, UNHEX('00275C0AFF') FROM {lab}.session,"
    " (SELECT 1 AS n UNION SELECT 2) numbers",
)


@pytest.fixture
def pipeline(rig: Rig) -> Rig:
    for statement in PIPELINE:
        rig.run("lab_a", statement)
    rig.accounts({"lab_a": ["lab"]})
    return rig


def test_second_plan_is_empty_and_rows_are_equal(pipeline: Rig) -> None:
    manifest = pipeline.document({"lab_a": {"lab": {"tables": "*"}}})
    plan, report = pipeline.apply(manifest)
    assert report.succeeded
    assert [type(a) for link in plan.links for a in link.actions].count(Pull) == 2
    again = pipeline.plan(manifest)
    assert not again.has_changes
    assert not again.has_errors
    local_schema = pipeline.local_schema("lab_a", "lab")
    for table in ("subject", "session", "session__trial"):
        source_rows = pipeline.run("lab_a", f"SELECT * FROM {{lab}}.{table} ORDER BY 1, 2, 3")
        local_rows = pipeline.servers.local.execute(
            f"SELECT * FROM `{local_schema}`.{table} ORDER BY 1, 2, 3"
        )
        assert local_rows == source_rows
        assert source_rows


def test_a_held_row_cannot_be_deleted_at_its_source(pipeline: Rig) -> None:
    manifest = pipeline.document({"lab_a": {"lab": {"tables": {"Subject": {"where": {"species": "mouse"}}}}}})
    pipeline.apply(manifest)
    pipeline.run("lab_a", "DELETE FROM {lab}.session__trial")
    pipeline.run("lab_a", "DELETE FROM {lab}.session")
    with pytest.raises(pymysql.IntegrityError, match="foreign key constraint fails"):
        pipeline.run("lab_a", "DELETE FROM {lab}.subject WHERE id = 1")
    pipeline.run("lab_a", "DELETE FROM {lab}.subject WHERE id = 2")


def test_rows_gone_locally_are_pulled_again_or_released(pipeline: Rig) -> None:
    everything = pipeline.document({"lab_a": {"lab": {"tables": ["Subject"]}}})
    pipeline.apply(everything)
    local_schema = pipeline.local_schema("lab_a", "lab")
    pipeline.servers.local.execute(f"DELETE FROM `{local_schema}`.subject WHERE id IN (1, 2)")
    mice = pipeline.document({"lab_a": {"lab": {"tables": {"Subject": {"where": "species = 'mouse'"}}}}})
    plan, report = pipeline.apply(mice)
    actions = link_of(plan, pipeline.address("lab_a", "lab", "Subject")).actions
    assert [(type(a), getattr(a, "entities", 0)) for a in actions] == [(Release, 1), (PullAgain, 1)]
    assert report.succeeded
    assert pipeline.run(
        "lab_a", f"SELECT id FROM {pipeline.outbound_table('lab', 'subject')} ORDER BY id"
    ) == [(1,), (3,)]
    assert not pipeline.plan(mice).has_changes


def test_equal_local_rows_without_protection_are_registered(pipeline: Rig) -> None:
    manifest = pipeline.document({"lab_a": {"lab": {"tables": ["Session"]}}})
    pipeline.apply(manifest)
    outbound = pipeline.outbound_table("lab", "session")
    local_schema = pipeline.local_schema("lab_a", "lab")
    pipeline.run("lab_a", f"DELETE FROM {outbound} WHERE id = 1")
    pipeline.servers.local.execute(
        f"UPDATE `{local_schema}`.session__trial SET data = 'x' WHERE day = '2026-01-02'"
    )
    plan, report = pipeline.apply(manifest)
    link = link_of(plan, pipeline.address("lab_a", "lab", "Session"))
    assert [(type(a), getattr(a, "entities", 0)) for a in link.actions] == [(Register, 1)]
    assert [(b.kind, b.count) for b in link.blocked] == [("error", 1)]
    assert report.outcomes[0].counts.registered == 1
    assert pipeline.run("lab_a", f"SELECT COUNT(*) FROM {outbound}") == [(3,)]


def test_a_part_that_spells_its_masters_key_otherwise_is_compared_too(rig: Rig) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab} COLLATE utf8mb4_general_ci",
        "CREATE TABLE {lab}.animal (name varchar(9) PRIMARY KEY)",
        "CREATE TABLE {lab}.animal__weight (name varchar(9), n int, grams int, PRIMARY KEY (name, n),"
        " FOREIGN KEY (name) REFERENCES {lab}.animal (name))",
        "INSERT INTO {lab}.animal VALUES ('Ada'), ('Bob')",
        "INSERT INTO {lab}.animal__weight VALUES ('ada', 1, 20), ('BOB', 1, 30)",
    )
    rig.accounts({"lab_a": ["lab"]})
    manifest = rig.document({"lab_a": {"lab": {"tables": "*"}}})
    assert rig.apply(manifest)[1].succeeded
    rig.run("lab_a", f"DELETE FROM {rig.outbound_table('lab', 'animal')}")
    local_schema = rig.local_schema("lab_a", "lab")
    rig.servers.local.execute(f"UPDATE `{local_schema}`.animal__weight SET grams = 31 WHERE name = 'bob'")
    plan, report = rig.apply(manifest)
    [link] = plan.links
    assert [(type(a), getattr(a, "entities", 0)) for a in link.actions] == [(Register, 1)]
    assert [(b.kind, b.count) for b in link.blocked] == [("error", 1)]
    assert report.outcomes[0].counts.registered == 1
    assert rig.run("lab_a", f"SELECT name FROM {rig.outbound_table('lab', 'animal')}") == [("Ada",)]


def test_requested_deletions_are_blocked_and_not_pulled(pipeline: Rig) -> None:
    manifest = pipeline.document({"lab_a": {"lab": {"tables": "*"}}})
    pipeline.apply(manifest)
    requests = pipeline.outbound_table("lab", "session_deletion_requested")
    pipeline.run("lab_a", f"INSERT INTO {requests} (id, day) VALUES (1, '2026-01-01')")
    pipeline.run(
        "lab_a", "INSERT INTO {lab}.session VALUES (3, '2026-05-05', 'new'), (3, '2026-05-06', 'asked')"
    )
    pipeline.run("lab_a", f"INSERT INTO {requests} (id, day) VALUES (3, '2026-05-06')")
    plan, report = pipeline.apply(manifest)
    link = link_of(plan, pipeline.address("lab_a", "lab", "Session"))
    assert [(b.kind, b.count, b.whole) for b in link.blocked] == [("review", 1, False)]
    assert not plan.has_errors
    assert report.outcomes[0].counts.pulled == 1


def test_a_late_foreign_key_waits_for_the_parents_of_all_local_rows(pipeline: Rig) -> None:
    pipeline.apply(pipeline.document({"lab_a": {"lab": {"tables": ["Session"]}}}))
    rules: dict[str, dict[str, object]] = {"Session": {}, "Subject": {"where": {"species": "mouse"}}}
    mice = pipeline.document({"lab_a": {"lab": {"tables": rules}}})
    plan, report = pipeline.apply(mice)
    assert report.succeeded
    [block] = next(link for link in plan.links if link.address.endswith("Session")).blocked
    assert (block.kind, block.count) == ("error", 1)
    assert "have no parent row in" in block.reason
    assert "so that it pulls their parents" in str(block.hint)
    rules["Subject"] = {}
    everything = pipeline.document({"lab_a": {"lab": {"tables": rules}}})
    assert pipeline.apply(everything)[1].succeeded
    assert not pipeline.plan(everything).has_changes
