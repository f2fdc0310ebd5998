"""Opening sessions: the login, TLS and the settings that all of djlink's sessions have."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any, TypeVar

from djlink_manifest.errors import Unreachable, Unusable
from djlink_manifest.model.server.address import ServerAddress, is_loopback
from djlink_manifest.servers.dialects import check_supported
from djlink_manifest.servers.session import patience
from djlink_manifest.servers.session.errors import unreachable
from djlink_manifest.servers.session.patience import Silent, WhileItRuns
from djlink_manifest.servers.session.session import LOCK_WAIT, Session
from djlink_manifest.servers.session.statement_log import LOG
from djlink_manifest.servers.session.wire import WireConnection, values

# A peer that is gone without a word (a cable, a firewall that forgot) is noticed after some two minutes of
# silence; the system's own two hours would be a night lost.
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}

# Strict, so that no value is changed on its way in; without the NO_ZERO_* and with ALLOW_INVALID_DATES, so
# that a date that the source holds is held here too. Naming the mode whole keeps ANSI_QUOTES,
# NO_BACKSLASH_ESCAPES and PAD_CHAR_TO_FULL_LENGTH off, which would change what our text means.
SQL_MODE = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES"

# of each session, set by one statement with those of the vendor; what is set twice is as the last one says
SETTINGS: tuple[str, ...] = (
    f"sql_mode = '{SQL_MODE}'",
    "time_zone = '+00:00'",  # TIMESTAMP values are equal on both sides
    "foreign_key_checks = 1, unique_checks = 1, autocommit = 1",
    f"lock_wait_timeout = {LOCK_WAIT}, innodb_lock_wait_timeout = 20",
    # a limit of the server's on what a statement may return or change would cut a set of keys without a word
    "sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0",
    # CHAIN would begin a transaction after each COMMIT, RELEASE end the session with it
    "completion_type = 0, sql_auto_is_null = 0, sql_quote_show_create = 1",
    # MySQL fails on its own catalog where temporary tables may hold next to nothing
    "tmp_table_size = 67108864, max_heap_table_size = 67108864",
    # errors are read in English; functions that a `where` calls give the same on each server
    "lc_messages = 'en_US', lc_time_names = 'en_US', default_week_format = 0, div_precision_increment = 4",
    "net_write_timeout = 600, net_read_timeout = 600, wait_timeout = 604800",
)
_S = TypeVar("_S", bound=Session)


def open_session(address: ServerAddress, kind: type[_S]) -> _S:
    """Log in and set the session up. TLS that is asked for is enforced, or no session is made.

    Raises Unreachable with what to check, for wrong hosts, ports, credentials, TLS and unsupported servers.
    """
    connection = _logged_in(address)
    try:
        session = kind(address, connection)
        check_supported(session.identity.version, address.name)
        session.set_up((*SETTINGS, *session.dialect.SETTINGS))
        number = session.id
        connection.wait_for_answers(
            WhileItRuns(lambda: _works_for(address, number), lambda: _end_statement(address, number)),
            patience.ASK_AFTER,
        )
        version, tls = session.identity.version, "TLS" if address.tls else "no TLS"
        server = f"{version.vendor} {version.text}, {tls}"
        LOG.debug("%s#%d is open: %s", session.name, session.id, server)
    except BaseException:
        connection.close()
        raise
    return session


def _logged_in(address: ServerAddress) -> WireConnection:
    """A connection on which the account is logged in; nothing is set yet, and answers must come soon."""
    try:
        connection = WireConnection(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.reveal().encode(),  # text the driver would take for Latin 1
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=patience.CONNECT_TIME,
            read_timeout=patience.LOGIN_SILENCE,
            write_timeout=patience.LOGIN_SILENCE,
            max_allowed_packet=1 << 30,
            read_default_file=None,
            program_name="djlink",
            may_fetch_key=is_loopback(address.host),
            local_infile=True,  # offered; what a server may have by it is `WireConnection.feed` alone
            **({"ssl": _context(address)} if address.tls else {"ssl_disabled": True}),
        )
        connection.forbid_files()
        _keep_alive(connection)
    except Exception as error:  # whatever the driver makes of an answer, it concerns this server alone
        raise unreachable(error, address) from (None if address.written else error)
    return connection


def _works_for(address: ServerAddress, number: int) -> bool:
    """Whether a server still has one of djlink's sessions, and does not wait for that one in its turn.

    A session that waits there has answered, or was never asked: the line lost what was sent, and no end will
    hear of the other. It is ended, as it may hold locks. Raises Silent where the server does not answer.
    """
    try:
        connection = _logged_in(address)
    except Unusable:
        raise Silent(0) from None
    except Unreachable:
        return True  # it says something: that it has no session to spare, for instance
    try:
        connection.query("SHOW PROCESSLIST", unbuffered=True)
        # raw: statements are cut there, some within a character
        own = str(number).encode()
        listed = [
            row for rows in connection.row_packets() for row in rows if values(row, 1, more=True)[0] == own
        ]
        if not listed:
            return False
        *_, command, seconds = values(listed[0], 6, more=True)
        is_idle = command == b"Sleep" and int(seconds or 0) >= patience.LOST_AFTER
        if is_idle:
            connection.query(f"KILL {number}")
        return not is_idle
    except Silent:
        raise
    except Exception:  # it answers, whatever it says
        return True
    finally:
        with suppress(Exception):
            connection.close()


def _end_statement(address: ServerAddress, number: int) -> None:
    with suppress(Exception):  # it is left to the server, then
        connection = _logged_in(address)
        try:
            connection.query(f"KILL QUERY {number}")
        finally:
            connection.close()


def _keep_alive(connection: Any) -> None:
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):  # not every system has all of them
            connection._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _context(address: ServerAddress) -> ssl.SSLContext:
    assert address.tls is not None
    context = ssl.create_default_context(cafile=address.tls.ca)
    # certificates that MySQL and MariaDB make themselves lack extensions that Python 3.13's strict mode wants
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if address.tls.cert:
        context.load_cert_chain(address.tls.cert, address.tls.key)
    return context
