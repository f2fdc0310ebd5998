"""One throwaway server: a real MySQL or MariaDB in a temporary folder, on a free port of 127.0.0.1."""

from __future__ import annotations

import atexit
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pymysql
from pymysql.connections import Connection

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers.binaries import Vendor
from djlink_manifest.sandbox.servers.process import GuardedProcess, start_guarded

HOST = "127.0.0.1"
READY_SECONDS = 120


@dataclass(eq=False, slots=True)
class SandboxServer:
    """A running throwaway server. As a context manager it is stopped at the end.

    It also ends, and its folder goes, when the process that owns it exits or is killed.
    """

    name: str
    vendor: Vendor
    version: str
    port: int
    folder: Path
    root_password: str = field(repr=False)
    process: GuardedProcess = field(default_factory=lambda: GuardedProcess(0, None), repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    after: tuple[str, ...] = field(default=(), repr=False)
    host: str = HOST

    @property
    def datadir(self) -> Path:
        """The server's data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says of itself."""
        return self.folder / "server.log"

    @property
    def ca_path(self) -> Path | None:
        """The authority that signed the server's certificate; None where the server has no TLS."""
        path = self.folder / "ca.pem"
        return path if path.exists() else None

    @property
    def pid(self) -> int:
        """The process to end (SIGTERM) in order to stop the server and remove its folder from outside."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the server has not ended."""
        return self.process.running

    def connect(
        self,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        **options: Any,
    ) -> Connection:
        """A session of its own, as root where no user is named: autocommit, utf8mb4, TLS where there is any.

        `options` are those of `pymysql.connect`. Raises `pymysql.MySQLError`.
        """
        if user is None:
            user, password = "root", self.root_password
        settings: dict[str, Any] = {"autocommit": True, "charset": "utf8mb4", "connect_timeout": 10}
        if not any(option.startswith("ssl") for option in options):
            if self.ca_path:
                settings |= {"ssl_ca": str(self.ca_path), "ssl_verify_identity": True}
            else:
                # else the driver reads all of the system's authorities, which takes longer than the rest
                settings["ssl_disabled"] = True
        settings |= options
        return pymysql.connect(
            host=self.host, port=self.port, user=user, password=password or "", database=database, **settings
        )

    def execute(
        self, sql: str, args: Sequence[object] | Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement as root, in a session of its own; return its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, args)
            return list(cursor.fetchall())

    def stop(self) -> None:
        """End the server and remove its folder. May be called again."""
        _live.pop(self, None)
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """End the server at once (SIGKILL); `restart` brings it back with what was committed."""
        self.process.kill()

    def restart(self) -> None:
        """Start again on the same port and data, after an orderly shutdown where the server still runs."""
        if not self.command:
            raise SandboxError(f"server {self.name} can be restarted only by the process that started it")
        self.process.shut_down()
        self.launch(os.getpid())
        self.wait_until_ready()

    def keep(self) -> None:
        """Leave the server running when this process ends; `kill PID` with its `pid` ends it then."""
        _live.pop(self, None)
        self.process.disown()

    def describe(self) -> dict[str, str | int | None]:
        """What another process needs to `attach`, the root password included; JSON can hold it."""
        return {
            "name": self.name,
            "vendor": self.vendor,
            "version": self.version,
            "port": self.port,
            "folder": str(self.folder),
            "root_password": self.root_password,
            "pid": self.process.pid,
            "mark": self.process.mark,
        }

    @classmethod
    def attach(cls, described: Mapping[str, Any]) -> SandboxServer:
        """A server that another process started; it can be stopped and killed, but not restarted."""
        return cls(
            name=described["name"],
            vendor=described["vendor"],
            version=described["version"],
            port=described["port"],
            folder=Path(described["folder"]),
            root_password=described["root_password"],
            process=GuardedProcess(described["pid"], described["mark"]),
        )

    def __enter__(self) -> SandboxServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def launch(self, owner_pid: int) -> None:
        """Start the server's process below a guard that ends it with the process `owner_pid`."""
        self.process = start_guarded(
            self.command, folder=self.folder, log=self.log, owner_pid=owner_pid, after=self.after
        )
        if owner_pid == os.getpid():
            _live[self] = owner_pid

    def wait_until_ready(self) -> None:
        """Return when root can log in; SandboxError with the end of the log where the server ends before."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.connect().close()
            except pymysql.MySQLError as error:
                if not self.process.running or time.monotonic() > deadline:
                    raise SandboxError(
                        f"the throwaway {self.vendor} server {self.name} does not start: {error.args[-1]}\n"
                        + self._log_tail(),
                        hint="see the end of its log above",
                        server=self.name,
                    ) from error
                time.sleep(0.02)
            else:
                return

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


# What this process has to stop when it exits, with the id of the process that started it.
_live: dict[SandboxServer, int] = {}


@atexit.register
def _stop_all() -> None:
    for server, owner in list(_live.items()):
        # A forked child inherits the list, but not the servers.
        if owner == os.getpid():
            server.stop()
