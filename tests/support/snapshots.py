"""Schemas as they stood: their tables and rows, to be compared and to be put back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.accounts import quoted_name

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """One schema's tables as CREATE statements, and their columns and rows."""

    schema: str
    tables: dict[str, str]
    columns: dict[str, tuple[str, ...]]
    rows: dict[str, tuple[Row, ...]]

    @staticmethod
    def of(server: SandboxServer, schema: str) -> Saved:
        """The schema as it stands; a schema that does not exist has no tables."""
        tables, columns, rows = dict[str, str](), dict[str, tuple[str, ...]](), dict[str, tuple[Row, ...]]()
        with server.connect() as connection, connection.cursor() as cursor:
            for name in _tables(cursor, schema):
                of = f"{quoted_name(schema)}.{quoted_name(name)}"
                tables[name] = _created(cursor, of)
                cursor.execute(f"SELECT * FROM {of} ORDER BY 1, 2")
                columns[name] = tuple(c[0] for c in cursor.description)
                rows[name] = tuple(cursor.fetchall())
        return Saved(schema, tables, columns, rows)

    def without(self, *volatile: str) -> dict[str, tuple[str, tuple[Row, ...]]]:
        """Tables and rows to compare, without the columns of these names."""
        return {
            name: (
                text,
                tuple(
                    tuple(v for v, c in zip(row, self.columns[name], strict=True) if c not in volatile)
                    for row in self.rows[name]
                ),
            )
            for name, text in self.tables.items()
        }

    def outline(self, *volatile: str) -> frozenset[Any]:
        """The state as one value to compare; of the columns of these names only whether they are set."""
        return frozenset(
            (
                name,
                text,
                tuple(
                    tuple(
                        v is None if c in volatile else v
                        for v, c in zip(row, self.columns[name], strict=True)
                    )
                    for row in self.rows[name]
                ),
            )
            for name, text in self.tables.items()
        )

    def _is_altered(self, cursor: Any, name: str) -> bool:
        return _created(cursor, f"{quoted_name(self.schema)}.{quoted_name(name)}") != self.tables[name]

    def put_back(self, server: SandboxServer) -> None:
        """Bring the schema to this state again."""
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION foreign_key_checks = 0")
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {quoted_name(self.schema)}")
            cursor.execute(f"USE {quoted_name(self.schema)}")
            present = _tables(cursor, self.schema)
            altered = [name for name in present if name in self.tables and self._is_altered(cursor, name)]
            if altered:
                cursor.execute(f"DROP TABLE {', '.join(map(quoted_name, altered))}")
                present = [name for name in present if name not in altered]
            surplus = [quoted_name(name) for name in present if name not in self.tables]
            if surplus:
                cursor.execute(f"DROP TABLE {', '.join(surplus)}")
            for name, text in self.tables.items():
                if name in present:
                    cursor.execute(f"DELETE FROM {quoted_name(name)}")
                else:
                    cursor.execute(text)
                if self.rows[name]:
                    places = ", ".join(["%s"] * len(self.columns[name]))
                    cursor.executemany(f"INSERT INTO {quoted_name(name)} VALUES ({places})", self.rows[name])
            connection.commit()


def _created(cursor: Any, of: str) -> str:
    cursor.execute(f"SHOW CREATE TABLE {of}")
    ((_, text),) = cursor.fetchall()
    return re.sub(r" AUTO_INCREMENT=\d+", "", text)


def _tables(cursor: Any, schema: str) -> list[str]:
    cursor.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY 1", (schema,)
    )
    return [row[0] for row in cursor.fetchall()]
