"""What djlink is measured beside: the dump pipe, a DataJoint script, datajoint-link, plain statements."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.ground import DUMPED, PASSWORD, SCHEMA, BenchmarkFailed, Ground, Use, process
from djlink_manifest.sandbox.servers.packages import unpacked


def tell_nobody(message: str) -> None:
    """Say nothing."""


def dump_pipe(catalogs: Ground, *tables: str, binary: bool = False) -> Use:
    """`mysqldump --single-transaction` of the tables, piped into the client of the local server."""
    client = unpacked("mysql", tell_nobody).parent
    if catalogs.source.vendor == "mariadb":
        dump, options = unpacked("mariadb-client", tell_nobody), list[str]()
    else:
        dump, options = client / "mysqldump", ["--column-statistics=0", "--set-gtid-purged=OFF"]
    charset = ["--default-character-set=binary"] if binary else []
    catalogs.local.execute(f"DROP DATABASE IF EXISTS {DUMPED}")
    catalogs.local.execute(f"CREATE DATABASE {DUMPED}")
    command = ["set -o pipefail;", str(dump), "--single-transaction", *options]
    command += ["--max-allowed-packet=64M", "--no-tablespaces", "--host=127.0.0.1"]
    command += [
        f"--port={catalogs.source.port}",
        "--user=root",
        f"--password={catalogs.source.root_password}",
    ]
    command += [*charset, SCHEMA, *tables, "2>>", str(catalogs.folder / "dump.log")]
    # MariaDB's dump begins with a line for its own client, which MySQL's refuses
    # (`sed -u` would read all of the rest byte by byte, and be what is measured)
    first = '{ IFS= read -r line; [[ $line == *sandbox* ]] || printf "%s\\n" "$line"; exec cat; }'
    command += ["|", first] if catalogs.source.vendor == "mariadb" else []
    command += [
        "|",
        str(client / "mysql"),
        "--host=127.0.0.1",
        f"--port={catalogs.local.port}",
        "--user=root",
    ]
    command += [f"--password={catalogs.local.root_password}", "--max-allowed-packet=64M", *charset, DUMPED]
    use = process(command, catalogs.folder, shell=True)
    for table in tables:
        if catalogs.count(DUMPED, table) != catalogs.count(SCHEMA, table, at_source=True):
            raise BenchmarkFailed(f"the dump pipe left rows of {table} behind")
    return use


def datajoint_script(catalogs: Ground, table: str) -> Use:
    """Fetch and insert with DataJoint, in chunks, as a script of a lab does it."""
    catalogs.local.execute(f"DROP DATABASE IF EXISTS {DUMPED}")
    catalogs.local.execute(f"CREATE DATABASE {DUMPED}")
    (_, definition) = catalogs.source.execute(f"SHOW CREATE TABLE {SCHEMA}.{table}")[0]
    with catalogs.local.connect(database=DUMPED) as connection, connection.cursor() as cursor:
        cursor.execute(definition)
    script = Path(__file__).with_name("datajoint_script.py")
    arguments = [str(catalogs.source.port), catalogs.source.root_password, SCHEMA]
    arguments += [str(catalogs.local.port), catalogs.local.root_password, DUMPED, table]
    use = process([sys.executable, str(script), *arguments], catalogs.folder)
    if catalogs.count(DUMPED, table) != catalogs.count(SCHEMA, table, at_source=True):
        raise BenchmarkFailed("the DataJoint script left rows behind")
    return use


def counts(catalogs: Ground, outbound: str, local: str, table: str) -> Use:
    """COUNT(*) of source, outbound and local, one after the other, in sessions that are open."""
    with (
        catalogs.source.connect("link", PASSWORD) as source,
        catalogs.local.connect("lab", PASSWORD) as local_side,
        source.cursor() as source_cursor,
        local_side.cursor() as local_cursor,
    ):
        started = time.monotonic()
        source_cursor.execute(f"SELECT COUNT(*) FROM {SCHEMA}.{table}")
        source_cursor.execute(f"SELECT COUNT(*) FROM {outbound}")
        local_cursor.execute(f"SELECT COUNT(*) FROM {local}")
        return Use(time.monotonic() - started)
