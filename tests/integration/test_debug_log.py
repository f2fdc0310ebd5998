"""`--debug` on real servers: each statement with its time and rows, and no key, row value or password."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import run
from tests.support.invariants.secrecy import found, spellings
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

# each stands in a column of its own, as key or value; none of them looks like a count, a time or a name
TEXTS = {
    *("keyÄone'7", "key\\two", "keyfour", "keygone", "kepttext", "moretext\"'x", "latertext", "minetext"),
    *("wheretext", "reasontext"),
}
NUMBERS = {918273645, 918273646, 918273647, 918273648, 564738291, 564738292, 847362514}
DECIMALS = {"7391.4826", "-7391.4827"}
MOMENT, DAY = "1987-03-21 17:43:59", "1987-03-21"
BYTES = {b"\x00\xde\xad'\\\xbe\xef\x01", b"blobtext"}

LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} djlink\.(\w+): (.*)")
STATEMENT = re.compile(r"(\S+)#(\d+) (\d+\.\d) ms, ([\d,]+ rows?(?: read, then left)?|\w+(?: \d+)?): (.*)")


def lab(rig: Rig) -> dict[str, Any]:
    """Tables whose every key and value can be told apart, and a manifest with values of its own."""
    rig.run("lab_a", "CREATE DATABASE {lab}")
    rig.run(
        "lab_a",
        "CREATE TABLE {lab}.subject (name varchar(40) PRIMARY KEY, n bigint, d decimal(12,4), t datetime,"
        " b longblob)",
    )
    rig.run(
        "lab_a",
        "CREATE TABLE {lab}.session (name varchar(40), number bigint, note text DEFAULT NULL,"
        " PRIMARY KEY (name, number), FOREIGN KEY (name) REFERENCES {lab}.subject (name))",
    )
    rig.run(
        "lab_a",
        "CREATE TABLE {lab}.session__trial (name varchar(40), number bigint, trial bigint, v bigint,"
        " PRIMARY KEY (name, number, trial),"
        " FOREIGN KEY (name, number) REFERENCES {lab}.session (name, number))",
    )
    with rig.servers.lab_a.connect() as connection, connection.cursor() as cursor:
        for name, value in (("keyÄone'7", "7391.4826"), ("key\\two", "-7391.4827"), ("keyfour", None)):
            row = (name, 564738291, value, MOMENT, sorted(BYTES)[0] if value else sorted(BYTES)[1])
            cursor.execute(rig.sql("INSERT INTO {lab}.subject VALUES (%s, %s, %s, %s, %s)"), row)
            for number in (918273645, 918273646):
                cursor.execute(
                    rig.sql("INSERT INTO {lab}.session VALUES (%s, %s, %s)"), (name, number, "kepttext")
                )
                trial = (name, number, 918273647, 847362514)
                cursor.execute(rig.sql("INSERT INTO {lab}.session__trial VALUES (%s, %s, %s, %s)"), trial)
        connection.commit()
    rig.accounts({"lab_a": ["lab"]})
    tables = {
        "Subject": {"where": "name <> 'wheretext' AND COALESCE(d, 0) <> 564738292.25 AND n > 17"},
        "Session": {"where": {"note": ["kepttext", "moretext\"'x", "wheretext"]}},
    }
    document = rig.document({"lab_a": {"lab": {"tables": tables}}})
    document["defaults"] |= {
        "changed": "mend",
        "deletions": "auto",
        "unwanted": "release",
        "max_deletions": "100%",
    }
    return document


def change(rig: Rig) -> None:
    """What makes the next apply pull, pull again, refill, delete, approve and release."""
    local_schema = rig.local_schema("lab_a", "lab")
    requests = rig.outbound_table("lab", "session_deletion_requested")
    for server, text in (
        ("lab_a", "UPDATE {lab}.subject SET n = 564738292 WHERE name = 'keyfour'"),
        ("lab_a", "INSERT INTO {lab}.session VALUES ('keyfour', 918273648, 'moretext\"\\'x')"),
        (
            "lab_a",
            f"INSERT INTO {requests} (name, number, reason) VALUES ('keyfour', 918273645, 'reasontext')",
        ),
        (
            "lab_a",
            "UPDATE {lab}.session SET note = 'latertext' WHERE name = 'key\\\\two' AND number = 918273645",
        ),
        ("local", f"DELETE FROM `{local_schema}`.session__trial WHERE number = 918273646"),
        ("local", f"DELETE FROM `{local_schema}`.session WHERE number = 918273646"),
    ):
        rig.run(server, text)


def values() -> set[str]:
    """Every spelling of a key or value that a statement might hold."""
    texts = {text for each in TEXTS for text in (*spellings(each), each.replace("'", "''"))}
    raw = {text for each in BYTES for text in (each.hex(), repr(each)[2:-1], each.decode("latin1"))}
    numbers = {text for each in NUMBERS for text in (str(each), f"{each:x}")}
    found = texts | raw | numbers | DECIMALS | {MOMENT, DAY}
    return found | {each.upper() for each in found}


def assert_no_value(text: str) -> None:
    assert {each for each in values() if each in text} == set()
    assert not found(text)
    assert PASSWORD not in text


def statements(stderr: str) -> list[tuple[str, ...]]:
    """Server, session, milliseconds, rows and text of each statement that was logged."""
    logged = [LINE.fullmatch(line) for line in stderr.splitlines()]
    messages = [match[2] for match in logged if match and match[1] == "servers"]
    return [match.groups() for match in map(STATEMENT.fullmatch, messages) if match]


@alike
def test_debug_shows_every_statement_and_no_value_key_or_password(rig: Rig) -> None:
    path = rig.write(lab(rig))
    shown = ""
    for arguments, changes in (
        (("plan", "--debug"), False),
        (("apply", "--auto-approve", "--debug"), False),
        (("plan", "--verify", "--debug"), True),
        (("requests", "--debug"), False),
        (("apply", "--auto-approve", "--verify", "--debug"), False),
        (("doctor", "--debug"), False),
        (("explain", rig.address("lab_a", "lab", "Subject"), "name=keyfour", "--debug"), False),
    ):
        if changes:
            change(rig)
        code, out, err = run(rig, path, *arguments)
        assert code == 0 or arguments[0] == "doctor", out + err
        assert_no_value(err)
        found = statements(err)
        assert len(found) > 10, arguments
        assert {server for server, *_ in found} == {"lab_a", "local"}
        assert "Traceback" not in err
        shown += err
    texts = [text for *_, text in statements(shown)]
    for beginning in (
        "SELECT",
        "SET SESSION",
        "START TRANSACTION",
        "INSERT INTO",
        "CREATE TABLE",
        "DELETE",
        "UPDATE",
    ):
        assert any(text.startswith(beginning) for text in texts), beginning
    assert any(rows not in ("0 rows", "1 row") for *_, rows, _ in statements(shown))
    assert any("`name` <> ?" in text or "name <> ?" in text for text in texts)
    for part in ("manifest", "reconcile", "servers"):
        assert f" djlink.{part}: " in shown


def test_without_debug_nothing_is_logged(rig: Rig) -> None:
    code, out, err = run(rig, rig.write(lab(rig)), "plan")
    assert code == 0, out + err
    assert "djlink.servers" not in out + err


def test_an_error_of_a_server_is_logged_by_its_number(rig: Rig) -> None:
    document = lab(rig)
    document["sources"]["lab_a"]["schemas"][rig.names("lab")]["tables"]["Subject"] = {
        "where": "nothing = 'wheretext'"
    }
    code, _, err = run(rig, rig.write(document), "plan", "--debug")
    assert code == 1
    assert_no_value(err)


def test_python_programs_see_statements_where_they_ask_for_them(rig: Rig) -> None:
    path = rig.write(lab(rig))
    program = (
        "import logging, sys, djlink_manifest\n"
        "logging.basicConfig(level=logging.WARNING)\n"
        "if sys.argv[2:]: logging.getLogger('djlink.servers').setLevel(logging.DEBUG)\n"
        "djlink_manifest.load(sys.argv[1]).plan()\n"
    )
    for more in ([], ["all"]):
        done = command(rig, program, path, more)
        assert done.returncode == 0, done.stderr
        assert ("DEBUG:djlink.servers:local#" in done.stderr) == bool(more)
        assert_no_value(done.stderr)


def command(rig: Rig, program: str, path: Path, more: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, str(path), *more],
        env={**os.environ, **rig.environ},
        capture_output=True,
        text=True,
        check=False,
    )
