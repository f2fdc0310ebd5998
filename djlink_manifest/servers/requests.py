"""Deletion requests on a source's server: what was asked, what was agreed to, approvals, the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from djlink_manifest.model.derive import extra_name
from djlink_manifest.model.link import Link
from djlink_manifest.model.naming import HISTORY
from djlink_manifest.servers import outbound
from djlink_manifest.servers.connection import RawRow, Session, Writer
from djlink_manifest.servers.digest import canonical, keys_in
from djlink_manifest.servers.keylist import KeyList
from djlink_manifest.servers.query import outbound_table
from djlink_manifest.servers.sql import (
    Sql,
    among,
    both,
    column,
    columns,
    comma,
    ident,
    idents,
    not_among,
    sql,
    table,
)
from djlink_manifest.servers.transfer import reading

Cause = Literal["granted", "auto", "unwanted", "gone"]

# what the ledger says of each entity that was let go: asked for and agreed to, and what went along with it
APPROVED = {"granted": "approved", "auto": "approved (auto)", "gone": "approved (gone locally)"}
RELEASED = {"granted": "released (along)", "auto": "released (auto)", "unwanted": "released (unwanted)"}
UNREVIEWED = ("approved (auto)", "released (auto)", "released (unwanted)")  # counted by `max_deletions`
REQUESTED, WITHDRAWN = "requested", "withdrawn"


@dataclass(frozen=True, slots=True)
class AskedRow:
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


def requests_table(link: Link) -> Sql:
    """The link's table of deletion requests."""
    return table(link.outbound_schema, link.requested_table)


def open_requests(link: Link, *, granted: bool | None = None, until: datetime | None = None) -> Sql:
    """The conditions that the request `r` is open: not approved; granted or not, not later than, if said."""
    tests = [not_among(_approved(link), link.key, "r", link.key)]
    if granted is not None:
        tests.append(sql("{} IS NOT NULL" if granted else "{} IS NULL", _of(link, "granted_at")))
    if until is not None:
        tests.append(sql("{} <= {}", _of(link, "requested_at"), until))
    return both(tests)


def doomed_requests(link: Link, *, granted_only: bool, unheld: bool) -> Sql:
    """The SELECT of the keys whose deletion was asked for and agreed to, in key order.

    `unheld`: those too that outbound does not hold, approved before or not: perhaps they are here.
    """
    tests = [among(outbound_table(link), link.key, "r", link.key), open_requests(link)]
    if unheld:
        tests = [sql("TRUE")]
    if granted_only:
        tests.append(sql("{} IS NOT NULL", _of(link, "granted_at")))
    keys = columns("r", link.key)
    return sql("SELECT {} FROM {} r WHERE {} ORDER BY {}", keys, requests_table(link), both(tests), keys)


def asked_rows(session: Session, link: Link) -> list[AskedRow]:
    """The open requests by reason and requester, the oldest first."""
    rows = session.rows(
        sql(
            "SELECT {}, {}, COUNT(*), MIN({}) FROM {} r WHERE {} GROUP BY 1, 2 ORDER BY 4, 1, 2",
            _of(link, "reason"),
            _of(link, "requested_by"),
            _of(link, "requested_at"),
            requests_table(link),
            open_requests(link),
        )
    )
    return [AskedRow(str(reason), str(by), int(count), since) for reason, by, count, since in rows]


def stream_requests(session: Session, link: Link, *, unheld: bool) -> Iterator[RawRow]:
    """Requests, raw: key, since when, by whom, why, when granted.

    Those that are open and held or, with `unheld`, all; in key order.
    """
    tests = [] if unheld else [among(outbound_table(link), link.key, "r", link.key), open_requests(link)]
    names = ("requested_at", "requested_by", "reason", "granted_at")
    return session.stream(
        sql(
            "SELECT {}, {} FROM {} r WHERE {} ORDER BY {}",
            reading(link.key_columns, "r"),
            comma([_of(link, name) for name in names]),
            requests_table(link),
            both(tests),
            columns("r", link.key),
        )
    )


