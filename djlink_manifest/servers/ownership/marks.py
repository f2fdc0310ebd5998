"""Marks: the `~djlink` tables that say which manifest a link's tables belong to.

One stands in each outbound schema and one in each local schema. A link's two marks carry the same id; djlink
works only where both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from djlink_manifest.errors import AlreadyExists, MissingPrivilege, RowsRefused, ServerError
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.tables.definition import TableDefinition, unlike_a_table
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.servers.ownership.made_tables import made_text, read_made, read_names, read_place
from djlink_manifest.servers.session.checked_values import (
    BadValue,
    a_flag,
    a_name,
    a_text,
    an_optional_text,
    anything,
    as_name,
    as_text,
)
from djlink_manifest.servers.session.session import Row, Session, Writer
from djlink_manifest.servers.sql import Sql, comma, ident, sql, table

NO_SUCH_TABLE = 1146

_COLUMNS = (
    "link_id, table_name, manifest, contact, source_schema, source_table, outbound_schema, outbound_table, "
    "local_server, local_schema, local_table, fingerprint, definition, holder"
)


# came later; a table of marks that an earlier version made lacks them until it is written to
_LATER = {
    "refill": "char(64) DEFAULT NULL",
    "made": "mediumtext DEFAULT NULL",
    "remade": "tinyint NOT NULL DEFAULT 0",
    "epoch": "varchar(64) DEFAULT NULL",
    "epoch_next": "varchar(64) DEFAULT NULL",
    "identity": "varchar(64) DEFAULT NULL",
    "moved_from": "varchar(300) DEFAULT NULL",
    "check_names": "mediumtext DEFAULT NULL",
}
EPOCHS = ("epoch", "epoch_next", "identity")

_FLAGS = ("remade",)  # no texts


def unlike_marks(table_of_marks: TableDefinition) -> str | None:
    """Why a table named `~djlink` is not one of djlink's, as the end of a sentence; None where it is one."""
    other = unlike_a_table(table_of_marks)
    if other is not None:
        return other
    columns = {c.name: c for c in table_of_marks.columns}
    missing = [name for name in _COLUMNS.split(", ") if name not in columns]
    if missing:
        return f"lacks the columns {', '.join(missing)}"
    expected = [columns[name] for name in (*_COLUMNS.split(", "), *_LATER) if name in columns]
    wrong = [c.name for c in expected if not (c.is_text or c.name in _FLAGS) or c.generated is not None]
    return f"has columns of other types: {', '.join(wrong)}" if wrong else None


def read_all_marks(
    session: Session, tables: Mapping[str, TableDefinition]
) -> tuple[Mapping[str, tuple[Mark, ...]], Mapping[str, str]]:
    """The marks of the schemas whose `~djlink` table is djlink's, and why the others' are not.

    Nothing is read of those others: a view, or a table with other columns, is somebody else's.
    """
    found, foreign = dict[str, tuple[Mark, ...]](), dict[str, str]()
    for schema, each in tables.items():
        why = unlike_marks(each)
        if why is None:
            try:
                found[schema] = read_marks(session, {schema: each.column_names})[schema]
                continue
            except (BadValue, MissingPrivilege) as error:
                why = str(error)
        foreign[schema] = why
    return found, foreign


def read_marks(session: Session, tables: Mapping[str, Sequence[str]]) -> Mapping[str, tuple[Mark, ...]]:
    """The marks of the schemas that have a `~djlink` table, given each schema's columns of that table.

    Raises BadValue for a row that is no mark.
    """
    found = {}
    for schema, present in tables.items():
        later = ", ".join(name if name in present else "NULL" for name in _LATER)
        rows = session.rows(
            sql("SELECT " + _COLUMNS + ", " + later + " FROM {} ORDER BY link_id", table(schema, MARKS)),
            *[anything] * (len(_COLUMNS.split(", ")) + len(_LATER)),
        )
        found[schema] = tuple(map(_mark, rows))
    return found


_NAMES = frozenset(
    {"table_name", "source_schema", "source_table", "outbound_schema", "outbound_table"}
    | {"local_schema", "local_table"}
)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "made": read_made,
    "moved_from": read_place,
    "check_names": read_names,
}
_UNSET = frozenset({"definition", "holder", "refill", *EPOCHS})  # NULL in some marks


