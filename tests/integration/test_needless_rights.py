"""Rights by table where the manifest names tables; rights that are too many, and what takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from djlink_manifest.cli import run as run_here
from djlink_manifest.manifest.load import load
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.doctor.examination import examine
from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.`#kind` (kind varchar(9) PRIMARY KEY)",
    "CREATE TABLE {lab}.session (id int PRIMARY KEY, kind varchar(9),"
    " FOREIGN KEY (kind) REFERENCES {lab}.`#kind` (kind))",
    "CREATE TABLE {lab}.session__trial (id int, n int, PRIMARY KEY (id, n),"
    " FOREIGN KEY (id) REFERENCES {lab}.session (id))",
    "CREATE TABLE {lab}.session__event (id int, n int, e int, PRIMARY KEY (id, n, e),"
    " FOREIGN KEY (id, n) REFERENCES {lab}.session__trial (id, n))",
    "CREATE TABLE {lab}.session_note (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.`__spike_sorting` (id int PRIMARY KEY,"
    " FOREIGN KEY (id) REFERENCES {lab}.session (id))",
    "CREATE TABLE {lab}.`__spike_sorting__unit` (id int, u int, PRIMARY KEY (id, u),"
    " FOREIGN KEY (id) REFERENCES {lab}.`__spike_sorting` (id))",
    "CREATE TABLE {lab}.private (secret varchar(20) PRIMARY KEY)",
    "CREATE TABLE {lab}.`~lineage` (table_name varchar(64), attribute_name varchar(64), lineage varchar(255),"
    " PRIMARY KEY (table_name, attribute_name))",
    "INSERT INTO {lab}.`#kind` VALUES ('a')",
    "INSERT INTO {lab}.session VALUES (1, 'a'), (2, NULL)",
    "INSERT INTO {lab}.session__trial VALUES (1, 1)",
    "INSERT INTO {lab}.session__event VALUES (1, 1, 1)",
    "INSERT INTO {lab}.`__spike_sorting` VALUES (1)",
    "INSERT INTO {lab}.`__spike_sorting__unit` VALUES (1, 7)",
)
NAMED = {"lab": {"tables": ["Kind", "Session", "__spike_sorting"]}}
ASK = "administrator to run: "


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    return rig


def type_in(rig: Rig, statements: str) -> None:
    """Run, as root, statements as they are printed."""
    for statement in statements.split(";"):
        if statement.strip():
            ask(rig.servers.lab_a, statement)


def warned(rig: Rig, document: dict[str, Any]) -> list[Finding]:
    """What the doctor says of rights of the source's account beyond what is missing."""
    rig.environ.update(LINK_PASS=PASSWORD, DJ_PASS=PASSWORD)
    found = examine(load([rig.write(document)]), rig.environ).findings
    return [f for f in found if f.server == "lab_a" and "privileges" in f.subject and f.level != "ok"]


def readable(rig: Rig) -> set[str]:
    """The tables of the source schema that the link user sees."""
    with rig.servers.lab_a.connect(rig.names("link"), PASSWORD) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", (rig.names("lab"),)
        )
        return {str(name) for (name,) in cursor.fetchall()}


@alike
def test_what_grants_prints_for_named_tables_shows_these_with_their_parts_and_no_others(
    lab: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    document = lab.document({"lab_a": NAMED})
    server = lab.servers.lab_a
    lab.accounts({})
    ask(server, f"CREATE USER '{lab.names('link')}'@'%%' IDENTIFIED BY %s", (PASSWORD,))
    capsys.readouterr()
    assert run_here(["grants", "-f", str(lab.write(document)), "--server", "lab_a"]) == 0
    printed = [x for x in capsys.readouterr().out.splitlines() if x and not x.startswith("--")]
    for statement in printed:
        for row in ask(server, statement):
            ask(server, row[0])
    assert sum(x.startswith("SELECT ") for x in printed) == 1
    parts = {"session__trial", "session__event", "__spike_sorting__unit"}
    assert readable(lab) == {"#kind", "session", "__spike_sorting", "~lineage", *parts}
    plan, report = lab.apply(document)
    assert report.succeeded, report.outcomes
    assert not plan.has_errors
    local_schema = lab.local_schema("lab_a", "lab")
    for table, count in (("session__event", 1), ("spike_sorting__unit", 1), ("session", 2)):
        assert ask(lab.servers.local, f"SELECT COUNT(*) FROM `{local_schema}`.`{table}`") == [(count,)]
    assert not lab.plan(document).has_changes
    assert warned(lab, document) == []
    with (
        server.connect(lab.names("link"), PASSWORD) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.MySQLError, match="denied"),
    ):
        cursor.execute(f"SELECT * FROM `{lab.names('lab')}`.private")


