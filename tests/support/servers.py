"""Throwaway servers of both vendors that all tests of a run share, and names that keep the tests apart."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pymysql
from pymysql.cursors import Cursor

from djlink_manifest.sandbox import SandboxServer, ServerOptions, start_servers
from djlink_manifest.sandbox.servers.accounts import quoted_name
from djlink_manifest.sandbox.servers.binaries import Kind, vendor_of
from djlink_manifest.sandbox.servers.cache import locked

NO_SUCH_THREAD = 1094
# The files of the servers are kept in memory where it has room: MySQL makes a table on a disk in 20 ms, in
# memory in 5 ms, and the tests make tens of thousands. A killed server finds its files again in either.
MEMORY = Path("/dev/shm")
ROOM = 3 << 30  # of files, and as much again for what the servers hold beside them

# what `mariadb` stands for in a run: DJLINK_TEST_MARIADB=mariadb-11.8 runs all tests of MariaDB on 11.8
STARTED: dict[Kind, Kind] = {"mariadb": cast("Kind", os.environ.get("DJLINK_TEST_MARIADB", "mariadb"))}
ROLES = ("lab_a", "lab_b", "local")
# MariaDB ends a recursive query after 1,000 rows without an error
_OF_MARIADB = ("--max-recursive-iterations=4294967295",)
EXTRA: dict[Kind, tuple[str, ...]] = {"mysql": (), "mariadb": _OF_MARIADB, "mariadb-11.8": _OF_MARIADB}


@dataclass(frozen=True, slots=True)
class Pair:
    """The kinds of a test's servers: of both sources, and of the local server."""

    source: Kind = "mysql"
    local: Kind = "mysql"

    def __str__(self) -> str:
        return f"{self.source}-{self.local}"

    @property
    def crosses(self) -> bool:
        """Whether the servers are of different vendors."""
        return vendor_of(self.source) != vendor_of(self.local)


ALIKE = (Pair("mysql", "mysql"), Pair("mariadb", "mariadb"))
CROSSED = (Pair("mysql", "mariadb"), Pair("mariadb", "mysql"))
PAIRS = ALIKE + CROSSED
# MariaDB 11.8 beside both; what differs there runs on these too
NEWER = (
    Pair("mysql", "mariadb-11.8"),
    Pair("mariadb-11.8", "mysql"),
    Pair("mariadb", "mariadb-11.8"),
    Pair("mariadb-11.8", "mariadb"),
)
SAME_NEWER = Pair("mariadb-11.8", "mariadb-11.8")
ALL_PAIRS = (*ALIKE, *CROSSED, *NEWER, SAME_NEWER)


@dataclass(frozen=True, slots=True)
class Servers:
    """Two sources and the local server. A test that kills or restarts a server starts one of its own."""

    lab_a: SandboxServer
    lab_b: SandboxServer
    local: SandboxServer

    @property
    def pair(self) -> Pair:
        """The kinds of the sources and of the local server."""
        return Pair(kind_of(self.lab_a), kind_of(self.local))

    def __iter__(self) -> Iterator[SandboxServer]:
        return iter((self.lab_a, self.lab_b, self.local))


@dataclass(frozen=True, slots=True)
class Names:
    """Names of schemas and accounts that no other test uses: `names("lab")` is `t1f2e3d4c_lab`."""

    prefix: str

    def __call__(self, name: str) -> str:
        return self.prefix + name

    @property
    def pattern(self) -> str:
        """All schemas of this test, as GRANT takes it."""
        return self.prefix.replace("_", r"\_") + "%"


def has(kind: Kind, other: Kind) -> bool:
    """Whether a server has what one of the other kind has: MariaDB 11.8 has all of MariaDB 10.11."""
    return other in (kind, vendor_of(kind))


def kind_of(server: SandboxServer) -> Kind:
    """The kind that a server was started as."""
    newer = server.version.startswith("11.8.") and STARTED["mariadb"] == "mariadb"
    return "mariadb-11.8" if newer else server.vendor


