"""What became of a link's local tables since they were made: what the source added, and what was changed.

Pure. What the source added is added here too, and what it changed without loss of a value is changed. The
link's mark tells the rest apart: where it names the source's present definition, a difference was made here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.links.link import AS_SOURCE, Link
from djlink_manifest.model.server.catalog import Catalog, MadeTable, Mark, Size
from djlink_manifest.model.tables.compare import Difference, differences, marker
from djlink_manifest.model.tables.definition import Column, ForeignKey, Index, TableDefinition
from djlink_manifest.model.tables.naming import CONSTRAINT, HISTORY
from djlink_manifest.reconcile.diff.column_changes import ComparedTable, obstacles_to
from djlink_manifest.reconcile.state.snapshot import Alteration, TableChange, change_words

ANEW = (
    "or, if it has no rows of your own and no table of yours refers to it, drop the local table with all "
    "its parts: the next apply recreates it and pulls its held rows"
)
UNDO_SOURCE = f"ask the source's owner to undo the change, or exclude the link; {ANEW}"
DO_LIKEWISE = f"change the local table in the same way, or ask the source's owner to undo the change; {ANEW}"
TOO_WIDE = (
    "if the index is your own, drop it; else ask the source's owner to undo the change, or exclude the link"
)
UNDO_LOCAL = f"undo the change on the local server, so that the table matches the source again; {ANEW}"


def relink(link: Link) -> str:
    """How a link is made anew on both servers, with its present definition."""
    return (
        f"delete the link from `sources`, write `removed: {{{written(link.address)}: {{table: drop}}}}` and "
        "apply; then link it again"
    )


def relink_with_key(link: Link) -> str:
    """How a link whose key changed is made anew; the ledger of its earlier life has the key as it was."""
    return (
        f"ask the source's owner to undo the change; or {relink(link)}, with another `outbound_table`, since "
        f"the ledger `{link.outbound_table}{HISTORY}` keeps the former key; all its rows are pulled again"
    )


LEFT_OVER = "an apply that changed its tables was interrupted"


@dataclass(slots=True)
class LocalDrift:
    """How the local tables differ from what shall stand, sorted by what can be done about it.

    `problems` are reasons with next steps; `notes` hold nothing up; `foreign` names tables of somebody else's
    that stand in the place of a part.
    """

    make: list[TableDefinition] = field(default_factory=list)
    alter: list[Alteration] = field(default_factory=list)
    change: list[TableChange] = field(default_factory=list)
    unrecorded: bool = False
    late_keys: list[tuple[str, ForeignKey]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    refill: str | None = None
    redefined: bool = False


def local_drift(link: Link, mark: Mark | None, local: Catalog) -> LocalDrift:
    """Compare the local tables of a link with what shall stand; `mark` is the link's local one."""
    found = LocalDrift()
    complete = mark is not None and mark.definition is not None
    whole = complete and (link.local.schema, link.local.name) in local.tables
    found.redefined = complete and mark is not None and mark.definition != link.definition.digest()
    view = _TableView(link, local, mark if complete else None, found.redefined)
    for table in link.local.tables:
        stands = local.tables.get((table.schema, table.name))
        if stands is None:
            found.make.append(table)
        elif whole and not view.is_local_change(table, stands):
            words = f"the local table {table.schema}.{table.name} was not created by djlink"
            found.problems.append((f"{words}, but the source added a part of that name", _RENAME))
            found.foreign.append(table.name)
        else:
            _compare(view, table, stands, found)
    found.problems += _left_parts(link, local) if complete and not whole else ()
    found.notes += _dropped_parts(link, local)
    if whole and mark is not None:
        why = _why_refill(view, found)
        found.refill = why or (LEFT_OVER if mark.refill else None)
    if found.make or found.alter or found.change or found.problems or not whole:
        found.unrecorded = False
    return found


