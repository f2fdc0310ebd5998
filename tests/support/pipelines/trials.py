"""A link of many entities, pulled by ranges of its key."""

from __future__ import annotations

import pytest

from djlink_manifest.reconcile.apply import pull
from djlink_manifest.reconcile.runtime import batches
from tests.support.definitions import every_value
from tests.support.rig import Rig
from tests.support.sql import numbers, run_all
from tests.support.statements import Statement

COUNT = 900
TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.trial (subject varchar(9) COLLATE utf8mb4_general_ci, day date, n int, tag int,"
    " f float, d double, t text, b longblob, doc json, UNIQUE KEY tag (tag), PRIMARY KEY (day, subject, n))",
    "CREATE TABLE {lab}.trial__event (day date, subject varchar(9) COLLATE utf8mb4_general_ci, n int, e int,"
    " note varchar(20), PRIMARY KEY (day, subject, n, e),"
    " FOREIGN KEY (day, subject, n) REFERENCES {lab}.trial (day, subject, n))",
    f"INSERT INTO {{lab}}.trial {numbers(COUNT)} SELECT ELT(1 + i % 3, 'a', 'B', 'ä '),"
    " DATE('2026-01-01') + INTERVAL i % 7 DAY, i, i, i / 7, i / 7,"
    r" CONCAT('t\t', i, '\n\\N', CHAR(0)), IF(i % 5, UNHEX('00090A0D5C4E27FF'), NULL), '[1, null]' FROM n",
    r"INSERT INTO {lab}.trial__event SELECT day, subject, n, 1, 'x\ty' FROM {lab}.trial WHERE n % 2",
)


def made_large(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(pull, "SPREAD_ENTITIES", 100)
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 60)
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    return rig


def is_the_source(rig: Rig) -> bool:
    local_schema, source_schema = rig.local_schema("lab_a", "lab"), rig.names("lab")
    return all(
        every_value(rig.servers.local, local_schema, name)
        == every_value(rig.servers.lab_a, source_schema, name)
        for name in ("trial", "trial__event")
    )


def held(rig: Rig) -> int:
    return int(rig.run("lab_a", f"SELECT COUNT(*) FROM {rig.outbound_table('lab', 'trial')}")[0][0])


def local_count(rig: Rig) -> int:
    local_schema = rig.local_schema("lab_a", "lab")
    return int(rig.servers.local.execute(f"SELECT COUNT(*) FROM `{local_schema}`.trial")[0][0])


def loads(statement: Statement) -> bool:
    return statement.begins("LOAD DATA")
