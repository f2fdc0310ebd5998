"""The form of the actions in a plan's document."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Count: TypeAlias = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Form(BaseModel):
    """What all parts of the document have in common: nothing is left open, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class BoundForm(Form):
    """What an action makes, changes or lets go, and a digest of all that decides it. It holds no key."""

    what: str
    digest: str = Field(description="SHA-256, in hex")


class _Action(Form):
    reason: str
    server: str
    writes_to: tuple[str, ...] = Field(description="the servers that it changes")
    bound: tuple[BoundForm, ...] = Field(
        description="what it is bound to; empty where rows come, or something is noted"
    )


class DefinitionForm(Form):
    """A table to make."""

    table: str
    digest: str = Field(description="SHA-256 of the definition, in hex")


class RenameForm(Form):
    """A local table that gets another name; its rows stay."""

    from_: str = Field(alias="from")
    to: str


class PartForm(Form):
    """Rows of a part."""

    part: str
    rows: Count


class EntitiesForm(Form):
    """Entities of a link."""

    address: str
    entities: Count


class RowsForm(Form):
    """Rows of a local table."""

    table: str
    rows: Count


class ObjectsForm(Form):
    """External objects, each counted once."""

    count: Count
    bytes: Count
    unsized: Count = Field(description="of these the source does not say the size")


class MoveForm(_Action):
    """Marks, local tables and lineage get the link's present name."""

    kind: Literal["move"]
    before: tuple[str, ...] = Field(
        description="what the link was called: an address, a local table, or both; empty where only what it "
        "refers to has another name"
    )
    tables: tuple[RenameForm, ...] = Field(description="the local tables to rename; their rows stay")


class CreateOutboundForm(_Action):
    """Outbound tables are made."""

    kind: Literal["create_outbound"]
    tables: tuple[str, ...]
    definitions: tuple[DefinitionForm, ...]


class MakeViewsForm(_Action):
    """The owner's views are made or replaced."""

    kind: Literal["make_views"]
    views: tuple[str, ...]


class CreateLocalForm(_Action):
    """Local tables are made."""

    kind: Literal["create_local"]
    tables: tuple[str, ...]
    definitions: tuple[DefinitionForm, ...]
    new_schema: bool
    remade: bool = Field(
        description="whether the local table was dropped, so that rows are missing which nobody deleted"
    )
    refill: bool = Field(description="whether the local mark says that rows are to be looked over")


class AlterLocalForm(_Action):
    """A local table gets columns and indexes."""

    kind: Literal["alter_local"]
    table: str
    columns: tuple[str, ...] = Field(description="names with types")
    indexes: tuple[str, ...]
    after_rows: bool = Field(description="once entities are refilled")
    refill: bool = Field(description="whether the local mark says that rows are to be looked over")


class ChangeLocalForm(_Action):
    """Columns of a local table change."""

    kind: Literal["change_local"]
    table: str
    changes: tuple[str, ...] = Field(description="columns with their changes")
    cost: Literal["instant", "in place", "copy"] = Field(
        description="what the local server does: nothing to the rows, rebuild the table while others use it, "
        "or copy it while others only read it"
    )
    rows: Count = Field(description="of the table, estimated")
    bytes: Count = Field(description="of the table, estimated")


class CopyLineageForm(_Action):
    """DataJoint's lineage is written locally."""

    kind: Literal["copy_lineage"]
    schemas: tuple[str, ...] = Field(description="the source's schemas that have a table of lineage")


class NoteDefinitionForm(_Action):
    """A mark gets the definition that its tables follow."""

    kind: Literal["note_definition"]
    digest: str = Field(description="of the source's definition")
    after_rows: bool = Field(description="once entities are refilled")


class NoteFilledForm(_Action):
    """The local mark gets that all rows are back."""

    kind: Literal["note_filled"]


class NoteServerForm(_Action):
    """Both marks get which server is the local one."""

    kind: Literal["note_server"]
    upgrade: tuple[Literal["source", "local"], ...]
    identity: str | None


class AddForeignKeyForm(_Action):
    """A local foreign key is added."""

    kind: Literal["add_foreign_key"]
    table: str
    columns: tuple[str, ...]
    parent: str


class _OfEntities(_Action):
    entities: Count = Field(description="rows of the master table")


class PullForm(_OfEntities):
    """Rows come."""

    kind: Literal["pull"]
    parts: tuple[PartForm, ...]
    bytes: Count = Field(description="an estimate, from the source's statistics and its columns' types")
    objects: ObjectsForm


class PullAgainForm(_OfEntities):
    """Rows that are held and missing locally come again."""

    kind: Literal["pull_again"]
    whole: bool = Field(
        description="the local table was made anew: requested and no longer wanted rows come too"
    )


class RefillForm(_OfEntities):
    """Local rows get the values of the source's."""

    kind: Literal["refill"]
    cause: Literal["definition", "rows"] = Field(
        description="definition: columns or parts came later, and at most so many entities are concerned; "
        "rows: so many differ"
    )


class RegisterForm(_OfEntities):
    """Local rows that equal the source's are protected there."""

    kind: Literal["register"]


class ReleaseForm(_OfEntities):
    """Outbound rows go."""

    kind: Literal["release"]
    lost: bool = Field(description="whether the local table was made anew")


class GiveUpForm(_OfEntities):
    """Outbound rows go of what cannot come again, at most so many."""

    kind: Literal["give_up"]


class ClaimForm(_OfEntities):
    """Approved requests are granted at the source."""

    kind: Literal["claim"]
    keys: str = Field(description="the digest of the approved requests; no key")
    until: str
    by: str


class DeleteForm(_OfEntities):
    """Local rows go."""

    kind: Literal["delete"]
    along: tuple[EntitiesForm, ...] = Field(description="entities of other links that go with them")
    rows: tuple[RowsForm, ...] = Field(description="all local rows that go")
    cause: Literal["granted", "approved", "auto", "unwanted", "orphans"]
    keys: str | None = Field(description="the digest of the open requests; no key")
    until: str | None = Field(description="requests after that moment wait for the next plan")
    by: str | None
    unheld: bool
    remade: bool
    records: str | None = Field(description="requests up to that moment are entered into the ledger")
    alone: bool = Field(description="only unwanted entities to which no row refers")


class ApproveForm(_OfEntities):
    """The source may delete what is gone locally."""

    kind: Literal["approve"]


class MendForm(_OfEntities):
    """Approvals that were interrupted are finished or taken back."""

    kind: Literal["mend"]


class NoteRequestsForm(_Action):
    """The local DeletionRequested is brought up to date."""

    kind: Literal["note_requests"]
    new: Count
    withdrawn: Count
    unheld: bool
    until: str | None = Field(description="requests after that moment wait for the next plan")


ActionForm: TypeAlias = Annotated[
    MoveForm
    | CreateOutboundForm
    | MakeViewsForm
    | CreateLocalForm
    | AlterLocalForm
    | ChangeLocalForm
    | CopyLineageForm
    | NoteDefinitionForm
    | NoteFilledForm
    | NoteServerForm
    | AddForeignKeyForm
    | PullForm
    | PullAgainForm
    | RefillForm
    | RegisterForm
    | ReleaseForm
    | GiveUpForm
    | ClaimForm
    | DeleteForm
    | ApproveForm
    | MendForm
    | NoteRequestsForm,
    Field(discriminator="kind"),
]
