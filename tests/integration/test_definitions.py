"""What is made on both servers: definitions, names, foreign keys and rows, plain and hostile ones."""

from __future__ import annotations

import pymysql
import pytest

from djlink_manifest.model.tables.naming import outbound_base
from djlink_manifest.reconcile.plan.actions import AddForeignKey, CreateLocal, CreateOutbound, Release
from djlink_manifest.sandbox.servers.accounts import quoted_name
from tests.support.definitions import (
    ALL,
    NOPAD,
    applied_cleanly,
    definition,
    every_value,
    facts,
)
from tests.support.rig import Rig, link_of
from tests.support.servers import ALIKE, CROSSED, PAIRS
from tests.support.sql import ask, run_all

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
    """ '{{"a": [1.0, 1e300, null, "é😀\\\\n", true], "": {{}}}}',"""
    """ 'back\\\\slash', 'x,%', ' a ', 'é😀\\0\\\\''"%s{{}}\\n\\r',"""
    f" REPEAT('😀 ', 1000), X'00000020', X'{BYTES}', X'{BYTES}', ST_GeomFromText('POINT(1 -2.5)', 4326),"
    " STRING_TO_VECTOR('[0.1,2,-3]'), 'Ä€ß', '日本', '𝄞x', 'ıİ', 'a ', DEFAULT, DEFAULT)",
    "INSERT INTO {lab}.types (id, exact, money, single, twice, day, moment, clock, anno, name, short,"
    " kind, many,"
    " unseen, some_bytes) VALUES (2, -0.000000000000000000000000000001, 0, 1e-38, -1.7976931348623157e308,"
    " '2026-02-31', '0000-00-00 00:00:00', '838:59:59', 0, '', '', 'it''s', '', NULL, ''),"
    " (3, 0, 99999999.99, 16777217, 2.2250738585072014e-308, '1000-01-01', '2026-00-00',"
    " '-00:00:00.000001', 2155,"
    " '  ', 'abcde', '%s', 'x,y z,%,''', 1, '%s')",
)

EVERY_DEFAULT = r"""
CREATE TABLE {lab}.defaults (
  id int PRIMARY KEY,
  a int NOT NULL DEFAULT '-5', b varchar(60) NOT NULL DEFAULT 'it''s 100% \\ "ü" 😀',
  c varchar(30) DEFAULT NULL,
  d varchar(30) DEFAULT 'CURRENT_TIMESTAMP',
  e timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  f datetime(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  g datetime DEFAULT '2020-02-02 02:02:02',
  h bit(5) DEFAULT b'10101', i binary(3) DEFAULT 'a\0c', j json DEFAULT (_utf8mb4'{{"k": "it''s \\\\ %"}}'),
  k varchar(40) DEFAULT (concat('x', "y'", '\\', '%s')), l date DEFAULT (now()), m char(36) DEFAULT (uuid()),
  n enum('a','b''c') DEFAULT 'b''c', o set('p','q') DEFAULT 'p,q', p decimal(6,2) DEFAULT '1.50',
  q double DEFAULT '0.1',
  r year DEFAULT '2020', s time DEFAULT '-12:00:00', t varchar(10) DEFAULT '0x41',
  u varchar(10) DEFAULT 'b''1''',
  v timestamp NULL DEFAULT '2020-02-02 02:02:02', w varbinary(10) DEFAULT 0x00FF25,
  x text DEFAULT ('a--b#c/*d;'),
  y varchar(40) DEFAULT (user()), z varchar(20) CHARACTER SET latin1 DEFAULT 'é',
  aa date DEFAULT '0000-00-00',
  bb float DEFAULT '1e-7', cc datetime DEFAULT (now() + interval 1 day), dd varchar(5) DEFAULT ''
) CHARSET=utf8mb4"""

INDEXES = r"""
CREATE TABLE {lab}.indexed (
  b varchar(20) COLLATE utf8mb4_german2_ci COMMENT '100% it''s "x" \\ ü {{}} `q`', a int, c text, d json,
  e int, f point NOT NULL SRID 0,
  PRIMARY KEY (a, b),
  UNIQUE KEY one (e, b(3)), UNIQUE KEY `fn %` ((lower(b)), a DESC), KEY part (c(10), e DESC),
  FULLTEXT KEY words (c),
  KEY multi ((CAST(d->'$.tags' AS unsigned array))), KEY `ha``rd {{}} %s` (e), SPATIAL KEY sp (f),
  KEY `json` ((CAST(d->>'$."it''s"' AS char(10)) COLLATE utf8mb4_bin))
) COLLATE=utf8mb4_spanish_ci COMMENT='100% it''s "x" \\ ü 😀 {{}}'"""