def keys_agree(link: Link, local: Catalog, foreign: Collection[str] = ()) -> bool:
    """Whether the local master and those of its parts that stand hold the entity's key as the source does.

    That is all that deletions need. `foreign` names tables that are no parts.
    """
    if (link.local.schema, link.local.name) not in local.tables:
        return False
    for table in link.local.tables[: len(link.definition.tables)]:
        stands = local.tables.get((table.schema, table.name))
        if stands is None or table.name in foreign:
            continue
        names = link.local.entity_columns(table)
        if table.name == link.local.name and stands.key != table.key:
            return False
        if any(differences(_key_alone(table, names), _key_alone(stands, names))):
            return False
    return True


def _key_alone(table: TableDefinition, names: Sequence[str]) -> TableDefinition:
    """The columns of an entity's key as a table of their own."""
    columns = tuple(
        Column(c.name, c.type, charset=c.charset, collation=c.collation)
        for c in table.columns
        if c.name in names
    )
    return TableDefinition(table.schema, table.name, columns, tuple(names))


_RENAME = "rename or drop the local table: a part of the source has that name"


@dataclass(frozen=True, slots=True)
class _TableView:
    """What is known of where a difference was made; `mark` is None before the tables are complete."""

    link: Link
    local: Catalog
    mark: Mark | None
    redefined: bool

    def made(self, table: TableDefinition, column: str | None = None) -> bool | None:
        """Whether djlink made the table, or the column of it; None where nobody knows."""
        if self.mark is not None and not self.redefined:
            return column is None or column in table.column_names
        if self.mark is None or self.mark.made is None:
            return None
        names = self.mark.made.get(table.name)
        return names is not None and (column is None or column in names.columns)

    def may_be_added(self, table: TableDefinition, column: str | None = None) -> bool:
        """Whether what is missing may be something that the source added."""
        return (self.mark is None or self.redefined) and self.made(table, column) is not True

    def compared(self, table: TableDefinition, stands: TableDefinition) -> ComparedTable:
        """The table three ways. Of tables that were only begun nobody else has made any."""
        as_it_is = MadeTable({c.name: c for c in stands.columns}, stands.comment)
        made = as_it_is if self.mark is None else (self.mark.made or {}).get(table.name)
        redefined = self.mark is None or self.redefined
        size = self.local.sizes.get((table.schema, table.name), Size(0, 0))
        return ComparedTable(
            table,
            stands,
            made,
            redefined,
            recollated=self.link.collation != AS_SOURCE or not redefined,
            version=self.local.identity.version,
            size=size,
        )

    def returned(self, make: Collection[TableDefinition]) -> Iterator[TableDefinition]:
        """The parts that stand and that the last apply did not find at the source: not all rows are here."""
        for table in self.link.local.tables[1 : len(self.link.definition.tables)]:
            stands = None if table in make else self.local.tables.get((table.schema, table.name))
            if stands is not None and self.made(table) is False and self.is_local_change(table, stands):
                yield table

    def is_local_change(self, table: TableDefinition, stands: TableDefinition) -> bool:
        """Whether a table that stands is djlink's own: by the mark, else by the name of a foreign key."""
        if (table.schema, table.name) == (self.link.local.schema, self.link.local.name):
            return True
        return self.made(table) is True or _is_linked(stands, self.link, self.local)


@dataclass(slots=True)
class _Changes:
    """What keeps the rows of one local table from being copied, by where it was changed.

    `of_manifest` are collations that `collation` asks for and that cannot be changed in place; `of_keys`
    tells that the source changed a key, `likewise` that the lab may do the same to its table, with `drops`,
    the clauses that do so for columns which the source dropped.
    """

    at_source: list[str] = field(default_factory=list)
    of_manifest: list[str] = field(default_factory=list)
    locally: list[str] = field(default_factory=list)
    of_keys: bool = False
    likewise: bool = True
    drops: list[str] = field(default_factory=list)

    def hint(self, link: Link, table: TableDefinition) -> str:
        """What to do about the source's changes."""
        if self.of_keys:
            return relink_with_key(link)
        if not self.likewise:
            return UNDO_SOURCE
        if len(self.drops) < len(self.at_source):
            return DO_LIKEWISE
        statement = f"ALTER TABLE `{table.schema}`.`{table.name}` {', '.join(self.drops)}"
        return f"{statement} drops it locally too; or ask the source's owner to undo the change; {ANEW}"


