"""How long an answer is waited for, and how much of it is taken.

Briefly and little at login; later while the server says that it works on it, and as much as memory can hold,
where the answer is held there at once.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

CONNECT_TIME = 10.0  # seconds until a connection stands
LOGIN_SILENCE, LOGIN_TIME = 10.0, 30.0  # without a byte of an answer, and for the whole login
ASK_AFTER = 30.0  # of silence within a statement, until the server is asked whether it still runs
LOST_AFTER = 10  # that the server waits for this session, while this session waits for an answer
LONGEST = 3600.0  # that a statement may be silent, whatever the server says of it
SLOWEST = 100  # bytes a second, of rows that are waited for longer than LONGEST
LOGIN_BYTES = 1 << 20  # of all answers during a login
MOST_BYTES, MOST_PACKETS = 256 << 20, 4_000_000  # of an answer that is held in memory at once: a catalog
MOST_STREAMED = 256 << 30  # of an answer that is passed on as it comes
LARGEST_PACKET = (1 << 30) + (1 << 16)  # servers allow 1 GB at most
SEND_TIME = 600.0  # until a server has taken what is sent to it, at most 16 MB at once


class Silent(Exception):
    """A server that does not answer for so many seconds; `runs` tells that it answers other sessions."""

    def __init__(self, seconds: float, *, runs: bool = False) -> None:
        super().__init__(f"no answer for {seconds:.0f} s")
        self.seconds, self.runs = seconds, runs


class Gone(Exception):
    """The server answers, and the session of the statement is no more."""


class TooMuch(Exception):
    """An answer that is larger than any of its kind is."""

    def __init__(self) -> None:
        super().__init__("it sent more than any server has to say there")


class Patience(Protocol):
    """Who decides how long is waited."""

    def begin(self) -> None:
        """A statement is about to be sent; its answer is held in memory, unless `rows_follow` is called."""

    def rows_follow(self) -> None:
        """What comes from now on are rows that are passed on as they come, and not held in memory."""

    def heard(self, received: int, waited: float) -> None:
        """So many bytes were received, after so many seconds. Raises TooMuch, or Silent."""

    def silent(self) -> None:
        """Nothing was received for a while. Raises Silent or Gone where there is no use in waiting on."""

    def unlimited(self) -> AbstractContextManager[None]:
        """Wait for what runs within the block however long it takes, while the server says that it runs."""


class AtLogin:
    """Patience for a login: so many seconds without a byte, and so many in all."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._received = 0

    def begin(self) -> None:
        """Nothing: the login is one step."""

    def rows_follow(self) -> None:
        """Nothing: those of a login are few."""

    def heard(self, received: int, waited: float) -> None:
        """End a login that goes on for too long, byte by byte, or says too much."""
        self._received += received
        if self._received > LOGIN_BYTES:
            raise TooMuch
        if time.monotonic() - self._since > LOGIN_TIME:
            raise Silent(LOGIN_TIME)

    def silent(self) -> None:
        """End the login."""
        raise Silent(LOGIN_SILENCE)

    def unlimited(self) -> AbstractContextManager[None]:
        """Nothing of a login has no limit."""
        return nullcontext()


class WhileItRuns:
    """Patience for statements: as long as the server says that the session runs one, up to a limit.

    `runs` asks the server by another session whether it still works for this one; it raises Silent where the
    server answers nobody. `end` ends the statement.
    """

    def __init__(self, runs: Callable[[], bool], end: Callable[[], None]) -> None:
        self._runs, self._end = runs, end
        self._since = 0.0
        self._longest = LONGEST
        self._received, self._waited = 0, 0.0  # since the statement was sent
        self._most = MOST_BYTES

    def begin(self) -> None:
        """Count from now."""
        self._since = time.monotonic()
        self._received, self._waited, self._most = 0, 0.0, MOST_BYTES

    def rows_follow(self) -> None:
        """Let more bytes come than memory holds."""
        self._most = MOST_STREAMED

    def heard(self, received: int, waited: float) -> None:
        """Count from now, and end an answer that has no end: too large to be held, or too slow."""
        self._since = time.monotonic()
        self._received += received
        self._waited += waited
        if self._received > self._most:
            raise TooMuch
        held = self._most == MOST_BYTES
        if self._waited > self._longest and (held or self._received < SLOWEST * self._waited):
            self._end()
            raise Silent(self._waited, runs=True)

    def silent(self) -> None:
        """Ask the server, or end what takes too long."""
        waited = time.monotonic() - self._since
        if waited > self._longest:
            self._end()
            raise Silent(waited, runs=True)
        try:
            if not self._runs():
                raise Gone
        except Silent:
            raise Silent(time.monotonic() - self._since) from None

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """Set no limit to what runs within the block: a DDL shall not end in the middle."""
        self._longest, before = math.inf, self._longest
        try:
            yield
        finally:
            self._longest = before


class Answers(io.RawIOBase):
    """What a connection's socket receives. `patience` decides what comes of each of its timeouts."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes, and take what is there."""
        began = time.monotonic()
        while True:
            try:
                received: int = self._connection._sock.recv_into(buffer)
            except TimeoutError:
                self._connection.patience.silent()
            else:
                self._connection.patience.heard(received, time.monotonic() - began)
                return received
