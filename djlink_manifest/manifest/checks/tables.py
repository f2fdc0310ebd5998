"""The keys below `tables`: names that a table can have, no table twice, no two globs equally close."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from itertools import combinations

from djlink_manifest.manifest.models.build import table_keys
from djlink_manifest.manifest.models.names import (
    covers,
    identifier_fault,
    is_glob,
    same_table,
    table_fault,
    weight,
)
from djlink_manifest.manifest.models.values import Manifest, SchemaSpec, SourceSpec, TableRule
from djlink_manifest.manifest.text.nodes import Fields, Steps, dotted, node_at, spot_of, spot_of_item
from djlink_manifest.manifest.text.problems import Problems, Spot, did_you_mean
from djlink_manifest.model.tables.naming import class_name

Key = tuple[str, Steps, Spot]

MAX_GLOBS = 100  # compared with each other; further ones are told when a table matches two


def check_tables(manifest: Manifest, root: Fields, problems: Problems) -> None:
    """Note what is wrong with the schemas' names, their `tables` and the options that stand there."""
    for source in manifest.sources:
        for schema in source.schemas:
            steps = ("sources", source.name, "schemas", schema.name)
            _check_schema_name(schema, spot_of(root, steps, key=True), dotted(steps), problems)
            keys = list(table_keys(root, source.name, schema.name))
            there = (*steps, "tables")
            if not keys and not problems.any_error_at(dotted(there)):
                problems.error(
                    "`tables` is empty",
                    spot_of(root, there, key=True),
                    dotted(there),
                    'write "*" for all tables',
                )
            _check_keys(keys, problems)
            _check_exclude(schema, keys, root, (*steps, "exclude"), problems)
            for rule in schema.rules:
                _check_rule(rule, source, schema, root, problems)
    _check_something_wanted(manifest, root, problems)


def _check_schema_name(schema: SchemaSpec, spot: Spot, path: str, problems: Problems) -> None:
    if is_glob(schema.name):
        problems.error(
            "a schema cannot be a glob", spot, path, "name each schema; globs are allowed only below `tables`"
        )
    elif fault := identifier_fault(schema.name):
        problems.error(f"the schema's name {fault}", spot, path)


def _check_keys(keys: list[Key], problems: Problems) -> None:
    for name, steps, spot in keys:
        if fault := table_fault(name):
            problems.error(f"the table's name {fault}", spot, dotted(steps))
    for group in _grouped(keys, lambda name: None if is_glob(name) else class_name(name)):
        for (one, _, first), (other, steps, spot) in combinations(group, 2):
            if same_table(one, other):
                summary = (
                    f"`{other}` is listed twice" if one == other else f"`{other}` and `{one}` are one table"
                )
                help = f"the other entry is at {first.location}; keep one of them"
                problems.error(summary, spot, dotted(steps), help)
    for group in _grouped(keys, lambda name: weight(name) if is_glob(name) else None):
        for (one, _, first), (other, steps, spot) in combinations(group[:MAX_GLOBS], 2):
            if one == other or covers(one, other) or covers(other, one):
                same = (
                    "is listed twice"
                    if one == other
                    else f"and `{one}` match the same tables and are equally specific"
                )
                help = f"`{one}` is at {first.location}; keep one, or make one more specific"
                problems.error(f"`{other}` {same}", spot, dotted(steps), help)


def _grouped(keys: list[Key], group: Callable[[str], Hashable | None]) -> Iterable[list[Key]]:
    """The table keys in groups, without those that have none."""
    found: dict[Hashable, list[Key]] = {}
    for key in keys:
        if (name := group(key[0])) is not None:
            found.setdefault(name, []).append(key)
    return found.values()


