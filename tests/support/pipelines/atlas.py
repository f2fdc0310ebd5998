"""Twelve tables of two sources, linked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.demo import pipeline
from djlink_manifest.sandbox.demo.pipeline import Source
from tests.support.command import called
from tests.support.rig import Rig
from tests.support.servers import Names, Servers

SOURCES: dict[Source, str] = {"princeton": "lab_a", "janelia": "lab_b"}
COLUMNS = (
    "COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, REPLACE(EXTRA, 'auto_increment', ''),"
    " CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_COMMENT"
)


class Atlas:
    """Both pipelines on the shared servers, a manifest of all their tables, and the installed command."""

    def __init__(self, servers: Servers, names: Names, folder: Path) -> None:
        self.rig = Rig(servers, names, folder)
        self.pipelines = {}
        for source, server in SOURCES.items():
            connection = pipeline.connect(self.rig.server(server))
            self.pipelines[source] = pipeline.declare(source, connection, names.prefix)
            pipeline.fill(self.pipelines[source])
        schemas = {SOURCES[s]: list(pipeline.DECLARE[s]) for s in SOURCES}
        self.rig.accounts(schemas)
        document = self.rig.document(
            {server: {schema: {"tables": "*"} for schema in names_} for server, names_ in schemas.items()}
        )
        self.path = self.rig.write(document)

    def djlink(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the manifest, in this process."""
        return called(*arguments, "-f", str(self.path), environ=self.rig.environ)

    def installed(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command on the manifest."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("djlink")), *arguments, "-f", str(self.path)],
            env={**os.environ, **self.rig.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def tables(self) -> Iterator[tuple[SandboxServer, str, str, str, str]]:
        """(source server, source schema, source table, local schema, local table) of every table and part."""
        for source, server_name in SOURCES.items():
            server = self.rig.server(server_name)
            for schema in pipeline.schema_names(source, self.rig.names.prefix):
                listed = server.execute(
                    "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", (schema,)
                )
                local_schema = f"{self.rig.names.prefix}our_{server_name}_{schema}"
                for (table,) in listed:
                    if not table.startswith("~"):
                        yield server, schema, table, local_schema, table.lstrip("#_")


def rows(server: SandboxServer, schema: str, table: str, order: list[str]) -> list[tuple[Any, ...]]:
    """All values of a table in hex, floats as the exact double."""
    columns = server.execute(
        "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
        (schema, table),
    )
    exact = [f"`{c}` + 0e0" if kind == "float" else f"HEX(`{c}`)" for c, kind in columns]
    keys = ", ".join(f"`{name}`" for name in order)
    return server.execute(f"SELECT {', '.join(exact)} FROM `{schema}`.`{table}` ORDER BY {keys}")


def keys(server: SandboxServer, schema: str, table: str) -> list[tuple[Any, ...]]:
    """The indexes of a table: uniqueness and columns in order, the primary key by its name."""
    return server.execute(
        "SELECT IF(INDEX_NAME = 'PRIMARY', 'PRIMARY', ''), NON_UNIQUE,"
        " GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) AS members FROM information_schema.STATISTICS"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s GROUP BY INDEX_NAME, NON_UNIQUE ORDER BY members, 1",
        (schema, table),
    )
