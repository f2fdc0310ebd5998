"""The owner's statements: which entities links hold, and what the owner writes through the views."""

from __future__ import annotations

from collections.abc import Sequence

from djlink_manifest.model.links.dependents import Tie
from djlink_manifest.model.links.holding import LinkHolding, OwnedLink
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.owner_views import (
    Kind,
    OwnerView,
    owner_views,
)
from djlink_manifest.servers.owner.key_sets import KeySet
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import condition
from djlink_manifest.servers.session.checked_values import a_count, a_flag, a_number, an_optional_moment
from djlink_manifest.servers.session.session import RawRow, Session, Writer
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    column,
    columns,
    comma,
    equal,
    exists_in,
    ident,
    idents,
    joined,
    joined_row,
    sql,
    table,
)


def chosen(of: TableDefinition, where: Condition | None) -> Sql:
    """The SELECT of the keys of a table's rows that meet a condition, which stands alone."""
    source = table(of.schema, of.name)
    if where is None:
        return sql("SELECT {} FROM {}", idents(of.key), source)
    return sql(
        "SELECT {} FROM (SELECT {} FROM {} WHERE {}) s",
        columns("s", of.key),
        idents(of.column_names),
        source,
        condition(where),
    )


def relayed(of: TableDefinition, requests: TableName) -> Sql:
    """The SELECT of the keys whose deletion the source of a local table requests, by its own note of them."""
    return sql("SELECT {} FROM {}", idents(of.key), table(*requests))


def holdings(session: Session, link: OwnedLink, of: TableDefinition, members: KeySet | None) -> LinkHolding:
    """What a link has of the members, or of all: three statements."""
    views = owner_views(of, link.outbound, link.base)
    held = session.row(
        sql(
            "SELECT COUNT(*), MIN({}) FROM {} v {}",
            column("v", views["held"].extra[0]),
            _view(views["held"]),
            _in_set(members, of),
        ),
        *(a_count, an_optional_moment),
    )
    requested_row = session.row(
        sql(
            "SELECT COUNT(*), COALESCE(SUM(held), 0), COALESCE(TIMESTAMPDIFF(SECOND,"
            " MIN(IF(held, since, NULL)), CURRENT_TIMESTAMP), 0)"
            " FROM (SELECT {} AS since, {} AS held FROM {} v {}) r",
            column("v", views["requests"].extra[0]),
            exists_in(_view(views["held"]), of.key, "v", of.key),
            _view(views["requests"]),
            _in_set(members, of),
        ),
        *(a_count, a_count, a_number),
    )
    approved = session.count(
        sql("SELECT COUNT(*) FROM {} v {}", _view(views["approved"]), _in_set(members, of))
    )
    return LinkHolding(
        link,
        held[0],
        held[1],
        requested_row[0],
        requested_held=requested_row[1],
        requested_seconds=max(0, requested_row[2]),
        approved=approved,
    )


def in_both(one: KeySet, other: KeySet) -> Sql:
    """The SELECT of the keys that two sets of one table share."""
    key = one.of.key
    return sql(
        "SELECT {} FROM {} k JOIN {} v ON {}",
        columns("k", key),
        one.name,
        other.name,
        equal("k", key, "v", key),
    )


def without(one: KeySet, other: KeySet) -> Sql:
    """The SELECT of the keys of a set that another one of the same table lacks."""
    key = one.of.key
    absent = sql("NOT EXISTS (SELECT 1 FROM {} v WHERE {})", other.name, equal("v", key, "k", key))
    return sql("SELECT {} FROM {} k WHERE {}", columns("k", key), one.name, absent)


def add_held(link: OwnedLink, members: KeySet, into: KeySet) -> None:
    """Add those of the members that the link holds."""
    into.add_new(_of_view(link, "held", members))


def add_requested(link: OwnedLink, of: TableDefinition, into: KeySet) -> None:
    """Add all entities whose deletion was requested or approved."""
    views = owner_views(of, link.outbound, link.base)
    for kind in ("requests", "approved"):
        into.add_new(sql("SELECT {} FROM {} v", columns("v", of.key), _view(views[kind])))


def request(session: Writer, link: OwnedLink, members: KeySet, new: KeySet, reason: str) -> int:
    """Request the deletion of the members that are not requested or approved yet; `new` is empty."""
    of = members.of
    views = owner_views(of, link.outbound, link.base)
    open_, approved = (
        sql("NOT EXISTS (SELECT 1 FROM {} v WHERE {})", _view(views[kind]), equal("v", of.key, "k", of.key))
        for kind in ("requests", "approved")
    )
    new.add_new(
        sql("SELECT {} FROM {} k WHERE {}", columns("k", of.key), members.name, and_([open_, approved]))
    )
    return session.execute(
        sql(
            "INSERT INTO {} ({}, {}) SELECT {}, {} FROM {} k",
            _view(views["requests"]),
            idents(of.key),
            ident(views["requests"].extra[2]),
            columns("k", of.key),
            reason,
            new.name,
        )
    )


