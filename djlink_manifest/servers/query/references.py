"""References as SQL: which entity of a parent a row names, and what must hold of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.servers.sql import Sql, and_, column, equal, exists_in, or_, sql, table

KeyTest = Callable[
    [str, Sequence[str]], Sql
]  # the alias and the columns that hold an entity's key → a condition


def member(link: Link, members: Sql) -> KeyTest:
    """The test that the link's entity is among `members`, a table or set with the link's key columns."""

    return partial(exists_in, members, link.key)


def reference_holds(parent: Link, link: Link, reference: Reference, alias: str, test: KeyTest) -> Sql:
    """The condition on a master row that every row of this reference names an entity of which `test` holds.

    A reference from a part holds when each of the entity's part rows meets it; NULL restricts nothing.
    """
    if reference.child_table == link.definition.name:
        nulls = [sql("{} IS NULL", column(alias, name)) for name in reference.nullable]
        return or_([*nulls, _named(parent, reference, alias, test)])
    own_columns = child_master_columns(link, reference)
    tests = [equal("p", own_columns, alias, link.key)]
    tests += [sql("{} IS NOT NULL", column("p", name)) for name in reference.nullable]
    tests.append(sql("NOT {}", _named(parent, reference, "p", test)))
    return sql("NOT EXISTS (SELECT 1 FROM {} p WHERE {})", child_table(link, reference), and_(tests))


def child_master_columns(child: Link, reference: Reference) -> Sequence[str]:
    """The columns of the referring table that hold the child link's own key."""
    if reference.child_table == child.definition.name:
        return child.key
    return _part_key(child, reference.child_table)


def child_table(child: Link, reference: Reference) -> Sql:
    """The referring table."""
    return table(child.definition.schema, reference.child_table)


def named_key(parent: Link, reference: Reference) -> tuple[str, ...] | None:
    """The columns of the referring table that hold the key of the parent's entity.

    None where the reference names a part of the parent by a key that does not hold its master's.
    """
    pairs = dict(zip(reference.parent_columns, reference.columns, strict=True))
    names = parent.key
    if reference.parent_table != parent.definition.name:
        names = _part_key(parent, reference.parent_table)
    return tuple(pairs[name] for name in names) if pairs.keys() >= set(names) else None


def parent_join(parent: Link, reference: Reference, alias: str) -> tuple[Sql, str, Sequence[str]]:
    """How the referring table comes to the parent's key: a join, often empty, an alias and its columns."""
    key = named_key(parent, reference)
    if key is not None:
        return Sql(""), alias, key
    part = table(parent.definition.schema, reference.parent_table)
    match = equal("pp", reference.parent_columns, alias, reference.columns)
    return sql("JOIN {} pp ON {}", part, match), "pp", _part_key(parent, reference.parent_table)


def _named(parent: Link, reference: Reference, alias: str, test: KeyTest) -> Sql:
    key = named_key(parent, reference)
    if key is not None:
        return sql("({})", test(alias, key))
    part = table(parent.definition.schema, reference.parent_table)
    on_part = equal("pp", reference.parent_columns, alias, reference.columns)
    inside = test("pp", _part_key(parent, reference.parent_table))
    return sql("EXISTS (SELECT 1 FROM {} pp WHERE {} AND {})", part, on_part, inside)


def _part_key(link: Link, part_name: str) -> tuple[str, ...]:
    part = next(p for p in link.definition.parts if p.name == part_name)
    held = link.definition.master_columns(part)
    assert held is not None, "a link whose part does not refer to its master is refused when it is resolved"
    return held
