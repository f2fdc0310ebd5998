"""Columns that the source changes after linking follow where no value is lost; else the way on works."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.catalog import Size
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.model.vendors.alter_cost import cost_of
from djlink_manifest.reconcile.apply import schema_changes
from djlink_manifest.reconcile.plan.actions import ChangeLocal, CopyLineage, NoteDefinition, Pull
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.servers.dialects import version_of
from tests.support.definitions import applied_cleanly, definition, every_value
from tests.support.rig import Rig, everything, link_of
from tests.support.servers import ALIKE, PAIRS, Servers
from tests.support.sql import ask, run_all

PIPELINE = (
    "CREATE DATABASE {lab} DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE {lab}.scan (id int PRIMARY KEY, v int, c char(5), s varchar(9) UNIQUE, b varbinary(9),"
    " d decimal(5,2), f float, e enum('a','b') NOT NULL DEFAULT 'a', t text, at datetime, n int NOT NULL,"
    " w varchar(9) DEFAULT 'x' COMMENT 'of w', twice int GENERATED ALWAYS AS (v * 2) VIRTUAL,"
    " CHECK (v < 9999999), KEY (v)) COMMENT 'scans'",
    "CREATE TABLE {lab}.scan__field (id int, k varchar(9), x smallint unsigned COMMENT ':uint16:of x',"
    " g set('p','q'), PRIMARY KEY (id, k), FOREIGN KEY (id) REFERENCES {lab}.scan (id))",
    "CREATE TABLE {lab}.child (child int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.scan (id))",
    "INSERT INTO {lab}.scan (id, v, c, s, b, d, f, e, t, at, n) VALUES"
    " (1, 1, 'é', 'one', 'b ', 1.25, 0.1, 'b', 'text', '2026-01-02 03:04:05', 1),"
    " (2, NULL, NULL, NULL, NULL, NULL, NULL, 'a', NULL, NULL, 2)",
    "INSERT INTO {lab}.scan__field VALUES (1, 'k', 65535, 'q'), (2, 'k', NULL, 'p,q')",
    "INSERT INTO {lab}.child VALUES (1, 1)",
)
CHANGED = (
    "ALTER TABLE {lab}.scan MODIFY v bigint, MODIFY c varchar(20), MODIFY s varchar(80),"
    " MODIFY b varbinary(300), MODIFY d decimal(9,3), MODIFY f double,"
    " MODIFY e enum('x','a','b','c') NOT NULL DEFAULT 'c', MODIFY t longtext, MODIFY at datetime(6),"
    " MODIFY n int NULL, MODIFY w varchar(9) DEFAULT 'y' COMMENT 'all w', COMMENT 'all scans'",
    "ALTER TABLE {lab}.scan__field MODIFY x int COMMENT ':int32:of x', MODIFY g set('p','q','r')",
    "ALTER TABLE {lab}.child MODIFY id int NOT NULL COMMENT ':int32:'",
    "INSERT INTO {lab}.scan (id, v, c, s, b, d, f, e, t, at, n) VALUES"
    " (3, 9999998, 'longer than 5', REPEAT('s', 80), REPEAT('b', 300), 123456.789, 1e300, 'x',"
    " REPEAT('t', 70000), '2026-01-02 03:04:05.123456', NULL)",
    "INSERT INTO {lab}.scan__field VALUES (3, 'k', -5, 'p,r')",
)


def of(plan: Plan, rig: Rig, table: str = "Scan") -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", table))


def changes(link: LinkPlan) -> dict[str, ChangeLocal]:
    return {a.table.rpartition(".")[2]: a for a in link.actions if isinstance(a, ChangeLocal)}


def locally(rig: Rig, text: str) -> list[tuple[Any, ...]]:
    return ask(rig.servers.local, text.replace("@here", f"`{rig.local_schema('lab_a', 'lab')}`"))


def type_of(rig: Rig, column: str) -> str:
    local = (rig.local_schema("lab_a", "lab"), column)
    text = "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND COLUMN_NAME = %s"
    return str(ask(rig.servers.local, f"{text} AND TABLE_NAME = 'scan'", local)[0][0])


def becomes_level(rig: Rig, *tables: str) -> None:
    """An apply makes all values the source's, and the definitions where the vendors are alike."""
    applied_cleanly(rig, everything(rig))
    places = ((rig.servers.local, rig.local_schema("lab_a", "lab")), (rig.servers.lab_a, rig.names("lab")))
    for table in tables:
        local, source = (every_value(*place, table) for place in places)
        assert local == source
        if rig.servers.pair in ALIKE:
            stood, made = (definition(*place, table) for place in places)
            assert stood == made


