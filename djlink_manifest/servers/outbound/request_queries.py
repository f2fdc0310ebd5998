"""What a source asks to delete, as it stands there: who, why, since when, the digest of the set. Reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.derive import extra_name
from djlink_manifest.servers.compare.checksum import SetDigest, canonical, digest_of_keys, set_digest
from djlink_manifest.servers.outbound.requests import (
    UNREVIEWED,
    approvals_table,
    ledger_table,
    of_request,
    request_conditions,
    requested_until,
    requested_where,
    requests_table,
)
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.checked_values import a_count, a_moment, a_text, an_optional_moment
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import and_, column, columns, comma, exists_in, ident, not_exists_in, sql


@dataclass(frozen=True, slots=True)
class RequestGroupRow:
    """Open requests with one reason, of one requester: how many, since when."""

    reason: str
    by: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of the open requests that no one has granted yet: their keys, their number, the latest."""

    keys: str
    count: int
    until: datetime | None


def request_groups(session: Session, link: Link) -> list[RequestGroupRow]:
    """The open requests by reason and requester, the oldest first."""
    rows = session.rows(
        sql(
            "SELECT {}, {}, COUNT(*), MIN({}) FROM {} r WHERE {} GROUP BY 1, 2 ORDER BY 4, 1, 2",
            of_request(link, "reason"),
            of_request(link, "requested_by"),
            of_request(link, "requested_at"),
            requests_table(link),
            requested_where(link),
        ),
        *(a_text, a_text, a_count, a_moment),
    )
    return [RequestGroupRow(reason, by, count, since) for reason, by, count, since in rows]


def newest_request(session: Session, link: Link) -> datetime | None:
    """The moment of the link's latest request of whatever kind; None where there is none."""
    latest = sql("SELECT MAX({}) FROM {} r", of_request(link, "requested_at"), requests_table(link))
    return session.value(latest, an_optional_moment)


def stream_requests(
    session: Session, link: Link, *, unheld: bool, until: datetime | None = None
) -> Iterator[RawRow]:
    """Requests, raw: key, since when, by whom, why.

    Those that are open and held or, with `unheld`, all, up to a moment if said; in key order.
    """
    tests = (
        [] if unheld else [exists_in(outbound_table(link), link.key, "r", link.key), requested_where(link)]
    )
    tests += requested_until(link, until)
    names = ("requested_at", "requested_by", "reason")
    return session.stream(
        sql(
            "SELECT {}, {} FROM {} r WHERE {} ORDER BY {}",
            reading(link.key_columns, "r"),
            comma([of_request(link, name) for name in names]),
            requests_table(link),
            and_(tests),
            columns("r", link.key),
        )
    )


def stream_requested(
    session: Session,
    link: Link,
    *,
    unheld: bool,
    granted: bool,
    until: datetime | None = None,
    approved: bool | None = None,
) -> Iterator[RawRow]:
    """The keys, raw, in key order, of those that `stream_requests` gives: granted or not, up to a moment.

    `approved`, with `unheld`: only those that are approved, or only the others.
    """
    tests = request_conditions(link, granted=granted, until=until)
    if not unheld:
        tests += [requested_where(link), exists_in(outbound_table(link), link.key, "r", link.key)]
    elif approved is not None:
        within = exists_in if approved else not_exists_in
        tests.append(within(approvals_table(link), link.key, "r", link.key))
    keys = columns("r", link.key)
    what, of = reading(link.key_columns, "r"), requests_table(link)
    return session.stream(sql("SELECT {} FROM {} r WHERE {} ORDER BY {}", what, of, and_(tests), keys))


def requests_digest(session: Session, link: Link) -> SetDigest:
    """The digest of the open requests for what is held: key, and since when in whole seconds."""
    at = replace(link.local.parts[-1].column(extra_name(link.local, "requested_at")), name="~at")
    tests = [requested_where(link), exists_in(outbound_table(link), link.key, "r", link.key)]
    keys = comma([sql("{} AS {}", column("r", name), ident(name)) for name in link.key])
    of = sql(
        "(SELECT {}, CAST({} AS DATETIME) AS {} FROM {} r WHERE {}) k",
        *(keys, of_request(link, "requested_at"), ident(at.name), requests_table(link), and_(tests)),
    )
    return set_digest(session, of, (*link.key_columns, at))


def stream_keys(session: Session, link: Link) -> Iterator[RawRow]:
    """The keys of the open requests, raw, in key order."""
    what, of, test = reading(link.key_columns, "r"), requests_table(link), requested_where(link)
    keys = columns("r", link.key)
    return session.stream(sql("SELECT {} FROM {} r WHERE {} ORDER BY {}", what, of, test, keys))


def request_digest(
    session: Session, link: Link, until: datetime | None = None, *, lock: bool = False
) -> Digest:
    """The digest of the open requests that nobody has granted, up to a moment; `lock` keeps them so."""
    text = sql(
        "SELECT {}, {} FROM {} r WHERE {} ORDER BY CAST({} AS BINARY)" + (" FOR UPDATE" if lock else ""),
        canonical(link.key_columns, "r"),
        of_request(link, "requested_at"),
        requests_table(link),
        requested_where(link, granted=False, until=until),
        canonical(link.key_columns, "r"),
    )
    latest = ""

    def keys() -> Iterator[bytes | None]:
        nonlocal latest
        for key, moment in session.stream(text):
            latest = max(latest, (moment or b"").decode())
            yield key

    with understood(session.name):
        digest, count = digest_of_keys(keys())
        return Digest(digest, count, datetime.fromisoformat(latest) if latest else None)


def deleted_lately(session: Session, link: Link) -> int:
    """How many entities of the link went in the last 24 hours without a review, as the ledger says."""
    event, at = (ident(extra_name(link.definition, name)) for name in ("event", "at"))
    listed = comma([sql("{}", each) for each in UNREVIEWED])
    counting = "SELECT COUNT(*) FROM {} WHERE {} IN ({}) AND {} > CURRENT_TIMESTAMP - INTERVAL 24 HOUR"
    return session.count(sql(counting, ledger_table(link), event, listed, at))
