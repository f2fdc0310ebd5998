"""Which tables of a source the manifest's rules choose, and what they declare that gives no link. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from djlink_manifest.manifest.models.match import EquallyClose, rule_for
from djlink_manifest.manifest.models.values import Manifest, SchemaSpec, SourceSpec, TableRule
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.server.catalog import Catalog, TableName
from djlink_manifest.model.server.rights import SOURCE_RIGHTS, grant
from djlink_manifest.model.tables.naming import class_name, is_hidden, master_of
from djlink_manifest.reconcile.resolve.refusals import (
    Candidate,
    misnamed,
    no_table,
    not_seen,
    undecided,
    unread,
    unusable_name,
)
from djlink_manifest.reconcile.resolve.renamed import renamed_schema
from djlink_manifest.reconcile.state.snapshot import Refusal


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A schema or a table that the manifest declares and that gives no link.

    `rule` is the rule of the table, None for a whole schema; `tables` the source's tables that it is known to
    mean, None where nobody can know: the name is perhaps mistyped, and any table may be meant.
    """

    refusal: Refusal
    schema: str
    rule: TableRule | None
    tables: frozenset[TableName] | None


@dataclass(frozen=True, slots=True)
class Hints:
    """What tells of tables that the catalogue does not show.

    `named` are tables that foreign keys or marks name and that are not seen; `linked` those of the manifest's
    own marks, each with the name that the outbound table's foreign key has for it today.
    """

    named: frozenset[TableName]
    linked: Mapping[TableName, TableName]

    @staticmethod
    def of(catalog: Catalog, outbound: str, manifest: str) -> Hints:
        """The hints in the catalogue of a source."""
        named = {
            (key.parent_schema, key.parent_table)
            for table in catalog.tables.values()
            for key in table.foreign_keys
        }
        own_marks = [m for m in catalog.marks.get(outbound, ()) if m.manifest == manifest]
        linked = {(m.source_schema, m.source_table): catalog.protected(m) for m in own_marks}
        return Hints(frozenset((named | set(linked.values())) - catalog.tables.keys()), linked)

    def meant(self, schema: str, pattern: str) -> frozenset[TableName] | None:
        """The tables that a rule without a table means, as far as foreign keys and marks tell."""

        def fits(place: TableName) -> bool:
            return place[0] == schema and pattern in (place[1], class_name(place[1]))

        found = {place for place in self.named if fits(place)}
        found |= {today for place, today in self.linked.items() if fits(place)}
        return frozenset(found) or None


def candidates(
    manifest: Manifest, source: SourceSpec, catalog: Catalog, outbound: str
) -> tuple[list[Candidate], list[Unresolved]]:
    """The tables of a source that rules choose, and what gives no link."""
    hints = Hints.of(catalog, outbound, manifest.name)
    removed = {entry.place for entry in manifest.taken_out}
    found, unresolved = list[Candidate](), list[Unresolved]()
    for schema in source.schemas:
        if schema.name not in catalog.all_schemas:
            unresolved.append(_no_schema(source, schema, catalog, hints))
            continue
        chosen, left = _of_schema(source, schema, catalog, hints)
        found += chosen
        unresolved += left
    needed = {
        (k.parent_schema, k.parent_table) for c in found for t in c.table.tables for k in t.foreign_keys
    }
    needed |= {today for place, today in hints.linked.items() if not _goes(source, place, removed)}
    for schema in source.schemas:
        if schema.name in catalog.all_schemas:
            unresolved += _unseen(source, schema, catalog, needed & hints.named)
    return found, unresolved


def _no_schema(source: SourceSpec, schema: SchemaSpec, catalog: Catalog, hints: Hints) -> Unresolved:
    close = nearest(schema.name, sorted(catalog.all_schemas))
    rights = grant(SOURCE_RIGHTS, schema.name, catalog.identity)
    known = frozenset(place for place in hints.named if place[0] == schema.name)
    renamed = renamed_schema(source.name, schema, hints.linked)
    if renamed is not None:
        tables = frozenset(today for place, today in hints.linked.items() if place[0] == schema.name)
        return Unresolved(renamed, schema.name, None, tables)
    if close and not known:
        hint = f"did you mean `{close}`? Otherwise ask the source's administrator to run: {rights}"
    else:
        hint = f"check the name, or ask the source's administrator to run: {rights}"
    words = "the schema does not exist, or the link user has no privilege on it"
    refusal = Refusal(f"{source.name}.{schema.name}", words, hint, schema.location)
    return Unresolved(refusal, schema.name, None, known or None)