def has_room_in_memory() -> bool:
    """Whether the servers' files fit into a file system in memory, and the servers beside them."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE)
    if not os.access(MEMORY, os.W_OK) or available is None:
        return False
    return shutil.disk_usage(MEMORY).free > ROOM and int(available[1]) * 1024 > 2 * ROOM


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def new_names() -> Names:
    """Names with a prefix of their own."""
    return Names(f"t{secrets.token_hex(4)}_")


def shared_servers(folder: Path, owner_pid: int, pair: Pair) -> Servers:
    """The run's servers of these kinds, described in `folder`; whoever asks first starts a kind's.

    They belong to `owner_pid`, the process that the run ends with, not to the worker that started them.
    """
    found = {kind: _of_kind(folder, owner_pid, kind) for kind in {pair.source, pair.local}}
    return Servers(found[pair.source]["lab_a"], found[pair.source]["lab_b"], local=found[pair.local]["local"])


def _of_kind(folder: Path, owner_pid: int, kind: Kind) -> dict[str, SandboxServer]:
    described = _description(folder, kind)
    with locked(folder / "servers.lock"):
        if not described.exists():
            options = ServerOptions(STARTED.get(kind, kind), extra=EXTRA[kind])
            started = start_servers(dict.fromkeys(ROLES, options), owner_pid=owner_pid)
            text = json.dumps({name: server.describe() for name, server in started.items()})
            described.touch(mode=0o600)
            described.write_text(text)
    return _attached(described)


def _description(folder: Path, kind: Kind) -> Path:
    return folder / f"{kind}.json"


def stop_shared_servers(folder: Path) -> None:
    """Stop what was started and remove `folder`."""
    for kind in EXTRA:
        described = _description(folder, kind)
        if described.exists():
            for server in _attached(described).values():
                server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _attached(described: Path) -> dict[str, SandboxServer]:
    descriptions = json.loads(described.read_text())
    return {name: SandboxServer.attach(description) for name, description in descriptions.items()}


def processes(cursor: Cursor) -> dict[int, tuple[str, str]]:
    """The sessions of a server: the account and the schema of each.

    Not from information_schema, which fails (3854) where another session's statement holds an emoji; and as
    bytes, for SHOW PROCESSLIST cuts statements, some within a character.
    """
    connection = cursor.connection
    decoders, unicode = connection.decoders, connection.use_unicode
    connection.decoders, connection.use_unicode = {}, False
    try:
        cursor.execute("SHOW PROCESSLIST")
        return {int(row[0]): (row[1].decode(), (row[3] or b"").decode()) for row in cursor.fetchall()}
    finally:
        connection.decoders, connection.use_unicode = decoders, unicode


def drop_everything(server: SandboxServer, names: Names) -> None:
    """Drop the schemas and accounts of a test, and end the sessions that it left open and that hold locks."""
    with server.connect() as connection, connection.cursor() as cursor:
        own_columns = (len(names.prefix), names.prefix)
        cursor.execute("SET SESSION foreign_key_checks = 0, lock_wait_timeout = 20")
        cursor.execute("SELECT CONNECTION_ID()")
        [(own,)] = cursor.fetchall()
        for session, (user, schema) in processes(cursor).items():
            if session == own or not any(name.startswith(names.prefix) for name in (user, schema)):
                continue
            try:
                cursor.execute(f"KILL {session}")
            except pymysql.MySQLError as error:
                if error.args[0] != NO_SUCH_THREAD:  # It may have ended by itself.
                    raise
        cursor.execute(
            "SELECT schema_name FROM information_schema.schemata WHERE LEFT(schema_name, %s) = %s",
            own_columns,
        )
        for (schema,) in cursor.fetchall():
            cursor.execute(f"DROP DATABASE {quoted_name(schema)}")
        cursor.execute("SELECT user, host FROM mysql.user WHERE LEFT(user, %s) = %s", own_columns)
        for user, host in cursor.fetchall():
            if host:
                cursor.execute("DROP USER %s@%s", (user, host))
            else:  # a role of MariaDB is no account
                cursor.execute(f"DROP ROLE {quoted_name(user)}")
