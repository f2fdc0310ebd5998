"""`collation` of the manifest: which one the local tables of a link take, and what is in the way. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.links.link import AS_SOURCE, Link
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.reconcile.resolve.refusals import Candidate
from djlink_manifest.reconcile.state.snapshot import Refusal


def chosen_collations(manifest: Manifest) -> frozenset[str]:
    """The collations that the manifest names."""
    rules = (rule for source in manifest.sources for schema in source.schemas for rule in schema.rules)
    return frozenset({rule.options.collation for rule in rules} - {AS_SOURCE})


def chosen_collation(candidate: Candidate, local: Catalog) -> str | None:
    """The collation that the local tables take; None for the source's, or where there is no such one."""
    name = candidate.options.collation
    return name if name in local.collations and name != AS_SOURCE else None


def unknown_collations(candidates: Iterable[Candidate], local: Catalog) -> Iterator[Refusal]:
    """The refusals of links whose `collation` the local server does not have."""
    for each in candidates:
        name, version = each.options.collation, local.identity.version
        if name != AS_SOURCE and name not in local.collations:
            yield Refusal(
                each.address,
                f"the local server ({version.vendor} {version.text}) has no collation `{name}`",
                "correct `collation`; SHOW COLLATION on the local server lists those that it has",
                each.rule.location,
                only_pulls=True,
            )


def unlike_parents(links: Mapping[str, Link]) -> Iterator[Refusal]:
    """The refusals of links whose text columns have another collation than the parents that they refer to.

    Without the option both have the source's, where a foreign key asks for equal ones.
    """
    if all(link.collation == AS_SOURCE for link in links.values()):
        return
    owners = {(t.schema, t.name): (link, t) for link in links.values() for t in link.local.tables}
    for link in links.values():
        found = {
            parent.address: parent
            for table in link.local.tables
            for key in table.foreign_keys
            for parent, parent_table in [owners.get((key.parent_schema, key.parent_table), (link, table))]
            if parent is not link and _differ(table, key.columns, parent_table, key.parent_columns)
        }
        for address, parent in sorted(found.items()):
            said = [f"{each.location} has `collation: {each.collation}`" for each in (link, parent)]
            yield Refusal(
                link.address,
                f"it refers to {address}, and a foreign key over text needs equal collations: "
                f"{', '.join(said)}",
                "give both the same `collation`, for example at their source or in `defaults`",
                link.location,
                only_pulls=True,
            )


def _differ(
    table: TableDefinition, columns: Iterable[str], other: TableDefinition, others: Iterable[str]
) -> bool:
    pairs = zip(columns, others, strict=True)
    return any(table.column(a).collation != other.column(b).collation for a, b in pairs)
