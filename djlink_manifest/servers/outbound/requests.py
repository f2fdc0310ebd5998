"""Deletion requests on a source's server: what is agreed to, approved, let go and entered in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.derive import extra_name
from djlink_manifest.model.tables.naming import HISTORY
from djlink_manifest.servers.keys.key_list import KeysInHand
from djlink_manifest.servers.keys.predicates import in_pieces, keys_in
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.checked_values import a_flag
from djlink_manifest.servers.session.session import RawRow, Writer
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    column,
    columns,
    equal,
    exists_in,
    ident,
    idents,
    not_exists_in,
    sql,
    table,
)

Cause = Literal["granted", "auto", "unwanted", "gone", "orphans"]

# what the ledger says of each entity that was let go: asked for and agreed to, and what went along with it
APPROVED = {
    "granted": "approved",
    "auto": "approved (auto)",
    "gone": "approved (gone locally)",
    "orphans": "approved",
}
RELEASED = {
    "granted": "released (along)",
    "auto": "released (auto)",
    "unwanted": "released (unwanted)",
    "orphans": "released (along)",
}
UNREVIEWED = ("approved (auto)", "released (auto)", "released (unwanted)")  # counted by `max_deletions`
REQUESTED, WITHDRAWN = "requested", "withdrawn"


def requests_table(link: Link) -> Sql:
    """The link's table of deletion requests."""
    return table(link.outbound_schema, link.requested_table)


def approvals_table(link: Link) -> Sql:
    """The link's table of approvals."""
    return table(link.outbound_schema, link.approved_table)


def ledger_table(link: Link) -> Sql:
    """The link's ledger."""
    return table(link.outbound_schema, link.outbound_table + HISTORY)


def of_request(link: Link, name: str) -> Sql:
    """One of djlink's columns of the request `r`."""
    return column("r", extra_name(link.definition, name))


def requested_where(link: Link, *, granted: bool | None = None, until: datetime | None = None) -> Sql:
    """The conditions that the request `r` is open: not approved; granted or not, not later than, if said."""
    unapproved = not_exists_in(approvals_table(link), link.key, "r", link.key)
    return and_([unapproved, *request_conditions(link, granted=granted, until=until)])


def request_conditions(
    link: Link, *, granted: bool | None = None, until: datetime | None = None
) -> list[Sql]:
    """The conditions that the request `r` is granted or not, and not later than a moment, as far as said.

    And that its source row stands: of one that is gone nothing can be approved (`entities/strays.py`).
    """
    tests = [_stands(link, "r")]
    if granted is not None:
        tests.append(sql("{} IS NOT NULL" if granted else "{} IS NULL", of_request(link, "granted_at")))
    return [*tests, *requested_until(link, until)]


def requested_until(link: Link, until: datetime | None) -> list[Sql]:
    """The condition that the request `r` is not later than a moment; none where no moment is given."""
    return [] if until is None else [sql("{} <= {}", of_request(link, "requested_at"), until)]


def requests_to_delete(link: Link, *, granted_only: bool, unheld: bool, until: datetime | None) -> Sql:
    """The SELECT of the keys whose deletion was asked for and agreed to, up to a moment, in key order.

    `unheld`: those too that outbound does not hold, approved before or not: perhaps they are here.
    """
    tests = [exists_in(outbound_table(link), link.key, "r", link.key), requested_where(link)]
    if unheld:
        tests = [_stands(link, "r")]
    if granted_only:
        tests.append(sql("{} IS NOT NULL", of_request(link, "granted_at")))
    tests += requested_until(link, until)
    keys = columns("r", link.key)
    return sql("SELECT {} FROM {} r WHERE {} ORDER BY {}", keys, requests_table(link), and_(tests), keys)


def claim(session: Writer, link: Link, until: datetime, who: str) -> int:
    """Grant the open requests up to a moment, in one statement; how many. The caller commits."""
    tests = request_conditions(link, granted=False, until=until)
    # where nothing is approved, as most often, it is not looked up for each request
    if session.value(sql("SELECT EXISTS (SELECT 1 FROM {})", approvals_table(link)), a_flag):
        tests.append(requested_where(link))
    return session.execute(
        sql(
            "UPDATE {} r SET {} = CURRENT_TIMESTAMP, {} = {} WHERE {}",
            requests_table(link),
            of_request(link, "granted_at"),
            of_request(link, "granted_by"),
            who[:288],
            and_(tests),
        )
    )


def lock_requests(session: Writer, keys: KeysInHand, *, granted_only: bool = False) -> list[RawRow]:
    """Lock the requests of these keys until the transaction ends; those that still stand, in their order.

    A withdrawal that is under way is waited for, and wins; later ones wait.
    """
    link, tests = keys.link, [keys.matches()]
    if granted_only:
        tests.append(sql("{} IS NOT NULL", of_request(link, "granted_at")))
    return session.raw_rows(
        sql(
            "SELECT {} FROM {} r WHERE {} FOR UPDATE",
            reading(link.key_columns, "r"),
            keys.joined(requests_table(link)),
            and_(tests),
        )
    )


