"""Sessions: one pymysql connection each, with djlink's settings, its errors and no shared state.

A `Session` reads: it has no way to send a statement that writes, but to its own temporary tables, and its
server refuses whatever else is tried. A `Writer` writes too, and observing code never gets one. Sessions are
not shared by threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from djlink_manifest.errors import DjlinkError, ServerError, TableInUse, Unusable
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import ServerIdentity
from djlink_manifest.servers.dialects import Dialect, dialect_of, version_of
from djlink_manifest.servers.session import patience
from djlink_manifest.servers.session.checked_values import BadValue, Kind, a_count, as_int, as_text
from djlink_manifest.servers.session.error_words import WAITED
from djlink_manifest.servers.session.errors import translated
from djlink_manifest.servers.session.patience import Silent, TooMuch
from djlink_manifest.servers.session.statement_log import logged
from djlink_manifest.servers.session.temporary import TemporaryTables
from djlink_manifest.servers.session.wire import WireConnection, values
from djlink_manifest.servers.sql import Sql, ident, sql

Row: TypeAlias = tuple[Any, ...]
RawRow: TypeAlias = "tuple[bytes | None, ...]"
Isolation: TypeAlias = Literal["READ COMMITTED", "REPEATABLE READ"]
_T = TypeVar("_T")

# seconds that a statement may wait for a table; a DDL less: every later query on the table queues behind it
LOCK_WAIT, DDL_WAIT = 60, 3

# each vendor's name for it, which the other one takes for a comment, and so do versions without it
_UUID = "CONCAT('' /*!80000 , @@server_uuid */ /*M!110600 , @@server_uid */)"

_LITERAL = "0 /*!80016 + @@global.partial_revokes */"

READING = ("SELECT", "WITH", "SHOW")  # the words that a statement begins with which `Session.rows` takes


class Session:
    """An open session that reads. Statements outside `snapshot` see the latest committed rows."""

    MODE: ClassVar[Literal["READ ONLY", "READ WRITE"]] = "READ ONLY"

    def __init__(self, address: ServerAddress, connection: WireConnection) -> None:
        self.address = address
        self.name = address.name
        self._connection = connection
        self.temporary = TemporaryTables(self._send, reads=self.MODE == "READ ONLY")
        self.kept = dict[type, Any]()  # what other modules keep for the session's life, by its class
        self.id = 0  # until the server has said it
        self.identity, self.id = _identify(self)

    @property
    def dialect(self) -> Dialect:
        """What is particular to the server's vendor."""
        return dialect_of(self.identity.version)

    def rows(self, statement: Sql, *kinds: Kind) -> list[Row]:
        """All rows of a small result, decoded.

        `kinds` are what its columns hold, one function of `checked_values` for each: each value becomes what
        it should be, or the answer an error of its server. Without them the caller checks the values.
        """
        text, watched = _reading(statement).formatted(), logged(self.name, self.id, statement)
        self.temporary.settle()
        with watched as count, self._errors(), self._connection.cursor() as cursor:
            cursor.execute(*text)
            found = list(cursor.fetchall())
            count(len(found))
            columns = len(cursor.description or ())
            if any(len(row) != columns for row in found):  # the driver leaves out what a row lacks
                raise IndexError("a row ends before its last value")
            if not kinds:
                return found
            if columns != len(kinds):
                raise IndexError("a result has other columns than it was asked for")
            return [tuple(kind(value) for kind, value in zip(kinds, row, strict=True)) for row in found]

    def row(self, statement: Sql, *kinds: Kind) -> Row:
        """The only row of a result."""
        found = self.rows(statement, *kinds)
        with self._errors():
            if len(found) != 1:
                raise IndexError("a result has not one row")
        return found[0]

    def value(self, statement: Sql, kind: Callable[[object], _T]) -> _T:
        """The only value of a result, of a kind."""
        value: _T = self.row(statement, kind)[0]
        return value

    def check(self, statement: Sql) -> None:
        """Have the server take a statement without running it: no row is read. Raises ServerError."""
        text = self._text(_reading(statement))
        self._run(sql("PREPARE djlink_check FROM {}", text))
        self._run("DEALLOCATE PREPARE djlink_check")

    def count(self, statement: Sql) -> int:
        """The only value of a result, which is a number of rows."""
        return self.value(statement, a_count)

    def raw_rows(self, statement: Sql) -> list[RawRow]:
        """All rows of a small result, as bytes, undecoded."""
        found = list[RawRow]()
        for count, packets in self.packets(statement, held=True):
            with self._errors():
                found += [tuple(values(packet, count)) for packet in packets]
                if len(found) > patience.MOST_PACKETS:
                    raise TooMuch
        return found

    def stream(self, statement: Sql) -> Iterator[RawRow]:
        """Rows as the server sends them, as bytes, undecoded and unbuffered.

        The session serves nothing else until the iterator is exhausted or closed.
        """
        for count, packets in self.packets(statement):
            with self._errors():
                rows = [tuple(values(packet, count)) for packet in packets]
            yield from rows

    def packets(self, statement: Sql, *, held: bool = False) -> Iterator[tuple[int, list[bytes]]]:
        """As `stream`, some rows at a time, each as its packet (`wire.values`), and how many columns.

        `held`: the caller holds all of them, so that they cannot be more than memory takes.
        """
        with closing(self._unbuffered(statement, WireConnection.row_packets, len, held)) as rows:
            for found in rows:
                result: Any = self._connection._result
                yield result.field_count, found

    def pieces(self, statement: Sql) -> Iterator[tuple[bytes, int]]:
        """As `packets`, in pieces of the wire (`WireConnection.row_pieces`), and how many rows each has."""
        return self._unbuffered(statement, WireConnection.row_pieces, lambda piece: abs(piece[1]))

    def _unbuffered(
        self,
        statement: Sql,
        read: Callable[[WireConnection], Iterator[_T]],
        rows_in: Callable[[_T], int],
        held: bool = False,
    ) -> Generator[_T, None, None]:
        text = self._text(_reading(statement))
        self.temporary.settle()
        with logged(self.name, self.id, statement) as count, self._errors():
            self._connection.query(text, unbuffered=True)
            if not held:
                self._connection.patience.rows_follow()
            rows = read(self._connection)
            try:
                for found in rows:
                    count(rows_in(found))
                    yield found
            finally:
                rows.close()  # type: ignore[attr-defined]  # a generator; closing it frees the session

    @contextmanager
    def snapshot(self, *, keep: bool = False) -> Iterator[None]:
        """Statements inside see one consistent moment, and the server itself refuses writes.

        But to temporary tables, and no new ones: what was written there is lost at the end, unless `keep`.
        """
        self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        try:
            yield
            if keep:
                self._run("COMMIT")
        finally:
            self._rollback()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Refuse writes by the server itself; each statement sees the latest committed rows.

        A function behind a view, which an owner may have made meanwhile, can change nothing then.
        """
        self._run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self._run("START TRANSACTION READ ONLY")
        try:
            yield
        finally:
            self._rollback()

    def take_role(self, name: str) -> None:
        """Have the privileges of one of the account's roles alone."""
        self._run(sql("SET ROLE {}", ident(name)))

    def set_up(self, settings: Iterable[str]) -> None:
        """Give the session its settings, the isolation of its statements, and whether they may write."""
        self._run(f"SET SESSION {', '.join(settings)}")
        # else INSERT … SELECT into a key table locks the source's rows, and the gaps its rig inserts into
        self._run(f"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, {self.MODE}")

    def close(self) -> None:
        """End the session; what was not committed is undone, its locks and temporary tables are gone."""
        with suppress(Exception):  # whatever it is, the session is of no use any more
            self._connection.close()

    def interrupt(self) -> None:
        """End the session while another thread waits for an answer in it; there that is an error."""
        self._connection.interrupt()

    def _run(self, statement: Sql | str | bytes) -> int:
        self.temporary.settle()
        return self._send(statement)

    def _send(self, statement: Sql | str | bytes) -> int:
        text = self._text(statement) if isinstance(statement, Sql) else statement
        with logged(self.name, self.id, statement) as count, self._errors():
            affected: int
            affected = self._connection.query(text)
            count(affected)
            return affected

    def _text(self, statement: Sql) -> str:
        with self._connection.cursor() as cursor:
            text: str = cursor.mogrify(*statement.formatted())
            return text

    def _rollback(self) -> None:
        # a session that was lost is rolled back by its server
        with suppress(ServerError), logged(self.name, self.id, "ROLLBACK"), self._errors():
            self._connection.rollback()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Make what the driver raises an error of ours; the block does nothing but its work."""
        try:
            yield
        except DjlinkError:
            raise
        except Exception as error:
            found = translated(error, self.address, getattr(self, "identity", None))
            if isinstance(found, Unusable) or isinstance(error, Silent):
                self._connection.interrupt()  # no answer that is still under way is taken for another's
            raise found from error


class Writer(Session):
    """A session that may write. `loads` tells whether its server takes rows by LOAD DATA LOCAL."""

    MODE = "READ WRITE"

    def __init__(self, address: ServerAddress, connection: WireConnection) -> None:
        super().__init__(address, connection)
        self.loads = True

    def execute(self, statement: Sql) -> int:
        """Run a statement; the number of rows affected."""
        return self._run(statement)

    def send(self, statement: bytes) -> int:
        """Run a statement that is bytes already (rows rendered by `transfer`); the rows affected."""
        return self._run(statement)

    def load(self, statement: Sql, feed: Iterable[bytes | memoryview]) -> tuple[int, int]:
        """Run a LOAD DATA LOCAL on what `feed` gives; the rows that were taken and the warnings.

        The server gives neither a duplicate nor a value that does not fit as an error, so the caller must
        compare and roll back. What `feed` raises is raised.
        """
        raised = list[Exception]()
        self._connection.feed = _noting(feed, raised)
        try:
            return self._run(statement), self._connection.warnings
        except ServerError:
            if raised:
                raise raised[0] from None
            raise
        finally:
            self._connection.feed = None

    def ddl(self, text: str) -> None:
        """Run a DDL statement that gives up after a few seconds instead of holding up others' queries.

        Raises TableInUse where another session kept the table all that time.
        """
        self._run(f"SET SESSION lock_wait_timeout = {DDL_WAIT}")
        try:
            with self._connection.patience.unlimited():
                self._run(text)
        except ServerError as error:
            if error.code in WAITED:
                raise TableInUse(
                    "the table is in use by another session",
                    code=error.code,
                    server=self.name,
                    hint="look for long transactions on it (SHOW PROCESSLIST), then run `djlink apply` again",
                ) from error
            raise
        finally:
            with suppress(ServerError):
                self._run(f"SET SESSION lock_wait_timeout = {LOCK_WAIT}")

    @contextmanager
    def transaction(self, isolation: Isolation = "READ COMMITTED") -> Iterator[None]:
        """Commit at the end, roll back on any exception."""
        self._run(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        self._run("START TRANSACTION")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            self._rollback()
            raise


def first_values(rows: Sequence[Row]) -> list[Any]:
    """The first value of each row."""
    return [row[0] for row in rows]


def _noting(feed: Iterable[_T], raised: list[Exception]) -> Iterator[_T]:
    """What `feed` gives; what it raises is noted, since it is no error of the server that is fed."""
    try:
        yield from feed
    except Exception as error:
        raised.append(error)
        raise


def _reading(statement: Sql) -> Sql:
    """The statement, which begins as those that read do. The server refuses one that goes on otherwise."""
    if not statement.text.lstrip(" \n(").startswith(READING):
        raise ValueError(f"not a statement that reads: {statement.text[:80]}")
    return statement


def _identify(session: Session) -> tuple[ServerIdentity, int]:
    """The server, and the number of the session on it."""
    query = "VERSION(), CURRENT_USER(), @@hostname, @@port, @@datadir, @@global.max_allowed_packet"
    row = session.row(sql(f"SELECT {query}, CONNECTION_ID(), {_UUID}, {_LITERAL}"))
    try:
        version, account, host, folder = (as_text(row[n], "an identity", 1024) for n in (0, 1, 2, 4))
        uuid = as_text(row[7] or "", "an identity", 1024)  # NULL for the empty text where a mode says so
        numbers = [as_int(row[n], "a number of itself") for n in (3, 5, 6, 8)]
    except (BadValue, LookupError) as error:
        raise ServerError(f"the server does not identify itself: it {error}", server=session.name) from error
    port, packet, number, literal = numbers
    identity = ServerIdentity(
        version_of(version), account, host, port, datadir=folder, max_allowed_packet=packet, uuid=uuid
    )
    return replace(identity, literal_names=bool(literal)), number
