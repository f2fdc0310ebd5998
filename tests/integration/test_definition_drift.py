"""Definitions that change after linking: what the source added comes here, the rest is told and blocks."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from djlink_manifest.reconcile.explain import commands
from djlink_manifest.reconcile.plan.actions import (
    ADDED,
    AlterLocal,
    CopyLineage,
    CreateLocal,
    NoteDefinition,
    Refill,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime import batches
from tests.support.definitions import definition, every_value, facts
from tests.support.invariants.tables import checksums
from tests.support.rig import Rig, link_of
from tests.support.servers import ALIKE, CROSSED, PAIRS
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.rig (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.scan (id int PRIMARY KEY, v int, u varchar(9), w bigint, KEY w (w))",
    "CREATE TABLE {lab}.scan__field (id int, k int, x int COMMENT ':int32:of x', PRIMARY KEY (id, k),"
    " FOREIGN KEY (id) REFERENCES {lab}.scan (id))",
    "CREATE TABLE {lab}.child (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {lab}.scan (id))",
    "INSERT INTO {lab}.rig VALUES (1), (2)",
    "INSERT INTO {lab}.scan VALUES (1, 1, 'a', 1), (2, 2, 'b', 2), (3, 3, NULL, NULL)",
    "INSERT INTO {lab}.scan__field VALUES (1, 1, 1), (1, 2, NULL), (2, 1, 0)",
    "INSERT INTO {lab}.child VALUES (1), (2)",
)
ADDITIONS = (
    "ALTER TABLE {lab}.scan ADD first_of varchar(9) DEFAULT 'x' FIRST, ADD contrast float AFTER id,"
    " ADD after_it json AFTER contrast, ADD serial int UNIQUE, ADD KEY by_v (v, u DESC),"
    " ADD twice int GENERATED ALWAYS AS (v * 2) VIRTUAL",
    "UPDATE {lab}.scan SET contrast = id / 3, after_it = '[1]', serial = 10 - id, first_of = id",
    "ALTER TABLE {lab}.scan__field ADD y decimal(5,2) NOT NULL DEFAULT 1.5 COMMENT 'of y'",
    "UPDATE {lab}.scan__field SET y = 2 WHERE id = 1",
    "CREATE TABLE {lab}.scan__note (id int, n int, rig_id int, PRIMARY KEY (id, n),"
    " FOREIGN KEY (id) REFERENCES {lab}.scan (id), FOREIGN KEY (rig_id) REFERENCES {lab}.rig (id))",
    "CREATE TABLE {lab}.scan__sub_note (id int, n int, t text, PRIMARY KEY (id, n),"
    " FOREIGN KEY (id, n) REFERENCES {lab}.scan__note (id, n), FOREIGN KEY (id) REFERENCES {lab}.scan (id))",
    "INSERT INTO {lab}.scan__note VALUES (1, 1, 1), (1, 2, NULL), (3, 1, 2)",
    "INSERT INTO {lab}.scan__sub_note VALUES (3, 1, 'deep')",
    "INSERT INTO {lab}.scan VALUES (9, 4, NULL, NULL, 4, 'd', 4, NULL, DEFAULT)",
)


KEYS = (
    "COLUMN_NAME, REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE"
    " WHERE REFERENCED_TABLE_NAME IS NOT NULL"
)


def everything(rig: Rig) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": "*"}}})


@pytest.fixture
def linked(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(everything(rig))[1].succeeded
    return rig


def scan(plan: Plan, rig: Rig) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", "Scan"))


def locally(rig: Rig, text: str) -> list[tuple[Any, ...]]:
    return ask(rig.servers.local, text.replace("@here", f"`{rig.local_schema('lab_a', 'lab')}`"))


def is_level(rig: Rig, *tables: str) -> None:
    """The local tables and rows are the source's, and nothing is left to say of them."""
    local_schema, source_schema = rig.local_schema("lab_a", "lab"), rig.names("lab")
    for table in tables:
        if rig.servers.pair in ALIKE:  # between vendors the plan alone says whether they fit
            assert definition(rig.servers.local, local_schema, table) == definition(
                rig.servers.lab_a, source_schema, table
            )
        assert every_value(rig.servers.local, local_schema, table) == every_value(
            rig.servers.lab_a, source_schema, table
        )
    with rig.job(everything(rig)) as job:
        plan = job.plan(verify=True)
    assert [(link.address, link.actions, link.blocked, link.drift) for link in plan.links] == [
        (link.address, (), (), ()) for link in plan.links
    ]


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_columns_indexes_and_parts_that_the_source_added_come_here_and_are_filled(linked: Rig) -> None:
    run_all(linked, *ADDITIONS)
    plan, report = linked.apply(everything(linked))
    link = scan(plan, linked)
    assert not link.blocked
    local_schema = linked.local_schema("lab_a", "lab")
    made = [a for a in link.actions if isinstance(a, CreateLocal)]
    assert [(a.tables, a.reason) for a in made] == [
        ((f"{local_schema}.scan__note", f"{local_schema}.scan__sub_note"), ADDED),
    ]
    alters = [a for a in link.actions if isinstance(a, AlterLocal)]
    altered = {a.table: a for a in alters if not a.after_rows}
    late = [a for a in alters if a.after_rows]
    assert altered[f"{local_schema}.scan"].columns == (
        "first_of varchar(9)",
        "contrast float",
        "after_it json",
        "serial int",
        "twice int",
    )
    assert altered[f"{local_schema}.scan"].indexes == ("by_v",)
    assert [(a.table, a.columns, a.indexes) for a in late] == [
        (f"{local_schema}.scan", (), ("unique serial",))
    ]
    assert link.actions.index(late[0]) > link.actions.index(
        next(a for a in link.actions if isinstance(a, Refill))
    )
    assert (
        "the source added `first_of varchar(9)`, `contrast float`" in altered[f"{local_schema}.scan"].reason
    )
    assert altered[f"{local_schema}.scan__field"].columns == ("y decimal(5,2)",)
    [refill] = [a for a in link.actions if isinstance(a, Refill)]
    assert (refill.entities, refill.cause) == (3, "definition")
    [outcome] = report.outcomes
    assert (outcome.status, outcome.counts.altered, outcome.counts.refilled, outcome.counts.pulled) == (
        "done",
        True,
        3,
        1,
    )
    is_level(linked, "scan", "scan__field", "scan__note", "scan__sub_note", "child")
    assert len(facts(linked.servers.local, local_schema, "scan__note", KEYS)) == 2


