"""What tells a rename from a change: definitions under former names, and foreign keys that followed a table.

Pure. Each finding comes with the entry of `moved` to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from djlink_manifest.manifest.models.names import is_class, source_fault, spellings
from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Mark, TableName, same_place
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import CONSTRAINT, class_name, plain_name
from djlink_manifest.model.tables.parts import parents_first


def former_names(
    links: Iterable[Link], marked: Mapping[str, TableName]
) -> tuple[Mapping[TableName, TableName], ...]:
    """The source tables of links that have moved, parts too, each with a name that it had.

    The first mapping has the latest names, the last one the first ones. `marked` are the tables that marks
    name still, by address. Elsewhere a class does not tell its tier: it is taken to be the present one.
    """
    found = dict[TableName, list[TableName]]()
    for link in links:
        master = link.definition.name
        befores = dict.fromkeys((f.schema, _table_name(f.table, master)) for f in link.formers)
        if link.address in marked:
            befores = dict.fromkeys((marked[link.address], *befores))
        for each in link.definition.tables:
            names = [(schema, before + each.name[len(master) :]) for schema, before in befores]
            found[each.schema, each.name] = [n for n in names if n != (each.schema, each.name)]
    most = max(map(len, found.values()), default=0)
    return tuple({now: names[: n + 1][-1] for now, names in found.items() if names} for n in range(most))


def _table_name(written: str, master: str) -> str:
    """The name of a former table as the server had it; a class of the same tier as the present master."""
    tier = master[: len(master) - len(plain_name(master))]
    names = spellings(written)[1:] if is_class(written) else []
    return next((name for name in names if name == tier + plain_name(name)), written)


def as_before(definition: TableDefinition, names: Mapping[TableName, TableName]) -> TableDefinition:
    """The definition as it would be if the tables had the names that they had before.

    Constraints that the server named after a table were called after the former name.
    """
    return replace(
        _table(definition, names),
        parts=parents_first([_table(part, names) for part in definition.parts])[0],
    )


def _table(table: TableDefinition, names: Mapping[TableName, TableName]) -> TableDefinition:
    schema, name = names.get((table.schema, table.name), (table.schema, table.name))

    def called(constraint: str) -> str:
        own = constraint.startswith(f"{table.name}_")
        return name + constraint[len(table.name) :] if own else constraint

    keys = []
    for key in table.foreign_keys:
        parent = names.get((key.parent_schema, key.parent_table), (key.parent_schema, key.parent_table))
        keys.append(replace(key, name=called(key.name), parent_schema=parent[0], parent_table=parent[1]))
    return replace(
        table,
        schema=schema,
        name=name,
        foreign_keys=tuple(keys),
        checks=tuple(replace(check, name=called(check.name)) for check in table.checks),
    )


def rename_hint(link: Link, mark: Mark) -> str:
    """How the local table gets the name that the manifest has for it, or the manifest its former one."""
    entry = f"{{local_schema: {written(mark.local_schema)}, to: {written(link.local.schema)}}}"
    words = f"restore the former `schema_name`, or add `moved: [{entry}]` to rename the local table"
    before, name, after = link.local.schema.partition(link.source)
    former = mark.local_schema.removeprefix(before).removesuffix(after)
    if name and before + former + after == mark.local_schema and source_fault(former) is None:
        entry = f"{{from: {written(former)}, to: {written(link.source)}}}"
        return f"if the source was renamed, add `moved: [{entry}]`; otherwise {words}"
    return words


def protects_another(link: Link, outbound: TableDefinition) -> Iterator[tuple[str, str]]:
    """The outbound table followed the source's table to another name, and another table has the name now."""
    place = (link.definition.schema, link.definition.name)
    for key in outbound.foreign_keys:
        parent = (key.parent_schema, key.parent_table)
        if key.name.startswith(CONSTRAINT) and not same_place(parent, place):
            to = f"{link.source}.{parent[0]}.{class_name(parent[1])}"
            entry = f"{{from: {written(link.address)}, to: {written(to)}}}"
            yield (
                f"the table that was linked was renamed to {'.'.join(parent)} at the source, and another one "
                "has its name now",
                f"link that one, `{class_name(parent[1])}`, and exclude this one; add `moved: [{entry}]` and "
                "apply; then link this one again",
            )
