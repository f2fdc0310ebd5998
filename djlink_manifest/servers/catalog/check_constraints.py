"""CHECK constraints, read for all schemas at once; MariaDB's JSON columns are known by theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import Check
from djlink_manifest.servers.session.checked_values import Faults, as_name, as_text
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, sql


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of all tables, and the (schema, table, column) whose value is checked to be JSON."""

    of: Mapping[TableName, Iterable[Check]]
    json: frozenset[tuple[str, str, str]]


def read_checks(session: Session, listed: Sql, faults: Faults) -> Checks:
    """The checks of the schemas in `listed`, by table, sorted by name."""
    found = defaultdict[TableName, list[Check]](list)
    json = set[tuple[str, str, str]]()
    rows, dialect = list(session.rows(sql(session.dialect.CHECKS, listed))), session.dialect
    places = dict[TableName, tuple[object, bool]]()
    if rows and dialect.CHECKED_TABLES is not None:  # joined here: a join takes the server seconds
        for schema, name, table, enforced in session.rows(sql(dialect.CHECKED_TABLES, listed)):
            check = faults.place(schema, name)
            if check is not None:
                places[check] = (table, enforced == "YES")
    for schema, its_table, name, clause in rows:
        check = faults.place(schema, name)
        table, enforced = places.get(check, (its_table, True)) if check else (its_table, True)
        place = faults.place(schema, table)
        if place is None:
            continue
        with faults.of(place):
            named = as_name(name, "a check of a name")
            if clause is None:
                json.add((*place, named))
            else:
                text = as_text(clause, f"a check `{named}`")
                found[place].append(Check(named, dialect.expression(text), enforced))
    return Checks(
        {place: sorted(checks, key=lambda check: check.name) for place, checks in found.items()},
        frozenset(json),
    )
