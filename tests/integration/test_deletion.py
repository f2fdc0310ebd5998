"""Deletions that a source asks for: seen, agreed to, done here and told there, on every pair of vendors."""

from __future__ import annotations

import pytest

from tests.support.pipelines.deletion import (
    approvals,
    auto,
    deletes,
    document,
    each_approval,
    lab,
    local,
    of,
    on_all_pairs,
    outbound,
    request,
    with_approvals,
)
from tests.support.rig import Rig

__all__ = ["lab"]  # a fixture


@on_all_pairs
def test_what_was_asked_is_seen_agreed_to_deleted_and_free_to_be_deleted_at_the_source(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'", "wrong animal")
    doc = document(lab)
    plan, report = lab.apply(doc)
    assert report.succeeded
    assert not plan.has_errors, [link.blocked for link in plan.links]
    subject = of(lab, plan, "Subject")
    [pending] = [b for b in subject.blocked if b.kind == "review"]
    assert (pending.count, deletes(subject)) == (1, [])
    assert subject.requests is not None
    assert [(a.reason, a.count) for a in subject.requests.request_groups] == [("wrong animal", 1)]
    assert subject.requests.requested is not None
    assert dict(subject.requests.requested.closure.along) == {
        lab.address("lab_a", "lab", "Session"): 2,
        lab.address("lab_a", "lab", "Spikes"): 1,
    }
    rows = {name.split(".")[1]: n for name, n in subject.requests.requested.closure.rows}
    # the request itself was not noted yet when the plan was made
    assert rows == {"subject": 1, "session": 2, "session__trial": 2, "spikes": 1}
    assert local(lab, "subject__deletion_requested", "name, reason") == {("ann", "wrong animal")}
    assert len(local(lab, "subject")) == 3

    given = approvals(lab, doc)
    assert [a.count for a in given] == [1]
    plan, report = lab.apply(with_approvals(doc, given))
    assert report.succeeded, report.outcomes
    [delete] = deletes(of(lab, plan, "Subject"))
    assert (delete.cause, delete.entities) == ("approved", 1)
    assert local(lab, "subject", "name") == {("bob",), ("eve",)}
    assert local(lab, "session", "name, n") == {("bob", 1), ("eve", 1)}
    assert local(lab, "session__trial", "name, n") == {("bob", 1), ("eve", 1)}
    assert local(lab, "spikes", "id") == {(2,), (3,)}
    assert outbound(lab, "subject", "name") == [("bob",), ("eve",)]
    assert outbound(lab, "session", "name, n") == [("bob", 1), ("eve", 1)]
    assert outbound(lab, "subject_deletion_approved", "name") == [("ann",)]
    [(event, who), _] = sorted(outbound(lab, "subject_history", "event, who"))
    assert (event, who) == ("approved", "a.lee")

    # the approval is spent, nothing comes back, and the owner's own delete works, children first
    plan, report = lab.apply(with_approvals(doc, given))
    assert not plan.has_changes
    assert [a.link for a in plan.spent] == [lab.address("lab_a", "lab", "Subject")]
    for table, column in (
        ("spikes", "name"),
        ("session__trial", "name"),
        ("session", "name"),
        ("subject", "name"),
    ):
        lab.run("lab_a", f"DELETE FROM {{lab}}.{table} WHERE {column} = 'ann'")
    assert not lab.plan(doc).has_changes
    assert len(outbound(lab, "subject_history")) == 2


@on_all_pairs
def test_under_auto_requests_are_done_without_a_word(lab: Rig) -> None:
    request(lab, "session", "name = 'ann'")
    plan, report = lab.apply(auto(lab))
    assert report.succeeded, report.outcomes
    [delete] = deletes(of(lab, plan, "Session"))
    assert (delete.cause, delete.entities, dict(delete.along)) == (
        "auto",
        2,
        {lab.address("lab_a", "lab", "Spikes"): 1},
    )
    assert local(lab, "session", "name, n") == {("bob", 1), ("eve", 1)}
    assert outbound(lab, "session_deletion_approved", "name, n") == [("ann", 1), ("ann", 2)]
    assert outbound(lab, "spikes", "id") == [(2,), (3,)]
    assert not lab.plan(auto(lab)).has_changes


@pytest.mark.parametrize("order", [1, -1])
def test_what_awaits_approval_goes_in_one_round_whichever_overlaps_and_in_whatever_order(
    lab: Rig, order: int
) -> None:
    options = {"deletions": "auto", "max_deletions": "100%"}
    doc = document(lab, {"*": {}, "Spikes": {"deletions": "review"}}, defaults=options)
    request(lab, "subject", "name <> 'eve'")
    request(lab, "session", "name <> 'eve'")
    request(lab, "spikes", "id < 3")
    plan, report = lab.apply(doc)
    assert report.succeeded, report.outcomes
    for table in ("Subject", "Session", "Spikes"):  # an `auto` link waits for what would go along
        link = of(lab, plan, table)
        [waiting] = link.blocked
        assert (waiting.kind, deletes(link)) == ("review", [])
        assert f"`djlink approve {link.address}`" in str(waiting.hint)
    assert [a.count for a in approvals(lab, doc)] == [2], "one approval is enough"
    given = each_approval(lab, doc)
    assert [a.count for a in given] == [2, 3, 2]
    plan, report = lab.apply(with_approvals(doc, given[::order]))
    assert report.succeeded, report.outcomes
    assert local(lab, "subject", "name") == {("eve",)}
    assert local(lab, "session", "name, n") == {("eve", 1)}
    assert local(lab, "spikes", "id") == {(3,)}
    assert outbound(lab, "subject_deletion_approved", "name") == [("ann",), ("bob",)]
    plan = lab.plan(with_approvals(doc, given))
    assert not plan.has_changes
    assert [b for link in plan.links for b in link.blocked] == []
    assert len(plan.spent) == 3
