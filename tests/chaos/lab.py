"""The lab: two sources and a local server, accounts with the rights that people have, proxies, commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import yaml
from pymysql.connections import Connection

from djlink_manifest.sandbox import SandboxServer, create_link_user, create_local_user, create_owner
from tests.chaos.pipeline import CHILDREN, DDL, TABLES, Content, Key, Table
from tests.chaos.wire import Proxy

PASSWORD = "chaos-password-7"
SOURCES = ("north", "south")
LOST = (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError)
OPTIONS: dict[str, dict[str, Any]] = {
    "north": {"unwanted": "release", "deletions": "review", "changed": "mend", "max_deletions": "100%"},
    "south": {"unwanted": "keep", "deletions": "auto", "changed": "mend", "max_deletions": "100%"},
}
SPECIAL: dict[str, dict[str, dict[str, Any]]] = {
    "north": {"spikes": {"deletions": "auto"}},
    "south": {"pairing": {"unwanted": "release"}, "spikes": {"deletions": "review", "unwanted": "release"}},
}
RIGHTS = "CREATE, ALTER, REFERENCES, SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, DROP"


@dataclass(slots=True)
class Lab:
    """The servers of a run by name (`north`, `south`, `local`), with a proxy before each.

    Names on the servers begin with `prefix`. `options` are those of each source, `special` those of tables.
    """

    servers: Mapping[str, SandboxServer]
    folder: Path
    prefix: str
    options: Mapping[str, dict[str, Any]] = field(default_factory=lambda: OPTIONS)
    special: Mapping[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: SPECIAL)
    proxies: dict[str, Proxy] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that this lab has."""
        return tuple(name for name in SOURCES if name in self.servers)

    def schema(self, name: str) -> str:
        """A schema at a source."""
        return self.prefix + name

    @property
    def outbound(self) -> str:
        """The outbound schema at each source."""
        return self.prefix + "outbound"

    def local_schema(self, source: str, table: Table) -> str:
        """The local schema of a table."""
        return f"{self.prefix}our_{source}_{table.schema}"

    def address(self, source: str, table: Table) -> str:
        """A link's address."""
        return f"{source}.{self.schema(table.schema)}.{table.class_name}"

    def is_released(self, source: str, table: Table) -> bool:
        """Whether unwanted rows of a table are deleted locally."""
        return self._option(source, table, "unwanted") == "release"

    def is_reviewed(self, source: str, table: Table) -> bool:
        """Whether requests wait for a person."""
        return self._option(source, table, "deletions") == "review"

    def may_wait(self, source: str, table: Table) -> bool:
        """Whether requests of a table can wait for a person: what may go along is reviewed, too."""
        below = (child for child, _, _ in CHILDREN[table.name])
        return self.is_reviewed(source, table) or any(self.may_wait(source, child) for child in below)

    def _option(self, source: str, table: Table, name: str) -> str:
        of_table = self.special.get(source, {}).get(table.name, {})
        return str(of_table.get(name, self.options[source][name]))

    def connect(self, server: str, user: str | None = None, **settings: Any) -> Connection[Any]:
        """A session straight to a server: as root, or as an account of the test."""
        password = None if user is None else PASSWORD
        return self.servers[server].connect(user and self.prefix + user, password, **settings)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make tables and accounts, write the manifests, and end the proxies at the end of the block."""
        try:
            self._prepare()
            yield
        finally:
            for proxy in self.proxies.values():
                proxy.close()

    def _prepare(self) -> None:
        for source in self.sources:
            names = {name: f"`{self.schema(name)}`" for name in ("lab", "ephys")}
            with self.connect(source) as session, session.cursor() as cursor:
                for name in names.values():
                    cursor.execute(f"CREATE DATABASE {name}")
                for text in DDL:
                    cursor.execute(text.format(**names))
            schemas, owners = [self.schema(name) for name in names], self.outbound + "_owner"
            create_link_user(
                self.servers[source],
                self.prefix + "link",
                PASSWORD,
                schemas,
                self.outbound,
                owner_schema=owners,
            )
            create_owner(self.servers[source], self.prefix + "owner", PASSWORD, schemas, owner_schema=owners)
        pattern = self.prefix.replace("_", r"\_") + "%"
        create_local_user(self.servers["local"], self.prefix + "lab", PASSWORD, [pattern], [RIGHTS])
        self.proxies = {name: Proxy(name, s.host, s.port) for name, s in self.servers.items()}
        for name in ("wide", "narrow"):
            text = yaml.safe_dump(self._document(name), sort_keys=False)
            (self.folder / f"{name}.yaml").write_text(text)
        (self.folder / "approvals.yaml").write_text("approvals: []\n")

    def _document(self, manifest: str) -> dict[str, Any]:
        return {
            "manifest": 1,
            "name": self.prefix + "atlas",
            "contact": "data@ourlab.example",
            "local": self._server("local", "lab"),
            "defaults": {"schema_name": self.prefix + "our_{source}_{schema}"},
            "sources": {
                source: {
                    **self._server(source, "link"),
                    "outbound": self.outbound,
                    **self.options[source],
                    "schemas": {
                        self.schema(schema): {
                            "schema_name": f"{self.prefix}our_{source}_{schema}",
                            "tables": {
                                t.class_name: self._table(source, t, manifest)
                                for t in TABLES
                                if t.schema == schema
                            },
                        }
                        for schema in ("lab", "ephys")
                    },
                }
                for source in self.sources
            },
        }

    def _table(self, source: str, table: Table, manifest: str) -> dict[str, Any]:
        options = {"outbound_table": table.base, **self.special.get(source, {}).get(table.name, {})}
        if table.needed:
            options["pull"] = "needed"
        if table.where:
            options["where"] = table.where[manifest][0]
        return options

    def _server(self, name: str, user: str) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.proxies[name].port,
            "user": self.prefix + user,
            "password": "${env:CHAOS_PASSWORD}",
            "tls": False,
        }

    def start(self, *arguments: str, manifest: str = "narrow") -> Command:
        """Start a djlink command on a manifest and the approvals."""
        files = ("-f", str(self.folder / f"{manifest}.yaml"), "-f", str(self.folder / "approvals.yaml"))
        return Command([*arguments, *files])

    def run(self, *arguments: str, manifest: str = "narrow", seconds: float = 120) -> Command:
        """Run a djlink command to its end."""
        command = self.start(*arguments, manifest=manifest)
        command.wait(seconds)
        return command

    def content(self, side: str, source: str) -> Content:
        """All rows of one source's tables, at the source or (`local`) here, of one moment."""
        found = Content()
        with self.connect(side) as session, session.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            for table in TABLES:
                local = side == "local"
                schema = self.local_schema(source, table) if local else self.schema(table.schema)
                rows = list(_rows(cursor, schema, table.name, table.columns))
                parts = (
                    list(_rows(cursor, schema, table.part_table, table.part_columns)) if table.part else []
                )
                found.add(table, rows, parts)
        return found

    def marked(self, source: str, suffix: str = "") -> dict[str, set[Key]]:
        """The keys in the outbound tables of a source, or in those of requests or approvals."""
        found = {}
        with self.connect(source) as session, session.cursor() as cursor:
            for table in TABLES:
                keys = ", ".join(table.key)
                cursor.execute(f"SELECT {keys} FROM `{self.outbound}`.`{table.base}{suffix}`")
                found[table.name] = set(cursor.fetchall())
        return found


