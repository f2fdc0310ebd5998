"""Throwaway servers: real, apart from each other, and gone when their owner is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.cursors import Cursor

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox import (
    SandboxServer,
    ServerOptions,
    create_link_user,
    create_local_user,
    create_owner,
    datadir_template,
    find_server,
    running_servers,
    start_server,
    start_servers,
)
from djlink_manifest.sandbox.servers import start as starting
from djlink_manifest.sandbox.servers.guard import process_mark
from djlink_manifest.sandbox.servers.start import FOLDER_VARIABLE
from tests.support.servers import Names, Servers

DENIED = 1142
DATABASE_DENIED = 1044
GLOBAL_DENIED = 1227
FOREIGN_KEY_HOLDS = {1217, 1451}
BAD_TLS = 2003
NO_TLS_ON_SERVER = 2026
PLAIN_REFUSED = 3159
LINK_PASSWORD = "a link's 100% secret"


@pytest.fixture(scope="module")
def own() -> Iterator[SandboxServer]:
    """A server that the tests here may stop and kill, with a table of one row."""
    with start_server("own") as server:
        server.execute("CREATE DATABASE lab")
        server.execute("CREATE TABLE lab.subject (id INT PRIMARY KEY)")
        server.execute("INSERT INTO lab.subject VALUES (1)")
        yield server


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def error_of(call: Callable[[], object]) -> int:
    with pytest.raises(pymysql.MySQLError) as caught:
        call()
    return int(caught.value.args[0])


def refusal(cursor: Cursor, statement: str) -> int:
    """The number of the error with which the server refuses the statement."""
    return error_of(lambda: cursor.execute(statement))


def start_elsewhere(then: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Another process that starts a server, describes it, and goes on with the statements `then`."""
    script = (
        "import json, os, signal, sys, time\n"
        "from djlink_manifest.sandbox import start_server\n"
        "server = start_server('elsewhere')\n"
        "print(json.dumps(server.describe()), flush=True)\n" + then
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_servers_of_a_run_are_different_servers(servers: Servers) -> None:
    assert len({server.port for server in servers}) == 3
    identities = {server.execute("SELECT @@server_uuid, @@datadir, @@port")[0] for server in servers}
    assert len(identities) == 3
    assert len({uuid for uuid, _, _ in identities}) == 3
    assert len({server.root_password for server in servers}) == 3


def test_a_server_is_what_it_says_it_is(servers: Servers) -> None:
    for server in servers:
        [(version, port)] = server.execute("SELECT VERSION(), @@port")
        assert (version.split("-")[0], port) == (server.version, server.port)
        assert int(server.version.split(".")[0]) >= 8


def test_a_server_takes_files_and_large_statements_and_keeps_no_binary_log(servers: Servers) -> None:
    assert servers.local.execute(
        "SELECT @@local_infile, @@max_allowed_packet, @@max_connections, @@log_bin, @@performance_schema"
    ) == [(1, 64 * 1024 * 1024, 200, 0, 0)]


def test_a_session_is_autocommit_and_speaks_utf8mb4(servers: Servers) -> None:
    with servers.local.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@autocommit, @@character_set_client, '🐁'")
        assert cursor.fetchone() == (1, "utf8mb4", "🐁")


def test_only_this_machine_reaches_a_server(servers: Servers) -> None:
    assert servers.local.execute("SELECT @@bind_address") == [("127.0.0.1",)]


def test_a_killed_server_comes_back_with_what_was_committed(own: SandboxServer) -> None:
    port = own.port
    own.execute("INSERT INTO lab.subject VALUES (2)")
    own.kill()
    assert not own.running
    assert not is_listening(port)
    own.restart()
    assert own.port == port
    assert own.execute("SELECT id FROM lab.subject ORDER BY id")[-1] == (2,)


def test_a_restart_ends_the_sessions_and_keeps_port_and_data(own: SandboxServer) -> None:
    session, port = own.connect(), own.port
    own.restart()
    assert error_of(lambda: session.cursor().execute("SELECT 1")) in {2006, 2013, 4031}
    assert own.port == port
    assert own.execute("SELECT id FROM lab.subject WHERE id = 1") == [(1,)]


def test_a_stopped_server_leaves_no_process_no_port_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with start_server("short") as server:
        assert server.folder.parent == tmp_path.resolve()
        assert is_listening(server.port)
        assert server.folder.is_dir()
    assert not server.running
    assert process_mark(server.pid) is None
    assert not is_listening(server.port)
    assert not server.folder.exists()
    server.stop()


def test_servers_started_together_stop_together() -> None:
    with running_servers({"one": ServerOptions(), "two": ServerOptions()}) as pair:
        assert [server.execute("SELECT 1") for server in pair.values()] == [[(1,)], [(1,)]]
    assert not any(server.running for server in pair.values())


def test_where_one_server_fails_to_start_none_is_left_and_its_log_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    wanted = {"good": ServerOptions(), "bad": ServerOptions(extra=("--no-such-option=1",))}
    with pytest.raises(SandboxError, match="no-such-option") as caught:
        start_servers(wanted)
    assert caught.value.server == "bad"
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_meanwhile_is_passed_over(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = starting._free_port()
    offered = iter([servers.local.port, free])
    monkeypatch.setattr(starting, "_free_port", lambda: next(offered))
    with start_server("second") as server:
        assert server.port == free
        assert server.execute("SELECT @@port") == [(free,)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_process_that_started_a_server_is_killed_nothing_is_left(number: signal.Signals) -> None:
    process, described = start_elsewhere("time.sleep(600)")
    assert is_listening(described["port"])
    process.send_signal(number)
    process.wait()
    assert eventually(lambda: not is_listening(described["port"]))
    assert eventually(lambda: process_mark(described["pid"]) is None)
    assert eventually(lambda: not Path(described["folder"]).exists())


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise RuntimeError('on purpose')"])
def test_when_the_process_that_started_a_server_ends_nothing_is_left(ending: str) -> None:
    process, described = start_elsewhere(ending)
    assert process.wait() in {1, 3}
    assert not is_listening(described["port"])
    assert not Path(described["folder"]).exists()


def test_a_forked_child_that_ends_leaves_the_server_running(own: SandboxServer) -> None:
    child = os.fork()
    if child == 0:
        # What a child does at its end, but for the rest of the test run.
        from djlink_manifest.sandbox.servers import server as module

        module._stop_all()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert own.execute("SELECT 1") == [(1,)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_when_the_guard_itself_is_killed_the_server_ends() -> None:
    with start_server("unguarded") as server:
        os.kill(server.pid, signal.SIGKILL)
        assert eventually(lambda: not is_listening(server.port))


def test_a_kept_server_outlives_its_process_until_it_is_told_to_end() -> None:
    process, described = start_elsewhere("server.keep()")
    assert process.wait() == 0
    time.sleep(1)  # Longer than the guard takes to see that its owner is gone.
    kept = SandboxServer.attach(described)
    assert kept.running
    assert kept.execute("SELECT 1") == [(1,)]
    os.kill(kept.pid, signal.SIGTERM)
    assert eventually(lambda: not kept.running)
    assert not is_listening(kept.port)
    assert eventually(lambda: not kept.folder.exists())


def test_an_attached_server_can_be_stopped_but_not_restarted() -> None:
    with start_server("attached") as server:
        attached = SandboxServer.attach(server.describe())
        with pytest.raises(SandboxError, match="restarted only by the process that started it"):
            attached.restart()
        assert server.execute("SELECT 1") == [(1,)]
        attached.stop()
        assert not server.running


def test_a_password_is_not_shown(own: SandboxServer) -> None:
    assert own.root_password not in repr(own)


def test_asked_for_tls_is_refused_by_a_server_without_it(servers: Servers) -> None:
    server = servers.lab_a
    assert server.ca_path is None
    assert error_of(lambda: server.connect(ssl_verify_cert=True)) == NO_TLS_ON_SERVER
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone() == ("Ssl_cipher", "")


def test_a_tls_server_is_verified_by_its_own_authority_alone() -> None:
    wanted = {
        "one": ServerOptions(tls=True, extra=("--require-secure-transport=ON",)),
        "two": ServerOptions(tls=True),
    }
    with running_servers(wanted) as pair:
        one, two = pair["one"], pair["two"]
        assert one.execute("SHOW SESSION STATUS LIKE 'Ssl_version'") == [("Ssl_version", "TLSv1.3")]
        with one.connect(ssl_ca=str(one.ca_path), ssl_verify_identity=True) as connection:
            connection.ping()
        stranger = str(two.ca_path)
        assert error_of(lambda: one.connect(ssl_ca=stranger, ssl_verify_identity=True)) == BAD_TLS
        assert error_of(lambda: one.connect(ssl_disabled=True)) == PLAIN_REFUSED


def test_a_second_server_is_copied_from_the_same_template() -> None:
    binary = find_server()
    template = datadir_template(binary)
    before = template.stat()
    told: list[str] = []
    with start_server("copied", report=told.append) as server:
        assert server.execute("SELECT COUNT(*) FROM mysql.user WHERE user = 'root'") == [(1,)]
        server.execute("CREATE DATABASE lab")
        assert (server.datadir / "lab").is_dir()
    assert told == []
    assert datadir_template(binary) == template
    assert (template.stat().st_ino, template.stat().st_mtime) == (before.st_ino, before.st_mtime)
    assert not (template / "lab").exists()


def test_mariadb_is_started_as_well_and_has_no_anonymous_account() -> None:
    with start_server("maria", ServerOptions("mariadb", tls=True)) as server:
        assert server.vendor == "mariadb"
        assert "MariaDB" in server.execute("SELECT VERSION()")[0][0]
        assert server.execute("SELECT user, host FROM mysql.user WHERE user IN ('', 'root')") == [
            ("root", "localhost")
        ]
        assert server.execute("SHOW SESSION STATUS LIKE 'Ssl_version'") == [("Ssl_version", "TLSv1.3")]
        server.execute("CREATE DATABASE lab_a")
        create_link_user(server, "link", LINK_PASSWORD, ["lab_a"], "outbound")
        with server.connect("link", LINK_PASSWORD) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT CURRENT_USER()")
            assert cursor.fetchone() == ("link@%",)


@pytest.fixture
def source(servers: Servers, names: Names) -> str:
    """A source schema with one table of one row, and an account that may link to it."""
    schema = names("lab")
    servers.lab_a.execute(f"CREATE DATABASE {schema}")
    servers.lab_a.execute(f"CREATE TABLE {schema}.subject (id INT PRIMARY KEY)")
    servers.lab_a.execute(f"INSERT INTO {schema}.subject VALUES (1), (2)")
    create_link_user(servers.lab_a, names("link"), LINK_PASSWORD, [schema], names("outbound"))
    return schema


def test_a_link_user_reads_the_source_and_cannot_write_to_it(
    servers: Servers, names: Names, source: str
) -> None:
    with servers.lab_a.connect(names("link"), LINK_PASSWORD) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {source}.subject")
        assert cursor.fetchone() == (2,)
        for statement in (
            f"INSERT INTO {source}.subject VALUES (3)",
            f"UPDATE {source}.subject SET id = 3",
            f"DELETE FROM {source}.subject",
            f"DROP TABLE {source}.subject",
            f"ALTER TABLE {source}.subject ADD note INT",
            f"CREATE TABLE {source}.other (id INT)",
            f"CREATE INDEX quick ON {source}.subject (id)",
            f"SELECT id FROM {source}.subject FOR UPDATE",
            f"TRUNCATE {source}.subject",
        ):
            assert refusal(cursor, statement) == DENIED, statement
        assert refusal(cursor, f"CREATE DATABASE {names('more')}") == DATABASE_DENIED
        assert refusal(cursor, "SET GLOBAL max_connections = 10") == GLOBAL_DENIED
    assert servers.lab_a.execute(f"SELECT COUNT(*) FROM {source}.subject") == [(2,)]


def test_a_link_user_protects_rows_from_the_owner_by_a_foreign_key(
    servers: Servers, names: Names, source: str
) -> None:
    outbound = names("outbound")
    create_owner(servers.lab_a, names("owner"), "secret", [source])
    with servers.lab_a.connect(names("link"), LINK_PASSWORD, outbound) as link, link.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE subject (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES {source}.subject (id))"
        )
        cursor.execute(f"INSERT INTO subject SELECT id FROM {source}.subject WHERE id = 1")
    with servers.lab_a.connect(names("owner"), "secret") as owner, owner.cursor() as cursor:
        cursor.execute(f"DELETE FROM {source}.subject WHERE id = 2")
        held = refusal(cursor, f"DELETE FROM {source}.subject WHERE id = 1")
        assert held in FOREIGN_KEY_HOLDS
        assert refusal(cursor, f"DELETE FROM {outbound}.subject") == DENIED
        assert refusal(cursor, f"SELECT * FROM {outbound}.subject") == DENIED


def test_an_owner_writes_to_the_views_of_what_is_held_and_no_further(
    servers: Servers, names: Names, source: str
) -> None:
    views = names("outbound_owner")
    create_owner(servers.lab_a, names("owner"), "secret", [source], owner_schema=views)
    servers.lab_a.execute(f"CREATE TABLE {views}.requests (id INT PRIMARY KEY)")
    with servers.lab_a.connect(names("owner"), "secret", views) as owner, owner.cursor() as cursor:
        cursor.execute("INSERT INTO requests VALUES (1)")
        cursor.execute("DELETE FROM requests")
        assert refusal(cursor, "UPDATE requests SET id = 2") == DENIED
        assert refusal(cursor, "DROP TABLE requests") == DENIED


def test_rights_on_a_schema_do_not_reach_one_of_a_similar_name(
    servers: Servers, names: Names, source: str
) -> None:
    # Names that the patterns would match if `_` were a wildcard in them.
    similar = source.replace("_", "x")
    servers.lab_a.execute(f"CREATE DATABASE {similar}")
    try:
        create_local_user(servers.lab_a, names("local"), "secret", [names.pattern])
        for user, password in ((names("link"), LINK_PASSWORD), (names("local"), "secret")):
            with servers.lab_a.connect(user, password) as connection, connection.cursor() as cursor:
                assert refusal(cursor, f"USE {similar}") == DATABASE_DENIED
    finally:
        servers.lab_a.execute(f"DROP DATABASE {similar}")


def test_a_local_user_makes_schemas_that_meet_its_pattern_and_no_others(
    servers: Servers, names: Names
) -> None:
    create_local_user(servers.local, names("local"), "secret", [names.pattern])
    with servers.local.connect(names("local"), "secret") as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {names('ours')}")
        cursor.execute(f"CREATE TABLE {names('ours')}.session (id INT PRIMARY KEY)")
        outside = names("x").replace("_", "x")
        assert refusal(cursor, f"CREATE DATABASE {outside}") == DATABASE_DENIED
