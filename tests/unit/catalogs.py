"""Catalogues of a few small tables, and manifests over them, for the tests of what needs no server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from djlink_manifest.manifest.load import load
from djlink_manifest.model.server.catalog import Catalog, Mark, ServerIdentity, Version
from djlink_manifest.model.server.rights import Grant
from djlink_manifest.model.stores.store import Stores
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition
from djlink_manifest.reconcile.resolve.links import Resolved, resolve

IDENTITY = ServerIdentity(Version("mysql", "8.4.0", (8, 4, 0)), "link@%", "db", 3306, "/var", 64 << 20)
ALL = Grant(frozenset({"ALL"}), "*", "*")


def table(name: str, *parents: str, key: str = "id") -> TableDefinition:
    """A table `schema.table` with the key `id` and a foreign key to each parent.

    A parent is `schema.table`; with `?` behind it its column may be NULL; with `=` it is the key itself.
    """
    schema, _, bare = name.partition(".")
    columns, keys = [Column("id", "int")], list[ForeignKey]()
    for number, parent in enumerate(parents):
        other_schema, _, other = parent.rstrip("?=").partition(".")
        column = "id" if parent.endswith("=") else f"{other.strip('_')}_id"
        if column != "id":
            columns.append(Column(column, "int", nullable=parent.endswith("?")))
        keys.append(ForeignKey(f"{bare}_ibfk_{number}", (column,), other_schema, other, ("id",)))
    return TableDefinition(schema, bare, tuple(columns), (key,) if key else (), foreign_keys=tuple(keys))


def catalog(
    tables: Iterable[TableDefinition],
    schemas: Iterable[str] = (),
    grants: Sequence[Grant] = (ALL,),
    marks: Mapping[str, tuple[Mark, ...]] | None = None,
) -> Catalog:
    """What a server says of these tables; `schemas` are seen besides those of the tables."""
    found = {(t.schema, t.name): t for t in tables}
    seen = frozenset({"out", *schemas, *(schema for schema, _ in found)})
    return Catalog("k", IDENTITY, seen, found, {}, marks or {}, tuple(grants), {})


def resolved(
    folder: Path,
    schemas: Mapping[str, Any],
    source: Catalog,
    local_side: Catalog | None = None,
    **more: Any,
) -> Resolved:
    """The links of a manifest over one source `k`, whose schemas are given as in YAML."""
    server = {"host": "localhost", "user": "u", "password": "${env:P}"}
    document = {
        "manifest": 1,
        "name": "atlas",
        "contact": "a@b.example",
        "local": server,
        "defaults": {"schema_name": "our_{schema}"},
        "sources": {"k": {**server, "outbound": "out", "schemas": dict(schemas)}},
        **more,
    }
    path = folder / "djlink.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    local = local_side or catalog([])
    return resolve(load([path]), {"k": source}, local, {"k": "out"}, Stores(), {})
