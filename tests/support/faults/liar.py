"""A MySQL server that lies: before a real one, whose answers it changes, so that lies are met at any depth.

A `Liar` takes connections as the real server would, lets logins through, and hands every answer to a `Lie`,
which may say anything instead. `statements` are those that were received, by whoever.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.support.faults.listener import Listener

EOF_BYTE, OK_BYTE, ERROR_BYTE, FILE_BYTE, NULL_BYTE = 0xFE, 0x00, 0xFF, 0xFB, 0xFB
MORE_RESULTS = 0x0008
LARGEST = 0xFFFFFF
QUERY, QUIT = 0x03, 0x01
Cell: TypeAlias = "bytes | None"


class Ended(Exception):
    """The client, or the server, is gone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a server: the packets of its columns and its rows, each row as its values.

    `alone` is the answer to what gives no rows: an OK or an error. `end` is the last packet, `error` stands
    in its place.
    """

    columns: tuple[bytes, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    alone: bytes | None = None
    end: bytes = b"\xfe\x00\x00\x02\x00"

    def packets(self) -> list[bytes]:
        """The packets, without their heads."""
        if self.alone is not None:
            return [self.alone]
        count = lenenc(len(self.columns))
        return [count, *self.columns, b"\xfe\x00\x00\x02\x00", *map(row_packet, self.rows), self.end]


@dataclass(slots=True)
class Line:
    """One connection of a client: what a lie speaks through."""

    client: socket.socket
    sequence: int = 1
    asked_for_file: list[bytes] = field(default_factory=list)

    def say(self, packets: Sequence[bytes]) -> None:
        """Send packets with the heads that the protocol wants."""
        self.raw(b"".join(self.framed(each) for each in packets))

    def framed(self, body: bytes) -> bytes:
        """A packet with its head, in several where it is long."""
        out = b""
        while True:
            piece, body = body[:LARGEST], body[LARGEST:]
            out += struct.pack("<I", len(piece))[:3] + bytes([self.sequence]) + piece
            self.sequence = (self.sequence + 1) & 0xFF
            if len(piece) < LARGEST:
                return out

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self.client.sendall(data)
        except OSError:
            raise Ended from None

    def silence(self) -> None:
        """Say nothing more until the client goes."""
        with suppress(OSError):
            while self.client.recv(65536):
                pass
        raise Ended

    def hear(self) -> bytes:
        """The next packet of the client."""
        head = exactly(self.client, 4)
        self.sequence = (head[3] + 1) & 0xFF
        return exactly(self.client, int.from_bytes(head[:3], "little"))


# what is said in place of an answer to a statement, the nth that the server got
Lie: TypeAlias = Callable[[Line, int, str, Answer], None]


def truth(line: Line, number: int, statement: str, answer: Answer) -> None:
    """No lie."""
    line.say(answer.packets())


class Liar:
    """A server on a port of its own, before a real one. `lie` may be changed while it runs."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.lie: Lie = truth
        self.statements = list[str]()
        self.files_sent = list[bytes]()  # what clients gave to a request for a file
        self._guard = threading.Lock()
        self._sockets = list[socket.socket]()
        self._listener = Listener(self._serve)
        self.port = self._listener.port

    def close(self) -> None:
        """End the listener and all connections."""
        self._listener.close()
        self.forget()

    def forget(self) -> None:
        """End all connections, and begin the list of statements anew."""
        with self._guard:
            sockets, self._sockets = self._sockets, []
            self.statements = []
            self.files_sent = []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self, client: socket.socket) -> None:
        with suppress(Ended, OSError), client, socket.create_connection(self._to) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._guard:
                self._sockets += [client, server]
            _log_in(client, server)
            while True:
                self._answer(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        command = whole_packet(client)
        server.sendall(framed_as_sent(command))
        if command[:1] == bytes([QUIT]):
            raise Ended
        statement = command[1:].decode(errors="replace")
        with self._guard:
            number = len(self.statements)
            self.statements.append(statement)
        line = Line(client)
        first = whole_packet(server)
        if first[:1] == bytes([FILE_BYTE]):  # a LOAD DATA of the client's own
            client.sendall(struct.pack("<I", len(first))[:3] + b"\x01" + first)
            _pass_rows(client, server, line)
            first = whole_packet(server)
        self.lie(line, number, statement, _answer_of(first, server))
        if line.asked_for_file:
            with self._guard:
                self.files_sent += line.asked_for_file


def _pass_rows(client: socket.socket, server: socket.socket, line: Line) -> None:
    while True:
        head = exactly(client, 4)
        size = int.from_bytes(head[:3], "little")
        server.sendall(head + exactly(client, size))
        if not size:
            line.sequence = (head[3] + 1) & 0xFF
            return


def _answer_of(first: bytes, server: socket.socket) -> Answer:
    if first[0] in (OK_BYTE, ERROR_BYTE) or len(first) == 0:
        return Answer(alone=first)
    count, _ = read_lenenc(first, 0)
    columns = tuple(whole_packet(server) for _ in range(count))
    whole_packet(server)
    rows = list[tuple[Cell, ...]]()
    while True:
        packet = whole_packet(server)
        if packet[0] == ERROR_BYTE or (packet[0] == EOF_BYTE and len(packet) < 9):
            return Answer(columns, tuple(rows), end=packet)
        rows.append(cells(packet, count))


def _log_in(client: socket.socket, server: socket.socket) -> None:
    """Pass on what both say until the server lets the client in."""
    client.sendall(_raw_packet(server))
    server.sendall(_raw_packet(client))
    while True:
        packet = _raw_packet(server)
        client.sendall(packet)
        kind = packet[4:5]
        if kind == b"\x00":
            return
        if kind == b"\xff":
            raise Ended
        if packet[4:6] != b"\x01\x03":  # the server goes on by itself
            server.sendall(_raw_packet(client))


def exactly(end: socket.socket, size: int) -> bytes:
    """So many bytes. Raises Ended."""
    data = bytearray()
    while len(data) < size:
        try:
            more = end.recv(min(size - len(data), 1 << 20))
        except OSError:
            raise Ended from None
        if not more:
            raise Ended
        data += more
    return bytes(data)


def _raw_packet(end: socket.socket) -> bytes:
    head = exactly(end, 4)
    return head + exactly(end, int.from_bytes(head[:3], "little"))


def whole_packet(end: socket.socket) -> bytes:
    """The body of a packet, put together where it came in several."""
    out = b""
    while True:
        head = exactly(end, 4)
        size = int.from_bytes(head[:3], "little")
        out += exactly(end, size)
        if size < LARGEST:
            return out


def framed_as_sent(body: bytes) -> bytes:
    """A command with its head, as a client sends it."""
    line = Line(socket.socket(), 0)
    line.client.close()
    return line.framed(body)


def lenenc(size: int) -> bytes:
    """A number as the protocol writes lengths."""
    if size < NULL_BYTE:
        return bytes([size])
    for byte, width in ((0xFC, 2), (0xFD, 3)):
        if size < 1 << 8 * width:
            return bytes([byte]) + size.to_bytes(width, "little")
    return b"\xfe" + size.to_bytes(8, "little")


def read_lenenc(packet: bytes, place: int) -> tuple[int, int]:
    """A number that stands at a place, and the place behind it."""
    first = packet[place]
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if width is None:
        return first, place + 1
    return int.from_bytes(packet[place + 1 : place + 1 + width], "little"), place + 1 + width


def cells(packet: bytes, count: int) -> tuple[Cell, ...]:
    """The values of a row."""
    found, place = list[Cell](), 0
    for _ in range(count):
        if packet[place] == NULL_BYTE:
            found.append(None)
            place += 1
            continue
        size, place = read_lenenc(packet, place)
        found.append(packet[place : place + size])
        place += size
    return tuple(found)


def row_packet(row: Sequence[Cell]) -> bytes:
    """A row."""
    return b"".join(b"\xfb" if cell is None else lenenc(len(cell)) + cell for cell in row)


def error(number: int, text: bytes) -> Answer:
    """An error."""
    return Answer(alone=b"\xff" + struct.pack("<H", number) + b"#HY000" + text)


def retyped(column: bytes, code: int, charset: int) -> bytes:
    """A column with another type and character set."""
    tail = bytearray(column[-13:])
    tail[1:3] = struct.pack("<H", charset)
    tail[7] = code
    return column[:-13] + bytes(tail)


@contextmanager
def lying(host: str, port: int) -> Iterator[Liar]:
    """A liar before a server, for the time of the block."""
    liar = Liar(host, port)
    try:
        yield liar
    finally:
        liar.close()