def test_additions_meet_a_table_of_marks_that_an_earlier_version_made(linked: Rig) -> None:
    locally(linked, "ALTER TABLE @here.`~djlink` DROP COLUMN refill, DROP COLUMN made")
    assert not linked.plan(everything(linked)).has_changes
    run_all(linked, *ADDITIONS)
    assert linked.apply(everything(linked))[1].succeeded
    is_level(linked, "scan", "scan__field", "scan__note", "scan__sub_note")
    assert locally(linked, "SELECT refill, made IS NULL FROM @here.`~djlink` WHERE local_table = 'scan'") == [
        (None, 0)
    ]


def test_an_index_alone_is_added_without_a_refill(linked: Rig) -> None:
    run_all(linked, "ALTER TABLE {lab}.scan ADD KEY by_v (v), ADD UNIQUE KEY by_u (u)")
    plan, report = linked.apply(everything(linked))
    kinds = [AlterLocal, CopyLineage, AlterLocal, NoteDefinition, NoteDefinition]
    assert [type(a) for a in scan(plan, linked).actions] == kinds
    assert report.succeeded
    is_level(linked, "scan")


def test_a_unique_index_that_local_rows_do_not_meet_is_told_and_tried_again(linked: Rig) -> None:
    locally(linked, "INSERT INTO @here.scan VALUES (90, 0, 'a', 0)")
    run_all(linked, "ALTER TABLE {lab}.scan ADD UNIQUE KEY by_u (u)")
    _, report = linked.apply(everything(linked))
    [outcome] = report.outcomes
    assert "violate the source's unique index by_u: Duplicate entry" in (outcome.problem or "")
    locally(linked, "DELETE FROM @here.scan WHERE id = 90")
    assert linked.apply(everything(linked))[1].succeeded
    is_level(linked, "scan")


def test_a_refill_whose_entities_were_refused_stays_due(linked: Rig) -> None:
    locally(linked, "INSERT INTO @here.scan VALUES (90, 0, 'a', 0)")
    locally(linked, "INSERT INTO @here.scan__field VALUES (90, 1, 55)")
    locally(linked, "ALTER TABLE @here.scan__field ADD UNIQUE KEY mine (x)")
    run_all(linked, "ALTER TABLE {lab}.scan ADD c int", "UPDATE {lab}.scan SET c = 1")
    run_all(linked, "UPDATE {lab}.scan__field SET x = 55 WHERE id = 2")
    _, report = linked.apply(everything(linked))
    [outcome] = report.outcomes
    assert (outcome.status, outcome.counts.refilled, outcome.counts.refused) == ("failed", 2, 1)
    assert locally(linked, "SELECT id, c FROM @here.scan WHERE id < 9 ORDER BY id") == [
        (1, 1),
        (2, None),
        (3, 1),
    ]
    actions = scan(linked.plan(everything(linked)), linked).actions
    assert [type(a) for a in actions] == [CopyLineage, Refill, NoteDefinition, NoteDefinition]
    locally(linked, "ALTER TABLE @here.scan__field DROP KEY mine")
    _, report = linked.apply(everything(linked))
    assert [o.counts.refilled for o in report.outcomes] == [1]
    assert not linked.plan(everything(linked)).has_changes


