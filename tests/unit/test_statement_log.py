"""Statements are logged with their time and rows and without a literal, and only where somebody listens."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import ServerError
from djlink_manifest.servers.session import statement_log
from djlink_manifest.servers.session.statement_log import logged, without_literals
from djlink_manifest.servers.sql import Sql, ident, sql


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT `a1`, b2.`c` FROM `x`.`y` t1", "SELECT `a1`, b2.`c` FROM `x`.`y` t1"),
        (r"WHERE a = 17 AND b='it''s \' x' LIMIT 10", "WHERE a = ? AND b=? LIMIT ?"),
        ("VALUES (1,'a',0xAB,_binary'x',X'00'),(2,NULL,-1.5e-3,.5,1E+5)", "VALUES (?, …),(?,NULL,-?, …)"),
        ("VALUES (1, 2), ('a', 'b'), (3, 4)", "VALUES (?, …), …"),
        ("IN (1, 2, 3)", "IN (?, …)"),
        ("\"a\"\" b\" = _utf8mb4 'x' OR N'y'", "? = ? OR ?"),
        ("a/'b' - 1 + 0b01 + b'01'", "a/? - ? + ? + ?"),
        ("DATE'1987-03-21'", "DATE?"),
        ("x /* it's */ 'secret' -- don't\n 'q' # o'x\n 'r'", "x /* */ ? /* */ ? /* */ ?"),
        ("/*! 'run' */ /**/ 'x' /* open 'y'", "/* */ /* */ ? /* */"),
        ("a--1 'x'", "a--? ?"),
        ("`name with 'quotes' and 12` = 'x'", "`name with 'quotes' and 12` = ?"),
        ("`tick``s 5` = 5", "`tick``s 5` = ?"),
        ("@@port, @v5, col1e5, t1.c2, tablé5", "@@port, @v5, col1e5, t1.c2, tablé5"),
        ("a\n  b\t c", "a b c"),
        # what was cut off within
        ("SELECT 'cut \\", "SELECT ?"),
        ("SELECT 'cut ''", "SELECT ?"),
        ('SELECT "cut', "SELECT ?"),
        ("SELECT `cut 'x", "SELECT `cut 'x"),
        ("SELECT X'0", "SELECT ?"),
    ],
)
def test_literals_are_hidden_and_names_are_not(text: str, shown: str) -> None:
    assert without_literals(text) == shown


VALUES = st.text(alphabet=st.sampled_from("ab'\"\\`%?#-*/ \n0é\x00"), max_size=12)


def literal(value: str, quote: str) -> str:
    """A value as a server reads it, in either kind of quotes."""
    return quote + value.replace("\\", "\\\\").replace(quote, quote * 2) + quote


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=5), st.sampled_from("'\""), st.integers(0, 60))
def test_no_value_stands_in_what_is_shown_wherever_it_is_cut(values: list[str], quote: str, cut: int) -> None:
    marked = [f"MARK{value}MARK" for value in values]
    text = "SELECT `a` FROM `t` WHERE `b` = " + " OR `b` = ".join(literal(each, quote) for each in marked)
    for shown in (
        without_literals(text),
        without_literals(text[: len("SELECT `a` FROM `t` WHERE `b` = ") + cut]),
    ):
        assert "MARK" not in shown
        assert shown.startswith("SELECT `a` FROM `t` WHERE `b` =")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="djlink")
    return caplog


def test_a_statement_is_logged_with_server_session_time_and_rows(heard: pytest.LogCaptureFixture) -> None:
    with logged("princeton", 7, sql("SELECT {} FROM {} WHERE k = 'x'", "value", ident("t"))) as count:
        count(1_000)
        count(234)
    [record] = heard.records
    assert record.name == "djlink.servers"
    assert re.fullmatch(
        r"princeton#7 \d+\.\d ms, 1,234 rows: SELECT \? FROM `t` WHERE k = \?", record.getMessage()
    )


def test_an_error_is_logged_by_its_number_without_its_text(heard: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ServerError), logged("local", 7, "INSERT INTO t VALUES ('v')"):
        raise ServerError("Duplicate entry 'v' for key", code=1062, server="local")
    [message] = heard.messages
    assert message.startswith("local#7 ")
    assert message.endswith(" ms, ServerError 1062: INSERT INTO t VALUES (?)")


def test_of_many_megabytes_the_beginning_is_shown(heard: pytest.LogCaptureFixture) -> None:
    rows = b",".join([b"(1,_binary'\xff\\'secret\xfe')"] * 100_000)
    with logged("local", 7, b"INSERT INTO `t` VALUES " + rows) as count:
        count(100_000)
    [message] = heard.messages
    text = message.partition(" rows: ")[2]
    assert re.fullmatch(r"INSERT INTO `t` VALUES \(\?, …\), …(,\(?[?,\w ]*)? …", text)


def test_a_result_that_is_left_early_says_so(heard: pytest.LogCaptureFixture) -> None:
    def rows() -> object:
        with logged("local", 7, Sql("SELECT a FROM t")) as count:
            for _ in range(5):
                count(10)
                yield

    some = iter(rows())  # type: ignore[call-overload]
    next(some)
    next(some)
    some.close()
    assert "20 rows read, then left" in heard.messages[0]


def test_where_nobody_listens_nothing_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> str:
        raise AssertionError("a statement was rendered")

    monkeypatch.setattr(statement_log, "_text", never)
    assert not statement_log.LOG.isEnabledFor(logging.DEBUG)
    first, second = logged("local", 7, Sql("SELECT 1")), logged("local", 8, b"SELECT 2")
    assert first is second
    with first as count, second:
        count(1)


def test_the_library_installs_no_handler() -> None:
    assert not any(
        logging.getLogger(name).handlers for name in ("djlink", "djlink.servers", "djlink.reconcile")
    )
