"""What is made on both servers: definitions, names, foreign keys and rows, from the plainest to the most hostile."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from djlink_manifest.model.catalog import Catalog
from djlink_manifest.model.naming import outbound_base
from djlink_manifest.model.server import Secret, ServerAddress
from djlink_manifest.reconcile.actions import AddForeignKey, CreateLocal, CreateOutbound, Release
from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.accounts import quoted
from djlink_manifest.servers.catalog import read_catalog
from djlink_manifest.servers.connection import Session, open_session
from tests.rig import Rig, link_of

ALL = {"tables": "*"}

TYPES = r"""
CREATE TABLE {lab}.types (
  id int unsigned NOT NULL AUTO_INCREMENT,
  flag tinyint(1), small smallint unsigned, medium mediumint, big bigint, huge bigint unsigned,
  exact decimal(65,30), money decimal(10,2) unsigned zerofill, single float, fixed float(7,3), twice double,
  bit1 bit(1), bit64 bit(64), day date, moment datetime(6), stamp timestamp(3) NULL, clock time(6), anno year,
  doc json, kind enum('a','it''s','back\\slash','ü','a,b)','%s'), many set('x','y z','%','\''),
  short char(5), name varchar(40), long_text longtext, fixed_bytes binary(4), some_bytes varbinary(300),
  all_bytes longblob, place point, vec vector(3),
  latin varchar(20) CHARACTER SET latin1 COLLATE latin1_german1_ci,
  japanese varchar(20) CHARACTER SET sjis, wide varchar(20) CHARACTER SET utf16,
  turkish varchar(20) COLLATE utf8mb4_tr_0900_ai_ci, bin varchar(20) COLLATE utf8mb4_bin,
  twofold int GENERATED ALWAYS AS (small * 2) VIRTUAL,
  shout varchar(80) GENERATED ALWAYS AS (concat(upper(name), '\'!%\\')) STORED,
  unseen int DEFAULT 7 INVISIBLE,
  PRIMARY KEY (id)
) AUTO_INCREMENT=100 CHARSET=utf8mb4"""

BYTES = "".join(f"{n:02X}" for n in range(256))
ROWS = (
    "INSERT INTO {lab}.types (id) VALUES (0), (4294967295)",
    "INSERT INTO {lab}.types VALUES (1, 1, 65535, -8388608, -9223372036854775808, 18446744073709551615,"
    " 12345678901234567890123456789012345.123456789012345678901234567890, 1.5, 0.1, 1.005, 0.1,"
    " b'1', b'1000000000000000000000000000000000000000000000000000000000000001', '0000-00-00',"
    " '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01.001', '-838:59:59.000000', 1901,"
    """ '{{"a": [1.0, 1e300, null, "é😀\\\\n", true], "": {{}}}}', 'back\\\\slash', 'x,%', ' a ', 'é😀\\0\\\\''"%s{{}}\\n\\r',"""
    f" REPEAT('😀 ', 1000), X'00000020', X'{BYTES}', X'{BYTES}', ST_GeomFromText('POINT(1 -2.5)', 4326),"
    " STRING_TO_VECTOR('[0.1,2,-3]'), 'Ä€ß', '日本', '𝄞x', 'ıİ', 'a ', DEFAULT, DEFAULT)",
    "INSERT INTO {lab}.types (id, exact, money, single, twice, day, moment, clock, anno, name, short, kind, many,"
    " unseen, some_bytes) VALUES (2, -0.000000000000000000000000000001, 0, 1e-38, -1.7976931348623157e308,"
    " '2026-02-31', '0000-00-00 00:00:00', '838:59:59', 0, '', '', 'it''s', '', NULL, ''),"
    " (3, 0, 99999999.99, 16777217, 2.2250738585072014e-308, '1000-01-01', '2026-00-00', '-00:00:00.000001', 2155,"
    " '  ', 'abcde', '%s', 'x,y z,%,''', 1, '%s')",
)

EVERY_DEFAULT = r"""
CREATE TABLE {lab}.defaults (
  id int PRIMARY KEY,
  a int NOT NULL DEFAULT '-5', b varchar(60) NOT NULL DEFAULT 'it''s 100% \\ "ü" 😀', c varchar(30) DEFAULT NULL,
  d varchar(30) DEFAULT 'CURRENT_TIMESTAMP', e timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  f datetime(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), g datetime DEFAULT '2020-02-02 02:02:02',
  h bit(5) DEFAULT b'10101', i binary(3) DEFAULT 'a\0c', j json DEFAULT (_utf8mb4'{{"k": "it''s \\\\ %"}}'),
  k varchar(40) DEFAULT (concat('x', "y'", '\\', '%s')), l date DEFAULT (now()), m char(36) DEFAULT (uuid()),
  n enum('a','b''c') DEFAULT 'b''c', o set('p','q') DEFAULT 'p,q', p decimal(6,2) DEFAULT '1.50', q double DEFAULT '0.1',
  r year DEFAULT '2020', s time DEFAULT '-12:00:00', t varchar(10) DEFAULT '0x41', u varchar(10) DEFAULT 'b''1''',
  v timestamp NULL DEFAULT '2020-02-02 02:02:02', w varbinary(10) DEFAULT 0x00FF25, x text DEFAULT ('a--b#c/*d;'),
  y varchar(40) DEFAULT (user()), z varchar(20) CHARACTER SET latin1 DEFAULT 'é', aa date DEFAULT '0000-00-00',
  bb float DEFAULT '1e-7', cc datetime DEFAULT (now() + interval 1 day), dd varchar(5) DEFAULT ''
) CHARSET=utf8mb4"""

INDEXES = r"""
CREATE TABLE {lab}.indexed (
  b varchar(20) COLLATE utf8mb4_german2_ci COMMENT '100% it''s "x" \\ ü {{}} `q`', a int, c text, d json, e int, f point NOT NULL SRID 0,
  PRIMARY KEY (a, b),
  UNIQUE KEY one (e, b(3)), UNIQUE KEY `fn %` ((lower(b)), a DESC), KEY part (c(10), e DESC), FULLTEXT KEY words (c),
  KEY multi ((CAST(d->'$.tags' AS unsigned array))), KEY `ha``rd {{}} %s` (e), SPATIAL KEY sp (f),
  KEY `json` ((CAST(d->>'$."it''s"' AS char(10)) COLLATE utf8mb4_bin))
) COLLATE=utf8mb4_spanish_ci COMMENT='100% it''s "x" \\ ü 😀 {{}}'"""


def sql(rig: Rig, *texts: str, server: str = "lab_a", mode: str = "") -> None:
    """Run statements as root under an SQL mode; `{x}` is schema x, `{{` a brace, as in str.format."""
    with rig.server(server).connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET SESSION sql_mode = '{mode or 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'}'")
        for text in texts:
            cursor.execute(text.format(**{n: quoted(rig.names(n)) for n in ("lab", "other", "outbound")}))


def catalog(server: SandboxServer, *schemas: str) -> Catalog:
    address = ServerAddress("x", server.host, server.port, "root", Secret(server.root_password))
    session = open_session(address, Session)
    try:
        return read_catalog(session, schemas)
    finally:
        session.close()


def facts(server: SandboxServer, schema: str, table: str, what: str) -> list[tuple[object, ...]]:
    """What a server's catalogue says of a table, in columns that do not name the server or schema."""
    return server.execute(
        f"SELECT {what} AND TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY 1, 2", (schema, table)
    )


