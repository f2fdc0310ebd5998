"""Attacks between a plan and its apply: requests withdrawn, made again, dated back; rows that come below."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Pull, Release
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
    request,
    with_approvals,
)
from tests.support.rig import Rig, quiet
from tests.support.servers import ALIKE
from tests.support.sql import ask

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


def agreed(rig: Rig) -> dict[str, Any]:
    """The manifest with approvals of all that is requested now."""
    return with_approvals(document(rig), approvals(rig, document(rig)))


def withdrawn(rig: Rig, table: str, key: str) -> None:
    rig.run("lab_a", f"DELETE FROM {rig.outbound_table('lab', f'{table}_deletion_requested')} WHERE {key}")


def made_again(rig: Rig, table: str, key: str, at: str | None = None) -> None:
    """The owner withdraws requests, and makes them again; says perhaps that they are old."""
    withdrawn(rig, table, key)
    request(rig, table, key)
    if at is not None:
        requested = rig.outbound_table("lab", f"{table}_deletion_requested")
        rig.run("lab_a", f"UPDATE {requested} SET requested_at = '{at}' WHERE {key}")


def locally(rig: Rig, text: str) -> None:
    schema = f"`{rig.local_schema('lab_a', 'lab')}`"
    ask(rig.servers.local, text.replace("@here", schema))


def rests(rig: Rig, doc: dict[str, Any]) -> None:
    """One more apply ends it."""
    _, report = rig.apply(doc)
    assert report.succeeded, report.outcomes
    assert not rig.plan(doc).has_changes


def stale(report: Report) -> None:
    """The apply said of each link that was due that another apply has worked on it."""
    assert report.outcomes
    for outcome in report.outcomes:
        assert outcome.status == "failed"
        assert "another apply has worked on this link" in (outcome.problem or "")
        assert "run `djlink plan` again" in (outcome.hint or "")


def names(rig: Rig) -> set[str]:
    return {name for (name,) in local(rig, "subject", "name")}


def ids(rig: Rig) -> set[int]:
    return {number for (number,) in local(rig, "spikes", "id")}


def is_voided(rig: Rig, report: Report) -> None:
    """Nothing was granted or deleted, and the report says why."""
    [blocked] = [b for o in report.outcomes for b in o.blocked]
    assert "have changed since the plan was made: nothing was deleted" in blocked.reason
    assert {at for (at,) in outbound(rig, "subject_deletion_requested", "granted_at")} <= {None}
    assert names(rig) == {"ann", "bob", "eve"}


def test_a_request_made_again_waits_for_the_next_plan(lab: Rig) -> None:
    request(lab, "spikes", "id IN (1, 3)")
    _, report = between(lab, auto(lab), lambda: made_again(lab, "spikes", "id = 3"))
    assert report.succeeded, report.outcomes
    assert ids(lab) == {2, 3}
    rests(lab, auto(lab))
    assert ids(lab) == {2}


@pytest.mark.parametrize("at", [None, EARLY])
def test_of_an_approved_set_a_request_made_again_voids_it_or_is_of_the_set(lab: Rig, at: str | None) -> None:
    request(lab, "subject", "name IN ('ann', 'eve')")
    doc = agreed(lab)
    _, report = between(lab, doc, lambda: made_again(lab, "subject", "name = 'ann'", at))
    if at is None:
        is_voided(lab, report)
    else:  # the same keys, all asked for by the moment that was approved
        assert report.succeeded, report.outcomes
        assert names(lab) == {"bob"}


def test_of_an_approved_set_a_withdrawn_request_voids_it(lab: Rig) -> None:
    request(lab, "subject", "name IN ('ann', 'eve')")
    _, report = between(lab, agreed(lab), lambda: withdrawn(lab, "subject", "name = 'ann'"))
    is_voided(lab, report)


def test_one_dated_back_does_not_take_the_place_of_one_withdrawn_from_an_approved_set(lab: Rig) -> None:
    request(lab, "subject", "name IN ('ann', 'eve')")
    _, report = between(
        lab,
        agreed(lab),
        lambda: withdrawn(lab, "subject", "name = 'ann'"),
        lambda: made_again(lab, "subject", "name = 'bob'", EARLY),
    )
    is_voided(lab, report)


def test_what_was_granted_and_is_withdrawn_and_made_again_is_granted_no_more(lab: Rig) -> None:
    request(lab, "subject", "name IN ('ann', 'eve')")
    requested = lab.outbound_table("lab", "subject_deletion_requested")
    lab.run("lab_a", f"UPDATE {requested} SET granted_at = now(), granted_by = 'a.lee'")  # then it was killed
    plan, report = between(lab, document(lab), lambda: made_again(lab, "subject", "name = 'ann'", EARLY))
    assert report.succeeded, report.outcomes
    assert [d.cause for d in deletes(of(lab, plan, "Subject"))] == ["granted"]
    assert names(lab) == {"ann", "bob"}
    assert [b.count for b in of(lab, lab.plan(document(lab)), "Subject").blocked] == [1]


def test_a_row_that_comes_below_blocks_the_deletion_whole(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    _, report = between(lab, auto(lab), lambda: locally(lab, "INSERT INTO @here.session VALUES ('ann', 9)"))
    [blocked] = [b for o in report.outcomes for b in o.blocked]
    assert "more rows would be deleted than the plan showed" in blocked.reason
    assert names(lab) == {"ann", "bob", "eve"}
    assert len(local(lab, "session")) == 5


def test_a_row_that_takes_the_place_of_one_below_blocks_the_deletion_whole(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    _, report = between(
        lab,
        auto(lab),
        lambda: locally(lab, "DELETE FROM @here.session__trial WHERE name = 'ann' AND n = 2"),
        lambda: locally(lab, "DELETE FROM @here.session WHERE name = 'ann' AND n = 2"),
        lambda: locally(lab, "INSERT INTO @here.session VALUES ('ann', 9)"),
    )
    [blocked] = [b for o in report.outcomes for b in o.blocked]
    assert "other rows would be deleted than the plan showed" in blocked.reason
    assert names(lab) == {"ann", "bob", "eve"}
    assert ("ann", 9) in local(lab, "session", "name, n")


def test_what_is_requested_before_it_is_pulled_does_not_come_nor_does_what_hangs_on_it(lab: Rig) -> None:
    lab.run("lab_a", "INSERT INTO {lab}.session VALUES ('bob', 2), ('eve', 2)")
    lab.run(
        "lab_a",
        "INSERT INTO {lab}.session__trial SELECT name, n, 7 FROM {lab}.session WHERE n = 2 AND name <> 'ann'",
    )
    plan, report = between(
        lab,
        document(lab),
        lambda: request(lab, "session", "name = 'bob' AND n = 2"),
        lambda: request(lab, "subject", "name = 'eve'"),
    )
    assert report.succeeded, report.outcomes
    assert [a.entities for a in of(lab, plan, "Session").actions if isinstance(a, Pull)] == [2]
    assert {("bob", 2), ("eve", 2)} & local(lab, "session", "name, n") == set()
    rests(lab, document(lab))


def test_what_is_requested_before_it_goes_unwanted_awaits_its_review(lab: Rig) -> None:
    doc = document(
        lab,
        {"*": {}, "Subject": {"where": "name <> 'eve'"}},
        defaults={"unwanted": "release", "max_deletions": "100%"},
    )
    plan, report = between(lab, doc, lambda: request(lab, "session", "name = 'eve'"))
    assert report.succeeded, report.outcomes
    assert [d.entities for d in deletes(of(lab, plan, "Session"))] == [1]
    assert ("eve", 1) in local(lab, "session", "name, n")
    assert names(lab) == {"ann", "bob", "eve"}
    rests(lab, doc)
    assert names(lab) == {"ann", "bob", "eve"}


def test_what_is_requested_before_its_release_is_approved_instead(lab: Rig) -> None:
    doc = document(lab, {"Subject": {}, "Session": {}, "Spikes": {"where": "id = 1"}})
    locally(lab, "DELETE FROM @here.spikes WHERE id = 3")
    plan, report = between(lab, doc, lambda: request(lab, "spikes", "id = 3"))
    assert report.succeeded, report.outcomes
    assert [a.entities for a in of(lab, plan, "Spikes").actions if isinstance(a, Release)] == [1]
    assert outbound(lab, "spikes", "id") == [(1,), (2,), (3,)]
    rests(lab, doc)
    assert outbound(lab, "spikes_deletion_approved", "id") == [(3,)]


def test_of_two_applies_of_one_approval_the_second_is_told_and_harms_nothing(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    doc = agreed(lab)
    plan, report = between(lab, doc, lambda: lab.apply(doc))
    assert [d.entities for d in deletes(of(lab, plan, "Subject"))] == [1]
    stale(report)
    assert names(lab) == {"bob", "eve"}
    assert outbound(lab, "subject_deletion_approved", "name") == [("ann",)]
    assert not lab.plan(doc).has_changes


def test_of_two_applies_under_auto_the_second_does_nothing_and_a_new_plan_finds_the_rest(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    _, report = between(
        lab, auto(lab), lambda: lab.apply(auto(lab)), lambda: request(lab, "spikes", "id = 3")
    )
    stale(report)
    assert names(lab) == {"bob", "eve"}
    assert ids(lab) == {2, 3}
    rests(lab, auto(lab))
