"""The driver's errors as ours, each with the next step."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from djlink_manifest.errors import (
    AlreadyExists,
    ConnectionLost,
    MissingPrivilege,
    RowsRefused,
    ServerError,
    Unreachable,
)
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import ServerIdentity
from djlink_manifest.model.server.rights import grant_for

# Error numbers by what they mean for us. MySQL and MariaDB agree on those that both have.
LOST = frozenset({0, 1053, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031})
WAITED = frozenset({1205})
DEADLOCK = frozenset({1020, 1213})  # 1020: MariaDB's answer to a row that changed since the snapshot
EXISTS = frozenset({1050, 1060, 1061, 1826})
DENIED = frozenset({1044, 1142, 1143, 1227, 1370, 1410})
NO_DEFINER = frozenset({1045, 1449})  # said of a view whose account is gone
LOCKED_ACCOUNT = frozenset({3118, 3955, 4151})
CREDENTIALS = frozenset({1045, 1698, 1820, 1862}) | LOCKED_ACCOUNT
FULL = frozenset({1040, 1203, 1226})
DOWN = frozenset({1053, 2002, 2003, 2013})  # met by a login: the server is down, or goes down
SPACE = frozenset({1021, 1114, 3019})
READ_ONLY = frozenset({1290, 1792, 1836})
PLAIN_REFUSED = frozenset({3159, 4163})
REFERENCED = frozenset({1217, 1451})  # the row to be deleted or changed is one that others refer to
REFUSED_ROWS = REFERENCED | frozenset(
    {
        1048,
        1062,
        1216,
        1264,
        1265,
        1292,
        1300,
        1364,
        1366,
        1406,
        1452,
        1525,
        1644,
        1690,
        3140,
        3157,
        3819,
        4025,
    }
)
# a condition cannot be evaluated for a row: a value is not converted, or a function does not take it
NOT_EVALUATED = frozenset(
    {1139, 1264, 1265, 1292, 1300, 1365, 1366, 1411, 1416, 1525, 1690, 3020, 3037, 3055}
    | {3140, 3141, 3146, 3155, 3156, 3157, 3617, 3685, 3691, 3692, 3699}
)
# LOAD DATA LOCAL is off at the server, or forbidden
NO_LOCAL_LOAD = frozenset({1148, 1235, 2068, 3948, 4166})
BROKEN_VIEW = frozenset({1054, 1146, 1356})


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
    if code in LOST or (code is None and isinstance(error, pymysql.InterfaceError)):
        return ConnectionLost(
            f"the connection was lost: {words}",
            code=code,
            server=server,
            hint="check the server and the network, then run djlink apply again",
        )
    if code in DENIED:
        return MissingPrivilege(
            words, code=code, server=server, hint=grant_for(words, identity.account if identity else "")
        )
    if code in EXISTS:
        hint = "it was created after the plan was made: plan again"
        return AlreadyExists(words, code=code, server=server, hint=hint)
    if code in REFUSED_ROWS:
        return RowsRefused(words, code=code, server=server)
    return ServerError(words, code=code, server=server, hint=_HINTS.get(code or 0))


_AGAIN = "committed changes are kept; run djlink apply to continue"
_HINTS = {
    **dict.fromkeys(SPACE, f"the server's disk or tablespace is full: free space there; {_AGAIN}"),
    **dict.fromkeys(
        READ_ONLY,
        f"the server is read-only (a replica, or under maintenance): name the primary server; {_AGAIN}",
    ),
    **dict.fromkeys(
        WAITED | DEADLOCK,
        f"another session locks these rows: look for long transactions (SHOW PROCESSLIST); {_AGAIN}",
    ),
}


def is_transient(error: Exception) -> bool:
    """Whether trying again may help: a lost connection, a server that restarts or has no session free, a
    deadlock, a lock wait."""
    return isinstance(error, ServerError) and (
        isinstance(error, ConnectionLost) or error.code in DEADLOCK | WAITED | FULL | DOWN
    )


def is_transient_in_session(error: Exception) -> bool:
    """As `is_transient`, of errors after which the session still stands."""
    return is_transient(error) and not isinstance(error, ConnectionLost)


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
    if isinstance(error, pymysql.MySQLError) and code in CREDENTIALS:
        return Unreachable(
            f"{place} refused the login of {address.user}: {words}",
            code=code,
            server=address.name,
            hint="check `user` and `password` of this server, and that the account can connect from this host"
            + (" and is not locked" if code in LOCKED_ACCOUNT else "")
            + ("" if address.tls else " and does not require TLS"),
        )
    if code in FULL:
        return Unreachable(
            f"{place} accepts no further session: {words}",
            code=code,
            server=address.name,
            hint="try again later or with a smaller --parallelism, or ask its administrator to allow more "
            "sessions",
        )
    if code in PLAIN_REFUSED:
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
