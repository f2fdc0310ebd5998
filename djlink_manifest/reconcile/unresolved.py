"""What of a manifest cannot become a link, and why. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from djlink_manifest.manifest.match import nearest
from djlink_manifest.manifest.values import Options, SourceSpec, TableRule
from djlink_manifest.model.catalog import Catalog, Version
from djlink_manifest.model.definition import TableDefinition, unprotectable
from djlink_manifest.model.derive import requested_part_name
from djlink_manifest.model.fitting import Fitted
from djlink_manifest.model.naming import class_name, master_of, plain_name
from djlink_manifest.model.rights import grant
from djlink_manifest.reconcile.conditions import where_problems
from djlink_manifest.reconcile.housing import Housed
from djlink_manifest.reconcile.snapshot import Refusal


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source table that a rule of the manifest chooses."""

    address: str
    source: SourceSpec
    rule: TableRule
    table: TableDefinition
    local_schema: str

    @property
    def options(self) -> Options:
        """The options that the rule gives it."""
        return self.rule.options


def unread(address: str, rule: TableRule, table: TableDefinition, catalog: Catalog) -> Refusal:
    """A table that the account sees, and whose columns it does not."""
    rights = grant(["SELECT", "REFERENCES"], table.schema, catalog.identity.account)
    return Refusal(
        address,
        f"the link user lacks SELECT on {table.schema}.{table.name}: its columns cannot be seen",
        f"let the source's administrator run: {rights}",
        rule.location,
    )


def misnamed(address: str, rule: TableRule, table: str, fault: str) -> Refusal:
    """A table whose name no manifest could give it."""
    alone = re.sub(r"([*?\[])", r"[\1]", table)
    hint = f"leave it out (`exclude: [{json.dumps(alone)}]`), or let the source's owner rename it"
    return Refusal(address, f"its name {fault}", hint, rule.location)


def no_table(place: str, rule: TableRule, names: list[str], catalog: Catalog, schema: str) -> Refusal:
    """A rule that names no table, or a part."""
    address = f"{place}.{rule.pattern}"
    if (schema, rule.pattern) in catalog.tables and master_of(rule.pattern):
        master = class_name(str(master_of(rule.pattern)))
        return Refusal(
            address, f"it is a part of {master}", f"link {master}; its parts come along", rule.location
        )
    close = nearest(rule.pattern, names)
    hint = f"did you mean `{close}`?" if close else "check the name, and the link user's rights on the table"
    return Refusal(address, "the source has no such table", hint, rule.location)


def refusals_of(candidate: Candidate, fit: Fitted, house: Housed, local: Version) -> Iterator[Refusal]:
    """Why the table cannot be linked as it is, or not as the rule has it."""
    table, where = candidate.table, candidate.rule.location
    reason = unprotectable(table)
    if reason:
        yield Refusal(candidate.address, f"the source table cannot be protected: {reason}", _EXCLUDE, where)
    if fit.problems:
        words = f"the local server ({local.vendor} {local.text}) cannot hold it: {'; '.join(fit.problems)}"
        yield Refusal(candidate.address, words, _EXCLUDE, where)
    for words, hint in house.problems:
        yield Refusal(candidate.address, words, hint, where)
    requested = requested_part_name(plain_name(table.name))
    if any(plain_name(p.name) == requested for p in table.parts):
        yield Refusal(
            candidate.address, f"its part `{requested}` has the name of djlink's own", _EXCLUDE, where
        )
    if candidate.options.where is not None:
        yield from (
            Refusal(candidate.address, words, hint, where)
            for words, hint in where_problems(candidate.options.where, table)
        )


_EXCLUDE = "leave it out (`exclude`)"


def first_each(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """One refusal per address, with the reasons of all."""
    found: dict[str, Refusal] = {}
    for refusal in refusals:
        before = found.get(refusal.address)
        found[refusal.address] = (
            refusal if before is None else replace(before, reason=f"{before.reason}; {refusal.reason}")
        )
    return tuple(found[a] for a in sorted(found))
