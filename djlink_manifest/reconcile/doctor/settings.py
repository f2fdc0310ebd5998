"""Settings of one server that hurt, its TLS and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from djlink_manifest.model.server.health import Finding, Health
from djlink_manifest.reconcile.resolve.unfit import is_on, rejecting, unchecked

PACKET_LEAST = 16 << 20
SESSIONS_LEAST = 10  # what an apply with four links at the same time may open on one server
CLOCK_NOTE, CLOCK_WARNING = 2.0, 60.0  # seconds
CERTIFICATE_SOON = timedelta(days=21)


def server_findings(name: str, is_loopback: bool, health: Health, now: datetime) -> Iterator[Finding]:
    """What there is to say of one server by itself. `now` is this machine's time."""
    yield from _tls(name, is_loopback, health, now)
    yield _clock(name, health)
    yield from _writable(name, health)
    yield from _keys(name, health)
    yield from _packet(name, health)
    yield from _sessions(name, health)
    yield from _case(name, health)
    yield from _sql_mode(name, health)
    yield from _small_things(name, health)


def packet(health: Health) -> int:
    """`max_allowed_packet` in bytes, 0 where it is not known."""
    return int(health.globals.get("max_allowed_packet", "0"))


def _tls(name: str, is_loopback: bool, health: Health, now: datetime) -> Iterator[Finding]:
    if health.cipher:
        yield Finding(name, "TLS", "ok", f"{health.tls_version}, {health.cipher}")
        ends = health.certificate_ends
        if ends is not None and ends - now < CERTIFICATE_SOON:
            over = ends <= now
            yield Finding(
                name,
                "TLS certificate",
                "warning",
                f"{'expired' if over else 'expires'} on {ends:%Y-%m-%d}",
                why="after that date no connection is possible, because the certificate is verified",
                fix="ask the server's administrator to replace the certificate",
            )
    elif is_loopback:
        yield Finding(name, "TLS", "ok", "not encrypted; the connection stays on this machine")
    else:
        offers = "; the server offers TLS" if health.certificate_ends else ""
        yield Finding(
            name,
            "TLS",
            "warning",
            f"not encrypted{offers}",
            why="rows, and with some accounts the password, can be read and changed in transit",
            fix="`tls: true`, or `tls: {ca: FILE}` with the server's authority (docs/operations.md, TLS)",
        )


def _clock(name: str, health: Health) -> Finding:
    away = max(0.0, abs(health.ahead) - health.give_or_take)
    words = f"{abs(health.ahead):,.1f} s {'ahead of' if health.ahead > 0 else 'behind'} this machine"
    if away < CLOCK_NOTE:
        return Finding(name, "clock", "ok", "matches this machine's clock")
    return Finding(
        name,
        "clock",
        "warning" if away >= CLOCK_WARNING else "note",
        words,
        why="timestamps of rows (pulled_at, requested_at) are the server's time; times of two servers, or "
        "of a server and this machine, cannot be put in order",
        fix="synchronize the clock that is wrong by NTP (timedatectl, chronyc tracking)",
    )


def _writable(name: str, health: Health) -> Iterator[Finding]:
    found = tuple(rejecting(name, health.globals, health.grants))
    yield from found
    if not any("read_only" in each.subject for each in found):
        yield Finding(name, "read_only", "ok", "the server accepts writes")


def _keys(name: str, health: Health) -> Iterator[Finding]:
    yield from unchecked(name, health.globals)
    if not is_on(health.globals, "explicit_defaults_for_timestamp"):
        yield Finding(
            name,
            "explicit_defaults_for_timestamp",
            "warning",
            "OFF",
            why="a `timestamp NOT NULL` column of a new table gets an implicit default and ON UPDATE",
            fix="SET GLOBAL explicit_defaults_for_timestamp = ON;",
        )


def _packet(name: str, health: Health) -> Iterator[Finding]:
    size = packet(health)
    if name != "local" or size >= PACKET_LEAST:
        yield Finding(name, "max_allowed_packet", "ok", f"{size:,} bytes")
        return
    yield Finding(
        name,
        "max_allowed_packet",
        "warning",
        f"{size:,} bytes",
        why="larger rows are refused by an INSERT; small packets also make pulls slow",
        fix="SET GLOBAL max_allowed_packet = 1073741824; and in the server's configuration",
    )


