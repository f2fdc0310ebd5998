"""Options fall from `defaults` to source, schema and table, so that each table has one value of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from djlink_manifest.manifest.models.options import FallingOptions
from djlink_manifest.manifest.models.values import Manifest, SchemaSpec, SourceSpec, TableRule
from djlink_manifest.manifest.models.where import condition
from djlink_manifest.manifest.text.nodes import Fields, dotted
from djlink_manifest.manifest.text.problems import Problems

_FALLING = frozenset(FallingOptions.model_fields)


def fallen(manifest: Manifest, problems: Problems) -> Manifest:
    """Return the manifest in which every level has the options that hold there, the nearest winning.

    Each table's `where` is read, too: what it may say depends on its options. Conditions that cannot be read
    are noted as problems and left out.
    """
    sources = tuple(_source(source, manifest.defaults, problems) for source in manifest.sources)
    return manifest.model_copy(update={"sources": sources})


def _source(source: SourceSpec, above: FallingOptions, problems: Problems) -> SourceSpec:
    options = _said(above) | _said(source)
    schemas = tuple(_schema(schema, options, problems) for schema in source.schemas)
    return source.model_copy(update={**options, "schemas": schemas})


def _schema(schema: SchemaSpec, above: Mapping[str, Any], problems: Problems) -> SchemaSpec:
    options = {**above, **_said(schema)}
    rules = tuple(_rule(rule, options, problems) for rule in schema.rules)
    return schema.model_copy(update={**options, "rules": rules})


def _rule(rule: TableRule, above: Mapping[str, Any], problems: Problems) -> TableRule:
    options = rule.options.model_copy(update={**above, **_said(rule.options)})
    node = rule.origin.node
    where = node.entries.get("where") if isinstance(node, Fields) else None
    if where is not None:
        path = dotted(rule.origin.below("where").path)
        found = condition(where, path, problems, steady=options.unwanted == "release")
        options = options.model_copy(update={"where": found})
    return rule.model_copy(update={"options": options})


def _said(level: FallingOptions) -> dict[str, Any]:
    """The options that a level sets itself."""
    return {key: getattr(level, key) for key in _FALLING & level.model_fields_set}
