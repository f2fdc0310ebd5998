"""Options of tables, as a manifest says them at any level and as they hold for one table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from djlink_manifest.manifest.models.fields import WHERE_SCHEMA, Collation, Max, OutboundName
from djlink_manifest.manifest.models.written import From, Model, pairs, sorted_names
from djlink_manifest.model.links.link import DEFAULT_LIMIT, Limit
from djlink_manifest.model.links.selection import Condition

Pull = Literal["all", "needed", "none"]
Deletions = Literal["review", "auto"]
Unwanted = Literal["keep", "release"]
Changed = Literal["report", "mend"]


class FallingOptions(Model):
    """Options that fall from `defaults` to source, schema and table; the nearest wins."""

    pull: Pull = Field(
        "all",
        description="all: every wanted entity. needed: only entities that wanted children refer to. none: "
        "no new entities; the held entities are the wanted ones.",
    )
    deletions: Deletions = Field(
        "review",
        description="review: a requested deletion waits for an approval. auto: it is carried out.",
    )
    unwanted: Unwanted = Field(
        "keep",
        description="What to do with pulled entities that are no longer wanted. keep: keep them. release: "
        "delete them locally and release them at the source.",
    )
    changed: Changed = Field(
        "report",
        description="What `--verify` does with rows that differ. report: report them. mend: update them.",
    )
    max_deletions: Annotated[Limit, From(Max)] = Field(
        DEFAULT_LIMIT,
        description="Maximum entities per link, as a number or a percentage, to delete without an "
        "approval, all or nothing. Never less than 1.",
        examples=["5%", 20],
        json_schema_extra={"default": f"{DEFAULT_LIMIT.value:g}%"},
    )
    stores: Annotated[tuple[tuple[str, str], ...], From(dict[str, str], pairs)] = Field(
        (),
        description="Maps source stores to local stores for external files. `default` is the default store "
        "of either side, `*` stands for all other stores of the source, and the target `inline` for the "
        "row itself.",
        examples=[{"raw": "ourlab_raw"}, {"*": "default", "figures": "inline"}],
        json_schema_extra={"default": {}},
    )
    collation: Collation = Field(
        "source",
        description="The collation of local text columns: `source`, as the source has them, or the name of "
        "one of the local server. A link in which two keys would become one by it is blocked.",
        examples=["utf8mb4_bin"],
    )
    schema_name: str = Field(
        "{schema}",
        description="The local schema; `{source}` and `{schema}` are replaced by the names of the source "
        "and the schema.",
        examples=["ours_{source}_{schema}"],
    )

    def local_schema(self, source: str, schema: str) -> str:
        """The local schema of a table of this source and schema."""
        return self.schema_name.replace("{source}", source).replace("{schema}", schema)


class Defaults(FallingOptions):
    """Options for every source."""


class Options(FallingOptions):
    """The options of one table, or of all tables that a glob matches."""

    where: Annotated[Condition | None, From(Annotated[Any, WHERE_SCHEMA], lambda value, origin: None)] = (
        Field(  # `falling` reads it, with the place of every part
            None,
            description="Selects rows: SQL over the table's own columns, a mapping (column: value, or a "
            "list of values), or a list of these (combined with OR).",
            examples=["session_date > '2020-01-01'", {"subject": ["A001", "A002"]}],
        )
    )
    outbound_table: Annotated[str | None, From(OutboundName)] = Field(
        None, description="The base name of the outbound tables. Default: derived from the table's name."
    )
    depends_on: Annotated[tuple[str, ...], From(list[str], sorted_names)] = Field(
        (),
        description="Links to process first in addition to foreign key parents.",
        examples=[["princeton.lab.Subject"]],
    )


NO_OPTIONS = Options.model_construct()
