"""What djlink is measured beside: the dump pipe, a DataJoint script, datajoint-link, plain statements."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.ground import DUMPED, PASSWORD, SCHEMA, BenchmarkFailed, Ground, Use, process
from djlink_manifest.sandbox.servers.packages import unpacked


def tell_nobody(message: str) -> None:
    """Say nothing."""


def dump_pipe(ground: Ground, *tables: str, binary: bool = False) -> Use:
    """`mysqldump --single-transaction` of the tables, piped into the client of the local server."""
    client = unpacked("mysql", tell_nobody).parent
    if ground.source.vendor == "mariadb":
        dump, options = unpacked("mariadb-client", tell_nobody), list[str]()
    else:
        dump, options = client / "mysqldump", ["--column-statistics=0", "--set-gtid-purged=OFF"]
    charset = ["--default-character-set=binary"] if binary else []
    ground.local.execute(f"DROP DATABASE IF EXISTS {DUMPED}")
    ground.local.execute(f"CREATE DATABASE {DUMPED}")
    command = ["set -o pipefail;", str(dump), "--single-transaction", *options]
    command += ["--max-allowed-packet=64M", "--no-tablespaces", "--host=127.0.0.1"]
    command += [f"--port={ground.source.port}", "--user=root", f"--password={ground.source.root_password}"]
    command += [*charset, SCHEMA, *tables, "2>>", str(ground.folder / "dump.log")]
    # MariaDB's dump begins with a line for its own client, which MySQL's refuses
    # (`sed -u` would read all of the rest byte by byte, and be what is measured)
    first = '{ IFS= read -r line; [[ $line == *sandbox* ]] || printf "%s\\n" "$line"; exec cat; }'
    command += ["|", first] if ground.source.vendor == "mariadb" else []
    command += ["|", str(client / "mysql"), "--host=127.0.0.1", f"--port={ground.local.port}", "--user=root"]
    command += [f"--password={ground.local.root_password}", "--max-allowed-packet=64M", *charset, DUMPED]
    use = process(command, ground.folder, shell=True)
    for table in tables:
        if ground.count(DUMPED, table) != ground.count(SCHEMA, table, at_source=True):
            raise BenchmarkFailed(f"the dump pipe left rows of {table} behind")
    return use


def datajoint_script(ground: Ground, table: str) -> Use:
    """Fetch and insert with DataJoint, in chunks, as a script of a lab does it."""
    ground.local.execute(f"DROP DATABASE IF EXISTS {DUMPED}")
    ground.local.execute(f"CREATE DATABASE {DUMPED}")
    (_, definition) = ground.source.execute(f"SHOW CREATE TABLE {SCHEMA}.{table}")[0]
    with ground.local.connect(database=DUMPED) as connection, connection.cursor() as cursor:
        cursor.execute(definition)
    script = Path(__file__).with_name("datajoint_script.py")
    arguments = [str(ground.source.port), ground.source.root_password, SCHEMA]
    arguments += [str(ground.local.port), ground.local.root_password, DUMPED, table]
    use = process([sys.executable, str(script), *arguments], ground.folder)
    if ground.count(DUMPED, table) != ground.count(SCHEMA, table, at_source=True):
        raise BenchmarkFailed("the DataJoint script left rows behind")
    return use


def counts(ground: Ground, outbound: str, local: str, table: str) -> Use:
    """COUNT(*) of source, outbound and local, one after the other, in sessions that are open."""
    with (
        ground.source.connect("link", PASSWORD) as there,
        ground.local.connect("lab", PASSWORD) as here,
        there.cursor() as source_cursor,
        here.cursor() as local_cursor,
    ):
        started = time.monotonic()
        source_cursor.execute(f"SELECT COUNT(*) FROM {SCHEMA}.{table}")
        source_cursor.execute(f"SELECT COUNT(*) FROM {outbound}")
        local_cursor.execute(f"SELECT COUNT(*) FROM {local}")
        return Use(time.monotonic() - started)
