"""Peak memory of `djlink apply`: a million narrow rows, and a thousand blobs of 1 MB.

    python benchmarks/memory.py [--rows N] [--blobs N]

Starts a source and a local server, fills the source with SQL, and runs the installed command as a process of
its own for each table, so that the peak resident memory is that command's alone. Seconds are printed beside
it for orientation.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from djlink_manifest.sandbox import SandboxServer, ServerOptions, start_servers
from djlink_manifest.sandbox.accounts import create_link_user, create_local_user

PASSWORD = "benchmark"
SCHEMA = "bench"
OUTBOUND = "lab_outbound"

MANIFEST = """
manifest: 1
name: memory
contact: nobody@example.org
local: {{host: 127.0.0.1, port: {local}, user: lab, password: "${{env:BENCH_PASS}}", tls: false}}
defaults: {{schema_name: "our_{{schema}}"}}
sources:
  source:
    host: 127.0.0.1
    port: {source}
    user: link
    password: "${{env:BENCH_PASS}}"
    tls: false
    outbound: {outbound}
    schemas: {{{schema}: {{tables: [{table}]}}}}
"""


def fill(source: SandboxServer, rows: int, blobs: int) -> None:
    """Make the two tables at the source."""
    source.execute(f"CREATE DATABASE {SCHEMA}")
    with source.connect(database=SCHEMA) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET SESSION cte_max_recursion_depth = {max(rows, blobs) + 1}")
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
        cursor.execute(
            "CREATE TABLE narrow (subject varchar(16), day date, number int, rate float, note varchar(40),"
            " PRIMARY KEY (subject, day, number))"
        )
        cursor.execute(
            "INSERT INTO narrow " + numbers.format(rows) + " SELECT CONCAT('subject', i % 100),"
            " DATE('2020-01-01') + INTERVAL i % 1000 DAY, i, i / 7, CONCAT('a note of row ', i) FROM n"
        )
        cursor.execute("CREATE TABLE wide (id int PRIMARY KEY, data longblob)")
        for first in range(1, blobs + 1, 100):
            last = min(first + 99, blobs)
            cursor.execute(
                "INSERT INTO wide "
                + numbers.format(last)
                + f" SELECT i, REPEAT(RANDOM_BYTES(1024), 1024) FROM n WHERE i >= {first}"
            )


def measure(folder: Path, table: str, source: SandboxServer, local: SandboxServer) -> tuple[float, float]:
    """Seconds and peak megabytes of one `djlink apply` of one table."""
    manifest = folder / f"{table}.yaml"
    manifest.write_text(
        MANIFEST.format(
            source=source.port, local=local.port, outbound=OUTBOUND, schema=SCHEMA, table=table
        ).replace("name: memory", f"name: memory-{table}")
    )
    command = [sys.executable, "-m", "djlink_manifest", "apply", "--auto-approve", "-f", str(manifest)]
    started = time.monotonic()
    with (folder / f"{table}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "BENCH_PASS": PASSWORD},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        told = Path(log.name).read_text()
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{told}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="narrow rows")
    parser.add_argument("--blobs", type=int, default=1_000, help="rows with 1 MB of blob")
    options = parser.parse_args()
    servers = start_servers({"source": ServerOptions(), "local": ServerOptions()})
    source, local = servers["source"], servers["local"]
    try:
        fill(source, options.rows, options.blobs)
        create_link_user(source, "link", PASSWORD, [SCHEMA], OUTBOUND)
        create_local_user(local, "lab", PASSWORD, [r"our\_%"])
        print(f"{'table':<10} {'rows':>10} {'seconds':>8} {'peak MB':>8}")
        with tempfile.TemporaryDirectory() as folder:
            for table, rows in (("narrow", options.rows), ("wide", options.blobs)):
                seconds, peak = measure(Path(folder), table, source, local)
                [(count,)] = local.execute(f"SELECT COUNT(*) FROM our_{SCHEMA}.{table}")
                if count != rows:
                    raise SystemExit(f"{count} of {rows} rows arrived")
                print(f"{table:<10} {rows:>10,} {seconds:>8.1f} {peak:>8.0f}")
    finally:
        for server in servers.values():
            server.stop()


if __name__ == "__main__":
    main()
