"""Writing the outbound side: registrations before local rows, releases after them.

Registration runs under READ COMMITTED in short transactions: under REPEATABLE READ the gaps it reads would
keep the source's own rig from inserting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from djlink_manifest.model.links.link import Link
from djlink_manifest.servers.entities.counts import links_with_requests
from djlink_manifest.servers.entities.key_sets import Sets
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.key_ranges import KeyRange
from djlink_manifest.servers.keys.key_table import KeyTable
from djlink_manifest.servers.keys.predicates import in_pieces, keys_in
from djlink_manifest.servers.query.references import member, reference_holds
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import outbound_table, source_table
from djlink_manifest.servers.session.session import RawRow, Session, Writer
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    columns,
    equal,
    exists_in,
    ident,
    idents,
    not_exists_in,
    or_,
    sql,
    table,
)

Fate: TypeAlias = Literal["comes", "released", "approved"]


def add_pullable(
    source_links: SourceLinks,
    link: Link,
    extra: KeyTable | None,
    work: KeyTable,
    blocked: Sql | None = None,
    within: KeyRange | None = None,
) -> None:
    """Put the keys that are pullable and not in outbound yet into `work`, in key order.

    Local rows without protection (`extra`) are not pulled over: they are registered, or reported. The keys of
    `blocked`, a table, are left out. `within`: only those of a range.
    """
    sets = Sets(work.session, source_links)
    tests = [*sets.pullable(link, "s", link.key), _absent(outbound_table(link), link)]
    if within is not None:
        tests.append(within.test(link.key_columns, "s"))
    if extra is not None and extra.count:
        tests.append(_absent(extra.name, link))
    _add(work, sql("{} s", source_table(link)), tests, blocked)


def add_missing(
    source_links: SourceLinks,
    link: Link,
    missing: KeyTable,
    into: KeyTable,
    *,
    pullable: bool,
    blocked: Sql | None = None,
) -> None:
    """Of the keys missing locally, put those that are pullable (or those that are not) into another set.

    The keys of `blocked`, a table, are left out.
    """
    sets = Sets(into.session, source_links)
    tests = sets.pullable(link, "s", link.key)
    if not pullable:
        # a requested entity that is gone locally is approved, not released; one without a source row is told
        stands = exists_in(source_table(link), link.key, "s", link.key)
        tests = [sql("NOT ({})", and_(tests)), stands, *_not_requested(link)]
    _add(into, sql("{} s", missing.name), tests, blocked, Sql("`~seq`"))


def add_lost(
    source_links: SourceLinks,
    link: Link,
    missing: KeyTable,
    into: KeyTable,
    fate: Fate,
    blocked: Sql | None = None,
) -> None:
    """Of the keys that a table made anew lacks, put those of one fate into another set, in key order.

    All come again, requested or not and wanted or not, since they were here before. Excepted are what is
    approved, what `unwanted: release` lets go, and what refers to a linked parent that is no longer held: it
    went with that parent. Of these the requested ones are to be approved, the others released. The keys of
    `blocked`, a table, are left out.
    """
    requested, approved = (exists_in(each, link.key, "s", link.key) for each in _requests_and_approvals(link))
    comes = [sql("NOT {}", approved), *_parents_held(source_links.links, link)]
    sets = Sets(into.session, source_links)
    wanted = sets.is_wanted(link.address, "s", link.key) if link.unwanted == "release" else None
    if wanted is not None:
        comes.append(or_([wanted, requested]))
    tests = {
        "comes": comes,
        "released": [sql("NOT ({})", and_(comes)), sql("NOT ({})", or_([requested, approved]))],
        "approved": [sql("NOT ({})", and_(comes)), requested, sql("NOT {}", approved)],
    }[fate]
    _add(into, _joined(missing, source_table(link)), tests, blocked)


def add_refillable(
    links: Mapping[str, Link], link: Link, keys: KeyTable, into: KeyTable, *, requested: bool
) -> None:
    """Put those of the keys that can be refilled into another set, in key order.

    They are held, and outbound has all that their source rows refer to of `links`; unless `requested` they
    are not asked back.
    """
    tests = [*_held(link, requested=requested), *_parents_held(links, link)]
    _add(into, _joined(keys, source_table(link)), tests)


def without_parents(
    session: Session, links: Mapping[str, Link], link: Link, keys: KeyTable | None, *, requested: bool
) -> tuple[int, tuple[str, ...]]:
    """Count held entities whose source rows refer to rows of linked parents that are not held; the parents.

    Of some keys, or of all. Their rows changed after they were pulled, and their parents were not pulled.
    """
    rows = sql("{} s", source_table(link)) if keys is None else _joined(keys, source_table(link))
    held, holds = _held(link, requested=requested), _parents_held(links, link)
    if not holds:
        return 0, ()
    counting = "SELECT COUNT(*) FROM {} WHERE {} AND NOT ({})"
    count = session.count(sql(counting, rows, and_(held), and_(holds)))
    if not count:
        return 0, ()
    named = zip([r.parent for r in link.references if r.parent in links], holds, strict=True)
    away = {p for p, test in named if session.count(sql(counting, rows, and_(held), test))}
    return count, tuple(sorted(away))


def _held(link: Link, *, requested: bool) -> list[Sql]:
    """The conditions on a source row `s` that its entity is held; unless `requested`, and not asked back."""
    own = exists_in(outbound_table(link), link.key, "s", link.key)
    return [own, not_requested(link, "s", requested=requested)]


def register(
    session: Writer,
    source_links: SourceLinks,
    link: Link,
    work: KeyTable,
    first: int,
    last: int,
    *,
    blindly: bool = False,
) -> int:
    """Write outbound rows for a range of `work`; how many are new.

    Left out is what is gone, asked back itself, or without all of its linked parents in outbound. Repeating
    it changes nothing. The caller's transaction commits. `blindly`: the source's rows are not looked up,
    since the foreign key does that anyhow; RowsRefused (1452) where one of them is gone.
    """
    number = sql("{}.`~seq` BETWEEN {} AND {}", Sql("s" if blindly else "w"), first, last)
    tests = [number, *_registrable(source_links, link)]
    keys = sql("{} w JOIN {} s ON {}", work.name, source_table(link), equal("w", link.key, "s", link.key))
    key = ident(link.key[0])
    return session.execute(
        sql(
            "INSERT INTO {} ({}) SELECT STRAIGHT_JOIN {} FROM {} WHERE {} ON DUPLICATE KEY UPDATE {} = {}.{}",
            outbound_table(link),
            idents(link.key),
            columns("s", link.key),
            sql("{} s", work.name) if blindly else keys,
            and_(tests),
            key,
            outbound_table(link),
            key,
        )
    )


def register_range(session: Writer, source_links: SourceLinks, link: Link, within: KeyRange) -> int:
    """Write outbound rows for a range of the source's key in which there are none; how many there are now.

    As `register`, for a link of which all is wanted. Raises RowsRefused (1452) where one of the rows goes
    meanwhile.
    """
    requested = bool(links_with_requests(session, [link]))  # empty tables cost time with every row, too
    return session.execute(
        sql(
            "INSERT INTO {} ({}) SELECT {} FROM {} s WHERE {}",
            outbound_table(link),
            idents(link.key),
            columns("s", link.key),
            source_table(link),
            and_(
                [within.test(link.key_columns, "s"), *_registrable(source_links, link, requested=requested)]
            ),
        )
    )


def add_held(link: Link, into: KeyTable, within: KeyRange) -> None:
    """Put the keys that outbound has in a range into a set, in key order."""
    _add(into, sql("{} s", outbound_table(link)), [within.test(link.key_columns, "s")])


def _joined(keys: KeyTable, of: Sql) -> Sql:
    """The rows `s` of a table that have one of these keys."""
    key = keys.link.key
    return sql("{} k JOIN {} s ON {}", keys.name, of, equal("k", key, "s", key))


def _add(
    into: KeyTable, rows: Sql, tests: Sequence[Sql], blocked: Sql | None = None, order: Sql | None = None
) -> None:
    """Put the keys of rows `s` that meet the tests, but for those of `blocked`, into a set, in key order."""
    keys = columns("s", into.link.key)
    every = and_([*tests, *([] if blocked is None else [_absent(blocked, into.link)])])
    into.add_from(sql("SELECT {} FROM {} WHERE {} ORDER BY {}", keys, rows, every, order or keys))


def _registrable(source_links: SourceLinks, link: Link, *, requested: bool = True) -> list[Sql]:
    """The conditions on a source row `s` under which its entity may be registered now."""
    return [*(_not_requested(link) if requested else []), *_parents_held(source_links.links, link)]


def _parents_held(links: Mapping[str, Link], link: Link) -> list[Sql]:
    """The conditions on a source row `s` that outbound has all of its parents among these links."""
    tests = []
    for reference in link.references:
        parent = links.get(reference.parent)
        if parent is not None:
            held = member(parent, outbound_table(parent))
            tests.append(reference_holds(parent, link, reference, "s", held))
    return tests


def refers_by_key(link: Link) -> bool:
    """Whether all that the link's master refers to is named by its key."""
    own_references = [r for r in link.references if r.child_table == link.definition.name]
    return all(set(reference.columns) <= set(link.key) for reference in own_references)


