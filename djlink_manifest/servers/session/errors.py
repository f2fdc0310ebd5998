"""The driver's errors as ours, each with the next step."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from djlink_manifest.errors import (
    AlreadyThere,
    ConnectionLost,
    MissingPrivilege,
    RowsRefused,
    ServerError,
    Unreachable,
)
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import ServerIdentity
from djlink_manifest.model.server.rights import grant_for
from djlink_manifest.servers.session import error_numbers


@contextmanager
def understood(server: str, words: str = "its responses cannot be parsed") -> Iterator[None]:
    """Turn what malformed answers (text for a number, too few values) raise into a ServerError."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ServerError(
            f"{words}: {type(error).__name__}",
            server=server,
            hint="check that it is a MySQL or MariaDB server, and that no proxy changes its responses",
        ) from error


def translated(error: pymysql.MySQLError, server: str, identity: ServerIdentity | None) -> ServerError:
    """The driver's error as one of ours. Messages of the server are kept; they hold no secret."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    words = str(error.args[1]) if len(error.args) > 1 else str(error) or type(error).__name__
    if code in error_numbers.LOST or (code is None and isinstance(error, pymysql.InterfaceError)):
        return ConnectionLost(
            f"the connection was lost: {words}",
            code=code,
            server=server,
            hint="check the server and the network, then run djlink apply again",
        )
    if code in error_numbers.DENIED:
        return MissingPrivilege(
            words, code=code, server=server, hint=grant_for(words, identity.account if identity else "")
        )
    if code in error_numbers.EXISTS:
        hint = "it was created after the plan was made: plan again"
        return AlreadyThere(words, code=code, server=server, hint=hint)
    if code in error_numbers.REFUSED_ROWS:
        return RowsRefused(words, code=code, server=server)
    return ServerError(words, code=code, server=server, hint=_HINTS.get(code or 0))


_AGAIN = "committed changes are kept; run djlink apply to continue"
_HINTS = {
    **dict.fromkeys(
        error_numbers.SPACE, f"the server's disk or tablespace is full: free space there; {_AGAIN}"
    ),
    **dict.fromkeys(
        error_numbers.READ_ONLY,
        f"the server is read-only (a replica, or under maintenance): name the primary server; {_AGAIN}",
    ),
    **dict.fromkeys(
        error_numbers.WAITED | error_numbers.DEADLOCK,
        f"another session locks these rows: look for long transactions (SHOW PROCESSLIST); {_AGAIN}",
    ),
}


def is_passing(error: ServerError) -> bool:
    """Whether trying again may help: a lost connection, a server that restarts or has no session free, a
    deadlock, a lock wait."""
    passing = error_numbers.DEADLOCK | error_numbers.WAITED | error_numbers.FULL | error_numbers.DOWN
    return isinstance(error, ConnectionLost) or error.code in passing


def unreachable(error: Exception, address: ServerAddress) -> Unreachable:
    """Why no session could be opened, with what to check. What came from references is not shown."""
    found = _unreachable(error, address)
    found.message = address.veiled(found.message)
    found.args = (found.message,)
    return found


def _unreachable(error: Exception, address: ServerAddress) -> Unreachable:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    place = f"{address.host}:{address.port}"
    words = str(error.args[1]) if len(error.args) > 1 else str(error)
    if isinstance(error, pymysql.MySQLError) and code in error_numbers.CREDENTIALS:
        return Unreachable(
            f"{place} refused the login of {address.user}: {words}",
            code=code,
            server=address.name,
            hint="check `user` and `password` of this server, and that the account can connect from this host"
            + (" and is not locked" if code in error_numbers.LOCKED_ACCOUNT else "")
            + ("" if address.tls else " and does not require TLS"),
        )
    if code in error_numbers.FULL:
        return Unreachable(
            f"{place} accepts no further session: {words}",
            code=code,
            server=address.name,
            hint="try again later or with a smaller --parallelism, or ask its administrator to allow more "
            "sessions",
        )
    if code in error_numbers.PLAIN_REFUSED:
        return Unreachable(
            f"{place} requires TLS: {words}",
            code=code,
            server=address.name,
            hint="use TLS: `tls: {ca: FILE}`, or `tls: true` if the system trusts the certificate authority",
        )
    if isinstance(error, FileNotFoundError):
        return Unreachable(
            f"a file of `tls` cannot be read: {error}",
            server=address.name,
            hint="check `ca`, `cert` and `key`",
        )
    told = words.replace(address.host, "").lower()
    if "ssl" in told or "certificate" in told or isinstance(error, ssl.SSLError):
        return Unreachable(
            f"TLS connection to {place} failed: {words}",
            code=code,
            server=address.name,
            hint="set the server's certificate authority with `tls: {ca: FILE}`, or disable TLS with `tls: "
            "false`",
        )
    return Unreachable(
        f"{place} cannot be reached: {words}",
        code=code,
        server=address.name,
        hint="check `host` and `port` of this server, that it is running, and that it accepts connections "
        "from this host",
    )
