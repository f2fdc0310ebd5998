"""`djlink source …` with the owner's account: no manifest, several labs, only what `djlink grants` prints."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import pymysql
import pytest

from djlink_manifest.cli import run
from djlink_manifest.sandbox.demo.pipeline import connect, load_datajoint
from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.pipelines.owners import SESSIONS_AND_SCANS, Source, new_source
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
ONLY_SCANS = {"other": {"tables": ["Scan"]}}

CASES = (
    (["held", "Sesion"], "did you mean"),
    (["held", "Session", "nr=1"], "the restriction uses the column `nr`"),
    (["held", "Session", "id=x"], "number column `id` with the text 'x'"),
    (["held", "Session", "id"], "not COLUMN=VALUE"),
    (["held", "Session", "--where", "id = 1; DROP TABLE x"], "--where is refused: a `;`"),
    (["held", "Session", "--where", "id IN (SELECT 1)"], "a subquery"),
    (["held", "Session", "--where", "nothing = 1"], "uses the column `nothing`"),
    (["held", "--keys"], "--keys requires a table"),
    (["request", "Session", "--reason", "x", "--yes"], "no rows selected"),
    (["request", "Session", "--all", "id=1", "--reason", "x", "--yes"], "cannot be combined"),
    (["request", "Session", "--all", "--reason", " ", "--yes"], "--reason takes 1 to 1,000"),
    (["request", "Session", "--all", "--reason", "x"], "no terminal to ask for confirmation"),
    (["request", "Session", "id=99", "--reason", "x", "--yes"], "No such rows"),
    (["withdraw", "Session"], "no rows selected"),
    (["delete"], "no table given"),
    (["delete", "Session", "--json"], "--json cannot ask for confirmation"),
    (["delete", "Session", "--yes"], "Nothing was deleted"),
    (["detach", "atlsa"], "`atlsa` has no link"),
    (["held", "--password-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
    (["held", "--password-file", "/nowhere/at/all"], "cannot be read"),
    (["held", "--tls-cert", "x.pem"], "must be given together"),
    (["held", "--no-tls", "--tls-ca", "x.pem"], "cannot be combined"),
)


@pytest.fixture
def source(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Source:
    """Two labs: one holds sessions 1 to 3 and all scans, the other scans alone."""
    found = new_source(rig, capsys)
    found.link("atlas", SESSIONS_AND_SCANS)
    found.link("map", ONLY_SCANS)
    return found


def standing(told: str) -> dict[str, Any]:
    """The JSON of `source held`, tables by class."""
    return {table["name"].split(".")[1]: table for table in json.loads(told)["tables"]}


@alike
def test_an_owner_asks_waits_and_deletes_and_nothing_that_is_held_goes(source: Source) -> None:
    lab, other = source.rig.names("lab"), source.rig.names("other")
    code, out, err = source.says("held", "Session", "id=1")
    assert (code, err) == (0, "")
    assert out.index(f"{other}.Scan") < out.index(f"{lab}.Session"), "what hangs on others comes first"
    assert re.search(rf"{source.rig.names('map')} \(data@map\.example\) +2 rows held since", out)
    # refused while held; DataJoint is refused below
    assert source.says("delete", "Session", "id=1", "--yes")[0] == 1
    code, out, err = source.says("request", "Session", "id=1", "--reason", "broken probe", "--yes")
    assert code == 0, err
    assert f"{other}.Note" in err, "shown though no lab has linked it"
    assert "not linked" in err
    assert f"{lab}.Session of {source.rig.names('atlas')} (data@atlas.example): 1 row requested" in out
    assert f"{other}.Scan of {source.rig.names('map')} (data@map.example): 2 rows requested" in out
    assert source.says("request", "Session", "id=1", "--reason", "again", "--yes")[2].endswith(
        "Everything was requested earlier.\n"
    )
    server = source.rig.server("lab_a")
    run_all(source.rig, f"UPDATE {source.table('map', 'other_scan', '_deletion_requested')}"
                        " SET requested_at = requested_at - INTERVAL 12 DAY - INTERVAL 1 HOUR")  # fmt: skip
    source.approve("atlas", "other_scan", "scan")
    source.approve("atlas", "lab_session", "id, day")
    code, out, _ = source.says("held")
    assert f"1 of 2 labs approved; waiting for {source.rig.names('map')} (data@map.example), 12 days" in out
    assert "1 of 1 lab approved: the source can delete the approved rows" in out
    code, out, err = source.says("delete", "Session", "--yes")
    assert code == 1
    assert "cannot be deleted yet" in err
    assert source.rig.names("map") in err
    source.approve("map", "other_scan", "scan")
    code, out, err = source.says("delete", "Session", "--yes", "--json")
    assert code == 0, err
    deleted = {each["name"].split(".")[1]: each["rows"] for each in json.loads(out)["deleted"]}
    assert deleted == {"Note": 3, "Scan": 2, "Session": 1}
    assert list(deleted) == ["Note", "Scan", "Session"]
    assert ask(server, f"SELECT id FROM {lab}.session ORDER BY id") == [(2,), (3,), (4,)]
    assert ask(server, f"SELECT COUNT(*) FROM {lab}.session__trial") == [(3,)]
    assert ask(server, f"SELECT note FROM {other}.note") == [("z",)]


@alike
def test_delete_takes_what_is_free_and_leaves_what_has_something_held_hanging_on_it(source: Source) -> None:
    assert source.says("request", "Session", "--where", "id IN (1, 2, 3)", "--reason", "x", "--yes")[0] == 0
    source.approve("atlas", "lab_session", "id, day")
    source.approve("atlas", "other_scan", "scan")
    source.approve("map", "other_scan", "scan", "scan = 20")
    # session 3 has nothing on it, session 2 a scan that all have let go of, session 1 two that the map holds
    code, _, err = source.says("delete", "Session", "--yes")
    assert code == 0
    assert "1 row of Session cannot be deleted yet" in err
    lab, other = source.rig.names("lab"), source.rig.names("other")
    server = source.rig.server("lab_a")
    assert ask(server, f"SELECT id FROM {lab}.session ORDER BY id") == [(1,), (4,)]
    assert ask(server, f"SELECT scan FROM {other}._scan ORDER BY scan") == [(10,), (11,), (90,)]


@alike
def test_rows_that_refer_to_each_other_in_a_circle_are_deleted_together(source: Source) -> None:
    rig, server = source.rig, source.rig.server("lab_a")
    run_all(
        rig,
        "ALTER TABLE {lab}.session ADD best int, ADD FOREIGN KEY (best) REFERENCES {other}._scan (scan)",
        "INSERT INTO {other}._scan VALUES (91, 4, '2026-01-01')",
        "UPDATE {lab}.session SET best = 91 WHERE id = 4",
        "INSERT INTO {other}.note VALUES ('x', 91, NULL), ('y', 91, 'x')",
        "UPDATE {other}.note SET answers = 'y' WHERE note = 'x'",
    )
    assert source.says("request", "Session", "id=4", "--reason", "x", "--yes")[0] == 0
    code, out, err = source.says("delete", "Session", "--yes", "--json")
    assert code == 0, err
    deleted = {each["name"].split(".")[1]: each["rows"] for each in json.loads(out)["deleted"]}
    assert deleted == {"Note": 2, "Scan": 1, "Session": 1}
    assert ask(server, f"SELECT COUNT(*) FROM {rig.names('lab')}.session") == [(3,)]


@alike
def test_requests_are_withdrawn_and_after_an_approval_refused_with_who_approved(source: Source) -> None:
    assert source.says("request", "Session", "--where", "id < 3", "--reason", "x", "--yes")[0] == 0
    code, out, err = source.says("withdraw", "Session", "id=2", "--no-dependents")
    assert (code, err) == (0, "")
    assert "1 row withdrawn" in out
    condition = source.view("atlas", "lab_session", "requests")
    with source.owner() as cursor:
        cursor.execute(f"SELECT id FROM {condition}")
        assert cursor.fetchall() == ((1,),)
    source.approve("atlas", "lab_session", "id, day")
    code, out, err = source.says("withdraw", "Session", "id=1", "--no-dependents")
    assert (code, out) == (1, "")
    who = f"{source.rig.names('atlas')} (data@atlas.example)"
    assert f"cannot be withdrawn: {who} has already approved the deletion and deleted its copies" in err
    assert source.says("withdraw", "Session", "id=1", "--no-dependents", "--approved")[0] == 0
    assert source.count(source.table("atlas", "lab_session", "_deletion_requested")) == 0
    assert source.count(source.table("atlas", "lab_session", "_deletion_approved")) == 0
    with source.owner() as cursor:
        cursor.execute(f"SELECT id, event FROM {source.view('atlas', 'lab_session', 'history')} ORDER BY id")
        assert cursor.fetchall() == ((1, "withdrawn"), (2, "withdrawn"))
    assert source.says("withdraw", "Session", "id=4")[0] == 1, "nothing to withdraw"


@alike
def test_held_answers_who_holds_this_row(source: Source) -> None:
    told = standing(source.says("held", "Session", "id=1", "--json")[1])
    assert [(t, v["rows"], [link["held"] for link in v["links"]]) for t, v in told.items()] == [
        ("Note", 3, []),
        ("Scan", 2, [2, 2]),
        ("Session", 1, [1]),
    ]
    assert standing(source.says("held", "--json")[1])["Scan"]["links"][0]["held"] == 4
    out = source.says("held", "Scan", "--where", "scan > 10 AND scan < 90", "--keys", "--json")[1]
    keys = [(each["key"], each["manifest"]) for each in json.loads(out)["keys"]]
    assert keys == [(f"scan={n}", source.rig.names(m)) for m in ("atlas", "map") for n in (11, 20)]
    assert "holds no row" in source.says("held", "Session", "id=4")[1]
    assert source.says("held", "Session", "id=99")[1:] == ("", "No rows.\n")


@alike
def test_rows_are_named_by_values_of_any_type_exactly(source: Source) -> None:
    run_all(
        source.rig,
        "CREATE TABLE {lab}.big (n bigint, name varchar(5) COLLATE utf8mb4_bin, PRIMARY KEY (n, name))",
        "INSERT INTO {lab}.big VALUES (9007199254740993, 'a'), (9007199254740992, 'a'), (1, 'ä''%'), (2, '')",
    )
    for words, count in (
        (["n=9007199254740993"], 1),
        (["n=1", "n=2"], 2),
        (["name=ä'%"], 1),
        (["name="], 1),
        (["n=1", "name=a"], 0),
        (["--where", "name = 'ä''%'", "n=1"], 1),
        (["name=NULL"], 0),
    ):
        code, out, err = source.says("held", "Big", *words, "--json")
        assert code == 0, err
        found = standing(out)
        assert (found["Big"]["rows"] if found else 0) == count, words


def test_what_cannot_be_done_is_named(source: Source) -> None:
    for words, told in CASES:
        code, out, err = source.says(*words)
        assert (code, out) == (1, ""), words
        assert told in err, words


@alike
@pytest.mark.parametrize("kind", ["requests", "approved"])
def test_a_view_that_an_interrupted_removal_dropped_is_named_and_nothing_is_deleted(
    source: Source, kind: str
) -> None:
    server = source.rig.server("lab_a")
    assert source.says("request", "Session", "id=1", "--reason", "x", "--yes")[0] == 0
    [(views,)] = ask(
        server,
        "SELECT GROUP_CONCAT(CONCAT('`', table_schema, '`.`', table_name, '`')) FROM information_schema.views"
        f" WHERE table_schema LIKE '{source.rig.names('')}%owner'"
        f" AND table_name LIKE '%lab\\_session\\_{kind}'",
    )
    ask(server, f"DROP VIEW {views}")
    code, _, err = source.says("delete", "Session", "--yes")
    assert code == 1
    assert "cannot be read, so the rows" in err
    assert "next: " in err
    lab = source.rig.names("lab")
    assert ask(server, f"SELECT id FROM {lab}.session ORDER BY id") == [(1,), (2,), (3,), (4,)]


@alike
def test_the_way_out_of_a_vanished_lab_frees_its_rows_and_no_others(source: Source) -> None:
    server = source.rig.server("lab_a")
    run_all(source.rig, f"INSERT INTO {source.table('atlas', 'lab_session', '_history')} (id, day, event)"
                        " VALUES (9, '2026-01-01', 'approved')")  # fmt: skip
    code, script, err = source.says("detach", source.rig.names("atlas"))
    assert (code, err) == (0, "")
    for statement in script.splitlines():
        if statement and not statement.startswith("--"):
            ask(server, statement)
    code, out, _ = source.says("held")
    assert source.rig.names("atlas") not in out
    assert source.rig.names("map") in out
    with source.owner() as cursor:
        lab = source.rig.names("lab")
        cursor.execute(f"DELETE FROM {lab}.session__trial")
        assert cursor.execute(f"DELETE FROM {lab}.session WHERE id > 2") == 2
        with pytest.raises(pymysql.MySQLError):
            cursor.execute(f"DELETE FROM {source.rig.names('other')}._scan WHERE scan = 20")
    assert source.count(source.table("atlas", "lab_session", "_history")) == 1, "the ledger stays"
    plan = source.rig.plan(source.documents["atlas"])
    assert plan.has_errors
    assert not plan.has_changes


@alike
@pytest.mark.parametrize("by", ["command", "sql"])
def test_a_withdrawal_waits_for_an_approval_that_is_under_way_and_then_comes_too_late(
    source: Source, by: str
) -> None:
    """The lab has locked the request and deletes its copies; the owner withdraws meanwhile."""
    rig, asked = source.rig, source.view("atlas", "lab_session", "requests")
    assert source.says("request", "Session", "id=3", "--reason", "x", "--yes")[0] == 0
    requests = source.table("atlas", "lab_session", "_deletion_requested")
    link = rig.server("lab_a").connect(rig.names("atlas_link"), PASSWORD, autocommit=False)
    with link, link.cursor() as cursor, source.owner() as owner, ThreadPoolExecutor(1) as thread:
        cursor.execute(f"SELECT * FROM {requests} WHERE id = 3 FOR UPDATE")
        if by == "sql":
            late = thread.submit(owner.execute, f"DELETE FROM {asked} WHERE id = 3")
        else:
            late = thread.submit(lambda: source.says("withdraw", "Session", "id=3")[0])
        with pytest.raises(FutureTimeout):
            late.result(1)
        approved = source.table("atlas", "lab_session", "_deletion_approved")
        cursor.execute(f"INSERT INTO {approved} (id, day) VALUES (3, '2026-01-01')")
        cursor.execute(f"DELETE FROM {source.table('atlas', 'lab_session')} WHERE id = 3")
        link.commit()
        assert late.result(20) == (0 if by == "sql" else 1)
    assert source.count(requests) == 1
    assert source.count(source.table("atlas", "lab_session", "_history")) == 0, "nothing was withdrawn"


def test_a_right_that_the_owner_lacks_is_named_with_its_grant(source: Source) -> None:
    rig = source.rig
    server, user = rig.server("lab_a"), f"'{rig.names('owner')}'@'%'"
    pattern = grant_pattern(rig.names("lab"))
    ask(server, f"REVOKE ALL ON {pattern}.* FROM {user}")
    ask(server, f"GRANT SELECT, DELETE ON {pattern}.* TO {user}")
    code, _, err = source.says("held", "Session", "id=3")
    assert code == 1
    statement = f"GRANT CREATE TEMPORARY TABLES ON {pattern}.* TO {user};"
    assert statement in err
    ask(server, statement)
    assert source.says("request", "Session", "id=3", "--reason", "x", "--yes")[0] == 0
    source.approve("atlas", "lab_session", "id, day")
    assert source.says("delete", "Session", "--yes")[0] == 0


@alike
def test_a_lab_whose_account_is_gone_is_told_and_the_others_are_asked_and_its_rows_stay(
    source: Source,
) -> None:
    rig = source.rig
    server = rig.server("lab_a")
    ask(server, "DROP USER %s@'%%'", (rig.names("map_link"),))
    code, out, err = source.says("request", "Scan", "--where", "scan < 20", "--reason", "x", "--yes")
    assert code == 1
    assert f"{rig.names('map_link')}@%`, an account that no longer exists" in err
    assert "djlink source detach" in err
    assert f"{rig.names('atlas')} (data@atlas.example): 2 rows requested" in out
    source.approve("atlas", "other_scan", "scan")
    code, out, err = source.says("delete", "Scan", "--yes")
    assert (code, out) == (1, "")
    assert "nothing was deleted: other rows still refer to these rows" in err
    assert source.count(f"{rig.names('other')}._scan") == 4
    assert source.count(f"{rig.names('other')}.note") == 4
    assert source.says("detach", rig.names("map"))[0] == 1
    _run_as_administrator(source, "map")
    assert source.says("delete", "Scan", "--yes")[1].endswith("Scan: 2 rows deleted\n")
    # with the last lab went the requests too: no row that is left was asked for
    _run_as_administrator(source, "atlas")
    code, _, err = source.says("delete", "Scan", "--yes")
    assert code == 1
    assert "Nothing was deleted" in err
    assert source.count(f"{rig.names('other')}._scan") == 2


def _run_as_administrator(source: Source, lab: str) -> None:
    """What `detach` prints for a lab."""
    code, script, err = source.says("detach", source.rig.names(lab), administrator=True)
    assert (code, err) == (0, "")
    for statement in script.splitlines():
        if statement and not statement.startswith("--"):
            ask(source.rig.server("lab_a"), statement)


@alike
def test_datajoint_inserts_on_the_views_and_deletes_what_is_free(source: Source) -> None:
    dj = load_datajoint()
    rig = source.rig
    run_all(rig, "DROP TABLE {other}.note")  # it refers to itself, and DataJoint takes no circles
    connection = connect(rig.server("lab_a"), rig.names("owner"), PASSWORD)
    lab = dj.VirtualModule("lab", rig.names("lab"), connection=connection)
    dj.VirtualModule("other", rig.names("other"), connection=connection)
    views = dj.FreeTable(connection, source.view("atlas", "lab_session", "requests"))
    views.insert([{"id": 3, "day": "2026-01-01", "reason": "by DataJoint"}])
    views.insert1({"id": 2, "day": "2026-01-01"})
    assert {row["id"]: row["reason"] for row in views.to_dicts()} == {3: "by DataJoint", 2: ""}
    held = dj.FreeTable(connection, source.view("atlas", "lab_session", "held"))
    assert sorted(row["id"] for row in held.to_dicts()) == [1, 2, 3]
    (views & "id = 2").delete_quick()
    with pytest.raises(dj.DataJointError, match="blocked"):
        (lab.Session & "id = 3").delete(prompt=False)
    source.approve("atlas", "lab_session", "id, day")
    assert (lab.Session & "id = 3").delete(prompt=False) == 1
    assert (lab.Session & "id = 4").delete(prompt=False) == 1, "never pulled"
    assert source.count(f"{rig.names('lab')}.session") == 2
    connection.close()


def test_a_request_for_many_rows_takes_no_statement_for_each(source: Source) -> None:
    run_all(
        source.rig,
        "INSERT INTO {other}._scan SELECT a.n * 100 + b.n + 1000, NULL, NULL FROM"
        " (WITH RECURSIVE t AS (SELECT 0 n UNION ALL SELECT n + 1 FROM t WHERE n < 99) SELECT n FROM t) a,"
        " (WITH RECURSIVE t AS (SELECT 0 n UNION ALL SELECT n + 1 FROM t WHERE n < 99) SELECT n FROM t) b",
    )
    server = source.rig.server("lab_a")

    def questions() -> int:
        [(_, value)] = ask(server, "SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(value)

    before = questions()
    assert source.says("request", "Scan", "--where", "scan >= 1000", "--reason", "x", "--yes")[0] == 0
    assert questions() - before < 2_000
    assert source.count(source.table("map", "other_scan", "_deletion_requested")) == 10_000


def test_the_commands_have_examples_and_need_no_server_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("held", "request", "withdraw", "delete", "detach"):
        assert run(["source", command, "--help"]) == 0
        assert f"djlink source {command}" in capsys.readouterr().out
