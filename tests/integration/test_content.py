"""Rows that changed at the source after their pull: found by `verify`, mended by a refill, or told."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Refill
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.events import Advanced, Event
from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.servers.compare import key_diff
from djlink_manifest.servers.keys import predicates
from tests.support.options import number
from tests.support.pipelines.cells import document, locally, mended, verified
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import CROSSED, PAIRS
from tests.support.sql import DEEP, ask, run_all

REAL_ENTITIES = 60_000
ENTITIES = number("DJLINK_ENTITIES", REAL_ENTITIES // 10)
TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.cell (id int, tag varchar(9) COLLATE utf8mb4_general_ci, v int, f float, b longblob,"
    " doc json, at timestamp NULL ON UPDATE CURRENT_TIMESTAMP, twice int GENERATED ALWAYS AS (v * 2) STORED,"
    " PRIMARY KEY (id), UNIQUE KEY (tag))",
    "CREATE TABLE {lab}.cell__arm (id int, arm varchar(5) COLLATE utf8mb4_general_ci, len double,"
    " PRIMARY KEY (arm, id), FOREIGN KEY (id) REFERENCES {lab}.cell (id))",
    "CREATE TABLE {lab}.cell__spine (s int PRIMARY KEY, id int NOT NULL, arm varchar(5)"
    " COLLATE utf8mb4_general_ci, code int UNIQUE,"
    " FOREIGN KEY (id) REFERENCES {lab}.cell (id),"
    " FOREIGN KEY (arm, id) REFERENCES {lab}.cell__arm (arm, id))",
    "INSERT INTO {lab}.cell (id, tag, v, f, b, doc) VALUES (1, 'a', 1, 0.1, X'00FF27', '{{\"x\": 1}}'),"
    " (2, 'b', NULL, NULL, NULL, NULL), (3, 'c', 3, 3, '', '[]'), (4, NULL, 4, 4, 'x', '4')",
    "INSERT INTO {lab}.cell__arm VALUES (1, 'l', 1.5), (1, 'r', NULL), (2, 'l', 0), (3, 'l', 9)",
    "INSERT INTO {lab}.cell__spine VALUES (10, 1, 'l', 100), (11, 1, 'r', 101), (20, 2, NULL, NULL),"
    " (30, 3, 'l', 300)",
)
NAMES = ("cell", "cell__arm", "cell__spine")


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    return rig


def cell(plan: Plan, rig: Rig) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", "Cell"))


def everything(rig: Rig) -> list[tuple[Any, ...]]:
    return [row for name in NAMES for row in locally(rig, f"SELECT * FROM @here.{name} ORDER BY 1, 2")]


def rows(rig: Rig, server: SandboxServer, schema: str) -> list[list[tuple[Any, ...]]]:
    """All rows of all tables, each value as the hex of its bytes, a number with a fraction as itself."""
    found = []
    for name, names in zip(NAMES, ("id tag v f b doc at twice", "id arm len", "s id arm code"), strict=True):
        columns = ", ".join(
            f"{c} + 0e0" if c in ("f", "len") else f"HEX(CAST({c} AS BINARY))" for c in names.split()
        )
        found.append(sorted(ask(server, f"SELECT {columns} FROM `{schema}`.{name}"), key=repr))
    return found


def local_side(rig: Rig) -> tuple[SandboxServer, str]:
    return rig.servers.local, rig.local_schema("lab_a", "lab")


def source_side(rig: Rig) -> tuple[SandboxServer, str]:
    return rig.servers.lab_a, rig.names("lab")


def is_the_source(rig: Rig) -> bool:
    return rows(rig, *local_side(rig)) == rows(rig, *source_side(rig))


CHANGES = {
    "a value of the master": ["UPDATE {lab}.cell SET v = 77 WHERE id = 1"],
    "a value to NULL and one from it": [
        "UPDATE {lab}.cell SET v = NULL WHERE id = 1",
        "UPDATE {lab}.cell SET v = 5, b = 'q', doc = '[1.0]' WHERE id = 2",
    ],
    "a blob by its last byte": ["UPDATE {lab}.cell SET b = X'00FF26' WHERE id = 1"],
    "an empty blob to NULL": ["UPDATE {lab}.cell SET b = NULL WHERE id = 3"],
    "the case of a text alone": ["UPDATE {lab}.cell SET tag = 'A' WHERE id = 1"],
    "blanks at the end of a text": ["UPDATE {lab}.cell SET tag = 'a ' WHERE id = 1"],
    "the last bit of a float": ["UPDATE {lab}.cell SET f = 0.10000001 WHERE id = 1"],
    "a part row's value": ["UPDATE {lab}.cell__arm SET len = 2.5 WHERE id = 1 AND arm = 'l'"],
    "the spelling of a part's key": ["UPDATE {lab}.cell__arm SET arm = 'L' WHERE id = 2"],
    "a part row more": ["INSERT INTO {lab}.cell__arm VALUES (4, 'x', 1)"],
    "a part row less": ["DELETE FROM {lab}.cell__spine WHERE s = 10"],
    "parts below each other, gone": [
        "DELETE FROM {lab}.cell__spine WHERE s = 10",
        "DELETE FROM {lab}.cell__arm WHERE id = 1 AND arm = 'l'",
    ],
    "parts below each other, new": [
        "INSERT INTO {lab}.cell__arm VALUES (4, 'n', 1)",
        "INSERT INTO {lab}.cell__spine VALUES (40, 4, 'n', 400)",
    ],
    "a part row that refers to another, whose old parent goes": [
        "INSERT INTO {lab}.cell__arm VALUES (1, 'n', 1)",
        "UPDATE {lab}.cell__spine SET arm = 'n' WHERE s = 10",
        "DELETE FROM {lab}.cell__arm WHERE id = 1 AND arm = 'l'",
    ],
    "a part row of the same number under another entity": [
        "UPDATE {lab}.cell__spine SET id = 2, arm = NULL WHERE s = 10",
    ],
    "a new part row with the unique value of one that goes": [
        "DELETE FROM {lab}.cell__spine WHERE s = 10",
        "INSERT INTO {lab}.cell__spine VALUES (12, 1, 'l', 100)",
    ],
    "all at once": [
        "UPDATE {lab}.cell SET v = id * 10, b = REPEAT('z', 100000)",
        "DELETE FROM {lab}.cell__spine WHERE id = 1",
        "INSERT INTO {lab}.cell__spine SELECT 50 + id, id, NULL, id FROM {lab}.cell",
    ],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("batch", [1, 10_000])
def test_what_changed_is_found_and_mended_and_then_nothing_differs(
    lab: Rig, monkeypatch: pytest.MonkeyPatch, change: str, batch: int
) -> None:
    monkeypatch.setattr(batches, "BATCH_ENTITIES", batch)
    run_all(lab, *CHANGES[change])
    assert not lab.plan(document(lab)).has_changes, "without --verify nobody looks"
    [action] = cell(verified(lab), lab).actions
    assert isinstance(action, Refill)
    outcome = mended(lab)
    assert outcome.status == "done", outcome.problem
    assert outcome.counts.refilled == action.entities > 0
    assert is_the_source(lab)
    again = cell(verified(lab), lab)
    assert again.is_unchanged
    assert again.drift == ()


ONE_AFTER_ANOTHER = (
    "a value to NULL and one from it",
    "the last bit of a float",
    "the case of a text alone",
    "the spelling of a part's key",
    "parts below each other, new",
    "a part row that refers to another, whose old parent goes",
    "a part row of the same number under another entity",
    "all at once",
)


def without_json(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row of `rows` without the document of a cell, which the vendors spell otherwise."""
    return row[:5] + row[6:]