@pytest.fixture
def linked(rig: Rig) -> Rig:
    run_all(rig, *PIPELINE)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(everything(rig))[1].succeeded
    return rig


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_what_the_source_changes_without_loss_is_changed_here_and_rows_come_in_the_same_apply(
    linked: Rig,
) -> None:
    run_all(linked, *CHANGED)
    plan, report = linked.apply(everything(linked))
    assert report.succeeded, [(o.address, o.problem) for o in report.outcomes]
    link, local_schema = of(plan, linked), linked.local_schema("lab_a", "lab")
    kinds = [ChangeLocal, ChangeLocal, CopyLineage, NoteDefinition, NoteDefinition, Pull]
    assert [type(a) for a in link.actions] == kinds
    found = changes(link)
    assert list(found) == ["scan", "scan__field"]
    assert (found["scan"].table, found["scan"].cost) == (f"{local_schema}.scan", "copy")
    assert {"`v` (int to bigint)", "`n` (may be NULL)", "`w` (default, comment)"} < set(found["scan"].changes)
    assert found["scan"].changes[-1] == "the comment of the table"
    assert found["scan__field"].changes == (
        "`x` (smallint unsigned to int, comment)",
        "`g` (set('p','q') to set('p','q','r'))",
    )
    child = changes(of(plan, linked, "Child"))["child"]
    assert (child.changes, child.cost) == (("`id` (comment)",), "instant")
    becomes_level(linked, "scan", "scan__field", "child")
    assert not any(link.drift for link in linked.plan(everything(linked)).links)


BYTE = ",".join(f"'{n}'" for n in range(255))  # as many members as one byte numbers
# columns before and after, and what their change costs MySQL and MariaDB
COSTS = (
    ("i1 int", "i1 bigint", "copy", "copy"),
    ("i2 tinyint(1)", "i2 tinyint", "instant", "instant"),
    ("i3 int COMMENT 'a'", "i3 int DEFAULT 1 COMMENT 'b'", "instant", "instant"),
    ("i4 int NOT NULL", "i4 int NULL", "in place", "in place"),
    ("v1 varchar(9)", "v1 varchar(20)", "instant", "instant"),
    ("v2 varchar(60)", "v2 varchar(64)", "copy", "copy"),
    ("v3 varchar(31)", "v3 varchar(300)", "copy", "instant"),
    ("v4 varchar(64)", "v4 varchar(99)", "instant", "instant"),
    ("v5 varbinary(127)", "v5 varbinary(300)", "copy", "instant"),
    ("v6 varbinary(128)", "v6 varbinary(300)", "copy", "copy"),
    ("v7 varchar(9) NOT NULL", "v7 varchar(20) NULL", "in place", "in place"),
    ("c1 char(5)", "c1 char(9)", "copy", "copy"),
    ("c2 char(5)", "c2 varchar(9)", "copy", "copy"),
    ("t1 varchar(9)", "t1 text", "copy", "copy"),
    ("t2 text", "t2 mediumtext", "copy", "copy"),
    ("d1 decimal(5,2)", "d1 decimal(6,2)", "copy", "copy"),
    ("d2 float", "d2 double", "copy", "copy"),
    ("e1 enum('a')", "e1 enum('a','b')", "instant", "instant"),
    ("e2 enum('a')", "e2 enum('b','a')", "copy", "copy"),
    (f"e3 enum({BYTE})", f"e3 enum({BYTE},'more')", "copy", "copy"),
    ("s1 set('a')", "s1 set('a','b')", "instant", "instant"),
    (
        "s2 set('a','b','c','d','e','f','g','h')",
        "s2 set('a','b','c','d','e','f','g','h','i')",
        "copy",
        "copy",
    ),
    ("m1 datetime", "m1 datetime(1)", "copy", "copy"),
    ("m2 time(1)", "m2 time(2)", "copy", "copy"),
)


