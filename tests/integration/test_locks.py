"""Two applies at once, lost sessions, lost locks, deadlocks: nothing is half done, nothing done twice."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from pymysql.constants.COMMAND import COM_QUERY

import djlink_manifest
from djlink_manifest.errors import LinkLocked
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.naming import Side, lock_name
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.events import Advanced, Event, LinkStarted, Message, Report
from djlink_manifest.servers.session import login
from tests.support.invariants.protection import check_whole
from tests.support.notebooks import Notebook, notebook
from tests.support.rig import PASSWORD, Rig, quiet
from tests.support.servers import ALIKE
from tests.support.statements import LOAD, Statement, kill, once, watched

__all__ = ["notebook"]

SESSIONS = 12
PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, species varchar(10) NOT NULL)",
    "CREATE TABLE {lab}.session (id int, n int, PRIMARY KEY (id, n),"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (id int, n int, trial smallint, data longblob,"
    " PRIMARY KEY (id, n, trial), FOREIGN KEY (id, n) REFERENCES {lab}.session (id, n))",
    "INSERT INTO {lab}.subject VALUES (1, 'mouse'), (2, 'rat'), (3, 'mouse')",
    "INSERT INTO {lab}.session SELECT id, n FROM {lab}.subject,"
    " (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) numbers",
    "INSERT INTO {lab}.session__trial SELECT id, n, t, UNHEX('00275C0AFF') FROM {lab}.session,"
    " (SELECT 1 AS t UNION SELECT 2) numbers",
)


@pytest.fixture
def pipeline(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A small pipeline, pulled in batches of two entities."""
    for statement in PIPELINE:
        rig.run("lab_a", statement)
    rig.accounts({"lab_a": ["lab"]})
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 2)
    return rig


def everything(rig: Rig) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": "*"}}})


def links_of(rig: Rig) -> tuple[Link, ...]:
    with rig.job(everything(rig)) as job:
        return job.links


def check_finished(rig: Rig) -> None:
    """All is pulled, whole, and nothing is left to do."""
    assert check_whole(rig, links_of(rig)) == 3 + SESSIONS
    again = rig.plan(everything(rig))
    assert not again.has_changes
    assert not again.has_errors


class Gate:
    """A listener that holds an apply up at an event until it is let go."""

    def __init__(self, at: Callable[[Event], bool]) -> None:
        self.at = at
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, event: Event) -> None:
        if self.at(event) and not self.open.is_set():
            self.reached.set()
            assert self.open.wait(60)


@contextmanager
def held_up(rig: Rig, manifest: dict[str, Any], at: Callable[[Event], bool]) -> Iterator[list[Report]]:
    """An apply in a thread of its own that waits at an event until the block ends; then it reports."""
    gate, reports = Gate(at), list[Report]()
    thread = threading.Thread(target=lambda: reports.append(rig.apply(manifest, gate)[1]))
    thread.start()
    try:
        assert gate.reached.wait(60)
        yield reports
    finally:
        gate.open.set()
        thread.join(60)


def is_second_batch(event: Event) -> bool:
    return isinstance(event, Advanced) and event.entities >= 4


@pytest.mark.parametrize("first_ever", [True, False])
def test_a_second_apply_fails_at_once_and_says_who_holds_the_lock_and_since_when(
    pipeline: Rig, first_ever: bool
) -> None:
    if not first_ever:
        pipeline.apply(pipeline.document({"lab_a": {"lab": {"tables": ["Session", "Subject"]}}}))
        local_schema = pipeline.local_schema("lab_a", "lab")
        pipeline.servers.local.execute(f"DELETE FROM `{local_schema}`.session__trial")
        pipeline.servers.local.execute(f"DELETE FROM `{local_schema}`.session")
        pipeline.servers.local.execute(f"DELETE FROM `{local_schema}`.subject")
    at = (lambda e: isinstance(e, LinkStarted)) if first_ever else is_second_batch
    with held_up(pipeline, everything(pipeline), at) as reports:
        before = time.monotonic()
        with pytest.raises(LinkLocked, match=r"another djlink works on this link: .+since .+") as raised:
            pipeline.apply(everything(pipeline))
        assert time.monotonic() - before < 10
        who = pipeline.names("link") if first_ever else f"(process {os.getpid()}"
        assert who in raised.value.message
        # the first that its plan has something to do for; of the others the second djlink took none
        first = "Subject" if first_ever else "Session"
        assert raised.value.link == pipeline.address("lab_a", "lab", first)
    assert reports[0].succeeded
    check_finished(pipeline)


