"""A source on the local server itself, under one host name and under two: linked, excluded, let go as any."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.errors import LinkLocked
from djlink_manifest.manifest.load import load
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.doctor.examination import examine
from djlink_manifest.reconcile.runtime.events import Event, LinkStarted, Report
from tests.support.invariants.protection import check_whole
from tests.support.notebooks import open_notebook
from tests.support.rig import Rig, link_of
from tests.support.servers import ALIKE, Servers
from tests.support.sql import run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, v int)",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (s int, n int, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "INSERT INTO {lab}.subject VALUES (1, 1), (2, 2), (3, 3)",
    "INSERT INTO {lab}.session VALUES (1, 1), (2, 2), (3, 3), (4, 3)",
    "INSERT INTO {lab}.session__trial SELECT s, 1 FROM {lab}.session",
)
BOTH = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)


@pytest.fixture
def rig(rig: Rig, servers: Servers) -> Rig:
    """A rig whose sources are the local server."""
    rig.servers = Servers(servers.local, servers.local, servers.local)
    return rig


@pytest.fixture(params=["one name", "two names"])
def lab(rig: Rig, request: pytest.FixtureRequest) -> tuple[Rig, dict[str, Any]]:
    """Tables of a lab beside our own, and the manifest that links them."""
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    document = rig.document({"lab_a": {"lab": {"tables": "*"}}})
    document["defaults"].update(deletions="auto", max_deletions="100%")
    if request.param == "two names":
        document["sources"]["lab_a"]["host"] = "localhost"
    return rig, document


def links_of(rig: Rig, document: dict[str, Any]) -> tuple[Link, ...]:
    with rig.job(document) as job:
        return job.links


@BOTH
def test_it_is_pulled_held_asked_to_delete_and_let_go_like_any_other(lab: tuple[Rig, dict[str, Any]]) -> None:
    rig, document = lab
    plan, report = rig.apply(document)
    assert report.succeeded, report.outcomes
    assert not plan.has_errors
    links = links_of(rig, document)
    assert check_whole(rig, links) == 3 + 4
    assert not rig.plan(document).has_changes

    # the doctor has nothing against it
    diagnosis = examine(load([rig.write(document)]), {**os.environ, **rig.environ})
    assert [f.words for f in diagnosis.findings if f.level == "error"] == []
    [same] = [f for f in diagnosis.findings if f.subject == "same server"]
    assert (same.level, same.server) == ("note", "lab_a")

    # what the owner asks for goes here first, then there; and can be deleted at last
    asked = rig.outbound_table("lab", "session_deletion_requested")
    rig.run("lab_a", f"INSERT INTO {asked} (s, reason) VALUES (1, 'bad')")
    _, report = rig.apply(document)
    assert report.succeeded, report.outcomes
    assert sum(o.counts.deleted for o in report.outcomes) == 1
    assert check_whole(rig, links) == 3 + 3
    for table in ("session__trial", "session"):
        rig.run("lab_a", f"DELETE FROM {{lab}}.{table} WHERE s = 1")

    # what is deleted here and no longer wanted is released there
    local_schema = rig.local_schema("lab_a", "lab")
    for table in ("session__trial", "session"):
        rig.run("local", f"DELETE FROM `{local_schema}`.{table} WHERE s = 2")
    tables = {"Subject": {}, "Session": {"where": "s > 2"}}
    document["sources"]["lab_a"]["schemas"][rig.names("lab")]["tables"] = tables
    plan, report = rig.apply(document)
    assert report.succeeded, report.outcomes
    assert link_of(plan, rig.address("lab_a", "lab", "Session")).actions
    assert rig.run("lab_a", f"SELECT s FROM {rig.outbound_table('lab', 'session')} ORDER BY 1") == [
        (3,),
        (4,),
    ]
    assert check_whole(rig, links) == 3 + 2

    # and a link that is taken out leaves nothing
    document["sources"]["lab_a"]["schemas"][rig.names("lab")]["tables"] = {"Subject": {}}
    document["removed"] = {rig.address("lab_a", "lab", "session"): {"table": "drop"}}
    _, report = rig.apply(document)
    assert report.succeeded, report.outcomes
    assert check_whole(rig, links) == 3
    assert not rig.plan(document).has_changes


@BOTH
@pytest.mark.parametrize("first_ever", [True, False])
def test_a_second_apply_is_excluded_and_told_who_works(
    lab: tuple[Rig, dict[str, Any]], first_ever: bool
) -> None:
    rig, document = lab
    if not first_ever:
        assert rig.apply(document)[1].succeeded
        rig.run("lab_a", "INSERT INTO {lab}.subject VALUES (9, 9)")
    begun, go_on, reports = threading.Event(), threading.Event(), list[Report]()

    def wait(event: Event) -> None:
        if isinstance(event, LinkStarted):
            begun.set()
            assert go_on.wait(60)

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(lambda: reports.append(rig.apply(document, wait)[1]))
        try:
            assert begun.wait(60)
            with pytest.raises(LinkLocked, match="another djlink works on this link") as raised:
                rig.apply(document)
        finally:
            go_on.set()
        first.result(60)
    who = rig.names("link") if first_ever else f"(process {os.getpid()}, since "
    assert who in raised.value.message
    assert reports[0].succeeded
    assert not rig.plan(document).has_changes


def test_schemas_of_the_source_do_not_receive_its_links(rig: Rig) -> None:
    run_all(rig, *TABLES, "CREATE DATABASE {other}")
    rig.accounts({"lab_a": ["lab", "other"]})
    for schema, what in (
        (rig.names("lab"), "a source schema of lab_a"),
        (rig.names("other"), "a source schema of lab_a"),
        (rig.outbound, "the outbound schema of lab_a"),
        (f"{rig.outbound}_owner", "the owner schema of lab_a"),
    ):
        document = rig.document({"lab_a": {"lab": {"tables": "*"}, "other": {"tables": "*"}}})
        document["sources"]["lab_a"]["host"] = "localhost"
        document["defaults"]["schema_name"] = schema
        plan, report = rig.apply(document)
        reasons = {b.reason for link in plan.links for b in link.blocked}
        assert reasons == {f"its local schema `{schema}` is {what}, which is the local server itself"}
        assert report.outcomes == ()
        assert rig.run("local", "SHOW TABLES FROM {outbound}") == []


def test_one_table_under_two_names_of_its_server_is_one_link_and_told(rig: Rig, servers: Servers) -> None:
    rig.servers = Servers(servers.lab_a, servers.lab_a, servers.local)
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    another = {"Subject": {"outbound_table": "another"}}
    document = rig.document(
        {"lab_a": {"lab": {"tables": ["Subject"]}}, "lab_b": {"lab": {"tables": another}}}
    )
    document["sources"]["lab_b"]["host"] = "localhost"
    plan, report = rig.apply(document)
    assert [b.reason.partition(":")[0] for link in plan.links for b in link.blocked] == [
        "it links the same table of the same server into the same schema as "
        + rig.address(other, "lab", "Subject")
        for other in ("lab_b", "lab_a")
    ]
    assert report.outcomes == ()
    # parted, they are two links, each with its own protection
    rig.run("lab_a", f"CREATE DATABASE `{rig.names('second')}`")
    rights = "CREATE, SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES"
    rig.run("lab_a", f"GRANT {rights} ON `{rig.names('second')}`.* TO '{rig.names('link')}'@'%'")
    document["sources"]["lab_b"]["outbound"] = rig.names("second")
    _, report = rig.apply(document)
    assert [(o.status, o.counts.pulled) for o in report.outcomes] == [("done", 3), ("done", 3)]
    assert not rig.plan(document).has_changes


def test_python_links_what_is_on_the_labs_own_server(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_notebook(rig, monkeypatch) as notebook:
        subject, session = notebook.link("Subject"), notebook.link("Session")
        assert subject().pull(display_progress=False).entities == 3
        assert session().pull(display_progress=False).entities == 4
        assert sorted(session().to_dicts(), key=str) == sorted(notebook.source.Session().to_dicts(), key=str)
        (session() & "subject = 'B1'").delete()
        assert len(notebook.outbound("session")) == len(session()) == 3
        assert session().pull(display_progress=False).entities == 1


def test_servers_that_only_look_alike_are_not_taken_for_one(
    rig: Rig, servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Containers of one recipe have one host name, port and data directory."""
    from djlink_manifest.reconcile.observe import connect

    monkeypatch.setattr(connect, "fingerprint", lambda identity: "alike")
    rig.servers = servers
    for name in ("lab_a", "lab_b"):
        run_all(rig, *TABLES, server=name)
    rig.accounts({"lab_a": ["lab"], "lab_b": ["lab"]})
    document = rig.document({name: {"lab": {"tables": "*"}} for name in ("lab_a", "lab_b")})
    _, report = rig.apply(document)
    assert [(o.status, o.counts.pulled) for o in report.outcomes] == [("done", n) for n in (3, 3, 4, 4)]
