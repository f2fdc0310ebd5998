"""The manifest's format: pydantic models, from which the JSON Schema is made. Types only; see `checks`.

Options that a level does not set are not in `model_fields_set`; their defaults are those of
`values.Options`, given here once for editors.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from djlink_manifest.manifest.models.fields import (
    Day,
    Digest,
    MarkName,
    Max,
    Moment,
    OutboundName,
    Port,
    Version,
    Where,
)
from djlink_manifest.manifest.models.values import Changed, Deletions, Options, Pull, Unwanted

DEFAULT = Options()
DEFAULT_PORT = 3306


def _kind(value: object) -> str | None:
    """The tag of a value that may have several shapes; brackets keep tags apart from keys."""
    kinds = {bool: "[switch]", dict: "[mapping]", list: "[list]", str: "[text]"}
    return kinds.get(type(value), "[mapping]" if isinstance(value, BaseModel) else None)


class _Strict(BaseModel):
    # built once, inside the whole manifest's, and not each by itself at import as well
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class TlsModel(_Strict):
    """PEM files for an encrypted and verified connection; relative paths start from this file's folder."""

    ca: str = Field(
        "",
        description="The certificate authority that signed the server's certificate.",
        examples=["certs/lab.pem"],
    )
    cert: str = Field("", description="The certificate that identifies djlink to the server.")
    key: str = Field("", description="The private key of `cert`.")


class ServerModel(_Strict):
    """How a server is reached. Every value may be, or hold, `${env:NAME}` or `${file:path}`."""

    host: str = Field(description="Host name or address, without the port.", examples=["db.ourlab.example"])
    port: Port = Field(DEFAULT_PORT, description="The port.", examples=[3306])
    user: str = Field(
        "", description="The account. Default: `${env:DJ_USER}` at local, `${env:LINK_USER}` at a source."
    )
    password: str = Field(
        "",
        description="A reference to the password, never the password itself. Default: `${env:DJ_PASS}` at "
        "local, `${env:LINK_PASS}` at a source.",
        examples=["${env:LINK_PASS}", "${file:/run/secrets/link}"],
    )
    tls: Annotated[
        Annotated[bool, Tag("[switch]")] | Annotated[TlsModel, Tag("[mapping]")],
        Discriminator(_kind),
    ] = Field(
        False,
        description="true: encrypted, verified with the system's certificate authorities. false: not "
        "encrypted. A mapping: encrypted, verified with these files. Default: false for a loopback host, "
        "otherwise true.",
        examples=[True, {"ca": "certs/lab.pem"}],
    )


class StoreModel(_Strict):
    """How a store of a source is reached. Every text may be, or hold, `${env:NAME}` or `${file:path}`."""

    protocol: str = Field(description="file, s3, gcs or azure.", examples=["s3"])
    location: str = Field(
        "",
        description="The folder, or the prefix in the bucket. Relative folders are relative to this file.",
        examples=["/mnt/princeton/raw"],
    )
    endpoint: str = Field(
        "", description="Host and port of the S3 service.", examples=["s3.princeton.example"]
    )
    bucket: str = Field("", description="The bucket (s3, gcs).")
    container: str = Field("", description="The container (azure).")
    secure: bool = Field(True, description="Whether to use HTTPS for the S3 service.")
    access_key: str = Field("", description="A reference (s3).", examples=["${env:PRINCETON_KEY}"])
    secret_key: str = Field("", description="A reference (s3).", examples=["${file:/run/secrets/s3}"])
    token: str = Field("", description="A reference (gcs).")
    project: str = Field("", description="The project (gcs).")
    account_name: str = Field("", description="The account (azure).")
    account_key: str = Field("", description="A reference (azure).")
    connection_string: str = Field("", description="A reference (azure).")
    schema_prefix: str = Field(
        "", description="The section of objects by schema and table, if it is not `_schema`."
    )


class OptionsModel(_Strict):
    """Options that fall from `defaults` to source, schema and table; the nearest wins."""

    pull: Pull = Field(
        DEFAULT.pull,
        description="all: every wanted entity. needed: only entities that wanted children refer to. none: "
        "no new entities; the held entities are the wanted ones.",
    )
    deletions: Deletions = Field(
        DEFAULT.deletions,
        description="review: a requested deletion waits for an approval. auto: it is carried out.",
    )
    unwanted: Unwanted = Field(
        DEFAULT.unwanted,
        description="What to do with pulled entities that are no longer wanted. keep: keep them. release: "
        "delete them locally and release them at the source.",
    )
    changed: Changed = Field(
        DEFAULT.changed,
        description="What `--verify` does with rows that differ. report: report them. mend: update them.",
    )
    max_deletions: Max = Field(
        f"{DEFAULT.max_deletions.value:g}%",
        description="Maximum entities per link, as a number or a percentage, to delete without an "
        "approval, all or nothing. Never less than 1.",
        examples=["5%", 20],
    )
    stores: dict[str, str] = Field(
        {},
        description="Maps source stores to local stores for external files. `default` is the default store "
        "of either side, `*` stands for all other stores of the source, and the target `inline` for the "
        "row itself.",
        examples=[{"raw": "ourlab_raw"}, {"*": "default", "figures": "inline"}],
    )
    schema_name: str = Field(
        DEFAULT.schema_name,
        description="The local schema; `{source}` and `{schema}` are replaced by the names of the source "
        "and the schema.",
        examples=["ours_{source}_{schema}"],
    )


