"""A definition as another vendor's server can hold it, without a server."""

from __future__ import annotations

import pytest

from djlink_manifest.model.server.catalog import Catalog, ServerIdentity, Version
from djlink_manifest.model.tables.definition import Column, Index, IndexPart, TableDefinition
from djlink_manifest.model.vendors.fitting import Fitted, fitted

COLLATIONS = {
    "mysql": {"utf8mb4_0900_bin": "utf8mb4", "utf8mb4_bin": "utf8mb4", "latin1_bin": "latin1"},
    "mariadb": {"utf8mb4_nopad_bin": "utf8mb4", "utf8mb4_bin": "utf8mb4", "latin1_nopad_bin": "latin1"},
}
OTHER = {"mysql": "mariadb", "mariadb": "mysql"}


def fit(vendor: str, *columns: Column, **facts: object) -> Fitted:
    """A table of these columns, whose key is the first of them, for the other vendor than `vendor`."""
    table = TableDefinition("lab", "t", columns, (columns[0].name,), **facts)  # type: ignore[arg-type]  # real fields
    target = OTHER[vendor]
    identity = ServerIdentity(Version(target, "1", (1,)), "me@%", "db", 3306, "/var", 64 << 20)
    catalog = Catalog("local", identity, frozenset(), {}, {}, {}, (), COLLATIONS[target])
    return fitted(table, Version(vendor, "1", (1,)), catalog)


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
