"""Rights on single tables: a part that the link user cannot see is not one that the source dropped."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from djlink_manifest.cli import run
from djlink_manifest.errors import LinkRefused
from djlink_manifest.reconcile.explain import commands
from djlink_manifest.reconcile.plan.actions import CreateLocal, Refill
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.notebooks import Notebook, notebook
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

__all__ = ["notebook"]

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.session (n int PRIMARY KEY)",
    "CREATE TABLE {lab}.session__trial (n int, k int, PRIMARY KEY (n, k),"
    " FOREIGN KEY (n) REFERENCES {lab}.session (n))",
    "CREATE TABLE {lab}.wave (w int PRIMARY KEY, n int, FOREIGN KEY (n) REFERENCES {lab}.session (n))",
    "INSERT INTO {lab}.session VALUES (1), (2)",
    "INSERT INTO {lab}.session__trial VALUES (1, 1), (2, 1)",
)
NEW = ("INSERT INTO {lab}.session VALUES (3)", "INSERT INTO {lab}.session__trial VALUES (3, 1)")


@pytest.fixture
def lab(rig: Rig) -> Rig:
    """A source of which the link user has rights on single tables: `session` and `wave`."""
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    by_schema(rig, "REVOKE", "FROM")
    for table in ("session", "wave"):
        right(rig, table)
    return rig


def by_schema(rig: Rig, verb: str = "GRANT", to: str = "TO") -> None:
    schema = grant_pattern(rig.names("lab"))
    ask(rig.server("lab_a"), f"{verb} SELECT, REFERENCES ON {schema}.* {to} '{rig.names('link')}'@'%'")


def right(rig: Rig, table: str, verb: str = "GRANT", to: str = "TO") -> None:
    rights = f"SELECT{'' if '__' in table else ', REFERENCES'} ON `{rig.names('lab')}`.`{table}`"
    ask(rig.server("lab_a"), f"{verb} {rights} {to} '{rig.names('link')}'@'%'")


def document(rig: Rig, tables: Any = ("Session", "Wave"), **more: Any) -> dict[str, Any]:
    chosen = list(tables) if isinstance(tables, tuple) else tables
    return rig.document({"lab_a": {"lab": {"tables": chosen}}}, **more)


def session(rig: Rig, plan: Plan) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", "Session"))


def local_trials(rig: Rig) -> list[tuple[Any, ...]]:
    return rig.run("local", f"SELECT n FROM {rig.local_schema('lab_a', 'lab')}.session__trial ORDER BY n")


def local_sessions(rig: Rig) -> list[tuple[Any, ...]]:
    return rig.run("local", f"SELECT n FROM {rig.local_schema('lab_a', 'lab')}.session ORDER BY n")


def run_grant(rig: Rig, words: str) -> None:
    """Run, as root, the GRANT that ends a hint or a warning."""
    ask(rig.server("lab_a"), words.partition("administrator to run: ")[2].rstrip(";"))


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_rights_by_table_are_warned_of_once_a_schema_and_a_part_granted_later_comes(lab: Rig) -> None:
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    [told] = [words for words in plan.warnings if "single tables" in words]
    assert f"privileges on single tables of `{lab.names('lab')}`" in told
    right(lab, "session__trial")
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    assert {type(a) for a in session(lab, plan).actions} >= {CreateLocal, Refill}
    assert local_trials(lab) == [(1,), (2,)]
    run_grant(lab, told)
    plan = lab.plan(document(lab))
    assert not plan.has_changes
    assert plan.warnings == ()


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize("tables", [("Session", "Wave"), "*"], ids=["named", "glob"])
def test_a_right_revoked_blocks_the_link_until_its_grant_brings_the_missing_parts(
    lab: Rig, tables: Any
) -> None:
    right(lab, "session__trial")
    assert lab.apply(document(lab, tables))[1].succeeded
    right(lab, "session__trial", "REVOKE", "FROM")
    run_all(lab, *NEW)
    plan, _ = lab.apply(document(lab, tables))
    [blocked] = session(lab, plan).blocked
    part = f"{lab.names('lab')}.session__trial"
    assert f"its part {part} no longer exists at lab_a, or the link user has no privilege" in blocked.reason
    assert not session(lab, plan).drift
    assert local_sessions(lab) == [(1,), (2,)]
    run_grant(lab, blocked.hint or "")
    assert lab.apply(document(lab, tables))[1].succeeded
    assert local_trials(lab) == [(1,), (2,), (3,)]
    assert not lab.plan(document(lab, tables)).has_changes


def test_rights_by_schema_tell_that_a_part_was_dropped(lab: Rig) -> None:
    by_schema(lab)
    assert lab.apply(document(lab))[1].succeeded
    run_all(lab, "DROP TABLE {lab}.session__trial", NEW[0])
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    assert session(lab, plan).drift[0].reason.startswith("the source dropped its part")
    assert local_sessions(lab) == [(1,), (2,), (3,)]
    assert local_trials(lab) == [(1,), (2,)]


def test_entities_pulled_while_the_manifest_said_that_a_part_was_dropped_are_filled_when_it_is_seen_again(
    lab: Rig,
) -> None:
    right(lab, "session__trial")
    assert lab.apply(document(lab))[1].succeeded
    right(lab, "session__trial", "REVOKE", "FROM")
    run_all(lab, *NEW)
    entry = {lab.address("lab_a", "lab", "session__trial"): {"table": "keep"}}
    plan, report = lab.apply(document(lab, removed=entry))
    assert report.succeeded
    assert not [words for words in plan.warnings if "removed" in words]
    assert local_sessions(lab) == [(1,), (2,), (3,)]
    assert local_trials(lab) == [(1,), (2,)]
    right(lab, "session__trial")
    [told] = [words for words in lab.plan(document(lab, removed=entry)).warnings if "removed" in words]
    assert told.endswith("has no effect: the source has this part; delete the entry")
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    [refill] = [a for a in session(lab, plan).actions if isinstance(a, Refill)]
    assert refill.reason == "for part session__trial, which the source has again"
    assert local_trials(lab) == [(1,), (2,), (3,)]
    assert not lab.plan(document(lab)).has_changes


@pytest.mark.parametrize("how", ["foreign key", "lineage"])
def test_a_part_that_something_visible_names_blocks_a_link_that_was_never_applied(lab: Rig, how: str) -> None:
    if how == "lineage":
        names = ("table_name", "attribute_name", "lineage")
        columns = ", ".join(f"{name} varchar(64) CHARACTER SET utf8mb4" for name in names)
        run_all(
            lab,
            f"CREATE TABLE {{lab}}.`~lineage` ({columns}, PRIMARY KEY (table_name, attribute_name))",
            "INSERT INTO {lab}.`~lineage` VALUES ('session', 'n', 'x'), ('session__trial', 'n', 'x')",
        )
        right(lab, "~lineage")
    else:
        run_all(
            lab,
            "CREATE TABLE {lab}.pick (p int PRIMARY KEY, n int, k int,"
            " FOREIGN KEY (n, k) REFERENCES {lab}.session__trial (n, k))",
        )
        right(lab, "pick")
    [blocked] = session(lab, lab.plan(document(lab))).blocked
    assert f"its part {lab.names('lab')}.session__trial no longer exists at lab_a, or" in blocked.reason
    run_grant(lab, blocked.hint or "")
    assert not session(lab, lab.plan(document(lab))).blocked


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_part_of_which_single_columns_are_granted_blocks_the_link(lab: Rig) -> None:
    columns = f"SELECT (n, k) ON {lab.names('lab')}.session__trial"
    ask(lab.server("lab_a"), f"GRANT {columns} TO '{lab.names('link')}'@'%'")
    [blocked] = session(lab, lab.plan(document(lab))).blocked
    assert f"{lab.names('lab')}.session__trial" in blocked.reason
    right(lab, "session__trial")
    assert not session(lab, lab.plan(document(lab))).blocked


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_definition_is_the_same_by_rights_on_the_table_and_on_the_schema(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.note (w int PRIMARY KEY, j json COMMENT 'CHECK (1)',"
        " g json CHECK (json_length(g) > 2),"
        " `o``dd` varchar(9) DEFAULT 'CHECK (' CHECK (`o``dd` <> 'a)''\\n'), raw varbinary(4) DEFAULT 0xff00,"
        " twice int AS (w * (2)), CONSTRAINT c CHECK (w > 1 OR w < 0),"
        " CONSTRAINT away FOREIGN KEY (w) REFERENCES {lab}.wave (w) ON DELETE CASCADE ON UPDATE NO ACTION)",
    )
    right(lab, "note")
    with lab.job(document(lab, ["Wave", "Note"])) as job:
        [by_table, _] = [link.definition for link in job.links]
    by_schema(lab)
    with lab.job(document(lab, ["Wave", "Note"])) as job:
        [whole, _] = [link.definition for link in job.links]
    assert whole == by_table
    assert whole.column("j").type == "json"
    assert len(whole.checks) == 3
    assert whole.foreign_keys[0].on_delete == "CASCADE"


def test_removing_a_link_of_which_the_source_tables_are_hidden_drops_the_parts_that_djlink_made(
    lab: Rig,
) -> None:
    right(lab, "session__trial")
    assert lab.apply(document(lab, ["Session"]))[1].succeeded
    right(lab, "session__trial", "REVOKE", "FROM")
    right(lab, "session", "REVOKE", "FROM")
    entry = {lab.address("lab_a", "lab", "Session"): {"table": "drop"}}
    plan, report = lab.apply(document(lab, ["Wave"], removed=entry))
    assert [removal.blocked for removal in plan.removals] == [()]
    assert report.succeeded
    assert lab.run("local", f"SHOW TABLES FROM {lab.local_schema('lab_a', 'lab')} LIKE 'session%'") == []


def test_a_right_revoked_between_plan_and_apply_leaves_no_entity_without_its_part(lab: Rig) -> None:
    right(lab, "session__trial")
    assert lab.apply(document(lab))[1].succeeded
    run_all(lab, *NEW)
    with lab.job(document(lab)) as job:
        plan = job.plan()
        right(lab, "session__trial", "REVOKE", "FROM")
        report = job.apply(plan, quiet, threading.Event())
    assert not report.succeeded
    assert local_sessions(lab) == [(1,), (2,)]
    right(lab, "session__trial")
    assert lab.apply(document(lab))[1].succeeded
    assert local_trials(lab) == [(1,), (2,), (3,)]


def test_doctor_explain_and_init_tell_what_the_link_user_cannot_see(
    lab: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right(lab, "session__trial")
    assert lab.apply(document(lab))[1].succeeded
    right(lab, "session__trial", "REVOKE", "FROM")
    manifest = lab.write(document(lab))
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)
    part, whole = f"{lab.names('lab')}.session__trial", f"single tables of `{lab.names('lab')}`"
    assert run(["doctor", "-f", str(manifest)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"its part {part} no longer exists at lab_a" in said
    assert whole in said
    assert run(["explain", lab.address("lab_a", "lab", "Session"), "n=1", "-f", str(manifest)]) == 0
    assert f"its part {part} no longer exists" in " ".join(capsys.readouterr().out.split())
    monkeypatch.chdir(lab.folder)
    (lab.folder / "new").mkdir()
    manifest.unlink()
    port = str(lab.server("lab_a").port)
    host = ["--host", lab.server("lab_a").host, "--port", port, "--user", lab.names("link"), "--no-tls"]
    assert run(["init", "--from", f"lab_a.{lab.names('lab')}", *host, "new/djlink.yaml"]) == 0
    assert whole in " ".join(capsys.readouterr().err.split())
    assert whole in (lab.folder / "new" / "djlink.yaml").read_text()


def test_tables_with_a_part_that_is_hidden_are_not_taken_over(lab: Rig) -> None:
    schema = lab.local_schema("lab_a", "lab")
    for text in (
        f"CREATE DATABASE {schema}",
        f"CREATE TABLE {schema}.session (n int PRIMARY KEY)",
        f"CREATE TABLE {schema}.session__trial (n int, k int, PRIMARY KEY (n, k),"
        f" CONSTRAINT theirs FOREIGN KEY (n) REFERENCES {schema}.session (n))",
    ):
        ask(lab.servers.local, text)
    with lab.job(document(lab, ["Session"])) as job:
        rehearsed = commands.rehearse(job, ["lab_a.*"], None)
    [refusal] = rehearsed.refusals
    assert f"its part {lab.names('lab')}.session__trial no longer exists at lab_a, or" in refusal.reason
    right(lab, "session__trial")
    with lab.job(document(lab, ["Session"])) as job:
        assert commands.rehearse(job, ["lab_a.*"], None).refusals == ()


def test_a_class_in_python_warns_of_rights_by_table_and_pulls_nothing_without_a_known_part(
    notebook: Notebook,
) -> None:
    rig = notebook.rig
    by_schema(rig, "REVOKE", "FROM")
    right(rig, "#subject")
    right(rig, "session")
    notebook.link("Subject")
    with pytest.warns(UserWarning, match="single tables"):
        notebook.link("Subject")().pull()
    right(rig, "session__trial")
    session = notebook.link("Session")
    with pytest.warns(UserWarning, match="single tables"):
        session().pull({"day": 1})
    right(rig, "session__trial", "REVOKE", "FROM")
    with pytest.raises(LinkRefused, match="session__trial no longer exists") as told:
        session().pull()
    assert "ask for the same privilege on the whole schema; else ask" in (told.value.hint or "")
    run_grant(rig, told.value.hint or "")
    with pytest.warns(UserWarning, match="single tables"):
        session().pull()
    assert len(session.Trial()) == len(session().source.Trial())


def test_a_requested_deletion_is_done_while_a_part_is_hidden_where_no_row_of_the_part_is_here(
    lab: Rig,
) -> None:
    right(lab, "session__trial")
    run_all(lab, "INSERT INTO {lab}.session VALUES (9)")
    auto = document(lab, {"Session": {"deletions": "auto"}})
    assert lab.apply(auto)[1].succeeded
    right(lab, "session__trial", "REVOKE", "FROM")
    requests = lab.outbound_table("lab", "session_deletion_requested")
    run_all(lab, f"INSERT INTO {requests} (n) VALUES (1), (9)", NEW[0])
    plan, _ = lab.apply(auto)
    assert "no longer exists at lab_a, or the link user" in " ".join(
        b.reason for b in session(lab, plan).blocked
    )
    assert lab.run("lab_a", f"SELECT n FROM {lab.outbound_table('lab', 'session_deletion_approved')}") == [
        (9,)
    ]
    assert local_sessions(lab) == [(1,), (2,)]
    assert local_trials(lab) == [(1,), (2,)]
