"""The driver's connection with two ways of its own to move many rows: out of a result, and into a LOAD DATA.

pymysql reads each row by itself, column by column, which costs more than both servers' work together. Here
rows come by the buffer, as the bytes that the server sent.
"""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pymysql import err
from pymysql.connections import Connection
from pymysql.constants import CR
from pymysql.protocol import OKPacketWrapper

from djlink_manifest.servers.session import patience as limits
from djlink_manifest.servers.session.error_words import NO_KEY
from djlink_manifest.servers.session.patience import SEND_TIME, Answers, AtLogin, Patience, TooMuch

READ_BYTES = 1 << 18
_WHOLE = 0xFFFFFF  # a packet of this size goes on in the next one
_NULL, _EOF, _ERROR = 0xFB, 0xFE, 0xFF
_LENGTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
_HEAD = struct.Struct("<I")
# how accounts may log in; of others pymysql knows some that nothing protects, or fails on them
_PLUGINS = frozenset(
    {b"caching_sha2_password", b"sha256_password", b"mysql_native_password", b"client_ed25519"}
)
_PLAIN = frozenset({b"mysql_clear_password", b"dialog"})  # they send the password itself
_T = TypeVar("_T")


if TYPE_CHECKING:
    _Driver = Connection[Any]
else:
    _Driver = Connection  # no generic class at run time


class WireConnection(_Driver):
    """A connection of the driver that can be fed and drained in bulk.

    `may_fetch_key`: without TLS, the password may be sent under a key that the server itself gives.
    `feed`: what the next statement, a LOAD DATA LOCAL, is given. A server's request for a file is answered
    with it alone and whatever file the server names: no file of this machine is ever opened. `warnings` are
    those of the last statement that was fed, `fed` the bytes that it got. `patience` decides how long an
    answer is waited for.
    """

    feed: Iterable[bytes | memoryview] | None = None
    warnings = 0
    fed = 0
    _sock: Any  # the driver's own; None once it is closed
    _answers: io.BufferedReader | None = None
    _secure: bool  # the driver's own: TLS, or a socket of this machine
    _key: Any = None
    _packets = 0  # of the answer to the last statement that are held in memory

    def __init__(self, *, may_fetch_key: bool = True, **options: Any) -> None:
        self.patience: Patience = AtLogin()
        self._may_fetch_key = may_fetch_key
        super().__init__(**options)

    @property
    def _rfile(self) -> io.BufferedReader | None:
        """What the driver reads from. It sets a file of its socket, at first and once TLS begins."""
        return self._answers

    @_rfile.setter
    def _rfile(self, file: Any) -> None:
        self._answers = None if file is None else io.BufferedReader(Answers(self), READ_BYTES)

    def wait_for_answers(self, patience: Patience, seconds: float) -> None:
        """Have another patience from now on, which is asked after each so many seconds of silence."""
        driver: Any = self
        driver._read_timeout, driver._write_timeout = seconds, SEND_TIME
        self.patience = patience

    def interrupt(self) -> None:
        """End the connection while another thread waits for its answer, which then fails."""
        with suppress(OSError, AttributeError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def forbid_files(self) -> None:
        """Let the driver itself open no file, though the server heard at login that it may ask for some."""
        self._local_infile = False

    def row_pieces(self) -> Iterator[tuple[bytes, int]]:
        """As `row_packets`, for rows that are passed on as they came: pieces of whole rows, and how many.

        In a piece each row has four bytes before its packet. A piece of -1 rows tells of one that cannot be
        passed on: its first value is NULL, or it has 16 MB and more.
        """
        return self._to_the_end(_pieces(self))

    def row_packets(self) -> Iterator[list[bytes]]:
        """The rows of the unbuffered result that was just begun, some at a time, each as its packet.

        Left early, the rest is read and dropped, for the server sends it anyhow.
        """
        return self._to_the_end(_packets(self))

    def _to_the_end(self, packets: Iterator[_T]) -> Iterator[_T]:
        result: Any = self._result
        ended = False
        try:
            for found in packets:  # noqa: UP028 - `yield from` would close `packets`, which is still to be read
                yield found
            ended = True
        finally:
            try:
                if not ended and self._sock is not None:
                    for _ in packets:
                        pass
            finally:
                result.unbuffered_active, result.connection = False, None

    def _read_packet(self, *kind: Any) -> Any:
        self._packets += 1
        if self._packets > limits.MOST_PACKETS:
            self._give_up()
            raise TooMuch
        try:
            return super()._read_packet(*kind)  # type: ignore[no-untyped-call]
        except TooMuch:
            self._give_up()
            raise

    @property
    def server_public_key(self) -> Any:
        """The key under which the driver sends the password to a server that wants it, without TLS."""
        return self._key

    @server_public_key.setter
    def server_public_key(self, key: Any) -> None:
        if key and not (self._may_fetch_key or self._secure):
            raise err.OperationalError(CR.CR_AUTH_PLUGIN_ERR, NO_KEY)
        self._key = key

    def _give_up(self) -> None:
        closing: Any = self  # the driver's method is in no stub
        closing._force_close()

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self._packets = 0
        self.patience.begin()
        super()._execute_command(command, sql)  # type: ignore[misc]  # not typed

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        if plugin_name not in _PLUGINS and not (plugin_name in _PLAIN and self._secure):
            raise err.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, ascii(plugin_name[:64])[2:-1])
        try:
            return super()._process_auth(plugin_name, auth_packet, handler)  # type: ignore[misc]  # not typed
        except RuntimeError as error:  # a library for it is not installed
            words = f"{ascii(plugin_name)[2:-1]}, for which a library is not installed"
            raise err.OperationalError(CR.CR_AUTH_PLUGIN_CANNOT_LOAD, words) from error

    def _read_query_result(self, unbuffered: bool = False) -> int:
        feed, self.feed = self.feed, None
        if feed is None:
            try:
                affected = int(super()._read_query_result(unbuffered=unbuffered))  # type: ignore[misc]  # not typed
            except RuntimeError as error:  # what the driver raises for a file that it may not open
                self._give_up()
                raise err.InternalError(
                    "the server requested a file of this machine; the request was refused"
                ) from error
            if self._driver_result().has_next:
                self._give_up()
                raise err.InternalError("the server sent more results than it was asked for")
            return affected
        self._result, self.warnings, self.fed = None, 0, 0
        if not self._packet().is_load_local_packet():
            raise err.InternalError("the server did not request the rows")
        try:
            for chunk in feed:
                self.write_packet(chunk)
                self.fed += len(chunk)
        finally:
            # also after an error of ours: it ends the statement, which the caller rolls back
            if self._sock is not None:
                self.write_packet(b"")
                answer = OKPacketWrapper(self._packet())
        self.warnings = int(answer.warning_count)
        return int(answer.affected_rows)

    def _packet(self) -> Any:
        return self._read_packet()

    def _driver_result(self) -> Any:
        return self.__dict__["_result"]


