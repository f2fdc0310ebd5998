"""The script of `djlink source detach`, run as printed, drops what it names and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pymysql
import pytest
from pymysql.constants import CLIENT

from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.sandbox.servers.binaries import find_server
from tests.support.pipelines.owners import SESSIONS_AND_SCANS, Source, new_source
from tests.support.rig import Rig
from tests.support.servers import ALIKE
from tests.support.sql import ask

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)


@pytest.fixture
def source(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Source:
    found = new_source(rig, capsys)
    found.link("atlas", SESSIONS_AND_SCANS)
    found.link("map", {"lab": {"tables": ["Session"]}})
    ask(rig.servers.lab_a, f"CREATE DATABASE `{rig.names('victim')}`")
    ask(rig.servers.lab_a, f"CREATE TABLE `{rig.names('victim')}`.kept (id int)")
    return found


def run_script(source: Source, script: str, modes: str = "") -> str:
    """Run a script as an administrator does, by the client of the server's vendor where there is one here.

    MariaDB's is not unpacked with its server: there the server itself parts the statements. What went wrong.
    """
    server = source.rig.servers.lab_a
    script = f"SET SESSION sql_mode = '{modes}';\n{script}"
    if server.vendor == "mysql":
        client = Path(find_server("mysql").program).parent / "mysql"
        done = subprocess.run(
            [
                str(client),
                "--host=127.0.0.1",
                f"--port={server.port}",
                "--user=root",
                "--get-server-public-key",
            ],
            input=script.encode(),
            env={**os.environ, "MYSQL_PWD": server.root_password},
            capture_output=True,
            check=False,
        )
        return done.stderr.decode()
    connection = pymysql.connect(
        host=server.host, port=server.port, user="root", password=server.root_password,
        client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True,
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        try:
            cursor.execute(script)
            while cursor.nextset():
                pass
        except pymysql.MySQLError as error:
            return str(error)
    return ""


def standing(source: Source) -> set[str]:
    """All tables and views of the test, as `schema.name`."""
    prefix = source.rig.names("")
    rows = ask(
        source.rig.servers.lab_a,
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES"
        f" WHERE LEFT(TABLE_SCHEMA, {len(prefix)}) = '{prefix}'",
    )
    return {str(name)[len(prefix) :] for (name,) in rows}


@alike
@pytest.mark.parametrize("modes", ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI,TRADITIONAL"])
def test_the_script_frees_one_lab_and_leaves_all_else(source: Source, modes: str) -> None:
    before = standing(source)
    code, script, err = source.says("detach", source.rig.names("atlas"), administrator=True)
    others = [each for each in err.splitlines() if source.rig.names("") not in each]
    # an administrator sees what other tests make and drop meanwhile
    assert len(others) == len(err.splitlines()), err
    assert code == bool(others)
    assert run_script(source, script, modes) == ""
    gone = {name.replace(source.rig.names(""), "") for name in before - standing(source)}
    for base in ("lab_session", "other_scan"):
        assert {
            f"atlas_outbound.{base}{s}" for s in ("", "_deletion_requested", "_deletion_approved")
        } <= gone
    assert all(name.startswith(("atlas_outbound.", "atlas_outbound_owner.")) for name in gone)
    assert not any(name.endswith("~djlink") or ("_history" in name and "outbound." in name) for name in gone)


STATEMENTS = ("-- ", "DO ", "DROP VIEW ", "DROP TABLE ", "DELETE ")
ODD = [
    "x\nDROP DATABASE {victim}; -- ",
    "x\r\nDROP DATABASE {victim};",
    "x\rDROP DATABASE {victim};",
    "x\u2028DROP DATABASE {victim};\u2029",
    "x\x85DROP DATABASE {victim};",
    "x*/ DROP DATABASE {victim}; /*",
    "x-- \nDROP DATABASE {victim};",
    "x`; DROP DATABASE {victim}; -- ",
    "x'; DROP DATABASE {victim}; -- ",
    "x\\'; DROP DATABASE {victim}; -- ",
    "\nDELIMITER ;;\nDROP DATABASE {victim};;",
    "\n\\! touch /tmp/djlink-was-here\n",
    "x\\! touch /tmp/djlink-was-here",
    "\nsource /etc/passwd\n",
    "\u202e{victim} ESABATAD PORD\n",
    "x\v;\fDROP DATABASE {victim};",
]


@alike
@pytest.mark.parametrize("column", ["table_name", "source_table", "source_schema", "manifest", "contact"])
def test_no_name_in_a_mark_becomes_a_statement(source: Source, column: str) -> None:
    """A lab writes its own marks: what they say is shown to owners and stands in the script."""
    Path("/tmp/djlink-was-here").unlink(missing_ok=True)
    before = standing(source)
    link = source.rig.names("lab_session")
    outbound = source.outbound("atlas")
    for text in ODD:
        told = text.format(victim=source.rig.names("victim"))[:64]
        table = f"`{outbound}`.`~djlink`"
        ask(source.rig.servers.lab_a, f"UPDATE {table} SET {column} = %s WHERE link_id IN (SELECT * FROM"
            f" (SELECT link_id FROM {table} WHERE outbound_table = %s) x)", (told, link))  # fmt: skip
        manifest = told if column == "manifest" else source.rig.names("atlas")
        for words in ((manifest,), (manifest, "--table", "Session"), (source.rig.names("atlas"),)):
            code, script, err = source.says("detach", *words, administrator=True)
            for line in script.splitlines():
                assert line == "" or line.startswith(
                    ("-- ", "DO ", "DROP VIEW ", "DROP TABLE ", "DELETE ")
                ), line
            assert script.count("\n") == len(script.splitlines()), repr(script)
            assert code == 0 or "Traceback" not in err
            if code == 0:
                run_script(source, script)
        assert source.rig.names("victim") in {
            name for (name,) in ask(source.rig.servers.lab_a, "SHOW DATABASES")
        }
    assert not Path("/tmp/djlink-was-here").exists()
    gone = {name.replace(source.rig.names(""), "") for name in before - standing(source)}
    assert all(name.startswith(("atlas_outbound.", "atlas_outbound_owner.")) for name in gone), gone


@alike
def test_a_list_of_links_that_calls_a_schema_of_data_outbound_drops_and_hides_nothing(source: Source) -> None:
    """Who may make the schema `lab_owner` says that the owner's `lab` is the outbound schema of a lab."""
    server, lab = source.rig.servers.lab_a, source.rig.names("lab")
    evil = owner_schema(lab)
    ask(server, f"CREATE DATABASE `{evil}`")
    for user in ("owner",):
        ask(server, f"GRANT SELECT ON `{evil}`.* TO '{source.rig.names(user)}'@'%%'".replace("%%", "%"))
    ask(
        server,
        f"CREATE SQL SECURITY DEFINER VIEW `{evil}`.links AS SELECT 'session' AS outbound_table,"
        f" '{source.rig.names('atlas')}' AS manifest, 'c' AS contact,"
        f" '{source.rig.names('other')}' AS source_schema,"
        f" '_scan' AS source_table, '{lab}' AS outbound_schema, NOW() AS since",
    )
    before = standing(source)
    for administrator in (False, True):
        code, out, err = source.says("held", administrator=administrator)
        assert "Session" in out, "its tables are still seen"
        assert f"{evil} cannot be read" in err
        assert "has no `~djlink`" in err
        assert code == 1
        _, script, err = source.says("detach", source.rig.names("atlas"), administrator=administrator)
        assert f"`{lab}`.`session`" not in script
    run_script(source, script)
    assert {name for name in before - standing(source) if not name.startswith("atlas_outbound")} == set()
    # where the account sees nothing of the schema, the script itself stops before it drops anything
    forged = script.replace(f"`{source.outbound('atlas')}`", f"`{lab}`")
    assert "~djlink" in run_script(source, forged)
    assert {name for name in before - standing(source) if not name.startswith("atlas_outbound")} == set()
    assert source.count(f"`{lab}`.session") == 4
