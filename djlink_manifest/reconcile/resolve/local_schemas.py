"""The local schemas that a manifest can name. Pure."""

from __future__ import annotations

from djlink_manifest.manifest.models.moves import former_local_schemas, former_schemas
from djlink_manifest.manifest.models.values import Manifest, SourceSpec


def local_schemas(manifest: Manifest, *, former: bool = True) -> frozenset[str]:
    """Every local schema that the manifest can name.

    Of a link that is taken out, and whose source schema is declared no longer, it is the one that the options
    of its source, or `defaults`, give. With those from which `moved` may bring tables, the
    `former` ones.
    """
    if not former:
        manifest = manifest.model_copy(update={"moved": ()})
    named = {
        rule.options.local_schema(*place)
        for source in manifest.sources
        for schema in source.schemas
        for rule in schema.rules
        for place in _and_before(manifest, source.name, schema.name)
    }
    named |= {
        source.local_schema(*place)
        for source in manifest.sources
        for name in removed_schemas(manifest, source)
        for place in _and_before(manifest, source.name, name)
    }
    return frozenset(former_local_schemas(manifest.moved, sorted(named)))


def _and_before(manifest: Manifest, source: str, schema: str) -> tuple[tuple[str, str], ...]:
    """A schema of a source, and where its tables may have been before `moved`."""
    return ((source, schema), *former_schemas(manifest.moved, source, schema))


def removed_schemas(manifest: Manifest, source: SourceSpec) -> tuple[str, ...]:
    """The schemas of a source that only links taken out name, sorted."""
    declared = {schema.name for schema in source.schemas}
    places = (entry.place for entry in manifest.taken_out)
    return tuple(sorted({schema for name, schema, _ in places if name == source.name} - declared))
