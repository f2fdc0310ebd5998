"""What a link's neighbours tell when one of them is taken out, refused or out of sight."""

from __future__ import annotations

import pytest

from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE DATABASE {other}",
    "CREATE TABLE {lab}.person (name varchar(9) PRIMARY KEY)",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(9),"
    " FOREIGN KEY (name) REFERENCES {lab}.person (name))",
    "CREATE TABLE {other}.scan (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "INSERT INTO {lab}.person VALUES ('ann'), ('bob'), ('eve')",
    "INSERT INTO {lab}.subject VALUES (1, 'ann'), (2, 'bob'), (3, 'bob')",
    "INSERT INTO {other}.scan VALUES (1), (2)",
)
ALL = {"tables": "*"}
NEEDED = {"tables": {"Person": {"pull": "needed"}, "Subject": {}}}


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab", "other"]})
    return rig


def test_a_parent_that_was_taken_out_is_told_where_its_foreign_key_still_stands(lab: Rig) -> None:
    lab.apply(lab.document({"lab_a": {"lab": ALL, "other": ALL}}))
    run_all(lab, "INSERT INTO {lab}.subject VALUES (4, NULL)", "INSERT INTO {other}.scan VALUES (3), (4)")
    without = {"lab_a": {"lab": {"tables": ["Person"]}, "other": ALL}}
    plan, report = lab.apply(lab.document(without))

    scan = link_of(plan, lab.address("lab_a", "other", "Scan"))
    parent = f"{lab.local_schema('lab_a', 'lab')}.subject"
    [drift] = scan.drift
    assert f"it still has a foreign key to {parent}, which is no longer linked" in drift.reason
    [outcome] = [o for o in report.outcomes if o.address == scan.address]
    assert (outcome.status, outcome.counts.pulled, outcome.counts.refused) == ("done", 1, 0)
    assert [(b.kind, b.count) for b in scan.blocked] == [("error", 1)]

    plan, report = lab.apply(lab.document({"lab_a": {"lab": ALL, "other": ALL}}))
    assert report.succeeded
    assert not any(link.drift for link in plan.links)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE {lab}.subject ADD COLUMN weight int NOT NULL",
        "ALTER TABLE {lab}.subject MODIFY name varchar(9) COMMENT ':attach@raw:'",
    ],
    ids=["a column", "a type of DataJoint"],
)
@pytest.mark.parametrize("unwanted", ["keep", "release"])
def test_a_refused_link_still_needs_the_parents_of_what_it_holds(
    lab: Rig, change: str, unwanted: str
) -> None:
    document = lab.document({"lab_a": {"lab": NEEDED}})
    document["defaults"]["unwanted"] = unwanted
    lab.apply(document)
    run_all(lab, change)
    plan = lab.plan(document)

    assert link_of(plan, lab.address("lab_a", "lab", "Subject")).is_stopped
    person = link_of(plan, lab.address("lab_a", "lab", "Person"))
    assert (person.local_rows, person.kept, person.blocked) == (2, 0, ())


def test_what_the_account_no_longer_sees_is_refused_and_not_forgotten(lab: Rig) -> None:
    document = lab.document({"lab_a": {"lab": ALL, "other": ALL}})
    lab.apply(document)
    schema, user = grant_pattern(lab.names("other")), lab.names("link")
    ask(lab.server("lab_a"), f"REVOKE SELECT, REFERENCES ON {schema}.* FROM '{user}'@'%'")
    plan = lab.plan(document)
    assert [refusal.address for refusal in plan.refusals] == [f"lab_a.{lab.names('other')}"]
    assert plan.forgotten == ()

    plan = lab.plan(lab.document({"lab_a": {"lab": ALL}}))
    assert [forgotten.source_table for forgotten in plan.forgotten] == [f"{lab.names('other')}.scan"]


def test_a_locked_account_is_told_as_such(lab: Rig) -> None:
    ask(lab.server("lab_a"), f"ALTER USER '{lab.names('link')}'@'%' ACCOUNT LOCK")
    [server] = lab.plan(lab.document({"lab_a": {"lab": ALL}})).sources
    assert "refused the login" in str(server.problem)
    assert "ACCOUNT UNLOCK" in str(server.hint)


def test_an_account_that_has_all_its_sessions_is_told_as_such(lab: Rig) -> None:
    ask(lab.server("lab_a"), f"ALTER USER '{lab.names('link')}'@'%' WITH MAX_USER_CONNECTIONS 1")
    with lab.server("lab_a").connect(lab.names("link"), PASSWORD):
        [server] = lab.plan(lab.document({"lab_a": {"lab": ALL}})).sources
    assert "accepts no further session" in str(server.problem)
    assert "--parallelism" in str(server.hint)
