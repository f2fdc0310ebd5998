"""The changes a plan can hold, one frozen class each, and what keeps a change from being one.

An action carries all that its executor needs: definitions, marks, bounds. What is only shown comes first, so
that an action can be made by hand without the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from djlink_manifest.model.links.local_rules import LateKey
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.server.epochs import LocalServer
from djlink_manifest.model.stores.external import NO_OBJECTS, ObjectCounts
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.owner_views import OwnerView
from djlink_manifest.model.vendors.alter_cost import Cost
from djlink_manifest.reconcile.state.moves import LinkMove
from djlink_manifest.reconcile.state.snapshot import Alteration, TableChange

ADDED = "added at the source after linking"
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class CreateOutbound:
    """Make the link's tables in the outbound schema, which forbid the source to delete what is held.

    Before the tables of `definitions` the link's `mark` is written there, where there is none.
    """

    server: str
    tables: tuple[str, ...]
    reason: str
    definitions: tuple[TableDefinition, ...] = ()
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Bring a link's marks, local tables and lineage to the name that it has now. No row travels.

    `before` is what it was called, `tables` the local tables to rename, with their new names.
    """

    before: tuple[str, ...]
    tables: tuple[tuple[str, str], ...]
    reason: str
    server: str = LOCAL
    due: LinkMove | None = None
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MakeViews:
    """Make or replace the views in which the source's owner sees what is held and asks for deletions."""

    server: str
    views: tuple[str, ...]
    reason: str
    definitions: tuple[OwnerView, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateLocal:
    """Make the local table and its parts.

    Before the tables of `definitions` the link's `mark` is written, where there is none, into the local
    schema, which is made where it is `new_schema`. The mark then says what is not done yet: `remade`, that
    rows which outbound holds are missing here and deleted by nobody; `refill`, the digest of the source's
    definition to which the rows that are here are to be brought.
    """

    tables: tuple[str, ...]
    reason: str
    server: str = LOCAL
    definitions: tuple[TableDefinition, ...] = ()
    mark: Mark | None = None
    new_schema: bool = False
    remade: bool = False
    refill: str | None = None


@dataclass(frozen=True, slots=True)
class AlterLocal:
    """Add to a local table what the source added to its own.

    `columns` are names with types (`contrast float`), `indexes` names. `refill` is written into the mark of
    `link_id` first, as by `CreateLocal`. `after_rows`: unique indexes, which only rows that were refilled can
    be sure to meet.
    """

    table: str
    columns: tuple[str, ...]
    indexes: tuple[str, ...]
    reason: str
    server: str = LOCAL
    alteration: Alteration | None = None
    refill: str | None = None
    link_id: str = ""
    after_rows: bool = False


@dataclass(frozen=True, slots=True)
class ChangeLocal:
    """Change columns of a local table as the source changed its own, where no value is lost by it.

    `changes` say which, in words. `cost` is what the local server does: nothing to the rows (`instant`),
    rebuild the table while others use it (`in place`), or copy it while others only read it (`copy`); `rows`
    and `bytes` are its estimates of the table.
    """

    table: str
    changes: tuple[str, ...]
    cost: Cost
    rows: int
    bytes: int
    reason: str
    server: str = LOCAL
    change: TableChange | None = None


@dataclass(frozen=True, slots=True)
class CopyLineage:
    """Write DataJoint's lineage of the link's tables into the local schema.

    `schemas` are the source's schemas that have a table of it; what these do not say follows from foreign
    keys.
    """

    schemas: tuple[str, ...]
    reason: str
    server: str = LOCAL


@dataclass(frozen=True, slots=True)
class NoteDefinition:
    """Say in one side's mark from which definition of the source all of its tables are made.

    `digest` is the definition's; the local mark says then that no refill is due. `after_rows`: once entities
    are refilled, and only if none was left as it is.
    """

    server: str
    digest: str
    reason: str
    link_id: str = ""
    contact: str = ""
    after_rows: bool = False


@dataclass(frozen=True, slots=True)
class NoteFilled:
    """Say in the local mark that the table made anew has all rows that outbound holds, once it has."""

    link_id: str
    reason: str
    server: str = LOCAL


@dataclass(frozen=True, slots=True)
class NoteServer:
    """Say in both marks which server the local one is.

    Before that, tables of marks that an earlier version made get what they lack: on the sides `upgrade`.
    """

    reason: str
    link_id: str = ""
    local_server: LocalServer | None = None
    upgrade: tuple[Literal["source", "local"], ...] = ()
    server: str = LOCAL


@dataclass(frozen=True, slots=True)
class AddForeignKey:
    """Add a local foreign key to a parent that was linked later, once no row lacks its parent row."""

    table: str
    columns: tuple[str, ...]
    parent: str
    reason: str
    server: str = LOCAL
    late: LateKey | None = None


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
    server: str = LOCAL
    objects: ObjectCounts = NO_OBJECTS


@dataclass(frozen=True, slots=True)
class PullAgain:
    """Bring over entities that outbound holds and the local table lacks.

    `whole`: the local table was made anew, so all that outbound holds comes, requested and no longer wanted
    entities too; else what is pullable.
    """

    entities: int
    reason: str
    server: str = LOCAL
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
    server: str = LOCAL


@dataclass(frozen=True, slots=True)
class Register:
    """Write outbound rows for local entities that equal the source's."""

    server: str
    entities: int
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Delete outbound rows of entities that are gone locally, so that the source may delete them.

    `lost`: the local table was made anew, so that what hangs on a row which is held no longer goes too.
    """

    server: str
    entities: int
    reason: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Release or approve entities that a table made anew lacks and that hang on what is held no longer.

    At most `entities`: those that cannot come as the plan was made.
    """

    server: str
    entities: int
    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete entities here, then tell the source: requested ones are approved, the others released.

    `along` are entities of other links that go with them, `rows` all rows by local table. `cause`: `granted`
    was claimed by an earlier apply; `approved` is claimed first, under the digest `keys` of the open requests
    up to `until`, in the name of `by`; `auto` needs no review; `unwanted` is no longer wanted; `orphans` are
    local rows without a source row, approved under the digest `keys`. `unheld`: entities without an outbound
    row are among them. `remade`: the local table was made anew and lacks rows, which were deleted by nobody.
    `records`: requests up to that moment which the local `DeletionRequested` does not say yet are entered
    into the source's ledger before their rows go. `alone`: only unwanted entities to which no row refers.
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
    server: str = LOCAL
    remade: bool = False
    records: str | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """Grant at the source the requests that an approval covers, in the name of `by`.

    They are the `entities` open requests up to `until`, held here or not, of the digest `keys`; nothing is
    granted where they are others.
    """

    server: str
    entities: int
    reason: str
    keys: str = ""
    until: str = ""
    by: str = ""


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

    `unheld`: requested entities that are here without an outbound row are among them. Requests made after
    `until`, a moment at the source, wait for the next plan.
    """

    new: int
    withdrawn: int
    reason: str
    unheld: bool = False
    server: str = LOCAL
    until: str | None = None


Structure: TypeAlias = (
    Move | CreateOutbound | MakeViews | CreateLocal | AlterLocal | ChangeLocal | CopyLineage | AddForeignKey
)
Bookkeeping: TypeAlias = NoteDefinition | NoteFilled | NoteServer
Rows: TypeAlias = Pull | PullAgain | Refill | Register | Release | GiveUp
Deletion: TypeAlias = Claim | Mend | Delete | Approve | NoteRequests
Action: TypeAlias = Structure | Bookkeeping | Rows | Deletion


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something due that is not done.

    `kind`: `review` awaits a person's decision and is no error; `error` needs mending; `upstream` waits for
    another link. `whole` tells that nothing of the link is done, and nothing below it; else only the `count`
    entities are concerned. `root` names the link whose requested deletion includes these entities, and so
    decides about them too.
    """

    kind: Literal["review", "error", "upstream"]
    reason: str
    count: int = 0
    hint: str | None = None
    whole: bool = False
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """A state that no djlink action leaves behind: reported, never acted upon."""

    reason: str
    count: int = 0
    hint: str | None = None
