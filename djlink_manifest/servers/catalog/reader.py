"""Catalogues: what tables a server has, read from information_schema in a few statements for all schemas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from typing import Literal, TypeAlias

from djlink_manifest.model.server.catalog import Catalog, Size, TableName
from djlink_manifest.model.server.rights import Grant, missing, parse_grants, shows_all
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import LINEAGE, MARKS, shortened
from djlink_manifest.servers.catalog.check_constraints import read_checks
from djlink_manifest.servers.catalog.column_defaults import is_doubtful, whole_defaults
from djlink_manifest.servers.catalog.create_table import read_create_tables
from djlink_manifest.servers.catalog.tables import (
    check_whole,
    read_columns,
    read_foreign_keys,
    read_indexes,
    respelled,
)
from djlink_manifest.servers.ddl.lineage import is_lineage
from djlink_manifest.servers.ddl.owner_views import read_definers
from djlink_manifest.servers.ownership.marks import read_all_marks
from djlink_manifest.servers.session.checked_values import (
    BadValue,
    Faults,
    a_text,
    a_word,
    anything,
    as_int,
    as_name,
    as_optional_word,
    as_text,
    as_value,
    shown,
)
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import Row, Session, first_values
from djlink_manifest.servers.sql import Sql, comma, sql, table


def read_catalog(session: Session, schemas: Iterable[str], marked: Iterable[str] = ()) -> Catalog:
    """Read the catalogue of these schemas; schemas that do not exist are simply absent.

    `marked` are the schemas whose `~djlink` is read: outbound and local ones, which are djlink's own. A table
    of which the server says what no server says is `unreadable`, and no other suffers from it. Collations are
    left out: the local server alone is asked for them (`read_collations`). Raises ServerError.
    """
    with understood(session.name, "its catalog cannot be read"), session.reading():
        return _read(session, frozenset(schemas), frozenset(marked))


def _read(session: Session, schemas: Set[str], marked: Set[str]) -> Catalog:
    everything = frozenset(_names(session.rows(sql("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA"))))
    schema_names = sorted(schemas & everything)
    grants = parse_grants(
        (str(line) for line in first_values(session.rows(sql("SHOW GRANTS"), a_text))),
        literal=session.identity.literal_names,
    )
    settings = read_variables(session, "GLOBAL", SETTINGS)
    if not schema_names:
        return Catalog(
            session.name,
            session.identity,
            everything,
            tables={},
            sizes={},
            marks={},
            grants=grants,
            collations={},
            settings=settings,
        )
    listed, faults = comma([sql("{}", name) for name in schema_names]), Faults()
    told = read_create_tables(session, _hiding(session, schema_names, grants, faults), faults)
    checks = told.added_to(read_checks(session, listed, faults))
    columns = read_columns(session, listed, checks, faults)
    indexes = read_indexes(session, listed, faults)
    foreign_keys = read_foreign_keys(session, listed, faults)
    tables, sizes = dict[TableName, TableDefinition](), dict[TableName, Size]()
    for row in session.rows(sql(_TABLES, listed)):
        place = faults.place(row[0], row[1])
        if place is None:
            place = (shortened(shown(row[0])), shortened(shown(row[1])))
            faults.found[place] = "has an invalid name"
        kind = _kind(row[2])
        with faults.of(place):
            sizes[place] = Size(as_int(row[7] or 0, "a number of rows"), as_int(row[8] or 0, "a size"))
            if kind == "table" and any(is_doubtful(c) for c in columns[place]):
                columns[place] = whole_defaults(session, *place, columns[place])
            tables[place] = TableDefinition(
                *place,
                columns=tuple(columns[place]),
                key=indexes.keys.get(place, ()),
                indexes=tuple(indexes.of[place]),
                foreign_keys=respelled(told.with_rules(place, foreign_keys[place]), columns[place]),
                comment=as_value(row[4], "a comment") or "",
                engine=as_text(row[3] or "", "an engine", 64),
                collation=as_optional_word(row[5], "a collation"),
                kind=kind,
                partitioned="partitioned" in as_text(row[6] or "", "a CREATE_OPTIONS"),
                prefix_key=place in indexes.prefixed,
                checks=tuple(checks.of.get(place, ())),
            )
            check_whole(tables[place])
        if place in faults.found:
            tables[place] = TableDefinition(*place, (), (), kind=kind, unreadable=faults.found[place])
    # last: it keeps these tables from being altered until the transaction ends
    tables_of_marks = {s: t for (s, name), t in tables.items() if name == MARKS and s in marked}
    marks, foreign = read_all_marks(session, tables_of_marks)
    return Catalog(
        session.name,
        session.identity,
        everything,
        tables=tables,
        sizes=sizes,
        marks=marks,
        grants=grants,
        collations={},
        definers=read_definers(session, listed),
        foreign_marks=foreign,
        named=frozenset(_named(session, tables, grants)),
        settings=settings,
    )


def _hiding(
    session: Session, schemas: Iterable[str], grants: Sequence[Grant], faults: Faults
) -> list[TableName]:
    """The tables of which the server does not show the account all that their definitions have."""
    partial = (
        [name for name in schemas if not shows_all(grants, name)] if session.dialect.HIDES_CHECKS else []
    )
    if not partial:
        return []
    listed = comma([sql("{}", name) for name in partial])
    tables = (row for row in session.rows(sql(_TABLES, listed)) if _kind(row[2]) == "table")
    return [place for row in tables if (place := faults.place(row[0], row[1])) is not None]


def _named(
    session: Session, tables: Mapping[TableName, TableDefinition], grants: Sequence[Grant]
) -> Iterator[TableName]:
    """The tables that lineage names in schemas of which the account sees single tables."""
    for (schema, name), found in tables.items():
        if name != LINEAGE or not is_lineage(found) or shows_all(grants, schema):
            continue
        if not missing(grants, ("SELECT",), schema, name):
            rows = session.rows(sql("SELECT DISTINCT table_name FROM {}", table(schema, name)))
            yield from ((schema, each) for each in _names(rows))


def _names(rows: Iterable[Row]) -> Iterator[str]:
    """The names among the first values of rows."""
    for row in rows:
        with suppress(BadValue):
            yield as_name(row[0], "a name")


def read_collations(session: Session, names: Iterable[str] | None = None) -> Mapping[str, str]:
    """The character set of each collation that the server has; of all those named, or of all.

    A MariaDB has 1,300 of them, 48 KB, of which tables use few.
    """
    name = Sql(session.dialect.COLLATION_NAME)
    what = sql(
        "SELECT {}, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY", name
    )
    if names is not None:
        what = sql("{} WHERE {} IN ({})", what, name, comma([sql("{}", each) for each in sorted(set(names))]))
    return dict(session.rows(what, a_word, a_word))


SETTINGS = (  # that decide what can be planned
    *("read_only", "super_read_only", "innodb_read_only", "log_bin", "binlog_format"),
    *("foreign_key_checks", "lower_case_table_names", "partial_revokes"),
)


def read_variables(
    session: Session, scope: Literal["GLOBAL", "SESSION"], names: Iterable[str]
) -> dict[str, str]:
    """Variables of the server, by name in lower case; those that it does not have as text are absent."""
    listed = comma([sql("{}", name) for name in names])
    rows = session.rows(
        sql(f"SHOW {scope} VARIABLES WHERE Variable_name IN ({{}})", listed), anything, anything
    )
    return {name.lower(): value for name, value in rows if isinstance(name, str) and isinstance(value, str)}


Kind: TypeAlias = Literal["table", "view", "sequence", "versioned"]
_KINDS: Mapping[str, Kind] = {
    "BASE TABLE": "table",
    "SEQUENCE": "sequence",
    "SYSTEM VERSIONED": "versioned",
}


def _kind(word: object) -> Kind:
    return _KINDS.get(word, "view") if isinstance(word, str) else "view"


_TABLES = """
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COMMENT, TABLE_COLLATION, CREATE_OPTIONS,
       TABLE_ROWS, DATA_LENGTH
FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})"""
