"""The owner's side of a link: which of its views are to be made, and what keeps djlink from making them.

Pure. djlink works without these views; the owners then have nowhere to ask.
"""

from __future__ import annotations

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.server.rights import OWNER_SCHEMA_RIGHTS, grant, missing
from djlink_manifest.model.tables.owner_views import OwnerView, directory, owner_schema, owner_views


def views_to_make(link: Link, source: Catalog) -> tuple[tuple[OwnerView, ...], str]:
    """The views of the link that are not as they should be, and why; none where djlink may not make them."""
    schema = owner_schema(link.outbound_schema)
    if schema not in source.all_schemas or missing(source.grants, OWNER_SCHEMA_RIGHTS, schema):
        return (), ""
    whole = (
        directory(link.outbound_schema),
        *owner_views(link.definition, link.outbound_schema, link.outbound_table).values(),
    )
    absent, other, foreign = list[OwnerView](), list[OwnerView](), list[OwnerView]()
    for view in whole:
        place = (view.schema, view.name)
        found = source.tables.get(place)
        if found is None:
            absent.append(view)
        elif found.kind != "view":
            continue  # a table of somebody's own: never touched
        elif source.definers.get(place) != source.identity.account:
            foreign.append(view)
        elif tuple(c.name for c in found.columns) != view.columns:
            other.append(view)
    why = [
        *(["the owner views are missing"] if absent else []),
        *(["their definer is not the link user"] if foreign else []),
        *(["their columns are not those of this version"] if other else []),
    ]
    return tuple(v for v in whole if v in (*absent, *foreign, *other)), "; ".join(why)


def missing_owner_rights(source: Catalog, outbound: str) -> tuple[str, str] | None:
    """What keeps the owners of a source from asking for deletions, and the SQL that mends it."""
    schema = owner_schema(outbound)
    rights = grant(OWNER_SCHEMA_RIGHTS, schema, source.identity)
    if schema not in source.all_schemas:
        words = f"the owners of {source.server} cannot request deletions: there is no schema `{schema}`"
        create = f"CREATE SCHEMA IF NOT EXISTS `{schema.replace('`', '``')}`;"
        return words, f"ask the source's administrator to run: {create} {rights}"
    missing_rights = missing(source.grants, OWNER_SCHEMA_RIGHTS, schema)
    if missing_rights:
        words = (
            f"the owners of {source.server} cannot request deletions in all links: the link user lacks "
            f"{', '.join(missing_rights)} on `{schema}`"
        )
        return words, f"ask the source's administrator to run: {rights}"
    return None
