"""Refills of held entities that now refer to rows of a linked parent which are not pulled."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import NoteDefinition, Refill
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime.events import Report
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import ALIKE
from tests.support.sql import run_all

pytestmark = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.rig (rig int PRIMARY KEY, good int)",
    "CREATE TABLE {lab}.dye (dye int PRIMARY KEY, good int)",
    "CREATE TABLE {lab}.scan (scan int PRIMARY KEY, rig int, note int,"
    " FOREIGN KEY (rig) REFERENCES {lab}.rig (rig))",
    "CREATE TABLE {lab}.scan__field (scan int, field int, dye int, PRIMARY KEY (scan, field),"
    " FOREIGN KEY (scan) REFERENCES {lab}.scan (scan), FOREIGN KEY (dye) REFERENCES {lab}.dye (dye))",
    "INSERT INTO {lab}.rig VALUES (1, 1), (2, 0)",
    "INSERT INTO {lab}.dye VALUES (1, 1), (2, 0)",
    "INSERT INTO {lab}.scan VALUES (1, 1, 0), (2, 1, 0), (3, 1, 0), (4, NULL, 0)",
    "INSERT INTO {lab}.scan__field VALUES (1, 1, 1), (2, 1, 1), (3, 1, NULL)",
)
# scan 1 refers to a rig that is not wanted, a field of scan 2 to such a dye; scans 3 and 4 change plainly
CHANGES = (
    "UPDATE {lab}.scan SET rig = 2 WHERE scan = 1",
    "UPDATE {lab}.scan__field SET dye = 2 WHERE scan = 2",
    "UPDATE {lab}.scan SET note = 5 WHERE scan IN (3, 4)",
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    return rig


def document(rig: Rig, *, wanted: str = "good = 1", changed: str = "mend") -> dict[str, Any]:
    where = {"where": wanted}
    return rig.document(
        {"lab_a": {"lab": {"tables": {"*": {"changed": changed}, "Rig": where, "Dye": where}}}}
    )


def verified(rig: Rig, doc: dict[str, Any]) -> tuple[Plan, Report]:
    with rig.job(doc) as job:
        plan = job.plan(verify=True)
        return plan, job.apply(plan, quiet, threading.Event())


def scan(rig: Rig, plan: Plan) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", "Scan"))


def local_scans(rig: Rig) -> list[tuple[Any, ...]]:
    schema = rig.local_schema("lab_a", "lab")
    return rig.run("local", f"SELECT scan, rig, note FROM `{schema}`.scan ORDER BY scan")


def test_what_now_refers_to_rows_that_are_not_pulled_is_told_and_stays_and_the_rest_is_refilled(
    lab: Rig,
) -> None:
    run_all(lab, *CHANGES)
    plan, report = verified(lab, document(lab))
    assert report.succeeded, report.outcomes
    assert [a.entities for a in scan(lab, plan).actions if isinstance(a, Refill)] == [2]
    [blocked] = scan(lab, plan).blocked
    assert (blocked.kind, blocked.count) == ("upstream", 2)
    parents = f"{lab.address('lab_a', 'lab', 'Dye')}, {lab.address('lab_a', 'lab', 'Rig')}"
    assert f"now refer to rows of {parents} that are not pulled" in blocked.reason
    assert local_scans(lab) == [(1, 1, 0), (2, 1, 0), (3, 1, 5), (4, None, 5)]
    again, report = verified(lab, document(lab))
    assert not again.has_changes
    assert report.succeeded


def test_they_are_refilled_once_their_parents_are_pulled(lab: Rig) -> None:
    run_all(lab, *CHANGES)
    wide = document(lab, wanted="good >= 0")
    assert verified(lab, wide)[1].succeeded
    _, report = verified(lab, wide)
    assert report.succeeded, report.outcomes
    assert not verified(lab, wide)[0].has_changes
    assert local_scans(lab) == [(1, 2, 0), (2, 1, 0), (3, 1, 5), (4, None, 5)]


def test_as_drift_all_that_differ_are_counted(lab: Rig) -> None:
    run_all(lab, *CHANGES)
    plan, _ = verified(lab, document(lab, changed="report"))
    assert [d.count for d in scan(lab, plan).drift] == [4]
    assert not scan(lab, plan).blocked


def test_a_refill_for_a_new_column_leaves_them_and_stays_due(lab: Rig) -> None:
    run_all(lab, *CHANGES[:2], "ALTER TABLE {lab}.scan ADD COLUMN depth int DEFAULT 7")
    run_all(lab, "UPDATE {lab}.scan SET depth = scan")
    plan, report = lab.apply(document(lab))
    assert report.succeeded, report.outcomes
    assert [a.entities for a in scan(lab, plan).actions if isinstance(a, Refill)] == [2]
    assert [b.count for b in scan(lab, plan).blocked] == [2]
    schema = lab.local_schema("lab_a", "lab")
    depths = lab.run("local", f"SELECT depth FROM `{schema}`.scan ORDER BY scan")
    assert depths == [(7,), (7,), (3,), (4,)]
    wide = document(lab, wanted="good >= 0")
    assert lab.apply(wide)[1].succeeded
    plan, report = lab.apply(wide)
    assert report.succeeded, report.outcomes
    assert [a for a in scan(lab, plan).actions if isinstance(a, NoteDefinition)]
    assert not lab.plan(wide).has_changes
    assert lab.run("local", f"SELECT depth FROM `{schema}`.scan ORDER BY scan") == [(1,), (2,), (3,), (4,)]
