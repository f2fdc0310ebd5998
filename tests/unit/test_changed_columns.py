"""Columns that the source changed after linking: what follows, what is left alone, what bars the link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from djlink_manifest.errors import Location
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, MadeTable, Mark, ServerIdentity, Size, Version
from djlink_manifest.model.tables.definition import Column, ForeignKey, Index, IndexPart, TableDefinition
from djlink_manifest.model.tables.derive import local_definition
from djlink_manifest.model.vendors.alter_cost import highest
from djlink_manifest.model.vendors.widening import keeps_values
from djlink_manifest.reconcile.diff.local_tables import LocalDrift, local_drift
from djlink_manifest.reconcile.state.snapshot import change_words
from djlink_manifest.servers.ownership.made_tables import made_text, read_made

UTF8 = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
X, U = (
    Column("x", "int", nullable=True),
    Column("u", "varchar(9)", nullable=True, charset="utf8mb4", collation="utf8mb4_bin"),
)
BEFORE = TableDefinition("lab", "t", (Column("id", "int"), X, U), ("id",), comment="scans")


def link(source: TableDefinition) -> Link:
    local, _ = local_definition(source, "ours", {})
    place = Location("f", 1, 1)
    return Link("k.lab.T", "k", source, local, "out", "lab_t", (), (), None, "all", "keep", "review", place)


def x(type_: str = "int", **more: Any) -> TableDefinition:
    """The source's table with another x."""
    return with_column(Column("x", type_, **{"nullable": True, **more}))


def with_column(column: Column, table: TableDefinition = BEFORE) -> TableDefinition:
    return replace(table, columns=tuple(column if c.name == column.name else c for c in table.columns))


STOOD = link(BEFORE).local
MADE = read_made(made_text(STOOD))
NAMES = {t.name: MadeTable(dict.fromkeys(t.column_names)) for t in STOOD.tables}


def drift(
    source: TableDefinition,
    stands: TableDefinition | None = None,
    made: Any = MADE,
    vendor: str = "mysql",
    *,
    begun: bool = False,
    of: Link | None = None,
) -> LocalDrift:
    """What is found where the tables of `BEFORE` were made, `stands` stands, and the source has `source`."""
    mark = Mark(
        *("id", "t", "atlas", "c@x", "lab", "t", "out", "lab_t", "db.ours", "ours", "t", "0"),
        definition=None if begun else BEFORE.digest(),
        made=None if begun else made,
    )
    master = replace(stands or STOOD, schema="ours", parts=())
    parts = (stands or STOOD).parts or STOOD.parts
    tables = {("ours", t.name): replace(t, parts=()) for t in (master, *parts)}
    identity = ServerIdentity(Version(vendor, "1", (1,)), "lab@%", "db", 3306, "/var", 64 << 20)
    sizes = {("ours", "t"): Size(40, 16_384)}
    local = Catalog("local", identity, frozenset({"ours"}), tables, sizes, {"ours": (mark,)}, (), {})
    return local_drift(of or link(source), mark, local)


def told(found: LocalDrift) -> list[str]:
    lines = []
    for change in found.change:
        lines += [f"{change_words(each)}: {change.cost}" for each in change.columns]
        lines += [f"comment {change.comment}"] * (change.comment is not None)
    lines += [words.partition(": ")[2] for words, _ in found.problems]
    lines += [note.partition(": ")[2] for note in found.notes]
    return lines + ["unrecorded"] * found.unrecorded


FOLLOWED: dict[str, tuple[TableDefinition, Sequence[str]]] = {
    "a wider type": (x("bigint"), ["`x` (int to bigint): copy"]),
    "a default": (x(default="7"), ["`x` (default): instant"]),
    "a comment": (x(comment="of x"), ["`x` (comment): instant"]),
    "DataJoint's word for a type": (x(comment=":int32:of x"), ["`x` (comment): instant"]),
    "the comment of the table": (replace(BEFORE, comment="all scans"), ["comment all scans"]),
    "all at once": (
        replace(
            with_column(replace(U, type="varchar(20)"), x("bigint", default="7", comment="of x")), comment="c"
        ),
        ["`x` (int to bigint, default, comment): copy", "`u` (varchar(9) to varchar(20)): copy", "comment c"],
    ),
    "the order of columns, which is left as it is": (replace(BEFORE, columns=BEFORE.columns[::-1]), []),
}