def withdraw(session: Writer, link: OwnedLink, members: KeySet) -> int:
    """Delete the open requests for the members and leave word in the ledger; how many."""
    of = members.of
    views = owner_views(of, link.outbound, link.base)
    event, reason = views["withdrawn"].extra
    session.execute(
        sql(
            "INSERT INTO {} ({}, {}, {}) SELECT {}, 'withdrawn', {} FROM {} v {}",
            _view(views["withdrawn"]),
            idents(of.key),
            ident(event),
            ident(reason),
            columns("v", of.key),
            column("v", views["requests"].extra[2]),
            _view(views["requests"]),
            _in_set(members, of),
        )
    )
    return session.execute(_delete(views["requests"], members))


def permit(session: Writer, link: OwnedLink, members: KeySet) -> int:
    """Delete the approvals of the members, so that they may be pulled again; how many."""
    return session.execute(_delete(owner_views(members.of, link.outbound, link.base)["approved"], members))


def delete_rows(session: Writer, of: TableDefinition, own: Sequence[str], members: KeySet) -> int:
    """Delete the rows of a master or part whose columns `own` hold the key of one of the members."""
    session.execute(sql("USE {}", ident(of.schema)))  # a DELETE with an alias wants a schema to be chosen
    return session.execute(
        sql(
            "DELETE s FROM {} s JOIN {} k ON {}",
            table(of.schema, of.name),
            members.name,
            equal("k", members.of.key, "s", own),
        )
    )


def has_rows(session: Session, of: TableDefinition, members: KeySet) -> bool:
    """Whether a master has rows of any member."""
    joined_key = equal("k", of.key, "s", of.key)
    rows = sql("SELECT 1 FROM {} s JOIN {} k ON {}", table(of.schema, of.name), members.name, joined_key)
    return session.value(sql("SELECT EXISTS ({})", rows), a_flag)


def set_null(session: Writer, tie: Tie, members: KeySet) -> int:
    """Set the columns of a foreign key that may be NULL to NULL in the members' rows; how many had values."""
    if not tie.optional:
        return 0
    session.execute(sql("USE {}", ident(tie.table.schema)))
    values = [sql("{} = NULL", column("s", name)) for name in tie.optional]
    return session.execute(
        sql(
            "UPDATE {} s JOIN {} k ON {} SET {}",
            table(tie.table.schema, tie.table.name),
            members.name,
            equal("k", members.of.key, "s", tie.own),
            comma(values),
        )
    )


def delete_leaves(
    session: Writer, of: TableDefinition, keys: Sequence[tuple[Sql, Sql]], members: KeySet
) -> int:
    """Delete those of the members' rows in a master that no row of the same table refers to.

    `keys` are the joins, one for each foreign key of the table to itself, each with the condition that it
    found a row.
    """
    session.execute(sql("USE {}", ident(of.schema)))
    # by joins: MySQL reads the table that it deletes from in no subquery
    free = [sql("NOT {}", found) for _, found in keys]
    return session.execute(
        sql(
            "DELETE s FROM {} s JOIN {} k ON {} {} WHERE {}",
            table(of.schema, of.name),
            members.name,
            equal("k", members.of.key, "s", of.key),
            joined(" ", [rows for rows, _ in keys]),
            and_(free),
        )
    )


def referring(of: TableDefinition, pairs: Sequence[tuple[str, str]], number: int) -> tuple[Sql, Sql]:
    """The outer join to the rows that refer to others of their table, and the test that it found one."""
    alias = f"r{number}"
    names, named = [a for a, _ in pairs], [b for _, b in pairs]
    return (
        sql("LEFT JOIN {} {} ON {}", table(of.schema, of.name), Sql(alias), equal(alias, names, "s", named)),
        joined_row(alias, names, "s", named),
    )


def held_keys(session: Session, link: OwnedLink, members: KeySet, most: int) -> list[RawRow]:
    """Keys that the link holds of the members, at most so many, each with the time since when."""
    of, views = members.of, owner_views(members.of, link.outbound, link.base)
    since = column("v", views["held"].extra[0])
    select = sql(
        "SELECT {}, CAST({} AS CHAR) FROM {} v {} ORDER BY {} LIMIT {}",
        reading(of.key_columns, "v"),
        since,
        _view(views["held"]),
        _in_set(members, of),
        columns("v", of.key),
        most,
    )
    return session.raw_rows(select)


def _view(view: OwnerView) -> Sql:
    return table(view.schema, view.name)


def _in_set(members: KeySet | None, of: TableDefinition) -> Sql:
    if members is None:
        return Sql("")
    return sql("JOIN {} k ON {}", members.name, equal("k", of.key, "v", of.key))


def _of_view(link: OwnedLink, kind: Kind, members: KeySet) -> Sql:
    view = owner_views(members.of, link.outbound, link.base)[kind]
    return sql("SELECT {} FROM {} v {}", columns("v", view.key), _view(view), _in_set(members, members.of))


def _delete(view: OwnerView, members: KeySet) -> Sql:
    """A DELETE through a view takes no join on MySQL."""
    return sql(
        "DELETE FROM {} WHERE ({}) IN (SELECT {} FROM {} k)",
        _view(view),
        comma([ident(name) for name in view.key]),
        columns("k", view.key),
        members.name,
    )
