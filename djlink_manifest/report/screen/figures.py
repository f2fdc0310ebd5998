"""Write counts, sizes and durations in words."""

from __future__ import annotations

from collections.abc import Sequence

from djlink_manifest.model.counting import counted as counted
from djlink_manifest.model.vendors.widths import PAGE

UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(count: int) -> str:
    """Return a size in decimal units with two or three figures: `512 B`, `1.2 kB`, `18 MB`."""
    if count < 1000:
        return f"{count} B"
    power = 1
    while count >= 999.5 * 1000**power and power < len(UNITS):
        power += 1
    value = count / 1000**power
    return f"{value:.1f} {UNITS[power - 1]}" if value < 9.95 else f"{value:,.0f} {UNITS[power - 1]}"


def estimated(count: int) -> str:
    """Return an estimate of a server: `~18 MB`; servers count in pages, so less than one is `< 16 kB`."""
    return f"~{size(count)}" if count > PAGE else "< 16 kB"


def stored(objects: int, volume: int, unsized: int = 0) -> str:
    """Return a number of external objects: `1 file`, `20 files of 3.8 MB`, `20 files of 3.8 MB and more`."""
    of = f" of {size(volume)}" if volume else ""
    return f"{counted(objects, 'file')}{of}{' and more' if of and unsized else ''}"


def duration(seconds: float) -> str:
    """Return a duration: `0.8s`, `42s`, `3m 20s`, `2h 05m`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Return the names `a, b, c`, or the first ones `and 7 more`."""
    if len(names) <= limit + 1:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