def approve(session: Writer, keys: KeysInHand, cause: Cause) -> int:
    """Approve these requested entities, which are gone locally; the number of outbound rows deleted.

    Their requests are locked, and their absence from the local table is proved. One transaction, which the
    caller commits: approval, ledger, outbound row.
    """
    if not keys.count:
        return 0
    link, requested = keys.link, keys.joined(requests_table(keys.link))
    first, approved = ident(link.key[0]), approvals_table(link)
    session.execute(
        sql(
            "INSERT INTO {} ({}) {} ON DUPLICATE KEY UPDATE {} = {}.{}",
            approved,
            idents(link.key),
            keys.select(),
            first,
            approved,
            first,
        )
    )
    who = sql("COALESCE({}, USER())", of_request(link, "granted_by"))
    _enter(
        session,
        link,
        APPROVED[cause],
        requested,
        test=keys.matches(),
        who=who,
        reason=of_request(link, "reason"),
    )
    return _let_go(session, keys)


def release(session: Writer, keys: KeysInHand, cause: Cause) -> int:
    """Let go of entities that went without a request of their own; how many outbound rows."""
    if not keys.count:
        return 0
    held, nobody = keys.joined(outbound_table(keys.link)), sql("{}", "")
    _enter(session, keys.link, RELEASED[cause], held, test=keys.matches(), who=Sql("USER()"), reason=nobody)
    return _let_go(session, keys)


def forget_strays(session: Writer, keys: KeysInHand, cause: Cause) -> int:
    """Delete what the outbound schema holds of those of the keys that have no source row; the outbound rows.

    Their absence from the local table is proved. What was held is entered into the ledger.
    """
    link = keys.link
    gone = not_exists_in(source_table(link), link.key, "r", link.key)
    held, tests = keys.joined(outbound_table(link)), and_([keys.matches(), gone])
    _enter(session, link, RELEASED[cause], held, test=tests, who=Sql("USER()"), reason=sql("{}", ""))
    forgotten = 0
    for of in (outbound_table(link), requests_table(link), approvals_table(link)):
        # no alias for what is deleted from: MySQL would look for it in a default schema
        gone = not_exists_in(source_table(link), link.key, of.text, link.key)
        deleting = "DELETE {} FROM {} WHERE {}"
        count = session.execute(sql(deleting, of, keys.joined(of), and_([keys.matches(of.text), gone])))
        forgotten += count if of == outbound_table(link) else 0
    return forgotten


def mend_approved(session: Writer, link: Link, gone: Sequence[RawRow], present: Sequence[RawRow]) -> int:
    """Of entities approved, yet held: those gone locally lose their outbound row, the others the approval."""
    mended = registrations.release(session, link, gone) if gone else 0
    for some in in_pieces(session, present):
        mended += session.execute(
            sql("DELETE FROM {} WHERE {}", approvals_table(link), keys_in(link.key_columns, some, None))
        )
    return mended


def approved_yet_held(link: Link) -> Sql:
    """The SELECT of the keys that are approved and still in outbound, in key order."""
    test = and_([exists_in(approvals_table(link), link.key, "r", link.key), _stands(link, "r")])
    keys = columns("r", link.key)
    return sql("SELECT {} FROM {} r WHERE {} ORDER BY {}", keys, outbound_table(link), test, keys)


def requested_in(link: Link, keys: Sql) -> Sql:
    """The SELECT of those of some keys, a table, that are requested and not approved, in key order."""
    tests = [
        exists_in(requests_table(link), link.key, "s", link.key),
        not_exists_in(approvals_table(link), link.key, "s", link.key),
        _stands(link, "s"),
    ]
    named = columns("s", link.key)
    return sql("SELECT {} FROM {} s WHERE {} ORDER BY {}", named, keys, and_(tests), named)


def record_requests(session: Writer, keys: KeysInHand) -> None:
    """Enter requests into the ledger: who asked, why, when."""
    link, requested = keys.link, keys.joined(requests_table(keys.link))
    who, reason, at = (of_request(link, name) for name in ("requested_by", "reason", "requested_at"))
    _enter(session, link, REQUESTED, of=requested, test=keys.matches(), who=who, reason=reason, at=at)


def record_withdrawals(session: Writer, keys: KeysInHand) -> None:
    """Enter withdrawals into the ledger, of entities that are still held; who withdrew nobody can say.

    Those that their owner entered by name, or an apply that did not end, are in the ledger already.
    """
    link, held = keys.link, keys.joined(outbound_table(keys.link))
    event, at = (ident(extra_name(link.definition, name)) for name in ("event", "at"))
    # of the whole ledger, once: it has no index of keys, and MySQL opens a temporary table once a statement
    latest = sql(
        "SELECT {}, MAX(IF({} = {}, {}, NULL)) AS `~asked`, MAX(IF({} = {}, {}, NULL)) AS `~withdrawn`"
        " FROM {} GROUP BY {}",
        *(idents(link.key), event, REQUESTED, at, event, WITHDRAWN, at),
        *(ledger_table(link), idents(link.key)),
    )
    entered = sql(
        "EXISTS (SELECT 1 FROM ({}) h WHERE {} AND `~withdrawn` >= COALESCE(`~asked`, `~withdrawn`))",
        *(latest, equal("h", link.key, "r", link.key)),
    )
    test = sql("{} AND NOT {}", keys.matches(), entered)
    _enter(session, link, WITHDRAWN, held, test=test, who=sql("{}", ""), reason=sql("{}", ""))


def _stands(link: Link, alias: str) -> Sql:
    """The condition that the source row of an aliased table's key stands."""
    return exists_in(source_table(link), link.key, alias, link.key)


def _let_go(session: Writer, keys: KeysInHand) -> int:
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
            ledger_table(link),
            idents(names),
            columns("r", link.key),
            event,
            who,
            reason,
            at or Sql("CURRENT_TIMESTAMP(6)"),
            of,
            test,
        )
    )