@pytest.mark.parametrize("servers", PAIRS[1:], indirect=True, ids=str)
def test_what_changed_is_found_and_mended_between_other_vendors(lab: Rig) -> None:
    for change in ONE_AFTER_ANOTHER:
        run_all(lab, *CHANGES[change])
        [action] = cell(verified(lab), lab).actions
        assert isinstance(action, Refill)
        assert mended(lab).counts.refilled == action.entities > 0
        for local_rows, source_rows in zip(
            rows(lab, *local_side(lab)), rows(lab, *source_side(lab)), strict=True
        ):
            assert [without_json(row) for row in local_rows] == [without_json(row) for row in source_rows], (
                change
            )
        assert cell(verified(lab), lab).is_unchanged


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_a_refill_leaves_no_timestamp_of_its_own(rig: Rig) -> None:
    """A server sets what is ON UPDATE CURRENT_TIMESTAMP in each row that changes, a key's column as well."""
    then = "timestamp NOT NULL DEFAULT '2020-02-02 02:02:02' ON UPDATE CURRENT_TIMESTAMP"
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.seen (id int PRIMARY KEY)",
        "CREATE TABLE {lab}.seen__spot (id int, spot varchar(5) COLLATE utf8mb4_general_ci, v int,"
        f" at {then},"
        " PRIMARY KEY (id, spot), FOREIGN KEY (id) REFERENCES {lab}.seen (id))",
        f"CREATE TABLE {{lab}}.seen__time (id int, at {then}, v int, PRIMARY KEY (id, at),"
        " FOREIGN KEY (id) REFERENCES {lab}.seen (id))",
        "INSERT INTO {lab}.seen VALUES (1), (2)",
        "INSERT INTO {lab}.seen__spot (id, spot, v) VALUES (1, 'l', 1), (2, 'l', 1)",
        "INSERT INTO {lab}.seen__time (id, v) VALUES (1, 1), (2, 1)",
    )
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    run_all(
        rig,
        "UPDATE {lab}.seen__spot SET spot = 'L', at = at WHERE id = 1",
        "UPDATE {lab}.seen__spot SET v = 2, at = at WHERE id = 2",
        "UPDATE {lab}.seen__time SET v = 2, at = at WHERE id = 2",
    )
    assert mended(rig).counts.refilled == 2
    for table in ("seen__spot", "seen__time"):
        there_now = ask(rig.servers.lab_a, f"SELECT * FROM `{rig.names('lab')}`.{table} ORDER BY id")
        assert locally(rig, f"SELECT * FROM @here.{table} ORDER BY id") == there_now
    with rig.job(document(rig)) as job:
        assert not job.plan(verify=True).has_changes


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_json_is_compared_by_value(lab: Rig) -> None:
    run_all(lab, 'UPDATE {lab}.cell SET doc = \'{{"b": [1, 2.50], "aa": null}}\' WHERE id = 1')
    assert mended(lab).counts.refilled == 1
    assert cell(verified(lab), lab).is_unchanged
    run_all(lab, 'UPDATE {lab}.cell SET doc = \'{{"b": [1, 2.5], "aa": 0}}\' WHERE id = 1')
    [action] = cell(verified(lab), lab).actions
    assert isinstance(action, Refill)
    assert (action.entities, mended(lab).counts.refilled) == (1, 1)
    [(doc,)] = locally(lab, "SELECT doc FROM @here.cell WHERE id = 1")
    assert json.loads(doc) == {"b": [1, 2.5], "aa": 0}