FOREIGN_KEYS = (
    "ORDINAL_POSITION, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME"
    " FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL"
)


def same_on_both(rig: Rig, table: str, local_side: str | None = None, source: str = "lab") -> None:
    """The rows are equal, and, where both servers speak alike, the definitions."""
    local, source_side = rig.servers.local, rig.servers.lab_a
    local_schema, source_schema = rig.local_schema("lab_a", source), rig.names(source)
    local_side = local_side or table
    if local.vendor == source_side.vendor:
        assert definition(local, local_schema, local_side) == definition(source_side, source_schema, table), (
            table
        )
    assert every_value(local, local_schema, local_side) == every_value(source_side, source_schema, table), (
        table
    )


def foreign_keys(rig: Rig, table: str, schema: str = "lab") -> set[tuple[object, ...]]:
    """The local table's foreign keys: (column, schema, table, column), schemas without the test's prefix."""
    local_schema = rig.local_schema("lab_a", schema)
    rows = facts(rig.servers.local, local_schema, table, FOREIGN_KEYS)
    local_store = {rig.local_schema("lab_a", s): s for s in ("lab", "other")}
    return {(column, local_store[str(parent)], name, key) for _, column, parent, name, key in rows}


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, "CREATE DATABASE {lab} COLLATE latin1_swedish_ci", "CREATE DATABASE {other}")
    rig.accounts({"lab_a": ["lab", "other"]})
    return rig


def test_columns_indexes_defaults_and_every_byte_are_the_sources(lab: Rig) -> None:
    run_all(lab, TYPES, *ROWS, EVERY_DEFAULT, "INSERT INTO {lab}.defaults (id) VALUES (1), (2)", INDEXES)
    run_all(
        lab,
        "INSERT INTO {lab}.indexed VALUES ('straße', 1, 'some words', '{{\"tags\": [1, 2]}}', 1,"
        " POINT(0, 1)),"
        " ('b', 2, NULL, NULL, NULL, POINT(1, 1)), ('b', 1, '', '{{}}', 1, POINT(2, 1))",
    )
    applied_cleanly(lab, lab.document({"lab_a": {"lab": ALL}}))
    for table in ("types", "defaults", "indexed"):
        same_on_both(lab, table)


def test_defaults_that_the_catalogue_spoils_are_whole(lab: Rig) -> None:
    run_all(lab, EVERY_DEFAULT)
    applied_cleanly(lab, lab.document({"lab_a": {"lab": ALL}}))
    local_schema = lab.local_schema("lab_a", "lab")
    ask(lab.servers.local, f"INSERT INTO {local_schema}.defaults (id, aa) VALUES (9, '2026-01-01')")
    [row] = ask(
        lab.servers.local,
        f"SELECT b, i, w, h + 0, j, k, x, m IS NULL, l = CURDATE() FROM {local_schema}.defaults",
    )
    assert row[:4] == ('it\'s 100% \\ "ü" 😀', b"a\0c", b"\0\xff%", 21)
    assert row[4:] == ('{"k": "it\'s \\\\ %"}', "xy'\\%s", "a--b#c/*d;", 0, 1)


