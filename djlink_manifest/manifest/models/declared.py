"""What a manifest declares, table by table, as far as it can be known without a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.models.names import (
    covers,
    is_glob,
    matches,
    may_match,
    overlap,
    spellings,
    weight,
)
from djlink_manifest.manifest.models.options import Options
from djlink_manifest.manifest.models.values import Manifest, SchemaSpec, TableRule
from djlink_manifest.manifest.text.problems import nearest


@dataclass(frozen=True, slots=True)
class Declared:
    """One key below `tables`, a table or a glob, with the options that hold for it.

    `excluded` are the names and globs that a glob does not take.
    """

    source: str
    schema: SchemaSpec
    rule: TableRule

    @property
    def address(self) -> str:
        """The address of the link; of links, where the key is a glob."""
        return f"{self.source}.{self.schema.name}.{self.rule.pattern}"

    @property
    def options(self) -> Options:
        """The options that hold, the nearest having won."""
        return self.rule.options

    @property
    def local_schema(self) -> str:
        """The schema of the local table."""
        return self.options.local_schema(self.source, self.schema.name)

    @property
    def excluded(self) -> tuple[str, ...]:
        """The names and globs that a glob does not take."""
        return self.schema.exclude if self.rule.is_glob else ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that the link may have: a table is named by its class or as a table."""
        names = [self.rule.pattern] if self.rule.is_glob else spellings(self.rule.pattern)
        return tuple(f"{self.source}.{self.schema.name}.{name}" for name in names)


def declared(
    manifest: Manifest, targets: Sequence[str] = (), excludes: Sequence[str] = ()
) -> tuple[Declared, ...]:
    """Return what the manifest declares, by address: all, or what these addresses or globs may name.

    `excludes` take out what they surely name. Raises UsageError for one that names nothing.
    """
    every = tuple(
        Declared(source.name, schema, rule)
        for source in manifest.sources
        for schema in source.schemas
        for rule in schema.rules
    )
    found = set[str]()
    for target in targets:
        named = [each.address for each in every if _may_name(target, each)]
        found.update(named)
        _check_named(named, target, "--target", every)
    out = set[str]()
    for pattern in excludes:
        _check_named([e.address for e in every if _may_name(pattern, e)], pattern, "--exclude", every)
        out.update(each.address for each in every if any(covers(pattern, a) for a in each.addresses))
    return tuple(each for each in every if (not targets or each.address in found) and each.address not in out)


def rule_of(schema: SchemaSpec, table: str) -> TableRule | None:
    """Return the rule that surely or perhaps is a table's: its own, else the closest glob.

    None where the schema has none for it. A class, by which the table may be named, does not tell its tier.
    """
    names = spellings(table)
    own = [rule for rule in schema.rules if not rule.is_glob and rule.pattern in names]
    if own or any(may_match(pattern, table) for pattern in schema.exclude):
        return own[0] if own else None
    globs = [rule for rule in schema.rules if rule.is_glob and any(matches(rule.pattern, n) for n in names)]
    return max(globs, key=lambda rule: weight(rule.pattern), default=None)


def _may_name(target: str, of: Declared) -> bool:
    """Whether an address or glob may name a link of a key below `tables`."""
    table = target.removeprefix(f"{of.source}.{of.schema.name}.")
    if table == target or is_glob(table):
        names = [of.rule.pattern] if of.rule.is_glob else spellings(of.rule.pattern)
        return any(_meet(target, f"{of.source}.{of.schema.name}.", name) for name in names)
    rule = rule_of(of.schema, table) if "." not in table else None  # a part is linked with its master
    return rule is not None and rule.pattern == of.rule.pattern


def _meet(target: str, place: str, name: str) -> bool:
    """Whether a glob on addresses may match a name or glob of tables below a place, which have no dots."""
    halves = ((target[:at], target[at:]) for at in range(len(target) + 1))
    # the star that ends the place may begin the name, too
    return any(
        "." not in rest and fnmatchcase(place, start) and overlap(f"{'*' * start.endswith('*')}{rest}", name)
        for start, rest in halves
    )


def _check_named(named: Sequence[str], pattern: str, option: str, every: Sequence[Declared]) -> None:
    if named:
        return
    close = nearest(pattern, sorted(_all_addresses(every)))
    hint = f"did you mean `{close}`?" if close else "`djlink list` shows all that the manifest declares"
    raise UsageError(f"{option} {pattern}: this manifest declares no such link", hint=hint)


def _all_addresses(every: Sequence[Declared]) -> Iterator[str]:
    for each in every:
        yield each.address
        yield f"{each.source}.{each.schema.name}.*"
        yield f"{each.source}.*"
