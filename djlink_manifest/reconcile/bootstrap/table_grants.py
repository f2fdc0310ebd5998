"""Rights on the tables that a manifest names, by a statement that prints the GRANTs. Pure.

A manifest names classes, which do not tell the tier in a table's name, and never parts: only the server knows
these names. So that no part is forgotten, which would then be invisible, the server itself lists the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from djlink_manifest.manifest.models.names import is_class
from djlink_manifest.manifest.models.values import Manifest, SchemaSpec, SourceSpec
from djlink_manifest.model.server.rights import SOURCE_RIGHTS, account_name, grant, quoted_text
from djlink_manifest.model.tables.naming import LINEAGE


@dataclass(frozen=True, slots=True)
class TableGrants:
    """The tables of one schema that a link user needs to read and refer to.

    `tables` are names as in the manifest; `query`, run on the server, prints a GRANT for each of these and
    their parts, and for DataJoint's lineage; `whole` is the GRANT on the schema that includes them.
    """

    schema: str
    tables: tuple[str, ...]
    query: str
    whole: str


def named_tables(manifest: Manifest, source: SourceSpec) -> dict[str, tuple[str, ...]]:
    """The tables that the manifest names, by schema; schemas in which a glob chooses tables are left out."""
    found = {schema.name: _named(schema) for schema in source.schemas}
    globbed = {name for name, tables in found.items() if tables is None}
    names = {name: {*tables} for name, tables in found.items() if tables is not None}
    for entry in manifest.taken_out:
        of, schema, table = entry.place
        if of == source.name and schema not in globbed:
            names.setdefault(schema, set()).add(table)
    return {schema: tuple(sorted(tables)) for schema, tables in sorted(names.items())}


def table_grants(schema: str, tables: Iterable[str], account: str) -> TableGrants:
    """The statement that prints the GRANTs on these tables, their parts and the lineage."""
    names = tuple(sorted(tables))
    classes = sorted({name.replace("_", "").lower() for name in names if is_class(name)})
    exact = [name for name in names if not is_class(name)]
    tests = [f"TABLE_NAME = {quoted_text(LINEAGE)}"]
    if classes:
        # the class of a table, or of a part's master: without its tier, its parts and its underscores
        bare = "TRIM(LEADING '_' FROM TRIM(LEADING '#' FROM TABLE_NAME))"
        master = f"LOWER(REPLACE(SUBSTRING_INDEX({bare}, '__', 1), '_', ''))"
        tests.append(f"{master} IN ({', '.join(map(quoted_text, classes))})")
    for name in exact:
        tests.append(f"TABLE_NAME = {quoted_text(name)}")
        tests.append(f"LEFT(TABLE_NAME, {len(name) + 2}) = {quoted_text(name + '__')}")
    head = f"GRANT {', '.join(SOURCE_RIGHTS)} ON `{schema.replace('`', '``')}`.`"
    tail = f"` TO {account_name(account)};"
    query = (
        f"SELECT CONCAT({quoted_text(head)}, REPLACE(TABLE_NAME, '`', '``'), {quoted_text(tail)})"
        f" AS `-- GRANT` FROM information_schema.TABLES WHERE TABLE_SCHEMA = {quoted_text(schema)}"
        f" AND TABLE_TYPE = 'BASE TABLE' AND ({' OR '.join(tests)}) ORDER BY TABLE_NAME;"
    )
    return TableGrants(schema, names, query, grant(SOURCE_RIGHTS, schema, account))


def _named(schema: SchemaSpec) -> tuple[str, ...] | None:
    if any(rule.is_glob for rule in schema.rules):
        return None
    return tuple(rule.pattern for rule in schema.rules)
