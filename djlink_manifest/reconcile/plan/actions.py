"""The changes a plan can hold, one frozen class each, and what keeps a change from being one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from djlink_manifest.model.stores.external import NO_OBJECTS, Objects

ADDED = "added at the source after linking"


@dataclass(frozen=True, slots=True)
class CreateOutbound:
    """Make the link's tables in the outbound schema, which forbid the source to delete what is held."""

    server: str
    tables: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class MakeViews:
    """Make or replace the views in which the source's owner sees what is held and asks for deletions."""

    server: str
    views: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CreateLocal:
    """Make the local table and its parts."""

    tables: tuple[str, ...]
    reason: str
    server: str = "local"


@dataclass(frozen=True, slots=True)
class AlterLocal:
    """Add to a local table what the source added to its own.

    `columns` are names with types (`contrast float`), `indexes` names.
    """

    table: str
    columns: tuple[str, ...]
    indexes: tuple[str, ...]
    reason: str
    server: str = "local"


@dataclass(frozen=True, slots=True)
class AddForeignKey:
    """Add a local foreign key to a parent that was linked later."""

    table: str
    columns: tuple[str, ...]
    parent: str
    reason: str
    server: str = "local"


@dataclass(frozen=True, slots=True)
class Pull:
    """Bring entities over: outbound rows first, then the rows of the master and of its parts.

    `parts` counts the part rows that come along; `bytes` is estimated from the source's statistics; `objects`
    are the external ones, each counted once.
    """

    entities: int
    parts: tuple[tuple[str, int], ...]
    bytes: int
    reason: str
    server: str = "local"
    objects: Objects = NO_OBJECTS


@dataclass(frozen=True, slots=True)
class PullAgain:
    """Bring over entities that outbound holds and the local table lacks.

    `whole`: the local table was made anew, so all that outbound holds comes, requested and no longer wanted
    entities too; else what is pullable.
    """

    entities: int
    reason: str
    server: str = "local"
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Refill:
    """Bring the rows of entities that are here already to what the source's are.

    `cause` is `definition` where columns or parts came later: at most `entities` are concerned; and `rows`
    where so many were found to differ.
    """

    entities: int
    cause: Literal["definition", "rows"]
    reason: str
    server: str = "local"


@dataclass(frozen=True, slots=True)
class Register:
    """Write outbound rows for local entities that equal the source's."""

    server: str
    entities: int
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Delete outbound rows of entities that are gone locally, so that the source may delete them."""

    server: str
    entities: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete entities here, then tell the source: requested ones are approved, the others released.

    `along` are entities of other links that go with them, `rows` all rows by local table. `cause`: `granted`
    was claimed by an earlier apply; `approved` is claimed first, under the digest `keys` of the open requests
    up to `until`, in the name of `by`; `auto` needs no review; `unwanted` is wanted no longer; `orphans` are
    local rows without a source row, approved under the digest `keys`. `unheld`: entities without an outbound
    row are among them.
    """

    entities: int
    along: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, int], ...]
    cause: Literal["granted", "approved", "auto", "unwanted", "orphans"]
    reason: str
    keys: str | None = None
    until: str | None = None
    by: str | None = None
    unheld: bool = False
    server: str = "local"


@dataclass(frozen=True, slots=True)
class Approve:
    """Approve requests for entities that are gone locally, so that the source may delete them."""

    server: str
    entities: int
    reason: str


@dataclass(frozen=True, slots=True)
class Mend:
    """Of entities approved, yet held: take away the outbound row where they are gone, else the approval."""

    server: str
    entities: int
    reason: str


@dataclass(frozen=True, slots=True)
class NoteRequests:
    """Bring the local part `DeletionRequested` up to date, and enter the changes into the source's ledger.

    `unheld`: requested entities that are here without an outbound row are among them.
    """

    new: int
    withdrawn: int
    reason: str
    unheld: bool = False
    server: str = "local"


Action: TypeAlias = (
    CreateOutbound
    | MakeViews
    | CreateLocal
    | AlterLocal
    | AddForeignKey
    | Pull
    | PullAgain
    | Refill
    | Register
    | Release
    | Delete
    | Approve
    | Mend
    | NoteRequests
)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something due that is not done.

    `kind`: `review` awaits a person's decision and is no error; `error` needs mending; `upstream` waits for
    another link. `whole` tells that nothing of the link is done, and nothing below it; else only the `count`
    entities are concerned.
    """

    kind: Literal["review", "error", "upstream"]
    reason: str
    count: int = 0
    hint: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """A state that no djlink action leaves behind: reported, never acted upon."""

    reason: str
    count: int = 0
    hint: str | None = None
