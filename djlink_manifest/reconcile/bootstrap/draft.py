"""What of a source's schema can be linked, and which parents it needs, for `init --from`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from djlink_manifest.manifest.edit.draft import DraftSchema, DraftTable
from djlink_manifest.manifest.models.match import EquallyClose, is_excluded, rule_for
from djlink_manifest.manifest.models.names import identifier_fault, table_fault, unlinkable
from djlink_manifest.manifest.models.values import SchemaSpec
from djlink_manifest.model.counting import counted
from djlink_manifest.model.server.catalog import Catalog, Size, TableName
from djlink_manifest.model.server.partly_seen import partly_seen
from djlink_manifest.model.server.rights import OUTBOUND_RIGHTS, grant, missing
from djlink_manifest.model.tables.definition import TableDefinition, unprotectable
from djlink_manifest.model.tables.naming import class_name
from djlink_manifest.reconcile.resolve.external_columns import store_names, unreadable

_SYSTEM = frozenset({"information_schema", "performance_schema", "mysql", "sys"})


def merged(first: Catalog, second: Catalog) -> Catalog:
    """One catalogue of what two readings of a server found."""
    return replace(
        first,
        tables={**first.tables, **second.tables},
        sizes={**first.sizes, **second.sizes},
        marks={**first.marks, **second.marks},
        named=first.named | second.named,
    )


def unread_parents(catalog: Catalog, read: Set[str]) -> frozenset[str]:
    """The schemas that tables of the catalogue refer to, that the account sees and that were not read."""
    named = {k.parent_schema for t in catalog.tables.values() for k in t.foreign_keys}
    return frozenset(named & catalog.all_schemas) - read


def outbound_schema(catalog: Catalog, taken: Set[str]) -> str | None:
    """The one schema in which the account may do all that an outbound schema needs; None for none or many."""
    grants = [g for g in catalog.grants if g.schema != "*"]
    found = [
        name
        for name in sorted(catalog.all_schemas - taken - _SYSTEM)
        if not missing(grants, OUTBOUND_RIGHTS, name) and not name.endswith("_owner")
    ]
    return found[0] if len(found) == 1 else None


def draft_schemas(
    schema: str,
    catalog: Catalog,
    declared: Mapping[str, SchemaSpec],
    removed: Collection[TableName] = (),
) -> tuple[DraftSchema, ...]:
    """The schema's tables and the parents that they need in other schemas, these as `needed`.

    `declared` are the schemas of the source that a manifest has already: what its rules link is left alone.
    `removed` are the tables that it takes out, each by its schema and its class or name: they are left out.
    """
    view = _CatalogView(catalog, declared, removed)
    wanted = {
        (t.schema, t.name): view.drafted(t, "all") for t in catalog.masters(schema) if not view.is_declared(t)
    }
    pending = [name for name, table in wanted.items() if table.left_out is None]
    while pending:
        for parent in view.parents(pending.pop()):
            place = (parent.schema, parent.name)
            if place in wanted or view.is_declared(parent) or view.fault(parent) is not None:
                continue
            wanted[place] = view.drafted(parent, "needed")
            pending.append(place)
    noted = {name: replace(t, notes=tuple(view.plain(name, wanted))) for name, t in wanted.items()}
    order = sorted({s for s, _ in noted}, key=lambda name: (name == schema, name))
    return tuple(
        DraftSchema(
            name,
            tuple(table for (s, _), table in sorted(noted.items()) if s == name),
            tuple(rule.pattern for rule in declared[name].rules) if name in declared else (),
            "; ".join(partly_seen(catalog, name) or ()),
        )
        for name in order
    )


@dataclass(frozen=True, slots=True)
class _CatalogView:
    catalog: Catalog
    declared: Mapping[str, SchemaSpec]
    removed: Collection[TableName]

    def masters(self, schema: str) -> Mapping[str, TableDefinition]:
        """The masters of a schema by the names of all their tables."""
        return {t.name: master for master in self.catalog.masters(schema) for t in master.tables}

    def is_declared(self, table: TableDefinition) -> bool:
        spec = self.declared.get(table.schema)
        name = class_name(table.name)
        if spec is None:
            return False
        try:
            return rule_for(spec, table.name, name) is not None or is_excluded(spec, table.name, name)
        except EquallyClose:  # which rule is the table's is for the manifest's author to say
            return True

    def key(self, table: TableDefinition) -> str:
        """How the manifest names the table: by its class, where that names it alone."""
        classes = Counter(class_name(t.name) for t in self.catalog.masters(table.schema))
        name = class_name(table.name)
        alone = classes[name] == 1 and not any(t.name == name for t in self.catalog.masters(table.schema))
        return name if alone and table_fault(name) is None else table.name

    def fault(self, table: TableDefinition) -> str | None:
        """Why the table cannot be linked, or None."""
        if fault := unlinkable(table.name) or table_fault(self.key(table)):
            return f"its name {fault}"
        if fault := identifier_fault(table.schema):
            return f"the name of its schema {fault}"
        names = (table.name, class_name(table.name))
        if any(schema == table.schema and name in names for schema, name in self.removed):
            return "it is listed in `removed`: after the removal, delete the entry to link the table again"
        for each in table.tables:
            needed = ("SELECT", "REFERENCES") if each is table else ("SELECT",)
            missing_rights = missing(self.catalog.grants, needed, each.schema, each.name)
            unread = not each.columns or not set(each.key) <= set(each.column_names)
            if missing_rights or unread:
                what = ", ".join(missing_rights) or "SELECT"
                rights = grant(("SELECT", "REFERENCES"), each.schema, self.catalog.identity)
                return f"the link user lacks {what} on {each.schema}.{each.name}: {rights}"
        if reason := unprotectable(table):
            return reason
        return next((reason for reason, _ in unreadable(table)), None)

    def drafted(self, table: TableDefinition, pull: str) -> DraftTable:
        about, stores = _about(table, self.catalog.sizes), store_names(table)
        return DraftTable(self.key(table), pull, about, (), left_out=self.fault(table), stores=stores)

    def parents(self, name: TableName) -> Iterator[TableDefinition]:
        """The masters of the tables that a table's foreign keys name, as far as they are seen."""
        master = self.masters(name[0])[name[1]]
        for table in master.tables:
            for key in table.foreign_keys:
                found = self.masters(key.parent_schema).get(key.parent_table)
                if found is not None and (found.schema, found.name) != name:
                    yield found

    def plain(self, name: TableName, wanted: Mapping[TableName, DraftTable]) -> Iterator[str]:
        """A note for each parent that cannot be linked."""
        if wanted[name].left_out is not None:
            return
        master, told = self.masters(name[0])[name[1]], set[TableName]()
        for table in master.tables:
            for key in table.foreign_keys:
                place = (key.parent_schema, key.parent_table)
                parent = self.masters(place[0]).get(place[1])
                why = self.fault(parent) if parent is not None else "it is not visible to the link user"
                if why is not None and place not in told:
                    told.add(place)
                    yield (
                        f"its parent {place[0]}.{place[1]} is not linked ({why}): its foreign key becomes "
                        "plain columns"
                    )


def _about(table: TableDefinition, sizes: Mapping[TableName, Size]) -> str:
    rows = sizes.get((table.schema, table.name), Size(0, 0)).rows
    words = [f"~{counted(rows, 'row')}"]
    if table.parts:
        words.append("1 part" if len(table.parts) == 1 else f"{len(table.parts)} parts")
    return ", ".join(words)
