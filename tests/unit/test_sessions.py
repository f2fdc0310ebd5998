"""A session that reads has no way to write, and whoever observes has no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.session.temporary import TemporaryTables
from djlink_manifest.servers.sql import Sql, table

ROOT = Path(__file__).parents[2] / "djlink_manifest"
READS = ("reconcile/observe", "reconcile/doctor", "reconcile/explain", "reconcile/bootstrap", "report", "cli")
OWN, NEXT, OTHER = table("out", "~djlink_1"), table("out", "~djlink_2"), table("lab", "subject")


def public(of: type) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def test_what_a_reading_session_can_do_is_told_one_by_one() -> None:
    assert public(Session) == {
        *(
            "dialect",
            "rows",
            "row",
            "value",
            "count",
            "check",
            "raw_rows",
            "stream",
            "packets",
            "pieces",
            "snapshot",
            "reading",
        ),
        *("take_role", "set_up", "close", "interrupt", "MODE"),
    }


def test_what_writes_is_the_writers_alone() -> None:
    assert public(Writer) - public(Session) == {"execute", "send", "load", "ddl", "transaction"}
    assert (Session.MODE, Writer.MODE) == ("READ ONLY", "READ WRITE")


def named_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name


@pytest.mark.parametrize("folder", READS)
def test_who_reads_knows_no_writer(folder: str) -> None:
    knowing = [path for path in (ROOT / folder).rglob("*.py") if "Writer" in named_in(path)]
    assert knowing == []


def test_nobody_reaches_behind_a_session() -> None:
    behind = {"_run", "_send", "_errors", "_unbuffered", "_rollback"}
    for path in ROOT.rglob("*.py"):
        if path.parent != ROOT / "servers" / "session":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in behind:
                    assert ast.unparse(node.value) == "self", (path, node.lineno)


class Sent:
    """What would go to a server."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, statement: Sql | str | bytes) -> int:
        match statement:
            case Sql(text=text) | str(text):
                self.texts.append(text)
            case bytes():
                self.texts.append(statement.decode())
        return 0


def made(*, reads: bool) -> tuple[TemporaryTables, list[str]]:
    sent = Sent()
    tables = TemporaryTables(sent, reads=reads)
    tables.create(OWN, "a int")
    return tables, sent.texts


def test_a_reader_may_write_while_it_makes_and_drops_and_for_nothing_else() -> None:
    tables, texts = made(reads=True)
    tables.truncate(OWN)
    tables.insert(OWN, ["a"], Sql("SELECT 1"))
    tables.insert_rows(OWN, f"INSERT INTO {OWN.text} (`a`) VALUES (1)".encode())
    tables.number_from(OWN, 7)
    tables.settle()
    tables.settle()
    tables.delete(OWN)
    begun, ended = "SET SESSION TRANSACTION READ WRITE", "SET SESSION TRANSACTION READ ONLY"
    assert texts == [
        *(begun, f"CREATE TEMPORARY TABLE {OWN.text} (a int) ENGINE=InnoDB"),
        *(f"TRUNCATE TABLE {OWN.text}", ended),
        f"INSERT INTO {OWN.text} (`a`) SELECT 1",
        f"INSERT INTO {OWN.text} (`a`) VALUES (1)",
        *(begun, f"ALTER TABLE {OWN.text} AUTO_INCREMENT = 7", ended),
        f"DELETE FROM {OWN.text}",
    ]


def test_what_a_reader_drops_goes_when_it_makes_the_next() -> None:
    tables, texts = made(reads=True)
    tables.create(NEXT, "a int")
    tables.delete(OWN)
    before = list(texts)
    tables.drop(NEXT)
    tables.drop(OWN)
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.delete(OWN)
    assert texts == before
    tables.create(OWN, "b int")
    assert texts[len(before) :] == [
        "SET SESSION TRANSACTION READ WRITE",
        f"DROP TEMPORARY TABLE IF EXISTS {NEXT.text}, {OWN.text}",
        f"CREATE TEMPORARY TABLE {OWN.text} (b int) ENGINE=InnoDB",
    ]


def test_a_writer_may_write_all_the_time() -> None:
    tables, texts = made(reads=False)
    tables.truncate(OWN)
    tables.drop(OWN)
    assert [text.split()[0] for text in texts] == ["CREATE", "TRUNCATE", "DROP"]


@pytest.mark.parametrize("reads", [False, True])
def test_a_table_that_is_left_behind_is_dropped_before_it_is_made_anew(*, reads: bool) -> None:
    tables, texts = made(reads=reads)
    tables.create(OWN, "b int")
    words = [text.split()[0] for text in texts if not text.startswith("SET")]
    assert words == ["CREATE", "DROP", "CREATE"]


def test_a_table_that_is_none_of_the_sessions_is_no_target() -> None:
    tables, texts = made(reads=True)
    before = list(texts)
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.insert(OTHER, ["a"], Sql("SELECT 1"))
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.insert_once(OTHER, ["a"], Sql("SELECT 1"))
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.insert_rows(OTHER, f"INSERT INTO {OTHER.text} (`a`) VALUES (1)".encode())
    with pytest.raises(ValueError, match="not an INSERT into"):
        tables.insert_rows(OWN, f"INSERT INTO {OTHER.text} (`a`) VALUES (1)".encode())
    for refused in (tables.delete, tables.truncate):
        with pytest.raises(ValueError, match="not a temporary table"):
            refused(OTHER)
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.delete_joined(OTHER, Sql("JOIN x"), Sql("TRUE"))
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.update(OTHER, {"a": Sql("1")}, Sql("TRUE"))
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.number_from(OTHER, 1)
    tables.drop(OTHER)  # nothing to drop
    assert texts == before
    tables.drop(OWN)
    with pytest.raises(ValueError, match="not a temporary table"):
        tables.delete(OWN)