@pytest.mark.parametrize("servers", CROSSED, indirect=True, ids=str)
def test_json_that_is_spelled_otherwise_here_is_the_same_between_vendors(lab: Rig) -> None:
    locally(lab, "UPDATE @here.cell SET doc = '{ \"x\" :  1}', at = at WHERE id = 1")
    assert cell(verified(lab), lab).is_unchanged
    locally(lab, "DELETE FROM @here.cell__spine WHERE id = 1")
    locally(lab, "DELETE FROM @here.cell__arm WHERE id = 1")
    locally(lab, "DELETE FROM @here.cell WHERE id = 1")
    assert cell(verified(lab), lab).drift == ()


def test_rows_chosen_to_cancel_out_in_plain_hashes_are_told_apart(rig: Rig) -> None:
    """Two sets of part rows, the first 60 bits of whose plain SHA-256 have one sum: found in some seconds."""
    source, local = (425619, 552952, 590058, 909010), (146244, 360513, 549423, 1012375)

    def plain(numbers: tuple[int, ...]) -> int:
        return sum(int(hashlib.sha256(f"1|{n}".encode()).hexdigest()[:15], 16) for n in numbers)

    assert plain(source) == plain(local)
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.cell (id int PRIMARY KEY)",
        "CREATE TABLE {lab}.cell__arm (id int, n int, PRIMARY KEY (id, n),"
        " FOREIGN KEY (id) REFERENCES {lab}.cell (id))",
        "INSERT INTO {lab}.cell VALUES (1)",
        f"INSERT INTO {{lab}}.cell__arm VALUES {', '.join(f'(1, {n})' for n in source)}",
    )
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    for one, other in zip(source, local, strict=True):
        locally(rig, f"UPDATE @here.cell__arm SET n = {other} WHERE n = {one}")
    [action] = cell(verified(rig), rig).actions
    assert isinstance(action, Refill)


# to MySQL, a number that is too large for a whole one of 64 bits, or has too many digits, is a double
NUMBERS = (
    "123456789012345678901234567890",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "0.1234567890123456789012345",
    "1e2",
    "100",
    "-0",
    "-0.0",
    "9007199254740993",
)


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_json_numbers_of_every_size_settle(rig: Rig) -> None:
    run_all(rig, "CREATE DATABASE {lab}", "CREATE TABLE {lab}.doc (id int PRIMARY KEY, doc json)")
    for place, value in enumerate(NUMBERS):
        run_all(rig, f"INSERT INTO {{lab}}.doc VALUES ({place}, '{{{{\"n\": [{value}]}}}}')")
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    with rig.job(document(rig)) as job:
        assert not job.plan(verify=True).has_changes
    run_all(rig, "UPDATE {lab}.doc SET doc = '{{\"n\": [18446744073709551614]}}' WHERE id = 1")
    assert mended(rig).counts.refilled == 1
    with rig.job(document(rig)) as job:
        assert not job.plan(verify=True).has_changes