COLUMNS = (
    "ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, CAST(COLUMN_DEFAULT AS BINARY),"
    " REPLACE(EXTRA, 'auto_increment', ''), CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_COMMENT,"
    " GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE TRUE"
)
INDEX_PARTS = (
    "INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART, EXPRESSION, NON_UNIQUE, COLLATION, INDEX_TYPE"
    " FROM information_schema.STATISTICS WHERE TRUE"
)
COMMENTS = "TABLE_COMMENT, ENGINE FROM information_schema.TABLES WHERE TRUE"
FOREIGN_KEYS = (
    "ORDINAL_POSITION, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME"
    " FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL"
)


def every_value(server: SandboxServer, schema: str, table: str) -> list[tuple[object, ...]]:
    """All rows, every column as the hex of its bytes; FLOAT as the exact double."""
    columns = server.execute(
        "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
        " ORDER BY ORDINAL_POSITION",
        (schema, table),
    )
    listed = [
        f"HEX(CAST({quoted(name)}{' + 0e0' if kind == 'float' else ''} AS BINARY))"
        if kind not in ("bit", "point", "vector")
        else f"HEX({quoted(name)})"
        for name, kind in columns
    ]
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"SELECT {', '.join(listed)} FROM {quoted(schema)}.{quoted(table)}")
        return sorted(cursor.fetchall(), key=repr)


