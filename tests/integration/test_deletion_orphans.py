"""Local rows that the source knows no longer, or has been told are gone: named, agreed to, deleted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.report.plan.gates import GATES, closed_gates
from tests.support.pipelines.deletion import (
    auto,
    deletes,
    document,
    entry,
    lab,
    local,
    of,
    on_all_pairs,
    outbound,
    own_table,
    request,
)
from tests.support.rig import Rig
from tests.support.sql import ask

__all__ = ["lab"]  # a fixture


def named(rig: Rig, doc: dict[str, Any], table: str) -> Approval:
    """The approval that names the orphans of a link."""
    address = rig.address("lab_a", "lab", table)
    with rig.job(doc) as job:
        plan = job.plan(orphans_of=[address])
        assert list(job.orphans(address))
        [approval] = job.approvals(plan, address, "a.lee", "2026-11-24", orphans=True)
    return approval


def with_orphans(rig: Rig, doc: dict[str, Any], approval: Approval) -> dict[str, Any]:
    made = entry(approval)
    del made["until"]
    return {**doc, "approvals": [{**made, "orphans": True}]}


def orphaned(rig: Rig, *subjects: str) -> None:
    """Subjects here that the source does not have, each with a session that hangs on it."""
    local_schema = rig.local_schema("lab_a", "lab")
    for name in subjects:
        ask(rig.servers.local, f"INSERT INTO `{local_schema}`.subject VALUES ('{name}', 'mouse')")
        ask(rig.servers.local, f"INSERT INTO `{local_schema}`.session VALUES ('{name}', 9)")


@on_all_pairs
def test_orphans_go_only_under_an_approval_that_names_them_all(lab: Rig) -> None:
    orphaned(lab, "joe", "kim")
    doc = document(lab)
    plan = lab.plan(doc)
    assert not plan.has_changes
    assert [d.count for d in of(lab, plan, "Subject").drift] == [2]
    given = named(lab, doc, "Subject")
    assert (given.count, given.along) == (2, ((lab.address("lab_a", "lab", "Session"), 2),))
    # nothing else approves them, nor do they go under `auto`
    assert not lab.plan(auto(lab)).has_changes

    orphaned(lab, "lou")
    plan, report = lab.apply(with_orphans(lab, doc, given))
    assert report.succeeded
    [block] = of(lab, plan, "Subject").blocked
    assert block.kind == "review"
    assert "is void: the set has changed (2 approved, 3 now)" in block.reason
    assert [d.count for d in of(lab, plan, "Subject").drift] == [3]
    assert len(local(lab, "subject")) == 6

    given = named(lab, doc, "Subject")
    plan, report = lab.apply(with_orphans(lab, doc, given))
    assert report.succeeded, report.outcomes
    [delete] = deletes(of(lab, plan, "Subject"))
    assert (delete.cause, delete.entities) == ("orphans", 3)
    # what the plan deletes is no drift of it, and ends none of the apply
    assert of(lab, plan, "Subject").drift == ()
    assert closed_gates(plan, GATES) == {}
    assert local(lab, "subject", "name") == {("ann",), ("bob",), ("eve",)}
    assert len(local(lab, "session")) == 4
    assert len(outbound(lab, "subject")) == 3
    plan = lab.plan(with_orphans(lab, doc, given))
    assert not plan.has_changes
    assert [a.orphans for a in plan.spent] == [True]


def test_rows_of_the_labs_own_keep_orphans_and_one_that_comes_voids_the_set(lab: Rig) -> None:
    orphaned(lab, "joe", "kim")
    fit = own_table(lab)
    ask(lab.servers.local, f"INSERT INTO {fit} VALUES (1, 'joe')")
    doc = document(lab)
    given = named(lab, doc, "Subject")
    plan, report = lab.apply(with_orphans(lab, doc, given))
    assert report.succeeded, report.outcomes
    assert [d.entities for d in deletes(of(lab, plan, "Subject"))] == [1]
    assert set(closed_gates(plan, GATES)) & {"review", "blocked"}  # what stays of them is told as blocked
    [held] = of(lab, plan, "Subject").blocked
    assert "rows of your own depend on them" in held.reason
    assert local(lab, "subject", "name") == {("ann",), ("bob",), ("eve",), ("joe",)}

    given = named(lab, doc, "Subject")
    ask(lab.servers.local, f"DELETE FROM {fit}")
    with lab.job(with_orphans(lab, doc, given)) as job:
        plan = job.plan()
        lab.run("lab_a", "INSERT INTO {lab}.subject VALUES ('joe', 'mouse')")
        report = job.apply(plan, lambda _: None, threading.Event())
    [failed] = [o for o in report.outcomes if o.status == "failed"]
    assert "have changed since the plan was made: none was deleted" in (failed.problem or "")
    assert ("joe",) in local(lab, "subject", "name")


@pytest.mark.parametrize("kept", [True, False], ids=["with its request", "the approval alone"])
def test_what_was_approved_and_is_here_again_is_told_with_the_way_out(lab: Rig, kept: bool) -> None:
    local_schema = lab.local_schema("lab_a", "lab")
    request(lab, "spikes", "id = 3")
    _, report = lab.apply(auto(lab))
    assert report.succeeded
    if not kept:
        lab.run("lab_a", f"DELETE FROM {lab.outbound_table('lab', 'spikes_deletion_requested')}")
    ask(lab.servers.local, f"INSERT INTO `{local_schema}`.spikes VALUES (3, NULL, NULL, NULL)")
    doc = document(lab)
    with lab.job(doc) as job:
        plan = job.plan()
        assert job.approved(plan, "a.lee", "2026-11-24")[1] == ()
    [block] = of(lab, plan, "Spikes").blocked
    assert (block.kind, block.count) == ("review", 1)
    assert "approved earlier, but they are in the local table again" in block.reason
    assert "djlink source withdraw" in (block.hint or "")
    # one of the ways: the owner permits it again
    for suffix in ("approved", "requested"):
        lab.run("lab_a", f"DELETE FROM {lab.outbound_table('lab', f'spikes_deletion_{suffix}')}")
    _, report = lab.apply(doc)
    assert report.succeeded
    assert outbound(lab, "spikes", "id") == [(1,), (2,), (3,)]
