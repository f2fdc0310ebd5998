"""What the catalogue says of one column, before a dialect reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ON_UPDATE = re.compile(r"\bON UPDATE(?: ([^\s,]+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A row of `information_schema.COLUMNS`, as text."""

    name: str
    type: str
    nullable: bool
    default: str | None
    extra: str
    charset: str | None
    collation: str | None
    comment: str
    generation: str | None
    srid: int | None = None

    @property
    def on_update(self) -> str | None:
        """What `ON UPDATE` says."""
        found = _ON_UPDATE.search(self.extra)
        return (found[1] or "nothing") if found else None

    def has(self, word: str) -> bool:
        """Whether the extra words hold this one, whatever its case."""
        return word in self.extra.upper()