def _of_schema(
    source: SourceSpec, schema: SchemaSpec, catalog: Catalog, hints: Hints
) -> tuple[list[Candidate], list[Unresolved]]:
    place = f"{source.name}.{schema.name}"
    masters = catalog.masters(schema.name)
    classes = Counter(class_name(t.name) for t in masters)
    found, chosen, left = list[Candidate](), set[str](), list[Unresolved]()
    for table in masters:
        name = class_name(table.name) if classes[class_name(table.name)] == 1 else table.name
        known = frozenset((t.schema, t.name) for t in table.tables)
        try:
            rule = rule_for(schema, table.name, class_name(table.name))
        except EquallyClose as error:
            chosen.update(rule.pattern for rule in error.rules)
            refusal = undecided(f"{place}.{name}", error)
            left.append(Unresolved(refusal, schema.name, error.rules[0], known))
            continue
        if rule is None:
            continue
        chosen.add(rule.pattern)
        if not all(t.columns and set(t.key) <= set(t.column_names) for t in table.tables):
            refusal = unread(f"{place}.{name}", rule, table, catalog)
            left.append(Unresolved(refusal, schema.name, rule, known))
            continue
        if fault := unusable_name(table):
            refusal = misnamed(f"{place}.{name}", rule, table.name, fault)
            left.append(Unresolved(refusal, schema.name, rule, known))
            continue
        local = rule.options.local_schema(source.name, schema.name)
        found.append(Candidate(f"{place}.{name}", source, rule, table, local))
    names = sorted({n for t in masters for n in (t.name, class_name(t.name))})
    for rule in schema.rules:
        if not rule.is_glob and rule.pattern not in chosen:
            known_as = _part(schema, rule, catalog) or hints.meant(schema.name, rule.pattern)
            refusal = no_table(place, rule, names, catalog, schema=schema.name, known=known_as)
            left.append(Unresolved(refusal, schema.name, rule, known_as))
    return found, left


def _part(schema: SchemaSpec, rule: TableRule, catalog: Catalog) -> frozenset[TableName] | None:
    """The tables of a master of which the rule names a part."""
    master = master_of(rule.pattern)
    if master is None or (schema.name, rule.pattern) not in catalog.tables:
        return None
    parts = catalog.named_as_parts(schema.name, master)
    return frozenset((schema.name, name) for name in (master, *parts))


def _unseen(
    source: SourceSpec, schema: SchemaSpec, catalog: Catalog, unseen: Set[TableName]
) -> Iterator[Unresolved]:
    """Those of the tables that are not seen, and are needed or linked, that the schema's rules choose.

    An exact name is told already where its table is not seen. A part is declared with its master.
    """
    found = dict[tuple[str, TableRule], list[TableName]]()
    for place in sorted(unseen):
        if place[0] != schema.name or is_hidden(place[1]):
            continue
        for name in filter(None, (master_of(place[1]), place[1])):
            try:
                rule = rule_for(schema, name, class_name(name))
            except EquallyClose as error:
                rule = error.rules[0]
            if rule is not None and (rule.is_glob or (schema.name, name) in catalog.tables):
                found.setdefault((name, rule), []).append(place)
                break
    classes = {class_name(t.name) for t in catalog.masters(schema.name)} if found else set()
    for (name, rule), places in found.items():
        # the address of a table that is seen, and is called so too, is another's
        seen = (schema.name, name) in catalog.tables
        called = class_name(name) if seen or class_name(name) not in classes else name
        address = f"{source.name}.{schema.name}.{called}"
        yield Unresolved(not_seen(address, rule, places, catalog), schema.name, rule, frozenset(places))


def _goes(source: SourceSpec, place: TableName, removed: set[tuple[str, str, str]]) -> bool:
    """Whether `removed` takes the link of a table out."""
    schema, table = place
    return bool({(source.name, schema, table), (source.name, schema, class_name(table))} & removed)
