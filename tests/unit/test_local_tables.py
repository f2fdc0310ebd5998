"""What became of a link's local tables: one table of decisions, from definitions and a mark alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from djlink_manifest.errors import Location
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, MadeTable, Mark
from djlink_manifest.model.tables.definition import (
    Check,
    Column,
    ForeignKey,
    Index,
    IndexPart,
    TableDefinition,
)
from djlink_manifest.model.tables.derive import LinkedTable, local_definition
from djlink_manifest.reconcile.diff.local_tables import LocalDrift, local_drift
from tests.unit.catalogs import IDENTITY

BY_X = Index("by_x", (IndexPart("x"),))
BY_Z = Index("by_z", (IndexPart("z"),))
Z = Column("z", "int", nullable=True)
NEEDED = Column("z", "int")
TWICE = Column("z", "int", nullable=True, generated="x * 2")


def part(name: str, *columns: Column) -> TableDefinition:
    """A part of `t`, or a table of the lab's own with such a name."""
    to_master = ForeignKey(f"{name}_ibfk_1", ("id",), "lab", "t", ("id",))
    own = (Column("id", "int"), Column("k", "int"), *columns)
    return TableDefinition("lab", name, own, ("id", "k"), foreign_keys=(to_master,))


P, Q = part("t__p", Column("y", "int", nullable=True)), part("t__q")
ROOM = ForeignKey("t_ibfk_1", ("x",), "lab", "room", ("id",))
BEFORE = TableDefinition(
    "lab",
    "t",
    (Column("id", "int"), Column("x", "int", nullable=True)),
    ("id",),
    (BY_X,),
    (ROOM,),
    parts=(P,),
)


def with_columns(*columns: Column, key: tuple[str, ...] = ("id",)) -> TableDefinition:
    return replace(BEFORE, columns=(*BEFORE.columns, *columns), key=key)


def link(source: TableDefinition) -> Link:
    linked = {("lab", t.name): LinkedTable("k.lab.T", t.key, "ours", t.name) for t in source.tables}
    linked["lab", "room"] = LinkedTable("k.lab.Room", ("id",), "ours", "room")
    local, _ = local_definition(source, "ours", linked)
    place = Location("f", 1, 1)
    return Link("k.lab.T", "k", source, local, "out", "lab_t", (), (), None, "all", "keep", "review", place)


STOOD = {t.name: replace(t, parts=()) for t in link(BEFORE).local.tables}


@dataclass(frozen=True)
class LocalSide:
    """What was done on the local server since the apply that made the tables of `BEFORE`."""

    dropped: tuple[str, ...] = ()
    changed: tuple[TableDefinition, ...] = ()

    def tables(self) -> dict[str, TableDefinition]:
        return {n: t for n, t in (STOOD | {t.name: t for t in self.changed}).items() if n not in self.dropped}


MADE = {name: MadeTable({c.name: c for c in t.columns}, t.comment) for name, t in STOOD.items()}
# the mark of tables that are complete, of an earlier version, of some that were begun, of a change not ended
Marked = Literal["complete", "earlier version", "begun", "changing", "none"]


def mark(kind: Marked) -> Mark | None:
    if kind == "none":
        return None
    found = Mark(
        *("id", "t", "atlas", "c@x", "lab", "t", "out", "lab_t", "db.ours", "ours", "t", "0"),
        definition=BEFORE.digest(),
        made=MADE,
    )
    changes = {
        "complete": found,
        "earlier version": replace(found, made=None),
        "begun": replace(found, definition=None),
        "changing": replace(found, refill=BEFORE.digest()),
    }
    return changes[kind]


def told(found: LocalDrift) -> Iterator[str]:
    """All that was found, a line each."""
    yield from (f"make {t.name}" for t in found.make)
    for each in found.alter:
        yield from (f"add {each.table}.{column.name} after {before}" for column, before in each.columns)
        yield from (f"add index {each.table}.{index.name}" for index in each.indexes)
    yield from (f"key {table} to {key.parent_table}" for table, key in found.late_keys)
    yield from (f"problem: {words}" for words, _ in found.problems)
    yield from (f"note: {words}" for words in found.notes)
    if found.refill:
        yield f"refill {found.refill}"


def changed(**changes: object) -> LocalSide:
    """The local master table with other fields."""
    return LocalSide(changed=(replace(STOOD["t"], **changes),))  # type: ignore[arg-type]  # fields of many types


SAME = LocalSide()
ALL_OF_T = ["make t", "make t__p", "make t__deletion_requested"]
CHANGED_AT_SOURCE = (
    "problem: the local table ours.t does not match the source's definition, which changed after linking: "
)
LOCALLY = (
    "problem: the local table ours.t does not match the source's definition, because it was changed locally: "
)
ADDED = "which the source added after linking"

