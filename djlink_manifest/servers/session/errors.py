"""The driver's errors as ours, each with the next step."""

from __future__ import annotations

import logging
import ssl
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

from djlink_manifest.errors import (
    AlreadyExists,
    ConnectionLost,
    DjlinkError,
    MissingPrivilege,
    RowsRefused,
    ServerError,
    Unreachable,
    Unusable,
)
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import ServerIdentity
from djlink_manifest.model.server.rights import grant_for
from djlink_manifest.servers.session.checked_values import BadValue
from djlink_manifest.servers.session.error_words import (
    CREDENTIALS,
    DEADLOCK,
    DENIED,
    DOWN,
    EXISTS,
    EXPIRED,
    FULL,
    HOST_BLOCKED,
    HOST_REFUSED,
    LOCKED_ACCOUNT,
    LOST,
    NO_KEY,
    NO_PLUGIN,
    PLAIN_REFUSED,
    REFUSED_ROWS,
    UNKNOWN,
    WAITED,
    WORDS,
)
from djlink_manifest.servers.session.patience import Gone, Silent, TooMuch
from djlink_manifest.servers.session.server_words import said_by

LOG = logging.getLogger("djlink.servers")
STRANGE = (
    "check that it is a MySQL or MariaDB server, and that no proxy changes its responses; if both hold, this "
    "is a defect of djlink: please report it with the output of --debug"
)


@contextmanager
def understood(server: str, words: str = "its responses cannot be parsed") -> Iterator[None]:
    """Turn what malformed answers (text for a number, too few values) raise into a ServerError."""
    try:
        yield
    except DjlinkError:
        raise
    except Exception as error:  # whatever it is, it concerns this server alone
        note_defect(error)
        raise ServerError(f"{words}: {type(error).__name__}", server=server, hint=STRANGE) from error


def note_defect(error: BaseException) -> None:
    """Log where an exception comes from, for `--debug`: it may be a defect of ours. Not its text: that may
    hold a value.
    """
    LOG.debug("%s, raised by:", type(error).__name__)
    for frame in traceback.extract_tb(error.__traceback__):
        LOG.debug("  %s:%s in %s", Path(frame.filename).name, frame.lineno, frame.name)


def translated(error: Exception, address: ServerAddress, identity: ServerIdentity | None) -> ServerError:
    """An error of the driver's as one of ours. What the server said is kept, but for values of rows."""
    server = address.name
    if isinstance(error, Silent):
        # one that answers other sessions is of use to other links
        kind = ServerError if error.runs else Unusable
        waited = f"the server did not answer for {_duration(error.seconds)}"
        return kind(waited, server=server, hint=_silent(error))
    if isinstance(error, Gone):
        gone = "the connection was lost: the server no longer has the session"
        return ConnectionLost(gone, server=server, hint=WORDS[2013].hint)
    if isinstance(error, OSError | EOFError):
        broke = f"the connection broke: {said_by(error, None, address.masked)}"
        return ConnectionLost(broke, server=server, hint=WORDS[2013].hint)
    if isinstance(error, TooMuch):
        return Unusable("its response is larger than any that is asked for", server=server, hint=STRANGE)
    if isinstance(error, BadValue):  # its other answers may be well
        return ServerError(address.masked(f"its response {error}"), server=server, hint=STRANGE)
    code, said = _said(error, address)
    if code is None and not isinstance(error, pymysql.InterfaceError):
        note_defect(error)
        cause = said if isinstance(error, pymysql.MySQLError) else type(error).__name__
        return Unusable(f"its responses cannot be read: {cause}", server=server, hint=STRANGE)
    if code in LOST or code is None:
        lost = WORDS.get(code or 0, WORDS[2013])
        return ConnectionLost(_told(lost.problem, said), code=code, said=said, server=server, hint=lost.hint)
    if code in DENIED:
        return MissingPrivilege(
            _told("the account lacks a privilege", said),
            code=code,
            said=said,
            server=server,
            hint=grant_for(said, identity or "")
            or "run `djlink doctor`, which prints the GRANT statements that are missing",
        )
    if code in EXISTS:
        hint = "it was created after the plan was made: plan again"
        return AlreadyExists(said, code=code, server=server, hint=hint)
    if code in REFUSED_ROWS:
        words = said or (
            "a trigger or a stored function raised an error; its message is not shown, as it may hold values"
        )
        return RowsRefused(words, code=code, server=server)
    told = WORDS.get(code, UNKNOWN)
    problem = f"{told.problem} (error {code})" if told is UNKNOWN else told.problem
    return ServerError(_told(problem, said), code=code, said=said, server=server, hint=told.hint)


