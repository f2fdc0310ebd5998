"""What the change of a column costs the server that makes it, by vendor. Pure.

Found by trying on both vendors; a test holds it against the servers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, TypeAlias

from djlink_manifest.model.server.catalog import Version
from djlink_manifest.model.tables.definition import TEXTS_AND_BLOBS, Column
from djlink_manifest.model.vendors.widening import members
from djlink_manifest.model.vendors.widths import byte_width

# nothing of the rows is written; the table is rebuilt and stays usable; or rebuilt, and writes to it wait
Cost: TypeAlias = Literal["instant", "in place", "copy"]
_ORDER: tuple[Cost, ...] = ("instant", "in place", "copy")


def cost_of(before: Column, after: Column, version: Version, *, indexed: bool = False) -> Cost:
    """What it costs to change a column, which an index may have."""
    if before.charset != after.charset:
        return "copy"
    if before.collation != after.collation:
        other = _cost_of_order(before, version, indexed)
        rest = replace(after, collation=before.collation)
        return highest([other, cost_of(before, rest, version, indexed=indexed)])
    if before.type != after.type and not _is_relabelled(before, after, version):
        return "copy"
    return "in place" if before.nullable != after.nullable else "instant"


def highest(costs: Iterable[Cost]) -> Cost:
    """What several changes in one statement cost."""
    return max(costs, key=_ORDER.index, default="instant")


def _cost_of_order(column: Column, version: Version, indexed: bool) -> Cost:
    """What another collation costs: indexes are in its order."""
    listed = column.base_type in ("enum", "set")
    if version.vendor == "mysql":
        return "copy" if indexed and not listed else "instant"
    if listed or (indexed and column.base_type in TEXTS_AND_BLOBS):
        return "copy"
    return "in place" if indexed else "instant"


def _is_relabelled(before: Column, after: Column, version: Version) -> bool:
    """Whether the rows of both types are the same bytes."""
    old, new = before.base_type, after.base_type
    if old != new:
        return False
    if old in ("enum", "set"):
        first, then = members(before), members(after)
        return then[: len(first)] == first and _list_bytes(old, len(first)) == _list_bytes(new, len(then))
    if old in ("varchar", "varbinary"):
        # a length is one byte or two; MariaDB keeps one byte for what was short
        short, long = byte_width(before), byte_width(after)
        return (short < 256) == (long < 256) or (version.vendor == "mariadb" and short < 128)
    return old == "tinyint"  # tinyint(1), which stands for a bool, and tinyint


def _list_bytes(kind: str, count: int) -> int:
    if kind == "enum":
        return 1 if count < 256 else 2
    return next(size for size in (1, 2, 3, 4, 8) if count <= 8 * size)
