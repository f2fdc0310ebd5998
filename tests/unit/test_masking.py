"""Secrets and values of rows in what servers say: none is repeated."""

from __future__ import annotations

import base64
import json
import re
import time
from html import escape
from urllib.parse import quote, quote_plus

import pymysql
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from djlink_manifest.errors import RowsRefused
from djlink_manifest.model.server.address import Secret, ServerAddress
from djlink_manifest.model.server.masking import MASK, masked
from djlink_manifest.servers.session.errors import translated, unreachable
from djlink_manifest.servers.session.server_words import MOST_SAID, without_values
from tests.support.invariants.secrecy import SECRETS, spellings

PASSWORDS = st.text(st.characters(codec="utf-8"), min_size=6, max_size=24).filter(lambda s: len(set(s)) > 3)


def address(password: str) -> ServerAddress:
    return ServerAddress("lab_a", "h", 3306, "link", Secret(password))


def forms(secret: str) -> dict[str, str]:
    """How libraries, servers and proxies write a text that they repeat."""
    raw = secret.encode()
    return {
        "as it is": secret,
        "repr": repr(secret)[1:-1],
        "repr of bytes": repr(raw)[2:-1],
        "JSON": json.dumps(secret)[1:-1],
        "JSON in UTF-8": json.dumps(secret, ensure_ascii=False)[1:-1],
        "doubled quotes": secret.replace("'", "''"),
        "SQL escapes": secret.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"'),
        "a URL": quote(secret, safe=""),
        "a form": quote_plus(secret),
        "a URL in lower case": re.sub("%..", lambda m: m[0].lower(), quote(secret, safe="")),
        "HTML": escape(secret),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(raw).decode(),
        "Latin 1": raw.decode("latin-1"),
    }


@given(secret=PASSWORDS)
@example(secret="s3cr3t'\"%s{x}`\\é€")
@example(secret="p\u00e4ss w\u00f6rd")
def test_a_secret_is_masked_however_it_is_spelled(secret: str) -> None:
    for name, form in forms(secret).items():
        told = masked(f"denied [{form}] to you", [secret])
        assert MASK in told, (name, told)
        assert form.strip("=") not in told.replace(MASK, ""), (name, told)


@pytest.mark.parametrize("user", ["", "l", "li", "link", "a-long-name-of-a-user"])
@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_a_secret_within_a_text_in_base64_is_masked(secret: str, user: str) -> None:
    header = base64.b64encode(f"{user}:{secret}@host".encode()).decode()
    told = masked(f"Authorization: Basic {header}", [secret])
    kept = told.removeprefix("Authorization: Basic ").split(MASK)
    assert len(kept) == 2
    shown = sum(len(each) for each in kept) * 6 / 8
    assert shown <= len(f"{user}:@host") + 4, "of the secret itself hardly a byte is left"


def test_what_the_tests_look_for_is_masked() -> None:
    for secret in SECRETS:
        for form in spellings(secret):
            assert form not in masked(f"({form})", [secret])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Access denied for user 'ab'", "Access denied for user '***'"),
        ("about a cab: ab", "about a cab: ***"),
        ("nothing", "nothing"),
    ],
)
def test_a_short_secret_is_masked_where_it_stands_by_itself(words: str, told: str) -> None:
    assert masked(words, ["ab"]) == told
    assert masked(words, [""]) == words


@pytest.mark.parametrize("before", range(MOST_SAID - 12, MOST_SAID + 3))
@pytest.mark.parametrize("after", [0, 100_000])
def test_a_secret_that_is_cut_off_is_masked_first(before: int, after: int) -> None:
    secret = "correct-horse-battery"
    error = pymysql.err.OperationalError(4999, "x" * before + secret + "y" * after)
    for found in (translated(error, address(secret), None), unreachable(error, address(secret))):
        assert not any(secret[:size] in found.message for size in range(3, len(secret)))
        assert not any(secret[:size] in found.said for size in range(3, len(secret)))


