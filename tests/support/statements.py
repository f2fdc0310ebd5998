"""What djlink's sessions send to the servers: watched, counted and interrupted, at the driver's last step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pymysql
import pytest

from tests.support.rig import Rig


class Statement(NamedTuple):
    """A statement as it goes out: the server's port, the session's number there, the text's beginning.

    A hook may use `connection` and `whole` while it is called; they are not kept.
    """

    port: int
    session: int
    text: str
    size: int
    connection: Any = None
    whole: str | bytes = ""

    def begins(self, *words: str) -> bool:
        """Whether the text begins with one of the words."""
        return self.text.lstrip().startswith(words)


LOAD = "LOAD DATA LOCAL INFILE 'rows' INTO TABLE"  # how a pull's rows are written

Hook = Callable[[Statement], None]


@contextmanager
def watched(before: Hook | None = None, *, prefix: str = "") -> Iterator[list[Statement]]:
    """The statements that sessions of accounts named `prefix`… send in this process during the block.

    `before` is called before each is sent, one thread at a time.
    """
    seen: list[Statement] = []
    guard = threading.Lock()
    send = pymysql.connections.Connection.query

    def query(connection: Any, sql: str | bytes, unbuffered: bool = False) -> Any:
        user = connection.user.decode() if isinstance(connection.user, bytes) else connection.user
        if user.startswith(prefix) and user != "root":
            text = sql[:400].decode(errors="replace") if isinstance(sql, bytes) else sql
            statement = Statement(connection.port, connection.thread_id(), text, len(sql))
            with guard:
                seen.append(statement)
                if before is not None:
                    before(statement._replace(connection=connection, whole=sql))
        affected = send(connection, sql, unbuffered)
        if sql[:9] in ("LOAD DATA", b"LOAD DATA"):
            with guard:  # its rows went beside it
                place = next(n for n, s in enumerate(seen) if s is statement)
                seen[place] = statement._replace(size=connection.fed)
        return affected

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pymysql.connections.Connection, "query", query)
        yield seen


def once(meets: Callable[[Statement], bool], do: Callable[[Statement], None]) -> Hook:
    """A hook that does something before the first statement that meets a condition."""
    done: list[Statement] = []

    def hook(statement: Statement) -> None:
        if not done and meets(statement):
            done.append(statement)
            do(statement)

    return hook


def kill(rig: Rig, server: str, session: int) -> None:
    """End a session at its server, and wait until it is gone."""
    rig.run(server, f"KILL {session}")
    while session in rig.sessions(server):
        time.sleep(0.001)
