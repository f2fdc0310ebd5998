"""What differs between two manifests, as values. Nothing is asked of a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from djlink_manifest.errors import Location

Kind = Literal["added", "removed", "moved", "changed"]
KINDS: tuple[Kind, ...] = ("removed", "moved", "added", "changed")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, and what it means for the next apply.

    `subjects` are addresses of links, with the globs of the manifest as they stand (`lab_a.ephys.*`), or
    places in the manifest (`local`, `sources.lab_a`). `option` is empty where a link as a whole is added,
    removed or moved. `is_risky`: rows may be deleted or held back by it, or links be blocked. `location` is
    where the new manifest says it, or the old one did.
    """

    kind: Kind
    subjects: tuple[str, ...]
    meaning: str
    option: str = ""
    before: str | None = None
    after: str | None = None
    is_risky: bool = False
    location: Location | None = None


def grouped(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes sorted, those that differ in nothing but their subjects as one."""
    found = dict[Change, list[Change]]()
    for change in changes:
        found.setdefault(replace(change, subjects=(), location=None), []).append(change)
    joined = []
    for alike, each in found.items():
        subjects = tuple(sorted({subject for one in each for subject in one.subjects}))
        places = [one.location for one in each if one.location is not None]
        joined.append(replace(alike, subjects=subjects, location=min(places, default=None)))
    return tuple(sorted(joined, key=lambda c: (KINDS.index(c.kind), c.subjects, c.option, c.after or "")))
