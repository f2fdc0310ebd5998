"""Which refusals of a link bar pulls only, and which bar deletions too: decided from catalogs alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.errors import Location
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import MadeTable, Mark
from djlink_manifest.model.server.rights import LOCAL_RIGHTS, OUTBOUND_RIGHTS, Grant
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition
from djlink_manifest.model.tables.derive import LinkedTable, local_definition, outbound_definitions
from djlink_manifest.reconcile.diff.link_tables import CatalogPair, compare_for_deletions, compare_link
from djlink_manifest.reconcile.state.snapshot import LinkTables, Refusal, merged
from tests.unit.catalogs import catalog, resolved, table

X, Y = Column("x", "int", nullable=True), Column("y", "int")
TO_MASTER = ForeignKey("t__p_ibfk_1", ("id",), "lab", "t", ("id",))
PART = TableDefinition(
    "lab", "t__p", (Column("id", "int"), Column("k", "int"), Y), ("id", "k"), (), (TO_MASTER,)
)
SOURCE = TableDefinition("lab", "t", (Column("id", "int"), X), ("id",), parts=(PART,))


def link(source: TableDefinition) -> Link:
    linked = {("lab", t.name): LinkedTable("k.lab.T", t.key, "ours", t.name) for t in source.tables}
    local, _ = local_definition(source, "ours", linked)
    place = Location("f", 1, 1)
    return Link("k.lab.T", "k", source, local, "out", "lab_t", (), (), None, "all", "keep", "review", place)


BEFORE = link(SOURCE)
Tables = dict[tuple[str, str], TableDefinition]


def retyped(tables: Tables, place: tuple[str, str], column: str) -> None:
    columns = tuple(replace(c, type="bigint") if c.name == column else c for c in tables[place].columns)
    tables[place] = replace(tables[place], columns=columns)


def source_changes(change: Callable[[TableDefinition], TableDefinition]) -> CatalogPair:
    return stands(change(SOURCE))


def locally(change: Callable[[Tables], Any]) -> CatalogPair:
    return stands(SOURCE, change)


def no_change(of: Any) -> None:
    """Nothing."""


def stands(
    source: TableDefinition = SOURCE,
    local_change: Callable[[Tables], Any] = no_change,
    outbound_change: Callable[[Tables], Any] = no_change,
    mark: Callable[[Mark], Mark | None] = lambda mark: mark,
    outbound_rights: tuple[str, ...] = OUTBOUND_RIGHTS,
    local_rights: tuple[str, ...] = LOCAL_RIGHTS,
    source_rights: tuple[str, ...] = ("SELECT", "REFERENCES"),
) -> CatalogPair:
    """The catalogs of a link that was made from SOURCE, after something happened to one of its sides."""
    here: Tables = {(t.schema, t.name): replace(t, parts=()) for t in BEFORE.local.tables}
    local_change(here)
    there: Tables = {(t.schema, t.name): t for t in outbound_definitions(SOURCE, "out", "lab_t")}
    outbound_change(there)
    tables = [*there.values(), *(replace(t, parts=()) for t in source.tables)]
    grants = (
        Grant(frozenset(outbound_rights), "out", "*"),
        Grant(frozenset(source_rights), "lab", "*"),
    )
    empty = CatalogPair("atlas", catalog([]), catalog([]))
    made = {t.name: MadeTable({c.name: c for c in t.columns}, t.comment) for t in BEFORE.local.tables}
    new = replace(empty.new_mark(BEFORE, "c@x"), definition=SOURCE.digest(), made=made)
    own = mark(new)
    marks = {"out": (own,)} if own is not None else {}
    local_marks = {"ours": (replace(new, table_name="t"),)}
    return CatalogPair(
        "atlas",
        catalog(tables, grants=grants, marks=marks),
        catalog(here.values(), ["ours"], [Grant(frozenset(local_rights), "ours", "*")], local_marks),
    )


def with_column(column: Column, key: tuple[str, ...] = ("id",)) -> CatalogPair:
    return source_changes(lambda t: replace(t, columns=(*t.columns, column), key=key))


def but(rights: tuple[str, ...], *missing: str) -> tuple[str, ...]:
    return tuple(right for right in rights if right not in missing)


OURS = TableDefinition("ours", "t__q", (Column("id", "int"), Column("k", "int")), ("id", "k"))
NEW_PART = replace(PART, name="t__q")
CASES: dict[str, tuple[CatalogPair, str]] = {
    "nothing": (stands(), "nothing"),
    "a column that may be NULL": (with_column(Column("z", "int", nullable=True)), "nothing"),
    "a column that needs a value": (with_column(Column("z", "int")), "pulls"),
    "a column of another type": (
        source_changes(lambda t: replace(t, columns=(t.columns[0], replace(X, type="varchar(9)")))),
        "pulls",
    ),
    "a column is gone": (source_changes(lambda t: replace(t, columns=t.columns[:1])), "pulls"),
    "a local column of another type": (locally(lambda ts: retyped(ts, ("ours", "t"), "x")), "pulls"),
    "a local part's column of another type": (
        locally(lambda ts: retyped(ts, ("ours", "t__p"), "y")),
        "pulls",
    ),
    "a part's own key of another type": (locally(lambda ts: retyped(ts, ("ours", "t__p"), "k")), "pulls"),
    "a part whose name a table of ours has": (
        stands(replace(SOURCE, parts=(PART, NEW_PART)), lambda ts: ts.update({("ours", "t__q"): OURS})),
        "pulls",
    ),
    "the local key of another type": (locally(lambda ts: retyped(ts, ("ours", "t"), "id")), "everything"),
    "the master's key in a part of another type": (
        locally(lambda ts: retyped(ts, ("ours", "t__p"), "id")),
        "everything",
    ),
    "the outbound key of another type": (
        stands(outbound_change=lambda ts: retyped(ts, ("out", "lab_t"), "id")),
        "everything",
    ),
    "the source's key": (with_column(Column("z", "int"), ("id", "z")), "everything"),
    "a master without its parts' master": (locally(lambda ts: ts.pop(("ours", "t"))), "everything"),
    "no mark": (stands(mark=lambda mark: None), "everything"),
    "another's mark": (stands(mark=lambda mark: replace(mark, manifest="other")), "everything"),
    "no right to make outbound tables": (stands(outbound_rights=but(OUTBOUND_RIGHTS, "CREATE")), "pulls"),
    "no right to write outbound rows": (stands(outbound_rights=but(OUTBOUND_RIGHTS, "DELETE")), "everything"),
    "no right to refer to the source": (stands(source_rights=("SELECT",)), "pulls"),
    "no right to read the source": (stands(source_rights=("REFERENCES",)), "everything"),
    "no right to make local tables": (
        stands(local_rights=but(LOCAL_RIGHTS, "CREATE", "ALTER", "REFERENCES")),
        "pulls",
    ),
    "no right to delete local rows": (stands(local_rights=but(LOCAL_RIGHTS, "DELETE")), "everything"),
    "a wrong right and a wrong column": (
        stands(
            replace(SOURCE, columns=SOURCE.columns[:1]),
            outbound_rights=but(OUTBOUND_RIGHTS, "CREATE", "SELECT"),
        ),
        "everything",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_bars_pulls_and_what_bars_deletions_too(case: str) -> None:
    catalogs, barred = CASES[case]
    source = catalogs.source.tables["lab", "t"]
    parts = tuple(t for (schema, name), t in catalogs.source.tables.items() if name.startswith("t__"))
    now = link(replace(source, parts=parts))
    found, without = compare_link(now, catalogs), compare_for_deletions(now, catalogs)
    if barred == "nothing":
        assert isinstance(found, LinkTables)
        return
    assert isinstance(found, Refusal)
    assert found.only_pulls is (barred == "pulls")
    assert isinstance(without, LinkTables) is (barred == "pulls")


def test_parts_that_do_not_stand_or_are_ours_are_no_parts_of_what_is_deleted() -> None:
    catalogs, _ = CASES["a part whose name a table of ours has"]
    now = link(replace(SOURCE, parts=(PART, NEW_PART)))
    tables = compare_for_deletions(now, catalogs)
    assert isinstance(tables, LinkTables)
    assert tables.lacks_parts(now) == {"t__q"}
    left = now.without_parts(tables.lacks_parts(now))
    assert [t.name for t in left.local.tables] == ["t", "t__p", "t__deletion_requested"]
    assert [t.name for t in left.definition.tables] == ["t", "t__p"]
    alone = now.without_parts({"t__p", "t__q"})
    assert [t.name for t in alone.local.tables] == ["t", "t__deletion_requested"]


def test_of_a_link_of_which_no_row_comes_only_what_deletions_need_is_made() -> None:
    part, requested = BEFORE.local.parts
    tables = LinkTables("id", False, False, make_local=(part, requested), refill="for a part")
    left = tables.for_deletions(BEFORE)
    assert left.make_local == (requested,)
    assert left.refill is None
    assert not left.is_comparable(BEFORE)
    assert not left.lacks_rows
    without = replace(tables, make_local=BEFORE.local.tables).for_deletions(BEFORE)
    assert without.make_local == BEFORE.local.tables  # the master is missing: all of it is


def test_two_refusals_of_a_link_bar_what_one_of_them_bars() -> None:
    pulls, everything = Refusal("a", "one", only_pulls=True), Refusal("a", "two")
    assert merged(pulls, pulls).only_pulls
    assert not merged(pulls, everything).only_pulls
    assert not merged(everything, pulls).only_pulls


@pytest.mark.parametrize(
    ("rules", "only_pulls"),
    [
        ({"*": {}, "Sesion": {}}, True),
        ({"*": {}, "Sesion": {"where": {"id": 1}}}, True),
        ({"*": {}, "Sesion": {"deletions": "auto"}}, False),
        ({"*": {}, "Sesion": {"max_deletions": 7}}, False),
        ({"*": {}, "Sesion": {"unwanted": "release"}}, False),
        ({"Session": {"where": {"nothing": 1}}}, True),
        ({"Session": {"depends_on": ["k.lab.Nothing"]}, "Nothing": {}}, True),
    ],
)
def test_a_refusal_of_the_manifest_bars_deletions_where_they_may_be_meant(
    tmp_path: Path, rules: dict[str, Any], only_pulls: bool
) -> None:
    found = resolved(tmp_path, {"lab": {"tables": rules}}, catalog([table("lab.session")]))
    refusals = [r for r in found.refusals if r.address == "k.lab.Session"]
    assert {r.only_pulls for r in refusals} <= {only_pulls}
    assert bool(refusals) or rules == {"*": {}, "Sesion": {}}