def stream_keys(session: Session, link: Link) -> Iterator[RawRow]:
    """The keys of the open requests, raw, in key order."""
    what, of, test = reading(link.key_columns, "r"), requests_table(link), open_requests(link)
    keys = columns("r", link.key)
    return session.stream(sql("SELECT {} FROM {} r WHERE {} ORDER BY {}", what, of, test, keys))


def request_digest(
    session: Session, link: Link, until: datetime | None = None, *, lock: bool = False
) -> Digest:
    """The digest of the open requests that nobody has granted, up to a moment; `lock` keeps them as they are.

    It does not depend on the order in which a server keeps rows, nor on the vendor.
    """
    text = sql(
        "SELECT {}, {} FROM {} r WHERE {} ORDER BY CAST({} AS BINARY)" + (" FOR UPDATE" if lock else ""),
        canonical(link.key_columns, "r"),
        _of(link, "requested_at"),
        requests_table(link),
        open_requests(link, granted=False, until=until),
        canonical(link.key_columns, "r"),
    )
    found, count, latest = hashlib.sha256(), 0, ""
    for key, moment in session.stream(text):
        found.update((key or b"") + b"\n")
        count += 1
        latest = max(latest, (moment or b"").decode())
    return Digest(f"sha256:{found.hexdigest()}", count, datetime.fromisoformat(latest) if latest else None)


def claim(session: Writer, link: Link, until: datetime, who: str) -> int:
    """Grant the open requests up to a moment, in one statement; how many. The caller commits."""
    return session.execute(
        sql(
            "UPDATE {} r SET {} = CURRENT_TIMESTAMP, {} = {} WHERE {}",
            requests_table(link),
            _of(link, "granted_at"),
            _of(link, "granted_by"),
            who[:288],
            open_requests(link, granted=False, until=until),
        )
    )


def lock_requests(session: Writer, keys: KeyList, *, granted_only: bool = False) -> set[RawRow]:
    """Lock the requests of these keys until the transaction ends; those that still stand.

    A withdrawal that is under way is waited for, and wins; later ones wait.
    """
    link, tests = keys.link, [keys.matches()]
    if granted_only:
        tests.append(sql("{} IS NOT NULL", _of(link, "granted_at")))
    return set(
        session.stream(
            sql(
                "SELECT {} FROM {} r WHERE {} FOR UPDATE",
                reading(link.key_columns, "r"),
                keys.joined(requests_table(link)),
                both(tests),
            )
        )
    )


def approve(session: Writer, keys: KeyList, cause: Cause) -> int:
    """Say to the source that these requested entities are gone, and let go of them; how many outbound rows.

    Their requests are locked, and their absence from the local table is proved. One transaction, which the
    caller commits: approval, ledger, outbound row.
    """
    if not keys.count:
        return 0
    link, requested = keys.link, keys.joined(requests_table(keys.link))
    first, approved = ident(link.key[0]), _approved(link)
    session.execute(
        sql(
            "INSERT INTO {} ({}) SELECT {} FROM {} r WHERE {} ON DUPLICATE KEY UPDATE {} = {}.{}",
            approved,
            idents(link.key),
            columns("r", link.key),
            requested,
            keys.matches(),
            first,
            approved,
            first,
        )
    )
    who = sql("COALESCE({}, USER())", _of(link, "granted_by"))
    _enter(session, link, APPROVED[cause], requested, keys.matches(), who, _of(link, "reason"))
    return _let_go(session, keys)


def release(session: Writer, keys: KeyList, cause: Cause) -> int:
    """Let go of entities that went without a request of their own; how many outbound rows."""
    if not keys.count:
        return 0
    held, nobody = keys.joined(outbound_table(keys.link)), sql("{}", "")
    _enter(session, keys.link, RELEASED[cause], held, keys.matches(), Sql("USER()"), nobody)
    return _let_go(session, keys)