KEYS = {
    "bit": (
        "bit(64)",
        ["b'0'", "b'1'", "b'1000000000000000000000000000000000000000000000000000000000000001'"],
    ),
    "huge": ("bigint unsigned", ["18446744073709551615", "18446744073709551614", "18446744073709551613"]),
    "exact": ("decimal(40,20)", ["1.00000000000000000001", "1.00000000000000000002", "-0.1"]),
    "single": ("float", ["0.1", "16777217", "1e-38"]),
    "moment": ("datetime(6)", ["'2026-01-01 00:00:00.000001'", "'2026-01-01'", "'0000-00-00'"]),
    "stamp": (
        "timestamp(3)",
        ["'2026-10-25 02:30:00.001'", "'2026-10-25 02:30:00.002'", "'2026-10-25 01:30'"],
    ),
    "clock": ("time(6)", ["'838:59:59'", "'-838:59:59'", "'00:00:00.000001'"]),
    "kind": ("enum('a','b''%','A b')", ["'a'", "'b''%'", "'A b'"]),
    "fixed": ("binary(3)", ["X'000000'", "X'000020'", "X'27255C'"]),
    "bytes": ("varbinary(9)", ["X''", "X'00'", "X'FFFE27'"]),
    "padded": ("varchar(9) COLLATE utf8mb4_bin", ["'a'", "'A'", "' a'"]),
    "unpadded": ("varchar(9) COLLATE {nopad}", ["'a'", "'a '", r"'a\\'''"]),
    "latin": ("varchar(9) CHARACTER SET latin1", ["'Ä'", "'€'", "''"]),
    "wide": ("char(9) CHARACTER SET utf16", ["'Ä'", "'😀'", "''"]),
    "german": ("varchar(9) CHARACTER SET latin1 COLLATE latin1_german1_ci", ["'Ä'", "'€'", "'ß'"]),
    "three": ("varchar(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci", ["'Ä'", "'日'", "''"]),
    "listed": ("enum('b','Ä','ß') CHARACTER SET latin1 COLLATE latin1_german1_ci", ["'Ä'", "'b'", "'ß'"]),
    "made": ("int GENERATED ALWAYS AS (twice + 1) STORED", ["1", "2", "3"]),
}


# MariaDB wants a default for an invisible column
PAIRS_FROM_MYSQL = [pair for pair in PAIRS if pair.source == "mysql"]


def keys_of(rig: Rig) -> dict[str, tuple[str, list[str]]]:
    """Those that the source has: MariaDB takes no generated column for a primary key."""
    return {name: key for name, key in KEYS.items() if name != "made" or rig.servers.pair.source == "mysql"}


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_keys_of_every_type_are_pulled_pulled_again_and_released_exactly(lab: Rig) -> None:
    for name, (type_, values) in keys_of(lab).items():
        made = name == "made"
        run_all(
            lab,
            f"CREATE TABLE {{lab}}.`{name}` (n int{', twice int' if made else ''},"
            f" k {type_.format(nopad=NOPAD[lab.servers.lab_a.vendor])},"
            f" n2 int DEFAULT 1,"
            " PRIMARY KEY (k, n2)) CHARSET utf8mb4",
            *(
                f"INSERT INTO {{lab}}.`{name}` (n, {'twice' if made else 'k'}) VALUES ({n}, {value})"
                for n, value in enumerate(values)
            ),
        )
    everything = lab.document({"lab_a": {"lab": ALL}})
    assert lab.apply(everything)[1].succeeded
    local_schema = lab.local_schema("lab_a", "lab")
    for name in keys_of(lab):
        ask(lab.servers.local, f"DELETE FROM `{local_schema}`.`{name}` WHERE n = 1")
    applied_cleanly(lab, everything)
    for name in keys_of(lab):
        same_on_both(lab, name)
        ask(lab.servers.local, f"DELETE FROM `{local_schema}`.`{name}` WHERE n = 0")
    some = lab.document({"lab_a": {"lab": {"tables": {"*": {"where": "n > 0"}}}}})
    plan, report = lab.apply(some)
    assert report.succeeded
    for link in plan.links:
        assert [(type(a), getattr(a, "entities", 0)) for a in link.actions] == [(Release, 1)], link.address
    for name in keys_of(lab):
        outbound = f"{{outbound}}.{outbound_base(lab.names('lab'), name)}"
        held = lab.run("lab_a", f"SELECT n FROM {{lab}}.`{name}` JOIN {outbound} USING (k, n2) ORDER BY n")
        assert held == [(1,), (2,)], name
        lab.run("lab_a", f"DELETE FROM {outbound}")
    plan, report = lab.apply(some)
    assert report.succeeded
    assert {o.address: o.counts.registered for o in report.outcomes} == {p.address: 2 for p in plan.links}
    assert not lab.plan(some).has_changes


