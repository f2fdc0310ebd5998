"""What labs hold of a source, as its owner sees it: values, counts, no rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from djlink_manifest.model.server.catalog import TableName


@dataclass(frozen=True, slots=True, order=True)
class OwnedLink:
    """A link as the owner's list of links shows it: whose it is, of which source table, and where it stands.

    `manifest` and `contact` name the lab; `schema` holds the owner's views, `base` their common name.
    """

    source: TableName
    manifest: str
    contact: str
    schema: str
    outbound: str
    base: str

    @property
    def lab(self) -> str:
        """The lab in words: `hippocampus-atlas (data@ourlab.example)`."""
        return f"{self.manifest} ({self.contact})" if self.contact else self.manifest


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An owner's schema, or a link in it, that tells nothing now, with the reason and the next step."""

    schema: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class LinkHolding:
    """What one link has of the entities asked about.

    `held`: they cannot be deleted, `since` the first of them was pulled; `requested`: asked for and not yet
    approved, `requested_held` those of them that are held, `requested_seconds` since the first of these was
    asked for; `approved`: released.
    """

    link: OwnedLink
    held: int = 0
    since: datetime | None = None
    requested: int = 0
    requested_held: int = 0
    requested_seconds: int = 0
    approved: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """How many entities of a table were asked for, withdrawn or deleted; `link` where it is about one."""

    table: TableName
    name: str
    count: int
    link: OwnedLink | None = None


@dataclass(frozen=True, slots=True)
class TableHolding:
    """A source table with what each link has of it.

    `name` is the table's name for people; `rows` counts the entities asked about, None: all are meant.
    """

    table: TableName
    name: str
    rows: int | None
    links: tuple[LinkHolding, ...]

    @property
    def held(self) -> int:
        """Entities held, those of several labs counted for each."""
        return sum(each.held for each in self.links)

    @property
    def requested(self) -> tuple[LinkHolding, ...]:
        """The links that were asked to let go of what they held."""
        return tuple(each for each in self.links if each.requested_held or each.approved)

    @property
    def agreed(self) -> tuple[LinkHolding, ...]:
        """Those of them that have let go of all of it."""
        return tuple(each for each in self.requested if not each.requested_held)
