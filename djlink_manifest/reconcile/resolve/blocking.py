"""Links that wait for something declared that gives no link. Pure.

A parent that the manifest declares and that cannot be resolved is not an unlinked parent: the link below it
is made neither without its foreign key nor without what the parent restricts. It is refused until the cause
is mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.manifest.models.match import is_excluded
from djlink_manifest.manifest.models.names import matches
from djlink_manifest.manifest.models.values import SchemaSpec, SourceSpec, TableRule
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.derive import LinkedTable
from djlink_manifest.model.tables.naming import class_name, is_hidden, master_of
from djlink_manifest.reconcile.resolve.candidates import Unresolved
from djlink_manifest.reconcile.resolve.refusals import Candidate
from djlink_manifest.reconcile.state.snapshot import Refusal


@dataclass(frozen=True, slots=True)
class Blocker:
    """What of a source's part of the manifest gives no link, and what it may keep from being made.

    `linked` are the tables of candidates, `refused` the refusals of candidates by address.
    """

    source: SourceSpec
    unresolved: Sequence[Unresolved]
    linked: Mapping[TableName, LinkedTable]
    refused: Mapping[str, Refusal]

    def refusals(self, candidates: Iterable[Candidate]) -> Iterator[Refusal]:
        """The refusals of candidates that wait for something else than themselves."""
        for candidate in candidates:
            causes, only_pulls = list(self._above(candidate)), True
            perhaps = self._perhaps_itself(candidate)
            if perhaps is not None:
                only_pulls = self._deletes_alike(candidate, perhaps)
                words = (
                    f"it may refer to this table, which `{_rule(candidate).pattern}` selects with other "
                    "options"
                )
                causes.append((perhaps, words))
            for cause, more in dict.fromkeys(causes):
                words = f"{cause.address} cannot be linked: {cause.reason}"
                yield Refusal(
                    candidate.address,
                    f"{words}; {more}" if more else f"its parent {words}",
                    cause.hint,
                    candidate.rule.location,
                    (cause.address,),
                    only_pulls=only_pulls,
                )

    def parents(self, candidate: Candidate) -> frozenset[TableName]:
        """The tables, by schema and name, that are not linked and keep the candidate from being made."""
        places = {(k.parent_schema, k.parent_table) for t in candidate.table.tables for k in t.foreign_keys}
        return frozenset(p for p in places if p not in self.linked and self._cause(p) is not None)

    def _above(self, candidate: Candidate) -> Iterator[tuple[Refusal, str]]:
        own = {(t.schema, t.name) for t in candidate.table.tables}
        keys = [key for table in candidate.table.tables for key in table.foreign_keys]
        for key in sorted(keys, key=lambda k: (k.parent_schema, k.parent_table, k.name)):
            place = (key.parent_schema, key.parent_table)
            parent = self.linked.get(place)
            if place in own:
                continue
            if parent is None:
                yield from filter(None, [self._cause(place)])
            elif not parent.key and parent.address in self.refused:
                # which key a foreign key is to nobody can tell of a table that has none
                yield self.refused[parent.address], ""

    def _cause(self, place: TableName) -> tuple[Refusal, str] | None:
        """Why a table that is not linked may yet be declared, with words where that is not sure."""
        schema, table = place
        spec = next((s for s in self.source.schemas if s.name == schema), None)
        if is_hidden(table) or (spec is not None and _is_left_out(spec, table)):
            return None
        sure = [
            u for u in self.unresolved if u.tables is not None and u.rule is not None and place in u.tables
        ]
        if sure:
            return sure[0].refusal, ""
        whole = next((u for u in self.unresolved if u.rule is None and u.schema == schema), None)
        if whole is not None and spec is not None:
            declared = _may_declare(spec, table, [name for _, name in whole.tables or ()])
            return (whole.refusal, "") if declared else None
        if spec is None:
            unknown = [u for u in self.unresolved if u.rule is None and u.tables is None]
            return _maybe(unknown, schema, f"it may refer to the schema of its parent {schema}.{table}")
        unknown = [
            u for u in self.unresolved if u.schema == schema and u.rule is not None and u.tables is None
        ]
        return _maybe(unknown, class_name(table), f"it may refer to its parent {schema}.{table}")

    def _perhaps_itself(self, candidate: Candidate) -> Refusal | None:
        """The refusal of a name that may be meant for this table, which a glob chooses with other options."""
        rule = _rule(candidate)
        if not rule.is_glob:
            return None
        names = {(t.schema, t.name) for t in candidate.table.tables}
        found = [
            u
            for u in self.unresolved
            if u.schema == candidate.table.schema
            and u.rule is not None
            and not u.rule.is_glob
            and u.rule.options != rule.options
            and (u.tables is None or names & u.tables)
        ]
        maybe = _maybe(found, class_name(candidate.table.name), "")
        return maybe[0] if maybe else None

    def _deletes_alike(self, candidate: Candidate, perhaps: Refusal) -> bool:
        """Whether what may be deleted is the same by the candidate's rule and by that of a refusal."""
        rules = [_rule(candidate), *(u.rule for u in self.unresolved if u.refusal is perhaps and u.rule)]
        options = [rule.options for rule in rules]
        return len({(o.deletions, o.unwanted, o.max_deletions, o.outbound_table) for o in options}) == 1


def _maybe(found: Sequence[Unresolved], name: str, words: str) -> tuple[Refusal, str] | None:
    """The one of these whose name is nearest, with the words; None where there is none."""
    if not found:
        return None
    by_name = {u.rule.pattern if u.rule else u.schema: u.refusal for u in found}
    close = nearest(name, sorted(by_name))
    return by_name[close or min(by_name)], words


def _rule(candidate: Candidate) -> TableRule:
    """The rule by which the manifest chooses a table."""
    return candidate.rule.instead_of or candidate.rule


def _may_declare(spec: SchemaSpec, table: str, named: Sequence[str]) -> bool:
    """Whether a schema that is not seen declares a table, or has a name for none of those `named`."""

    def means(pattern: str, name: str) -> bool:
        return matches(pattern, name) or matches(pattern, class_name(name))

    own = (table, master_of(table) or table)
    return any(
        any(means(rule.pattern, name) for name in own)
        or not (rule.is_glob or any(means(rule.pattern, name) for name in named))
        for rule in spec.rules
    )


def _is_left_out(spec: SchemaSpec, table: str) -> bool:
    """Whether `exclude` leaves out a table, or the master of a part, and no name can mean it all the same."""
    name = master_of(table) or table
    by_name = name in spec.exclude or class_name(name) in spec.exclude
    named = any(not rule.is_glob for rule in spec.rules)
    return by_name or (is_excluded(spec, name, class_name(name)) and not named)