HOSTILE = [
    "a`b",
    "%s",
    "{c}",
    "select",
    "ü'x",
    'say "hi"',
    "x y;--",
    "bucket",
    "Reason",
    "djlink_entry",
    "n" * 64,
]


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_hostile_names_of_columns_and_odd_names_of_tables_hold(lab: Rig) -> None:
    source, columns = lab.servers.lab_a, ", ".join(f"{quoted_name(name)} varchar(9)" for name in HOSTILE)
    names = ("t" * 64, "select", "UPPER_Case", "_imported", "#look_up")
    for name in names:
        table = f"{quoted_name(lab.names('lab'))}.{quoted_name(name)}"
        key = ", ".join(quoted_name(c) for c in HOSTILE)
        ask(source, f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key})) CHARSET latin1")
        ask(source, f"INSERT INTO {table} VALUES ({', '.join(repr(c[:3]) for c in HOSTILE)})")
    document = lab.document({"lab_a": {"lab": {"tables": {"*": {"where": {"%s": "%s"}}}}}})
    applied_cleanly(lab, document)
    for name in names:
        same_on_both(lab, name, name.lstrip("#_"))
    local_schema = lab.local_schema("lab_a", "lab")
    ask(lab.servers.local, f"DELETE FROM `{local_schema}`.`select`")
    ask(lab.servers.local, f"DELETE FROM `{local_schema}`.`look_up`")
    applied_cleanly(lab, document)


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_a_key_may_have_the_names_that_djlink_uses_itself(lab: Rig) -> None:
    names = ("pulled_at", "Requested_At", "reason", "WHO", "at", "event", "approved_by", "granted_by")
    columns = ", ".join(f"`{name}` int" for name in names)
    run_all(
        lab,
        f"CREATE TABLE {{lab}}.taken ({columns}, o int, PRIMARY KEY ({', '.join(f'`{n}`' for n in names)}))",
        f"INSERT INTO {{lab}}.taken VALUES ({', '.join('1' for _ in names)}, 1)",
        f"INSERT INTO {{lab}}.taken VALUES ({', '.join('2' for _ in names)}, 2)",
    )
    applied_cleanly(lab, lab.document({"lab_a": {"lab": {"tables": {"*": {"where": "o = 1"}}}}}))
    assert ask(lab.servers.local, f"SELECT o FROM {lab.local_schema('lab_a', 'lab')}.taken") == [(1,)]


@pytest.mark.parametrize("servers", PAIRS_FROM_MYSQL, indirect=True, ids=str)
def test_conditions_and_references_may_use_invisible_columns(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.parent (id int INVISIBLE, name varchar(9), PRIMARY KEY (id))",
        "CREATE TABLE {lab}.child (n int PRIMARY KEY, id int INVISIBLE, FOREIGN KEY (id)"
        " REFERENCES {lab}.parent (id))",
        "INSERT INTO {lab}.parent (id, name) VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO {lab}.child (n, id) VALUES (10, 1), (20, 2), (30, NULL)",
    )
    rules = {"tables": {"Parent": {"where": "name = 'a'"}, "Child": {"where": "n < 99"}}}
    applied_cleanly(lab, lab.document({"lab_a": {"lab": rules}}))
    local_schema = lab.local_schema("lab_a", "lab")
    assert ask(lab.servers.local, f"SELECT n, id FROM {local_schema}.child ORDER BY n") == [
        (10, 1),
        (30, None),
    ]


