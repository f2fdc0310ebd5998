"""One source table for each construct, with rows in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from djlink_manifest.sandbox.servers.binaries import Kind

VALUES, DEFINITIONS, RELATIONS = "Values", "Definitions", "Relations"
UNLINKABLE = "What cannot be linked"


@dataclass(frozen=True, slots=True)
class Construct:
    """A row of the page.

    `create` makes `table`, in the schema `{here}`; `texts` run before it where they make a table that it
    refers to, after it else. `only` is the kind of server that has the construct; what MariaDB
    has, MariaDB 11.8 has too.
    """

    section: str
    words: str
    table: str
    create: str
    before: tuple[str, ...] = ()
    rows: str = ""
    only: Kind | None = None


# (words, columns beside `id`, rows, only)
TYPES: tuple[tuple[str, str, str, Kind | None], ...] = (
    (
        "`tinyint` … `bigint`, signed and unsigned",
        "a tinyint, b bigint unsigned, c mediumint, d smallint, e int unsigned",
        "(1, -128, 18446744073709551615, -8388608, 32767, 4294967295)",
        None,
    ),
    ("`int` with ZEROFILL", "a int(7) unsigned zerofill", "(1, 42)", None),
    ("`float32`: `float`, to the last bit", "a float", "(1, 0.1), (2, 16777217), (3, 1e-38)", None),
    ("`float64`: `double`", "a double", "(1, 0.1), (2, -1.7976931348623157e308), (3, 5e-300)", None),
    (
        "`decimal`, up to 65 digits",
        "a decimal(65,30)",
        "(1, 12345678901234567890123456789012345.123456789012345678901234567890), (2, -1)",
        None,
    ),
    ("`bool`", "a tinyint(1) COMMENT ':bool:'", "(1, 1), (2, 0)", None),
    ("`bit`", "a bit(64)", "(1, b'1000000000000000000000000000000000000000000000000000000000000001')", None),
    ("`enum`", "a enum('a','it''s','ü','a,b)','%s')", "(1, 'it''s'), (2, 'ü')", None),
    ("`set`", "a set('x','y z','%')", "(1, 'x,%'), (2, '')", None),
    ("`date`", "a date", "(1, '1000-01-01'), (2, '9999-12-31')", None),
    (
        "`datetime`, `timestamp` with fractions",
        "a datetime(6), b timestamp(3) NULL",
        "(1, '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01.001')",
        None,
    ),
    (
        "zero dates, and dates that are none",
        "a date, b datetime",
        "(1, '0000-00-00', '2026-00-00 00:00:00'), (2, '2026-02-31', '0000-00-00 00:00:00')",
        None,
    ),
    (
        "`time`, beyond 24 h and negative",
        "a time(6)",
        "(1, '-838:59:59.000000'), (2, '838:59:59'), (3, '-00:00:00.000001')",
        None,
    ),
    ("`year`", "a year", "(1, 1901), (2, 2155)", None),
    (
        "`uuid` of DataJoint",
        "a binary(16) COMMENT ':uuid:'",
        "(1, X'00000000000040008000000000000020')",
        None,
    ),
    (
        "`json`",
        "a json COMMENT ':json:'",
        '(1, \'{{"aa": {{}}, "b":[1.0,null,"é😀"]}}\'), (2, \'[]\')',
        None,
    ),
    ("`<blob>`, `<attach>` in the row", "a longblob COMMENT ':<blob>:'", "(1, X'00FF275C0A'), (2, '')", None),
    ("`binary`, `varbinary`", "a binary(4), b varbinary(300)", "(1, X'00000020', X'20005C')", None),
    ("text in utf8mb4, with emoji", "a varchar(40)", "(1, 'é😀\\0\\\\''\"%s\\n'), (2, ''), (3, 'a ')", None),
    (
        "text in latin1, sjis, utf16 and utf8mb3",
        "a varchar(9) CHARACTER SET latin1, b varchar(9) CHARACTER SET sjis,"
        " c varchar(9) COLLATE utf16_general_ci, d varchar(9) COLLATE utf8mb3_general_ci",
        "(1, 'Ä€ß', '日本', '𝄞x', 'ſẞ')",
        None,
    ),
    (
        "text whose bytes UTF-8 cannot give back: cp932, cp1251",
        "a varchar(9) CHARACTER SET cp932, b text CHARACTER SET cp1251",
        "(1, _cp932 X'8790', _cp1251 X'98')",
        None,
    ),
    ("`longtext`", "a longtext", "(1, REPEAT('😀 ', 1000))", None),
    (
        "NULL of every kind",
        "a int, b varchar(9), c longblob, d date, e json",
        "(1, NULL, NULL, NULL, NULL, NULL)",
        None,
    ),
    ("geometry", "a point", "(1, ST_GeomFromText('POINT(1 -2.5)'))", None),
    ("`uuid` of MariaDB", "a uuid", "(1, '00000000-0000-4000-8000-000000000020')", "mariadb"),
    ("`inet6`", "a inet6", "(1, '::1')", "mariadb"),
    ("`decimal` with more than 30 places", "a decimal(40,35)", "(1, 0.5)", "mariadb"),
    ("`vector` of MySQL", "a vector(2)", "(1, STRING_TO_VECTOR('[1,2]'))", "mysql"),
    (
        "`vector` of MariaDB 11.8, with its index",
        "a vector(2) NOT NULL, VECTOR KEY v (a)",
        "(1, VEC_FromText('[1,-0.5]'))",
        "mariadb-11.8",
    ),
    ("`timestamp` after 2038-01-19", "a timestamp NULL", "(1, '2038-01-20 00:00:00')", "mariadb-11.8"),
)

_KEY_OF_16 = ", ".join(f"k{n}" for n in reversed(range(16)))

# (words, what stands between the parentheses, rows, only)
SHAPES: tuple[tuple[str, str, str, Kind | None], ...] = (
    ("key order unlike column order", "a int, b int, c int, PRIMARY KEY (c, a)", "(1, 2, 3)", None),
    (
        "a key of 16 columns",
        ", ".join(f"k{n} int" for n in range(16)) + f", PRIMARY KEY ({_KEY_OF_16})",
        f"({', '.join('1' * 16)})",
        None,
    ),
    (
        "a key of 17 columns",
        ", ".join(f"k{n} int" for n in range(17)) + f", PRIMARY KEY ({_KEY_OF_16}, k16)",
        f"({', '.join('1' * 17)})",
        "mariadb",
    ),
    (
        "an index over 17 columns",
        ", ".join(f"k{n} int" for n in range(17)) + f", PRIMARY KEY (k0), KEY w ({_KEY_OF_16}, k16)",
        f"({', '.join('1' * 17)})",
        "mariadb",
    ),
    ("AUTO_INCREMENT: a plain column here", "id int AUTO_INCREMENT PRIMARY KEY, a int", "(7, 1)", None),
    (
        "indexes: composite, prefix, descending",
        "id int PRIMARY KEY, a int, b varchar(99), KEY ab (a, b(7)), KEY d (a DESC)",
        "(1, 2, 'x')",
        None,
    ),
    ("an index over an expression", "id int PRIMARY KEY, a int, KEY e ((a + 1))", "(1, 2)", "mysql"),
    (
        "unique keys over nullable columns",
        "id int PRIMARY KEY, a int, b int, UNIQUE KEY u (a, b)",
        "(1, NULL, 1), (2, NULL, 1)",
        None,
    ),
    (
        "full-text and spatial indexes",
        "id int PRIMARY KEY, a text, g point NOT NULL, FULLTEXT KEY f (a), SPATIAL KEY s (g)",
        "(1, 'x', ST_GeomFromText('POINT(1 2)'))",
        None,
    ),
    (
        "defaults: literals, NULL, the time",
        "id int PRIMARY KEY, a int DEFAULT 7, b varchar(9) DEFAULT 'it''s', c timestamp NULL DEFAULT"
        " CURRENT_TIMESTAMP, d date DEFAULT '2026-01-01', e int DEFAULT NULL",
        "(1, 1, 'x', NULL, NULL, NULL)",
        None,
    ),
    (
        "defaults: bytes",
        "id int PRIMARY KEY, a binary(3) DEFAULT 'a\\0c', b varbinary(9) DEFAULT 0x00FF25,"
        " c bit(3) DEFAULT b'101'",
        "(1, X'000000', X'00', b'0')",
        None,
    ),
    ("defaults: expressions", "id int PRIMARY KEY, a varchar(40) DEFAULT (UPPER('x'))", "(1, 'y')", None),
    (
        "a default with a function of MySQL alone",
        "id int PRIMARY KEY, a binary(16) DEFAULT (UUID_TO_BIN(UUID()))",
        "(1, X'00000000000040008000000000000020')",
        "mysql",
    ),
    (
        "comments with `%`, quotes, Unicode",
        "id int PRIMARY KEY COMMENT '100% ''of'' \"it\" \\\\ ü 😀', a int COMMENT ':int32:%(x)s'",
        "(1, 2)",
        None,
    ),
    (
        "collations that both vendors have",
        "id varchar(9) COLLATE utf8mb4_turkish_ci PRIMARY KEY, a varchar(9) COLLATE utf8mb4_bin",
        "('ı', 'a ')",
        None,
    ),
    (
        "collations of MySQL alone, in the key",
        "id varchar(9) COLLATE utf8mb4_0900_as_cs PRIMARY KEY",
        "('a'), ('A'), ('ä'), ('a ')",
        "mysql",
    ),
    (
        "collations of MariaDB alone, in the key",
        "id varchar(9) COLLATE uca1400_as_cs PRIMARY KEY",
        "('a'), ('A'), ('ä')",
        "mariadb",
    ),
    (
        "collations that MariaDB 11.8 calls as MySQL does, in the key",
        "id varchar(9) COLLATE utf8mb4_0900_as_cs PRIMARY KEY",
        "('a'), ('A'), ('ä'), ('a ')",
        "mariadb-11.8",
    ),
    (
        "a default with a function of MariaDB 11.8 alone",
        "id int PRIMARY KEY, a varchar(40) DEFAULT uuid_v7()",
        "(1, 'x')",
        "mariadb-11.8",
    ),
    (
        "generated columns",
        "id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED,"
        " c int GENERATED ALWAYS AS (a + 1) VIRTUAL",
        "(1, 2, DEFAULT, DEFAULT)",
        None,
    ),
    (
        "a stored column that a session's time zone decides",
        "id int PRIMARY KEY, a timestamp NULL, b date GENERATED ALWAYS AS (DATE(a)) STORED",
        "(1, '2026-01-01 02:00:00', DEFAULT)",
        None,
    ),
    ("invisible columns", "id int PRIMARY KEY, a int DEFAULT 3 INVISIBLE", "(1)", None),
    (
        "hidden columns of DataJoint",
        "id int PRIMARY KEY, `_job_start_time` datetime(3) DEFAULT NULL, `_job_duration` float DEFAULT NULL",
        "(1, '2026-01-01', 0.5)",
        None,
    ),
    (
        "a singleton of DataJoint",
        "`_singleton` tinyint(1) NOT NULL DEFAULT 1 COMMENT ':bool:', a int, PRIMARY KEY (`_singleton`)",
        "(1, 2)",
        None,
    ),
    (
        "checks",
        "id int PRIMARY KEY, a int CHECK (a > 0), b varchar(9) COLLATE utf8mb4_bin, c json,"
        " CONSTRAINT `it's` CHECK (b IS NULL OR char_length(b) < 5 AND b <> 'it''s_binary')",
        "(1, 1, 'x', '{{}}')",
        None,
    ),
    (
        "checks that the other vendor may read otherwise",
        "id int PRIMARY KEY, a varchar(9) COLLATE utf8mb4_bin CHECK (a REGEXP '^x')",
        "(1, 'x')",
        None,
    ),
    (
        "a check over a column whose collation is mapped",
        "id int PRIMARY KEY, a varchar(9) COLLATE utf8mb4_0900_ai_ci CHECK (a = 'X')",
        "(1, 'x')",
        "mysql",
    ),
    (
        "a check that is not enforced",
        "id int PRIMARY KEY, a int, CHECK (a > 0) NOT ENFORCED",
        "(1, -1)",
        "mysql",
    ),
    (
        "an index that the optimizer leaves aside",
        "id int PRIMARY KEY, a int, KEY k (a) /*!80000 INVISIBLE *//*M!100600 IGNORED */",
        "(1, 2)",
        None,
    ),
    (
        "the spatial system of a column",
        "id int PRIMARY KEY, a point NOT NULL SRID 4326, SPATIAL KEY s (a)",
        "(1, ST_GeomFromText('POINT(1 2)', 4326))",
        "mysql",
    ),
    ("a compressed column", "id int PRIMARY KEY, a longtext COMPRESSED", "(1, 'x')", "mariadb"),
    (
        "a unique key over a whole text",
        "id int PRIMARY KEY, a longtext, UNIQUE KEY u (a)",
        "(1, 'x')",
        "mariadb",
    ),
    ("an index over JSON", "id int PRIMARY KEY, a json, KEY j (a(20))", "(1, '{{}}')", "mariadb"),
    (
        "text in latin1, in a collation of MariaDB alone",
        "id int PRIMARY KEY, a text CHARACTER SET latin1 COLLATE latin1_swedish_nopad_ci,"
        " b varchar(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_uca1400_as_cs",
        "(1, 'a', 'ſẞ ')",
        "mariadb",
    ),
    (
        "a key that is too long in utf8mb4",
        "id varchar(800) CHARACTER SET latin1 COLLATE latin1_swedish_nopad_ci PRIMARY KEY",
        "('a')",
        "mariadb",
    ),
    (
        "reserved words as names",
        "`select` int PRIMARY KEY, `table` int, `key` int, `a b` int",
        "(1, 2, 3, 4)",
        None,
    ),
)

# stands for the collation of the local server that merges no two values
SAFE = "{safe}"
# where the other server lacks it: what of the text stands here as what
MAPPED: dict[str, tuple[tuple[str, str], ...]] = {
    "an index over an expression": ((", KEY e ((a + 1))", ""),),
    "a default with a function of MySQL alone": ((" DEFAULT (UUID_TO_BIN(UUID()))", ""),),
    "collations of MySQL alone, in the key": (("utf8mb4_0900_as_cs", SAFE),),
    "collations of MariaDB alone, in the key": (("uca1400_as_cs", "utf8mb4_0900_bin"),),
    "collations that MariaDB 11.8 calls as MySQL does, in the key": (("utf8mb4_0900_as_cs", SAFE),),
    "a default with a function of MariaDB 11.8 alone": ((" DEFAULT uuid_v7()", ""),),
    "generated columns": (
        (" GENERATED ALWAYS AS (a * 2) STORED", ""),
        (" GENERATED ALWAYS AS (a + 1) VIRTUAL", ""),
    ),
    "a stored column that a session's time zone decides": ((" GENERATED ALWAYS AS (DATE(a)) STORED", ""),),
    "checks that the other vendor may read otherwise": ((" CHECK (a REGEXP '^x')", ""),),
    "a check over a column whose collation is mapped": (
        ("utf8mb4_0900_ai_ci CHECK (a = 'X')", "utf8mb4_nopad_bin"),
    ),
    "a check that is not enforced": ((", CHECK (a > 0) NOT ENFORCED", ""),),
    "the spatial system of a column": ((" SRID 4326", ""),),
    "a compressed column": ((" COMPRESSED", ""),),
    "a unique key over a whole text": ((", UNIQUE KEY u (a)", ""),),
    "an index over JSON": ((", KEY j (a(20))", ""),),
    "an index over 17 columns": ((f", KEY w ({_KEY_OF_16}, k16)", ""),),
    "text in latin1, in a collation of MariaDB alone": (
        (
            "text CHARACTER SET latin1 COLLATE latin1_swedish_nopad_ci",
            "mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
        ),
        ("utf8mb3_uca1400_as_cs", "utf8mb3_bin"),
    ),
}


def constructs() -> Iterator[Construct]:
    """All of them, in the page's order."""
    for number, (words, columns, rows, only) in enumerate(TYPES):
        yield _table(VALUES, words, f"value_{number}", f"id int PRIMARY KEY, {columns}", rows, only)
    for number, (words, body, rows, only) in enumerate(SHAPES):
        yield _table(DEFINITIONS, words, f"shape_{number}", body, rows, only)
    plain = "id int PRIMARY KEY, a int"
    for words, name in (
        ("a table `#lookup`", "#lookup"),
        ("a table `_imported`", "_imported"),
        ("a table `__computed`", "__computed"),
        ("names of 64 characters", "n" * 64),
    ):
        yield _table(DEFINITIONS, words, name, plain, "(1, 2)", None)
    yield from _relations()
    yield from _unlinkable()


