"""Subjects, their sessions and trials, for tests of ownership."""

from __future__ import annotations

from typing import Any

from tests.support.rig import Rig
from tests.support.sql import ask

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(9), UNIQUE KEY (name))",
    "CREATE TABLE {lab}.session (id int, n int, note varchar(9), PRIMARY KEY (id, n),"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (id int, n int, k int, tag varchar(9), PRIMARY KEY (id, n, k),"
    " UNIQUE KEY (tag), FOREIGN KEY (id, n) REFERENCES {lab}.session (id, n))",
    "INSERT INTO {lab}.subject VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "INSERT INTO {lab}.session VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 1, 'z'), (3, 2, 'z')",
    "INSERT INTO {lab}.session__trial VALUES (1, 1, 1, 'p'), (2, 1, 1, 'q'), (3, 1, 1, 'r'), (3, 2, 1, 's')",
)


def locally(rig: Rig, *texts: str) -> list[tuple[Any, ...]]:
    """Statements of the local lab; `{here}` in them is the local schema. The rows of the last."""
    local_schema = f"`{rig.local_schema('lab_a', 'lab')}`"
    return [ask(rig.servers.local, text.replace("{here}", local_schema)) for text in texts][-1]


def held(rig: Rig, table: str) -> list[tuple[Any, ...]]:
    """The keys in a link's outbound table."""
    key = "id, n" if table == "session" else "id"
    name = rig.names(f"lab_{table}")
    return ask(rig.servers.lab_a, f"SELECT {key} FROM `{rig.outbound}`.`{name}` ORDER BY {key}")