FAMILY = (
    "CREATE TABLE {lab}.parent (b varchar(9) COLLATE utf8mb4_bin, a int, PRIMARY KEY (a, b))",
    "CREATE TABLE {lab}.parent__part (a int, b varchar(9) COLLATE utf8mb4_bin, n int, PRIMARY KEY (n, a, b),"
    " FOREIGN KEY (a, b) REFERENCES {lab}.parent (a, b))",
    "CREATE TABLE {other}.unlinked (id int PRIMARY KEY)",
    "CREATE TABLE {other}.child (id int PRIMARY KEY AUTO_INCREMENT, me int, a int NOT NULL,"
    " b varchar(9) COLLATE"
    " utf8mb4_bin NOT NULL, a2 int, b2 varchar(9) COLLATE utf8mb4_bin, n int, u int, UNIQUE KEY (me),"
    " CONSTRAINT one FOREIGN KEY (a, b) REFERENCES {lab}.parent (a, b) ON UPDATE CASCADE,"
    " CONSTRAINT two FOREIGN KEY (a, b) REFERENCES {lab}.parent (a, b),"
    " CONSTRAINT renamed FOREIGN KEY (a2, b2) REFERENCES {lab}.parent (a, b) ON DELETE SET NULL,"
    " CONSTRAINT to_part FOREIGN KEY (n, a2, b2) REFERENCES {lab}.parent__part (n, a, b),"
    " CONSTRAINT self FOREIGN KEY (me) REFERENCES {other}.child (id),"
    " CONSTRAINT plain FOREIGN KEY (u) REFERENCES {other}.unlinked (id))",
    "CREATE TABLE {other}.child__piece (id int, k int, a int, b varchar(9) COLLATE utf8mb4_bin, boss int,"
    " PRIMARY KEY (id, k), FOREIGN KEY (id) REFERENCES {other}.child (id),"
    " FOREIGN KEY (a, b) REFERENCES {lab}.parent (a, b), FOREIGN KEY (boss) REFERENCES {other}.child (id))",
    "CREATE TABLE {other}.child__scrap (id int, k int, l int, PRIMARY KEY (id, k, l),"
    " FOREIGN KEY (id, k) REFERENCES {other}.child__piece (id, k), FOREIGN KEY (id)"
    " REFERENCES {other}.child (id))",
    "INSERT INTO {lab}.parent VALUES ('x', 1), ('X', 1), ('y', 2)",
    "INSERT INTO {lab}.parent__part VALUES (1, 'x', 1), (1, 'x', 2), (2, 'y', 1)",
    "INSERT INTO {other}.unlinked VALUES (5)",
    "INSERT INTO {other}.child VALUES (0, NULL, 1, 'X', NULL, NULL, NULL, 5), (2, NULL, 1, 'x', 1, 'x',"
    " 2, NULL),"
    " (3, 2, 2, 'y', 1, NULL, 7, NULL)",
    "INSERT INTO {other}.child__piece VALUES (2, 1, 1, 'x', 3), (3, 1, NULL, 'x', NULL)",
    "INSERT INTO {other}.child__scrap VALUES (2, 1, 1)",
)
TO_PARENT = {
    *{(c, "lab", "parent", k) for c, k in zip(("a", "b", "a2", "b2"), ("a", "b", "a", "b"), strict=True)},
    *{(c, "lab", "parent__part", k) for c, k in zip(("n", "a2", "b2"), ("n", "a", "b"), strict=True)},
}


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_foreign_keys_to_linked_parents_stand_and_others_become_plain_columns_with_a_warning(
    lab: Rig,
) -> None:
    run_all(lab, *FAMILY)
    document = lab.document({"lab_a": {"lab": ALL, "other": {"tables": ["Child"]}}})
    applied_cleanly(lab, document)
    for schema, table in (
        ("lab", "parent"),
        ("lab", "parent__part"),
        ("other", "child"),
        ("other", "child__piece"),
    ):
        same_rows = every_value(lab.servers.lab_a, lab.names(schema), table)
        assert every_value(lab.servers.local, lab.local_schema("lab_a", schema), table) == same_rows
        assert same_rows
    assert foreign_keys(lab, "child", "other") == TO_PARENT
    assert foreign_keys(lab, "child__piece", "other") == {
        ("id", "other", "child", "id"),
        ("a", "lab", "parent", "a"),
        ("b", "lab", "parent", "b"),
    }
    assert foreign_keys(lab, "child__scrap", "other") == {
        ("id", "other", "child", "id"),
        ("id", "other", "child__piece", "id"),
        ("k", "other", "child__piece", "k"),
    }
    local_schema = lab.local_schema("lab_a", "other")
    assert (
        facts(
            lab.servers.local,
            local_schema,
            "child",
            "EXTRA, '' FROM information_schema.COLUMNS WHERE EXTRA <> ''",
        )
        == []
    )
    link = link_of(lab.plan(document), lab.address("lab_a", "other", "Child"))
    [warning] = link.warnings
    assert f"{lab.names('other')}.unlinked is not linked" in warning
    requested = facts(lab.servers.local, local_schema, "child__deletion_requested", FOREIGN_KEYS)
    assert [(row[1], row[3]) for row in requested] == [("id", "child")]


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_a_parent_that_is_linked_later_gets_its_foreign_keys_after_its_pull(lab: Rig) -> None:
    run_all(lab, *FAMILY)
    alone = lab.document({"lab_a": {"other": {"tables": ["Child"]}}})
    applied_cleanly(lab, alone)
    assert foreign_keys(lab, "child", "other") == set()
    both = lab.document({"lab_a": {"lab": ALL, "other": {"tables": ["Child"]}}})
    plan, report = lab.apply(both)
    assert report.succeeded, report.outcomes
    late = link_of(plan, lab.address("lab_a", "other", "Child")).actions
    assert {(type(a), a.table) for a in late if isinstance(a, AddForeignKey)} == {
        (AddForeignKey, "child"),
        (AddForeignKey, "child__piece"),
    }
    assert foreign_keys(lab, "child", "other") == TO_PARENT
    [added] = [
        o.counts.foreign_keys for o in report.outcomes if o.address == lab.address("lab_a", "other", "Child")
    ]
    assert added == len(late)
    again = lab.plan(both)
    assert not again.has_changes
    assert not again.has_errors


