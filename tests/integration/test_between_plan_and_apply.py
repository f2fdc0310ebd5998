"""What comes between a plan and its apply: the plan's own sets go, what came later waits for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Approve, Pull, Release
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Report
from tests.support.pipelines.deletion import (
    approvals,
    auto,
    deletes,
    document,
    lab,
    local,
    of,
    outbound,
    own_table,
    request,
    with_approvals,
)
from tests.support.rig import Rig, quiet
from tests.support.servers import ALIKE
from tests.support.sql import ask
from tests.support.statements import once, watched

__all__ = ["lab"]  # a fixture

pytestmark = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

EARLY = "2020-01-01 00:00:00"


def between(rig: Rig, doc: dict[str, Any], *do: Callable[[], object]) -> tuple[Plan, Report]:
    """Plan, then let something happen, then apply that plan."""
    with rig.job(doc) as job:
        plan = job.plan()
        for each in do:
            each()
        return plan, job.apply(plan, quiet, threading.Event())


def dated_back(rig: Rig, table: str, key: str) -> None:
    """A request whose owner says that it was made long ago."""
    request(rig, table, key)
    asked = rig.outbound_table("lab", f"{table}_deletion_requested")
    rig.run("lab_a", f"UPDATE {asked} SET requested_at = '{EARLY}' WHERE {key}")


def withdrawn(rig: Rig, table: str, key: str) -> None:
    """The owner withdraws requests."""
    rig.run("lab_a", f"DELETE FROM {rig.outbound_table('lab', f'{table}_deletion_requested')} WHERE {key}")


def deleted_here(rig: Rig, table: str, key: str) -> None:
    """Somebody deletes local rows by hand."""
    ask(rig.servers.local, f"DELETE FROM `{rig.local_schema('lab_a', 'lab')}`.{table} WHERE {key}")


def ids(rig: Rig) -> set[int]:
    """The local spikes."""
    return {number for (number,) in local(rig, "spikes", "id")}


def rests(rig: Rig, doc: dict[str, Any]) -> None:
    """One more apply ends it."""
    _, report = rig.apply(doc)
    assert report.succeeded, report.outcomes
    assert not rig.plan(doc).has_changes


def test_a_later_request_without_children_waits(lab: Rig) -> None:
    request(lab, "spikes", "id = 3")
    plan, report = between(lab, auto(lab), lambda: request(lab, "spikes", "id = 1"))
    assert report.succeeded, report.outcomes
    assert [d.entities for d in deletes(of(lab, plan, "Spikes"))] == [1]
    assert ids(lab) == {1, 2}
    assert outbound(lab, "spikes_deletion_approved", "id") == [(3,)]
    rests(lab, auto(lab))
    assert ids(lab) == {2}


def test_a_later_request_with_children_waits_and_the_plans_goes(lab: Rig) -> None:
    request(lab, "subject", "name = 'eve'")
    _, report = between(lab, auto(lab), lambda: request(lab, "subject", "name = 'ann'"))
    assert report.succeeded, report.outcomes
    assert local(lab, "subject", "name") == {("ann",), ("bob",)}
    assert ids(lab) == {1, 2, 3}
    rests(lab, auto(lab))
    assert local(lab, "subject", "name") == {("bob",)}
    assert ids(lab) == {2, 3}


def test_a_later_request_of_a_parent_with_rows_below_waits(lab: Rig) -> None:
    request(lab, "spikes", "id = 3")
    _, report = between(lab, auto(lab), lambda: request(lab, "subject", "name = 'ann'"))
    assert report.succeeded, report.outcomes
    assert len(local(lab, "subject")) == 3
    assert ids(lab) == {1, 2}
    rests(lab, auto(lab))


def test_later_requests_of_rows_that_go_along_anyhow_end_approved(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    _, report = between(
        lab,
        auto(lab),
        lambda: request(lab, "session", "name = 'ann' AND n = 1"),
        lambda: request(lab, "spikes", "id IN (1, 3)"),
    )
    assert report.succeeded, report.outcomes
    assert local(lab, "subject", "name") == {("bob",), ("eve",)}
    assert ids(lab) == {2, 3}
    assert outbound(lab, "session_deletion_approved", "name, n") == [("ann", 1)]
    assert outbound(lab, "spikes_deletion_approved", "id") == [(1,)]
    rests(lab, auto(lab))
    assert ids(lab) == {2}


def test_a_request_that_is_dated_back_does_not_slip_in(lab: Rig) -> None:
    request(lab, "spikes", "id = 3")
    _, report = between(lab, auto(lab), lambda: dated_back(lab, "spikes", "id = 1"))
    assert report.succeeded, report.outcomes
    assert ids(lab) == {1, 2}
    rests(lab, auto(lab))
    assert ids(lab) == {2}


def test_a_withdrawn_request_stays_and_one_that_is_dated_back_does_not_take_its_place(lab: Rig) -> None:
    request(lab, "spikes", "id IN (1, 3)")
    _, report = between(
        lab,
        auto(lab),
        lambda: withdrawn(lab, "spikes", "id = 1"),
        lambda: dated_back(lab, "spikes", "id = 2"),
    )
    assert report.succeeded, report.outcomes
    assert ids(lab) == {1, 2}
    assert outbound(lab, "spikes_deletion_approved", "id") == [(3,)]
    rests(lab, auto(lab))
    assert ids(lab) == {1}


def test_what_a_row_of_the_labs_own_held_back_in_the_plan_waits_though_it_is_free_now(lab: Rig) -> None:
    fit = own_table(lab)
    ask(lab.servers.local, f"INSERT INTO {fit} VALUES (1, 'ann')")
    request(lab, "subject", "name IN ('ann', 'eve')")
    plan, report = between(lab, auto(lab), lambda: ask(lab.servers.local, f"DELETE FROM {fit}"))
    assert report.succeeded, report.outcomes
    assert [d.entities for d in deletes(of(lab, plan, "Subject"))] == [1]
    assert local(lab, "subject", "name") == {("ann",), ("bob",)}
    rests(lab, auto(lab))
    assert local(lab, "subject", "name") == {("bob",)}


def test_under_review_the_approved_set_goes_and_a_later_request_waits_for_its_review(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    agreed = with_approvals(document(lab), approvals(lab, document(lab)))
    _, report = between(lab, agreed, lambda: request(lab, "subject", "name = 'bob'"))
    assert report.succeeded, report.outcomes
    assert local(lab, "subject", "name") == {("bob",), ("eve",)}
    rests(lab, document(lab))
    assert [b.count for b in of(lab, lab.plan(document(lab)), "Subject").blocked] == [1]


def nothing_was_granted(lab: Rig, report: Report) -> None:
    """The claim was blocked, which the report tells, and nothing of it stays."""
    [failed] = [o for o in report.outcomes if o.status == "failed"]
    [blocked] = failed.blocked
    assert (blocked.kind, blocked.hint) == ("error", "plan again")
    assert blocked.reason == failed.problem
    assert "have changed since the plan was made: nothing was deleted" in blocked.reason
    assert outbound(lab, "subject_deletion_requested", "granted_at") == [(None,), (None,)]
    assert len(local(lab, "subject")) == 3


def test_an_approved_set_into_which_a_request_was_dated_back_is_blocked_whole(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    agreed = with_approvals(document(lab), approvals(lab, document(lab)))
    _, report = between(lab, agreed, lambda: dated_back(lab, "subject", "name = 'bob'"))
    nothing_was_granted(lab, report)


def test_a_request_that_is_dated_back_while_the_approved_ones_are_locked_is_not_granted(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    agreed = with_approvals(document(lab), approvals(lab, document(lab)))
    granting = once(
        lambda s: s.begins("UPDATE") and "`granted_at` = CURRENT_TIMESTAMP" in s.text,
        lambda _: dated_back(lab, "subject", "name = 'bob'"),
    )
    with watched(granting):
        _, report = lab.apply(agreed)
    nothing_was_granted(lab, report)
    _, report = lab.apply(with_approvals(document(lab), approvals(lab, document(lab))))
    assert report.succeeded, report.outcomes
    assert local(lab, "subject", "name") == {("eve",)}


def test_what_goes_here_after_the_plan_is_approved_by_the_next_one(lab: Rig) -> None:
    request(lab, "spikes", "id IN (1, 3)")
    deleted_here(lab, "spikes", "id = 3")
    plan, report = between(lab, document(lab), lambda: deleted_here(lab, "spikes", "id = 1"))
    assert report.succeeded, report.outcomes
    assert [a.entities for a in of(lab, plan, "Spikes").actions if isinstance(a, Approve)] == [1]
    assert outbound(lab, "spikes_deletion_approved", "id") == [(3,)]
    rests(lab, document(lab))
    assert outbound(lab, "spikes_deletion_approved", "id") == [(1,), (3,)]


def test_what_goes_here_after_the_plan_is_released_by_the_next_one(lab: Rig) -> None:
    doc = document(lab, {"Subject": {}, "Session": {}, "Spikes": {"where": "id = 1"}})
    deleted_here(lab, "spikes", "id = 3")
    plan, report = between(lab, doc, lambda: deleted_here(lab, "spikes", "id = 2"))
    assert report.succeeded, report.outcomes
    assert [a.entities for a in of(lab, plan, "Spikes").actions if isinstance(a, Release)] == [1]
    assert outbound(lab, "spikes", "id") == [(1,), (2,)]
    rests(lab, doc)
    assert outbound(lab, "spikes", "id") == [(1,)]


def test_of_what_is_wanted_no_longer_goes_what_the_plan_saw_and_is_so_still(lab: Rig) -> None:
    tables = {"Subject": {"where": "species = 'mouse'"}}
    doc = document(lab, tables, defaults={"unwanted": "release", "max_deletions": "100%"})
    lab.run("lab_a", "INSERT INTO {lab}.subject VALUES ('joe', 'mouse'), ('kit', 'mouse'), ('lea', 'mouse')")
    assert lab.apply(doc)[1].succeeded
    lab.run("lab_a", "UPDATE {lab}.subject SET species = 'rat' WHERE name IN ('joe', 'kit')")
    plan, report = between(
        lab,
        doc,
        lambda: lab.run("lab_a", "UPDATE {lab}.subject SET species = 'mouse' WHERE name = 'kit'"),
        lambda: lab.run("lab_a", "UPDATE {lab}.subject SET species = 'rat' WHERE name = 'lea'"),
    )
    assert report.succeeded, report.outcomes
    assert [d.entities for d in deletes(of(lab, plan, "Subject"))] == [2]
    names = {name for (name,) in local(lab, "subject", "name")}
    assert {"kit", "lea"} <= names
    assert "joe" not in names
    rests(lab, doc)
    assert "lea" not in {name for (name,) in local(lab, "subject", "name")}


def test_rows_that_come_after_the_plan_are_pulled_with_the_others(lab: Rig) -> None:
    lab.run("lab_a", "INSERT INTO {lab}.subject VALUES ('joe', 'mouse')")
    plan, report = between(
        lab, document(lab), lambda: lab.run("lab_a", "INSERT INTO {lab}.subject VALUES ('kit', 'rat')")
    )
    assert report.succeeded, report.outcomes
    assert [a.entities for a in of(lab, plan, "Subject").actions if isinstance(a, Pull)] == [1]
    assert {("joe",), ("kit",)} <= local(lab, "subject", "name")
    assert not lab.plan(document(lab)).has_changes
