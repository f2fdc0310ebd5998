"""What arrives is what was there, from MySQL and MariaDB to either: values, definitions, what must be mapped.

On crossed pairs the oracle is the local server itself: it is given the source's own CREATE TABLE, and what
djlink made from the source's catalogue must be the same.
"""

from __future__ import annotations

import json
import random
import struct

import pytest

from djlink_manifest.reconcile.explain.commands import explain
from djlink_manifest.reconcile.plan.actions import Register
from djlink_manifest.sandbox import SandboxServer
from tests.support.definitions import ALL, applied_cleanly, definition, every_value
from tests.support.rig import Rig, link_of
from tests.support.servers import CROSSED, PAIRS, Pair
from tests.support.sql import ask, run_all

every_pair = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
crossed = pytest.mark.parametrize("servers", CROSSED, indirect=True, ids=str)
to_mariadb = pytest.mark.parametrize("servers", [Pair("mysql", "mariadb")], indirect=True, ids=str)
from_11_8 = pytest.mark.parametrize("servers", [Pair("mariadb-11.8", "mysql")], indirect=True, ids=str)
to_11_8 = pytest.mark.parametrize("servers", [Pair("mysql", "mariadb-11.8")], indirect=True, ids=str)
to_mysql = pytest.mark.parametrize("servers", [Pair("mariadb", "mysql")], indirect=True, ids=str)

TYPES = r"""
CREATE TABLE {schema}.types (
  id int unsigned NOT NULL,
  flag tinyint(1), tiny tinyint unsigned, small smallint unsigned, medium mediumint, big bigint,
  huge bigint unsigned, padded int(7) unsigned zerofill, exact decimal(65,30),
  money decimal(10,2) unsigned, single float, fixed float(7,3), twice double, ten double(10,2),
  bit1 bit(1), bit64 bit(64), day date, moment datetime(6), stamp timestamp(3) NULL, clock time(6), anno year,
  kind enum('a','it''s','back\\slash','ü','a,b)','%s'), many set('x','y z','%','\''),
  short char(5), name varchar(40), long_text longtext, fixed_bytes binary(4), some_bytes varbinary(300),
  all_bytes longblob, tiny_bytes tinyblob, place point,
  latin varchar(20) CHARACTER SET latin1 COLLATE latin1_german1_ci,
  japanese varchar(20) CHARACTER SET sjis COLLATE sjis_bin,
  wide varchar(20) CHARACTER SET utf16 COLLATE utf16_general_ci,
  three varchar(20) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci,
  turkish varchar(20) COLLATE utf8mb4_turkish_ci, bin varchar(20) COLLATE utf8mb4_bin,
  unseen int DEFAULT 7 INVISIBLE,
  `_job_start_time` datetime(3) DEFAULT NULL COMMENT 'hidden 100% ''of'' "DataJoint" \\ ü 😀',
  PRIMARY KEY (id)
) CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='100% it''s "x" \\ ü {{}}'"""

EVERY_BYTE = "".join(f"{n:02X}" for n in range(256))
ROWS = (
    "INSERT INTO {lab}.types VALUES (1, 1, 255, 65535, -8388608, -9223372036854775808, 18446744073709551615,"
    " 42, 12345678901234567890123456789012345.123456789012345678901234567890, 1.5, 0.1, 1.005, 0.1, 12.34,"
    " b'1', b'1000000000000000000000000000000000000000000000000000000000000001', '0000-00-00',"
    " '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01.001', '-838:59:59.000000', 1901,"
    """ 'back\\\\slash', 'x,%', ' a ', 'é😀\\0\\\\''"%s{{}}\\n\\r',"""
    f" REPEAT('😀 ', 1000), X'00000020', X'{EVERY_BYTE}', X'{EVERY_BYTE}', X'00',"
    " ST_GeomFromText('POINT(1 -2.5)'), 'Ä€ß', '日本', '𝄞x', 'ſẞ', 'ıİ', 'a ', '2026-01-01')",
    "INSERT INTO {lab}.types (id, exact, money, single, twice, day, moment, clock, anno, name, short, kind,"
    " many, unseen, some_bytes) VALUES (2, -0.000000000000000000000000000001, 0, 1e-38,"
    " -1.7976931348623157e308, '2026-02-31', '0000-00-00 00:00:00', '838:59:59', 0, '', '', 'it''s', '',"
    " NULL, ''), (3, 0, 99999999.99, 16777217, 2.2250738585072014e-308, '1000-01-01', '2026-00-00',"
    " '-00:00:00.000001', 2155, '  ', 'abcde', '%s', 'x,y z,%,''', 1, '%s')",
)

