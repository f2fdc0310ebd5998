"""A MySQL server that is none: it speaks the protocol as far as a test needs it, and breaks it where told.

A `FakeServer` hands each connection to a script, in a thread of its own. A script is a function of a
`Conversation`, which sends and receives packets; `well_behaved` is a script that logs anybody in and answers
statements from a table, and `Faulty` one that does the same up to a stage, and then something else.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from djlink_manifest.model.server.address import Secret, ServerAddress
from tests.support.faults.listener import Listener

Stage: TypeAlias = Literal["greeting", "authentication", "set names", "statement", "rows"]
STAGES: tuple[Stage, ...] = ("greeting", "authentication", "set names", "statement", "rows")
OK = b"\x00\x00\x00\x02\x00\x00\x00"
END = b"\xfe\x00\x00\x02\x00"
SALT = b"0123456789abcdefghij"
PROTOCOL_41, SECURE, PLUGINS, TRANSACTIONS = 0x200, 0x8000, 0x80000, 0x2000
LONG_FLAG, CONNECT_ATTRS, DATABASE, MULTI = 0x4, 0x100000, 0x8, 0x20000
CAPABILITIES = PROTOCOL_41 | SECURE | PLUGINS | TRANSACTIONS | LONG_FLAG | CONNECT_ATTRS | DATABASE | MULTI
Row: TypeAlias = Sequence[str | bytes | None]


class Hangup(Exception):
    """The client is gone, or the test is over."""


class Conversation:
    """One connection: packets with the sequence numbers that the protocol wants, and raw bytes."""

    def __init__(self, server: FakeServer, client: socket.socket) -> None:
        self.server, self.client = server, client
        self.sequence = 0

    def send(self, *packets: bytes) -> None:
        """Send packets."""
        self.raw(b"".join(self.framed(each) for each in packets))

    def framed(self, body: bytes) -> bytes:
        """A packet with its head."""
        head = len(body).to_bytes(3, "little") + bytes([self.sequence])
        self.sequence = (self.sequence + 1) & 0xFF
        return head + body

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        with _hanging_up():
            self.client.sendall(data)

    def receive(self) -> bytes:
        """The next packet of the client."""
        head = self._exactly(4)
        self.sequence = (head[3] + 1) & 0xFF
        return self._exactly(int.from_bytes(head[:3], "little"))

    def silence(self) -> None:
        """Say nothing more, and keep the connection, until the client goes or the test is over."""
        with _hanging_up():
            while self.client.recv(65536):
                pass
        raise Hangup

    def rows(self, names: Sequence[str], rows: Sequence[Row]) -> None:
        """Answer with a result."""
        columns = [_column(name) for name in names]
        self.send(bytes([len(names)]), *columns, END, *(_row(row) for row in rows), END)

    def error(self, number: int, text: bytes) -> None:
        """Answer with an error."""
        self.send(error_packet(number, text))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            with _hanging_up():
                more = self.client.recv(size - len(data))
            if not more:
                raise Hangup
            data += more
        return data


Script: TypeAlias = Callable[[Conversation], None]
Answer: TypeAlias = "Callable[[Conversation, str], bool]"


class FakeServer:
    """A listener on a port of its own; `logins` counts the connections, `statements` are those received."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.logins = 0
        self.statements = list[str]()
        self._guard = threading.Lock()
        self._clients = list[socket.socket]()
        self._listener = Listener(self._talk)
        self.port = self._listener.port

    def address(self, name: str = "lab_a") -> ServerAddress:
        """How to reach it."""
        return ServerAddress(name, "127.0.0.1", self.port, "link", Secret("a-secret-of-tests"))

    def close(self) -> None:
        """End the listener and all connections."""
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _talk(self, client: socket.socket) -> None:
        with self._guard:
            self._clients.append(client)
            self.logins += 1
        with client, suppress(Hangup):
            self.script(Conversation(self, client))