def test_of_two_first_applies_at_once_one_wins_and_the_other_fails_clean(pipeline: Rig) -> None:
    both_planned = threading.Barrier(2)

    def first_apply() -> Report | LinkLocked:
        with pipeline.job(everything(pipeline)) as job:
            plan = job.plan()
            assert plan.has_changes
            both_planned.wait(60)
            try:
                return job.apply(plan, quiet, threading.Event())
            except LinkLocked as error:
                return error

    with ThreadPoolExecutor(2) as threads:
        ends = [f.result() for f in [threads.submit(first_apply) for _ in range(2)]]
    reports = [end for end in ends if isinstance(end, Report)]
    assert any(report.succeeded for report in reports), ends
    for report in reports:
        # one that took the lock after the other had given it back finds its plan stale
        hints = {o.hint or "" for o in report.outcomes if o.status == "failed"}
        assert report.succeeded or hints == {"it was created after the plan was made: plan again"}, report
    check_finished(pipeline)


def test_a_plan_made_before_another_apply_ended_changes_nothing_and_says_so(pipeline: Rig) -> None:
    with pipeline.job(everything(pipeline)) as job:
        plan = job.plan()
        assert pipeline.apply(everything(pipeline))[1].succeeded
        report = job.apply(plan, quiet, threading.Event())
    assert [o.status for o in report.outcomes] == ["failed", "skipped"]
    assert "after the plan was made" in (report.outcomes[0].hint or "")
    check_finished(pipeline)


