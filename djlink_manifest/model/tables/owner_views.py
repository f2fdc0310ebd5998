"""What the owner of a source sees and may write: views in a schema of its own, beside the outbound schema.

The owner has rights on these alone. They read and write the outbound tables with the rights of the account
that made them, the link user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.derive import extra_name
from djlink_manifest.model.tables.naming import MAX_NAME, shortened

OWNER = "_owner"
DIRECTORY = "links"
DIRECTORY_COLUMNS = (
    "outbound_table",
    "manifest",
    "contact",
    "source_schema",
    "source_table",
    "outbound_schema",
    "since",
)

Kind: TypeAlias = Literal["links", "held", "requests", "approved", "withdrawn", "history"]
KINDS: tuple[Kind, ...] = ("held", "requests", "approved", "withdrawn", "history")


@dataclass(frozen=True, slots=True)
class OwnerView:
    """One view: what it shows (`kind`), of which link's outbound table (`base`, in the schema `outbound`).

    `columns` are the view's columns in order, the first of them the `key` of the source; `links`, the list of
    all links, has no key and no base.
    """

    kind: Kind
    schema: str
    name: str
    outbound: str
    base: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def extra(self) -> tuple[str, ...]:
        """The columns beside the key."""
        return self.columns[len(self.key) :]


def owner_schema(outbound: str) -> str:
    """The schema of the owner's views beside an outbound schema; its name always ends in `_owner`."""
    return shortened(outbound, MAX_NAME - len(OWNER)) + OWNER


def owner_view_name(base: str, kind: Kind) -> str:
    """The name of a link's view of a kind."""
    return f"{base}_{kind}"


def owner_views(source: TableDefinition, outbound: str, base: str) -> dict[Kind, OwnerView]:
    """A link's views by what they show.

    A column of djlink's whose name is taken by the source's key is called otherwise, as in the tables.
    """
    extra: dict[Kind, tuple[str, ...]] = {
        "held": ("pulled_at", "manifest", "contact"),
        "requests": ("requested_at", "requested_by", "reason"),
        "approved": ("approved_at", "approved_by"),
        "withdrawn": ("event", "reason"),
        "history": ("event", "who", "reason", "at"),
    }
    return {
        kind: OwnerView(
            kind,
            owner_schema(outbound),
            owner_view_name(base, kind),
            outbound,
            base=base,
            key=source.key,
            columns=(*source.key, *(extra_name(source, name) for name in extra[kind])),
        )
        for kind in KINDS
    }


def directory(outbound: str) -> OwnerView:
    """The view that lists the links of an outbound schema: whose they are, and of which source table."""
    return OwnerView(
        "links", owner_schema(outbound), DIRECTORY, outbound, base="", key=(), columns=DIRECTORY_COLUMNS
    )
