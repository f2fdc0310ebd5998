"""What stays though wanted no longer, under `unwanted: release`: plans tell why, and promise no more."""

from __future__ import annotations

from typing import Any

import pytest

from djlink_manifest.reconcile.plan.plan import Plan
from tests.support.pipelines.deletion import (
    approvals,
    deletes,
    document,
    lab,
    local,
    of,
    request,
    with_approvals,
)
from tests.support.rig import Rig
from tests.support.servers import ALIKE

__all__ = ["lab"]  # a fixture

pytestmark = pytest.mark.parametrize("servers", ALIKE[:1], indirect=True, ids=str)


def releasing(rig: Rig, wanted: str, most: int | str = 1, **options: Any) -> dict[str, Any]:
    defaults = {"unwanted": "release", "max_deletions": most, **options}
    return document(rig, {"*": {}, "Subject": {"where": wanted}}, defaults=defaults)


def settled(rig: Rig, doc: dict[str, Any]) -> Plan:
    """The plan at rest: an apply or two, then nothing is due."""
    for _ in range(3):
        plan, report = rig.apply(doc)
        assert report.succeeded, report.outcomes
        if not plan.has_changes:
            return plan
    raise AssertionError(f"never at rest: {[(p.address, p.actions) for p in plan.links if p.actions]}")


def names(rig: Rig) -> set[str]:
    return {name for (name,) in local(rig, "subject", "name")}


def test_a_parent_whose_children_wait_for_the_limit_waits_too_and_says_so(lab: Rig) -> None:
    doc = releasing(lab, "name <> 'ann'")  # one subject with two sessions, which are over the limit
    plan, report = lab.apply(doc)
    assert report.succeeded, report.outcomes
    assert [b.count for b in of(lab, plan, "Session").blocked] == [2]
    assert [d.entities for d in deletes(of(lab, plan, "Spikes"))] == [1]
    plan = settled(lab, doc)
    assert names(lab) == {"ann", "bob", "eve"}
    subject = of(lab, plan, "Subject")
    assert (subject.kept, subject.blocked) == (1, ())
    session = f"{lab.local_schema('lab_a', 'lab')}.session"
    assert subject.warnings == (f"1 no longer wanted but kept: rows of {session} (1) refer to them",)


def test_of_a_parent_with_waiting_children_those_go_to_which_nothing_refers(lab: Rig) -> None:
    lab.run("lab_a", "INSERT INTO {lab}.subject VALUES ('joe', 'rat')")
    assert lab.apply(document(lab))[1].succeeded
    doc = releasing(lab, "name NOT IN ('ann', 'joe')")
    plan, report = lab.apply(doc)
    assert report.succeeded, report.outcomes
    assert [d.entities for d in deletes(of(lab, plan, "Subject"))] == [1]
    settled(lab, doc)
    assert names(lab) == {"ann", "bob", "eve"}


def test_what_waits_over_two_links_keeps_what_it_needs(lab: Rig) -> None:
    lab.run("lab_a", "INSERT INTO {lab}.spikes VALUES (4, 'ann', 1, 7)")
    assert lab.apply(document(lab))[1].succeeded
    doc = releasing(lab, "name <> 'ann'")  # two spikes, over the limit, of one session; the other one goes
    plan = settled(lab, doc)
    assert [b.count for b in of(lab, plan, "Spikes").blocked] == [2]
    assert of(lab, plan, "Session").kept == of(lab, plan, "Subject").kept == 1
    assert local(lab, "session", "name, n") == {("ann", 1), ("bob", 1), ("eve", 1)}


def test_all_of_it_goes_once_a_person_says_so(lab: Rig) -> None:
    settled(lab, releasing(lab, "name <> 'ann'"))
    assert names(lab) == {"ann", "bob", "eve"}
    settled(lab, releasing(lab, "name <> 'ann'", most="100%"))
    assert names(lab) == {"bob", "eve"}


def test_what_awaits_its_review_keeps_what_it_needs_until_it_is_approved(lab: Rig) -> None:
    doc = releasing(lab, "name <> 'ann'", most="100%")
    request(lab, "session", "name = 'ann' AND n = 1")
    plan = settled(lab, doc)
    assert names(lab) == {"ann", "bob", "eve"}
    assert local(lab, "session", "name, n") == {("ann", 1), ("bob", 1), ("eve", 1)}
    assert of(lab, plan, "Subject").kept == 1
    assert [(b.kind, b.count) for b in of(lab, plan, "Session").blocked] == [("review", 1)]
    settled(lab, with_approvals(doc, approvals(lab, doc)))
    assert names(lab) == {"bob", "eve"}
