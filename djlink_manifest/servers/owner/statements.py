"""The owner's statements: what stands in the views, and what the owner writes through them."""

from __future__ import annotations

from collections.abc import Sequence

from djlink_manifest.errors import ConnectionLost, ServerError
from djlink_manifest.model.links.holding import OwnedLink, Standing, Unreadable
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.model.tables.owner_views import (
    DIRECTORY,
    DIRECTORY_COLUMNS,
    OWNER,
    Kind,
    OwnerView,
    owner_schema,
    owner_views,
)
from djlink_manifest.servers.ddl.owner_views import list_links
from djlink_manifest.servers.owner.key_sets import KeySet
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.query.tables import condition
from djlink_manifest.servers.session import error_numbers
from djlink_manifest.servers.session.checked_values import BadValue, as_name, as_text, shown
from djlink_manifest.servers.session.session import RawRow, Row, Session, Writer
from djlink_manifest.servers.sql import (
    Sql,
    among,
    both,
    column,
    columns,
    comma,
    equal,
    ident,
    idents,
    joined,
    joined_row,
    sql,
    table,
)

VIEWS_MEND = (
    "the lab's next `djlink apply` recreates its views; if the lab has vanished, ask an administrator of "
    "this server to run `djlink source detach` with their account"
)
_STRANGE = "ask the server's administrator who created its views"


def owner_schemas(session: Session) -> tuple[str, ...]:
    """The schemas of owner's views that the account sees.

    Only views that work by their definer's rights count: others would do with the reader's rights whatever
    their maker wishes.
    """
    rows = session.rows(
        sql(
            "SELECT TABLE_SCHEMA FROM information_schema.VIEWS WHERE TABLE_NAME = {}"
            " AND RIGHT(TABLE_SCHEMA, {}) = {} AND SECURITY_TYPE = 'DEFINER' ORDER BY TABLE_SCHEMA",
            DIRECTORY,
            len(OWNER),
            OWNER,
        )
    )
    return tuple(str(row[0]) for row in rows)


def read_links(session: Session, schema: str) -> list[OwnedLink] | Unreadable:
    """The links of a schema of owner's views; an administrator sees them also where the views are broken."""
    strange = session.rows(
        sql(
            "SELECT TABLE_NAME FROM information_schema.VIEWS"
            " WHERE TABLE_SCHEMA = {} AND SECURITY_TYPE <> 'DEFINER' ORDER BY TABLE_NAME LIMIT 1",
            schema,
        )
    )
    if strange:
        reason = (
            f"its view `{strange[0][0]}` runs with the privileges of its reader: djlink did not create it"
        )
        return Unreadable(schema, reason, _STRANGE)
    with session.reading():
        return _read_links(session, schema)


def _read_links(session: Session, schema: str) -> list[OwnedLink] | Unreadable:
    try:
        rows = session.rows(sql("SELECT {} FROM {}", idents(DIRECTORY_COLUMNS), table(schema, DIRECTORY)))
    except ServerError as error:
        told = unreadable(session, schema, error)
        outbound = schema.removesuffix(OWNER)
        kind = session.rows(
            sql(
                "SELECT TABLE_TYPE FROM information_schema.TABLES"
                " WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                outbound,
                MARKS,
            )
        )
        if kind != [("BASE TABLE",)]:
            return told
        try:
            rows = session.rows(list_links(outbound))
        except ServerError:
            return told
    try:
        found = sorted(_owned(row, schema) for row in rows)
    except BadValue as bad:
        return Unreadable(schema, f"its list of links {bad}", _STRANGE)
    elsewhere = [link.outbound for link in found if not _is_beside(link.outbound, schema)]
    if elsewhere:
        reason = f"it lists links of another schema, {shown(elsewhere[0])}: djlink did not create it"
        return Unreadable(schema, reason, _STRANGE)
    return found


def _owned(row: Row, schema: str) -> OwnedLink:
    """A row of the list of links. Raises BadValue for what is none."""
    base, manifest, contact, source, name, outbound, _ = row
    return OwnedLink(
        (as_name(source, "a source schema"), as_name(name, "a source table")),
        as_text(manifest, "a manifest", 255),
        as_text(contact, "a contact", 255),
        schema,
        as_name(outbound, "an outbound schema"),
        as_name(base, "an outbound table"),
    )


def _is_beside(outbound: str, schema: str) -> bool:
    """Whether a schema is that of the owner's views beside an outbound one; servers may ignore case."""
    return schema.casefold() in (owner_schema(each).casefold() for each in (outbound, outbound.lower()))