def register_keys(session: Writer, link: Link, keys: Sequence[RawRow]) -> int:
    """Write outbound rows for source entities with these keys that are not barred; the new rows."""
    return sum(
        session.execute(
            sql(
                "INSERT INTO {} ({}) SELECT {} FROM {} s WHERE {}",
                outbound_table(link),
                idents(link.key),
                columns("s", link.key),
                source_table(link),
                and_([keys_in(link.key_columns, some, "s"), *_not_requested(link)]),
            )
        )
        for some in in_pieces(session, keys)
    )


def release(session: Writer, link: Link, keys: Sequence[RawRow]) -> int:
    """Delete outbound rows; the caller has proved their absence from the local table under a lock."""
    return sum(
        session.execute(
            sql("DELETE FROM {} WHERE {}", outbound_table(link), keys_in(link.key_columns, some, None))
        )
        for some in in_pieces(session, keys)
    )


def lock_outbound(session: Writer, link: Link, keys: Sequence[RawRow]) -> list[RawRow]:
    """Lock the outbound rows of these keys until the transaction ends; those that exist, unrequested."""
    found = list[RawRow]()
    for some in in_pieces(session, keys):
        found += session.raw_rows(
            sql(
                "SELECT {} FROM {} s WHERE {} AND {} FOR UPDATE",
                reading(link.key_columns, "s"),
                outbound_table(link),
                keys_in(link.key_columns, some, "s"),
                _absent(table(link.outbound_schema, link.requested_table), link),
            )
        )
    return found