@pytest.mark.parametrize("servers", [ALIKE[0], *CROSSED], indirect=True, ids=str)
@pytest.mark.parametrize("made", range(11))
def test_a_creation_that_stopped_anywhere_is_completed(lab: Rig, made: int) -> None:
    """The order is: marks, outbound tables, local tables, marks completed; `made` of them were done."""
    run_all(
        lab,
        "CREATE TABLE {lab}.session (id int PRIMARY KEY, note text)",
        "CREATE TABLE {lab}.session__trial (id int, n int, PRIMARY KEY (id, n),"
        " FOREIGN KEY (id) REFERENCES {lab}.session (id))",
        "INSERT INTO {lab}.session VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO {lab}.session__trial VALUES (1, 1), (1, 2), (2, 1)",
    )
    document = lab.document({"lab_a": {"lab": ALL}})
    applied_cleanly(lab, document)
    local_schema, source_side, base = (
        lab.local_schema("lab_a", "lab"),
        lab.names("outbound"),
        lab.names("lab_session"),
    )
    local, source = lab.servers.local, lab.servers.lab_a
    undo = [
        (source, f"DROP TABLE `{source_side}`.`~djlink`"),
        (local, f"DROP TABLE `{local_schema}`.`~djlink`"),
        *((source, f"DROP TABLE `{source_side}`.`{base}{s}`") for s in ("", "_deletion_requested")),
        *((source, f"DROP TABLE `{source_side}`.`{base}{s}`") for s in ("_deletion_approved", "_history")),
        *(
            (local, f"DROP TABLE `{local_schema}`.session{s}")
            for s in ("", "__trial", "__deletion_requested")
        ),
        (local, f"UPDATE `{local_schema}`.`~djlink` SET definition = NULL"),
        (source, f"UPDATE `{source_side}`.`~djlink` SET definition = NULL"),
    ]
    if made < 10:  # before the last step nothing was pulled
        ask(source, f"DELETE FROM `{source_side}`.`{base}`")
        ask(local, f"DELETE FROM `{local_schema}`.session__trial")
        ask(local, f"DELETE FROM `{local_schema}`.session")
    for server, text in reversed(undo[made:]):
        ask(server, text)
    plan, report = lab.apply(document)
    assert not plan.has_errors, [x.blocked for x in plan.links]
    assert report.succeeded, report.outcomes
    created = {type(a) for a in plan.links[0].actions} & {CreateOutbound, CreateLocal}
    assert created
    same_on_both(lab, "session")
    same_on_both(lab, "session__trial")
    assert lab.plan(document).links[0].is_unchanged
    marks = "SELECT COUNT(*), COUNT(definition) FROM `%s`.`~djlink`"
    assert ask(source, marks % source_side) == ask(local, marks % local_schema) == [(1, 1)]


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_a_part_that_names_a_second_entity_of_its_master_goes_with_its_own(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.cell (id int PRIMARY KEY, kind char(1))",
        "CREATE TABLE {lab}.cell__synapse (id int, other int, PRIMARY KEY (id, other),"
        " CONSTRAINT a FOREIGN KEY (other) REFERENCES {lab}.cell (id),"
        " CONSTRAINT z FOREIGN KEY (id) REFERENCES {lab}.cell (id))",
        "INSERT INTO {lab}.cell VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO {lab}.cell__synapse VALUES (1, 2), (2, 1), (1, 1)",
    )
    applied_cleanly(lab, lab.document({"lab_a": {"lab": {"tables": {"Cell": {"where": "kind = 'a'"}}}}}))
    local_schema = lab.local_schema("lab_a", "lab")
    assert ask(lab.servers.local, f"SELECT * FROM {local_schema}.cell__synapse ORDER BY 1, 2") == [
        (1, 1),
        (1, 2),
    ]
    assert foreign_keys(lab, "cell__synapse") == {("id", "lab", "cell", "id")}


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_tables_whose_outbound_names_would_meet_are_kept_apart(lab: Rig) -> None:
    run_all(lab, "CREATE TABLE {lab}.session (id int PRIMARY KEY)")
    run_all(lab, "CREATE TABLE {lab}.session_history (id int PRIMARY KEY)")
    applied_cleanly(lab, lab.document({"lab_a": {"lab": {"tables": ["SessionHistory"]}}}))
    applied_cleanly(lab, lab.document({"lab_a": {"lab": ALL}}))


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_lineage_rows_are_the_sources_under_the_local_names_and_say_whose_they_are(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.`_scan` (id int PRIMARY KEY)",
        "CREATE TABLE {lab}.`_scan__field` (id int, k int, PRIMARY KEY (id, k),"
        " FOREIGN KEY (id) REFERENCES {lab}.`_scan` (id))",
        "CREATE TABLE {lab}.`~lineage` (table_name varchar(64), attribute_name varchar(64),"
        " lineage varchar(255),"
        " PRIMARY KEY (table_name, attribute_name))",
        "INSERT INTO {lab}.`~lineage` VALUES ('_scan', 'id', 'x._scan.id'), ('_scan__field', 'id',"
        " 'x._scan.id'),"
        " ('_scan__field', 'k', 'x._scan__field.k'), ('gone', 'id', 'x.gone.id')",
    )
    applied_cleanly(lab, lab.document({"lab_a": {"lab": ALL}}))
    local_schema = lab.local_schema("lab_a", "lab")
    rows = ask(lab.servers.local, f"SELECT * FROM `{local_schema}`.`~lineage` ORDER BY 1, 2")
    assert rows == [
        ("scan", "id", "lab_a.x._scan.id"),
        ("scan__deletion_requested", "id", "lab_a.x._scan.id"),
        ("scan__field", "id", "lab_a.x._scan.id"),
        ("scan__field", "k", "lab_a.x._scan__field.k"),
    ]


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_the_default_of_a_timestamp_is_the_moment_that_the_source_gives(lab: Rig) -> None:
    with lab.servers.lab_a.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION time_zone = '+05:00'")
        cursor.execute(
            f"CREATE TABLE {lab.names('lab')}.moments (id int PRIMARY KEY, d timestamp(3) NULL DEFAULT"
            " '2020-01-01 02:00:00.5', e timestamp DEFAULT '2020-07-01 00:00:00')"
        )
    applied_cleanly(lab, lab.document({"lab_a": {"lab": ALL}}))
    given = []
    for server, schema in (
        (lab.servers.lab_a, lab.names("lab")),
        (lab.servers.local, lab.local_schema("lab_a", "lab")),
    ):
        ask(server, f"INSERT INTO {schema}.moments (id) VALUES (9)")
        given.append(ask(server, f"SELECT UNIX_TIMESTAMP(d), UNIX_TIMESTAMP(e) FROM {schema}.moments"))
    assert given[0] == given[1]


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_checks_stand_here_and_those_that_the_source_drops_later_are_named(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.parent (id int PRIMARY KEY)",
        "CREATE TABLE {lab}.child (id int PRIMARY KEY, p int, n int, CONSTRAINT small CHECK (n < 10),"
        " CONSTRAINT odd CHECK (n <> 4 OR p > 0), FOREIGN KEY (p) REFERENCES {lab}.parent (id))",
        "INSERT INTO {lab}.parent VALUES (1)",
        "INSERT INTO {lab}.child VALUES (1, 1, 1)",
    )
    document = lab.document({"lab_a": {"lab": ALL}})
    applied_cleanly(lab, document)
    local_schema = lab.local_schema("lab_a", "lab")
    with pytest.raises(pymysql.MySQLError, match=r"(?i)constraint .* (is violated|failed)"):
        ask(lab.servers.local, f"INSERT INTO {local_schema}.child VALUES (2, NULL, 10)")
    run_all(lab, "ALTER TABLE {lab}.child DROP CONSTRAINT small", "INSERT INTO {lab}.child VALUES (3, 1, 11)")
    plan, report = lab.apply(document)
    link = link_of(plan, lab.address("lab_a", "lab", "Child"))
    [said] = [d.reason for d in link.drift if "its check" in d.reason]
    assert "does not exist at the source; rows that violate it are refused; drop it" in said
    assert [b.count for b in link.blocked] == [1]
    assert report.outcomes == ()
    name = said.split("`")[1]
    ask(lab.servers.local, f"ALTER TABLE {local_schema}.child DROP CONSTRAINT `{name}`")
    applied_cleanly(lab, document)
    same_on_both(lab, "child")