@pytest.mark.parametrize("servers", CROSSED, indirect=True, ids=str)
def test_json_nested_deeper_than_the_local_server_takes_is_refused_alone(rig: Rig) -> None:
    run_all(rig, "CREATE DATABASE {lab}", "CREATE TABLE {lab}.doc (id int PRIMARY KEY, doc json)")
    if rig.servers.lab_a.vendor == "mariadb":  # its own JSON ends at 32 levels
        with pytest.raises(Exception, match="CONSTRAINT"):
            run_all(rig, f"INSERT INTO {{lab}}.doc VALUES (1, '{'[' * 101}{']' * 101}')")
        return
    run_all(rig, f"INSERT INTO {{lab}}.doc VALUES (1, '[]'), (2, '{'[' * 90}{']' * 90}'), (3, '[[1]]')")
    rig.accounts({"lab_a": ["lab"]})
    [outcome] = rig.apply(document(rig))[1].outcomes
    assert (outcome.counts.pulled, outcome.counts.refused) == (2, 1)
    assert locally(rig, "SELECT id FROM @here.doc ORDER BY id") == [(1,), (3,)]


def test_report_says_how_many_differ_and_changes_nothing(lab: Rig) -> None:
    run_all(lab, "UPDATE {lab}.cell SET v = 9 WHERE id > 2", "DELETE FROM {lab}.cell__spine WHERE id = 1")
    before = everything(lab)
    plan = verified(lab, "report")
    [drift] = cell(plan, lab).drift
    assert (drift.count, drift.reason.startswith("they differ from their source rows")) == (3, True)
    assert "changed: mend" in (drift.hint or "")
    assert not plan.has_changes
    assert not plan.has_errors
    assert everything(lab) == before


def test_what_was_changed_or_deleted_here_is_found_as_well(lab: Rig) -> None:
    locally(lab, "UPDATE @here.cell SET v = 99 WHERE id = 3")
    locally(lab, "DELETE FROM @here.cell__spine WHERE s = 11")
    locally(lab, "INSERT INTO @here.cell__arm VALUES (4, 'mine', 0)")
    assert mended(lab).counts.refilled == 3
    assert is_the_source(lab)


def test_entities_asked_back_gone_locally_or_of_the_labs_own_are_left(lab: Rig) -> None:
    run_all(lab, "UPDATE {lab}.cell SET v = 50")
    run_all(lab, f"INSERT INTO {{outbound}}.{lab.names('lab_cell_deletion_requested')} (id) VALUES (1)")
    locally(lab, "INSERT INTO @here.cell (id, v) VALUES (90, 7)")
    locally(lab, "INSERT INTO @here.cell__spine VALUES (90, 90, NULL, NULL)")
    locally(lab, "DELETE FROM @here.cell WHERE id = 4")
    [refill] = [a for a in cell(verified(lab), lab).actions if isinstance(a, Refill)]
    assert refill.entities == 2
    assert mended(lab).counts.refilled == 2
    assert locally(lab, "SELECT id, v FROM @here.cell ORDER BY id") == [
        (1, 1),
        (2, 50),
        (3, 50),
        (4, 50),  # pulled again
        (90, 7),
    ]
    assert locally(lab, "SELECT COUNT(*) FROM @here.cell__spine WHERE s = 90") == [(1,)]


def refused(lab: Rig, entities: int, words: str) -> None:
    """Apply; so many entities are refused with these words and stay as they are, others are refilled."""
    outcome = mended(lab)
    assert (outcome.status, outcome.counts.refused) == ("failed", entities)
    assert words in (outcome.problem or "")
    assert outcome.hint


