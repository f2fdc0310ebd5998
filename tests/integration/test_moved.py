"""`moved`: a source, schema, table or local schema gets another name, and no row travels."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import pymysql
import pytest
import yaml

from djlink_manifest import load
from djlink_manifest.errors import LinkRefused
from djlink_manifest.model.server.rights import needs_of_link_user
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.plan.actions import Move
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.sandbox.servers.accounts import create_link_user, grant_pattern
from tests.support.command import called
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(9), CHECK (id > 0))",
    "CREATE TABLE {lab}.__session (s int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.__session__trial (s int, n int, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.__session (s))",
    "CREATE TABLE {lab}.scan (k int PRIMARY KEY, s int NOT NULL,"
    " FOREIGN KEY (s) REFERENCES {lab}.__session (s))",
    "INSERT INTO {lab}.subject VALUES (1, 'ann'), (2, 'bob')",
    "INSERT INTO {lab}.__session VALUES (10, 1), (20, 2)",
    "INSERT INTO {lab}.__session__trial VALUES (10, 1), (10, 2), (20, 1)",
    "INSERT INTO {lab}.scan VALUES (5, 10)",
)
NAMED = {"tables": ["Subject", "Session", "Scan"]}
RENAME = (
    "RENAME TABLE {lab}.__session TO {lab}.__recording, {lab}.__session__trial TO {lab}.__recording__trial"
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    return linked(rig)


def linked(rig: Rig) -> Rig:
    """The pipeline, linked and pulled."""
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab", "lab2"]})
    assert rig.apply(rig.document({"lab_a": {"lab": NAMED}}))[1].succeeded
    return rig


def renamed_source(rig: Rig, moved: list[Mapping[str, str]], **defaults: Any) -> dict[str, Any]:
    """The manifest in which the source `lab_a` is called `kyoto`."""
    document = rig.document({"lab_a": {"lab": NAMED}}, moved=moved)
    document["sources"]["kyoto"] = document["sources"].pop("lab_a")
    document["defaults"] |= defaults
    return document


def moves(plan: Plan) -> dict[str, tuple[tuple[str, str], ...]]:
    """The links that move, by class, with the local tables that are renamed."""
    found = {p.address: [a for a in p.actions if isinstance(a, Move)] for p in plan.links}
    return {a.rpartition(".")[2]: moved[0].tables for a, moved in found.items() if moved}


def settled(rig: Rig, document: Mapping[str, Any]) -> Plan:
    """The plan, in which nothing is left to do and nothing amiss."""
    plan = rig.plan(document)
    assert not plan.has_changes
    assert not plan.has_errors
    assert not [link.drift for link in plan.links if link.drift]
    assert plan.forgotten == ()
    return plan


def test_a_renamed_source_takes_its_local_tables_along_and_no_row_travels(lab: Rig) -> None:
    before = lab.run("lab_a", "SELECT * FROM {outbound}.`" + lab.names("lab") + "_session`")
    document = renamed_source(lab, [{"from": "lab_a", "to": "kyoto"}])
    plan, report = lab.apply(document)
    assert set(moves(plan)) == {"Subject", "Session", "Scan"}
    assert report.succeeded
    assert not any(o.counts.rows or o.counts.created for o in report.outcomes)

    plan = settled(lab, document)
    assert [(p.source_rows, p.outbound_rows, p.local_rows) for p in plan.links] == [
        (2, 2, 2),
        (2, 2, 2),
        (1, 1, 1),
    ]
    assert lab.run("lab_a", "SELECT * FROM {outbound}.`" + lab.names("lab") + "_session`") == before
    new, old = lab.local_schema("kyoto", "lab"), lab.local_schema("lab_a", "lab")
    tables = {t for (t,) in ask(lab.server("local"), f"SHOW TABLES IN `{new}`")}
    assert {"subject", "session", "session__trial", "session__deletion_requested", "scan"} <= tables
    left = {t for (t,) in ask(lab.server("local"), f"SHOW TABLES IN `{old}`")}
    assert left == {"~djlink", "~lineage"}
    [warning] = [w for w in plan.warnings if "moved" in w]
    assert "nothing is left to move" in warning


def locally(rig: Rig, *texts: str) -> None:
    """Statements of the lab on the local server; `{here}` is the local schema, `{own}` one of its own."""
    names = {"here": rig.local_schema("lab_a", "lab"), "own": rig.names("own")}
    for text in texts:
        ask(rig.server("local"), text.format(**{k: f"`{name}`" for k, name in names.items()}))


def recording(rig: Rig, **more: Any) -> dict[str, Any]:
    """The manifest for the session that its owner has renamed."""
    moved = [{"from": rig.address("lab_a", "lab", "Session"), "to": rig.address("lab_a", "lab", "Recording")}]
    tables = {"tables": ["Subject", "Recording", "Scan"]}
    return rig.document({"lab_a": {"lab": tables}}, moved=moved, **more)


def entries(text: str | None) -> list[Mapping[str, str]]:
    """The entries of `moved` that a hint tells to write."""
    found = re.findall(r"`moved: (\[\{[^`]*\}\])`", text or "")
    return [entry for each in found for entry in yaml.safe_load(each)]


def protected(rig: Rig, table: str) -> bool:
    """Whether the source refuses to delete all rows of a table."""
    try:
        run_all(rig, f"DELETE FROM {{lab}}.{table}")
    except pymysql.MySQLError as error:
        return "foreign key constraint fails" in str(error)
    return False


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_table_that_its_owner_renamed_is_moved_with_its_parts(lab: Rig) -> None:
    lab.run("lab_a", RENAME)
    document = recording(lab)
    plan, report = lab.apply(document)
    assert report.succeeded, report
    local = lab.local_schema("lab_a", "lab")
    assert dict(moves(plan)["Recording"]) == {
        f"{local}.session": f"{local}.recording",
        f"{local}.session__trial": f"{local}.recording__trial",
        f"{local}.session__deletion_requested": f"{local}.recording__deletion_requested",
    }
    assert moves(plan)["Scan"] == ()  # its definition names the parent
    assert not any(o.counts.rows or o.counts.created for o in report.outcomes)
    settled(lab, document)
    assert protected(lab, "__recording")
    # as before: what comes at the source is pulled
    lab.run("lab_a", "INSERT INTO {lab}.__recording VALUES (30, 1)")
    lab.run("lab_a", "INSERT INTO {lab}.__recording__trial VALUES (30, 7)")
    _, report = lab.apply(document)
    assert report.succeeded
    assert ask(lab.server("local"), f"SELECT * FROM `{local}`.recording__trial WHERE s = 30") == [(30, 7)]
    settled(lab, document)


def test_a_schema_that_its_owner_renamed_is_offered_and_moved(lab: Rig) -> None:
    run = [
        f"RENAME TABLE {{lab}}.`{t}` TO {{lab2}}.`{t}`"
        for t in ("subject", "__session", "__session__trial", "scan")
    ]
    lab.run("lab_a", "CREATE DATABASE {lab2}")
    for text in run:
        lab.run("lab_a", text)
    old = lab.document({"lab_a": {"lab": NAMED}})
    offered = {r.address: entries(r.hint) for r in lab.plan(old).refusals}
    lab.run("lab_a", "DROP DATABASE {lab}")
    [refusal] = lab.plan(old).refusals
    assert f"its linked tables are in `{lab.names('lab2')}` now" in refusal.reason
    assert offered[lab.address("lab_a", "lab", "Scan")] == [
        {"from": lab.address("lab_a", "lab", "Scan"), "to": lab.address("lab_a", "lab2", "Scan")}
    ]

    document = lab.document({"lab_a": {"lab2": NAMED}})
    plan = lab.plan(document)
    assert plan.has_errors
    assert not plan.has_changes
    hints = [entries(b.hint) for p in plan.links for b in p.blocked if b.kind == "error"]
    assert hints
    assert all(each == entries(refusal.hint) for each in hints)

    document["moved"] = entries(refusal.hint)
    plan, report = lab.apply(document)
    assert report.succeeded
    assert len(moves(plan)["Session"]) == 3
    settled(lab, document)
    tables = ask(lab.server("local"), f"SHOW TABLES IN `{lab.local_schema('lab_a', 'lab2')}`")
    assert ("session__trial",) in tables


def test_a_local_schema_gets_another_name_and_the_labs_own_rows_keep_their_parents(lab: Rig) -> None:
    new = lab.names("renamed")
    locally(
        lab,
        "CREATE DATABASE {own}",
        "CREATE TABLE {own}.mine (k int PRIMARY KEY, FOREIGN KEY (k) REFERENCES {here}.scan (k))",
        "INSERT INTO {own}.mine VALUES (5)",
        "CREATE TABLE {here}.session__mine"
        " (s int PRIMARY KEY, FOREIGN KEY (s) REFERENCES {here}.session (s))",
    )
    document = lab.document({"lab_a": {"lab": NAMED}})
    document["defaults"]["schema_name"] = new
    blocked = [b for p in lab.plan(document).links for b in p.blocked if b.kind == "error"]
    assert blocked
    assert {str(entries(b.hint)) for b in blocked} == {
        str([{"local_schema": lab.local_schema("lab_a", "lab"), "to": new}])
    }
    document["moved"] = entries(blocked[0].hint)
    assert lab.apply(document)[1].succeeded
    settled(lab, document)
    with pytest.raises(pymysql.MySQLError, match=f"REFERENCES `{new}`.`scan`"):
        locally(lab, "INSERT INTO {own}.mine VALUES (6)")
    # a table of the lab's own stays where it is, whatever its name looks like
    assert ask(
        lab.server("local"), f"SHOW TABLES IN `{lab.local_schema('lab_a', 'lab')}` LIKE 'session%'"
    ) == [("session__mine",)]


def test_a_source_with_another_name_and_without_an_entry_is_refused_with_the_entry_to_paste(lab: Rig) -> None:
    document = renamed_source(lab, [])
    plan = lab.plan(document)
    assert not plan.has_changes
    blocked = [b for p in plan.links for b in p.blocked if b.kind == "error"]
    assert [entries(b.hint)[0] for b in blocked] == [{"from": "lab_a", "to": "kyoto"}] * 3
    document["moved"] = entries(blocked[0].hint)[:1]
    assert lab.apply(document)[1].succeeded
    settled(lab, document)


@pytest.mark.parametrize("tables", ["*", ["Subject", "Session", "Scan"], ["Subject", "Recording", "Scan"]])
def test_a_table_renamed_at_the_source_is_never_linked_a_second_time_but_offered(
    lab: Rig, tables: object
) -> None:
    lab.run("lab_a", RENAME)
    document = lab.document({"lab_a": {"lab": {"tables": tables}}})
    plan = lab.plan(document)
    assert not plan.has_changes
    assert plan.forgotten == ()
    told = [(r.reason, r.hint) for r in plan.refusals]
    told += [(b.reason, b.hint) for p in plan.links for b in p.blocked if b.kind == "error"]
    assert any("renamed" in reason for reason, _ in told)
    offered = [entries(hint) for _, hint in told if entries(hint)]
    assert offered[0] == recording(lab)["moved"]


def test_a_new_table_under_the_former_name_is_not_the_one_that_was_linked(
    lab: Rig,
) -> None:
    lab.run("lab_a", RENAME)
    run_all(
        lab,
        "CREATE TABLE {lab}.__session (s int PRIMARY KEY, id int NOT NULL,"
        " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
        "INSERT INTO {lab}.__session VALUES (10, 2), (70, 2)",
    )
    plan = lab.plan(lab.document({"lab_a": {"lab": NAMED}}))
    session = link_of(plan, lab.address("lab_a", "lab", "Session"))
    assert not session.actions
    assert entries(session.blocked[0].hint) == recording(lab)["moved"]

    document = recording(lab)
    document["sources"]["lab_a"]["schemas"][lab.names("lab")]["tables"] = "*"
    plan, _ = lab.apply(document)
    assert "Recording" in moves(plan)
    plan, report = lab.apply(document)
    assert report.succeeded
    assert link_of(plan, lab.address("lab_a", "lab", "Session")).new
    settled(lab, document)
    run_all(lab, "DELETE FROM {lab}.scan WHERE FALSE")
    assert protected(lab, "__recording")
    assert protected(lab, "__session")
    here = lab.local_schema("lab_a", "lab")
    assert ask(lab.server("local"), f"SELECT * FROM `{here}`.session ORDER BY s") == [(10, 2), (70, 2)]
    assert ask(lab.server("local"), f"SELECT * FROM `{here}`.recording ORDER BY s") == [(10, 1), (20, 2)]


def test_a_table_that_was_copied_is_not_taken_for_the_one_that_was_linked(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.__recording (s int PRIMARY KEY, id int NOT NULL,"
        " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    )
    plan = lab.plan(recording(lab))
    blocked = link_of(plan, lab.address("lab_a", "lab", "Recording")).blocked
    assert "was copied, and not renamed" in blocked[0].reason
    assert not plan.has_changes


def test_an_approval_and_a_request_find_their_link_under_its_present_address(lab: Rig) -> None:
    lab.run("lab_a", f"INSERT INTO {lab.outbound_table('lab', 'scan_deletion_requested')} (k) VALUES (5)")
    document = lab.document({"lab_a": {"lab": NAMED}})
    address = lab.address("lab_a", "lab", "Scan")
    with lab.job(document) as job:
        [approval] = job.approvals(job.plan(), address, "a.lee", "2026-11-30")
    given = {
        "link": approval.link,
        "keys": approval.keys,
        "count": approval.count,
        "until": approval.until,
        "by": approval.by,
        "date": approval.date,
    }
    document = renamed_source(lab, [{"from": "lab_a", "to": "kyoto"}]) | {"approvals": [given]}
    assert lab.apply(document)[1].succeeded
    _, report = lab.apply(document)
    assert report.succeeded
    [outcome] = [o for o in report.outcomes if o.counts.deleted]
    assert outcome.address == lab.address("kyoto", "lab", "Scan")
    approved = lab.outbound_table("lab", "scan_deletion_approved")
    assert [key for key, *_ in lab.run("lab_a", f"SELECT * FROM {approved}")] == [5]


def test_what_bars_a_rename_is_told_with_the_way_out(lab: Rig) -> None:
    document = lab.document({"lab_a": {"lab": NAMED}})
    new, user = lab.names("renamed"), lab.names("lab")
    document["defaults"]["schema_name"] = new
    document["moved"] = [{"local_schema": lab.local_schema("lab_a", "lab"), "to": new}]
    ask(lab.server("local"), f"REVOKE DROP ON `{lab.names.pattern}`.* FROM '{user}'@'%'")
    blocked = [b for p in lab.plan(document).links for b in p.blocked]
    old = lab.local_schema("lab_a", "lab")
    assert {b.reason for b in blocked} == {
        f"the local user lacks DROP on the local schema `{old}`, to rename tables"
    }
    ask(lab.server("local"), str(blocked[0].hint).partition("run: ")[2].rstrip(";"))
    locally(lab, "CREATE TRIGGER {here}.own BEFORE INSERT ON {here}.scan FOR EACH ROW SET @seen = 1")
    _, report = lab.apply(document)
    [failed] = [o for o in report.outcomes if o.status == "failed"]
    assert (failed.address, "has a trigger" in str(failed.problem)) == (
        lab.address("lab_a", "lab", "Scan"),
        True,
    )
    locally(lab, "DROP TRIGGER {here}.own")
    assert lab.apply(document)[1].succeeded
    settled(lab, document)


def test_another_server_under_the_new_name_is_no_move(lab: Rig) -> None:
    run_all(lab, *TABLES, server="lab_b")
    create_link_user(lab.server("lab_b"), lab.names("link"), PASSWORD, [lab.names("lab")], lab.outbound)
    document = lab.document({"lab_b": {"lab": NAMED}}, moved=[{"from": "lab_a", "to": "lab_b"}])
    plan = lab.plan(document)
    assert not plan.has_changes
    reasons = [b.reason for p in plan.links for b in p.blocked if b.kind == "error"]
    assert len(reasons) == 3
    assert all("lab_b has no record of it" in reason for reason in reasons)


def lineages(rig: Rig, schema: str) -> dict[tuple[str, str], str]:
    """What a local schema says of lineage, by table and attribute."""
    return {(t, a): text for t, a, text in ask(rig.server("local"), f"SELECT * FROM `{schema}`.`~lineage`")}


def test_lineage_follows_a_source_in_the_labs_own_schemas_too(lab: Rig) -> None:
    here, source = lab.local_schema("lab_a", "lab"), lab.names("lab")
    sealed, user = lab.names("sealed"), lab.names("lab")
    for own in ("{own}", f"`{sealed}`"):
        locally(
            lab,
            f"CREATE DATABASE {own}",
            f"CREATE TABLE {own}.`~lineage` LIKE {{here}}.`~lineage`",
            f"INSERT INTO {own}.`~lineage` SELECT 'mine', attribute_name, lineage FROM {{here}}.`~lineage`"
            " WHERE table_name = 'scan' AND attribute_name = 'k'",
            f"INSERT INTO {own}.`~lineage` VALUES ('mine', 'x', 'lab_a_own.mine.x')",
        )
    ask(lab.server("local"), f"GRANT SELECT ON {grant_pattern(sealed)}.* TO '{user}'@'%'")
    assert lineages(lab, here)["scan", "s"] == f"lab_a.{source}.__session.s"

    # the local schema keeps its name: only lineage is left to move
    document = renamed_source(lab, [{"from": "lab_a", "to": "kyoto"}], schema_name=here)
    plan, report = lab.apply(document)
    assert report.succeeded
    assert set(moves(plan).values()) == {()}
    assert [o.problem is not None and sealed in o.problem for o in report.outcomes].count(True) >= 1
    assert lineages(lab, here)["scan", "s"] == f"kyoto.{source}.__session.s"
    assert lineages(lab, lab.names("own")) == {
        ("mine", "k"): f"kyoto.{source}.scan.k",
        ("mine", "x"): "lab_a_own.mine.x",
    }
    assert lineages(lab, sealed)["mine", "k"] == f"lab_a.{source}.scan.k"
    settled(lab, document)


def test_moves_one_after_another_are_made_at_once_where_none_was_made(lab: Rig) -> None:
    lab.run("lab_a", RENAME)
    document = recording(lab)
    document["moved"] += [{"from": "old", "to": "lab_a"}, {"from": "older", "to": "old"}]
    assert lab.apply(document)[1].succeeded
    lab.run("lab_a", "RENAME TABLE {lab}.__recording TO {lab}.visit")
    lab.run("lab_a", "RENAME TABLE {lab}.__recording__trial TO {lab}.visit__trial")
    document["sources"]["lab_a"]["schemas"][lab.names("lab")]["tables"] = ["Subject", "Visit", "Scan"]
    document["moved"] += [
        {"from": lab.address("lab_a", "lab", "Recording"), "to": lab.address("lab_a", "lab", "Visit")}
    ]
    plan, report = lab.apply(document)
    assert report.succeeded
    here = lab.local_schema("lab_a", "lab")
    assert (f"{here}.recording", f"{here}.visit") in moves(plan)["Visit"]
    settled(lab, document)
    # and in the manifest that the next lab applies, all of them stand
    plan = lab.plan(document)
    assert len([w for w in plan.warnings if "nothing is left to move" in w]) == 4


def test_a_link_is_taken_out_under_its_present_address_before_it_was_moved(lab: Rig) -> None:
    lab.run("lab_a", RENAME)
    document = recording(lab, removed={lab.address("lab_a", "lab", "Recording"): {"table": "drop"}})
    document["sources"]["lab_a"]["schemas"][lab.names("lab")]["tables"] = ["Subject"]
    document["removed"][lab.address("lab_a", "lab", "Scan")] = {"table": "drop"}
    assert lab.apply(document)[1].succeeded
    here = lab.local_schema("lab_a", "lab")
    assert ask(lab.server("local"), f"SHOW TABLES IN `{here}` LIKE 'session%'") == []
    left = {name for (name,) in lab.run("lab_a", "SHOW TABLES IN {outbound}")}
    base = lab.names("lab")
    assert not {f"{base}_session", f"{base}_scan"} & left


def test_a_part_that_was_renamed_alone_comes_anew_and_the_former_one_is_kept_and_moves_along(
    lab: Rig,
) -> None:
    run_all(lab, "RENAME TABLE {lab}.__session__trial TO {lab}.__session__run")
    document = lab.document({"lab_a": {"lab": NAMED}})
    assert lab.apply(document)[1].succeeded
    here = lab.local_schema("lab_a", "lab")
    rows = [(10, 1), (10, 2), (20, 1)]
    for part in ("trial", "run"):
        assert ask(lab.server("local"), f"SELECT * FROM `{here}`.session__{part} ORDER BY 1, 2") == rows
    document["defaults"]["schema_name"] = lab.names("renamed")
    document["moved"] = [{"local_schema": here, "to": lab.names("renamed")}]
    assert lab.apply(document)[1].succeeded
    plan = lab.plan(document)
    assert not plan.has_changes
    for part in ("trial", "run"):
        of = f"`{lab.names('renamed')}`.session__{part}"
        assert ask(lab.server("local"), f"SELECT * FROM {of} ORDER BY 1, 2") == rows


def test_every_command_tells_that_a_move_is_due_and_the_owner_sees_the_present_names(lab: Rig) -> None:
    views = owner_schema(lab.outbound)
    needs = needs_of_link_user([lab.names("lab")], lab.outbound, views)
    ask(lab.server("lab_a"), f"CREATE DATABASE `{views}`")
    for need in needs:
        ask(lab.server("lab_a"), need.granted_to(f"{lab.names('link')}@%").rstrip(";"))
    lab.run("lab_a", RENAME)
    document = recording(lab)
    path, address = str(lab.write(document)), lab.address("lab_a", "lab", "Recording")

    def says(*words: str) -> tuple[int, str]:
        ended = called(*words, "-f", path, environ={**os.environ, **lab.environ})
        return ended.returncode, ended.stdout + ended.stderr

    code, text = says("plan")
    assert code == 0, text
    assert f"move from {lab.address('lab_a', 'lab', 'Session')}" in text
    assert "no rows travel" in text
    assert says("plan", "--detailed-exitcode")[0] == 2
    assert json.loads(says("plan", "--json")[1])["summary"]["move"] == 2
    code, text = says("status")
    assert (code, "to move" in text) == (0, True)
    code, text = says("explain", address, "s=10")
    assert (code, "run `djlink apply" in text) == (1, True)
    assert "Traceback" not in says("doctor")[1]
    assert says("requests")[0] == 0
    code, text = says("apply", "--auto-approve")
    assert (code, "moved" in text) == (0, True), text
    assert says("explain", address, "s=10")[0] == 0
    assert "No changes" not in says("plan")[1]  # the owner's views are made now
    assert says("apply", "--auto-approve")[0] == 0
    links = lab.run("lab_a", f"SELECT source_table, outbound_table FROM `{views}`.links")
    assert ("__recording", f"{lab.names('lab')}_session") in links


def test_links_that_are_not_connected_go_on_while_others_move(lab: Rig) -> None:
    lab.run("lab_a", RENAME)
    run_all(lab, "CREATE TABLE {lab}.note (n int PRIMARY KEY)", "INSERT INTO {lab}.note VALUES (1)")
    run_all(lab, "INSERT INTO {lab}.subject VALUES (3, 'eve')")
    document = recording(lab)
    document["sources"]["lab_a"]["schemas"][lab.names("lab")]["tables"] = ["Subject", "Recording", "Note"]
    plan, report = lab.apply(document)
    assert report.succeeded
    assert {o.address.rpartition(".")[2]: o.counts.pulled for o in report.outcomes} == {
        "Note": 1,
        "Recording": 0,
    }
    subject = link_of(plan, lab.address("lab_a", "lab", "Subject"))
    assert [(b.kind, "waits for the move of" in b.reason) for b in subject.blocked] == [("upstream", True)]
    _, report = lab.apply(document)
    assert [o.counts.pulled for o in report.outcomes] == [1]


def test_python_finds_a_moved_link_under_its_present_name_and_none_before(lab: Rig) -> None:
    lab.run("lab_a", RENAME)
    document = recording(lab)
    path, address = lab.write(document), lab.address("lab_a", "lab", "Recording")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lab.environ.items():
            patch.setenv(name, value)
        with pytest.raises(LinkRefused, match="not linked yet"):
            load(path)[address]().pull()
        assert lab.apply(document)[1].succeeded
        linked = load(path)[address]
        assert linked().pull().entities == 0
        assert {row["s"] for row in linked().to_dicts()} == {10, 20}
        assert linked.table_name == "recording"