DEFAULTS = r"""
CREATE TABLE {schema}.defaults (
  id int PRIMARY KEY,
  a int NOT NULL DEFAULT '-5', b varchar(60) NOT NULL DEFAULT 'it''s 100% \\ "ü"', c varchar(30) DEFAULT NULL,
  d varchar(30) DEFAULT 'CURRENT_TIMESTAMP', d2 varchar(30) DEFAULT 'NULL', d3 varchar(9) DEFAULT '12',
  e timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  f datetime(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  g datetime DEFAULT '2020-02-02 02:02:02', h bit(5) DEFAULT b'10101', i binary(3) DEFAULT 'a\0c',
  k varchar(40) DEFAULT (concat('x', 'y')), l date DEFAULT (curdate()), m char(36) DEFAULT (uuid()),
  n enum('a','b''c') DEFAULT 'b''c', o set('p','q') DEFAULT 'p,q', p decimal(6,2) DEFAULT '1.50',
  q double DEFAULT '0.1', r year DEFAULT '2020', s time DEFAULT '-12:00:00', t varchar(10) DEFAULT '0x41',
  v timestamp NULL DEFAULT '2020-02-02 02:02:02', w varbinary(10) DEFAULT 0x00FF25, x text DEFAULT ('a--b#c'),
  y text DEFAULT ('raw_binary'),
  z varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci DEFAULT 'é', aa date DEFAULT '0000-00-00',
  bb float DEFAULT '1e-7', dd varchar(5) DEFAULT ''
) CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"""

INDEXES = r"""
CREATE TABLE {schema}.indexed (
  b varchar(20) COLLATE utf8mb4_german2_ci COMMENT '100% it''s "x" \\ ü {{}} `q`', a int, c text, e int,
  u varchar(20) DEFAULT NULL,
  PRIMARY KEY (a, b), UNIQUE KEY one (e, b(3)), UNIQUE KEY `fn %` (u), KEY part (c(10), e DESC),
  FULLTEXT KEY words (c), KEY `ha``rd {{}} %s` (e)
) CHARSET=utf8mb4 COLLATE=utf8mb4_spanish_ci COMMENT='it''s "x" \\ ü {{}}'"""


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, "CREATE DATABASE {lab} COLLATE latin1_swedish_ci")
    rig.accounts({"lab_a": ["lab"]})
    return rig


def linked(rig: Rig, *texts: str) -> None:
    """Run the statements at the source, link all of its tables, and see that nothing is left to do."""
    run_all(rig, *texts)
    applied_cleanly(rig, rig.document({"lab_a": {"lab": ALL}}))


def local_schema(rig: Rig) -> str:
    return rig.local_schema("lab_a", "lab")


def as_the_local_server_reads(rig: Rig, ddl: str, name: str) -> list[list[tuple[object, ...]]]:
    """The catalogue's words on a table that the local server made from the same text."""
    server, reference = rig.servers.local, rig.names("reference")
    ask(server, f"CREATE DATABASE IF NOT EXISTS `{reference}` COLLATE latin1_swedish_ci")
    ask(server, ddl.format(schema=f"`{reference}`"))
    return definition(server, reference, name)