# of one column, with an index or without: another collation, and what it costs
ORDERS = (
    ("varchar(9)", "", "instant", "instant"),
    ("varchar(9)", "KEY (x)", "copy", "in place"),
    ("varchar(9)", "KEY (id, x)", "copy", "in place"),
    ("text", "KEY (x(5))", "copy", "copy"),
    ("enum('a')", "KEY (x)", "instant", "copy"),
)


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_another_collation_costs_the_local_server_what_the_plan_says(servers: Servers, names: Any) -> None:
    server, schema = servers.local, names("costs")
    version = version_of(str(ask(server, "SELECT VERSION()")[0][0]))
    ask(server, f"CREATE DATABASE `{schema}` COLLATE utf8mb4_bin")
    for number, (type_, index, mysql, mariadb) in enumerate(ORDERS):
        before = Column("x", type_, charset="utf8mb4", collation="utf8mb4_bin")
        after = replace(before, collation="utf8mb4_general_ci")
        said = cost_of(before, after, version, indexed=bool(index))
        assert said == (mysql if version.vendor == "mysql" else mariadb)
        of = f"`{schema}`.t{number}"
        ask(server, f"CREATE TABLE {of} (id int PRIMARY KEY, x {type_}{', ' * bool(index)}{index})")
        alter = f"ALTER TABLE {of} MODIFY x {type_} COLLATE utf8mb4_general_ci, ALGORITHM="
        if said == "copy":
            with pytest.raises(pymysql.MySQLError):
                ask(server, f"{alter}INPLACE")
        else:
            ask(server, f"{alter}INPLACE")


def parsed(text: str) -> Column:
    name, type_, *_ = text.split(" ")
    charset = "utf8mb4" if re.match("(var)?char|enum|set|text", type_) else None
    return Column(name, type_, nullable="NOT NULL" not in text, charset=charset)


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_change_costs_the_local_server_what_the_plan_says(servers: Servers, names: Any) -> None:
    server, schema = servers.local, names("costs")
    version = version_of(str(ask(server, "SELECT VERSION()")[0][0]))
    tables = "INNODB_TABLES" if version.vendor == "mysql" else "INNODB_SYS_TABLES"
    number = f"SELECT TABLE_ID FROM information_schema.{tables} WHERE NAME = '{schema}/t'"
    ask(server, f"CREATE DATABASE `{schema}` CHARACTER SET utf8mb4")
    columns = ", ".join(before for before, *_ in COSTS)
    ask(server, f"CREATE TABLE `{schema}`.t (id int PRIMARY KEY, {columns})")
    for before, after, mysql, mariadb in COSTS:
        said = cost_of(parsed(before), parsed(after), version)
        assert said == (mysql if version.vendor == "mysql" else mariadb), after
        stood, alter = ask(server, number), f"ALTER TABLE `{schema}`.t MODIFY {after}, ALGORITHM="
        try:
            ask(server, f"{alter}INPLACE")
            found = "instant" if ask(server, number) == stood else "in place"
        except pymysql.MySQLError:
            ask(server, f"{alter}COPY")
            found = "copy"
        assert found == said, after


def test_a_column_that_the_lab_changed_is_not_overwritten(linked: Rig) -> None:
    locally(
        linked, "ALTER TABLE @here.scan MODIFY w varchar(9) DEFAULT 'own' COMMENT 'own', MODIFY t mediumtext"
    )
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY w varchar(20) DEFAULT 'y' COMMENT 'new', MODIFY v bigint")
    [blocked] = of(linked.plan(everything(linked)), linked).blocked
    assert "because it was changed locally: column `t` has the type mediumtext, not text" in blocked.reason
    locally(linked, "ALTER TABLE @here.scan MODIFY t text")
    applied_cleanly(linked, everything(linked))
    assert (type_of(linked, "w"), type_of(linked, "v")) == ("varchar(20)", "bigint")
    facts = (
        "SELECT COLUMN_DEFAULT, COLUMN_COMMENT FROM information_schema.COLUMNS WHERE TABLE_NAME = 'scan' AND"
        f" COLUMN_NAME = 'w' AND TABLE_SCHEMA = '{linked.local_schema('lab_a', 'lab')}'"
    )
    assert ask(linked.servers.local, facts) == [("own", "own")]