@pytest.mark.parametrize(("source", "expected"), FOLLOWED.values(), ids=FOLLOWED)
def test_the_local_table_follows(source: TableDefinition, expected: Sequence[str]) -> None:
    assert told(drift(source)) == expected


def test_a_column_that_may_be_null_now_follows() -> None:
    stood = with_column(replace(X, nullable=False), STOOD)
    made = read_made(made_text(stood))
    assert told(drift(x(), stood, made)) == ["`x` (may be NULL): in place"]


def test_what_a_change_costs_is_that_of_its_dearest_column() -> None:
    source = with_column(replace(U, type="varchar(20)"), x(comment="of x"))
    [change] = drift(source).change
    assert (change.cost, change.size) == ("instant", Size(40, 16_384))
    assert highest(["instant", "copy", "in place"]) == "copy"
    assert highest([]) == "instant"


BLOCKED: dict[str, tuple[TableDefinition, str]] = {
    "a narrower type": (x("smallint"), "column `x` has the type int, not smallint"),
    "another type": (x("varchar(9)", **UTF8), "column `x` has the type int, not varchar(9)"),
    "no NULL": (x(nullable=False), "column `x` may be NULL"),
    "another collation": (
        with_column(replace(U, collation="utf8mb4_general_ci")),
        "column `u` has the collation utf8mb4_bin, not utf8mb4_general_ci",
    ),
    "a generated column": (x(generated="1 + 1"), "column `x` has the generated expression none, not 1 + 1"),
}


@pytest.mark.parametrize(("source", "words"), BLOCKED.values(), ids=BLOCKED)
def test_what_could_lose_values_bars_the_link_and_may_be_done_locally_too(
    source: TableDefinition, words: str
) -> None:
    [(reason, hint)] = (found := drift(source)).problems
    assert words in reason
    assert "which changed after linking" in reason
    assert hint.startswith("change the local table in the same way, or ask the source's owner")
    assert found.change == []


def test_a_column_that_the_source_dropped_is_told_so_with_the_statement_that_drops_it_locally() -> None:
    for nullable in (True, False):
        stood = with_column(replace(X, nullable=nullable), STOOD)
        key = ForeignKey("djlink_x", ("x",), "ours", "room", ("id",))
        stood = replace(stood, foreign_keys=(key,))
        source = replace(BEFORE, columns=tuple(c for c in BEFORE.columns if c.name != "x"))
        [(reason, hint)] = drift(source, stood).problems
        assert reason.endswith("which changed after linking: the source dropped column `x`")
        assert hint.startswith("ALTER TABLE `ours`.`t` DROP FOREIGN KEY `djlink_x`, DROP COLUMN `x` drops it")
        stood = replace(STOOD, columns=tuple(c for c in STOOD.columns if c.name != "x"))
        assert told(drift(source, stood)) == ["unrecorded"]


def test_a_key_that_changed_is_linked_anew() -> None:
    problems = drift(with_column(Column("id", "bigint"))).problems
    assert len(problems) == 2  # of the master and of `DeletionRequested`
    for reason, hint in problems:
        assert "column `id` has the type int, not bigint" in reason
        assert "write `removed: {k.lab.T: {table: drop}}` and apply; then link it again, with" in hint


def test_a_key_of_the_labs_own_holds_the_type() -> None:
    own = replace(STOOD, foreign_keys=(ForeignKey("own", ("x",), "ours", "own", ("id",)),))
    [(reason, _), *_] = drift(x("bigint"), own).problems
    assert "column `x` has the type int, not bigint" in reason


LOCAL: dict[str, tuple[TableDefinition, Column, Sequence[str]]] = {
    "was changed in the same way": (x("bigint"), replace(X, type="bigint"), ["unrecorded"]),
    "has another default and comment, which stay": (
        x("bigint"),
        replace(X, default="5", comment="own"),
        ["`x` (int to bigint): copy"],
    ),
    "has another comment, as the source has": (x(comment="of x"), replace(X, comment="own"), ["unrecorded"]),
    "has another default, as the source has": (x(default="1"), replace(X, default="2"), ["unrecorded"]),
    "has another type, and the source another default": (
        x(default="1"),
        replace(X, type="bigint"),
        ["column `x` has the type bigint, not int"],
    ),
    "has another type, and so has the source": (
        x("bigint"),
        replace(X, type="smallint"),
        ["column `x` has the type smallint, not bigint"],
    ),
    "has another word of DataJoint": (
        x(comment=":int32:", default="1"),
        replace(X, comment=":int16:"),
        ["`x` (default): instant", "ours.t: column `x` has the DataJoint type :int16:, not :int32:"],
    ),
}


