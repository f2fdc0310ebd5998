"""A definition as another vendor's server can hold it, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from djlink_manifest.model.server.catalog import Catalog, ServerIdentity, Version
from djlink_manifest.model.tables.definition import Check, Column, Index, IndexPart, TableDefinition
from djlink_manifest.model.vendors.fitting import Fitted, fitted

COLLATIONS = {
    "mysql": {"utf8mb4_0900_bin": "utf8mb4", "utf8mb4_bin": "utf8mb4", "latin1_bin": "latin1"},
    "mariadb": {"utf8mb4_nopad_bin": "utf8mb4", "utf8mb4_bin": "utf8mb4", "latin1_nopad_bin": "latin1"},
}
ALIASES = {"utf8mb4_0900_ai_ci": "utf8mb4", "utf8mb4_0900_bin": "utf8mb4"}
OTHER = {"mysql": "mariadb", "mariadb": "mysql"}


def fit(vendor: str, *columns: Column, **facts: object) -> Fitted:
    """A table of these columns, whose key is the first of them, for the other vendor than `vendor`."""
    return fit_for(version(vendor, 1), version(OTHER[vendor], 1), *columns, **facts)


def version(vendor: str, *numbers: int) -> Version:
    return Version(vendor, ".".join(map(str, numbers)), numbers)


def fit_for(source: Version, target: Version, *columns: Column, **facts: object) -> Fitted:
    """A table of these columns, whose key is the first of them, from one server for another."""
    table = TableDefinition("lab", "t", columns, (columns[0].name,), **facts)  # type: ignore[arg-type]  # real fields
    identity = ServerIdentity(target, "me@%", "db", 3306, "/var", 64 << 20)
    collations = COLLATIONS[target.vendor] | (ALIASES if target == MARIADB_11 else {})
    catalog = Catalog("local", identity, frozenset(), {}, {}, {}, (), collations)
    return fitted(table, source, catalog)


MYSQL, MARIADB_10, MARIADB_11 = (
    version("mysql", 9, 7, 4),
    version("mariadb", 10, 11, 18),
    version("mariadb", 11, 8, 9),
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("_utf8mb4'raw_binary'", "'raw_binary'"),
        (
            "concat(_utf8mb4'a',_latin1'it''s_binary',_binary'\\'_ascii')",
            "concat('a','it''s_binary','\\'_ascii')",
        ),
        ("lower(`odd_binary'`)", "lower(`odd_binary'`)"),
        ("_utf8mb4''", "''"),
    ],
)
def test_a_default_loses_the_introducers_and_nothing_of_its_literals(text: str, read: str) -> None:
    made = fit("mysql", Column("id", "int"), Column("a", "text", True, text, default_is_expression=True))
    assert made.table.column("a").default == read
    assert made.notes == ()


def test_a_unique_key_that_mariadb_keeps_by_hash_is_left_out_on_mysql_and_said() -> None:
    made = fit(
        "mariadb",
        Column("id", "int"),
        Column("a", "text", True, charset="utf8mb4", collation="utf8mb4_bin"),
        indexes=(
            Index("u", (IndexPart("a", length=3000),), unique=True, kind="HASH"),
            Index("k", (IndexPart("a", length=30),)),
        ),
    )
    assert [index.name for index in made.table.indexes] == ["k"]
    assert made.notes == ("t.u: a unique hash index, longer than MySQL allows: omitted",)


@pytest.mark.parametrize("collation", ["utf8mb4_0900_ai_ci", "utf8mb4_0900_bin"])
@pytest.mark.parametrize("target", [MARIADB_10, MARIADB_11], ids=lambda v: v.text)
def test_a_collation_of_mysql_is_mapped_on_each_mariadb_alike_though_a_newer_one_has_its_name(
    collation: str, target: Version
) -> None:
    """An upgrade of the local server changes no table; and the newer one's takes texts for one."""
    made = fit_for(MYSQL, target, Column("id", "varchar(9)", charset="utf8mb4", collation=collation))
    assert made.table.column("id").collation == "utf8mb4_nopad_bin"
    assert f"utf8mb4_nopad_bin locally for {collation}" in made.notes[0]


