"""Open sessions of one server, kept for the next use. A session that met an error is not kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from djlink_manifest.errors import ConnectionLost, Unusable
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session

S = TypeVar("S", bound=Session)


class Pool(Generic[S]):
    """Sessions of one kind to one server, handed to one thread at a time.

    Once the server proved unusable nobody waits for it again: each further session is refused in its words.
    """

    def __init__(self, address: ServerAddress, kind: type[S]) -> None:
        self.address = address
        self._kind = kind
        self._free: list[S] = []
        self._lent: list[S] = []
        self._guard = threading.Lock()
        self._unusable: Unusable | None = None

    @contextmanager
    def session(self) -> Iterator[S]:
        """A session for the time of the block."""
        with self._guard:
            if self._unusable is not None:
                raise _again(self._unusable)
            session = self._free.pop() if self._free else None
        try:
            session = session or open_session(self.address, self._kind)
        except Unusable as error:
            self._unusable = error
            raise
        with self._guard:
            self._lent.append(session)
        try:
            yield session
        except BaseException as error:
            self._back(session)
            session.close()
            if isinstance(error, ConnectionLost):
                self.close()  # what took this session took the idle ones too
            if isinstance(error, Unusable) and error.server == self.address.name:
                self._unusable = error
            raise
        self._back(session)
        with self._guard:
            self._free.append(session)

    def close(self) -> None:
        """End all sessions that nobody uses."""
        with self._guard:
            free, self._free = self._free, []
        for session in free:
            session.close()

    def interrupt(self) -> None:
        """End all sessions; those that are used meet an error at once, whatever they wait for."""
        with self._guard:
            lent = tuple(self._lent)
        for session in lent:
            session.interrupt()
        self.close()

    def _back(self, session: S) -> None:
        with self._guard:
            self._lent = [each for each in self._lent if each is not session]


def _again(error: Unusable) -> Unusable:
    """The error anew: one that is raised in several threads would gather the traces of all."""
    return Unusable(error.message, code=error.code, said=error.said, server=error.server, hint=error.hint)
