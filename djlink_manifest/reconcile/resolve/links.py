"""Manifest and catalogues → links and their graph. Pure: the catalogues were read before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.manifest.models.moves import former_local_schemas, former_places
from djlink_manifest.manifest.models.values import Manifest, Removed, SourceSpec
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.graph import Edge, LinkGraph
from djlink_manifest.model.links.link import Former, Link, Reference
from djlink_manifest.model.server.catalog import Catalog, TableName, Version
from djlink_manifest.model.server.rights import SOURCE_RIGHTS, grant, missing
from djlink_manifest.model.stores.store import Stores
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.derive import LinkedTable, circle_notes, local_definition
from djlink_manifest.model.tables.naming import outbound_names, plain_name, source_of
from djlink_manifest.model.vendors.fitting import Fitted, fitted
from djlink_manifest.reconcile.resolve.blocking import Blocker
from djlink_manifest.reconcile.resolve.candidates import Hints, Unresolved, candidates
from djlink_manifest.reconcile.resolve.circles import (
    LinkKey,
    Untied,
    link_keys,
    tied_refusals,
    untie,
    without_circles,
)
from djlink_manifest.reconcile.resolve.external_columns import Housed, house
from djlink_manifest.reconcile.resolve.refusals import Candidate, first_each, refusals_of
from djlink_manifest.reconcile.resolve.renamed import renamed_refusals
from djlink_manifest.reconcile.resolve.targets import target_refusals
from djlink_manifest.reconcile.resolve.text_collations import (
    chosen_collation,
    unknown_collations,
    unlike_parents,
)
from djlink_manifest.reconcile.state.snapshot import Refusal, refusal_about


@dataclass(frozen=True, slots=True)
class Resolved:
    """The links of the manifest, sorted by address, their graph, and what could not become a link.

    A refusal whose address is a link's concerns that link; the others have no link. `declared` are the
    source's tables, as `schema.table` by source, that the manifest declares and that gave no link.
    """

    links: tuple[Link, ...]
    graph: LinkGraph
    refusals: tuple[Refusal, ...]
    declared: Mapping[str, frozenset[str]]


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
    server, which is `local` for a source on the local server.
    """
    found = list[_Source]()
    for source in manifest.sources:
        catalog = catalogs.get(source.name)
        if catalog is not None:
            schema = outbound[source.name]
            chosen, unresolved = candidates(manifest, source, catalog, schema)
            found.append(
                _Source.of(
                    source,
                    catalog,
                    schema,
                    manifest=manifest,
                    chosen=chosen,
                    unresolved=unresolved,
                    local=local,
                    stores=stores,
                )
            )
    links = {link.address: link for each in found for link in each.links()}
    refusals = [
        *(u.refusal for each in found for u in each.unresolved),
        *(r for each in found for r in each.refusals(local.identity.version)),
        *(r for each in found for r in each.renamed()),
        *(r for each in found for r in unknown_collations(each.candidates, local)),
        *unlike_parents(links),
        *target_refusals(manifest, links.values(), outbound, homes),
        *(r for each in found for r in tied_refusals(each.untied, each.keys, links)),
    ]
    edges = [Edge(link.address, r.parent, "foreign key") for link in links.values() for r in link.references]
    more, broken = _depends(links, [c for each in found for c in each.candidates], catalogs, refusals)
    edges, circular = without_circles([*edges, *more], links)
    refusals += [*broken, *circular]
    refused = {r.address: r for r in refusals}
    for each in found:
        blocker = Blocker(each.spec, each.unresolved, each.linked, refused)
        blocked = [c for c in each.candidates if c.address not in refused]
        refusals += blocker.refusals(blocked)
        for candidate in each.candidates:
            links[candidate.address] = _without(links[candidate.address], blocker.parents(candidate))
    return Resolved(
        tuple(links[a] for a in sorted(links)),
        LinkGraph.build(links, edges),
        first_each(refusals),
        {each.spec.name: frozenset(each.declared()) for each in found},
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """What one source's part of the manifest chooses, with what its links are made from."""

    spec: SourceSpec
    catalog: Catalog
    outbound: str
    manifest: Manifest
    candidates: Sequence[Candidate]
    unresolved: Sequence[Unresolved]
    fits: Mapping[str, Fitted]
    houses: Mapping[str, Housed]
    linked: Mapping[TableName, LinkedTable]
    keys: Sequence[LinkKey]
    untied: Untied
    removed: Sequence[Removed]

    @staticmethod
    def of(
        spec: SourceSpec,
        catalog: Catalog,
        outbound: str,
        manifest: Manifest,
        chosen: Sequence[Candidate],
        unresolved: Sequence[Unresolved],
        local: Catalog,
        stores: Stores,
    ) -> _Source:
        """The candidates of a source, fitted to the local server, and the foreign keys between them."""
        version = catalog.identity.version
        fits = {c.address: fitted(c.table, version, local, chosen_collation(c, local)) for c in chosen}
        houses = {
            c.address: house(fits[c.address].table, spec.name, c.local_schema, c.options.stores, stores)
            for c in chosen
        }
        linked = {
            (t.schema, t.name): LinkedTable(c.address, t.key, c.local_schema, plain_name(t.name))
            for c in chosen
            for t in c.table.tables
        }
        keys = [key for c in chosen for key in link_keys(c, linked, local)]
        return _Source(
            spec,
            catalog,
            outbound,
            manifest=manifest,
            candidates=chosen,
            unresolved=unresolved,
            fits=fits,
            houses=houses,
            linked=linked,
            keys=keys,
            untied=untie(keys),
            removed=manifest.removed,
        )

    def declared(self) -> Iterator[str]:
        """The tables, as `schema.table`, that are declared and gave no link.

        A name that fits no table may mean any table of its schema that was linked.
        """
        own_marks = [m for m in self.catalog.marks.get(self.outbound, ()) if m.manifest == self.manifest.name]
        for each in self.unresolved:
            linked = [(m.source_schema, m.source_table) for m in own_marks if m.source_schema == each.schema]
            yield from (".".join(place) for place in (linked if each.tables is None else each.tables))

    def refusals(self, local: Version) -> Iterator[Refusal]:
        """Why candidates cannot be linked as they are, or not as their rules have it."""
        source = self.catalog.identity.version
        for c in self.candidates:
            yield from refusals_of(c, self.fits[c.address], self.houses[c.address], source, local)

    def renamed(self) -> Iterator[Refusal]:
        """The refusals of tables that were linked under another name, of which `moved` says nothing."""
        if self.manifest.files:  # a class has no place where that could be said
            hints = Hints.of(self.catalog, self.outbound, self.manifest.name)
            yield from renamed_refusals(self.candidates, hints.linked, self.manifest.moved)

    def links(self) -> Iterator[Link]:
        """The links of the candidates."""
        formers = {
            c.address: former_places(self.manifest.moved, self.spec.name, c.table.schema, c.table.name)
            for c in self.candidates
        }
        marked = self._marked(formers)
        names = outbound_names(((c.table.schema, c.table.name) for c in self.candidates), marked)
        references = dict[str, list[Reference]]()
        for key in self.keys:
            if key.name not in self.untied.loose and (key.child, key.parent) not in self.untied.idle:
                references.setdefault(key.child, []).append(key.reference)
        for c in self.candidates:
            loose = self.untied.loose
            local, plain = local_definition(self.houses[c.address].table, c.local_schema, self.linked, loose)
            yield Link(
                address=c.address,
                source=c.source.name,
                definition=c.table,
                local=local,
                outbound_schema=self.outbound,
                outbound_table=c.options.outbound_table or names[c.table.schema, c.table.name],
                references=tuple(references.get(c.address, ())),
                plain=plain,
                where=c.options.where,
                pull=c.options.pull,
                unwanted=c.options.unwanted,
                deletions=c.options.deletions,
                location=c.rule.location,
                changed=c.options.changed,
                collation=c.options.collation,
                unseen=tuple(_unseen(c.table, plain, self.catalog)),
                notes=(*self.fits[c.address].notes, *circle_notes(c.table)),
                most_deletions=c.options.max_deletions,
                stores=self.houses[c.address].stores,
                loose=self.untied.words.get(c.address, ()),
                dropped_parts=tuple(_dropped_parts(c, self.removed)),
                formers=formers[c.address],
                former_schemas=_former_schemas(self.manifest, c, formers[c.address]),
            )

    def _marked(self, formers: Mapping[str, Sequence[Former]]) -> dict[TableName, str]:
        """The outbound tables that are marked, by source table; a table that moved keeps the one it had."""
        own_marks = [m for m in self.catalog.marks.get(self.outbound, ()) if m.manifest == self.manifest.name]
        marked = {(m.source_schema, m.source_table): m.outbound_table for m in own_marks}
        present = {(c.table.schema, c.table.name): formers[c.address] for c in self.candidates}
        for m in own_marks:
            place, now = (m.source_schema, m.source_table), self.catalog.protected(m)
            if now != place and any(former.names(*place) for former in present.get(now, ())):
                del marked[place]  # another table has that name now
        for c in self.candidates:
            place = (c.table.schema, c.table.name)
            for before in formers[c.address] if place not in marked else ():
                names = [m.outbound_table for m in own_marks if before.names(m.source_schema, m.source_table)]
                if names and place not in marked:
                    marked[place] = names[0]
        return marked


def _former_schemas(manifest: Manifest, of: Candidate, formers: Sequence[Former]) -> tuple[str, ...]:
    """The local schemas, other than its own, from which `moved` may bring the tables of a link."""
    before = (of.options.local_schema(each.source, each.schema) for each in formers)
    return former_local_schemas(manifest.moved, [of.local_schema, *before])[1:]


def _without(link: Link, parents: Collection[TableName]) -> Link:
    """The link, whose foreign keys to these parents do not become plain columns: it waits for them."""
    names = {".".join(place) for place in parents}
    return replace(
        link,
        plain=tuple(name for name in link.plain if name not in names),
        unseen=tuple(each for each in link.unseen if each[0] not in names),
    )


def _dropped_parts(candidate: Candidate, removed: Sequence[Removed]) -> Iterator[str]:
    """The parts of a table of which the manifest says that the source dropped them."""
    table, source = candidate.table, candidate.source.name
    for entry in removed:
        _, _, part = entry.place
        if entry.master == table.name and entry.place[:2] == (source, table.schema):
            yield part


def _unseen(source: TableDefinition, plain: Sequence[str], catalog: Catalog) -> Iterator[tuple[str, str]]:
    """The parents that the account may not read, and the GRANT by which they can be linked."""
    parents = {(k.parent_schema, k.parent_table) for t in source.tables for k in t.foreign_keys}
    for schema, name in sorted(parents):
        hidden = missing(catalog.grants, ("SELECT",), schema, name)
        if hidden and f"{schema}.{name}" in plain:
            rights = grant(SOURCE_RIGHTS, schema, catalog.identity.account, name)
            yield f"{schema}.{name}", rights


def _depends(
    links: Mapping[str, Link],
    candidates: Sequence[Candidate],
    catalogs: Mapping[str, Catalog],
    refusals: Sequence[Refusal],
) -> tuple[list[Edge], list[Refusal]]:
    """The edges of `depends_on`, and the refusals of those that name no link."""
    names = dict[str, str]()
    for link in links.values():
        names[link.address] = link.address
        names[f"{link.source}.{link.definition.schema}.{link.definition.name}"] = link.address
    edges, broken = list[Edge](), list[Refusal]()
    for candidate in candidates:
        for other in candidate.options.depends_on:
            if other in names:
                edges.append(Edge(candidate.address, names[other], "depends_on"))
                continue
            cause, hint = refusal_about(other, refusals), None
            if source_of(other) not in catalogs:
                words = f"it depends on {other}, whose server is unavailable"
            elif cause is not None:
                words = f"it depends on {other}, but {cause.address} cannot be linked: {cause.reason}"
                hint = cause.hint
            else:
                words = f"it depends on {other}, which is not a link of this manifest"
                close = nearest(other, sorted(names))
                hint = f"did you mean `{close}`?" if close else None
            causes = (cause.address,) if cause else ()
            where = candidate.rule.location
            broken.append(Refusal(candidate.address, words, hint, where, causes, only_pulls=True))
    return edges, broken