def test_two_manifests_with_different_links_do_not_disturb_each_other(pipeline: Rig) -> None:
    local_store = pipeline.document({"lab_a": {"lab": {"tables": ["Subject"]}}})
    source_store = pipeline.document({"lab_a": {"lab": {"tables": ["Session"]}}})
    source_store["name"] = pipeline.names("other")
    source_store["defaults"] = {"schema_name": pipeline.names("other_{schema}")}
    with held_up(pipeline, local_store, lambda e: isinstance(e, Advanced)) as reports:
        _, report = pipeline.apply(source_store)
        assert report.succeeded
        assert report.outcomes[0].counts.pulled == SESSIONS
    assert reports[0].succeeded
    assert not pipeline.plan(local_store).has_changes
    assert not pipeline.plan(source_store).has_changes


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize("kind", ["decorated", "of the manifest"])
def test_a_manifests_apply_and_a_pull_in_python_exclude_each_other(
    notebook: Notebook, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is second fails at once and says who works since when and from where."""
    rig, who = notebook.rig, f"@{socket.gethostname()} (process {os.getpid()}, since 2"
    monkeypatch.setenv("DJ_PASS", PASSWORD)
    document = rig.document({"lab_a": {"lab": {"tables": ["Subject", "Session"]}}})
    document["defaults"]["schema_name"] = notebook.local
    if kind == "decorated":
        document["name"] = "python"  # whose links all decorated classes are
        subject, session = notebook.link("Subject"), notebook.link("Session")
        assert subject().pull(display_progress=False).entities == 3
    else:
        assert rig.apply(document)[1].succeeded
        atlas = djlink_manifest.load(rig.folder / "djlink.yaml")
        session = atlas[rig.address("lab_a", "lab", "Session")]
        rig.servers.local.execute(f"DELETE FROM `{notebook.local}`.session__trial")
        rig.servers.local.execute(f"DELETE FROM `{notebook.local}`.session")
    # the manifest's apply is at work
    with held_up(rig, document, lambda e: isinstance(e, LinkStarted)) as reports:
        with pytest.raises(LinkLocked, match="another djlink works on this link") as caught:
            session().pull(display_progress=False)
        assert who in caught.value.message
        assert "its lock ends with it" in str(caught.value.hint)
    assert reports[0].succeeded
    assert len(session()) == 4
    # the pull in Python is at work
    rig.servers.local.execute(f"DELETE FROM `{notebook.local}`.session__trial")
    rig.servers.local.execute(f"DELETE FROM `{notebook.local}`.session")
    gate = Gate(lambda e: isinstance(e, LinkStarted))
    monkeypatch.setattr("djlink_manifest.api.runs._quiet", gate)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: session().pull(display_progress=False).entities)
        try:
            assert gate.reached.wait(60)
            with pytest.raises(LinkLocked, match="another djlink works on this link") as caught:
                rig.apply(document)
            assert who in caught.value.message
        finally:
            gate.open.set()
        assert running.result(60) == 4
    assert not rig.plan(document).has_changes


@pytest.mark.parametrize("server", ["lab_a", "local"])
def test_a_link_whose_lock_session_is_killed_takes_its_lock_again_before_it_goes_on(
    pipeline: Rig, server: str
) -> None:
    session, said = pipeline.address("lab_a", "lab", "Session"), list[str]()
    side: Side = "local" if server == "local" else "source"

    def end_the_lock(event: Event) -> None:
        if isinstance(event, Message):
            said.append(event.words)
        if isinstance(event, Advanced) and event.address == session and event.entities == 4:
            marks = f"`{pipeline.outbound}`.`~djlink`"
            for (link_id,) in pipeline.run("lab_a", f"SELECT link_id FROM {marks}"):
                holder = pipeline.run(server, f"SELECT IS_USED_LOCK('{lock_name(link_id, side)}')")[0][0]
                if holder is not None:
                    kill(pipeline, server, holder)

    _, report = pipeline.apply(everything(pipeline), end_the_lock)
    assert [words for words in said if "held the link's lock has ended; reconnecting" in words]
    assert [(o.status, o.counts.pulled) for o in report.outcomes] == [("done", 3), ("done", SESSIONS)]
    check_finished(pipeline)


LOSSES = {
    "while the outbound tables are made": ("lab_a", "CREATE TABLE `{outbound}`.`{lab}_session_deletion_appr"),
    "while the local tables are made": ("local", "CREATE TABLE `{local}`.`session__trial`"),
    "before a registration": ("lab_a", "INSERT INTO `{outbound}`.`{lab}_session`"),
    "before the source is read": ("lab_a", "SELECT STRAIGHT_JOIN"),
    "before the local rows are written": (
        "local",
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE `{local}`.`session`",
    ),
    "before the local part rows are written": (
        "local",
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE `{local}`.`session__trial`",
    ),
}


@pytest.mark.parametrize("when", LOSSES)
@pytest.mark.parametrize("whose", ["its", "all"])
def test_an_apply_survives_lost_working_sessions(
    pipeline: Rig, when: str, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, pattern = LOSSES[when]
    local_schema = pipeline.local_schema("lab_a", "lab")
    text = pattern.format(outbound=pipeline.outbound, lab=pipeline.names("lab"), local=local_schema)
    lock_sessions = set[int]()
    sent = list[Statement]()

    def end_sessions(statement: Statement) -> None:
        for name in ("lab_a", "local"):
            local = pipeline.server(name).port
            own = {s.session for s in sent if s.port == local} - lock_sessions
            if whose == "its":
                own = {statement.session} if local == statement.port else set()
            for each in own & pipeline.own_sessions(name):
                kill(pipeline, name, each)

    def note(statement: Statement) -> None:
        sent.append(statement)
        if statement.begins("SELECT GET_LOCK"):
            lock_sessions.add(statement.session)
        hook(statement)

    port = pipeline.server(server).port
    hook = once(lambda s: s.port == port and s.begins(text), end_sessions)
    said = list[str]()
    with watched(note, prefix=pipeline.names("")):
        _, report = pipeline.apply(
            everything(pipeline), lambda e: said.append(e.words) if isinstance(e, Message) else None
        )
    assert any("reconnecting" in words for words in said), said
    assert [(o.status, o.problem) for o in report.outcomes] == [("done", None)] * 2
    assert [o.counts.pulled for o in report.outcomes] == [3, SESSIONS]
    check_finished(pipeline)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(pipeline: Rig) -> None:
    """The session ends after the local server has committed and before djlink hears of it."""
    local_schema = pipeline.local_schema("lab_a", "lab")
    port = pipeline.servers.local.port
    armed = list[int]()

    def commit_and_kill(statement: Statement) -> None:
        if statement.port == port and statement.begins(f"{LOAD} `{local_schema}`.`session__trial`"):
            armed.append(statement.session)
        if armed and statement.session == armed[0] and statement.begins("COMMIT") and len(armed) < 100:
            armed.extend([0] * 100)
            statement.connection._execute_command(COM_QUERY, "COMMIT")
            statement.connection._read_query_result()
            kill(pipeline, "local", statement.session)

    with watched(commit_and_kill, prefix=pipeline.names("")):
        _, report = pipeline.apply(everything(pipeline))
    assert len(armed) > 100
    assert report.succeeded, report.outcomes
    check_finished(pipeline)


def test_a_lock_wait_on_the_local_table_is_tried_again(
    pipeline: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        login,
        "SETTINGS",
        (*login.SETTINGS, "innodb_lock_wait_timeout = 1"),
    )
    pipeline.apply(everything(pipeline))
    pipeline.run("lab_a", "INSERT INTO {lab}.subject VALUES (7, 'rat'), (8, 'rat'), (9, 'rat')")
    local_schema = pipeline.local_schema("lab_a", "lab")
    said = threading.Event()
    with pipeline.servers.local.connect() as lab, lab.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"INSERT INTO `{local_schema}`.subject VALUES (8, 'mine')")
        with ThreadPoolExecutor(1) as threads:
            applying = threads.submit(
                pipeline.apply,
                everything(pipeline),
                lambda e: said.set() if isinstance(e, Message) and "retrying" in e.words else None,
            )
            assert said.wait(30)
            lab.rollback()
            _, report = applying.result()
    assert report.succeeded, report.outcomes
    assert report.outcomes[0].counts.pulled == 3
    assert check_whole(pipeline, links_of(pipeline)) == 6 + SESSIONS


def test_a_deadlock_on_the_local_table_is_tried_again(pipeline: Rig) -> None:
    pipeline.apply(everything(pipeline))
    pipeline.run("lab_a", "INSERT INTO {lab}.subject VALUES (7, 'rat'), (8, 'rat'), (9, 'rat')")
    local_schema = pipeline.local_schema("lab_a", "lab")
    own = pipeline.names("own")
    pipeline.servers.local.execute(f"CREATE DATABASE `{own}`")
    pipeline.servers.local.execute(f"CREATE TABLE `{own}`.t (i int AUTO_INCREMENT PRIMARY KEY)")
    said, pending = list[str](), threading.Event()
    port = pipeline.servers.local.port
    hook = once(
        lambda s: s.port == port and s.begins(f"{LOAD} `{local_schema}`.`subject`"),
        lambda s: pending.set(),
    )
    with pipeline.servers.local.connect() as lab, lab.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        # the heavier transaction survives a deadlock
        cursor.execute(f"INSERT INTO `{own}`.t VALUES {', '.join(['(NULL)'] * 500)}")
        cursor.execute(f"INSERT INTO `{local_schema}`.subject VALUES (8, 'mine')")
        with ThreadPoolExecutor(1) as threads, watched(hook, prefix=pipeline.names("")):
            applying = threads.submit(
                pipeline.apply,
                everything(pipeline),
                lambda e: said.append(e.words) if isinstance(e, Message) else None,
            )
            assert pending.wait(30)
            time.sleep(0.5)  # 7 is written, and 8 waited for
            cursor.execute(f"INSERT INTO `{local_schema}`.subject VALUES (7, 'mine')")
            lab.rollback()
            _, report = applying.result()
    assert any("Deadlock" in words for words in said), said
    assert report.succeeded, report.outcomes
    assert check_whole(pipeline, links_of(pipeline)) == 6 + SESSIONS


def test_forty_first_links_of_one_schema_do_not_deadlock_over_their_marks(rig: Rig) -> None:
    rig.run("lab_a", "CREATE DATABASE {lab}")
    with rig.servers.lab_a.connect() as connection, connection.cursor() as cursor:
        for number in range(40):
            cursor.execute(rig.sql(f"CREATE TABLE {{lab}}.t{number} (id int PRIMARY KEY)"))
    rig.accounts({"lab_a": ["lab"]})
    said = list[str]()
    _, report = rig.apply(
        everything(rig), lambda e: said.append(e.words) if isinstance(e, Message) else None, parallelism=8
    )
    assert report.succeeded, [o for o in report.outcomes if o.status != "done"]
    assert not rig.plan(everything(rig)).has_changes


def test_when_all_sessions_are_lost_at_once_one_new_beginning_suffices(rig: Rig) -> None:
    """A wave of four links leaves four idle sessions a server, none of which is tried in the next wave."""
    rig.run("lab_a", "CREATE DATABASE {lab}")
    for letter in "abcd":
        rig.run("lab_a", f"CREATE TABLE {{lab}}.{letter} (k int PRIMARY KEY)")
        rig.run("lab_a", f"INSERT INTO {{lab}}.{letter} VALUES (1)")
    parents = ", ".join(f"FOREIGN KEY (k) REFERENCES {{lab}}.{letter} (k)" for letter in "abcd")
    rig.run("lab_a", f"CREATE TABLE {{lab}}.below (k int PRIMARY KEY, {parents})")
    rig.run("lab_a", "INSERT INTO {lab}.below VALUES (1)")
    rig.accounts({"lab_a": ["lab"]})
    said, lock_sessions = list[str](), set[tuple[int, int]]()

    def tell(event: Event) -> None:
        if isinstance(event, Message):
            said.append(event.words)
        if isinstance(event, LinkStarted) and event.address == rig.address("lab_a", "lab", "Below"):
            for name in ("lab_a", "local"):
                port = rig.server(name).port
                for each in rig.own_sessions(name):
                    if (port, each) not in lock_sessions:
                        kill(rig, name, each)

    def note(statement: Statement) -> None:
        if statement.begins("SELECT GET_LOCK"):
            lock_sessions.add((statement.port, statement.session))

    with rig.job(everything(rig), parallelism=4) as job, watched(note, prefix=rig.names("")):
        plan = job.plan()
        report = job.apply(plan, tell, threading.Event())
    assert report.succeeded, report.outcomes
    assert len(said) == 1, said
