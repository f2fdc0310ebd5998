"""Which tables are the parts of a master, and which columns of a part hold the master's key.

A part is named as one (`session__trial`) and refers to its master over any chain of foreign keys through
other parts. Everything that looks for parts asks here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from djlink_manifest.model.tables.naming import master_of

if TYPE_CHECKING:
    from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition


def parts_among(names: Collection[str], refers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each part of one schema to its master.

    `names` are the schema's tables, `refers` pairs of a table and one that it has a foreign key to, both in
    the schema. A parent that is named as a part and is not among `names` (dropped, or hidden from the
    account) counts as a part: what refers to it belongs to the same master.
    """
    pairs = set(refers)
    masters = {name: master_of(name) for name in {*names, *(parent for _, parent in pairs)}}
    found = {name: master for name, master in masters.items() if master in names and name not in names}
    waiting = {name: master for name, master in masters.items() if master in names and name in names}
    parents = dict[str, set[str]]()
    for child, parent in pairs:
        if child in waiting and child != parent:
            parents.setdefault(child, set()).add(parent)
    grown = True
    while grown:
        new = {
            name: str(master)
            for name, master in waiting.items()
            if any(each == master or found.get(each) == master for each in parents.get(name, ()))
        }
        grown = bool(new)
        found.update(new)
        for name in new:
            del waiting[name]
    return {name: str(master) for name, master in found.items() if name in names}


def parents_first(
    parts: Sequence[TableDefinition],
) -> tuple[tuple[TableDefinition, ...], frozenset[tuple[str, str]]]:
    """Order parts so that each follows the parts that it refers to.

    Also returned are the pairs (part, foreign key's name) that close a circle and must be left out for that
    order. Foreign keys that may be NULL are left out before others.
    """
    left = {p.name: p for p in sorted(parts, key=lambda part: part.name)}
    ordered: list[TableDefinition] = []
    closing = set[tuple[str, str]]()
    while left:
        free = [p for p in left.values() if not _behind(p, left)]
        if not free:
            # a part whose only keys to waiting parts may be NULL breaks the circle best
            best = min(left.values(), key=lambda p: sum(not _nullable(p, k) for k in _behind(p, left)))
            closing.update((best.name, key.name) for key in _behind(best, left))
            free = [best]
        ordered += free
        for part in free:
            del left[part.name]
    return tuple(ordered), frozenset(closing)


def master_columns(
    master: TableDefinition, part: TableDefinition, keys: Mapping[str, Sequence[ForeignKey]] | None = None
) -> tuple[str, ...] | None:
    """The columns of `part` that hold the master's key, in the master's key order.

    They are found over any chain of foreign keys through other parts, whose columns may be named otherwise at
    each step. Of several ways (a part may name other entities too) the one whose columns have the master's
    names counts, then one within the part's own key, then one that is never NULL, then a direct one. None
    where no way holds the whole key. `keys` replaces the foreign keys of tables, by name.
    """

    def of(table: TableDefinition) -> Sequence[ForeignKey]:
        return table.foreign_keys if keys is None else keys.get(table.name, ())

    plain = [way for key in of(part) if (way := _way(master, part, key, {})) is not None]
    if (master.key, True) in plain and set(master.key) <= set(part.key):
        return master.key  # no other way goes before it
    others = [p for p in master.parts if p.name != part.name]
    found = dict[str, tuple[str, ...]]()
    for _ in range(len(others) + 1):  # a way is no longer than that
        before = dict(found)
        for each in (*others, part):
            ways = [w for key in of(each) if (w := _way(master, each, key, before)) is not None]
            if ways:
                found[each.name] = min(ways, key=lambda way, of=each: _rank(master, of, *way))[0]  # type: ignore[misc]
        if found == before:
            break
    return found.get(part.name)


def _way(
    master: TableDefinition, part: TableDefinition, key: ForeignKey, found: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], bool] | None:
    """The columns in which a foreign key of a part brings the master's key, and whether it is direct."""
    if key.parent_schema != master.schema or key.parent_table == part.name:
        return None
    direct = key.parent_table == master.name
    names = master.key if direct else found.get(key.parent_table)
    pairs = dict(zip(key.parent_columns, key.columns, strict=True))
    if not names or not pairs.keys() >= set(names) or (direct and len(pairs) != len(names)):
        return None
    return tuple(pairs[name] for name in names), direct


def _rank(
    master: TableDefinition, part: TableDefinition, names: tuple[str, ...], direct: bool
) -> tuple[object, ...]:
    nullable = {column.name for column in part.columns if column.nullable}
    return (
        names != master.key,
        not set(names) <= set(part.key),
        bool(nullable & set(names)),
        not direct,
        names,
    )


def _behind(part: TableDefinition, left: Mapping[str, TableDefinition]) -> list[ForeignKey]:
    """The part's foreign keys to other parts that are not placed yet."""
    return [
        k
        for k in part.foreign_keys
        if k.parent_schema == part.schema and k.parent_table in left and k.parent_table != part.name
    ]


def _nullable(part: TableDefinition, key: ForeignKey) -> bool:
    return any(column.nullable for column in part.columns if column.name in key.columns)