def _told(problem: str, said: str) -> str:
    return f"{problem}: {said}" if said else problem


def _said(error: Exception, address: ServerAddress) -> tuple[int | None, str]:
    """The number of an error, and what the server or the driver said, as a message may repeat it."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    words = str(error.args[1]) if len(error.args) > 1 else str(error) or type(error).__name__
    return code, said_by(words, code, address.masked)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _silent(error: Silent) -> str:
    if error.runs:
        return (
            "the statement was ended there; look for what slows the server down (SHOW PROCESSLIST), and "
            "whether somebody replaced a table by a view that waits"
        )
    return (
        "check that the server works, and that no firewall or proxy between here and there keeps connections "
        "without passing them on; then run the command again"
    )


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
    code, words = _said(error, address)
    place = f"{address.host}:{address.port}"

    def found(message: str, hint: str, kind: type[Unreachable] = Unreachable) -> Unreachable:
        return kind(message, code=code, said=words, server=address.name, hint=hint)

    if isinstance(error, Silent):
        waited = _duration(error.seconds)
        return found(
            f"{place} accepts connections, but a login was not completed within {waited}",
            _silent(error),
            Unusable,
        )
    if isinstance(error, FileNotFoundError):
        return found(f"a file of `tls` cannot be read: {error}", "check `ca`, `cert` and `key`")
    if not isinstance(error, pymysql.MySQLError | OSError | EOFError) or (
        code is None and isinstance(error, pymysql.InternalError)
    ):
        note_defect(error)
        kind = words if isinstance(error, pymysql.MySQLError) else type(error).__name__
        return found(f"{place} does not answer as a MySQL or MariaDB server does: {kind}", STRANGE, Unusable)
    if code in EXPIRED or code in LOCKED_ACCOUNT:
        told = WORDS[code or 0]
        return found(f"{place} refused the login of {address.user}: {told.problem}: {words}", told.hint)
    if code in CREDENTIALS:
        return found(
            f"{place} refused the login of {address.user}: {words}",
            "check `user` and `password` of this server, and that the account can connect from this host"
            + ("" if address.tls else " and does not require TLS"),
        )
    if code in FULL:
        return found(
            f"{place} accepts no further session: {words}",
            "try again later or with a smaller --parallelism, or ask its administrator to allow more "
            "sessions",
        )
    if code in PLAIN_REFUSED:
        return found(
            f"{place} requires TLS: {words}",
            "use TLS: `tls: {ca: FILE}`, or `tls: true` if the system trusts the certificate authority",
        )
    if code in HOST_BLOCKED:
        return found(
            f"{place} blocks this host after too many failed connections: {words}",
            "ask its administrator to run: FLUSH HOSTS; (on MySQL: TRUNCATE TABLE "
            "performance_schema.host_cache;)",
        )
    if code in HOST_REFUSED:
        return found(
            f"{place} does not let this host connect: {words}",
            f"ask its administrator for an account of {address.user} that can connect from this host",
        )
    if NO_KEY in words:
        return found(
            f"{place} cannot be sent the password of {address.user} without TLS: {words}",
            "use TLS: `tls: {ca: FILE}`, or `tls: true`; a tunnel that ends on this machine does not need it "
            "(`host: 127.0.0.1`)",
        )
    if code in NO_PLUGIN:
        return found(
            f"{place} wants {address.user} to log in by a method that djlink does not support: {words}",
            "ask its administrator to let the account log in by caching_sha2_password (MySQL) or "
            "mysql_native_password (MariaDB); for client_ed25519: pip install 'PyMySQL[ed25519]'; "
            "mysql_clear_password and dialog need `tls`",
        )
    lower = words.replace(address.host, "").lower()
    if "ssl" in lower or "certificate" in lower or isinstance(error, ssl.SSLError):
        return found(
            f"TLS connection to {place} failed: {words}",
            "set the server's certificate authority with `tls: {ca: FILE}`, or disable TLS with `tls: false`",
        )
    return found(
        f"{place} cannot be reached: {words}",
        "check `host` and `port` of this server, that it is running, and that it accepts connections "
        "from this host",
    )