@contextmanager
def fake_server(script: Script) -> Iterator[FakeServer]:
    """A fake server for the time of the block."""
    server = FakeServer(script)
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True)
class Faulty:
    """A script: a server that works up to a stage, and there does what `fault` does instead of answering.

    `version` and `plugin` are what it greets with. A fault that returns ends the connection.
    """

    stage: Stage | None = None
    fault: Script = Conversation.silence
    version: str = "9.7.0"
    plugin: str = "mysql_native_password"
    answers: Mapping[str, tuple[Sequence[str], Sequence[Row]]] = field(default_factory=dict)

    def __call__(self, talk: Conversation) -> None:
        """Greet, log in, and answer until the client goes."""
        if self.stage == "greeting":
            return self.fault(talk)
        talk.send(greeting(self.version, self.plugin))
        talk.receive()
        if self.stage == "authentication":
            return self.fault(talk)
        talk.send(OK)
        while True:
            statement = talk.receive()
            if statement[:1] == b"\x01":  # COM_QUIT
                return None
            text = statement[1:].decode(errors="replace")
            talk.server.statements.append(text)
            if self._reaches(text):
                return self.fault(talk)
            self._answer(talk, text)

    def _reaches(self, text: str) -> bool:
        if text.startswith("SET NAMES"):
            return self.stage == "set names"
        if text.startswith("SELECT VERSION()"):
            return self.stage == "statement"
        return self.stage == "rows" and text.startswith(("SELECT", "SHOW"))

    def _answer(self, talk: Conversation, text: str) -> None:
        for begin, (names, rows) in self.answers.items():
            if text.startswith(begin):
                return talk.rows(names, rows)
        if text.startswith("SELECT VERSION()"):
            identity = (self.version, "link@%", "fake", "3306", "/data/", str(1 << 26), "7", "u-1", "0")
            return talk.rows("abcdefghi", [identity])
        if text.startswith(("SELECT", "SHOW")):
            return talk.rows("a", [])
        return talk.send(OK)


def greeting(version: str = "9.7.0", plugin: str = "mysql_native_password") -> bytes:
    """The first packet of a server."""
    low, high = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
    return b"".join(
        (
            b"\x0a" + version.encode() + b"\x00" + struct.pack("<I", 7) + SALT[:8] + b"\x00",
            struct.pack("<HBHHB", low, 45, 2, high, len(SALT) + 1) + bytes(10),
            SALT[8:] + b"\x00" + plugin.encode() + b"\x00",
        )
    )


def switching(plugin: str) -> Script:
    """A fault: the server asks for another method of logging in."""

    def fault(talk: Conversation) -> None:
        talk.send(b"\xfe" + plugin.encode() + b"\x00" + SALT + b"\x00")
        talk.receive()
        talk.send(OK)

    return fault


def sending(data: bytes, *, then_silent: bool = False) -> Script:
    """A fault: these bytes, as they are, and then the end of the connection, or silence."""

    def fault(talk: Conversation) -> None:
        talk.raw(data)
        if then_silent:
            talk.silence()

    return fault


def answering(*packets: bytes, then_silent: bool = False) -> Script:
    """A fault: these packets, well framed."""

    def fault(talk: Conversation) -> None:
        talk.send(*packets)
        if then_silent:
            talk.silence()

    return fault


def dripping(talk: Conversation) -> None:
    """A fault: an answer that comes byte by byte and has no end."""
    talk.raw(b"\xff\xff\xff" + bytes([talk.sequence]))
    while True:
        talk.raw(b"a")
        threading.Event().wait(0.01)


def error_packet(number: int, text: bytes, state: bytes = b"HY000") -> bytes:
    """An error as servers send it."""
    return b"\xff" + struct.pack("<H", number) + b"#" + state + text


def _column(name: str) -> bytes:
    texts = (b"def", b"", b"", b"", name.encode(), b"")
    body = b"".join(bytes([len(each)]) + each for each in texts)
    return body + b"\x0c" + struct.pack("<HIBHBH", 45, 1024, 0xFD, 0, 0, 0)


def _row(values: Row) -> bytes:
    body = b""
    for value in values:
        data = value.encode() if isinstance(value, str) else value
        body += b"\xfb" if data is None else _length(len(data)) + data
    return body


def _length(size: int) -> bytes:
    return bytes([size]) if size < 0xFB else b"\xfc" + struct.pack("<H", size)


@contextmanager
def _hanging_up() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise Hangup from None
