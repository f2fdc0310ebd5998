"""How a plan was asked for, as far as its apply must ask in the same way, and by how much it may grow."""

from __future__ import annotations

from dataclasses import dataclass

from djlink_manifest.model.links.link import Growth


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """The manifest files as they were named, the selection, and what was compared.

    `made` is the moment of the plan, `max_growth` by how much pulls may have grown when the plan is applied,
    None for any growth.
    """

    made: str
    files: tuple[str, ...]
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    verify: bool = False
    max_growth: Growth | None = None
