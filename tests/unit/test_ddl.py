"""What another server's catalogue says becomes DDL only where it stays what it is: a type, an expression."""

from __future__ import annotations

import pytest

from djlink_manifest.errors import ServerError
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.servers.ddl.tables import create_table, literal


def rendered(**facts: object) -> str:
    column = Column("c", **{"type": "int", **facts})  # type: ignore[arg-type]  # each test names real fields
    return create_table(TableDefinition("s", "t", (Column("id", "int"), column), ("id",)))


@pytest.mark.parametrize(
    "expression",
    [
        "(`a` + 1)",
        "concat(_utf8mb4'it''s (', `b`)",
        r"concat('\') -- ', `b`)",
        "'\\\n'",
        '"a\'b"',
        "`odd ) name`",
        "'/* # ; --'",
        "(--`a` - --(-1))",
    ],
)
def test_a_whole_expression_stays_as_it_is(expression: str) -> None:
    assert f"GENERATED ALWAYS AS ({expression}) VIRTUAL" in rendered(generated=expression)
    assert f"DEFAULT ({expression})" in rendered(default=expression, default_is_expression=True)


@pytest.mark.parametrize(
    "expression",
    [
        "1) VIRTUAL, d int AS (2",
        "1) -- ",
        "1 --",
        "1 --\t+ 1",
        "1 --\x01 + 1",
        "1 # x",
        "1 /* x",
        "1; DROP TABLE t",
        "(1",
        "'open",
        "`open",
        "'a' 'b",
        # a line break behind the backslash must not make code of what the server reads as a string, nor
        # a string of what it reads as code
        "'\\\n' /* ' */), e int AS (2 /* '*/",
        "`\\` -- `",
    ],
)
def test_an_expression_that_would_leave_its_place_is_refused(expression: str) -> None:
    for facts in ({"generated": expression}, {"default": expression, "default_is_expression": True}):
        with pytest.raises(ServerError, match="not well-formed"):
            rendered(**facts)


@pytest.mark.parametrize(
    "type_", ["int) , d int", "int /* x */", "varchar(9) -- ", "enum('a'", "int; x", "`int`", ""]
)
def test_a_type_that_is_none_is_refused(type_: str) -> None:
    with pytest.raises(ServerError, match="a type that djlink does not know"):
        rendered(type=type_)


@pytest.mark.parametrize(
    "type_", ["int unsigned", "decimal(9,3)", "enum('a','it''s','\\\\')", "double", "bit(3)"]
)
def test_a_type_stays_as_it_is(type_: str) -> None:
    assert f"`c` {type_} NOT NULL" in rendered(type=type_)


def test_a_text_stays_within_its_quotes() -> None:
    assert literal("it's \\ \0") == "'it''s \\\\ \\0'"
