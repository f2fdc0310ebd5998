"""Servers that are killed, restarted, full, read-only or out of sessions, and sources that move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from djlink_manifest.errors import Unreachable
from djlink_manifest.reconcile.apply import scheduler as applying
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.events import Advanced, Event, Message
from djlink_manifest.sandbox import SandboxServer, ServerOptions, running_servers, start_server
from djlink_manifest.servers.session import login
from tests.support.faults.pipeline import ENTITIES, Faulty, ends, failure, faulty, later, wait_for
from tests.support.invariants.protection import check_whole
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE, Servers
from tests.support.statements import Statement, watched

both_vendors = pytest.mark.parametrize("own", ["mysql", "mariadb"], indirect=True)
SMALL = ("--innodb-data-file-path=ibdata1:12M:autoextend:max:20M", "--innodb-file-per-table=0")


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, dict[str, SandboxServer]]]:
    """Servers of each vendor that this module's tests may kill and set: `lab_a` and `local`."""
    names = ("lab_a", "local")
    with (
        running_servers(dict.fromkeys(names, ServerOptions("mysql"))) as mysql,
        running_servers(dict.fromkeys(names, ServerOptions("mariadb"))) as mariadb,
    ):
        yield {"mysql": mysql, "mariadb": mariadb}


@pytest.fixture
def own(
    request: pytest.FixtureRequest,
    started: dict[str, dict[str, SandboxServer]],
    servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Faulty]:
    """The pipeline on servers of the test's own; the second source is a shared one."""
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 2)
    own = started[request.param]
    with faulty(Servers(own["lab_a"], servers.lab_b, own["local"]), tmp_path) as found:
        yield found


@pytest.fixture
def lab(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """The pipeline on the shared servers."""
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 2)
    with faulty(servers, tmp_path) as found:
        yield found


def at_entities(table: str, entities: int, do: Callable[[], Any]) -> Callable[[Event], None]:
    """A listener that does something once, when so many entities of a table are committed."""
    done = list[Event]()

    def listener(event: Event) -> None:
        if done or not isinstance(event, Advanced) or not event.address.endswith(f".{table}"):
            return
        if event.entities >= entities:
            done.append(event)
            do()

    return listener


@both_vendors
@pytest.mark.parametrize("server", ["lab_a", "local"])
def test_a_server_killed_and_restarted_in_the_middle_is_waited_for(own: Faulty, server: str) -> None:
    killed = own.rig.server(server)

    def kill() -> None:
        killed.kill()
        restarting.append(later(0.2, killed.restart))

    restarting = list[threading.Thread]()
    _, report = own.apply(at_entities("Session", 4, kill))
    [restart] = restarting
    restart.join()
    assert report.succeeded, report.outcomes
    own.check_finished()


@both_vendors
def test_a_source_that_stays_down_fails_its_links_alone_and_the_next_run_goes_on(
    own: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "AGAIN", replace(applying.AGAIN, tries=2))
    killed = own.rig.servers.lab_a
    _, report = own.apply(at_entities("Subject", 2, killed.kill))
    try:
        assert ends(report) == {"Note": "done", "Subject": "failed", "Scan": "done", "Session": "skipped"}
        assert "cannot be reached" in str(failure(report).problem)
        assert "that it is running" in str(failure(report).hint)
        plan = own.rig.plan(own.document)  # while it is down
        assert [s.name for s in plan.sources if s.problem] == ["lab_a"]
    finally:
        killed.restart()
    own.finish()


def test_a_full_tablespace_fails_what_does_not_fit_and_goes_on_when_there_is_room(
    servers: Servers, tmp_path: Path
) -> None:
    """All tables of the local server share a space that may grow to 20 MB, which is filled beforehand."""
    options = ServerOptions(extra=SMALL)
    with (
        start_server("small", options) as small,
        faulty(Servers(servers.lab_a, servers.lab_b, small), tmp_path) as lab,
        small.connect() as root,
        root.cursor() as cursor,
    ):
        lab.make_tables()
        cursor.execute(f"CREATE DATABASE `{lab.rig.names('full')}`")
        full = f"`{lab.rig.names('full')}`.t"
        cursor.execute(f"CREATE TABLE {full} (id int AUTO_INCREMENT PRIMARY KEY, b longblob)")
        with pytest.raises(pymysql.MySQLError, match="is full"):
            cursor.executemany(f"INSERT INTO {full} (b) VALUES (REPEAT('x', %s))", [(200_000,)] * 200)
        _, report = lab.apply()
        assert ends(report) == {"Note": "done", "Subject": "done", "Scan": "done", "Session": "failed"}
        assert "is full" in str(failure(report).problem)
        assert "free space" in str(failure(report).hint)
        check_whole(lab.rig, lab.links())
        cursor.execute(f"DROP TABLE {full}")
        wait_for(lambda: lab.apply()[1].succeeded)  # the room comes free in the background
        lab.check_finished()