def _mark(row: Row) -> Mark:
    fields = dict[str, Any]()
    for name, value in zip((*_COLUMNS.split(", "), *_LATER), row, strict=True):
        what = f"a mark with a {name}"
        if name in _READ:
            fields[name] = _READ[name](value)
        elif name in _FLAGS:
            fields[name] = a_flag(value)
        elif name in _NAMES:
            fields[name] = as_name(value, what)
        else:
            fields[name] = None if value is None and name in _UNSET else as_text(value, what, 255)
    return Mark(**fields)


def ensure_marks(session: Writer, schema: str) -> None:
    """Make the schema's `~djlink` table where it has none."""
    name, later = table(schema, MARKS).text, ",\n  ".join(f"{n} {type_}" for n, type_ in _LATER.items())
    session.ddl(
        f"""CREATE TABLE IF NOT EXISTS {name} (
  link_id char(36) NOT NULL,
  table_name varchar(64) NOT NULL,
  manifest varchar(128) NOT NULL,
  contact varchar(255) NOT NULL,
  source_schema varchar(64) NOT NULL,
  source_table varchar(64) NOT NULL,
  outbound_schema varchar(64) NOT NULL,
  outbound_table varchar(64) NOT NULL,
  local_server varchar(255) NOT NULL,
  local_schema varchar(64) NOT NULL,
  local_table varchar(64) NOT NULL,
  fingerprint char(64) NOT NULL,
  definition char(64) DEFAULT NULL,
  holder varchar(255) DEFAULT NULL,
  created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  {later},
  PRIMARY KEY (link_id),
  UNIQUE KEY table_name (table_name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
  COMMENT='links kept by djlink; do not change by hand'"""
    )


def ensure_later_columns(session: Writer, schema: str) -> None:
    """Add what a `~djlink` table of an earlier version lacks. Needs ALTER, which link users seldom have."""
    present = _columns(session, schema)
    missing = [f"ADD COLUMN {name} {type_}" for name, type_ in _LATER.items() if name not in present]
    if missing:
        with suppress(AlreadyExists):  # another link of this schema was first; all come in one statement
            session.ddl(f"ALTER TABLE {table(schema, MARKS).text} {', '.join(missing)}")


def _columns(session: Session, schema: str) -> frozenset[str]:
    rows = session.rows(
        sql(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            schema,
            MARKS,
        ),
        a_name,
    )
    return frozenset(row[0] for row in rows)


def write_mark(session: Writer, schema: str, mark: Mark) -> None:
    """Write a mark that is not there yet; one of the same id stays as it is.

    Raises ServerError for a table that has the mark of another link.
    """
    _write(session, schema, mark)


def write_source_mark(session: Writer, schema: str, mark: Mark) -> None:
    """Write a link's mark at the source; one that stands gets the local place, until its tables were made.

    An apply that was interrupted, or that lost the local table to another manifest, may have named another.
    """
    if not _write(session, schema, mark):
        session.execute(
            sql(
                "UPDATE {} SET local_schema = {}, local_table = {} WHERE link_id = {} AND definition IS NULL",
                table(schema, MARKS),
                mark.local_schema,
                mark.local_table,
                mark.link_id,
            )
        )


def _write(session: Writer, schema: str, mark: Mark) -> bool:
    """Write a mark as `write_mark` does; whether it was not there yet."""
    at_source = (schema, mark.table_name) == (mark.outbound_schema, mark.outbound_table)
    other = "another `outbound_table` or outbound schema" if at_source else "another `schema_name`"
    try:
        return session.execute(_insertion(schema, mark)) > 0
    except RowsRefused as error:
        raise ServerError(
            f"{schema}.{mark.table_name} has just been linked by somebody else: another manifest, or another "
            "process",
            code=error.code,
            said=error.said,
            server=session.name,
            hint=f"run `djlink plan`, which says whose it is; then choose {other}",
        ) from error


def _insertion(schema: str, mark: Mark) -> Sql:
    return sql(
        "INSERT INTO {} (link_id, table_name, manifest, contact, source_schema, source_table,"
        " outbound_schema, outbound_table, local_server, local_schema, local_table, fingerprint)"
        " SELECT {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {} FROM DUAL"
        " WHERE NOT EXISTS (SELECT 1 FROM {} m WHERE m.link_id = {})",
        table(schema, MARKS),
        mark.link_id,
        mark.table_name,
        mark.manifest,
        mark.contact,
        mark.source_schema,
        mark.source_table,
        mark.outbound_schema,
        mark.outbound_table,
        mark.local_server,
        mark.local_schema,
        mark.local_table,
        mark.fingerprint,
        table(schema, MARKS),
        mark.link_id,
    )


