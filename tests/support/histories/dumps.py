"""Dumps of schemas' rows at a place of random histories, and how they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.accounts import quoted_name
from tests.support.sql import ask, root

# the rows of each table, by its name as it stands in a statement
Copy = Mapping[str, Sequence[tuple[Any, ...]]]


def tables_of(server: SandboxServer, schema: str) -> list[str]:
    """The base tables of a schema, as they stand in a statement."""
    text = (
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = %s AND table_type = 'BASE TABLE'"
    )
    return [f"{quoted_name(schema)}.{quoted_name(name)}" for (name,) in ask(server, text, (schema,))]


def copied(server: SandboxServer, tables: Iterable[str]) -> Copy:
    """The rows of these tables, as a dump has them."""
    return {of: ask(server, f"SELECT * FROM {of}") for of in tables}


def restore(server: SandboxServer, copy: Copy) -> None:
    """Bring the rows of the tables back to a copy's."""
    with unchecked(server), root(server).cursor() as cursor:
        for of, rows in copy.items():
            cursor.execute(f"DELETE FROM {of}")
            if rows:
                cursor.executemany(f"INSERT INTO {of} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)


@contextmanager
def unchecked(server: SandboxServer) -> Iterator[None]:
    """Root's session without checks of foreign keys, as a dump is loaded."""
    ask(server, "SET SESSION foreign_key_checks = 0")
    try:
        yield
    finally:
        ask(server, "SET SESSION foreign_key_checks = 1")
