"""Counting a link's entities by class, on the source server; no row and no key travels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from djlink_manifest.model.links.entity import Presence
from djlink_manifest.model.links.link import Link, not_pulled
from djlink_manifest.model.tables.derive import extra_name
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.set_terms import RequestCounts, SetTerms, SourceLinks
from djlink_manifest.servers.entities.strays import count_strays
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.query.tables import all_rows, condition, outbound_table, source_table
from djlink_manifest.servers.session.checked_values import (
    a_count,
    a_text,
    an_optional_flag,
    an_optional_moment,
    as_int,
)
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    comma,
    equal,
    exists_in,
    ident,
    idents,
    joined,
    joined_row,
    not_exists_in,
    or_,
    sql,
    table,
)

Class = tuple[Presence, bool, bool]  # where it is, whether it is wanted, whether it is pullable


def count_rows(session: Session, of: Sql) -> int:
    """The number of rows of a table."""
    return session.count(sql("SELECT COUNT(*) FROM {}", of))


def links_with_requests(session: Session, links: Sequence[Link]) -> Mapping[str, RequestCounts]:
    """The links that have a deletion request or approval, in a few statements.

    All of their outbound tables stand on this server.
    """
    counts = [
        sql(
            "SELECT {}, COUNT(*), MAX({}), (SELECT COUNT(*) FROM {}) FROM {}",
            link.address,
            ident(extra_name(link.definition, "requested_at")),
            table(link.outbound_schema, link.approved_table),
            table(link.outbound_schema, link.requested_table),
        )
        for link in links
    ]
    found = all_rows(session, counts, a_text, a_count, an_optional_moment, a_count)
    return {address: RequestCounts(n, m, latest) for address, n, latest, m in found if n or m}


def count_classes(
    session: Session, source_links: SourceLinks, link: Link, missing: KeyTable | None, extra: KeyTable | None
) -> Mapping[Class, int]:
    """How many entities of the source are of each class, and how many local ones are orphans.

    `missing` holds the keys that are in outbound and not local, `extra` those local and not in outbound; None
    or empty where there are none.
    """
    sets = Sets(session, source_links)
    wanted = sets.is_wanted(link.address, "s", link.key)
    above = sets.is_blocked_above(link.address, "s", link.key)
    missing = missing if missing and missing.count else None
    extra = extra if extra and extra.count else None
    held, requested = link.address in source_links.held, link.address in source_links.requests
    if wanted is None and above is None and not requested:
        strays = count_strays(session, link, missing, extra, requests=False) if held else {}
        return {**_plain_counts(session, link, held, missing, extra=extra, strays=strays), **_stray(strays)}
    select, joins = _flags(link, held, requested, missing, extra=extra, wanted=wanted, above=above)
    rows = session.rows(
        sql(
            "SELECT o, l, r, a, w, b, COUNT(*) FROM (SELECT {} FROM {} s {}) classes"
            " GROUP BY o, l, r, a, w, b",
            select,
            source_table(link),
            joined(" ", joins),
        ),
        *(*[an_optional_flag] * 6, a_count),
    )
    counts = Counter[Class]()
    for o, l, r, a, w, b, count in rows:  # noqa: E741 - the letters of the state table
        presence = Presence(True, bool(o), bool(l), bool(r), bool(a))
        counts[presence, bool(w), bool(w) and not b] += count
    if held:
        source_count = sum(n for (p, _, _), n in counts.items() if p.outbound)
        counts.update(_stray(count_strays(session, link, missing, extra, source_count, requests=requested)))
    if extra is not None:
        matched = sum(n for (p, _, _), n in counts.items() if p.local and not p.outbound)
        counts[_ORPHANED] = extra.count - matched
    return {c: n for c, n in counts.items() if n}


def _plain_counts(
    session: Session,
    link: Link,
    held: bool,
    missing: KeyTable | None,
    extra: KeyTable | None,
    strays: Mapping[Presence, int],
) -> Mapping[Class, int]:
    """Where all is wanted and nothing barred: counts and a few keys suffice.

    Every key in outbound but the strays is one of the source's, so only the missing and the extra ones are
    looked up.
    """
    local_count, gone = (
        sum(n for p, n in strays.items() if p.outbound and p.local is local) for local in (True, False)
    )
    source = count_rows(session, source_table(link))
    outbound = count_rows(session, outbound_table(link)) if held else 0
    absent = _count_keys(session, link, missing, outbound=True) if held else 0
    late = _count_keys(session, link, extra, outbound=True) if held else 0  # held since they were compared
    more = _count_keys(session, link, extra, outbound=False) - late
    counts = {
        _plain(outbound=True, local=True): outbound - absent - local_count,
        _plain(outbound=True, local=False): absent - gone,
        _plain(outbound=False, local=True): more,
        _plain(outbound=False, local=False): source - (outbound - local_count - gone) - more,
        _ORPHANED: (extra.count if extra else 0) - more - late,
    }
    return {c: n for c, n in counts.items() if n}


def _stray(strays: Mapping[Presence, int]) -> dict[Class, int]:
    return {(presence, False, False): count for presence, count in strays.items()}


_ORPHANED: Class = (Presence(False, False, True, False, False), False, False)


def _plain(*, outbound: bool, local: bool) -> Class:
    return Presence(True, outbound, local, False, False), True, True


def _count_keys(session: Session, link: Link, keys: KeyTable | None, *, outbound: bool) -> int:
    """How many of the keys outbound, or the source, has."""
    if keys is None:
        return 0
    of = outbound_table(link) if outbound else source_table(link)
    match = equal("t", link.key, "k", link.key)
    return session.count(sql("SELECT COUNT(*) FROM {} k STRAIGHT_JOIN {} t ON {}", keys.name, of, match))


def _flags(
    link: Link,
    held: bool,
    requested: bool,
    missing: KeyTable | None,
    extra: KeyTable | None,
    wanted: Sql | None,
    above: Sql | None,
) -> tuple[Sql, list[Sql]]:
    """The select list of one row's flags, and the joins it needs; `above`: whether an ancestor is barred."""
    joins = list[Sql]()

    def found(alias: str, members: Sql | None) -> Sql:
        if members is None:
            return Sql("FALSE")
        joins.append(sql("LEFT JOIN {} {} ON {}", members, Sql(alias), equal(alias, link.key, "s", link.key)))
        return joined_row(alias, link.key, "s", link.key)

    def outbound_like(name: str) -> Sql | None:
        return table(link.outbound_schema, name) if requested else None

    o = found("o", outbound_table(link) if held else None)
    lacks = found("mi", missing.name if missing else None)
    more = found("ex", extra.name if extra else None)
    r = found("r", outbound_like(link.requested_table))
    a = found("a", outbound_like(link.approved_table))
    w = wanted if wanted is not None else Sql("TRUE")
    request_terms = or_([r, a, *([above] if above is not None else [])])
    flags = {
        "o": o,
        "l": sql("(({} AND NOT {}) OR {})", o, lacks, more),
        "r": r,
        "a": a,
        "w": w,
        "b": request_terms,
    }
    return comma([sql("{} AS {}", test, Sql(name)) for name, test in flags.items()]), joins