def replace_mark(session: Writer, schema: str, mark: Mark) -> None:
    """Write a mark in the place of whatever marks its table or has its id.

    What the mark of the table says of a refill, and of what djlink made, stays.
    """
    fields = (
        *("link_id", "table_name", "manifest", "contact", "source_schema", "source_table"),
        *("outbound_schema", "outbound_table", "local_server", "local_schema", "local_table", "fingerprint"),
    )
    of = table(schema, MARKS)
    present = _columns(session, schema)
    later = [name for name in EPOCHS if name in present]
    with session.transaction():
        found = session.rows(
            sql(
                "SELECT link_id FROM {} WHERE table_name = {} OR link_id = {} FOR UPDATE",
                of,
                mark.table_name,
                mark.link_id,
            ),
            a_text,
        )
        if len(found) > 1:  # one has the table, the other the id
            test = sql("link_id = {} AND table_name <> {}", mark.link_id, mark.table_name)
            session.execute(sql("DELETE FROM {} WHERE {}", of, test))
            found = [row for row in found if row[0] != mark.link_id]
        for (link_id,) in found:
            values = comma([sql("{} = {}", ident(name), getattr(mark, name)) for name in fields])
            session.execute(
                sql(
                    "UPDATE {} SET {}, definition = {}, holder = NULL WHERE link_id = {}",
                    of,
                    values,
                    mark.definition,
                    link_id,
                )
            )
        if not found:
            write_mark(session, schema, mark)
        if later:
            values = comma([sql("{} = {}", ident(name), getattr(mark, name)) for name in later])
            session.execute(sql("UPDATE {} SET {} WHERE link_id = {}", of, values, mark.link_id))


def complete_mark(session: Writer, schema: str, link_id: str, definition: str, contact: str) -> None:
    """Say that all tables of this side were made from a source definition of this digest."""
    session.execute(
        sql(
            "UPDATE {} SET definition = {}, contact = {} WHERE link_id = {}",
            table(schema, MARKS),
            definition,
            contact,
            link_id,
        )
    )


def complete_local_mark(
    session: Writer, schema: str, link_id: str, definition: str, contact: str, local: TableDefinition
) -> None:
    """As `complete_mark`, for the local side: no refill is due any more, and these tables are djlink's."""
    session.execute(
        sql(
            "UPDATE {} SET definition = {}, contact = {}, refill = NULL, made = {} WHERE link_id = {}",
            table(schema, MARKS),
            definition,
            contact,
            made_text(local),
            link_id,
        )
    )


def require_refill(session: Writer, schema: str, link_id: str, definition: str) -> None:
    """Say that the local rows must be looked over, for tables that are being brought to this definition."""
    session.execute(
        sql("UPDATE {} SET refill = {} WHERE link_id = {}", table(schema, MARKS), definition, link_id)
    )


def write_remade(session: Writer, schema: str, link_id: str, remade: bool) -> None:
    """Say whether the local master table was made anew and lacks rows that outbound holds."""
    session.execute(
        sql("UPDATE {} SET remade = {} WHERE link_id = {}", table(schema, MARKS), int(remade), link_id)
    )


def write_holder(session: Writer, schema: str, link_ids: Sequence[str], holder: str) -> None:
    """Say who applies these links now. The advisory lock decides; this is for people to read."""
    listed = comma([sql("{}", each) for each in link_ids])
    session.execute(
        sql("UPDATE {} SET holder = {} WHERE link_id IN ({})", table(schema, MARKS), holder[:255], listed)
    )


def read_holder(session: Session, schema: str, link_id: str) -> str | None:
    """Who applied last, as the mark says."""
    rows = session.rows(
        sql("SELECT holder FROM {} WHERE link_id = {}", table(schema, MARKS), link_id), an_optional_text
    )
    return rows[0][0] if rows else None


def marked_id(session: Session, schema: str, table_name: str) -> str | None:
    """The id in the mark of a table; None where it has none, or its schema no `~djlink` table."""
    try:
        rows = session.rows(
            sql("SELECT link_id FROM {} WHERE table_name = {}", table(schema, MARKS), table_name), a_text
        )
    except ServerError as error:
        if error.code != NO_SUCH_TABLE:
            raise
        return None
    return rows[0][0] if rows else None