@pytest.mark.parametrize(("source", "column", "expected"), LOCAL.values(), ids=LOCAL)
def test_what_the_lab_changed_is_left_alone_where_the_column(
    source: TableDefinition, column: Column, expected: Sequence[str]
) -> None:
    assert told(drift(source, with_column(column, STOOD))) == expected


@pytest.mark.parametrize("made", [NAMES, None], ids=["names alone", "nothing"])
def test_by_the_marks_of_earlier_versions_types_follow_and_defaults_stay(made: Any) -> None:
    assert told(drift(x("bigint", default="7", comment="of x"), made=made)) == ["`x` (int to bigint): copy"]
    assert told(drift(x(default="7", comment="of x"), made=made)) == []
    assert told(drift(x(comment=":int32:of x"), made=made)) == ["`x` (comment): instant"]


def test_tables_that_were_only_begun_follow_in_everything() -> None:
    source = x("bigint", default="7", comment="of x")
    assert told(drift(source, begun=True)) == ["`x` (int to bigint, default, comment): copy"]


WIDE = replace(U, type="varchar(900)")
OTHER = replace(U, collation="utf8mb4_general_ci")
RECOLLATED: dict[str, tuple[TableDefinition, Column, Sequence[str]]] = {
    "as the manifest asks": (BEFORE, U, ["`u` (utf8mb4_bin to utf8mb4_general_ci): instant"]),
    "and a wider type": (
        with_column(replace(U, type="varchar(20)")),
        U,
        ["`u` (varchar(9) to varchar(20), utf8mb4_bin to utf8mb4_general_ci): instant"],
    ),
    "not where the lab took another": (
        BEFORE,
        replace(U, collation="utf8mb4_unicode_ci"),
        ["column `u` has the collation utf8mb4_unicode_ci, not utf8mb4_general_ci"],
    ),
    "which was changed, but not recorded": (BEFORE, OTHER, ["unrecorded"]),
}


@pytest.mark.parametrize(("source", "stands", "expected"), RECOLLATED.values(), ids=RECOLLATED)
def test_columns_off_the_keys_take_another_collation(
    source: TableDefinition, stands: Column, expected: Sequence[str]
) -> None:
    changed = with_column(replace(source.column("u"), collation="utf8mb4_general_ci"), source)
    of = replace(link(changed), definition=source, collation="utf8mb4_general_ci")
    assert told(drift(source, with_column(stands, STOOD), of=of)) == expected


def test_text_of_a_key_cannot_take_another_collation_in_place() -> None:
    key = replace(U, name="id", nullable=False)
    before = with_column(key)
    stood = link(before).local
    of = replace(
        link(with_column(replace(key, collation="utf8mb4_general_ci"))),
        definition=before,
        collation="utf8mb4_general_ci",
    )
    [(reason, hint), *_] = drift(before, stood, read_made(made_text(stood)), of=of).problems
    assert "cannot take another `collation`, since keys and foreign keys hold the columns" in reason
    assert hint.startswith("restore the former `collation`; or, if it has no rows of your own")


LIMITS: dict[str, tuple[str, TableDefinition, Index | None, str | None]] = {
    "an index": (
        "mysql",
        with_column(WIDE),
        Index("own", (IndexPart("u"),)),
        "the index `own` has 3600 bytes",
    ),
    "an index that MariaDB shortens": ("mariadb", with_column(WIDE), Index("own", (IndexPart("u"),)), None),
    "a prefix": ("mysql", with_column(WIDE), Index("own", (IndexPart("u", length=9),)), None),
    "a row": ("mariadb", with_column(replace(U, type="varchar(16384)")), None, "a row has 65546 bytes"),
    "an index over a text": (
        "mysql",
        with_column(replace(U, type="text")),
        Index("own", (IndexPart("u"),)),
        "the index `own` is over all of `u`, which cannot be text then",
    ),
    "a full text index": (
        "mysql",
        with_column(replace(U, type="text")),
        Index("own", (IndexPart("u"),), kind="FULLTEXT"),
        None,
    ),
}


@pytest.mark.parametrize(("vendor", "source", "index", "words"), LIMITS.values(), ids=LIMITS)
def test_what_the_local_server_would_refuse_is_told_before(
    vendor: str, source: TableDefinition, index: Index | None, words: str | None
) -> None:
    stood = replace(STOOD, indexes=(index,) if index else ())
    problems = drift(source, stood, vendor=vendor).problems
    assert len(problems) == (words is not None)
    for reason, hint in problems:
        assert words is not None
        assert words in reason
        assert "the local table ours.t cannot follow the source's change of `u`" in reason
        assert "if the index is your own, drop it" in hint