def same_on_both(rig: Rig, table: str, ours: str | None = None, source: str = "lab") -> None:
    local, theirs = rig.servers.local, rig.servers.lab_a
    here, there = rig.local_schema("lab_a", source), rig.names(source)
    ours = ours or table
    for what in (COLUMNS, INDEX_PARTS, COMMENTS):
        assert facts(local, here, ours, what) == facts(theirs, there, table, what), table
    assert every_value(local, here, ours) == every_value(theirs, there, table), table


def foreign_keys(rig: Rig, table: str, schema: str = "lab") -> set[tuple[object, ...]]:
    """The local table's foreign keys as (column, schema, table, column), schemas without the test's prefix."""
    here = rig.local_schema("lab_a", schema)
    rows = facts(rig.servers.local, here, table, FOREIGN_KEYS)
    ours = {rig.local_schema("lab_a", s): s for s in ("lab", "other")}
    return {(column, ours[str(parent)], name, key) for _, column, parent, name, key in rows}


def applied_cleanly(rig: Rig, document: dict[str, object], **options: Sequence[str]) -> None:
    """Apply; everything is done, and a second plan has nothing to do."""
    plan, report = rig.apply(document, **options)
    assert not plan.has_errors, [(x.address, x.blocked) for x in plan.links] + list(plan.refusals)
    assert report.succeeded, [(o.address, o.problem) for o in report.outcomes]
    again = rig.plan(document, **options)
    assert not again.has_errors, [(x.address, x.blocked) for x in again.links]
    assert not again.has_changes, [(x.address, x.actions) for x in again.links]
    assert not any(x.drift for x in again.links), [(x.address, x.drift) for x in again.links]


@pytest.fixture
def lab(rig: Rig) -> Rig:
    sql(rig, "CREATE DATABASE {lab} COLLATE latin1_swedish_ci", "CREATE DATABASE {other}")
    rig.accounts({"lab_a": ["lab", "other"]})
    return rig


def test_columns_indexes_defaults_and_every_byte_are_the_sources(lab: Rig) -> None:
    sql(lab, TYPES, *ROWS, EVERY_DEFAULT, "INSERT INTO {lab}.defaults (id) VALUES (1), (2)", INDEXES)
    sql(
        lab,
        "INSERT INTO {lab}.indexed VALUES ('straße', 1, 'some words', '{{\"tags\": [1, 2]}}', 1, POINT(0, 1)),"
        " ('b', 2, NULL, NULL, NULL, POINT(1, 1)), ('b', 1, '', '{{}}', 1, POINT(2, 1))",
    )
    applied_cleanly(lab, lab.document({"lab_a": {"lab": ALL}}))
    for table in ("types", "defaults", "indexed"):
        same_on_both(lab, table)


def test_defaults_that_the_catalogue_spoils_are_whole(lab: Rig) -> None:
    sql(lab, EVERY_DEFAULT)
    applied_cleanly(lab, lab.document({"lab_a": {"lab": ALL}}))
    here = lab.local_schema("lab_a", "lab")
    lab.servers.local.execute(f"INSERT INTO {here}.defaults (id, aa) VALUES (9, '2026-01-01')")
    [row] = lab.servers.local.execute(
        f"SELECT b, i, w, h + 0, j, k, x, m IS NULL, l = CURDATE() FROM {here}.defaults"
    )
    assert row[:4] == ('it\'s 100% \\ "ü" 😀', b"a\0c", b"\0\xff%", 21)
    assert row[4:] == ('{"k": "it\'s \\\\ %"}', "xy'\\%s", "a--b#c/*d;", 0, 1)


