"""What the catalogue says of one column, before a dialect reads it."""

from __future__ import annotations

from dataclasses import dataclass


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
        upper = self.extra.upper()
        if "ON UPDATE " not in upper:
            return None
        return self.extra[upper.index("ON UPDATE ") + len("ON UPDATE ") :].split()[0]

    def has(self, word: str) -> bool:
        """Whether the extra words hold this one, whatever its case."""
        return word in self.extra.upper()
