"""How a plan was asked for, as far as its apply must ask in the same way, and by how much it may grow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Growth:
    """How many rows of a link may come beyond those of a plan: a number, or a percentage of source rows."""

    value: float
    percent: bool

    def rows(self, of: int) -> int:
        """How many for a link with so many rows at the source."""
        return int(self.value * of / 100 if self.percent else self.value)


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