KEYS = {
    "bit": ("bit(64)", ["b'0'", "b'1'", "b'1000000000000000000000000000000000000000000000000000000000000001'"]),
    "bigint": ("bigint", ["9007199254740992", "9007199254740993", "-9223372036854775808"]),
    "huge": ("bigint unsigned", ["18446744073709551615", "18446744073709551614", "18446744073709551613"]),
    "exact": ("decimal(40,20)", ["1.00000000000000000001", "1.00000000000000000002", "-0.1"]),
    "single": ("float", ["0.1", "16777217", "1e-38"]),
    "twice": ("double", ["0.1", "0.30000000000000004", "0.3"]),
    "day": ("date", ["'2026-01-01'", "'0000-00-00'", "'2026-00-31'"]),
    "moment": ("datetime(6)", ["'2026-01-01 00:00:00.000001'", "'2026-01-01'", "'0000-00-00'"]),
    "stamp": ("timestamp(3)", ["'2026-10-25 02:30:00.001'", "'2026-10-25 02:30:00.002'", "'2026-10-25 01:30'"]),
    "clock": ("time(6)", ["'838:59:59'", "'-838:59:59'", "'00:00:00.000001'"]),
    "anno": ("year", ["1901", "2155", "0"]),
    "kind": ("enum('a','b''%','A b')", ["'a'", "'b''%'", "'A b'"]),
    "many": ("set('x','y','z')", ["''", "'x,z'", "'y'"]),
    "fixed": ("binary(3)", ["X'000000'", "X'000020'", "X'27255C'"]),
    "bytes": ("varbinary(9)", ["X''", "X'00'", "X'FFFE27'"]),
    "folded": ("varchar(9) COLLATE utf8mb4_0900_ai_ci", ["'a'", "'é%s'", "'😀'"]),
    "padded": ("varchar(9) COLLATE utf8mb4_bin", ["'a'", "'A'", "' a'"]),
    "unpadded": ("varchar(9) COLLATE utf8mb4_0900_bin", ["'a'", "'a '", r"'a\\'''"]),
    "latin": ("varchar(9) CHARACTER SET latin1", ["'Ä'", "'€'", "''"]),
    "wide": ("char(9) CHARACTER SET utf16", ["'Ä'", "'😀'", "''"]),
    "made": ("int GENERATED ALWAYS AS (twice + 1) STORED", ["1", "2", "3"]),
}


def test_keys_of_every_type_are_pulled_pulled_again_and_released_exactly(lab: Rig) -> None:
    for name, (type_, values) in KEYS.items():
        made = name == "made"
        sql(
            lab,
            f"CREATE TABLE {{lab}}.`{name}` (n int{', twice int' if made else ''}, k {type_}, n2 int DEFAULT 1,"
            " PRIMARY KEY (k, n2)) CHARSET utf8mb4",
            *(
                f"INSERT INTO {{lab}}.`{name}` (n, {'twice' if made else 'k'}) VALUES ({n}, {value})"
                for n, value in enumerate(values)
            ),
        )
    everything = lab.document({"lab_a": {"lab": ALL}})
    applied_cleanly(lab, everything)
    here = lab.local_schema("lab_a", "lab")
    for name in KEYS:
        same_on_both(lab, name)
        lab.servers.local.execute(f"DELETE FROM `{here}`.`{name}` WHERE n = 1")
    applied_cleanly(lab, everything)
    for name in KEYS:
        same_on_both(lab, name)
        lab.servers.local.execute(f"DELETE FROM `{here}`.`{name}` WHERE n = 0")
    some = lab.document({"lab_a": {"lab": {"tables": {"*": {"where": "n > 0"}}}}})
    plan, report = lab.apply(some)
    assert report.succeeded
    for link in plan.links:
        assert [(type(a), getattr(a, "entities", 0)) for a in link.actions] == [(Release, 1)], link.address
    for name in KEYS:
        outbound = f"{{outbound}}.{outbound_base(lab.names('lab'), name)}"
        held = lab.run("lab_a", f"SELECT n FROM {{lab}}.`{name}` JOIN {outbound} USING (k, n2) ORDER BY n")
        assert held == [(1,), (2,)], name
        lab.run("lab_a", f"DELETE FROM {outbound}")
    plan, report = lab.apply(some)
    assert report.succeeded
    assert {o.address: o.registered for o in report.outcomes} == {p.address: 2 for p in plan.links}
    assert not lab.plan(some).has_changes