def _compare(view: _TableView, table: TableDefinition, stands: TableDefinition, found: LocalDrift) -> None:
    columns, indexes, changes = list[tuple[Column, str | None]](), list[Index](), _Changes()
    compared = view.compared(table, stands)
    followed, name = compared.followed(), f"{table.schema}.{table.name}"
    for difference in differences(table, stands):
        column, index = difference.column, difference.index
        if difference.foreign_key is not None:
            found.late_keys.append((difference.table, difference.foreign_key))
        elif difference.kind == "column" and column is not None:
            _missing_column(view, table, column, columns, changes)
        elif difference.kind == "index" and index is not None:
            taken = {i.name.lower() for i in stands.indexes}
            if (view.mark is None or view.redefined) and index.name.lower() not in taken:
                indexes.append(index)
            else:
                found.notes.append(_note(table, difference))
        elif column is not None and column.name not in table.column_names:
            _more(view, stands, difference, changes, found)
        elif difference.kind == "extra":
            found.notes.append(f"{name}: {difference.words}")
        elif column is not None and column.name in followed:
            if difference.kind == "marker" and marker(followed[column.name]) != marker(column):
                found.notes.append(_note(table, difference))
        elif column is not None and compared.is_of_manifest(column.name):
            changes.of_manifest.append(difference.words)
        elif column is None or compared.source_changed(column.name):
            changes.at_source.append(difference.words)
            changes.of_keys |= column is None or compared.is_bound(column.name)
        else:
            changes.locally.append(difference.words)
    _add_change(compared, found)
    unlike = f"the local table {name} does not match the source's definition"
    if changes.at_source:
        words = f"{unlike}, which changed after linking: {'; '.join(changes.at_source)}"
        found.problems.append((words, changes.hint(view.link, table)))
    if changes.of_manifest:
        words = (
            f"the local table {name} cannot take another `collation`, since keys and foreign keys hold the "
            f"columns: {'; '.join(changes.of_manifest)}"
        )
        found.problems.append((words, f"restore the former `collation`; {ANEW}"))
    if changes.locally:
        words = f"{unlike}, because it was changed locally: {'; '.join(changes.locally)}"
        found.problems.append((words, UNDO_LOCAL))
    if columns or indexes:
        found.alter.append(Alteration(table.name, tuple(columns), tuple(indexes)))


def _add_change(compared: ComparedTable, found: LocalDrift) -> None:
    """Add the change of a table, or why the local server would refuse it."""
    change = compared.change()
    if change is not None:
        name = f"{compared.expected.schema}.{compared.expected.name}"
        words = "; ".join(obstacles_to(change, compared.stands, compared.version))
        if words:
            changed = ", ".join(map(change_words, change.columns))
            said = f"the local table {name} cannot follow the source's change of {changed}: {words}"
            found.problems.append((said, TOO_WIDE))
        found.change.append(change)
    found.unrecorded |= compared.is_unrecorded()


def _missing_column(
    view: _TableView,
    table: TableDefinition,
    column: Column,
    columns: list[tuple[Column, str | None]],
    changes: _Changes,
) -> None:
    needs_value = not column.nullable and column.default is None and column.generated is None
    if not view.may_be_added(table, column.name):
        changes.locally.append(f"column `{column.name}` is missing")
    elif column.name in table.key:
        changes.at_source.append(f"the source added column `{column.name}` to the primary key")
        changes.of_keys = True
    elif needs_value:
        words = f"the source added column `{column.name}`, which is NOT NULL without a default"
        changes.at_source.append(words)
        changes.likewise = False
    else:
        place = table.column_names.index(column.name)
        columns.append((column, table.column_names[place - 1] if place else None))


