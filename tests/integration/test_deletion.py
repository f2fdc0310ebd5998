"""Deletions that a source asks for: seen, agreed to, done here and told there, on every pair of vendors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.reconcile.plan.actions import Delete
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from tests.support.rig import Rig, link_of
from tests.support.servers import PAIRS
from tests.support.sql import run_all

on_all_pairs = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (name varchar(20) PRIMARY KEY, species varchar(9))",
    "CREATE TABLE {lab}.session (name varchar(20), n int, PRIMARY KEY (name, n),"
    " FOREIGN KEY (name) REFERENCES {lab}.subject (name))",
    "CREATE TABLE {lab}.session__trial (name varchar(20), n int, k int, PRIMARY KEY (name, n, k),"
    " FOREIGN KEY (name, n) REFERENCES {lab}.session (name, n))",
    "CREATE TABLE {lab}.spikes (id int PRIMARY KEY, name varchar(20), n int, k int,"
    " FOREIGN KEY (name, n, k) REFERENCES {lab}.session__trial (name, n, k))",
    "INSERT INTO {lab}.subject VALUES ('ann', 'mouse'), ('bob', 'mouse'), ('eve', 'rat')",
    "INSERT INTO {lab}.session VALUES ('ann', 1), ('ann', 2), ('bob', 1), ('eve', 1)",
    "INSERT INTO {lab}.session__trial SELECT name, n, 7 FROM {lab}.session",
    "INSERT INTO {lab}.spikes VALUES (1, 'ann', 1, 7), (2, 'bob', 1, 7), (3, NULL, NULL, NULL)",
)
ALL = {"tables": "*"}


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    _, report = rig.apply(rig.document({"lab_a": {"lab": ALL}}))
    assert report.succeeded
    return rig


def document(rig: Rig, tables: Any = "*", **more: Any) -> dict[str, Any]:
    made = rig.document({"lab_a": {"lab": {"tables": tables}}}, **more)
    made["defaults"].update(more.get("defaults", {}), schema_name=rig.names("our_{source}_") + "{schema}")
    return made


def auto(rig: Rig, **more: Any) -> dict[str, Any]:
    return document(rig, defaults={"deletions": "auto", "max_deletions": "100%", **more})


def request(rig: Rig, table: str, key: str, reason: str = "bad data") -> None:
    """What an owner asks: the keys of the source's rows that meet a condition."""
    columns = {"subject": "name", "session": "name, n", "spikes": "id"}[table]
    asked = rig.outbound_table("lab", f"{table}_deletion_requested")
    rig.run(
        "lab_a",
        f"INSERT INTO {asked} ({columns}, reason)"
        f" SELECT {columns}, '{reason}' FROM {{lab}}.{table} WHERE {key}",
    )


def local(rig: Rig, table: str, what: str = "*") -> set[tuple[Any, ...]]:
    return set(rig.run("local", f"SELECT {what} FROM `{rig.local_schema('lab_a', 'lab')}`.{table}"))


def outbound(rig: Rig, table: str, what: str = "*") -> list[tuple[Any, ...]]:
    return sorted(rig.run("lab_a", f"SELECT {what} FROM {rig.outbound_table('lab', table)}"))


def of(rig: Rig, plan: Plan, table: str) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", table))


def deletes(link: LinkPlan) -> list[Delete]:
    return [a for a in link.actions if isinstance(a, Delete)]


def approvals(rig: Rig, doc: dict[str, Any], by: str = "a.lee") -> tuple[Approval, ...]:
    with rig.job(doc) as job:
        return job.approved(job.plan(), by, "2026-11-24")[1]


def entry(approval: Approval) -> dict[str, Any]:
    """An approval as it stands in a manifest."""
    return {
        "link": approval.link,
        "keys": approval.keys,
        "count": approval.count,
        "until": approval.until,
        "with": dict(approval.along),
        "by": approval.by,
        "date": approval.date,
    }


def with_approvals(doc: dict[str, Any], given: Sequence[Approval]) -> dict[str, Any]:
    return {**doc, "approvals": [entry(a) for a in given]}


@on_all_pairs
def test_what_was_asked_is_seen_agreed_to_deleted_and_free_to_be_deleted_at_the_source(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'", "wrong animal")
    doc = document(lab)
    plan, report = lab.apply(doc)
    assert report.succeeded
    assert not plan.has_errors, [link.blocked for link in plan.links]
    subject = of(lab, plan, "Subject")
    [waiting] = [b for b in subject.blocked if b.kind == "review"]
    assert (waiting.count, deletes(subject)) == (1, [])
    assert subject.requests is not None
    assert [(a.reason, a.count) for a in subject.requests.asked] == [("wrong animal", 1)]
    assert subject.requests.waiting is not None
    assert dict(subject.requests.waiting.closure.along) == {
        lab.address("lab_a", "lab", "Session"): 2,
        lab.address("lab_a", "lab", "Spikes"): 1,
    }
    rows = {name.split(".")[1]: n for name, n in subject.requests.waiting.closure.rows}
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
