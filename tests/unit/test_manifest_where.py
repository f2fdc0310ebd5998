"""`where`: its three forms as conditions, and the SQL that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.manifest.conditions.check import check
from djlink_manifest.manifest.conditions.names import column_names, functions_called
from djlink_manifest.manifest.conditions.tokens import Refused
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, SqlCondition
from tests.unit.manifest_cases import one, rule, told


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ("\"date > '2020-01-01'\"", SqlCondition("date > '2020-01-01'")),
        ("a = 1", SqlCondition("a = 1")),
        ('"  a = 1\\n "', SqlCondition("a = 1")),
        ("{a: 1}", Equals("a", (1,))),
        ("{a: text}", Equals("a", ("text",))),
        ("{a: null}", Equals("a", (None,))),
        ("{a: }", Equals("a", (None,))),
        ("{a: true}", Equals("a", (True,))),
        ("{a: 0.5}", Equals("a", (0.5,))),
        ("{a: 2020-01-01}", Equals("a", ("2020-01-01",))),
        ('{a: "1.10"}', Equals("a", ("1.10",))),
        ("{a: [1, x, null]}", Equals("a", (1, "x", None))),
        ("{b: 1, a: 2}", AllOf((Equals("a", (2,)), Equals("b", (1,))))),
        ("[a > 1]", SqlCondition("a > 1")),
        ("[{a: 1}, b > 2]", AnyOf((Equals("a", (1,)), SqlCondition("b > 2")))),
        (
            "[{a: 1, b: [2, 3]}, {c: 4}]",
            AnyOf((AllOf((Equals("a", (1,)), Equals("b", (2, 3)))), Equals("c", (4,)))),
        ),
    ],
)
def test_each_form_is_a_condition(tmp_path: Path, said: str, condition: Condition) -> None:
    assert rule(tmp_path, f"where: {said}").options.where == condition


def test_no_where_is_no_condition(tmp_path: Path) -> None:
    assert rule(tmp_path, "pull: all").options.where is None


@pytest.mark.parametrize(
    ("said", "summary", "help"),
    [
        ("▸where: []", "`where` is an empty list", "pull: none"),
        ("▸where: {}", "`where` is an empty mapping", "remove `where`"),
        ('where: ▸""', "`where` is empty", None),
        ('where: ▸" "', "`where` is empty", None),
        ("▸where: ", "`where` has no value", "remove the line"),
        ("where: ▸1", "`where` is SQL text, a mapping", "quote SQL"),
        ("where: ▸true", "`where` is SQL text, a mapping", None),
        ("where: [▸1]", "`where` is SQL text, a mapping", None),
        ("where: [▸null]", "`where` is SQL text, a mapping", None),
        ("where: [a, ▸[b]]", "a list inside the list", "combined with OR"),
        ("where: [a, ▸{}]", "`where` is an empty mapping", None),
        ("where: {▸a: []}", "an empty list of values", "pull: none"),
        ("where: {a: [1, ▸[2]]}", "a value must be text, a number", None),
        ("where: {a: [1, ▸{b: 1}]}", "a value must be text, a number", None),
        ("where: {▸a: {b: 1}}", "a value must be text, a number", "for comparisons, write SQL"),
        ('where: {▸"a b": 1}', "the column name contains a space", None),
        ('where: {▸"": 1}', "the column name is empty", None),
        ("where: {▸a`b: 1}", "the column name contains a backtick", None),
        (f"where: {{▸{'x' * 65}: 1}}", "the column name is longer than 64", None),
        (
            'where: ▸"a = 1; b"',
            "`where` is refused: a `;`; only one condition is allowed, at `; b`",
            "one condition on the table's own columns",
        ),
        ('where: ▸"a = 1\\0"', "`where` is refused: a NUL character", None),
        ('where: [{a: 1}, ▸"a = (1"]', "`where` is refused: an unclosed parenthesis", "one condition"),
    ],
)
def test_what_is_no_condition_is_told_at_its_place(
    tmp_path: Path, said: str, summary: str, help: str | None
) -> None:
    found = told(tmp_path, one(said))
    assert summary in found.summary
    assert "\0" not in found.summary
    assert help is None or help in str(found.help)


ALLOWED = [
    "a = 1",
    "a > 1 AND (b < 2 OR c IS NULL)",
    "note = 'it''s; -- # /* SELECT'",
    r"note = 'it\'s; SELECT'",
    r"note = 'ends in \\'",
    "note = \"a 'quote' ; \"",
    'note = "a ""quote"" ; "',
    "`odd;name` = 1",
    "`a``b` = 1",
    "`select` = 1",
    "a LIKE '%x\\_%'",
    "a BETWEEN 1 AND 2",
    "a IN (1, 2, 3)",
    "a IN ('x')",
    "NOT a",
    "date >= '2020-01-01' AND date < '2021-01-01'",
    "YEAR(date) = 2020",
    "date > '2020-01-01' + INTERVAL 3 DAY",
    "REPLACE(a, 'x', 'y') = 'z'",
    "INSERT(a, 1, 2, 'y') = 'z'",
    "SUBSTRING(a FROM 1 FOR 2) = 'ab'",
    "a->>'$.x' = 1",
    "JSON_EXTRACT(a, '$.x') = 1",
    "a REGEXP '^x.*$'",
    "CASE WHEN a THEN 1 ELSE 2 END = 1",
    "user = 'x' AND version = 2 AND uuid = 'y'",
    "sleep = 1",
    "next = 1",
    "a = x'ff' AND b = N'ü'",
    "größe > 1",
    "lab.subject = 1",
    "a - -1 > 0",
    "a % 2 = 0 && b || !c",
    "a\t=\n1",
    "UNIX_TIMESTAMP(date) > 5",
    "selected = 1",
    "a = 1.5e3",
    "a = 1.5e-3 AND b = .5 AND c = 2.E3 AND d = 0xFF AND e = 0b01 AND f = b'01'",
    "a = _utf8mb4'x' COLLATE utf8mb4_bin",
    "a = _latin1 x'e4'",
    "CONVERT(a USING latin1) = CAST(b AS CHAR(3) CHARACTER SET utf8mb4)",
    "MATCH (a) AGAINST ('+x' IN BOOLEAN MODE)",
    "(a, b) IN ((1, 2), (3, 4)) AND ROW(a, b) = ROW(1, 2)",
    "TIMESTAMPDIFF(DAY, a, b) > 3 AND d > DATE '2020-01-01' AND EXTRACT(YEAR FROM a) = 1",
    "INTERVAL(a, 1, 2) = 1",
    "IF(a, LEFT(b, 2), REPEAT(c, 2)) = ''",
    "TRIM(BOTH 'x' FROM a) = 'y' AND a SOUNDS LIKE b",
    "1 MEMBER OF (a) AND JSON_VALUE(a, '$.x' RETURNING SIGNED) = 1",
    "`rank` = 1 AND `groups` = 2",
]

CHANGING = [
    "d > NOW()",
    "d > now ( )",
    "d > CURDATE()",
    "d > CURRENT_DATE",
    "d > current_timestamp",
    "d > CURRENT_TIMESTAMP(6)",
    "d > LOCALTIME",
    "d > UTC_DATE",
    "d > UTC_TIMESTAMP()",
    "d > SYSDATE()",
    "d > UNIX_TIMESTAMP()",
    "RAND() < 0.5",
    "a = UUID()",
    "a = USER()",
    "a = CURRENT_USER",
    "a = CURRENT_USER()",
]

REFUSED = [
    ("", "empty"),
    ("  \n", "empty"),
    ("a = 1;", "`;`"),
    ("a = 1 -- x", "comment"),
    ("a = 1 --x", "comment"),
    ("a = 1 # x", "comment"),
    ("a = 1 /* x */", "comment"),
    ("a = 1 /*! OR 1 */", "comment"),
    ("a = 1 */", "comment"),
    ("(a = 1", "an unclosed parenthesis"),
    ("a = 1)", "a closing parenthesis without an opening one"),
    ("a = 1) OR (b = 2", "a closing parenthesis without an opening one"),
    ("a = 'x", "quote"),
    ('a = "x', "quote"),
    ("a = `x", "quote"),
    (r"a = 'x\'", "quote"),
    ("a = 'x''", "quote"),
    ("a IN (SELECT 1)", "subquery"),
    ("a IN (select b from c)", "subquery"),
    ("EXISTS (TABLE t)", "subquery"),
    ("a = ANY (VALUES ROW(1))", "`ANY()`"),
    ("a IN (WITH x AS (y) z)", "subquery"),
    ("a UNION b", "subquery"),
    ("a INTO OUTFILE 'x'", "INTO"),
    ("a into b", "INTO"),
    ("a = @x", "variable"),
    ("a = @@global.x", "variable"),
    ("(@x := 1)", "variable"),
    ("a := 1", "`:`"),
    ("a = :x", "`:`"),
    ("a = ?", "`?`"),
    ("a = {d '2020-01-01'}", "`{`"),
    ("a = \\N", "`\\`"),
    ("SLEEP(1)", "SLEEP"),
    ("sleep (1)", "SLEEP"),
    ("sleep\n\t(1)", "SLEEP"),
    ("`sleep`(1)", "a stored function"),
    ("śléép(1)", "`śléép()`"),
    ("a OR BENCHMARK(1, 1)", "BENCHMARK"),
    ("GET_LOCK('a', 1)", "GET_LOCK"),
    ("RELEASE_LOCK('a')", "RELEASE_LOCK"),
    ("RELEASE_ALL_LOCKS()", "RELEASE_ALL_LOCKS"),
    ("IS_FREE_LOCK('a')", "IS_FREE_LOCK"),
    ("LOAD_FILE('/etc/passwd') = 1", "LOAD_FILE"),
    ("LAST_INSERT_ID(5)", "LAST_INSERT_ID"),
    ("MASTER_POS_WAIT('a', 1)", "MASTER_POS_WAIT"),
    ("NEXTVAL(s)", "NEXTVAL"),
    ("NEXT VALUE FOR s", "NEXT VALUE"),
    ("lab.f(1)", "stored function"),
    ("lab . `f` (1)", "stored function"),
    ("WHERE a = 1", "write only the condition"),
    ("a = 1 LIMIT 5", "write only the condition"),
    ("a = 1 ORDER BY b", "write only the condition"),
    ("a GROUP BY b", "write only the condition"),
    ("DELETE FROM x", "write only the condition"),
    ("REPLACE x", "write only the condition"),
    ("a OVER (x)", "write only the condition"),
    ("a = '\0'", "NUL"),
    ("a\0", "NUL"),
    ("a \x01", "control"),
    # functions and words that no list has
    ("sys_eval('id')", "`sys_eval()` is not among"),
    ("my_udf(a)", "`my_udf()` is not among"),
    ("sys_exce(1)", "`sys_exce()` is not among"),
    ("conact(a, b)", "did you mean `concat`"),
    ("a = DATABASE()", "`DATABASE()`"),
    ("a = CONNECTION_ID()", "`CONNECTION_ID()`"),
    ("a = `now`()", "a stored function"),
    ("`lab`.`f`(1)", "a stored function"),
    ("lab.now()", "a stored function"),
    ("VALUES(a) = 1", "subquery"),
    ("JSON_TABLE(a, '$' COLUMNS (x int PATH '$')) = 1", "subquery"),
    ("LATERAL (a)", "subquery"),
    ("COUNT(*) > 1", "`COUNT()`"),
    ("SUM(a) OVER (x)", "`SUM()`"),
    ("ROW_NUMBER() = 1", "`ROW_NUMBER()`"),
    ("GROUPING(a)", "`GROUPING()`"),
    ("DEFAULT(a) = 1", "`DEFAULT()`"),
    ("LASTVAL(s)", "`LASTVAL()`"),
    ("PREVIOUS VALUE FOR s = 1", "PREVIOUS VALUE FOR"),
    ("next\nvalue\tfor s", "NEXT VALUE FOR"),
    ("SETVAL(s, 1)", "`SETVAL()`"),
    ("a = 1 FOR UPDATE", "the word `UPDATE`".replace("the word ", "")),
    ("a = 1 LOCK IN SHARE MODE", "`LOCK`"),
    ("a FETCH FIRST 1 ROWS ONLY", "`FETCH`"),
    ("a = 1 OFFSET 3", "`OFFSET`"),
    ("a = 1 QUALIFY b", "the word `QUALIFY`"),
    ("a = ALL", "the word `ALL`"),
    ("a COLLATE select", "subquery"),
    ("a COLLATE primary", "the word `primary`"),
    ("a COLLATE utf8mb4_bin(1)", "`utf8mb4_bin()`"),
    ("_utf8mb4(1)", "`_utf8mb4()`"),
    ("CHARSET sleep(1)", "`sleep()`"),
    ("CONVERT(a USING sleep(1))", "`sleep()`"),
    ("\u212a(a)", "`\u212a()`"),
    ("wee\u212a(a)", "is not among"),
    ("ſin(a)", "is not among"),
    ("ｓｌｅｅｐ(1)", "is not among"),
    ("a = x'4\\'' OR sleep(1) OR 'x'", "not hexadecimal"),
    ("a = b'2'", "not binary"),
    ("a = x'abc'", "not hexadecimal"),
    ("a \U0001f600", "no name can have"),
    ("a /*! UNION SELECT 1 */", "comment"),
    ("a /*M! OR 1 */", "comment"),
    ("a /*!99999 ) */", "comment"),
    ("@a", "variable"),
    ("a @@b", "variable"),
    ("a = :=", "`:`"),
]


@pytest.mark.parametrize("text", ALLOWED)
def test_a_condition_is_allowed(text: str) -> None:
    check(text)
    check(text, steady=True)


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_more_than_a_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(Refused) as raised:
        check(text)
    assert message.lower() in raised.value.message.lower()


@pytest.mark.parametrize(
    ("text", "columns", "functions"),
    [
        ("a = 1 AND `b c` > x'00'", {"a", "b c"}, set()),
        ("lab.subject = 1.5e3", {"subject"}, set()),
        ("t.a = _utf8mb4'x' COLLATE utf8mb4_bin", {"a"}, set()),
        ("CONVERT(a USING latin1) = N'x'", {"a"}, {"CONVERT"}),
        ("IF(a IN (b), LEFT(c, 2), 'd') LIKE e", {"a", "b", "c", "e"}, {"IF", "LEFT"}),
        ("`now` = 1 OR now() > date", {"now"}, {"now"}),
        ("a AND A", {"a"}, set()),
        ("größe > GRÖSSE", {"größe"}, set()),
        ("d > CURRENT_DATE - INTERVAL 3 DAY", {"d"}, set()),
    ],
)
def test_what_a_condition_names_is_found(text: str, columns: set[str], functions: set[str]) -> None:
    check(text)
    assert {token.text for token in column_names(text)} == columns
    assert {token.text for token in functions_called(text)} == functions


@pytest.mark.parametrize("text", CHANGING)
def test_what_changes_by_itself_is_refused_only_where_wanted_no_longer_means_deleted(text: str) -> None:
    check(text)
    with pytest.raises(Refused) as raised:
        check(text, steady=True)
    assert "changes over time" in raised.value.message


def test_the_place_of_the_offence_is_kept() -> None:
    with pytest.raises(Refused) as raised:
        check("note = ';' AND a;b")
    assert raised.value.at == len("note = ';' AND a")


STRINGS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def quoted(text: str, quote: str) -> str:
    escaped = text if quote == "`" else text.replace("\\", "\\\\")
    return quote + escaped.replace(quote, quote * 2) + quote


@given(STRINGS, st.sampled_from("'\"`"))
def test_whatever_stands_in_quotes_is_no_sql(text: str, quote: str) -> None:
    check(f"a = {quoted(text, quote)} AND b", steady=True)


@given(
    STRINGS, st.sampled_from("'\"`"), st.sampled_from(["; x", "(", "SELECT", "@a", "-- ", "#", "sleep(1)"])
)
def test_what_stands_after_a_quote_is_seen(text: str, quote: str, more: str) -> None:
    with pytest.raises(Refused):
        check(f"a = {quoted(text, quote)} {more}")


@given(st.text())
def test_any_text_is_allowed_or_refused(text: str) -> None:
    assert 0 <= offence(text) <= len(text)


def offence(text: str) -> int:
    """Where the text is refused; 0 where it is not."""
    try:
        check(text, steady=True)
    except Refused as refused:
        return refused.at
    return 0