def _more(
    view: _TableView,
    stands: TableDefinition,
    difference: Difference,
    changes: _Changes,
    found: LocalDrift,
) -> None:
    """A column that the local table alone has: of the lab's own, or dropped at the source."""
    assert difference.column is not None, "asked of columns"
    column, is_needed = difference.column, difference.kind == "differs"
    made = view.made(stands, column.name)
    if made is False or (view.mark is not None and not view.redefined):
        if is_needed:
            changes.locally.append(difference.words)
        else:
            found.notes.append(_note(stands, difference))
        return
    if made or made is None:
        words = f"the source dropped column `{column.name}`"
        if made is None:
            words = (
                f"column `{column.name}` does not exist at the source: it was dropped there, or added locally"
            )
        changes.at_source.append(words)
        keys = (k.name for k in stands.foreign_keys if column.name in k.columns)
        changes.drops.append(
            ", ".join([*(f"DROP FOREIGN KEY `{k}`" for k in keys), f"DROP COLUMN `{column.name}`"])
        )


def _note(table: TableDefinition, difference: Difference) -> str:
    return f"changed locally: {table.schema}.{table.name}: {difference.words}"


def _why_refill(view: _TableView, found: LocalDrift) -> str | None:
    """Why the entities that are here must be looked over: parts and columns that are still without rows."""
    own = view.link.local.parts[-1]  # `DeletionRequested`, which has no rows of the source
    parts = [t for t in found.make if t is not own]
    again = [f"part {t.name}" for t in view.returned(found.make)]
    added = [f"part {t.name}" for t in parts if view.may_be_added(t)]
    added += [f"`{c.name}` of {a.table}" for a in found.alter for c, _ in a.columns if c.generated is None]
    dropped = [f"part {t.name}" for t in parts if not view.may_be_added(t)]
    why = [f"for {', '.join(added)}, which the source added after linking"] if added else []
    why += [f"for {', '.join(dropped)}, which was dropped locally"] if dropped else []
    why += [f"for {', '.join(again)}, which the source has again"] if again else []
    return "; ".join(why) or None


def _left_parts(link: Link, local: Catalog) -> Iterator[tuple[str, str]]:
    """Parts of a dropped master, whose rows would be in the way of the same rows when they come again."""
    copied = link.local.tables[1 : len(link.definition.tables)]
    left = [f"`{t.schema}`.`{t.name}`" for t in copied if (t.schema, t.name) in local.tables]
    if left:
        words = (
            f"the local table {link.local.schema}.{link.local.name} was dropped, but its parts still exist"
        )
        hint = f"drop them too: DROP TABLE {', '.join(reversed(left))}; the next apply recreates all of them"
        yield words, hint


def _dropped_parts(link: Link, local: Catalog) -> Iterator[str]:
    """Parts that djlink made and the source has no longer."""
    expected = {t.name for t in link.local.tables}
    for name in linked_parts(link, local):
        if name not in expected:
            yield f"the source dropped its part: the local part {link.local.schema}.{name} is kept unchanged"


def linked_parts(link: Link, local: Catalog, *, by_name: bool = True) -> Iterator[str]:
    """The local parts that stand and that djlink made for the link, by the names of their foreign keys.

    Without `by_name` a foreign key of any name will do.
    """
    schema, begin = link.local.schema, CONSTRAINT if by_name else ""
    for name in local.named_as_parts(schema, link.local.name):
        if local.mark(schema, name) is None and _is_linked(local.tables[schema, name], link, local, begin):
            yield name


def made_parts(link: Link, mark: Mark | None, local: Catalog) -> frozenset[str]:
    """The local parts that djlink made of the source's, standing or not; `mark` is the local one.

    Before the mark is complete every part that stands is meant: these tables are being taken over.
    """
    made = mark.made if mark is not None else None
    complete = mark is not None and mark.definition is not None
    own = {link.local.name, link.local.parts[-1].name}  # the last part is `DeletionRequested`
    return frozenset({*linked_parts(link, local, by_name=complete), *(made or ())} - own)


def _is_linked(table: TableDefinition, link: Link, local: Catalog, begin: str = CONSTRAINT) -> bool:
    """Whether the table has a foreign key, named as djlink does, to the link's local table or a part of it.

    `begin` is how the name begins.
    """
    schema, master = link.local.schema, link.local.name
    own = {master, *local.named_as_parts(schema, master)} - {table.name}
    return any(
        k.name.startswith(begin) and k.parent_schema == schema and k.parent_table in own
        for k in table.foreign_keys
    )