def _rows(cursor: Any, schema: str, table: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    cursor.execute(f"SELECT {', '.join(columns)} FROM `{schema}`.`{table}`")
    yield from cursor.fetchall()


@dataclass(slots=True)
class Command:
    """One djlink process, whose output is kept."""

    arguments: list[str]
    process: subprocess.Popen[str] = field(init=False)
    output: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "djlink_manifest", *self.arguments],
            env={**os.environ, "CHAOS_PASSWORD": PASSWORD, "NO_COLOR": "1", "COLUMNS": "150"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.threads.append(threading.Thread(target=self._read, daemon=True))
        self.threads[0].start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):
            self.output.extend(self.process.stdout)

    @property
    def text(self) -> str:
        """What it printed."""
        return "".join(self.output)

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs; negative where a signal ended it."""
        return self.process.poll()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            self.threads[0].join(5)
            return True
        return False

    def kill(self) -> bool:
        """Kill it (SIGKILL); whether that was what ended it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.threads[0].join(5)
        return self.process.returncode == -signal.SIGKILL


@contextmanager
def transaction(session: Connection[Any], isolation: str = "READ COMMITTED") -> Iterator[Any]:
    """A transaction of a session, committed at the end of the block; the block gets a cursor."""
    with session.cursor() as cursor:
        cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
        session.begin()
        try:
            yield cursor
            session.commit()
        except BaseException:
            with suppress(*LOST):
                session.rollback()
            raise