class DefaultsModel(OptionsModel):
    """Options for every source."""


class TableModel(OptionsModel):
    """The options of one table, or of all tables that a glob matches."""

    where: Where = Field(
        None,
        description="Selects rows: SQL over the table's own columns, a mapping (column: value, or a list "
        "of values), or a list of these (combined with OR).",
        examples=["session_date > '2020-01-01'", {"subject": ["A001", "A002"]}],
    )
    outbound_table: OutboundName = Field(
        "", description="The base name of the outbound tables. Default: derived from the table's name."
    )
    depends_on: list[str] = Field(
        [],
        description="Links to process first in addition to foreign key parents.",
        examples=[["princeton.lab.Subject"]],
    )


class SchemaModel(OptionsModel):
    """One schema of a source."""

    tables: Annotated[
        Annotated[dict[str, TableModel | None], Tag("[mapping]")]
        | Annotated[list[str], Tag("[list]")]
        | Annotated[str, Tag("[text]")],
        Discriminator(_kind),
    ] = Field(
        description="Tables by class (Session), table name (__spikes) or glob (*); the most specific key "
        "wins. Use a list, or one text, if no table has options.",
        examples=["*", ["Session", "SessionNote"], {"*": {"pull": "needed"}, "Session": None}],
    )
    exclude: list[str] = Field(
        [], description="Names and globs of tables to exclude from the globs of `tables`."
    )


class SourceModel(ServerModel, OptionsModel):
    """A server that tables come from."""

    outbound: str = Field(
        "",
        description="The schema on this server for the outbound tables. Default: `${env:LINK_OUTBOUND}`.",
        examples=["ourlab_outbound"],
    )
    store_settings: dict[
        str,
        Annotated[
            Annotated[StoreModel, Tag("[mapping]")] | Annotated[str, Tag("[text]")], Discriminator(_kind)
        ],
    ] = Field(
        {},
        description="How to reach the source's stores, by the names that its tables use: settings, or the "
        "name of another store of this source or of DataJoint's configuration. `default` is the default "
        "store.",
        examples=[{"raw": {"protocol": "file", "location": "/mnt/princeton/raw"}, "default": "raw"}],
    )
    schemas: dict[str, SchemaModel] = Field({}, description="The schemas of this server by name.")


class RemovedModel(_Strict):
    """A link that was taken out of `sources`."""

    table: Literal["keep", "drop"] = Field(description="What to do with the local table.")


class ApprovalModel(_Strict):
    """A deletion set that was agreed to; written by `djlink approve`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)

    link: str = Field(description="The link's address.", examples=["princeton.ephys.Recording"])
    keys: Digest = Field(description="The digest of their keys.")
    count: int = Field(ge=1, description="The number of approved entities.")
    until: Moment = Field(
        "", description="Requests up to this time (UTC) are covered. Required, except with `orphans`."
    )
    orphans: bool = Field(
        False,
        description="true: the approval is for local rows without a source row, not for requested deletions.",
    )
    along: dict[str, Annotated[int, Field(ge=0)]] = Field(
        {}, alias="with", description="The number of descendant entities that are deleted too, by address."
    )
    by: str = Field(min_length=1, description="Who approved.")
    date: Day = Field(description="When.")


class ManifestModel(_Strict):
    """A djlink manifest: which tables of which servers are linked to the local server."""

    manifest: Version = Field(description="The version of this format.")
    name: MarkName = Field(
        description="Marks what this manifest owns on the servers.", examples=["hippocampus-atlas"]
    )
    contact: str = Field(
        "", description="Shown to source owners with the held rows.", examples=["data@ourlab.example"]
    )
    local: ServerModel = Field(description="The local server, which receives the rows.")
    defaults: DefaultsModel = Field(DefaultsModel(), description="Options for every source.")
    sources: dict[str, SourceModel] = Field({}, description="The servers that tables come from, by name.")
    removed: dict[str, RemovedModel] = Field({}, description="Links to remove, by address.")
    approvals: list[ApprovalModel] = Field([], description="Approved deletion sets.")