@every_pair
@pytest.mark.parametrize(("ddl", "name"), [(TYPES, "types"), (DEFAULTS, "defaults"), (INDEXES, "indexed")])
def test_a_definition_is_what_the_local_server_makes_of_the_sources_own_text(
    lab: Rig, ddl: str, name: str
) -> None:
    linked(lab, ddl.replace("{schema}", "{lab}"))
    assert definition(lab.servers.local, local_schema(lab), name) == as_the_local_server_reads(lab, ddl, name)


@every_pair
def test_every_value_arrives_byte_for_byte(lab: Rig) -> None:
    linked(lab, TYPES.replace("{schema}", "{lab}"), *ROWS)
    source_rows = every_value(lab.servers.lab_a, lab.names("lab"), "types")
    assert len(source_rows) == 3
    assert every_value(lab.servers.local, local_schema(lab), "types") == source_rows


def numbers(count: int) -> list[float]:
    """Doubles of every size, and those about powers of two, where a digest could stumble."""
    random.seed(8)
    any_bits = [struct.unpack("<d", random.randbytes(8))[0] for _ in range(count)]
    powers = [2.0**n * (1 + d) for n in range(-60, 60, 7) for d in (0, 2**-52, -(2**-53))]
    edges = [0.1, 1e-4, 1e15, 1e16, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 2**0.5]
    return [x for x in [*any_bits, *powers, *edges] if x == x and abs(x) < 1.8e308]


@every_pair
def test_floating_point_numbers_are_exact_and_are_known_to_be_equal(lab: Rig) -> None:
    run_all(lab, "CREATE TABLE {lab}.measured (id int PRIMARY KEY, d double, f float)")
    rows = ", ".join(
        f"({n}, {x!r}, {(x if 1e-37 < abs(x) < 3e38 else 0.0)!r})" for n, x in enumerate(numbers(500))
    )
    linked(lab, "INSERT INTO {lab}.measured VALUES " + rows)
    exact = "SELECT id, d, f + 0e0 FROM {}.measured ORDER BY id"
    source_rows = ask(lab.servers.lab_a, exact.format(lab.names("lab")))
    assert ask(lab.servers.local, exact.format(local_schema(lab))) == source_rows
    registered_again(lab, "measured", len(source_rows))


def registered_again(rig: Rig, name: str, count: int) -> None:
    """Local rows without protection are taken for the source's: their digests are equal."""
    rig.run("lab_a", f"DELETE FROM {rig.outbound_table('lab', name)}")
    document = rig.document({"lab_a": {"lab": ALL}})
    plan, report = rig.apply(document)
    [link] = plan.links
    assert [(type(a), getattr(a, "entities", 0)) for a in link.actions] == [(Register, count)]
    assert report.succeeded
    assert not rig.plan(document).has_changes


DOCUMENTS = [
    '{"b": [1.0, 1e300, null, "é😀\\n", true], "": {}, "aa": 12345678901234567890, "a": -0.5}',
    "[]",
    '"text"',
    "null",
    '{"z": {"y": [[[]]], "x": 1}, "long key": "%s"}',
]


@every_pair
def test_json_is_equal_in_value_and_known_to_be(lab: Rig) -> None:
    run_all(lab, "CREATE TABLE {lab}.described (id int PRIMARY KEY, doc json, maybe json NOT NULL)")
    for number, text in enumerate(DOCUMENTS):
        values = (number, text, text)
        ask(lab.servers.lab_a, f"INSERT INTO {lab.names('lab')}.described VALUES (%s, %s, %s)", values)
    run_all(lab, "INSERT INTO {lab}.described VALUES (99, NULL, '1')")
    linked(lab)
    rows = "SELECT id, doc, maybe FROM {}.described ORDER BY id"
    found = ask(lab.servers.local, rows.format(local_schema(lab)))
    assert [json.loads(row[1]) for row in found[:-1]] == [json.loads(text) for text in DOCUMENTS]
    assert found[-1][1] is None
    registered_again(lab, "described", len(DOCUMENTS) + 1)
    # a value that differs is seen
    ask(lab.servers.local, f"UPDATE {local_schema(lab)}.described SET doc = '[1]' WHERE id = 1")
    lab.run("lab_a", f"DELETE FROM {lab.outbound_table('lab', 'described')}")
    [link] = lab.plan(lab.document({"lab_a": {"lab": ALL}})).links
    assert [(a.entities) for a in link.actions if isinstance(a, Register)] == [len(DOCUMENTS)]
    assert [b.count for b in link.blocked] == [1]


