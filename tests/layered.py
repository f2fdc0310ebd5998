"""Graphs of many layers at a source, in which each table refers to all tables of the layer above."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.rig import Rig

Key = Literal["inherited", "secondary"]
ROWS = 4  # of each table; row k refers to row k of each parent


@dataclass(frozen=True, slots=True)
class Layers:
    """A graph of `depth` layers of `width` tables, a chain where `width` is 1.

    `key`: a child has its parents' key as its own (`inherited`), or refers to them by other columns.
    """

    depth: int
    width: int
    key: Key

    def __str__(self) -> str:
        return f"{self.depth}x{self.width}-{self.key}"

    def layers(self) -> list[list[str]]:
        """The names of the tables, layer by layer."""
        return [[f"t{n}_{place}" for place in range(self.width)] for n in range(self.depth)]

    def names(self) -> list[str]:
        """The names of the tables, parents first."""
        return [name for layer in self.layers() for name in layer]

    def script(self) -> Iterator[str]:
        """The statements that make and fill the tables in the schema `lab`."""
        yield "CREATE DATABASE {lab}"
        above = list[str]()
        for layer in self.layers():
            for name in layer:
                columns, keys = "", ""
                for parent in above:
                    mine = "k" if self.key == "inherited" else f"to_{parent}"
                    columns += "" if mine == "k" else f", {mine} int NOT NULL"
                    keys += f", FOREIGN KEY ({mine}) REFERENCES {{lab}}.{parent} (k)"
                yield f"CREATE TABLE {{lab}}.{name} (k int PRIMARY KEY{columns}{keys})"
                wide = 1 + (len(above) if self.key == "secondary" else 0)
                rows = ", ".join(f"({', '.join([str(k)] * wide)})" for k in range(1, ROWS + 1))
                yield f"INSERT INTO {{lab}}.{name} VALUES {rows}"
            above = layer

    def make(self, rig: Rig) -> None:
        """Make the tables on `lab_a`."""
        with rig.server("lab_a").connect() as connection, connection.cursor() as cursor:
            for statement in self.script():
                cursor.execute(rig.sql(statement))
            connection.commit()

    def manifest(self, rig: Rig, **rules: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest of all tables; `first` and `last` rule those layers, `others` the rest."""
        layers, tables = self.layers(), dict[str, Any]()
        for number, layer in enumerate(layers):
            kind = "first" if number == 0 else "last" if number == len(layers) - 1 else "others"
            tables |= {name: dict(rules.get(kind, {})) for name in layer}
        return rig.document({"lab_a": {"lab": {"tables": tables}}})