def present_locally(session: Session, link: Link, keys: Sequence[RawRow]) -> set[RawRow]:
    """Which of the keys the local table holds.

    A locking read: inside a transaction under REPEATABLE READ no row with one of these keys can come until it
    ends.
    """
    found = set[RawRow]()
    for some in in_pieces(session, keys):
        found |= set(
            session.raw_rows(
                sql(
                    "SELECT {} FROM {} s WHERE {} FOR UPDATE",
                    reading(link.key_columns, "s"),
                    table(link.local.schema, link.local.name),
                    keys_in(link.local.key_columns, some, "s"),
                )
            )
        )
    return found


def requested_or_approved(session: Session, link: Link, keys: Sequence[RawRow]) -> set[RawRow]:
    """Which of the keys have a deletion request or approval of their own."""
    what = reading(link.key_columns, "s")
    found = set[RawRow]()
    for some in in_pieces(session, keys):
        test = keys_in(link.key_columns, some, "s")
        for of in _requests_and_approvals(link):
            found |= set(session.raw_rows(sql("SELECT {} FROM {} s WHERE {}", what, of, test)))
    return found


def all_keys(link: Link) -> Sql:
    """The SELECT of every key in outbound."""
    return sql("SELECT {} FROM {}", idents(link.key), outbound_table(link))


def not_requested(link: Link, alias: str, *, requested: bool = False) -> Sql:
    """The condition that no request and no approval stands on the entity of an aliased table with its key.

    `requested`: a request may stand on it.
    """
    members = _requests_and_approvals(link)[1:] if requested else _requests_and_approvals(link)
    return and_([not_exists_in(each, link.key, alias, link.key) for each in members])


def _absent(members: Sql, link: Link) -> Sql:
    return not_exists_in(members, link.key, "s", link.key)


def _requests_and_approvals(link: Link) -> tuple[Sql, Sql]:
    """The link's tables of deletion requests and approvals."""
    return (
        table(link.outbound_schema, link.requested_table),
        table(link.outbound_schema, link.approved_table),
    )


def _not_requested(link: Link) -> list[Sql]:
    """The conditions that no request and no approval stands on the entity of `s` itself."""
    return [_absent(members, link) for members in _requests_and_approvals(link)]