@every_pair
def test_json_is_json_here_too(lab: Rig) -> None:
    linked(lab, "CREATE TABLE {lab}.described (id int PRIMARY KEY, doc json COMMENT ':json:')")
    made = definition(lab.servers.local, local_schema(lab), "described")
    text = "CREATE TABLE {schema}.described (id int PRIMARY KEY, doc json COMMENT ':json:')"
    assert made[0] == as_the_local_server_reads(lab, text, "described")[0]
    with pytest.raises(Exception, match=r"(?i)json|constraint"):
        ask(lab.servers.local, f"INSERT INTO {local_schema(lab)}.described VALUES (1, 'no json')")


def notes(rig: Rig, *tables: str) -> dict[str, str]:
    """What the plan of new links says is otherwise here, by table."""
    plan = rig.plan(rig.document({"lab_a": {"lab": ALL}}))
    return {t: "; ".join(link_of(plan, rig.address("lab_a", "lab", t)).warnings) for t in tables}


def columns(server: SandboxServer, schema: str, table: str) -> dict[str, tuple[str, str | None, str]]:
    rows = ask(
        server,
        "SELECT COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME, EXTRA FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
        (schema, table),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


@to_mariadb
def test_what_mariadb_lacks_is_mapped_without_merging_a_key_and_said(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.animal (name varchar(20) COLLATE utf8mb4_0900_ai_ci, n int,"
        " made int GENERATED ALWAYS AS (n * 2) STORED, t varchar(9) COLLATE utf8mb4_tr_0900_ai_ci,"
        " unseen int NOT NULL INVISIBLE, d binary(16) DEFAULT (uuid_to_bin(uuid())),"
        " s varchar(30) DEFAULT (_utf8mb4'x'), place geometrycollection,"
        " PRIMARY KEY (name), KEY fn ((lower(t))), UNIQUE KEY u (made)) COLLATE utf8mb4_0900_ai_ci",
        "CREATE TABLE {lab}.animal__tag (name varchar(20) COLLATE utf8mb4_0900_ai_ci, tag int,"
        " PRIMARY KEY (name, tag), FOREIGN KEY (name) REFERENCES {lab}.animal (name))",
        "INSERT INTO {lab}.animal (name, n, t, unseen) VALUES ('a', 1, 'ı', 5), ('a ', 2, 'İ', 6)",
        "INSERT INTO {lab}.animal__tag VALUES ('a', 1), ('a ', 1)",
    )
    said = notes(lab, "Animal")["Animal"]
    for words in (
        "utf8mb4_nopad_bin locally for utf8mb4_0900_ai_ci",
        "animal.made: a plain local column",
        "animal.fn: an index on an expression",
        "animal.unseen: a visible column locally",
        "animal.d: without the source's default uuid_to_bin(uuid())",
    ):
        assert words in said
    linked(lab)
    assert notes(lab, "Animal")["Animal"] == ""
    made = columns(lab.servers.local, local_schema(lab), "animal")
    assert made["name"] == ("varchar(20)", "utf8mb4_nopad_bin", "")
    assert made["made"] == ("int(11)", None, "")
    rows = "SELECT name, n, made, t, unseen FROM {}.animal ORDER BY n"
    assert ask(lab.servers.local, rows.format(local_schema(lab))) == [
        ("a", 1, 2, "ı", 5),
        ("a ", 2, 4, "İ", 6),
    ]
    assert ask(lab.servers.local, f"SELECT COUNT(*) FROM {local_schema(lab)}.animal__tag") == [(2,)]


@to_mysql
def test_what_mysql_lacks_is_mapped_without_merging_a_key_and_said(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.animal (name varchar(20) COLLATE utf8mb4_uca1400_nopad_as_cs, n int,"
        " made int GENERATED ALWAYS AS (n * 2) VIRTUAL, latin varchar(9) CHARACTER SET latin1 COLLATE"
        " latin1_swedish_nopad_ci, s text DEFAULT 'x''y', t tinytext DEFAULT NULL, i int(4) DEFAULT 3,"
        " p datetime DEFAULT (current_timestamp() + interval 1 day), q int DEFAULT (length('abc')),"
        " place geometrycollection, PRIMARY KEY (name), UNIQUE KEY u (latin))",
        "INSERT INTO {lab}.animal (name, n, latin) VALUES ('a', 1, 'x'), ('A', 2, 'x '), ('a ', 3, 'y')",
    )
    said = notes(lab, "Animal")["Animal"]
    for words in (
        "utf8mb4_0900_bin locally for utf8mb4_uca1400_nopad_as_cs",
        "utf8mb4_0900_bin locally for latin1_swedish_nopad_ci",
        "animal.made: a plain local column",
        "animal.q: without the source's default",
    ):
        assert words in said
    linked(lab)
    made = columns(lab.servers.local, local_schema(lab), "animal")
    assert made["name"] == ("varchar(20)", "utf8mb4_0900_bin", "")
    rows = "SELECT name, n, made, latin, s FROM {}.animal ORDER BY n"
    assert ask(lab.servers.local, rows.format(local_schema(lab))) == [
        ("a", 1, 2, "x", "x'y"),
        ("A", 2, 4, "x ", "x'y"),
        ("a ", 3, 6, "y", "x'y"),
    ]


@to_mysql
def test_a_type_that_mysql_has_not_refuses_its_link_with_the_column_and_the_others_go_on(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.foreign_types (id int PRIMARY KEY, u uuid)",
        "CREATE TABLE {lab}.decimals (id int PRIMARY KEY, d decimal(60, 38))",
        "CREATE TABLE {lab}.good (id int PRIMARY KEY)",
        "INSERT INTO {lab}.good VALUES (1)",
    )
    refused_but(lab, "Good", {"ForeignTypes": "foreign_types.u", "Decimals": "decimals.d"})


@to_mariadb
def test_a_type_that_mariadb_has_not_refuses_its_link_with_the_column_and_the_others_go_on(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.foreign_types (id int PRIMARY KEY, v vector(3))",
        "CREATE TABLE {lab}.good (id int PRIMARY KEY)",
        "INSERT INTO {lab}.good VALUES (1)",
    )
    refused_but(lab, "Good", {"ForeignTypes": "foreign_types.v"})


def refused_but(rig: Rig, good: str, refused: dict[str, str]) -> None:
    document = rig.document({"lab_a": {"lab": ALL}})
    plan, report = rig.apply(document)
    for table, column in refused.items():
        link = link_of(plan, rig.address("lab_a", "lab", table))
        assert link.is_stopped
        [block] = link.blocked
        assert f"the local server ({rig.servers.pair.local}" in block.reason
        assert f"`{column}`" in block.reason
        assert block.hint
    assert [o.address for o in report.outcomes] == [rig.address("lab_a", "lab", good)]
    assert report.succeeded
    made = ask(
        rig.servers.local,
        f"SHOW TABLES FROM {local_schema(rig)} WHERE Tables_in_{local_schema(rig)} NOT LIKE '~%%'",
    )
    assert {row[0] for row in made} == {good.lower(), f"{good.lower()}__deletion_requested"}


@every_pair
def test_large_blobs_and_rows_near_the_packet_limit_arrive(lab: Rig) -> None:
    run_all(lab, "CREATE TABLE {lab}.big (id int PRIMARY KEY, b longblob, t longtext)")
    with lab.servers.lab_a.connect(max_allowed_packet=1 << 30) as connection, connection.cursor() as cursor:
        blob = random.Random(3).randbytes(20_000_000)
        cursor.execute(f"INSERT INTO {lab.names('lab')}.big VALUES (1, %s, NULL)", (blob,))
        # quotes and backslashes are written twice: the statement comes near the limit of 64 MB
        cursor.execute(f"INSERT INTO {lab.names('lab')}.big VALUES (2, %s, NULL)", (b"\\'" * 15_000_000,))
        cursor.execute(f"INSERT INTO {lab.names('lab')}.big VALUES (3, NULL, REPEAT('é', 1000000))")
    linked(lab)
    digests = "SELECT id, SHA2(b, 256), LENGTH(b), SHA2(t, 256) FROM {}.big ORDER BY id"
    source_rows = ask(lab.servers.lab_a, digests.format(lab.names("lab")))
    assert ask(lab.servers.local, digests.format(local_schema(lab))) == source_rows


@from_11_8
def test_a_timestamp_past_2038_is_counted_and_blocks_its_entity_before_anything_of_it_is_written(
    lab: Rig,
) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.stamped (id int PRIMARY KEY, t timestamp NULL)",
        "CREATE TABLE {lab}.stamped__at (id int, t timestamp, PRIMARY KEY (id, t),"
        " FOREIGN KEY (id) REFERENCES {lab}.stamped (id))",
        "CREATE TABLE {lab}.child (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {lab}.stamped (id))",
        "INSERT INTO {lab}.stamped VALUES (1, FROM_UNIXTIME(2147483647)), (2, NULL),"
        " (3, FROM_UNIXTIME(2147483648)), (4, '2106-02-01')",
        "INSERT INTO {lab}.stamped__at VALUES (1, FROM_UNIXTIME(2147483647)), (2, '2050-01-01'),"
        " (2, '2051-01-01')",
        "INSERT INTO {lab}.child VALUES (1), (2), (4)",
    )
    document = lab.document({"lab_a": {"lab": ALL}})
    address = lab.address("lab_a", "lab", "Stamped")
    plan, report = lab.apply(document)
    link, child = link_of(plan, address), link_of(plan, lab.address("lab_a", "lab", "Child"))
    assert [(b.kind, b.count) for b in link.blocked] == [("error", 2), ("error", 1)]
    assert [(b.kind, b.count) for b in child.blocked] == [("upstream", 2)]
    assert "their TIMESTAMP (stamped.t) is 2038-01-19 03:14:08 UTC or later" in link.blocked[0].reason
    assert report.succeeded
    assert lab.run("lab_a", f"SELECT id FROM {lab.outbound_table('lab', 'stamped')}") == [(1,)]
    assert ask(lab.servers.local, f"SELECT id FROM {local_schema(lab)}.stamped") == [(1,)]
    with lab.job(document) as job:
        explanation, _ = explain(job, address, "id=3")
        assert [r.rule for r in explanation.reasons if not r.holds] == ["local rule"]
    run_all(
        lab, "UPDATE {lab}.stamped SET t = NULL WHERE id > 2", "DELETE FROM {lab}.stamped__at WHERE id = 2"
    )
    applied_cleanly(lab, document)
    assert ask(lab.servers.local, f"SELECT COUNT(*) FROM {local_schema(lab)}.stamped") == [(4,)]


@to_11_8
def test_keys_that_a_collation_of_mysqls_name_would_take_for_one_both_come(lab: Rig) -> None:
    georgian = "('\u10d0'), ('\u1c90')"  # a letter and its capital, which Unicode has since 11
    linked(
        lab,
        "CREATE TABLE {lab}.letter (a varchar(9) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY)",
        f"INSERT INTO {{lab}}.letter VALUES {georgian}",
    )
    count = f"SELECT COUNT(*) FROM {local_schema(lab)}.letter"
    assert ask(lab.servers.local, count) == [(2,)]
    # what the mapping is for: under the name that 11.8 has they are one
    assert ask(lab.servers.local, "SELECT '\u10d0' = '\u1c90' COLLATE utf8mb4_0900_ai_ci") == [(1,)]
