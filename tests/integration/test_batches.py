"""How much goes in a transaction and in how many statements; stopping between batches; plans only read."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from djlink_manifest.reconcile.plan.actions import Pull, PullAgain
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.events import Advanced, Event
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql
from tests.support.faults.crash import changes
from tests.support.rig import Rig, everything, link_of, quiet
from tests.support.sql import DEEP, numbers
from tests.support.statements import LOAD, Statement, watched


@pytest.fixture
def narrow(rig: Rig) -> Rig:
    """Two tables of narrow rows, still empty: a master with a part, and a child of the master."""
    rig.run("lab_a", "CREATE DATABASE {lab}")
    rig.run("lab_a", "CREATE TABLE {lab}.trial (k int PRIMARY KEY, v varchar(20))")
    rig.run(
        "lab_a",
        "CREATE TABLE {lab}.trial__event (k int, n int, PRIMARY KEY (k, n),"
        " FOREIGN KEY (k) REFERENCES {lab}.trial (k))",
    )
    rig.accounts({"lab_a": ["lab"]})
    return rig


def fill(rig: Rig, count: int) -> None:
    rig.run("lab_a", f"INSERT {DEEP} INTO {{lab}}.trial {numbers(count)} SELECT i, CONCAT('v', i) FROM n")
    rig.run("lab_a", "INSERT INTO {lab}.trial__event SELECT k, 1 FROM {lab}.trial")


def fill_blobs(rig: Rig, count: int, size: int) -> None:
    """A table of blobs, with statistics of today."""
    rig.run("lab_a", "CREATE DATABASE {lab}")
    rig.run("lab_a", "CREATE TABLE {lab}.image (k int PRIMARY KEY, data longblob)")
    rig.run("lab_a", f"INSERT INTO {{lab}}.image {numbers(count)} SELECT i, REPEAT('x', {size}) FROM n")
    rig.run("lab_a", "ANALYZE TABLE {lab}.image")
    rig.accounts({"lab_a": ["lab"]})


def local_rows(rig: Rig, table: str) -> int:
    local_schema = rig.local_schema("lab_a", "lab")
    return int(rig.servers.local.execute(f"SELECT COUNT(*) FROM `{local_schema}`.`{table}`")[0][0])


def local_batches(rig: Rig, sent: list[Statement]) -> tuple[list[int], int]:
    """The bytes of rows in each local transaction that was committed, and of all rows that were sent."""
    open_bytes, committed, everything_sent = defaultdict[int, int](int), list[int](), 0
    local_schema = rig.local_schema("lab_a", "lab")
    for statement in sent:
        if statement.port != rig.servers.local.port:
            continue
        if statement.begins("START TRANSACTION"):
            open_bytes[statement.session] = 0
        elif statement.begins(f"{LOAD} `{local_schema}`"):
            open_bytes[statement.session] += statement.size
            everything_sent += statement.size
        elif statement.begins("COMMIT") and open_bytes[statement.session]:
            committed.append(open_bytes[statement.session])
    return committed, everything_sent


def test_pulling_takes_no_statement_per_row(narrow: Rig) -> None:
    counts = dict[int, dict[int, int]]()
    made = 0
    for count in (50, 5_000):
        if made:
            narrow.run("lab_a", "DELETE FROM {lab}.trial__event WHERE k > 50")
        narrow.run("lab_a", f"INSERT {DEEP} IGNORE INTO {{lab}}.trial {numbers(count)} SELECT i, 'v' FROM n")
        narrow.run("lab_a", "INSERT IGNORE INTO {lab}.trial__event SELECT k, 1 FROM {lab}.trial")
        with narrow.job(everything(narrow)) as job:
            plan = job.plan()
            with watched(prefix=narrow.names("")) as sent:
                report = job.apply(plan, quiet, threading.Event())
        assert report.succeeded
        assert local_rows(narrow, "trial") == local_rows(narrow, "trial__event") == count
        kinds = [s for s in sent if not s.begins("CREATE", "ALTER", "SET", "DROP", "UPDATE")]
        counts[count] = {port: sum(s.port == port for s in kinds) for port in {s.port for s in kinds}}
        assert len(local_batches(narrow, sent)[0]) == 1
        made = count
    few, many = counts[50], counts[5_000]
    assert all(many[port] <= few[port] + 10 for port in few), counts
    assert max(many.values()) < 60, counts


def test_the_entities_of_a_batch_are_bounded_and_the_rows_too(
    narrow: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 400)
    monkeypatch.setattr(batches, "BATCH_ROWS", 600)  # two rows an entity, once the first batch has told
    fill(narrow, 1_000)
    steps = list[int]()
    _, report = narrow.apply(
        everything(narrow), lambda e: steps.append(e.entities) if isinstance(e, Advanced) else None
    )
    assert report.succeeded
    assert steps == [400, 700, 1000]


def test_blobs_of_a_megabyte_go_in_batches_of_about_32(rig: Rig) -> None:
    fill_blobs(rig, 70, 1 << 20)
    with watched(prefix=rig.names("")) as sent:
        _, report = rig.apply(everything(rig))
    assert report.succeeded
    assert local_rows(rig, "image") == 70
    committed, everything_sent = local_batches(rig, sent)
    assert len(committed) in (3, 4)
    assert max(committed) < 40 << 20
    assert sum(committed) == everything_sent
    assert max(s.size for s in sent if not s.begins("LOAD")) < 10 << 20  # those are streamed


def test_one_entity_over_the_budget_still_goes_in_one_transaction(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 64 << 10)
    rig.run("lab_a", "CREATE DATABASE {lab}")
    rig.run("lab_a", "CREATE TABLE {lab}.image (k int PRIMARY KEY)")
    rig.run(
        "lab_a",
        "CREATE TABLE {lab}.image__tile (k int, n int, data longblob, PRIMARY KEY (k, n),"
        " FOREIGN KEY (k) REFERENCES {lab}.image (k))",
    )
    rig.run("lab_a", f"INSERT INTO {{lab}}.image {numbers(9)} SELECT i FROM n")
    tiles = "SELECT k, i, REPEAT('x', IF(k = 5, 300000, 100)) FROM {lab}.image, n"
    rig.run("lab_a", f"INSERT INTO {{lab}}.image__tile {numbers(5)} {tiles}")
    rig.accounts({"lab_a": ["lab"]})
    with watched(prefix=rig.names("")) as sent:
        _, report = rig.apply(everything(rig))
    assert report.succeeded, report.outcomes
    assert (local_rows(rig, "image"), local_rows(rig, "image__tile")) == (9, 45)
    committed, _ = local_batches(rig, sent)
    assert [size > 4 * (64 << 10) for size in committed].count(True) == 1
    assert 1_500_000 < max(committed) < 1_600_000


def test_a_batch_that_turns_out_too_large_is_halved_and_what_it_taught_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows gone locally are pulled again without an estimate of their size."""
    budget = 256 << 10
    fill_blobs(rig, 200, 64 << 10)
    rig.apply(everything(rig))
    rig.servers.local.execute(f"DELETE FROM `{rig.local_schema('lab_a', 'lab')}`.image")
    monkeypatch.setattr(batches, "BATCH_BYTES", budget)
    monkeypatch.setattr("djlink_manifest.servers.query.rows.STATEMENT_BYTES", 64 << 10)
    with watched(prefix=rig.names("")) as sent:
        plan, report = rig.apply(everything(rig))
    link = link_of(plan, rig.address("lab_a", "lab", "Image"))
    assert [type(a) for a in link.actions] == [PullAgain]
    assert report.succeeded, report.outcomes
    assert local_rows(rig, "image") == 200
    committed, everything_sent = local_batches(rig, sent)
    assert max(committed) <= 4 * budget
    # the first halvings each cost at most four budgets; what follows is of the right size at once
    assert everything_sent - sum(committed) < 6 * 4 * budget
    assert len(committed) < 80


