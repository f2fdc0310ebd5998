"""Manifest and catalogues → links and their graph. Pure: the catalogues were read before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.manifest.match import nearest, rule_for
from djlink_manifest.manifest.names import unlinkable
from djlink_manifest.manifest.values import Manifest, SchemaSpec, SourceSpec
from djlink_manifest.model.catalog import Catalog
from djlink_manifest.model.definition import TableDefinition
from djlink_manifest.model.derive import LinkedTable, local_definition
from djlink_manifest.model.fitting import Fitted, fitted
from djlink_manifest.model.graph import Edge, LinkGraph
from djlink_manifest.model.link import Link, Reference
from djlink_manifest.model.naming import class_name, outbound_names, plain_name
from djlink_manifest.model.rights import grant, missing
from djlink_manifest.model.stores import Stores
from djlink_manifest.reconcile.housing import Housed, house
from djlink_manifest.reconcile.snapshot import Refusal
from djlink_manifest.reconcile.targets import target_refusals
from djlink_manifest.reconcile.unresolved import (
    Candidate,
    first_each,
    misnamed,
    no_table,
    refusals_of,
    unread,
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The links of the manifest, sorted by address, their graph, and what could not become a link.

    A refusal whose address is a link's concerns that link; the others have no link.
    """

    links: tuple[Link, ...]
    graph: LinkGraph
    refusals: tuple[Refusal, ...]


def local_schemas(manifest: Manifest) -> frozenset[str]:
    """Every local schema that the manifest can name.

    Of a link that is taken out, and whose source schema is declared no longer, it is the one that the options
    of its source, or `defaults`, give.
    """
    named = {
        rule.options.local_schema(source.name, schema.name)
        for source in manifest.sources
        for schema in source.schemas
        for rule in schema.rules
    }
    return frozenset(
        named
        | {
            source.options.local_schema(source.name, name)
            for source in manifest.sources
            for name in removed_schemas(manifest, source)
        }
    )


def removed_schemas(manifest: Manifest, source: SourceSpec) -> tuple[str, ...]:
    """The schemas of a source that only links taken out name, sorted."""
    declared = {schema.name for schema in source.schemas}
    places = (entry.place for entry in manifest.removed)
    return tuple(sorted({schema for name, schema, _ in places if name == source.name} - declared))


def resolve(
    manifest: Manifest,
    catalogs: Mapping[str, Catalog],
    local: Catalog,
    outbound: Mapping[str, str],
    stores: Stores,
    homes: Mapping[str, str],
) -> Resolved:
    """The links of the manifest over the sources whose catalogues could be read.

    `local` is the local server's catalogue, which the definitions have to fit; `outbound` gives each source's
    outbound schema, `stores` those of external objects, `homes` for each source the first name of the same
    server, which is `local` for a source on the local server. Raises GraphError for a cycle.
    """
    refusals = list[Refusal]()
    links = dict[str, Link]()
    depends = dict[str, tuple[str, ...]]()
    for source in manifest.sources:
        catalog = catalogs.get(source.name)
        if catalog is None:
            continue
        candidates = list[Candidate]()
        for schema in source.schemas:
            found, refused = _candidates(source, schema, catalog)
            candidates += found
            refusals += refused
        fits = {c.address: fitted(c.table, catalog.identity.version, local) for c in candidates}
        houses = {
            c.address: house(fits[c.address].table, source.name, c.local_schema, c.options.stores, stores)
            for c in candidates
        }
        made = _links(candidates, fits, houses, catalog, outbound[source.name], manifest.name)
        links.update({link.address: link for link in made})
        for candidate in candidates:
            depends[candidate.address] = candidate.options.depends_on
            address = candidate.address
            refusals += refusals_of(candidate, fits[address], houses[address], local.identity.version)
    refusals += target_refusals(manifest, links.values(), outbound, homes)
    edges, broken = _edges(links, depends, catalogs)
    graph = LinkGraph.build(links, edges)
    return Resolved(tuple(links[a] for a in sorted(links)), graph, first_each([*refusals, *broken]))