def _table(
    section: str, words: str, name: str, body: str, rows: str, only: Kind | None, *before: str
) -> Construct:
    create = f"CREATE TABLE {{here}}.`{name}` ({body})"
    return Construct(section, words, name, create, before, rows, only)


def _relations() -> Iterator[Construct]:
    parent = "CREATE TABLE {lab}.parent (a int, b int, PRIMARY KEY (a, b))"
    rows = "INSERT INTO {lab}.parent VALUES (1, 1), (1, 2)"
    key = "FOREIGN KEY ({}) REFERENCES {{lab}}.parent (a, b)"
    for number, (words, body, row, before) in enumerate(
        (
            (
                "composite",
                f"a int, b int, c int, PRIMARY KEY (a, b, c), {key.format('a, b')}",
                "(1, 1, 1)",
                (parent, rows),
            ),
            (
                "renamed",
                f"id int PRIMARY KEY, x int NOT NULL, y int NOT NULL, {key.format('x, y')}",
                "(1, 1, 2)",
                (),
            ),
            (
                "nullable",
                f"id int PRIMARY KEY, a int, b int, {key.format('a, b')}",
                "(1, 1, 1), (2, NULL, 2)",
                (),
            ),
            (
                "with its own rules",
                f"id int PRIMARY KEY, a int, b int, {key.format('a, b')} ON DELETE CASCADE"
                " ON UPDATE SET NULL",
                "(1, 1, 1)",
                (),
            ),
            (
                "two to one parent",
                f"id int PRIMARY KEY, a int, b int, c int, {key.format('a, b')}, {key.format('a, c')}",
                "(1, 1, 1, 2)",
                (),
            ),
            (
                "to a table of another schema",
                "id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {other}.elsewhere (id)",
                "(1)",
                (
                    "CREATE TABLE {other}.elsewhere (id int PRIMARY KEY)",
                    "INSERT INTO {other}.elsewhere VALUES (1)",
                ),
            ),
            (
                "to a key that is not the primary one: plain columns here",
                "id int PRIMARY KEY, u int, FOREIGN KEY (u) REFERENCES {lab}.numbered (u)",
                "(1, 5)",
                (
                    "CREATE TABLE {lab}.numbered (id int PRIMARY KEY, u int UNIQUE)",
                    "INSERT INTO {lab}.numbered VALUES (1, 5)",
                ),
            ),
            (
                "to a parent that is not linked: plain columns here",
                "id int PRIMARY KEY, h int, FOREIGN KEY (h) REFERENCES {lab}.hidden_parent (id)",
                "(1, 5)",
                (
                    "CREATE TABLE {lab}.hidden_parent (id int PRIMARY KEY)",
                    "INSERT INTO {lab}.hidden_parent VALUES (5)",
                ),
            ),
        )
    ):
        name = f"relation_{number}"
        yield _table(RELATIONS, f"a foreign key, {words}", name, body, row, None, *before)
    own = "id int PRIMARY KEY, up int, FOREIGN KEY (up) REFERENCES {here}.`self_reference` (id)"
    yield _table(
        RELATIONS,
        "a reference to itself: plain columns here",
        "self_reference",
        own,
        "(1, NULL), (2, 1)",
        None,
    )
    yield _table(
        RELATIONS,
        "a part with a foreign key of its own, and to another part",
        "master__leaf",
        "id int, n int, a int, b int, PRIMARY KEY (id, n), FOREIGN KEY (id) REFERENCES {lab}.master (id),"
        f" FOREIGN KEY (id, n) REFERENCES {{lab}}.master__branch (id, n), {key.format('a, b')}",
        "(1, 1, 1, 1)",
        None,
        "CREATE TABLE {lab}.master (id int PRIMARY KEY)",
        "CREATE TABLE {lab}.master__branch (id int, n int, PRIMARY KEY (id, n),"
        " FOREIGN KEY (id) REFERENCES {lab}.master (id))",
        "INSERT INTO {lab}.master VALUES (1)",
        "INSERT INTO {lab}.master__branch VALUES (1, 1)",
    )
    yield from _diamond()
    yield from _chain(20)