@pytest.mark.parametrize("number", [1045, 1062, 1146, 2003, 2013, 1205, 4999, 1142, 1050, 0, 65000, -5])
def test_no_error_of_a_server_repeats_the_password(number: int) -> None:
    for secret in SECRETS:
        for form in spellings(secret):
            error = pymysql.err.OperationalError(number, f"you said {form} to table 'x' in 'y'")
            told = translated(error, address(secret), None)
            refused = unreachable(error, address(secret))
            for found in (told, refused):
                assert form not in f"{found} {found.said} {found.hint}"


# `Smith` is a value, and what is expected has … in its place
ROWS = {
    "Duplicate entry 'Smith, John' for key 'person.name'": " for key 'person.name'",
    "Duplicate entry 'O'Smith' for key 'Smith' for key 'k'": " for key 'k'",
    "Duplicate entry 'Smith' at row 1 for key 'k'": " for key 'k'",
    "Incorrect integer value: 'Smith' for column 'v' at row 1": " for column 'v' at row 1",
    "Incorrect double value: 'Smith' for column `s`.`t`.`c` at row 7": " for column `s`.`t`.`c` at row 7",
    "Incorrect string value: 'Smith' for function uuid_to_bin": " for function uuid_to_bin",
    "Truncated incorrect DOUBLE value: 'Smith'": "",
    "BIGINT value is out of range in '(`t`.`a` - Smith)'": "",
    "Invalid JSON text: 'Smith\" at position 3 in value for key 'c'": " at position 3 in value for key 'c'",
    "You have an error in your SQL syntax near 'Smith'' at line 3": " at line 3",
    "Got 'column 'Smith'' in it": "",
}


@pytest.mark.parametrize("words", ROWS)
def test_values_of_rows_are_left_out_of_what_servers_say(words: str) -> None:
    assert without_values(words) == words[: words.index("'")] + "'…'" + ROWS[words]
    assert "Smith" not in without_values(words)


@pytest.mark.parametrize(
    "words",
    [
        "Table 'lab.session' doesn't exist",
        "Unknown column 'nothing' in 'where clause'",
        "Access denied for user 'link'@'10.0.0.1' to database 'lab'",
        "SELECT command denied to user 'link'@'%' for table 'session'",
        "Cannot add or update a child row: a foreign key constraint fails (`a`.`b`, CONSTRAINT `k` FOREIGN"
        " KEY (`c`) REFERENCES `d` (`e`))",
        "Referencing column 'a' and referenced column 'b' in foreign key constraint 'k' are incompatible.",
        "Check constraint 'small' is violated.",
        "Data too long for column 'name' at row 1",
        "Field 'x' doesn't have a default value",
    ],
)
def test_names_in_what_servers_say_are_kept(words: str) -> None:
    assert without_values(words) == words


@given(value=st.text("aé' \"`;:()\\x", min_size=1, max_size=30))
def test_a_duplicate_value_is_never_repeated_whatever_it_holds(value: str) -> None:
    found = without_values(f"Duplicate entry '{value}ZZZ{value}' for key 'person.name'")
    assert "ZZZ" not in found
    assert found.endswith("for key 'person.name'")


def test_what_a_trigger_says_of_a_row_is_not_repeated() -> None:
    error = pymysql.err.OperationalError(1644, "Smith is too old")
    found = translated(error, address("x" * 9), None)
    assert isinstance(found, RowsRefused)
    assert "Smith" not in f"{found.message} {found.said}"


@pytest.mark.parametrize(
    "text",
    ["'" * 10**6, "a's " * 10**6, "column '" * 10**5, " for key 'x'" * 10**5, "`" * 10**6, "user " * 10**6],
    ids=lambda text: text[:9],
)
def test_long_words_are_looked_at_in_time(text: str) -> None:
    began = time.monotonic()
    translated(pymysql.err.OperationalError(1292, text), address("secret-of-mine"), None)
    assert time.monotonic() - began < 2
