"""What a class asks of the core: a manifest, made in Python or narrowed from one that a person wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.match import rule_for
from djlink_manifest.manifest.models.options import Options
from djlink_manifest.manifest.models.servers import LocalSpec, ServerSpec, StoreSpec
from djlink_manifest.manifest.models.values import Manifest, Removed, SchemaSpec, SourceSpec, TableRule
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.model.links.selection import NOTHING, AllOf, Condition
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.tables.naming import class_name

NAME = "python"  # the manifest to which all links made by decorators belong
StoreNames: TypeAlias = tuple[tuple[str, str], ...]  # a source's store and the local one


@dataclass(frozen=True, slots=True)
class BoundManifest:
    """A manifest and the environment that its references are resolved in, which is never shown."""

    manifest: Manifest
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkDeclaration:
    """One link that a decorator asks for: the source's schema and class, and what it shall be locally."""

    schema: str
    name: str
    local_schema: str
    stores: StoreNames
    location: Location
    source_stores: tuple[StoreSpec, ...] = ()

    def names(self, schema: str, table: str) -> bool:
        """Whether a table of the source is the one that is asked for."""
        return schema == self.schema and self.name in {table, class_name(table)}

    def is_of(self, mark: Mark) -> bool:
        """Whether a mark is of this link."""
        return self.names(mark.source_schema, mark.source_table)


def decorated(
    declaration: LinkDeclaration,
    marks: Iterable[Mark],
    local: ServerSpec,
    source: ServerSpec,
    outbound: str,
    contact: str,
    where: Condition | None,
    beside: Mapping[tuple[str, str], StoreNames],
    source_stores: tuple[StoreSpec, ...] = (),
    removed: Removed | None = None,
) -> Manifest:
    """The manifest of one decorated link. `marks` are of the links made before, which it may refer to.

    With `removed` it is the one that the link was taken out of.

    Of those what is held is what is wanted: a pull of one table pulls no other, and comes as far as its
    parents are here. `beside` maps schema and class of those that were decorated in this process to their
    stores; the others are taken to have the link's own.
    """
    rules: dict[str, dict[str, TableRule]] = {declaration.schema: {}}
    pattern, name = declaration.name, None
    for mark in marks:
        if declaration.is_of(mark):
            pattern, name = mark.source_table, mark.outbound_table
            continue
        options = Options.model_construct(
            pull="none",
            stores=beside.get((mark.source_schema, class_name(mark.source_table)), declaration.stores),
            schema_name=mark.local_schema,
            outbound_table=mark.outbound_table,
        )
        others = rules.setdefault(mark.source_schema, {})
        others[mark.source_table] = _rule(declaration, mark.source_table, options)
    own_options = Options.model_construct(
        where=where, stores=declaration.stores, schema_name=declaration.local_schema, outbound_table=name
    )
    if removed is None:
        rules[declaration.schema][pattern] = _rule(declaration, pattern, own_options)
    schemas = tuple(
        SchemaSpec.model_construct(
            origin=Origin.outside(declaration.location, schema), rules=tuple(found[p] for p in sorted(found))
        )
        for schema, found in sorted(rules.items())
    )
    return Manifest.model_construct(
        manifest=1,
        name=NAME,
        contact=contact,
        local=LocalSpec.at(local),
        sources=(SourceSpec.at(source, outbound, schemas, source_stores),),
        removed=(removed,) if removed else (),
        files=(declaration.location.file,),
        digest=hashlib.sha256(repr(schemas).encode()).hexdigest(),
    )


def _rule(declaration: LinkDeclaration, pattern: str, options: Options) -> TableRule:
    origin = Origin.outside(declaration.location, pattern)
    return TableRule.model_construct(origin=origin, pattern=pattern, options=options)


def narrowed(manifest: Manifest, source: str, schema: str, table: str, where: Condition) -> Manifest:
    """The manifest with one of its tables restricted further, and of all others what that one needs."""

    def narrow(options: Options) -> Options:
        pull = "needed" if options.pull == "all" else options.pull
        return options.model_copy(update={"pull": pull, "unwanted": "keep"})

    def within(spec: SchemaSpec, whole: SchemaSpec) -> SchemaSpec:
        rule = rule_for(whole, table, class_name(table))
        if rule is None:
            return spec
        options = rule.options
        both = where if options.where is None else AllOf((options.where, where))
        pull = "all" if options.pull == "needed" else options.pull
        by = next((r for r in spec.rules if r.pattern == rule.pattern), rule) if rule.is_glob else None
        own_options = options.model_copy(update={"where": both, "pull": pull, "unwanted": "keep"})
        one = rule.model_copy(update={"pattern": table, "options": own_options, "instead_of": by})
        others = (r for r in spec.rules if r.is_glob or r.pattern not in (table, class_name(table)))
        return spec.model_copy(update={"rules": (*others, one)})

    changed = _with_options(manifest, narrow)
    sources = list[SourceSpec]()
    for spec, before in zip(changed.sources, manifest.sources, strict=True):
        schemas = tuple(
            within(c, old) if (spec.name, c.name) == (source, schema) else c
            for c, old in zip(spec.schemas, before.schemas, strict=True)
        )
        sources.append(spec.model_copy(update={"schemas": schemas}))
    return changed.model_copy(update={"sources": tuple(sources)})


def letting_go(manifest: Manifest) -> Manifest:
    """The manifest in which nothing new is wanted: what is gone locally is not to come back."""
    nothing = {"where": NOTHING, "pull": "all", "unwanted": "keep"}
    return _with_options(manifest, lambda options: options.model_copy(update=nothing))


def _with_options(manifest: Manifest, change: Callable[[Options], Options]) -> Manifest:
    def changed(spec: SchemaSpec) -> SchemaSpec:
        rules = tuple(r.model_copy(update={"options": change(r.options)}) for r in spec.rules)
        return spec.model_copy(update={"rules": rules})

    sources = tuple(
        s.model_copy(update={"schemas": tuple(changed(c) for c in s.schemas)}) for s in manifest.sources
    )
    return manifest.model_copy(update={"sources": sources})
