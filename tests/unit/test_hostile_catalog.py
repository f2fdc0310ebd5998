"""Whatever a server's catalogue says becomes a checked value or the refusal of that one table."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.address import Secret, ServerAddress
from djlink_manifest.model.server.catalog import Catalog, ServerIdentity, Version
from djlink_manifest.model.server.rights import Grant, missing, parse_grants
from djlink_manifest.model.tables.definition import Column, TableDefinition, unprotectable
from djlink_manifest.model.tables.derive import LinkedTable, local_definition, outbound_definitions
from djlink_manifest.model.vendors.fitting import fitted
from djlink_manifest.model.vendors.vocabulary import FUNCTIONS, KEYWORDS
from djlink_manifest.model.vendors.wellformed import is_contained, is_type, unknown_words
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.ddl.lineage import is_lineage
from djlink_manifest.servers.ddl.tables import create_table
from djlink_manifest.servers.dialects import dialect_of, version_of
from djlink_manifest.servers.ownership.marks import unlike_marks
from djlink_manifest.servers.session.checked_values import Kind
from djlink_manifest.servers.session.errors import translated
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql

T, U = ("s", "t"), ("s", "u")
NOTHING = (
    None,
    "",
    None,
    None,
    "",
    "",
    None,
)  # default, extra, charset, collation, comment, generation, srid
TEXT = (None, "", "utf8mb4", "utf8mb4_bin", "a comment", "", None)
GENERATED = (None, "VIRTUAL GENERATED", None, None, "", "(`id` + 1)", None)
STAMP = ("CURRENT_TIMESTAMP", "DEFAULT_GENERATED on update CURRENT_TIMESTAMP", None, None, "", "", None)
ROWS: dict[str, list[tuple[Any, ...]]] = {
    "SCHEMATA": [("s",)],
    "GRANTS": [("GRANT SELECT, REFERENCES ON `s`.* TO `l`@`%`",)],
    "CHECK_CONSTRAINTS": [("s", None, "small", "(`id` < 10)")],
    "TABLE_CONSTRAINTS": [("s", "small", "t", "YES")],
    "COLUMNS": [
        (*T, "id", "int", "NO", *NOTHING),
        (*T, "v", "varchar(9)", "YES", *TEXT),
        (*T, "e", "enum('a','b')", "NO", *TEXT),
        (*T, "g", "int", "YES", *GENERATED),
        (*T, "d", "timestamp", "NO", *STAMP),
        (*U, "id", "int unsigned", "NO", *NOTHING),
    ],
    # schema, table, index, column, SUB_PART, expression, NON_UNIQUE, order, type, unused
    "STATISTICS": [
        (*T, "PRIMARY", "id", None, None, 0, "A", "BTREE", 0),
        (*T, "part", "v", 3, None, 1, "D", "BTREE", 0),
        (*T, "over", None, None, "lower(`v`)", 1, "A", "BTREE", 1),
        (*U, "PRIMARY", "id", None, None, 0, "A", "BTREE", 0),
    ],
    "KEY_COLUMN_USAGE": [(*T, "k", "id", "s", "u", "id")],
    "REFERENTIAL_CONSTRAINTS": [("s", "t", "k", "CASCADE", "RESTRICT")],
    "TABLES": [
        (*T, "BASE TABLE", "InnoDB", "t's comment", "utf8mb4_bin", "", 7, 16384),
        (*U, "BASE TABLE", "InnoDB", "", "utf8mb4_bin", "", 7, 16384),
    ],
    "VIEWS": [],
    "VARIABLES": [("read_only", "OFF"), ("lower_case_table_names", "0")],
}
ORDER = tuple(sorted(ROWS, key=len, reverse=True))  # `TABLES` is a part of no other name that comes later
MYSQL, MARIADB = version_of("9.7.4"), version_of("11.4.2-MariaDB")


class Fake:
    """A session of a server that answers these rows."""

    name = "lab"

    def __init__(self, rows: dict[str, list[tuple[Any, ...]]], version: Version = MYSQL) -> None:
        self.told = rows
        self.identity = ServerIdentity(version, "l@%", "h", 3306, "/", 1 << 24)
        self.dialect = dialect_of(version)

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def rows(self, statement: Sql, *kinds: Kind) -> list[tuple[Any, ...]]:
        found = self._rows(statement)
        try:
            return [tuple(k(v) for k, v in zip(kinds, row, strict=True)) for row in found] if kinds else found
        except ValueError as error:
            raise translated(error, ADDRESS, None) from error

    def raw_rows(self, statement: Sql) -> list[tuple[bytes, ...]]:
        return list(self.stream(statement))

    def _rows(self, statement: Sql) -> list[tuple[Any, ...]]:
        if "VARIABLES" in statement.text:
            return [("lower_case_table_names", "0")]
        if statement.text.startswith("SHOW"):
            return self.told["VARIABLES" if "VARIABLES" in statement.text else "GRANTS"]
        name = next(n for n in ORDER if f"information_schema.{n}" in statement.text)
        return copy.deepcopy(self.told[name])

    def stream(self, statement: Sql) -> Iterator[tuple[bytes, ...]]:
        yield (b"t", b"CREATE TABLE `t` (\n  `id` int NOT NULL DEFAULT '5'\n)")


def read(rows: dict[str, list[tuple[Any, ...]]], version: Version = MYSQL) -> Catalog:
    return read_catalog(cast("Session", Fake(rows, version)), ["s"])


def changed(kind: str, row: int, field: int, value: object) -> dict[str, list[tuple[Any, ...]]]:
    rows = {name: list(each) for name, each in ROWS.items()}
    fields = list(rows[kind][row])
    fields[field] = value
    rows[kind][row] = tuple(fields)
    return rows


ADDRESS = ServerAddress("lab", "h", 3306, "l", Secret("s"))
LOCAL = Catalog(
    "local",
    ServerIdentity(version_of("9.7.4"), "d@%", "h", 1, "/", 1),
    frozenset(),
    {},
    {},
    {},
    (),
    {"utf8mb4_bin": "utf8mb4", "utf8mb4_0900_bin": "utf8mb4"},
)


def statements(table: TableDefinition, version: Version) -> list[str]:
    """The DDL that would be run for the table, here and at the source; none where it is refused."""
    if unprotectable(table) is not None or not set(table.key) <= set(table.column_names):
        return []
    fit = fitted(table, version, LOCAL)
    if fit.problems:
        return []
    linked = {T: LinkedTable("x", fit.table.key, "here", "t"), U: LinkedTable("y", ("id",), "here", "u")}
    local, _ = local_definition(fit.table, "here", linked)
    return [create_table(each) for each in (*local.tables, *outbound_definitions(table, "out", "s_t"))]


def bare(text: str) -> str:
    """What of a statement is no string, no quoted name and no name of a character set or collation.

    As a server with backslash escapes reads it.
    """
    quoted = r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|`(?:[^`]|``)*`"
    text = re.sub(quoted, " ", text, flags=re.DOTALL)
    return re.sub(r"\b(CHARACTER SET|COLLATE)[ =](\w+)", r"\1 ", text)


WORDS = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
KNOWN = {
    word.lower() for text in statements(read(ROWS).tables[T], MYSQL) for word in WORDS.findall(bare(text))
}
KNOWN |= {"unique", *KEYWORDS, *FUNCTIONS} | {
    "unsigned",
    "null",
    "desc",
    "invisible",
    "enforced",
    "stored",
    "smallint",
    "utf8mb4_0900_bin",
}
ATTACKS = (
    "1) , ADD INDEX evil (id), INVENTED (2",
    "3) invented",
    "`x` invented",
    "x` invented -- ",
    "'a' invented",
    "a' invented '",
    "a\\' invented -- ",
    "invented()",
    "`s`.`invented`()",
    "(SELECT invented FROM t)",
    "1 /* invented",
    "1; DROP TABLE invented",
    "@invented",
    "int invented",
    "int(3) , invented int",
    "enum('a') invented",
    "enum('a',invented)",
    "varchar(99999999999)",
    "BTREE) invented",
    "CASCADE invented",
    "utf8mb4_bin invented",
    "CURRENT_TIMESTAMP invented",
    "on update invented",
    "x" * 65,
    "x\0invented",
    "\ud800",
    "",
    "\U0001f600",
    "../../invented",
)
VALUES = st.one_of(
    st.sampled_from(ATTACKS),
    st.sampled_from(ATTACKS).filter(lambda text: text.isascii()).map(str.encode),
    st.sampled_from(
        [None, b"\xff\xfe", -1, 0, 2, 1 << 70, 1.5, float("nan"), Decimal("NaN"), Decimal("3"), True]
    ),
    st.sampled_from([[], {}, object(), ("a",), 10**5000]),
    st.text(max_size=9),
    st.integers(),
)
PLACES = st.sampled_from(
    [
        (kind, row, field)
        for kind, rows in ROWS.items()
        for row, fields in enumerate(rows)
        if fields[:2] != U and kind not in ("SCHEMATA", "GRANTS")
        for field in range(len(fields))
    ]
)


@pytest.mark.parametrize("version", [MYSQL, MARIADB], ids=lambda v: v.vendor)
def test_a_true_catalogue_is_read_and_becomes_ddl(version: Version) -> None:
    catalog = read(ROWS, version)
    assert [catalog.tables[each].unreadable for each in (T, U)] == [None, None]
    assert len(statements(catalog.tables[T], version)) == 6


@pytest.mark.parametrize("version", [MYSQL, MARIADB], ids=lambda v: v.vendor)
@given(place=PLACES, value=VALUES)
@settings(max_examples=300, deadline=None)
def test_a_wrong_value_is_refused_with_its_table_or_harmless(
    version: Version, place: tuple[str, int, int], value: object
) -> None:
    catalog = read(changed(*place, value), version)
    assert catalog.tables[U] == read(ROWS, version).tables[U], "another table suffers"
    assert T in catalog.tables or place[0] == "TABLES"
    for table in catalog.tables.values():
        assert all(isinstance(part, str) for part in (table.schema, table.name))
        for text in statements(table, version):
            words = {word.lower() for word in WORDS.findall(bare(text))}
            assert words <= KNOWN, words - KNOWN
            assert not re.search(
                r"--(?:[\x00-\x20]|$)|#|/\*(?!!80000 INVISIBLE|M!|!80003|!80016)|;|@", bare(text)
            ), text


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        # MariaDB, of an invisible column
        (
            ("COLUMNS", 4, 6),
            "on update current_timestamp(6), INVISIBLE",
            "ON UPDATE CURRENT_TIMESTAMP(6) INVISIBLE",
        ),
        (("COLUMNS", 1, 9), "a\0b", r"COMMENT 'a\0b'"),
        (("TABLES", 0, 4), "a\0b", r"COMMENT='a\0b'"),
    ],
)
def test_what_is_odd_and_true_is_taken(place: tuple[str, int, int], value: object, words: str) -> None:
    table = read(changed(*place, value), MARIADB).tables[T]
    assert table.unreadable is None
    assert words in statements(table, MARIADB)[0]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (
            ("STATISTICS", 1, 4),
            "3) , ADD INDEX evil (id",
            "has a SUB_PART in its index `part` that is invalid",
        ),
        (("STATISTICS", 1, 4), 10**9, "has a SUB_PART in its index `part`"),
        (("STATISTICS", 1, 8), "BTREE) x", "has an index type in its index `part`"),
        (("STATISTICS", 1, 6), "no", "has a NON_UNIQUE in its index `part`"),
        (("STATISTICS", 0, 3), None, "is neither column nor expression"),
        (("STATISTICS", 1, 3), "nowhere", "on columns that the account cannot see"),
        (("COLUMNS", 1, 3), "int, x int", "of the type 'int, x int', which djlink does not support"),
        (("COLUMNS", 1, 3), "varchar(99999)", "of the type 'varchar(99999)'"),
        (("COLUMNS", 1, 7), "utf8mb4; x", "has a character set of its column `v`"),
        (("COLUMNS", 1, 4), "MAYBE", "has an IS_NULLABLE of its column `v`"),
        (("COLUMNS", 4, 6), "on update ", "an invalid ON UPDATE"),
        (("COLUMNS", 1, 11), -1, "has a spatial system of its column `v`"),
        (("COLUMNS", 1, 2), "id", "has two columns of one name"),
        (("KEY_COLUMN_USAGE", 0, 3), "nowhere", "a foreign key `k` on columns"),
        (("KEY_COLUMN_USAGE", 0, 5), "x" * 65, "has a name in its key `k`"),
        (("REFERENTIAL_CONSTRAINTS", 0, 3), "CASCADE, x", "has a rule of its key `k`"),
        (("CHECK_CONSTRAINTS", 0, 3), 7, "has a check `small`"),
        (("TABLES", 0, 7), "many", "has a number of rows"),
        (("TABLES", 0, 5), "x y", "has a collation"),
    ],
)
def test_what_is_wrong_is_said_of_that_table(place: tuple[str, int, int], value: object, words: str) -> None:
    table = read(changed(*place, value)).tables[T]
    assert words in str(table.unreadable)
    assert words in str(unprotectable(table))
    assert (table.columns, table.key) == ((), ())


def test_a_part_of_which_the_catalogue_says_nonsense_stops_its_master() -> None:
    rows = {
        name: [tuple("u__t" if v == "t" else v for v in row) for row in each] for name, each in ROWS.items()
    }
    rows["STATISTICS"][1] = (*rows["STATISTICS"][1][:4], "3)", *rows["STATISTICS"][1][5:])
    [master] = read(rows).masters("s")
    assert (master.name, [p.name for p in master.parts]) == ("u", ["u__t"])
    assert "its part `u__t` has a SUB_PART" in str(unprotectable(master))


def test_a_table_with_a_name_that_is_none_is_refused_and_no_other() -> None:
    rows = changed("TABLES", 0, 1, "x" * 5000)
    found = read(rows).tables
    assert found[U].unreadable is None
    [strange] = [t for place, t in found.items() if place != U]
    assert strange.unreadable == "has an invalid name"
    assert len(strange.name) <= 64


@pytest.mark.parametrize("kind", sorted(set(ROWS) - {"VIEWS", "GRANTS"}))
@pytest.mark.parametrize("row", [(), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), ([],), (b"\xff",) * 12])
def test_rows_of_another_shape_are_an_error_of_that_server(kind: str, row: Sequence[Any]) -> None:
    rows, error = {**ROWS, kind: [*ROWS[kind], tuple(row)]}, None
    try:
        assert read(rows).tables[U].unreadable is None
    except ServerError as raised:
        error = raised
    assert error is None or (
        error.server == "lab" and re.search("cannot be read|its response has", error.message)
    )


def test_a_default_that_is_no_text_of_its_character_set_is_refused() -> None:
    rows = changed("COLUMNS", 1, 5, "what?")
    fake = Fake(rows)
    fake.stream = lambda statement: iter([(b"t", b"CREATE TABLE `t` (\n  `v` x DEFAULT '\xff\xfe'\n)")])  # type: ignore[method-assign]
    table = read_catalog(cast("Session", fake), ["s"]).tables[T]
    assert table.unreadable == "has a default that is not valid text in its character set"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("9.7.4-2", (9, 7, 4)),
        ("9" * 5000, ()),
        ("x", ()),
        ("8." + "9" * 5000, (8,)),
        ("10.11.6-MariaDB", (10, 11, 6)),
    ],
)
def test_a_version_is_a_few_small_numbers_or_none(text: str, numbers: tuple[int, ...]) -> None:
    assert version_of(text).numbers == numbers


def test_grants_are_read_in_time_whatever_they_say() -> None:
    lines = ("GRANT " + " ON " * 200_000, "GRANT SELECT" + "(" * 500_000 + " ON `a`.* TO x", "x" * 2_000_000)
    assert [g.rights for g in parse_grants(lines)] in ([], [frozenset()])
    wild = Grant(frozenset({"SELECT"}), "%a" * 30 + "b", "*")
    assert missing([wild], ["SELECT"], "a" * 64) == ("SELECT",)
    assert missing([replace(wild, schema=r"lab\_%")], ["SELECT"], "LAB_x") == ()
    assert missing([replace(wild, schema=r"lab\_%")], ["SELECT"], "labs") == ("SELECT",)
    assert missing([replace(wild, schema="l_b%%")], ["SELECT"], "lab") == ()


def test_the_right_to_run_a_routine_is_read() -> None:
    [found] = parse_grants(["GRANT EXECUTE ON FUNCTION `lab`.`f` TO `l`@`%`"])
    assert found == Grant(frozenset({"EXECUTE"}), "lab", "f", routine="FUNCTION")
    assert found.target == "FUNCTION `lab`.`f`"


def test_a_table_of_marks_is_known_by_kind_and_columns() -> None:
    table = read(ROWS).tables[T]
    assert "lacks the columns link_id" in str(unlike_marks(table))
    assert unlike_marks(replace(table, kind="view")) == "is not a table but a view"


def test_lineage_is_read_where_its_rows_are_stored_by_the_server_itself() -> None:
    texts = tuple(
        Column(name, "varchar(9)", charset="utf8mb4") for name in ("table_name", "attribute_name", "lineage")
    )
    table = TableDefinition("s", "~lineage", texts, ())
    computed = replace(texts[2], generated="repeat('x', 9)")
    others = replace(table, engine="FEDERATED"), replace(table, columns=(*texts[:2], computed))
    assert [is_lineage(each) for each in (table, *others)] == [True, False, False]


LONG = {
    "an enum": "enum(" + "'a'," * 200_000 + "'b')",
    "an enum without an end": "enum(" + "'a'," * 240_000,
    "escapes": "enum('" + "\\" * 900_000 + "')",
    "quotes": "enum('" + "''" * 400_000,
    "words": "int" + " unsigned" * 100_000,
    "digits": "varchar(" + "9" * 900_000 + ")",
    "parentheses": "(" * 49_000 + ")" * 49_000,
    "names": "`a" * 49_000,
    "numbers": "1." * 49_000,
    "dashes": "- " * 49_000,
    "calls": "a(" * 49_000,
    "too much": "(" * 10**6,
}


@pytest.mark.parametrize("case", LONG)
def test_long_types_and_expressions_are_judged_in_time(case: str) -> None:
    began = time.process_time()
    is_type(LONG[case])
    if is_contained(LONG[case]):
        unknown_words(LONG[case])
    assert time.process_time() - began < 8