def mend_approved(session: Writer, link: Link, gone: Sequence[RawRow], present: Sequence[RawRow]) -> int:
    """Of entities approved, yet held: those gone locally lose their outbound row, the others the approval."""
    mended = outbound.release(session, link, gone) if gone else 0
    if present:
        mended += session.execute(
            sql("DELETE FROM {} WHERE {}", _approved(link), keys_in(link.key_columns, present, None))
        )
    return mended


def approved_yet_held(link: Link) -> Sql:
    """The SELECT of the keys that are approved and still in outbound, in key order."""
    test = among(_approved(link), link.key, "r", link.key)
    keys = columns("r", link.key)
    return sql("SELECT {} FROM {} r WHERE {} ORDER BY {}", keys, outbound_table(link), test, keys)


def requested_in(link: Link, keys: Sql) -> Sql:
    """The SELECT of those of some keys, a table, that are requested and not approved, in key order."""
    tests = [
        among(requests_table(link), link.key, "s", link.key),
        not_among(_approved(link), link.key, "s", link.key),
    ]
    named = columns("s", link.key)
    return sql("SELECT {} FROM {} s WHERE {} ORDER BY {}", named, keys, both(tests), named)


def record_requests(session: Writer, keys: KeyList) -> None:
    """Enter requests into the ledger: who asked, why, when."""
    link, requested = keys.link, keys.joined(requests_table(keys.link))
    who, reason, at = (_of(link, name) for name in ("requested_by", "reason", "requested_at"))
    _enter(session, link, REQUESTED, requested, keys.matches(), who, reason, at)


def record_withdrawals(session: Writer, keys: KeyList) -> None:
    """Enter withdrawals into the ledger, of entities that are still held; who withdrew nobody can say."""
    held = keys.joined(outbound_table(keys.link))
    _enter(session, keys.link, WITHDRAWN, held, keys.matches(), sql("{}", ""), sql("{}", ""))


def deleted_lately(session: Session, link: Link) -> int:
    """How many entities of the link went in the last 24 hours without a review, as the ledger says."""
    event, at = (ident(extra_name(link.definition, name)) for name in ("event", "at"))
    listed = comma([sql("{}", each) for each in UNREVIEWED])
    counting = "SELECT COUNT(*) FROM {} WHERE {} IN ({}) AND {} > CURRENT_TIMESTAMP - INTERVAL 24 HOUR"
    return int(session.value(sql(counting, _ledger(link), event, listed, at)))


def _let_go(session: Writer, keys: KeyList) -> int:
    # no alias for what is deleted from: MySQL would look for it in a default schema
    held = outbound_table(keys.link)
    deleting = "DELETE {} FROM {} WHERE {}"
    return session.execute(sql(deleting, held, keys.joined(held), keys.matches(held.text)))


def _enter(
    session: Writer, link: Link, event: str, of: Sql, test: Sql, who: Sql, reason: Sql, at: Sql | None = None
) -> None:
    """Write a ledger entry for each row `r` of a table."""
    names = [*link.key, *(extra_name(link.definition, name) for name in ("event", "who", "reason", "at"))]
    session.execute(
        sql(
            "INSERT INTO {} ({}) SELECT {}, {}, {}, {}, {} FROM {} r WHERE {}",
            _ledger(link),
            idents(names),
            columns("r", link.key),
            event,
            who,
            reason,
            at or Sql("CURRENT_TIMESTAMP"),
            of,
            test,
        )
    )


def _of(link: Link, name: str) -> Sql:
    """One of djlink's columns of the request `r`."""
    return column("r", extra_name(link.definition, name))


def _approved(link: Link) -> Sql:
    return table(link.outbound_schema, link.approved_table)


def _ledger(link: Link) -> Sql:
    return table(link.outbound_schema, link.outbound_table + HISTORY)
