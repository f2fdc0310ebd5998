"""Whatever `where` the manifest accepts reads its own table and does nothing else, on real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymysql.cursors import Cursor

from djlink_manifest.manifest.conditions.check import check
from djlink_manifest.manifest.conditions.tokens import Refused
from djlink_manifest.model.vendors.condition_words import CALLABLE, GROUPING, OPERATORS, callable_on
from djlink_manifest.servers.session.login import SQL_MODE
from tests.support.command import run
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
EXAMPLES = int(os.environ.get("DJLINK_FUZZ", "250"))

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.scan (id int PRIMARY KEY, a int, b varchar(40), d datetime, j json, `odd;name` int)",
    "INSERT INTO {lab}.scan VALUES (1, 1, 'x', '2026-01-01', '{}', 1), (2, 2, 'y', NULL, '[1]', 2)".replace(
        "'{}'", "'[2]'"
    ),
    "CREATE TABLE {lab}.sprung (n int)",
    "CREATE TABLE {lab}.other (id int, secret varchar(20))",
    "INSERT INTO {lab}.other VALUES (77, 'of-another-table')",
)
# what a condition is made of here: what is listed, and what must not get through
NAMES = ["a", "b", "d", "j", "id", "`odd;name`", "`a`", "scan.a", "trap", "`trap`", "next", "value"]
LITERALS = [
    "1",
    "0",
    "1.5e3",
    "'x'",
    '"y"',
    "x'ff'",
    "b'01'",
    "N'x'",
    "_latin1'x'",
    "NULL",
    "0x41",
    "'\\'",
    "''",
]
SIGNS = [
    "(",
    ")",
    "(",
    ")",
    ",",
    "=",
    "<=>",
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "&&",
    "!",
    ".",
    "->>",
    "->",
    "|",
    "^",
]
ACTING = [
    *("trap(", "`trap`(", "lab.trap(", "@v:=", "@v", ";", "--", "/*!", "*/", "#", "SELECT", "UNION", "INTO"),
    *(
        "(SELECT secret FROM other)",
        "EXISTS(",
        "SLEEP(",
        "GET_LOCK(",
        "NEXT VALUE FOR s",
        "NEXTVAL(s)",
        "VALUES",
    ),
    *(
        "FOR UPDATE",
        "LOAD_FILE(",
        "ROW",
        "DEFAULT(",
        "LIMIT",
        "PROCEDURE ANALYSE()",
        "\\",
        "{",
        "?",
        ":x",
        "\x01",
    ),
]
PIECE = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(LITERALS),
    st.sampled_from(SIGNS),
    st.sampled_from(sorted(OPERATORS)),
    st.sampled_from(sorted(CALLABLE)).map(lambda name: f"{name}("),
    st.sampled_from(sorted(GROUPING)).map(lambda name: f"{name}("),
    st.sampled_from(ACTING),
    st.text(max_size=3),
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    """Expressions that mostly are SQL: calls of listed functions on columns, values and each other."""
    kind = draw(st.integers(0, 5)) if depth else draw(st.integers(0, 1))
    match kind:
        case 0:
            return draw(st.sampled_from(NAMES))
        case 1:
            return draw(st.sampled_from(LITERALS))
        case 2:
            return f"({draw(expressions(depth - 1))})"
        case 3:
            sign = draw(
                st.sampled_from(["=", "<", "AND", "OR", "LIKE", "+", "||", "REGEXP", "DIV", "COLLATE"])
            )
            return f"{draw(expressions(depth - 1))} {sign} {draw(expressions(depth - 1))}"
        case 4:
            inner = ", ".join(draw(st.lists(expressions(depth - 1), max_size=3)))
            return f"{draw(st.sampled_from(sorted(CALLABLE)))}({inner})"
        case _:
            return f"{draw(st.sampled_from(ACTING))} {draw(expressions(depth - 1))})"


TEXTS = st.one_of(expressions(), st.lists(PIECE, min_size=1, max_size=9).map(" ".join))


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    server, schema, link = rig.servers.lab_a, rig.names("lab"), f"'{rig.names('link')}'@'%'"
    if server.vendor == "mysql":
        ask(server, "SET GLOBAL log_bin_trust_function_creators = 1")
    else:
        ask(server, f"CREATE SEQUENCE `{schema}`.s")
    ask(
        server,
        f"CREATE FUNCTION `{schema}`.trap() RETURNS int MODIFIES SQL DATA"
        f" BEGIN INSERT INTO `{schema}`.sprung VALUES (1); RETURN 1; END",
    )
    # more than a link user should have, so that what gets through would act
    ask(server, f"GRANT EXECUTE, INSERT, UPDATE ON `{schema}`.* TO {link}")
    return rig


@pytest.fixture
def cursor(lab: Rig) -> Iterator[Cursor]:
    """A session of the link user's in djlink's modes, and, worse than djlink's, in the schema of the trap."""
    server = lab.servers.lab_a
    with server.connect(lab.names("link"), PASSWORD) as connection, connection.cursor() as found:
        found.execute(f"SET sql_mode = '{SQL_MODE}'")
        found.execute(f"USE `{lab.names('lab')}`")
        yield found


