"""The form of a plan's document, from which `schemas/plan.schema.json` is made."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from djlink_manifest.reconcile.state.deletion_requests import moment
from djlink_manifest.report.document.actions import (
    ActionForm,
    BoundForm,
    Count,
    EntitiesForm,
    Form,
    RowsForm,
)
from djlink_manifest.report.document.comparison import AgainstForm

_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"


def _is_moment(text: str) -> str:
    moment(text)
    return text


Moment: TypeAlias = Annotated[str, Field(pattern=_MOMENT), AfterValidator(_is_moment)]
Number: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LocationForm(Form):
    """A place in a manifest file; line and column count from 1."""

    file: str
    line: int = Field(ge=1)
    column: int = Field(ge=1)


class ManifestForm(Form):
    """The manifest that the plan was made from."""

    name: str
    digest: str = Field(description="SHA-256 of what the files say, references not resolved, in hex")
    files: tuple[str, ...] = Field(description="the files that were read")


class GrowthForm(Form):
    """How many rows of a link may come beyond those of the plan."""

    value: Annotated[float, Field(ge=0, le=10**18, allow_inf_nan=False)]
    percent: bool = Field(description="whether it is a percentage of the link's rows at the source")


class TermsForm(Form):
    """How the plan was asked for; its apply asks in the same way."""

    made: str = Field(description="when, in UTC")
    files: tuple[str, ...] = Field(description="the manifest files and folders as they were named")
    targets: tuple[str, ...] = Field(description="`--target`")
    excludes: tuple[str, ...] = Field(description="`--exclude`")
    verify: bool = Field(description="`--verify`")
    max_growth: GrowthForm | None = Field(description="null for any growth")


class ServerForm(Form):
    """A server, and what was found on it."""

    name: str = Field(description="`local`, or the source's name in the manifest")
    host: str
    vendor: str
    version: str
    links: Count = Field(description="how many links it has in the plan")
    seconds: Number = Field(description="how long reading its catalog took")
    problem: str | None = Field(description="why it cannot be used")
    hint: str | None = Field(description="the next step")
    identity: str = Field(
        description="what tells it from other servers: a digest, or the name that the manifest gives it; "
        "empty where it cannot be used"
    )


class SummaryForm(Form):
    """Sums over the links; rows are those of master tables."""

    links: Count
    create: Count = Field(description="new links")
    complete: Count = Field(description="links whose tables are partly there")
    foreign_keys: Count
    views: Count = Field(description="links whose owner's views are to be made; new ones are not counted")
    alter: Count = Field(description="links whose local tables get columns or indexes")
    move: Count = Field(description="links whose tables get other names")
    pull: Count = Field(description="rows")
    part_rows: Count = Field(description="rows of parts that come with `pull`")
    bytes: Count
    objects: Count = Field(description="external objects that come with `pull`")
    object_bytes: Count
    resume: Count = Field(description="rows")
    refill: Count = Field(description="rows")
    register_: Count = Field(alias="register", description="rows")
    release: Count = Field(description="rows")
    delete: Count = Field(description="rows")
    along: Count = Field(description="rows of other links that go with `delete`")
    delete_rows: Count = Field(description="all rows that go, those of parts and other links too")
    approve: Count = Field(description="rows")
    mend: Count = Field(description="rows")
    note: Count = Field(description="links whose local DeletionRequested changes")
    awaiting: Count = Field(description="deletion sets that await approval")
    awaiting_rows: Count
    blocked: Count = Field(description="links")
    blocked_rows: Count = Field(description="rows of links that are not blocked as a whole")
    not_attempted: Count = Field(description="links below blocked ones")
    drifting: Count = Field(description="links")
    kept: Count = Field(description="rows")
    unchanged: Count = Field(description="links")
    unavailable: Count = Field(description="servers that cannot be used")
    refused: Count = Field(description="parts of the manifest that are refused")
    remove: Count = Field(description="links that `removed` takes out")
    remove_blocked: Count = Field(description="links that `removed` cannot take out")
    forgotten: Count = Field(
        description="links that the manifest no longer declares and that still hold rows"
    )
    forgotten_rows: Count = Field(description="rows that they hold")


class BlockedForm(Form):
    """Something due that is not done."""

    kind: Literal["review", "error", "upstream"] = Field(
        description="`review` awaits a person's decision, `error` needs mending, `upstream` waits for "
        "another link"
    )
    reason: str
    count: Count = Field(description="rows concerned")
    hint: str | None
    whole: bool = Field(description="whether nothing of the link is done")
    root: str | None = Field(description="the link whose decision is about these rows too: they go along")


class DriftForm(Form):
    """A state that no djlink action leaves behind: reported, never acted upon."""

    reason: str
    count: Count
    hint: str | None


class NeedForm(Form):
    """A link that comes before this one."""

    address: str
    kind: Literal["foreign key", "depends_on"]


class LeftOutForm(Form):
    """Source rows that are not wanted, by reason."""

    reason: str
    count: Count


class LabRowsForm(Form):
    """Rows of the lab's own that hold a deletion back."""

    table: str
    rows: Count
    line: str | None = Field(description="the DataJoint line with which the lab deletes them")
    outbound: bool = Field(description="whether another lab links the local table and holds them")


