"""A session that reads cannot write on real servers: whatever it is made to send, no table changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.address import Secret, ServerAddress
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, sql, table
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE
from tests.support.sql import run_all

BOTH = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
READ_ONLY = 1792
WRITES = (
    "INSERT INTO {t} VALUES (3, 3)",
    "INSERT INTO {t} SELECT id + 10, v FROM {t}",
    "REPLACE INTO {t} VALUES (1, 9)",
    "UPDATE {t} SET v = 9",
    "DELETE FROM {t}",
    "TRUNCATE TABLE {t}",
    "DROP TABLE {t}",
    "ALTER TABLE {t} ADD w int",
    "CREATE TABLE {s}.u (a int)",
    "CREATE VIEW {s}.u AS SELECT 1 AS a",
    "RENAME TABLE {t} TO {s}.u",
    "CREATE SCHEMA {s}x",
    "LOCK TABLES {t} WRITE",
    "SELECT * FROM {t} FOR UPDATE",
)


@pytest.fixture
def reader(rig: Rig) -> Iterator[Session]:
    """A reading session of an account that may do everything."""
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.t (id int PRIMARY KEY, v int)",
        "INSERT INTO {lab}.t VALUES (1, 1), (2, 2)",
        f"CREATE USER `{rig.names('admin')}`@`%` IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON *.* TO `{rig.names('admin')}`@`%`",
    )
    server = rig.servers.lab_a
    address = ServerAddress("lab_a", server.host, server.port, rig.names("admin"), Secret(PASSWORD))
    with closing(open_session(address, Session)) as session:
        yield session


@pytest.fixture
def unchanged(rig: Rig, reader: Session) -> Iterator[Callable[[], None]]:
    """Whether the table is as it was, asked by another; at the end of the test in any case."""

    def check() -> None:
        assert rig.run("lab_a", "SELECT id, v FROM {lab}.t ORDER BY id") == [(1, 1), (2, 2)]
        assert rig.run("lab_a", f"SHOW TABLES FROM `{rig.names('lab')}`") == [("t",)]

    yield check
    check()


def texts(rig: Rig) -> list[Sql]:
    schema = f"`{rig.names('lab')}`"
    return [Sql(text.format(t=f"{schema}.t", s=schema).replace("`x", "x`")) for text in WRITES]


@BOTH
def test_nothing_that_reads_takes_a_statement_that_writes(
    rig: Rig, reader: Session, unchanged: Callable[[], None]
) -> None:
    for text in texts(rig)[:-1]:
        for send in (reader.rows, reader.row, reader.count):
            with pytest.raises(ValueError, match="not a statement that reads"):
                send(text)
        for stream in (reader.stream, reader.packets, reader.pieces):
            with pytest.raises(ValueError, match="not a statement that reads"):
                list(stream(text))
    unchanged()


@BOTH
def test_the_server_refuses_what_is_sent_all_the_same(
    rig: Rig, reader: Session, unchanged: Callable[[], None]
) -> None:
    for text in texts(rig):
        with pytest.raises(ServerError) as caught:
            reader._run(text)
        assert caught.value.code == READ_ONLY, text
        unchanged()
    if rig.servers.lab_a.vendor == "mysql":
        beginning = Sql(f"WITH x AS (SELECT 1) DELETE FROM `{rig.names('lab')}`.t")
        with pytest.raises(ServerError, match="READ ONLY"):
            reader.rows(beginning)
    # and so inside of its transactions
    for begun in (reader.snapshot, reader.reading):
        with begun(), pytest.raises(ServerError, match="READ ONLY"):
            reader._run(texts(rig)[0])


@BOTH
def test_its_own_temporary_tables_are_all_that_it_writes(
    rig: Rig, reader: Session, unchanged: Callable[[], None]
) -> None:
    own = table(rig.names("lab"), "t")
    keys = TemporaryTable(
        reader, (rig.names("lab"), "~djlink_1"), [Column("id", "int")], "`id` int PRIMARY KEY, v int"
    )
    beside = TemporaryTable(
        reader, (rig.names("lab"), "~djlink_2"), [Column("id", "int")], "`id` int PRIMARY KEY"
    )
    with keys, beside:
        assert keys.add([(b"1",), (b"7",)]) == 2
        keys.add_once(sql("SELECT id FROM {}", own))
        assert keys.counted() == 3
        assert beside.add_from(sql("SELECT id FROM {}", own)) == 2
        match = sql("JOIN {} b ON b.id = d.id", beside.name)
        assert keys.update({"v": Sql("5")}, Sql("TRUE"), match) == 2
        with pytest.raises(ServerError, match="READ ONLY"):
            keys.update({"v": Sql("5")}, Sql("TRUE"), sql("JOIN {} t ON t.id = d.id", own))
        match = sql("JOIN {} t ON t.id = {}.id", own, keys.name)
        assert keys.delete_joined(match, Sql("t.v = 2")) == 1
        with reader.snapshot(keep=True):
            assert keys.delete(sql("{}.id = 7", keys.name)) == 1
        reader.temporary.truncate(keys.name)
        assert keys.counted() == 0
        for text in texts(rig):  # what was allowed for a moment is so no longer
            with pytest.raises(ServerError, match="READ ONLY"):
                reader._run(text)
    assert reader.count(Sql("SELECT 1")) == 1
    with pytest.raises(ServerError, match="READ ONLY"):
        reader._run(texts(rig)[0])


@BOTH
def test_a_table_that_cannot_be_made_leaves_nothing_allowed(
    rig: Rig, reader: Session, unchanged: Callable[[], None]
) -> None:
    broken = TemporaryTable(reader, (rig.names("lab"), "~djlink_1"), [], "no column")
    with pytest.raises(ServerError):
        broken.create()
    reader.count(Sql("SELECT 1"))
    with pytest.raises(ServerError, match="READ ONLY"):
        reader._run(texts(rig)[0])