def values(packet: bytes, count: int, *, more: bool = False) -> list[bytes | None]:
    """The values of a row's packet. Raises IndexError where it has fewer, or more unless that is expected."""
    found, place = list[bytes | None](), 0
    for _ in range(count):
        size = packet[place]
        place += 1
        if size >= _NULL:
            if size == _NULL:
                found.append(None)
                continue
            width = _LENGTHS[size]
            size = int.from_bytes(packet[place : place + width], "little")
            place += width
        found.append(packet[place : place + size])
        place += size
    if place != len(packet) and not (more and place < len(packet)):
        raise IndexError("a row's packet is not as long as its values")
    return found


def _packets(connection: Any) -> Iterator[list[bytes]]:
    """The packets up to the end of the result, some at a time. The driver's errors are raised."""
    stream = connection._rfile
    head, sequence = _HEAD.unpack_from, connection._next_seq_id
    buffer, long = b"", list[bytes]()  # `long`: the pieces of a row of 16 MB and more
    while True:
        data = stream.read1(READ_BYTES)
        if not data:
            _lost(connection)
        buffer = buffer + data if buffer else data
        place, end, found = 0, len(buffer), list[bytes]()
        while end - place >= 4:
            (word,) = head(buffer, place)
            size = word & _WHOLE
            if word >> 24 != sequence:
                connection._force_close()
                raise err.InternalError("packets of a result are out of order")
            stop = place + 4 + size
            if stop > end:
                rest = stream.read(stop - end)
                if len(rest) < stop - end:
                    _lost(connection)
                buffer, end = buffer[place:] + rest, stop - place
                place, stop = 0, end
            sequence = (sequence + 1) & 0xFF
            packet = buffer[place + 4 : stop]
            place = stop
            if size == _WHOLE or long:
                long.append(packet)
                if len(long) * _WHOLE > limits.LARGEST_PACKET:
                    connection._force_close()
                    raise TooMuch
                if size == _WHOLE:
                    continue
                packet = b"".join(long)
                long.clear()
            elif packet[0] >= _EOF:
                if packet[0] == _ERROR:
                    err.raise_mysql_exception(packet)
                if size < 9:
                    if found:
                        yield found
                    return
            found.append(packet)
        buffer = buffer[place:]
        if found:
            yield found


def _pieces(connection: Any) -> Iterator[tuple[bytes, int]]:
    """The bytes of the rows up to the end of the result, whole rows at a time, and how many of them."""
    stream = connection._rfile
    head, sequence = _HEAD.unpack_from, connection._next_seq_id
    buffer, long = b"", False  # `long`: the packet goes on with a row of 16 MB and more
    while True:
        data = stream.read1(READ_BYTES)
        if not data:
            _lost(connection)
        buffer = buffer + data if buffer else data
        begin, place, end, rows = 0, 0, len(buffer), 0
        while end - place > 4:
            (word,) = head(buffer, place)
            stop = place + 4 + (word & _WHOLE)
            if stop > end:
                break
            if word >> 24 != sequence:
                connection._force_close()
                raise err.InternalError("packets of a result are out of order")
            sequence = (sequence + 1) & 0xFF
            first, whole = buffer[place + 4], stop - place - 4 == _WHOLE
            if not (long or whole or first == _NULL or first >= _EOF):
                place, rows = stop, rows + 1
                continue
            if first == _ERROR and not long:
                err.raise_mysql_exception(buffer[place + 4 : stop])
            if rows:
                yield buffer[begin:place], rows
            if first == _EOF and not long and stop - place < 13:
                return
            long = whole
            yield b"", -1
            begin, place, rows = stop, stop, 0
        if rows:
            yield buffer[begin:place], rows
        buffer = buffer[place:]


def _lost(connection: Any) -> None:
    connection._force_close()
    raise err.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")
