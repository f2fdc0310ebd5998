"""Where links go: no two into one local or outbound table, none into its own source; names that fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from djlink_manifest.manifest.checks.tables import origin
from djlink_manifest.manifest.models.build import table_keys
from djlink_manifest.manifest.models.names import identifier_fault, same_table
from djlink_manifest.manifest.models.values import Manifest, ServerSpec, SourceSpec, TableRule
from djlink_manifest.manifest.text.nodes import Fields, Steps, dotted, spot_of
from djlink_manifest.manifest.text.problems import Problems, Spot
from djlink_manifest.model.tables.naming import class_name, plain_name


@dataclass(frozen=True, slots=True)
class Target:
    """One table key with what its name and options say about where it goes."""

    source: SourceSpec
    schema: str
    rule: TableRule
    local_schema: str
    steps: Steps
    spot: Spot

    @property
    def address(self) -> str:
        """The link's address, where the key names one table."""
        return f"{self.source.name}.{self.schema}.{self.rule.pattern}"


def check_targets(manifest: Manifest, root: Fields, problems: Problems) -> None:
    """Note where links cannot go.

    That is: local schemas that cannot be, links that meet in one table as far as exact names tell, and links
    whose local table is their source.
    """
    targets = list(_targets(manifest, root))
    _check_local_schemas(manifest, targets, root, problems)
    exact = [target for target in targets if not target.rule.is_glob]
    _check_local_tables(exact, problems)
    _check_outbound_tables(exact, root, problems)
    for source in manifest.sources:
        _check_outbound_schema(source, root, problems)


def _targets(manifest: Manifest, root: Fields) -> Iterator[Target]:
    for source in manifest.sources:
        for schema in source.schemas:
            rules = {rule.pattern: rule for rule in schema.rules}
            for pattern, steps, spot in table_keys(root, source.name, schema.name):
                rule = rules[pattern]
                name = rule.options.local_schema(source.name, schema.name)
                yield Target(source, schema.name, rule, name, steps, spot)


def _check_local_schemas(manifest: Manifest, targets: list[Target], root: Fields, problems: Problems) -> None:
    seen: set[tuple[str, str, str]] = set()
    for target in targets:
        key = (target.source.name, target.schema, target.local_schema)
        if key in seen or "{" in target.local_schema or identifier_fault(target.schema):
            continue
        seen.add(key)
        steps = origin(root, target.steps, "schema_name")
        spot, path = spot_of(root, steps), dotted(steps)
        if fault := identifier_fault(target.local_schema):
            name = target.local_schema[:80]
            problems.error(
                f"the local schema of `{target.source.name}.{target.schema}` {fault}: `{name}`",
                spot,
                path,
                "set `schema_name`",
            )
        elif _same_server(manifest.local, target.source.server) and target.local_schema == target.schema:
            problems.error(
                f"the local schema `{target.local_schema}` is the source schema itself: host and port are "
                "the same",
                spot,
                path,
                "set `schema_name`",
            )


def _check_local_tables(exact: list[Target], problems: Problems) -> None:
    by_table: dict[tuple[str, str], list[Target]] = {}
    for target in exact:
        others = by_table.setdefault((target.local_schema, class_name(target.rule.pattern)), [])
        for other in others:
            if _one_local_table(other, target):
                both = f"`{target.address}` and `{other.address}`"
                problems.error(
                    f"{both} have the same local table, in `{target.local_schema}`",
                    target.spot,
                    dotted(target.steps),
                    f"the other is at {other.spot.location}; give one of them another `schema_name`",
                )
                break
        others.append(target)


def _one_local_table(one: Target, other: Target) -> bool:
    """Whether two keys surely lead to one local table, which is named without the tier: `session` for both
    `_session` and `__session`. Two names of one source table are told elsewhere."""
    names = one.rule.pattern, other.rule.pattern
    same_schema = (one.source.name, one.schema) == (other.source.name, other.schema)
    if same_table(*names):
        return not same_schema
    return plain_name(names[0]) == plain_name(names[1])


def _check_outbound_tables(exact: list[Target], root: Fields, problems: Problems) -> None:
    seen: dict[tuple[str, str, str, str], Target] = {}
    for target in exact:
        name = target.rule.options.outbound_table
        if name is None:
            continue
        server = target.source.server
        key = (server.host.lower(), server.port, target.source.outbound, name)
        other = seen.setdefault(key, target)
        if other is not target:
            steps = (*target.steps, "outbound_table")
            problems.error(
                f"`{target.address}` and `{other.address}` have the same outbound table, `{name}`",
                spot_of(root, steps),
                dotted(steps),
                f"the other is at {other.spot.location}; give one of them another name, or remove the name",
            )


def _check_outbound_schema(source: SourceSpec, root: Fields, problems: Problems) -> None:
    for schema in source.schemas:
        if schema.name == source.outbound:
            steps = ("sources", source.name, "outbound")
            problems.error(
                f"the outbound schema `{source.outbound}` is also a linked schema",
                spot_of(root, steps),
                dotted(steps),
                "use a separate schema for outbound tables",
            )


def _same_server(one: ServerSpec, other: ServerSpec) -> bool:
    return "${" not in one.host + one.port and (one.host.lower(), one.port) == (
        other.host.lower(),
        other.port,
    )
