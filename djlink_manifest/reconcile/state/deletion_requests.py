"""What was observed of deletions, as values: requests, what would go with them, what is no longer wanted.

There is no key in it, so a plan made from it can be shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from djlink_manifest.manifest.models.values import Approval

BEFORE_ALL = datetime(1970, 1, 1)  # earlier than any request


@dataclass(frozen=True, slots=True)
class LabRows:
    """Rows of a table that djlink did not make and that hold a deletion back.

    `line` is the DataJoint line with which the lab deletes them itself, None where there is none. `outbound`
    tells that they are another lab's outbound rows, which that lab must release; then `table` names it, too.
    """

    table: str
    rows: int
    line: str | None = None
    outbound: bool = False


@dataclass(frozen=True, slots=True)
class Closure:
    """What goes when some entities of a link go: `entities` of its own, those of others `along` by address.

    `rows` counts the rows by local table; `held` the entities that stay since rows of the lab's own (`lab`)
    depend on them; `whole` is `along` if none of them stayed.
    """

    entities: int = 0
    along: tuple[tuple[str, int], ...] = ()
    rows: tuple[tuple[str, int], ...] = ()
    held: int = 0
    lab: tuple[LabRows, ...] = ()
    whole: tuple[tuple[str, int], ...] = ()

    @property
    def local(self) -> int:
        """The entities that are here, whether they can go or not."""
        return self.entities + self.held


@dataclass(frozen=True, slots=True)
class RequestSet:
    """Open requests that nobody has granted, asked for up to `until`: their digest, their number.

    `closure` is of those whose entities are here. Of orphans, which nobody asked for, `until` is None.
    """

    keys: str
    count: int
    until: datetime | None
    closure: Closure


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """Open requests with one reason, of one requester."""

    reason: str
    by: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class LinkDeletions:
    """What was observed of one link.

    `request_groups` are the open requests of entities held or not; `granted` the closure of those that were
    agreed to; `requested` the others, and `earlier` parts of these up to the moments that approvals name, by
    their text; `unnoted` and `overdue` are the requests that the local `DeletionRequested` lacks and has too
    many; `unwanted` is what can go since it is no longer wanted, where all that is so goes, and
    `unwanted_alone` that of it to which no row refers; `unheld` tells that requested entities are here
    without an outbound row; `now` is the source's clock; `again` counts entities that were approved before,
    and are here again without protection; `orphans` are the local rows without a source row, where an
    approval names them or they were asked about. `newest` is the moment of the latest request of whatever
    kind: what is done about requests is bound to it. `root` is the link whose requested entities take all
    those requested here along with them.
    """

    request_groups: tuple[RequestGroup, ...] = ()
    granted: Closure = Closure()
    requested: RequestSet | None = None
    earlier: Mapping[str, RequestSet] = field(default_factory=dict)
    unnoted: int = 0
    overdue: int = 0
    unwanted: Closure = Closure()
    unwanted_alone: Closure = Closure()
    unheld: bool = False
    now: datetime | None = field(default=None, compare=False)
    again: int = 0
    orphans: RequestSet | None = None
    newest: datetime = BEFORE_ALL
    root: str | None = None


@dataclass(frozen=True, slots=True)
class DeletionFacts:
    """What was observed of deletions in all links, as a plan takes it.

    `links` says what was observed by link, `lately` how many entities of each went in 24 hours without a
    review. `unseen` names, by link, tables that the local account cannot see and that refer with ON DELETE
    CASCADE or SET NULL; None where it cannot know. `unfilled` names, by link, the links below it whose local
    tables were dropped or lack a part: what of theirs would go along with a deletion is not known until they
    are filled.
    """

    links: Mapping[str, LinkDeletions] = field(default_factory=dict)
    lately: Mapping[str, int] = field(default_factory=dict)
    unseen: Mapping[str, tuple[str, ...]] | None = field(default_factory=dict)
    unfilled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def moment(text: str) -> datetime:
    """A moment of the approvals file (`2026-11-20T09:00:00Z`), as the servers' sessions have it: UTC."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction.ljust(6, '0')}" if fraction else whole)


def moment_text(when: datetime) -> str:
    """The other way."""
    return f"{when.isoformat()}Z"


def excess(closure: Closure, approval: Approval) -> tuple[tuple[str, int, int], ...]:
    """What goes with a set beyond what its approval says: address, how many now, how many approved."""
    agreed = dict(approval.along)
    return tuple((a, n, agreed.get(a, 0)) for a, n in closure.whole if n > agreed.get(a, 0))
