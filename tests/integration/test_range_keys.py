"""Ranges of keys of every kind, and what a range may hold: nothing, everything, rows that go meanwhile."""

from __future__ import annotations

import threading

import pytest

from djlink_manifest.reconcile.apply import pull
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.events import Report
from tests.support.definitions import NOPAD, every_value
from tests.support.rig import Rig, everything, quiet
from tests.support.servers import PAIRS
from tests.support.sql import numbers, run_all
from tests.support.statements import Statement, once, watched

COUNT, BATCH = 45, 7
WIDE = [f"k{n}" for n in range(16)]

# the type of `k`, and its values: expressions of i, from 1 to COUNT
RANGED = {
    "exact": ("decimal(40,20)", "(i - 20) * 0.00000000000000000001 + IF(i % 2, 7, 0)"),
    "huge": ("bigint unsigned", "18446744073709551615 - i"),
    "moment": (
        "datetime(6)",
        "IF(i < 6, ELT(i, '0000-00-00', '2026-02-31', '2026-00-00 01:02:03.4', '1000-01-01',"
        " '9999-12-31 23:59:59.999999'), TIMESTAMP('2026-01-01') + INTERVAL i MICROSECOND)",
    ),
    "day": ("date", "IF(i < 3, ELT(i, '0000-00-00', '2026-02-30'), DATE('2025-12-30') + INTERVAL i DAY)"),
    "stamp": (
        "timestamp(3) DEFAULT '2020-01-01'",
        "IF(i = 1, '0000-00-00', TIMESTAMP('2026-10-25 00:40:00.001') + INTERVAL i MINUTE)",
    ),
    "fixed": ("binary(3)", "UNHEX(ELT(1 + i % 4, CONCAT('0000', LPAD(HEX(i), 2, '0')),"
              " CONCAT('27', LPAD(HEX(i), 2, '0'), '5C'), CONCAT(LPAD(HEX(i), 2, '0'), '0A09'),"
              " CONCAT('FF25', LPAD(HEX(i), 2, '0'))))"),
    "bytes": ("varbinary(9)",
              "ELT(1 + (i > 1), '', UNHEX(CONCAT(ELT(1 + i % 3, '00', '275C', 'FE0A'), HEX(15 + i))))"),
    "latin": (
        "varchar(9) CHARACTER SET latin1",
        r"CONVERT(CONCAT(ELT(1 + i % 5, 'Ä', '€', 'ß', '\\', '\''), IF(i % 2, i, '')) USING latin1)",
    ),
    "padded": (
        "varchar(9) COLLATE utf8mb4_bin",
        r"CONCAT(ELT(1 + i % 6, 'a', 'a\t', 'a\n', ' a', 'A', 'a '), IF(i > 6, CHAR(64 + i), ''))",
    ),
    "filled": ("char(9) CHARACTER SET utf16", r"CONCAT(ELT(1 + i % 4, 'a', 'a\t', '😀', 'Ä'), i)"),
    "unpadded": (
        "varchar(9) COLLATE {nopad}",
        r"CONCAT(ELT(1 + i % 4, 'a', 'a ', 'a  ', 'a\t'), IF(i > 4, i, ''))",
    ),
}  # fmt: skip
# what is compared otherwise than it is sorted, or not as its part's column is: pulled by lists
LISTED = {
    "kind": ("enum('z','y','x','b''%','A b')", "ELT(1 + i % 5, 'z', 'y', 'x', 'b\\'%', 'A b')"),
    "single": ("float", "i / 7"),
}


def made(rig: Rig, name: str, type_: str, values: str) -> None:
    """A master with this key and one of numbers, and a part of two rows an entity."""
    column = type_.format(nopad=NOPAD[rig.servers.lab_a.vendor])
    run_all(
        rig,
        f"CREATE TABLE {{lab}}.`{name}` (k {column}, n int, t text, PRIMARY KEY (k, n)) CHARSET utf8mb4",
        f"CREATE TABLE {{lab}}.`{name}__part` (k {column}, n int, e int, PRIMARY KEY (k, n, e),"
        f" FOREIGN KEY (k, n) REFERENCES {{lab}}.`{name}` (k, n) ON DELETE CASCADE) CHARSET utf8mb4",
        f"INSERT INTO {{lab}}.`{name}` {numbers(COUNT)} SELECT {values}, i, CONCAT(i, '\\t') FROM n",
        f"INSERT INTO {{lab}}.`{name}__part` SELECT k, n, 1 FROM {{lab}}.`{name}`",
        f"INSERT INTO {{lab}}.`{name}__part` SELECT k, n, 2 FROM {{lab}}.`{name}`",
    )


def made_wide(rig: Rig) -> None:
    """A key of 16 columns, which differ in the last ones."""
    columns = ", ".join(f"{k} {'int' if n % 2 else 'varchar(9)'}" for n, k in enumerate(WIDE))
    key = ", ".join(WIDE)
    values = ", ".join(("i % 2", "i % 3", "i", "7", "i DIV 8")[n % 5] for n in range(16))
    run_all(
        rig,
        f"CREATE TABLE {{lab}}.wide ({columns}, v int, PRIMARY KEY ({key}))",
        f"CREATE TABLE {{lab}}.wide__part ({columns}, PRIMARY KEY ({key}),"
        f" FOREIGN KEY ({key}) REFERENCES {{lab}}.wide ({key}))",
        f"INSERT INTO {{lab}}.wide {numbers(COUNT)} SELECT {values}, i FROM n",
        f"INSERT INTO {{lab}}.wide__part SELECT {key} FROM {{lab}}.wide",
    )


