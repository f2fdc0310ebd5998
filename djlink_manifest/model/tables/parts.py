"""Which tables are the parts of a master, and in which order they are written.

A part is named as one (`session__trial`) and refers to its master over any chain of foreign keys through
other parts. Everything that looks for parts asks here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition
from djlink_manifest.model.tables.naming import master_of


def parts_among(names: Collection[str], refers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each part of one schema to its master.

    `names` are the schema's tables, `refers` pairs of a table and one that it has a foreign key to, both in
    the schema. A parent that is named as a part and is not among `names` (dropped, or hidden from the
    account) counts as a part: what refers to it belongs to the same master.
    """
    pairs = set(refers)
    masters = {name: master_of(name) for name in {*names, *(parent for _, parent in pairs)}}
    found = {name: master for name, master in masters.items() if master in names and name not in names}
    pending = {name: master for name, master in masters.items() if master in names and name in names}
    parents = dict[str, set[str]]()
    for child, parent in pairs:
        if child in pending and child != parent:
            parents.setdefault(child, set()).add(parent)
    grown = True
    while grown:
        new = {
            name: str(master)
            for name, master in pending.items()
            if any(each == master or found.get(each) == master for each in parents.get(name, ()))
        }
        grown = bool(new)
        found.update(new)
        for name in new:
            del pending[name]
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


def _behind(part: TableDefinition, left: Mapping[str, TableDefinition]) -> list[ForeignKey]:
    """The part's foreign keys to other parts that are not placed yet."""
    return [
        k
        for k in part.foreign_keys
        if k.parent_schema == part.schema and k.parent_table in left and k.parent_table != part.name
    ]


def _nullable(part: TableDefinition, key: ForeignKey) -> bool:
    return any(column.nullable for column in part.columns if column.name in key.columns)
