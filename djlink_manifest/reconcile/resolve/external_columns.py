"""Where the external values of a table go: its columns as they stand here, or why that cannot be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.stores.external import (
    INLINABLE,
    External,
    external_columns,
    housed,
    is_codec,
    is_legacy,
    target_of,
)
from djlink_manifest.model.stores.store import INLINE, NoStore, Store, Stores
from djlink_manifest.model.tables.definition import TableDefinition


@dataclass(frozen=True, slots=True)
class Housed:
    """A table with its parts as it stands here, and the mapping of stores with the names that are meant.

    `problems` are reasons with their next steps; the mapping is empty where nothing is external.
    """

    table: TableDefinition
    stores: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str | None], ...] = ()


def house(
    table: TableDefinition, source: str, schema: str, mapping: Sequence[tuple[str, str]], stores: Stores
) -> Housed:
    """The table of a source, as it fits the local server, with its external columns in local stores.

    `schema` is the local one.
    """
    legacy = tuple(unreadable(table))
    if not any(external_columns(each) for each in table.tables):
        return Housed(table, problems=legacy)
    pairs, problems = dict[str, str](), list(legacy)
    for source_store, wanted in mapping:
        local = stores.local(wanted) if wanted != INLINE else None
        if isinstance(local, NoStore):
            problems.append((f"`stores` maps `{source_store}` to `{wanted}`: {local.reason}", local.hint))
        else:
            pairs[source_store] = INLINE if local is None else local.name
    resolved = tuple(sorted(pairs.items()))
    if len(problems) == len(legacy):
        problems += _column_problems(table, source, resolved, stores)
        if schema == table.schema:
            problems += _same_places(table, source, resolved, stores)
    if problems:
        return Housed(table, problems=tuple(dict.fromkeys(problems)))
    master, *parts = (_housed_table(each, resolved) for each in table.tables)
    return Housed(replace(master, parts=tuple(parts)), resolved)


def store_names(table: TableDefinition) -> tuple[str, ...]:
    """The stores that the columns of a table and its parts name, sorted."""
    found = {e.store for each in table.tables for _, e in external_columns(each) if e.store is not None}
    return tuple(sorted(found))


def unreadable(table: TableDefinition) -> Iterator[tuple[str, str | None]]:
    """Why a table's external columns cannot be brought, whatever the stores are, with the next steps."""
    columns = [f"{t.name}.{c.name}" for t in table.tables for c in t.columns if is_legacy(c)]
    if columns:
        yield (
            "it keeps values in an external store in the format of DataJoint before 2.0: "
            f"{', '.join(columns)}",
            "exclude it (`exclude`), or ask the source's owner to migrate it (`datajoint.migrate`)",
        )
    columns = [
        f"{t.name}.{c.name}" for t in table.tables for c, e in external_columns(t) if not is_codec(e.codec)
    ]
    if columns:
        yield (
            f"the comment of {', '.join(columns)} does not name a codec; a codec name consists of letters, "
            "digits, `_`, `-` and `.`",
            "exclude it (`exclude`), or ask the source's owner to correct the comment",
        )


def _column_problems(
    table: TableDefinition, source: str, mapping: Sequence[tuple[str, str]], stores: Stores
) -> Iterator[tuple[str, str | None]]:
    used: Mapping[str, list[tuple[str, External]]] = _by_store(table)
    for store, columns in used.items():
        named = ", ".join(name for name, _ in columns)
        target = target_of(mapping, store)
        if target is None:
            known = ", ".join(f"`{name}`" for name in sorted(stores.configured))
            yield (
                f"it keeps {named} in the store `{store}`, but `stores` has no local store for it",
                f"write `stores: {{{written(store)}: <local store>}}`; "
                + (
                    f"DataJoint's configuration has {known}"
                    if known
                    else "DataJoint's configuration has no store yet"
                ),
            )
            continue
        found = stores.of_source(source, store)
        if isinstance(found, NoStore):
            yield found.reason, found.hint
        stiff = [f"{name} (`<{e.codec}@>`)" for name, e in columns if e.codec not in INLINABLE]
        if target == INLINE and stiff:
            yield (
                f"it cannot keep {', '.join(stiff)} in the row (`{store}: inline`)",
                "only `<blob@>` and `<attach@>` can be inline; name a local store, or exclude it (`exclude`)",
            )


def _same_places(
    table: TableDefinition, source: str, mapping: Sequence[tuple[str, str]], stores: Stores
) -> Iterator[tuple[str, str | None]]:
    """Objects lie below the schema's name: two schemas of one name in one store have theirs mixed up."""
    for name in store_names(table):
        source_store, local = stores.of_source(source, name), stores.local(target_of(mapping, name) or "")
        if isinstance(source_store, Store) and isinstance(local, Store) and source_store.place == local.place:
            yield (
                f"the store `{name}` of {source} and the local store `{local.name}` are the same "
                f"({local.where}), and both schemas are called `{table.schema}`: garbage collection would "
                "delete the source's objects",
                "name another local schema (`schema_name`) or another local store (`stores`)",
            )


def _by_store(table: TableDefinition) -> dict[str, list[tuple[str, External]]]:
    found = dict[str, list[tuple[str, External]]]()
    for each in table.tables:
        for column, external in external_columns(each):
            if external.store is not None:
                found.setdefault(external.store, []).append((f"{each.name}.{column.name}", external))
    return dict(sorted(found.items()))


def _housed_table(table: TableDefinition, mapping: Sequence[tuple[str, str]]) -> TableDefinition:
    columns = {column.name: column for column in table.columns}
    for column, external in external_columns(table):
        target = target_of(mapping, external.store) if external.store is not None else None
        if target is not None:
            columns[column.name] = housed(column, external, target)
    return replace(table, columns=tuple(columns.values()), parts=())
