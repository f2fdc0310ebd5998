"""What an owner can make of a source schema: views, functions and tables with djlink's own names."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.links.holding import Unreadable
from djlink_manifest.model.server.address import Secret, ServerAddress
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.servers.owner.views import read_links
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session
from tests.support.command import run
from tests.support.pipelines.owners import Source, new_source
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.scan (id int PRIMARY KEY, v varchar(9))",
    "CREATE TABLE {lab}.frame (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {lab}.scan (id))",
    "INSERT INTO {lab}.scan VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO {lab}.frame VALUES (1), (2)",
)
MARKS = (
    *("link_id", "table_name", "manifest", "contact", "source_schema", "source_table", "outbound_schema"),
    *("outbound_table", "local_server", "local_schema", "local_table", "fingerprint", "definition", "holder"),
    *("refill", "made"),
)
LINEAGE = ("table_name", "attribute_name", "lineage")


def document(rig: Rig) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": ["Scan", "Frame"]}}})


def traps(rig: Rig) -> None:
    """Make views named like djlink's and DataJoint's tables over a function that acts for who reads them."""
    lab, link = rig.names("lab"), f"'{rig.names('link')}'@'%'"
    server = rig.servers.lab_a
    ask(server, f"CREATE TABLE `{lab}`.sprung (n int)")
    if server.vendor == "mysql":
        ask(server, "SET GLOBAL log_bin_trust_function_creators = 1")
    ask(
        server,
        f"CREATE FUNCTION `{lab}`.trap() RETURNS varchar(64) MODIFIES SQL DATA SQL SECURITY INVOKER BEGIN"
        f" DELETE FROM {rig.sql(rig.outbound_table('lab', 'frame'))};"
        f" INSERT INTO `{lab}`.sprung VALUES (1); RETURN 'x'; END",
    )
    for name, columns in (("~djlink", MARKS), ("~lineage", LINEAGE)):
        listed = ", ".join(f"`{lab}`.trap() AS {column}" for column in columns)
        ask(server, f"CREATE SQL SECURITY INVOKER VIEW `{lab}`.`{name}` AS SELECT {listed}")
    ask(server, f"GRANT EXECUTE ON FUNCTION `{lab}`.trap TO {link}")
    ask(server, f"GRANT INSERT ON `{lab}`.sprung TO {link}")


def held(rig: Rig) -> int:
    [(count,)] = rig.run("lab_a", f"SELECT COUNT(*) FROM {rig.outbound_table('lab', 'frame')}")
    return int(count)


def words(plan: Plan, address: str) -> str:
    told = [b.reason for b in link_of(plan, address).blocked]
    return "; ".join([*told, *(r.reason for r in plan.refusals if r.address == address)])


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    return rig


@alike
def test_views_with_the_names_of_marks_and_lineage_are_not_read(lab: Rig) -> None:
    traps(lab)
    run_all(lab, "INSERT INTO {lab}.scan VALUES (3, 'c')", "INSERT INTO {lab}.frame VALUES (3)")
    path = lab.write(document(lab))
    for arguments in (("plan", "--verify"), ("apply", "--auto-approve"), ("status",), ("doctor",)):
        code, out, err = run(lab, path, *arguments)
        assert code == 0, out + err
    assert "EXECUTE" in out
    assert "may EXECUTE routines" in out
    assert held(lab) == 3
    # the link's tables are made anew, and their lineage with them
    ask(lab.servers.local, f"DROP DATABASE `{lab.local_schema('lab_a', 'lab')}`")
    run(lab, path, "plan")
    assert lab.run("lab_a", "SELECT * FROM {lab}.sprung") == []
    run(lab, path, "init", "--from", f"lab_a.{lab.names('lab')}")
    assert lab.run("lab_a", "SELECT * FROM {lab}.sprung") == []
    assert held(lab) == 3


@alike
def test_lineage_is_found_along_the_foreign_keys_where_the_table_of_that_name_is_another(rig: Rig) -> None:
    run_all(rig, *TABLES, "CREATE TABLE {lab}.`~lineage` (a int)", "CREATE TABLE {lab}.`~djlink` (a int)")
    rig.accounts({"lab_a": ["lab"]})
    plan, report = rig.apply(document(rig))
    assert report.succeeded
    assert not plan.has_errors
    local_schema = rig.local_schema("lab_a", "lab")
    found = ask(
        rig.servers.local, f"SELECT lineage FROM `{local_schema}`.`~lineage` WHERE table_name = 'frame'"
    )
    assert found == [(f"lab_a.{rig.names('lab')}.scan.id",)]


HOSTILE_LINEAGE = (
    *("subject.id", "subject", "", ".subject.id", "subject..id", "subject.id.", "subject.id\n", " . . "),
    *("a.subject.id\0", "x" * 255, "subject." + "y" * 240, "." * 255, "..", "subject.i\u2028d"),
)


@alike
def test_no_lineage_of_a_source_is_one_of_the_labs_own(rig: Rig) -> None:
    """A source named like a local schema, whose lineage is told without its schema."""
    own = rig.names("own")
    run_all(rig, "CREATE DATABASE {lab}")
    ask(
        rig.servers.lab_a,
        rig.sql(
            "CREATE TABLE {lab}.`~lineage` (table_name varchar(64), attribute_name varchar(64),"
            " lineage varchar(255), PRIMARY KEY (table_name, attribute_name)) CHARSET utf8mb4"
        ),
    )
    for number, lineage in enumerate(HOSTILE_LINEAGE):
        run_all(rig, f"CREATE TABLE {{lab}}.t{number} (id int PRIMARY KEY)")
        with rig.servers.lab_a.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                rig.sql("INSERT INTO {lab}.`~lineage` VALUES (") + "%s, 'id', %s)", (f"t{number}", lineage)
            )
    rig.accounts({"lab_a": ["lab"]})
    document = rig.document({"lab_a": {"lab": {"tables": "*"}}})
    document["sources"] = {own: document["sources"]["lab_a"]}
    _, report = rig.apply(document)
    assert report.succeeded
    local_schema = rig.names(f"our_{own}_{rig.names('lab')}")
    found = ask(rig.servers.local, f"SELECT table_name, lineage FROM `{local_schema}`.`~lineage`")
    assert len(found) >= len(HOSTILE_LINEAGE)
    for name, lineage in found:
        if not str(name).endswith("deletion_requested"):
            assert lineage == f"{own}.{rig.names('lab')}.{name}.id", "found along the foreign keys"


@alike
def test_a_table_of_marks_that_is_another_stops_the_links_of_that_schema_alone(rig: Rig) -> None:
    for server in ("lab_a", "lab_b"):
        for statement in TABLES[:4]:
            rig.run(server, statement)
    rig.accounts({"lab_a": ["lab"], "lab_b": ["lab"]})
    scans = {"lab": {"tables": ["Scan"]}}
    both = rig.document({"lab_a": scans, "lab_b": scans})
    rig.run("lab_a", "CREATE TABLE {outbound}.`~djlink` (a int)")
    plan, _ = rig.apply(both)
    first, second = (rig.address(source, "lab", "Scan") for source in ("lab_a", "lab_b"))
    assert f"`~djlink` of `{rig.outbound}` on lab_a is not djlink's: it lacks the columns link_id" in words(
        plan, first
    )
    assert not link_of(plan, second).blocked
    assert not any("is unavailable" in r.reason for r in plan.refusals)
    rig.run("lab_a", "DROP TABLE {outbound}.`~djlink`")
    assert rig.apply(both)[1].succeeded
    # here, and a view in the place of each of the outbound tables
    local_schema = rig.local_schema("lab_b", "lab")
    ask(rig.servers.local, f"RENAME TABLE `{local_schema}`.`~djlink` TO `{local_schema}`.kept")
    ask(rig.servers.local, f"CREATE VIEW `{local_schema}`.`~djlink` AS SELECT * FROM `{local_schema}`.kept")
    requests = rig.outbound_table("lab", "scan_deletion_requested")
    rig.run("lab_a", f"RENAME TABLE {requests} TO {{outbound}}.kept")
    rig.run("lab_a", f"CREATE VIEW {requests} AS SELECT * FROM {{outbound}}.kept")
    plan = rig.plan(both)
    assert f"`~djlink` of `{local_schema}` on local is not djlink's: it is not a table but a view" in words(
        plan, second
    )
    assert "scan_deletion_requested on lab_a is not djlink's: it is not a table but a view" in words(
        plan, first
    )


@alike
def test_a_view_in_the_place_of_a_linked_table_or_part_is_refused(lab: Rig) -> None:
    """An owner who sets foreign_key_checks off can put one there, though rows are held."""
    run_all(
        lab,
        "SET SESSION foreign_key_checks = 0",
        "RENAME TABLE {lab}.frame TO {lab}.real_frame",
        "CREATE VIEW {lab}.frame AS SELECT * FROM {lab}.real_frame",
        "SET SESSION foreign_key_checks = 1",
    )
    plan = lab.plan(document(lab))
    assert "is a view" in words(plan, lab.address("lab_a", "lab", "Frame"))


@alike
def test_an_owners_command_reads_no_view_that_works_by_its_readers_rights(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    source: Source = new_source(rig, capsys)
    source.link("atlas", {"lab": {"tables": ["Session"]}})
    evil, server = owner_schema(rig.names("evil")), rig.servers.lab_a
    if server.vendor == "mysql":
        ask(server, "SET GLOBAL log_bin_trust_function_creators = 1")
    ask(server, f"CREATE DATABASE `{evil}`")
    ask(server, f"CREATE TABLE `{evil}`.sprung (n int)")
    ask(
        server,
        f"CREATE FUNCTION `{evil}`.trap() RETURNS varchar(64) MODIFIES SQL DATA SQL SECURITY INVOKER"
        f" BEGIN INSERT INTO `{evil}`.sprung VALUES (1); RETURN 'x'; END",
    )
    listed = ", ".join(
        f"`{evil}`.trap() AS {name}"
        for name in (
            *("outbound_table", "manifest", "contact", "source_schema", "source_table", "outbound_schema"),
            "since",
        )
    )
    ask(server, f"CREATE SQL SECURITY INVOKER VIEW `{evil}`.links AS SELECT {listed}")
    ask(server, f"GRANT ALL ON `{evil}`.* TO '{rig.names('owner')}'@'%'")
    code, out, err = source.says("held")
    assert code == 0, err
    assert "Session" in out
    assert ask(server, f"SELECT * FROM `{evil}`.sprung") == []
    # an administrator looks behind views that are broken, and reads no view there either
    ask(server, f"DROP VIEW `{evil}`.links")
    ask(server, f"CREATE TABLE `{evil}`.gone (outbound_table int)")
    ask(server, f"CREATE SQL SECURITY DEFINER VIEW `{evil}`.links AS SELECT * FROM `{evil}`.gone")
    ask(server, f"DROP TABLE `{evil}`.gone")
    ask(server, f"CREATE DATABASE `{rig.names('evil')}`")
    marks = ", ".join(f"`{evil}`.trap() AS {name}" for name in (*MARKS, "created_at"))
    ask(server, f"CREATE SQL SECURITY INVOKER VIEW `{rig.names('evil')}`.`~djlink` AS SELECT {marks}")
    root = ServerAddress("lab_a", server.host, server.port, "root", Secret(server.root_password))
    session = open_session(root, Session)
    found = read_links(session, evil)
    session.close()
    assert isinstance(found, Unreadable)
    assert ask(server, f"SELECT * FROM `{evil}`.sprung") == []


@alike
def test_an_owners_command_follows_no_list_of_links_into_another_schema(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether views work by their reader's rights was asked of the schema of the list alone."""
    source: Source = new_source(rig, capsys)
    source.link("atlas", {"lab": {"tables": ["Session"]}})
    server, evil, trap = rig.servers.lab_a, owner_schema(rig.names("evil")), owner_schema(rig.names("trap"))
    if server.vendor == "mysql":
        ask(server, "SET GLOBAL log_bin_trust_function_creators = 1")
    for schema in (evil, trap):
        ask(server, f"CREATE DATABASE `{schema}`")
        ask(server, f"GRANT ALL ON `{schema}`.* TO '{rig.names('owner')}'@'%'")
    ask(server, f"CREATE TABLE `{trap}`.sprung (n int)")
    ask(
        server,
        f"CREATE FUNCTION `{trap}`.trap() RETURNS int MODIFIES SQL DATA SQL SECURITY INVOKER"
        f" BEGIN INSERT INTO `{trap}`.sprung VALUES (1); RETURN 1; END",
    )
    columns = "`{0}`.trap() AS id, `{0}`.trap() AS `day`, NOW() AS pulled_at, 'x' AS manifest, 'x' AS contact"
    ask(server, f"CREATE SQL SECURITY INVOKER VIEW `{trap}`.x_held AS SELECT {columns.format(trap)}")
    row = (
        "SELECT 'x' AS outbound_table, 'm' AS manifest, 'c' AS contact,"
        f" '{rig.names('lab')}' AS source_schema, 'session' AS source_table,"
        f" '{rig.names('trap')}' AS outbound_schema, NOW() AS since"
    )
    ask(server, f"CREATE SQL SECURITY DEFINER VIEW `{evil}`.links AS {row}")
    code, out, err = source.says("held")
    assert ask(server, f"SELECT * FROM `{trap}`.sprung") == []
    assert "Session" in out
    assert f"{evil} cannot be read" in err
    assert "another schema" in err
    assert code == 1
    # an error of its maker's own is told of that schema alone
    ask(
        server,
        f"CREATE FUNCTION `{evil}`.fail() RETURNS int DETERMINISTIC NO SQL"
        " BEGIN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ha'; RETURN 1; END",
    )
    ask(server, f"CREATE OR REPLACE VIEW `{evil}`.links AS {row} FROM DUAL WHERE `{evil}`.fail() = 1")
    code, out, err = source.says("held")
    assert (code, "Session" in out, f"{evil} cannot be read: a trigger or a stored function" in err) == (
        1,
        True,
        True,
    ), err
    for odd in ("CONCAT('x', CHAR(0))", "NULL", "REPEAT('x', 99)"):
        odd_row = row.replace("'x' AS outbound_table", f"{odd} AS outbound_table")
        ask(server, f"CREATE OR REPLACE VIEW `{evil}`.links AS {odd_row}")
        code, out, err = source.says("held")
        assert (code, "Session" in out, f"{evil} cannot be read: its list of links" in err) == (1, True, True)


