"""What hangs on the local rows of links: foreign keys that point at them, of links and of the lab's own.

Read from the local server, not from the manifest: what would go with a deletion is what really refers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.model.links.holding import OwnedLink
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition
from djlink_manifest.model.tables.naming import beside_source
from djlink_manifest.model.tables.owner_views import owner_view_name

LONGEST_LINE = 1500  # characters of a line to copy from the screen


@dataclass(frozen=True, slots=True)
class Referrer:
    """A foreign key to one of a link's local tables, `parent`.

    `address` is the link that the referring table belongs to, None for a table of the lab's own. Or it is
    neither, and `holder` is another lab that links this local table and holds rows of it: by name, or by its
    outbound table where that is all that is known.
    """

    table: TableName
    columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    address: str | None = None
    holder: str | None = None

    @property
    def name(self) -> str:
        """The referring table as `schema.table`, or the lab that holds the rows."""
        return self.holder or ".".join(self.table)


@dataclass(frozen=True, slots=True)
class Dependents:
    """Links by address, parents first, and the foreign keys that point at each."""

    links: Mapping[str, Link]
    referrers: Mapping[str, tuple[Referrer, ...]]

    @staticmethod
    def of(
        links: Sequence[Link],
        keys: Iterable[tuple[TableName, ForeignKey]],
        holders: Collection[OwnedLink] = (),
    ) -> Dependents:
        """The dependents of these links, which come parents first.

        `keys` are all foreign keys to tables of the local schemas, each with the table that has it. One
        against the order of the links counts as the lab's own: such rows keep what they refer to. Requests
        and approvals of a link of another lab go along with the rows that they are about, and are left out.
        `holders` are the links of other labs of which more is known than their foreign key.
        """
        place = {link.address: n for n, link in enumerate(links)}
        owner = {(t.schema, t.name): link for link in links for t in link.local.tables}
        found: dict[str, list[Referrer]] = {link.address: [] for link in links}
        known = {(each.outbound, each.base) for each in holders}
        for each in holders:
            if each.source in owner:
                link, key_of = owner[each.source], owner[each.source].local.key
                view = (each.schema, owner_view_name(each.base, "held"))
                lab = f"{each.lab} of {'.'.join(each.source)}"
                found[link.address].append(Referrer(view, key_of, each.source, key_of, holder=lab))
        for table, key in sorted(keys, key=lambda each: (each[0], each[1].columns, each[1].name)):
            parent = (key.parent_schema, key.parent_table)
            if parent not in owner:
                continue
            link, child = owner[parent], owner.get(table)
            of_another = beside_source(table, key.name) if child is None else None
            if child is link or of_another == "along" or table in known:
                continue
            below = child is not None and place[child.address] > place[link.address]
            found[link.address].append(
                Referrer(
                    table,
                    key.columns,
                    parent,
                    key.parent_columns,
                    child.address if child is not None and below else None,
                    holder=".".join(table) if of_another == "held" else None,
                )
            )
        return Dependents({link.address: link for link in links}, {a: tuple(r) for a, r in found.items()})

    def below(self, address: str) -> tuple[str, ...]:
        """The link and all linked descendants by the local foreign keys, parents first."""
        reached = {address}
        for each in self.links:
            if each in reached:
                reached |= {r.address for r in self.referrers[each] if r.address is not None}
        return tuple(each for each in self.links if each in reached)


def table_of(link: Link, name: TableName) -> TableDefinition:
    """The link's local table of that name, the master or a part; KeyError where there is none."""
    for each in link.local.tables:
        if (each.schema, each.name) == name:
            return each
    raise KeyError(name)


def lab_line(dependents: Dependents, root: str, address: str, referrer: Referrer) -> str | None:
    """The DataJoint line that deletes the lab's rows which keep requested entities of `root` from going.

    They refer, by `referrer`, to entities of `address`, which is the root or a link below it. The local part
    `DeletionRequested` of the root says which are requested. None where no plain line says it: names that
    are no Python names, a foreign key to other columns than a primary key, or more than `LONGEST_LINE`
    characters, as where many ways lead from the root to the rows.
    """
    try:
        rows = _rows(dependents, root, address, referrer.parent)
        link = dependents.links[address]
        of = table_of(link, referrer.parent)
        restriction = _any([_renamed(r, of.key, referrer.parent_columns, referrer.columns) for r in rows])
    except _NoLine:
        return None
    # by keys: DataJoint 2.3 does not delete what is restricted by another table
    line = f"({_table(referrer.table)} & {_those(referrer.table, restriction)}.keys()).delete()"
    return line if len(line) <= LONGEST_LINE else None


class _NoLine(Exception):
    pass


def _rows(dependents: Dependents, root: str, address: str, name: TableName) -> list[str]:
    """Expressions for the rows of one of the link's tables that would go with the root's."""
    link = dependents.links[address]
    of = table_of(link, name)
    if address == root and of.name == link.local.name:
        return _entities(dependents, root, address)
    own_columns = link.local.entity_columns(of)
    return [
        _those(name, _renamed(each, link.local.key, link.local.key, own_columns))
        for each in _entities(dependents, root, address)
    ]


def _entities(dependents: Dependents, root: str, address: str) -> list[str]:
    """Expressions for the keys of the link's entities that would go with the root's."""
    link = dependents.links[address]
    if address == root:
        part = link.local.parts[-1]
        return [f"{_table((part.schema, part.name))}.proj()"]
    found = []
    for parent in dependents.below(root):
        for referrer in dependents.referrers[parent]:
            if referrer.address == address:
                of = table_of(dependents.links[parent], referrer.parent)
                above = [
                    _renamed(each, of.key, referrer.parent_columns, referrer.columns)
                    for each in _rows(dependents, root, parent, referrer.parent)
                ]
                own_columns = link.local.entity_columns(table_of(link, referrer.table))
                names = ", ".join(repr(name) for name in own_columns)
                rows = f"(dj.U({names}) & {_those(referrer.table, _any(above))})"
                found.append(_renamed(rows, own_columns, own_columns, link.local.key))
    return found


def _renamed(expression: str, key: Sequence[str], old: Sequence[str], new: Sequence[str]) -> str:
    """The primary key of an expression alone, its columns `old` under the names `new`."""
    if set(key) != set(old) or not all(name.isidentifier() for name in (*old, *new)):
        raise _NoLine
    changed = [f"{b}={a!r}" for a, b in zip(old, new, strict=True) if a != b]
    if not changed and expression.endswith(".proj()"):
        return expression
    return f"{expression}.proj({', '.join(changed)})"


def _those(name: TableName, restriction: str) -> str:
    """The rows of a table that meet a restriction; names are matched, whatever `~lineage` knows of them."""
    return f"{_table(name)}.restrict({restriction}, semantic_check=False)"


def _any(expressions: Sequence[str]) -> str:
    # each holds those of the layers above it, whose number may double with each layer
    if sum(map(len, expressions)) > LONGEST_LINE:
        raise _NoLine
    return expressions[0] if len(expressions) == 1 else f"[{', '.join(expressions)}]"


def _table(name: TableName) -> str:
    return f"dj.Schema({name[0]!r})[{name[1]!r}]"
