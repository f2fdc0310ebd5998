"""What became of a link's local tables since they were made: what the source added, and what was changed.

Pure. What the source added can be added here too. The link's mark tells the rest apart: where it names the
source's present definition, a difference was made here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, Mark
from djlink_manifest.model.tables.compare import Difference, differences
from djlink_manifest.model.tables.definition import Column, ForeignKey, Index, TableDefinition
from djlink_manifest.model.tables.naming import CONSTRAINT
from djlink_manifest.reconcile.state.snapshot import Alteration

ANEW = (
    "or, if it has no rows of your own and no table of yours refers to it, drop the local table with all "
    "its parts: the next apply recreates it and pulls its held rows"
)
UNDO_SOURCE = f"ask the source's owner to undo the change, or exclude the link; {ANEW}"
UNDO_LOCAL = f"undo the change on the local server, so that the table matches the source again; {ANEW}"
LEFT_OVER = "an apply that changed its tables was interrupted"


@dataclass(slots=True)
class LocalDrift:
    """How the local tables differ from what shall stand, sorted by what can be done about it.

    `problems` are reasons with next steps; `notes` hold nothing up; `foreign` names tables of somebody else's
    that stand in the place of a part.
    """

    make: list[TableDefinition] = field(default_factory=list)
    alter: list[Alteration] = field(default_factory=list)
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
        return names is not None and (column is None or column in names)

    def may_be_added(self, table: TableDefinition, column: str | None = None) -> bool:
        """Whether what is missing may be something that the source added."""
        return (self.mark is None or self.redefined) and self.made(table, column) is not True

    def is_local_change(self, table: TableDefinition, stands: TableDefinition) -> bool:
        """Whether a table that stands is djlink's own: by the mark, else by the name of a foreign key."""
        if (table.schema, table.name) == (self.link.local.schema, self.link.local.name):
            return True
        return self.made(table) is True or _is_linked(stands, self.link, self.local)


def _compare(view: _TableView, table: TableDefinition, stands: TableDefinition, found: LocalDrift) -> None:
    columns, indexes = list[tuple[Column, str | None]](), list[Index]()
    # what keeps rows from being copied, by where it was changed
    source_changes, local_changes = list[str](), list[str]()
    for difference in differences(table, stands):
        column, index = difference.column, difference.index
        if difference.foreign_key is not None:
            found.late_keys.append((difference.table, difference.foreign_key))
        elif difference.kind == "column" and column is not None:
            _missing_column(
                view, table, column, columns, source_changes=source_changes, local_changes=local_changes
            )
        elif difference.kind == "index" and index is not None:
            taken = {i.name.lower() for i in stands.indexes}
            if (view.mark is None or view.redefined) and index.name.lower() not in taken:
                indexes.append(index)
            else:
                found.notes.append(_note(table, difference))
        elif difference.kind == "more" and column is not None:
            _more(view, table, difference, column, source_changes=source_changes, found=found)
        elif difference.kind == "extra":
            found.notes.append(f"{table.schema}.{table.name}: {difference.words}")
        else:
            (source_changes if view.mark is None or view.redefined else local_changes).append(
                difference.words
            )
    name = f"{table.schema}.{table.name}"
    if source_changes:
        words = f"the local table {name} does not match the source's definition, which changed after linking"
        found.problems.append((f"{words}: {'; '.join(source_changes)}", UNDO_SOURCE))
    if local_changes:
        words = (
            f"the local table {name} does not match the source's definition, because it was changed locally"
        )
        found.problems.append((f"{words}: {'; '.join(local_changes)}", UNDO_LOCAL))
    if columns or indexes:
        found.alter.append(Alteration(table.name, tuple(columns), tuple(indexes)))


def _missing_column(
    view: _TableView,
    table: TableDefinition,
    column: Column,
    columns: list[tuple[Column, str | None]],
    source_changes: list[str],
    local_changes: list[str],
) -> None:
    needs_value = not column.nullable and column.default is None and column.generated is None
    if not view.may_be_added(table, column.name):
        local_changes.append(f"column `{column.name}` is missing")
    elif column.name in table.key:
        source_changes.append(f"the source added column `{column.name}` to the primary key")
    elif needs_value:
        source_changes.append(f"the source added column `{column.name}`, which is NOT NULL without a default")
    else:
        place = table.column_names.index(column.name)
        columns.append((column, table.column_names[place - 1] if place else None))


def _more(
    view: _TableView,
    table: TableDefinition,
    difference: Difference,
    column: Column,
    source_changes: list[str],
    found: LocalDrift,
) -> None:
    made = view.made(table, column.name)
    if made is False or not view.redefined:
        found.notes.append(_note(table, difference))
    elif made:
        source_changes.append(f"the source dropped column `{column.name}`")
    else:
        source_changes.append(
            f"column `{column.name}` does not exist at the source: it was dropped there, or added locally"
        )


def _note(table: TableDefinition, difference: Difference) -> str:
    return f"changed locally: {table.schema}.{table.name}: {difference.words}"


def _why_refill(view: _TableView, found: LocalDrift) -> str | None:
    """Why the entities that are here must be looked over: parts and columns that are still without rows."""
    own = view.link.local.parts[-1]  # `DeletionRequested`, which has no rows of the source
    parts = [t for t in found.make if t is not own]
    added = [f"part {t.name}" for t in parts if view.may_be_added(t)]
    added += [f"`{c.name}` of {a.table}" for a in found.alter for c, _ in a.columns if c.generated is None]
    dropped = [f"part {t.name}" for t in parts if not view.may_be_added(t)]
    why = [f"for {', '.join(added)}, which the source added after linking"] if added else []
    why += [f"for {', '.join(dropped)}, which was dropped locally"] if dropped else []
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
    schema = link.local.schema
    for name in local.named_as_parts(schema, link.local.name):
        if name in expected or local.mark(schema, name) is not None:
            continue
        if _is_linked(local.tables[schema, name], link, local):
            yield f"the source dropped its part: the local part {schema}.{name} is kept unchanged"


def _is_linked(table: TableDefinition, link: Link, local: Catalog) -> bool:
    """Whether djlink made a foreign key of the table to the link's local table, or to a part of it."""
    schema, master = link.local.schema, link.local.name
    own = {master, *local.named_as_parts(schema, master)} - {table.name}
    return any(
        k.name.startswith(CONSTRAINT) and k.parent_schema == schema and k.parent_table in own
        for k in table.foreign_keys
    )
