"""The owner's views as SQL. `model.views` says which there are.

What an owner may write through them is held by their form, since one GRANT (SELECT, INSERT, DELETE) covers
them all. An outer join (`held`, `history`) and a temporary table (`links`) can be read only. `EXISTS` leaves
a view writable where a join would not.
"""

from __future__ import annotations

from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.derive import extra_name
from djlink_manifest.model.tables.naming import APPROVED, HISTORY, MARKS, REQUESTED
from djlink_manifest.model.tables.owner_views import OwnerView
from djlink_manifest.servers.ddl.tables import literal
from djlink_manifest.servers.session.checked_values import a_text
from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.sql import Sql, column, columns, equal, ident, sql, table

_MADE = "CREATE OR REPLACE ALGORITHM={} DEFINER=CURRENT_USER SQL SECURITY DEFINER VIEW {} AS {}"


def create_view(view: OwnerView, source: TableDefinition | None) -> str:
    """The statement that makes a view, or replaces one, with the session's account as its definer.

    `source` is the link's source table; None for the list of links.
    """
    if source is None:
        return _made("TEMPTABLE", view, list_links(view.outbound))
    select = {
        "held": _held,
        "requests": _requests,
        "approved": _approved,
        "withdrawn": _withdrawn,
        "history": _history,
    }[view.kind]
    return _made("MERGE", view, select(view, source))


def make_view(session: Writer, view: OwnerView, source: TableDefinition | None) -> None:
    """Make or replace a view. Raises MissingPrivilege."""
    session.ddl(create_view(view, source))


def list_links(outbound: str) -> Sql:
    """The SELECT of the links of an outbound schema, with the columns of `links`."""
    return sql(
        "SELECT m.table_name AS outbound_table, m.manifest, m.contact, m.source_schema, m.source_table,"
        " m.outbound_schema, m.created_at AS since FROM {} m",
        table(outbound, MARKS),
    )


def read_definers(session: Session, listed: Sql) -> dict[tuple[str, str], str]:
    """The account by whose rights each view works, of the schemas listed."""
    select = (
        "SELECT TABLE_SCHEMA, TABLE_NAME, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA IN ({})"
    )
    rows = session.rows(sql(select, listed), a_text, a_text, a_text)
    return {(schema, name): definer for schema, name, definer in rows}


def _made(algorithm: str, view: OwnerView, select: Sql) -> str:
    made = sql(_MADE, Sql(algorithm), table(view.schema, view.name), select)
    assert not made.args, "a view's text binds nothing"
    return made.text


def _marked(view: OwnerView, to: Sql) -> Sql:
    """The rows of a table beside the link's mark, by an outer join: nothing can be written through it."""
    return sql(
        "{} LEFT JOIN {} m ON m.table_name = {}", to, table(view.outbound, MARKS), Sql(literal(view.base))
    )


def _held(view: OwnerView, source: TableDefinition) -> Sql:
    pulled_at, manifest, contact = view.extra
    return sql(
        "SELECT {}, {} AS {}, m.manifest AS {}, m.contact AS {} FROM {}",
        columns("o", view.key),
        column("o", extra_name(source, "pulled_at")),
        ident(pulled_at),
        ident(manifest),
        ident(contact),
        _marked(view, sql("{} o", table(view.outbound, view.base))),
    )


def _requests(view: OwnerView, source: TableDefinition) -> Sql:
    """Open requests. One that was approved is not here, so that it can be withdrawn no longer; nor, by the
    check, be made anew. That it was granted is not here, so that nobody can insert it."""
    return sql(
        "SELECT {} FROM {} r WHERE NOT EXISTS (SELECT 1 FROM {} a WHERE {}) WITH CASCADED CHECK OPTION",
        columns("r", view.columns),
        table(view.outbound, view.base + REQUESTED),
        table(view.outbound, view.base + APPROVED),
        equal("a", view.key, "r", view.key),
    )


def _approved(view: OwnerView, source: TableDefinition) -> Sql:
    """Approvals, to be seen and deleted, never inserted: MySQL refuses for the expression, and MariaDB by the
    check, since what one inserts is approved by oneself."""
    at, by = view.extra
    return sql(
        "SELECT {}, {}, COALESCE({}, '') AS {} FROM {} a WHERE {} <> USER() WITH CASCADED CHECK OPTION",
        columns("a", view.key),
        column("a", at),
        column("a", by),
        ident(by),
        table(view.outbound, view.base + APPROVED),
        column("a", by),
    )


def _withdrawn(view: OwnerView, source: TableDefinition) -> Sql:
    """The ledger's place for a withdrawal: who inserts here is named by the ledger itself. An entry is seen,
    and could be deleted, only until the request that it is about is deleted."""
    event, _ = view.extra
    condition, at = column("r", extra_name(source, "requested_at")), column("h", extra_name(source, "at"))
    return sql(
        "SELECT {} FROM {} h WHERE {} = 'withdrawn' AND EXISTS (SELECT 1 FROM {} r WHERE {} AND {} <= {})"
        " WITH CASCADED CHECK OPTION",
        columns("h", view.columns),
        table(view.outbound, view.base + HISTORY),
        column("h", event),
        table(view.outbound, view.base + REQUESTED),
        equal("r", view.key, "h", view.key),
        condition,
        at,
    )


def _history(view: OwnerView, source: TableDefinition) -> Sql:
    rows = sql("{} h", table(view.outbound, view.base + HISTORY))
    return sql("SELECT {} FROM {}", columns("h", view.columns), _marked(view, rows))
