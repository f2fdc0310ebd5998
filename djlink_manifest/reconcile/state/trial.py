"""What a condition selects of a source's table."""

from __future__ import annotations

from dataclasses import dataclass

from djlink_manifest.manifest.models.values import TableRule
from djlink_manifest.model.links.selection import Condition


@dataclass(frozen=True, slots=True)
class Trial:
    """The rows of a table, those that meet a condition, and those for which it is NULL, which do not meet it.

    `rule` is the manifest's for the table, None where it has none. `where` is None where neither the command
    nor the manifest has a condition; `is_own` tells that it is not the command's.
    """

    address: str
    rule: TableRule | None
    where: Condition | None
    is_own: bool
    rows: int
    matching: int
    unknown: int