class ClosureForm(Form):
    """What goes when requested rows go."""

    local: Count = Field(alias="here", description="requested rows that are here")
    can_go: Count
    along: tuple[EntitiesForm, ...] = Field(description="of other links, if none of the rows stayed")
    going: tuple[EntitiesForm, ...] = Field(description="of other links, with those that can go")
    rows: tuple[RowsForm, ...]
    held_back_by: tuple[LabRowsForm, ...]


class RequestSetForm(ClosureForm):
    """The requests that nobody has granted yet."""

    keys: str = Field(description="a digest")
    count: Count
    until: Moment | None


class RequestGroupForm(Form):
    """Open requests with one reason, of one requester."""

    reason: str
    by: str
    count: Count
    since: Moment


class RequestsForm(Form):
    """What the source asks to delete."""

    groups: tuple[RequestGroupForm, ...] = Field(alias="asked")
    now: Moment | None = Field(description="the source's clock")
    granted: ClosureForm
    requested: RequestSetForm | None = Field(alias="waiting")


class DefinitionsForm(Form):
    """Digests of the table and its parts: at the source, and as they shall be locally."""

    source: str
    local: str


class LinkForm(Form):
    """What is done for one link, in order, and what is not."""

    address: str = Field(description="source.schema.Table")
    wave: int = Field(ge=1)
    location: LocationForm | None
    new: bool
    after: tuple[NeedForm, ...]
    observed: bool = Field(
        description="whether its rows were counted and its deletion requests read; else nothing of it is done"
    )
    source_rows: Count
    outbound_rows: Count
    local_rows: Count
    kept: Count = Field(description="rows held though wanted no longer")
    left_out: tuple[LeftOutForm, ...]
    actions: tuple[ActionForm, ...]
    blocked: tuple[BlockedForm, ...]
    drift: tuple[DriftForm, ...]
    warnings: tuple[str, ...]
    requests: RequestsForm | None
    definitions: DefinitionsForm | None


class RefusalForm(Form):
    """A part of the manifest that nothing can be done about."""

    address: str
    reason: str
    hint: str | None
    location: LocationForm | None


class ForgottenForm(Form):
    """A link that the manifest declares no longer, though its tables stand."""

    address: str = Field(description="as the manifest would name it")
    server: str
    source_table: str
    outbound_table: str
    local_table: str
    held: Count | None = Field(description="rows that it keeps the source from deleting")
    location: LocationForm | None = Field(description="where `removed` stands in the manifest")
    hint: str = Field(description="the next step, with the entry of `removed`")


class DropKeyForm(Form):
    """A foreign key of a link that stays, to a table that goes."""

    table: str
    foreign_key: str


class RemovalForm(Form):
    """A link that `removed` takes out."""

    address: str
    table: Literal["keep", "drop"]
    local_table: str
    local_schema: str
    held: Count
    blocked: tuple[BlockedForm, ...]
    location: LocationForm | None
    drop_keys: tuple[DropKeyForm, ...]
    bound: BoundForm | None


class PlanDocument(Form):
    """What `djlink plan --out` writes and `djlink plan --json` prints.

    It holds no secret, no row value and no key.
    """

    format_version: Literal[2]
    document: Literal["djlink plan"]
    djlink: str = Field(description="the version of djlink that made the plan")
    terms: TermsForm | None = Field(description="null in a plan that cannot be applied from a file")
    manifest: ManifestForm
    local: ServerForm
    sources: tuple[ServerForm, ...]
    has_changes: bool
    has_errors: bool
    summary: SummaryForm
    links: tuple[LinkForm, ...]
    refusals: tuple[RefusalForm, ...]
    forgotten: tuple[ForgottenForm, ...]
    warnings: tuple[str, ...]
    removals: tuple[RemovalForm, ...]
    against: AgainstForm | None = Field(description="null where the plan was compared with no other")
    checksum: str = Field(
        description="SHA-256 of the rest: it tells a file that was damaged or edited, and is no signature"
    )