def _sessions(name: str, health: Health) -> Iterator[Finding]:
    allowed_sessions = int(health.session.get("max_user_connections", "0"))
    most = int(health.globals.get("max_connections", "0"))
    if 0 < allowed_sessions < SESSIONS_LEAST:
        yield Finding(
            name,
            "max_user_connections",
            "warning",
            f"{allowed_sessions} for this account",
            why=f"an apply with four parallel links opens up to {SESSIONS_LEAST} sessions",
            fix="run with `--parallelism 1`, or ask the administrator to raise the limit of the account "
            "(ALTER USER … WITH MAX_USER_CONNECTIONS)",
        )
    if most and most - health.connected < SESSIONS_LEAST:
        yield Finding(
            name,
            "max_connections",
            "warning",
            f"{health.connected} of {most} sessions are taken",
            why="further sessions are refused until one is free",
            fix="run with `--parallelism 1`, end idle sessions, or: SET GLOBAL max_connections = "
            f"{most + 10 * SESSIONS_LEAST};",
        )
    for variable in ("max_execution_time", "max_statement_time"):
        if float(health.session.get(variable, "0")):
            yield Finding(
                name,
                variable,
                "warning",
                f"{health.session[variable]}, and the session cannot change it",
                why="the server aborts long comparisons and copies",
                fix=f"SET GLOBAL {variable} = 0; or use an account without that limit",
            )


def _case(name: str, health: Health) -> Iterator[Finding]:
    value = health.globals.get("lower_case_table_names", "0")
    if value == "0":
        yield Finding(name, "lower_case_table_names", "ok", "0")
        return
    yield Finding(
        name,
        "lower_case_table_names",
        "note",
        value,
        why="schemas and tables that differ only in case are the same here, and names with uppercase letters "
        "appear " + ("differently from how they were written" if value == "1" else "in two spellings"),
        fix="use lowercase names; the setting itself can be changed only when a server is created",
    )


def _sql_mode(name: str, health: Health) -> Iterator[Finding]:
    modes = set(health.globals.get("sql_mode", "").split(","))
    if not modes & {"STRICT_ALL_TABLES", "STRICT_TRANS_TABLES"}:
        yield Finding(
            name,
            "sql_mode",
            "note",
            "not strict",
            why="djlink and DataJoint set a strict mode themselves; values of other programs that do not fit "
            "are truncated without an error and then linked as they are",
            fix="SET GLOBAL sql_mode = CONCAT(@@global.sql_mode, ',STRICT_TRANS_TABLES');",
        )
    else:
        yield Finding(name, "sql_mode", "ok", "strict")


def _small_things(name: str, health: Health) -> Iterator[Finding]:
    charsets = {v for k, v in health.session.items() if k.startswith("character_set_")}
    if charsets - {"utf8mb4"}:
        yield Finding(
            name,
            "character set",
            "error",
            f"the session uses {', '.join(sorted(charsets))} instead of utf8mb4",
            why="text would be changed in transit",
            fix="remove `skip-character-set-client-handshake` and SET NAMES in init_connect from the "
            "server's configuration",
        )
    if health.globals.get("init_connect"):
        yield Finding(
            name,
            "init_connect",
            "note",
            "each new session runs statements set by the server",
            why="djlink overrides the settings that it needs; a failing statement ends the session",
            fix="check SELECT @@init_connect;",
        )
    infile = is_on(health.globals, "local_infile")
    if name == "local" and not infile and "local_infile" in health.globals:
        yield Finding(
            name,
            "local_infile",
            "note",
            "OFF",
            why="rows are inserted, which takes about twice as long as loading them",
            fix="SET GLOBAL local_infile = ON;",
        )
    elif name != "local" and infile:
        yield Finding(
            name,
            "local_infile",
            "note",
            "ON",
            why="djlink never sends files to a source; other clients may do so on request",
            fix="SET GLOBAL local_infile = OFF; if nothing on this server needs it",
        )
