"""Open sessions of one server, kept for the next use. A session that met an error is not kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from djlink_manifest.errors import ConnectionLost
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session

S = TypeVar("S", bound=Session)


class Pool(Generic[S]):
    """Sessions of one kind to one server, handed to one thread at a time."""

    def __init__(self, address: ServerAddress, kind: type[S]) -> None:
        self.address = address
        self._kind = kind
        self._free: list[S] = []
        self._guard = threading.Lock()

    @contextmanager
    def session(self) -> Iterator[S]:
        """A session for the time of the block."""
        with self._guard:
            session = self._free.pop() if self._free else None
        if session is None:
            session = open_session(self.address, self._kind)
        try:
            yield session
        except BaseException as error:
            session.close()
            if isinstance(error, ConnectionLost):
                self.close()  # what took this session took the idle ones too
            raise
        with self._guard:
            self._free.append(session)

    def close(self) -> None:
        """End all sessions that nobody uses."""
        with self._guard:
            free, self._free = self._free, []
        for session in free:
            session.close()