def test_a_lab_table_that_refers_to_a_part_row_holds_its_entity_and_no_other(lab: Rig) -> None:
    locally(lab, "CREATE TABLE @here.mine (s int PRIMARY KEY, FOREIGN KEY (s) REFERENCES cell__spine (s))")
    locally(lab, "INSERT INTO @here.mine VALUES (10)")
    run_all(
        lab,
        "DELETE FROM {lab}.cell__spine WHERE s = 10",
        "UPDATE {lab}.cell SET v = 70 WHERE id IN (1, 3)",
    )
    with lab.job(document(lab)) as job:
        plan = job.plan(verify=True)
        assert [(b.kind, b.count) for b in cell(plan, lab).blocked] == [("error", 1)]
        assert job.apply(plan, quiet, threading.Event()).succeeded
    assert locally(lab, "SELECT id, v FROM @here.cell WHERE v > 2 ORDER BY id") == [(3, 70), (4, 4)]
    assert locally(lab, "SELECT v FROM @here.cell WHERE id = 1") == [(1,)], "of no two moments"
    assert locally(lab, "SELECT COUNT(*) FROM @here.cell__spine WHERE id = 1") == [(2,)]
    locally(lab, "DELETE FROM @here.mine")
    assert mended(lab).status == "done"
    assert is_the_source(lab)


def test_unique_values_swapped_between_rows_are_refused_and_harm_nothing(lab: Rig) -> None:
    run_all(
        lab,
        "UPDATE {lab}.cell SET tag = 'x' WHERE id = 1",
        "UPDATE {lab}.cell SET tag = 'a' WHERE id = 2",
        "UPDATE {lab}.cell SET tag = 'b', v = 8 WHERE id = 1",
        "UPDATE {lab}.cell SET v = 9 WHERE id = 3",
    )
    before = everything(lab)
    refused(lab, 2, "Duplicate entry")
    after = everything(lab)
    assert [r for r in after if r not in before] == [r for r in after if r[:3] == (3, "c", 9)]
    assert len(after) == len(before)


def test_a_row_of_the_labs_own_with_the_same_unique_value_is_never_replaced(lab: Rig) -> None:
    locally(lab, "INSERT INTO @here.cell (id, tag, v) VALUES (90, 'mine', 7)")
    locally(lab, "INSERT INTO @here.cell__spine VALUES (91, 90, NULL, 900)")
    run_all(
        lab,
        "UPDATE {lab}.cell SET tag = 'MINE' WHERE id = 4",
        "INSERT INTO {lab}.cell__spine VALUES (31, 3, NULL, 900), (91, 2, NULL, 7)",
    )
    refused(lab, 3, "Duplicate entry")
    assert locally(lab, "SELECT id, tag, v FROM @here.cell WHERE id = 90") == [(90, "mine", 7)]
    assert locally(lab, "SELECT * FROM @here.cell__spine WHERE s = 91") == [(91, 90, None, 900)]


def test_a_refill_can_be_stopped_between_batches_and_the_next_one_does_the_rest(
    lab: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 1)
    run_all(lab, "UPDATE {lab}.cell SET v = 60")
    stop, seen = threading.Event(), list[Event]()

    def listen(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Advanced):
            stop.set()

    first = mended(lab, listen, stop)
    assert (first.status, first.counts.refilled) == ("failed", 1)
    assert mended(lab).counts.refilled == 3
    assert is_the_source(lab)


def test_many_entities_are_compared_and_only_those_that_differ_refilled(
    lab: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than there are keys in memory at once, in many statements and batches; with DJLINK_ENTITIES=60000
    under the limits that users have."""
    share = REAL_ENTITIES // ENTITIES
    monkeypatch.setattr(key_diff, "KEYS_AT_ONCE", key_diff.KEYS_AT_ONCE // share)
    monkeypatch.setattr(predicates, "ROWS_AT_ONCE", predicates.ROWS_AT_ONCE // share)
    monkeypatch.setattr(batches, "BATCH_ENTITIES", batches.BATCH_ENTITIES // share)
    assert ENTITIES > key_diff.KEYS_AT_ONCE
    last = 99 + ENTITIES
    numbers = (
        f"WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT {DEEP}"
    )
    run_all(lab, f"INSERT INTO {{lab}}.cell (id, v) {numbers} i, i FROM n")
    run_all(lab, f"INSERT INTO {{lab}}.cell__arm {numbers} i, 'l', i FROM n")
    assert lab.apply(document(lab))[1].succeeded
    run_all(lab, "UPDATE {lab}.cell SET v = 0 WHERE id >= 100 AND id % 100 = 7")
    run_all(lab, "DELETE FROM {lab}.cell__arm WHERE id >= 100 AND id % 100 = 8")
    assert mended(lab).counts.refilled == ENTITIES // 50
    run_all(lab, "UPDATE {lab}.cell SET v = -1 WHERE id >= 100")
    assert mended(lab).counts.refilled == ENTITIES
    assert is_the_source(lab)