@alike
def test_no_accepted_condition_acts_or_reads_another_table(lab: Rig, cursor: Cursor) -> None:
    """Each accepted text is run as djlink runs it, where functions of the schema could be called by name."""
    server, schema = lab.servers.lab_a, lab.names("lab")
    tried = {"accepted": 0, "ran": 0, "refused": 0}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="DJLINK_FUZZ" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(TEXTS)
    def attack(text: str) -> None:
        try:
            check(text)
        except Refused:
            tried["refused"] += 1
            return
        tried["accepted"] += 1
        with suppress(pymysql.MySQLError):
            cursor.execute(f"SELECT d.id FROM (SELECT id FROM `{schema}`.scan WHERE ({text})) d")
            tried["ran"] += 1
            assert {row[0] for row in cursor.fetchall()} <= {1, 2}, text

    attack()
    assert ask(server, f"SELECT * FROM `{schema}`.sprung") == []
    cursor.execute("SELECT @v")
    assert cursor.fetchall() == ((None,),)
    if server.vendor == "mariadb":
        [row] = ask(server, f"SELECT next_not_cached_value FROM `{schema}`.s")
        assert row == (1,)
    assert min(tried.values()) >= EXAMPLES // 50, tried


@alike
def test_each_listed_function_is_a_builtin_of_its_vendor(lab: Rig) -> None:
    """A function that the server does not have could be one that somebody made there."""
    server = lab.servers.lab_a
    unknown = set[str]()
    grammar = {"match", "against", "row"}  # no functions but syntax
    newer = {"uuid_v4", "uuid_v7", "vec_fromtext", "vec_totext", "json_schema_valid"}
    newer |= {"format_pico_time", "format_bytes"}  # of MariaDB 11
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"USE `{lab.names('lab')}`")
        for name in sorted(
            callable_on(server.vendor) - grammar - (newer if server.vendor == "mariadb" else set())
        ):
            try:
                cursor.execute(f"SELECT {name}(1, 1)")
            except pymysql.MySQLError as error:
                if error.args[0] == 1305:
                    unknown.add(name)
    # MySQL 9.6 moved these to a component; MySQL 8 and MariaDB have them
    assert unknown <= {"md5", "sha", "sha1"} if server.vendor == "mysql" else unknown == set()


@alike
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "`where` uses the column `colour`, which the table does not have"),
        ("`b ` = 1 OR bb = 2", "uses the column `b `"),
        ("other.secret = 'x'", "uses the column `secret`"),
    ],
)
def test_a_condition_over_other_columns_is_refused_before_it_is_sent(lab: Rig, text: str, words: str) -> None:
    document = lab.document({"lab_a": {"lab": {"tables": {"Scan": {"where": text}}}}})
    [blocked] = link_of(lab.plan(document), lab.address("lab_a", "lab", "Scan")).blocked
    assert words in blocked.reason


@alike
def test_a_function_of_the_other_vendor_is_refused_where_the_server_has_none(lab: Rig) -> None:
    function, vendor = (
        ("nvl2", "mysql") if lab.servers.lab_a.vendor == "mysql" else ("uuid_to_bin", "mariadb")
    )
    document = lab.document({"lab_a": {"lab": {"tables": {"Scan": {"where": f"{function}(b, 1, 2) = 1"}}}}})
    [blocked] = link_of(lab.plan(document), lab.address("lab_a", "lab", "Scan")).blocked
    assert f"calls `{function}()`, which a {vendor} server does not have" in blocked.reason
    assert "docs/manifest.md" in str(blocked.hint)


@alike
def test_a_condition_is_cut_as_the_session_reads_it_whatever_modes_the_server_has(lab: Rig) -> None:
    """Under NO_BACKSLASH_ESCAPES or ANSI_QUOTES these texts would be a string and a call."""
    server, schema = lab.servers.lab_a, lab.names("lab")
    [(before,)] = ask(server, "SELECT @@GLOBAL.sql_mode")
    texts = (f"b = '\\' OR `{schema}`.trap() OR b = '", f'b = "\\" OR `{schema}`.trap() OR b = "')
    try:
        ask(server, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE'")
        for text in texts:
            document = lab.document({"lab_a": {"lab": {"tables": {"Scan": {"where": text}}}}})
            path = lab.write(document)
            code, out, err = run(lab, path, "plan")
            assert code == 0, out + err
    finally:
        ask(server, "SET GLOBAL sql_mode = %s", (before,))
    assert ask(server, f"SELECT * FROM `{schema}`.sprung") == []
