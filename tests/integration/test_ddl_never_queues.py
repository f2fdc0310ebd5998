"""djlink beside a source in use: its DDL gives way, its registrations hold up no insert."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.events import Message, Report
from tests.support.rig import Rig
from tests.support.statements import Statement, once, watched

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, note varchar(10), UNIQUE KEY (note))",
    "CREATE TABLE {lab}.subject__dose (id int, n int, PRIMARY KEY (id, n),"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "INSERT INTO {lab}.subject VALUES (10, 'a'), (20, 'b'), (30, NULL)",
    "INSERT INTO {lab}.subject__dose SELECT id, 1 FROM {lab}.subject",
)


@pytest.fixture
def pipeline(rig: Rig) -> Rig:
    for statement in PIPELINE:
        rig.run("lab_a", statement)
    rig.accounts({"lab_a": ["lab"]})
    return rig


def everything(rig: Rig) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": "*"}}})


def pulled(rig: Rig) -> list[int]:
    local_schema = rig.local_schema("lab_a", "lab")
    return [
        row[0] for row in rig.servers.local.execute(f"SELECT id FROM `{local_schema}`.subject ORDER BY id")
    ]


@contextmanager
def owner_of(rig: Rig) -> Iterator[Any]:
    """A session of the source's own in an open transaction, which waits a second for a lock at most."""
    with rig.servers.lab_a.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1")
        cursor.execute("START TRANSACTION")

        def run(text: str) -> None:
            cursor.execute(rig.sql(text))

        run.commit = connection.commit  # type: ignore[attr-defined]  # a function with the transaction's end
        yield run


@contextmanager
def probed(rig: Rig) -> Iterator[list[float]]:
    """How many seconds each of the source's own queries took, one behind the other, during the block."""
    seconds, end = list[float](), threading.Event()

    def probe() -> None:
        with rig.servers.lab_a.connect() as connection, connection.cursor() as cursor:
            while not end.is_set():
                started = time.monotonic()
                cursor.execute(rig.sql("SELECT COUNT(*) FROM {lab}.subject"))
                cursor.fetchall()
                connection.commit()  # else this session, too, would keep the table in use
                seconds.append(time.monotonic() - started)
                time.sleep(0.02)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield seconds
    finally:
        end.set()
        thread.join(60)


def test_ddl_on_a_table_in_use_gives_way_and_the_next_apply_succeeds(
    pipeline: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "IN_USE", replace(batches.IN_USE, tries=2))
    said = list[str]()
    with owner_of(pipeline) as owner:
        owner("SELECT * FROM {lab}.subject")
        started = time.monotonic()
        with probed(pipeline) as seconds:
            _, report = pipeline.apply(
                everything(pipeline), lambda e: said.append(e.words) if isinstance(e, Message) else None
            )
        assert time.monotonic() - started < 15  # two tries of three seconds, and a pause between them
    (outcome,) = report.outcomes
    assert (outcome.status, outcome.counts.pulled) == ("failed", 0)
    assert "in use" in (outcome.problem or "")
    assert "SHOW PROCESSLIST" in (outcome.hint or "")
    assert ["in use" in words for words in said] == [True]
    # a query that came behind the waiting DDL went on when that gave up; the others never waited
    assert max(seconds) < 5
    assert sum(each > 0.5 for each in seconds) <= 2
    _, report = pipeline.apply(everything(pipeline))
    assert report.succeeded
    assert pulled(pipeline) == [10, 20, 30]


def test_ddl_is_tried_again_and_succeeds_where_the_table_comes_free(pipeline: Rig) -> None:
    waited = threading.Event()
    with owner_of(pipeline) as owner, ThreadPoolExecutor(1) as threads:
        owner("SELECT * FROM {lab}.subject")
        applying = threads.submit(
            pipeline.apply, everything(pipeline), lambda e: waited.set() if isinstance(e, Message) else None
        )
        assert waited.wait(30)
        owner.commit()
        _, report = applying.result()
    assert report.succeeded
    assert pulled(pipeline) == [10, 20, 30]