def _candidates(
    source: SourceSpec, schema: SchemaSpec, catalog: Catalog
) -> tuple[list[Candidate], list[Refusal]]:
    place = f"{source.name}.{schema.name}"
    if schema.name not in catalog.all_schemas:
        close = nearest(schema.name, sorted(catalog.all_schemas))
        rights = grant(["SELECT", "REFERENCES"], schema.name, catalog.identity.account)
        hint = (
            f"did you mean `{close}`? Else let the source's administrator run: {rights}"
            if close
            else (f"check the name, or let the source's administrator run: {rights}")
        )
        words = "the schema does not exist, or the link user has no right on it"
        return [], [Refusal(place, words, hint, schema.location)]
    masters = catalog.masters(schema.name)
    classes = Counter(class_name(t.name) for t in masters)
    found, chosen, unseen = list[Candidate](), set[str](), list[Refusal]()
    for table in masters:
        rule = rule_for(schema, table.name, class_name(table.name))
        if rule is not None:
            name = class_name(table.name) if classes[class_name(table.name)] == 1 else table.name
            if fault := unlinkable(table.name):
                chosen.add(rule.pattern)
                unseen.append(misnamed(f"{place}.{name}", rule, table.name, fault))
                continue
            if not all(t.columns and set(t.key) <= set(t.column_names) for t in table.tables):
                chosen.add(rule.pattern)
                unseen.append(unread(f"{place}.{name}", rule, table, catalog))
                continue
            local = rule.options.local_schema(source.name, schema.name)
            found.append(Candidate(f"{place}.{name}", source, rule, table, local))
    chosen |= {c.rule.pattern for c in found}
    names = sorted({n for t in masters for n in (t.name, class_name(t.name))})
    refused = [
        no_table(place, rule, names, catalog, schema.name)
        for rule in schema.rules
        if not rule.is_glob and rule.pattern not in chosen
    ]
    return found, [*unseen, *refused]


def _links(
    candidates: list[Candidate],
    fits: Mapping[str, Fitted],
    houses: Mapping[str, Housed],
    catalog: Catalog,
    outbound: str,
    manifest: str,
) -> Iterator[Link]:
    linked: dict[tuple[str, str], LinkedTable] = {}
    for c in candidates:
        for table in c.table.tables:
            place = (table.schema, table.name)
            linked[place] = LinkedTable(c.address, table.key, c.local_schema, plain_name(table.name))
    marked = {
        (m.source_schema, m.source_table): m.outbound_table
        for m in catalog.marks.get(outbound, ())
        if m.manifest == manifest
    }
    names = outbound_names(((c.table.schema, c.table.name) for c in candidates), marked)
    for c in candidates:
        local, plain = local_definition(houses[c.address].table, c.local_schema, linked)
        yield Link(
            address=c.address,
            source=c.source.name,
            definition=c.table,
            local=local,
            outbound_schema=outbound,
            outbound_table=c.options.outbound_table or names[c.table.schema, c.table.name],
            references=tuple(_references(c.table, linked)),
            plain=plain,
            where=c.options.where,
            pull=c.options.pull,
            unwanted=c.options.unwanted,
            deletions=c.options.deletions,
            location=c.rule.location,
            changed=c.options.changed,
            unseen=tuple(_unseen(c.table, plain, catalog)),
            notes=fits[c.address].notes,
            most_deletions=c.options.max_deletions,
            stores=houses[c.address].stores,
        )


def _unseen(source: TableDefinition, plain: Sequence[str], catalog: Catalog) -> Iterator[tuple[str, str]]:
    """The parents that the account may not read, and the GRANT by which they can be linked."""
    parents = {(k.parent_schema, k.parent_table) for t in source.tables for k in t.foreign_keys}
    for schema, name in sorted(parents):
        hidden = missing(catalog.grants, ("SELECT",), schema, name)
        if hidden and f"{schema}.{name}" in plain:
            rights = grant(("SELECT", "REFERENCES"), schema, catalog.identity.account, name)
            yield f"{schema}.{name}", rights


def _references(
    source: TableDefinition, linked: Mapping[tuple[str, str], LinkedTable]
) -> Iterator[Reference]:
    own = {(t.schema, t.name) for t in source.tables}
    for table in source.tables:
        for key in table.foreign_keys:
            place = (key.parent_schema, key.parent_table)
            parent = linked.get(place)
            if place in own or parent is None or set(key.parent_columns) != set(parent.key):
                continue
            nullable = tuple(name for name in key.columns if table.column(name).nullable)
            yield Reference(
                table.name, key.columns, nullable, parent.address, key.parent_table, key.parent_columns
            )


def _edges(
    links: Mapping[str, Link], depends: Mapping[str, tuple[str, ...]], catalogs: Mapping[str, Catalog]
) -> tuple[list[Edge], list[Refusal]]:
    edges = [Edge(link.address, r.parent, "foreign key") for link in links.values() for r in link.references]
    names = {}
    for link in links.values():
        names[link.address] = link.address
        names[f"{link.source}.{link.definition.schema}.{link.definition.name}"] = link.address
    refusals = []
    for address, others in depends.items():
        for other in others:
            if other in names:
                edges.append(Edge(address, names[other], "depends_on"))
                continue
            source = other.split(".", 1)[0]
            words = f"it depends on {other}, which is no link of this manifest"
            hint: str | None = None
            if source not in catalogs:
                words = f"it depends on {other}, whose server cannot be used"
            else:
                close = nearest(other, sorted(names))
                hint = f"did you mean `{close}`?" if close else None
            refusals.append(Refusal(address, words, hint, links[address].location))
    return edges, refusals