CASES: dict[str, tuple[TableDefinition, LocalSide, Marked, Sequence[str]]] = {
    "nothing happened": (BEFORE, SAME, "complete", []),
    "nothing happened since an earlier version": (BEFORE, SAME, "earlier version", []),
    "a change of tables did not end": (
        *(BEFORE, SAME, "changing"),
        ["refill an apply that changed its tables was interrupted"],
    ),
    # what the source did
    "the source added a column": (
        *(with_columns(Z), SAME, "complete"),
        ["add t.z after x", f"refill for `z` of t, {ADDED}"],
    ),
    "the source added a column, by the mark of an earlier version": (
        *(with_columns(Z), SAME, "earlier version"),
        ["add t.z after x", f"refill for `z` of t, {ADDED}"],
    ),
    "the source added a column at the front": (
        *(replace(BEFORE, columns=(Z, *BEFORE.columns)), SAME, "complete"),
        ["add t.z after None", f"refill for `z` of t, {ADDED}"],
    ),
    "the source added a column that needs a value": (
        *(with_columns(NEEDED), SAME, "complete"),
        [f"{CHANGED_AT_SOURCE}the source added column `z`, which is NOT NULL without a default"],
    ),
    "the source added a generated column, which needs no rows": (
        *(with_columns(TWICE), SAME, "complete"),
        ["add t.z after x"],
    ),
    "the source added an index, which needs no rows": (
        *(replace(BEFORE, indexes=(BY_X, Index("by_id_x", (IndexPart("id"), IndexPart("x"))))), SAME),
        "complete",
        ["add index t.by_id_x"],
    ),
    "the source added a column with an index": (
        *(replace(with_columns(Z), indexes=(BY_X, BY_Z)), SAME, "complete"),
        ["add t.z after x", "add index t.by_z", f"refill for `z` of t, {ADDED}"],
    ),
    "the source added a part": (
        *(replace(BEFORE, parts=(P, Q)), SAME, "complete"),
        ["make t__q", f"refill for part t__q, {ADDED}"],
    ),
    "the source added a part of which the lab has a table of that name": (
        replace(BEFORE, parts=(P, Q)),
        LocalSide(changed=(replace(Q, schema="ours", foreign_keys=()),)),
        "complete",
        [
            "problem: the local table ours.t__q was not created by djlink, but the source added a part "
            "of that name"
        ],
    ),
    "the source dropped a part": (
        *(replace(BEFORE, parts=()), SAME, "complete"),
        ["note: the source dropped its part: the local part ours.t__p is kept unchanged"],
    ),
    "the source dropped a column": (
        *(replace(BEFORE, columns=BEFORE.columns[:1], indexes=(), foreign_keys=()), SAME, "complete"),
        [
            f"{CHANGED_AT_SOURCE}the source dropped column `x`",
            "note: ours.t: it still has a foreign key to ours.room, which is no longer linked; rows without "
            "a parent in ours.room cannot be inserted; link the parent again, or drop that foreign key",
        ],
    ),
    "the source changed the type of a foreign key": (
        *(replace(BEFORE, columns=(BEFORE.columns[0], Column("x", "bigint", nullable=True))), SAME),
        "complete",
        [f"{CHANGED_AT_SOURCE}column `x` has the type int, not bigint"],
    ),
    # what was done here
    "a column was dropped here": (
        *(BEFORE, changed(columns=BEFORE.columns[:1], indexes=(BY_X,)), "complete"),
        [f"{LOCALLY}column `x` is missing"],
    ),
    "a column was added here": (
        *(BEFORE, changed(columns=(*BEFORE.columns, Z)), "complete"),
        ["note: changed locally: ours.t: the source's table has no column `z`"],
    ),
    "a column that needs a value was added here": (
        *(BEFORE, changed(columns=(*BEFORE.columns, NEEDED)), "complete"),
        [f"{LOCALLY}the source's table has no column `z`"],
    ),
    "a type was changed here": (
        *(BEFORE, changed(columns=(BEFORE.columns[0], Column("x", "bigint", nullable=True))), "complete"),
        [f"{LOCALLY}column `x` has the type bigint, not int"],
    ),
    "an index was dropped here": (
        *(BEFORE, changed(indexes=()), "complete"),
        ["note: changed locally: ours.t: the index `by_x` is missing"],
    ),
    "a foreign key was dropped here": (
        *(BEFORE, changed(foreign_keys=()), "complete"),
        ["key t to room"],
    ),
    "a check was added here": (
        *(BEFORE, changed(checks=(Check("own", "x > 0"),)), "complete"),
        [
            "note: ours.t: its check `own` does not exist at the source; rows that violate it are refused; "
            "drop it",
        ],
    ),
    "a part was dropped here": (
        *(BEFORE, LocalSide(("t__p",)), "complete"),
        ["make t__p", "refill for part t__p, which was dropped locally"],
    ),
    "djlink's own part was dropped here, which has no rows of the source": (
        *(BEFORE, LocalSide(("t__deletion_requested",)), "complete"),
        ["make t__deletion_requested"],
    ),
    "all tables were dropped here": (BEFORE, LocalSide(tuple(STOOD)), "complete", ALL_OF_T),
    "the master was dropped here and its parts were not": (
        *(BEFORE, LocalSide(("t",)), "complete"),
        [
            "make t",
            "problem: the local table ours.t was dropped, but its parts still exist",
        ],
    ),
    # both
    "the source added a column, and one was dropped here": (
        *(with_columns(Z), changed(columns=BEFORE.columns[:1]), "complete"),
        ["add t.z after x", f"{LOCALLY}column `x` is missing", f"refill for `z` of t, {ADDED}"],
    ),
    "the source added a column, and another was added here": (
        *(with_columns(Z), changed(columns=(*BEFORE.columns, Column("own", "int", nullable=True)))),
        "complete",
        [
            "add t.z after x",
            "note: changed locally: ours.t: the source's table has no column `own`",
            f"refill for `z` of t, {ADDED}",
        ],
    ),
    "the source added a column, and nobody knows who has another": (
        *(with_columns(Z), changed(columns=(*BEFORE.columns, Column("own", "int", nullable=True)))),
        "earlier version",
        [
            "add t.z after x",
            f"{CHANGED_AT_SOURCE}column `own` does not exist at the source: it was dropped there, "
            "or added locally",
            f"refill for `z` of t, {ADDED}",
        ],
    ),
    # tables that were begun
    "no table was made yet": (BEFORE, LocalSide(tuple(STOOD)), "none", ALL_OF_T),
    "some tables were made": (
        *(BEFORE, LocalSide(("t__p", "t__deletion_requested")), "begun"),
        ["make t__p", "make t__deletion_requested"],
    ),
    "some tables were made, and the source added a column since": (
        *(with_columns(Z), LocalSide(("t__p", "t__deletion_requested")), "begun"),
        ["add t.z after x", "make t__p", "make t__deletion_requested"],
    ),
}


