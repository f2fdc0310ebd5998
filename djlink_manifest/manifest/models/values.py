"""The manifest's format, and the values that the rest of the package takes: frozen pydantic models.

The JSON Schema is made from them. They hold types only; `checks` has what must hold besides. Options that a
level does not set are not in its `model_fields_set`, until `falling` has given every level those that hold
there. References to secrets are still text here; `secrets` alone resolves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, PlainValidator, Tag
from pydantic.json_schema import SkipJsonSchema

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models import names
from djlink_manifest.manifest.models.fields import Day, Digest, MarkName, Moment, Version
from djlink_manifest.manifest.models.options import NO_OPTIONS, Defaults, FallingOptions, Options
from djlink_manifest.manifest.models.servers import (
    PASSWORD,
    PASSWORDS,
    USER,
    LocalSpec,
    ServerSpec,
    StoreSettings,
    StoreSpec,
    store_specs,
)
from djlink_manifest.manifest.models.written import From, Model, Placed, kind, pairs, sorted_names
from djlink_manifest.manifest.text.nodes import Origin, spot_of, table_keys
from djlink_manifest.manifest.text.references import LINK_OUTBOUND, LINK_PASS, LINK_USER
from djlink_manifest.model.tables.naming import master_of, source_of


def _by_name(value: Mapping[str, Any], origin: Origin) -> tuple[Any, ...]:
    return tuple(value[name] for name in sorted(value))


class TableRule(Placed):
    """One key below `tables`: an exact name (class or table) or a glob, with its options.

    `instead_of`: the glob that chose the table, where a rule was made for one of its tables alone.
    """

    pattern: str
    options: Options
    instead_of: TableRule | None = None

    @property
    def location(self) -> Location:
        """Where its name stands."""
        return spot_of(self.origin.tree, self.origin.path).location

    @property
    def is_glob(self) -> bool:
        """Whether the key stands for any number of tables."""
        return names.is_glob(self.pattern)


def _rules(value: dict[str, Options | None] | list[str] | str, origin: Origin) -> tuple[TableRule, ...]:
    options = value if isinstance(value, dict) else {}
    rules = dict[str, TableRule]()
    for pattern, steps, _ in table_keys(origin.tree, origin.path):
        rule = TableRule.model_construct(
            origin=Origin(steps, origin.tree), pattern=pattern, options=options.get(pattern) or NO_OPTIONS
        )
        rules.setdefault(pattern, rule)
    return tuple(rules[pattern] for pattern in sorted(rules))


class SchemaSpec(Placed, FallingOptions):
    """One schema of a source."""

    rules: Annotated[
        tuple[TableRule, ...],
        From(
            Annotated[
                Annotated[dict[str, Options | None], Tag("[mapping]")]
                | Annotated[list[str], Tag("[list]")]
                | Annotated[str, Tag("[text]")],
                Discriminator(kind),
            ],
            _rules,
        ),
    ] = Field(
        alias="tables",
        description="Tables by class (Session), table name (__spikes) or glob (*); the most specific key "
        "wins. Use a list, or one text, if no table has options.",
        examples=["*", ["Session", "SessionNote"], {"*": {"pull": "needed"}, "Session": None}],
    )
    exclude: Annotated[tuple[str, ...], From(list[str], sorted_names)] = Field(
        (), description="Names and globs of tables to exclude from the globs of `tables`."
    )

    @property
    def name(self) -> str:
        """The schema's name."""
        return self.origin.name


class SourceSpec(ServerSpec, FallingOptions):
    """A server that tables come from."""

    user: str = Field(LINK_USER, description=USER)
    password: str = Field(LINK_PASS, description=PASSWORD, examples=PASSWORDS, repr=False)
    outbound: str = Field(
        LINK_OUTBOUND,
        description="The schema on this server for the outbound tables. Default: `${env:LINK_OUTBOUND}`.",
        examples=["ourlab_outbound"],
    )
    store_settings: Annotated[
        tuple[StoreSpec, ...],
        From(
            dict[
                str,
                Annotated[
                    Annotated[StoreSettings, Tag("[mapping]")] | Annotated[str, Tag("[text]")],
                    Discriminator(kind),
                ],
            ],
            store_specs,
        ),
    ] = Field(
        (),
        description="How to reach the source's stores, by the names that its tables use: settings, or the "
        "name of another store of this source or of DataJoint's configuration. `default` is the default "
        "store.",
        examples=[{"raw": {"protocol": "file", "location": "/mnt/princeton/raw"}, "default": "raw"}],
    )
    schemas: Annotated[tuple[SchemaSpec, ...], From(dict[str, SchemaSpec], _by_name)] = Field(
        (), description="The schemas of this server by name."
    )

    @staticmethod
    def at(
        server: ServerSpec,
        outbound: str,
        schemas: tuple[SchemaSpec, ...] = (),
        store_settings: tuple[StoreSpec, ...] = (),
    ) -> SourceSpec:
        """Return a source at a server that no manifest file declares."""
        made: SourceSpec = SourceSpec.model_construct(
            **dict(server), outbound=outbound, schemas=schemas, store_settings=store_settings
        )
        return made


