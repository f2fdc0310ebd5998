"""What measurements stand on: a source and a local server, accounts, processes whose use is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from djlink_manifest.sandbox import SandboxServer, ServerOptions, start_servers
from djlink_manifest.sandbox.servers.accounts import create_link_user, create_local_user
from djlink_manifest.sandbox.servers.binaries import Vendor

PASSWORD = "benchmark"
SCHEMA = "bench"
OUTBOUND = "lab_outbound"
LOCAL = f"our_{SCHEMA}"
DUMPED = "our_dumped"
HELPERS = "helper_outbound"  # what datajoint-link has at the source

# more memory than the sandbox's servers have, as much as a small real one has
EXTRA: dict[Vendor, tuple[str, ...]] = {
    "mysql": ("--innodb-buffer-pool-size=1G", "--innodb-redo-log-capacity=1G"),
    "mariadb": (
        "--innodb-buffer-pool-size=1G",
        "--innodb-log-file-size=1G",
        "--max-recursive-iterations=4294967295",  # else it ends a recursive query after 1,000 rows
    ),
}

MANIFEST = """
manifest: 1
name: bench
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
    schemas: {{{schema}: {{tables: {tables}}}}}
"""


@dataclass(frozen=True, slots=True)
class Use:
    """What a run took: seconds, peak resident megabytes (0: not measured), kilobytes over the wire."""

    seconds: float
    megabytes: float = 0.0
    kilobytes: float = 0.0


class BenchmarkFailed(Exception):
    """A run did not do what is measured."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A source server with the tables of SCHEMA, a local server, and a folder for files."""

    source: SandboxServer
    local: SandboxServer
    folder: Path

    @property
    def pair(self) -> str:
        """The vendors, as the table of results names them."""
        names = {"mysql": "MySQL", "mariadb": "MariaDB"}
        return f"{names[self.source.vendor]} to {names[self.local.vendor]}"

    def versions(self) -> list[str]:
        """The versions of both servers, as they tell them."""
        return [str(server.execute("SELECT VERSION()")[0][0]) for server in (self.source, self.local)]

    def manifest(self, tables: str) -> Path:
        """A manifest that links the tables: names with commas between them, or a mapping of YAML."""
        path = self.folder / f"{''.join(c for c in tables if c.isalnum())[:40]}.yaml"
        path.write_text(
            MANIFEST.format(
                source=self.source.port,
                local=self.local.port,
                outbound=OUTBOUND,
                schema=SCHEMA,
                tables=tables if tables.startswith("{") else f"[{tables}]",
            )
        )
        return path

    @contextmanager
    def cursors(self) -> Iterator[tuple[Any, Any]]:
        """Cursors of sessions at the source and on the local server, which commit when told to."""
        with (
            self.source.connect() as source,
            self.local.connect() as local,
            source.cursor() as at_source,
            local.cursor() as at_local,
        ):
            yield at_source, at_local

    def forget(self) -> None:
        """Undo what was pulled: outbound side and local schemas."""
        for schema in (LOCAL, DUMPED):
            self.local.execute(f"DROP DATABASE IF EXISTS {schema}")
        for schema in (OUTBOUND, HELPERS):
            self.source.execute(f"DROP DATABASE IF EXISTS {schema}")
        self.source.execute(f"CREATE DATABASE {OUTBOUND}")

    def djlink(self, *arguments: str | Path) -> Use:
        """A djlink command as a process of its own."""
        return process([sys.executable, "-m", "djlink_manifest", *map(str, arguments)], self.folder)

    def moved(self) -> int:
        """Bytes that both servers have sent and received so far."""
        total = 0
        for server in (self.source, self.local):
            rows = server.execute(
                "SHOW GLOBAL STATUS WHERE Variable_name IN ('Bytes_sent', 'Bytes_received')"
            )
            total += sum(int(value) for _, value in rows)
        return total

    def count(self, schema: str, table: str, *, at_source: bool = False) -> int:
        """The rows of a table."""
        server = self.source if at_source else self.local
        [(count,)] = server.execute(f"SELECT COUNT(*) FROM {schema}.{table}")
        return int(count)

    def fill(self, *statements: str) -> None:
        """Run statements in SCHEMA at the source, with recursion as deep as they need."""
        with self.source.connect(database=SCHEMA) as connection, connection.cursor() as cursor:
            if self.source.vendor == "mysql":
                cursor.execute("SET SESSION cte_max_recursion_depth = 100000000")
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def grounds(source: Vendor, local: Vendor, folder: Path) -> Iterator[Ground]:
    """Two servers with the accounts that real ones have, for the time of the block."""
    wanted = {
        "source": ServerOptions(source, extra=EXTRA[source]),
        "local": ServerOptions(local, extra=EXTRA[local]),
    }
    servers = start_servers(wanted)
    try:
        catalogs = Ground(servers["source"], servers["local"], folder)
        catalogs.source.execute(f"CREATE DATABASE {SCHEMA}")
        create_link_user(catalogs.source, "link", PASSWORD, [SCHEMA], OUTBOUND)
        create_local_user(catalogs.local, "lab", PASSWORD, [r"our\_%"])
        yield catalogs
    finally:
        for server in servers.values():
            server.stop()


def process(command: Sequence[str], folder: Path, *, shell: bool = False) -> Use:
    """Run a command to its end; BenchmarkFailed with its output where it fails.

    The peak is that of the process and of those that it waited for, the largest one.
    """
    log = folder / "command.log"
    started = time.monotonic()
    with log.open("w") as out:
        running = subprocess.Popen(
            " ".join(command) if shell else command,
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),  # what is installed has it
                "BENCH_PASS": PASSWORD,
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            shell=shell,
            executable="/bin/bash" if shell else None,
        )
        _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise BenchmarkFailed(f"{command} ended with {running.returncode}:\n{log.read_text()[-3000:]}")
    return Use(time.monotonic() - started, usage.ru_maxrss / 1024)