def test_between_two_newer_mariadbs_such_a_collation_stays() -> None:
    column = Column("id", "varchar(9)", charset="utf8mb4", collation="utf8mb4_0900_ai_ci")
    made = fit_for(MARIADB_11, MARIADB_11, column)
    assert (made.table.column("id").collation, made.notes) == ("utf8mb4_0900_ai_ci", ())


def test_what_an_older_server_of_the_vendor_has_not_is_left_out_or_refused() -> None:
    columns = (
        Column("id", "int"),
        Column("u", "varchar(40)", True, "uuid_v7()", default_is_expression=True),
        Column("g", "varchar(40)", True, generated="format_pico_time(`id`)"),
        Column("t", "timestamp", True, "2050-01-01 00:00:00"),
        Column("v", "vector(3)"),
    )
    made = fit_for(MARIADB_11, MARIADB_10, *columns, checks=(Check("c", "json_schema_valid('{}',`u`)"),))
    assert made.problems == ("column `t.v` is of the type vector(3), which the server does not have",)
    assert made.notes == (
        "t.u: without the source's default uuid_v7()",
        "t.g: a plain local column with the values that the source computes",
        "t.t: without the source's default 2050-01-01 00:00:00",
        "t.c: without the source's check (json_schema_valid('{}',`u`))",
    )
    again = fit_for(MARIADB_11, MARIADB_11, *columns)
    assert (again.table.columns, again.notes, again.problems) == (columns, (), ())


CHOSEN = {
    "text of the same characters": (
        Column("x", "varchar(9)", charset="utf8mb4", collation="utf8mb4_bin"),
        ("varchar(9)", "utf8mb4_general_ci", False),
    ),
    "text of fewer characters, which takes more bytes": (
        Column("x", "text", charset="latin1", collation="latin1_bin"),
        ("mediumtext", "utf8mb4_general_ci", False),
    ),
    "an enum": (
        Column("x", "enum('a')", charset="utf8mb4", collation="utf8mb4_bin"),
        ("enum('a')", "utf8mb4_general_ci", False),
    ),
    "a number": (Column("x", "int"), ("int", None, False)),
}


@pytest.mark.parametrize(("column", "expected"), CHOSEN.values(), ids=CHOSEN)
def test_a_chosen_collation_is_that_of_all_text(column: Column, expected: tuple[object, ...]) -> None:
    found = chosen("utf8mb4_general_ci", column)
    made = found.table.column("x")
    assert (made.type, made.collation, bool(found.problems)) == expected
    assert found.table.collation == "utf8mb4_general_ci"


def test_a_chosen_collation_that_lacks_characters_is_a_problem() -> None:
    for name in ("latin1_bin", "binary"):
        column = Column("x", "varchar(9)", charset="utf8mb4", collation="utf8mb4_bin")
        [problem] = chosen(name, column).problems
        assert f"`collation: {name}`" in problem
        assert "lacks characters of it" in problem


def test_what_reads_text_is_not_computed_or_checked_by_another_collation() -> None:
    text = Column("x", "varchar(9)", charset="utf8mb4", collation="utf8mb4_bin")
    same = Column("y", "int", nullable=True, generated="(`x` = 'a')")
    found = chosen("utf8mb4_general_ci", text, same, checks=(Check("c", "`x` <> 'a'"),))
    assert found.table.column("y").generated is None
    assert found.table.checks == ()
    assert len(found.notes) == 2


def chosen(name: str, *columns: Column, **facts: Any) -> Fitted:
    names = {
        "utf8mb4_general_ci": "utf8mb4",
        "utf8mb4_bin": "utf8mb4",
        "latin1_bin": "latin1",
        "binary": "binary",
    }
    version = Version("mysql", "9.7.0", (9, 7, 0))
    identity = ServerIdentity(version, "lab@%", "db", 3306, "/var", 64 << 20)
    catalog = Catalog("local", identity, frozenset(), {}, {}, {}, (), names)
    table = TableDefinition(
        "lab", "t", (Column("id", "int"), *columns), ("id",), collation="utf8mb4_bin", **facts
    )
    return fitted(table, version, catalog, name)