def made_of_another_length(rig: Rig) -> None:
    """A part whose key column is longer than its master's."""
    run_all(
        rig,
        "CREATE TABLE {lab}.longer (k varchar(9) PRIMARY KEY)",
        "CREATE TABLE {lab}.longer__part (k varchar(12) PRIMARY KEY,"
        " FOREIGN KEY (k) REFERENCES {lab}.longer (k))",
        f"INSERT INTO {{lab}}.longer {numbers(COUNT)} SELECT i FROM n",
        "INSERT INTO {lab}.longer__part SELECT k FROM {lab}.longer",
    )


@pytest.fixture
def lab(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A schema, and small batches that go by ranges whatever there is to pull."""
    monkeypatch.setattr(pull, "SPREAD_ENTITIES", 1)
    monkeypatch.setattr(batches, "BATCH_ENTITIES", BATCH)
    run_all(rig, "CREATE DATABASE {lab}")
    rig.accounts({"lab_a": ["lab"]})
    return rig


def same(rig: Rig, *tables: str) -> None:
    local_schema, source_schema = rig.local_schema("lab_a", "lab"), rig.names("lab")
    for name in tables:
        own = every_value(rig.servers.local, local_schema, name)
        assert own == every_value(rig.servers.lab_a, source_schema, name), name


def ranged(rig: Rig, sent: list[Statement]) -> set[str]:
    """The tables that were divided into ranges."""
    before = f" FROM `{rig.names('lab')}`.`"
    return {s.text.partition(before)[2].partition("`")[0] for s in sent if f" LIMIT {BATCH - 1}, 2" in s.text}


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_keys_of_every_kind_are_pulled_by_ranges_or_by_lists_and_arrive_whole(lab: Rig) -> None:
    for name, key in (RANGED | LISTED).items():
        made(lab, name, *key)
    made_wide(lab)
    made_of_another_length(lab)
    masters = [*RANGED, *LISTED, "wide", "longer"]
    with watched(prefix=lab.names("")) as sent:
        _, report = lab.apply(everything(lab), parallelism=2)
    assert report.succeeded, [(o.address, o.problem) for o in report.outcomes if o.problem]
    assert {o.address: o.counts.pulled for o in report.outcomes} == {
        o.address: COUNT for o in report.outcomes
    }
    assert ranged(lab, sent) == {*RANGED, "wide"}
    same(lab, *masters, *(f"{name}__part" for name in masters))
    assert not lab.plan(everything(lab)).has_changes


def applied_when(rig: Rig, act: str, gone: str) -> Report:
    """Apply a plan; before the first statement of this kind on outbound, these rows of `exact` go."""
    place = f"{act} `{rig.outbound}`.`{rig.names('lab')}_exact`"
    deletion = f"DELETE FROM {{lab}}.exact WHERE {gone}"

    def meets(statement: Statement) -> bool:
        return statement.port == rig.servers.lab_a.port and statement.begins(place)

    with rig.job(everything(rig), parallelism=1) as job:
        plan = job.plan()
        with watched(once(meets, lambda s: run_all(rig, deletion)), prefix=rig.names("")):
            return job.apply(plan, quiet, threading.Event())


def counts(rig: Rig) -> tuple[int, int]:
    """How many of `exact` are held, and here."""
    local_schema = rig.local_schema("lab_a", "lab")
    [(held,)] = rig.run("lab_a", f"SELECT COUNT(*) FROM {rig.outbound_table('lab', 'exact')}")
    [(own,)] = rig.servers.local.execute(f"SELECT COUNT(*) FROM `{local_schema}`.exact")
    return int(held), int(own)


def test_a_source_that_is_emptied_after_the_plan_gives_nothing_and_no_error(lab: Rig) -> None:
    made(lab, "exact", *RANGED["exact"])
    report = applied_when(lab, "CREATE TABLE", "TRUE")
    assert report.succeeded, report
    assert counts(lab) == (0, 0)
    assert not lab.plan(everything(lab)).has_changes


def test_everything_may_lie_in_one_range(lab: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ENTITIES", COUNT)
    made(lab, "exact", *RANGED["exact"])
    with watched(prefix=lab.names("")) as sent:
        assert lab.apply(everything(lab))[1].succeeded
    assert len([s for s in sent if s.begins(f"INSERT INTO `{lab.outbound}`.`{lab.names('lab')}_exact`")]) == 1
    assert counts(lab) == (COUNT, COUNT)
    same(lab, "exact", "exact__part")


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ("n = 20", COUNT - 1),
        (
            f"(k, n) IN (SELECT * FROM (SELECT k, n FROM {{lab}}.exact ORDER BY k, n LIMIT {BATCH}) f)",
            COUNT - BATCH,
        ),
        ("TRUE", 0),
    ],
    ids=["one", "the range", "everything"],
)
def test_rows_deleted_between_a_range_is_taken_and_registered_are_left_out(
    lab: Rig, gone: str, left: int
) -> None:
    made(lab, "exact", *RANGED["exact"])
    report = applied_when(lab, "INSERT INTO", gone)
    assert report.succeeded, report
    assert report.outcomes[0].counts.pulled == left
    assert counts(lab) == (left, left)
    same(lab, "exact", "exact__part")
    assert not lab.plan(everything(lab)).has_changes
