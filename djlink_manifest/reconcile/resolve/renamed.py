"""Tables and schemas that their owner renamed at the source, and the entries of `moved` to write. Pure.

The foreign key of an outbound table follows a table that is renamed, so that it tells the present name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from djlink_manifest.manifest.models.moves import former_places
from djlink_manifest.manifest.models.values import Manifest, Moved, SchemaSpec, SourceSpec, TableRule
from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import class_name
from djlink_manifest.reconcile.state.snapshot import Refusal

OTHERWISE = "or ask the source's owner to undo the renaming"


class Chosen(Protocol):
    """A table of a source that a rule chooses."""

    @property
    def address(self) -> str:
        """The address of its link."""

    @property
    def source(self) -> SourceSpec:
        """The source."""

    @property
    def rule(self) -> TableRule:
        """The rule."""

    @property
    def table(self) -> TableDefinition:
        """The table."""


def entry(before: str, to: str) -> str:
    """The entry of `moved` as it is written into a manifest."""
    return f"`moved: [{{from: {written(before)}, to: {written(to)}}}]`"


def renamed_refusal(address: str, rule: TableRule, schema: str, today: TableName) -> Refusal:
    """The refusal of a name in `tables` whose table is called otherwise today."""
    source = address.split(".", 1)[0]
    name = class_name(today[1])
    to = f"{source}.{today[0]}.{name}"
    where = "" if today[0] == schema else f" of the schema `{today[0]}`"
    shown = today[1] if today[0] == schema else ".".join(today)
    words = f"the source no longer has this table: it was renamed to `{shown}`"
    hint = f"write `{name}`{where} instead of `{rule.pattern}`, and add {entry(address, to)}; {OTHERWISE}"
    return Refusal(address, words, hint, rule.location)


def renamed_schema(source: str, schema: SchemaSpec, linked: Mapping[TableName, TableName]) -> Refusal | None:
    """The refusal of a schema that is gone and whose linked tables are in another one today; else None."""
    today = sorted({now[0] for before, now in linked.items() if before[0] == schema.name != now[0]})
    if not today:
        return None
    address, to = f"{source}.{schema.name}", f"{source}.{today[0]}"
    words = f"the source no longer has this schema: its linked tables are in `{today[0]}` now"
    hint = f"write `{today[0]}` instead of `{schema.name}`, and add {entry(address, to)}; {OTHERWISE}"
    return Refusal(address, words, hint, schema.location)


def renamed_refusals(
    candidates: Iterable[Chosen], linked: Mapping[TableName, TableName], moved: Iterable[Moved]
) -> Iterator[Refusal]:
    """The refusals of tables that were linked under another name, of which `moved` says nothing.

    Such a table would be a new link beside the old one, and all its rows would travel again. `linked` gives
    for each table of a mark the name that it has today.
    """
    moved, former = tuple(moved), defaultdict[TableName, list[TableName]](list)
    for before, now in sorted(linked.items()):
        former[now].append(before)
    for each in candidates:
        place = (each.table.schema, each.table.name)
        befores = former.get(place, [])
        if not befores or place in befores:
            continue
        formers = former_places(moved, each.source.name, *place)
        if any(one.names(*before) for one in formers for before in befores):
            continue
        schema, table = befores[0]
        address = f"{each.source.name}.{schema}.{class_name(table)}"
        words = f"its source table is linked as {address}, and was renamed at the source since"
        added = entry(address, each.address)
        if table == place[1]:
            added = entry(f"{each.source.name}.{schema}", f"{each.source.name}.{place[0]}")
        yield Refusal(each.address, words, f"add {added} to the manifest; {OTHERWISE}", each.rule.location)


def following(manifest: Manifest, links: Iterable[Link]) -> Manifest:
    """The manifest whose approvals name links by their present addresses."""
    present = {former.address: link.address for link in links for former in link.formers}
    if not present:
        return manifest
    approvals = tuple(
        approval.model_copy(
            update={
                "link": present.get(approval.link, approval.link),
                "along": tuple(sorted((present.get(a, a), count) for a, count in approval.along)),
            }
        )
        for approval in manifest.approvals
    )
    return manifest.model_copy(update={"approvals": approvals})