@alike
def test_a_glob_gets_rights_on_the_schema(lab: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    choices: tuple[Any, ...] = ("*", {"Session": {}, "Sp*": {}})
    for tables in choices:
        path = lab.write(lab.document({"lab_a": {"lab": {"tables": tables}}}))
        capsys.readouterr()
        assert run_here(["grants", "-f", str(path), "--server", "lab_a"]) == 0
        out = capsys.readouterr().out
        assert "\nGRANT SELECT, REFERENCES ON" in out
        assert "SELECT CONCAT" not in out


@alike
def test_the_doctor_restricts_rights_on_a_schema_to_the_tables_that_the_manifest_needs(lab: Rig) -> None:
    lab.accounts({"lab_a": ["lab"]})
    document = lab.document({"lab_a": NAMED})
    assert lab.apply(document)[1].succeeded
    [found] = [f for f in warned(lab, document) if "may read all tables" in f.words]
    assert (found.level, "the manifest needs 6 of them" in found.words) == ("note", True)
    type_in(lab, found.fix.partition(ASK)[2])
    assert "private" not in readable(lab)
    assert not any("may read all tables" in f.words for f in warned(lab, document))
    run_all(
        lab, "INSERT INTO {lab}.session VALUES (3, 'a')", "INSERT INTO {lab}.session__trial VALUES (3, 1)"
    )
    assert lab.apply(document)[1].succeeded
    assert not lab.plan(document).has_changes


EXCESS = [
    ("GRANT EXECUTE ON {lab}.* TO {link}", "may EXECUTE routines", "warning"),
    ("GRANT EXECUTE ON *.* TO {link}", "may EXECUTE routines (*.*)", "warning"),
    ("GRANT EXECUTE ON FUNCTION {here}.f TO {link}", "may EXECUTE routines (FUNCTION ", "warning"),
    ("GRANT EXECUTE ON PROCEDURE {here}.p TO {link}", "may EXECUTE routines (PROCEDURE ", "warning"),
    ("GRANT FILE ON *.* TO {link}", "also has FILE on *.*", "warning"),
    ("GRANT SUPER ON *.* TO {link}", "SUPER on *.*", "warning"),
    ("GRANT PROCESS ON *.* TO {link}", "also has PROCESS on *.*", "warning"),
    ("GRANT CREATE USER ON *.* TO {link}", "also has CREATE USER on *.*", "warning"),
    (
        "GRANT TRIGGER, CREATE ROUTINE ON {outbound}.* TO {link}",
        "also has CREATE ROUTINE, TRIGGER on",
        "warning",
    ),
    ("GRANT INSERT, UPDATE, DELETE ON {lab}.* TO {link}", "may also DELETE, INSERT, UPDATE on", "note"),
    ("GRANT INSERT ON {here}.session TO {link}", "may also INSERT on", "note"),
    ("GRANT DROP, ALTER, INDEX ON {outbound}.* TO {link}", "may also ALTER, DROP, INDEX on", "note"),
    ("GRANT SELECT ON *.* TO {link}", "may also SELECT on *.*", "note"),
    ("GRANT SELECT ON {lab}.* TO {link} WITH GRANT OPTION", "also has GRANT OPTION on", "warning"),
    ("GRANT ALL ON {lab}.* TO {link}", "also has ALL PRIVILEGES on", "warning"),
    (
        "GRANT ALL ON {lab}.* TO {link} WITH GRANT OPTION",
        "also has ALL PRIVILEGES, GRANT OPTION on",
        "warning",
    ),
    ("GRANT ALL ON {outbound}.* TO {link}", "also has ALL PRIVILEGES on", "warning"),
    ("GRANT ALL ON *.* TO {link} WITH GRANT OPTION", "GRANT OPTION", "warning"),
    ("GRANT INSERT ON {owners}.* TO {link}", "may also INSERT on", "note"),
]


@pytest.fixture
def needy(lab: Rig) -> Iterator[Rig]:
    lab.accounts({"lab_a": ["lab"]})
    server, schema = lab.servers.lab_a, lab.names("lab")
    if server.vendor == "mysql":
        ask(server, "SET GLOBAL log_bin_trust_function_creators = 1")
    ask(server, f"CREATE FUNCTION `{schema}`.f() RETURNS int DETERMINISTIC NO SQL RETURN 1")
    ask(server, f"CREATE PROCEDURE `{schema}`.p() SELECT 1")
    owners, user = owner_schema(lab.outbound), f"'{lab.names('link')}'@'%'"
    ask(server, f"CREATE DATABASE `{owners}`")
    ask(server, f"GRANT SELECT, CREATE VIEW, DROP ON {grant_pattern(owners)}.* TO {user}")
    ask(server, f"REVOKE DROP ON {grant_pattern(lab.outbound)}.* FROM {user}")
    yield lab
    ask(server, f"DROP USER {user}")


@alike
def test_each_right_that_is_too_many_is_told_with_the_revoke_that_takes_it(needy: Rig) -> None:
    server = needy.servers.lab_a
    document = needy.document({"lab_a": {"lab": {"tables": "*", "exclude": ["Private"]}}})
    assert warned(needy, document) == []
    names = {
        "link": f"'{needy.names('link')}'@'%'",
        "owners": grant_pattern(owner_schema(needy.outbound)),
        "outbound": grant_pattern(needy.outbound),
        "lab": grant_pattern(needy.names("lab")),
        "here": f"`{needy.names('lab')}`",
    }
    for given, words, level in EXCESS:
        ask(server, given.format(**names))
        found = [f for f in warned(needy, document) if words in f.words]
        assert [f.level for f in found] == [level], (given, warned(needy, document))
        assert found[0].why
        for finding in warned(needy, document):
            type_in(needy, finding.fix.partition(ASK)[2])
        assert warned(needy, document) == [], given
    assert needy.apply(document)[1].succeeded
    assert not needy.plan(document).has_errors


@alike
def test_a_right_of_an_active_role_is_taken_from_the_role(needy: Rig) -> None:
    server, role, user = needy.servers.lab_a, needy.names("role"), f"'{needy.names('link')}'@'%'"
    to = "FOR" if server.vendor == "mariadb" else "TO"
    for statement in (
        f"CREATE ROLE '{role}'",
        f"GRANT EXECUTE, FILE ON *.* TO '{role}'",
        f"GRANT '{role}' TO {user}",
        f"SET DEFAULT ROLE '{role}' {to} {user}",
    ):
        ask(server, statement)
    document = needy.document({"lab_a": {"lab": {"tables": "*", "exclude": ["Private"]}}})
    found = warned(needy, document)
    assert {f.level for f in found} == {"warning"}
    for finding in found:
        type_in(needy, finding.fix.partition(ASK)[2])
    assert warned(needy, document) == []