@alike
def test_defaults_checks_and_names_of_an_owner_stay_what_they_are(lab: Rig) -> None:
    """What a real server lets an owner write, and djlink takes over, leaves out or refuses."""
    server, local_schema = lab.servers.lab_a, lab.local_schema("lab_a", "lab")
    plain = "it''s \\ \n -- /* `x` ; */ \" DROP"
    ask(
        server,
        lab.sql(
            "CREATE TABLE {lab}.odd (id int PRIMARY KEY, "
            f"a varchar(60) DEFAULT '{plain}' COMMENT '{plain}', "
            f"e enum('{plain}', 'b') COMMENT ':<x>:{plain}',"
            f" b varchar(80) DEFAULT (concat('{plain}', 'x')), CHECK (id <> 2 OR a <> '{plain}'),"
            f" g int GENERATED ALWAYS AS (char_length('{plain}')) STORED) COMMENT '{plain}'"
        ),
    )
    run_all(lab, "INSERT INTO {lab}.odd (id) VALUES (1)")
    ask(server, lab.sql("CREATE TABLE {lab}.`a/../../b` (id int PRIMARY KEY)"))
    ask(server, lab.sql("CREATE TABLE {lab}.`a.b` (id int PRIMARY KEY)"))
    every = lab.document({"lab_a": {"lab": {"tables": "*"}}})
    plan, report = lab.apply(every)
    assert report.succeeded, report.outcomes
    assert {r.address.split(".", 2)[2]: r.reason for r in plan.refusals} == {
        "a/../../b": "its name contains an invalid character",
        "a.b": "its name contains a dot",
    }
    source_rows, local_rows = (
        ask(server, lab.sql("SELECT * FROM {lab}.odd")),
        ask(lab.servers.local, f"SELECT * FROM `{local_schema}`.odd"),
    )
    assert source_rows == local_rows
    assert not lab.plan(every).has_changes


@alike
def test_a_table_that_becomes_a_view_during_a_plan_runs_nothing_with_the_link_users_rights(lab: Rig) -> None:
    """The catalog said that it is a table; the counts read a view, with EXECUTE granted on its function."""
    traps(lab)
    schema = lab.names("lab")
    with lab.job(document(lab)) as job:
        run_all(
            lab,
            "SET SESSION foreign_key_checks = 0",
            "RENAME TABLE {lab}.frame TO {lab}.real_frame",
            "SET SESSION foreign_key_checks = 1",
        )
        ask(
            lab.servers.lab_a,
            f"CREATE SQL SECURITY INVOKER VIEW `{schema}`.frame AS SELECT id FROM `{schema}`.real_frame"
            f" WHERE `{schema}`.trap() = 'x'",
        )
        with suppress(DjlinkError):
            job.plan()
    assert lab.run("lab_a", "SELECT * FROM {lab}.sprung") == []
    assert held(lab) == 2
    # the trap is one: a session that may write springs it, which is why the doctor warns of EXECUTE
    link = lab.servers.lab_a.connect(lab.names("link"), PASSWORD)
    with link as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM `{schema}`.frame")
    assert lab.run("lab_a", "SELECT * FROM {lab}.sprung") != []
