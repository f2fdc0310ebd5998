"""A TCP proxy that cuts connections at a byte, and proves it: which connection, byte and packet."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["up", "down"]  # to the server, from it
Kind = Literal["reset", "close", "silence"]
RESET = struct.pack("ii", 1, 0)
HEADER = 4  # bytes before each packet of MySQL's protocol: its length (3), its number


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut to be made when `byte` bytes have gone in a direction since it was set.

    `reset` ends both sides as a firewall does, `close` as an orderly peer does; `silence` stops forwarding of
    the connection and ends it after `seconds`.
    """

    direction: Direction
    byte: int
    kind: Kind
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Proof:
    """A cut that was made: where in the stream, and how many bytes of how long a packet had gone through."""

    server: str
    connection: int
    cut: Cut
    stream_byte: int
    packet_byte: int
    packet_length: int | None
    dropped: int

    @property
    def within(self) -> bool:
        """Whether a packet was torn."""
        return self.packet_byte > 0

    def __str__(self) -> str:
        length = "?" if self.packet_length is None else f"{self.packet_length:,}"
        return (
            f"{self.cut.kind} of {self.server} #{self.connection}, {self.cut.direction} byte "
            f"{self.stream_byte:,}: {self.packet_byte:,} of {length} bytes of the packet went through, "
            f"{self.dropped:,} bytes dropped"
        )


@dataclass(slots=True)
class Framing:
    """How far into a packet a stream is; `byte` counts its header too."""

    header: bytes = b""
    byte: int = 0
    length: int | None = None

    def feed(self, data: bytes) -> None:
        """Follow the stream over these bytes."""
        at = 0
        while at < len(data):
            if self.length is None:
                taken = data[at : at + HEADER - len(self.header)]
                self.header += taken
                self.byte += len(taken)
                at += len(taken)
                if len(self.header) == HEADER:
                    self.length = HEADER + int.from_bytes(self.header[:3], "little")
            if self.length is not None:
                step = min(self.length - self.byte, len(data) - at)
                self.byte += step
                at += step
                if self.byte == self.length:
                    self.header, self.byte, self.length = b"", 0, None


@dataclass(eq=False, slots=True)
class Connection:
    """One connection through the proxy, with the bytes that went each way."""

    number: int
    client: socket.socket
    server: socket.socket
    silent: threading.Event = field(default_factory=threading.Event)
    gone: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    framing: dict[Direction, Framing] = field(default_factory=lambda: {"up": Framing(), "down": Framing()})

    def end(self, *, reset: bool = True) -> None:
        """End both sides."""
        for each in (self.client, self.server):
            with suppress(OSError):
                if reset:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                each.close()


class Proxy:
    """A proxy before a server. `bytes` and `commits` count what went through since `arm`, `begun` is when."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name, self._to = name, (host, port)
        self.proofs = list[Proof]()
        self.bytes: dict[Direction, int] = {"up": 0, "down": 0}
        self.commits = self.connections = 0
        self.begun: float | None = None
        self._cut: Cut | None = None
        self._guard = threading.Lock()
        self._open = set[Connection]()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cut: Cut | None = None) -> None:
        """Count anew, and cut where told."""
        with self._guard:
            self.bytes, self.commits, self._cut = {"up": 0, "down": 0}, 0, cut
            self.begun = None

    def quiet(self) -> None:
        """End all connections: what is silent would last."""
        with self._guard:
            self._cut = None
            left = list(self._open)
        for each in left:
            each.end()

    def close(self) -> None:
        """End the proxy."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.quiet()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._to, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._guard:
                self.connections += 1
                connection = Connection(self.connections, client, server)
                self._open.add(connection)
            for direction in ("up", "down"):
                threading.Thread(target=self._pump, args=(connection, direction), daemon=True).start()

    def _pump(self, connection: Connection, direction: Direction) -> None:
        ends = (connection.client, connection.server)
        origin, target = ends if direction == "up" else ends[::-1]
        with suppress(OSError):
            while data := origin.recv(1 << 16):
                kept, made = self._let_through(connection, direction, data)
                if connection.silent.is_set() and made is None:
                    continue  # swallowed
                target.sendall(kept)
                if made is not None:
                    self._carry_out(connection, made)
                    if made.kind != "silence":
                        break
        if connection.silent.is_set():
            return  # neither end hears of the other's; `_carry_out` ends both
        with self._guard:
            self._open.discard(connection)
        connection.end(reset=False)

    def _let_through(
        self, connection: Connection, direction: Direction, data: bytes
    ) -> tuple[bytes, Cut | None]:
        """The bytes that go on, and the cut that is due after them."""
        with self._guard:
            cut, left = self._cut, len(data)
            due = cut is not None and cut.direction == direction and not connection.silent.is_set()
            if cut is not None and due:
                left = min(left, max(0, cut.byte - self.bytes[direction]))
            kept = data[:left]
            connection.framing[direction].feed(kept)
            connection.gone[direction] += left
            self.bytes[direction] += left
            self.begun = self.begun or time.monotonic()
            self.commits += direction == "up" and b"COMMIT" in kept
            if cut is None or left == len(data) or not due:
                return kept, None
            framing = connection.framing[direction]
            self._cut = None
            self.proofs.append(
                Proof(
                    self.name,
                    connection.number,
                    cut,
                    stream_byte=connection.gone[direction],
                    packet_byte=framing.byte,
                    packet_length=framing.length,
                    dropped=len(data) - left,
                )
            )
            if cut.kind == "silence":
                connection.silent.set()
            return kept, cut

    def _carry_out(self, connection: Connection, cut: Cut) -> None:
        if cut.kind == "silence":
            end = threading.Timer(cut.seconds, connection.end)
            end.daemon = True
            end.start()
        else:
            connection.end(reset=cut.kind == "reset")