def test_a_local_schema_that_another_apply_made_meanwhile_is_used_while_that_one_writes(
    pipeline: Rig,
) -> None:
    schema = pipeline.local_schema("lab_a", "lab")
    with pipeline.job(everything(pipeline)) as job, pipeline.servers.local.connect() as other:
        plan = job.plan()
        with other.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{schema}`")
            cursor.execute(f"CREATE TABLE `{schema}`.other (id int PRIMARY KEY)")
            cursor.execute("START TRANSACTION")
            # as a batch does; MySQL lets nobody make that schema, IF NOT EXISTS too, until it ends
            cursor.execute(f"INSERT INTO `{schema}`.other VALUES (1)")
            report = job.apply(plan, lambda event: None, threading.Event())
    assert report.succeeded, report.outcomes
    assert pulled(pipeline) == [10, 20, 30]


def test_an_open_registration_holds_up_none_of_the_sources_inserts(pipeline: Rig) -> None:
    """Before, between and behind the registered keys, below registered rows, and in the unique index."""
    # with a reference from the part, a registration reads the part rows of each entity
    pipeline.run("lab_a", "CREATE TABLE {lab}.drug (d int PRIMARY KEY)")
    alter = "ALTER TABLE {lab}.subject__dose ADD d int, ADD FOREIGN KEY (d) REFERENCES {lab}.drug (d)"
    pipeline.run("lab_a", alter)
    registered = f"INSERT INTO `{pipeline.outbound}`.`{pipeline.names('lab')}_subject`"
    sessions = list[int]()

    def insert(statement: Statement) -> None:
        with owner_of(pipeline) as owner:
            owner("INSERT INTO {lab}.subject VALUES (5, 'aa'), (15, 'ab'), (25, NULL), (35, 'z')")
            owner("INSERT INTO {lab}.subject__dose VALUES (10, 2, NULL), (15, 1, NULL), (30, 0, NULL)")
            owner("UPDATE {lab}.subject__dose SET n = 9 WHERE id = 20")
            owner.commit()

    def commits(statement: Statement) -> bool:
        if statement.begins(registered):
            sessions.append(statement.session)
        return statement.session in sessions and statement.begins("COMMIT")

    with watched(once(commits, insert), prefix=pipeline.names("")):
        _, report = pipeline.apply(everything(pipeline))
    assert sessions
    assert report.succeeded, report.outcomes
    assert pulled(pipeline) == [10, 20, 30]
    assert pipeline.run("lab_a", "SELECT COUNT(*) FROM {lab}.subject") == [(7,)]
    assert pipeline.apply(everything(pipeline))[1].succeeded
    assert pulled(pipeline) == [5, 10, 15, 20, 25, 30, 35]


def test_plan_and_apply_do_not_wait_for_rows_that_the_source_has_not_committed(pipeline: Rig) -> None:
    pipeline.apply(everything(pipeline))
    pipeline.run("lab_a", "INSERT INTO {lab}.subject VALUES (40, 'd')")
    with owner_of(pipeline) as owner:
        owner("INSERT INTO {lab}.subject VALUES (15, 'open')")
        owner("UPDATE {lab}.subject SET note = 'open too' WHERE id = 20")
        started = time.monotonic()
        _, report = pipeline.apply(everything(pipeline))
        assert time.monotonic() - started < 10
    assert report.succeeded, report.outcomes
    assert pulled(pipeline) == [10, 20, 30, 40]


def registering_beside(rig: Rig, owner: Any) -> tuple[Report, int]:
    """Apply while the owner has a row of the registration locked, and commits half a second into it.

    The report, and how many times the registration was sent.
    """
    begun = threading.Event()
    register = f"INSERT INTO `{rig.outbound}`.`{rig.names('lab')}_subject`"
    hook = once(lambda s: s.begins(register), lambda s: begun.set())
    with ThreadPoolExecutor(1) as threads, watched(hook, prefix=rig.names("")) as sent:
        applying = threads.submit(rig.apply, everything(rig))
        assert begun.wait(30)
        time.sleep(0.5)
        owner.commit()
        return applying.result()[1], sum(s.begins(register) for s in sent)


def make_tables(rig: Rig) -> None:
    """Make the link's tables and pull nothing: an open transaction of the owner's would keep them out."""
    nothing = rig.document({"lab_a": {"lab": {"tables": {"Subject": {"where": "id < 0"}}}}})
    assert rig.apply(nothing)[1].succeeded


def test_a_row_whose_deletion_is_committed_while_it_is_registered_is_left_out(pipeline: Rig) -> None:
    make_tables(pipeline)
    pipeline.run("lab_a", "DELETE FROM {lab}.subject__dose WHERE id = 20")
    with owner_of(pipeline) as owner:
        owner("DELETE FROM {lab}.subject WHERE id = 20")
        report, times = registering_beside(pipeline, owner)
    assert times == 2, "refused for the row that is gone, then without it"
    assert report.succeeded, report.outcomes
    assert pulled(pipeline) == [10, 30]


def test_a_row_that_is_locked_and_kept_is_registered_once_it_is_free(pipeline: Rig) -> None:
    make_tables(pipeline)
    with owner_of(pipeline) as owner:
        owner("UPDATE {lab}.subject SET note = 'z' WHERE id = 20")
        report, _ = registering_beside(pipeline, owner)
    assert report.succeeded, report.outcomes
    assert pulled(pipeline) == [10, 20, 30]
