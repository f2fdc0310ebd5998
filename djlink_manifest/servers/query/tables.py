"""A link's tables and conditions as SQL: the only place where a selection becomes text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals
from djlink_manifest.model.links.selection import SqlCondition as SqlText
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.servers.session.checked_values import Kind
from djlink_manifest.servers.session.session import Row, Session
from djlink_manifest.servers.sql import Sql, and_, comma, ident, idents, joined, or_, sql, table

SELECTS_AT_ONCE = 100


def restricted(link: Link, where: Condition | None) -> Sql:
    """The source's rows that meet a condition, as a derived table in which the condition stands alone."""
    return source_table(link) if where is None else rows_that_meet(link.definition, where)


def rows_that_meet(of: TableDefinition, where: Condition) -> Sql:
    """A table's rows that meet a condition, as a derived table in which the condition stands alone."""
    return sql(
        "(SELECT {} FROM {} WHERE {})",
        idents(of.column_names),  # `*` leaves out invisible columns
        table(of.schema, of.name),
        condition(where),
    )


def condition(tree: Condition) -> Sql:
    """A tree of conditions as SQL over a table's own columns; values are bound."""
    match tree:
        case SqlText(text=text):
            return sql("({})", Sql(text))
        case AllOf(terms=terms):
            return sql("({})", and_([condition(t) for t in terms]))
        case AnyOf(terms=terms):
            return or_([condition(t) for t in terms])
        case Equals(column=name, values=values):
            # not `IS NULL`, which both vendors find in the zero dates of a column that is NOT NULL
            tests = [sql("{} <=> NULL", ident(name))] if None in values else []
            given = [sql("{}", v) for v in values if v is not None]
            if given:
                tests.append(sql("{} IN ({})", ident(name), comma(given)))
            return or_(tests)


def all_rows(session: Session, selects: Sequence[Sql], *kinds: Kind) -> Iterator[Row]:
    """The rows of many small selects, some at a time in one statement; `kinds` as of `Session.rows`.

    Not all at once: for a thousand of them MySQL takes seconds, and hardly any time for a hundred.
    """
    for first in range(0, len(selects), SELECTS_AT_ONCE):
        yield from session.rows(joined(" UNION ALL ", selects[first : first + SELECTS_AT_ONCE]), *kinds)


def source_table(link: Link) -> Sql:
    """The link's source table."""
    return table(link.definition.schema, link.definition.name)


def outbound_table(link: Link) -> Sql:
    """The link's outbound table."""
    return table(link.outbound_schema, link.outbound_table)
