"""Where links go: no two into one local or outbound table, none into its own source; names that fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.checks.tables import nearest_setting
from djlink_manifest.manifest.models.names import identifier_fault, same_table
from djlink_manifest.manifest.models.servers import ServerSpec
from djlink_manifest.manifest.models.values import SourceSpec, TableRule
from djlink_manifest.manifest.text.nodes import Steps, dotted, spot_of, table_keys
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


def check_targets(at: Checked) -> None:
    """Note where links cannot go.

    That is: local schemas that cannot be, links that meet in one table as far as exact names tell, and links
    whose local table is their source.
    """
    targets = list(_targets(at))
    _check_local_schemas(targets, at)
    exact = [target for target in targets if not target.rule.is_glob]
    _check_local_tables(exact, at.problems)
    _check_outbound_tables(exact, at)
    for source in at.manifest.sources:
        _check_outbound_schema(source, at)


def _targets(at: Checked) -> Iterator[Target]:
    for source in at.manifest.sources:
        for schema in source.schemas:
            rules = {rule.pattern: rule for rule in schema.rules}
            for pattern, steps, spot in table_keys(at.root, schema.origin.path):
                rule = rules[pattern]
                name = rule.options.local_schema(source.name, schema.name)
                yield Target(source, schema.name, rule, local_schema=name, steps=steps, spot=spot)


def _check_local_schemas(targets: list[Target], at: Checked) -> None:
    seen: set[tuple[str, str, str]] = set()
    for target in targets:
        key = (target.source.name, target.schema, target.local_schema)
        if key in seen or "{" in target.local_schema or identifier_fault(target.schema):
            continue
        seen.add(key)
        steps = nearest_setting(at.root, target.steps, "schema_name")
        spot, path = spot_of(at.root, steps), dotted(steps)
        if fault := identifier_fault(target.local_schema):
            name = target.local_schema[:80]
            at.problems.error(
                f"the local schema of `{target.source.name}.{target.schema}` {fault}: `{name}`",
                spot,
                path,
                "set `schema_name`",
            )
        elif _same_server(at.manifest.local, target.source) and target.local_schema == target.schema:
            at.problems.error(
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
                names = f"`{target.address}` and `{other.address}`"
                problems.error(
                    f"{names} have the same local table, in `{target.local_schema}`",
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


def _check_outbound_tables(exact: list[Target], at: Checked) -> None:
    seen: dict[tuple[str, str, str, str], Target] = {}
    for target in exact:
        name = target.rule.options.outbound_table
        if name is None:
            continue
        server = target.source
        key = (server.host.lower(), server.port, target.source.outbound, name)
        other = seen.setdefault(key, target)
        if other is not target:
            steps = (*target.steps, "outbound_table")
            at.error(
                steps,
                f"`{target.address}` and `{other.address}` have the same outbound table, `{name}`",
                f"the other is at {other.spot.location}; give one of them another name, or remove the name",
            )


def _check_outbound_schema(source: SourceSpec, at: Checked) -> None:
    for schema in source.schemas:
        if schema.name == source.outbound:
            steps = ("sources", source.name, "outbound")
            at.error(
                steps,
                f"the outbound schema `{source.outbound}` is also a linked schema",
                "use a separate schema for outbound tables",
            )


def _same_server(one: ServerSpec, other: ServerSpec) -> bool:
    return "${" not in one.host + one.port and (one.host.lower(), one.port) == (
        other.host.lower(),
        other.port,
    )