@both_vendors
@pytest.mark.parametrize("server", ["lab_a", "local"])
def test_a_read_only_server_blocks_what_is_to_be_written_there_and_nothing_else(
    own: Faulty, server: str
) -> None:
    own.make_tables()
    own.rig.run(server, "SET GLOBAL read_only = 1")
    try:
        plan, report = own.apply()
        blocked = {p.address.rpartition(".")[2]: p.blocked[0] for p in plan.links if p.blocked}
        written = {"Note", "Subject", "Session"} | ({"Scan"} if server == "local" else set())
        assert blocked.keys() == written
        told = blocked["Subject"]
        assert told.reason.startswith(f"{server}: read_only: ON: the server rejects writes; ")
        assert "primary server" in str(told.hint)
        assert ends(report) == dict.fromkeys({"Scan"} - written, "done")
    finally:
        own.rig.run(server, "SET GLOBAL read_only = 0")
    own.finish()
    own.rig.run(server, "SET GLOBAL read_only = 1")
    try:
        assert not own.rig.plan(own.document).has_errors, "nothing is to be written"
    finally:
        own.rig.run(server, "SET GLOBAL read_only = 0")


@pytest.mark.parametrize("own", ["mysql"], indirect=True)
@pytest.mark.parametrize("server", ["lab_a", "local"])
def test_a_server_that_becomes_read_only_after_the_plan_is_told(own: Faulty, server: str) -> None:
    own.make_tables()
    with own.rig.job(own.document) as job:
        plan = job.plan()
        own.rig.run(server, "SET GLOBAL read_only = 1")
        try:
            report = job.apply(plan, lambda event: None, threading.Event())
        finally:
            own.rig.run(server, "SET GLOBAL read_only = 0")
    assert ("Scan", "done") in ends(report).items() if server == "lab_a" else not report.succeeded
    for outcome in (o for o in report.outcomes if o.status == "failed"):
        assert f"{server}: the server is read-only" in str(outcome.problem)
        assert "name the primary server" in str(outcome.hint)
    own.finish()


def limit(rig: Rig, server: str, user: str, sessions: int) -> None:
    rig.run(server, f"ALTER USER '{rig.names(user)}'@'%' WITH MAX_USER_CONNECTIONS {sessions}")


def test_links_wait_for_sessions_that_the_server_has_not_to_spare(lab: Faulty) -> None:
    """Four links at once ask for more than the account may have: they come one after the other."""
    lab.make_tables()
    for letter in "abc":
        lab.rig.run("lab_b", f"CREATE TABLE {{lab}}.{letter} (k int PRIMARY KEY)")
        lab.rig.run("lab_b", f"INSERT INTO {{lab}}.{letter} VALUES (1), (2), (3), (4)")
    wait_for(lambda: not lab.rig.own_sessions("lab_b"))  # those of what went before
    with lab.rig.job(lab.document, parallelism=4) as job:
        plan = job.plan()
        # one for the locks and one to work with: a first limit counts the sessions that come after it
        limit(lab.rig, "lab_b", "link", 2)
        with lab.rig.servers.lab_b.connect() as owner, owner.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            for letter in "abc":  # whoever has the session waits until another has asked for one
                cursor.execute(lab.rig.sql(f"SELECT * FROM {{lab}}.{letter} FOR UPDATE"))
            told = list[str]()

            def listener(event: Event) -> None:
                if isinstance(event, Message):
                    told.append(event.words)
                    owner.rollback()

            report = job.apply(plan, listener, threading.Event())
    assert report.succeeded, report.outcomes
    assert any("accepts no further session" in words for words in told), told