def unreadable(session: Session, schema: str, error: ServerError) -> Unreadable:
    """What it means that a view cannot be read. Raises the error where the connection was lost.

    Whoever made the view decides what it raises.
    """
    if error.code in error_numbers.NO_DEFINER:
        # said as a refused login: MySQL and MariaDB tell nothing more to those without further rights
        definers = session.rows(
            sql("SELECT DISTINCT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {}", schema)
        )
        names = ", ".join(f"`{row[0]}`" for row in definers)
        reason = (
            f"its views run with the privileges of {names}, an account that no longer exists or has lost "
            "its privileges"
        )
        return Unreadable(schema, reason, VIEWS_MEND)
    if error.code in error_numbers.BROKEN_VIEW:
        return Unreadable(schema, "its views do not match their tables", VIEWS_MEND)
    if isinstance(error, ConnectionLost):
        raise error
    return Unreadable(schema, error.message, error.hint or "ask the server's administrator")


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


def standing(session: Session, link: OwnedLink, of: TableDefinition, members: KeySet | None) -> Standing:
    """What a link has of the members, or of all: three statements."""
    views = owner_views(of, link.outbound, link.base)
    held = session.row(
        sql(
            "SELECT COUNT(*), MIN({}) FROM {} v {}",
            column("v", views["held"].extra[0]),
            _view(views["held"]),
            _among(members, of),
        )
    )
    asked = session.row(
        sql(
            "SELECT COUNT(*), COALESCE(SUM(held), 0), COALESCE(TIMESTAMPDIFF(SECOND,"
            " MIN(IF(held, since, NULL)), CURRENT_TIMESTAMP), 0)"
            " FROM (SELECT {} AS since, {} AS held FROM {} v {}) r",
            column("v", views["requests"].extra[0]),
            among(_view(views["held"]), of.key, "v", of.key),
            _view(views["requests"]),
            _among(members, of),
        )
    )
    approved = session.value(
        sql("SELECT COUNT(*) FROM {} v {}", _view(views["approved"]), _among(members, of))
    )
    return Standing(
        link, int(held[0]), held[1], int(asked[0]), int(asked[1]), max(0, int(asked[2])), int(approved)
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


def all_schemas(session: Session) -> frozenset[str]:
    """Every schema that the account sees."""
    return frozenset(
        str(row[0]) for row in session.rows(sql("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA"))
    )


def add_held(link: OwnedLink, members: KeySet, into: KeySet) -> None:
    """Add those of the members that the link holds."""
    into.add(_of_view(link, "held", members))


def add_asked(link: OwnedLink, of: TableDefinition, into: KeySet) -> None:
    """Add all entities whose deletion was requested or approved."""
    views = owner_views(of, link.outbound, link.base)
    for kind in ("requests", "approved"):
        into.add(sql("SELECT {} FROM {} v", columns("v", of.key), _view(views[kind])))


def ask(session: Writer, link: OwnedLink, members: KeySet, new: KeySet, reason: str) -> int:
    """Request the deletion of the members that are not requested or approved yet; `new` is empty."""
    of = members.of
    views = owner_views(of, link.outbound, link.base)
    open_, approved = (
        sql("NOT EXISTS (SELECT 1 FROM {} v WHERE {})", _view(views[kind]), equal("v", of.key, "k", of.key))
        for kind in ("requests", "approved")
    )
    new.add(sql("SELECT {} FROM {} k WHERE {}", columns("k", of.key), members.name, both([open_, approved])))
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
            _among(members, of),
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
            both(free),
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
        _among(members, of),
        columns("v", of.key),
        most,
    )
    return list(session.stream(select))


def _view(view: OwnerView) -> Sql:
    return table(view.schema, view.name)


def _among(members: KeySet | None, of: TableDefinition) -> Sql:
    if members is None:
        return Sql("")
    return sql("JOIN {} k ON {}", members.name, equal("k", of.key, "v", of.key))


def _of_view(link: OwnedLink, kind: Kind, members: KeySet) -> Sql:
    view = owner_views(members.of, link.outbound, link.base)[kind]
    return sql("SELECT {} FROM {} v {}", columns("v", view.key), _view(view), _among(members, members.of))


def _delete(view: OwnerView, members: KeySet) -> Sql:
    """A DELETE through a view takes no join on MySQL."""
    return sql(
        "DELETE FROM {} WHERE ({}) IN (SELECT {} FROM {} k)",
        _view(view),
        comma([ident(name) for name in view.key]),
        columns("k", view.key),
        members.name,
    )
