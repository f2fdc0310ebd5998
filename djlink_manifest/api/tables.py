"""Linked tables as DataJoint classes: the local table with its parts, the source's, and the outbound ones.

The tables stand already: classes are made without a definition and declare nothing. Names are given, not
derived, since a source's tables may be named otherwise than DataJoint would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from djlink_manifest.errors import UsageError
from djlink_manifest.model.tables.derive import requested_part_name
from djlink_manifest.model.tables.naming import class_name
from djlink_manifest.model.tables.parts import parts_among

REQUESTED = "DeletionRequested"
INSTANCE_ATTRIBUTES = frozenset({"source", "outbound", "pull", "refresh", "status", "unlink"})


def bound(
    name: str,
    place: tuple[str, str],
    connection: Any,
    *,
    members: Mapping[str, Any],
    bases: tuple[type, ...],
    part_bases: tuple[type, ...],
    requested: bool = False,
) -> Any:
    """A class for a table that stands on a server, by schema and name, with a class for each of its parts.

    `bases` and `part_bases` come before DataJoint's; `requested`: it is a local table, whose
    `DeletionRequested` may have a shortened name.
    """
    import datajoint as dj

    made, _ = _metaclasses()
    cls = made(name, (*bases, dj.Manual), {**members, "_table_name": place[1]})
    renew(cls, place[0], connection, part_bases, requested)
    return cls


def renew(cls: Any, schema: str, connection: Any, part_bases: tuple[type, ...], requested: bool) -> None:
    """Bind a class and its parts to the tables as they are now; parts that are new become classes."""
    import datajoint as dj

    _, made = _metaclasses()
    for name, table in part_names(connection, schema, cls._table_name, requested):
        if name not in vars(cls):
            part = made(name, (*part_bases, dj.Part), {"_table_name": table})
            part.__qualname__, part.__module__ = f"{cls.__qualname__}.{name}", cls.__module__
            setattr(cls, name, part)
    _existing(schema, connection)(cls, context={cls.__name__: cls})


def part_names(connection: Any, schema: str, table: str, requested: bool) -> Iterator[tuple[str, str]]:
    """The parts of a table on a server: class and table name, `DeletionRequested` last.

    A part is named as one and refers to its master, directly or over other parts.
    """
    names = {str(row[0]) for row in connection.query(_TABLES, args=(schema,))}
    refers = [(str(row[0]), str(row[1])) for row in connection.query(_REFERS, args=(schema, schema))]
    own = requested_part_name(table) if requested else None
    for name, master in sorted(parts_among(names, refers).items()):
        if master == table and name != own:
            yield class_name(name).rpartition(".")[2].rpartition("__")[2], name
    if own in names:
        yield REQUESTED, str(own)


_TABLES = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
_REFERS = """
SELECT DISTINCT TABLE_NAME, REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = %s AND REFERENCED_TABLE_SCHEMA = %s"""


@cache
def _metaclasses() -> tuple[Any, Any]:
    """DataJoint's metaclasses with given table names, and with the attributes of a link on the class too."""
    import datajoint as dj

    plain: Any = type(dj.Manual).__getattribute__

    def table_name(cls: Any) -> Any:
        return cls._table_name

    def getattribute(cls: Any, name: str) -> Any:
        if name in INSTANCE_ATTRIBUTES:
            return getattr(cls(), name)
        return plain(cls, name)

    master = type(
        "LinkedMeta",
        (type(dj.Manual),),
        {"table_name": property(table_name), "__getattribute__": getattribute},
    )
    part = type("LinkedPartMeta", (type(dj.Part),), {"table_name": property(table_name)})
    return master, part


def _existing(schema: str, connection: Any) -> Any:
    """DataJoint's Schema that makes nothing and mends nothing."""
    import datajoint as dj

    return dj.Schema(schema, connection=connection, create_schema=False, create_tables=False)


class ReadOnly:
    """Refuses what would change a table on the source's server; reading is DataJoint's."""

    _refusal = "a link cannot write to the source"

    def _refused(self, *args: Any, **options: Any) -> Any:
        raise UsageError(self._refusal)

    insert = insert1 = insert_dataframe = update1 = staged_insert1 = _refused
    delete = delete_quick = drop = drop_quick = alter = _refused


class SourceTable(ReadOnly):
    """A source table, seen with the link user's account. It is read only.

    `flagged` are its entities whose deletion the source requests.
    """

    _outbound: tuple[str, str] = ("", "")

    @property
    def flagged(self) -> Any:
        """The source's entities that have a deletion request."""
        from datajoint import FreeTable

        this: Any = self
        requests = FreeTable(this.connection, ".".join(f"`{each}`" for each in self._outbound))
        # outbound tables have no lineage of DataJoint's
        return this.restrict(requests.proj(), semantic_check=False)


class OutboundTable(ReadOnly):
    """The outbound table: the keys of what is held, with `DeletionRequested` and `DeletionApproved`."""

    _refusal = (
        "outbound rows protect the pulled rows: `pull` creates them, and `delete` on the local table "
        "removes them"
    )


def outbound_class(name: str, schema: str, table: str, requested: str, approved: str, connection: Any) -> Any:
    """The outbound table as a class, with a class for requests and one for approvals."""
    import datajoint as dj

    master_meta, _ = _metaclasses()

    def made(class_: str, bases: tuple[type, ...], place: str) -> Any:
        cls = master_meta(class_, (*bases, dj.Manual), {"_table_name": place})
        return _existing(schema, connection)(cls, context={class_: cls})

    cls = made(f"{name}Outbound", (OutboundTable,), table)
    cls.DeletionRequested = made(REQUESTED, (), requested)
    cls.DeletionApproved = made("DeletionApproved", (), approved)
    return cls