class Removed(Placed):
    """A link that was taken out of `sources`, or a part that the source dropped."""

    table: Literal["keep", "drop"] = Field(description="What to do with the local table.")

    @property
    def address(self) -> str:
        """The address of the link."""
        return self.origin.name

    @property
    def place(self) -> tuple[str, str, str]:
        """The source, its schema and the table, as the address names them."""
        source = source_of(self.address)
        schema, _, table = self.address.removeprefix(f"{source}.").partition(".")
        return source, schema, table

    @property
    def master(self) -> str | None:
        """The master's table, where the entry says of a part that the source dropped it; None for a link."""
        return master_of(self.place[2])


class Moved(Placed):
    """A source, a schema, a table or a local schema that has another name now."""

    from_: str = Field(
        "",
        alias="from",
        description="The former name: a source, `source.schema`, or `source.schema.Table`.",
        examples=["kyoto", "kyoto.lab", "kyoto.lab.Session"],
    )
    local_schema: str = Field(
        "", description="The former name of a local schema, instead of `from`.", examples=["ours_lab"]
    )
    to: str = Field(
        description="The present name, of the same kind.", examples=["kyoto2", "kyoto.lab2", "ours_lab2"]
    )

    @property
    def before(self) -> str:
        """The former name, of whatever kind."""
        return self.from_ or self.local_schema


def _moved(value: list[Moved], origin: Origin) -> tuple[Moved, ...]:
    return tuple(sorted(value, key=lambda m: (m.from_, m.local_schema, m.to)))


class Approval(Placed):
    """A deletion set that was agreed to; written by `djlink approve`."""

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
    along: Annotated[tuple[tuple[str, int], ...], From(dict[str, Annotated[int, Field(ge=0)]], pairs)] = (
        Field(
            (),
            alias="with",
            description="The number of descendant entities that are deleted too, by address.",
        )
    )
    by: str = Field(min_length=1, description="Who approved.")
    date: Day = Field(description="When.")


def _approvals(value: list[Approval], origin: Origin) -> tuple[Approval, ...]:
    return tuple(sorted(value, key=lambda a: (a.link, a.until, a.keys, a.count, a.along, a.by, a.date)))


class Manifest(Model):
    """A djlink manifest: which tables of which servers are linked to the local server."""

    own: ClassVar[frozenset[str]] = frozenset({"files", "found", "digest", "is_trusted"})

    manifest: Version = Field(description="The version of this format.")
    name: MarkName = Field(
        description="Marks what this manifest owns on the servers.", examples=["hippocampus-atlas"]
    )
    contact: str = Field(
        "", description="Shown to source owners with the held rows.", examples=["data@ourlab.example"]
    )
    local: LocalSpec = Field(description="The local server, which receives the rows.")
    defaults: Defaults = Field(
        default_factory=Defaults.model_construct, description="Options for every source."
    )
    sources: Annotated[tuple[SourceSpec, ...], From(dict[str, SourceSpec], _by_name)] = Field(
        (), description="The servers that tables come from, by name."
    )
    removed: Annotated[tuple[Removed, ...], From(dict[str, Removed], _by_name)] = Field(
        (), description="Links to remove, by address; and parts that the source dropped."
    )
    moved: Annotated[tuple[Moved, ...], From(list[Moved], _moved)] = Field(
        (),
        description="What has another name now, so that its tables are renamed and no row travels again.",
        examples=[[{"from": "kyoto", "to": "kyoto2"}]],
    )
    approvals: Annotated[tuple[Approval, ...], From(list[Approval], _approvals)] = Field(
        (), description="Approved deletion sets."
    )
    files: Annotated[tuple[str, ...], PlainValidator(lambda value: value), SkipJsonSchema()] = ()
    """The files read."""
    found: Annotated[tuple[str, ...], PlainValidator(lambda value: value), SkipJsonSchema()] = ()
    """Those of them that nobody named: each `approvals.yaml` beside a named file."""
    digest: Annotated[str, SkipJsonSchema()] = ""
    """The SHA-256 of what the files say, in hex."""
    is_trusted: Annotated[bool, SkipJsonSchema()] = False
    """Whether a trust file allows all that it uses; DataJoint's configuration files are not read then."""

    @property
    def taken_out(self) -> tuple[Removed, ...]:
        """The links to remove: the entries of `removed` that name no part."""
        return tuple(entry for entry in self.removed if entry.master is None)
