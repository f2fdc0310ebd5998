"""The keys below `tables`: names that a table can have, no table twice, no two globs equally close."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from itertools import combinations

from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.models.names import (
    covers,
    identifier_fault,
    is_glob,
    same_table,
    table_fault,
    weight,
)
from djlink_manifest.manifest.models.values import SchemaSpec, SourceSpec, TableRule
from djlink_manifest.manifest.text.nodes import (
    Fields,
    Steps,
    dotted,
    node_at,
    spot_of,
    spot_of_item,
    table_keys,
)
from djlink_manifest.manifest.text.problems import Problems, Spot, did_you_mean
from djlink_manifest.model.tables.naming import class_name

Key = tuple[str, Steps, Spot]

MAX_GLOBS = 100  # compared with each other; further ones are told when a table matches two


def check_tables(at: Checked) -> None:
    """Note what is wrong with the schemas' names, their `tables` and the options that stand there."""
    for source in at.manifest.sources:
        for schema in source.schemas:
            steps = schema.origin.path
            _check_schema_name(schema, at)
            keys = list(table_keys(at.root, steps))
            key_path = (*steps, "tables")
            if not keys and not at.is_wrong(key_path):
                at.error(key_path, "`tables` is empty", 'write "*" for all tables', key=True)
            _check_keys(keys, at.problems)
            _check_exclude(schema, keys, at)
            for rule in schema.rules:
                _check_rule(rule, source, schema, at)
    _check_something_wanted(at)


def _check_schema_name(schema: SchemaSpec, at: Checked) -> None:
    steps = schema.origin.path
    if is_glob(schema.name):
        help = "name each schema; globs are allowed only below `tables`"
        at.error(steps, "a schema cannot be a glob", help, key=True)
    elif fault := identifier_fault(schema.name):
        at.error(steps, f"the schema's name {fault}", key=True)


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


def _check_exclude(schema: SchemaSpec, keys: list[Key], at: Checked) -> None:
    steps = (*schema.origin.path, "exclude")
    globs = [name for name, _, _ in keys if is_glob(name)]
    named = {name for name, _, _ in keys if not is_glob(name)}
    for pattern in schema.exclude:
        spot = spot_of_item(at.root, steps, pattern)
        if not globs:
            at.problems.warning(
                f"`exclude` has `{pattern}`, but `tables` has no glob to exclude it from",
                spot,
                dotted(steps),
                "remove it",
            )
        elif pattern in named:
            at.problems.error(
                f"`{pattern}` is in both `tables` and `exclude`", spot, dotted(steps), "keep one of them"
            )
        elif not pattern.strip():
            at.problems.error("`exclude` contains an empty name", spot, dotted(steps))
        elif all(covers(pattern, glob) for glob in globs):
            at.problems.warning(
                f"`exclude: {pattern}` excludes every table that the globs match", spot, dotted(steps)
            )


def _check_rule(rule: TableRule, source: SourceSpec, schema: SchemaSpec, at: Checked) -> None:
    steps: Steps = ("sources", source.name, "schemas", schema.name, "tables", rule.pattern)
    options = rule.options
    if rule.is_glob and options.outbound_table is not None:
        key_path = (*steps, "outbound_table")
        at.error(
            key_path,
            "`outbound_table` on a glob would give all its tables the same outbound table",
            "give the table its own key",
            key=True,
        )
    where = (*steps, "where")
    if options.pull == "needed" and node_at(at.root, where) is not None:
        at.error(
            where,
            "`where` does not apply to a table with `pull: needed`, because its children decide which rows "
            "are wanted",
            _where_help(at.root, steps),
            key=True,
        )
    for store, local in options.stores:
        key_path = nearest_setting(at.root, steps, "stores")
        if not store.strip() or not local.strip():
            at.error(key_path, "`stores` contains an empty name", key=True)
    _check_placeholders(options.schema_name, nearest_setting(at.root, steps, "schema_name"), at)


def _where_help(root: Fields, steps: Steps) -> str:
    setting = nearest_setting(root, steps, "pull")
    inherited = setting[:-1] != steps
    place = f" (`pull` is set at {spot_of(root, setting, key=True).location})" if inherited else ""
    return f"remove `where`, or write `pull: all` here{place}"


def _check_placeholders(pattern: str, steps: Steps, at: Checked) -> None:
    for name in re.findall(r"\{([^{}]*)\}", pattern):
        if name not in {"source", "schema"} and not pattern[: pattern.index("{" + name)].endswith("$"):
            help = (
                did_you_mean(name, ["source", "schema"]) or "the placeholders are `{source}` and `{schema}`"
            )
            at.error(steps, f"`schema_name` has an unknown placeholder `{{{name}}}`", help)
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", pattern)):
        help = "the placeholders are `{source}` and `{schema}`"
        at.error(steps, "`schema_name` has an unmatched brace", help)


def _check_something_wanted(at: Checked) -> None:
    if at.problems.any_error:
        return  # what is wrong elsewhere may be why
    rules = [rule for source in at.manifest.sources for schema in source.schemas for rule in schema.rules]
    spot = spot_of(at.root, ("sources",), key=True)
    if not rules and at.manifest.taken_out:
        at.problems.warning(
            "no table is linked any more",
            spot,
            "sources",
            "`djlink apply` carries out the entries of `removed`",
        )
    elif not rules:
        help = "list schemas and tables below `sources`"
        at.problems.error("no row is wanted: the manifest names no table", spot, "sources", help)
    elif all(rule.options.pull == "needed" for rule in rules):
        at.problems.error(
            "no row is wanted: every table is `pull: needed`, and no other table refers to them",
            spot,
            "sources",
            "set `pull: all` for at least one table",
        )
    for source in at.manifest.sources:
        if not source.schemas and rules:
            steps = ("sources", source.name)
            at.warning(steps, f"no table of `{source.name}` is linked", "list its `schemas`", key=True)


def nearest_setting(root: Fields, steps: Steps, option: str) -> Steps:
    """The steps of the nearest place that sets an option for the table key at `steps`."""
    for above in (steps, steps[:4], steps[:2], ("defaults",)):
        if node_at(root, (*above, option)) is not None:
            return (*above, option)
    return steps