class StopAt:
    """A listener that asks to stop when so many entities are committed."""

    def __init__(self, entities: int) -> None:
        self.stop = threading.Event()
        self.entities = entities

    def __call__(self, event: Event) -> None:
        if isinstance(event, Advanced) and event.entities >= self.entities:
            self.stop.set()


def test_a_stop_ends_after_the_batch_in_hand_and_the_next_apply_finishes(
    narrow: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow.run(
        "lab_a",
        "CREATE TABLE {lab}.choice (k int PRIMARY KEY, FOREIGN KEY (k) REFERENCES {lab}.trial (k))",
    )
    fill(narrow, 100)
    narrow.run("lab_a", "INSERT INTO {lab}.choice SELECT k FROM {lab}.trial")
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 10)
    listener = StopAt(30)
    _, report = narrow.apply(everything(narrow), listener, listener.stop)
    trial, choice = report.outcomes
    assert report.interrupted
    assert not report.succeeded
    assert (trial.status, trial.counts.pulled) == ("failed", 30)
    assert "interrupted" in (trial.problem or "")
    assert (choice.status, choice.problem) == ("skipped", "interrupted before it started")
    assert local_rows(narrow, "trial") == local_rows(narrow, "trial__event") == 30
    outbound = f"`{narrow.outbound}`.`{narrow.names('lab')}_trial`"
    assert narrow.run("lab_a", f"SELECT COUNT(*) FROM {outbound}") == [(30,)]
    plan, report = narrow.apply(everything(narrow))
    assert report.succeeded
    pulls = [a.entities for link in plan.links for a in link.actions if isinstance(a, Pull)]
    assert pulls == [70, 100]
    assert not narrow.plan(everything(narrow)).has_changes


