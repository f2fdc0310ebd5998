"""What of a manifest cannot become a link, and why. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from djlink_manifest.manifest.models.match import EquallyClose
from djlink_manifest.manifest.models.names import identifier_fault, unlinkable
from djlink_manifest.manifest.models.options import Options
from djlink_manifest.manifest.models.values import SourceSpec, TableRule
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.server.catalog import Catalog, TableName, Version
from djlink_manifest.model.server.rights import SOURCE_RIGHTS, grant, missing
from djlink_manifest.model.tables.definition import TableDefinition, unprotectable
from djlink_manifest.model.tables.derive import requested_part_name
from djlink_manifest.model.tables.naming import class_name, master_of, plain_name
from djlink_manifest.model.vendors.fitting import Fitted
from djlink_manifest.reconcile.resolve.external_columns import Housed
from djlink_manifest.reconcile.resolve.renamed import renamed_refusal
from djlink_manifest.reconcile.resolve.where import where_problems
from djlink_manifest.reconcile.state.snapshot import Refusal, merged


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
    """A table that the account sees, and whose columns it does not, or whose definition cannot be."""
    rights = grant(["SELECT", "REFERENCES"], table.schema, catalog.identity)
    if any(t.unreadable is not None for t in table.tables):
        words = f"the source table cannot be linked: {unprotectable(table)}"
        hint = (
            f"{_out(rule)}; if it is only partly visible to the link user, ask the source's administrator "
            f"to run: {rights}"
        )
        return Refusal(address, words, hint, rule.location)
    return Refusal(
        address,
        f"the link user lacks SELECT on {table.schema}.{table.name}: its columns are not visible",
        f"ask the source's administrator to run: {rights}",
        rule.location,
    )


def unusable_name(table: TableDefinition) -> str | None:
    """Why the name of a table, or of one of its parts, cannot be linked, as the end of a sentence; else None.

    They are the names that `init` leaves out: names become parts of paths in stores and of addresses.
    """
    master = master_of(table.name)
    if master is not None:
        if any(key.parent_table == master for key in table.foreign_keys):
            return f"is that of a part of `{master}`, which does not exist or is not visible to the link user"
        return f"is that of a part of `{master}`, but its foreign keys do not lead to that table"
    for each in table.tables:
        fault = unlinkable(each.name) if each is table else identifier_fault(each.name)
        if fault is not None:
            return fault if each is table else f"is that of a table whose part `{each.name}` {fault}"
    return None


def misnamed(address: str, rule: TableRule, table: str, fault: str) -> Refusal:
    """A table whose name no manifest could give it."""
    alone = re.sub(r"([*?\[])", r"[\1]", table)
    out = f"exclude it (`exclude: [{json.dumps(alone)}]`)" if rule.is_glob else _out(rule)
    return Refusal(
        address, f"its name {fault}", f"{out}, or ask the source's owner to rename it", rule.location
    )


def undecided(address: str, error: EquallyClose) -> Refusal:
    """The refusal of a table to which two rules are equally close."""
    [found] = error.diagnostics
    return Refusal(address, found.summary, found.help, found.location)


def no_table(
    place: str,
    rule: TableRule,
    names: list[str],
    catalog: Catalog,
    schema: str,
    known: Collection[TableName] | None,
) -> Refusal:
    """The refusal of a rule that names no table that is seen, or a part. `known` are the tables it means.

    Its address is the one that the link had, or would have: by the class, where no other table is called so.
    """
    called = class_name(rule.pattern)
    address = f"{place}.{rule.pattern if called in names else called}"
    if (schema, rule.pattern) in catalog.tables and master_of(rule.pattern):
        master = class_name(str(master_of(rule.pattern)))
        return Refusal(
            address, f"it is a part of {master}", f"link {master}; its parts are included", rule.location
        )
    renamed = sorted(p for p in known or () if p in catalog.tables or p[0] != schema)
    if renamed:
        return renamed_refusal(address, rule, schema, renamed[0])
    if known:
        return not_seen(address, rule, sorted(known), catalog)
    close = nearest(rule.pattern, names)
    hint = (
        f"did you mean `{close}`?" if close else "check the name, and the link user's privileges on the table"
    )
    return Refusal(address, "the source has no such table", hint, rule.location)


def not_seen(address: str, rule: TableRule, tables: Sequence[TableName], catalog: Catalog) -> Refusal:
    """The refusal of a table that foreign keys or marks name and that the account does not see."""
    named = ", ".join(".".join(table) for table in tables)
    missing_rights = [table for table in tables if missing(catalog.grants, ("SELECT",), *table)]
    account = catalog.identity.account
    rights = " ".join(grant(SOURCE_RIGHTS, schema, account, name) for schema, name in missing_rights)
    out = _out(rule)
    hint = (
        f"{out}, or ask the source's administrator to run: {rights}"
        if rights
        else f"{out} if it no longer exists"
    )
    words = f"{named} no longer exists, or the link user has no privilege on it"
    return Refusal(address, words, hint, rule.location)


def refusals_of(
    candidate: Candidate, fit: Fitted, house: Housed, source: Version, local: Version
) -> Iterator[Refusal]:
    """Why the table cannot be linked as it is, or not as the rule has it."""
    table, where = candidate.table, candidate.rule.location
    out = _out(candidate.rule.instead_of or candidate.rule)
    reason = unprotectable(table)
    if reason:
        yield Refusal(candidate.address, f"the source table cannot be protected: {reason}", out, where)
    if fit.problems:
        words = f"the local server ({local.vendor} {local.text}) cannot hold it: {'; '.join(fit.problems)}"
        yield Refusal(candidate.address, words, out, where, only_pulls=True)
    for words, hint in house.problems:
        hint = hint and hint.replace(_EXCLUDE, out)
        yield Refusal(candidate.address, words, hint, where, only_pulls=True)
    requested = requested_part_name(plain_name(table.name))
    if any(plain_name(p.name) == requested for p in table.parts):
        yield Refusal(
            candidate.address, f"its part `{requested}` has a name that djlink reserves", out, where
        )
    if candidate.options.where is not None:
        yield from (
            Refusal(candidate.address, words, hint, where, only_pulls=True)
            for words, hint in where_problems(candidate.options.where, table, source.vendor)
        )


_EXCLUDE = "exclude it (`exclude`)"


def _out(rule: TableRule) -> str:
    """How a table that a rule chooses is not linked: `exclude` leaves nothing out that is named exactly."""
    return _EXCLUDE if rule.is_glob else "remove it from the manifest"


def first_each(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """One refusal per address, with the reasons of all."""
    found: dict[str, Refusal] = {}
    for refusal in refusals:
        before = found.get(refusal.address)
        found[refusal.address] = refusal if before is None else merged(before, refusal)
    return tuple(found[a] for a in sorted(found))
