"""What an account sees of the owner's views on a server: their schemas, the links listed, and faults."""

from __future__ import annotations

from djlink_manifest.errors import ConnectionLost, ServerError
from djlink_manifest.model.links.holding import OwnedLink, Unreadable
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.model.tables.owner_views import DIRECTORY, DIRECTORY_COLUMNS, OWNER, owner_schema
from djlink_manifest.servers.ddl.owner_views import list_links
from djlink_manifest.servers.session.checked_values import (
    BadValue,
    a_text,
    anything,
    as_name,
    as_plain_name,
    as_text,
    shown,
)
from djlink_manifest.servers.session.error_words import BROKEN_VIEW, NO_DEFINER
from djlink_manifest.servers.session.session import Row, Session
from djlink_manifest.servers.sql import idents, sql, table

VIEWS_MEND = (
    "the lab's next `djlink apply` recreates its views; if the lab has vanished, ask an administrator of "
    "this server to run `djlink source detach MANIFEST` with their account"
)
_STRANGE = "ask the server's administrator who created its views"


def all_schemas(session: Session) -> frozenset[str]:
    """Every schema that the account sees."""
    return frozenset(
        row[0] for row in session.rows(sql("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA"), a_text)
    )


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
        ),
        a_text,
    )
    return tuple(row[0] for row in rows)


def read_links(session: Session, schema: str) -> list[OwnedLink] | Unreadable:
    """The links of a schema of owner's views; an administrator sees them also where the views are broken."""
    strange = session.rows(
        sql(
            "SELECT TABLE_NAME FROM information_schema.VIEWS"
            " WHERE TABLE_SCHEMA = {} AND SECURITY_TYPE <> 'DEFINER' ORDER BY TABLE_NAME LIMIT 1",
            schema,
        ),
        a_text,
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
        rows = session.rows(
            sql("SELECT {} FROM {}", idents(DIRECTORY_COLUMNS), table(schema, DIRECTORY)), *[anything] * 7
        )
    except ServerError as error:
        told = unreadable(session, schema, error)
        outbound = schema.removesuffix(OWNER)
        kind = session.rows(
            sql(
                "SELECT TABLE_TYPE FROM information_schema.TABLES"
                " WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                outbound,
                MARKS,
            ),
            a_text,
        )
        if kind != [("BASE TABLE",)]:
            return told
        try:
            rows = session.rows(list_links(outbound), *[anything] * 7)
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
    for outbound in sorted({link.outbound for link in found}):
        if not _may_be_outbound(session, outbound):
            reason = f"it lists tables of {shown(outbound)}, which has no `{MARKS}`: djlink did not create it"
            return Unreadable(schema, reason, _STRANGE)
    return found


def _may_be_outbound(session: Session, schema: str) -> bool:
    """Whether a schema has djlink's table of marks, as far as the account sees; owners see nothing of it.

    A list of links that calls a schema of somebody's data outbound hides these tables, and has them dropped.
    """
    select = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}"
    whole = sql(select + " AND TABLE_NAME = {}", schema, MARKS)
    seen = session.rows(whole, a_text, a_text) or session.rows(
        sql(select + " LIMIT 1", schema), a_text, a_text
    )
    return not seen or tuple(seen[0]) == (MARKS, "BASE TABLE")


def _owned(row: Row, schema: str) -> OwnedLink:
    """A row of the list of links. Raises BadValue for what is none."""
    base, manifest, contact, source, name, outbound, _ = row
    return OwnedLink(
        (as_name(source, "a source schema"), as_name(name, "a source table")),
        as_text(manifest, "a manifest", 255),
        as_text(contact, "a contact", 255),
        schema,
        outbound=as_plain_name(outbound, "an outbound schema"),
        base=as_plain_name(base, "an outbound table"),
    )


def _is_beside(outbound: str, schema: str) -> bool:
    """Whether a schema is that of the owner's views beside an outbound one; servers may ignore case."""
    return schema.casefold() in (owner_schema(each).casefold() for each in (outbound, outbound.lower()))


def unreadable(session: Session, schema: str, error: ServerError) -> Unreadable:
    """What it means that a view cannot be read. Raises the error where the connection was lost.

    Whoever made the view decides what it raises.
    """
    if error.code in NO_DEFINER:
        # said as a refused login: MySQL and MariaDB tell nothing more to those without further rights
        definers = session.rows(
            sql("SELECT DISTINCT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {}", schema),
            a_text,
        )
        names = ", ".join(f"`{row[0]}`" for row in definers)
        reason = (
            f"its views run with the privileges of {names}, an account that no longer exists or has lost "
            "its privileges"
        )
        return Unreadable(schema, reason, VIEWS_MEND)
    if error.code in BROKEN_VIEW:
        return Unreadable(schema, "its views do not match their tables", VIEWS_MEND)
    if isinstance(error, ConnectionLost):
        raise error
    return Unreadable(schema, error.message, error.hint or "ask the server's administrator")