@pytest.mark.parametrize("server", ["lab_b", "local"])
def test_a_server_without_a_session_to_spare_is_told_and_the_other_sources_are_done(
    lab: Faulty, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "AGAIN", replace(applying.AGAIN, tries=2))
    user = "lab" if server == "local" else "link"
    with lab.rig.job(lab.document, parallelism=1) as job:
        plan = job.plan()
        now = sum(each == lab.rig.names(user) for each in lab.rig.sessions(server).values())
        limit(lab.rig, server, user, now)
        report = job.apply(plan, lambda event: None, threading.Event())
    done = {"Subject", "Note", "Session"} if server == "lab_b" else set()
    assert {name for name, end in ends(report).items() if end == "done"} == done
    failed = [o for o in report.outcomes if o.status == "failed"]
    assert all("accepts no further session" in str(o.problem) for o in failed)
    assert all("--parallelism" in str(o.hint) for o in failed)
    limit(lab.rig, server, user, 1)
    with (
        lab.rig.server(server).connect(lab.rig.names(user), PASSWORD),
        pytest.raises(Unreachable, match="accepts no further session")
        if server == "local"
        else nullcontext(),
    ):
        [lab_b] = [s for s in lab.rig.plan(lab.document).sources if s.name == "lab_b"]
        assert "accepts no further session" in str(lab_b.problem)
    limit(lab.rig, server, user, 0)
    lab.finish()


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_source_that_changes_while_it_is_copied_gives_whole_entities_of_one_moment(lab: Faulty) -> None:
    """Between the statements of each batch rows are inserted, changed and deleted at the source."""
    lab.make_tables()
    lab.rig.run("lab_a", "UPDATE {lab}.session__trial SET data = '0'")
    changes = iter(range(1, 1000))

    def change(statement: Statement) -> None:
        number = next(changes)
        for each in (
            f"UPDATE {{lab}}.session SET id = 1 + {number} % 4",
            f"UPDATE {{lab}}.session__trial SET data = '{number}'",
            f"INSERT INTO {{lab}}.session__trial SELECT s, 1000 + {number}, '{number}' FROM {{lab}}.session",
            f"DELETE FROM {{lab}}.session__trial WHERE n BETWEEN 1000 AND {998 + number}",
            f"INSERT INTO {{lab}}.session VALUES ({100 + number}, 1)",
            f"INSERT INTO {{lab}}.session__trial VALUES ({100 + number}, 1, '{number}')",
        ):
            lab.rig.run("lab_a", each)

    port = lab.rig.servers.lab_a.port

    def hook(statement: Statement) -> None:
        if statement.port == port and statement.begins("SELECT STRAIGHT_JOIN"):
            change(statement)

    with watched(hook, prefix=lab.rig.names("")):
        _, report = lab.apply()
    assert report.succeeded, report.outcomes
    moments = lab.rig.run(
        "local",
        f"SELECT s.s, s.id, CAST(t.data AS SIGNED) FROM `{lab.local}`.session s"
        f" JOIN `{lab.local}`.session__trial t ON t.s = s.s WHERE s.s < 100 ORDER BY t.n",
    )
    assert {session for session, _, _ in moments} == set(range(1, 9))
    for session in range(1, 9):
        [(subject, number)] = {(id, number) for s, id, number in moments if s == session}
        assert subject == 1 + number % 4  # the master row is of the same moment as its parts
    _, report = lab.apply()
    assert report.succeeded
    assert not lab.rig.plan(lab.document).has_changes


def test_a_source_row_deleted_after_the_plan_is_left_out(lab: Faulty) -> None:
    with lab.rig.job(lab.document) as job:
        plan = job.plan()
        lab.rig.run("lab_a", "DELETE FROM {lab}.session__trial WHERE s = 8")
        lab.rig.run("lab_a", "DELETE FROM {lab}.session WHERE s = 8")
        report = job.apply(plan, lambda event: None, threading.Event())
    assert report.succeeded, report.outcomes
    assert check_whole(lab.rig, lab.links()) == ENTITIES - 1
    assert not lab.rig.plan(lab.document).has_changes


def test_a_metadata_lock_on_the_local_table_is_waited_for_and_told(
    lab: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab's long query on its own parent table: the DDL of the link below gives way."""
    monkeypatch.setattr(batches, "IN_USE", replace(batches.IN_USE, tries=2))
    only = lab.rig.document({"lab_a": {"lab": {"tables": ["Subject"]}}})
    assert lab.rig.apply(only)[1].succeeded
    with lab.rig.servers.local.connect() as reader, reader.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT * FROM `{lab.local}`.subject")
        started = time.monotonic()
        _, report = lab.apply()
        assert time.monotonic() - started < 30
    assert ends(report) == {"Note": "done", "Scan": "done", "Session": "failed"}
    assert "in use" in str(failure(report).problem)
    assert "SHOW PROCESSLIST" in str(failure(report).hint)
    lab.finish()


def rows_locked(lab: Faulty, cursor: Any) -> None:
    cursor.execute("START TRANSACTION")
    cursor.execute(lab.rig.sql("SELECT * FROM {lab}.subject FOR UPDATE"))


def test_rows_that_the_source_keeps_locked_fail_their_link_alone_with_what_to_look_for(
    lab: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.make_tables()
    brief = (*login.SETTINGS, "innodb_lock_wait_timeout = 1")
    monkeypatch.setattr(login, "SETTINGS", brief)
    monkeypatch.setattr(batches, "AGAIN", replace(batches.AGAIN, tries=2))
    with lab.rig.servers.lab_a.connect() as owner, owner.cursor() as cursor:
        rows_locked(lab, cursor)
        _, report = lab.apply()
    assert ends(report) == {"Note": "done", "Subject": "failed", "Scan": "done", "Session": "skipped"}
    assert "Lock wait timeout" in str(failure(report).problem)
    assert "long transactions" in str(failure(report).hint)
    lab.finish()
