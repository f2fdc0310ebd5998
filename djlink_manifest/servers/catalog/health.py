"""What a server says of its settings, its clock, its TLS and of our account, in a few statements."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timezone

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.health import Health, Role
from djlink_manifest.model.server.rights import parse_grants
from djlink_manifest.servers.catalog.reader import read_variables
from djlink_manifest.servers.session.checked_values import a_flag, a_number, a_text, an_optional_number
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import Row, Session, first_values
from djlink_manifest.servers.sql import sql

GLOBALS = (
    *("read_only", "super_read_only", "innodb_read_only", "max_allowed_packet", "local_infile", "sql_mode"),
    *("foreign_key_checks", "explicit_defaults_for_timestamp", "log_bin", "binlog_format", "init_connect"),
    *("lower_case_table_names", "max_connections", "partial_revokes", "innodb_page_size"),
    *("collation_server", "character_set_server"),
)
SESSION = (
    *("max_user_connections", "max_execution_time", "max_statement_time"),
    *("character_set_client", "character_set_connection", "character_set_results"),
)
_ENDS = "%b %d %H:%M:%S %Y"  # of `Dec 24 11:16:17 2026 GMT`; two blanks before a single digit do no harm

_KNOWS = "CONVERT_TZ('2020-01-01', 'UTC', 'Europe/Berlin') IS NOT NULL"
_CLOCK = f"""
SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)), @@global.time_zone, @@system_time_zone,
       TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone)),
       {_KNOWS}"""


def read_health(session: Session) -> Health:
    """Ask a server how it is.

    The session's role may be another one afterwards: it is to be used for nothing else. Raises ServerError.
    """
    with understood(session.name):
        return _read(session)


def knows_zones(session: Session) -> bool:
    """Whether a server knows time zones by name."""
    return session.value(sql(f"SELECT {_KNOWS}"), a_flag)


def _read(session: Session) -> Health:
    tls = _status(session, "SESSION", "Ssl%")
    before = time.time()
    micros, zone, system, distance, named = session.row(
        sql(_CLOCK), a_number, a_text, a_text, an_optional_number, a_flag
    )
    after = time.time()
    return Health(
        cipher=tls.get("ssl_cipher", ""),
        tls_version=tls.get("ssl_version", ""),
        certificate_ends=_ends(tls.get("ssl_server_not_after", "")),
        globals=read_variables(session, "GLOBAL", GLOBALS),
        session=read_variables(session, "SESSION", SESSION),
        zone=str(zone) if zone != "SYSTEM" else f"SYSTEM, which is {system}",
        zone_minutes=None if distance is None else round(distance / 60),
        named_zones=bool(named),
        connected=int(_status(session, "GLOBAL", "Threads_connected").get("threads_connected", "0")),
        ahead=micros / 1e6 - (before + after) / 2,
        give_or_take=(after - before) / 2,
        grants=parse_grants(_grants(session), literal=session.identity.literal_names),
        roles=_roles(session),
    )


def _status(session: Session, scope: str, like: str) -> dict[str, str]:
    return _pairs(session.rows(sql(f"SHOW {scope} STATUS LIKE {{}}", like), a_text, a_text))


def _pairs(rows: list[Row]) -> dict[str, str]:
    return {name.lower(): value for name, value in rows}


def _grants(session: Session) -> list[str]:
    return [str(line) for line in first_values(session.rows(sql("SHOW GRANTS"), a_text))]


def _roles(session: Session) -> tuple[Role, ...]:
    """The account's roles, each with the rights that there are while it alone is active."""
    listed = "SELECT DISTINCT ROLE_NAME FROM information_schema.{} WHERE ROLE_NAME IS NOT NULL"
    active = {str(name) for name in first_values(session.rows(sql(listed.format("ENABLED_ROLES")), a_text))}
    known = {str(name) for name in first_values(session.rows(sql(listed.format("APPLICABLE_ROLES")), a_text))}
    found = []
    for name in sorted(known | active):
        grants = list[str]()
        with suppress(ServerError):  # of another host than `%`: its name alone does not do
            session.take_role(name)
            grants = _grants(session)
        found.append(Role(name, name in active, parse_grants(grants, literal=session.identity.literal_names)))
    return tuple(found)


def _ends(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.removesuffix(" GMT"), _ENDS).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