WIDER = [
    ("tinyint", "smallint"), ("tinyint", "bigint"), ("int", "bigint"), ("tinyint(1)", "tinyint"),
    ("int unsigned", "bigint unsigned"), ("int unsigned", "bigint"), ("smallint unsigned", "int"),
    ("decimal(5,2)", "decimal(7,2)"), ("decimal(5,2)", "decimal(6,3)"), ("float", "double"),
    ("varchar(9)", "varchar(20)"), ("char(9)", "char(20)"), ("char(9)", "varchar(9)"),
    ("varbinary(9)", "varbinary(10)"), ("varbinary(300)", "blob"), ("varchar(60)", "tinytext"),
    ("varchar(300)", "text"), ("tinytext", "longtext"), ("text", "mediumtext"), ("blob", "longblob"),
    ("enum('a','b')", "enum('a','b','c')"), ("enum('a','b')", "enum('c','b','a')"),
    ("set('a')", "set('a','b')"), ("enum('it''s')", "enum('it''s','no')"),
    ("datetime", "datetime(6)"), ("time(1)", "time(3)"), ("timestamp", "timestamp(3)"),
]  # fmt: skip
NARROWER = [
    ("bigint", "int"), ("int", "bigint unsigned"), ("int unsigned", "int"), ("int", "int unsigned zerofill"),
    ("int", "double"), ("int", "decimal(20,0)"), ("decimal(5,2)", "decimal(5,3)"),
    ("decimal(5,2)", "decimal(6,1)"),
    ("double", "float"), ("float(7,4)", "double"), ("float", "double unsigned"), ("varchar(9)", "varchar(8)"),
    ("varchar(9)", "char(9)"), ("varchar(64)", "tinytext"), ("binary(4)", "binary(8)"),
    ("varbinary(9)", "varchar(9)"), ("varbinary(300)", "tinyblob"), ("longtext", "text"), ("text", "blob"),
    ("enum('a','b')", "enum('a','c')"), ("enum('a')", "varchar(9)"), ("enum('a')", "set('a')"),
    ("set('a','b')", "set('a')"), ("datetime(6)", "datetime"), ("date", "datetime"), ("bit(3)", "bit(9)"),
    ("json", "longtext"), ("decimal(5,2) unsigned", "decimal(9,2)"), ("uuid", "binary(16)"),
    ("tinyint unsigned", "tinyint(1)"),
]  # fmt: skip


def column(type_: str) -> Column:
    texts = type_.startswith(("char", "varchar", "enum", "set")) or type_.endswith("text")
    return Column("x", type_, charset="utf8mb4" if texts else None)


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_a_wider_type_keeps_all_values_and_the_way_back_does_not(before: str, after: str) -> None:
    assert keeps_values(column(before), column(after))
    assert keeps_values(column(after), column(before)) == ({before, after} == {"tinyint(1)", "tinyint"})


@pytest.mark.parametrize(("before", "after"), NARROWER)
def test_any_other_type_may_lose_values(before: str, after: str) -> None:
    assert not keeps_values(column(before), column(after))


def test_a_mark_gives_the_tables_back_as_they_were_made() -> None:
    stood = with_column(
        replace(X, default="now()", default_is_expression=True, on_update="CURRENT_TIMESTAMP"), STOOD
    )
    made = read_made(made_text(stood))
    assert made is not None
    assert {n: tuple((t.columns or {}).values()) for n, t in made.items()} == {
        t.name: t.columns for t in stood.tables
    }
    assert {n: t.comment for n, t in made.items()} == {t.name: t.comment for t in stood.tables}


@pytest.mark.parametrize(
    "text", ["", "[]", "5", "{", '{"t": 5}', '{"t": {"x": 5}}', '{"t": {"x": [1, 2]}}', '{"t": {"x": {}}}']
)
def test_a_mark_that_is_not_as_djlink_writes_it_says_nothing(text: str) -> None:
    assert read_made(text) is None


def test_a_mark_of_other_values_gives_names_alone() -> None:
    text = '{"t": {"x": [5, true, null, null, "", null, false, null, null], "": 5}, "p": ["k"]}'
    assert read_made(text) == {"t": MadeTable({"x": None}), "p": MadeTable({"k": None})}
