"""Ask a server about a condition on one of its tables: whether it takes it, and how many rows meet it."""

from __future__ import annotations

from dataclasses import dataclass

from djlink_manifest.errors import ServerError
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.servers.query.tables import condition, rows_that_meet
from djlink_manifest.servers.session.checked_values import a_count, anything
from djlink_manifest.servers.session.error_words import NOT_EVALUATED
from djlink_manifest.servers.session.errors import is_transient
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, sql, table


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows a table has, how many meet a condition, and for how many it is NULL."""

    rows: int
    matching: int
    unknown: int


def check_condition(session: Session, of: TableDefinition, where: Condition) -> str | None:
    """Return what the server says against a condition on a table, None where it takes it. No row is read."""
    try:
        session.check(sql("SELECT 1 FROM {} m LIMIT 0", rows_that_meet(of, where)))
    except ServerError as error:
        if is_transient(error):
            raise
        return error.said
    return None


def count_matching(session: Session, of: TableDefinition, where: Condition | None) -> RowCounts:
    """Count a table's rows, and those that meet a condition; without one all of them do.

    Raises ServerError where the server cannot evaluate it for some row, as a plan does.
    """
    source = table(of.schema, of.name)
    if where is None:
        rows = session.count(sql("SELECT COUNT(*) FROM {}", source))
        return RowCounts(rows, rows, 0)
    try:
        rows, matching, unknown = session.row(
            sql(
                "SELECT COUNT(*), COALESCE(SUM(meets IS TRUE), 0), COALESCE(SUM(meets <=> NULL), 0) FROM"
                " (SELECT {} AS meets FROM {}) m",
                condition(where),
                source,
            ),
            *(a_count, a_count, a_count),
        )
        code = next((c for c in _warnings(session) if c in NOT_EVALUATED), None)
    except ServerError as error:
        if error.code not in NOT_EVALUATED:
            raise
        code = error.code
    if code is not None:
        raise not_evaluated(session.name, code)
    return RowCounts(rows, matching, unknown)


def not_evaluated(server: str, code: int | None) -> ServerError:
    """Return the error of a condition that fails for some row; the server's own words quote a value of it."""
    return ServerError(
        "the condition cannot be evaluated for all rows: the server cannot convert one of the values "
        f"(error {code})",
        code=code,
        server=server,
        hint="compare values of the same type: text with quoted text, numbers with numbers",
    )


def _warnings(session: Session) -> list[int]:
    """Return the codes of the last statement's warnings, which are errors in statements of a plan."""
    return [code for _, code, _ in session.rows(Sql("SHOW WARNINGS"), anything, a_count, anything)]