BLOCKING = {
    "MODIFY v smallint": "column `v` has the type int, not smallint",
    "MODIFY u varchar(9) COLLATE utf8mb4_bin": "column `u` has the collation .*, not utf8mb4_bin",
    "MODIFY u varchar(9) CHARACTER SET latin1": "column `u` has the character set utf8mb4, not latin1",
    "MODIFY v int NOT NULL": "column `v` may be NULL",
    "DROP COLUMN v": "the source dropped column `v`",
    "ADD c int NOT NULL": "the source added column `c`, which is NOT NULL without a default",
}


@pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)
@pytest.mark.parametrize("change", BLOCKING)
def test_other_changes_at_the_source_block_the_link_and_those_below_and_no_others(
    linked: Rig, change: str
) -> None:
    run_all(linked, f"ALTER TABLE {{lab}}.scan {change}", "INSERT INTO {lab}.rig VALUES (3)")
    before = locally(linked, "CHECKSUM TABLE @here.scan")
    plan, report = linked.apply(everything(linked))
    link = scan(plan, linked)
    assert [(b.kind, b.whole) for b in link.blocked] == [("error", True)]
    assert re.search(BLOCKING[change], link.blocked[0].reason), link.blocked[0].reason
    assert "does not match the source's definition" in link.blocked[0].reason
    assert "ask the source's owner to undo the change" in (link.blocked[0].hint or "")
    assert link.location is not None
    assert [(o.address, o.counts.pulled) for o in report.outcomes] == [
        (linked.address("lab_a", "lab", "Rig"), 1)
    ]
    assert locally(linked, "CHECKSUM TABLE @here.scan") == before


LOCAL_BLOCKING = {
    "ALTER TABLE @here.scan MODIFY v bigint": "column `v` has the type bigint, not int",
    "ALTER TABLE @here.scan DROP COLUMN v": "column `v` is missing",
    "ALTER TABLE @here.scan ADD c int NOT NULL": "the source's table has no column `c`",
}


@pytest.mark.parametrize("at_the_source_too", [False, True])
@pytest.mark.parametrize("change", LOCAL_BLOCKING)
def test_a_change_made_here_that_keeps_rows_out_is_told_as_such(
    linked: Rig, change: str, at_the_source_too: bool
) -> None:
    if at_the_source_too:
        run_all(linked, "ALTER TABLE {lab}.scan ADD other int")
    locally(linked, change)
    link = scan(linked.plan(everything(linked)), linked)
    told = " ".join(b.reason for b in link.blocked)
    assert re.search(LOCAL_BLOCKING[change], told), told
    if not at_the_source_too:
        assert "changed locally" in told
        assert "undo the change on the local server" in (link.blocked[0].hint or "")
    assert not link.actions


@pytest.mark.parametrize("servers", [ALIKE[0], *CROSSED], indirect=True, ids=str)
@pytest.mark.parametrize("part", [False, True])
def test_keys_that_differ_at_the_source_and_not_here_are_blocked_before_anything_is_written(
    rig: Rig, part: bool
) -> None:
    key = "name varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_%s NOT NULL"
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        f"CREATE TABLE {{lab}}.scan ({key % 'bin'}, id int UNIQUE KEY, PRIMARY KEY (name))",
        f"CREATE TABLE {{lab}}.scan__bit ({key % 'bin'}, sort {key[5:] % 'bin'}, PRIMARY KEY (name, sort),"
        " FOREIGN KEY (name) REFERENCES {lab}.scan (name))",
        "INSERT INTO {lab}.scan VALUES ('a', 1)",
        "INSERT INTO {lab}.scan__bit VALUES ('a', 'x')",
    )
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(everything(rig))[1].succeeded
    if part:
        change = f"ALTER TABLE @here.scan__bit MODIFY sort {key[5:] % 'general_ci'}"
        new = "INSERT INTO {lab}.scan__bit VALUES ('a', 'X')"
    else:
        locally(rig, "DROP TABLE @here.scan__bit, @here.scan__deletion_requested")
        change = f"ALTER TABLE @here.scan MODIFY {key % 'general_ci'}"
        new = "INSERT INTO {lab}.scan VALUES ('A', 2)"
    locally(rig, change)
    run_all(rig, new)
    before = checksums(rig)
    for document in (everything(rig), {**everything(rig), "name": "renamed"}):
        with rig.job(document) as job:
            rehearsed = commands.rehearse(job, ["lab_a.*"], None)
            if rehearsed.adoptions:
                commands.adopt(job, rehearsed)
        assert rehearsed.adoptions == ()
        plan, report = rig.apply(document)
        assert not report.outcomes
        link = scan(plan, rig)
        assert link.actions == ()
        assert all(b.whole for b in link.blocked)
        # of its own marks there is nothing to adopt
        refusal = link.blocked if document == everything(rig) else rehearsed.refusals
        reasons = " ".join(each.reason for each in refusal)
        assert re.search(
            "column `(name|sort)` has the collation utf8mb4_general_ci, not utf8mb4_bin", reasons
        )
    assert checksums(rig) == before