def test_a_column_that_the_lab_changes_between_plan_and_apply_is_left_alone(linked: Rig) -> None:
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY w varchar(20)")
    with linked.job(everything(linked)) as job:
        plan = job.plan()
        locally(linked, "ALTER TABLE @here.scan MODIFY w varchar(12)")
        report = job.apply(plan, lambda event: None, threading.Event())
    [problem] = [o.problem for o in report.outcomes if o.problem]
    assert "scan were changed locally after the plan was made" in problem
    assert type_of(linked, "w") == "varchar(12)"


def test_an_apply_that_ends_before_the_marks_are_written_is_ended_by_the_next(
    linked: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY v bigint COMMENT 'of v'")
    with monkeypatch.context() as patched:

        def fails(*_: Any) -> None:
            raise ServerError("killed")

        patched.setattr(schema_changes, "copy_lineage", fails)
        [outcome, *_] = linked.apply(everything(linked))[1].outcomes
        assert outcome.problem == "killed"
    assert type_of(linked, "v") == "bigint"
    plan, report = linked.apply(everything(linked))
    assert report.succeeded
    assert [type(a) for a in of(plan, linked).actions] == [CopyLineage, NoteDefinition, NoteDefinition]
    becomes_level(linked, "scan")


def test_a_table_in_use_is_told_and_the_next_apply_goes_on(
    linked: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "IN_USE", replace(batches.IN_USE, tries=1))
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY v bigint")
    with linked.servers.local.connect() as connection, connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT * FROM `{linked.local_schema('lab_a', 'lab')}`.scan")
        cursor.fetchall()
        problems = [o.problem for o in linked.apply(everything(linked))[1].outcomes if o.problem]
    assert ["in use" in problem for problem in problems] == [True]
    becomes_level(linked, "scan")


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_table_of_the_labs_own_that_refers_to_the_column_is_told_and_the_way_on_works(linked: Rig) -> None:
    own = linked.names("own")
    ask(linked.servers.local, f"CREATE DATABASE `{own}` COLLATE utf8mb4_bin")
    key = "CONSTRAINT of_lab FOREIGN KEY (s) REFERENCES @here.scan (s)"
    locally(linked, f"CREATE TABLE `{own}`.note (n int PRIMARY KEY, s varchar(9), {key})")
    run_all(
        linked,
        "ALTER TABLE {lab}.scan MODIFY s varchar(80) COMMENT 'wide'",
        "INSERT INTO {lab}.child VALUES (2, 2)",
    )
    plan, _ = linked.apply(everything(linked))
    [blocked] = of(plan, linked).blocked
    assert f"{own}.note refers to the local column by its foreign key `of_lab`" in blocked.reason
    assert type_of(linked, "s") == "varchar(9)"
    drop = re.search("ALTER TABLE .* DROP FOREIGN KEY `of_lab`", blocked.hint or "")
    assert drop is not None
    ask(linked.servers.local, drop.group())
    applied_cleanly(linked, everything(linked))
    locally(linked, f"ALTER TABLE `{own}`.note MODIFY s varchar(80)")
    locally(linked, f"ALTER TABLE `{own}`.note ADD {key}")
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY s varchar(80) DEFAULT 'd' COMMENT 'wider'")
    becomes_level(linked, "scan")  # what is no type needs nothing of the key


def test_a_column_that_the_source_dropped_is_told_so_and_the_statement_that_is_printed_drops_it(
    linked: Rig,
) -> None:
    run_all(linked, "ALTER TABLE {lab}.scan DROP COLUMN n", "INSERT INTO {lab}.scan (id) VALUES (3)")
    [blocked] = of(linked.plan(everything(linked)), linked).blocked
    assert blocked.reason.endswith("which changed after linking: the source dropped column `n`")
    statement, _, _ = (blocked.hint or "").partition(" drops it locally too")
    ask(linked.servers.local, statement)
    becomes_level(linked, "scan")


@pytest.mark.parametrize("way", ["likewise", "anew"])
def test_a_narrower_column_is_changed_likewise_by_the_lab_or_made_anew(rig: Rig, way: str) -> None:
    run_all(rig, *PIPELINE)
    rig.accounts({"lab_a": ["lab"]})
    alone = rig.document({"lab_a": {"lab": {"tables": ["Scan"]}}})
    assert rig.apply(alone)[1].succeeded
    narrower = "MODIFY w varchar(5) DEFAULT 'x' COMMENT 'of w'"
    run_all(rig, f"ALTER TABLE {{lab}}.scan {narrower}")
    [blocked] = of(rig.plan(alone), rig).blocked
    assert "column `w` has the type varchar(9), not varchar(5)" in blocked.reason
    assert (blocked.hint or "").startswith("change the local table in the same way")
    assert "drop the local table with all its parts: the next apply recreates it" in (blocked.hint or "")
    if way == "likewise":
        locally(rig, f"ALTER TABLE @here.scan {narrower}")
    else:
        locally(rig, "DROP TABLE @here.scan__field, @here.scan__deletion_requested, @here.scan")
    applied_cleanly(rig, alone)
    assert type_of(rig, "w") == "varchar(5)"
    assert locally(rig, "SELECT COUNT(*), COUNT(v) FROM @here.scan") == [(2, 1)]


WIDER_KEY = "ALTER TABLE {lab}.scan MODIFY name varchar(20)"


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_key_that_is_wider_is_linked_anew_as_the_plan_says(rig: Rig) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.rig (id int PRIMARY KEY)",
        "CREATE TABLE {lab}.scan (name varchar(9) PRIMARY KEY, v int)",
        "INSERT INTO {lab}.scan VALUES ('a', 1), ('b', 2)",
    )
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(everything(rig))[1].succeeded
    address = rig.address("lab_a", "lab", "Scan")
    if rig.servers.lab_a.vendor == "mysql":  # which widens a key that foreign keys hold, to 255 bytes
        run_all(rig, WIDER_KEY, "INSERT INTO {lab}.scan VALUES ('longer than nine', 3)")
        [blocked] = of(rig.plan(everything(rig)), rig).blocked
        assert "does not match the source's definition: column `name` has the type" in blocked.reason
        way = f"write `removed: {{{address}: {{table: drop}}}}` and apply; then link it again, with another"
        assert f"{way} `outbound_table`" in (blocked.hint or "")
    else:
        with pytest.raises(pymysql.MySQLError, match="used in a foreign key constraint"):
            run_all(rig, WIDER_KEY)
    without = rig.document({"lab_a": {"lab": {"tables": ["Rig"]}}}, removed={address: {"table": "drop"}})
    assert rig.apply(without)[1].succeeded
    run_all(rig, WIDER_KEY, "REPLACE INTO {lab}.scan VALUES ('longer than nine', 3)")
    anew = {"Rig": {}, "Scan": {"outbound_table": "scan_2"}}
    applied_cleanly(rig, rig.document({"lab_a": {"lab": {"tables": anew}}}))
    rows = [("a", 1), ("b", 2), ("longer than nine", 3)]
    assert locally(rig, "SELECT name, v FROM @here.scan ORDER BY v") == rows


def test_an_index_that_becomes_too_long_is_told_before_anything_is_altered(linked: Rig) -> None:
    locally(linked, "ALTER TABLE @here.scan ADD KEY own (w)")
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY w varchar(900)")
    [blocked] = of(linked.plan(everything(linked)), linked).blocked
    assert (
        "with the source's types the index `own` has 3600 bytes, but only 3072 are allowed" in blocked.reason
    )
    locally(linked, "ALTER TABLE @here.scan DROP KEY own")
    applied_cleanly(linked, everything(linked))


def test_a_plan_says_the_size_of_a_table_that_is_copied(linked: Rig) -> None:
    locally(linked, "ANALYZE TABLE @here.scan")
    run_all(linked, "ALTER TABLE {lab}.scan MODIFY v bigint")
    found = changes(of(linked.plan(everything(linked)), linked))["scan"]
    assert (found.rows, found.bytes > 0, found.cost) == (2, True, "copy")
    assert found.change is not None
    assert found.change.size == Size(found.rows, found.bytes)