def drift(source: TableDefinition, local_side: LocalSide, kind: Marked) -> LocalDrift:
    tables = {("ours", name): t for name, t in local_side.tables().items()}
    marks = {"ours": (found,)} if (found := mark(kind)) else {}
    local = Catalog("local", IDENTITY, frozenset({"ours"}), tables, {}, marks, (), {})
    return local_drift(link(source), found, local)


@pytest.mark.parametrize(("source", "local", "kind", "expected"), CASES.values(), ids=CASES)
def test_what_is_found_of_the_local_tables(
    source: TableDefinition, local: LocalSide, kind: Marked, expected: Sequence[str]
) -> None:
    assert sorted(told(drift(source, local, kind))) == sorted(expected)


@pytest.mark.parametrize(("source", "local", "kind"), [case[:3] for case in CASES.values()], ids=CASES)
def test_the_source_counts_as_redefined_where_the_mark_names_another_definition(
    source: TableDefinition, local: LocalSide, kind: Marked
) -> None:
    complete = kind not in ("begun", "none")
    assert drift(source, local, kind).redefined == (complete and source != BEFORE)


def test_a_column_added_to_the_key_is_a_problem_of_the_master_and_of_all_that_has_its_key() -> None:
    found = drift(with_columns(NEEDED, key=("id", "z")), SAME, "complete")
    master, requested = (words for words, _ in found.problems)
    assert master == (
        f"{CHANGED_AT_SOURCE.removeprefix('problem: ')}the source added column `z` to the primary key;"
        " the primary key is (id), not (id, z)"
    )
    assert requested.startswith("the local table ours.t__deletion_requested does not match")


def test_a_problem_says_where_to_undo_what() -> None:
    [(_, source_schema)] = drift(with_columns(NEEDED), SAME, "complete").problems
    assert source_schema.startswith(
        "ask the source's owner to undo the change, or exclude the link; or, if it has no rows of your"
    )
    [(_, local_schema)] = drift(BEFORE, changed(columns=(*BEFORE.columns, NEEDED)), "complete").problems
    assert local_schema.startswith("undo the change on the local server")
    [(_, parts)] = drift(BEFORE, LocalSide(("t",)), "complete").problems
    assert "DROP TABLE `ours`.`t__p`; the next apply recreates all of them" in parts
    named = LocalSide(changed=(replace(Q, schema="ours", foreign_keys=()),))
    [(_, name)] = drift(replace(BEFORE, parts=(P, Q)), named, "complete").problems
    assert name.startswith("rename or drop the local table")
