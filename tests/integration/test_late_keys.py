"""Foreign keys to parents linked later, where local rows have no parent row."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import AddForeignKey, Blocked, Pull
from tests.support.rig import Rig, link_of, quiet

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.mouse (m int PRIMARY KEY, cage int NOT NULL, sex varchar(1) UNIQUE)",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, m int NULL, FOREIGN KEY (m) REFERENCES {lab}.mouse (m))",
    "CREATE TABLE {lab}.session__trial (s int, n int, m int NOT NULL, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s), FOREIGN KEY (m) REFERENCES {lab}.mouse (m))",
    "CREATE TABLE {lab}.scan (s int, k int, PRIMARY KEY (s, k),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "INSERT INTO {lab}.mouse VALUES (1, 7, 'f'), (2, 7, 'm'), (3, 8, NULL)",
    "INSERT INTO {lab}.session VALUES (10, 1), (20, 2), (30, NULL), (40, 3)",
    "INSERT INTO {lab}.session__trial VALUES (10, 1, 1), (20, 1, 1), (30, 1, 1)",
    "INSERT INTO {lab}.scan VALUES (10, 1), (20, 1)",
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    """Sessions that are linked without their mice."""
    for each in PIPELINE:
        rig.run("lab_a", each)
    rig.accounts({"lab_a": ["lab"]})
    _, report = rig.apply(tables(rig, Session={}))
    assert report.succeeded
    return rig


def tables(rig: Rig, **rules: dict[str, Any]) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": rules}}})


def with_mice(rig: Rig, **rule: Any) -> dict[str, Any]:
    return tables(rig, Mouse=rule, Session={}, Scan={})


def keys(rig: Rig) -> set[tuple[str, str]]:
    """The local foreign keys to mice: the table and the column that have them."""
    schema = rig.local_schema("lab_a", "lab")
    return set(
        rig.servers.local.execute(
            "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA ="
            f" '{schema}' AND REFERENCED_TABLE_NAME = 'mouse' AND TABLE_NAME LIKE 'session%'"
        )
    )


def local_rows(rig: Rig, table: str) -> list[tuple[Any, ...]]:
    return rig.servers.local.execute(f"SELECT * FROM `{rig.local_schema('lab_a', 'lab')}`.`{table}`")


@pytest.mark.parametrize(
    ("rule", "left", "scans"),
    [
        ({"where": {"m": 1}}, 2, [(10, 1)]),  # sessions 20 and 40
        ({"where": {"cage": 7}}, 1, [(10, 1), (20, 1)]),
        ({"pull": "none"}, 3, []),
    ],
)
def test_rows_without_their_parents_block_the_key_alone_and_all_else_goes_on(
    lab: Rig, rule: dict[str, Any], left: int, scans: list[tuple[int, int]]
) -> None:
    lab.run("lab_a", "INSERT INTO {lab}.session VALUES (50, 1), (60, 3)")
    session = lab.address("lab_a", "lab", "Session")
    plan, report = lab.apply(with_mice(lab, **rule))
    assert report.succeeded, report.outcomes
    assert plan.has_errors
    blocks = [b for b in link_of(plan, session).blocked if "cannot be added" in b.reason]
    trials = 3 if rule == {"pull": "none"} else 0
    assert [(b.kind, b.count, b.whole) for b in blocks] == [
        ("error", count, False) for count in (left, trials) if count
    ]
    assert all("SELECT * FROM" in (b.hint or "") for b in blocks)
    added = {("session__trial", "m")} if not trials else set[tuple[str, str]]()
    assert keys(lab) == added
    assert sorted(local_rows(lab, "scan")) == scans  # the links below go on
    again = lab.plan(with_mice(lab, **rule))
    assert not again.has_changes
    assert [(b.count, b.hint) for b in link_of(again, session).blocked] == [(b.count, b.hint) for b in blocks]
    for block in blocks:  # what the hint says to type lists the rows
        assert block.hint is not None
        assert len(lab.servers.local.execute(block.hint[block.hint.index("SELECT") :])) == block.count
    # the parents come, and the keys with them
    plan, report = lab.apply(with_mice(lab))
    assert report.succeeded
    assert not plan.has_errors
    assert keys(lab) == {("session", "m"), ("session__trial", "m")}


def test_the_key_is_added_once_the_rows_are_gone(lab: Rig) -> None:
    lab.apply(with_mice(lab, where={"cage": 7}))
    lab.servers.local.execute(f"DELETE FROM `{lab.local_schema('lab_a', 'lab')}`.session WHERE m = 3")
    plan, report = lab.apply(with_mice(lab, where={"cage": 7}))
    assert report.succeeded
    assert not plan.has_errors
    assert keys(lab) == {("session", "m"), ("session__trial", "m")}


def test_parents_that_cannot_come_do_not_count_as_pulled(lab: Rig) -> None:
    document, session = with_mice(lab), lab.address("lab_a", "lab", "Session")
    lab.apply(with_mice(lab, where={"m": 3}))
    lab.servers.local.execute(f"INSERT INTO `{lab.local_schema('lab_a', 'lab')}`.mouse VALUES (99, 9, 'm')")
    plan, report = lab.apply(document)
    assert report.succeeded, report.outcomes
    [block] = [b for b in link_of(plan, session).blocked if "cannot be added" in b.reason]
    assert block.count == 1  # session 20, whose mouse has a sex that a mouse of the lab's own has
    assert keys(lab) == {("session__trial", "m")}


def test_a_parent_that_is_refused_after_the_plan_blocks_the_key_and_fails_nothing_else(lab: Rig) -> None:
    session = lab.address("lab_a", "lab", "Session")
    lab.apply(with_mice(lab, where={"m": 1}))
    with lab.job(with_mice(lab)) as job:
        plan = job.plan()
        acts = link_of(plan, session).actions
        assert [a.columns for a in acts if isinstance(a, AddForeignKey)] == [("m",)]
        assert any(isinstance(a, Pull) for a in link_of(plan, lab.address("lab_a", "lab", "Mouse")).actions)
        lab.servers.local.execute(
            f"INSERT INTO `{lab.local_schema('lab_a', 'lab')}`.mouse VALUES (99, 9, 'm')"
        )
        report = job.apply(plan, quiet, threading.Event())
    outcomes = {o.address: o for o in report.outcomes}
    assert outcomes[session].status == "done"
    [block] = outcomes[session].blocked
    assert isinstance(block, Blocked)
    assert (block.kind, block.count) == ("error", 1)
    assert not report.succeeded
    assert keys(lab) == {("session__trial", "m")}