def _diamond() -> Iterator[Construct]:
    side = "CREATE TABLE {{lab}}.{} (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {{lab}}.top (id))"
    before = [
        "CREATE TABLE {lab}.top (id int PRIMARY KEY)",
        side.format("left_side"),
        side.format("right_side"),
    ]
    before += [f"INSERT INTO {{lab}}.{name} VALUES (1)" for name in ("top", "left_side", "right_side")]
    keys = [f"FOREIGN KEY (id) REFERENCES {{lab}}.{side} (id)" for side in ("left_side", "right_side")]
    body = f"id int PRIMARY KEY, {', '.join(keys)}"
    yield _table(RELATIONS, "a diamond", "bottom", body, "(1)", None, *before)


def _chain(length: int) -> Iterator[Construct]:
    before = ["CREATE TABLE {lab}.chain_1 (id int PRIMARY KEY)", "INSERT INTO {lab}.chain_1 VALUES (1)"]
    for n in range(2, length):
        refers = f"FOREIGN KEY (id) REFERENCES {{lab}}.chain_{n - 1} (id)"
        before += [
            f"CREATE TABLE {{lab}}.chain_{n} (id int PRIMARY KEY, {refers})",
            f"INSERT INTO {{lab}}.chain_{n} VALUES (1)",
        ]
    body = f"id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {{lab}}.chain_{length - 1} (id)"
    yield _table(RELATIONS, f"a chain of {length} tables", f"chain_{length}", body, "(1)", None, *before)


def _unlinkable() -> Iterator[Construct]:
    plain = "CREATE TABLE {here}.`%s` (id int, a int%s"
    for words, name, tail in (
        ("no primary key", "keyless", ")"),
        ("an engine without foreign keys", "isam", ", PRIMARY KEY (id)) ENGINE=MyISAM"),
        ("partitions", "parted", ", PRIMARY KEY (id)) PARTITION BY HASH (id) PARTITIONS 2"),
    ):
        yield Construct(UNLINKABLE, words, name, plain % (name, tail))
    yield Construct(
        UNLINKABLE,
        "a primary key over the first characters of a column",
        "prefixed",
        "CREATE TABLE {here}.prefixed (a varchar(99), PRIMARY KEY (a(10)))",
    )
    yield Construct(UNLINKABLE, "a sequence", "counter", "CREATE SEQUENCE {here}.counter", only="mariadb")
    yield Construct(
        UNLINKABLE,
        "system versioning",
        "versions",
        "CREATE TABLE {here}.versions (id int PRIMARY KEY) WITH SYSTEM VERSIONING",
        only="mariadb",
    )
    yield Construct(UNLINKABLE, "a view", "seen", "CREATE VIEW {here}.seen AS SELECT 1 AS id")
