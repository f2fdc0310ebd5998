"""The owner's views, in plain SQL, with the rights that `djlink grants --owner` prints and no others."""

from __future__ import annotations

import threading

import pymysql
import pytest

from djlink_manifest.model.server.rights import OWNER_SCHEMA_RIGHTS
from djlink_manifest.model.tables.owner_views import KINDS, owner_schema
from djlink_manifest.reconcile.plan.actions import MakeViews
from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.pipelines.owners import SESSIONS_AND_SCANS, Source, new_source
from tests.support.rig import PASSWORD, Rig, link_of, quiet
from tests.support.servers import ALIKE, PAIRS
from tests.support.sql import ask, run_all

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
every_pair = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
READ_ONLY = (1288, 1395, 1471)


@pytest.fixture
def source(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Source:
    found = new_source(rig, capsys)
    found.link("atlas", SESSIONS_AND_SCANS)
    return found


def error_of(source: Source, statement: str) -> int:
    with source.owner() as cursor, pytest.raises(pymysql.MySQLError) as caught:
        cursor.execute(statement)
    return int(caught.value.args[0])


def rows(source: Source, statement: str) -> list[tuple[object, ...]]:
    with source.owner() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@every_pair
def test_an_owner_sees_asks_withdraws_and_deletes_in_plain_sql(source: Source) -> None:
    held, asked, approved, withdrawn, history = (
        source.view("atlas", "lab_session", kind)
        for kind in ("held", "requests", "approved", "withdrawn", "history")
    )
    lab = source.rig.names("lab")
    atlas = source.rig.names("atlas")
    assert rows(source, f"SELECT id, manifest, contact FROM {held} ORDER BY id") == [
        (n, atlas, "data@atlas.example") for n in (1, 2, 3)
    ]
    # never pulled: it goes, with its parts
    with source.owner() as cursor:
        cursor.execute(f"DELETE FROM {lab}.session__trial WHERE id = 4")
        assert cursor.execute(f"DELETE FROM {lab}.session WHERE id = 4") == 1
        cursor.execute(f"DELETE FROM {lab}.session__trial WHERE id = 3")
    assert error_of(source, f"DELETE FROM {lab}.session WHERE id = 3") in (1217, 1451)
    with source.owner() as cursor:
        cursor.execute(f"INSERT INTO {asked} (id, day, reason) VALUES (2, '2026-01-01', 'x')")
        cursor.execute(
            f"INSERT INTO {asked} (id, day) SELECT id, day FROM {lab}.session WHERE species = 'rat'"
        )
    me = f"{source.rig.names('owner')}@"
    found = rows(source, f"SELECT id, requested_by, reason FROM {asked} ORDER BY id")
    assert [(n, str(by).startswith(me), why) for n, by, why in found] == [(2, True, "x"), (3, True, "")]
    assert error_of(source, f"INSERT INTO {asked} (id, day) VALUES (77, '2026-01-01')") == 1452
    with source.owner() as cursor:
        cursor.execute(
            f"INSERT INTO {withdrawn} (id, day, event, reason) VALUES (2, '2026-01-01', 'withdrawn', 'oops')"
        )
        assert cursor.execute(f"DELETE FROM {asked} WHERE id = 2") == 1
    source.approve("atlas", "lab_session", "id, day")
    assert rows(source, f"SELECT id FROM {asked}") == []
    with source.owner() as cursor:
        assert cursor.execute(f"DELETE FROM {asked} WHERE id = 3") == 0, (
            "what is approved is withdrawn no longer"
        )
    assert error_of(source, f"INSERT INTO {asked} (id, day) VALUES (3, '2026-01-01')") == 1369
    [(key, by)] = rows(source, f"SELECT id, approved_by FROM {approved}")
    assert (key, str(by).split("@")[0]) == (3, source.rig.names("atlas_link"))
    with source.owner() as cursor:
        assert cursor.execute(f"DELETE FROM {lab}.session WHERE id = 3") == 1
    assert rows(source, f"SELECT id FROM {approved}") == []
    [(key, event, who, why)] = rows(source, f"SELECT id, event, who, reason FROM {history}")
    assert (key, event, str(who).startswith(me), why) == (2, "withdrawn", True, "oops")


@alike
def test_through_the_views_nothing_else_can_be_written(source: Source) -> None:
    day = "'2026-01-01'"
    source.rig.run("lab_a", f"INSERT INTO {source.table('atlas', 'lab_session', '_history')}"
                            f" (id, day, event) VALUES (1, {day}, 'approved')")  # fmt: skip
    views = {k: source.view("atlas", "lab_session", k) for k in ("held", "requests", "approved", "history")}
    withdrawn = source.view("atlas", "lab_session", "withdrawn")
    links = f"`{owner_schema(source.outbound('atlas'))}`.links"
    for statement in (
        f"INSERT INTO {views['held']} (id, day) VALUES (4, {day})",
        f"DELETE FROM {views['held']}",
        f"DELETE v FROM {views['held']} v",
        f"INSERT INTO {views['history']} (id, day, event) VALUES (1, {day}, 'approved')",
        f"DELETE FROM {views['history']}",
        f"DELETE v FROM {views['history']} v",
        f"DELETE FROM {links}",
        f"INSERT INTO {links} (manifest) VALUES ('x')",
    ):
        with source.owner() as cursor:
            cursor.execute(f"USE {source.rig.names('lab')}")
            with pytest.raises(pymysql.MySQLError) as caught:
                cursor.execute(statement)
            assert caught.value.args[0] in READ_ONLY, statement
    assert error_of(source, f"INSERT INTO {views['approved']} (id, day) VALUES (1, {day})") in (1369, 1471)
    assert (
        error_of(source, f"INSERT INTO {views['requests']} (id, day, granted_at) VALUES (1, {day}, NOW())")
        == 1054
    )
    assert error_of(source, f"UPDATE {views['requests']} SET reason = 'x'") == 1142
    entry = f"INSERT INTO {withdrawn} (id, day, event) VALUES (1, {day}, '{{}}')"
    assert error_of(source, entry.format("withdrawn")) == 1369, "nothing was asked for"
    with source.owner() as cursor:
        cursor.execute(f"INSERT INTO {views['requests']} (id, day) VALUES (1, {day})")
    assert error_of(source, entry.format("approved")) == 1369
    with source.owner() as cursor:
        cursor.execute(entry.format("withdrawn"))
        cursor.execute(f"DELETE FROM {views['requests']}")
        assert cursor.execute(f"DELETE FROM {withdrawn}") == 0, "the ledger keeps what is written"
        for suffix in ("", "_deletion_requested", "_deletion_approved", "_history"):
            with pytest.raises(pymysql.MySQLError, match="denied"):
                cursor.execute(f"SELECT 1 FROM {source.table('atlas', 'lab_session', suffix)}")
    assert source.count(source.table("atlas", "lab_session")) == 3
    assert source.count(source.table("atlas", "lab_session", "_history")) == 2


@alike
def test_deleting_an_approval_and_then_the_request_lets_the_row_be_pulled_again(source: Source) -> None:
    asked, approved = (source.view("atlas", "lab_session", k) for k in ("requests", "approved"))
    with source.owner() as cursor:
        cursor.execute(f"INSERT INTO {asked} (id, day) VALUES (3, '2026-01-01')")
    local_schema = source.rig.names(f"atlas_{source.rig.names('lab')}")
    for table in ("session__trial", "session"):
        ask(source.rig.servers.local, f"DELETE FROM `{local_schema}`.{table} WHERE id = 3")
    source.approve("atlas", "lab_session", "id, day")
    assert not source.rig.plan(source.documents["atlas"]).has_changes
    with source.owner() as cursor:
        assert cursor.execute(f"DELETE FROM {approved} WHERE id = 3") == 1
        assert cursor.execute(f"DELETE FROM {asked} WHERE id = 3") == 1
    source.apply("atlas")
    assert source.count(source.table("atlas", "lab_session")) == 3


@alike
def test_views_of_a_dropped_or_other_account_are_replaced_by_plan_and_work_again(source: Source) -> None:
    rig, held = source.rig, source.view("atlas", "lab_session", "held")
    server = rig.server("lab_a")
    ask(server, "DROP USER %s@'%%'", (rig.names("atlas_link"),))
    assert error_of(source, f"SELECT * FROM {held}") in (1045, 1449)
    code, _, err = source.says("held")
    assert code == 1
    assert f"`{rig.names('atlas_link')}@%`, an account that no longer exists" in err
    assert "djlink apply" in err
    source.documents["atlas"]["sources"]["lab_a"]["user"] = rig.names("new_link")
    ask(server, "CREATE USER %s@'%%' IDENTIFIED BY %s", (rig.names("new_link"), PASSWORD))
    source.grant("atlas", "lab_a")
    plan = rig.plan(source.documents["atlas"])
    made = [a for link in plan.links for a in link.actions]
    assert {type(a) for a in made} == {MakeViews}
    assert {a.reason for a in made} == {"their definer is not the link user"}
    source.apply("atlas")
    assert len(rows(source, f"SELECT * FROM {held}")) == 3
    assert not rig.plan(source.documents["atlas"]).has_changes


@alike
def test_an_owner_is_told_of_a_view_that_is_not_there_and_nothing_is_changed(source: Source) -> None:
    rig = source.rig
    assert source.says("request", "Session", "id=1", "--reason", "broken probe", "--yes")[0] == 0
    before = rows(source, f"SELECT id FROM {source.view('atlas', 'lab_session', 'requests')}")
    link = f"{rig.names('atlas_link')}"
    with rig.server("lab_a").connect(link, PASSWORD) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP VIEW {source.view('atlas', 'lab_session', 'withdrawn')}")
    code, _, err = source.says("withdraw", "Session", "id=1")
    assert code == 1
    assert "cannot be written, so nothing was changed: its views do not match their tables" in err
    assert "the lab's next `djlink apply` recreates its views" in err
    assert rows(source, f"SELECT id FROM {source.view('atlas', 'lab_session', 'requests')}") == before
    source.apply("atlas")
    assert source.says("withdraw", "Session", "id=1")[0] == 0
    assert rows(source, f"SELECT id FROM {source.view('atlas', 'lab_session', 'requests')}") == []


@alike
def test_views_that_are_missing_or_have_other_columns_are_made_anew(source: Source) -> None:
    rig, schema = source.rig, owner_schema(source.outbound("atlas"))
    asked = source.view("atlas", "lab_session", "requests")
    link = f"{rig.names('atlas_link')}"
    with rig.server("lab_a").connect(link, PASSWORD) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP VIEW {source.view('atlas', 'other_scan', 'held')}")
        table = source.table("atlas", "lab_session", "_deletion_requested")
        cursor.execute(f"CREATE OR REPLACE VIEW {asked} AS SELECT id, day FROM {table}")
    plan = rig.plan(source.documents["atlas"])
    session = link_of(plan, rig.address("lab_a", "lab", "Session"))
    [action] = session.actions
    assert isinstance(action, MakeViews)
    assert action.views == (f"{schema}.{rig.names('lab_session')}_requests",)
    assert "columns" in action.reason
    source.apply("atlas")
    assert rows(source, f"SELECT reason FROM {asked}") == []
    assert not rig.plan(source.documents["atlas"]).has_changes


@alike
def test_without_the_owners_schema_djlink_works_and_makes_the_views_once_it_stands(source: Source) -> None:
    rig, schema = source.rig, owner_schema(source.outbound("atlas"))
    run_all(rig, f"DROP DATABASE {schema}", "INSERT INTO {lab}.session VALUES (5, '2026-01-01', NULL)")
    document = source.documents["atlas"]
    document["sources"]["lab_a"]["schemas"][rig.names("lab")] = {"tables": ["Session"]}
    plan, report = rig.apply(document)
    assert report.succeeded
    assert plan.warnings == ()
    code, out, err = source.says("held")
    assert (code, out) == (0, "")
    assert "no schema with owner views is visible" in err
    source.grant("atlas", "lab_a")
    assert {type(a) for link in rig.plan(document).links for a in link.actions} == {MakeViews}
    source.apply("atlas")
    assert len(rows(source, f"SELECT * FROM {source.view('atlas', 'lab_session', 'held')}")) == 5


@alike
@pytest.mark.parametrize("right", OWNER_SCHEMA_RIGHTS)
def test_each_right_on_the_owners_schema_is_necessary_and_named_with_its_grant(
    rig: Rig, capsys: pytest.CaptureFixture[str], right: str
) -> None:
    source = new_source(rig, capsys)
    document = source.link("atlas", SESSIONS_AND_SCANS, applied=False)
    schema, server = owner_schema(source.outbound("atlas")), rig.server("lab_a")
    ask(server, f"REVOKE {right} ON {grant_pattern(schema)}.* FROM '{rig.names('atlas_link')}'@'%'")
    plan, report = rig.apply(document)
    assert report.succeeded, "djlink works without the views"
    assert not any(isinstance(a, MakeViews) for link in plan.links for a in link.actions)
    [told] = plan.warnings
    assert f"the link user lacks {right} on `{schema}`" in told
    ask(server, told.partition("administrator to run: ")[2])
    source.apply("atlas")
    assert len(rows(source, f"SELECT * FROM {source.view('atlas', 'lab_session', 'held')}")) == 3


def test_where_a_right_is_taken_after_the_plan_the_views_are_left_out_and_it_is_said(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the server can refuse then; the rows are pulled all the same."""
    source = new_source(rig, capsys)
    document = source.link("atlas", SESSIONS_AND_SCANS, applied=False)
    server, user = rig.server("lab_a"), f"'{rig.names('atlas_link')}'@'%'"
    schema = owner_schema(source.outbound("atlas"))
    on = grant_pattern(schema)
    with rig.job(document) as job:
        plan = job.plan()
        ask(server, f"REVOKE CREATE VIEW ON {on}.* FROM {user}")
        report = job.apply(plan, quiet, threading.Event())
    assert report.succeeded
    assert {o.status for o in report.outcomes} == {"done"}
    told = {o.problem for o in report.outcomes}
    assert all(
        words
        and "CREATE VIEW command denied" in words
        and f"GRANT SELECT, CREATE VIEW, DROP ON {on}.*" in words
        for words in told
    )
    assert source.count(source.table("atlas", "lab_session")) == 3


def test_a_table_of_somebody_elses_in_the_owners_schema_is_left_alone(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    source = new_source(rig, capsys)
    source.link("atlas", SESSIONS_AND_SCANS, applied=False)
    held = source.view("atlas", "lab_session", "held")
    ask(rig.server("lab_a"), f"CREATE TABLE {held} (mine int)")
    source.apply("atlas")
    ask(rig.server("lab_a"), f"INSERT INTO {held} VALUES (1)")
    assert not rig.plan(source.documents["atlas"]).has_changes


def test_a_key_with_the_names_of_our_columns_has_its_views(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    source = new_source(rig, capsys)
    run_all(
        rig,
        "CREATE TABLE {lab}.odd (reason int, `at` int, manifest int, PRIMARY KEY (reason, `at`, manifest))",
        "INSERT INTO {lab}.odd VALUES (1, 2, 3)",
    )
    source.link("atlas", {"lab": {"tables": ["Odd"]}})
    asked = source.view("atlas", "lab_odd", "requests")
    with source.owner() as cursor:
        cursor.execute(f"INSERT INTO {asked} (reason, `at`, manifest, djlink_reason) VALUES (1, 2, 3, 'why')")
    assert source.says("withdraw", "Odd", "reason=1")[0] == 0
    found = rows(source, f"SELECT djlink_reason, event FROM {source.view('atlas', 'lab_odd', 'history')}")
    assert found == [("why", "withdrawn")]


@alike
def test_a_link_taken_out_leaves_the_view_of_its_ledger_alone(source: Source) -> None:
    document = source.documents["atlas"]
    document["sources"]["lab_a"]["schemas"][source.rig.names("other")] = {"tables": ["Note"]}
    document["removed"] = {source.rig.address("lab_a", "other", "Scan"): {"table": "keep"}}
    for server in ("lab_a", "local"):
        source.grant("atlas", server)
    source.apply("atlas")
    schema = owner_schema(source.outbound("atlas"))
    left = rows(source, f"SELECT table_name FROM information_schema.views WHERE table_schema = '{schema}'")
    assert {str(name).removeprefix(source.rig.names("")) for (name,) in left} == {
        "links",
        "other_scan_history",
        *(f"{table}_{kind}" for table in ("lab_session", "other_note") for kind in KINDS),
    }
    events = rows(source, f"SELECT DISTINCT event FROM {source.view('atlas', 'other_scan', 'history')}")
    assert events == [("released (removed)",)]
