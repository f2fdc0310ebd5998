"""The deletion of approved entities, beside a plain DELETE of the same rows."""

from __future__ import annotations

import time

from benchmarks import tables
from benchmarks.ground import LOCAL, OUTBOUND, SCHEMA, BenchmarkFailed, Ground, Use

ASIDE = "aside"  # on both servers: what was deleted, to be put back
TABLES = ("visit", "visit__sample")
HELD = f"{OUTBOUND}.bench_visit"
KEPT = 1000  # entities that nobody asks for


def prepared(catalogs: Ground, entities: int) -> None:
    """Have masters with two part rows each pulled, and copies of all rows beside them."""
    tables.visits(catalogs, entities + KEPT)
    catalogs.forget()
    catalogs.djlink("apply", "--auto-approve", "-f", catalogs.manifest("visit"))
    for server in (catalogs.source, catalogs.local):
        server.execute(f"DROP DATABASE IF EXISTS {ASIDE}")
        server.execute(f"CREATE DATABASE {ASIDE}")
    for table in TABLES:
        catalogs.local.execute(f"CREATE TABLE {ASIDE}.{table} AS SELECT * FROM {LOCAL}.{table}")
    catalogs.source.execute(f"CREATE TABLE {ASIDE}.held AS SELECT * FROM {HELD}")


def approved(catalogs: Ground, entities: int) -> Use:
    """Let djlink delete what was asked for and approved."""
    _put_back(catalogs)
    catalogs.source.execute(
        f"INSERT INTO {HELD}_deletion_requested (subject, visit)"
        f" SELECT subject, visit FROM {SCHEMA}.visit WHERE visit <= {entities}"
    )
    manifest, approvals = catalogs.manifest("visit"), catalogs.folder / "approvals.yaml"
    approvals.unlink(missing_ok=True)
    catalogs.djlink("approve", "source.bench.Visit", "--by", "benchmark", "--into", approvals, "-f", manifest)
    use = catalogs.djlink("apply", "--auto-approve", "-f", manifest, "-f", approvals)
    if (
        catalogs.count(LOCAL, "visit") != KEPT
        or catalogs.count(OUTBOUND, "bench_visit", at_source=True) != KEPT
    ):
        raise BenchmarkFailed("djlink did not delete what was approved, or more")
    return use


def plain(catalogs: Ground, entities: int) -> Use:
    """DELETE of the same rows: parts, masters, then what protects them, in sessions that are open."""
    _put_back(catalogs)
    with catalogs.cursors() as (source_cursor, local_cursor):
        started = time.monotonic()
        for table in reversed(TABLES):
            local_cursor.execute(f"DELETE FROM {LOCAL}.{table} WHERE visit <= {entities}")
        local_cursor.connection.commit()
        source_cursor.execute(f"DELETE FROM {HELD} WHERE visit <= {entities}")
        source_cursor.connection.commit()
        use = Use(time.monotonic() - started)
    if catalogs.count(LOCAL, "visit") != KEPT:
        raise BenchmarkFailed("the plain DELETE left rows behind")
    return use


def _put_back(catalogs: Ground) -> None:
    """Make everything what it was after the pull."""
    catalogs.local.execute(f"DELETE FROM {LOCAL}.visit__deletion_requested")
    for suffix in ("_deletion_requested", "_deletion_approved", "_history"):
        catalogs.source.execute(f"DELETE FROM {HELD}{suffix}")
    for table in reversed(TABLES):
        catalogs.local.execute(f"DELETE FROM {LOCAL}.{table}")
    catalogs.source.execute(f"DELETE FROM {HELD}")
    for table in TABLES:
        catalogs.local.execute(f"INSERT INTO {LOCAL}.{table} SELECT * FROM {ASIDE}.{table}")
        catalogs.local.execute(f"ANALYZE TABLE {LOCAL}.{table}")
    catalogs.source.execute(f"INSERT INTO {HELD} SELECT * FROM {ASIDE}.held")
    catalogs.source.execute(f"ANALYZE TABLE {HELD}")
