"""What stands in for a source's collation on another server: itself, or one that merges no two values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from djlink_manifest.model.server.catalog import Catalog, Version
from djlink_manifest.model.tables.definition import Column, TableDefinition

# it compares code points, blanks at the end too
_MERGING_NOTHING = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}
# MariaDB has MySQL's names since 11.4.5, for collations of a later Unicode: they take some texts for one that
# MySQL tells apart
_NAMED_ALIKE = "_0900_"


# character sets with all characters there are, and with those of two bytes
_WHOLE = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
_PLANE = frozenset({"utf8mb3", "utf8", "ucs2"})


def holds_characters(charset: str, other: str) -> bool:
    """Whether the character set `other` has every character of the first."""
    if charset == other or other in _WHOLE:
        return True
    return charset not in _WHOLE and other in _PLANE if other != "binary" else False


def merges_nothing(collation: str) -> bool:
    """Whether a collation takes no two different texts for one."""
    return collation in _MERGING_NOTHING.values()


def collations_used(tables: Iterable[TableDefinition], chosen: Iterable[str] = ()) -> frozenset[str]:
    """The collations that a target's catalogue is asked for, for these tables and those that are `chosen`."""
    named = set(chosen)
    for table in tables:
        named |= {c for c in (table.collation, *(column.collation for column in table.columns)) if c}
    charsets = {collation.partition("_")[0] for collation in named}
    named |= {f"{charset}_{kind}" for charset in charsets for kind in ("nopad_bin", "bin")}
    return frozenset({*_MERGING_NOTHING.values(), "utf8mb4_bin"}.union(*map(_spellings, named)))


def known(source: Version, target: Catalog, collation: str) -> str | None:
    """The target's name of a collation of the source, or None where it has no such one."""
    vendor = target.identity.version.vendor
    if source.vendor != vendor and _NAMED_ALIKE in collation and collation != _MERGING_NOTHING[vendor]:
        return None
    return next((name for name in _spellings(collation) if name in target.collations), None)


def bytewise(source: Version, target: Catalog, column: Column) -> str | None:
    """A collation of the column's own character set that merges no more than its own, or None.

    `_bin` alone takes values that differ in blanks at their end for one, as most collations do.
    """
    if column.charset == "utf8mb4":
        return None
    collation = column.collation or ""
    pads = "nopad" not in collation and "_0900_" not in collation
    names = [f"{column.charset}_nopad_bin"] + [f"{column.charset}_bin"] * pads
    return next((found for name in names if (found := known(source, target, name))), None)


def safe(target: Catalog) -> str:
    """The target's collation of UTF-8 that merges no two values."""
    name = _MERGING_NOTHING[target.identity.version.vendor]
    return name if name in target.collations else "utf8mb4_bin"


def _spellings(collation: str) -> Iterator[str]:
    """The names of a collation: MySQL before 8.0.30 calls utf8mb3 utf8."""
    yield collation
    for old, new in (("utf8_", "utf8mb3_"), ("utf8mb3_", "utf8_")):
        if collation.startswith(old):
            yield new + collation.removeprefix(old)