def _check_exclude(
    schema: SchemaSpec, keys: list[Key], root: Fields, steps: Steps, problems: Problems
) -> None:
    globs = [name for name, _, _ in keys if is_glob(name)]
    named = {name for name, _, _ in keys if not is_glob(name)}
    for pattern in schema.exclude:
        spot = spot_of_item(root, steps, pattern)
        if not globs:
            problems.warning(
                f"`exclude` has `{pattern}`, but `tables` has no glob to exclude it from",
                spot,
                dotted(steps),
                "remove it",
            )
        elif pattern in named:
            problems.error(
                f"`{pattern}` is in both `tables` and `exclude`", spot, dotted(steps), "keep one of them"
            )
        elif not pattern.strip():
            problems.error("`exclude` contains an empty name", spot, dotted(steps))
        elif all(covers(pattern, glob) for glob in globs):
            problems.warning(
                f"`exclude: {pattern}` excludes every table that the globs match", spot, dotted(steps)
            )


def _check_rule(
    rule: TableRule, source: SourceSpec, schema: SchemaSpec, root: Fields, problems: Problems
) -> None:
    steps: Steps = ("sources", source.name, "schemas", schema.name, "tables", rule.pattern)
    options = rule.options
    if rule.is_glob and options.outbound_table is not None:
        there = (*steps, "outbound_table")
        problems.error(
            "`outbound_table` on a glob would give all its tables the same outbound table",
            spot_of(root, there, key=True),
            dotted(there),
            "give the table its own key",
        )
    where = (*steps, "where")
    if options.pull == "needed" and node_at(root, where) is not None:
        problems.error(
            "`where` does not apply to a table with `pull: needed`, because its children decide which rows "
            "are wanted",
            spot_of(root, where, key=True),
            dotted(where),
            _where_help(root, steps),
        )
    for store, local in options.stores:
        there = origin(root, steps, "stores")
        if not store.strip() or not local.strip():
            problems.error("`stores` contains an empty name", spot_of(root, there, key=True), dotted(there))
    _check_placeholders(options.schema_name, root, origin(root, steps, "schema_name"), problems)


def _where_help(root: Fields, steps: Steps) -> str:
    at = origin(root, steps, "pull")
    inherited = at[:-1] != steps
    place = f" (`pull` is set at {spot_of(root, at, key=True).location})" if inherited else ""
    return f"remove `where`, or write `pull: all` here{place}"


def _check_placeholders(pattern: str, root: Fields, steps: Steps, problems: Problems) -> None:
    spot, path = spot_of(root, steps), dotted(steps)
    for name in re.findall(r"\{([^{}]*)\}", pattern):
        if name not in {"source", "schema"} and not pattern[: pattern.index("{" + name)].endswith("$"):
            help = (
                did_you_mean(name, ["source", "schema"]) or "the placeholders are `{source}` and `{schema}`"
            )
            problems.error(f"`schema_name` has an unknown placeholder `{{{name}}}`", spot, path, help)
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", pattern)):
        problems.error(
            "`schema_name` has an unmatched brace",
            spot,
            path,
            "the placeholders are `{source}` and `{schema}`",
        )


def _check_something_wanted(manifest: Manifest, root: Fields, problems: Problems) -> None:
    if problems.any_error:
        return  # what is wrong elsewhere may be why
    rules = [rule for source in manifest.sources for schema in source.schemas for rule in schema.rules]
    spot = spot_of(root, ("sources",), key=True)
    if not rules and manifest.removed:
        problems.warning(
            "no table is linked any more",
            spot,
            "sources",
            "`djlink apply` carries out the entries of `removed`",
        )
    elif not rules:
        help = "list schemas and tables below `sources`"
        problems.error("no row is wanted: the manifest names no table", spot, "sources", help)
    elif all(rule.options.pull == "needed" for rule in rules):
        problems.error(
            "no row is wanted: every table is `pull: needed`, and no other table refers to them",
            spot,
            "sources",
            "set `pull: all` for at least one table",
        )
    for source in manifest.sources:
        if not source.schemas and rules:
            steps = ("sources", source.name)
            at = spot_of(root, steps, key=True)
            problems.warning(
                f"no table of `{source.name}` is linked", at, dotted(steps), "list its `schemas`"
            )


def origin(root: Fields, steps: Steps, option: str) -> Steps:
    """The steps of the nearest place that sets an option for the table key at `steps`."""
    for above in (steps, steps[:4], steps[:2], ("defaults",)):
        if node_at(root, (*above, option)) is not None:
            return (*above, option)
    return steps