@contextmanager
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The rows that travel undecoded, as their packets: keys, in a plan."""
    rows = list[bytes]()
    packets = Session.packets

    def reading(session: Session, statement: Sql, **how: bool) -> Iterator[tuple[int, list[bytes]]]:
        for count, found in packets(session, statement, **how):
            rows.extend(found)
            yield count, found

    with monkeypatch.context() as patch:
        patch.setattr(Session, "packets", reading)
        yield rows


def test_scattered_differences_among_20_000_keys_move_few_keys(
    narrow: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(narrow, 20_000)
    assert narrow.apply(everything(narrow))[1].succeeded
    with fetched(monkeypatch) as keys:
        assert not narrow.plan(everything(narrow)).has_changes
    assert not keys  # where nothing differs, no key travels
    local_schema = narrow.local_schema("lab_a", "lab")
    gone = "k % 1000 = 7"
    narrow.servers.local.execute(f"DELETE FROM `{local_schema}`.trial__event WHERE {gone}")
    narrow.servers.local.execute(f"DELETE FROM `{local_schema}`.trial WHERE {gone}")
    with fetched(monkeypatch) as keys:
        plan = narrow.plan(everything(narrow))
    link = link_of(plan, narrow.address("lab_a", "lab", "Trial"))
    assert [(type(a), getattr(a, "entities", 0)) for a in link.actions] == [(PullAgain, 20)]
    assert 20 <= len(keys) < 4_000  # of 40,000 on both sides


def test_a_plan_only_reads(narrow: Rig) -> None:
    """It sends nothing that writes, and works with accounts that may not write at all.

    They have a role with nothing in it, since what a role gives cannot be seen in the account's own rights.
    """
    fill(narrow, 100)
    assert narrow.apply(everything(narrow))[1].succeeded
    narrow.run("lab_a", "DELETE FROM {lab}.trial__event WHERE k > 90")
    narrow.run("lab_a", "INSERT INTO {lab}.trial VALUES (1000, 'new'), (1001, 'new')")
    narrow.run("lab_a", f"DELETE FROM `{narrow.outbound}`.`{narrow.names('lab')}_trial` WHERE k IN (3, 4)")
    requests = f"`{narrow.outbound}`.`{narrow.names('lab')}_trial_deletion_requested`"
    narrow.run("lab_a", f"INSERT INTO {requests} (k) VALUES (5), (3)")
    local_schema = narrow.local_schema("lab_a", "lab")
    narrow.servers.local.execute(f"DELETE FROM `{local_schema}`.trial__event WHERE k IN (7, 8)")
    narrow.servers.local.execute(f"DELETE FROM `{local_schema}`.trial WHERE k IN (7, 8)")
    manifest = narrow.document(
        {"lab_a": {"lab": {"tables": {"Trial": {"where": "k <> 8", "unwanted": "release"}}}}}
    )
    with watched(prefix=narrow.names("")) as sent:
        plan = narrow.plan(manifest)
    assert len(plan.links[0].actions) == 5
    written = [s.text for s in sent if changes(s) and not s.begins("COMMIT")]
    assert all("`~djlink_" in text for text in written)  # keys, in temporary tables
    assert all(
        "READ ONLY" in statement.text for statement in sent if statement.begins("START TRANSACTION")
    )  # what is committed wrote nothing
    for statement in sent:
        key_table = "`~djlink_" in statement.text
        checked = statement.begins("PREPARE djlink_check", "DEALLOCATE PREPARE djlink_check")
        reads = statement.begins("SELECT", "WITH", "SHOW", "SET", "START TRANSACTION", "COMMIT")
        assert key_table or reads or checked, statement
