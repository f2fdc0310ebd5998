"""Keys as a person writes them on the command line."""

from __future__ import annotations

import pytest

from djlink_manifest.errors import Location, UsageError
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.reconcile.explain.key import parse_key

COLUMNS = (
    Column("session", "int"),
    Column("subject", "varchar(9)", charset="utf8mb4"),
    Column("day", "date"),
    Column("uuid", "binary(16)"),
)


def link(*key: str) -> Link:
    table = TableDefinition("lab", "t", COLUMNS, key)
    where = Location("f", 1, 1)
    sides = (table, table, "out", "lab_t", (), ())
    return Link("a.lab.T", "a", *sides, None, "all", "keep", "review", where)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("subject=A1,session=3", ("A1", "3")),
        (" session = 3 , subject = A=1 ", ("A=1", "3")),
        ('{"subject": "A, 1", "session": 3}', ("A, 1", "3")),
        ('{"session": "-3", "subject": ""}', ("", "-3")),
    ],
)
def test_pairs_and_json_give_the_values_in_the_keys_order(text: str, values: tuple[str, ...]) -> None:
    assert parse_key([text], link("subject", "session")) == values


@pytest.mark.parametrize(
    "text", ["uuid=0x000102030405060708090a0b0c0d0e0f", "uuid=00010203-0405-0607-0809-0a0b0c0d0e0f"]
)
def test_bytes_are_written_in_hex_or_as_a_uuid(text: str) -> None:
    assert parse_key([text], link("uuid")) == (bytes(range(16)),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("subject=A1", "lacks `session`"),
        ("subject=A1,session=3,day=x", "`day` is not a primary key attribute"),
        ("subject=A1,session=x", "`session` is a number"),
        ("subject=A1,session=1 OR 1=1", "`session` is a number"),
        ("subject=A1,subject=A2,session=1", "twice"),
        ("subject", "is not `attribute=value`"),
        ('{"subject": null, "session": 1}', "must be text or numbers"),
        ('{"subject": ', "not JSON"),
    ],
)
def test_what_is_no_key_is_told_with_how_it_is_written(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        parse_key([text], link("subject", "session"))
    assert "subject=…,session=…" in str(error.value.hint)


def test_bytes_that_are_not_hex_are_told() -> None:
    with pytest.raises(UsageError, match="is not in hex"):
        parse_key(["uuid=abc"], link("uuid"))


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("subject=A1", "session=3"), ("A1", "3")),
        (("session=3", "subject=A1"), ("A1", "3")),
        (("subject=A1,", "session=3"), ("A1", "3")),
        (("subject=A1,left", "session=3"), ("A1,left", "3")),
        (('{"subject": "A1",', '"session": 3}'), ("A1", "3")),
    ],
)
def test_a_key_may_come_in_several_words(words: tuple[str, ...], values: tuple[str, ...]) -> None:
    assert parse_key(words, link("subject", "session")) == values


@pytest.mark.parametrize("words", [("subject=A1", "3"), ("subject=A1", "subject=A2"), ("subject=A1", "")])
def test_words_that_are_no_key_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        parse_key(words, link("subject", "session"))
