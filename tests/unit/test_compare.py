"""Definitions of two servers are compared by what they mean."""

from __future__ import annotations

import pytest

from djlink_manifest.model.tables.compare import differences
from djlink_manifest.model.tables.definition import Column, TableDefinition


def table(charset: str, collation: str) -> TableDefinition:
    column = Column("name", "varchar(9)", charset=charset, collation=collation)
    return TableDefinition("lab", "subject", (column,), ("name",))


def test_the_old_and_the_new_name_of_a_character_set_are_one() -> None:
    """MySQL calls utf8mb3 utf8 before 8.0.30; a source of then and a local server of now agree."""
    old, new = table("utf8", "utf8_general_ci"), table("utf8mb3", "utf8mb3_general_ci")
    assert differences(old, new) == ()
    assert differences(new, old) == ()


@pytest.mark.parametrize(
    ("charset", "collation"),
    [("utf8mb4", "utf8mb4_general_ci"), ("utf8", "utf8_bin"), ("latin1", "latin1_bin")],
)
def test_character_sets_and_collations_that_differ_are_told(charset: str, collation: str) -> None:
    found = differences(table("utf8mb3", "utf8mb3_general_ci"), table(charset, collation))
    assert {d.kind for d in found} == {"differs"}
