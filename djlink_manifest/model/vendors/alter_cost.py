"""What the change of a column costs the server that makes it, by vendor. Pure.

Found by trying on both vendors; a test holds it against the servers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from djlink_manifest.model.server.catalog import Version
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.model.vendors.widening import members
from djlink_manifest.model.vendors.widths import byte_width

# nothing of the rows is written; the table is rebuilt and stays usable; or rebuilt, and writes to it wait
Cost: TypeAlias = Literal["instant", "in place", "copy"]
_ORDER: tuple[Cost, ...] = ("instant", "in place", "copy")


def cost_of(before: Column, after: Column, version: Version) -> Cost:
    """What it costs to change a column."""
    if before.type != after.type and not _is_relabelled(before, after, version):
        return "copy"
    return "in place" if before.nullable != after.nullable else "instant"


def highest(costs: Iterable[Cost]) -> Cost:
    """What several changes in one statement cost."""
    return max(costs, key=_ORDER.index, default="instant")


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