def left_out(session: Session, source_links: SourceLinks, link: Link) -> tuple[tuple[str, int], ...]:
    """How many source entities are not wanted, by the first reason that leaves each out."""
    terms = SetTerms(source_links)
    if terms.wanted(link.address) is None or link.pull == "none":
        return ()
    sets = Sets(session, source_links)
    reasons, cases = list[str](), list[Sql]()
    if link.where is not None:
        reasons.append("not selected by `where`")
        cases.append(Sql("NOT m.`~meets`"))
    conditions = sets.parent_conditions(link, "m")
    parents = {reference.parent for reference, _ in conditions}
    for reference, holds in conditions:
        part = (
            ""
            if reference.child_table == link.definition.name
            else f" (referenced by part {reference.child_table})"
        )
        reasons.append(f"{not_pulled(reference.parent, parents)}{part}")
        cases.append(sql("NOT {}", holds))
    if link.pull == "needed":
        reasons.append("not referenced by a wanted row")
        cases.append(sql("NOT {}", sets.is_wanted(link.address, "m", link.key) or Sql("TRUE")))
    meets = sql("({}) IS TRUE", condition(link.where)) if link.where is not None else Sql("TRUE")
    whens = joined(" ", [sql("WHEN {} THEN {}", case, number) for number, case in enumerate(cases)])
    rows = session.rows(
        sql(
            "SELECT reason, COUNT(*) FROM (SELECT CASE {} END AS reason FROM"
            " (SELECT {}, {} AS `~meets` FROM {}) m) reasons"
            " WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason",
            whens,
            idents(link.definition.column_names),  # `*` leaves out invisible columns
            meets,
            source_table(link),
        ),
        *(partial(as_int, what="a reason", most=len(reasons) - 1), a_count),
    )
    counts = Counter[str]()  # two references to one parent give one reason
    for reason, count in rows:
        counts[reasons[reason]] += count
    return tuple(counts.items())


def part_rows_to_pull(
    session: Session, source_links: SourceLinks, link: Link, blocked: Sql | None = None
) -> tuple[tuple[str, int], ...]:
    """Rows of each part that belong to pullable entities not in outbound, nor among the keys `blocked`."""
    found = []
    for part in link.definition.parts:
        sets = Sets(session, source_links)
        own_columns = link.definition.master_columns(part) or ()
        tests = sets.pullable(link, "p", own_columns)
        if link.address in source_links.held:
            tests.append(not_exists_in(outbound_table(link), link.key, "p", own_columns))
        if blocked is not None:
            tests.append(not_exists_in(blocked, link.key, "p", own_columns))
        of = table(part.schema, part.name)
        count = session.count(sql("SELECT COUNT(*) FROM {} p WHERE {}", of, and_(tests)))
        found.append((part.name, count))
    return tuple(found)


def part_rows_held(
    session: Session, link: Link, missing: KeyTable | None, all_held: bool
) -> tuple[tuple[str, int], ...]:
    """Rows of each part, at the source, that belong to entities in outbound and not `missing` locally.

    `all_held`: outbound has as many rows as the source, so that every part row counts.
    """
    found = []
    for part in link.definition.parts:
        of, own_columns = table(part.schema, part.name), link.definition.master_columns(part) or ()
        if all_held:
            rows = count_rows(session, of)
        else:
            of_held = exists_in(outbound_table(link), link.key, "p", own_columns)
            rows = session.count(sql("SELECT COUNT(*) FROM {} p WHERE {}", of, of_held))
        if missing is not None and missing.count:
            match = equal("p", own_columns, "k", link.key)
            rows -= session.count(sql("SELECT COUNT(*) FROM {} k JOIN {} p ON {}", missing.name, of, match))
        found.append((part.name, rows))
    return tuple(found)
