"""Generated columns hold the source's values, though this session's settings would give others."""

from __future__ import annotations

import pytest

from djlink_manifest.sandbox.servers.binaries import Vendor
from tests.support.pipelines.cells import document, locally, mended
from tests.support.rig import Rig, link_of
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

# each vendor forbids what the other takes; that of the last one is computed here, as at the source
OF_SESSION: dict[Vendor, tuple[tuple[str, str], ...]] = {
    "mysql": (
        ("day", "date AS (DATE(at)) STORED"),
        ("begun", "int AS (HOUR(at)) VIRTUAL"),
        ("next", "int AS (begun + 1) STORED"),
        ("number", "int AS (WEEK(seen)) STORED"),
        ("weekday", "varchar(20) AS (DAYNAME(seen)) STORED"),
        ("words", "varchar(20) AS (DATE_FORMAT(seen, '%W')) STORED"),
        ("twice", "int AS (id * 2) STORED"),
    ),
    "mariadb": (
        ("day", "date AS (DATE(at)) STORED"),
        ("begun", "int AS (HOUR(at)) STORED"),
        ("twice", "int AS (id * 2) STORED"),
    ),
}


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_stored_column_that_a_sessions_settings_decide_is_copied(rig: Rig) -> None:
    source, columns = rig.servers.lab_a, OF_SESSION[rig.servers.lab_a.vendor]
    made = ", ".join(f"`{name}` {text}" for name, text in columns)
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        f"CREATE TABLE {{lab}}.visit (id int PRIMARY KEY, at timestamp NULL, seen date, {made})",
    )
    try:
        ask(source, "SET time_zone = '+05:00', default_week_format = 3, lc_time_names = 'de_DE'")
        run_all(rig, "INSERT INTO {lab}.visit (id, at, seen) VALUES (1, '2026-01-02 02:00:00', '2026-01-01')")
    finally:
        ask(source, "SET time_zone = '+00:00', default_week_format = 0, lc_time_names = 'en_US'")
    rig.accounts({"lab_a": ["lab"]})
    plan, report = rig.apply(document(rig))
    assert report.succeeded
    [words] = link_of(plan, rig.address("lab_a", "lab", "Visit")).warnings
    assert "visit.day" in words
    assert "visit.twice" not in words
    source_schema = f"SELECT * FROM `{rig.names('lab')}`.visit"
    assert locally(rig, "SELECT * FROM @here.visit") == ask(source, source_schema)
    locally(rig, "UPDATE @here.visit SET day = '2000-01-01', at = at")
    assert mended(rig).counts.refilled == 1
    assert locally(rig, "SELECT * FROM @here.visit") == ask(source, source_schema)
