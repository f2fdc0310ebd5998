"""Names of constraints in the local schema, which keep what they were called when their table was renamed.

MySQL asks for names of checks, and both vendors for names of foreign keys, that no other table of the schema
has; so they are made from the table's name. A table that moves takes them along. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, Mark, TableName
from djlink_manifest.model.tables.definition import Check, ForeignKey, TableDefinition
from djlink_manifest.model.tables.naming import constraint_name


def with_check_names(link: Link, mark: Mark | None, local: Catalog) -> Link:
    """The link with its local checks called as they stand, where its mark says that they kept their names."""
    if mark is None or not mark.check_names:
        return link
    master, *parts = (_called(t, mark.check_names, local) for t in link.local.tables)
    return replace(link, local=replace(master, parts=tuple(parts)))


def kept_names(
    link: Link,
    source: Sequence[TableDefinition],
    places: Mapping[TableName, TableName],
    mark: Mark,
    local: Catalog,
) -> Mapping[str, str] | None:
    """What the checks of local tables that move shall be called and are called, where these differ.

    `source` are the link's source table as it may have been called before, `places` the local tables with
    their former places, `mark` is the former local mark.
    """
    before, found = mark.check_names or {}, dict[str, str]()
    for table, expected in link.tables:
        place = (expected.schema, expected.name)
        old = places.get(place, place)
        stands = local.tables.get(old) or local.tables.get(place)
        actual = {check.name for check in stands.checks} if stands is not None else set[str]()
        suffix = table.name[len(link.definition.name) :]
        called = (t for each in source for t in each.tables if t.name == each.name + suffix)
        named = {check.name for each in (table, *called) for check in each.checks}
        for check in expected.checks:
            made = (constraint_name(*old, name, check.expression) for name in sorted(named))
            for name in (before.get(each, each) for each in made):
                if name in actual and name != check.name:
                    found[check.name] = name
    return found or None


def with_free_names(tables: Iterable[TableDefinition], local: Catalog) -> tuple[TableDefinition, ...]:
    """Tables to be made, with names of constraints that no table of their schema has taken along."""
    return tuple(
        replace(
            table,
            foreign_keys=tuple(with_free_name(key, table, local) for key in table.foreign_keys),
            checks=tuple(replace(c, name=_free(c.name, table, local)) for c in table.checks),
        )
        for table in tables
    )


def with_free_name(key: ForeignKey, table: TableDefinition, local: Catalog) -> ForeignKey:
    """A foreign key to be added to a table, with a name that no table of its schema has taken along."""
    return replace(key, name=_free(key.name, table, local))


def _called(table: TableDefinition, names: Mapping[str, str], local: Catalog) -> TableDefinition:
    stands = local.tables.get((table.schema, table.name))
    actual = {check.name for check in stands.checks} if stands is not None else set[str]()

    def called(check: Check) -> Check:
        name = names.get(check.name)
        return replace(check, name=name) if name in actual and name is not None else check

    return replace(table, checks=tuple(map(called, table.checks)))


def _free(name: str, table: TableDefinition, local: Catalog) -> str:
    while local.constraint_of(table.schema, name) not in (None, table.name):
        name = constraint_name(name)
    return name