@pytest.mark.parametrize("at_the_source_too", [False, True])
def test_harmless_changes_made_here_are_drift_also_when_the_source_adds_something(
    linked: Rig, at_the_source_too: bool
) -> None:
    locally(linked, "ALTER TABLE @here.scan ADD mine int, ADD KEY mine (mine)")
    if at_the_source_too:
        run_all(linked, "ALTER TABLE {lab}.scan ADD other int", "UPDATE {lab}.scan SET other = 5")
    else:
        locally(linked, "ALTER TABLE @here.scan DROP KEY w")
    plan, report = linked.apply(everything(linked))
    told = [d.reason for d in scan(plan, linked).drift]
    local_schema = linked.local_schema("lab_a", "lab")
    assert f"changed locally: {local_schema}.scan: the source's table has no column `mine`" in told
    if at_the_source_too:
        assert report.succeeded
        assert locally(linked, "SELECT DISTINCT other, mine FROM @here.scan") == [(5, None)]
    else:
        assert f"changed locally: {local_schema}.scan: the index `w` is missing" in told
    again = scan(linked.plan(everything(linked)), linked)
    assert again.is_unchanged
    assert f"changed locally: {local_schema}.scan: the source's table has no column `mine`" in [
        d.reason for d in again.drift
    ]


def test_another_order_of_columns_is_said_until_the_next_apply_of_the_link(linked: Rig) -> None:
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY v int AFTER w")
    plan = linked.plan(everything(linked))
    assert not plan.has_changes
    assert not plan.has_errors
    [drift] = scan(plan, linked).drift
    assert "definition changed after linking in a way that does not affect rows" in drift.reason
    run_all(linked, "INSERT INTO {lab}.scan (id, v) VALUES (4, 4)")
    assert linked.apply(everything(linked))[1].succeeded
    again = linked.plan(everything(linked))
    assert not again.has_changes
    assert scan(again, linked).drift == ()


def test_a_part_that_the_source_dropped_is_told_and_stays_here(linked: Rig) -> None:
    run_all(linked, "DROP TABLE {lab}.scan__field", "INSERT INTO {lab}.scan VALUES (4, 4, 'd', 4)")
    for _ in range(2):
        plan, _ = linked.apply(everything(linked))
        assert any("the source dropped its part" in d.reason for d in scan(plan, linked).drift)
        assert locally(linked, "SELECT COUNT(*) FROM @here.scan__field") == [(3,)]
    assert locally(linked, "SELECT COUNT(*) FROM @here.scan") == [(4,)]


def test_a_table_of_the_labs_own_with_the_name_of_a_new_part_is_not_taken_over(linked: Rig) -> None:
    own = (
        "CREATE TABLE %s.scan__note (id int, n int, PRIMARY KEY (id, n),"
        " FOREIGN KEY (id) REFERENCES %s.scan (id))"
    )
    locally(linked, own.replace("%s", "@here"))
    locally(linked, "INSERT INTO @here.scan__note VALUES (1, 1)")
    run_all(linked, own.replace("%s", "{lab}"))
    plan, _ = linked.apply(everything(linked))
    [blocked] = scan(plan, linked).blocked
    assert "scan__note was not created by djlink" in blocked.reason
    assert locally(linked, "SELECT * FROM @here.scan__note") == [(1, 1)]


def test_a_table_in_use_gives_way_and_the_next_apply_goes_on(
    linked: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "IN_USE", replace(batches.IN_USE, tries=1))
    run_all(linked, *ADDITIONS)
    with linked.servers.local.connect() as connection, connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT * FROM `{linked.local_schema('lab_a', 'lab')}`.scan")
        cursor.fetchall()
        [outcome] = linked.apply(everything(linked))[1].outcomes
    assert "in use" in (outcome.problem or "")
    assert linked.apply(everything(linked))[1].succeeded
    is_level(linked, "scan", "scan__field", "scan__note", "scan__sub_note")
